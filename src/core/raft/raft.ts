/**
 * One member of a Raft group: events in, effects out (Ongaro and Ousterhout 2014, "the paper"; Ongaro's dissertation, "the thesis").
 *
 * Election with pre-vote and check-quorum, replication, the commit rule of the own term, quorum rounds for reads and
 * leases, leadership transfer. It has no disk, network or clock: persistence is asked for and confirmed by events,
 * time comes as ticks. Nothing that rests on a disk write leaves before that write is confirmed.
 */
import { invariant, type LogIndex, logIndex, type MemberId, type RequestId, type Term, term, unreachable } from '../../base/index.js'
import { Log } from './log.js'
import { appendBytesMax, fallBack, freshProgress, inFlightMax, type Progress } from './progress.js'
import { majority, quorumIndex, quorumValue } from './quorum.js'
import type { Configuration, HardState, LogEntry, RaftEffect, RaftEvent, RaftMessage, Role } from './types.js'

export interface RaftTiming {
  /** Ticks. A follower stands for election after a silence drawn between these two. */
  readonly electionTicksMin: number
  readonly electionTicksMax: number
  readonly heartbeatTicks: number
}

export interface RaftOptions {
  readonly self: MemberId
  readonly configuration: Configuration
  readonly timing: RaftTiming
  /** What the disk held at start. */
  readonly hardState: HardState
  readonly entries: readonly LogEntry[]
  readonly appliedIndex: LogIndex
  /** Seed of the election time-outs; a different one per start. */
  readonly seed: number
}

interface Held {
  readonly sequence: number
  readonly to: MemberId
  readonly message: RaftMessage
}

export class Raft {
  private readonly self: MemberId
  private readonly configuration: Configuration
  private readonly log: Log
  private timing: RaftTiming

  private currentTerm: Term
  private votedFor: MemberId | null
  private role: Role = 'follower'
  private leader: MemberId | undefined
  private commitIndex: LogIndex
  private appliedIndex: LogIndex

  /** Persistence: sequences issued and confirmed, and what the confirmed part of the log is. */
  private sequence = 0
  private persistedSequence = 0
  /** The sequence that carries the current term: before it, no answer in this term leaves. */
  private termSequence = 0
  private durableIndex: LogIndex
  private unpersisted: { readonly sequence: number; readonly lastIndex: LogIndex }[] = []
  private toPersist: LogEntry[] = []
  private hardStateChanged = false
  private held: Held[] = []

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
  private round = 0
  private confirmedRound = 0
  private waitingConfirms: RequestId[] = []
  private roundConfirms: { readonly round: number; readonly readIndex: LogIndex; readonly requests: readonly RequestId[] }[] = []
  private transfer: { readonly to: MemberId; ticks: number; ordered: boolean } | undefined
  /** Something new may have to be sent to a follower; the commit index moved and followers do not know. */
  private leaderDirty = false
  private commitNews = false

  private random: number
  private effects: RaftEffect[] = []
  private announced: { readonly role: Role; readonly term: Term; readonly leader: MemberId | undefined }

  constructor(options: RaftOptions) {
    this.self = options.self
    this.configuration = options.configuration
    this.timing = options.timing
    this.log = new Log(options.entries)
    this.currentTerm = options.hardState.term
    this.votedFor = options.hardState.votedFor
    this.appliedIndex = options.appliedIndex
    // Applied entries were committed; anything after them must be committed again by a leader (R37).
    this.commitIndex = options.appliedIndex
    this.durableIndex = this.log.lastIndex
    this.random = (options.seed >>> 0) | 1
    invariant(this.appliedIndex <= this.log.lastIndex, 'what is applied is in the log', {
      applied: this.appliedIndex,
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
      /** A leader that has committed an entry of its own term: it may judge and answer reads. */
      established: this.isEstablished(),
    } as const
  }

  /** What the leader knows of a follower; undefined elsewhere. */
  progressOf(member: MemberId): Readonly<Progress> | undefined {
    return this.role === 'leader' ? this.progress.get(member) : undefined
  }

  setTiming(timing: RaftTiming): void {
    this.timing = timing
    this.drawElectionTimeout()
  }

  /** Handles everything that waits in the inbox, in order, then answers with what is to be done: one disk batch, one append a follower. */
  step(events: readonly RaftEvent[]): readonly RaftEffect[] {
    for (const event of events) this.handle(event)
    if (this.role === 'leader') this.replicate()
    this.persist()
    this.releaseHeld()
    this.apply()
    if (this.waitingConfirms.length > 0 && this.round === this.confirmedRound && this.isEstablished()) this.startRound()
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
      case 'confirm-requested':
        return this.requestConfirm(event.requestId)
      case 'persisted':
        return this.persisted(event.sequence)
      case 'transfer-requested':
        return this.requestTransfer(event.to)
      case 'peer-refused':
        return this.peerRefused(event.peer)
      default:
        return unreachable(event)
    }
  }

