/** What a member is made of at its start. */
import type { MemberId } from '../../base/index.js'
import type { Configuration } from './configuration.js'
import type { HardState, LogEntry, LogPosition, SnapshotMeta } from './types.js'

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
