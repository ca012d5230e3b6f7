/** What people ask of groups: definitions, intents, moves, freezes. Nothing here starts or stops anything; the planner does. */

import type { GroupName, ResourceName } from '../../base/index.js'
import type { Command } from './commands.js'
import { type Context, checkRevision, refuse } from './context.js'
import type { AnyDefinition, GroupDefinition, ScalableDefinition } from './definition.js'
import { checkStorage, disksOf } from './disks.js'
import { evictionLevel, levelInForce } from './features.js'
import { refuseFrozen } from './freezes.js'
import { isLeaving } from './members.js'
import { moveInstance } from './migration.js'
import { mayStillRun } from './orders.js'
import { settleDuty } from './ownership.js'
import type { GroupPart, GroupRow, ScalableRow } from './rows.js'
import { checkAnyDefinition, partDefinitions, partRows, primaryName, refusePart, wholeOf } from './scalable.js'
import { nodesOf } from './state.js'
import { settleScalable } from './whole.js'

type CommandOf<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>
type Value = Record<string, unknown>

export function putGroup(context: Context, command: CommandOf<'put-group'>): Value {
  const { group: name, definition, intent, precondition } = command
  const found = context.draft.get('groups', name)
  const scalable = context.draft.get('scalables', name)
  if (found !== undefined) refusePart(found, 'defined')
  const other = definition.mode === 'scalable' ? found : scalable
  if (other !== undefined)
    refuse('CONFLICT', `group ${name} is there already, and its mode is "${other.definition.mode}"`, {
      fix: `a mode does not change: DELETE /v1/groups/${name} first`,
    })
  if ((found ?? scalable)?.deleting === true) refuseHeldName(name, found?.holder?.node)
  if (scalable !== undefined) refuseOnItsWay(context, scalable, definition)
  checkRevision((found ?? scalable)?.revision, precondition, `group ${name}`)
  const nodes = nodesOf(context.draft)
    .map((node) => node.name)
    .filter((node) => !isLeaving(context.draft, node))
  const problem = checkAnyDefinition(name, definition, nodes)
  if (problem !== undefined) throw problem
  const elsewhere = definition.mode === 'scalable' ? undefined : checkStorage(definition, disksOf(context.draft))
  if (elsewhere !== undefined) throw elsewhere
  if (definition.onQuorumLoss === 'selfFence') needWatchdogs(context, definition)
  if (definition.mode === 'scalable') return putScalable(context, name, scalable, definition, intent)
  const removed = found !== undefined && mayStillRun(found) && !definition.nodes.includes(found.holder.node) ? found.holder.node : undefined
  if (found !== undefined && removed !== undefined && !isSame(found, definition, intent ?? found.intent)) {
    refuse('CONFLICT', `group ${name} runs on ${removed}, which the new list leaves out`, {
      fix: `POST /v1/groups/${name}/move first, then change the list`,
    })
  }
  return put(context, name, definition, intent ?? found?.intent ?? 'ONLINE')
}

function refuseHeldName(name: string, node: string | undefined): never {
  refuse('NAME_HELD', `group ${name} is being deleted and may still run on ${node ?? 'no node'}`, {
    fix: 'wait until GET /v1/groups/… answers 404',
  })
}

function isSame(found: GroupRow | ScalableRow, definition: GroupDefinition | ScalableDefinition, intent: GroupRow['intent']): boolean {
  return found.intent === intent && canonical(found.definition) === canonical(definition)
}

/** Its parts follow: those that are not to be any more are stopped, and forgotten then. */
function putScalable(
  context: Context,
  name: GroupName,
  found: ScalableRow | undefined,
  definition: ScalableDefinition,
  written: GroupRow['intent'] | null,
): Value {
  const intent = written ?? found?.intent ?? 'ONLINE'
  if (found !== undefined && isSame(found, definition, intent)) return { revision: found.revision, unchanged: true }
  const parts = partDefinitions(name, definition)
  for (const old of partRows(context.draft, name)) {
    const stays = parts.some((part) => part.name === old.name)
    if (stays && old.deleting) refuseHeldName(old.name, old.holder?.node)
    if (!stays && !old.deleting) markDeleted(context, old)
  }
  const { notice: _notice, ...kept } = found ?? { name, createdIndex: context.index }
  context.draft.put('scalables', name, { ...kept, definition, revision: context.index, intent, deleting: false })
  context.event(
    found === undefined ? 'group.created' : 'group.changed',
    name,
    `group ${name} was ${found === undefined ? 'created' : 'changed'}`,
    {
      nodes: definition.nodes,
    },
  )
  for (const part of parts) put(context, part.name, part.definition, intent, part.part)
  settleScalable(context, name)
  return found === undefined ? { revision: context.index, created: true } : { revision: context.index }
}

