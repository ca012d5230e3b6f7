/**
 * The rows of the replicated database, one type a table. Plain frozen data: what a member stores, sends and shows.
 *
 * Times are log time unless they say wall. `revision` is the index of the entry that last changed the row's definition.
 */
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
import type { GroupDefinition, ScalableDefinition } from './definition.js'
import type { FailureSeverity } from './failure-policy.js'

export interface Address {
  readonly host: string
  readonly port: number
}

export interface FenceDevice {
  /** Name of an installed fence agent, or the path of one. */
  readonly agent: string
  readonly parameters: { readonly [name: string]: string }
  /** Milliseconds one call may take. */
  readonly timeout: number
}

export interface Fencing {
  /** Tried in order; every device of a level must confirm. */
  readonly levels: readonly (readonly FenceDevice[])[]
  /** What follows a confirmed power-off. */
  readonly then: 'on' | 'stay-off'
}

/** A case in which the node was condemned, and nobody had asked for it. */
export interface NodeLoss {
  readonly at: LogTime
  readonly caseId: CaseId
}

/** A node that was lost too often votes, and hosts nothing. */
export interface Quarantine {
  readonly since: LogTime
  readonly until: LogTime
  readonly reason: string
  readonly cases: readonly CaseId[]
}

export interface Away {
  readonly since: LogTime
  /** The boot that holds nothing any more and may fall silent; null while something is still being stopped. */
  readonly boot: BootId | null
}

/** A span in which nothing is done on its own. */
export interface Freeze {
  readonly until: LogTime
  /** Who answers for it: as it was said, else as whoever asked is known. */
  readonly owner: string
  readonly reason: string
  /** How whoever asked is known, where an owner was said. */
  readonly by?: string
  /** Nothing is probed either. Left out where it is. */
  readonly probes?: 'pause'
}

/** Of a node. */
export interface Maintenance extends Freeze {
  /** Its guardian is suspended meanwhile: what runs there goes on without a lease. */
  readonly detached?: true
}

/** One that ended by itself, until the next one or until it is cleared: whoever asked for it may not know. */
export interface Lapsed {
  readonly at: LogTime
  readonly owner: string
  readonly reason: string
}

export interface Eviction {
  readonly at: LogTime
  readonly group: GroupName
  readonly reason: string
}

export interface NodeRow {
  readonly name: NodeId
  readonly member: MemberId
  readonly links: readonly Address[]
  readonly guardian: Address | null
  /** Host and port of its HTTP API as clients of the demo reach it; shown, never relied on. */
  readonly api: string | null
  /** `standby` hosts nothing; `draining` is standby once its groups have left. */
  readonly duty: 'active' | 'standby' | 'draining'
  readonly fencing: Fencing
  /** A group's failure rules have taken it out, until a person activates it. */
  readonly evicted?: Eviction
  /** It goes, or has gone, in an orderly way. Until it comes back it is granted nothing. */
  readonly away?: Away
  /** It is granted nothing, its silence opens no case, and what it holds is left alone. */
  readonly maintenance?: Maintenance
  readonly lapsed?: Lapsed
  /** The end of its last maintenance: what it found before says nothing any more. */
  readonly probedSince?: LogIndex
  /** The last thing that its daemon told of its monitor. */
  readonly monitor?: {
    readonly session: SessionId
    readonly number: number
    readonly what: 'lost' | 'back' | 'hung' | 'slow' | 'well'
    readonly detail: string
    readonly at: LogTime
  }
  /** Lately, the latest last. */
  readonly losses?: readonly NodeLoss[]
  readonly quarantine?: Quarantine
  /** It lives, and a further loss of a link would make it a case: why. */
  readonly jeopardy?: { readonly since: LogTime; readonly reasons: readonly string[] }
  /** Its device said "off" of a boot that showed itself afterwards: not believed until cleared. */
  readonly deviceDistrusted: string | null
  readonly attributes: { readonly [name: string]: string }
  readonly revision: LogIndex
}

