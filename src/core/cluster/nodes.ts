/** Nodes and their boots: who they are, what they found when they looked, what they are for. */
import type { Command } from './commands.js'
import { type Context, checkRevision, refuse } from './context.js'
import { offlineProbeOf } from './definition.js'
import { checkStorageDevices } from './disks.js'
import { evictionLevel, leaveLevel, levelInForce, maintenanceLevel } from './features.js'
import { freezesOf, probedSince } from './freezes.js'
import { newMember, newNode } from './members.js'
import { isBeingSent } from './migration.js'
import { forgetNotes } from './notes.js'
import { mayStillRun } from './orders.js'
import { endDoubt, prove, proveBoot, settleDuty } from './ownership.js'
import { release } from './quarantine.js'
import type { BootRow, GroupRow, NodeRow } from './rows.js'
import { bootKey, bootsOf, heldBy, openCaseOf } from './state.js'

type CommandOf<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>
type Value = Record<string, unknown>

/** The first entry of a cluster: who was in the plan that formed it. */
export function form(context: Context, command: CommandOf<'form'>): Value {
  if (context.meta.clusterName !== '') return { ignored: 'formed already' }
  context.putMeta({ ...context.meta, clusterName: command.clusterName })
  for (const { name, member, address } of command.nodes) {
    context.putNode(newNode(context, name, member))
    newMember(context, member, name, address, 'voter', null)
  }
  context.event(
    'cluster.formed',
    command.clusterName,
    `cluster ${command.clusterName} formed by ${command.nodes.map((node) => node.name).join(', ')}`,
  )
  return {}
}

export function registerBoot(context: Context, command: CommandOf<'register-boot'>): Value {
  const node = context.node(command.node)
  context.putNode({ ...node, links: command.links, guardian: command.guardian, api: command.api })
  const known = context.boot(command.node, command.boot)
  if (known !== undefined) return registerAgain(context, known, command)
  const present = context.node(command.node)
  if (present.away !== undefined) {
    const { away, ...back } = present
    if (isStopping(context)) context.putNode({ ...back, away: { ...away, boot: null } })
    else isBack(context, back)
  }
  const current = context.currentBoot(command.node)
  const boot: BootRow = {
    node: command.node,
    boot: command.boot,
    registeredIndex: context.index,
    registeredAt: context.at,
    guard: command.guard,
    level: command.level,
    state: 'live',
    condemned: null,
    proof: null,
    probes: {},
  }
  context.putBoot(boot)
  forgetNotes(context, command.node)
  context.event('node.booted', command.node, `${command.node} is here with boot ${command.boot}`, {
    boot: command.boot,
    before: current?.boot ?? null,
  })
  for (const operation of context.runningOperations(command.node)) {
    if (operation.kind === 'fence') context.endOperation(operation.id, 'done', `${command.node} was started anew (boot ${command.boot})`)
  }
  const open = openCaseOf(context.draft, command.node)
  if (open?.stage === 'CHALLENGE') {
    // The suspect is gone by itself; what it held waits for this boot's probes or for the fence device.
    const conclusion = `${command.node} came back with another boot`
    context.putCase({
      ...open,
      stage: 'CLOSED',
      closedAt: context.at,
      conclusion,
      timeline: [...open.timeline, { stage: 'CLOSED', at: context.at, wall: context.wall, detail: conclusion }],
    })
  }
  // What an earlier boot held waits for this one's probes; one that held nothing is simply over.
  if (current !== undefined && current.state !== 'ended')
    endRebooted(context, command.node, current.boot, `${command.node} was started anew (boot ${command.boot})`)
  dropOldBoots(context, command.node)
  if (context.node(command.node).away !== undefined) settleDuty(context, command.node)
  return { registered: true }
}

