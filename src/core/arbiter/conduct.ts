/**
 * The leader's part in cases: when to open, condemn, attempt, prove and close. A pure reading of the committed state and
 * the leader's own observations, asked again at every tick; everything it wants is a command, and the state machine has
 * the last word.
 */
import type { BootId, BootInstant, CaseId, GroupName, Instant, LogTime, NodeId, Settings, Term } from '../../base/index.js'
import {
  type Attempt,
  type AttemptOrder,
  type BootRow,
  bootsOf,
  type CaseRow,
  type Command,
  currentBoot,
  freezesOf,
  heldBy,
  isQuorumWithout,
  isSwitchedOff,
  leaseBound,
  mayStillRun,
  metaOf,
  type NodeRow,
  nodesOf,
  openCaseOf,
  openCases,
  outlastsLease,
  type Reader,
  whyCaseHeld,
} from '../cluster/index.js'
import type { Detector, LeaseGiver } from '../detector/index.js'
import type { GuardianAnswer } from '../guardian/index.js'
import { isHeardBy, orderOfRemoval, type SightOf, whoReachesMore } from './reach.js'

/** The newest answer of a node's guardian to this leader. */
export interface HeardGuardian {
  readonly answer: GuardianAnswer
  readonly at: Instant
}

export interface ConductView {
  readonly self: NodeId
  readonly term: Term
  readonly now: Instant
  /** Log time now, as this leader counts it. */
  readonly at: LogTime
  /** Since when this leader may judge. */
  readonly since: Instant
  readonly boot: BootInstant
  readonly state: Reader
  readonly settings: Settings
  readonly detector: Detector
  readonly leases: LeaseGiver
  readonly guardians: ReadonlyMap<NodeId, HeardGuardian>
  /** When this leader applied the case's entry, on its own clock. */
  readonly caseSeenAt: ReadonlyMap<CaseId, Instant>
  /** When this leader saw an attempt end, by case: for the pause before the next one. */
  readonly attemptEndedAt: ReadonlyMap<CaseId, Instant>
  readonly voters: readonly NodeId[]
  /** Voters that answer as members of the log, this one among them. */
  readonly answering: readonly NodeId[]
  /** False where a node has said that it cannot reach the fence devices of another. */
  readonly canReach: (from: NodeId, target: NodeId) => boolean
  /** What a node last said of whom it hears; undefined where it said nothing. */
  readonly sightOf: SightOf
  /** A fresh name for a case or nonce; the caller's randomness. */
  readonly freshId: () => string
}

export type Conduct =
  | { readonly kind: 'propose'; readonly command: Command /** One proposal of a key at a time. */; readonly key: string }
  | { readonly kind: 'withhold'; readonly node: NodeId; readonly boot: BootId }
  | { readonly kind: 'resume'; readonly node: NodeId; readonly boot: BootId }
  /** Ask the node's guardian, over its own port; in a case what it says of these groups, a part at a time. */
  | {
      readonly kind: 'ask-guardian'
      readonly node: NodeId
      readonly caseId: CaseId | null
      readonly nonce: string | null
      readonly groups: readonly GroupName[]
    }
  /** The lead must go elsewhere first. */
  | { readonly kind: 'transfer-lead'; readonly to: NodeId }

/** How long a node that was switched off waits for its services to be up elsewhere before it is switched on. Milliseconds. */
const servicesFirst = 2_000
/** How often a node is switched on again where that fails, and how much longer each time until the next try. Milliseconds. */
const onTriesMax = 3
const onPause = 2_000
const retryPauses = [0, 1_000, 2_000, 5_000, 10_000, 30_000] as const

export function conduct(view: ConductView): readonly Conduct[] {
  const wanted: Conduct[] = []
  const { formerLease } = metaOf(view.state)
  if (formerLease !== null && formerLease.until === null)
    wanted.push({ kind: 'propose', key: 'former-lease', command: { kind: 'count-former-lease', revision: formerLease.revision } })
  for (const { name, quarantine } of nodesOf(view.state))
    if (quarantine !== undefined && quarantine.until <= view.at)
      wanted.push({ kind: 'propose', key: `quarantine/${name}`, command: { kind: 'end-quarantine', node: name, since: quarantine.since } })
  for (const node of nodesOf(view.state)) {
    const open = openCaseOf(view.state, node.name)
    if (open === undefined) wanted.push(...suspect(view, node))
    else wanted.push(...conductCase(view, node, open))
  }
  return wanted
}

