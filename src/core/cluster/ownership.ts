/**
 * Who may run what: grants, orders, reports, releases and the proofs that end a token.
 *
 * Invariant (P1, P4): a group never gets a new holder before its former one is proved unable to act. Everything that
 * gives a grant goes through `grant`, everything that ends a token through `prove` or `released`.
 */
import { type BootId, type CaseId, type GroupName, invariant, type LogTime, type NodeId, tokenAt } from '../../base/index.js'
import { causeOf, noteCause, whyHeld } from './brakes.js'
import { agesOf, forgetCheckpoints } from './checkpoints.js'
import type { Command, PlannedAction, PlannedDecision } from './commands.js'
import { type Context, refuse } from './context.js'
import { claimsOf, type GroupDefinition, isUpdatable, offlineProbeOf, outlastsLease } from './definition.js'
import { whyNotOnDisk } from './disks.js'
import { isOnlyDegraded } from './failures.js'
import {
  brakesLevel,
  carriedLevel,
  dependencyKindsLevel,
  evictionLevel,
  failureRulesLevel,
  leaveLevel,
  levelInForce,
  scalableLevel,
} from './features.js'
import { hasLooked, probedSince, thaw } from './freezes.js'
import { abandonMigration, arrive, beginEvacuation, incomingOf, isBeingSent, readied, send, whyNotStoppable } from './migration.js'
import { announce, begunStep, endedStep } from './notices.js'
import { type HeldGroup, mayStillRun, putOrder } from './orders.js'
import { afterLoss, afterRelease, poisonOf } from './poison.js'
import type { Away, BootRow, DecisionRow, Failure, GroupRow, Holder, NodeRow, Proof, ProofKind, ReportedFailure } from './rows.js'
import { endFence, fenceForFailure, withdrawFence } from './rule-fencing.js'
import { partRows, wholeOf, whyNoInstance, whyNoPrimary } from './scalable.js'
import { bootsOf, openCases, type Reader } from './state.js'
import { settleScalable } from './whole.js'

type CommandOf<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>

const failuresKept = 50
const failoversKept = 1_000
/** Of a node that left without ever having registered a boot. */
const noBoot = ''

/** The obstacle that passes by itself within a moment. */
export const notProbedYet = 'the node has not looked yet whether it runs there already'

/** What the question needs to see. */
export interface GrantView {
  readonly draft: Reader
  readonly at: LogTime
  /** An instance that is looked at as if its token had ended. */
  readonly ended?: GroupName
  groups(): readonly GroupRow[]
  currentBoot(node: NodeId): BootRow | undefined
}

/**
 * The first reason why this boot cannot be granted this group; undefined when it can. The planner asks the same
 * question before it proposes, so that it knows why; the state machine asks it again and has the last word.
 */
export function whyNotGrantable(context: GrantView, group: GroupRow, node: NodeId, boot: BootId): string | undefined {
  if (group.deleting) return 'the group is being deleted'
  if (group.intent !== 'ONLINE') return 'the group is to be offline'
  if (group.frozen !== null) return 'the group is frozen'
  if (group.halted !== undefined) return 'the group was stopped for its failures and waits to be cleared'
  if (poisonOf(context.draft, group) !== undefined) return 'its starts were followed by the loss of nodes, and it waits to be cleared'
  if (!group.definition.nodes.includes(node)) return 'the node is not in the list of the group'
  if (mayStillRun(group)) return `its former holder ${group.holder.node} is not proved stopped`
  if (group.holder !== null && (group.proof === null || group.proof.boot !== group.holder.boot))
    return 'the proof is not of its former holder'
  const doubt = group.doubts?.find((other) => other !== node) ?? group.doubts?.[0]
  if (doubt !== undefined && doubt !== node) return `it may run on ${doubt}, which has not looked since: prove that node off`
  const row = context.currentBoot(node)
  if (row === undefined || row.boot !== boot) return 'this is not the present boot of the node'
  if (row.state !== 'live') return `the boot is ${row.state}`
  if (!row.guard.guarded) return 'the boot has no guardian'
  if (row.detached !== undefined) return 'its guardian is suspended, and has not said yet that it guards again'
  if (group.definition.onQuorumLoss === 'selfFence' && row.guard.watchdog !== 'armed')
    return 'onQuorumLoss is selfFence, and the node has no armed watchdog'
  const { away, maintenance, quarantine } = context.draft.get('nodes', node) ?? {}
  if (away !== undefined) return 'the node is leaving'
  if (quarantine !== undefined) return `the node is in quarantine: ${quarantine.reason}`
  if (maintenance !== undefined) return `the node is in maintenance by ${maintenance.owner}`
  if (openCases(context.draft).some((open) => open.node === node && open.attempts.some((attempt) => attempt.state === 'open'))) {
    return 'a call to the fence device of the node is not over'
  }
  const probe = row.probes[group.name]
  if (probe === undefined || !hasLooked(context.draft, group, row)) return notProbedYet
  if (doubt !== undefined) return notProbedYet
  if (probe.result === 'unable') return `it cannot run there: ${probe.detail}`
  if (probe.result !== 'clean')
    return probe.result === 'running' ? 'something of the group runs there without a grant' : `its probe there failed: ${probe.detail}`
  const stray = strayOf(context, group)
  if (stray !== undefined)
    return `something of it runs on ${stray.node} without a grant, and ${stray.why === undefined ? 'is stopped first' : `is not stopped: ${stray.why}`}`
  const missing = whyNotPart(context, group, node, boot)
  if (missing !== undefined) return missing
  const offDisk = whyNotOnDisk(context.draft, group.definition, row)
  if (offDisk !== undefined) return offDisk
  return claimHeld(context, group)
}

