/**
 * One member of a Raft group: events in, effects out (Ongaro and Ousterhout 2014, "the paper"; Ongaro's dissertation, "the thesis").
 *
 * Election with pre-vote and check-quorum, replication, the commit rule of the own term, quorum rounds for reads and
 * leases, leadership transfer, learners and joint consensus, snapshots and compaction. It has no disk, network or clock:
 * persistence is asked for and confirmed by events, time comes as ticks. Nothing that rests on a disk write leaves before
 * that write is confirmed.
 *
 * Here are the order of the work and the changes of role. The work is done by parts that each own what only they change:
 * `member-state.ts` what holds in every role, `elections.ts` the votes, `following.ts` and `snapshot-receiving.ts` what a
 * leader sends, `lead.ts` everything that only a leader does.
 */
import { invariant, type LogIndex, type MemberId, type Term, unreachable } from '../../base/index.js'
import type { Configuration } from './configuration.js'
import { Elections } from './elections.js'
import { Following } from './following.js'
import { Lead } from './lead.js'
import { LeadHistory } from './lead-history.js'
import { MemberState } from './member-state.js'
import type { RaftOptions, RaftTiming } from './options.js'
import { Outbox } from './outbox.js'
import type { Progress } from './progress.js'
import { SnapshotReceiving } from './snapshot-receiving.js'
import type { RaftEffect, RaftEvent, RaftMessage } from './types.js'

/** Bytes of log up to which a snapshot under way keeps the entries that will follow it (R56). */
const heldBytesMax = 256 * 1024 * 1024

export class Raft {
  private readonly outbox = new Outbox()
  private readonly state: MemberState
  private readonly elections: Elections
  private readonly following: Following
  private readonly receiving: SnapshotReceiving
  private readonly leadHistory: LeadHistory
  /** There while this member is the leader, and only then. */
  private lead: Lead | undefined

  constructor(options: RaftOptions) {
    const { outbox } = this
    this.state = new MemberState(options, outbox)
    const roles = {
      becomeFollower: (inTerm: Term) => this.becomeFollower(inTerm, undefined),
      becomeLeader: () => this.becomeLeader(),
    }
    this.elections = new Elections(this.state, outbox, roles, options.seed)
    this.following = new Following(this.state)
    this.receiving = new SnapshotReceiving(this.state, outbox)
    this.leadHistory = new LeadHistory(this.state, outbox)
  }

  get status() {
    const { role, term, leader, commitIndex, appliedIndex, log, configuration, isChanging, isEstablished } = this.state
    return {
      role,
      term,
      leader,
      commitIndex,
      appliedIndex,
      lastIndex: log.lastIndex,
      lastTerm: log.lastTerm,
      configuration,
      /** What the log begins after, and how large it is in memory. */
      base: log.base,
      logBytes: log.bytes,
      /** A change of the configuration is not over. */
      isChanging,
      /** A leader that has committed an entry of its own term: it may judge and answer reads. */
      established: isEstablished,
    } as const
  }

  /** Every other voter has as many appends on their way as are of use: what is proposed now would only wait in the log. */
  get isBusy(): boolean {
    return this.lead?.isBusy ?? false
  }

  /** What the leader knows of a follower; undefined elsewhere. */
  progressOf(member: MemberId): Readonly<Progress> | undefined {
    return this.lead?.progressOf(member)
  }

  /** The configuration in force at an index that is applied here. */
  configurationAt(index: LogIndex): Configuration {
    return this.state.configurationAt(index)
  }

  /** This leader has brought it up to date, but for what came just now, and it answers (thesis §4.2.1; R45). */
  hasCaughtUp(member: MemberId): boolean {
    return member === this.state.self || this.lead?.hasCaughtUp(member) === true
  }

  /** The highest applied index behind which about so many bytes of the log are left. */
  indexBeforeTail(bytes: number): LogIndex {
    return Math.min(this.state.appliedIndex, this.state.log.indexBeforeTail(bytes)) as LogIndex
  }

  setTiming(timing: RaftTiming): void {
    this.state.timing = timing
    this.elections.drawTimeout()
  }

  /** Handles everything that waits in the inbox, in order, then answers with what is to be done: one disk batch, one append a follower. */
  step(events: readonly RaftEvent[]): readonly RaftEffect[] {
    for (const event of events) this.handle(event)
    if (this.lead?.continueChange() === false) this.stepDown()
    this.lead?.replicate()
    this.state.persist()
    this.receiving.continueInstall()
    if (!this.receiving.isInstalling) this.state.apply()
    this.lead?.serveRequests()
    this.state.announce()
    return this.outbox.take()
  }

