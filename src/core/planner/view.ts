/** Makes the planner's inputs from the committed state and what the leader knows of who is alive. */
import type { BootId, GroupName, LogTime, NodeId } from '../../base/index.js'
import {
  addedClaimHeld,
  type BootRow,
  brakesLevel,
  currentBoot,
  dependencyKindsLevel,
  evictionLevel,
  freezesOf,
  type GrantView,
  type GroupRow,
  groupsOf,
  type Holder,
  instanceName,
  isUpdatable,
  levelInForce,
  livesAsGranted,
  mayStillRun,
  type NodeRow,
  notProbedYet,
  openCases,
  type PlannedDecision,
  poisonOf,
  type Reader,
  strayOf,
  whyHeld,
  whyNoInstance,
  whyNotGrantable,
} from '../cluster/index.js'
import { failureInput, failureToJudge, fenceObstacle, policyInput, restartInput } from './failure-input.js'
import { partInput, type SharedParts, sharedParts, whatRises } from './parts.js'
import { decideGroup, leavingOf } from './plan.js'
import { type CandidateInput, type GroupInput, type HolderInput, ruledOut } from './verdict.js'

export interface Liveness {
  /** The leader answers this boot's heartbeats and heard one lately. */
  isAlive(node: NodeId, boot: BootId): boolean
  /** Nobody has heard the node since the leader's own start. */
  isJoining(node: NodeId): boolean
}

export interface PlannerView {
  readonly state: Reader
  readonly at: LogTime
  readonly liveness: Liveness
}

/** Every group in order of priority (larger first), then name. */
export function decide(view: PlannerView): readonly PlannedDecision[] {
  const shared = lookUp(view)
  const ordered = [...shared.groups].sort((a, b) => b.definition.priority - a.definition.priority || (a.name < b.name ? -1 : 1))
  const decisions: PlannedDecision[] = []
  for (const group of ordered) {
    const decision = decideGroup(inputOf(view, group, shared))
    if (decision !== undefined) decisions.push(decision)
  }
  return decisions
}

interface Shared {
  readonly groups: readonly GroupRow[]
  readonly nodes: ReadonlyMap<NodeId, NodeRow>
  readonly boots: ReadonlyMap<NodeId, BootRow | undefined>
  readonly suspects: ReadonlySet<NodeId>
  readonly level: number
  readonly parts: SharedParts
}

function lookUp(view: PlannerView): Shared {
  const nodes = new Map([...view.state.rows('nodes')].map(([, row]) => [row.name, row]))
  const boots = new Map([...nodes.keys()].map((name) => [name, currentBoot(view.state, name)]))
  const suspects = new Set(
    openCases(view.state)
      .filter((row) => row.stage === 'CHALLENGE' || row.stage === 'CONDEMNED')
      .map((row) => row.node),
  )
  return {
    level: levelInForce(view.state),
    groups: groupsOf(view.state),
    parts: sharedParts(view.state, view.at, (node) => isAlive(view, { boots, suspects }, node)),
    nodes,
    boots,
    suspects,
  }
}

/** What `decideGroup` is asked about one group; also what `why` and `why-not` show. */
export function groupInput(view: PlannerView, group: GroupRow): GroupInput {
  return inputOf(view, group, lookUp(view))
}

/** The same for every group at once, in one look at what they share. */
export function groupInputs(view: PlannerView): ReadonlyMap<GroupName, GroupInput> {
  const shared = lookUp(view)
  return new Map(shared.groups.map((group) => [group.name, inputOf(view, group, shared)]))
}