/** It lives where it was granted to live: what proves it cut off was settled with the grant, and says nothing of what lives elsewhere. */
export function livesAsGranted({ holder, definition }: HeldGroup): boolean {
  return holder.pinned.storage === undefined || holder.pinned.storage === definition.storage
}

/** Of what has come to it since the grant, what another group holds, or may. */
export function addedClaimHeld(view: GrantView, group: HeldGroup): string | undefined {
  const held = claimsOf(group.holder.pinned.resources)
  return claimHeld(view, group, (claim) => !held.includes(claim))
}

/** Of what the group would hold, what another one does, or may. */
function claimHeld(view: GrantView, group: GroupRow, isAsked: (claim: string) => boolean = () => true): string | undefined {
  const claims = claimsOf(group.definition.resources).filter(isAsked)
  for (const other of claims.length === 0 ? [] : view.groups()) {
    if (other.name !== group.name && other.doubts !== undefined) {
      const doubted = claimsOf(other.definition.resources).find((claim) => claims.includes(claim))
      if (doubted !== undefined) return `${doubted} may be held by group ${other.name}, from before the recovery`
    }
    if (other.name === group.name || !mayStillRun(other)) continue
    const held = claimsOf(other.holder.pinned.resources).find((claim) => claims.includes(claim))
    if (held !== undefined) return `${held} is held by group ${other.name} on ${other.holder.node}`
  }
  return undefined
}

/** A copy that nobody granted, beside which the group is not started, and why nobody ends it now. */
export interface StrayCopy {
  readonly node: NodeId
  readonly why?: string
  /** Of that look something has changed since: it is no reason to stop anything. */
  readonly isStale?: true
}

/**
 * Counted from the last look of its node on, whatever has changed since: with `stopAllRestart` until that node has seen it end, or is
 * without power; a lease or a guardian says nothing of what was never granted. With `stopExtra` where it is about to be ended.
 */
export function strayOf(view: GrantView, group: GroupRow): StrayCopy | undefined {
  const { name, definition, lastNode } = group
  const { onFound } = offlineProbeOf(definition)
  if (onFound === 'block' || levelInForce(view.draft) < evictionLevel) return undefined
  const isStrict = onFound === 'stopAllRestart'
  if (!isStrict && lastNode === null) return undefined
  for (const node of definition.nodes) {
    const boot = view.currentBoot(node)
    const probe = boot?.probes[name]
    if (boot === undefined || probe === undefined || (mayStillRun(group) && group.holder.node === node)) continue
    if (probe.result !== 'running' && probe.ran !== true) continue
    const why = whyNotEnded(view, group, node, boot)
    if (isStrict ? isWithoutPower(boot) : why !== undefined) continue
    const isStale = probe.definition !== group.resourcesRevision || !hasLooked(view.draft, group, boot)
    return { node, ...why, ...(isStale ? { isStale: true as const } : {}) }
  }
  return undefined
}

const isWithoutPower = ({ state, proof }: BootRow) => state === 'ended' && (proof?.kind === 'fenced' || proof?.kind === 'operator')

function whyNotEnded(view: GrantView, { lastNode }: GroupRow, node: NodeId, boot: BootRow): { readonly why: string } | undefined {
  if (lastNode === null) return { why: 'it is a person’s, from before the group ever ran: stop it there' }
  const { away, maintenance } = view.draft.get('nodes', node) ?? {}
  if (away !== undefined)
    return { why: `${node} is leaving or has left: start it, or take it out of "nodes" once nothing of it runs there` }
  if (maintenance !== undefined) return { why: `${node} is in maintenance by ${maintenance.owner}` }
  return boot.state === 'live' ? undefined : { why: `${node} is lost, and nobody has switched it off` }
}

