/**
 * The applied state: ordered tables of frozen rows.
 *
 * `apply` reads a state through a `Draft` and answers with changes; the owner of the state (the node, the simulator)
 * commits them. Tables are copy-on-write B+ trees, so a snapshot of the whole state costs nothing.
 */
import {
  effectiveSettings,
  type GroupName,
  invariant,
  type LogIndex,
  type LogTime,
  logIndex,
  logTime,
  type NodeId,
  type Settings,
  wallTime,
} from '../../base/index.js'
import type { BootRow, CaseRow, GroupRow, MemberRow, MetaRow, NodeRow, TableName, Tables } from './rows.js'
import { compareKeys, Table } from './table.js'

export const tableNames: readonly TableName[] = [
  'meta',
  'settings',
  'nodes',
  'boots',
  'members',
  'invitations',
  'groups',
  'scalables',
  'cases',
  'causes',
  'disks',
  'operations',
  'store',
  'checkpoints',
  'checkpointParts',
  'notes',
  'requests',
  'journal',
  'decisions',
]

export interface Change {
  readonly table: TableName
  readonly key: string
  /** Undefined where the row is deleted. */
  readonly value: unknown
}

/** Reading side, shared by the state and by a draft over it. */
export interface Reader {
  get<Name extends TableName>(table: Name, key: string): Tables[Name] | undefined
  /** Rows in key order, from `from` on (all without it). */
  rows<Name extends TableName>(table: Name, from?: string): Iterable<readonly [string, Tables[Name]]>
  /**
   * What `make` reads from this one table, made once and kept until the table changes: asked many times a second, it must
   * not be sorted anew each time. One `what` always has the same `make`.
   */
  derived<Value>(table: TableName, what: string, make: () => Value): Value
}

export class ClusterState implements Reader {
  private tables: ReadonlyMap<TableName, Table>
  private readonly kept = new Map<TableName, Map<string, unknown> | undefined>()
  /** Index of the last entry whose changes are in. */
  appliedIndex: LogIndex

  private constructor(tables: ReadonlyMap<TableName, Table>, appliedIndex: LogIndex) {
    this.tables = tables
    this.appliedIndex = appliedIndex
  }

  static empty(): ClusterState {
    return new ClusterState(new Map(tableNames.map((name) => [name, Table.empty(name === 'store')])), logIndex(0))
  }

  static restored(
    appliedIndex: LogIndex,
    rows: Iterable<{ readonly table: string; readonly key: string; readonly value: unknown }>,
  ): ClusterState {
    const state = ClusterState.empty()
    state.load(rows)
    state.appliedIndex = appliedIndex
    return state
  }

  get<Name extends TableName>(table: Name, key: string): Tables[Name] | undefined {
    return this.table(table).get(key) as Tables[Name] | undefined
  }

  *rows<Name extends TableName>(table: Name, from?: string): Iterable<readonly [string, Tables[Name]]> {
    for (const [key, row] of this.table(table).entries(from)) yield [key, row as Tables[Name]]
  }

  derived<Value>(table: TableName, what: string, make: () => Value): Value {
    let kept = this.kept.get(table)
    if (kept === undefined) {
      kept = new Map()
      this.kept.set(table, kept)
    }
    if (!kept.has(what)) kept.set(what, make())
    return kept.get(what) as Value
  }

  size(table: TableName): number {
    return this.table(table).size
  }

  /** Takes over what `apply` answered for the entry at `index`. */
  commit(index: LogIndex, changes: readonly Change[]): void {
    invariant(index === this.appliedIndex + 1, 'entries are applied in order, each once', { index, applied: this.appliedIndex })
    for (const { table, key, value } of changes) {
      if (this.kept.get(table) !== undefined) this.kept.set(table, undefined)
      if (value === undefined) this.table(table).delete(key)
      else this.table(table).set(key, value)
    }
    this.appliedIndex = index
  }

  /** Becomes what `other` is: a snapshot has come in. */
  replace(other: ClusterState): void {
    invariant(other.appliedIndex > this.appliedIndex, 'the applied state does not go back (R52)', {
      to: other.appliedIndex,
      from: this.appliedIndex,
    })
    this.tables = other.tables
    this.kept.clear()
    this.appliedIndex = other.appliedIndex
  }

  /** Puts rows in without an entry: while a state is being built that nobody reads yet. */
  load(rows: Iterable<{ readonly table: string; readonly key: string; readonly value: unknown }>): void {
    this.kept.clear()
    for (const { table, key, value } of rows) this.table(table as TableName).set(key, value)
  }

  /** A state of its own that later commits do not touch. */
  snapshot(): ClusterState {
    return new ClusterState(new Map([...this.tables].map(([name, table]) => [name, table.picture()])), this.appliedIndex)
  }