/** How a boot ends its resources if it loses contact. Set before its first grant. */
export interface Guard {
  readonly guarded: boolean
  readonly watchdog: 'armed' | 'none'
  /** Milliseconds; 0 without a watchdog. */
  readonly watchdogTimeout: number
  readonly emergencyStop: number
}

export type ProofKind = 'released' | 'fenced' | 'storage' | 'guardian' | 'rebooted' | 'lease' | 'operator'

/** Why an earlier holder can no longer act. */
export interface Proof {
  readonly kind: ProofKind
  readonly index: LogIndex
  readonly at: LogTime
  readonly boot: BootId
  readonly caseId: CaseId | null
  /** Who or what gave it, in words. */
  readonly detail: string
}

/** `unable`: nothing of it runs, and it could not run there. */
export type ProbeResult = 'clean' | 'unable' | 'running' | 'unknown'

export interface BootRow {
  readonly node: NodeId
  readonly boot: BootId
  readonly registeredIndex: LogIndex
  readonly registeredAt: LogTime
  readonly guard: Guard
  /** The highest feature level that its software understands. */
  readonly level: number
  /** `condemned` boots get no renewal; `ended` ones are proved unable to act. */
  readonly state: 'live' | 'condemned' | 'ended'
  readonly condemned: { readonly caseId: CaseId; readonly index: LogIndex; readonly term: Term } | null
  /** Covers every token of the boot. */
  readonly proof: Proof | null
  /**
   * The entry that suspended its guardian, numbered as tokens are, until it is known to guard again: meanwhile neither a lease nor a
   * guardian says anything of what runs there.
   */
  readonly detached?: Token
  /** The guardian has said that it is suspended by that entry. */
  readonly suspended?: true
  /** What this boot found when it looked for a group, by group: `definition` is the revision it looked for. */
  readonly probes: {
    readonly [group: GroupName]: {
      readonly definition: LogIndex
      readonly result: ProbeResult
      readonly detail: string
      /** After which end of a freeze it looked; left out before the first. */
      readonly since?: LogIndex
      /** Nobody can tell, and something of it ran when it was last told. */
      readonly ran?: true
    }
  }
  /** Whether its key stands on the shared disks, as it last said; left out where it has said nothing. */
  readonly disks?: {
    readonly [disk: DiskName]: {
      readonly ready: boolean
      /** Of the disk's row. */
      readonly place: LogIndex
      readonly detail: string
      readonly at: LogTime
    }
  }
}

/** A LUN that every node reaches. */
export interface DiskDefinition {
  /** `challenge`: carries keys and nothing else. `storage`: groups live on it. */
  readonly use: 'challenge' | 'storage'
  /** By a session of Quorate's own, in user space. Either this or `device`. */
  readonly iscsi?: { readonly url: string; readonly user?: string; readonly password?: string }
  /** Path of a block device, the same on every node. */
  readonly device?: string
  /** Milliseconds one request may take. */
  readonly timeout: number
}

export interface DiskRow {
  readonly name: DiskName
  readonly definition: DiskDefinition
  /** Of the entry that last said where it is. */
  readonly place: LogIndex
  readonly revision: LogIndex
}

export type ResourceState = 'STOPPED' | 'STARTING' | 'ONLINE' | 'STOPPING' | 'FAILED' | 'UNKNOWN'
export type RunState = 'GRANTED' | 'STARTING' | 'ONLINE' | 'FAILED' | 'STOPPING' | 'STOPPED' | 'UNKNOWN'

export interface ReportedFailure {
  readonly resource: ResourceName
  readonly event: string
  readonly detail: string
  readonly restartNumber: number
  /** Which failure it is under this token: told again, it is the same one. Left out by older members. */
  readonly number?: number
  readonly severity?: FailureSeverity
}