function whyNotPart(context: GrantView, group: GroupRow, node: NodeId, boot: BootId): string | undefined {
  const { part } = group
  if (part === undefined) return undefined
  // What an older monitor would make of it is not what it is.
  if ((context.currentBoot(node)?.level ?? 0) < scalableLevel) return 'its software is of an earlier version'
  return part.role === 'instance'
    ? whyNoInstance(context.draft, group, part.of, context.ended)
    : whyNoPrimary(context.draft, group, part.of, node, boot)
}

export function decide(context: Context, command: CommandOf<'decide'>): Record<string, unknown> {
  const outcomes = command.decisions.map((decision) => {
    const refusal = carryOut(context, decision)
    if (refusal !== undefined) return { group: decision.group, refused: refusal }
    if (decision.action.kind === 'wait' && decision.text === '') return { group: decision.group } // What it waited for has come.
    const id = context.decision({
      group: decision.group,
      action: describe(decision),
      rule: decision.rule,
      text: decision.text,
      candidates: decision.candidates,
      input: decision.input,
      plannerVersion: command.plannerVersion,
      ...carriedBy(context, decision),
    })
    context.event(`decision.${decision.action.kind}`, decision.group, decision.text, { decision: id, rule: decision.rule })
    return { group: decision.group, decision: id }
  })
  return { outcomes }
}

const isPrimary = ({ part }: GroupRow) => part?.role === 'primary'

/** What the next copy begins with. */
function carriedBy(context: Context, { action, group }: PlannedDecision): Pick<DecisionRow, 'carried'> {
  if (action.kind !== 'grant' || levelInForce(context.draft) < carriedLevel) return {}
  const carried = agesOf(context.draft, group, context.at)
  return carried.length === 0 ? {} : { carried }
}

function describe(decision: PlannedDecision): string {
  return decision.action.kind === 'grant' ? `grant to ${decision.action.node}` : decision.action.kind
}

/** Does one decision, or says why the state no longer allows it. */
function carryOut(context: Context, decision: PlannedDecision): string | undefined {
  const group = context.draft.get('groups', decision.group)
  if (group === undefined) return 'the group is gone'
  const { action } = decision
  switch (action.kind) {
    case 'grant':
      return grant(context, group, action.node, action.boot)
    case 'stop':
      if (!mayStillRun(group) || group.holder.token !== action.token || group.holder.order.wanted === 'stop')
        return 'there is nothing to stop under this token'
      {
        const obstacle = whyNotStoppable(context.draft, group)
        if (obstacle !== undefined) return obstacle
      }
      if (action.ban !== null) {
        const held = leavesFor(context, group, `${group.name} leaves ${group.holder.node}: ${decision.text}`)
        if (held !== undefined) return held
      }
      putOrder(context, left(context, group, action, decision.text), 'stop', decision.text)
      begunStep(context, group, isPrimary(group) ? 'demote' : 'stop', group.holder.node)
      return undefined
    case 'restart': {
      if (!mayStillRun(group) || group.holder.token !== action.token || group.holder.order.wanted === 'stop')
        return 'there is nothing to restart under this token'
      const doubt = doubtElsewhere(group, group.holder.node)
      if (doubt !== undefined) return doubt
      const number = (group.holder.order.restart?.number ?? 0) + 1
      const { resource, dependents, operation } = action
      const asked = group.resourceRestart
      if (operation !== undefined && (asked?.operation !== operation || asked.sequence !== null)) return 'nobody waits for this restart'
      const given =
        operation === undefined || asked === undefined
          ? group
          : { ...group, resourceRestart: { ...asked, sequence: group.holder.order.sequence + 1 } }
      putOrder(context, given, 'run', decision.text, {
        restart: { resource, number, ...(dependents === undefined ? {} : { dependents: true as const }) },
      })
      return undefined
    }
    case 'update':
      if (!mayStillRun(group) || group.holder.token !== action.token || group.holder.order.wanted === 'stop')
        return 'there is nothing to change under this token'
      if (doubtElsewhere(group, group.holder.node) !== undefined) return doubtElsewhere(group, group.holder.node)
      if (!isUpdatable(group.holder.pinned.resources, group.definition.resources, levelInForce(context.draft) >= evictionLevel))
        return 'this cannot be changed while it runs'
      if (levelInForce(context.draft) >= evictionLevel) {
        const held = addedClaimHeld(context, group)
        if (held !== undefined) return held
        if (!livesAsGranted(group)) return 'it does not live on that disk any more'
      }
      putOrder(context, updated(context, group), 'run', decision.text)
      return undefined
    case 'fence':
      if (!mayStillRun(group) || group.holder.token !== action.token) return 'there is nothing to end under this token'
      if (!couldGoElsewhere(context, group)) return 'no other node could take the group'
      return fenceForFailure(context, group, action.node, decision.text)
    case 'standby':
      if (!mayStillRun(group) || group.holder.token !== action.token || group.holder.node !== action.node)
        return 'there is nothing to leave under this token'
      if (!couldGoElsewhere(context, group)) return 'no other node could take the group'
      return standBy(context, group, action, decision.text)
    case 'evacuate':
      if (!mayStillRun(group) || group.holder.token !== action.token) return 'there is nothing to move under this token'
      return beginEvacuation(context, group, action.to)
    case 'send':
      if (!mayStillRun(group) || group.holder.token !== action.token) return 'there is nothing to send under this token'
      return send(context, group, decision.text)
    case 'arrive':
      if (!mayStillRun(group) || group.holder.token !== action.token) return 'nothing is on its way under this token'
      return arrive(context, group, decision.text)
    case 'end-migration':
      return group.part === undefined ? 'it is no instance' : abandonMigration(context, group.part.of, decision.text)
    case 'announce':
      return announce(context, group, action)
    case 'end-move':
      if (group.move === null) return 'there is no move'
      context.endOperation(group.move.operation, action.done ? 'done' : 'failed', decision.text)
      context.putGroup({ ...group, move: null })
      return undefined
    case 'wait':
      if ((group.waitingFor ?? '') === decision.text) return 'it waits already'
      context.putGroup({ ...group, waitingFor: decision.text === '' ? null : decision.text })
      if (group.part !== undefined) settleScalable(context, group.part.of)
      return undefined
    case 'forget':
      if (!group.deleting || mayStillRun(group) || group.doubts !== undefined) return 'what it was may still run'
      context.draft.delete('groups', group.name)
      for (const operation of context.runningOperations(group.name)) {
        context.endOperation(operation.id, operation.kind === 'delete' ? 'done' : 'failed', `group ${group.name} is deleted`)
      }
      forgetTraces(context, group)
      if (group.part !== undefined) settleScalable(context, group.part.of)
      return undefined
    case 'unfreeze':
      if (group.frozen === null || group.frozen.until > context.at) return 'its freeze has not ended'
      thaw(context, group, true)
      return undefined
  }
}

