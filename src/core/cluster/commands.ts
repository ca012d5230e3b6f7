/** What a log entry may ask of the database. The state machine checks everything again: whoever proposed it may have been wrong or late. */
import type {
  BootId,
  CaseId,
  DiskName,
  GroupName,
  LogIndex,
  LogTime,
  MemberId,
  NodeId,
  RequestId,
  ResourceName,
  SessionId,
  Term,
  Token,
  WallTime,
} from '../../base/index.js'
import type { AnyDefinition } from './definition.js'
import type {
  Address,
  Candidate,
  CarriedFile,
  DiskDefinition,
  Fencing,
  Guard,
  HolderReport,
  Notice,
  OperationRow,
  ProbeResult,
} from './rows.js'

/** Preconditions on an object's revision: `If-Match`, `If-None-Match: *`. */
export interface Precondition {
  readonly ifRevision?: LogIndex
  readonly ifAbsent?: boolean
}

/** What the planner wants done about one group. */
export type PlannedAction =
  | { readonly kind: 'grant'; readonly node: NodeId; readonly boot: BootId }
  | {
      readonly kind: 'stop'
      readonly token: Token
      readonly ban: { readonly node: NodeId; readonly forMs: number } | null
      /** It stays stopped until a person has cleared it. */
      readonly halt?: boolean
    }
  | {
      readonly kind: 'restart'
      readonly token: Token
      readonly resource: ResourceName
      /** With everything that depends on it, in whatever way. */
      readonly dependents?: true
      /** By a person: the operation that waits for it. */
      readonly operation?: string
    }
  /** The holder is to go on with the resources as they are defined now. */
  | { readonly kind: 'update'; readonly token: Token }
  /** The holder's node is to be cut off, as if a person had asked for it. */
  | { readonly kind: 'fence'; readonly token: Token; readonly node: NodeId }
  /** The holder's node is to host nothing until a person has activated it. */
  | { readonly kind: 'standby'; readonly token: Token; readonly node: NodeId; readonly evict?: true }
  | { readonly kind: 'end-move'; readonly done: boolean }
  /** The copies are to be told before this step of one of them. */
  | { readonly kind: 'announce'; readonly operation: Notice['operation']; readonly node: NodeId }
  /** The one instance is to go to that node while it runs, for its own is to be left. */
  | { readonly kind: 'evacuate'; readonly token: Token; readonly to: NodeId }
  /** It is to be sent to the node that waits for it. */
  | { readonly kind: 'send'; readonly token: Token }
  /** It has come, or whoever had it can send it no more: it is the holder's from now on. */
  | { readonly kind: 'arrive'; readonly token: Token }
  | { readonly kind: 'end-migration' }
  | { readonly kind: 'wait' }
  | { readonly kind: 'forget' }
  | { readonly kind: 'unfreeze' }

export interface PlannedDecision {
  readonly group: GroupName
  readonly action: PlannedAction
  readonly rule: string
  readonly text: string
  readonly candidates: readonly Candidate[]
  readonly input: { readonly [key: string]: unknown }
}

export type StoreOperation =
  | ({ readonly kind: 'put'; readonly key: string; readonly value: unknown } & Precondition)
  | ({ readonly kind: 'delete'; readonly key: string } & Precondition)
  | { readonly kind: 'get'; readonly key: string }
  /** Fails the whole transaction unless the key has this revision (0: absent). */
  | { readonly kind: 'check'; readonly key: string; readonly revision: LogIndex }