/** What the holder last said of the group. */
export interface HolderReport {
  readonly state: RunState
  readonly resources: {
    readonly [name: ResourceName]: { readonly state: ResourceState; readonly detail?: string; readonly degraded?: true }
  }
  /** The first that waits for an answer, of those that are critical if there is one. */
  readonly failure: ReportedFailure | null
  /** Further ones. */
  readonly others?: readonly ReportedFailure[]
  /** The last look that is over. */
  readonly looked?: number
  /** How well each promotable resource would do as the primary, as its agent says. Larger is better; below 0 it must not be. */
  readonly scores?: { readonly [name: ResourceName]: number }
  /** How the migration of that number ended here, where it was to be sent. */
  readonly migrated?: Migrated
  readonly at: LogTime
  /** Since when its state has been this one. */
  readonly since?: LogTime
}

/** What the holder is to do. Numbered: an older order is ignored. */
export interface HolderOrder {
  readonly sequence: number
  readonly wanted: 'run' | 'stop'
  readonly restart: { readonly resource: ResourceName; readonly number: number; readonly dependents?: true } | null
  readonly reason: string
  /** Numbered: everything is to be probed anew, and said so. */
  readonly look?: number
  /** Nothing is to be probed. */
  readonly quiet?: true
  /** Nothing is to be started: it is on its way from that node. Numbered as its migration. */
  readonly incoming?: { readonly from: NodeId; readonly number: number }
  /** It came from there, for sure or perhaps. */
  readonly arrived?: { readonly from: NodeId; readonly isSure: boolean }
  /** It is to be sent to that node. */
  readonly migrate?: { readonly to: NodeId; readonly number: number }
}

/** A restart of one resource that a person has asked for. */
export interface ResourceRestart {
  readonly token: Token
  readonly resource: ResourceName
  readonly dependents?: true
  readonly operation: string
  /** Of the order that has it; null until it is given. */
  readonly sequence: number | null
}

/** The committed right of one boot to run the group. */
export interface Holder {
  readonly node: NodeId
  readonly boot: BootId
  readonly token: Token
  readonly grantedAt: LogTime
  /** Stop, kill and probe use this one, whatever the definition says meanwhile. */
  readonly pinned: GroupDefinition
  readonly pinnedRevision: LogIndex
  readonly order: HolderOrder
  readonly report: HolderReport
}

export interface Failure {
  readonly at: LogTime
  readonly resource: ResourceName
  readonly event: string
  readonly detail: string
  /** Milliseconds that the group had been ONLINE before it. */
  readonly ranFor?: number
  readonly severity?: FailureSeverity
  /** Under which token, and which failure there: what a holder tells again is known by it. */
  readonly token?: Token
  readonly number?: number
}

/** The loss of a holder's node soon after a start of the group there. */
export interface StartLoss {
  readonly node: NodeId
  readonly boot: BootId
  readonly at: LogTime
  /** Milliseconds since the start; 0 where it was still being started. */
  readonly after: number
  /** Null where the node was back before it had a case. */
  readonly caseId: CaseId | null
}

export interface Move {
  readonly to: NodeId
  readonly from: NodeId | null
  readonly operation: string
  /** The group was stopped for this move and the grant to `to` was given under this token. */
  readonly token: Token | null
}

/** What a group is of a scalable one. */
export interface GroupPart {
  readonly of: GroupName
  readonly role: 'instance' | 'primary'
}

/** A group that runs on several nodes: its instances, and its primary role, are groups of their own. */
export interface ScalableRow {
  readonly name: GroupName
  readonly definition: ScalableDefinition
  readonly createdIndex: LogIndex
  readonly revision: LogIndex
  readonly intent: 'ONLINE' | 'OFFLINE'
  /** Its name is held until its last part is gone. */
  readonly deleting: boolean
  /** The step of one of its parts of which the copies are told; left out where there is none. */
  readonly notice?: Notice
  /** Losses that followed starts of any of its parts, and what they lead to, as of a group that runs on one node. */
  readonly losses?: readonly StartLoss[]
  readonly poisoned?: { readonly at: LogTime; readonly reason: string }
  /** Its one instance is on its way to another node. */
  readonly migration?: Migration
  /** The last one that did not come there, and under which token it ran then. */
  readonly unmoved?: { readonly source: Token; readonly to: NodeId }
}

