/**
 * The leader's side of the log: it appends, sends to each follower what that one lacks, and commits what a majority stores (Raft §5.3,
 * §5.4.2).
 */
import { invariant, type LogIndex, logIndex, type MemberId } from '../../base/index.js'
import type { CommitNews } from './commit-news.js'
import type { Followers } from './followers.js'
import type { Heartbeats } from './heartbeats.js'
import type { LeadHistory } from './lead-history.js'
import { sizeOf } from './log.js'
import type { MemberState } from './member-state.js'
import type { Outbox } from './outbox.js'
import { appendBytesMax, fallBack, inFlightMax, isAwaited, type Progress, smallAppend, smallInFlightMax } from './progress.js'
import type { SnapshotTransfers } from './snapshot-transfers.js'
import type { LogEntry, RaftMessage } from './types.js'

/** Bytes that may wait to be committed; beyond it proposals are refused. */
const uncommittedBytesMax = 64 * 1024 * 1024

export class Replication {
  private readonly state: MemberState
  private readonly outbox: Outbox
  private readonly followers: Followers
  private readonly heartbeats: Heartbeats
  private readonly news: CommitNews
  private readonly snapshots: SnapshotTransfers
  private uncommittedBytes: number
  /** Something new may have to be sent to a follower. */
  private isDirty = true

  constructor(state: MemberState, outbox: Outbox, followers: Followers, heartbeats: Heartbeats, { news, snapshots }: LeadHistory) {
    this.state = state
    this.outbox = outbox
    this.followers = followers
    this.heartbeats = heartbeats
    this.news = news
    this.snapshots = snapshots
    this.uncommittedBytes = state.log.bytesAfter(state.commitIndex)
  }

  /** Too much waits to be committed. */
  get isOverloaded(): boolean {
    return this.uncommittedBytes > uncommittedBytesMax
  }

  /** An entry of the own term, at the end of the log. */
  append(kind: LogEntry['kind'], data: Uint8Array): LogEntry {
    const entry: LogEntry = { index: logIndex(this.state.log.lastIndex + 1), term: this.state.term, kind, data }
    this.state.append([entry])
    this.uncommittedBytes += sizeOf(entry)
    this.isDirty = true
    return entry
  }

  tick(): void {
    this.news.tick()
    for (const [member, progress] of this.followers) this.tickFollower(member, progress)
  }

  private tickFollower(member: MemberId, progress: Progress): void {
    const { electionTicksMax, heartbeatTicks } = this.state.timing
    progress.silentTicks++
    if (progress.leavingTicks !== undefined && !this.state.isChanging && ++progress.leavingTicks > 2 * electionTicksMax) {
      this.snapshots.end(member, progress)
      this.followers.forget(member)
      this.news.forget(member)
      return
    }
    if (progress.mode === 'snapshot') return this.snapshots.tick(member, progress)
    if (isAwaited(progress) && ++progress.quietTicks > 2 * heartbeatTicks + 2) {
      fallBack(progress) // Lost on the way, or its disk is slow: from what is known, one at a time.
      this.isDirty = true
    }
  }

  /** Sends what there is to send, once for all that came with one step. */
  replicate(): void {
    if (!this.isDirty && !this.news.isWaiting) return
    const { isIdle } = this.news
    for (const [member, progress] of this.followers) {
      const sent = this.isDirty ? this.sendAppends(member, progress) : 0
      if (sent === 0 && this.hasNews(progress) && (isIdle || this.news.isAwaitedBy(member))) this.heartbeats.send(member, progress)
      this.news.told(member, progress.toldCommit)
    }
    this.isDirty = false
    if (isIdle) this.news.spread()
  }

  /** It may commit more than it was told: also when it was the last one to store what the others had committed by then. */
  private hasNews(progress: Progress): boolean {
    return Math.min(this.state.commitIndex, progress.matchIndex) > progress.toldCommit
  }