/** Nodes without a case: look, ask, challenge. */
function suspect(view: ConductView, node: NodeRow): readonly Conduct[] {
  const boot = currentBoot(view.state, node.name)
  if (boot === undefined || boot.state === 'ended') return []
  const asked = fenceAsked(view, node.name)
  // It holds nothing and is granted nothing: its silence is as it should be.
  const hasLeft = node.away?.boot === boot.boot
  if (node.name === view.self && hasLeft && asked === undefined) return leaveLead(view)
  if (hasLeft && asked === undefined) return []
  if (node.maintenance !== undefined && asked === undefined) return []
  if (node.name === view.self) return asked === undefined ? [] : handOver(view)
  if (boot.state === 'condemned') return [] // Its case is being reopened or was readmitted; nothing to suspect.
  if (asked !== undefined) return fenceOnRequest(view, node, boot.boot, asked)
  const stage = view.detector.stage(node.name)
  const ask: Conduct = { kind: 'ask-guardian', node: node.name, caseId: null, nonce: null, groups: [] }
  // Where its daemon's ports refuse, its guardian is asked at once: it holds the case, or refuses too.
  if (stage === 'MISSED' && view.detector.hasRefused(node.name)) return [ask]
  if (stage === 'JOINING' || stage === 'HEALTHY' || stage === 'MISSED') return []
  const refuses = view.detector.refuses(node.name)
  // A new leader brings the silence that it measured, not the answers: it asks first and leaves the guardian the usual time.
  const askedLately = !refuses && view.now - view.since < view.settings.challenge - view.settings.query
  if (stage === 'QUERY' || askedLately) return [ask]
  const silence = Math.round(view.detector.silence(node.name, view.now))
  // Where others hear it, it is a link that fails, and perhaps this leader's: whoever hears it renews it.
  const better = refuses ? undefined : betterLeader(view, node.name)
  if (better !== undefined) return [ask, { kind: 'transfer-lead', to: better }]
  if (isHeld(view, node.name)) return [ask]
  if (!refuses && waitsItsTurn(view, node.name)) return [ask]
  const trigger = refuses ? `silent for ${silence} ms, and all its ports refuse` : `silent for ${silence} ms`
  return [ask, openCase(view, node, boot.boot, trigger)]
}

/**
 * A guardian that says "lease until D" holds the case while it answers each query (HELD), whether its daemon is down or only silent: the
 * machine lives and its services run, and at D the guardian ends them and proves it. Being cut off before then would only take them away.
 * Never for longer than a lease: a daemon that is renewed and yet too slow to be taken for alive has to answer a challenge.
 */
export function isHeld(view: Pick<ConductView, 'guardians' | 'now' | 'settings' | 'detector' | 'state'>, node: NodeId): boolean {
  const heard = heardInSilence(view, node)
  return (
    heard !== undefined &&
    heard.answer.leaseRemainingMs - (view.now - heard.at) > 0 &&
    view.detector.silence(node, view.now) < view.settings.lease + view.settings.condemned
  )
}

/** The guardian is ending what runs, as it does when a lease is over: cutting the node off would do it less well. */
function isEnding(view: ConductView, node: NodeId): boolean {
  const heard = heardInSilence(view, node)
  if (heard?.answer.emergency !== 'stopping') return false
  const { emergencyStop } = currentBoot(view.state, node)?.guard ?? view.settings
  return view.detector.silence(node, view.now) < view.settings.lease + view.settings.condemned + emergencyStop
}

/** What the guardian of its present boot has said since the node fell silent, and lately; nothing where nobody is there any more. */
function heardInSilence(
  view: Pick<ConductView, 'guardians' | 'now' | 'settings' | 'detector' | 'state'>,
  node: NodeId,
): HeardGuardian | undefined {
  const heard = view.guardians.get(node)
  if (heard === undefined || view.now - heard.at > view.settings.challenge || view.detector.refuses(node)) return undefined
  const isOfThisSilence = heard.at > view.now - view.detector.silence(node, view.now)
  return isOfThisSilence && heard.answer.boot === currentBoot(view.state, node)?.boot ? heard : undefined
}