/** `stays`: its agent says that it was not sent. `unsure`: nobody can say, and it is to be stopped before anything else. */
export interface Migrated {
  readonly number: number
  readonly outcome: 'sent' | 'stays' | 'unsure'
  readonly detail?: string
}

/** Of the one instance of a group, while it runs. Numbered by the entry that began it. */
export interface Migration {
  readonly number: LogIndex
  /** When it was asked for. */
  readonly at: LogTime
  readonly from: NodeId
  readonly to: NodeId
  /** The tokens of both; that of the node that it goes to once it has one. */
  readonly source: Token
  readonly target: Token | null
  /** Null where nobody has asked for it. */
  readonly operation: string | null
  /** `sending`: it may be there already. `sent`: its sender has said so. `unsure`: the sender has ended before it said anything. */
  readonly step: 'asked' | 'sending' | 'sent' | 'unsure'
}

/** One start, stop, promotion or demotion. Numbered by the entry that said so. */
export interface Notice {
  readonly number: LogIndex
  readonly when: 'pre' | 'during' | 'post'
  readonly operation: 'start' | 'stop' | 'promote' | 'demote'
  readonly node: NodeId
  readonly at: LogTime
  /** Nodes that have told their copy. */
  readonly told: readonly NodeId[]
}

export interface GroupRow {
  readonly name: GroupName
  /** Left out where it stands alone. */
  readonly part?: GroupPart
  readonly definition: GroupDefinition
  readonly createdIndex: LogIndex
  readonly revision: LogIndex
  /** Changes with the resources only: what a holder pins and probes look for. */
  readonly resourcesRevision: LogIndex
  readonly intent: 'ONLINE' | 'OFFLINE'
  /** A tombstone: the name is blocked until every token has ended. */
  readonly deleting: boolean
  readonly holder: Holder | null
  /** Ends the holder's token; the group may be granted again. */
  readonly proof: Proof | null
  readonly frozen: Freeze | null
  readonly lapsed?: Lapsed
  /** The end of its last freeze: what was found before says nothing any more. */
  readonly probedSince?: LogIndex
  readonly resourceRestart?: ResourceRestart
  /** Without a holder: the node that stopped it by itself while it was in maintenance. Until that has ended, nobody else starts it. */
  readonly stoppedIn?: NodeId
  readonly move: Move | null
  /** Where it last ran: a restart for a new definition prefers to stay. */
  readonly lastNode: NodeId | null
  /** A restart asked for by a person: the holder's token under which it was asked. */
  readonly restartAsked: { readonly token: Token; readonly operation: string } | null
  /** Failures that still count, by node. */
  readonly failures: { readonly [node: NodeId]: readonly Failure[] }
  /** Nodes tried in vain, until cleared or expired. */
  readonly bans: { readonly [node: NodeId]: { readonly until: LogTime; readonly reason: string } }
  /** Why nothing is done although something should be; for people. */
  readonly waitingFor: string | null
  /** Stopped for its failures: it is granted to nobody until a person has cleared it. */
  readonly halted?: { readonly at: LogTime; readonly reason: string }
  /** Losses that followed its starts, since it last ran for longer than that. */
  readonly losses?: readonly StartLoss[]
  /** Its starts were followed by the loss of nodes: it is granted to nobody until a person has cleared it. */
  readonly poisoned?: { readonly at: LogTime; readonly reason: string }
  /** When it last left a node for a failure, the latest last; kept where such failovers are limited. */
  readonly failovers?: readonly LogTime[]
  /** Nodes on which it may run from before a recovery, known to nobody; and the entry of that recovery. */
  readonly doubts?: readonly NodeId[]
  readonly doubtedSince?: LogIndex
}

export type CaseStage = 'CHALLENGE' | 'CONDEMNED' | 'PROVED' | 'RECOVERED' | 'CLOSED'

