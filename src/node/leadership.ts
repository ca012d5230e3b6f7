/**
 * What this node does while it leads: conducts cases and has the planner's decisions committed.
 *
 * Everything is read anew from the committed state, so a new leader continues where the old one stopped (P8); what is
 * kept here are only this leader's own observations.
 */
import type { BootId, CaseId, Instant, LogTime, MemberId, NodeId, Settings, Term } from '../base/index.js'
import { type Conduct, conduct, type HeardGuardian, isHeld, jeopardyOf } from '../core/arbiter/index.js'
import {
  brakesLevel,
  type ClusterState,
  type Command,
  type CommandResult,
  conductMembers,
  currentBoot,
  type EventRow,
  isQuorumWithout,
  isSwitchedOff,
  leaseBound,
  levelInForce,
  type MemberSight,
  nodesOf,
  openCaseOf,
  rowsOfMembers,
} from '../core/cluster/index.js'
import { type GuardianAnswer, type GuardianQuery, statementGroups } from '../core/guardian/index.js'
import { decide, dueEnds, type Liveness, plannerVersion } from '../core/planner/index.js'
import type { Configuration, ConfigurationChange } from '../core/raft/index.js'
import type { NodeIdentity, NodeIo } from './io.js'
import type { Presence } from './presence.js'
import type { Outcome } from './requests.js'

/** How often every guardian is asked while nobody is silent. Milliseconds. */
const guardianInterval = 1_000
/** How often links are looked at, and how long what is seen has to last before it is told. Milliseconds. */
const linksInterval = 250
const linksPatience = 3_000
/** Between two requests to hand the lead over, in milliseconds. */
const transferPatience = 1_000

/** What a plan does not follow from, and what changes with every write of a client. */
const unplanned: ReadonlySet<string> = new Set(['meta', 'store', 'requests', 'journal', 'decisions', 'checkpoints', 'checkpointParts'])

export interface LeadershipDoors {
  propose(command: Command, done: (outcome: Outcome<CommandResult>) => void): void
  transferLead(to: NodeId): void
  settings(): Settings
  logTime(): LogTime
  /** The consensus: its configuration, and whether a change of it is under way. */
  consensus(): { readonly configuration: Configuration; readonly isChanging: boolean }
  readonly sight: MemberSight
  /** Asks Raft for a change; `refused` says why it is not taken. */
  reconfigure(change: ConfigurationChange, refused: (reason: string) => void): void
  voters(): readonly NodeId[]
  /** Voters that answer as members of the log, this one among them. */
  answering(): readonly NodeId[]
  /** False where a node has said that it cannot reach the fence devices of another. */
  canReach(from: NodeId, target: NodeId): boolean
}

export class Leadership {
  private readonly self: NodeIdentity
  private readonly io: NodeIo
  private readonly presence: Presence
  private readonly state: ClusterState
  private readonly doors: LeadershipDoors
  readonly term: Term
  private readonly since: Instant
  private readonly underWay = new Set<string>()
  private readonly refusedAt = new Map<string, Instant>()
  private readonly caseSeenAt = new Map<CaseId, Instant>()
  private readonly attemptEndedAt = new Map<CaseId, Instant>()
  private readonly guardians = new Map<NodeId, HeardGuardian>()
  private readonly asked = new Map<NodeId, { nonce: string; at: Instant; part: number }>()
  private dirty = true
  private membersNotBefore = Number.NEGATIVE_INFINITY as Instant
  /** Why the last change of the consensus that was wanted is not made. */
  memberRefusal: { readonly member: MemberId; readonly reason: string } | undefined
  private lastPlan = Number.NEGATIVE_INFINITY

  constructor(self: NodeIdentity, io: NodeIo, presence: Presence, state: ClusterState, term: Term, doors: LeadershipDoors) {
    this.self = self
    this.io = io
    this.presence = presence
    this.state = state
    this.term = term
    this.doors = doors
    this.since = io.clock.now()
  }

