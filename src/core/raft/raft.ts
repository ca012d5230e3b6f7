/**
 * One member of a Raft group: events in, effects out (Ongaro and Ousterhout 2014, "the paper"; Ongaro's dissertation, "the thesis").
 *
 * Election with pre-vote and check-quorum, replication, the commit rule of the own term, quorum rounds for reads and
 * leases, leadership transfer, learners and joint consensus, snapshots and compaction. It has no disk, network or clock:
 * persistence is asked for and confirmed by events, time comes as ticks. Nothing that rests on a disk write leaves before
 * that write is confirmed.
 */
import { invariant, type LogIndex, logIndex, type MemberId, type RequestId, type Term, term, unreachable } from '../../base/index.js'
import {
  type Configuration,
  type ConfigurationChange,
  changed,
  encodeConfiguration,
  final,
  hasQuorum,
  membersOf,
  quorumValue,
  votersOf,
} from './configuration.js'
import { Configurations } from './configurations.js'
import { Log, sizeOf } from './log.js'
import { Persistence } from './persistence.js'
import {
  appendBytesMax,
  fallBack,
  freshProgress,
  inFlightMax,
  isAwaited,
  type Progress,
  smallAppend,
  smallInFlightMax,
} from './progress.js'
import { Rounds } from './rounds.js'
import { SnapshotSending } from './snapshot-sending.js'
import type { HardState, LogEntry, LogPosition, RaftEffect, RaftEvent, RaftMessage, Refusal, Role, SnapshotMeta } from './types.js'

export interface RaftTiming {
  /** Ticks. A follower stands for election after a silence drawn between these two. */
  readonly electionTicksMin: number
  readonly electionTicksMax: number
  readonly heartbeatTicks: number
}

export interface RaftOptions {
  readonly self: MemberId
  /** In force where no configuration entry was ever applied; without members for one that waits to be added. */
  readonly configuration: Configuration
  readonly timing: RaftTiming
  /** What the disk held at start. */
  readonly hardState: HardState
  /** What the first entry follows. */
  readonly base: LogPosition
  readonly entries: readonly LogEntry[]
  readonly applied: SnapshotMeta
  /** Seed of the election time-outs; a different one per start. */
  readonly seed: number
}

/** Proposals within one tick, this one or the last, from which on the next append is surely near. */
const busyProposals = 3
/** Bytes that may wait to be committed; beyond it proposals are refused. */
const uncommittedBytesMax = 64 * 1024 * 1024
/** Bytes of log up to which a snapshot under way keeps the entries that will follow it (R56). */
const heldBytesMax = 256 * 1024 * 1024
/** A learner may lag by so many entries when it is promoted (thesis §4.2.1; R45). */
const promotionLagMax = 1_000
/** Ticks after which chunks of a snapshot that were not acknowledged are sent again, and after which the transfer is given up. */
const chunkPatience = 30
const transferPatience = 3_000

export class Raft {
  private readonly self: MemberId
  private configurations: Configurations
  private readonly log: Log
  private readonly persistence: Persistence
  private timing: RaftTiming

  private currentTerm: Term
  private votedFor: MemberId | null
  private role: Role = 'follower'
  private leader: MemberId | undefined
  private commitIndex: LogIndex
  private appliedIndex: LogIndex

  /** Ticks since the leader (or, for a leader, nothing) was heard; and the drawn time-out. */
  private electionElapsed = 0
  private electionTimeout = 0
  /** Ticks since a leader was last heard, for loyalty; large when a hint said it is gone. */
  private leaderSilence = Number.MAX_SAFE_INTEGER
  private voteRound = 0
  private readonly votes = new Map<MemberId, boolean>()

  /** Leader's volatile state (paper fig. 2), made anew at each election. */
  private progress = new Map<MemberId, Progress>()
  private heartbeatElapsed = 0
  private readonly rounds = new Rounds()
  private transfer: { readonly to: MemberId; ticks: number; ordered: boolean } | undefined
  private uncommittedBytes = 0
  /** Counts snapshots sent in this life. */
  private transfers = 0
  /** Something new may have to be sent to a follower; the commit index moved and followers do not know. */
  private leaderDirty = false
  private commitNews = false
  /** Members that owe an answer about what is committed up to an index. */
  private readonly commitAwaited = new Map<MemberId, LogIndex>()
  private proposedInTick = 0
  private proposedInLastTick = 0

  /** A snapshot that comes in, chunk by chunk; `installing` once it is whole and takes the place of state and log. */
  private receiving:
    | {
        readonly source: string
        readonly from: MemberId
        readonly transfer: number
        readonly meta: SnapshotMeta
        next: number
        written: number
        last: number | undefined
      }
    | undefined
  private installing: { readonly source: string; readonly meta: SnapshotMeta; readonly keepTail: boolean } | undefined

  private random: number
  private effects: RaftEffect[] = []
  private announced: { readonly role: Role; readonly term: Term; readonly leader: MemberId | undefined }

  constructor(options: RaftOptions) {
    this.self = options.self
    this.timing = options.timing
    this.log = new Log(options.base, options.entries)
    this.currentTerm = options.hardState.term
    this.votedFor = options.hardState.votedFor
    this.appliedIndex = options.applied.index
    // Applied entries were committed; anything after them must be committed again by a leader (R37).
    this.commitIndex = options.applied.index
    this.configurations = new Configurations(options.applied.configuration ?? options.configuration, options.applied.index)
    this.configurations.append(options.entries.filter((entry) => entry.index > options.applied.index))
    this.persistence = new Persistence(this.log.lastIndex)
    this.random = (options.seed >>> 0) | 1
    invariant(this.appliedIndex <= this.log.lastIndex && this.appliedIndex >= options.base.index, 'what is applied is in the log', {
      applied: this.appliedIndex,
      base: options.base.index,
      last: this.log.lastIndex,
    })
    this.announced = { role: this.role, term: this.currentTerm, leader: undefined }
    this.drawElectionTimeout()
  }