export interface Attempt {
  readonly number: number
  readonly level: number
  readonly arbiter: NodeId
  /** Whose end ends the call: null where the arbiter had no boot. */
  readonly arbiterBoot: BootId | null
  readonly boot: BootId
  readonly action: 'off' | 'status' | 'on'
  /** Those of the level when the attempt began, or that switched it off: called, read back and believed, whatever the node's row says meanwhile. */
  readonly devices: readonly FenceDevice[]
  /** Of the node's row that named them. */
  readonly devicesRevision: LogIndex
  /** Milliseconds the longest of their calls may take. */
  readonly timeout: number
  /** Why they were not believed when the attempt began. */
  readonly distrusted: string | null
  readonly state: 'open' | 'confirmed' | 'failed' | 'abandoned'
  readonly detail: string
  readonly at: LogTime
  readonly endedAt: LogTime | null
}

export interface CaseRow {
  readonly id: CaseId
  readonly node: NodeId
  readonly boot: BootId
  readonly arbiter: NodeId
  readonly nonce: string
  readonly stage: CaseStage
  readonly trigger: string
  readonly openedIndex: LogIndex
  readonly openedTerm: Term
  readonly openedAt: LogTime
  readonly openedWall: WallTime
  /** What was known when the challenge was committed: silence, links, answers of the guardian and third nodes. */
  readonly dossier: { readonly [key: string]: unknown }
  readonly timeline: readonly { readonly stage: string; readonly at: LogTime; readonly wall: WallTime; readonly detail: string }[]
  readonly attempts: readonly Attempt[]
  /** Its key was registered again on a shared disk after the challenge. */
  readonly diskAnswer?: { readonly at: LogTime; readonly disk: DiskName }
  readonly proof: Proof | null
  /** Groups that the boot held when it was condemned. */
  readonly groups: readonly GroupName[]
  readonly closedAt: LogTime | null
  readonly conclusion: string | null
}

/** One life of a data folder, as it is wanted; the Raft configuration says what it is. */
export interface MemberRow {
  readonly member: MemberId
  readonly node: NodeId
  /** Where the others reach it. */
  readonly address: Address
  readonly wanted: 'voter' | 'learner' | 'gone'
  /** Random name of its data folder; null for those that formed the cluster. */
  readonly folder: string | null
  /** It was in the configuration: where it is not any more, it has left. */
  readonly tookPart: boolean
  /** It has a vote there, as the leader last stated. */
  readonly votes: boolean
  readonly addedIndex: LogIndex
}

export interface InvitationRow {
  readonly node: NodeId
  readonly role: 'voter' | 'learner'
  readonly until: LogTime
  readonly by: string
}

export interface OperationRow {
  readonly id: string
  readonly kind:
    | 'move'
    | 'online'
    | 'offline'
    | 'restart'
    | 'delete'
    | 'standby'
    | 'drain'
    | 'fence'
    | 'leave'
    | 'stop'
    | 'restart-resource'
  readonly subject: string
  readonly detail: string
  readonly status: 'running' | 'done' | 'failed' | 'cancelled'
  readonly result: string | null
  readonly startedAt: LogTime
  readonly endedAt: LogTime | null
}

export interface StoreRow {
  readonly value: unknown
  readonly revision: LogIndex
}

/** A file of a resource that goes with the group. */
export interface CarriedFile {
  readonly resource: ResourceName
  readonly path: string
  /** Permission bits. */
  readonly mode: number
  /** Numbers of user and group. */
  readonly owner: number
  readonly ownerGroup: number
}

export interface CheckpointRow {
  readonly group: GroupName
  readonly name: string
  /** Empty where it is in parts; of a file base64. */
  readonly value: string
  /** Under which id its parts are, and how many there are. */
  readonly parts?: { readonly upload: string; readonly count: number }
  /** Bytes; left out where they are the characters of `value`. */
  readonly size?: number
  readonly sum?: string
  readonly file?: CarriedFile
  /** Why it is not carried along any more. */
  readonly problem?: string
  readonly token: Token
  readonly node: NodeId
  readonly at: LogTime
  readonly wall: WallTime
  readonly revision: LogIndex
}

/** What an agent noted down of a node; of that boot alone. */
export interface NoteRow {
  readonly boot: BootId
  readonly value: string
}