  /** Entries were applied: remember when cases and attempts were seen, plan again. */
  applied(events: readonly EventRow[], changes: readonly { readonly table: string }[]): void {
    const now = this.io.clock.now()
    this.dirty ||= changes.some(({ table }) => !unplanned.has(table))
    for (const event of events) {
      const id = event.data.case as CaseId | undefined
      const readmitted =
        event.kind === 'node.readmitted'
          ? (event.data.boot as BootId)
          : event.kind === 'case.closed'
            ? this.state.get('cases', id ?? '')?.boot
            : undefined
      if (readmitted !== undefined) this.presence.giver?.resume(event.subject as NodeId, readmitted)
      if (id === undefined) continue
      if (event.kind === 'case.opened') this.caseSeenAt.set(id, now)
      // An answer in the log is a sign of life; without it the next case would open in the same breath.
      if (event.kind === 'case.closed') this.presence.detector.lives(event.subject as NodeId, now)
      if (event.kind.startsWith('case.attempt-')) this.attemptEndedAt.set(id, now)
      const attempt = this.state.get('cases', id)?.attempts.find(({ number }) => number === event.data.number)
      if (event.kind === 'case.attempt-confirmed' && attempt !== undefined && isSwitchedOff(attempt))
        this.switchedOff.set(event.subject as NodeId, now)
    }
  }

  /** Whether nothing was heard of the boot for as long as any lease it may have lasts: what an operator's word needs beside it. */
  isUnheard(node: NodeId, boot: BootId): boolean {
    const giver = this.presence.giver
    if (giver === undefined) return false
    const settings = this.doors.settings()
    const lease = leaseBound(this.state, settings)
    const guard = this.state.get('boots', `${node}/${boot}`)?.guard
    return (
      this.presence.quiet(node) > lease &&
      giver.untilExpired(node, boot, lease, guard?.emergencyStop ?? settings.emergencyStop, this.io.clock.boot()) === 0
    )
  }

  /** Nodes whose loss would leave no quorum among those that answer now and are to stay. */
  needed(): readonly NodeId[] {
    const answering = this.doors.answering().filter((node) => this.state.get('nodes', node)?.away === undefined)
    return this.doors.voters().filter((node) => !isQuorumWithout(this.state, node, answering))
  }

  /** Its guardian's port refuses too, or it does not. */
  peerEnded(node: NodeId): void {
    if (openCaseOf(this.state, node) === undefined)
      this.askGuardian({ kind: 'ask-guardian', node, caseId: null, nonce: null, groups: [] }, this.io.clock.now(), true)
  }

  /** Silent, and held by the word of their guardians. */
  held(): readonly NodeId[] {
    const { state, guardians } = this
    const view = { state, guardians, now: this.io.clock.now(), settings: this.doors.settings(), detector: this.presence.detector }
    const isSilent = (name: NodeId) => ['QUERY', 'CHALLENGE', 'CONDEMNED'].includes(view.detector.stage(name))
    return nodesOf(state).flatMap(({ name }) => (isSilent(name) && isHeld(view, name) ? [name] : []))
  }

  /**
   * When it was last confirmed to be switched off, as far as this leader has seen it. Whatever it answered before, under another boot too
   * that had come up while its device was called, says nothing of it any more.
   */
  switchedOffAt(node: NodeId): Instant | undefined {
    return this.switchedOff.get(node)
  }
  private readonly switchedOff = new Map<NodeId, Instant>()

  livenessChanged(): void {
    this.dirty = true
  }

  guardianAnswered(node: NodeId, answer: GuardianAnswer): void {
    const asked = this.asked.get(node)
    if (asked === undefined || asked.nonce !== answer.nonce) return // Not an answer to this leader's latest question.
    this.guardians.set(node, { answer, at: this.io.clock.now() })
  }

  ghost(node: NodeId, boot: BootId): void {
    this.proposeOnce(`ghost/${boot}`, { kind: 'void-proof', node, boot, sign: `its heartbeats came to ${this.self.node} after the proof` })
  }

