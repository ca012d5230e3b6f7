/** Applies commands as the log would, on two members at once that must stay equal to the byte; and shorthands for what tests put into it. */
import assert from 'node:assert/strict'
import {
  decode,
  encode,
  type GroupName,
  type LogIndex,
  type LogTime,
  logIndex,
  type NodeId,
  type Term,
  type Token,
  wallTime,
} from '../../../src/base/index.js'
import {
  apply,
  type CaseRow,
  ClusterState,
  type Command,
  type CommandResult,
  type Envelope,
  type GroupDefinition,
  type GroupRow,
  type Guard,
  type PlannedAction,
  tableNames,
} from '../../../src/core/cluster/index.js'

export const web = 'web' as GroupName
export const token = (value: number) => value as Token
export const nodes = ['n1', 'n2', 'n3'] as NodeId[]
export const [n1, n2, n3] = nodes as [NodeId, NodeId, NodeId]

export const guarded: Guard = { guarded: true, watchdog: 'none', watchdogTimeout: 0, emergencyStop: 5_000 }
export const withWatchdog: Guard = { ...guarded, watchdog: 'armed', watchdogTimeout: 2_000 }

export function definition(change: Partial<GroupDefinition> = {}): GroupDefinition {
  return {
    mode: 'failover',
    nodes,
    priority: 0,
    failback: { mode: 'never' },
    resources: resources({ app: {} }),
    ...change,
  }
}

export function resources(
  short: Record<
    string,
    { type?: string; parameters?: Record<string, string>; dependsOn?: (string | { resource: string; kind: string })[] }
  >,
): GroupDefinition['resources'] {
  const full = Object.entries(short).map(([name, { type = 'command', parameters = { run: name }, dependsOn = [] }]) => [
    name,
    {
      type,
      parameters,
      dependsOn,
      probe: { interval: 1_000, timeout: 500 },
      start: { timeout: 2_000 },
      stop: { timeout: 2_000 },
      restart: { max: 3, window: 60_000 },
    },
  ])
  return Object.fromEntries(full) as GroupDefinition['resources']
}

export const address = (value: string) => ({ type: 'logical-hostname', parameters: { address: value } })

export class Database {
  readonly state = ClusterState.empty()
  /** Gets every entry as the wire would bring it. */
  readonly twin = ClusterState.empty()
  term = 1
  at = 1_000
  /** Told by the boots that register from now on. */
  level = 1
  private requests = 0

  /** One entry of the log. Both members must come to the same answer, the same changes and the same rows. */
  apply(command: Command, more: Partial<Pick<Envelope, 'requestId' | 'fingerprint'>> = {}): CommandResult {
    const requestId = `r${++this.requests}` as Envelope['requestId']
    const envelope: Envelope = { requestId, at: this.at as LogTime, wall: wallTime(1_700_000_000_000 + this.at), command, ...more }
    const place = { index: logIndex(this.state.appliedIndex + 1), term: this.term as Term }
    const before = encode([...rowsOf(this.state)])
    const applied = apply(this.state, place, envelope)
    assert.deepEqual(encode([...rowsOf(this.state)]), before, 'apply itself changes no state')
    const other = apply(this.twin, place, decode(encode(envelope)) as Envelope)
    assert.deepEqual(encode([other.result, other.changes]), encode([applied.result, applied.changes]), 'two members come to the same')
    this.state.commit(place.index, applied.changes)
    this.twin.commit(place.index, decode(encode(other.changes)) as typeof other.changes)
    return applied.result
  }

  /** A leader's first entry of a term carries no command. */
  newTerm(): void {
    this.term++
    const index = logIndex(this.state.appliedIndex + 1)
    this.state.commit(index, [])
    this.twin.commit(index, [])
  }

  ok(command: Command): Readonly<Record<string, unknown>> {
    const result = this.apply(command)
    if (!result.ok) assert.fail(`${command.kind} was refused: ${result.error.code} ${result.error.detail}`)
    return result.value
  }

  /** Refused with this code, and nothing but the clock has changed. */
  refused(command: Command, code: string, detail?: RegExp): void {
    const before = this.rows()
    const result = this.apply(command)
    if (result.ok) assert.fail(`${command.kind} was carried out`)
    assert.equal(result.error.code, code)
    if (detail !== undefined) assert.match(result.error.detail, detail)
    assert.deepEqual(this.rows(), before, 'a refused command changes nothing')
  }

  rows(): unknown[] {
    return [...rowsOf(this.state)].filter(([table]) => table !== 'meta')
  }

  get index(): LogIndex {
    return this.state.appliedIndex
  }

  // What most tests begin with.

  formed(guard: Guard = guarded): this {
    this.ok({
      kind: 'form',
      clusterName: 'demo',
      nodes: nodes.map((name) => ({ name, member: `m-${name}` as never, address: { host: name, port: 7400 } })),
    })
    for (const node of nodes) this.boot(node, `${node}-1`, guard)
    return this
  }