function inputOf(view: PlannerView, group: GroupRow, shared: Shared): GroupInput {
  const { holder } = group
  const failure = holder === null ? null : failureToJudge(group, holder)
  const { level } = shared
  const judged = failure !== null || holder?.report.state === 'UNKNOWN'
  return {
    group: group.name,
    at: view.at,
    intent: group.intent,
    deleting: group.deleting,
    frozen: group.frozen === null ? null : { until: group.frozen.until, owner: group.frozen.owner, reason: group.frozen.reason },
    ...maintenanceInput(view, group),
    holder:
      holder === null
        ? null
        : {
            node: holder.node,
            token: holder.token,
            proved: group.proof === null ? null : group.proof.kind,
            alive: isAlive(view, shared, holder.node) && shared.boots.get(holder.node)?.boot === holder.boot,
            suspected: shared.suspects.has(holder.node),
            joining: view.liveness.isJoining(holder.node),
            wanted: holder.order.wanted,
            definitionChanged: holder.pinnedRevision !== group.resourcesRevision,
            ...(level >= dependencyKindsLevel ? updateInput(view, shared, group, holder) : {}),
            state: holder.report.state,
            failure,
            restartNumber: holder.order.restart?.number ?? 0,
            ...(isLooked(holder) ? { looking: true as const } : {}),
            ...failureInput(group, holder, failure),
            ...(judged && level >= dependencyKindsLevel ? restartInput(group, holder) : {}),
            ...(judged && holder !== null ? fenceObstacle(view.state, group, holder) : {}),
          },
    lastNode: group.lastNode,
    move: group.move === null ? null : { to: group.move.to, begun: group.move.token !== null },
    restartAsked: group.restartAsked?.token ?? null,
    ...resourceRestartInput(group),
    waitingFor: group.waitingFor,
    ...(judged ? policyInput(group, holder, view.at) : {}),
    ...(judged && level >= brakesLevel ? brakesInput(view, group) : {}),
    ...(group.halted === undefined ? {} : { halted: group.halted.reason }),
    ...poisonInput(view, group),
    ...strayInput(view, shared, group),
    candidates: group.definition.nodes.map((node, at) => candidateInput(view, shared, group, node, at + 1)),
    ...partOf(view, shared, group),
  }
}

function poisonInput(view: PlannerView, group: GroupRow): Pick<GroupInput, 'poisoned'> {
  const poisoned = poisonOf(view.state, group)
  return poisoned === undefined ? {} : { poisoned: poisoned.reason }
}

function strayInput(view: PlannerView, shared: Shared, group: GroupRow): Pick<GroupInput, 'stray'> {
  if (!mayStillRun(group) || group.definition.offlineProbe?.onFound !== 'stopAllRestart') return {}
  const stray = strayOf(grantView(view, shared), group)
  return stray === undefined || stray.why !== undefined || stray.isStale === true ? {} : { stray: stray.node }
}

function grantView(view: PlannerView, shared: Shared): GrantView {
  return { draft: view.state, at: view.at, groups: () => shared.groups, currentBoot: (name) => shared.boots.get(name) }
}

function partOf(view: PlannerView, shared: Shared, group: GroupRow): Pick<GroupInput, 'part'> {
  const part = partInput(shared.parts, group, {
    at: view.at,
    isAlive: (node) => isAlive(view, shared, node),
    mightRun: (instance) => mightRun(view, shared, instance),
    leaves: (instance) => leaves(view, shared, instance),
    whyNot: (instance) => whyNotThere(view, shared, instance),
  })
  return part === undefined ? {} : { part }
}

/** Why an instance is about to go down, were it not for the role. */
function leaves(view: PlannerView, shared: Shared, instance: GroupRow): string | undefined {
  return leavingOf(inputOf(view, instance, shared))
}

/** Nothing but its turn keeps it from being granted; or it is only being looked at. */
function mightRun(view: PlannerView, shared: Shared, instance: GroupRow): boolean {
  const [node] = instance.definition.nodes
  if (node === undefined || instance.intent !== 'ONLINE' || instance.deleting) return false
  const { alive, duty, banned, obstacle } = candidateInput(view, shared, instance, node, 1)
  const turn = whyNoInstance(view.state, instance, instance.part?.of as never)
  const isOnlyTurn = obstacle === null || obstacle === notProbedYet || obstacle === turn
  return alive && duty === 'active' && banned === null && isOnlyTurn
}

function whyNotThere(view: PlannerView, shared: Shared, instance: GroupRow): string | undefined {
  const [node] = instance.definition.nodes
  if (node === undefined) return 'it is for no node'
  const candidate = candidateInput(view, shared, instance, node, 1)
  const why = ruledOut(candidate)
  return candidate.alive && candidate.obstacle === notProbedYet ? undefined : why
}