  tick(): void {
    const now = this.io.clock.now()
    const giver = this.presence.giver
    if (giver === undefined) return
    for (const wanted of conduct({
      self: this.self.node,
      term: this.term,
      now,
      at: this.doors.logTime(),
      since: this.since,
      boot: this.io.clock.boot(),
      state: this.state,
      settings: this.doors.settings(),
      detector: this.presence.detector,
      leases: giver,
      guardians: this.guardians,
      caseSeenAt: this.caseSeenAt,
      attemptEndedAt: this.attemptEndedAt,
      voters: this.doors.voters(),
      answering: this.doors.answering(),
      canReach: (from, target) => this.doors.canReach(from, target),
      sightOf: (node) => this.presence.sightOf(node, this.doors.settings()),
      freshId: () => this.io.freshId(),
    })) {
      this.perform(wanted, now)
    }
    this.keepAsking(now)
    this.seeLinks(now)
    this.conductMembers(now)
    this.plan(now)
  }

  /** What every guardian says is known before anybody is silent, and whether its port refuses is then known at once. */
  private keepAsking(now: Instant): void {
    for (const name of this.presence.detector.refusing())
      if (this.presence.detector.silence(name, now) < this.doors.settings().condemned) this.peerEnded(name)
    if (now - this.askedAll < guardianInterval) return
    this.askedAll = now
    for (const { name } of nodesOf(this.state))
      if (name !== this.self.node && openCaseOf(this.state, name) === undefined)
        this.askGuardian({ kind: 'ask-guardian', node: name, caseId: null, nonce: null, groups: [] }, now)
  }
  private askedAll = Number.NEGATIVE_INFINITY
  private transferAsked = Number.NEGATIVE_INFINITY

  /** One change of the consensus at a time, towards what is wanted of its members. */
  private conductMembers(now: Instant): void {
    if (now < this.membersNotBefore) return
    const { configuration, isChanging } = this.doors.consensus()
    if (isChanging) return
    const wanted = conductMembers(rowsOfMembers(this.state), configuration, this.doors.sight)
    // What was refused once is no news when it has been done, or is no longer wanted.
    if (wanted?.kind !== 'change' || wanted.member !== this.memberRefusal?.member) this.memberRefusal = undefined
    if (wanted === undefined) return
    this.membersNotBefore = (now + 200) as Instant
    if (wanted.kind === 'settle') {
      this.proposeOnce('settle-members', { kind: 'settle-members', members: wanted.members, voters: wanted.voters })
      return
    }
    this.doors.reconfigure(wanted.change, (reason) => {
      this.memberRefusal = { member: wanted.member, reason }
      this.membersNotBefore = (this.io.clock.now() + 500) as Instant
    })
  }

  /** What is one step from trouble is told once it has been so for a while: a link that comes and goes fills no log. */
  private seeLinks(now: Instant): void {
    if (now - this.lookedAtLinks < linksInterval || levelInForce(this.state) < brakesLevel) return
    this.lookedAtLinks = now
    const settings = this.doors.settings()
    const nodes = nodesOf(this.state)
    const liveness = this.liveness()
    const living = nodes.flatMap(({ name }) => {
      const boot = currentBoot(this.state, name)
      const lives = boot?.state === 'live' && openCaseOf(this.state, name) === undefined && liveness.isAlive(name, boot.boot)
      return lives ? [name] : []
    })
    const found = jeopardyOf(living, (node) => this.presence.sightOf(node, settings), settings.query)
    for (const { name, jeopardy } of nodes) {
      const reasons = found.get(name) ?? []
      const text = reasons.join('; ')
      const before = this.jeopardySeen.get(name)
      if (before?.text !== text) this.jeopardySeen.set(name, { text, since: now })
      else if (text !== (jeopardy?.reasons ?? []).join('; ') && now - before.since >= Math.max(linksPatience, 2 * settings.condemned))
        this.proposeOnce(`links/${name}`, { kind: 'see-links', node: name, reasons })
    }
  }
  private lookedAtLinks = Number.NEGATIVE_INFINITY
  private readonly jeopardySeen = new Map<NodeId, { readonly text: string; readonly since: Instant }>()