  get status() {
    return {
      role: this.role,
      term: this.currentTerm,
      leader: this.leader,
      commitIndex: this.commitIndex,
      appliedIndex: this.appliedIndex,
      lastIndex: this.log.lastIndex,
      lastTerm: this.log.lastTerm,
      configuration: this.configuration,
      /** What the log begins after, and how large it is in memory. */
      base: this.log.base,
      logBytes: this.log.bytes,
      /** A change of the configuration is not over. */
      isChanging: this.isChanging(),
      /** A leader that has committed an entry of its own term: it may judge and answer reads. */
      established: this.isEstablished(),
    } as const
  }

  /** Every follower has as many appends on their way as are of use: what is proposed now would only wait in the log. */
  get isBusy(): boolean {
    if (this.role !== 'leader' || this.progress.size === 0) return false
    for (const progress of this.progress.values())
      if (progress.mode !== 'snapshot' && progress.inFlight < this.inFlightBound(progress)) return false
    return true
  }

  /** What the leader knows of a follower; undefined elsewhere. */
  progressOf(member: MemberId): Readonly<Progress> | undefined {
    return this.role === 'leader' ? this.progress.get(member) : undefined
  }

  /** The configuration in force at an index that is applied here. */
  configurationAt(index: LogIndex): Configuration {
    return this.configurations.at(index)
  }

  /** This leader has brought it up to date, but for what came just now, and it answers (thesis §4.2.1; R45). */
  hasCaughtUp(member: MemberId): boolean {
    if (member === this.self) return true
    const progress = this.progress.get(member)
    return progress?.mode === 'replicate' && progress.matchIndex + promotionLagMax >= this.commitIndex && this.answers(member)
  }

  /** The highest applied index behind which about so many bytes of the log are left. */
  indexBeforeTail(bytes: number): LogIndex {
    return Math.min(this.appliedIndex, this.log.indexBeforeTail(bytes)) as LogIndex
  }

  setTiming(timing: RaftTiming): void {
    this.timing = timing
    this.drawElectionTimeout()
  }

  /** Handles everything that waits in the inbox, in order, then answers with what is to be done: one disk batch, one append a follower. */
  step(events: readonly RaftEvent[]): readonly RaftEffect[] {
    for (const event of events) this.handle(event)
    this.continueChange()
    if (this.role === 'leader') this.replicate()
    this.persist()
    this.effects.push(...this.persistence.release())
    this.continueInstall()
    this.apply()
    if (this.role === 'leader' && this.rounds.isWanted && this.isEstablished()) this.startRound()
    this.announce()
    const effects = this.effects
    this.effects = []
    return effects
  }

  private handle(event: RaftEvent): void {
    switch (event.kind) {
      case 'tick':
        return this.tick()
      case 'received':
        return this.receive(event.from, event.message)
      case 'proposed':
        return this.propose(event.requestId, event.command)
      case 'commit-awaited':
        if (this.progress.has(event.by)) this.commitAwaited.set(event.by, this.commitIndex)
        return
      case 'confirm-requested':
        return this.requestConfirm(event.requestId)
      case 'persisted':
        return this.persisted(event.sequence)
      case 'transfer-requested':
        return this.requestTransfer(event.to)
      case 'configuration-requested':
        return this.requestChange(event.requestId, event.change)
      case 'compact':
        return this.compact(event.upTo)
      case 'snapshot-chunk':
        return this.sendChunk(event)
      case 'snapshot-unreadable':
        return this.abandonSending(event.to, event.transfer)
      case 'snapshot-written':
        return this.chunkWritten(event.source, event.sequence)
      case 'snapshot-installed':
        return this.snapshotInstalled(event.source)
      case 'peer-refused':
        return this.peerRefused(event.peer)
      default:
        return unreachable(event)
    }
  }

  // The order of work on each event follows, one method per kind.

  private tick(): void {
    this.leaderSilence = Math.min(this.leaderSilence + 1, Number.MAX_SAFE_INTEGER - 1)
    this.persistence.tick()
    if (this.role === 'leader') return this.tickLeader()
    this.electionElapsed++
    if (this.electionElapsed >= this.electionTimeout) this.startPreVote(false)
  }

  private tickLeader(): void {
    this.proposedInLastTick = this.proposedInTick
    this.proposedInTick = 0
    for (const [member, progress] of this.progress) this.tickFollower(member, progress)
    // Check-quorum (thesis §6.2): a leader that hears no majority for an election time-out gives up its lead.
    if (!hasQuorum(this.configuration, (voter) => this.isHeard(voter, this.timing.electionTicksMax)))
      return this.becomeFollower(this.currentTerm, undefined)
    if (this.transfer !== undefined && ++this.transfer.ticks > this.timing.electionTicksMax) this.endTransfer('timed-out')
    if (this.persistence.waitingTicks > 2 * this.timing.electionTicksMax) this.leaveForSlowDisk()
    if (++this.heartbeatElapsed >= this.timing.heartbeatTicks) this.startRound()
  }

  private tickFollower(member: MemberId, progress: Progress): void {
    progress.silentTicks++
    if (progress.leavingTicks !== undefined && !this.isChanging() && ++progress.leavingTicks > 2 * this.timing.electionTicksMax) {
      this.endSending(member, progress)
      this.progress.delete(member)
      this.commitAwaited.delete(member)
      return
    }
    if (progress.mode === 'snapshot') return this.tickSending(member, progress)
    if (isAwaited(progress) && ++progress.quietTicks > 2 * this.timing.heartbeatTicks + 2) {
      fallBack(progress) // Lost on the way, or its disk is slow: from what is known, one at a time.
      this.leaderDirty = true
    }
  }

  /**
   * A leader whose disk hangs holds everybody up: it hands the lead to a voter that has everything. Only where a quorum
   * stores without it, though: an election waits for the disks of its voters too.
   */
  private leaveForSlowDisk(): void {
    if (this.transfer !== undefined || this.commitIndex <= this.persistence.durableIndex) return
    const best = this.bestVoter()
    if (best !== undefined) this.requestTransfer(best)
  }