/** What may run on another node is not started here, under whichever token. */
function doubtElsewhere({ doubts, part }: GroupRow, node: NodeId): string | undefined {
  const doubt = part?.role === 'instance' ? doubts?.find((other) => other !== node) : undefined
  return doubt === undefined ? undefined : `it may run on ${doubt}, which has not looked since`
}

/** A failure is a cause of moves; answers with why it is not to be one now. */
function leavesFor(context: Context, group: GroupRow, text: string): string | undefined {
  if (levelInForce(context.draft) < brakesLevel) return undefined
  const held = whyHeld(context.draft, group, context.at)
  if (held === undefined) noteCause(context, { kind: 'group-failed', subject: causeOf(group), text: text.slice(0, 300), caseId: null })
  return held
}

function grant(context: Context, group: GroupRow, node: NodeId, boot: BootId): string | undefined {
  const refusal = whyNotGrantable(context, group, node, boot)
  if (refusal !== undefined) return refusal
  const token = tokenAt(context.meta.epoch, context.index)
  invariant(group.holder === null || group.holder.token < token, 'tokens only grow', { group: group.name, token })
  invariant(!mayStillRun(group), 'nobody else may still run the group (P1)', { group: group.name })
  context.putGroup({
    ...group,
    holder: {
      node,
      boot,
      token,
      grantedAt: context.at,
      pinned: group.definition,
      pinnedRevision: group.resourcesRevision,
      order: { sequence: 1, wanted: 'run', restart: null, reason: 'granted', ...incomingOf(context.draft, group) },
      report: { state: 'GRANTED', resources: {}, failure: null, at: context.at },
    },
    proof: null,
    waitingFor: null,
    lastNode: node,
    move: group.move === null || group.move.to !== node ? group.move : { ...group.move, token },
  })
  const granted = context.group(group.name)
  if (mayStillRun(granted)) readied(context, granted)
  begunStep(context, group, isPrimary(group) ? 'promote' : 'start', node)
  return undefined
}

/** Pinned anew; what the holder said was said of what it ran before. */
function updated(context: Context, group: HeldGroup): HeldGroup {
  const { holder } = group
  const report = { ...holder.report, state: 'STARTING' as const, at: context.at, since: context.at }
  // Whose monitor it has, and what proves it cut off, is settled with the grant.
  const { isolation: _wanted, storage: _later, ...definition } = group.definition
  const { isolation, storage } = holder.pinned
  const settled = { ...(isolation === undefined ? {} : { isolation }), ...(storage === undefined ? {} : { storage }) }
  const pinned = lastingAs(holder.pinned, { ...definition, ...settled })
  return { ...group, holder: { ...holder, pinned, pinnedRevision: group.resourcesRevision, report } }
}

