/**
 * The running node: one inbox that wires the core rooms to the world.
 *
 * What happens outside is put into the inbox; it is handled in order, to the end, and what follows is handed to the io
 * rooms. It holds no opinions of its own: Raft, the state machine, the detector, the arbiter, the planner and the node
 * agent decide.
 */
import {
  type BootInstant,
  ClusterError,
  effectiveSettings,
  fromPlain,
  type GroupName,
  type Instant,
  invariant,
  type LogIndex,
  type LogTime,
  logIndex,
  type MemberId,
  type NodeId,
  type PlainError,
  RenewingMap,
  type RequestId,
  type Settings,
  type Term,
  type Token,
  unreachable,
} from '../base/index.js'
import {
  type AttemptEffect,
  AttemptRunner,
  type CallOutcome,
  type DeviceCall,
  type PathReport,
  type PathState,
  PathWatch,
} from '../core/arbiter/index.js'
import {
  type Address,
  type Applied,
  apply,
  BeyondThisVersion,
  type BootRow,
  type Change,
  type ClusterState,
  type Command,
  type CommandResult,
  casesOf,
  compactLevel,
  currentBoot,
  type Envelope,
  type EventRow,
  forwardTermLevel,
  type Guard,
  heldBy,
  holdsToken,
  isQuorumWithout,
  levelInForce,
  levelOf,
  levelOfAll,
  loneWrite,
  maintenanceLevel,
  mayStillRun,
  mergeWrites,
  metaOf,
  type NodeRow,
  nodesOf,
  openCaseOf,
  openCases,
  type Reader,
  rowsOfMembers,
  type StoreOperation,
  silentGuardianLevel,
  storageAgent,
  writesMax,
} from '../core/cluster/index.js'
import { type DiskAnswer, type DiskEffect, type DiskReport, type DiskView, DiskWatch } from '../core/disks/index.js'
import { type GuardianAnswer, type GuardianOrder, type GuardianState, isSuspended } from '../core/guardian/index.js'
import type { MonitorReport } from '../core/monitor/index.js'
import { MonitorHealth, MonitorNotes, NodeAgent } from '../core/node-agent/index.js'
import {
  type Configuration,
  type ConfigurationChange,
  type LogEntry,
  membersOf,
  Raft,
  type RaftEffect,
  type RaftEvent,
  type RaftTiming,
  type SnapshotMeta,
} from '../core/raft/index.js'
import type { Identity, Restored, RowChange } from '../io/store/index.js'
import { decodeEntry, encodeEntry } from './entries.js'
import { deviceOrder } from './fence-calls.js'
import type { NodeIdentity, NodeIo } from './io.js'
import { Leadership } from './leadership.js'
import { Membership } from './membership.js'
import { type Frame, type Heartbeat, kindOf, type Question, type Renewed } from './messages.js'
import { Presence } from './presence.js'
import { type RaftFrame, RaftPacker, unpackFrame } from './raft-wire.js'
import { type Outcome, type Proposal, Requests } from './requests.js'
import { Snapshots } from './snapshots.js'

/** Milliseconds of a Raft tick. */
export const tickInterval = 10
/** Ticks are not caught up beyond this after a stall: the stall was ours, not the others' silence. */
const ticksAtOnce = 3
const defaultTimeout = 5_000
const mebibyte = 1024 * 1024
/** Sums of the state that are remembered, to be compared with what the others say. */
const sumsKept = 64
const compareInterval = 500
const noChanges: Applied['changes'] = []
/** How often fence devices are thought of, in milliseconds. */
const pathLookInterval = 100
/** How long what follows from time alone may wait, in milliseconds. */
const lookIntervalMax = 50
const pathQuestionsMax = 32
/** Milliseconds that a write waits at most for busy followers. */
const writesWaitMax = 100
/** How long an answer of the leader waits at most for this node to have applied what it answers, in milliseconds. */
const appliedHereMax = 2_000
/** Whoever asked gets what is known by then, in milliseconds. */
const pathPatience = 120_000
/** How long connections with nodes that have left are kept, in milliseconds: they may hear of it. */
const partAfter = 5_000
/** A node that is told to stop with the whole cluster, and has no lease and no leader for so long, goes by itself. Milliseconds. */
const forgottenAfter = 10_000
/** Milliseconds between two entries at which all members know the sum of the state. */
const markInterval = 5_000
/** Entries that must have come since the last one: with few, batches end together by themselves. */
const markEntries = 500

export interface ProposeOptions {
  readonly requestId?: RequestId
  /** Set to have the answer kept for retries. */
  readonly fingerprint?: string
  readonly timeoutMs?: number
  /** Only by this node as the leader of this term. */
  readonly term?: Term
}

export interface NodeStatus {
  readonly node: NodeId
  readonly role: string
  readonly term: number
  readonly leader: NodeId | undefined
  readonly commitIndex: LogIndex
  readonly appliedIndex: LogIndex
  /** A leader is known, and the first entry, which names the nodes, is applied here. */
  readonly quorate: boolean
  readonly leaseRemainingMs: number
  /** Age of the newest renewal: what was committed before it is in the state here. Undefined before the first. */
  readonly renewedAgoMs: number | undefined
  readonly guardian: boolean
  readonly monitor: boolean
  readonly loopLagMs: number
}

type Listener = (applied: {
  readonly index: LogIndex
  readonly events: readonly EventRow[]
  readonly changes: readonly RowChange[]
  /** A snapshot has taken the place of the state: anything may have changed. */
  readonly replaced?: true
}) => void

export class QuorateNode {
  readonly state: ClusterState
  private readonly self: NodeIdentity
  private readonly io: NodeIo
  private readonly identity: Identity
  private readonly raft: Raft
  private readonly membership: Membership
  private readonly snapshots: Snapshots
  private readonly presence: Presence
  private readonly agent: NodeAgent
  private readonly monitorNotes = new MonitorNotes()
  /** Of the shared monitor, and of those that groups have of their own. */
  private readonly monitorHealths = new Map<GroupName | undefined, MonitorHealth>()
  private readonly runner = new AttemptRunner()
  private readonly pathWatch: PathWatch
  private readonly disks: DiskWatch
  /** Questions that wait for the devices to be read. */
  private pathQuestions: { readonly node: NodeId; readonly asked: Instant; readonly answer: (reports: readonly PathReport[]) => void }[] =
    []
  private lastPathLook = Number.NEGATIVE_INFINITY
  private pathsSeen = logIndex(0)
  private readonly requests = new Requests()
  private leadership: Leadership | undefined
  private readonly inbox: (() => void)[] = []
  private readonly raftInbox: RaftEvent[] = []
  private readonly packer: RaftPacker
  private draining = false
  private scheduled = false
  private stopped = false
  private lastTick: Instant
  private changed = true
  private lastLook = Number.NEGATIVE_INFINITY
  private guardianState: GuardianState | undefined
  private guardianSilentSince: Instant | undefined
  private guardianOrdered: { readonly what: string; readonly at: Instant } | undefined
  /** What the monitors were last told of the lease. */
  private deadlineTold: BootInstant | undefined
  private lastAlive = Number.NEGATIVE_INFINITY
  private settingsCache: Settings | undefined
  private readonly proposedAt = new Map<string, Instant>()
  private readonly accepted = new RenewingMap<LogIndex, RequestId>()
  private leadSince: { readonly at: Instant; readonly base: LogTime } | undefined
  private round = 0
  private readonly confirms = new RenewingMap<string, (index: LogIndex | undefined) => void>()
  private readonly listeners = new Set<Listener>()
  private batch: { changes: RowChange[]; events: EventRow[] } = { changes: [], events: [] }
  private readonly typeAnswers: (question: Question) => Promise<unknown> | undefined

  constructor(
    self: NodeIdentity,
    io: NodeIo,
    restored: Restored & { readonly identity: Identity },
    state: ClusterState,
    answers: (question: Question) => Promise<unknown> | undefined = () => undefined,
  ) {
    this.self = self
    this.io = io
    this.identity = restored.identity
    this.packer = new RaftPacker(this.identity.memberId)
    this.state = state
    this.typeAnswers = answers
    this.agent = new NodeAgent(io.monitor.open)
    this.requestPrefix = `${self.node}-${io.freshId()}-`
    this.presence = new Presence(self, io)
    const life = io.freshId()
    this.pathWatch = new PathWatch(life)
    this.disks = new DiskWatch(life)
    this.lastTick = io.clock.now()
    this.applied = restored.applied
    this.raft = new Raft({
      self: this.identity.memberId,
      configuration: this.firstConfiguration(),
      timing: this.raftTiming(),
      hardState: restored.hardState,
      base: restored.base,
      entries: restored.entries,
      applied: restored.applied,
      seed: io.seed,
    })
    this.membership = new Membership({ node: self.node, member: this.identity.memberId }, this.raft.status.configuration)
    this.snapshots = new Snapshots(io.store, state, {
      post: (event) => this.post(() => this.raftInbox.push(event)),
      installed: (meta) => this.snapshotInstalled(meta),
      log: (text) => io.log('info', text),
    })
    this.configurationChanged(this.raft.status.configuration)
    this.checkLevel()
  }

  /** Of those who formed the cluster; a member that was added later learns from the log who belongs. */
  private firstConfiguration(): Configuration {
    const { voters } = this.identity
    const place = (node: NodeId) => ({ node, addresses: [this.self.members.get(node)].filter((address) => address !== undefined) })
    return {
      voters: voters.map(({ member }) => member),
      learners: [],
      outgoing: [],
      places: Object.fromEntries(voters.map(({ node, member }) => [member, place(node)])),
    }
  }

  // The world tells.

  /** To be called every `tickInterval` milliseconds. */
  tick(): void {
    this.post(() => this.onTick())
  }