  /** The other voter that has the most of the log, of those that are heard. */
  private bestVoter(): MemberId | undefined {
    const match = (voter: MemberId): number => this.progress.get(voter)?.matchIndex ?? 0
    return this.configuration.voters
      .filter((voter) => voter !== this.self && this.isHeard(voter, this.timing.electionTicksMin))
      .sort((a, b) => match(b) - match(a) || (a < b ? -1 : 1))[0]
  }

  private receive(from: MemberId, message: RaftMessage): void {
    // Requests of members that this log does not know yet count all the same (Raft §6): the log may lag. What removed ones
    // ask for is held off by pre-vote and loyalty; answers count by the leader's own list.
    if (from === this.self) return
    if (message.kind === 'vote-request') return this.onVoteRequest(from, message)
    if (message.term < this.currentTerm) return this.onStale(from, message)
    const granted = message.kind === 'vote-response' && message.pre && message.granted // Carries the term asked about, which nobody is in yet.
    if (message.term > this.currentTerm && !granted) this.becomeFollower(message.term, undefined)
    switch (message.kind) {
      case 'vote-response':
        return this.onVoteResponse(from, message)
      case 'append':
        return this.onAppend(from, message)
      case 'append-response':
        return this.onAppendResponse(from, message)
      case 'heartbeat':
        return this.onHeartbeat(from, message)
      case 'heartbeat-response':
        return this.onHeartbeatResponse(from, message)
      case 'snapshot':
        return this.onSnapshot(from, message)
      case 'snapshot-response':
        return this.onSnapshotResponse(from, message)
      case 'timeout-now':
        if (this.role !== 'leader' && this.isVoter(this.self)) this.startElection(true)
        return
      default:
        return unreachable(message)
    }
  }

  /** A message of an earlier term has no effect; a leader of such a term learns that it is over. */
  private onStale(from: MemberId, message: RaftMessage): void {
    if (message.kind === 'append' || message.kind === 'heartbeat' || message.kind === 'snapshot') {
      this.persistence.sendInTerm(from, {
        kind: 'heartbeat-response',
        term: this.currentTerm,
        round: 0,
        durable: this.persistence.durableIndex,
      })
    }
  }

  private onVoteRequest(from: MemberId, message: Extract<RaftMessage, { kind: 'vote-request' }>): void {
    const refuse = () =>
      this.persistence.sendInTerm(from, {
        kind: 'vote-response',
        term: this.currentTerm,
        pre: message.pre,
        granted: false,
        round: message.round,
      })
    if (message.term < this.currentTerm) return refuse()
    // Loyalty (thesis §9.6): while a leader is heard, nobody is helped to depose it.
    const loyal = this.role === 'leader' || (this.leader !== undefined && this.leaderSilence < this.timing.electionTicksMin)
    if (loyal && !message.transfer) {
      // Refusing a pre-vote in the present term is harmless and lets the asker learn the term.
      if (message.pre) refuse()
      return
    }
    const upToDate = this.log.isUpToDate(message.lastTerm, message.lastIndex)
    if (message.pre) {
      if (message.term <= this.currentTerm) return refuse()
      if (!upToDate || (!message.transfer && this.standsFirst(from, message))) {
        refuse()
        // Whoever stands has given its leader up, and may have been asked before it had.
        if (this.role === 'pre-candidate' && this.votes.get(from) !== true) this.askForVote(from, term(this.currentTerm + 1), true, false)
        return
      }
      return this.persistence.sendInTerm(from, {
        kind: 'vote-response',
        term: message.term,
        pre: true,
        granted: true,
        round: message.round,
      })
    }
    if (message.term > this.currentTerm) this.becomeFollower(message.term, undefined)
    const free = this.votedFor === null || this.votedFor === from // One vote a term; the same candidate may ask again (R04).
    if (!free || !upToDate || this.role === 'leader') return refuse()
    if (this.votedFor === null) {
      this.votedFor = from
      this.persistence.changeHardState()
    }
    this.electionElapsed = 0
    this.persistence.sendDurable(from, { kind: 'vote-response', term: this.currentTerm, pre: false, granted: true, round: message.round })
  }

  /**
   * Of two equals that have just begun to stand, the one with the lower id goes on: votes that they split would cost a whole election
   * timeout. For a moment only, so that one who cannot win does not stand in another's way.
   */
  private standsFirst(from: MemberId, { term: asked, lastTerm, lastIndex }: Extract<RaftMessage, { kind: 'vote-request' }>): boolean {
    const equals = lastTerm === this.log.lastTerm && lastIndex === this.log.lastIndex
    return asked <= this.currentTerm + 1 && this.role === 'pre-candidate' && equals && this.self < from && this.electionElapsed <= this.turn
  }

  /** Ticks in which a vote is usually over. */
  private get turn(): number {
    return Math.max(2, this.timing.heartbeatTicks)
  }

  private onVoteResponse(from: MemberId, message: Extract<RaftMessage, { kind: 'vote-response' }>): void {
    // Only answers to the present round of the present kind count (R05).
    const expected = message.pre ? 'pre-candidate' : 'candidate'
    if (this.role !== expected || message.round !== this.voteRound || !this.isVoter(from)) return
    this.votes.set(from, message.granted)
    this.countVotes()
  }

  private countVotes(): void {
    if (!hasQuorum(this.configuration, (voter) => this.votes.get(voter) === true)) return
    if (this.role === 'pre-candidate') this.startElection(false)
    else if (this.role === 'candidate' && this.persistence.isTermDurable) this.becomeLeader()
  }