  /** As by members that all understand this level, and with a fence device for each node. */
  formedAt(level: number): this {
    this.level = level
    this.formed()
    this.ok({ kind: 'raise-level', level })
    const device = { agent: 'fence_sim', parameters: {}, timeout: 5_000 }
    for (const node of nodes) this.ok({ kind: 'patch-node', node, fencing: { levels: [[device]], then: 'on' }, precondition: {} })
    return this
  }

  boot(node: NodeId, boot: string, guard: Guard = guarded): void {
    this.ok({
      kind: 'register-boot',
      node,
      boot: boot as never,
      guard,
      level: this.level,
      links: [{ host: node, port: 7400 }],
      guardian: null,
      api: null,
    })
  }

  bootCommand(node: NodeId, boot: string, guard: Guard = guarded): Command {
    return { kind: 'register-boot', node, boot: boot as never, guard, level: 1, links: [], guardian: null, api: null }
  }

  /** A group that every node has looked for and not found. */
  group(name = web, change: Partial<GroupDefinition> = {}): void {
    this.ok({ kind: 'put-group', group: name, definition: definition(change), intent: null, precondition: {} })
    for (const node of nodes) this.probed(node, name)
  }

  probed(node: NodeId, name = web, result: 'clean' | 'unable' | 'running' | 'unknown' = 'clean', revision?: LogIndex): void {
    const boot = this.currentBoot(node)
    this.ok({ kind: 'probed', node, boot, group: name, definition: revision ?? this.row(name).resourcesRevision, result, detail: '' })
  }

  currentBoot(node: NodeId) {
    const boots = [...this.state.rows('boots', `${node}/`)].map(([, row]) => row).filter((row) => row.node === node)
    return boots.sort((a, b) => b.registeredIndex - a.registeredIndex)[0]?.boot ?? ('none' as never)
  }

  /** Answers with why the state machine refused; undefined when it was granted. */
  grant(node: NodeId, name = web, boot = this.currentBoot(node)): string | undefined {
    return this.decide(name, { kind: 'grant', node, boot })
  }

  decide(group: GroupName, action: PlannedAction): string | undefined {
    const value = this.ok({
      kind: 'decide',
      plannerVersion: 1,
      decisions: [{ group, action, rule: 'test', text: `${action.kind} ${group}`, candidates: [], input: {} }],
    })
    return (value.outcomes as readonly { refused?: string }[])[0]?.refused
  }

  granted(node: NodeId, name = web): Token {
    assert.equal(this.grant(node, name), undefined)
    const held = this.row(name).holder?.token
    assert.ok(held !== undefined)
    return held
  }

  report(node: NodeId, state: 'ONLINE' | 'FAILED' | 'UNKNOWN' | 'STARTING', name = web, more: Record<string, unknown> = {}): Command {
    const { holder } = this.row(name)
    return {
      kind: 'report',
      node,
      boot: this.currentBoot(node),
      group: name,
      token: holder?.token ?? token(0),
      sequence: holder?.order.sequence ?? 0,
      report: { state, resources: {}, failure: null },
      ...more,
    }
  }

  released(node: NodeId, name = web, held = this.row(name).holder?.token ?? token(0)): Command {
    return { kind: 'released', node, boot: this.currentBoot(node), group: name, token: held }
  }

  row(name = web): GroupRow {
    const row = this.state.get('groups', name)
    assert.ok(row !== undefined, `group ${name} exists`)
    return row
  }

  case(id = 'c1'): CaseRow {
    const row = this.state.get('cases', id)
    assert.ok(row !== undefined, `case ${id} exists`)
    return row
  }

  openCase(node: NodeId, id = 'c1', more: Record<string, unknown> = {}): Command {
    return {
      kind: 'open-case',
      caseId: id as never,
      node,
      boot: this.currentBoot(node),
      arbiter: nodes.find((other) => other !== node) as NodeId,
      nonce: `nonce-${id}`,
      trigger: 'silent for 700 ms',
      dossier: {},
      ...more,
    }
  }

  attempt(number: number, arbiter: NodeId, action: 'off' | 'status' | 'on' = 'off') {
    return { number, level: 0, arbiter, action }
  }

  /** Challenged and condemned, with the first attempt under way. */
  condemned(node: NodeId, id = 'c1'): void {
    this.ok(this.openCase(node, id))
    const arbiter = nodes.find((other) => other !== node) as NodeId
    this.ok({ kind: 'condemn', caseId: id as never, attempt: this.attempt(1, arbiter), reason: 'silent', answering: nodes })
  }

  attemptResult(confirmed: boolean, number = 1, id = 'c1'): Command {
    const { arbiter } = this.case(id).attempts[number - 1] ?? this.case(id)
    return { kind: 'attempt-result', caseId: id as never, number, arbiter, confirmed, detail: confirmed ? 'off, off' : 'unreachable' }
  }

  fenced(node: NodeId, id = 'c1'): void {
    this.condemned(node, id)
    this.ok(this.attemptResult(true, 1, id))
  }

  events(): string[] {
    return [...this.state.rows('journal')].map(([, row]) => row.kind)
  }
}

export function* rowsOf(state: ClusterState): Iterable<readonly [string, string, unknown]> {
  for (const table of tableNames) for (const [key, row] of state.rows(table)) yield [table, key, row]
}