  frame(from: NodeId, frame: unknown): void {
    this.post(() => this.onFrame(from, frame))
  }

  datagram(sender: string, link: number, message: unknown): void {
    this.post(() => this.onDatagram(sender, link, message))
  }

  persisted(sequence: number): void {
    this.post(() => this.raftInbox.push({ kind: 'persisted', sequence }))
  }

  /** A datagram's destination answered that nobody listens there. */
  portRefused(to: Address): void {
    this.post(() => this.presence.refused(to, this.state))
  }

  /** A connection with a peer has ended: what has become of it is asked at once, so that ports that refuse are known before it is missed. */
  peerEnded(node: NodeId): void {
    this.post(() => {
      if (!this.membership.places.has(node)) return
      if (this.leadership === undefined) this.presence.askWhoIsThere(node, this.state)
      else this.leadership.peerEnded(node)
      // Its other links are not dialled: a heartbeat asks them.
      const links = this.state.get('nodes', node)?.links.length ?? 1
      if (links > 1 && !this.isUnguarded(this.io.clock.now()))
        this.presence.send(this.state, this.settings, this.raft.status.appliedIndex, true)
    })
  }

  /** Nothing listens at a node's address: of a connection its machine says so each time, which it does not of datagrams. */
  peerRefused(node: NodeId, at: Address): void {
    this.post(() => {
      this.presence.refused(at, this.state)
      for (const peer of this.membership.others)
        if (this.membership.nodeOf(peer) === node) this.raftInbox.push({ kind: 'peer-refused', peer })
    })
  }

  /** `from`: the group whose own monitor says so; else it is the shared one. */
  monitorReport(report: MonitorReport, from?: GroupName): void {
    this.post(() => this.onMonitorReport(report, from))
  }

  monitorDisconnected(of?: GroupName): void {
    this.post(() => {
      this.healthOf(of).gone()
      this.agent.monitorDisconnected(of)
    })
  }

  guardianReported(state: GuardianState | undefined): void {
    this.post(() => {
      this.guardianState = state
      if (state !== undefined) this.levelOfGuardian = state.level ?? silentGuardianLevel
      this.changed = true
    })
  }

  /** A shared disk has answered. */
  diskAnswered(answer: DiskAnswer): void {
    this.post(() => {
      this.changed = true
      this.performDisks(this.disks.answered(this.diskView(), answer))
    })
  }

  // The faces ask.

  /** Has a command committed, wherever the leader is. Errors: NO_QUORUM, UNKNOWN_OUTCOME, OVERLOADED; the command's own come in the result. */
  propose(command: Command, options: ProposeOptions = {}): Promise<CommandResult> {
    return new Promise((resolve, reject) => {
      this.post(() => this.submit(command, options, (outcome) => (outcome.ok ? resolve(outcome.value) : reject(outcome.error))))
    })
  }

  /** As `propose`, for callers that live by callbacks. */
  submitCommand(command: Command, options: ProposeOptions, done: (outcome: Outcome<CommandResult>) => void): void {
    this.post(() => this.submit(command, options, done))
  }

  /** Resolves when the local state holds everything that was committed when this was called (linearizable; Raft §8, thesis §6.4). */
  barrier(timeoutMs = defaultTimeout): Promise<LogIndex> {
    return new Promise((resolve, reject) => {
      this.readBarrier(timeoutMs, (outcome) => (outcome.ok ? resolve(outcome.value) : reject(outcome.error)))
    })
  }

  readBarrier(timeoutMs: number, done: (outcome: Outcome<LogIndex>) => void): void {
    this.post(() => this.confirm(timeoutMs, done))
  }

  /** Asks another node something outside the log. */
  ask(node: NodeId, question: Question, timeoutMs = 2_000): Promise<unknown> {
    if (node === this.self.node) return this.answerTo(question)
    return new Promise((resolve, reject) => {
      const id = this.io.freshId()
      this.requests.addQuestion(id, this.io.clock.now() + timeoutMs, (outcome) =>
        outcome.ok ? resolve(outcome.value) : reject(outcome.error),
      )
      if (this.send(node, { kind: 'ask', id, question })) return
      const error = new ClusterError('NO_QUORUM', `there is no connection with ${node}`, { fix: 'GET /v1/links shows who hears whom' })
      this.requests.answer(id, { ok: false, error })
    })
  }

  get status(): NodeStatus {
    const { role, term, leader, commitIndex, appliedIndex } = this.raft.status
    const { askedAt } = this.presence.holder
    return {
      node: this.self.node,
      role,
      term,
      leader: this.nodeOf(leader),
      commitIndex,
      appliedIndex,
      quorate: this.isQuorate,
      leaseRemainingMs: this.presence.holder.remaining(this.io.clock.boot()),
      renewedAgoMs: askedAt === undefined ? undefined : this.io.clock.boot() - askedAt,
      guardian: this.guardianState !== undefined,
      monitor: this.agent.isMonitorKnown,
      loopLagMs: this.presence.loopLagMs,
    }
  }

  /** Where this node stands in the log: asked for with every answer, and cheap. */
  get position(): { readonly appliedIndex: LogIndex; readonly term: Term; readonly leader: NodeId | undefined } {
    const { term, leader } = this.raft.status
    return { appliedIndex: this.state.appliedIndex, term, leader: this.nodeOf(leader) }
  }

  /** As in `status`. */
  get isQuorate(): boolean {
    return this.raft.status.leader !== undefined && metaOf(this.state).clusterName !== ''
  }

  private nodeOf(member: MemberId | undefined): NodeId | undefined {
    return member === undefined ? undefined : this.membership.nodeOf(member)
  }

  /** It belongs to the cluster, as far as this member has heard. */
  knows(node: NodeId): boolean {
    return this.membership.places.has(node)
  }

  /** This life of the data folder, and the consensus as it knows it. */
  get consensus() {
    const { base, lastIndex, logBytes, configuration, isChanging } = this.raft.status
    return {
      member: this.identity.memberId,
      clusterId: this.identity.clusterId,
      configuration,
      isChanging,
      /** Where its members are: node by member. */
      nodeOf: (member: MemberId) => this.membership.nodeOf(member),
      logBase: base.index,
      lastIndex,
      logBytes,
    }
  }

  get settings(): Settings {
    this.settingsCache ??= effectiveSettings(this.state.get('settings', 'cluster') ?? {})
    return this.settingsCache
  }

  /** Called after each batch of entries was applied here. Returns how to stop listening. */
  onApplied(listener: Listener): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  detectorReport() {
    return this.presence.detector.report(this.io.clock.now())
  }

  telemetry(node: NodeId): Heartbeat | undefined {
    return this.presence.telemetry(node)
  }

  /** Who lives, as the leader sees it; on other nodes nobody does. For plans and explanations. */
  liveness() {
    return this.leadership?.liveness() ?? { isAlive: () => false, isJoining: () => false }
  }

  get agentReports(): NodeAgent {
    return this.agent
  }

  holdsLease(): boolean {
    return this.presence.holder.mayAct(this.io.clock.boot(), this.raft.status.appliedIndex)
  }

  /** No further events are taken. */
  stop(): void {
    this.stopped = true
  }

  // The inbox.

  private post(handle: () => void): void {
    if (this.stopped) return
    this.inbox.push(handle)
    if (this.scheduled || this.draining) return
    this.scheduled = true
    this.io.defer(() => this.drain())
  }

  private drain(): void {
    this.scheduled = false
    if (this.stopped) return
    this.draining = true
    this.hasSent = false
    try {
      while (this.inbox.length > 0 || this.raftInbox.length > 0) {
        const waiting = this.inbox.splice(0)
        for (const handle of waiting) handle()
        this.sendWrites()
        this.stepRaft()
        this.sendWrites() // This member may lead no more.
        if (this.inbox.length === 0 && this.raftInbox.length === 0) this.act()
      }
    } catch (error) {
      this.stopped = true
      this.io.fatal(error)
    } finally {
      this.draining = false
    }
  }

  /** In this turn. */
  private hasSent = false

  private stepRaft(): void {
    const events = this.raftInbox.splice(0)
    if (events.length === 0) return
    const effects = this.raft.step(events)
    // Messages leave at the end of the turn, and none waits for the disk. Where there are none the disk works while this one applies.
    const isQuiet = !this.hasSent && effects.every(({ kind }) => kind === 'persist' || kind === 'apply')
    for (const effect of effects) {
      if (effect.kind === 'persist')
        this.io.store.append(effect, isQuiet) // Ends as `persisted`; a failure ends the process.
      else this.perform(effect)
    }
    this.finishBatch()
  }

  private perform(effect: Exclude<RaftEffect, { kind: 'persist' }>): void {
    switch (effect.kind) {
      case 'send': {
        const node = this.nodeOf(effect.to)
        if (node === undefined) return
        const isCompact = this.io.peers.levelOf(node) >= compactLevel
        this.send(node, this.packer.pack(effect.to, effect.message, isCompact))
        return
      }
      case 'apply':
        for (const entry of effect.entries) this.applyEntry(entry)
        return
      case 'accepted':
        this.accepted.set(effect.index, effect.requestId)
        this.requests.proposalSent(effect.requestId)
        return
      case 'refused':
        if (this.changes.has(effect.requestId)) return this.changeRefused(effect.requestId, effect.reason)
        return this.proposalReturned(effect.requestId)
      case 'confirmed':
        return this.endConfirm(effect.requestId, effect.readIndex)
      case 'confirm-failed':
        return this.endConfirm(effect.requestId, undefined)
      case 'role-changed':
        return this.roleChanged(effect)
      case 'transfer-ended':
        this.io.log('info', `transfer of the lead to ${this.nodeOf(effect.to)}: ${effect.outcome}`)
        return
      case 'configuration-changed':
        return this.configurationChanged(effect.configuration)
      case 'member-regressed': {
        const node = this.nodeOf(effect.member)
        this.io.log('warn', `${node}: its disk has lost what it acknowledged, up to ${effect.acknowledged}; it shows ${effect.shows}`)
        if (node !== undefined) this.send(node, { ...effect, kind: 'regressed' })
        return
      }
      case 'compacted':
        this.io.log('info', `the log is compacted up to ${effect.index}`)
        this.io.store.cutLog(effect.index)
        return
      case 'snapshot-read':
      case 'snapshot-close':
      case 'snapshot-write':
      case 'snapshot-install':
      case 'snapshot-abandon':
        return this.snapshots.perform(effect)
      default:
        return unreachable(effect)
    }
  }