  private onAppend(from: MemberId, message: Extract<RaftMessage, { kind: 'append' }>): void {
    this.followLeader(from)
    if (this.installing !== undefined) return // The log is being replaced; the leader sends again.
    const { prevIndex, prevTerm } = message
    // What a snapshot covers is committed, and the same everywhere: only what follows it is of interest.
    const covered = this.log.base.index - prevIndex
    const entries = covered > 0 ? message.entries.slice(covered) : message.entries
    if (covered <= 0 && this.log.termAt(prevIndex) !== prevTerm) {
      const hintIndex = this.log.lastIndexNotAbove(prevIndex, prevTerm)
      return this.persistence.sendInTerm(from, {
        kind: 'append-response',
        term: this.currentTerm,
        success: false,
        index: prevIndex,
        hintIndex,
        hintTerm: this.log.termAt(hintIndex) ?? term(0),
      })
    }
    const lastNew = logIndex(Math.max(prevIndex + message.entries.length, this.log.base.index))
    const firstOther = entries.findIndex((entry) => this.log.termAt(entry.index) !== entry.term)
    if (firstOther >= 0) this.take(entries.slice(firstOther))
    this.commitTo(Math.min(message.commit, lastNew)) // No further than what this message proved (paper fig. 2; R18).
    this.persistence.sendDurable(from, {
      kind: 'append-response',
      term: this.currentTerm,
      success: true,
      index: lastNew,
      hintIndex: logIndex(0),
      hintTerm: term(0),
    })
  }

  /** Replaces the log from the first of `entries` on. */
  private take(entries: readonly LogEntry[]): void {
    const first = entries[0]
    invariant(first !== undefined, 'there is an entry to take')
    invariant(first.index > this.commitIndex, 'a committed entry is never replaced (Raft §5.4)', {
      index: first.index,
      commit: this.commitIndex,
    })
    let isReconfigured = false
    if (first.index <= this.log.lastIndex) {
      this.log.truncateFrom(first.index)
      this.persistence.truncateFrom(first.index)
      isReconfigured = this.configurations.truncateFrom(first.index)
    }
    this.log.append(entries)
    this.persistence.append(entries)
    if (this.configurations.append(entries) || isReconfigured) this.configurationChanged()
  }

  private onAppendResponse(from: MemberId, message: Extract<RaftMessage, { kind: 'append-response' }>): void {
    const progress = this.heardFrom(from)
    if (progress === undefined) return
    progress.inFlight = Math.max(0, progress.inFlight - 1)
    progress.quietTicks = 0
    this.leaderDirty = true
    if (message.success) {
      invariant(message.index <= this.log.lastIndex, 'a follower matches no more than the leader has', { index: message.index })
      if (message.index > progress.matchIndex) progress.matchIndex = message.index
      progress.nextIndex = Math.max(progress.nextIndex, progress.matchIndex + 1) as LogIndex
      if (progress.mode === 'snapshot') {
        const isInstalled = progress.matchIndex >= (progress.sending?.index ?? Number.MAX_SAFE_INTEGER)
        if (progress.matchIndex < this.log.base.index && !isInstalled) return // An answer to an append from before.
        this.endSending(from, progress)
        fallBack(progress) // Where the log has moved on meanwhile, it takes another snapshot.
      }
      if (this.log.termAt(progress.matchIndex) !== undefined) progress.mode = 'replicate'
      this.advanceCommit()
      this.continueTransfer()
      return
    }
    // A late refusal of something already matched says nothing new (R19).
    if (message.index <= progress.matchIndex || progress.mode === 'snapshot') return
    if (progress.mode === 'probe' && message.index !== progress.nextIndex - 1) return
    const next = this.log.lastIndexNotAbove(message.hintIndex, message.hintTerm) + 1
    fallBack(progress)
    progress.nextIndex = Math.max(progress.matchIndex + 1, Math.min(next, message.index)) as LogIndex
  }

  private onHeartbeat(from: MemberId, message: Extract<RaftMessage, { kind: 'heartbeat' }>): void {
    this.followLeader(from)
    // The leader sends no more than what it knows to match here. Where this log ends before that, the disk was rolled back:
    // nothing is made of it, and the answer shows the leader what is there.
    if (message.commit <= this.log.lastIndex) this.commitTo(message.commit)
    this.persistence.sendInTerm(from, {
      kind: 'heartbeat-response',
      term: this.currentTerm,
      round: message.round,
      durable: this.persistence.durableIndex,
    })
  }

  private onHeartbeatResponse(from: MemberId, message: Extract<RaftMessage, { kind: 'heartbeat-response' }>): void {
    const progress = this.heardFrom(from)
    if (progress === undefined) return
    progress.ackedRound = Math.max(progress.ackedRound, message.round)
    if (message.round === this.rounds.current && message.durable < progress.matchAtRound)
      return this.regressed(from, progress, message.durable)
    if (progress.matchIndex < this.log.lastIndex && progress.inFlight === 0 && progress.mode !== 'snapshot') this.leaderDirty = true
    this.confirmRounds()
  }

  /** Within a term a follower never loses what it has acknowledged to the leader, unless its disk does (R35: rolled back, cloned). */
  private regressed(member: MemberId, progress: Progress, shows: LogIndex): void {
    this.effects.push({ kind: 'member-regressed', member, acknowledged: progress.matchAtRound, shows })
    progress.matchIndex = logIndex(0)
    progress.matchAtRound = logIndex(0)
    progress.toldCommit = logIndex(0)
    progress.isHeard = false
    this.endSending(member, progress)
    fallBack(progress)
  }

  private propose(requestId: RequestId, command: Uint8Array): void {
    const refusal = this.role !== 'leader' ? 'not-leader' : this.transfer !== undefined ? 'transferring' : undefined
    if (refusal !== undefined) return this.refuse(requestId, refusal)
    if (this.uncommittedBytes > uncommittedBytesMax) return this.refuse(requestId, 'overloaded')
    this.proposedInTick++
    const entry = this.appendOwn('command', command)
    this.effects.push({ kind: 'accepted', requestId, index: entry.index, term: entry.term })
  }

