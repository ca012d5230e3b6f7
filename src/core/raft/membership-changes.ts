/**
 * Changes of who belongs, on the leader's side: one at a time, judged before it is appended, through the joint phase to its end
 * (Raft §6; thesis §4).
 */
import type { MemberId, RequestId } from '../../base/index.js'
import { type Configuration, type ConfigurationChange, changed, encodeConfiguration, final, hasQuorum } from './configuration.js'
import type { Followers } from './followers.js'
import type { MemberState } from './member-state.js'
import type { Outbox } from './outbox.js'
import type { Replication } from './replication.js'
import type { LogEntry, Refusal } from './types.js'

export class MembershipChanges {
  private readonly state: MemberState
  private readonly outbox: Outbox
  private readonly followers: Followers
  private readonly replication: Replication

  constructor(state: MemberState, outbox: Outbox, followers: Followers, replication: Replication) {
    this.state = state
    this.outbox = outbox
    this.followers = followers
    this.replication = replication
  }

  request(requestId: RequestId, change: ConfigurationChange): void {
    const next = this.judge(change) ?? changed(this.state.configuration, change)
    if (typeof next === 'string') return this.outbox.refuse(requestId, next, this.state.leader)
    // What counts is who answers now: a change must not cost the majority that would have to commit it.
    if (!hasQuorum({ ...next, outgoing: [] }, (voter) => this.followers.answers(voter)))
      return this.outbox.refuse(requestId, 'would-lose-quorum', this.state.leader)
    this.outbox.accept(requestId, this.changeTo(next))
  }

  private judge(change: ConfigurationChange): Refusal | undefined {
    if (!this.state.isEstablished) return 'not-established'
    if (this.state.isChanging) return 'change-under-way'
    const isAdded = (member: MemberId): boolean => change.add.some((added) => added.member === member)
    const lags = change.promote.some(
      (member) => isAdded(member) || (this.followers.get(member) !== undefined && !this.followers.hasCaughtUp(member)),
    )
    return lags ? 'member-lags' : undefined
  }

  /** In force from here on, committed or not (Raft §6). */
  private changeTo(configuration: Configuration): LogEntry {
    const entry = this.replication.append('configuration', encodeConfiguration(configuration))
    this.state.tellConfiguration()
    this.followers.followConfiguration()
    return entry
  }

  /** Leaves a committed joint phase. False once a committed configuration has this leader no more. */
  proceed(): boolean {
    if (!this.state.isEstablished) return true
    const { index, configuration } = this.state.latestConfiguration
    if (index > this.state.commitIndex) return true
    if (configuration.outgoing.length === 0) return configuration.voters.includes(this.state.self)
    this.changeTo(final(configuration))
    return true
  }
}