function openCase(view: ConductView, node: NodeRow, boot: BootId, trigger: string): Conduct {
  const arbiter = chooseArbiter(view, node.name)
  const command: Command = {
    kind: 'open-case',
    caseId: `c-${node.name}-${view.freshId()}` as CaseId,
    node: node.name,
    boot,
    arbiter,
    nonce: view.freshId(),
    trigger,
    dossier: dossier(view, node.name),
  }
  return { kind: 'propose', key: `case/${node.name}`, command }
}

/** How long a leader tries to hand its lead to whoever reaches more nodes, before a case is opened all the same. Milliseconds. */
function handOverTime({ condemned, electionTimeoutMax }: Settings): number {
  return condemned + 3 * electionTimeoutMax
}

/** A voter that reaches strictly more nodes both ways than this leader, the silent one among them. */
function betterLeader(view: ConductView, silent: NodeId): NodeId | undefined {
  if (view.detector.silence(silent, view.now) >= handOverTime(view.settings)) return undefined
  return whoReachesMore(view.self, silent, whoMayLead(view), view.sightOf, view.settings.query)
}

/**
 * Of several that this leader does not hear and others do, one is challenged at a time: with it gone the rest may be whole again.
 * They wait no longer than a lease, for they are not renewed meanwhile. One that nobody hears waits for no one.
 */
function waitsItsTurn(view: ConductView, node: NodeId): boolean {
  const contested = contestedBy(view)
  if (!contested.includes(node) || view.detector.silence(node, view.now) >= view.settings.lease + view.settings.condemned) return false
  const isOthersTurn = openCases(view.state).some(
    (row) =>
      (row.stage === 'CHALLENGE' || row.stage === 'CONDEMNED') && !row.trigger.startsWith('asked by ') && isHeardByOthers(view, row.node),
  )
  return isOthersTurn || removals(view, contested)[0]?.node !== node
}

/** Silent for this leader, without a case, and heard by others. */
function contestedBy(view: ConductView): readonly NodeId[] {
  return nodesOf(view.state).flatMap(({ name, away }) => {
    const boot = currentBoot(view.state, name)
    const stage = view.detector.stage(name)
    const isSilent = stage === 'CHALLENGE' || stage === 'CONDEMNED'
    const isOpen = boot?.state !== 'live' || away?.boot === boot.boot || openCaseOf(view.state, name) !== undefined
    const isContested = isSilent && !isOpen && !view.detector.refuses(name) && !isHeld(view, name)
    return isContested && isHeardByOthers(view, name) ? [name] : []
  })
}

function isHeardByOthers(view: ConductView, node: NodeId): boolean {
  return nodesOf(view.state).some(
    ({ name }) => name !== node && name !== view.self && isHeardBy(view.sightOf(name), node, view.settings.query),
  )
}

function removals(view: ConductView, silent: readonly NodeId[]) {
  const names = nodesOf(view.state).map(({ name }) => name)
  return orderOfRemoval(names, silent, view.sightOf, view.settings.query, (node) => {
    const held = heldBy(view.state, node, currentBoot(view.state, node)?.boot ?? '')
    return held.reduce((sum, group) => sum + (view.state.get('groups', group)?.definition.priority ?? 0), 0)
  })
}

/** What every node last said of whom it hears. */
function matrix(view: ConductView): Record<string, unknown> {
  return Object.fromEntries(
    nodesOf(view.state).map(({ name }) => {
      const sight = view.sightOf(name)
      return [
        name,
        sight === undefined ? 'has said nothing' : { saidMsAgo: Math.round(sight.age), mutual: sight.mutual, silentMs: sight.heard },
      ]
    }),
  )
}

function dossier(view: ConductView, node: NodeId): Record<string, unknown> {
  const contested = contestedBy(view)
  const guardian = view.guardians.get(node)
  return {
    observer: view.self,
    links: view.detector.report(view.now).find((report) => report.node === node)?.links ?? [],
    matrix: matrix(view),
    ...(contested.includes(node) ? { removal: removals(view, contested) } : {}),
    observerStalledMs: Math.round(view.detector.stalledMs),
    guardian: guardian === undefined ? 'no answer' : { ...guardian.answer, ageMs: Math.round(view.now - guardian.at) },
    holds: currentBoot(view.state, node) === undefined ? [] : heldBy(view.state, node, currentBoot(view.state, node)?.boot ?? ''),
  }
}

