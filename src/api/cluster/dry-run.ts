/**
 * What a change would lead to: carried out on a copy of the state, and the planner asked what follows, step by step.
 *
 * Each step assumes that what the one before asked for went well: probes find nothing, stops are reported, starts succeed.
 */
import { createHash } from 'node:crypto'
import { type GroupName, type LogIndex, type LogTime, logIndex, type ResourceName, type Term } from '../../base/index.js'
import {
  bootKey,
  type ClusterState,
  type Command,
  canonical,
  currentBoot,
  groupsOf,
  mayStillRun,
  nodesOf,
  type PlannedDecision,
  partRows,
  probedSince,
  tryApply,
} from '../../core/cluster/index.js'
import { decide, type Liveness, plannerVersion } from '../../core/planner/index.js'
import { refusal } from '../http/problem.js'
import type { Answer, Call } from '../http/route.js'
import { presentForgotten, presentPoison } from '../present/failures.js'
import type { Access } from './access.js'
import { estimatedLogTime, livenessOf, read } from './reading.js'

/** A stop, a grant, and what they set free. */
const roundsMax = 6

export interface PlannedStep {
  readonly group: string
  readonly action: string
  readonly node?: string
  readonly rule: string
  readonly text: string
  readonly candidates: readonly unknown[]
}

export interface DryRun {
  readonly value: Readonly<Record<string, unknown>>
  /** What the change itself writes to the journal. */
  readonly events: readonly string[]
  readonly steps: readonly PlannedStep[]
}

/** Refuses like the change itself would. */
export async function dryRun(access: Access, call: Call, command: Command): Promise<Answer> {
  const view = await read(access, call, { withLeaderView: true })
  const { value, events, steps } = tryOut(view.state, command, livenessOf(view.leaderView), estimatedLogTime(view.node))
  const { operation: _none, ...shown } = value
  const forgotten = command.kind === 'clear-group' ? forgottenOf(view.state, command.group, estimatedLogTime(view.node)) : undefined
  const forgets = forgotten === undefined ? {} : { forgets: forgotten }
  return { status: 200, body: { dryRun: true, ...view.age, result: shown, ...forgets, events, plan: steps } }
}

/** Of a group that runs on several nodes what the whole rests for, and each of its parts by name. */
function forgottenOf(state: ClusterState, name: GroupName, at: LogTime): Readonly<Record<string, unknown>> | undefined {
  const whole = state.get('scalables', name)
  if (whole !== undefined) {
    const parts = partRows(state, name).map((part) => [part.name, presentForgotten(part, at)] as const)
    return { poison: presentPoison(whole, at), parts: Object.fromEntries(parts) }
  }
  const group = state.get('groups', name)
  return group === undefined ? undefined : presentForgotten(group, at)
}

/** Errors: whatever the state machine says of the command. */
export function tryOut(present: ClusterState, command: Command, liveness: Liveness, at: LogTime): DryRun {
  const state = present.snapshot()
  const applied = commit(state, command)
  if (!applied.result.ok) throw refusal(applied.result.error)
  const steps: PlannedStep[] = []
  for (let round = 0; round < roundsMax; round++) {
    assumeProbesClean(state)
    const decisions = decide({ state, at, liveness }).filter((decision) => decision.text !== '')
    const fresh = decisions.filter((decision) => !steps.some((step) => step.group === decision.group && step.text === decision.text))
    if (fresh.length === 0) break
    steps.push(...fresh.map(stepOf))
    commit(state, { kind: 'decide', decisions: fresh, plannerVersion })
    assumeDone(state)
  }
  return {
    value: applied.result.value,
    events: applied.events.filter((event) => !event.kind.startsWith('operation.')).map((event) => event.text),
    steps,
  }
}

/** Names a plan: the same document on the same cluster gives the same one. */
export function planHash(commands: readonly Command[], steps: readonly PlannedStep[]): string {
  const named = commands.map((command) => (command.kind === 'delete-group' ? { ...command, operation: '' } : command))
  return createHash('sha256')
    .update(canonical([named, steps]))
    .digest('hex')
    .slice(0, 32)
}

function stepOf(decision: PlannedDecision): PlannedStep {
  const { group, action, rule, text, candidates } = decision
  return { group, action: action.kind, ...(action.kind === 'grant' ? { node: action.node } : {}), rule, text, candidates }
}

function commit(state: ClusterState, command: Command) {
  const index = logIndex(state.appliedIndex + 1)
  const applied = tryApply(state, { index, term: 0 as Term }, command)
  state.commit(index, applied.changes)
  return applied
}

function assumeProbesClean(state: ClusterState): void {
  for (const node of nodesOf(state)) {
    const boot = currentBoot(state, node.name)
    if (boot === undefined || boot.state !== 'live') continue
    const missing = groupsOf(state).filter((group) => {
      const known = boot.probes[group.name]
      const isCurrent = known?.definition === group.resourcesRevision && (known.since ?? 0) >= probedSince(state, group, node.name)
      return group.definition.nodes.includes(node.name) && !isCurrent
    })
    if (missing.length === 0) continue
    const found = Object.fromEntries(
      missing.map((group) => {
        const since = probedSince(state, group, node.name)
        return [group.name, { definition: group.resourcesRevision, result: 'clean' as const, detail: 'assumed', since }]
      }),
    )
    const index: LogIndex = logIndex(state.appliedIndex + 1)
    const value = { ...boot, probes: { ...boot.probes, ...found } }
    state.commit(index, [{ table: 'boots', key: bootKey(node.name, boot.boot), value }])
  }
}

/** What was told to stop has stopped; what was granted runs. */
function assumeDone(state: ClusterState): void {
  for (const group of groupsOf(state)) {
    if (!mayStillRun(group)) continue
    const { node, boot, token, order, report } = group.holder
    if (order.wanted === 'stop') commit(state, { kind: 'released', node, boot, group: group.name, token })
    else if ((order.look ?? 0) > (report.looked ?? 0)) {
      const looked = { state: report.state, resources: report.resources, failure: report.failure, looked: order.look ?? 0 }
      commit(state, { kind: 'report', node, boot, group: group.name, token, sequence: order.sequence, report: looked })
    } else if (report.state === 'GRANTED') {
      const names = Object.keys(group.holder.pinned.resources) as ResourceName[]
      const resources = Object.fromEntries(names.map((name) => [name, { state: 'ONLINE' as const }]))
      // That the agents find their copies fit for the primary role.
      const scores = group.part?.role === 'instance' ? { scores: Object.fromEntries(names.map((name) => [name, 0])) } : {}
      const running = { state: 'ONLINE' as const, resources, failure: null, ...scores }
      commit(state, { kind: 'report', node, boot, group: group.name, token, sequence: order.sequence, report: running })
    }
  }
}
