/**
 * One lead of this member, from its election until it is lost: the parts of a leader, and the order of their work.
 *
 * It exists only while the member leads, so that nobody else proposes, replicates, commits by counting or changes members.
 */
import type { LogIndex, MemberId, RequestId } from '../../base/index.js'
import type { ConfigurationChange } from './configuration.js'
import { Followers } from './followers.js'
import { Heartbeats } from './heartbeats.js'
import type { LeadHistory } from './lead-history.js'
import { LeadershipTransfer } from './leadership-transfer.js'
import type { MemberState } from './member-state.js'
import { MembershipChanges } from './membership-changes.js'
import type { Outbox } from './outbox.js'
import type { Progress } from './progress.js'
import { Replication } from './replication.js'
import type { RaftEvent, RaftMessage } from './types.js'

export class Lead {
  private readonly state: MemberState
  private readonly outbox: Outbox
  private readonly history: LeadHistory
  private readonly followers: Followers
  private readonly heartbeats: Heartbeats
  private readonly replication: Replication
  private readonly transfer: LeadershipTransfer
  private readonly changes: MembershipChanges

  /** The member is the leader of its term by now. */
  constructor(state: MemberState, outbox: Outbox, history: LeadHistory) {
    this.state = state
    this.outbox = outbox
    this.history = history
    this.followers = new Followers(state)
    this.heartbeats = new Heartbeats(state, outbox, this.followers, history)
    this.replication = new Replication(state, outbox, this.followers, this.heartbeats, history)
    this.transfer = new LeadershipTransfer(state, outbox, this.followers)
    this.changes = new MembershipChanges(state, outbox, this.followers, this.replication)
  }

  begin(): void {
    this.followers.followConfiguration()
    this.history.rounds.lead()
    // An entry of the own term lets everything before it commit (Raft §5.4.2, §8).
    this.replication.append('noop', new Uint8Array())
    this.heartbeats.beginRound()
  }

  /** What waits for this leader fails; this object is of no use any more. */
  end(): void {
    for (const requestId of this.history.rounds.fail()) this.outbox.push({ kind: 'confirm-failed', requestId })
    this.transfer.leadLost()
    for (const [member, progress] of this.followers) this.history.snapshots.end(member, progress)
    this.history.news.forgetAll()
  }

  /** False where this leader hears no majority for an election time-out and must give up its lead (check-quorum, thesis §6.2). */
  tick(): boolean {
    this.replication.tick()
    if (!this.followers.hearsQuorum()) return false
    this.transfer.tick()
    if (this.state.persistence.waitingTicks > 2 * this.state.timing.electionTicksMax) this.leaveForSlowDisk()
    this.heartbeats.tick()
    return true
  }

  /**
   * A leader whose disk hangs holds everybody up: it hands the lead to a voter that has everything. Only where a quorum
   * stores without it, though: an election waits for the disks of its voters too.
   */
  private leaveForSlowDisk(): void {
    if (this.transfer.isUnderWay || this.state.commitIndex <= this.state.persistence.durableIndex) return
    const best = this.followers.bestVoter()
    if (best !== undefined) this.transfer.begin(best)
  }

  propose(requestId: RequestId, command: Uint8Array): void {
    const refusal = this.transfer.isUnderWay ? 'transferring' : this.replication.isOverloaded ? 'overloaded' : undefined
    if (refusal !== undefined) return this.outbox.refuse(requestId, refusal, this.state.leader)
    this.history.news.proposed()
    this.outbox.accept(requestId, this.replication.append('command', command))
  }

  requestChange(requestId: RequestId, change: ConfigurationChange): void {
    if (this.transfer.isUnderWay) this.outbox.refuse(requestId, 'transferring', this.state.leader)
    else this.changes.request(requestId, change)
  }

  requestTransfer(to: MemberId): void {
    this.transfer.begin(to)
  }

  requestConfirm(requestId: RequestId): void {
    this.history.rounds.ask(requestId)
  }

  awaitCommit(by: MemberId): void {
    if (this.followers.get(by) !== undefined) this.history.news.awaitedBy(by, this.state.commitIndex)
  }

  /** The own disk holds more of the log. */
  persisted(): void {
    this.replication.advanceCommit()
  }

  onAppendResponse(from: MemberId, message: Extract<RaftMessage, { kind: 'append-response' }>): void {
    const progress = this.followers.heardFrom(from)
    if (progress === undefined) return
    this.replication.onAppendResponse(from, progress, message)
    this.transfer.proceed()
  }

  onHeartbeatResponse(from: MemberId, message: Extract<RaftMessage, { kind: 'heartbeat-response' }>): void {
    const progress = this.followers.heardFrom(from)
    if (progress !== undefined && this.heartbeats.onResponse(from, progress, message)) this.replication.catchUp(progress)
  }

  onSnapshotResponse(from: MemberId, message: Extract<RaftMessage, { kind: 'snapshot-response' }>): void {
    const progress = this.followers.heardFrom(from)
    if (progress !== undefined) this.history.snapshots.onResponse(from, progress, message)
  }

  sendChunk(event: Extract<RaftEvent, { kind: 'snapshot-chunk' }>): void {
    const progress = this.followers.get(event.to)
    if (progress !== undefined) this.history.snapshots.sendChunk(progress, event)
  }

  snapshotUnreadable(to: MemberId, transfer: number): void {
    const progress = this.followers.get(to)
    if (progress !== undefined) this.history.snapshots.abandon(to, progress, transfer)
  }

  /** Another configuration has come with a snapshot. */
  configurationReplaced(): void {
    this.followers.followConfiguration()
    this.replication.membersChanged()
  }

  /**
   * Goes on with a change of the configuration. False once a committed one has this leader no more, and it must step down
   * (Raft §6; R42): its followers know by then, and one of them stands at once.
   */
  continueChange(): boolean {
    if (this.changes.proceed()) return true
    for (const [member, progress] of this.followers) this.heartbeats.send(member, progress)
    const best = this.followers.bestVoter()
    if (best !== undefined) this.outbox.send(best, { kind: 'timeout-now', term: this.state.term })
    return false
  }

  replicate(): void {
    this.replication.replicate()
  }

  serveRequests(): void {
    this.heartbeats.serveRequests()
  }

  /** Every other voter has as many appends on their way as are of use. */
  get isBusy(): boolean {
    return this.replication.isBusy
  }

  progressOf(member: MemberId): Readonly<Progress> | undefined {
    return this.followers.get(member)
  }

  hasCaughtUp(member: MemberId): boolean {
    return this.followers.hasCaughtUp(member)
  }

  /** How far up to `index` the log may go, for the sake of its followers. */
  spare(index: LogIndex): LogIndex {
    return this.followers.spare(index)
  }
}