  private table(name: TableName): Table {
    const table = this.tables.get(name)
    invariant(table !== undefined, 'the table exists', { name })
    return table
  }
}

/** Changes are looked for one by one up to so many: most entries have two or three. */
const listedMax = 12

/** A state with changes over it that are not committed yet. */
export class Draft implements Reader {
  private readonly base: Reader
  /** One for each row that was touched, the latest value. */
  private readonly list: { table: TableName; key: string; value: unknown }[] = []
  /** Positions in the list of its first `indexed` changes, once one is looked for in a long list. */
  private index: Map<TableName, Map<string, number>> | undefined
  private indexed = 0

  constructor(base: Reader) {
    this.base = base
  }

  get<Name extends TableName>(table: Name, key: string): Tables[Name] | undefined {
    const at = this.list.length === 0 ? -1 : this.find(table, key)
    return (at < 0 ? this.base.get(table, key) : this.list[at]?.value) as Tables[Name] | undefined
  }

  *rows<Name extends TableName>(table: Name, from?: string): Iterable<readonly [string, Tables[Name]]> {
    const mine = this.list
      .filter((change) => change.table === table && (from === undefined || change.key >= from))
      .sort((a, b) => compareKeys(a.key, b.key))
    let at = 0
    for (const [key, row] of this.base.rows(table, from)) {
      for (let next = mine[at]; next !== undefined && next.key < key; next = mine[++at])
        if (next.value !== undefined) yield [next.key, next.value as Tables[Name]]
      const replaced = mine[at]
      if (replaced?.key === key) {
        at++
        if (replaced.value !== undefined) yield [key, replaced.value as Tables[Name]]
      } else yield [key, row]
    }
    for (let next = mine[at]; next !== undefined; next = mine[++at])
      if (next.value !== undefined) yield [next.key, next.value as Tables[Name]]
  }

  derived<Value>(table: TableName, what: string, make: () => Value): Value {
    return this.list.some((change) => change.table === table) ? make() : this.base.derived(table, what, make)
  }

  put<Name extends TableName>(table: Name, key: string, row: Tables[Name]): void {
    this.change(table, key, row)
  }

  delete(table: TableName, key: string): void {
    this.change(table, key, undefined)
  }

  /** Not to be kept while the draft is still written. */
  changes(): readonly Change[] {
    return this.list
  }

  /** Takes the changes of a draft over this one, which has each row once and is not written any more. */
  absorb(inner: Draft): void {
    const own = this.list.length
    for (const change of inner.list) {
      const known = this.list[own > listedMax ? this.find(change.table, change.key) : this.findAmong(own, change.table, change.key)]
      if (known === undefined) this.list.push(change)
      else known.value = change.value
    }
  }

  private change(table: TableName, key: string, value: unknown): void {
    const known = this.list[this.find(table, key)]
    if (known === undefined) this.list.push({ table, key, value })
    else known.value = value
  }

  /** -1 where the row was not touched. */
  private find(table: TableName, key: string): number {
    if (this.list.length <= listedMax) return this.findAmong(this.list.length, table, key)
    this.index ??= new Map()
    for (; this.indexed < this.list.length; this.indexed++) note(this.index, this.list[this.indexed] as Change, this.indexed)
    return this.index.get(table)?.get(key) ?? -1
  }

  private findAmong(first: number, table: TableName, key: string): number {
    for (let at = first - 1; at >= 0; at--) {
      const change = this.list[at] as Change
      if (change.table === table && change.key === key) return at
    }
    return -1
  }
}

function note(index: Map<TableName, Map<string, number>>, { table, key }: Change, at: number): void {
  const keys = index.get(table)
  if (keys === undefined) index.set(table, new Map([[key, at]]))
  else keys.set(key, at)
}

const emptyMeta: MetaRow = {
  clusterName: '',
  epoch: 1,
  level: 1,
  logTime: logTime(0),
  wall: wallTime(0),
  journalFrom: logIndex(1),
  journalRows: 0,
  decisionRows: 0,
  configRevision: logIndex(0),
  formerLease: null,
}

export function metaOf(reader: Reader): MetaRow {
  return reader.get('meta', 'cluster') ?? emptyMeta
}

/** The settings in force: what was chosen, over the profile's. */
export function settingsOf(reader: Reader): Settings {
  return reader.derived('settings', 'in force', () => effectiveSettings(reader.get('settings', 'cluster') ?? {}))
}

export const bootKey = (node: string, boot: string): string => `${node}/${boot}`

