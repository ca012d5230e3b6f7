/**
 * What Raft is told and what it asks to be done. Terms and indexes are those of the paper.
 *
 * Messages are plain data that `base/codec` can carry.
 */
import type { LogIndex, MemberId, RequestId, Term } from '../../base/index.js'

export interface LogEntry {
  readonly index: LogIndex
  readonly term: Term
  /** `noop` opens a leader's term (Raft §8); `configuration` is kept for membership changes; `command` is opaque here. */
  readonly kind: 'noop' | 'command' | 'configuration'
  readonly data: Uint8Array
}

/** Who votes. Learners receive the log and never count. */
export interface Configuration {
  readonly voters: readonly MemberId[]
  readonly learners: readonly MemberId[]
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
  | { readonly kind: 'heartbeat-response'; readonly term: Term; readonly round: number }
  /** The receiver is up to date and should stand at once (thesis §3.10). */
  | { readonly kind: 'timeout-now'; readonly term: Term }

/** Something that happened to this member. */
export type RaftEvent =
  | { readonly kind: 'tick' }
  | { readonly kind: 'received'; readonly from: MemberId; readonly message: RaftMessage }
  | { readonly kind: 'proposed'; readonly requestId: RequestId; readonly command: Uint8Array }
  /** Asks for proof that this member leads now: a quorum round that begins after this event. Serves reads and leases. */
  | { readonly kind: 'confirm-requested'; readonly requestId: RequestId }
  /** The `persist` of this sequence, and all before it, is on disk. */
  | { readonly kind: 'persisted'; readonly sequence: number }
  | { readonly kind: 'transfer-requested'; readonly to: MemberId }
  /** The peer's process is gone: its port refuses. A hint only (ends loyalty to a leader, starts a pre-vote). */
  | { readonly kind: 'peer-refused'; readonly peer: MemberId }

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
      readonly reason: 'not-leader' | 'transferring'
      readonly leader: MemberId | undefined
    }
  /** This member led when the round was answered; state applied up to `readIndex` is current (thesis §6.4). */
  | { readonly kind: 'confirmed'; readonly requestId: RequestId; readonly readIndex: LogIndex }
  | { readonly kind: 'confirm-failed'; readonly requestId: RequestId }
  | { readonly kind: 'role-changed'; readonly role: Role; readonly term: Term; readonly leader: MemberId | undefined }
  | { readonly kind: 'transfer-ended'; readonly to: MemberId; readonly outcome: 'done' | 'timed-out' | 'lost-lead' }
