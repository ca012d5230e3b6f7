/** What the planner has to know of a scalable group to decide about one of its parts. */
import type { GroupName, LogTime, NodeId } from '../../base/index.js'
import {
  forgottenAt,
  type GroupRow,
  instanceName,
  isReadied,
  isSameProgram,
  isSameProgramOn,
  mayStillRun,
  openNotice,
  primaryName,
  type Reader,
  type ScalableRow,
  scoreOf,
  whyUnfit,
} from '../cluster/index.js'
import type { CandidateInput, MigrationInput, NoticeInput, PartInput } from './verdict.js'

export interface SharedParts {
  readonly state: Reader
  /** The instances of each, in order of rank. */
  readonly instances: ReadonlyMap<GroupName, readonly GroupRow[]>
  /** Of those whose copies are told of each other. */
  readonly notices: ReadonlyMap<GroupName, NoticeInput>
}

export function sharedParts(state: Reader, at: LogTime, isAlive: (node: NodeId) => boolean): SharedParts {
  const instances = new Map<GroupName, readonly GroupRow[]>()
  const notices = new Map<GroupName, NoticeInput>()
  for (const [, row] of state.rows('scalables')) {
    instances.set(row.name, instancesOf(state, row))
    if (row.definition.notify === true) notices.set(row.name, noticeInput(state, row, at, isAlive))
  }
  return { state, instances, notices }
}

function noticeInput(state: Reader, row: ScalableRow, at: LogTime, isAlive: (node: NodeId) => boolean): NoticeInput {
  const open = openNotice(state, row, at, isAlive)
  if (open === undefined) return { open: null }
  const { when, operation, node, untold, expired } = open
  return { open: { when, operation, node, untold, ...(expired ? { expired: true as const } : {}) } }
}

function instancesOf(state: Reader, { name, definition }: ScalableRow): readonly GroupRow[] {
  return definition.nodes.flatMap((node) => state.get('groups', instanceName(name, node)) ?? [])
}

/** How long a migration waits for both nodes to be ready. Milliseconds. */
const askedMax = 60_000

/** What else a part is asked of: who lives, whether a node could take an instance, and why an instance is about to go down. */
export interface PartsView {
  readonly at: LogTime
  readonly isAlive: (node: NodeId) => boolean
  readonly mightRun: (instance: GroupRow) => boolean
  readonly leaves: (instance: GroupRow) => string | undefined
  /** What stands against granting that instance now and does not pass by itself; undefined where nothing does. */
  readonly whyNot: (instance: GroupRow) => string | undefined
}

export function partInput(shared: SharedParts, group: GroupRow, view: PartsView): PartInput | undefined {
  const { part } = group
  if (part === undefined) return undefined
  const notice = shared.notices.get(part.of)
  const input = part.role === 'instance' ? instanceInput(shared, group, part.of, view) : primaryInput(shared, group, part.of, view.leaves)
  return notice === undefined ? input : { ...input, notice }
}

function instanceInput({ state, instances }: SharedParts, group: GroupRow, of: GroupName, view: PartsView): PartInput {
  const all = instances.get(of) ?? []
  const whole = state.get('scalables', of)
  const desired = whole?.definition.desired ?? 0
  // What is stopped for a change would not be started again.
  const rests = whole?.poisoned !== undefined
  const running = all.filter((one) => mayStillRun(one))
  const primary = state.get('groups', primaryName(of))
  const primaryAt = primary?.part?.role === 'primary' && mayStillRun(primary) ? primary.holder.node : undefined
  const isOfPrimary = (one: GroupRow) => one.definition.nodes[0] === primaryAt
  // The last in rank goes, but not the primary's copy as long as there is another.
  const order = [...running].sort((a, b) => Number(isOfPrimary(b)) - Number(isOfPrimary(a)))
  const migration = migrationInput(state, whole, all, group, view)
  const surplus = whole?.definition.migrate !== true && running.length > desired && order.at(-1)?.name === group.name
  const better = all.slice(0, all.indexOf(group)).filter((one) => !mayStillRun(one) && view.mightRun(one))
  const outranked = !mayStillRun(group) && running.length + better.length >= desired
  const others = running.filter((one) => one.name !== group.name && one.holder !== null && view.isAlive(one.holder.node))
  const isElsewhere = (one: GroupRow) =>
    one.name !== group.name &&
    (mayStillRun(one)
      ? one.holder.report.state === 'ONLINE' && view.isAlive(one.holder.node)
      : running.length <= desired && view.mightRun(one))
  return {
    role: 'instance',
    of,
    ...(surplus ? { surplus: true as const } : {}),
    ...(outranked ? { outranked: true as const } : {}),
    ...(isChanged(group) && (rests || !isItsTurn(group, others, isOfPrimary)) ? { notItsTurn: true as const } : {}),
    ...(isChanged(group) && changesProgram(group) ? { takesDown: true as const } : {}),
    ...(primary !== undefined && isOfPrimary(group) && mayStillRun(group) ? { primary: primary.name } : {}),
    ...(mayStillRun(group) && all.some(isElsewhere) ? { elsewhere: true as const } : {}),
    ...(migration === undefined ? {} : { migration }),
    ...evacuation(whole, all, group, view),
  }
}