  private perform(wanted: Conduct, now: Instant): void {
    const giver = this.presence.giver
    switch (wanted.kind) {
      case 'propose':
        this.proposeOnce(wanted.key, wanted.command)
        return
      case 'withhold':
        giver?.withhold(wanted.node, wanted.boot)
        return
      case 'resume':
        giver?.resume(wanted.node, wanted.boot)
        return
      case 'ask-guardian':
        this.askGuardian(wanted, now)
        return
      case 'transfer-lead':
        // One under way is given its time.
        if (now - this.transferAsked < transferPatience) return
        this.transferAsked = now
        this.doors.transferLead(wanted.to)
        return
    }
  }

  /** One proposal of a key is under way at a time; a refused one rests for a moment. */
  private proposeOnce(key: string, command: Command): void {
    const now = this.io.clock.now()
    if (this.underWay.has(key) || now - (this.refusedAt.get(key) ?? Number.NEGATIVE_INFINITY) < 200) return
    this.underWay.add(key)
    this.doors.propose(command, (outcome) => {
      this.underWay.delete(key)
      this.dirty = true
      const refused = !outcome.ok || !outcome.value.ok || allRefused(outcome.value.value)
      if (refused) this.refusedAt.set(key, this.io.clock.now())
      if (command.kind === 'condemn' && refused) this.condemnationRefused(command.caseId, outcome)
    })
  }

  /** Only where the log itself refused is the boot surely not condemned; an unknown outcome withholds on. */
  private condemnationRefused(id: CaseId, outcome: Outcome<CommandResult>): void {
    const row = this.state.get('cases', id)
    if (row !== undefined && outcome.ok && row.stage !== 'CONDEMNED') this.presence.giver?.resume(row.node, row.boot)
  }

  private askGuardian(
    { node, caseId, nonce, groups }: Extract<Conduct, { kind: 'ask-guardian' }>,
    now: Instant,
    isSuspect = this.presence.detector.hasRefused(node),
  ): void {
    const address = this.state.get('nodes', node)?.guardian
    const before = this.asked.get(node)
    const wanted = nonce ?? (before === undefined || this.state.get('cases', caseId ?? '') !== undefined ? this.io.freshId() : before.nonce)
    if (address === null || address === undefined) return
    if (before !== undefined && before.nonce === wanted && now - before.at < this.doors.settings().heartbeatInterval) return
    // Of many groups a part each time, in turn.
    const from = before !== undefined && before.part < groups.length ? before.part : 0
    const part = groups.slice(from, from + statementGroups)
    const next = from + statementGroups < groups.length ? from + statementGroups : 0
    this.asked.set(node, { nonce: wanted, at: now, part: next })
    const query: GuardianQuery = { kind: 'guardian-query', nonce: wanted, ...(caseId === null ? {} : { caseId, groups: part }) }
    this.io.datagrams.send(0, address, query, isSuspect)
  }

  /** A new leader waits until every node had time to be heard before it judges groups. */
  private plan(now: Instant): void {
    const settings = this.doors.settings()
    if (now - this.since < settings.query || this.underWay.has('decide')) return
    if (!this.dirty && now - this.lastPlan < 250) return
    this.dirty = false
    this.lastPlan = now
    const at = this.doors.logTime()
    for (const due of dueEnds(this.state, at)) this.proposeOnce(`maintenance/${due.node}`, due)
    const decisions = decide({ state: this.state, at, liveness: this.liveness() })
    if (decisions.length > 0) this.proposeOnce('decide', { kind: 'decide', decisions: decisions.slice(0, 200), plannerVersion })
  }

  /** The leader answers the boot's heartbeats, and heard one lately. */
  liveness(): Liveness {
    return {
      isAlive: (node, boot) => {
        const giver = this.presence.giver
        if (giver === undefined || giver.isWithheld(node, boot) || !giver.hasAnswered(node, boot)) return false
        const stage = this.presence.detector.stage(node)
        return stage !== 'JOINING' && stage !== 'CONDEMNED'
      },
      isJoining: (node) => this.presence.detector.stage(node) === 'JOINING',
    }
  }
}

/** Decisions that the state no longer allowed: the next plan must not repeat them in the same breath. */
function allRefused(value: { readonly [key: string]: unknown }): boolean {
  const { outcomes } = value
  return Array.isArray(outcomes) && outcomes.every((outcome) => 'refused' in outcome)
}
