/**
 * Spans in which nothing is done on its own: about a group (a freeze), or about a node and what it holds (maintenance).
 *
 * They stop the planner, and cases for the silence of a node; leases, proofs and what a person asks of devices go on. Each
 * has an end in log time and an owner. Once it has ended, what it was about is looked at anew before anything is decided:
 * a person may have stopped, mended or started things by hand.
 */
import { type LogIndex, type LogTime, type NodeId, tokenAt } from '../../base/index.js'
import type { Command } from './commands.js'
import { type Context, refuse } from './context.js'
import { levelInForce, maintenanceLevel } from './features.js'
import { mayStillRun, putOrder } from './orders.js'
import type { BootRow, Freeze, GroupRow, NodeRow } from './rows.js'
import { partRows } from './scalable.js'
import { openCaseOf, type Reader } from './state.js'

type CommandOf<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>
type Value = Record<string, unknown>

/** What keeps the planner away from a group now: its own freeze, or the maintenance of the node that holds it, or that held it until it lost contact. */
export function freezesOf(reader: Reader, group: GroupRow): readonly (Freeze & { readonly node?: NodeId })[] {
  const node = group.holder?.node ?? group.stoppedIn
  const maintenance = node === undefined ? undefined : reader.get('nodes', node)?.maintenance
  return [
    ...(group.frozen === null ? [] : [group.frozen]),
    ...(node === undefined || maintenance === undefined ? [] : [{ ...maintenance, node }]),
  ]
}

/** What a node found of a group before this entry says nothing any more; 0 where nothing was frozen. */
export function probedSince(reader: Reader, group: GroupRow, node: NodeId): LogIndex {
  return Math.max(group.probedSince ?? 0, reader.get('nodes', node)?.probedSince ?? 0) as LogIndex
}

/** This boot has looked whether the group, as it is defined now, runs there. */
export function hasLooked(reader: Reader, group: GroupRow, boot: BootRow): boolean {
  const probe = boot.probes[group.name]
  return probe?.definition === group.resourcesRevision && (probe.since ?? 0) >= probedSince(reader, group, boot.node)
}

/** What is asked of a group by a person while it is frozen would not be done. Errors: FROZEN. */
export function refuseFrozen(context: Context, group: GroupRow): void {
  const [freeze] = freezesOf(context.draft, group)
  if (freeze === undefined) return
  if (freeze.node === undefined)
    refuse('FROZEN', `group ${group.name} is frozen by ${freeze.owner}: ${freeze.reason}`, {
      fix: `POST /v1/groups/${group.name}/unfreeze`,
    })
  refuse('FROZEN', `${freeze.node}, which holds ${group.name}, is in maintenance by ${freeze.owner}: ${freeze.reason}`, {
    fix: `POST /v1/nodes/${freeze.node}/maintenance {"end": true}`,
  })
}

export function freezeGroup(context: Context, command: CommandOf<'freeze-group'>): Value {
  if (context.draft.get('scalables', command.group) === undefined) return freeze(context, command)
  for (const { name } of partRows(context.draft, command.group)) freeze(context, { ...command, group: name })
  return { remainingMs: command.forMs }
}

function freeze(context: Context, command: CommandOf<'freeze-group'>): Value {
  const { lapsed: _lapsed, ...group } = context.group(command.group)
  if (group.deleting) refuse('CONFLICT', `group ${group.name} is being deleted`)
  context.putGroup({ ...group, frozen: freezeFrom(context, command) })
  tellHolder(context, group.name, false, 'its freeze')
  context.event('group.frozen', group.name, `${command.owner} froze ${group.name}: ${command.reason}`, { forMs: command.forMs })
  return { remainingMs: command.forMs }
}

export function unfreezeGroup(context: Context, command: CommandOf<'unfreeze-group'>): Value {
  if (context.draft.get('scalables', command.group) === undefined) return unfreeze(context, command)
  for (const { name } of partRows(context.draft, command.group)) unfreeze(context, { ...command, group: name })
  return {}
}

function unfreeze(context: Context, command: CommandOf<'unfreeze-group'>): Value {
  const group = context.group(command.group)
  if (group.frozen === null) return {}
  thaw(context, group, false)
  context.event('group.unfrozen', group.name, `${group.name} is no longer frozen`)
  return {}
}

/** The freeze of a group has ended; by itself where `lapsed`. */
export function thaw(context: Context, { lapsed: _before, ...group }: GroupRow, lapsed: boolean): void {
  const { frozen } = group
  if (frozen === null) return
  const knows = levelInForce(context.draft) >= maintenanceLevel
  context.putGroup({
    ...group,
    frozen: null,
    ...(knows ? { probedSince: context.index } : {}),
    ...(knows && lapsed ? { lapsed: { at: context.at, owner: frozen.owner, reason: frozen.reason } } : {}),
  })
  tellHolder(context, group.name, true, 'the end of its freeze')
}

