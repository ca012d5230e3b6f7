/**
 * The one instance of a group goes to another node without being stopped (OCF `migrate_to`, `migrate_from`).
 *
 * Of a group that migrates one instance runs, and both nodes hold a token while it is on its way: the node that it comes to gets its own
 * first, so that it ends there too whatever happens, and starts nothing; then the node that it leaves is told to send it. What was sent may
 * turn up there until the sender has said how it ended, or can send nothing more. Until then that token is not ended by a stop, and whatever
 * ends it, nobody else is granted the group before that node has looked once more, or is off (P1).
 */
import type { GroupName, NodeId } from '../../base/index.js'
import type { Command } from './commands.js'
import { type Context, refuse } from './context.js'
import { type HeldGroup, mayStillRun, putOrder } from './orders.js'
import type { GroupRow, Migration, ScalableRow } from './rows.js'
import { instanceName, isOnlinePart, isReadied, partRows } from './scalable.js'
import { bootKey, type Reader } from './state.js'

type Value = Record<string, unknown>

/** The migration that this instance takes part in. */
export function migrationOf(reader: Reader, { part }: GroupRow): Migration | undefined {
  return part?.role === 'instance' ? reader.get('scalables', part.of)?.migration : undefined
}

/** It may be turning up on that node just now. */
export function isBeingSent(reader: Reader, group: GroupRow, node: NodeId): boolean {
  const migration = migrationOf(reader, group)
  return migration?.step === 'sending' && migration.to === node
}

export function moveInstance(context: Context, row: ScalableRow, command: Extract<Command, { kind: 'move-group' }>): Value {
  const { to, operation } = command
  const parts = partRows(context.draft, row.name)
  const running = parts.filter((part) => mayStillRun(part))
  const [source] = running
  const target = parts.find(({ name }) => name === instanceName(row.name, to))
  if (target === undefined || !row.definition.nodes.includes(to))
    refuse('CONFLICT', `${to} is not in the list of ${row.name} (${row.definition.nodes.join(', ')})`, {
      fix: 'add it to "nodes" of the group first',
    })
  if (row.migration !== undefined)
    refuse('CONFLICT', `group ${row.name} is on its way to ${row.migration.to} already`, { fix: 'wait until that is over' })
  if (source === undefined || running.length > 1 || !isOnlinePart(source))
    refuse('CONFLICT', `group ${row.name} is not ONLINE, so that there is nothing that could be moved while it runs`, {
      fix: `GET /v1/groups/${row.name} says what it waits for`,
    })
  context.startOperation(operation, 'move', row.name, `move ${row.name} to ${to}`)
  if (source.holder.node === to) context.endOperation(operation, 'done', `${row.name} is on ${to} already`)
  else beginMigration(context, row, source, to, operation)
  return { operation }
}

function beginMigration(context: Context, row: ScalableRow, source: HeldGroup, to: NodeId, operation: string | null): void {
  const { node: from, token } = source.holder
  context.draft.put('scalables', row.name, {
    ...row,
    migration: { number: context.index, at: context.at, from, to, source: token, target: null, operation, step: 'asked' },
  })
  context.event('group.migration', row.name, `${row.name} is to go from ${from} to ${to} while it runs`, { from, to, operation })
}

/** By itself, for its node is to host nothing. Why not; undefined when it has begun. */
export function beginEvacuation(context: Context, source: HeldGroup, to: NodeId): string | undefined {
  const row = source.part === undefined ? undefined : context.draft.get('scalables', source.part.of)
  if (row?.definition.migrate !== true || row.migration !== undefined || !isOnlinePart(source)) return 'it cannot go while it runs'
  if (partRows(context.draft, row.name).filter((part) => mayStillRun(part)).length > 1) return 'another one has not ended yet'
  if (source.holder.node === to || !row.definition.nodes.includes(to)) return `it cannot go to ${to}`
  beginMigration(context, row, source, to, null)
  return undefined
}