  private refuse(requestId: RequestId, reason: Refusal): void {
    this.effects.push({ kind: 'refused', requestId, reason, leader: this.role === 'leader' ? this.self : this.leader })
  }

  private appendOwn(kind: LogEntry['kind'], data: Uint8Array): LogEntry {
    const entry: LogEntry = { index: logIndex(this.log.lastIndex + 1), term: this.currentTerm, kind, data }
    this.log.append([entry])
    this.persistence.append([entry])
    this.uncommittedBytes += sizeOf(entry)
    this.leaderDirty = true
    return entry
  }

  private requestConfirm(requestId: RequestId): void {
    if (this.role !== 'leader') this.effects.push({ kind: 'confirm-failed', requestId })
    else this.rounds.ask(requestId)
  }

  private persisted(sequence: number): void {
    this.persistence.confirmed(sequence)
    if (this.role === 'leader') this.advanceCommit()
    if (this.role === 'candidate') this.countVotes()
  }

  private requestTransfer(to: MemberId): void {
    if (this.role !== 'leader' || to === this.self || !this.isVoter(to)) {
      this.effects.push({ kind: 'transfer-ended', to, outcome: this.role === 'leader' ? 'done' : 'lost-lead' })
      return
    }
    if (this.transfer !== undefined) this.endTransfer('timed-out')
    this.transfer = { to, ticks: 0, ordered: false }
    this.continueTransfer()
  }

  private continueTransfer(): void {
    const transfer = this.transfer
    if (transfer === undefined || transfer.ordered || this.progress.get(transfer.to)?.matchIndex !== this.log.lastIndex) return
    transfer.ordered = true
    this.effects.push({ kind: 'send', to: transfer.to, message: { kind: 'timeout-now', term: this.currentTerm } })
  }

  private endTransfer(outcome: 'done' | 'timed-out' | 'lost-lead'): void {
    if (this.transfer === undefined) return
    this.effects.push({ kind: 'transfer-ended', to: this.transfer.to, outcome })
    this.transfer = undefined
  }

  private peerRefused(peer: MemberId): void {
    if (this.role === 'leader' || peer !== this.leader) return
    this.leaderSilence = Number.MAX_SAFE_INTEGER - 1
    this.leader = undefined
    if (this.role === 'follower')
      this.electionElapsed = this.electionTimeout - 1 - Math.min(this.electionTimeout - 1, this.waitInTurn(peer))
  }

  /**
   * Ticks before this member stands for the place of `peer`. They stand in turn, by their ids: two that stand in the same moment
   * split the votes, and a second round waits for a whole election timeout. A heartbeat's span is enough for a vote without load.
   */
  private waitInTurn(peer: MemberId): number {
    const turn = this.configuration.voters.filter((voter) => voter !== peer && voter < this.self).length
    return turn * this.turn
  }

  // Roles.

  private becomeFollower(newTerm: Term, leader: MemberId | undefined): void {
    invariant(newTerm >= this.currentTerm, 'terms never fall', { newTerm, currentTerm: this.currentTerm })
    if (newTerm > this.currentTerm) {
      this.currentTerm = newTerm
      this.votedFor = null
      this.persistence.changeHardState()
    }
    if (this.role === 'leader') this.resign()
    this.role = 'follower'
    this.leader = leader
    this.electionElapsed = 0
    this.drawElectionTimeout()
  }

  private resign(): void {
    for (const requestId of this.rounds.fail()) this.effects.push({ kind: 'confirm-failed', requestId })
    this.endTransfer(this.transfer?.ordered === true ? 'done' : 'lost-lead')
    for (const [member, progress] of this.progress) this.endSending(member, progress)
    this.progress = new Map()
    this.commitAwaited.clear()
    this.leaderSilence = Number.MAX_SAFE_INTEGER - 1
  }

  private followLeader(leader: MemberId): void {
    invariant(this.role !== 'leader', 'a term has one leader (Raft §5.2)', { term: this.currentTerm, self: this.self, other: leader })
    invariant(this.leader === undefined || this.leader === leader, 'a term has one leader (Raft §5.2)', { term: this.currentTerm, leader })
    if (this.role !== 'follower') this.becomeFollower(this.currentTerm, leader)
    this.leader = leader
    this.leaderSilence = 0
    this.electionElapsed = 0
  }

  private startPreVote(transfer: boolean): void {
    if (!this.mayStand()) return
    this.role = 'pre-candidate'
    this.leader = undefined
    this.beginVoting()
    this.askForVotes(term(this.currentTerm + 1), true, transfer)
    this.countVotes()
  }

  private startElection(transfer: boolean): void {
    this.role = 'candidate'
    this.leader = undefined
    this.currentTerm = term(this.currentTerm + 1)
    this.votedFor = this.self
    this.persistence.changeHardState()
    this.beginVoting()
    this.askForVotes(this.currentTerm, false, transfer)
  }

  private beginVoting(): void {
    this.electionElapsed = 0
    this.drawElectionTimeout() // Redrawn each round, so that equals do not collide for ever (Raft §5.2).
    this.voteRound++
    this.votes.clear()
    this.votes.set(this.self, true)
  }

  private askForVotes(inTerm: Term, pre: boolean, transfer: boolean): void {
    for (const voter of votersOf(this.configuration)) if (voter !== this.self) this.askForVote(voter, inTerm, pre, transfer)
  }

  private askForVote(voter: MemberId, inTerm: Term, pre: boolean, transfer: boolean): void {
    const { lastIndex, lastTerm } = this.log
    const message: RaftMessage = { kind: 'vote-request', term: inTerm, pre, lastIndex, lastTerm, transfer, round: this.voteRound }
    if (pre) this.effects.push({ kind: 'send', to: voter, message })
    else this.persistence.sendDurable(voter, message)
  }