/** It is to be probed anew before anything is decided. Of what cannot be said nothing can be looked at: that is decided about as it is. */
function isLooked({ order, report }: Holder): boolean {
  return (order.look ?? 0) > (report.looked ?? 0) && report.state !== 'UNKNOWN'
}

function maintenanceInput(view: PlannerView, group: GroupRow): Pick<GroupInput, 'maintenance'> {
  const found = freezesOf(view.state, group).find(({ node }) => node !== undefined)
  if (found?.node === undefined) return {}
  const { node, until, owner, reason } = found
  return { maintenance: { node, until, owner, reason } }
}

function resourceRestartInput({ resourceRestart: asked, holder }: GroupRow): Pick<GroupInput, 'resourceRestart'> {
  if (asked === undefined || asked.sequence !== null || asked.token !== holder?.token) return {}
  const { resource, dependents, operation } = asked
  return { resourceRestart: { resource, operation, ...(dependents === undefined ? {} : { dependents }) } }
}

function brakesInput(view: PlannerView, group: GroupRow): Pick<GroupInput, 'braked'> {
  const braked = whyHeld(view.state, group, view.at)
  return braked === undefined ? {} : { braked }
}

/** Where all is well, what has changed can be taken on in place; else stopping and starting it all is the way out. */
function updateInput(
  view: PlannerView,
  shared: Shared,
  group: GroupRow,
  { pinned, pinnedRevision, report }: Holder,
): Pick<HolderInput, 'updatable' | 'heldUpBy'> {
  if (pinnedRevision === group.resourcesRevision || report.failure !== null) return {}
  const isWell = report.state === 'ONLINE' || report.state === 'STARTING' || report.state === 'GRANTED'
  const isWide = shared.level >= evictionLevel
  if (isWide && mayStillRun(group)) {
    const held = addedClaimHeld(grantView(view, shared), group)
    if (held !== undefined) return { heldUpBy: held }
    if (!livesAsGranted(group)) return {}
  }
  return isWell && isUpdatable(pinned.resources, group.definition.resources, isWide) ? { updatable: true } : {}
}

function candidateInput(view: PlannerView, shared: Shared, group: GroupRow, node: NodeId, rank: number): CandidateInput {
  const boot = shared.boots.get(node)
  const ban = group.bans[node]
  // Looked at as if the holder were out of the way: that it is not is said by other rules.
  const freed = mayStillRun(group) ? { ...group, holder: null } : group
  const obstacle = boot === undefined ? 'it has not registered' : whyNotGrantable(grantView(view, shared), freed, node, boot.boot)
  const candidate = {
    node,
    rank,
    boot: boot?.boot ?? null,
    alive: isAlive(view, shared, node),
    duty: dutyOf(shared.nodes.get(node)),
    banned: ban !== undefined && ban.until > view.at ? `${group.name} failed there: ${ban.reason}` : null,
    obstacle: obstacle ?? null,
  }
  return group.part?.role === 'primary' ? roleCandidate(view, shared, group, candidate) : candidate
}

/** A copy that is about to go down is not promoted first. */
function roleCandidate(view: PlannerView, shared: Shared, group: GroupRow, candidate: CandidateInput): CandidateInput {
  const { node, alive, duty, banned } = candidate
  const instance = view.state.get('groups', instanceName(group.part?.of as never, node))
  const going = instance === undefined || !mayStillRun(instance) ? undefined : leaves(view, shared, instance)
  const obstacle = candidate.obstacle ?? (going === undefined ? null : `its copy there is about to go down: ${going}`)
  const isFit = alive && duty === 'active' && banned === null && going === undefined
  return { ...candidate, obstacle, ...whatRises(shared.parts, group, node, view.at, isFit) }
}

function dutyOf(row: NodeRow | undefined): CandidateInput['duty'] {
  if (row?.away !== undefined) return 'leaving'
  return row?.quarantine === undefined ? (row?.duty ?? 'active') : 'quarantined'
}

function isAlive(view: PlannerView, shared: Pick<Shared, 'boots' | 'suspects'>, node: NodeId): boolean {
  const boot = shared.boots.get(node)
  return boot !== undefined && boot.state === 'live' && !shared.suspects.has(node) && view.liveness.isAlive(node, boot.boot)
}