function registerAgain(context: Context, known: BootRow, command: CommandOf<'register-boot'>): Value {
  if (known.state === 'ended') {
    const kind = known.proof?.kind
    if (kind !== 'guardian' && kind !== 'lease' && kind !== 'rebooted') {
      refuse('CONFLICT', `boot ${known.boot} of ${known.node} is proved ended (${kind})`, {
        fix: `start ${known.node} anew through its power device`,
      })
    }
    if (context.currentBoot(command.node)?.boot !== known.boot) refuse('CONFLICT', `${known.node} has a later boot`)
    if (openCaseOf(context.draft, command.node)?.attempts.some((open) => open.state === 'open') === true)
      refuse('CONFLICT', 'a call to the fence device is not over')
    const probes = strayProbesOf(context, known)
    context.putBoot({ ...known, state: 'live', condemned: null, proof: null, guard: command.guard, level: command.level, probes })
    forgetNotes(context, command.node)
    context.event('node.readmitted', known.node, `${known.node} is admitted again after its ${kind} proof`, { boot: known.boot })
    return { registered: true }
  }
  const guardLost = known.guard.guarded && !command.guard.guarded
  if (guardLost) context.event('node.unguarded', known.node, `${known.node} has no guardian`, { boot: known.boot })
  const holds = heldBy(context.draft, command.node, command.boot).length > 0
  if (holds && command.guard.emergencyStop < known.guard.emergencyStop && levelInForce(context.draft) >= leaveLevel)
    refuse('CONFLICT', `${command.node} holds groups that were granted with an emergency stop of ${known.guard.emergencyStop} ms`, {
      fix: 'a shorter one counts once they have ended',
    })
  context.putBoot({ ...known, guard: command.guard, level: command.level })
  return { registered: true }
}

/** The same kernel: what ran there without a grant may still, and nobody starts the group before it has looked again. */
function strayProbesOf(context: Context, { probes }: BootRow): BootRow['probes'] {
  const left = Object.entries(probes).filter(([name, { result, ran }]) => {
    const group = context.draft.get('groups', name)
    return group !== undefined && offlineProbeOf(group.definition).onFound === 'stopAllRestart' && (result === 'running' || ran === true)
  })
  return Object.fromEntries(left.map(([name, probe]) => [name, { ...probe, result: 'unknown' as const, ran: true as const }]))
}

/** Boots that hold nothing and are not the latest have no more to say. */
function dropOldBoots(context: Context, node: NodeRow['name']): void {
  for (const boot of bootsOf(context.draft, node).slice(0, -2)) {
    if (heldBy(context.draft, node, boot.boot).length === 0 && openCaseOf(context.draft, node)?.boot !== boot.boot)
      context.draft.delete('boots', bootKey(node, boot.boot))
  }
}

/**
 * A boot tells what it found of a group. Where an earlier boot of the same node held that group, finding nothing of
 * what it ran is the `rebooted` proof.
 */