  private becomeLeader(): void {
    this.role = 'leader'
    this.leader = this.self
    this.progress = new Map()
    this.followMembers()
    this.heartbeatElapsed = 0
    this.rounds.lead()
    this.uncommittedBytes = this.log.bytesAfter(this.commitIndex)
    // An entry of the own term lets everything before it commit (Raft §5.4.2, §8).
    this.appendOwn('noop', new Uint8Array())
    this.startRound()
  }

  // Replication and rounds.

  private replicate(): void {
    if (!this.leaderDirty && !this.commitNews && this.commitAwaited.size === 0) return
    // Followers act on what is committed (grants, cases): an idle one is told at once, a busy one by its next append, or with the tick.
    const isIdle = Math.max(this.proposedInTick, this.proposedInLastTick) < busyProposals
    for (const [member, progress] of this.progress) {
      const sent = this.leaderDirty ? this.sendAppends(member, progress) : 0
      if (sent === 0 && this.hasCommitNews(progress) && (isIdle || this.commitAwaited.has(member))) this.sendHeartbeat(member, progress)
      if (progress.toldCommit >= (this.commitAwaited.get(member) ?? Number.MAX_SAFE_INTEGER)) this.commitAwaited.delete(member)
    }
    this.leaderDirty = false
    if (isIdle) this.commitNews = false
  }

  /** It may commit more than it was told: also when it was the last one to store what the others had committed by then. */
  private hasCommitNews(progress: Progress): boolean {
    return Math.min(this.commitIndex, progress.matchIndex) > progress.toldCommit
  }

  /** How many were sent. */
  private sendAppends(to: MemberId, progress: Progress): number {
    if (progress.mode === 'snapshot') return 0
    let sent = 0
    while (
      progress.inFlight < this.inFlightBound(progress) &&
      (progress.nextIndex <= this.log.lastIndex || (progress.mode === 'probe' && progress.inFlight === 0))
    ) {
      const prevIndex = logIndex(progress.nextIndex - 1)
      const prevTerm = this.log.termAt(prevIndex)
      if (prevTerm === undefined) {
        this.startSending(to, progress)
        return sent
      }
      const entries = this.log.slice(progress.nextIndex, this.log.lastIndex, appendBytesMax)
      this.effects.push({
        kind: 'send',
        to,
        message: { kind: 'append', term: this.currentTerm, prevIndex, prevTerm, entries, commit: this.commitIndex },
      })
      progress.inFlight++
      sent++
      progress.toldCommit = Math.max(progress.toldCommit, Math.min(this.commitIndex, prevIndex + entries.length)) as LogIndex
      if (progress.mode === 'replicate') progress.nextIndex = logIndex(progress.nextIndex + entries.length)
    }
    return sent
  }

  /**
   * A follower syncs one batch and takes what comes meanwhile as the next: a third small append would only be one more message to
   * make, send, take and answer, for entries that reach the disk no sooner.
   */
  private inFlightBound(progress: Progress): number {
    if (progress.mode === 'probe') return 1
    return this.log.lastIndex - progress.nextIndex + 1 < smallAppend ? smallInFlightMax : inFlightMax
  }

  private sendHeartbeat(to: MemberId, progress: Progress): void {
    const commit = Math.min(this.commitIndex, progress.matchIndex) as LogIndex
    progress.toldCommit = Math.max(progress.toldCommit, commit) as LogIndex
    this.effects.push({ kind: 'send', to, message: { kind: 'heartbeat', term: this.currentTerm, round: this.rounds.current, commit } })
  }

  /** Begins a round of heartbeats; what waits for proof of the lead waits for this round. */
  private startRound(): void {
    this.heartbeatElapsed = 0
    this.rounds.begin(this.isEstablished() ? this.commitIndex : undefined)
    for (const [member, progress] of this.progress) {
      progress.matchAtRound = progress.matchIndex
      this.sendHeartbeat(member, progress)
    }
    this.confirmRounds()
  }

  private confirmRounds(): void {
    if (this.role !== 'leader') return
    const reached = quorumValue(this.configuration, (voter) =>
      voter === this.self ? this.rounds.current : (this.progress.get(voter)?.ackedRound ?? 0),
    )
    for (const served of this.rounds.reached(reached)) this.effects.push({ kind: 'confirmed', ...served })
  }

  private advanceCommit(): void {
    if (this.role !== 'leader') return
    const index = quorumValue(this.configuration, (voter) =>
      voter === this.self ? this.persistence.durableIndex : (this.progress.get(voter)?.matchIndex ?? 0),
    ) as LogIndex
    // Replicas are counted only for entries of the own term (Raft §5.4.2, figure 8).
    if (index > this.commitIndex && this.log.termAt(index) === this.currentTerm) {
      for (const entry of this.log.slice(this.commitIndex + 1, index, Number.POSITIVE_INFINITY)) this.uncommittedBytes -= sizeOf(entry)
      this.commitTo(index)
      this.commitNews = true
    }
  }

  private commitTo(index: number): void {
    if (index <= this.commitIndex) return
    invariant(index <= this.log.lastIndex, 'nothing is committed that is not in the log', { index, last: this.log.lastIndex })
    this.commitIndex = logIndex(index)
  }

  /** Applies no further than the own disk holds: the applied state must never be ahead of the log it came from. */
  private apply(): void {
    if (this.installing !== undefined) return
    const upTo = Math.min(this.commitIndex, this.persistence.durableIndex)
    if (upTo <= this.appliedIndex) return
    const entries = this.log.slice(this.appliedIndex + 1, upTo, Number.POSITIVE_INFINITY)
    this.appliedIndex = logIndex(upTo)
    this.effects.push({ kind: 'apply', entries })
  }

  private persist(): void {
    const write = this.persistence.flush({ term: this.currentTerm, votedFor: this.votedFor }, this.log.lastIndex)
    if (write !== undefined) this.effects.push(write)
  }

  // The configuration.

  private get configuration(): Configuration {
    return this.configurations.latest.configuration
  }

