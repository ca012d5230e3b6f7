/** What people ask of groups: definitions, intents, moves, freezes. Nothing here starts or stops anything; the planner does. */
import type { Command } from './commands.js'
import { type Context, checkRevision, refuse } from './context.js'
import type { GroupDefinition } from './definition.js'
import { checkDefinition } from './definition-check.js'
import { checkStorage, disksOf } from './disks.js'
import { refuseFrozen } from './freezes.js'
import { isLeaving } from './members.js'
import { mayStillRun } from './orders.js'
import { settleDuty } from './ownership.js'
import type { GroupRow } from './rows.js'
import { nodesOf } from './state.js'

type CommandOf<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>
type Value = Record<string, unknown>

export function putGroup(context: Context, command: CommandOf<'put-group'>): Value {
  const found = context.draft.get('groups', command.group)
  if (found?.deleting === true) {
    refuse('NAME_HELD', `group ${command.group} is being deleted and may still run on ${found.holder?.node ?? 'no node'}`, {
      fix: 'wait until GET /v1/groups/… answers 404',
    })
  }
  checkRevision(found?.revision, command.precondition, `group ${command.group}`)
  const problem = checkDefinition(
    command.definition,
    nodesOf(context.draft)
      .map((node) => node.name)
      .filter((node) => !isLeaving(context.draft, node)),
  )
  if (problem !== undefined) throw problem
  const elsewhere = checkStorage(command.definition, disksOf(context.draft))
  if (elsewhere !== undefined) throw elsewhere
  if (command.definition.onQuorumLoss === 'selfFence') needWatchdogs(context, command.definition)
  const intent = command.intent ?? found?.intent ?? 'ONLINE'
  if (found === undefined) {
    const row: GroupRow = {
      name: command.group,
      definition: command.definition,
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
  if (found.intent === intent && canonical(found.definition) === canonical(command.definition))
    return { revision: found.revision, unchanged: true }
  const removed =
    found.holder !== null && mayStillRun(found) && !command.definition.nodes.includes(found.holder.node) ? found.holder.node : undefined
  if (removed !== undefined) {
    refuse('CONFLICT', `group ${found.name} runs on ${removed}, which the new list leaves out`, {
      fix: `POST /v1/groups/${found.name}/move first, then change the list`,
    })
  }
  const sameResources = canonical(found.definition.resources) === canonical(command.definition.resources)
  context.putGroup({
    ...found,
    definition: command.definition,
    intent,
    revision: context.index,
    resourcesRevision: sameResources ? found.resourcesRevision : context.index,
  })
  context.event('group.changed', found.name, `group ${found.name} was changed`, { resources: !sameResources })
  return { revision: context.index }
}

/** Where nothing would reset the node, the group would run on as any other: better to say so now. */
function needWatchdogs(context: Context, { nodes }: GroupDefinition): void {
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
  const group = context.group(command.group)
  checkRevision(group.revision, command.precondition, `group ${group.name}`)
  // Its own freeze goes with it; that of its node would keep it from being stopped.
  refuseFrozen(context, { ...group, frozen: null })
  context.startOperation(command.operation, 'delete', group.name, `stop and delete ${group.name}`)
  context.putGroup({ ...group, deleting: true, intent: 'OFFLINE', revision: context.index, move: null, frozen: null })
  if (!group.deleting) context.event('group.deleting', group.name, `group ${group.name} is to be stopped and deleted`)
  return { operation: command.operation }
}

function changeable(context: Context, name: string): GroupRow {
  const group = context.group(name)
  if (group.deleting) refuse('CONFLICT', `group ${name} is being deleted`)
  refuseFrozen(context, group)
  return group
}

/** It would wait for ever: nothing starts it before it is cleared. */
function refuseResting(group: GroupRow): void {
  if (group.poisoned !== undefined)
    refuse('CONFLICT', `group ${group.name} rests: ${group.poisoned.reason}`, {
      fix: `POST /v1/groups/${group.name}/clear once it is known what brought the nodes down`,
    })
  if (group.halted === undefined) return
  refuse('CONFLICT', `group ${group.name} was stopped for its failures: ${group.halted.reason}`, {
    fix: `POST /v1/groups/${group.name}/clear once the cause is gone`,
  })
}

export function setIntent(context: Context, command: CommandOf<'set-intent'>): Value {
  const group = changeable(context, command.group)
  if (command.intent === 'ONLINE') refuseResting(group)
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

export function moveGroup(context: Context, command: CommandOf<'move-group'>): Value {
  const group = changeable(context, command.group)
  if (context.draft.get('nodes', command.to) === undefined)
    refuse('UNKNOWN_NODE', `the cluster has no node "${command.to}"`, { fix: 'GET /v1/nodes lists them' })
  if (!group.definition.nodes.includes(command.to)) {
    refuse('CONFLICT', `${command.to} is not in the list of ${group.name} (${group.definition.nodes.join(', ')})`, {
      fix: 'add it to "nodes" of the group first',
    })
  }
  refuseResting(group)
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

export function restartGroup(context: Context, command: CommandOf<'restart-group'>): Value {
  const group = changeable(context, command.group)
  if (!mayStillRun(group)) refuse('CONFLICT', `group ${group.name} does not run`, { fix: `POST /v1/groups/${group.name}/online` })
  context.startOperation(command.operation, 'restart', group.name, `restart ${group.name} on ${group.holder.node}`)
  context.putGroup({ ...group, restartAsked: { token: group.holder.token, operation: command.operation } })
  return { operation: command.operation }
}

export function restartResource(context: Context, command: CommandOf<'restart-resource'>): Value {
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