function migrationInput(
  state: Reader,
  whole: ScalableRow | undefined,
  all: readonly GroupRow[],
  group: GroupRow,
  view: PartsView,
): MigrationInput | undefined {
  const { migration } = whole ?? {}
  if (whole === undefined) return undefined
  if (!mayStillRun(group)) return migration !== undefined && isReadied(migration, group) ? { kind: 'receive' } : undefined
  const { order, report, token, node } = group.holder
  const others = all.filter((one) => one.name !== group.name && mayStillRun(one))
  if (order.incoming !== undefined) {
    const { from, number } = order.incoming
    const source = state.get('groups', instanceName(whole.name, from))
    if (source === undefined || !mayStillRun(source)) return { kind: 'arrive', from }
    if (migration?.number !== number) return { kind: 'abandon', from }
    return { kind: migration.step === 'sending' ? 'receiving' : 'wait' }
  }
  if (order.migrate !== undefined) {
    const { to, number } = order.migrate
    const { migrated } = report
    if (migrated?.number !== number) return { kind: 'wait' }
    if (migrated.outcome !== 'stays') return { kind: 'gone', to }
    // What may have come there ends first.
    if ((others.length > 0 && migration === undefined) || group.doubts?.some((other) => other !== node) === true) return { kind: 'wait' }
  }
  if (migration === undefined || migration.step !== 'asked' || migration.source !== token) return undefined
  const { to, target } = migration
  const other = state.get('groups', instanceName(whole.name, to))
  if (target === null) {
    const why = other === undefined ? 'it has no instance there' : view.whyNot(other)
    return why === undefined ? { kind: 'asked' } : { kind: 'refuse', to, why }
  }
  if (other === undefined || !mayStillRun(other)) return { kind: 'asked' }
  const why = whyUnfit(state, group, other)
  if (why !== undefined) return { kind: 'refuse', to, why }
  const isReady = other.holder.report.state !== 'GRANTED' && view.isAlive(to)
  if (isReady && report.state === 'ONLINE') return { kind: 'send', to }
  if (view.at - migration.at <= askedMax) return { kind: 'asked' }
  const late = isReady ? `${whole.name} is ${report.state} on ${node}` : `${to} is not ready for it`
  return { kind: 'refuse', to, why: `after ${askedMax / 1_000} s ${late}` }
}

/** Not once more where it has failed under this token. */
function evacuation(
  whole: ScalableRow | undefined,
  all: readonly GroupRow[],
  group: GroupRow,
  view: PartsView,
): { readonly evacuateTo?: NodeId } {
  if (whole?.definition.migrate !== true || whole.migration !== undefined || !mayStillRun(group)) return {}
  const { token, report, order } = group.holder
  if (all.some((one) => one.name !== group.name && mayStillRun(one))) return {}
  if (report.state !== 'ONLINE' || order.wanted === 'stop' || order.incoming !== undefined || whole.unmoved?.source === token) return {}
  const to = all.find((one) => one.name !== group.name && !mayStillRun(one) && view.mightRun(one))?.definition.nodes[0]
  return to === undefined ? {} : { evacuateTo: to }
}