export interface CheckpointPartRow {
  readonly group: GroupName
  readonly name: string
  readonly upload: string
  readonly part: number
  /** base64. */
  readonly value: string
}

/** The kept answer to a request id. */
export interface RequestRow {
  readonly at: LogTime
  readonly fingerprint: string | null
  readonly result: CommandResult
}

export interface EventRow {
  /** Index of the entry, and the event's number within it. */
  readonly revision: LogIndex
  readonly number: number
  readonly at: LogTime
  readonly wall: WallTime
  readonly kind: string
  readonly subject: string
  readonly text: string
  readonly data: { readonly [key: string]: unknown }
}

/** One node as a candidate for a group: the first rule that ruled it out, or its place. */
export interface Candidate {
  readonly node: NodeId
  readonly eligible: boolean
  readonly rule: string
  readonly seen: string
}

export interface DecisionRow {
  readonly id: string
  readonly at: LogTime
  readonly wall: WallTime
  readonly group: GroupName
  readonly action: string
  readonly rule: string
  readonly text: string
  readonly candidates: readonly Candidate[]
  /** What `decideGroup` was given; running it again gives the same decision. */
  readonly input: { readonly [key: string]: unknown }
  readonly plannerVersion: number
  /** Of a grant: what the next copy begins with, and how old it was then, in milliseconds. */
  readonly carried?: readonly { readonly name: string; readonly ageMs: number }[]
}

export interface MetaRow {
  readonly clusterName: string
  readonly epoch: number
  /** The feature level in force: no command of a higher one enters the log. */
  readonly level: number
  readonly logTime: LogTime
  readonly wall: WallTime
  /** Events below this revision have been trimmed. */
  readonly journalFrom: LogIndex
  readonly journalRows: number
  readonly decisionRows: number
  /** Index of the entry that last changed what an administrator writes: settings, nodes, groups; deletions count too. */
  readonly configRevision: LogIndex
  /**
   * A longer lease that was in force until the entry at `revision` lowered it. It may be given until the leader has applied
   * that entry; only from then on is its end known, and `until` null before.
   */
  readonly formerLease: { readonly ms: number; readonly revision: LogIndex; readonly until: LogTime | null } | null
  /** A person has had the brakes let go: what was counted up to then counts no more. */
  readonly brakesReleased?: { readonly at: LogTime; readonly by: string; readonly reason: string }
}

/** What moved groups without anybody asking: a lost node, however many it held, or a group that leaves its node for failures. */
export interface CauseRow {
  readonly at: LogTime
  readonly kind: 'node-lost' | 'group-failed'
  /** The node, or the group. */
  readonly subject: string
  readonly text: string
  readonly caseId: CaseId | null
}

export type CommandResult =
  | { readonly ok: true; readonly index: LogIndex; readonly value: { readonly [key: string]: unknown } }
  | {
      readonly ok: false
      readonly index: LogIndex
      readonly error: {
        readonly code: string
        readonly detail: string
        readonly fix?: string
        readonly facts?: { readonly [key: string]: unknown }
      }
    }

/** Table name → row type. Keys: names; `boots` by `node/boot`; `causes` by padded revision and number; `checkpoints` by `group/name`, `checkpointParts` by `group/upload/part`; `invitations` by checksum; `journal` by padded revision and number. */
export interface Tables {
  readonly meta: MetaRow
  readonly settings: { readonly [key: string]: unknown }
  readonly nodes: NodeRow
  readonly boots: BootRow
  readonly groups: GroupRow
  readonly scalables: ScalableRow
  readonly members: MemberRow
  readonly invitations: InvitationRow
  readonly cases: CaseRow
  readonly causes: CauseRow
  readonly operations: OperationRow
  readonly disks: DiskRow
  readonly store: StoreRow
  readonly checkpoints: CheckpointRow
  readonly checkpointParts: CheckpointPartRow
  readonly notes: NoteRow
  readonly requests: RequestRow
  readonly journal: EventRow
  readonly decisions: DecisionRow
}
export type TableName = keyof Tables

export type { RequestId }