  /** Joint, or not committed yet. */
  private isChanging(): boolean {
    const { index, configuration } = this.configurations.latest
    return index > this.commitIndex || configuration.outgoing.length > 0
  }

  private requestChange(requestId: RequestId, change: ConfigurationChange): void {
    const refusal = this.role !== 'leader' ? 'not-leader' : this.transfer !== undefined ? 'transferring' : this.judgeChange(change)
    if (refusal !== undefined) return this.refuse(requestId, refusal)
    const next = changed(this.configuration, change)
    if (typeof next === 'string') return this.refuse(requestId, next)
    // What counts is who answers now: a change must not cost the majority that would have to commit it.
    if (!hasQuorum({ ...next, outgoing: [] }, (voter) => this.answers(voter))) return this.refuse(requestId, 'would-lose-quorum')
    const entry = this.changeTo(next)
    this.effects.push({ kind: 'accepted', requestId, index: entry.index, term: entry.term })
  }

  private judgeChange(change: ConfigurationChange): Refusal | undefined {
    if (!this.isEstablished()) return 'not-established'
    if (this.isChanging()) return 'change-under-way'
    const isAdded = (member: MemberId): boolean => change.add.some((added) => added.member === member)
    const lags = change.promote.some((member) => isAdded(member) || (this.progress.has(member) && !this.hasCaughtUp(member)))
    return lags ? 'member-lags' : undefined
  }

  /** It has answered in this term, and lately. */
  private answers(member: MemberId): boolean {
    return member === this.self || (this.progress.get(member)?.isHeard === true && this.isHeard(member, this.timing.electionTicksMax))
  }

  private changeTo(configuration: Configuration): LogEntry {
    const entry = this.appendOwn('configuration', encodeConfiguration(configuration))
    this.configurations.append([entry])
    this.configurationChanged()
    return entry
  }

  /** Another configuration is in force from here on, committed or not (Raft §6). */
  private configurationChanged(): void {
    this.effects.push({ kind: 'configuration-changed', configuration: this.configuration })
    if (this.role === 'leader') this.followMembers()
    else if (this.role !== 'follower' && !this.mayStand()) this.becomeFollower(this.currentTerm, undefined)
  }

  /** New members get the log from here on; those that are leaving get it until they have had time to learn that. */
  private followMembers(): void {
    const members = membersOf(this.configuration)
    for (const member of members) {
      if (member === this.self) continue
      const known = this.progress.get(member)
      if (known === undefined) this.progress.set(member, freshProgress(this.log.lastIndex))
      else known.leavingTicks = undefined
    }
    for (const [member, progress] of this.progress) if (!members.includes(member)) progress.leavingTicks ??= 0
    this.leaderDirty = true
  }

  /** Leaves a committed joint phase; steps down once a committed configuration has this leader no more (Raft §6; R42). */
  private continueChange(): void {
    if (this.role !== 'leader' || !this.isEstablished()) return
    const { index, configuration } = this.configurations.latest
    if (index > this.commitIndex) return
    if (configuration.outgoing.length > 0) {
      this.changeTo(final(configuration))
      return
    }
    if (configuration.voters.includes(this.self)) return
    for (const [member, progress] of this.progress) this.sendHeartbeat(member, progress)
    const best = this.bestVoter()
    if (best !== undefined) this.effects.push({ kind: 'send', to: best, message: { kind: 'timeout-now', term: this.currentTerm } })
    this.becomeFollower(this.currentTerm, undefined)
  }

  // Compaction and snapshots (Raft §7).

  private compact(upTo: LogIndex): void {
    if (this.installing !== undefined) return
    invariant(upTo <= this.appliedIndex, 'only what is applied is compacted', { upTo, applied: this.appliedIndex })
    let index = upTo
    if (this.log.bytes < heldBytesMax) {
      // One that is not read yet will stand at the present applied index or later; until it is, nothing goes.
      for (const { sending } of this.progress.values())
        if (sending !== undefined) index = Math.min(index, sending.index ?? this.log.base.index) as LogIndex
    }
    if (index <= this.log.base.index) return
    this.log.compactTo(index)
    this.configurations.forgetBefore(index)
    this.effects.push({ kind: 'compacted', index })
  }

  private startSending(to: MemberId, progress: Progress): void {
    // Nobody reads a snapshot for a member that does not answer.
    if (progress.silentTicks > this.timing.electionTicksMax) return
    progress.mode = 'snapshot'
    progress.inFlight = 0
    progress.sending = new SnapshotSending(++this.transfers)
    this.readOn(to, progress.sending)
  }

  private readOn(to: MemberId, sending: SnapshotSending): void {
    if (sending.wantsChunk()) this.effects.push({ kind: 'snapshot-read', to, transfer: sending.transfer })
  }

  private endSending(to: MemberId, progress: Progress): void {
    if (progress.sending === undefined) return
    this.effects.push({ kind: 'snapshot-close', to, transfer: progress.sending.transfer })
    progress.sending = undefined
  }

  private abandonSending(to: MemberId, transfer: number): void {
    const progress = this.progress.get(to)
    if (progress?.sending?.transfer !== transfer) return
    this.endSending(to, progress)
    fallBack(progress)
  }

  private tickSending(to: MemberId, progress: Progress): void {
    const { sending } = progress
    if (sending === undefined) return
    sending.quietTicks++
    if (progress.silentTicks > 3 * this.timing.electionTicksMax || sending.quietTicks > transferPatience)
      return this.abandonSending(to, sending.transfer)
    if (sending.quietTicks % chunkPatience === 0)
      for (const message of sending.inFlight) this.effects.push({ kind: 'send', to, message: { ...message, term: this.currentTerm } })
  }

  private sendChunk(event: Extract<RaftEvent, { kind: 'snapshot-chunk' }>): void {
    const { to, transfer, sequence, data, last } = event
    const sending = this.progress.get(to)?.sending
    if (sending?.transfer !== transfer) return
    const meta = { ...event.meta, configuration: event.meta.configuration ?? this.configurations.at(event.meta.index) }
    const chunk = sending.take({ kind: 'snapshot', term: this.currentTerm, meta, transfer, sequence, data, last })
    if (chunk === undefined) return
    this.effects.push({ kind: 'send', to, message: chunk })
    this.readOn(to, sending)
  }