  private roleChanged(effect: Extract<RaftEffect, { kind: 'role-changed' }>): void {
    const leader = this.nodeOf(effect.leader)
    this.io.log(
      'info',
      effect.role === 'leader' ? `leads in term ${effect.term}` : `${effect.role} in term ${effect.term}, leader ${leader ?? 'unknown'}`,
    )
    if (effect.role === 'leader') {
      this.leadSince = { at: this.io.clock.now(), base: metaOf(this.state).logTime }
      this.presence.lead()
    } else if (this.presence.giver !== undefined) {
      this.leadership = undefined
      this.leadSince = undefined
      this.presence.follow()
      this.confirms.clear()
    }
    this.changed = true
  }

  // The consensus.

  private configurationChanged(configuration: Configuration): void {
    this.membership.take(configuration)
    // One that is not taken in yet keeps to those that its own file names.
    if (this.membership.isEmpty) return
    const { places } = this.membership
    this.presence.setPlaces(new Map([...places].map(([node, addresses]) => [node, addresses[0] ?? this.self.members.get(node)])))
    // Those that leave are still told so for a while.
    const leaving = [...this.peersNow].filter(([node]) => !places.has(node))
    this.peersNow = this.reachable(places)
    this.io.peers.setPeers(new Map([...leaving, ...this.peersNow]))
    if (leaving.length > 0) this.partAt = this.io.clock.now() + partAfter
    this.changed = true
    this.warnIfRemoved(configuration)
  }

  private peersNow: ReadonlyMap<NodeId, readonly Address[]> = new Map()

  /** Over every link that the nodes have told the log, in the order of their links; else where the configuration has them. */
  private reachable(places: ReadonlyMap<NodeId, readonly Address[]>): ReadonlyMap<NodeId, readonly Address[]> {
    return new Map([...places].map(([node, known]) => [node, linksOf(this.state, node, known)]))
  }

  /** What nodes tell of their links when they are here: more of them than the configuration began with, or other ones. */
  private linksChanged(): void {
    if (this.membership.isEmpty || this.partAt !== Number.POSITIVE_INFINITY) return
    const { places } = this.membership
    if (this.linksSeen.index === this.state.appliedIndex && this.linksSeen.places === places) return
    this.linksSeen = { index: this.state.appliedIndex, places }
    const now = this.reachable(places)
    if ([...now].every(([node, links]) => sameAddresses(links, this.peersNow.get(node)))) return
    this.peersNow = now
    this.io.peers.setPeers(now)
  }
  private linksSeen: { readonly index: LogIndex; readonly places?: Membership['places'] } = { index: logIndex(0) }
  private partAt = Number.POSITIVE_INFINITY

  private warnIfRemoved(configuration: Configuration): void {
    const belongs = membersOf(configuration).includes(this.identity.memberId)
    if (this.belonged && !belongs)
      this.io.log(
        'warn',
        `this member, ${this.identity.memberId}, belongs no more: its data folder has to be moved away before ${this.self.node} can join again`,
      )
    this.belonged = belongs
  }
  private belonged = false

  private readonly changes = new Map<RequestId, (reason: string) => void>()

  private reconfigure(change: ConfigurationChange, refused: (reason: string) => void): void {
    const requestId = `change-${++this.round}` as RequestId
    this.changes.clear()
    this.changes.set(requestId, refused)
    this.post(() => this.raftInbox.push({ kind: 'configuration-requested', requestId, change }))
  }

  private changeRefused(requestId: RequestId, reason: string): void {
    const refused = this.changes.get(requestId)
    this.changes.delete(requestId)
    refused?.(reason)
  }

  /** The state has become that of a snapshot: what waits for entries that it covers can no longer be told what came of them. */
  private snapshotInstalled(meta: SnapshotMeta): void {
    this.applied = meta
    this.storedIndex = meta.index
    this.requests.snapshotTaken()
    for (const [index, requestId] of this.accepted) {
      if (index > meta.index) continue
      this.accepted.delete(index)
      this.requests.forgetProposal(requestId)
    }
    this.settingsChanged()
    this.post(() => this.checkLevel())
    this.requests.applied(meta.index)
    this.changed = true
    for (const listener of this.listeners) listener({ index: meta.index, events: [], changes: [], replaced: true })
  }

  /** Lets the log not grow without end: what the durable applied state stands for may go, but for a tail that spares those who lag a snapshot. */
  private compact(): void {
    const { above, keep } = this.io.compaction ?? { above: 48 * mebibyte, keep: 12 * mebibyte }
    if (this.isCompacting || this.raft.status.logBytes < above) return
    this.isCompacting = true
    this.io.store.syncApplied().then(
      (index) =>
        this.post(() => {
          this.isCompacting = false
          this.raftInbox.push({ kind: 'compact', upTo: Math.min(index, this.raft.indexBeforeTail(keep)) as LogIndex })
        }),
      () => undefined, // A failure of the store, which ends the process.
    )
  }
  private isCompacting = false
  private lastCompared = Number.NEGATIVE_INFINITY

  // Entries.

  private applyEntry(entry: LogEntry): void {
    const envelope = entry.kind === 'command' ? decodeEntry(entry.data) : undefined
    const applied = envelope === undefined ? undefined : this.applyCommand(entry, envelope)
    this.state.commit(entry.index, applied?.changes ?? noChanges)
    // What clients keep in the store calls for nothing to be done here.
    if (envelope?.command.kind !== 'store') this.changed = true
    if (entry.term > this.applied.term) this.requests.termApplied(entry.term)
    const configuration = entry.kind === 'configuration' ? this.raft.configurationAt(entry.index) : this.applied.configuration
    this.applied = { index: entry.index, term: entry.term, configuration }
    for (const change of applied?.changes ?? noChanges) {
      this.batch.changes.push(change)
      if (change.table === 'settings') this.settingsChanged()
    }
    if (applied !== undefined && applied.events.length > 0) this.batch.events.push(...applied.events)
    const waiting = this.accepted.get(entry.index)
    if (waiting !== undefined) this.accepted.delete(entry.index)
    if (envelope === undefined || applied === undefined) {
      if (waiting !== undefined) this.proposalReturned(waiting)
      return
    }
    const { requestId, command } = envelope
    // Every member ends a batch here, so that all know the sum of the state at this index.
    if (command.kind === 'mark-state') this.finishBatch()
    // Another leader's entry stands where this node's proposal stood: that one is lost.
    if (waiting !== undefined && waiting !== requestId) this.proposalReturned(waiting)
    this.requests.endProposal(requestId, { ok: true, value: applied.result })
  }

  private applyCommand(entry: LogEntry, envelope: Envelope): Applied {
    const applied = apply(this.state, entry, envelope)
    const { fault } = applied
    if (fault !== undefined)
      this.io.log('error', `entry ${entry.index} (${envelope.command.kind}): ${fault instanceof Error ? fault.stack : String(fault)}`)
    return applied
  }

  /** One atomic batch to the store for everything that one step applied. */
  private finishBatch(): void {
    const { changes, events } = this.batch
    const [before, index] = [this.storedIndex, this.state.appliedIndex]
    if (changes.length === 0 && index === before) return
    this.batch = { changes: [], events: [] }
    this.storedIndex = index
    // From here on this boot may act, where its lease waited for it.
    const { commitIndex } = this.presence.holder
    if (commitIndex !== undefined && before < commitIndex && commitIndex <= index) this.changed = true
    this.remember(index, this.io.store.apply(this.applied, changes))
    this.checkLevel()
    this.requests.applied(index)
    this.leadership?.applied(events, changes)
    for (const listener of this.listeners) listener({ index, events, changes })
  }
  private storedIndex: LogIndex = logIndex(0)
  private applied: SnapshotMeta
  /** Sums over all rows, by index; the latest ones. */
  private readonly sums = new Map<LogIndex, number>()

  /** The cluster may have moved on to what this version does not know: better an outage of one node than a wrong answer from it. */
  private checkLevel(): void {
    const level = levelInForce(this.state)
    if (level > this.self.level)
      throw new BeyondThisVersion(
        `the cluster has feature level ${level}, this version understands ${this.self.level}: install a newer one`,
      )
  }

  private remember(index: LogIndex, sum: number): void {
    this.sums.set(index, sum)
    this.presence.state = { index, sum }
    if (this.sums.size > sumsKept) this.sums.delete(this.sums.keys().next().value as LogIndex)
  }

  /**
   * Where most of the others say the same of the state at an index, and this member something else, its state has diverged:
   * it stops, and does not come back with it. With one other against it nobody knows who is right: that is only told.
   */
  private compareStates(): void {
    const others = [...this.membership.places.keys()].filter((node) => node !== this.self.node)
    const seen = others.flatMap((node) => this.presence.telemetry(node)?.state ?? [])
    for (const { index, sum } of seen) {
      const own = this.sums.get(index)
      if (own === undefined || own === sum) continue
      const against = seen.filter((other) => other.index === index && other.sum === sum).length
      if (against * 2 <= others.length) continue
      return this.quarantine(
        new ClusterError('STATE_DIVERGED', `the state at index ${index} is another one than on ${against} other members`, {
          fix: 'move the data folder away: the node joins again as a new member and copies the state; keep the folder for a report',
          facts: { index, own, others: sum },
        }),
      )
    }
  }