function put(context: Context, name: GroupName, definition: GroupDefinition, intent: GroupRow['intent'], part?: GroupPart): Value {
  const found = context.draft.get('groups', name)
  if (found === undefined) {
    const row: GroupRow = {
      name,
      ...(part === undefined ? {} : { part }),
      definition,
      createdIndex: context.index,
      revision: context.index,
      resourcesRevision: context.index,
      intent,
      deleting: false,
      holder: null,
      proof: null,
      frozen: null,
      move: null,
      lastNode: null,
      restartAsked: null,
      failures: {},
      bans: {},
      waitingFor: null,
    }
    context.putGroup(row)
    context.event('group.created', row.name, `group ${row.name} was created`, { nodes: row.definition.nodes })
    return { revision: context.index, created: true }
  }
  if (isSame(found, definition, intent)) return { revision: found.revision, unchanged: true }
  refuseTakingOver(found, definition)
  const sameResources = canonical(found.definition.resources) === canonical(definition.resources)
  context.putGroup({
    ...found,
    definition,
    intent,
    revision: context.index,
    resourcesRevision: sameResources ? found.resourcesRevision : context.index,
  })
  context.event('group.changed', found.name, `group ${found.name} was changed`, { resources: !sameResources })
  return { revision: context.index }
}

/** The stop of what is only looked at leaves it running: it would be started elsewhere beside that. */
function refuseTakingOver(found: GroupRow, { resources }: GroupDefinition): void {
  if (!mayStillRun(found)) return
  const taken = Object.entries(found.holder.pinned.resources).find(([name, { operations }]) => {
    const after = resources[name as ResourceName]
    return operations === 'none' && after !== undefined && after.operations !== 'none'
  })
  if (taken === undefined) return
  refuse(
    'CONFLICT',
    `"${taken[0]}" of ${found.name} runs on ${found.holder.node}, started by others: it cannot be taken over while it is watched`,
    {
      fix: `POST /v1/groups/${found.name}/offline, stop it there, and change the definition then`,
    },
  )
}

/** Where nothing would reset the node, the group would run on as any other: better to say so now. */
function needWatchdogs(context: Context, { nodes }: Pick<GroupDefinition, 'nodes'>): void {
  const without = nodes.filter((node) => context.currentBoot(node)?.guard.watchdog !== 'armed')
  if (without.length === 0) return
  refuse('INVALID_DEFINITION', `onQuorumLoss is selfFence, and no watchdog is armed on ${without.join(', ')}`, {
    fix: 'give each of its nodes a watchdog (docs/fencing.md), or use "stop": everything is stopped in the same time',
  })
}

/** The same text for the same value, whatever the order of its keys. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined)
  return `{${entries
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`)
    .join(',')}}`
}

export function deleteGroup(context: Context, command: CommandOf<'delete-group'>): Value {
  const scalable = context.draft.get('scalables', command.group)
  if (scalable !== undefined) return deleteScalable(context, scalable, command)
  const group = context.group(command.group)
  refusePart(group, 'deleted')
  checkRevision(group.revision, command.precondition, `group ${group.name}`)
  // Its own freeze goes with it; that of its node would keep it from being stopped.
  refuseFrozen(context, { ...group, frozen: null })
  context.startOperation(command.operation, 'delete', group.name, `stop and delete ${group.name}`)
  markDeleted(context, group)
  return { operation: command.operation }
}

function markDeleted(context: Context, group: GroupRow): void {
  context.putGroup({ ...group, deleting: true, intent: 'OFFLINE', revision: context.index, move: null, frozen: null })
  if (!group.deleting) context.event('group.deleting', group.name, `group ${group.name} is to be stopped and deleted`)
}

function deleteScalable(context: Context, row: ScalableRow, command: CommandOf<'delete-group'>): Value {
  checkRevision(row.revision, command.precondition, `group ${row.name}`)
  const parts = partRows(context.draft, row.name)
  for (const part of parts) refuseFrozen(context, { ...part, frozen: null })
  context.startOperation(command.operation, 'delete', row.name, `stop and delete ${row.name}`)
  context.draft.put('scalables', row.name, { ...row, deleting: true, intent: 'OFFLINE', revision: context.index })
  for (const part of parts) markDeleted(context, part)
  settleScalable(context, row.name)
  return { operation: command.operation }
}

function changeable(context: Context, name: string): GroupRow {
  const group = context.group(name)
  if (group.deleting) refuse('CONFLICT', `group ${name} is being deleted`)
  refuseFrozen(context, group)
  return group
}

/** It would wait for ever: nothing starts it before it is cleared. */
function refuseResting(context: Context, group: GroupRow): void {
  const whole = wholeOf(context.draft, group)
  refusePoisoned(whole?.poisoned === undefined ? group : whole)
  if (group.halted === undefined) return
  refuse('CONFLICT', `group ${group.name} was stopped for its failures: ${group.halted.reason}`, {
    fix: `POST /v1/groups/${group.name}/clear once the cause is gone`,
  })
}