export type Command =
  // Nodes.
  | {
      readonly kind: 'form'
      readonly clusterName: string
      readonly nodes: readonly { readonly name: NodeId; readonly member: MemberId; readonly address: Address }[]
    }
  | {
      readonly kind: 'register-boot'
      readonly node: NodeId
      readonly boot: BootId
      readonly guard: Guard
      readonly level: number
      readonly links: readonly Address[]
      readonly guardian: Address | null
      readonly api: string | null
    }
  | {
      readonly kind: 'probed'
      readonly node: NodeId
      readonly boot: BootId
      readonly group: GroupName
      readonly definition: LogIndex
      readonly result: ProbeResult
      readonly detail: string
      /** After which end of a freeze it looked; left out before the first. */
      readonly since?: LogIndex
    }
  | {
      readonly kind: 'patch-node'
      readonly node: NodeId
      readonly fencing?: Fencing
      readonly attributes?: { readonly [name: string]: string }
      readonly precondition: Precondition
    }
  | {
      readonly kind: 'set-duty'
      readonly node: NodeId
      readonly duty: 'active' | 'standby' | 'draining'
      readonly operation: string | null
    }
  | {
      readonly kind: 'clear-node'
      readonly node: NodeId
      /** A quarantine ends early only for one. */
      readonly reason?: string
    }
  /** Its time is over. */
  | { readonly kind: 'end-quarantine'; readonly node: NodeId; readonly since: LogTime }
  /** What the leader has seen of the links of a node that lives, when that has changed. */
  | { readonly kind: 'see-links'; readonly node: NodeId; readonly reasons: readonly string[] }
  | {
      readonly kind: 'maintain-node'
      readonly node: NodeId
      readonly forMs: number
      readonly owner: string
      readonly reason: string
      readonly by?: string
      readonly probes?: 'pause'
      /** Its guardian is suspended meanwhile. */
      readonly detached?: true
    }
  /** What a daemon saw of its monitor, each once. */
  | {
      readonly kind: 'note-monitor'
      readonly node: NodeId
      readonly session: SessionId
      readonly number: number
      readonly what: 'lost' | 'back' | 'hung' | 'slow' | 'well'
      readonly detail: string
    }
  /** Its guardian is suspended by the entry `detached`. */
  | { readonly kind: 'guardian-suspended'; readonly node: NodeId; readonly boot: BootId; readonly detached: Token }
  /** Its guardian guards again, which the entry `detached` had suspended. */
  | { readonly kind: 'attach-guardian'; readonly node: NodeId; readonly boot: BootId; readonly detached: Token }
  /** With `due`, only where its end is past. */
  | { readonly kind: 'end-maintenance'; readonly node: NodeId; readonly due?: true }
  /** A node, or with null all of them, gives away what it holds and may then fall silent. */
  | { readonly kind: 'leave'; readonly node: NodeId | null; readonly operation: string; readonly detail: string }
  /** It hosts again, as before it left. */
  | { readonly kind: 'come-back'; readonly node: NodeId; readonly boot: BootId; readonly since: LogTime }
  /** A device of the node says "off" of a boot that goes on being heard. */
  | {
      readonly kind: 'doubt-device'
      readonly node: NodeId
      readonly boot: BootId
      /** Of the node's row, as it was when the device was read. */
      readonly revision: LogIndex
      readonly detail: string
    }
  // Members.
  | {
      readonly kind: 'invite'
      readonly node: NodeId
      readonly role: 'voter' | 'learner'
      /** Of the word that the joining node has to bring. */
      readonly checksum: string
      readonly forMs: number
      readonly by: string
    }
  | {
      readonly kind: 'admit'
      readonly node: NodeId
      /** Random name of the empty data folder. */
      readonly folder: string
      /** The id it gets, unless this folder has one. */
      readonly member: MemberId
      readonly address: Address
      readonly checksum: string | null
    }
  | { readonly kind: 'want-member'; readonly member: MemberId; readonly wanted: 'voter' | 'learner' | 'gone' }
  /** The leader states the committed configuration. */
  | { readonly kind: 'settle-members'; readonly members: readonly MemberId[]; readonly voters: readonly MemberId[] }
  // Groups.
  | {
      readonly kind: 'put-group'
      readonly group: GroupName
      readonly definition: AnyDefinition
      readonly intent: 'ONLINE' | 'OFFLINE' | null
      readonly precondition: Precondition
    }
  | { readonly kind: 'delete-group'; readonly group: GroupName; readonly operation: string; readonly precondition: Precondition }
  | { readonly kind: 'set-intent'; readonly group: GroupName; readonly intent: 'ONLINE' | 'OFFLINE'; readonly operation: string }
  | { readonly kind: 'move-group'; readonly group: GroupName; readonly to: NodeId; readonly operation: string }
  | { readonly kind: 'restart-group'; readonly group: GroupName; readonly operation: string }
  | {
      readonly kind: 'restart-resource'
      readonly group: GroupName
      readonly resource: ResourceName
      readonly dependents?: true
      readonly operation: string
    }
  /** For the record: an action of a resource was run. */
  | {
      readonly kind: 'note-action'
      readonly group: GroupName
      readonly resource: ResourceName
      readonly action: string
      readonly node: NodeId
      readonly by: string
      readonly outcome: string
    }
  | {
      readonly kind: 'freeze-group'
      readonly group: GroupName
      readonly forMs: number
      readonly owner: string
      readonly reason: string
      readonly by?: string
      readonly probes?: 'pause'
    }
  | { readonly kind: 'unfreeze-group'; readonly group: GroupName }
  | { readonly kind: 'clear-group'; readonly group: GroupName }
  /** All or nothing: any command that fails undoes the others. */
  | { readonly kind: 'transaction'; readonly commands: readonly Command[]; readonly ifRevision: LogIndex | null }
  // The planner and the holders.
  | { readonly kind: 'decide'; readonly decisions: readonly PlannedDecision[]; readonly plannerVersion: number }
  | {
      readonly kind: 'report'
      readonly node: NodeId
      readonly boot: BootId
      readonly group: GroupName
      readonly token: Token
      readonly sequence: number
      readonly report: Omit<HolderReport, 'at'>
    }
  /** The holder states: stopped, verified, token sealed. */
  | { readonly kind: 'released'; readonly node: NodeId; readonly boot: BootId; readonly group: GroupName; readonly token: Token }
  /** A node has told its copy of a step. */
  | { readonly kind: 'noticed'; readonly group: GroupName; readonly number: LogIndex; readonly node: NodeId }
  /** Agents noted this down of a node, for as long as its boot belongs to the cluster; null deletes. */
  | {
      readonly kind: 'note-attributes'
      readonly node: NodeId
      readonly boot: BootId
      readonly values: { readonly [name: string]: string | null }
    }
  // Cases.
  | {
      readonly kind: 'open-case'
      readonly caseId: CaseId
      readonly node: NodeId
      readonly boot: BootId
      readonly arbiter: NodeId
      readonly nonce: string
      readonly trigger: string
      readonly dossier: { readonly [key: string]: unknown }
    }
  | { readonly kind: 'register-nonce'; readonly caseId: CaseId; readonly nonce: string; readonly boot: BootId }
  | { readonly kind: 'close-case'; readonly caseId: CaseId; readonly conclusion: string }
  | {
      readonly kind: 'condemn'
      readonly caseId: CaseId
      readonly attempt: AttemptOrder | null
      readonly reason: string
      readonly answering: Answering
      /** The leader has judged that its lease has run out: needed where it has answered on a shared disk. */
      readonly leaseOver?: true
    }
  | { readonly kind: 'attempt'; readonly caseId: CaseId; readonly attempt: AttemptOrder; readonly answering: Answering }
  | {
      readonly kind: 'attempt-result'
      readonly caseId: CaseId
      readonly number: number
      readonly arbiter: NodeId
      readonly confirmed: boolean
      readonly detail: string
    }
  /** The leader has made sure that the arbiter's call can no longer happen. */
  | {
      readonly kind: 'abandon-attempt'
      readonly caseId: CaseId
      readonly number: number
      readonly judgedTerm: Term
      readonly reason: string
    }
  | { readonly kind: 'recover-case'; readonly caseId: CaseId; readonly conclusion: string }
  /** A condemned boot came back before it was cut off and holds nothing any more. */
  | { readonly kind: 'readmit'; readonly node: NodeId; readonly boot: BootId; readonly reason: string }
  | {
      readonly kind: 'guardian-proof'
      readonly caseId: CaseId
      readonly node: NodeId
      readonly boot: BootId
      readonly nonce: string
      /** Sealed and verified stopped. Proves these tokens and no others. */
      readonly tokens: { readonly [group: GroupName]: Token }
      readonly verified: boolean
    }
  | { readonly kind: 'lease-proof'; readonly node: NodeId; readonly boot: BootId; readonly judgedTerm: Term; readonly waitedMs: number }
  | {
      readonly kind: 'operator-proof'
      readonly caseId: CaseId
      readonly node: NodeId
      readonly reason: string
      readonly by: string
      /** The leader has not heard the boot for the lease time. */
      readonly unheard: boolean
    }
  /** A boot showed itself after it was proved ended. */
  | { readonly kind: 'void-proof'; readonly node: NodeId; readonly boot: BootId; readonly sign: string }
  // Shared disks.
  | {
      readonly kind: 'put-disk'
      readonly disk: DiskName
      readonly definition: DiskDefinition
      readonly precondition: Precondition
    }
  | { readonly kind: 'delete-disk'; readonly disk: DiskName; readonly precondition: Precondition }
  /** Whether the key of this boot stands on the disk, under the reservation that its use needs. */
  | {
      readonly kind: 'disk-state'
      readonly node: NodeId
      readonly boot: BootId
      readonly disk: DiskName
      /** Of the disk's row. */
      readonly place: LogIndex
      readonly ready: boolean
      readonly detail: string
    }
  /** The suspect's key came back on the disk after this arbiter had taken it away. */
  | {
      readonly kind: 'disk-answer'
      readonly caseId: CaseId
      readonly arbiter: NodeId
      readonly nonce: string
      readonly disk: DiskName
    }
  // The rest.
  /** What was counted until now counts no more. */
  | { readonly kind: 'release-brakes'; readonly by: string; readonly reason: string }
  /** Changes nothing: every member knows the sum of its state at this entry. */
  | { readonly kind: 'mark-state' }
  /** Every member understands this level. */
  | { readonly kind: 'raise-level'; readonly level: number }
  /** Written into the log of the one member that carries on, by `quorate recover`; never proposed. */
  | {
      readonly kind: 'recover'
      readonly node: NodeId
      readonly member: MemberId
      readonly address: Address
      readonly reason: string
    }
  | { readonly kind: 'patch-settings'; readonly patch: { readonly [key: string]: unknown } }
  /** The leader has applied the entry at `revision`, which lowered the lease, and gives no longer one any more. */
  | { readonly kind: 'count-former-lease'; readonly revision: LogIndex }
  | { readonly kind: 'store'; readonly operations: readonly StoreOperation[] }
  | {
      readonly kind: 'put-checkpoint'
      readonly group: GroupName
      readonly name: string
      /** Empty where it is in parts; of a file base64. */
      readonly value: string
      readonly token: Token
      /** Those that came before, all under this id. */
      readonly parts?: { readonly upload: string; readonly count: number }
      /** Bytes of the whole, where they are not the characters of `value`. */
      readonly size?: number
      /** Of the whole, in hexadecimal (SHA-256). */
      readonly sum?: string
      readonly file?: CarriedFile
      /** It is as it was: only whose it is changes. */
      readonly keep?: true
      /** Why the file cannot be carried along now: only that is noted. */
      readonly problem?: string
    }
  | {
      readonly kind: 'put-checkpoint-part'
      readonly group: GroupName
      readonly name: string
      readonly upload: string
      /** From 0 up. */
      readonly part: number
      /** base64. */
      readonly value: string
      readonly token: Token
    }
  | { readonly kind: 'cancel-operation'; readonly operation: string }
  | {
      readonly kind: 'start-operation'
      readonly operation: string
      readonly operationKind: OperationRow['kind']
      readonly subject: string
      readonly detail: string
    }

/** The voters that answer the leader who proposes this, itself among them. */
export type Answering = readonly NodeId[]

/** Which devices that is, and how long they may take, is pinned when the order is applied. */
export interface AttemptOrder {
  readonly number: number
  readonly level: number
  readonly arbiter: NodeId
  readonly action: 'off' | 'status' | 'on'
}

/** A command as the log carries it. */
export interface Envelope {
  readonly requestId: RequestId
  /** The leader's log time and wall clock when it proposed this. */
  readonly at: LogTime
  readonly wall: WallTime
  readonly command: Command
  /** Set when the answer must be kept: a retry with the same id and fingerprint gets it again. */
  readonly fingerprint?: string
}