  private onSnapshotResponse(from: MemberId, message: Extract<RaftMessage, { kind: 'snapshot-response' }>): void {
    const progress = this.heardFrom(from)
    if (progress?.sending?.transfer !== message.transfer) return
    if (message.lost) return this.abandonSending(from, message.transfer)
    progress.sending.acknowledge(message.next)
    this.readOn(from, progress.sending)
  }

  private onSnapshot(from: MemberId, message: Extract<RaftMessage, { kind: 'snapshot' }>): void {
    this.followLeader(from)
    if (this.installing !== undefined) return
    const { meta, transfer, sequence } = message
    // One that stands for nothing new is never taken: the applied state does not go back (R52).
    if (meta.index <= this.commitIndex) return this.acknowledgeLog(from)
    const source = `${from}/${message.term}/${transfer}`
    if (this.receiving?.source !== source) {
      if (sequence !== 0) return this.answerChunk(from, transfer, 0, true)
      this.receiving = { source, from, transfer, meta, next: 0, written: 0, last: undefined }
    }
    const { receiving } = this
    // Chunks are taken in order; another one says only where this member stands.
    if (sequence !== receiving.next) return this.answerChunk(from, transfer, receiving.written, false)
    receiving.next++
    if (message.last) receiving.last = sequence
    this.effects.push({ kind: 'snapshot-write', source, sequence, meta, data: message.data, last: message.last })
  }

  /** What is committed here matches every leader; told as far as the own disk holds it. */
  private acknowledgeLog(to: MemberId): void {
    const index = Math.min(this.commitIndex, this.persistence.durableIndex) as LogIndex
    this.persistence.sendDurable(to, {
      kind: 'append-response',
      term: this.currentTerm,
      success: true,
      index,
      hintIndex: logIndex(0),
      hintTerm: term(0),
    })
  }

  private answerChunk(to: MemberId, transfer: number, next: number, lost: boolean): void {
    this.persistence.sendInTerm(to, { kind: 'snapshot-response', term: this.currentTerm, transfer, next, lost })
  }

  private chunkWritten(source: string, sequence: number): void {
    const { receiving } = this
    if (receiving?.source !== source) return
    receiving.written = sequence + 1
    this.answerChunk(receiving.from, receiving.transfer, receiving.written, false)
  }

  /** A snapshot that is whole takes the place of the state, once no write to the log is under way. */
  private continueInstall(): void {
    const { receiving } = this
    if (receiving === undefined || this.installing !== undefined) return
    const { source, meta } = receiving
    if (meta.index <= this.commitIndex) {
      this.receiving = undefined
      this.effects.push({ kind: 'snapshot-abandon', source })
      return
    }
    if (receiving.last === undefined || receiving.written <= receiving.last || !this.persistence.isIdle) return
    this.receiving = undefined
    // A log that holds the snapshot's last entry agrees with it, and what follows may be committed elsewhere (R55).
    this.installing = { source, meta, keepTail: this.log.termAt(meta.index) === meta.term }
    this.effects.push({ kind: 'snapshot-install', ...this.installing })
  }

  private snapshotInstalled(source: string): void {
    const { installing } = this
    if (installing?.source !== source) return
    this.installing = undefined
    const { meta, keepTail } = installing
    if (keepTail) {
      this.log.compactTo(meta.index)
      this.configurations.forgetBefore(meta.index)
    } else {
      invariant(meta.configuration !== null, 'a snapshot says who belongs')
      this.log.resetTo(meta)
      this.persistence.reset(meta.index)
      this.configurations = new Configurations(meta.configuration, meta.index)
      this.configurationChanged()
    }
    this.appliedIndex = meta.index
    this.commitIndex = Math.max(this.commitIndex, meta.index) as LogIndex
    if (this.leader !== undefined && this.leader !== this.self) this.acknowledgeLog(this.leader)
  }

  private announce(): void {
    const { role, currentTerm, leader } = this
    if (role === this.announced.role && currentTerm === this.announced.term && leader === this.announced.leader) return
    this.announced = { role, term: currentTerm, leader }
    this.effects.push({ kind: 'role-changed', role, term: currentTerm, leader })
  }

  // Small questions.

  private isEstablished(): boolean {
    return this.role === 'leader' && this.log.termAt(this.appliedIndex) === this.currentTerm
  }

  private heardFrom(member: MemberId): Progress | undefined {
    const progress = this.role === 'leader' ? this.progress.get(member) : undefined
    if (progress !== undefined) {
      progress.silentTicks = 0
      progress.isHeard = true
    }
    return progress
  }

  /** Whether it was heard within so many ticks; this member always is. */
  private isHeard(member: MemberId, ticks: number): boolean {
    return member === this.self || (this.progress.get(member)?.silentTicks ?? Number.MAX_SAFE_INTEGER) <= ticks
  }

  private isVoter(member: MemberId): boolean {
    return votersOf(this.configuration).includes(member)
  }

  /**
   * A voter; or one that its log removes and that does not know this to be committed. Those that stay may lack the entry, and
   * then only such a one can win: it does not count itself, carries the change through and steps down (thesis §4.2.2).
   */
  private mayStand(): boolean {
    return this.isVoter(this.self) || votersOf(this.configurations.at(this.commitIndex)).includes(this.self)
  }

  private drawElectionTimeout(): void {
    const { electionTicksMin, electionTicksMax } = this.timing
    this.electionTimeout = electionTicksMin + (this.draw() % (electionTicksMax - electionTicksMin + 1))
  }

  /** xorshift32: enough for election time-outs, and the same from the same seed. */
  private draw(): number {
    let x = this.random
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.random = x >>> 0
    return this.random
  }
}