function refusePoisoned({ name, poisoned }: Pick<GroupRow | ScalableRow, 'name' | 'poisoned'>): void {
  if (poisoned === undefined) return
  refuse('CONFLICT', `group ${name} rests: ${poisoned.reason}`, {
    fix: `POST /v1/groups/${name}/clear once it is known what brought the nodes down`,
  })
}

export function setIntent(context: Context, command: CommandOf<'set-intent'>): Value {
  const scalable = context.draft.get('scalables', command.group)
  if (scalable !== undefined) return setIntentOfAll(context, scalable, command)
  const group = changeable(context, command.group)
  refusePart(group, 'switched')
  if (command.intent === 'ONLINE') refuseResting(context, group)
  context.startOperation(
    command.operation,
    command.intent === 'ONLINE' ? 'online' : 'offline',
    group.name,
    `${group.name} is to be ${command.intent}`,
  )
  const move = command.intent === 'OFFLINE' ? null : group.move
  if (group.move !== null && move === null) context.endOperation(group.move.operation, 'cancelled', `${group.name} is to be offline`)
  context.putGroup({ ...group, intent: command.intent, move, revision: group.intent === command.intent ? group.revision : context.index })
  if (group.intent !== command.intent) context.event('group.intent', group.name, `${group.name} is to be ${command.intent}`)
  const there =
    command.intent === 'ONLINE'
      ? mayStillRun(group) && group.holder.report.state === 'ONLINE' && group.holder.order.wanted === 'run'
      : !mayStillRun(group)
  if (there) context.endOperation(command.operation, 'done', `${group.name} is ${command.intent} already`)
  return { operation: command.operation }
}

function setIntentOfAll(context: Context, row: ScalableRow, { intent, operation }: CommandOf<'set-intent'>): Value {
  const parts = partRows(context.draft, row.name)
  if (row.deleting) refuse('CONFLICT', `group ${row.name} is being deleted`)
  for (const part of parts) refuseFrozen(context, part)
  // What rests would be waited for in vain; of several instances one that does not is enough.
  const able = parts.filter(({ halted }) => halted === undefined)
  const rests = parts.find(
    (part) => !able.includes(part) && (part.part?.role === 'primary' || !able.some((one) => one.part?.role === 'instance')),
  )
  if (intent === 'ONLINE') refusePoisoned(row)
  if (intent === 'ONLINE' && rests !== undefined) refuseResting(context, rests)
  context.startOperation(operation, intent === 'ONLINE' ? 'online' : 'offline', row.name, `${row.name} is to be ${intent}`)
  if (row.intent !== intent) {
    context.draft.put('scalables', row.name, { ...row, intent, revision: context.index })
    context.event('group.intent', row.name, `${row.name} is to be ${intent}`)
    for (const part of parts.filter(({ deleting }) => !deleting)) {
      const { move } = part
      if (move !== null && intent === 'OFFLINE') context.endOperation(move.operation, 'cancelled', `${row.name} is to be offline`)
      context.putGroup({ ...part, intent, move: intent === 'OFFLINE' ? null : move, revision: context.index })
    }
  }
  // What does not run is to be said anew: whoever waits is told of now.
  for (const part of partRows(context.draft, row.name))
    if (intent === 'ONLINE' && !mayStillRun(part) && part.waitingFor !== null) context.putGroup({ ...part, waitingFor: null })
  settleScalable(context, row.name)
  return { operation }
}