/** A live node other than the suspect; by preference one that can reach its devices, and not the leader, so that its death does not take both; then by name. */
function chooseArbiter(view: ConductView, target: NodeId, notAgain?: NodeId): NodeId {
  const fit = nodesOf(view.state)
    .map((node) => node.name)
    .filter(
      (name) =>
        name !== target && (name === view.self || (view.detector.stage(name) === 'HEALTHY' && openCaseOf(view.state, name) === undefined)),
    )
    .filter((name) => currentBoot(view.state, name)?.state === 'live')
  const staying = fit.filter((name) => view.state.get('nodes', name)?.away === undefined)
  const fitter = staying.length > 0 ? staying : fit
  const reaching = fitter.filter((name) => view.canReach(name, target))
  const others = (reaching.length > 0 ? reaching : fitter).filter((name) => name !== notAgain)
  return (others.length > 0 ? others : fit).find((name) => name !== view.self) ?? others[0] ?? view.self
}

function conductCase(view: ConductView, node: NodeRow, row: CaseRow): readonly Conduct[] {
  switch (row.stage) {
    case 'CHALLENGE':
      return challenged(view, node, row)
    case 'CONDEMNED':
      return condemned(view, node, row)
    case 'PROVED':
      return proved(view, node, row)
    default:
      return []
  }
}

function challenged(view: ConductView, node: NodeRow, row: CaseRow): readonly Conduct[] {
  const byOperator = row.trigger.startsWith('asked by')
  if (byOperator && row.node === view.self) return handOver(view) // The lead goes elsewhere first.
  const stage = view.detector.stage(row.node)
  // One whose ports no longer refuse, and that said nothing since, is not alive for it: its silence goes on.
  const lived = view.now - view.detector.silence(row.node, view.now) > (view.caseSeenAt.get(row.id) ?? view.since)
  if (!byOperator && (stage === 'HEALTHY' || (stage === 'MISSED' && lived))) {
    return [
      resume(row),
      { kind: 'propose', key: `case/${row.node}`, command: { kind: 'close-case', caseId: row.id, conclusion: 'a sign of life came' } },
    ]
  }
  const wanted: Conduct[] = [askInCase(view, row)]
  const statement = guardianStatement(view, row)
  if (statement !== undefined) return [...wanted, statement]
  const isAskedFor = byOperator || fenceAsked(view, row.node) !== undefined
  if (!isAskedFor && (isHeld(view, row.node) || isEnding(view, row.node))) return wanted
  const waited = view.now - (view.caseSeenAt.get(row.id) ?? view.since) // One that an earlier leader opened: from the own term on.
  // Nobody is left there to answer the challenge where every port refuses (its machine says so itself).
  const due =
    byOperator ||
    (stage === 'CONDEMNED' && (view.detector.refuses(row.node) || waited >= view.settings.condemned - view.settings.challenge))
  if (!due || !mayBeCondemned(view, row) || !isQuorumWithout(view.state, row.node, view.answering, view.at)) return wanted
  const attempt = levelsLeft(view, node, row).length > 0 && mayBegin(view, row) ? (attemptOrder(view, node, row, 'off') ?? null) : null
  const reason = byOperator
    ? row.trigger
    : `silent for ${Math.round(view.detector.silence(row.node, view.now))} ms, ${view.detector.refuses(row.node) ? 'all its ports refuse' : 'no answer to the challenge'}`
  return [
    ...wanted,
    { kind: 'withhold', node: row.node, boot: row.boot },
    {
      kind: 'propose',
      key: `case/${row.node}`,
      command: {
        kind: 'condemn',
        caseId: row.id,
        attempt,
        reason,
        answering: view.answering,
        ...(row.diskAnswer === undefined ? {} : { leaseOver: true as const }),
      },
    },
  ]
}

/** Who has answered on a shared disk lives, and ends by itself when its lease does: until then there is nothing to win. */
function mayBeCondemned(view: ConductView, row: CaseRow): boolean {
  if (row.diskAnswer === undefined || row.trigger.startsWith('asked by')) return true
  return view.leases.untilExpired(row.node, row.boot, leaseBound(view.state, view.settings), 0, view.boot) === 0
}

function resume(row: CaseRow): Conduct {
  return { kind: 'resume', node: row.node, boot: row.boot }
}