  // The order of work on each event follows, one method per kind.

  private tick(): void {
    this.leaderSilence = Math.min(this.leaderSilence + 1, Number.MAX_SAFE_INTEGER - 1)
    if (this.role === 'leader') return this.tickLeader()
    this.electionElapsed++
    if (this.electionElapsed >= this.electionTimeout) this.startPreVote(false)
  }

  private tickLeader(): void {
    for (const progress of this.progress.values()) {
      progress.silentTicks++
      if (progress.inFlight > 0 && ++progress.quietTicks > 2 * this.timing.heartbeatTicks + 2) {
        fallBack(progress) // Lost on the way, or its disk is slow: from what is known, one at a time.
        this.leaderDirty = true
      }
    }
    // Check-quorum (thesis §6.2): a leader that hears no majority for an election time-out gives up its lead.
    const heard = this.configuration.voters.filter((voter) => voter === this.self || this.silence(voter) <= this.timing.electionTicksMax)
    if (heard.length < majority(this.configuration.voters)) return this.becomeFollower(this.currentTerm, undefined)

    if (this.transfer !== undefined && ++this.transfer.ticks > this.timing.electionTicksMax) this.endTransfer('timed-out')
    if (++this.heartbeatElapsed >= this.timing.heartbeatTicks) this.startRound()
  }