  /** This life of the data folder must not take part any more: it stops, and does not start again. */
  private quarantine(error: ClusterError): void {
    this.stopped = true
    this.io.store.writeIdentity({ ...this.identity, phase: 'quarantined' }).then(
      () => this.io.fatal(error),
      () => this.io.fatal(error),
    )
  }

  /** Told by the leader; a message to another life of this node says nothing of this one. */
  private onRegressed({ member, acknowledged, shows }: Extract<Frame, { kind: 'regressed' }>): void {
    if (member !== this.identity.memberId) return
    this.quarantine(
      new ClusterError(
        'MEMBER_REGRESSED',
        `the disk no longer holds what this member acknowledged: up to ${acknowledged}, it shows ${shows}`,
        {
          fix: 'the data folder was rolled back or copied: move it away, and the node joins again as a new member',
          facts: { acknowledged, shows },
        },
      ),
    )
  }

  private settingsChanged(): void {
    this.settingsCache = undefined
    this.post(() => this.raft.setTiming(this.raftTiming()))
  }

  private raftTiming(): RaftTiming {
    const { electionTimeoutMin, electionTimeoutMax, raftHeartbeat } = this.settings
    return {
      electionTicksMin: Math.ceil(electionTimeoutMin / tickInterval),
      electionTicksMax: Math.ceil(electionTimeoutMax / tickInterval),
      heartbeatTicks: Math.max(1, Math.round(raftHeartbeat / tickInterval)),
    }
  }

  // Proposals and reads.

  /** Proposals of other nodes that this leader took on. */
  private readonly forwardedBy = new RenewingMap<RequestId, Term>()

  /** Of this life of the process, and of no other: requests are told apart by it and a count. */
  private readonly requestPrefix: string
  private requestCount = 0

  private submit(command: Command, options: ProposeOptions, done: (outcome: Outcome<CommandResult>) => void): void {
    const id = options.requestId ?? this.nextRequestId()
    const { term, fingerprint } = options
    const proposal: Proposal = term === undefined ? { id, command, fingerprint } : { id, command, fingerprint, term }
    if (this.requests.addProposal(proposal, this.io.clock.now() + (options.timeoutMs ?? defaultTimeout), done)) this.sendOrMerge(proposal)
  }

  /** Writes wait for what else comes in this turn, and while the followers are busy. */
  private sendOrMerge(proposal: Proposal): void {
    const { id, command, fingerprint, term } = proposal
    const isPlain = fingerprint === undefined && term === undefined && !this.forwardedBy.has(id) && this.requests.mayMerge(id)
    const write = isPlain ? loneWrite(command, this.settings.storeValueMax) : undefined
    if (write === undefined) return this.sendProposal(proposal)
    if (this.writes.size === 0) this.writesSince = this.io.clock.now()
    this.writes.set(id, { proposal, write })
  }

  private readonly writes = new RenewingMap<RequestId, { readonly proposal: Proposal; readonly write: StoreOperation }>()
  private writesSince = 0

  /** What waits goes with the append that the next answer of a follower lets out; not after that, or others would fill it each time. */
  private sendWrites(): void {
    if (this.writes.size === 0) return
    const isFull = this.writes.size >= writesMax || this.io.clock.now() - this.writesSince > writesWaitMax
    if (this.raft.isBusy && !isFull && !this.raftInbox.some(isAppendAnswer)) return
    // Who has been answered meanwhile, that it surely was not carried out, is not carried out.
    const waiting = [...this.writes].filter(([id]) => this.requests.isUnsent(id))
    for (const { ids, command } of mergeWrites(waiting.map(([id, { write }]) => ({ id, write })))) {
      const [first] = ids as [RequestId]
      if (ids.length === 1) this.sendProposal((this.writes.get(first) as { readonly proposal: Proposal }).proposal)
      else {
        const id = this.nextRequestId()
        this.requests.merge(id, ids)
        this.sendProposal({ id, command, fingerprint: undefined })
      }
    }
    this.writes.clear()
  }

  private nextRequestId(): RequestId {
    return `${this.requestPrefix}${(++this.requestCount).toString(36)}` as RequestId
  }

  private sendProposal({ id, command, fingerprint, term }: Proposal): void {
    const { role, leader, term: now } = this.raft.status
    // What another node passed on is taken in the term in which it came, or goes back to it.
    const taken = this.forwardedBy.get(id)
    if (taken !== undefined && (role !== 'leader' || taken !== now)) return this.proposalReturned(id)
    if (term !== undefined && (role !== 'leader' || term !== now)) {
      const error = new ClusterError('NOT_LEADER', `${this.self.node} does not lead in term ${term} any more`)
      return this.requests.endProposal(id, { ok: false, error })
    }
    if (role === 'leader') {
      if (levelOf(command) > levelInForce(this.state)) return this.tooNew(id, command)
      this.raftInbox.push({ kind: 'proposed', requestId: id, command: this.envelope(id, command, fingerprint) })
      this.requests.proposalSent(id) // Until Raft says otherwise.
      return
    }
    const node = this.nodeOf(leader)
    if (node !== undefined && this.send(node, { kind: 'forward', requestId: id, command, fingerprint: fingerprint ?? null, term: now }))
      this.requests.proposalSent(id, { term: now, isKept: this.isTermKept })
  }

  /** Leaders of earlier versions take what is passed on to them in whatever term it comes. */
  private get isTermKept(): boolean {
    return levelInForce(this.state) >= forwardTermLevel
  }

  private tooNew(id: RequestId, command: Command): void {
    const lacking = rowsOfMembers(this.state).flatMap(({ node, wanted }) => {
      const level = currentBoot(this.state, node)?.level
      return wanted === 'gone' || (level ?? 0) >= levelOf(command)
        ? []
        : [`${node} ${level === undefined ? 'has not told its own yet' : `has ${level}`}`]
    })
    if (lacking.length === 0) return // The level is being raised: it is looked at again at the next tick.
    const text = `"${command.kind}" needs feature level ${levelOf(command)} on every member: ${lacking.join(', ')}`
    const error = new ClusterError('MIXED_VERSIONS', text, {
      fix: 'start the members that have not told theirs, upgrade the others: GET /v1/members shows them',
    })
    this.requests.endProposal(id, { ok: true, value: { ok: false, index: this.state.appliedIndex, error: error.toPlain() } })
  }

  private envelope(requestId: RequestId, command: Command, fingerprint: string | undefined): Uint8Array {
    const at = this.logTime()
    const wall = this.io.clock.wall()
    const envelope: Envelope = fingerprint === undefined ? { requestId, at, wall, command } : { requestId, at, wall, command, fingerprint }
    return encodeEntry(envelope, this.mayWriteCompactly)
  }

  /** Every member reads what it then writes. */
  private get mayWriteCompactly(): boolean {
    return levelInForce(this.state) >= compactLevel
  }

  /** Log time now, as this leader counts it: goes on from where it was, stands still without a leader. */
  private logTime(): LogTime {
    const { logTime } = metaOf(this.state)
    if (this.leadSince === undefined) return logTime
    return Math.max(logTime, Math.round(this.leadSince.base + (this.io.clock.now() - this.leadSince.at))) as LogTime
  }

  /** It never entered the log, or stands there no more: whoever asked may have it sent again, safely. */
  private proposalReturned(id: RequestId): void {
    if (!this.forwardedBy.has(id)) return this.requests.proposalReturned(id)
    this.requests.endProposal(id, { ok: false, error: new ClusterError('NOT_LEADER', `${this.self.node} does not lead any more`) })
  }

  private confirm(timeoutMs: number, done: (outcome: Outcome<LogIndex>) => void): void {
    const deadline = this.io.clock.now() + timeoutMs
    const { role, leader } = this.raft.status
    const settle = (index: LogIndex | undefined): void => {
      if (index === undefined) return this.retryConfirm(deadline, done)
      if (this.state.appliedIndex >= index) done({ ok: true, value: index })
      else this.requests.addRead(index, deadline, done)
    }
    if (role === 'leader') return this.confirmLead(settle)
    const node = this.nodeOf(leader)
    if (node === undefined) return this.retryConfirm(deadline, done)
    const id = this.io.freshId()
    const patience = Math.min(deadline, this.io.clock.now() + 1_000)
    this.requests.addQuestion(id, patience, (outcome) =>
      settle(outcome.ok && typeof outcome.value === 'number' ? logIndex(outcome.value) : undefined),
    )
    if (!this.send(node, { kind: 'read-index', id })) this.requests.answer(id, { ok: true, value: null })
  }

  /** Reads are harmless to ask again: until the time is over, whoever leads then is asked. */
  private readonly retries: { readonly deadline: number; readonly done: (outcome: Outcome<LogIndex>) => void }[] = []

  private retryConfirm(deadline: number, done: (outcome: Outcome<LogIndex>) => void): void {
    if (this.io.clock.now() + 50 < deadline) this.retries.push({ deadline, done })
    else
      done({
        ok: false,
        error: new ClusterError('NO_QUORUM', 'no leader with a quorum answered in time', {
          fix: 'add ?consistency=local for what this node last knew, or GET /v1/status',
        }),
      })
  }

  private confirmLead(settle: (index: LogIndex | undefined) => void): void {
    const id = `read-${++this.round}` as RequestId
    this.confirms.set(id, settle)
    this.raftInbox.push({ kind: 'confirm-requested', requestId: id })
  }