export function probed(context: Context, command: CommandOf<'probed'>): Value {
  const boot = context.boot(command.node, command.boot)
  if (boot === undefined || context.currentBoot(command.node)?.boot !== command.boot)
    refuse('CONFLICT', `${command.node} has no present boot ${command.boot}`)
  const doubted = context.draft.get('groups', command.group)
  if (doubted === undefined) return { ignored: 'the group is gone' }
  const since = probedSince(context.draft, doubted, command.node)
  if ((command.since ?? 0) !== since) return { ignored: 'it looked before a freeze ended' }
  const before = boot.probes[command.group]
  if (before?.result === command.result && before.definition === command.definition && (before.since ?? 0) === since)
    return { ignored: 'known' }
  const ran = before?.result === 'running' || before?.ran === true
  const isWatched = levelInForce(context.draft) >= evictionLevel && offlineProbeOf(doubted.definition).onFound !== 'block'
  const isUntold = command.result === 'unknown' && ran && isWatched
  const found = {
    definition: command.definition,
    result: command.result,
    detail: command.detail,
    ...(since === 0 ? {} : { since }),
    ...(isUntold ? { ran: true as const } : {}),
  }
  const after: BootRow = { ...boot, probes: { ...boot.probes, [command.group]: found } }
  context.putBoot(after)
  // A boot that is live in the new epoch, and found nothing.
  const isFree = command.result === 'clean' || command.result === 'unable'
  if (isFree && boot.state === 'live' && !isBeingSent(context.draft, doubted, command.node)) endDoubt(context, doubted, command.node)
  const group = context.group(command.group)
  if (command.result === 'unable')
    context.event('group.probe', command.group, `${command.node} could not run it: ${command.detail}`, {
      node: command.node,
      result: 'unable',
    })
  if (!isFree) {
    const found = command.result === 'running' ? 'found it running without a grant' : `could not tell whether it runs: ${command.detail}`
    context.event('group.probe', command.group, `${command.node} ${found}`, { node: command.node, result: command.result })
    if (command.result === 'running') twoCopies(context, group, command.node)
    return {}
  }
  if (
    mayStillRun(group) &&
    group.holder.node === command.node &&
    group.holder.boot !== command.boot &&
    group.holder.pinnedRevision === command.definition
  ) {
    const detail = `${command.node} was started anew (boot ${command.boot}) and found nothing of it running`
    prove(context, group, { kind: 'rebooted', index: context.index, at: context.at, boot: group.holder.boot, caseId: null, detail })
    endRebooted(context, command.node, group.holder.boot, detail)
  }
  return {}
}

/** Somebody else's grant is open: then two copies may run. */
function twoCopies(context: Context, group: GroupRow, node: NodeRow['name']): void {
  if (levelInForce(context.draft) < maintenanceLevel || !mayStillRun(group) || group.holder.node === node) return
  const isFrozen = freezesOf(context.draft, group).length > 0 || context.node(node).maintenance !== undefined
  const { onFound } = offlineProbeOf(group.definition)
  const follows =
    onFound === 'block'
      ? 'it is left there: stop it by hand'
      : isFrozen
        ? `the copy on ${node} is left as long as a freeze lasts`
        : onFound === 'stopAllRestart'
          ? 'both are stopped, and then it is started'
          : `the copy on ${node} is stopped`
  context.event(
    'alarm.p1',
    group.name,
    `${group.name} runs on ${node} without a grant while ${group.holder.node} holds it (token ${group.holder.token}): ${follows}`,
    { node, holder: group.holder.node, token: group.holder.token },
  )
}

/** Once every token of the earlier boot has ended, so has its case. */
function endRebooted(context: Context, node: NodeRow['name'], earlier: string, detail: string): void {
  const row = context.boot(node, earlier)
  if (row === undefined || row.state === 'ended' || heldBy(context.draft, node, earlier).length > 0) return
  const open = openCaseOf(context.draft, node)
  proveBoot(context, row, 'rebooted', open?.boot === row.boot ? open.id : null, detail)
}

export function patchNode(context: Context, command: CommandOf<'patch-node'>): Value {
  const node = context.node(command.node)
  checkRevision(node.revision, command.precondition, `node ${node.name}`)
  const problem = checkStorageDevices(context.draft, command.fencing?.levels ?? [])
  if (problem !== undefined) throw problem
  context.putNode({
    ...node,
    ...(command.fencing === undefined ? {} : { fencing: command.fencing, deviceDistrusted: null }),
    ...(command.attributes === undefined ? {} : { attributes: command.attributes }),
    revision: context.index,
  })
  context.event('node.changed', node.name, `${node.name} was changed`, {
    keys: Object.keys(command).filter((key) => key === 'fencing' || key === 'attributes'),
  })
  return { revision: context.index }
}

