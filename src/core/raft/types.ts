/**
 * What Raft is told and what it asks to be done. Terms and indexes are those of the paper.
 *
 * Messages are plain data that `base/codec` can carry.
 */
import type { LogIndex, MemberId, RequestId, Term } from '../../base/index.js'
import type { ChangeProblem, Configuration, ConfigurationChange } from './configuration.js'

export interface LogEntry {
  readonly index: LogIndex
  readonly term: Term
  /** `noop` opens a leader's term (Raft §8); `configuration` changes who belongs (Raft §6); `command` is opaque here. */
  readonly kind: 'noop' | 'command' | 'configuration'
  readonly data: Uint8Array
}

/** A place in the log. Two logs that hold the same position hold the same entries up to it (Raft §5.3). */
export interface LogPosition {
  readonly index: LogIndex
  readonly term: Term
}

/** What a snapshot stands for (Raft §7). */
export interface SnapshotMeta extends LogPosition {
  /** In force at that index, both halves where it is joint; null where no configuration entry was ever applied. */
  readonly configuration: Configuration | null
}

/** What must be on disk before anything that rests on it leaves the node (Raft fig. 2, persistent state). */
export interface HardState {
  readonly term: Term
  readonly votedFor: MemberId | null
}

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader'

export type RaftMessage =
  | {
      readonly kind: 'vote-request'
      readonly term: Term
      /** A pre-vote asks "would you?" and changes nothing (thesis §9.6). */
      readonly pre: boolean
      readonly lastIndex: LogIndex
      readonly lastTerm: Term
      /** Sent on the leader's own order to stand; voters then put aside their loyalty to it. */
      readonly transfer: boolean
      /** Tells rounds apart: an answer counts only in the round that asked. */
      readonly round: number
    }
  | { readonly kind: 'vote-response'; readonly term: Term; readonly pre: boolean; readonly granted: boolean; readonly round: number }
  | {
      readonly kind: 'append'
      readonly term: Term
      readonly prevIndex: LogIndex
      readonly prevTerm: Term
      readonly entries: readonly LogEntry[]
      readonly commit: LogIndex
    }
  | {
      readonly kind: 'append-response'
      readonly term: Term
      readonly success: boolean
      /** On success the index up to which the follower's disk matches; otherwise the `prevIndex` that did not fit. */
      readonly index: LogIndex
      /** On refusal: where the leader should look next (the last index whose term is not above `hintTerm`). */
      readonly hintIndex: LogIndex
      readonly hintTerm: Term
    }
  /** Never waits for a disk: it proves leadership, not storage. */
  | { readonly kind: 'heartbeat'; readonly term: Term; readonly round: number; readonly commit: LogIndex }
  /** `durable`: how far the answering member's log is on its disk. */
  | { readonly kind: 'heartbeat-response'; readonly term: Term; readonly round: number; readonly durable: LogIndex }
  /** The receiver is up to date and should stand at once (thesis §3.10). */
  | { readonly kind: 'timeout-now'; readonly term: Term }
  /** One chunk of a snapshot; what stands in it is the shell's. The answer to the last one, once installed, is an `append-response`. */
  | {
      readonly kind: 'snapshot'
      /** The leader's. */
      readonly term: Term
      readonly meta: SnapshotMeta
      readonly transfer: number
      /** From 0, without gaps. */
      readonly sequence: number
      readonly data: Uint8Array
      readonly last: boolean
    }
  | {
      readonly kind: 'snapshot-response'
      readonly term: Term
      readonly transfer: number
      /** The chunk that is wanted next; all before it are written. */
      readonly next: number
      /** Nothing is known of this transfer here: it has to begin anew. */
      readonly lost: boolean
    }