function condemned(view: ConductView, node: NodeRow, row: CaseRow): readonly Conduct[] {
  const wanted: Conduct[] = [{ kind: 'withhold', node: row.node, boot: row.boot }, askInCase(view, row)]
  const statement = guardianStatement(view, row)
  if (statement !== undefined) wanted.push(statement)
  // A leader that is condemned itself is renewed no more: it calls no device, and others conduct its case better.
  if (row.node === view.self) wanted.push(...leaveLead(view))
  const open = row.attempts.find((attempt) => attempt.state === 'open')
  const boot = bootsOf(view.state, row.node).find((candidate) => candidate.boot === row.boot)
  const replaced = currentBoot(view.state, row.node)?.boot !== row.boot
  if (boot !== undefined && leaseCounts(view, boot) && endsWithLease(view, row) && !isDenied(view, row, boot)) {
    const left = view.leases.untilExpired(row.node, row.boot, leaseBound(view.state, view.settings), boot.guard.emergencyStop, view.boot)
    if (left === 0)
      wanted.push({
        kind: 'propose',
        key: `lease/${row.node}`,
        command: { kind: 'lease-proof', node: row.node, boot: row.boot, judgedTerm: view.term, waitedMs: 0 },
      })
  }
  if (open !== undefined) return [...wanted, ...watchAttempt(view, row, open)]
  // Back before it was cut off, and nothing left in its hands: let it in again, unless a person wants it off.
  const asked = row.trigger.startsWith('asked by')
  const alive = view.detector.quiet(row.node, view.now) < view.settings.query
  if (!asked && alive && !replaced && heldBy(view.state, row.node, row.boot).length === 0) {
    wanted.push({
      kind: 'propose',
      key: `case/${row.node}`,
      command: { kind: 'readmit', node: row.node, boot: row.boot, reason: 'it came back before it was cut off and has stopped everything' },
    })
    return wanted
  }
  const mayCall = pauseOver(view, row) && mayBegin(view, row) && isQuorumWithout(view.state, row.node, view.answering, view.at)
  const attempt = !replaced && levelsLeft(view, node, row).length > 0 && mayCall ? attemptOrder(view, node, row, 'off') : undefined
  if (attempt !== undefined)
    wanted.push({
      kind: 'propose',
      key: `case/${row.node}`,
      command: { kind: 'attempt', caseId: row.id, attempt, answering: view.answering },
    })
  return wanted
}

/** Not where all that it still holds are copies that go on without one. */
function endsWithLease(view: ConductView, row: CaseRow): boolean {
  const held = heldBy(view.state, row.node, row.boot).flatMap((name) => view.state.get('groups', name)?.holder ?? [])
  return held.length === 0 || held.some(({ pinned }) => !outlastsLease(pinned))
}

function leaseCounts(view: ConductView, { guard, detached }: Pick<BootRow, 'guard' | 'detached'>): boolean {
  return detached === undefined && guard.guarded && (guard.watchdog === 'armed' || view.settings.acceptGuardianLease)
}

/** Without a watchdog the end of a lease rests on the guardian alone; and this one says that it could not end everything. */
function isDenied(view: ConductView, row: CaseRow, { guard }: BootRow): boolean {
  const heard = view.guardians.get(row.node)
  return guard.watchdog !== 'armed' && heard?.answer.boot === row.boot && heard.answer.emergency === 'cannot-verify'
}

function askInCase(view: ConductView, row: CaseRow): Conduct {
  return { kind: 'ask-guardian', node: row.node, caseId: row.id, nonce: row.nonce, groups: heldBy(view.state, row.node, row.boot) }
}

/** A statement names a part of what the boot holds: each proves that part, and the last one the boot. */
function guardianStatement(view: ConductView, row: CaseRow): Conduct | undefined {
  const heard = view.guardians.get(row.node)
  if (heard === undefined || heard.answer.nonce !== row.nonce || heard.answer.boot !== row.boot || heard.answer.emergency !== 'stopped')
    return undefined
  if (bootsOf(view.state, row.node).some(({ boot, detached }) => boot === row.boot && detached !== undefined)) return undefined
  const { sealed, open } = heard.answer
  const held = heldBy(view.state, row.node, row.boot)
  const named = held.flatMap((group) => {
    const [token, wanted] = [sealed[group], view.state.get('groups', group)?.holder?.token]
    return open[group] === undefined && token !== undefined && wanted !== undefined && token >= wanted ? [[group, token] as const] : []
  })
  if (held.length === 0 ? Object.keys(open).length > 0 : named.length === 0) return undefined
  const command: Command = {
    kind: 'guardian-proof',
    caseId: row.id,
    node: row.node,
    boot: row.boot,
    nonce: row.nonce,
    tokens: Object.fromEntries(named),
    verified: true,
  }
  return { kind: 'propose', key: `guardian/${row.node}`, command }
}