export function setDuty(context: Context, command: CommandOf<'set-duty'>): Value {
  const node = context.node(command.node)
  if (command.duty === 'active' && node.away !== undefined) {
    const { away, ...back } = node
    if (isStopping(context)) stayAll(context)
    else if (away.boot === null) isBack(context, back)
    else
      refuse('CONFLICT', `${node.name} has left: its silence is no news, and would be one if it were active`, {
        fix: 'start its software: it comes back by itself',
      })
  }
  const { evicted, ...present } = context.node(command.node)
  context.putNode({ ...present, duty: command.duty, ...(evicted === undefined || command.duty === 'active' ? {} : { evicted }) })
  if (command.duty === 'active' && levelInForce(context.draft) >= evictionLevel)
    for (const { id, kind } of context.runningOperations(node.name))
      if (kind === 'standby' || kind === 'drain') context.endOperation(id, 'cancelled', `${node.name} is active again`)
  if (node.duty !== command.duty) context.event('node.duty', node.name, `${node.name} is ${command.duty}`, { duty: command.duty })
  if (command.operation !== null) {
    context.startOperation(
      command.operation,
      command.duty === 'draining' ? 'drain' : 'standby',
      node.name,
      `${node.name} is to host nothing`,
    )
    settleDuty(context, node.name)
  }
  return command.operation === null ? {} : { operation: command.operation }
}

/** What it holds leaves it by the planner's usual rules; once it holds nothing its silence is no news. */
export function leave(context: Context, command: CommandOf<'leave'>): Value {
  const going = command.node === null ? [...context.draft.rows('nodes')].map(([, row]) => row) : [context.node(command.node)]
  const busy = going.flatMap(({ name }) => context.runningOperations(name)).find(({ kind }) => kind === 'fence')
  if (busy !== undefined) refuse('CONFLICT', `${busy.subject} is being fenced`, { fix: 'wait until that is over' })
  const maintained = going.find(({ maintenance }) => maintenance !== undefined)
  if (maintained !== undefined)
    refuse('CONFLICT', `${maintained.name} is in maintenance by ${maintained.maintenance?.owner}: what it holds is left alone`, {
      fix: `POST /v1/nodes/${maintained.name}/maintenance {"end": true}`,
    })
  const [kind, subject] = command.node === null ? (['stop', 'cluster'] as const) : (['leave', command.node] as const)
  if (context.runningOperations(subject).some((row) => row.kind === kind))
    refuse('CONFLICT', `${subject} is leaving already`, { fix: 'GET /v1/operations has it' })
  context.startOperation(command.operation, kind, subject, command.detail)
  for (const node of going) {
    if (node.away?.boot === context.currentBoot(node.name)?.boot && node.away !== undefined) continue
    context.putNode({ ...node, away: { since: context.at, boot: null } })
    forgetNotes(context, node.name)
    context.event('node.leaving', node.name, `${node.name} leaves: ${command.detail}`, { operation: command.operation })
  }
  for (const { name } of going) settleDuty(context, name)
  return { operation: command.operation }
}

export function comeBack(context: Context, command: CommandOf<'come-back'>): Value {
  const { away, ...node } = context.node(command.node)
  if (away === undefined || away.since !== command.since) return { ignored: 'it has not left, or left again' }
  if (context.currentBoot(command.node)?.boot !== command.boot) refuse('CONFLICT', `${command.node} has no present boot ${command.boot}`)
  if (isStopping(context)) return { ignored: 'everything is being stopped' }
  isBack(context, node)
  return { back: true }
}

function isStopping(context: Context): boolean {
  return context.runningOperations('cluster').some(({ kind }) => kind === 'stop')
}

function isBack(context: Context, node: NodeRow): void {
  context.putNode(node)
  context.event('node.back', node.name, `${node.name} is back`)
  for (const operation of context.runningOperations(node.name))
    if (operation.kind === 'leave') context.endOperation(operation.id, 'cancelled', `${node.name} is back`)
}

