/** What the planner has to know of a scalable group to decide about one of its parts. */
import type { GroupName, LogTime, NodeId } from '../../base/index.js'
import {
  type GroupRow,
  instanceName,
  mayStillRun,
  openNotice,
  primaryName,
  type Reader,
  type ScalableRow,
  scoreOf,
} from '../cluster/index.js'
import type { CandidateInput, NoticeInput, PartInput } from './verdict.js'

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

/** `leaves`: why an instance is about to go down, were it not for the role. */
export function partInput(shared: SharedParts, group: GroupRow, leaves: (instance: GroupRow) => string | undefined): PartInput | undefined {
  const { part } = group
  if (part === undefined) return undefined
  const notice = shared.notices.get(part.of)
  const input = part.role === 'instance' ? instanceInput(shared, group, part.of) : primaryInput(shared, group, part.of, leaves)
  return notice === undefined ? input : { ...input, notice }
}

function instanceInput({ state, instances }: SharedParts, group: GroupRow, of: GroupName): PartInput {
  const all = instances.get(of) ?? []
  const desired = state.get('scalables', of)?.definition.desired ?? 0
  const running = all.filter((one) => mayStillRun(one))
  const primary = state.get('groups', primaryName(of))
  const primaryAt = primary !== undefined && mayStillRun(primary) ? primary.holder.node : undefined
  const node = group.definition.nodes[0]
  // The last in rank goes, but not the primary's copy as long as there is another.
  const order = [...running].sort((a, b) => Number(b.definition.nodes[0] === primaryAt) - Number(a.definition.nodes[0] === primaryAt))
  const surplus = running.length > desired && order.at(-1)?.name === group.name
  const better = all.slice(0, all.indexOf(group)).filter((one) => !mayStillRun(one) && mightRun(one))
  const outranked = !mayStillRun(group) && running.length + better.length >= desired
  return {
    role: 'instance',
    of,
    ...(surplus ? { surplus: true as const } : {}),
    ...(outranked ? { outranked: true as const } : {}),
    ...(primaryAt === node && primary !== undefined && mayStillRun(group) ? { primary: primary.name } : {}),
  }
}

/** It waits for nothing but its turn: what cannot run leaves its place to the next in rank. */
function mightRun({ intent, deleting, halted, poisoned, bans, waitingFor }: GroupRow): boolean {
  return (
    intent === 'ONLINE' &&
    !deleting &&
    halted === undefined &&
    poisoned === undefined &&
    Object.keys(bans).length === 0 &&
    waitingFor === null
  )
}

function primaryInput(
  { state }: SharedParts,
  group: GroupRow,
  of: GroupName,
  leaves: (instance: GroupRow) => string | undefined,
): PartInput {
  const input = { role: 'primary' as const, of }
  if (!mayStillRun(group)) return input
  const { node, boot, pinned } = group.holder
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

/** How well the copy on that node would do as the primary, and whether it is only being started. */
export function whatRises({ state }: SharedParts, group: GroupRow, node: NodeId, alive: boolean): Pick<CandidateInput, 'score' | 'rising'> {
  const { part } = group
  if (part === undefined) return {}
  const instance = state.get('groups', instanceName(part.of, node))
  const { state: at } = instance?.holder?.report ?? {}
  const isRising = alive && instance !== undefined && mayStillRun(instance) && (at === 'GRANTED' || at === 'STARTING')
  return { score: scoreOf(state, group, part.of, node), ...(isRising ? { rising: true as const } : {}) }
}