  private endConfirm(id: RequestId, index: LogIndex | undefined): void {
    const settle = this.confirms.get(id)
    this.confirms.delete(id)
    if (settle !== undefined) return settle(index)
    if (index === undefined) this.presence.failed(id)
    else this.presence.confirmed(id, this.state, this.settings, this.raft.status.commitIndex, (renewed) => this.renewed(renewed))
  }

  // Time.

  private onTick(): void {
    const now = this.io.clock.now()
    const elapsed = now - this.lastTick
    this.lastTick = now
    this.presence.loopLagMs = Math.round(Math.max(this.presence.loopLagMs * 0.98, elapsed - tickInterval))
    const ticks = Math.min(ticksAtOnce, Math.max(1, Math.round(elapsed / tickInterval)))
    for (let tick = 0; tick < ticks; tick++) this.raftInbox.push({ kind: 'tick' })
    this.requests.expire(now)
    this.compact()
    for (const [group, health] of this.monitorHealths)
      if (health.passed(ticks * tickInterval)) this.io.guardian.send({ kind: 'end-monitor', ...(group === undefined ? {} : { group }) })
    if (now >= this.partAt) {
      this.partAt = Number.POSITIVE_INFINITY
      this.io.peers.setPeers(this.peersNow)
    }
    if (now - this.lastCompared > compareInterval) {
      this.lastCompared = now
      this.compareStates()
    }
    if (this.raft.status.leader !== undefined) for (const proposal of this.requests.waitingForLeader()) this.sendOrMerge(proposal)
    for (const { deadline, done } of this.retries.splice(0)) this.confirm(Math.max(0, deadline - now), done)
    if (!this.isUnguarded(now)) this.presence.send(this.state, this.settings, this.raft.status.appliedIndex)
    const transitions = this.presence.judge(now, this.settings, this.state)
    for (const { node, from, to, silenceMs } of transitions) {
      if (to !== 'MISSED' && !(from === 'MISSED' && to === 'HEALTHY'))
        this.io.log('info', `${node}: ${from} → ${to} after ${Math.round(silenceMs)} ms`)
    }
    if (transitions.length > 0) this.leadership?.livenessChanged()
    this.linksChanged()
    if (this.self.links.length > 1) this.chooseLinks()
    if (now - this.lastAlive > 200) {
      this.lastAlive = now
      this.io.guardian.send({ kind: 'alive' })
    }
    if (this.raft.status.established && this.raft.status.role === 'leader') {
      this.leadership ??= this.takeLead()
      this.markState(now)
      this.raiseLevel()
    }
    // What time alone brings about is looked at as often as a heartbeat is of use.
    const interval = Math.min(lookIntervalMax, this.settings.heartbeatInterval / 5)
    if (transitions.length > 0 || now - this.lastLook >= interval) this.changed = true
  }

  /** Past the lease, a boot whose guardian is gone asks for no renewal: nobody could end what runs. */
  private isUnguarded(now: Instant): boolean {
    return this.guardianSilentSince !== undefined && now - this.guardianSilentSince > this.settings.lease
  }

  /** What is heard over one link and not over another is not sent over that other one. */
  private chooseLinks(): void {
    for (const { name } of nodesOf(this.state)) {
      const bad = this.presence.badLinks(name)
      const wanted = bad.join()
      if (name === this.self.node || (this.avoidedLinks.get(name) ?? '') === wanted) continue
      this.avoidedLinks.set(name, wanted)
      this.io.log('info', bad.length === 0 ? `${name}: every link is as good` : `${name}: links are avoided: ${wanted}`)
      this.io.peers.avoid(name, bad)
    }
  }
  private readonly avoidedLinks = new Map<NodeId, string>()

  /** While entries come without end, members apply them in batches that end at different indexes: now and then all end one together. */
  private markState(now: Instant): void {
    if (now - this.marked.at < markInterval || this.state.appliedIndex < this.marked.index + markEntries) return
    this.marked = { at: now, index: this.state.appliedIndex }
    this.submit({ kind: 'mark-state' }, {}, () => undefined)
  }
  private raiseLevel(): void {
    const level = levelOfAll(this.state)
    if (level > levelInForce(this.state)) this.proposeAgain(`level/${level}`, { kind: 'raise-level', level })
  }

  private marked = { at: Number.NEGATIVE_INFINITY, index: logIndex(0) }

  /** The first entry of the own term is applied: from here on this leader renews, judges and plans. */
  private takeLead(): Leadership {
    this.leadSince = { at: this.io.clock.now(), base: this.logTime() }
    if (metaOf(this.state).clusterName === '') {
      const nodes = this.identity.voters.map(({ node, member }) => ({
        name: node,
        member,
        address: this.self.members.get(node) ?? { host: '', port: 0 },
      }))
      this.submit({ kind: 'form', clusterName: this.self.clusterName, nodes }, {}, () => undefined)
    }
    const { term } = this.raft.status
    return new Leadership(this.self, this.io, this.presence, this.state, term, {
      // What a deposed leader has judged is not carried to its successor, who judges for itself.
      propose: (command, done) => this.post(() => this.submit(command, { term }, done)),
      transferLead: (to) => this.transferLead(to),
      settings: () => this.settings,
      logTime: () => this.logTime(),
      consensus: () => this.raft.status,
      sight: {
        hasCaughtUp: (member) => this.raft.hasCaughtUp(member),
        silence: (member) => (this.raft.progressOf(member)?.silentTicks ?? 0) * tickInterval,
      },
      reconfigure: (change, refused) => this.reconfigure(change, refused),
      voters: () => this.membership.voters,
      answering: () => this.answering(),
      canReach: (from, target) => this.pathsTo(target)[from] !== 'failed',
    })
  }

  /**
   * Nodes whose vote has answered in this term, and within the time after which a leader that hears no majority gives up
   * (check-quorum): a new leader has heard nobody yet.
   */
  private answering(): readonly NodeId[] {
    const { electionTicksMax } = this.raftTiming()
    return this.raft.status.configuration.voters.flatMap((member) => {
      const progress = this.raft.progressOf(member)
      const node = this.membership.nodeOf(member)
      if (node === undefined || member === this.identity.memberId) return node ?? []
      const off = this.leadership?.switchedOffAt(node)
      const isSince = off === undefined || (progress?.silentTicks ?? 0) * tickInterval < this.io.clock.now() - off
      return progress?.isHeard === true && progress.silentTicks <= electionTicksMax && isSince ? node : []
    })
  }

  transferLead(to: NodeId): void {
    const member = this.membership.memberOf(to)
    if (member !== undefined) this.post(() => this.raftInbox.push({ kind: 'transfer-requested', to: member }))
  }

  /** After everything that waited was taken in: what follows from the state as it is now. */
  private act(): void {
    if (!this.changed) return
    this.changed = false
    this.lastLook = this.io.clock.now()
    this.register()
    const boot = this.io.clock.boot()
    const mayAct = this.mayActNow(boot)
    this.performDisks(this.disks.step(this.diskView()))
    if (this.leadership !== undefined) {
      const id = `lease-${++this.round}`
      if (this.presence.takeRound(id)) this.raftInbox.push({ kind: 'confirm-requested', requestId: id as RequestId })
      this.leadership.tick()
    }
    const { deadline } = this.presence.holder
    for (const effect of this.agent.step({
      self: this.self.node,
      boot: this.self.boot,
      state: this.state,
      mayAct,
      deadline,
      now: this.io.clock.now(),
      standing: (disk) => this.disks.standing(disk),
    })) {
      if (effect.kind === 'order') this.io.monitor.send(effect.order, effect.to)
      else if (effect.kind === 'monitors') this.wantMonitors(effect.groups)
      else this.proposeAgain(effect.key, effect.command)
    }
    if (mayAct) {
      this.tellDeadline()
      this.letGoOn()
    }
    this.suspendGuardian(this.presence.holder.mayAct(boot, this.raft.status.appliedIndex))
    if (mayAct) this.watchPaths(this.io.clock.now())
    else if (this.pathQuestions.length > 0) this.answerPathQuestions(this.io.clock.now())
    this.runAttempts(boot, mayAct)
    this.answerChallenge()
    this.tellOfMonitor()
    this.goAway(mayAct)
  }

  private mayActNow(boot: BootInstant): boolean {
    const isHeld = this.presence.holder.mayAct(boot, this.raft.status.appliedIndex)
    return isHeld && !this.isTakenForArmed() && !this.isTakenForFaster() && !this.isTakenForGuarding()
  }

  private diskView(): DiskView {
    const { challenge, condemned } = this.settings
    const reading = this.io.clock.boot()
    return {
      self: this.self.node,
      boot: this.self.boot,
      state: this.state,
      mayAct: this.mayActNow(reading),
      now: this.io.clock.now(),
      reading,
      isClear: () => this.isClear(),
      challengeTime: condemned - challenge,
    }
  }

  /** By its monitors and by its guardian nothing is here, or may be, under a token that this boot does not hold. */
  private isClear(): boolean {
    const { state, guardianState } = this
    const { node, boot } = this.self
    if (guardianState === undefined || this.agent.keepsUngranted(state, node, boot)) return false
    return Object.entries(guardianState.open).every(([name, token]) =>
      holdsToken(state.get('groups', name as GroupName), node, boot, token),
    )
  }