/** Every boot of the node that still matters, oldest registration first. */
export function bootsOf(reader: Reader, node: NodeId): readonly BootRow[] {
  const byNode = reader.derived('boots', 'by node', () => {
    const found = new Map<NodeId, BootRow[]>()
    for (const [, row] of reader.rows('boots')) found.set(row.node, [...(found.get(row.node) ?? []), row])
    for (const boots of found.values()) boots.sort((a, b) => a.registeredIndex - b.registeredIndex)
    return found
  })
  return byNode.get(node) ?? []
}

/** The node's latest boot: the only one that can be granted anything. */
export function currentBoot(reader: Reader, node: NodeId): BootRow | undefined {
  return bootsOf(reader, node).at(-1)
}

export function rowsOfMembers(reader: Reader): readonly MemberRow[] {
  return reader.derived('members', 'all', () => [...reader.rows('members')].map(([, row]) => row))
}

/** Every member of the node, the oldest first. */
export function membersOfNode(reader: Reader, node: NodeId): readonly MemberRow[] {
  return rowsOfMembers(reader)
    .filter((row) => row.node === node)
    .sort((a, b) => a.addedIndex - b.addedIndex || (a.member < b.member ? -1 : 1))
}

export function groupsOf(reader: Reader): readonly GroupRow[] {
  return reader.derived('groups', 'all', () => [...reader.rows('groups')].map(([, row]) => row))
}

export function nodesOf(reader: Reader): readonly NodeRow[] {
  return reader.derived('nodes', 'all', () => [...reader.rows('nodes')].map(([, row]) => row))
}

/**
 * Whether the voters that answer, without this one, are a quorum. A voter counts by its answers, not by its boot: one that
 * is condemned votes on, and one whose boot is live may be gone. What is being switched off, or was, is not counted, however
 * lately it answered.
 */
export function isQuorumWithout(reader: Reader, node: NodeId, answering: readonly NodeId[], at: LogTime = metaOf(reader).logTime): boolean {
  const all = votingNodes(reader)
  const left = all.filter((other) => other !== node && answering.includes(other) && !isCutOff(reader, other, at))
  return left.length >= Math.floor(all.length / 2) + 1
}

/** Nodes that have a vote. One that is to get it is not missed before: it may never come. */
export function votingNodes(reader: Reader): readonly NodeId[] {
  const voters = rowsOfMembers(reader).filter((row) => row.votes)
  return [...new Set(voters.map((row) => row.node))]
}

function isCutOff(reader: Reader, node: NodeId, at: LogTime): boolean {
  const proof = currentBoot(reader, node)?.proof?.kind
  if (proof === 'fenced' || proof === 'operator' || proof === 'storage') return true
  const open = openCaseOf(reader, node)
  if (open === undefined) return false
  // Whatever the proof was: what has been switched off since cannot answer any more, though it did a moment ago.
  const isOff = metaOf(reader).level >= switchedOffLevel && open.boot === currentBoot(reader, node)?.boot
  // A device that failed may still do what it was told, for as long as it had for it.
  return open.attempts.some(
    ({ action, state, endedAt, timeout }) =>
      action === 'off' &&
      (state === 'open' || (isOff && (state === 'confirmed' || (state === 'failed' && at < (endedAt ?? at) + timeout)))),
  )
}

/** From this feature level on a node that was switched off is none that answers, whatever ended its tokens. */
const switchedOffLevel = 5

/** Cases that are not over, oldest first. */
export function openCases(reader: Reader): readonly CaseRow[] {
  return reader.derived('cases', 'open', () =>
    [...reader.rows('cases')].map(([, row]) => row).filter((row) => row.stage !== 'RECOVERED' && row.stage !== 'CLOSED'),
  )
}

/** All cases, over or not. */
export function casesOf(reader: Reader): readonly CaseRow[] {
  return reader.derived('cases', 'all', () => [...reader.rows('cases')].map(([, row]) => row))
}

export function openCaseOf(reader: Reader, node: NodeId): CaseRow | undefined {
  return openCases(reader).find((row) => row.node === node)
}

/** Groups whose token is held by this boot and not ended. */
export function heldBy(reader: Reader, node: NodeId, boot: string): readonly GroupName[] {
  return groupsOf(reader)
    .filter((group) => group.holder?.node === node && group.holder.boot === boot && group.proof === null)
    .map((group) => group.name)
}

/** The longest lease that may be in anybody's hands: the present one, or a longer one that was in force until lately. Milliseconds. */
export function leaseBound(reader: Reader, settings: Settings): number {
  const { formerLease, logTime: at } = metaOf(reader)
  const counts = formerLease !== null && (formerLease.until === null || at < formerLease.until)
  return counts ? Math.max(formerLease.ms, settings.lease) : settings.lease
}
