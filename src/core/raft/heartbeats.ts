/**
 * The leader's heartbeats, in rounds: they keep its followers, prove its lead to those who read or hold leases (thesis §6.4), tell what
 * is committed, and show what a follower's disk has lost.
 */
import { type LogIndex, logIndex, type MemberId } from '../../base/index.js'
import type { Followers } from './followers.js'
import type { LeadHistory } from './lead-history.js'
import type { MemberState } from './member-state.js'
import type { Outbox } from './outbox.js'
import { fallBack, type Progress } from './progress.js'
import type { Rounds } from './rounds.js'
import type { SnapshotTransfers } from './snapshot-transfers.js'
import type { RaftMessage } from './types.js'

export class Heartbeats {
  private readonly state: MemberState
  private readonly outbox: Outbox
  private readonly followers: Followers
  private readonly rounds: Rounds
  private readonly snapshots: SnapshotTransfers
  private elapsed = 0

  constructor(state: MemberState, outbox: Outbox, followers: Followers, { rounds, snapshots }: LeadHistory) {
    this.state = state
    this.outbox = outbox
    this.followers = followers
    this.rounds = rounds
    this.snapshots = snapshots
  }

  tick(): void {
    if (++this.elapsed >= this.state.timing.heartbeatTicks) this.beginRound()
  }

  /** Requests that wait for proof do not wait for the tick, once this leader may answer them. */
  serveRequests(): void {
    if (this.rounds.isWanted && this.state.isEstablished) this.beginRound()
  }

  /** What waits for proof of the lead waits for this round. */
  beginRound(): void {
    this.elapsed = 0
    this.rounds.begin(this.state.isEstablished ? this.state.commitIndex : undefined)
    for (const [member, progress] of this.followers) {
      progress.matchAtRound = progress.matchIndex
      this.send(member, progress)
    }
    this.confirmRounds()
  }

  send(to: MemberId, progress: Progress): void {
    const commit = Math.min(this.state.commitIndex, progress.matchIndex) as LogIndex
    progress.toldCommit = Math.max(progress.toldCommit, commit) as LogIndex
    this.outbox.send(to, { kind: 'heartbeat', term: this.state.term, round: this.rounds.current, commit })
  }

  /** Whether the follower still has what it has acknowledged. */
  onResponse(from: MemberId, progress: Progress, message: Extract<RaftMessage, { kind: 'heartbeat-response' }>): boolean {
    progress.ackedRound = Math.max(progress.ackedRound, message.round)
    if (message.round === this.rounds.current && message.durable < progress.matchAtRound) {
      this.regressed(from, progress, message.durable)
      return false
    }
    this.confirmRounds()
    return true
  }

  /** Within a term a follower never loses what it has acknowledged to the leader, unless its disk does (R35: rolled back, cloned). */
  private regressed(member: MemberId, progress: Progress, shows: LogIndex): void {
    this.outbox.push({ kind: 'member-regressed', member, acknowledged: progress.matchAtRound, shows })
    progress.matchIndex = logIndex(0)
    progress.matchAtRound = logIndex(0)
    progress.toldCommit = logIndex(0)
    progress.isHeard = false
    this.snapshots.end(member, progress)
    fallBack(progress)
  }

  private confirmRounds(): void {
    const reached = this.followers.reachedByQuorum(this.rounds.current, (progress) => progress.ackedRound)
    for (const served of this.rounds.reached(reached)) this.outbox.push({ kind: 'confirmed', ...served })
  }
}