/** What moves of a scalable group is its primary role. Errors: CONFLICT. */
function movable(context: Context, name: GroupName): GroupRow {
  const scalable = context.draft.get('scalables', name)
  if (scalable !== undefined && scalable.definition.primary === undefined)
    refuse('CONFLICT', `${name} runs on several nodes and has no primary role that could move`, {
      fix: `POST /v1/nodes/…/drain has its instance leave a node`,
    })
  const group = changeable(context, scalable === undefined ? name : primaryName(name))
  if (group.part?.role === 'instance') refusePart(group, 'moved')
  return group
}

export function moveGroup(context: Context, command: CommandOf<'move-group'>): Value {
  const whole = context.draft.get('scalables', command.group)
  if (whole?.definition.migrate === true) return migrateGroup(context, whole, command)
  const group = movable(context, command.group)
  if (context.draft.get('nodes', command.to) === undefined)
    refuse('UNKNOWN_NODE', `the cluster has no node "${command.to}"`, { fix: 'GET /v1/nodes lists them' })
  if (!group.definition.nodes.includes(command.to)) {
    refuse('CONFLICT', `${command.to} is not in the list of ${group.name} (${group.definition.nodes.join(', ')})`, {
      fix: 'add it to "nodes" of the group first',
    })
  }
  refuseResting(context, group)
  if (group.intent !== 'ONLINE') refuse('CONFLICT', `group ${group.name} is to be offline`, { fix: `POST /v1/groups/${group.name}/online` })
  if (group.move !== null)
    refuse('CONFLICT', `group ${group.name} is on its way to ${group.move.to} already`, {
      fix: `GET /v1/operations/${group.move.operation}`,
    })
  context.startOperation(command.operation, 'move', group.name, `move ${group.name} to ${command.to}`)
  if (mayStillRun(group) && group.holder.node === command.to) {
    context.endOperation(command.operation, 'done', `${group.name} is on ${command.to} already`)
    return { operation: command.operation }
  }
  context.putGroup({ ...group, move: { to: command.to, from: group.holder?.node ?? null, operation: command.operation, token: null } })
  context.event('group.move', group.name, `${group.name} is to move to ${command.to}`, { to: command.to, operation: command.operation })
  return { operation: command.operation }
}

/**
 * Both nodes go by what it was when it was sent, and where it may still be is known of the instances that there were then. What migrates is
 * no copy of several, so that neither becomes the other while it runs. Errors: CONFLICT.
 */
function refuseOnItsWay(context: Context, { name, migration, definition }: ScalableRow, changed: AnyDefinition): void {
  const parts = partRows(context.draft, name)
  const migrates = changed.mode === 'scalable' && changed.migrate === true
  if ((definition.migrate === true) !== migrates && parts.some((part) => mayStillRun(part) || part.doubts !== undefined))
    refuse('CONFLICT', `group ${name} runs, and whether it migrates does not change then`, { fix: `POST /v1/groups/${name}/offline first` })
  if (definition.migrate !== true) return
  const isIncoming = parts.some(({ holder, doubts }) => holder?.order.incoming !== undefined || doubts !== undefined)
  if (migration === undefined && !isIncoming) return
  refuse('CONFLICT', `group ${name} is on its way to another node, or may be there`, {
    fix: `wait until that is over: GET /v1/groups/${name}`,
  })
}

/** It goes while it runs. */
function migrateGroup(context: Context, row: ScalableRow, command: CommandOf<'move-group'>): Value {
  if (context.draft.get('nodes', command.to) === undefined)
    refuse('UNKNOWN_NODE', `the cluster has no node "${command.to}"`, { fix: 'GET /v1/nodes lists them' })
  for (const part of partRows(context.draft, row.name)) refuseFrozen(context, part)
  if (row.deleting) refuse('CONFLICT', `group ${row.name} is being deleted`)
  refusePoisoned(row)
  if (row.intent !== 'ONLINE') refuse('CONFLICT', `group ${row.name} is to be offline`, { fix: `POST /v1/groups/${row.name}/online` })
  return moveInstance(context, row, command)
}