export function maintainNode(context: Context, command: CommandOf<'maintain-node'>): Value {
  const { lapsed: _lapsed, ...node } = context.node(command.node)
  const open = openCaseOf(context.draft, node.name)
  if (open !== undefined)
    refuse('CONFLICT', `${node.name} has a case (${open.stage})`, { fix: `wait until it is over: GET /v1/cases/${open.id}` })
  if (node.away !== undefined)
    refuse('CONFLICT', `${node.name} is leaving, or has left`, { fix: 'start its software: it comes back by itself' })
  if (context.runningOperations(node.name).some(({ kind }) => kind === 'fence'))
    refuse('CONFLICT', `${node.name} is being fenced`, { fix: 'wait until that is over' })
  const boot = command.detached === true ? bootToDetach(context, node) : undefined
  context.putNode({ ...node, maintenance: { ...freezeFrom(context, command), ...(boot === undefined ? {} : { detached: true as const }) } })
  if (boot !== undefined) {
    const { suspended: _before, ...rest } = boot
    context.putBoot({ ...rest, detached: tokenAt(context.meta.epoch, context.index) })
  }
  for (const name of heldAt(context, node.name)) tellHolder(context, name, false, `the maintenance of ${node.name}`)
  const how = boot === undefined ? 'in maintenance' : 'in maintenance, without its guardian'
  context.event('node.maintenance', node.name, `${command.owner} has ${node.name} ${how}: ${command.reason}`, {
    forMs: command.forMs,
    ...(boot === undefined ? {} : { detached: true, boot: boot.boot }),
  })
  return { remainingMs: command.forMs }
}

/** Only one that is here can be told. */
function bootToDetach(context: Context, { name }: NodeRow): BootRow {
  const boot = context.currentBoot(name)
  if (boot === undefined || boot.state !== 'live')
    refuse('CONFLICT', `${name} is not here, so that its guardian cannot be suspended`, {
      fix: 'leave `detached` out; or start the node first',
    })
  return boot
}

export function guardianSuspended(context: Context, command: CommandOf<'guardian-suspended'>): Value {
  const boot = context.boot(command.node, command.boot)
  if (boot?.detached === undefined || boot.detached !== command.detached) return { ignored: 'it is not suspended by that entry' }
  context.putBoot({ ...boot, suspended: true })
  return {}
}

/**
 * The guardian guards again, and says so of this suspension: a later one is another. From here on leases and guardians speak for the
 * boot as ever.
 */
export function attachGuardian(context: Context, command: CommandOf<'attach-guardian'>): Value {
  const { detached, suspended: _told, ...boot } = context.boot(command.node, command.boot) ?? {}
  if (detached === undefined || detached !== command.detached) return { ignored: 'it is not suspended by that entry' }
  if (context.node(command.node).maintenance?.detached === true) return { ignored: 'its maintenance has not ended' }
  context.putBoot(boot as BootRow)
  context.event('node.attached', command.node, `the guardian of ${command.node} guards again`, { boot: command.boot })
  return {}
}

export function endMaintenance(context: Context, command: CommandOf<'end-maintenance'>): Value {
  const { maintenance, lapsed: _lapsed, ...node } = context.node(command.node)
  if (maintenance === undefined) return { ignored: 'it is not in maintenance' }
  if (command.due === true && maintenance.until > context.at) return { ignored: 'its end has not come' }
  const { owner, reason } = maintenance
  const held = heldAt(context, node.name)
  context.putNode({
    ...node,
    probedSince: context.index,
    ...(command.due === true ? { lapsed: { at: context.at, owner, reason } } : {}),
  })
  for (const name of held) tellHolder(context, name, true, `the end of the maintenance of ${node.name}`)
  const how = command.due === true ? 'has run out' : 'was ended'
  context.event('node.maintenance-ended', node.name, `the maintenance of ${node.name} by ${owner} ${how}`, { due: command.due === true })
  return { ended: true }
}

function freezeFrom(
  context: Context,
  { forMs, owner, reason, by, probes }: Pick<CommandOf<'maintain-node'>, 'forMs' | 'owner' | 'reason' | 'by' | 'probes'>,
): Freeze {
  const until = (context.at + forMs) as LogTime
  return { until, owner, reason, ...(by === undefined ? {} : { by }), ...(probes === undefined ? {} : { probes }) }
}

function heldAt(context: Context, node: NodeRow['name']): readonly GroupRow['name'][] {
  return context.groups().flatMap((group) => (mayStillRun(group) && group.holder.node === node ? [group.name] : []))
}

/** Whether it is to go on probing; and, once nothing keeps the planner away any more, to look at everything before anything is decided. */
function tellHolder(context: Context, name: string, hasEnded: boolean, what: string): void {
  const group = context.group(name)
  if (levelInForce(context.draft) < maintenanceLevel || !mayStillRun(group)) return
  const { order } = group.holder
  if (order.wanted === 'stop') return
  const freezes = freezesOf(context.draft, group)
  const quiet = freezes.some(({ probes }) => probes === 'pause')
  const looks = hasEnded && freezes.length === 0
  if (!looks && quiet === (order.quiet === true)) return
  putOrder(context, group, 'run', looks ? `looked at anew after ${what}` : what, {
    quiet,
    ...(looks ? { look: (order.look ?? 0) + 1 } : {}),
  })
}
