/**
 * The member's disk: identity, Raft log with hard state, and the applied state.
 *
 * Implemented by the real store and by the simulator's; both pass the same contract test. The simulator's promises settle
 * in virtual time and call back on the spot: what runs in it says `.then`, not `await`.
 */
import type { ClusterId, LogIndex, MemberId, NodeId } from '../../base/index.js'
import type { HardState, LogEntry, LogPosition, SnapshotMeta } from '../../core/raft/index.js'

/** Who this data folder is. Written before anything of that identity is sent. */
export interface Identity {
  readonly clusterId: ClusterId
  readonly memberId: MemberId
  readonly node: NodeId
  /**
   * `forming` members vote for nothing; a `quarantined` one has a state that differs from the others' and does not start, nor
   * does a `recovering` one, whose log has entries that no leader wrote.
   */
  readonly phase: 'forming' | 'formed' | 'quarantined' | 'recovering'
  /** The voters of the plan that formed the cluster. */
  readonly voters: readonly { readonly node: NodeId; readonly member: MemberId }[]
}

/** One row of the applied state. */
export interface Row {
  readonly table: string
  readonly key: string
  readonly value: unknown
}

/** One row of the applied state; `value` is undefined where the row is deleted. */
export type RowChange = Row

export interface Restored {
  /** Undefined for an empty folder. */
  readonly identity: Identity | undefined
  readonly hardState: HardState
  /** What the first entry follows: index 0 and term 0 for a log that was never cut. */
  readonly base: LogPosition
  /** Contiguous from `base.index + 1`. */
  readonly entries: readonly LogEntry[]
  /** What `rows` stand for; not below the base and not beyond the last entry. */
  readonly applied: SnapshotMeta
  readonly rows: readonly Row[]
  /** Over all rows, as `apply` returns it. */
  readonly sum: number
}

export interface Store {
  /** Durable when the promise resolves. */
  writeIdentity(identity: Identity): Promise<void>
  /**
   * Queues hard state and entries; entries at or below the last index replace the log from there on. Everything that
   * waits goes to disk as one synced batch; `onPersisted(sequence)` follows in order. A failure goes to `onFailure` once, and the
   * store then accepts nothing more: the process must end, what the disk holds is judged at the next start.
   */
  append(
    record: { readonly sequence: number; readonly hardState: HardState; readonly entries: readonly LogEntry[] },
    /** The disk is to have its order when this returns, if it is idle: for who has nothing to send that would wait for it. */
    atOnce?: boolean,
  ): void
  /**
   * Writes changes, position and configuration as one atomic batch, soon, and not before all that was appended until now is durable:
   * after a crash the state is that of this call or of an earlier one, and the log holds what it came from. Of several changes of a row the last counts. Returns the sum over all rows after it: the same rows give the same number on every member.
   */
  apply(applied: SnapshotMeta, changes: readonly RowChange[]): number
  /** Makes durable what is applied now; resolves with the index that is durable. */
  syncApplied(): Promise<LogIndex>
  /**
   * Lets go of log segments that hold only entries at or below `index`, which must be durable by `syncApplied`. In the
   * background; a failure is a failure of the store.
   */
  cutLog(index: LogIndex): void
  /** Bytes of log on disk: what `cutLog` may make less. */
  readonly logBytes: number
  /** A consistent picture of the applied state as it was last written, read in chunks while writes go on. */
  openSnapshot(): Promise<SnapshotReader>
  /**
   * Receives a snapshot beside the present state, whose applied index must be below the snapshot's. A second receive
   * abandons the first.
   */
  receiveSnapshot(meta: SnapshotMeta): Promise<SnapshotWriter>
  close(): Promise<void>
}

export interface SnapshotReader {
  readonly meta: SnapshotMeta
  /** Whole rows, about `maxBytes` of them: 256 KiB where it is left out. A row larger than that is a chunk of its own. */
  next(maxBytes?: number): Promise<SnapshotChunk>
  close(): Promise<void>
}

export interface SnapshotChunk {
  /** Carries its own checksum, and how many rows came before with which sum: a lost or doubled chunk does not pass. */
  readonly data: Uint8Array
  readonly last: boolean
}

export interface SnapshotWriter {
  /** Takes the next chunk and returns its rows, for the state in memory. SNAPSHOT_DAMAGED where it is not what was sent. */
  write(data: Uint8Array): Promise<readonly Row[]>
  /**
   * Puts the received state, whose last chunk was written, in the place of the present one, as one durable step; the position must
   * still be above what is applied. From this call on, `apply` and `append` speak of the new state and the new log:
   * with `keepTail` (the log holds the very entry of the snapshot) that is the log as it is, otherwise an empty
   * one that begins after the snapshot.
   */
  install(keepTail: boolean): Promise<void>
  /** Does nothing to what was installed. */
  abandon(): Promise<void>
}

export interface StoreListener {
  onPersisted(sequence: number): void
  onFailure(error: unknown): void
}