/** An attempt whose arbiter is gone is given up only once its call can no longer happen. */
function watchAttempt(view: ConductView, row: CaseRow, open: Attempt): readonly Conduct[] {
  const abandon = (reason: string): Conduct => ({
    kind: 'propose',
    key: `case/${row.node}`,
    command: { kind: 'abandon-attempt', caseId: row.id, number: open.number, judgedTerm: view.term, reason },
  })
  const arbiterBoot = bootsOf(view.state, open.arbiter).find((boot) => boot.boot === open.arbiterBoot)
  const arbiterCase = openCaseOf(view.state, open.arbiter)
  // One without a case does what it was told, or is suspected first. This leader too, unless it is condemned and has no lease to call within.
  if (arbiterCase === undefined && (open.arbiter === view.self || view.detector.stage(open.arbiter) !== 'CONDEMNED')) return []
  if (arbiterBoot === undefined) return []
  // Only what ends a kernel ends its calls; a guardian's or a lease's proof leaves the machine running.
  const { proof } = arbiterBoot
  if (proof !== null && (proof.kind === 'fenced' || proof.kind === 'operator' || proof.kind === 'rebooted')) {
    return [abandon(`its arbiter ${open.arbiter} is itself proved ended (${proof.kind})`)]
  }
  const lease = leaseBound(view.state, view.settings)
  const left = view.leases.untilExpired(open.arbiter, arbiterBoot.boot, lease, 0, view.boot)
  return left === 0 && view.leases.untilExpired(open.arbiter, arbiterBoot.boot, lease + open.timeout, 0, view.boot) === 0
    ? [abandon(`the lease of its arbiter ${open.arbiter} and the time of its call have passed`)]
    : []
}

/** Undefined where nobody could carry it out now. */
function attemptOrder(view: ConductView, node: NodeRow, row: CaseRow, action: 'off' | 'on'): AttemptOrder | undefined {
  const offs = row.attempts.filter((attempt) => attempt.action === 'off').length
  const left = levelsLeft(view, node, row)
  const level = action === 'on' ? (row.attempts.findLast(isSwitchedOff)?.level ?? 0) : (left[offs % Math.max(1, left.length)] ?? 0)
  const last = row.attempts.at(-1)
  // Whoever failed may be the one that cannot reach the device: another tries next.
  const again = last === undefined || last.state === 'confirmed'
  const fit = view.detector.stage(row.arbiter) === 'HEALTHY' && currentBoot(view.state, row.arbiter)?.state === 'live'
  const arbiter = again && fit ? row.arbiter : chooseArbiter(view, node.name, last?.arbiter)
  if (currentBoot(view.state, arbiter)?.state !== 'live') return undefined
  return { number: row.attempts.length + 1, level, arbiter, action }
}

/**
 * Levels of its devices that may still bring something: what has cut it off from its storage has done all that it can while the
 * boot holds what lives elsewhere. Once it holds nothing, being cut off proves the boot: that is looked at anew.
 */
function levelsLeft(view: ConductView, node: NodeRow, row: CaseRow): readonly number[] {
  const holds = heldBy(view.state, row.node, row.boot).length > 0
  const isSpent = (level: number) =>
    holds &&
    row.attempts.some(
      (attempt) => attempt.level === level && attempt.action === 'off' && attempt.state === 'confirmed' && !isSwitchedOff(attempt),
    )
  return node.fencing.levels.flatMap((_, level) => (isSpent(level) ? [] : [level]))
}

/** After every level was tried once, each further round waits longer. */
function pauseOver(view: ConductView, row: CaseRow): boolean {
  const levels = Math.max(1, view.state.get('nodes', row.node)?.fencing.levels.length ?? 1)
  const rounds = Math.floor(row.attempts.filter((attempt) => attempt.action === 'off').length / levels)
  const pause = retryPauses[Math.min(rounds, retryPauses.length - 1)] ?? 0
  return view.now - (view.attemptEndedAt.get(row.id) ?? view.caseSeenAt.get(row.id) ?? view.since) >= pause
}