/** What the order of a grant says more. */
export function incomingOf(reader: Reader, group: GroupRow): { readonly incoming?: { readonly from: NodeId; readonly number: number } } {
  const migration = migrationOf(reader, group)
  if (migration === undefined || !isReadied(migration, group)) return {}
  return { incoming: { from: migration.from, number: migration.number } }
}

/** The grant was given. */
export function readied(context: Context, group: HeldGroup): void {
  const row = context.draft.get('scalables', group.part?.of as GroupName)
  if (row?.migration === undefined || group.holder.order.incoming === undefined) return
  context.draft.put('scalables', row.name, { ...row, migration: { ...row.migration, target: group.holder.token } })
}

/** Tells the node that it leaves to send it. Why not; undefined when it is told. */
export function send(context: Context, source: HeldGroup, text: string): string | undefined {
  const row = context.draft.get('scalables', source.part?.of as GroupName)
  const { migration } = row ?? {}
  if (row === undefined || migration?.step !== 'asked' || migration.source !== source.holder.token || !isOnlinePart(source))
    return 'there is nothing to send'
  const target = targetOf(context.draft, row, migration)
  if (target === undefined || target.holder.report.state === 'GRANTED') return `${migration.to} is not ready for it`
  const unfit = whyUnfit(context.draft, source, target)
  if (unfit !== undefined) return unfit
  const { number, to } = migration
  putOrder(context, source, 'run', text, { migrate: { to, number } })
  context.draft.put('scalables', row.name, { ...row, migration: { ...migration, step: 'sending' } })
  // Of the node that it comes to nobody knows any more that nothing runs there.
  for (const { name } of partRows(context.draft, row.name)) {
    const part = context.group(name)
    const doubts = [...new Set([...(part.doubts ?? []), to])]
    context.putGroup({ ...part, doubts, doubtedSince: part.doubtedSince ?? context.index })
  }
  return undefined
}

/** Why it is not sent to a node that waits for it, and would not be a moment later. */
export function whyUnfit(reader: Reader, source: HeldGroup, target: HeldGroup): string | undefined {
  const { node, boot, pinnedRevision } = target.holder
  if (pinnedRevision !== source.holder.pinnedRevision) return 'its definition was changed meanwhile'
  const row = reader.get('boots', bootKey(node, boot))
  const { maintenance, away, quarantine, duty } = reader.get('nodes', node) ?? {}
  if (row?.state !== 'live') return `its boot there is ${row?.state ?? 'gone'}`
  if (row.detached !== undefined) return 'the guardian there is suspended'
  if (maintenance !== undefined || away !== undefined || quarantine !== undefined || duty !== 'active')
    return `${node} is to host nothing new`
  return target.frozen === null ? undefined : 'it is frozen there'
}

/** It is there, or the node that it should leave can send nothing any more. Why not; undefined when it is told. */
export function arrive(context: Context, target: HeldGroup, text: string): string | undefined {
  const { incoming } = target.holder.order
  if (incoming === undefined || target.part === undefined || target.holder.order.wanted === 'stop') return 'nothing is on its way there'
  const source = context.draft.get('groups', instanceName(target.part.of, incoming.from))
  if (source !== undefined && mayStillRun(source)) return `${incoming.from} is not proved stopped`
  const migration = migrationOf(context.draft, target)
  const wasSent = migration?.number === incoming.number && migration.step === 'sent'
  putOrder(context, target, 'run', text, { arrived: { from: incoming.from, isSure: wasSent } })
  return undefined
}

/** Why the instance cannot be stopped just now; undefined where it can. */
export function whyNotStoppable(reader: Reader, group: HeldGroup): string | undefined {
  const isIncoming = group.holder.order.incoming !== undefined && isBeingSent(reader, group, group.holder.node)
  return isIncoming ? 'it may be turning up there just now: its sender is waited for' : undefined
}

function targetOf(reader: Reader, row: ScalableRow, { to, target }: Migration): HeldGroup | undefined {
  const group = reader.get('groups', instanceName(row.name, to))
  return target !== null && group !== undefined && mayStillRun(group) && group.holder.token === target ? group : undefined
}