  private receive(from: MemberId, message: RaftMessage): void {
    // Whoever is not in the configuration, such as a removed member, has no say (thesis §4.2.3).
    if (!this.isMember(from) || from === this.self) return
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
      case 'timeout-now':
        if (this.role !== 'leader' && this.isVoter(this.self)) this.startElection(true)
        return
      default:
        return unreachable(message)
    }
  }

  /** A message of an earlier term has no effect; a leader of such a term learns that it is over. */
  private onStale(from: MemberId, message: RaftMessage): void {
    if (message.kind === 'append' || message.kind === 'heartbeat') {
      this.sendInTerm(from, { kind: 'heartbeat-response', term: this.currentTerm, round: 0 })
    }
  }

  private onVoteRequest(from: MemberId, message: Extract<RaftMessage, { kind: 'vote-request' }>): void {
    const refuse = () =>
      this.sendInTerm(from, { kind: 'vote-response', term: this.currentTerm, pre: message.pre, granted: false, round: message.round })
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
      if (!upToDate || message.term <= this.currentTerm) return refuse()
      return this.sendInTerm(from, { kind: 'vote-response', term: message.term, pre: true, granted: true, round: message.round })
    }
    if (message.term > this.currentTerm) this.becomeFollower(message.term, undefined)
    const free = this.votedFor === null || this.votedFor === from // One vote a term; the same candidate may ask again (R04).
    if (!free || !upToDate || this.role === 'leader') return refuse()
    if (this.votedFor === null) {
      this.votedFor = from
      this.hardStateChanged = true
    }
    this.electionElapsed = 0
    this.sendDurable(from, { kind: 'vote-response', term: this.currentTerm, pre: false, granted: true, round: message.round })
  }

  private onVoteResponse(from: MemberId, message: Extract<RaftMessage, { kind: 'vote-response' }>): void {
    // Only answers to the present round of the present kind count (R05).
    const expected = message.pre ? 'pre-candidate' : 'candidate'
    if (this.role !== expected || message.round !== this.voteRound || !this.isVoter(from)) return
    this.votes.set(from, message.granted)
    this.countVotes()
  }

  private countVotes(): void {
    const granted = this.configuration.voters.filter((voter) => this.votes.get(voter) === true).length
    if (granted < majority(this.configuration.voters)) return
    if (this.role === 'pre-candidate') this.startElection(false)
    else if (this.role === 'candidate' && this.persistedSequence >= this.termSequence) this.becomeLeader()
  }

  private onAppend(from: MemberId, message: Extract<RaftMessage, { kind: 'append' }>): void {
    this.followLeader(from)
    const { prevIndex, prevTerm, entries } = message
    if (this.log.termAt(prevIndex) !== prevTerm) {
      const hintIndex = this.log.lastIndexNotAbove(prevIndex, prevTerm)
      return this.sendInTerm(from, {
        kind: 'append-response',
        term: this.currentTerm,
        success: false,
        index: prevIndex,
        hintIndex,
        hintTerm: this.log.termAt(hintIndex) ?? term(0),
      })
    }
    const lastNew = logIndex(prevIndex + entries.length)
    const firstOther = entries.findIndex((entry) => this.log.termAt(entry.index) !== entry.term)
    if (firstOther >= 0) this.take(entries.slice(firstOther))
    this.commitTo(Math.min(message.commit, lastNew)) // No further than what this message proved (paper fig. 2; R18).
    this.sendDurable(from, {
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
    if (first.index <= this.log.lastIndex) {
      this.log.truncateFrom(first.index)
      this.toPersist = this.toPersist.filter((entry) => entry.index < first.index)
      this.durableIndex = Math.min(this.durableIndex, first.index - 1) as LogIndex
      this.unpersisted = this.unpersisted.map((batch) => ({ ...batch, lastIndex: Math.min(batch.lastIndex, first.index - 1) as LogIndex }))
    }
    this.log.append(entries)
    this.toPersist.push(...entries)
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
      progress.mode = 'replicate'
      this.advanceCommit()
      this.continueTransfer()
      return
    }
    // A late refusal of something already matched says nothing new (R19).
    if (message.index <= progress.matchIndex) return
    if (progress.mode === 'probe' && message.index !== progress.nextIndex - 1) return
    const next = this.log.lastIndexNotAbove(message.hintIndex, message.hintTerm) + 1
    fallBack(progress)
    progress.nextIndex = Math.max(progress.matchIndex + 1, Math.min(next, message.index)) as LogIndex
  }

  private onHeartbeat(from: MemberId, message: Extract<RaftMessage, { kind: 'heartbeat' }>): void {
    this.followLeader(from)
    this.commitTo(message.commit) // The leader sends no more than what it knows to match here.
    this.sendInTerm(from, { kind: 'heartbeat-response', term: this.currentTerm, round: message.round })
  }

  private onHeartbeatResponse(from: MemberId, message: Extract<RaftMessage, { kind: 'heartbeat-response' }>): void {
    const progress = this.heardFrom(from)
    if (progress === undefined) return
    progress.ackedRound = Math.max(progress.ackedRound, message.round)
    if (progress.matchIndex < this.log.lastIndex && progress.inFlight === 0) this.leaderDirty = true
    this.confirmRounds()
  }

  private propose(requestId: RequestId, command: Uint8Array): void {
    if (this.role !== 'leader' || this.transfer !== undefined) {
      const reason = this.role === 'leader' ? 'transferring' : 'not-leader'
      this.effects.push({ kind: 'refused', requestId, reason, leader: this.role === 'leader' ? this.self : this.leader })
      return
    }
    const entry: LogEntry = { index: logIndex(this.log.lastIndex + 1), term: this.currentTerm, kind: 'command', data: command }
    this.appendOwn(entry)
    this.effects.push({ kind: 'accepted', requestId, index: entry.index, term: entry.term })
  }

  private appendOwn(entry: LogEntry): void {
    this.log.append([entry])
    this.toPersist.push(entry)
    this.leaderDirty = true
  }

  private requestConfirm(requestId: RequestId): void {
    if (this.role !== 'leader') {
      this.effects.push({ kind: 'confirm-failed', requestId })
      return
    }
    this.waitingConfirms.push(requestId)
  }

  private persisted(sequence: number): void {
    this.persistedSequence = Math.max(this.persistedSequence, sequence)
    while (this.unpersisted[0] !== undefined && this.unpersisted[0].sequence <= this.persistedSequence) {
      this.durableIndex = Math.max(this.durableIndex, this.unpersisted[0].lastIndex) as LogIndex
      this.unpersisted.shift()
    }
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
    if (this.role === 'follower') {
      // A short random wait keeps the survivors from standing in the same moment.
      this.electionElapsed = this.electionTimeout - 1 - (this.draw() % Math.max(2, this.timing.heartbeatTicks))
    }
  }

  // Roles.

  private becomeFollower(newTerm: Term, leader: MemberId | undefined): void {
    invariant(newTerm >= this.currentTerm, 'terms never fall', { newTerm, currentTerm: this.currentTerm })
    if (newTerm > this.currentTerm) {
      this.currentTerm = newTerm
      this.votedFor = null
      this.hardStateChanged = true
    }
    if (this.role === 'leader') this.resign()
    this.role = 'follower'
    this.leader = leader
    this.electionElapsed = 0
    this.drawElectionTimeout()
  }

  private resign(): void {
    const waiting = [...this.waitingConfirms, ...this.roundConfirms.flatMap((confirm) => confirm.requests)]
    for (const requestId of waiting) this.effects.push({ kind: 'confirm-failed', requestId })
    this.waitingConfirms = []
    this.roundConfirms = []
    this.endTransfer(this.transfer?.ordered === true ? 'done' : 'lost-lead')
    this.progress = new Map()
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
    if (!this.isVoter(this.self)) return
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
    this.hardStateChanged = true
    this.termSequence = this.sequence + 1 // The batch at the end of this step.
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
    const message: RaftMessage = {
      kind: 'vote-request',
      term: inTerm,
      pre,
      lastIndex: this.log.lastIndex,
      lastTerm: this.log.lastTerm,
      transfer,
      round: this.voteRound,
    }
    for (const voter of this.configuration.voters) {
      if (voter === this.self) continue
      if (pre) this.effects.push({ kind: 'send', to: voter, message })
      else this.sendDurable(voter, message)
    }
  }

  private becomeLeader(): void {
    this.role = 'leader'
    this.leader = this.self
    this.progress = new Map()
    for (const member of [...this.configuration.voters, ...this.configuration.learners]) {
      if (member !== this.self) this.progress.set(member, freshProgress(this.log.lastIndex))
    }
    this.heartbeatElapsed = 0
    this.confirmedRound = this.round
    // An entry of the own term lets everything before it commit (Raft §5.4.2, §8).
    this.appendOwn({ index: logIndex(this.log.lastIndex + 1), term: this.currentTerm, kind: 'noop', data: new Uint8Array() })
    this.startRound()
  }

  // Replication and rounds.

  private replicate(): void {
    if (!this.leaderDirty && !this.commitNews) return
    for (const [member, progress] of this.progress) {
      const sent = this.leaderDirty ? this.sendAppends(member, progress) : 0
      // Followers act on what is committed (grants, cases): an idle one is told at once, a busy one by its next append.
      if (sent === 0 && this.commitNews) this.sendHeartbeat(member, progress)
    }
    this.leaderDirty = false
    this.commitNews = false
  }

  /** How many were sent. */
  private sendAppends(to: MemberId, progress: Progress): number {
    let sent = 0
    const bound = progress.mode === 'probe' ? 1 : inFlightMax
    while (
      progress.inFlight < bound &&
      (progress.nextIndex <= this.log.lastIndex || (progress.mode === 'probe' && progress.inFlight === 0))
    ) {
      const prevIndex = logIndex(progress.nextIndex - 1)
      const prevTerm = this.log.termAt(prevIndex)
      invariant(prevTerm !== undefined, 'the leader has what precedes the next entry', { prevIndex })
      const entries = this.log.slice(progress.nextIndex, this.log.lastIndex, appendBytesMax)
      this.effects.push({
        kind: 'send',
        to,
        message: { kind: 'append', term: this.currentTerm, prevIndex, prevTerm, entries, commit: this.commitIndex },
      })
      progress.inFlight++
      sent++
      if (progress.mode === 'replicate') progress.nextIndex = logIndex(progress.nextIndex + entries.length)
    }
    return sent
  }

  private sendHeartbeat(to: MemberId, progress: Progress): void {
    const commit = Math.min(this.commitIndex, progress.matchIndex) as LogIndex
    this.effects.push({ kind: 'send', to, message: { kind: 'heartbeat', term: this.currentTerm, round: this.round, commit } })
  }

  /** Begins a round of heartbeats; what waits for proof of the lead waits for this round. */
  private startRound(): void {
    this.heartbeatElapsed = 0
    this.round++
    if (this.waitingConfirms.length > 0 && this.isEstablished()) {
      this.roundConfirms.push({ round: this.round, readIndex: this.commitIndex, requests: this.waitingConfirms })
      this.waitingConfirms = []
    }
    for (const [member, progress] of this.progress) this.sendHeartbeat(member, progress)
    this.confirmRounds()
  }

  private confirmRounds(): void {
    if (this.role !== 'leader') return
    const reached = quorumValue(this.configuration.voters, (voter) =>
      voter === this.self ? this.round : (this.progress.get(voter)?.ackedRound ?? 0),
    )
    if (reached <= this.confirmedRound) return
    this.confirmedRound = reached
    while (this.roundConfirms[0] !== undefined && this.roundConfirms[0].round <= reached) {
      const { readIndex, requests } = this.roundConfirms.shift() as (typeof this.roundConfirms)[number]
      for (const requestId of requests) this.effects.push({ kind: 'confirmed', requestId, readIndex })
    }
  }

  private advanceCommit(): void {
    const index = quorumIndex(this.configuration.voters, (voter) =>
      voter === this.self ? this.durableIndex : (this.progress.get(voter)?.matchIndex ?? logIndex(0)),
    )
    // Replicas are counted only for entries of the own term (Raft §5.4.2, figure 8).
    if (index > this.commitIndex && this.log.termAt(index) === this.currentTerm) {
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
    const upTo = Math.min(this.commitIndex, this.durableIndex)
    if (upTo <= this.appliedIndex) return
    const entries = this.log.slice(this.appliedIndex + 1, upTo, Number.POSITIVE_INFINITY)
    this.appliedIndex = logIndex(upTo)
    this.effects.push({ kind: 'apply', entries })
  }

  // Persistence.

  private persist(): void {
    if (!this.hardStateChanged && this.toPersist.length === 0) return
    this.sequence++
    if (this.hardStateChanged) this.termSequence = this.sequence
    this.effects.push({
      kind: 'persist',
      sequence: this.sequence,
      hardState: { term: this.currentTerm, votedFor: this.votedFor },
      entries: this.toPersist,
    })
    this.unpersisted.push({ sequence: this.sequence, lastIndex: this.log.lastIndex })
    this.toPersist = []
    this.hardStateChanged = false
  }

  /** Leaves once everything that was put in this step's batch, and before, is on disk. */
  private sendDurable(to: MemberId, message: RaftMessage): void {
    const pending = this.hardStateChanged || this.toPersist.length > 0
    this.held.push({ sequence: pending ? this.sequence + 1 : this.sequence, to, message })
  }

  /** Leaves once the present term is on disk (R02); waits for no entry. */
  private sendInTerm(to: MemberId, message: RaftMessage): void {
    this.held.push({ sequence: this.hardStateChanged ? this.sequence + 1 : this.termSequence, to, message })
  }

  private releaseHeld(): void {
    if (this.held.length === 0) return
    const waiting: Held[] = []
    for (const held of this.held) {
      if (held.sequence <= this.persistedSequence) this.effects.push({ kind: 'send', to: held.to, message: held.message })
      else waiting.push(held)
    }
    this.held = waiting
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
    if (progress !== undefined) progress.silentTicks = 0
    return progress
  }

  private silence(member: MemberId): number {
    return this.progress.get(member)?.silentTicks ?? 0
  }

  private isVoter(member: MemberId): boolean {
    return this.configuration.voters.includes(member)
  }

  private isMember(member: MemberId): boolean {
    return this.isVoter(member) || this.configuration.learners.includes(member)
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