/** Something that happened to this member. */
export type RaftEvent =
  | { readonly kind: 'tick' }
  | { readonly kind: 'received'; readonly from: MemberId; readonly message: RaftMessage }
  | { readonly kind: 'proposed'; readonly requestId: RequestId; readonly command: Uint8Array }
  /** The member waits for what is committed by now, for an answer that it owes: it is not left to learn it by the next append. */
  | { readonly kind: 'commit-awaited'; readonly by: MemberId }
  /** Asks for proof that this member leads now: a quorum round that begins after this event. Serves reads and leases. */
  | { readonly kind: 'confirm-requested'; readonly requestId: RequestId }
  /** The `persist` of this sequence, and all before it, is on disk. */
  | { readonly kind: 'persisted'; readonly sequence: number }
  | { readonly kind: 'transfer-requested'; readonly to: MemberId }
  | { readonly kind: 'configuration-requested'; readonly requestId: RequestId; readonly change: ConfigurationChange }
  /** Entries up to here may go: the applied state that stands for them is durable. */
  | { readonly kind: 'compact'; readonly upTo: LogIndex }
  /** Answers `snapshot-read`, in order. */
  | {
      readonly kind: 'snapshot-chunk'
      readonly to: MemberId
      readonly transfer: number
      readonly sequence: number
      readonly meta: SnapshotMeta
      readonly data: Uint8Array
      readonly last: boolean
    }
  | { readonly kind: 'snapshot-unreadable'; readonly to: MemberId; readonly transfer: number }
  /** Answers `snapshot-write`, in order. */
  | { readonly kind: 'snapshot-written'; readonly source: string; readonly sequence: number }
  /** Answers `snapshot-install`: the state is the snapshot's, durably, and so is the beginning of the log. */
  | { readonly kind: 'snapshot-installed'; readonly source: string }
  /** The peer's process is gone: its port refuses. A hint only (ends loyalty to a leader, starts a pre-vote). */
  | { readonly kind: 'peer-refused'; readonly peer: MemberId }

/** Why a proposal or a change of the configuration was not taken. Nothing of it is in the log. */
export type Refusal =
  | 'not-leader'
  | 'transferring'
  /** Too much waits to be committed. */
  | 'overloaded'
  /** Another change is not committed yet, or is in its joint phase (R40). */
  | 'change-under-way'
  /** No entry of this leader's own term is committed yet (R38). */
  | 'not-established'
  /** The learner to be promoted is too far behind, or silent (R45). */
  | 'member-lags'
  /** Too few of the voters that would be are heard now. */
  | 'would-lose-quorum'
  | ChangeProblem

/** Something to be done. None of them blocks the inbox: what takes time comes back as an event. */
export type RaftEffect =
  | { readonly kind: 'persist'; readonly sequence: number; readonly hardState: HardState; readonly entries: readonly LogEntry[] }
  | { readonly kind: 'send'; readonly to: MemberId; readonly message: RaftMessage }
  /** Committed and in order; each index once per life of the process. */
  | { readonly kind: 'apply'; readonly entries: readonly LogEntry[] }
  | { readonly kind: 'accepted'; readonly requestId: RequestId; readonly index: LogIndex; readonly term: Term }
  | {
      readonly kind: 'refused'
      readonly requestId: RequestId
      readonly reason: Refusal
      readonly leader: MemberId | undefined
    }
  /** This member led when the round was answered; state applied up to `readIndex` is current (thesis §6.4). */
  | { readonly kind: 'confirmed'; readonly requestId: RequestId; readonly readIndex: LogIndex }
  | { readonly kind: 'confirm-failed'; readonly requestId: RequestId }
  /** What is in force now, committed or not. Comes before anything is sent to its new members. */
  | { readonly kind: 'configuration-changed'; readonly configuration: Configuration }
  /** The follower's disk no longer holds what it acknowledged to this leader: it was rolled back or cloned, and must not vote. */
  | { readonly kind: 'member-regressed'; readonly member: MemberId; readonly acknowledged: LogIndex; readonly shows: LogIndex }
  /** The entries up to here are out of memory and may go from the disk. */
  | { readonly kind: 'compacted'; readonly index: LogIndex }
  /** Reads the next chunk of a snapshot for a follower; the first time of a transfer opens it, at the state as it is then. */
  | { readonly kind: 'snapshot-read'; readonly to: MemberId; readonly transfer: number }
  /** The transfer is over, whatever came of it. */
  | { readonly kind: 'snapshot-close'; readonly to: MemberId; readonly transfer: number }
  /** Writes a chunk beside the present state; the first of a `source` (sequence 0) begins anew, whatever was received before. */
  | {
      readonly kind: 'snapshot-write'
      readonly source: string
      readonly sequence: number
      readonly meta: SnapshotMeta
      readonly data: Uint8Array
      readonly last: boolean
    }
  /** Puts what was received in the place of state and log; with `keepTail` the log goes on behind the snapshot. */
  | { readonly kind: 'snapshot-install'; readonly source: string; readonly meta: SnapshotMeta; readonly keepTail: boolean }
  /** What was received is not needed. */
  | { readonly kind: 'snapshot-abandon'; readonly source: string }
  | { readonly kind: 'role-changed'; readonly role: Role; readonly term: Term; readonly leader: MemberId | undefined }
  | { readonly kind: 'transfer-ended'; readonly to: MemberId; readonly outcome: 'done' | 'timed-out' | 'lost-lead' }