/** Takes the migration as far as what is known by now. */
export function settleMigration(context: Context, of: GroupName): void {
  const row = context.draft.get('scalables', of)
  const { migration } = row ?? {}
  if (row === undefined || migration === undefined) return
  const { from, to, source: token, number, step } = migration
  const group = context.draft.get('groups', instanceName(of, from))
  const source = group !== undefined && mayStillRun(group) && group.holder.token === token ? group : undefined
  const target = targetOf(context.draft, row, migration)
  const isTargetLost = migration.target !== null && target === undefined
  switch (step) {
    case 'asked':
      if (source === undefined || source.holder.order.wanted === 'stop')
        return endMigration(context, row, `it does not run on ${from} any more`)
      if (isTargetLost) return endMigration(context, row, `${to} was lost before it was sent`)
      return
    case 'sending': {
      const said = source?.holder.report.migrated
      // One that cannot say how it ended is stopped first.
      if (source !== undefined && (said?.number !== number || said.outcome === 'unsure')) return
      lookAgain(context, of)
      if (isOff(context, to)) certain(context, of, to)
      if (source !== undefined && said?.outcome !== 'sent') return endMigration(context, row, `it was not sent: ${said?.detail ?? ''}`)
      context.draft.put('scalables', of, { ...row, migration: { ...migration, step: source === undefined ? 'unsure' : 'sent' } })
      return settleMigration(context, of)
    }
    case 'sent':
    case 'unsure':
      if (isTargetLost) return endMigration(context, row, `${to} was lost when it had come there`)
      if (target?.holder.report.state !== 'ONLINE' || target.holder.order.incoming !== undefined) return
      certain(context, of, to)
      return endMigration(context, row, undefined)
  }
}

/**
 * Its last boot is proved without power, and it is to stay so: nothing of it runs there. One that comes back looks first: what sends it
 * may have tried again, and found the next boot.
 */
function isOff(context: Context, node: NodeId): boolean {
  const { state, proof = null } = context.currentBoot(node) ?? {}
  const staysOff = context.draft.get('nodes', node)?.fencing.then !== 'on'
  return staysOff && state === 'ended' && (proof?.kind === 'fenced' || proof?.kind === 'operator')
}

/** `why` not, where it has failed. */
function endMigration(context: Context, row: ScalableRow, why: string | undefined): void {
  const { migration, ...rest } = row
  if (migration === undefined) return
  const { from, to, operation, source } = migration
  const isTried = why !== undefined && migration.step !== 'asked'
  context.draft.put('scalables', row.name, isTried ? { ...rest, unmoved: { source, to } } : rest)
  const text = why === undefined ? `${row.name} has gone from ${from} to ${to} while it ran` : `${row.name} did not go to ${to}: ${why}`
  if (operation !== null) context.endOperation(operation, why === undefined ? 'done' : 'failed', text)
  context.event(why === undefined ? 'group.migrated' : 'group.not-migrated', row.name, text, { from, to })
}

/** A person does not want it any more, or it cannot be: nothing was sent yet. Why not; undefined when it is over. */
export function abandonMigration(context: Context, of: GroupName, why: string): string | undefined {
  const row = context.draft.get('scalables', of)
  if (row?.migration?.step !== 'asked') return 'there is no migration that could be given up'
  endMigration(context, row, why)
  return undefined
}

/** What nodes had found of it before says nothing any more. */
function lookAgain(context: Context, of: GroupName): void {
  for (const { name } of partRows(context.draft, of)) context.putGroup({ ...context.group(name), probedSince: context.index })
}

/** Whether something of any instance runs on that node is told by a token there, or by its end. */
function certain(context: Context, of: GroupName, node: NodeId): void {
  for (const { name } of partRows(context.draft, of)) {
    const { doubts, doubtedSince, ...part } = context.group(name)
    const left = doubts?.filter((other) => other !== node) ?? []
    if (doubts === undefined || left.length === doubts.length) continue
    context.putGroup(left.length === 0 ? part : { ...part, doubts: left, ...(doubtedSince === undefined ? {} : { doubtedSince }) })
  }
}