/** A person takes the stop of everything back: whoever waits for the others to leave goes on. */
function stayAll(context: Context): void {
  for (const operation of context.runningOperations('cluster'))
    if (operation.kind === 'stop') context.endOperation(operation.id, 'cancelled', 'taken back')
  for (const [, { away, ...node }] of [...context.draft.rows('nodes')]) if (away !== undefined) isBack(context, node)
}

/** Shown, and nothing else: what it says decides nothing. */
export function seeLinks(context: Context, command: CommandOf<'see-links'>): Value {
  const { jeopardy, ...node } = context.node(command.node)
  const reasons = command.reasons.slice(0, jeopardyReasonsMax).map((reason) => reason.slice(0, 300))
  if ((jeopardy?.reasons ?? []).join('; ') === reasons.join('; ')) return { ignored: 'known' }
  context.putNode(reasons.length === 0 ? node : { ...node, jeopardy: { since: jeopardy?.since ?? context.at, reasons } })
  if (reasons.length > 0) context.event('node.jeopardy', node.name, `${node.name} is in jeopardy: ${reasons.join('; ')}`, { reasons })
  else context.event('node.jeopardy-over', node.name, `the links of ${node.name} are whole again`)
  return {}
}

const jeopardyReasonsMax = 20

/** Somebody read "off" of a boot that is live by this log and was heard afterwards: what the device says proves nothing. */
export function doubtDevice(context: Context, command: CommandOf<'doubt-device'>): Value {
  const node = context.node(command.node)
  if (node.deviceDistrusted !== null) return { ignored: 'it is not believed already' }
  if (node.revision !== command.revision) return { ignored: 'the node has been changed since' }
  const boot = context.currentBoot(command.node)
  if (boot?.boot !== command.boot || boot.state !== 'live') return { ignored: 'that boot does not live by this log' }
  if (openCaseOf(context.draft, command.node) !== undefined) return { ignored: 'a case is open' }
  context.putNode({ ...node, deviceDistrusted: command.detail })
  context.event('device.doubted', command.node, `a fence device of ${command.node} is not believed any more: ${command.detail}`, {
    boot: command.boot,
  })
  return { doubted: true }
}

/** Its monitor came to grief, or is well again. Services are not touched by either. */
export function noteMonitor(context: Context, command: CommandOf<'note-monitor'>): Value {
  const node = context.node(command.node)
  const { session, number, what, detail } = command
  if (node.monitor?.session === session && node.monitor.number >= number) return { ignored: 'known' }
  context.putNode({ ...node, monitor: { session, number, what, detail, at: context.at } })
  context.event(`monitor.${what}`, node.name, `the monitor of ${node.name}: ${detail}`)
  return {}
}

/** Forgets failures and bans of the node, trusts its device again, ends its quarantine; never a grant, a case or a due fencing. */
export function clearNode(context: Context, command: CommandOf<'clear-node'>): Value {
  const node = context.node(command.node)
  if (node.quarantine !== undefined && command.reason === undefined)
    refuse('INVALID', `${node.name} is in quarantine (${node.quarantine.reason}): it is released with a reason`, {
      fix: `find out why it was lost, then POST /v1/nodes/${node.name}/clear {"reason":"…"}`,
    })
  const cleared: string[] = []
  for (const group of context.groups()) {
    if (group.failures[node.name] === undefined && group.bans[node.name] === undefined) continue
    const { [node.name]: _failures, ...failures } = group.failures
    const { [node.name]: _ban, ...bans } = group.bans
    context.putGroup({ ...group, failures, bans })
    cleared.push(group.name)
  }
  const { lapsed: _lapsed, ...rest } = node
  context.putNode({ ...rest, deviceDistrusted: null })
  context.event('node.cleared', node.name, `failures on ${node.name} were forgotten`, { groups: cleared })
  if (node.quarantine !== undefined) release(context, context.node(node.name), command.reason ?? '')
  else if (node.losses !== undefined) {
    const { losses: _losses, ...calm } = context.node(node.name)
    context.putNode(calm)
  }
  return { cleared }
}