/**
 * Its node goes by what it was told with the grant, so the log does too: whether the end of a lease ends this token never changes
 * under it. Else a node that has not heard of the change would run on what others take for ended.
 */
function lastingAs(before: GroupDefinition, { onQuorumLoss, ...after }: GroupDefinition): GroupDefinition {
  if (!outlastsLease(before) && onQuorumLoss !== 'demote') return { ...after, ...(onQuorumLoss === undefined ? {} : { onQuorumLoss }) }
  return { ...after, ...(before.onQuorumLoss === undefined ? {} : { onQuorumLoss: before.onQuorumLoss }) }
}

/** What a stop for a failure leaves behind: the node is passed over, or the group stays stopped. */
function left(context: Context, group: HeldGroup, { ban, halt }: Extract<PlannedAction, { kind: 'stop' }>, reason: string): HeldGroup {
  if (halt === true) {
    const whole = group.part === undefined ? [] : context.runningOperations(group.part.of)
    for (const operation of [...context.runningOperations(group.name), ...whole]) {
      if (operation.kind !== 'offline' && operation.kind !== 'delete') context.endOperation(operation.id, 'failed', reason)
    }
    return { ...group, move: null, restartAsked: null, halted: { at: context.at, reason } }
  }
  if (ban === null) return group
  const limited = (group.definition.failover?.max ?? 0) > 0
  return {
    ...group,
    bans: { ...group.bans, [ban.node]: { until: (context.at + ban.forMs) as LogTime, reason } },
    ...(limited ? { failovers: [...(group.failovers ?? []), context.at].slice(-failoversKept) } : {}),
  }
}

/** Whether another node could be granted the group if its holder were out of the way; of an instance, whether there is another one, or could be. */
function couldGoElsewhere(context: Context, group: HeldGroup): boolean {
  if (group.part?.role !== 'instance') return isGrantableBeside(context, { ...group, holder: null }, group.holder.node)
  const view: GrantView = {
    draft: context.draft,
    at: context.at,
    ended: group.name,
    groups: () => context.groups(),
    currentBoot: (node) => context.currentBoot(node),
  }
  const others = partRows(context.draft, group.part.of).filter(({ name, part }) => name !== group.name && part?.role === 'instance')
  return others.some((other) =>
    mayStillRun(other) ? other.holder.report.state === 'ONLINE' : isGrantableBeside(view, other, group.holder.node),
  )
}

function isGrantableBeside(context: GrantView, group: GroupRow, beside: NodeId): boolean {
  return group.definition.nodes.some((node) => {
    const boot = context.currentBoot(node)?.boot
    const isActive = node !== beside && context.draft.get('nodes', node)?.duty === 'active'
    return isActive && boot !== undefined && whyNotGrantable(context, group, node, boot) === undefined
  })
}

/** The node is well enough to give its groups away: each leaves it by the planner's usual rule. */
function standBy(
  context: Context,
  group: GroupRow,
  { node: name, evict }: Extract<PlannedAction, { kind: 'standby' }>,
  reason: string,
): string | undefined {
  const node = context.draft.get('nodes', name)
  if (node === undefined || node.duty !== 'active') return 'the node is not active'
  const goes = evict === true ? 'is evicted' : 'goes to standby'
  const held = leavesFor(context, group, `${name} ${goes} for ${group.name}: ${reason}`)
  if (held !== undefined) return held
  const eviction = { at: context.at, group: group.name, reason: reason.slice(0, 500) }
  context.putNode({ ...node, duty: 'standby', ...(evict === true ? { evicted: eviction } : {}) })
  if (evict === true) context.event('node.evicted', name, `${name} hosts nothing until it is activated: ${reason}`, { group: group.name })
  else context.event('node.duty', name, `${name} is standby: ${reason}`, { duty: 'standby' })
  return undefined
}

/** What other tables kept for a group that is gone. */
function forgetTraces(context: Context, group: GroupRow): void {
  forgetCheckpoints(context, group.name)
  for (const [, boot] of [...context.draft.rows('boots')]) {
    if (boot.probes[group.name] === undefined) continue
    const { [group.name]: _gone, ...probes } = boot.probes
    context.putBoot({ ...boot, probes })
  }
}

