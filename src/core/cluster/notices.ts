/**
 * What the copies of a scalable group are told of each other, as Pacemaker's clones are (`notify`): before and after each start, stop,
 * promotion and demotion of one of them.
 *
 * One step at a time: announced by an entry of the log, told on every node that runs a copy, and taken once all of them have
 * said so or its time is over. What a copy answers changes nothing.
 */
import type { GroupName, LogTime, NodeId, ResourceName } from '../../base/index.js'
import type { Command, PlannedAction } from './commands.js'
import { type Context, refuse } from './context.js'
import { mayStillRun } from './orders.js'
import type { GroupRow, Notice, ScalableRow } from './rows.js'
import { instanceName, primaryName } from './scalable.js'
import type { Reader } from './state.js'

type CommandOf<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>

/** How long copies are waited for, in log time. Milliseconds. */
export const noticeMax = 20_000

const isUp = (row: GroupRow | undefined): row is GroupRow =>
  row !== undefined && mayStillRun(row) && row.holder.report.state === 'ONLINE' && row.holder.order.wanted === 'run'

/** The nodes whose copy is up, in order of rank. */
export function copiesUp(reader: Reader, { name, definition }: ScalableRow): readonly NodeId[] {
  return definition.nodes.filter((node) => isUp(reader.get('groups', instanceName(name, node))))
}

/** Those that have not said yet that they know. */
export function untold(reader: Reader, row: ScalableRow): readonly NodeId[] {
  const { notice } = row
  if (notice === undefined || notice.when === 'during') return []
  return copiesUp(reader, row).filter((node) => !notice.told.includes(node))
}

/** The part whose step it is. */
export function partOfNotice(of: GroupName, { operation, node }: Notice): GroupName {
  return operation === 'promote' || operation === 'demote' ? primaryName(of) : instanceName(of, node)
}

/**
 * The step that is under way, for a leader that knows who is alive: undefined where there is none. One that was announced and has
 * waited for too long is `expired`: it is taken now, or another one is announced.
 */
export function openNotice(
  reader: Reader,
  row: ScalableRow,
  at: LogTime,
  isAlive: (node: NodeId) => boolean,
): (Notice & { readonly untold: readonly NodeId[]; readonly expired: boolean }) | undefined {
  const { notice } = row
  if (notice === undefined || (notice.when !== 'post' && !isAlive(notice.node))) return undefined
  const part = reader.get('groups', partOfNotice(row.name, notice))
  if (notice.when === 'pre' && isCalledOff(part, notice)) return undefined
  const expired = at - notice.at >= noticeMax
  const open = { ...notice, untold: untold(reader, row).filter(isAlive), expired }
  if (notice.when === 'pre') return open
  if (expired) return undefined
  if (notice.when === 'post') return open.untold.length === 0 ? undefined : open
  const goesOn = part !== undefined && mayStillRun(part) && part.holder.node === notice.node && part.holder.report.state !== 'FAILED'
  return goesOn ? open : undefined
}

/** What was to be started or promoted is to be offline, or gone: nobody will come back to it. */
function isCalledOff(part: GroupRow | undefined, { operation }: Notice): boolean {
  return (operation === 'start' || operation === 'promote') && (part === undefined || part.deleting || part.intent === 'OFFLINE')
}

/** Before a step. Answers with why not. */
export function announce(
  context: Context,
  group: GroupRow,
  { operation, node }: Extract<PlannedAction, { kind: 'announce' }>,
): string | undefined {
  const row = group.part === undefined ? undefined : context.draft.get('scalables', group.part.of)
  if (row?.definition.notify !== true) return 'its copies are told nothing'
  if (row.notice?.number === context.index) return 'another step comes first'
  context.draft.put('scalables', row.name, {
    ...row,
    notice: { number: context.index, when: 'pre', operation, node, at: context.at, told: [] },
  })
  return undefined
}

/** The step that was announced has been decided. */
export function begunStep(context: Context, group: GroupRow, operation: Notice['operation'], node: NodeId): void {
  const row = group.part === undefined ? undefined : context.draft.get('scalables', group.part.of)
  const { notice } = row ?? {}
  if (row === undefined || notice?.when !== 'pre' || notice.operation !== operation || notice.node !== node) return
  context.draft.put('scalables', row.name, { ...row, notice: { ...notice, when: 'during', at: context.at } })
}

