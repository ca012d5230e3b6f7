/**
 * Leadership transfer (thesis §3.10): nothing is proposed until the chosen voter has everything; then it is ordered to stand at once.
 *
 * One that does not win within an election time-out is given up, and this leader goes on.
 */
import type { MemberId } from '../../base/index.js'
import type { Followers } from './followers.js'
import type { MemberState } from './member-state.js'
import type { Outbox } from './outbox.js'

export class LeadershipTransfer {
  private readonly state: MemberState
  private readonly outbox: Outbox
  private readonly followers: Followers
  private underWay: { readonly to: MemberId; ticks: number; ordered: boolean } | undefined

  constructor(state: MemberState, outbox: Outbox, followers: Followers) {
    this.state = state
    this.outbox = outbox
    this.followers = followers
  }

  get isUnderWay(): boolean {
    return this.underWay !== undefined
  }

  /** Takes the place of another one that is under way. */
  begin(to: MemberId): void {
    if (to === this.state.self || !this.state.isVoter(to)) return this.outbox.push({ kind: 'transfer-ended', to, outcome: 'done' })
    this.end('timed-out')
    this.underWay = { to, ticks: 0, ordered: false }
    this.proceed()
  }

  /** Orders the voter to stand as soon as it has the whole log. */
  proceed(): void {
    const { underWay } = this
    if (underWay === undefined || underWay.ordered) return
    if (this.followers.get(underWay.to)?.matchIndex !== this.state.log.lastIndex) return
    underWay.ordered = true
    this.outbox.send(underWay.to, { kind: 'timeout-now', term: this.state.term })
  }

  tick(): void {
    if (this.underWay !== undefined && ++this.underWay.ticks > this.state.timing.electionTicksMax) this.end('timed-out')
  }

  leadLost(): void {
    this.end(this.underWay?.ordered === true ? 'done' : 'lost-lead')
  }

  private end(outcome: 'done' | 'timed-out' | 'lost-lead'): void {
    if (this.underWay === undefined) return
    this.outbox.push({ kind: 'transfer-ended', to: this.underWay.to, outcome })
    this.underWay = undefined
  }
}