  private performDisks(effects: readonly DiskEffect[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'order':
          this.io.disks.send(effect.order)
          break
        case 'open':
          this.io.disks.want(effect.disks)
          break
        case 'called':
          this.deviceCalled(effect.outcome)
          break
        case 'propose':
          this.proposeAgain(effect.key, effect.command)
          break
        default:
          unreachable(effect)
      }
    }
  }

  /** How this node stands on the shared disks. */
  diskReports(): readonly DiskReport[] {
    return this.disks.report(this.diskView())
  }

  private wantMonitors(groups: readonly GroupName[]): void {
    this.io.monitor.want(groups)
    for (const group of [...this.monitorHealths.keys()])
      if (group !== undefined && !groups.includes(group)) this.monitorHealths.delete(group)
  }

  private healthOf(group: GroupName | undefined): MonitorHealth {
    const known = this.monitorHealths.get(group) ?? new MonitorHealth(this.monitorNotes, group)
    this.monitorHealths.set(group, known)
    return known
  }

  private tellOfMonitor(): void {
    const row = this.state.get('nodes', this.self.node)
    const { session } = this.self
    if (row?.monitor?.session === session) this.monitorNotes.told(row.monitor.number)
    const { next } = this.monitorNotes
    if (row === undefined || next === undefined || levelInForce(this.state) < maintenanceLevel) return
    this.proposeAgain(`monitor/${next.number}`, { kind: 'note-monitor', node: this.self.node, session, ...next })
  }

  /** What stands still goes on once everything is applied here that was committed when the lease was renewed, and the grant is the same. */
  private letGoOn(): void {
    const { frozen = {} } = this.guardianState ?? {}
    const held = Object.entries(frozen).filter(([group, token]) => {
      const row = this.state.get('groups', group)
      const { holder = null } = row ?? {}
      const isOpen = row !== undefined && mayStillRun(row)
      return isOpen && holder?.node === this.self.node && holder.boot === this.self.boot && holder.token === token
    })
    if (held.length > 0) this.io.guardian.send({ kind: 'holds', tokens: Object.fromEntries(held) })
  }

  /**
   * Maintenance may suspend this node's guardian. Only under a lease, so that nothing is done by what the log said once: from the entry
   * that ends the suspension on, which this node proposes when the guardian has said that it guards again, its lease is believed again.
   */
  private suspendGuardian(isHeld: boolean): void {
    const row = currentBoot(this.state, this.self.node)
    const { guardianState } = this
    if (row?.boot !== this.self.boot || guardianState === undefined) return
    const { detachment, open, emergency } = guardianState
    const { node, boot } = this.self
    const { detached } = row
    if (detached === undefined) {
      // The log knows nothing of what has suspended it: as after a recovery.
      if (isHeld && detachment !== undefined && isSuspended(detachment)) this.orderGuardian({ kind: 'attach', entry: detachment.detached })
      return
    }
    const isWanted = this.state.get('nodes', node)?.maintenance?.detached === true
    const hasAttached = (detachment?.attached ?? 0) >= detached
    if (isWanted) {
      if (isHeld && detachment?.detached !== detached) this.orderGuardian({ kind: 'detach', entry: detached })
      if (isHeld && detachment?.detached === detached && row.suspended === undefined)
        this.proposeAgain(`suspended/${detached}`, { kind: 'guardian-suspended', node, boot, detached })
      return
    }
    // A condemned boot is not renewed: its guardian ends what runs, and only then is believed again. A later suspension is not undone.
    const isCondemned = row.state === 'condemned'
    if (!isHeld && !isCondemned) return
    const isOver = isHeld || (Object.keys(open).length === 0 && emergency !== 'stopping')
    if (!hasAttached) this.orderGuardian({ kind: 'attach', entry: detached })
    else if (isOver) this.proposeAgain(`attach/${detached}`, { kind: 'attach-guardian', node, boot, detached })
  }

  /** The guardian is suspended by what this log does not know: nothing rests on it, and nothing is started. */
  private isTakenForGuarding(): boolean {
    const { detachment } = this.guardianState ?? {}
    if (detachment === undefined || !isSuspended(detachment)) return false
    const row = currentBoot(this.state, this.self.node)
    return row?.boot === this.self.boot && row.detached === undefined
  }

  /** Once, and again when nothing was heard of it for a while. */
  private orderGuardian(order: Extract<GuardianOrder, { readonly entry: Token }>): void {
    const [what, now] = [`${order.kind}/${order.entry}`, this.io.clock.now()]
    if (this.guardianOrdered?.what === what && now - this.guardianOrdered.at < 1_000) return
    this.guardianOrdered = { what, at: now }
    this.io.guardian.send(order)
  }

  /**
   * A node that has left stops all of itself, and one that was started anew comes back. Where everything is stopped, each waits
   * until all have left, for the log needs a majority until then, and the leader until all have heard of it; one that waits in vain
   * goes when its lease is over. Who has not heard that it has left, because the others went before they could tell it, ends what it
   * has with its lease, and goes somewhat later.
   */
  private goAway(mayAct: boolean): void {
    const node = this.state.get('nodes', this.self.node)
    const hasLeft = node?.away !== undefined && node.away.boot === this.self.boot
    // Only what this daemon has seen is known to be of this life of it: at its first lease it looks what it was before.
    if (mayAct && this.wasAway === undefined) this.wasAway = hasLeft && !this.isFirstOfBoot
    if (node?.away === undefined) {
      if (this.wasAway !== undefined) this.wasAway = false
      return
    }
    if (this.wasAway === true) {
      const { since } = node.away
      if (mayAct) this.proposeAgain(`come-back/${since}`, { kind: 'come-back', node: this.self.node, boot: this.self.boot, since })
      return
    }
    const isHeld = this.presence.holder.remaining(this.io.clock.boot()) > 0
    if (isHeld) this.heldAt = this.io.clock.now()
    if (this.wasAway === undefined || this.io.clock.now() - this.shutDownAt < 1_000) return
    const stopping = [...this.state.rows('operations')].some(([, row]) => row.kind === 'stop' && row.status === 'running')
    const isForgotten = stopping && this.raft.status.leader === undefined && this.io.clock.now() - this.heldAt > forgottenAfter
    if (!hasLeft && !isForgotten) return
    if (isHeld && (stopping || !this.allHaveHeard())) return
    if (this.shutDownAt === Number.NEGATIVE_INFINITY) this.io.log('info', 'has left the cluster: stopping')
    this.shutDownAt = this.io.clock.now()
    this.io.guardian.send({ kind: 'shut-down' })
  }
  private wasAway: boolean | undefined
  /** This daemon has told the log of its boot: no earlier one of the same boot can have left. */
  private isFirstOfBoot = false
  private shutDownAt = Number.NEGATIVE_INFINITY
  private heldAt = Number.NEGATIVE_INFINITY

  private endedAt: LogIndex | undefined

  /** Of the leader of a cluster that is stopped: whether every node that is heard of has applied that all have left. */
  private allHaveHeard(): boolean {
    const nodes = nodesOf(this.state)
    if (this.raft.status.role !== 'leader' || nodes.some(({ away }) => away === undefined)) return true
    this.endedAt ??= this.state.appliedIndex
    const index = this.endedAt
    const others = nodes.filter(({ name }) => name !== this.self.node && this.presence.quiet(name) <= this.settings.condemned)
    return others.every(({ name }) => (this.presence.telemetry(name)?.appliedIndex ?? 0) >= index)
  }

  /** Only under a lease: whether a node has a case is then known here, and its devices are its arbiter's. */
  private watchPaths(now: Instant): void {
    // While there is a case, what is read of its node's devices is called off before the arbiter calls them.
    const isNews = this.pathsSeen !== this.state.appliedIndex && openCases(this.state).length > 0
    if (now - this.lastPathLook < pathLookInterval && !isNews) return
    this.lastPathLook = now
    this.pathsSeen = this.state.appliedIndex
    const { verifyInterval, condemned } = this.settings
    const nodes = nodesOf(this.state).filter(({ name }) => name !== this.self.node)
    const effects = this.pathWatch.step({
      self: this.self.node,
      now,
      interval: verifyInterval,
      late: condemned,
      nodes: nodes.map((row) => {
        const boot = currentBoot(this.state, row.name)
        const heard = boot !== undefined && boot.state === 'live' && this.presence.telemetry(row.name)?.boot === boot.boot
        return {
          name: row.name,
          revision: row.revision,
          levels: row.fencing.levels,
          isBusy: openCaseOf(this.state, row.name) !== undefined,
          boot: heard ? boot.boot : undefined,
          heardAt: heard ? ((now - this.presence.detector.quiet(row.name, now)) as Instant) : undefined,
          distrusted: row.deviceDistrusted !== null,
        }
      }),
    })
    for (const effect of effects) {
      if (effect.kind === 'call') this.callDevice(effect.call)
      else if (effect.kind === 'cancel') this.cancelCall(effect.callId)
      else this.proposeAgain(effect.key, effect.command)
    }
    this.presence.paths = this.pathWatch.summary()
    this.answerPathQuestions(now)
  }

  private answerPathQuestions(now: Instant): void {
    const reports = this.pathWatch.report(now)
    this.pathQuestions = this.pathQuestions.filter(({ node, asked, answer }) => {
      const own = reports.filter((report) => report.node === node)
      const isFresh = own.every(({ ageMs }) => ageMs !== undefined && now - ageMs >= asked)
      if (!isFresh && now - asked < pathPatience) return true
      answer(own)
      return false
    })
  }

  private askPaths({ node, fresh }: Extract<Question, { kind: 'paths' }>): Promise<readonly PathReport[]> {
    const now = this.io.clock.now()
    const own = () => this.pathWatch.report(now).filter((report) => report.node === node)
    if (!fresh) return Promise.resolve(own())
    if (openCaseOf(this.state, node) !== undefined)
      throw new ClusterError('CONFLICT', `${node} has a case: its devices are its arbiter's`, { fix: 'wait until the case is over' })
    if (this.pathQuestions.length >= pathQuestionsMax)
      throw new ClusterError('OVERLOADED', 'too many wait for a reading of fence devices', { fix: 'try again in a moment' })
    this.pathWatch.hurry(node)
    return new Promise((answer) => {
      this.pathQuestions.push({ node, asked: now, answer })
    })
  }

  /** What each node says of its paths to the devices of a node; undefined where it said nothing yet. */
  pathsTo(target: NodeId): Readonly<Record<NodeId, PathState>> {
    const found: Record<string, PathState> = {}
    for (const node of this.membership.places.keys()) {
      if (node === target) continue
      const said = node === this.self.node ? this.presence.paths : this.presence.telemetry(node)?.paths
      found[node] = said?.[target] ?? 'unknown'
    }
    return found
  }

  /** Tells the log of this boot: who guards it, where it is. */
  private register(): void {
    const row = currentBoot(this.state, this.self.node)
    const node = this.state.get('nodes', this.self.node)
    if (node === undefined || !this.agent.isMonitorKnown) return
    const guard = this.guardNow(row)
    const known = row?.boot === this.self.boot && row.state !== 'ended' && this.isRegistered(row, guard)
    if (known) return
    if (row?.boot !== this.self.boot) this.isFirstOfBoot = true
    const command: Command = {
      kind: 'register-boot',
      node: this.self.node,
      boot: this.self.boot,
      guard,
      level: this.level,
      links: this.self.links,
      guardian: this.self.guardian,
      api: this.self.api,
    }
    this.proposeAgain(`register/${this.level}/${JSON.stringify(guard)}`, command)
  }

  /** What this node understands as a whole: a monitor or guardian of an earlier version may have outlived its daemon. */
  private get level(): number {
    return Math.min(this.self.level, this.agent.levelOfMonitor, this.levelOfGuardian)
  }
  private levelOfGuardian = Number.POSITIVE_INFINITY

  /** Whether the log has this boot as it is now. */
  private isRegistered(row: BootRow, guard: Guard): boolean {
    const node = this.state.get('nodes', this.self.node)
    const { registered } = this
    if (
      registered?.row === row &&
      row.level === this.level &&
      registered.node === node &&
      registered.guard.guarded === guard.guarded &&
      registered.guard.watchdogTimeout === guard.watchdogTimeout &&
      registered.guard.emergencyStop === guard.emergencyStop
    )
      return true
    const isSame =
      row.level === this.level &&
      JSON.stringify(row.guard) === JSON.stringify(guard) &&
      JSON.stringify([node?.links, node?.guardian, node?.api]) === JSON.stringify([this.self.links, this.self.guardian, this.self.api])
    if (isSame) this.registered = { row, node, guard }
    return isSame
  }
  private registered: { readonly row: BootRow; readonly node: NodeRow | undefined; readonly guard: Guard } | undefined

  /** As the guardian says; while it is silent, its watchdog is what was last registered of this boot. */
  private guardNow(row: BootRow | undefined): Guard {
    const known = row?.boot === this.self.boot && row.guard.watchdog === 'armed' ? row.guard.watchdogTimeout : null
    const timeout = this.guardianState === undefined ? known : (this.guardianState.watchdogTimeout ?? null)
    const before = row?.boot === this.self.boot ? row.guard.emergencyStop : undefined
    const own = this.guardianState?.emergencyStop ?? before ?? this.self.guard.emergencyStop
    // What was granted under a longer one is counted with that one until it has ended.
    const holds = before !== undefined && heldBy(this.state, this.self.node, this.self.boot).length > 0
    return {
      emergencyStop: holds ? Math.max(own, before) : own,
      guarded: this.isGuarded() && !this.isTakenForGuarding(),
      watchdog: timeout === null ? 'none' : 'armed',
      watchdogTimeout: timeout ?? 0,
    }
  }

  /** Others count on a watchdog that the guardian says it does not hold: nothing is started before the log says so too. */
  private isTakenForArmed(): boolean {
    const row = currentBoot(this.state, this.self.node)
    if (row?.boot !== this.self.boot || row.guard.watchdog !== 'armed') return false
    // Or of which it has said nothing yet, to this life of the daemon.
    return (this.guardianState?.watchdogTimeout ?? null) === null
  }

  /** The guardian takes more time for an emergency stop than others give it: nothing is started before the log says so. */
  private isTakenForFaster(): boolean {
    const row = currentBoot(this.state, this.self.node)
    return row?.boot === this.self.boot && (this.guardianState?.emergencyStop ?? 0) > row.guard.emergencyStop
  }

  /** A guardian that is silent for a second no longer guards. */
  private isGuarded(): boolean {
    const now = this.io.clock.now()
    if (this.guardianState !== undefined) {
      this.guardianSilentSince = undefined
      return true
    }
    this.guardianSilentSince ??= now
    return currentBoot(this.state, this.self.node)?.guard.guarded === true && now - this.guardianSilentSince < 1_000
  }

  /** Has a report or answer committed: proposed once, and again if the log does not show it after a while. */
  private proposeAgain(key: string, command: Command): void {
    const now = this.io.clock.now()
    if (now - (this.proposedAt.get(key) ?? Number.NEGATIVE_INFINITY) < 500) return
    if (this.proposedAt.size > 2_000) this.proposedAt.clear()
    this.proposedAt.set(key, now)
    this.post(() =>
      this.submit(command, { timeoutMs: 2_000 }, (outcome) => {
        if (outcome.ok && !outcome.value.ok && outcome.value.error.code !== 'STALE_TOKEN')
          this.io.log('warn', `${command.kind} was refused: ${outcome.value.error.detail}`)
      }),
    )
  }

  /** A suspect that can still reach the log says so there; whichever comes first in the log holds. */
  private answerChallenge(): void {
    for (const row of openCases(this.state)) {
      if (row.node !== this.self.node || row.boot !== this.self.boot || row.stage !== 'CHALLENGE' || row.trigger.startsWith('asked by'))
        continue
      this.proposeAgain(`nonce/${row.id}`, { kind: 'register-nonce', caseId: row.id, nonce: row.nonce, boot: this.self.boot })
    }
  }

  private runAttempts(boot: ReturnType<NodeIo['clock']['boot']>, mayAct: boolean): void {
    const effects = this.runner.step({
      self: this.self.node,
      boot,
      askedAt: this.presence.holder.askedAt,
      mayAct,
      cases: casesOf(this.state),
      // Only a leader knows who answers.
      mayLose: (name) => this.raft.status.role !== 'leader' || isQuorumWithout(this.state, name, this.answering()),
      node: (name) => this.state.get('nodes', name),
    })
    this.performAttempts(effects)
  }

  private performAttempts(effects: readonly AttemptEffect[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'call':
          this.callDevice(effect.call)
          break
        case 'release':
          this.releaseCall(effect.callId)
          break
        case 'cancel':
          this.cancelCall(effect.callId)
          break
        case 'heartbeat-now':
          this.presence.send(this.state, this.settings, this.raft.status.appliedIndex, true)
          this.changed = true
          break
        case 'propose':
          this.proposeAgain(effect.key, effect.command)
          break
      }
    }
  }

  // Fence devices are programs that the monitor runs; one that is a shared disk is spoken to from here.

  private callDevice(call: DeviceCall): void {
    if (call.agent === storageAgent) this.performDisks(this.disks.call(this.diskView(), call))
    else {
      try {
        this.io.monitor.send(deviceOrder(call, (text) => this.io.unseal(text)))
      } catch (error) {
        const { message } = error as Error
        this.post(() => this.deviceCalled({ callId: call.callId, code: 1, detail: message, at: this.io.clock.boot() }))
      }
    }
  }

  private releaseCall(callId: string): void {
    const released = this.disks.release(this.diskView(), callId)
    if (released !== undefined) return this.performDisks(released)
    this.io.monitor.send({ kind: 'call-release', callId, deadline: this.presence.holder.deadline ?? (0 as BootInstant) })
  }

  private cancelCall(callId: string): void {
    if (!this.disks.cancel(callId)) this.io.monitor.send({ kind: 'call-cancel', callId })
  }

  private deviceCalled(outcome: CallOutcome): void {
    this.changed = true
    this.pathWatch.called(outcome, this.io.clock.now())
    this.performAttempts(this.runner.called(outcome))
  }

  // What comes in.

  private onMonitorReport(report: MonitorReport, from: GroupName | undefined): void {
    const health = this.healthOf(from)
    health.heard()
    if (report.kind === 'beat') return health.beat(report.lagMs)
    this.changed = true
    this.agent.reported(report, this.io.clock.now(), from)
    if (report.kind === 'hello') health.came((report.level ?? 0) >= maintenanceLevel)
    // A monitor that came anew holds its probes until it knows of a lease.
    if (report.kind === 'hello') this.deadlineTold = undefined
    if (report.kind === 'hello' && from === undefined) {
      this.performAttempts(this.runner.monitorCame())
      this.pathWatch.monitorCame()
    }
    if (report.kind !== 'called') return
    const code = report.outcome === 'exited' ? report.code : undefined
    const detail =
      report.outcome === 'exited'
        ? `${report.stderr || report.stdout}`.trim().split('\n').at(-1)?.slice(0, 300) || `exit ${report.code}`
        : report.outcome
    this.deviceCalled({ callId: report.callId, code, detail, at: this.io.clock.boot() })
  }

  private onDatagram(sender: string, link: number, message: unknown): void {
    switch (kindOf(message)) {
      case 'heartbeat': {
        if (!this.membership.places.has(sender as NodeId)) {
          // Of a node that a recovery has left without a member: it is answered nothing, but it is not off.
          if (this.state.get('nodes', sender) !== undefined) this.presence.heardOutside(sender as NodeId)
          return
        }
        const ghost = this.presence.received(sender as NodeId, link, message as Heartbeat, this.state, this.settings)
        if (ghost !== undefined) this.leadership?.ghost(sender as NodeId, ghost.ghost)
        this.changed = true
        return
      }
      case 'renewed':
        if ((message as Renewed).boot === this.self.boot) this.renewed(message as Renewed)
        return
      case 'guardian-answer':
        this.presence.guardianAnswers((message as GuardianAnswer).node, (message as GuardianAnswer).boot, this.state)
        this.leadership?.guardianAnswered((message as GuardianAnswer).node, message as GuardianAnswer)
        this.changed = true
        return
    }
  }

  private renewed(renewed: Renewed): void {
    if (!this.presence.holder.renewed(renewed)) return
    const { deadline } = this.presence.holder
    invariant(deadline !== undefined, 'a renewed lease has a deadline')
    this.io.lease.write(deadline)
    this.changed = true
  }

  /** What the monitor starts under a lease it starts by what was committed when that lease was renewed: so it hears of it no sooner. */
  private tellDeadline(): void {
    const { deadline } = this.presence.holder
    if (deadline === undefined || deadline === this.deadlineTold) return
    this.deadlineTold = deadline
    this.io.monitor.send({ kind: 'deadline', deadline })
  }

  private onFrame(from: NodeId, value: unknown): void {
    if (value instanceof Uint8Array) return this.onRaft(from, value)
    const frame = value as Frame
    const kind = kindOf(value)
    // Who does not belong may ask to be taken in, and speak as a member of the log; nothing else is asked of this node.
    if ((kind === 'forward' || kind === 'read-index' || kind === 'ask') && !this.membership.places.has(from)) return
    switch (kind) {
      case 'raft':
        return this.onRaft(from, frame as RaftFrame)
      case 'regressed':
        return this.onRegressed(frame as Extract<Frame, { kind: 'regressed' }>)
      case 'join':
        return this.onJoin(from, frame as Extract<Frame, { kind: 'join' }>)
      case 'forward':
        return this.onForward(from, frame as Extract<Frame, { kind: 'forward' }>)
      case 'forward-refused':
        return this.onForwardRefused(frame as Extract<Frame, { kind: 'forward-refused' }>)
      case 'forward-result':
        return this.onForwardResult(frame as Extract<Frame, { kind: 'forward-result' }>)
      case 'read-index': {
        const { id } = frame as Extract<Frame, { kind: 'read-index' }>
        if (this.raft.status.role !== 'leader') this.send(from, { kind: 'read-index-answer', id, index: null })
        else this.confirmLead((index) => this.send(from, { kind: 'read-index-answer', id, index: index ?? null }))
        return
      }
      case 'read-index-answer': {
        const answer = frame as Extract<Frame, { kind: 'read-index-answer' }>
        return this.requests.answer(answer.id, { ok: true, value: answer.index })
      }
      case 'ask': {
        const { id, question } = frame as Extract<Frame, { kind: 'ask' }>
        const done = (answer: unknown, error: PlainError | null) => this.send(from, { kind: 'answer', id, answer, error })
        void this.answerTo(question).then(
          (answer) => done(answer, null),
          (error) => done(null, error instanceof ClusterError ? error.toPlain() : { code: 'INTERNAL', detail: String(error) }),
        )
        return
      }
      case 'answer': {
        const { id, answer, error } = frame as Extract<Frame, { kind: 'answer' }>
        return this.requests.answer(id, error === null ? { ok: true, value: answer } : { ok: false, error: fromPlain(error) })
      }
    }
  }

  private onRaft(from: NodeId, frame: RaftFrame | Uint8Array): void {
    const unpacked = unpackFrame(frame)
    if (unpacked === undefined) return
    const { member, to, message } = unpacked
    // What another life of this node was told, or a member of another node's name says, is not for this one.
    if (to !== this.identity.memberId || (this.membership.nodeOf(member) ?? from) !== from) return
    this.membership.learn(member, from)
    this.raftInbox.push({ kind: 'received', from: member, message })
  }

  /** An empty node asks to be taken in: the log decides, and the answer goes to where it listens. */
  private onJoin(from: NodeId, { folder, address, checksum }: Extract<Frame, { kind: 'join' }>): void {
    if (typeof folder !== 'string' || typeof address?.host !== 'string' || !Number.isInteger(address.port)) return
    if (address.port < 1 || address.port > 65_535 || address.host.length > 255) return
    this.io.peers.reach(from, [address])
    const member = `member-${from}-${this.io.freshId()}` as MemberId
    const command: Command = { kind: 'admit', node: from, folder, member, address, checksum: checksum ?? null }
    this.submit(command, { timeoutMs: 2_000 }, (outcome) => {
      if (!outcome.ok) return // It asks again.
      const { value } = outcome
      this.send(from, {
        kind: 'joined',
        folder,
        clusterId: this.identity.clusterId,
        member: value.ok ? (value.value.member as MemberId) : member,
        error: value.ok ? null : (value.error as PlainError),
      })
    })
  }

  /** One hop: a node that does not lead sends the request back instead of passing it on. */
  private onForward(from: NodeId, { requestId, command, fingerprint, term }: Extract<Frame, { kind: 'forward' }>): void {
    if (isLeadersOwn(command)) return // What only a leader says comes from nobody else.
    const refuse = (error: ClusterError) =>
      this.send(from, { kind: 'forward-refused', requestId, error: error.toPlain(), ...(term === undefined ? {} : { term }) })
    const { role, term: now } = this.raft.status
    // Whoever passed it on counts on its being taken in that term or never.
    if (role !== 'leader' || (term !== undefined && term !== now)) {
      refuse(new ClusterError('NOT_LEADER', `${this.self.node} does not lead in that term`))
      return
    }
    this.forwardedBy.set(requestId, now)
    const proposal: Proposal = { id: requestId, command, fingerprint: fingerprint ?? undefined }
    const added = this.requests.addProposal(proposal, this.io.clock.now() + defaultTimeout, (outcome) => {
      this.forwardedBy.delete(requestId)
      if (outcome.ok) {
        this.send(from, { kind: 'forward-result', requestId, result: outcome.value })
        const by = this.membership.memberOf(from)
        if (by !== undefined) this.post(() => this.raftInbox.push({ kind: 'commit-awaited', by }))
      } else if (outcome.error.code === 'NOT_LEADER') refuse(outcome.error)
    })
    if (added) this.sendProposal(proposal)
  }

  private onForwardResult({ requestId, result }: Extract<Frame, { kind: 'forward-result' }>): void {
    if (result.index <= this.state.appliedIndex) this.requests.endProposal(requestId, { ok: true, value: result })
    else this.requests.proposalAnswered(requestId, result, this.io.clock.now() + appliedHereMax)
  }

  private onForwardRefused({ requestId, term }: Extract<Frame, { kind: 'forward-refused' }>): void {
    this.requests.forwardRefused(requestId, term)
  }

  private async answerTo(question: Question): Promise<unknown> {
    const answered = this.typeAnswers(question)
    if (answered !== undefined) return answered
    switch (question.kind) {
      case 'detector':
        return this.detectorReport()
      case 'leader-view':
        return {
          lives: [...this.membership.places.keys()].filter((node) =>
            this.liveness().isAlive(node, currentBoot(this.state, node)?.boot ?? ('' as never)),
          ),
          joining: [...this.membership.places.keys()].filter((node) => this.liveness().isJoining(node)),
          needed: this.leadership?.needed() ?? [],
          held: this.leadership?.held() ?? [],
        }
      case 'consensus':
        return {
          lags: Object.fromEntries(
            this.membership.others.flatMap((member) => {
              const progress = this.raft.progressOf(member)
              return progress === undefined ? [] : [[member, this.raft.status.lastIndex - progress.matchIndex]]
            }),
          ),
          refusal: this.leadership?.memberRefusal ?? null,
        }
      case 'paths':
        return this.askPaths(question)
      case 'unheard':
        return { unheard: this.leadership?.isUnheard(question.node, question.boot) ?? false }
      case 'transfer-lead':
        this.transferLead(question.to)
        return {}
      default:
        throw new ClusterError('NOT_YET', 'this node cannot answer that')
    }
  }

  private send(to: NodeId, frame: Frame | Uint8Array): boolean {
    this.hasSent = true
    return this.io.peers.send(to, frame)
  }
}