  /** How many were sent. */
  private sendAppends(to: MemberId, progress: Progress): number {
    if (progress.mode === 'snapshot') return 0
    const { log, term, commitIndex } = this.state
    let sent = 0
    while (
      progress.inFlight < this.inFlightBound(progress) &&
      (progress.nextIndex <= log.lastIndex || (progress.mode === 'probe' && progress.inFlight === 0))
    ) {
      const prevIndex = logIndex(progress.nextIndex - 1)
      const prevTerm = log.termAt(prevIndex)
      if (prevTerm === undefined) {
        this.snapshots.begin(to, progress)
        return sent
      }
      const entries = log.slice(progress.nextIndex, log.lastIndex, appendBytesMax)
      this.outbox.send(to, { kind: 'append', term, prevIndex, prevTerm, entries, commit: commitIndex })
      progress.inFlight++
      sent++
      progress.toldCommit = Math.max(progress.toldCommit, Math.min(commitIndex, prevIndex + entries.length)) as LogIndex
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
    return this.state.log.lastIndex - progress.nextIndex + 1 < smallAppend ? smallInFlightMax : inFlightMax
  }

  /**
   * Every other voter has as many appends on their way as are of use; one that gets a snapshot is given none. Learners do not count:
   * nothing that is to be committed waits for them.
   */
  get isBusy(): boolean {
    const { voters, outgoing } = this.state.configuration
    let isAnybody = false
    for (const [member, progress] of this.followers) {
      if (!voters.includes(member) && !outgoing.includes(member)) continue
      if (progress.mode !== 'snapshot' && progress.inFlight < this.inFlightBound(progress)) return false
      isAnybody = true
    }
    return isAnybody
  }

  onAppendResponse(from: MemberId, progress: Progress, message: Extract<RaftMessage, { kind: 'append-response' }>): void {
    progress.inFlight = Math.max(0, progress.inFlight - 1)
    progress.quietTicks = 0
    this.isDirty = true
    if (message.success) this.matched(from, progress, message.index)
    else this.mismatched(progress, message)
  }

  /** The follower's disk holds the log up to `index`. */
  private matched(from: MemberId, progress: Progress, index: LogIndex): void {
    const { log } = this.state
    invariant(index <= log.lastIndex, 'a follower matches no more than the leader has', { index })
    if (index > progress.matchIndex) progress.matchIndex = index
    progress.nextIndex = Math.max(progress.nextIndex, progress.matchIndex + 1) as LogIndex
    if (progress.mode === 'snapshot') {
      const isInstalled = progress.matchIndex >= (progress.sending?.index ?? Number.MAX_SAFE_INTEGER)
      if (progress.matchIndex < log.base.index && !isInstalled) return // An answer to an append from before.
      this.snapshots.end(from, progress)
      fallBack(progress) // Where the log has moved on meanwhile, it takes another snapshot.
    }
    if (log.termAt(progress.matchIndex) !== undefined) progress.mode = 'replicate'
    this.advanceCommit()
  }

  private mismatched(progress: Progress, { index, hintIndex, hintTerm }: Extract<RaftMessage, { kind: 'append-response' }>): void {
    // A late refusal of something already matched says nothing new (R19).
    if (index <= progress.matchIndex || progress.mode === 'snapshot') return
    if (progress.mode === 'probe' && index !== progress.nextIndex - 1) return
    const next = this.state.log.lastIndexNotAbove(hintIndex, hintTerm) + 1
    fallBack(progress)
    progress.nextIndex = Math.max(progress.matchIndex + 1, Math.min(next, index)) as LogIndex
  }

  /** A follower that answers a heartbeat and lacks something gets it, where nothing is on its way to it. */
  catchUp(progress: Progress): void {
    if (progress.matchIndex < this.state.log.lastIndex && progress.inFlight === 0 && progress.mode !== 'snapshot') this.isDirty = true
  }

  /** There is somebody new, who lacks everything. */
  membersChanged(): void {
    this.isDirty = true
  }

  /** After an answer of a follower, or of the own disk. */
  advanceCommit(): void {
    const { state } = this
    const index = this.followers.reachedByQuorum(state.persistence.durableIndex, (progress) => progress.matchIndex) as LogIndex
    // Replicas are counted only for entries of the own term (Raft §5.4.2, figure 8).
    if (index > state.commitIndex && state.log.termAt(index) === state.term) {
      for (const entry of state.log.slice(state.commitIndex + 1, index, Number.POSITIVE_INFINITY)) this.uncommittedBytes -= sizeOf(entry)
      state.commitTo(index)
      this.news.committed()
    }
  }
}