export function report(context: Context, command: CommandOf<'report'>): Record<string, unknown> {
  const group = context.group(command.group)
  const { holder } = group
  if (
    !mayStillRun(group) ||
    holder === null ||
    holder.node !== command.node ||
    holder.boot !== command.boot ||
    holder.token !== command.token
  ) {
    refuse('STALE_TOKEN', `group ${group.name} is not held by ${command.node} under token ${command.token}`)
  }
  if (command.sequence < holder.order.sequence && command.report.state !== 'UNKNOWN') return { ignored: 'an older order' }
  const before = holder.report
  const { failure, others = [] } = command.report
  const fresh = [...(failure === null ? [] : [failure]), ...others].filter((one) => !isKnown(context, group, holder, one))
  // What an older member would not write is left out until every member does.
  const level = levelInForce(context.draft)
  const times = level >= failureRulesLevel
  const beforeSince = before.since ?? before.at
  const ran = times && before.state === 'ONLINE' ? { ranFor: context.at - beforeSince } : {}
  const { token } = holder
  let failures = group.failures
  for (const { resource, event, detail, severity, number } of fresh) {
    const more = {
      ...(severity === undefined ? {} : { severity }),
      ...(number === undefined ? {} : { token, number }),
    }
    const known = level >= dependencyKindsLevel ? more : {}
    failures = withFailure({ ...group, failures }, command.node, { at: context.at, resource, event, detail, ...ran, ...known })
  }
  const since = times ? { since: before.state === command.report.state ? beforeSince : context.at } : {}
  const updated: GroupRow = { ...group, failures, holder: { ...holder, report: { ...command.report, at: context.at, ...since } } }
  context.putGroup(updated)
  for (const one of fresh) {
    context.event('resource.failed', `${group.name}/${one.resource}`, `${one.resource} on ${command.node}: ${one.event} (${one.detail})`, {
      node: command.node,
    })
  }
  if (before.state !== command.report.state) {
    context.event(
      `group.${command.report.state.toLowerCase()}`,
      group.name,
      `${group.name} is ${command.report.state} on ${command.node}`,
      { node: command.node, token: holder.token },
    )
  }
  if (command.report.state === 'ONLINE') endedStep(context, group, isPrimary(group) ? 'promote' : 'start', command.node)
  if (command.report.state === 'ONLINE') settleOnline(context, updated, null)
  else if (isOnlyDegraded(holder.pinned.resources, command.report)) settleOnline(context, updated, updated.waitingFor)
  settleResourceRestart(context, group.name, command.sequence, fresh)
  if (group.part !== undefined) settleScalable(context, group.part.of)
  return {}
}

/** A restart that a person has asked for is over when the group is up again after it, or when the resource has failed to come up. */
function settleResourceRestart(context: Context, name: string, sequence: number, fresh: readonly ReportedFailure[]): void {
  const { resourceRestart: asked, ...group } = context.group(name)
  const { holder } = group
  if (asked === undefined || holder === null || asked.sequence === null || sequence < asked.sequence) return
  const failure = fresh.find(({ resource }) => resource === asked.resource)
  const isUp = holder.report.state === 'ONLINE' || isOnlyDegraded(holder.pinned.resources, holder.report)
  const here = holder.report.resources[asked.resource]?.state ?? 'ONLINE'
  if (failure !== undefined) context.endOperation(asked.operation, 'failed', `${asked.resource}: ${failure.event} (${failure.detail})`)
  else if (isUp && here === 'ONLINE')
    context.endOperation(asked.operation, 'done', `${asked.resource} of ${group.name} was restarted on ${holder.node}`)
  else return
  context.putGroup(group)
}

/** The token under which it was asked for is over. */
function endResourceRestart<Row extends GroupRow>(
  context: Context,
  { resourceRestart: asked, ...group }: Row,
  why: string,
): Omit<Row, 'resourceRestart'> {
  if (asked !== undefined) context.endOperation(asked.operation, 'failed', why)
  return group
}

/** Whether the holder has told of it before: while it is not answered, others may come and go. */
function isKnown(
  context: Context,
  group: GroupRow,
  { node, token, report: { failure: before } }: Holder,
  failure: ReportedFailure,
): boolean {
  const { resource, event, restartNumber, number } = failure
  if (number === undefined || levelInForce(context.draft) < dependencyKindsLevel)
    return before?.resource === resource && before.restartNumber === restartNumber && before.event === event
  if (before?.number === number && before.event === event) return true
  return (group.failures[node] ?? []).some((one) => one.token === token && one.number === number && one.event === event)
}

function withFailure(group: GroupRow, node: NodeId, failure: Failure): GroupRow['failures'] {
  return { ...group.failures, [node]: [...(group.failures[node] ?? []), failure].slice(-failuresKept) }
}

/** Ends the operations that waited for this group to be up, as far as it has to be. */
function settleOnline(context: Context, group: GroupRow, waitingFor: string | null): void {
  const { holder } = group
  invariant(holder !== null, 'a group that is online has a holder', { group: group.name })
  let { move, restartAsked } = group
  if (move !== null && move.to === holder.node) {
    context.endOperation(move.operation, 'done', `${group.name} runs on ${holder.node}`)
    move = null
  }
  if (restartAsked !== null && holder.token > restartAsked.token) {
    context.endOperation(restartAsked.operation, 'done', `${group.name} was restarted on ${holder.node}`)
    restartAsked = null
  }
  context.putGroup({ ...group, move, restartAsked, waitingFor })
  for (const operation of context.runningOperations(group.name)) {
    if (operation.kind === 'online') context.endOperation(operation.id, 'done', `${group.name} runs on ${holder.node}`)
  }
}