/** Judgements and bookkeeping of the leader: it proposes them itself, in its own term. */
const leadersOwn: ReadonlySet<unknown> = new Set<Command['kind']>([
  'decide',
  'settle-members',
  'raise-level',
  'mark-state',
  'recover',
  'open-case',
  'close-case',
  'condemn',
  'attempt',
  'abandon-attempt',
  'recover-case',
  'lease-proof',
  'end-quarantine',
  'see-links',
  'guardian-proof',
  'readmit',
  'void-proof',
  'count-former-lease',
])

function isAppendAnswer(event: RaftEvent): boolean {
  return event.kind === 'received' && event.message.kind === 'append-response'
}

function isLeadersOwn(command: Command): boolean {
  return command.kind === 'transaction' ? command.commands.some(isLeadersOwn) : leadersOwn.has(kindOf(command))
}

export type { Change }

/** A node that is somewhere else than its last life was has not told its links yet. */
function linksOf(state: Reader, node: NodeId, known: readonly Address[]): readonly Address[] {
  const links = state.get('nodes', node)?.links ?? []
  const [first] = known
  return links.length > 0 && (first === undefined || links.some((link) => sameAddresses([link], [first]))) ? links : known
}

function sameAddresses(one: readonly Address[], other: readonly Address[] = []): boolean {
  return one.length === other.length && one.every(({ host, port }, at) => host === other[at]?.host && port === other[at]?.port)
}