  private handle(event: RaftEvent): void {
    switch (event.kind) {
      case 'tick':
        return this.tick()
      case 'received':
        return this.receive(event.from, event.message)
      case 'proposed':
        if (this.lead === undefined) this.outbox.refuse(event.requestId, 'not-leader', this.state.leader)
        else this.lead.propose(event.requestId, event.command)
        return
      case 'commit-awaited':
        return this.lead?.awaitCommit(event.by)
      case 'confirm-requested':
        if (this.lead === undefined) this.outbox.push({ kind: 'confirm-failed', requestId: event.requestId })
        else this.lead.requestConfirm(event.requestId)
        return
      case 'persisted':
        return this.persisted(event.sequence)
      case 'transfer-requested':
        if (this.lead === undefined) this.outbox.push({ kind: 'transfer-ended', to: event.to, outcome: 'lost-lead' })
        else this.lead.requestTransfer(event.to)
        return
      case 'configuration-requested':
        if (this.lead === undefined) this.outbox.refuse(event.requestId, 'not-leader', this.state.leader)
        else this.lead.requestChange(event.requestId, event.change)
        return
      case 'compact':
        return this.compact(event.upTo)
      case 'snapshot-chunk':
        return this.lead?.sendChunk(event)
      case 'snapshot-unreadable':
        return this.lead?.snapshotUnreadable(event.to, event.transfer)
      case 'snapshot-written':
        return this.receiving.chunkWritten(event.source, event.sequence)
      case 'snapshot-installed':
        return this.snapshotInstalled(event.source)
      case 'peer-refused':
        return this.elections.peerRefused(event.peer)
      default:
        return unreachable(event)
    }
  }

  private tick(): void {
    this.elections.tickSilence()
    this.state.tickDisk()
    if (this.lead === undefined) this.elections.tick()
    else if (!this.lead.tick()) this.stepDown()
  }

  private receive(from: MemberId, message: RaftMessage): void {
    // Requests of members that this log does not know yet count all the same (Raft §6): the log may lag. What removed ones
    // ask for is held off by pre-vote and loyalty; answers count by the leader's own list.
    if (from === this.state.self) return
    if (message.kind === 'vote-request') return this.elections.onVoteRequest(from, message)
    if (message.term < this.state.term) return this.onStale(from, message)
    const granted = message.kind === 'vote-response' && message.pre && message.granted // Carries the term asked about, which nobody is in yet.
    if (message.term > this.state.term && !granted) this.becomeFollower(message.term, undefined)
    switch (message.kind) {
      case 'vote-response':
        return this.elections.onVoteResponse(from, message)
      case 'append':
        this.followLeader(from)
        if (!this.receiving.isInstalling) this.following.onAppend(from, message) // Else the leader sends again.
        return
      case 'append-response':
        return this.lead?.onAppendResponse(from, message)
      case 'heartbeat':
        this.followLeader(from)
        return this.following.onHeartbeat(from, message)
      case 'heartbeat-response':
        return this.lead?.onHeartbeatResponse(from, message)
      case 'snapshot':
        this.followLeader(from)
        return this.receiving.onSnapshot(from, message)
      case 'snapshot-response':
        return this.lead?.onSnapshotResponse(from, message)
      case 'timeout-now':
        return this.elections.onTimeoutNow()
      default:
        return unreachable(message)
    }
  }

  /** A message of an earlier term has no effect; a leader of such a term learns that it is over. */
  private onStale(from: MemberId, message: RaftMessage): void {
    if (message.kind === 'append' || message.kind === 'heartbeat' || message.kind === 'snapshot') {
      const { term, persistence } = this.state
      persistence.sendInTerm(from, { kind: 'heartbeat-response', term, round: 0, durable: persistence.durableIndex })
    }
  }

  private persisted(sequence: number): void {
    this.state.persisted(sequence)
    this.lead?.persisted()
    this.elections.persisted()
  }

  private compact(upTo: LogIndex): void {
    if (this.receiving.isInstalling) return
    const { appliedIndex, log, persistence } = this.state
    invariant(upTo <= appliedIndex, 'only what is applied is compacted', { upTo, applied: appliedIndex })
    invariant(upTo <= persistence.durableIndex, 'only what is on disk is compacted', { upTo, durable: persistence.durableIndex })
    const index = this.lead !== undefined && log.bytes < heldBytesMax ? this.lead.spare(upTo) : upTo
    if (index <= log.base.index) return
    this.state.compactTo(index)
    this.outbox.push({ kind: 'compacted', index })
  }

  private snapshotInstalled(source: string): void {
    if (!this.receiving.installed(source)) return
    if (this.lead !== undefined) this.lead.configurationReplaced()
    else this.elections.reconsider()
  }

  private followLeader(leader: MemberId): void {
    const { role, term, self, leader: known } = this.state
    invariant(role !== 'leader', 'a term has one leader (Raft §5.2)', { term, self, other: leader })
    invariant(known === undefined || known === leader, 'a term has one leader (Raft §5.2)', { term, leader: known })
    if (role !== 'follower') this.becomeFollower(term, leader)
    else this.state.become('follower', leader)
    this.elections.leaderHeard()
  }

  private becomeFollower(inTerm: Term, leader: MemberId | undefined): void {
    this.state.enterTerm(inTerm)
    if (this.lead !== undefined) this.endLead(this.lead)
    this.state.become('follower', leader)
    this.elections.restart()
  }

  private endLead(lead: Lead): void {
    lead.end()
    this.lead = undefined
    this.elections.leadLost()
  }

  /** Gives up its lead in the present term. */
  private stepDown(): void {
    this.becomeFollower(this.state.term, undefined)
  }

  private becomeLeader(): void {
    invariant(this.lead === undefined, 'a lead ends before the next one begins', { term: this.state.term })
    this.state.become('leader', this.state.self)
    this.lead = new Lead(this.state, this.outbox, this.leadHistory)
    this.lead.begin()
  }
}