export function restartGroup(context: Context, command: CommandOf<'restart-group'>): Value {
  refuseWhole(context, command.group, 'restarted')
  const group = changeable(context, command.group)
  if (!mayStillRun(group)) refuse('CONFLICT', `group ${group.name} does not run`, { fix: `POST /v1/groups/${group.name}/online` })
  // It would be stopped, and nothing of the whole starts while that rests.
  const whole = wholeOf(context.draft, group)
  if (whole !== undefined) refusePoisoned(whole)
  if (group.restartAsked !== null && levelInForce(context.draft) >= evictionLevel)
    context.endOperation(group.restartAsked.operation, 'cancelled', 'a restart was asked for once more')
  context.startOperation(command.operation, 'restart', group.name, `restart ${group.name} on ${group.holder.node}`)
  context.putGroup({ ...group, restartAsked: { token: group.holder.token, operation: command.operation } })
  return { operation: command.operation }
}

/** Not all of it at once: that would be the loss of the service. Errors: CONFLICT. */
function refuseWhole(context: Context, name: GroupName, what: string): void {
  if (context.draft.get('scalables', name) === undefined) return
  const parts = partRows(context.draft, name).map((part) => part.name)
  refuse('CONFLICT', `${name} runs on several nodes and is not ${what} as a whole`, { fix: `ask it of one of ${parts.join(', ')}` })
}

export function restartResource(context: Context, command: CommandOf<'restart-resource'>): Value {
  refuseWhole(context, command.group, 'restarted')
  const group = changeable(context, command.group)
  const { resource, operation, dependents } = command
  if (!mayStillRun(group) || group.holder.order.wanted === 'stop')
    refuse('CONFLICT', `group ${group.name} does not run`, { fix: `POST /v1/groups/${group.name}/online` })
  const { holder } = group
  if (holder.pinned.resources[resource] === undefined)
    refuse('RESOURCE_NOT_FOUND', `what runs of ${group.name} on ${holder.node} has no resource "${resource}"`, {
      fix: `GET /v1/groups/${group.name} lists its resources`,
    })
  const before = group.resourceRestart
  if (before !== undefined)
    refuse('CONFLICT', `${before.resource} of ${group.name} is being restarted already`, { fix: `GET /v1/operations/${before.operation}` })
  context.startOperation(operation, 'restart-resource', group.name, `restart ${resource} of ${group.name} on ${holder.node}`)
  const asked = { token: holder.token, resource, operation, sequence: null }
  context.putGroup({ ...group, resourceRestart: dependents === true ? { ...asked, dependents } : asked })
  return { operation }
}

export function noteAction(context: Context, command: CommandOf<'note-action'>): Value {
  const { resource, action, node, by, outcome } = command
  const group = context.group(command.group)
  context.event('resource.action', `${group.name}/${resource}`, `${by} had "${action}" of ${resource} run on ${node}: ${outcome}`, {
    node,
    action,
  })
  return {}
}

/** Forgets failures, bans, losses after its starts and that it rests for them; never a grant, a case or a due fencing. */
export function clearGroup(context: Context, command: CommandOf<'clear-group'>): Value {
  const scalable = context.draft.get('scalables', command.group)
  if (scalable === undefined) return clear(context, command)
  const { poisoned, losses: _losses, ...rest } = scalable
  context.draft.put('scalables', scalable.name, rest)
  if (poisoned !== undefined) context.event('group.cleared', scalable.name, `${scalable.name} rests no more`)
  const cleared = partRows(context.draft, command.group).map((part) => clear(context, { ...command, group: part.name }))
  const sum = (what: 'failures' | 'bans') => cleared.reduce((all, one) => all + Number(one[what]), 0)
  return { failures: sum('failures'), bans: sum('bans') }
}

function clear(context: Context, command: CommandOf<'clear-group'>): Value {
  const { halted: _halted, failovers: _failovers, lapsed: _lapsed, poisoned, losses: _losses, ...group } = context.group(command.group)
  context.putGroup({ ...group, failures: {}, bans: {}, waitingFor: null })
  context.event(
    'group.cleared',
    group.name,
    `failures of ${group.name} were forgotten${poisoned === undefined ? '' : ', and it rests no more'}`,
  )
  for (const node of group.definition.nodes) settleDuty(context, node)
  return { failures: Object.keys(group.failures).length, bans: Object.keys(group.bans).length }
}

export type { GroupDefinition }