export function released(context: Context, command: CommandOf<'released'>): Record<string, unknown> {
  const group = context.group(command.group)
  if (
    !mayStillRun(group) ||
    group.holder.node !== command.node ||
    group.holder.boot !== command.boot ||
    group.holder.token !== command.token
  ) {
    refuse('STALE_TOKEN', `group ${group.name} is not held by ${command.node} under token ${command.token}`)
  }
  const { holder } = group
  const why = `${command.node} has stopped ${group.name} meanwhile`
  const { stoppedIn: _before, ...free } = endResourceRestart(context, afterRelease(context, group), why)
  const byItself = holder.order.wanted !== 'stop' && context.draft.get('nodes', command.node)?.maintenance !== undefined
  context.putGroup({ ...free, holder: null, proof: null, ...(byItself ? { stoppedIn: command.node } : {}) })
  endedStep(context, group, isPrimary(group) ? 'demote' : 'stop', command.node)
  withdrawFence(context, group, command.node, command.token)
  // What it has verified may have been before the rest turned up: it looks once more.
  const isUncertain = group.doubts?.includes(command.node) === true && wholeOf(context.draft, group)?.definition.migrate === true
  if (!isUncertain) endDoubt(context, context.group(group.name), command.node)
  const boot = context.boot(command.node, command.boot)
  if (boot !== undefined && !isUncertain) {
    // Verified stopped just now, with the definition that it ran.
    const since = probedSince(context.draft, group, command.node)
    const looked = since === 0 ? {} : { since }
    context.putBoot({
      ...boot,
      probes: { ...boot.probes, [group.name]: { definition: holder.pinnedRevision, result: 'clean', detail: 'released', ...looked } },
    })
  }
  context.event('group.released', group.name, `${command.node} has stopped ${group.name} and sealed its token`, {
    node: command.node,
    token: command.token,
    proof: 'released',
  })
  if (group.intent === 'OFFLINE') {
    for (const operation of context.runningOperations(group.name)) {
      if (operation.kind === 'offline') context.endOperation(operation.id, 'done', `${group.name} is offline`)
    }
  }
  settleDuty(context, command.node)
  if (group.part !== undefined) settleScalable(context, group.part.of)
  return {}
}

/** A node told to stand by, or to leave, has done so once it holds nothing. */
export function settleDuty(context: Context, name: NodeId): void {
  const node = context.draft.get('nodes', name)
  if (node === undefined || context.groups().some((group) => mayStillRun(group) && group.holder.node === name)) return
  if (node.away?.boot === null) hasLeft(context, node, node.away)
  if (node.duty === 'active') return
  if (node.duty === 'draining') context.putNode({ ...context.node(name), duty: 'standby' })
  for (const operation of context.runningOperations(name)) {
    if (operation.kind === 'standby' || operation.kind === 'drain') context.endOperation(operation.id, 'done', `${name} hosts nothing`)
  }
}

function hasLeft(context: Context, node: NodeRow, away: Away): void {
  const boot = context.currentBoot(node.name)
  // One that is not here by this log has nothing to fall silent with.
  context.putNode({ ...node, away: { ...away, boot: boot?.boot ?? (noBoot as BootId) } })
  context.event('node.left', node.name, `${node.name} holds nothing, and may be stopped`, { boot: boot?.boot ?? null })
  for (const operation of context.runningOperations(node.name))
    if (operation.kind === 'leave') context.endOperation(operation.id, 'done', `${node.name} holds nothing and has left`)
  const stays = [...context.draft.rows('nodes')].some(([, row]) => row.away === undefined || row.away.boot === null)
  for (const operation of stays ? [] : context.runningOperations('cluster'))
    if (operation.kind === 'stop') context.endOperation(operation.id, 'done', 'everything is stopped, and every node may be')
}

