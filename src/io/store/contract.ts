/**
 * The member's disk: identity, Raft log with hard state, and the applied state.
 *
 * Implemented by the real store and by the simulator's; both pass the same contract test.
 */
import type { ClusterId, LogIndex, MemberId, NodeId } from '../../base/index.js'
import type { HardState, LogEntry } from '../../core/raft/index.js'

/** Who this data folder is. Written before anything of that identity is sent. */
export interface Identity {
  readonly clusterId: ClusterId
  readonly memberId: MemberId
  readonly node: NodeId
  /** `forming` members vote for nothing. */
  readonly phase: 'forming' | 'formed'
  /** The voters of the plan that formed the cluster. */
  readonly voters: readonly { readonly node: NodeId; readonly member: MemberId }[]
}

/** One row of the applied state; `value` is undefined where the row is deleted. */
export interface RowChange {
  readonly table: string
  readonly key: string
  readonly value: unknown
}

export interface Restored {
  /** Undefined for an empty folder. */
  readonly identity: Identity | undefined
  readonly hardState: HardState
  /** Contiguous, first index 1 (until snapshots exist). */
  readonly entries: readonly LogEntry[]
  readonly appliedIndex: LogIndex
  readonly rows: readonly { readonly table: string; readonly key: string; readonly value: unknown }[]
}

export interface Store {
  /** Durable when the promise resolves. */
  writeIdentity(identity: Identity): Promise<void>
  /**
   * Queues hard state and entries; entries at or below the last index replace the log from there on. Everything that
   * waits goes to disk as one synced batch; `onPersisted(sequence)` follows in order. A failure goes to `onFailure` once, and the
   * store then accepts nothing more: the process must end, what the disk holds is judged at the next start.
   */
  append(record: { readonly sequence: number; readonly hardState: HardState; readonly entries: readonly LogEntry[] }): void
  /** Writes changes and the applied index as one atomic batch, not synced (the log is). Batches keep their order. */
  apply(appliedIndex: LogIndex, changes: readonly RowChange[]): void
  close(): Promise<void>
}

export interface StoreListener {
  onPersisted(sequence: number): void
  onFailure(error: unknown): void
}
