/**
 * Proofs that this member leads: rounds of heartbeats, and the requests that wait for one (thesis §6.4).
 *
 * A request is served only by a round that begins after it; one round serves all that wait.
 */
import type { LogIndex, RequestId } from '../../base/index.js'

interface RoundRequests {
  readonly round: number
  readonly readIndex: LogIndex
  readonly requests: readonly RequestId[]
}

export class Rounds {
  /** The round that was begun last. */
  current = 0
  private confirmed = 0
  private waiting: RequestId[] = []
  private underWay: RoundRequests[] = []

  /** A new lead: answers to rounds of an earlier one prove nothing. */
  lead(): void {
    this.confirmed = this.current
  }

  ask(requestId: RequestId): void {
    this.waiting.push(requestId)
  }

  /** Requests wait and no round is on its way that could be waited for first. */
  get isWanted(): boolean {
    return this.waiting.length > 0 && this.current === this.confirmed
  }

  /** `readIndex` is undefined while this leader may not judge yet: the requests go on waiting. */
  begin(readIndex: LogIndex | undefined): void {
    this.current++
    if (this.waiting.length === 0 || readIndex === undefined) return
    this.underWay.push({ round: this.current, readIndex, requests: this.waiting })
    this.waiting = []
  }

  /** A quorum has answered `round`, and so every round before it. */
  reached(round: number): readonly { readonly requestId: RequestId; readonly readIndex: LogIndex }[] {
    if (round <= this.confirmed) return []
    this.confirmed = round
    const served = this.underWay.filter((one) => one.round <= round)
    this.underWay = this.underWay.filter((one) => one.round > round)
    return served.flatMap(({ requests, readIndex }) => requests.map((requestId) => ({ requestId, readIndex })))
  }

  /** The lead is over: everything that waits fails. */
  fail(): readonly RequestId[] {
    const all = [...this.waiting, ...this.underWay.flatMap((one) => one.requests)]
    this.waiting = []
    this.underWay = []
    return all
  }
}