/** Ends every open token of a boot; where the node is without power, those of its earlier boots too. */
export function proveBoot(context: Context, boot: BootRow, kind: ProofKind, caseId: CaseId | null, detail: string): void {
  const proof: Proof = { kind, index: context.index, at: context.at, boot: boot.boot, caseId, detail }
  const withoutPower = kind === 'fenced' || kind === 'operator'
  const earlier = withoutPower ? bootsOf(context.draft, boot.node).filter((other) => other.registeredIndex < boot.registeredIndex) : []
  for (const ended of [...earlier, boot]) endTokens(context, ended, { ...proof, boot: ended.boot })
  if (withoutPower)
    for (const group of context.groups()) if (!isBeingSent(context.draft, group, boot.node)) endDoubt(context, group, boot.node)
  const open = caseId === null ? undefined : context.draft.get('cases', caseId)
  if (open !== undefined && open.stage !== 'RECOVERED' && open.stage !== 'CLOSED') {
    context.putCase({
      ...open,
      stage: 'PROVED',
      proof,
      timeline: [...open.timeline, { stage: 'FENCED', at: context.at, wall: context.wall, detail }],
    })
  }
  context.event('node.proved', boot.node, `${boot.node} can no longer act: ${detail}`, { proof: kind, boot: boot.boot, case: caseId })
  // What an older member would leave as it is.
  if (levelInForce(context.draft) >= leaveLevel) settleDuty(context, boot.node)
}

/** After a recovery: nothing of the group runs on that node from before it. */
export function endDoubt(context: Context, group: GroupRow, node: NodeId): void {
  if (group.doubts?.includes(node) !== true) return
  const doubts = group.doubts.filter((other) => other !== node)
  const { doubts: _doubts, doubtedSince: _since, ...certain } = group
  context.putGroup(doubts.length === 0 ? certain : { ...group, doubts })
}

function endTokens(context: Context, boot: BootRow, proof: Proof): void {
  context.putBoot({ ...boot, state: 'ended', proof })
  for (const group of context.groups()) {
    if (mayStillRun(group) && group.holder.node === boot.node && group.holder.boot === boot.boot) prove(context, group, proof)
  }
}

/** Ends one token. */
export function prove(context: Context, group: GroupRow & { readonly holder: Holder }, proof: Proof): void {
  invariant(proof.boot === group.holder.boot, 'a proof is of the holder it ends (P4)', { group: group.name, proof: proof.boot })
  const outlasts = outlastsLease(group.holder.pinned)
  invariant(proof.kind !== 'lease' || !outlasts, 'what goes on without a lease is not ended by one (P4)', { group: group.name })
  const after = afterLoss(context, group, proof)
  context.putGroup({ ...endResourceRestart(context, after, `the token of ${group.holder.node} has ended`), proof, waitingFor: null })
  endFence(context, group, group.holder.token, proof.detail)
  context.event('group.proved', group.name, `the token of ${group.holder.node} for ${group.name} has ended: ${proof.detail}`, {
    proof: proof.kind,
    node: group.holder.node,
    token: group.holder.token,
  })
  if (group.part !== undefined) settleScalable(context, group.part.of)
}

/** A boot showed itself after it was proved ended: the proof no longer counts where it was not used yet (DESIGN "a token ends once"). */
export function voidProof(context: Context, command: CommandOf<'void-proof'>): Record<string, unknown> {
  const boot = context.boot(command.node, command.boot)
  if (boot?.proof === null || boot === undefined || (boot.proof.kind !== 'fenced' && boot.proof.kind !== 'operator'))
    return { ignored: 'there is no such proof' }
  const { proof } = boot
  if (context.currentBoot(command.node)?.boot !== command.boot) {
    // Its successor is here already, so the machine was started anew: late datagrams, or a liar. A person should know.
    context.event(
      'alarm.p1',
      command.node,
      `signs of an earlier boot of ${command.node} came after its proof (${proof.kind}): ${command.sign}`,
      { boot: command.boot, withdrawn: [] },
    )
    return { withdrawn: [] }
  }
  const withdrawn: string[] = []
  for (const group of context.groups()) {
    if (group.holder?.node !== boot.node || group.proof?.index !== proof.index) continue // Earlier boots' tokens ended with it.
    context.putGroup({ ...group, proof: null })
    withdrawn.push(group.name)
  }
  const condemned = boot.condemned ?? { caseId: (proof.caseId ?? 'none') as CaseId, index: context.index, term: context.term }
  context.putBoot({ ...boot, state: 'condemned', proof: null, condemned })
  const story = proof.caseId === null ? undefined : context.draft.get('cases', proof.caseId)
  if (story !== undefined) {
    const timeline = [...story.timeline, { stage: 'PROOF VOID', at: context.at, wall: context.wall, detail: command.sign }]
    context.putCase({ ...story, stage: 'CONDEMNED', proof: null, closedAt: null, conclusion: null, timeline })
  }
  const node = context.draft.get('nodes', command.node)
  if (node !== undefined && proof.kind === 'fenced') context.putNode({ ...node, deviceDistrusted: command.sign })
  context.event('alarm.p1', command.node, `${command.node} showed itself after it was proved ended (${proof.kind}): ${command.sign}`, {
    boot: command.boot,
    withdrawn,
  })
  return { withdrawn }
}