/** The brakes do not hold it: a person is asked before more is begun than they allow. */
function mayBegin(view: ConductView, row: CaseRow): boolean {
  // What the log says of its condemnation is not there yet where it is being proposed.
  return whyCaseHeld(view.state, row, view.at) === undefined
}

function proved(view: ConductView, node: NodeRow, row: CaseRow): readonly Conduct[] {
  if (row.attempts.some((attempt) => attempt.state === 'open'))
    return watchAttempt(view, row, row.attempts.find((attempt) => attempt.state === 'open') as Attempt)
  // Another proof may have come before the device's answer: what was switched off is switched on all the same.
  const turnedOff = row.attempts.some(isSwitchedOff)
  // What fails is tried again by others, a few times, then told; what an arbiter took along when it was lost does not count.
  const ons = row.attempts.filter((attempt) => attempt.action === 'on' && attempt.state !== 'abandoned')
  const turnedOn = ons.length >= onTriesMax || ons.some(({ state }) => state === 'confirmed')
  const waiting = row.groups.filter((name) => {
    const group = view.state.get('groups', name)
    if (group === undefined || group.intent !== 'ONLINE' || group.waitingFor !== null) return false
    if (freezesOf(view.state, group).length > 0) return false
    return !mayStillRun(group) || !['ONLINE', 'FAILED', 'UNKNOWN'].includes(group.holder.report.state)
  })
  if (turnedOff && node.fencing.then === 'on' && !turnedOn && currentBoot(view.state, row.node)?.boot === row.boot) {
    // Its services first: the same monitor may have to start them and to call the device.
    const since = view.now - (view.attemptEndedAt.get(row.id) ?? view.since)
    if ((waiting.length > 0 && since < servicesFirst) || since < ons.length * onPause) return []
    const attempt = attemptOrder(view, node, row, 'on')
    const command: Command | undefined = attempt && { kind: 'attempt', caseId: row.id, attempt, answering: view.answering }
    return command === undefined ? [] : [{ kind: 'propose', key: `case/${row.node}`, command }]
  }
  // A node that is back may be lost again: its next case must not wait for this one's end.
  const isBack = currentBoot(view.state, row.node)?.state === 'live'
  if (waiting.length > 0 && !isBack) return []
  const back = row.groups.map((name) => `${name} on ${view.state.get('groups', name)?.holder?.node ?? 'no node'}`)
  const conclusion = back.length === 0 ? 'it held no groups' : back.join(', ')
  return [{ kind: 'propose', key: `case/${row.node}`, command: { kind: 'recover-case', caseId: row.id, conclusion } }]
}

/** A person's request to fence, not yet carried out. */
function fenceAsked(view: ConductView, node: NodeId): string | undefined {
  for (const [, row] of view.state.rows('operations')) {
    if (row.kind === 'fence' && row.status === 'running' && row.subject === node) return row.detail
  }
  return undefined
}

function fenceOnRequest(view: ConductView, node: NodeRow, boot: BootId, detail: string): readonly Conduct[] {
  if (node.fencing.levels.length === 0) return [] // Its devices were taken away after the request.
  // A node that still answers is not fenced where the voters left would be no quorum.
  if (!isQuorumWithout(view.state, node.name, view.answering, view.at)) return []
  return [openCase(view, node, boot, `asked by ${detail}`)]
}

/** A leader that leaves hands the lead to one that stays. */
function leaveLead(view: ConductView): readonly Conduct[] {
  const [to] = whoMayLead(view)
  return to === undefined ? [] : [{ kind: 'transfer-lead', to }]
}

/** One that is to be fenced hands it over only where the fencing can then take place. */
function handOver(view: ConductView): readonly Conduct[] {
  if (!isQuorumWithout(view.state, view.self, view.answering, view.at)) return []
  return leaveLead(view)
}

/** Others that are well and would not give the lead away themselves: else it would go to and fro. */
function whoMayLead(view: ConductView): readonly NodeId[] {
  const { answering, self, detector, state } = view
  return answering.filter(
    (voter) =>
      voter !== self &&
      detector.stage(voter) === 'HEALTHY' &&
      currentBoot(state, voter)?.state === 'live' &&
      openCaseOf(state, voter) === undefined &&
      state.get('nodes', voter)?.away === undefined &&
      fenceAsked(view, voter) === undefined,
  )
}
