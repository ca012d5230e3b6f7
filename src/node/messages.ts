/** What daemons say to each other: frames over the peer links, datagrams over UDP. Checked when they come in. */
import type {
  BootId,
  BootInstant,
  ClusterId,
  GroupName,
  LogIndex,
  MemberId,
  NodeId,
  PlainError,
  RequestId,
  ResourceName,
  SessionId,
  Term,
} from '../base/index.js'
import type { PathState } from '../core/arbiter/index.js'
import type { Address, Command, CommandResult, FormationMessage, GroupDefinition } from '../core/cluster/index.js'
import type { Renewal } from '../core/detector/index.js'
import type { RaftFrame } from './raft-wire.js'

export type Frame =
  | FormationMessage
  | RaftFrame
  /** The leader has seen that the member's disk no longer holds what it acknowledged. */
  | { readonly kind: 'regressed'; readonly member: MemberId; readonly acknowledged: LogIndex; readonly shows: LogIndex }
  /** A node with an empty data folder asks to be taken in. */
  | { readonly kind: 'join'; readonly folder: string; readonly address: Address; readonly checksum: string | null }
  | {
      readonly kind: 'joined'
      readonly folder: string
      readonly clusterId: ClusterId
      readonly member: MemberId
      readonly error: PlainError | null
    }
  /** A follower passes a request on, once; the leader does not pass it further, and takes it in this term only. */
  | {
      readonly kind: 'forward'
      readonly requestId: RequestId
      readonly command: Command
      readonly fingerprint: string | null
      readonly term?: Term
    }
  /** What was passed on in this term was refused before it reached the log, or stands there no more: safe to try again. */
  | { readonly kind: 'forward-refused'; readonly requestId: RequestId; readonly error: PlainError; readonly term?: Term }
  /** The answer may come before the follower has applied the entry itself. */
  | { readonly kind: 'forward-result'; readonly requestId: RequestId; readonly result: CommandResult }
  | { readonly kind: 'read-index'; readonly id: string }
  | { readonly kind: 'read-index-answer'; readonly id: string; readonly index: LogIndex | null }
  | { readonly kind: 'ask'; readonly id: string; readonly question: Question }
  | { readonly kind: 'answer'; readonly id: string; readonly answer: unknown; readonly error: PlainError | null }

/** What one node may ask of another outside the log. */
export type Question =
  | { readonly kind: 'detector' }
  | { readonly kind: 'leader-view' }
  /** Asked of the leader: how far its followers are behind, and why a change of the members that is wanted is not made. */
  | { readonly kind: 'consensus' }
  /** Asked of the leader: nothing was heard of the boot for as long as any lease of it may last. */
  | { readonly kind: 'unheard'; readonly node: NodeId; readonly boot: BootId }
  | { readonly kind: 'transfer-lead'; readonly to: NodeId }
  /** Whether the agents there could run so. */
  | { readonly kind: 'validate'; readonly resources: GroupDefinition['resources'] }
  /** What the asked node knows of the paths to a node's fence devices; with `fresh` it reads them first, and answers when it has. */
  | { readonly kind: 'paths'; readonly node: NodeId; readonly fresh: boolean }
  /** Of a resource that runs there: a probe at once. */
  | { readonly kind: 'look'; readonly group: GroupName; readonly resource: ResourceName; readonly deep: boolean }
  /** Of a resource that runs there: an action, of at most `timeout` milliseconds; as long as its agent says where that is null. */
  | {
      readonly kind: 'act'
      readonly group: GroupName
      readonly resource: ResourceName
      readonly action: string
      readonly timeout: number | null
    }
  /** What a resource wrote last on that node; null when it never did. */
  | { readonly kind: 'log'; readonly group: GroupName; readonly resource: ResourceName; readonly lines: number }

export interface Heartbeat {
  readonly kind: 'heartbeat'
  readonly boot: BootId
  readonly session: SessionId
  readonly seq: number
  /** The sender's boot clock. */
  readonly sendTime: BootInstant
  /** How old the last renewal it received was when it sent this, by its own clock; null before the first. */
  readonly renewalAgeMs: number | null
  /** Nodes it has heard since its own start, with their present silence in milliseconds. */
  readonly heard: { readonly [node: NodeId]: number }
  readonly appliedIndex: LogIndex
  /** Sum over all rows of the state, as it was at one index; the same on every member. */
  readonly state: { readonly index: LogIndex; readonly sum: number } | null
  readonly loopLagMs: number
  /** Whether the sender could reach the fence devices of the others when it read them last. */
  readonly paths: { readonly [node: NodeId]: PathState }
  /** Nodes that it hears and that say that they hear it; and those that it hears over one link of several. Earlier versions say neither. */
  readonly mutual?: readonly NodeId[]
  readonly oneLink?: readonly NodeId[]
  /** Links over which it hears these nodes worse than over another; earlier versions do not say. */
  readonly badLinks?: { readonly [node: NodeId]: readonly number[] }
}

export interface Renewed extends Renewal {
  readonly kind: 'renewed'
  readonly boot: BootId
}

export type Message =
  | Heartbeat
  | Renewed
  | { readonly kind: 'guardian-query'; readonly nonce: string; readonly caseId?: string }
  | { readonly kind: 'guardian-answer' }

export function kindOf(value: unknown): string | undefined {
  return typeof value === 'object' && value !== null && 'kind' in value && typeof value.kind === 'string' ? value.kind : undefined
}