/** The step is over: everybody is told so, also of one that nobody was told of before. */
export function endedStep(context: Context, group: GroupRow, operation: Notice['operation'], node: NodeId): void {
  const row = group.part === undefined ? undefined : context.draft.get('scalables', group.part.of)
  const { notice } = row ?? {}
  if (row === undefined || notice?.when !== 'during' || notice.operation !== operation || notice.node !== node) return
  context.draft.put('scalables', row.name, { ...row, notice: { ...notice, number: context.index, when: 'post', at: context.at, told: [] } })
}

/** A node has told its copy. */
export function noticed(context: Context, { group, number, node }: CommandOf<'noticed'>): Record<string, unknown> {
  const row =
    context.draft.get('scalables', group) ?? refuse('GROUP_NOT_FOUND', `there is no group "${group}"`, { fix: 'GET /v1/groups lists them' })
  const { notice } = row
  if (notice?.number !== number || notice.told.includes(node)) return { ignored: 'it is over, or known' }
  const told = { ...row, notice: { ...notice, told: [...notice.told, node] } }
  if (notice.when === 'post' && untold(context.draft, told).length === 0) {
    const { notice: _over, ...rest } = told
    context.draft.put('scalables', row.name, rest)
  } else context.draft.put('scalables', row.name, told)
  return {}
}

/** The nodes on which copies are what; `active` are all that run. */
export interface CopyLists {
  readonly nodes: readonly NodeId[]
  readonly active: readonly NodeId[]
  readonly promoted: readonly NodeId[]
}

/** As far as is known; what is being stopped still runs, and what is being demoted is still the primary. */
export function copyLists(reader: Reader, { name, definition }: ScalableRow): CopyLists {
  const runs = (row: GroupRow | undefined) => row !== undefined && mayStillRun(row) && row.holder.report.state === 'ONLINE'
  const primary = reader.get('groups', primaryName(name))
  return {
    nodes: definition.nodes,
    active: definition.nodes.filter((node) => runs(reader.get('groups', instanceName(name, node)))),
    promoted: runs(primary) ? [primary?.holder?.node as NodeId] : [],
  }
}

/** How agents are given the lists (Pacemaker's clone notifications); an empty one is a blank, as there. `acting`: whose step it is. */
export function copyEnvironment(
  { nodes, active, promoted }: CopyLists,
  resource: ResourceName,
  acting?: { readonly operation: string; readonly node: NodeId },
): Record<string, string> {
  const unpromoted = active.filter((node) => !promoted.includes(node))
  const of = (operation: Notice['operation']) => (acting?.operation === operation ? [acting.node] : [])
  const lists: Readonly<Record<string, readonly NodeId[]>> = {
    active,
    inactive: nodes.filter((node) => !active.includes(node)),
    available: nodes,
    all: nodes,
    promoted,
    master: promoted,
    unpromoted,
    slave: unpromoted,
    start: of('start'),
    stop: of('stop'),
    promote: of('promote'),
    demote: of('demote'),
  }
  const listed = (words: readonly string[]) => (words.length === 0 ? ' ' : words.join(' '))
  return {
    OCF_RESKEY_CRM_meta_notify: 'true',
    ...Object.fromEntries(
      Object.entries(lists).flatMap(([name, members]) => [
        [`${prefix}_${name}_resource`, listed(members.map(() => resource))],
        [`${prefix}_${name}_uname`, listed(members)],
      ]),
    ),
  }
}

const prefix = 'OCF_RESKEY_CRM_meta_notify'

/** What an agent's `notify` finds in its environment: who is what, and what one of them is about to do or has done. */
export function noticeEnvironment(reader: Reader, row: ScalableRow, notice: Notice, resource: ResourceName): Record<string, string> {
  const primary = reader.get('groups', primaryName(row.name))
  const promoted = isUp(primary) && primary.holder !== null ? [primary.holder.node] : []
  const lists = { nodes: row.definition.nodes, active: copiesUp(reader, row), promoted }
  return {
    ...copyEnvironment(lists, resource, notice),
    [`${prefix}_type`]: notice.when === 'post' ? 'post' : 'pre',
    [`${prefix}_operation`]: notice.operation,
  }
}