const isChanged = (one: GroupRow) => mayStillRun(one) && one.holder.pinnedRevision !== one.resourcesRevision

/** A change goes from one copy to the next, so that it never takes all of them down, and one that fails with it is the last. */
function isItsTurn(group: GroupRow, others: readonly GroupRow[], isOfPrimary: (one: GroupRow) => boolean): boolean {
  const isUnderWay = (one: GroupRow) => !isChanged(one) && (one.holder?.report.state !== 'ONLINE' || one.holder.order.wanted === 'stop')
  if (others.some(isUnderWay)) return false
  const waiting = others.filter(isChanged)
  if (isOfPrimary(group)) return waiting.length === 0
  const [first] = waiting.filter((one) => !isOfPrimary(one)).sort((a, b) => (a.name < b.name ? -1 : 1))
  return first === undefined || group.name < first.name
}

function changesProgram({ definition, holder }: GroupRow): boolean {
  return Object.entries(definition.resources).some(
    ([name, one]) => one.promotable === true && !isSameProgram(one, holder?.pinned.resources[name as never]),
  )
}

function primaryInput({ state }: SharedParts, group: GroupRow, of: GroupName, leaves: PartsView['leaves']): PartInput {
  if (!mayStillRun(group)) return { role: 'primary', of }
  const { node, boot, pinned } = group.holder
  // What is stopped for a change would not be started again.
  const rests = state.get('scalables', of)?.poisoned !== undefined
  const awaitsCopy = Object.entries(pinned.resources).some(
    ([name, one]) => one.role !== undefined && !isSameProgramOn(node, one, group.definition.resources[name as never]),
  )
  const input = { role: 'primary' as const, of, ...(awaitsCopy || rests ? { awaitsCopy: true as const } : {}) }
  const instance = state.get('groups', instanceName(of, node))
  if (instance === undefined || !mayStillRun(instance) || instance.holder.boot !== boot)
    return { ...input, leaves: `${of} does not run there any more` }
  const { report, order } = instance.holder
  if (order.wanted === 'stop') return { ...input, leaves: `${of} is being stopped there` }
  const down = Object.entries(pinned.resources).find(([name, { role }]) => {
    const copy = report.resources[name as never]?.state
    return role !== undefined && (copy === 'FAILED' || copy === 'STOPPED' || copy === 'STOPPING')
  })
  if (down !== undefined) return { ...input, leaves: `${down[0]} is ${report.resources[down[0] as never]?.state} there` }
  const why = leaves(instance)
  return why === undefined ? input : { ...input, leaves: why }
}

/** How long a copy that is being started, or has not said how good it is, is waited for at the very first placement. Milliseconds. */
const risingMax = 20_000

/** How well the copy on that node would do as the primary, and whether it is only being started. */
export function whatRises(
  { state }: SharedParts,
  group: GroupRow,
  node: NodeId,
  at: LogTime,
  isFit: boolean,
): Pick<CandidateInput, 'score' | 'rising' | 'failed'> {
  const { part } = group
  if (part === undefined) return {}
  const instance = state.get('groups', instanceName(part.of, node))
  const holder = instance !== undefined && mayStillRun(instance) ? instance.holder : undefined
  const isComing = holder !== undefined && holder.order.wanted === 'run' && at - holder.grantedAt < risingMax
  const isSilent = Object.entries(group.definition.resources).some(
    ([name, { role, type }]) => role !== undefined && type.startsWith('ocf:') && holder?.report.scores?.[name as never] === undefined,
  )
  const reported = holder?.report.state
  const isRising = isFit && isComing && (reported === 'GRANTED' || reported === 'STARTING' || (reported === 'ONLINE' && isSilent))
  const failures = instance?.failures[node] ?? []
  const hasFailed = instance !== undefined && failures.some((failure) => forgottenAt(instance, failure, at) > at)
  return {
    score: scoreOf(state, group, part.of, node),
    ...(hasFailed ? { failed: true as const } : {}),
    ...(isRising ? { rising: true as const } : {}),
  }
}
