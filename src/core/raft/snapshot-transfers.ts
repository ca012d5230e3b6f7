/**
 * Snapshots that go out, one at a time to each follower that the log no longer reaches (Raft §7): begun, read on, sent again, given up.
 *
 * What is on its way to one follower is kept by `snapshot-sending.ts`. Counts on from one lead of this member to its next.
 */
import type { MemberId } from '../../base/index.js'
import type { MemberState } from './member-state.js'
import type { Outbox } from './outbox.js'
import { fallBack, type Progress } from './progress.js'
import { SnapshotSending } from './snapshot-sending.js'
import type { RaftEvent, RaftMessage } from './types.js'

/** Ticks after which chunks of a snapshot that were not acknowledged are sent again, and after which the transfer is given up. */
const chunkPatience = 30
const transferPatience = 3_000

export class SnapshotTransfers {
  private readonly state: MemberState
  private readonly outbox: Outbox
  /** Begun in this life. */
  private count = 0

  constructor(state: MemberState, outbox: Outbox) {
    this.state = state
    this.outbox = outbox
  }

  begin(to: MemberId, progress: Progress): void {
    // Nobody reads a snapshot for a member that does not answer.
    if (progress.silentTicks > this.state.timing.electionTicksMax) return
    progress.mode = 'snapshot'
    progress.inFlight = 0
    progress.sending = new SnapshotSending(++this.count)
    this.readOn(to, progress.sending)
  }

  private readOn(to: MemberId, sending: SnapshotSending): void {
    if (sending.wantsChunk()) this.outbox.push({ kind: 'snapshot-read', to, transfer: sending.transfer })
  }

  end(to: MemberId, progress: Progress): void {
    if (progress.sending === undefined) return
    this.outbox.push({ kind: 'snapshot-close', to, transfer: progress.sending.transfer })
    progress.sending = undefined
  }

  /** The follower is looked at anew, unless another transfer has taken the place of this one. */
  abandon(to: MemberId, progress: Progress, transfer: number): void {
    if (progress.sending?.transfer !== transfer) return
    this.end(to, progress)
    fallBack(progress)
  }

  tick(to: MemberId, progress: Progress): void {
    const { sending } = progress
    if (sending === undefined) return
    sending.quietTicks++
    if (progress.silentTicks > 3 * this.state.timing.electionTicksMax || sending.quietTicks > transferPatience)
      return this.abandon(to, progress, sending.transfer)
    if (sending.quietTicks % chunkPatience === 0)
      for (const message of sending.inFlight) this.outbox.send(to, { ...message, term: this.state.term })
  }

  sendChunk(progress: Progress, event: Extract<RaftEvent, { kind: 'snapshot-chunk' }>): void {
    const { to, transfer, sequence, data, last } = event
    const { sending } = progress
    if (sending?.transfer !== transfer) return
    const meta = { ...event.meta, configuration: event.meta.configuration ?? this.state.configurationAt(event.meta.index) }
    const chunk = sending.take({ kind: 'snapshot', term: this.state.term, meta, transfer, sequence, data, last })
    if (chunk === undefined) return
    this.outbox.send(to, chunk)
    this.readOn(to, sending)
  }

  onResponse(from: MemberId, progress: Progress, message: Extract<RaftMessage, { kind: 'snapshot-response' }>): void {
    if (progress.sending?.transfer !== message.transfer) return
    if (message.lost) return this.abandon(from, progress, message.transfer)
    progress.sending.acknowledge(message.next)
    this.readOn(from, progress.sending)
  }
}
