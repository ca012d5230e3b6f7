/**
 * A snapshot on its way to one follower, chunk by chunk (Raft §7).
 *
 * The shell reads the chunks when they are asked for; a few are in flight at once and are kept until they are
 * acknowledged, so that a lost one is sent again without reading anything twice.
 */
import type { LogIndex } from '../../base/index.js'
import type { RaftMessage } from './types.js'

export type SnapshotChunk = Extract<RaftMessage, { kind: 'snapshot' }>

/** Chunks in flight to one follower: bounds memory. */
export const chunksInFlight = 4

export class SnapshotSending {
  /** Tells this transfer from others of the same leader. */
  readonly transfer: number
  /** Where the snapshot stands, once its first chunk was read. */
  index: LogIndex | undefined
  /** Ticks since the follower last acknowledged something new. */
  quietTicks = 0
  private readonly unacknowledged: SnapshotChunk[] = []
  private next = 0
  private isReading = false
  private isComplete = false

  constructor(transfer: number) {
    this.transfer = transfer
  }

  /** Whether the next chunk is to be read now; it counts as asked for. */
  wantsChunk(): boolean {
    if (this.isReading || this.isComplete || this.unacknowledged.length >= chunksInFlight) return false
    this.isReading = true
    return true
  }

  /** Takes what was read in; undefined where it was not asked for. */
  take(chunk: SnapshotChunk): SnapshotChunk | undefined {
    if (!this.isReading || chunk.sequence !== this.next) return undefined
    this.isReading = false
    this.next++
    this.index = chunk.meta.index
    this.isComplete = chunk.last
    this.unacknowledged.push(chunk)
    return chunk
  }

  /**
   * The follower has everything before chunk `next`. The last chunk stays: sent again, it asks what became of the
   * installation, whose answer may be lost as well.
   */
  acknowledge(next: number): void {
    for (let first = this.unacknowledged[0]; first !== undefined && first.sequence < next && !first.last; first = this.unacknowledged[0]) {
      this.unacknowledged.shift()
      this.quietTicks = 0
    }
  }

  /** What may have been lost. */
  get inFlight(): readonly SnapshotChunk[] {
    return this.unacknowledged
  }
}
