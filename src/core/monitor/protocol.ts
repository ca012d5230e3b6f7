/**
 * What the daemon orders of the monitor and what the monitor reports back.
 *
 * Orders for a group are numbered by (token, sequence): older ones are ignored, a repeated one is answered with the
 * present state. The monitor outlives the daemon and the daemon the monitor: on every new connection the monitor
 * sends `hello` with all it knows, and the daemon sends its orders again.
 */
import type { BootId, BootInstant, GroupName, NodeId, ResourceName, Token } from '../../base/index.js'
import type { CopyLists, FailureSeverity, GroupDefinition, Migrated, QuorumLossPolicy } from '../cluster/index.js'
import type { AttributeRequest, ClusterSight } from './agent-commands.js'

export type MonitorOrder =
  /**
   * Run the group under this token until told otherwise, with these resources: what has changed of them is taken on. With a
   * `restart` of a number not seen before under this token, restart that resource.
   */
  | {
      readonly kind: 'run'
      readonly group: GroupName
      readonly token: Token
      readonly sequence: number
      /** Pinned when the grant was given, or when they were last changed. The same names and dependencies each time. */
      readonly resources: GroupDefinition['resources']
      readonly node: NodeId
      readonly boot: BootId
      /** Nothing of this order is spawned once the boot clock, plus its grain, has passed this. */
      readonly deadline: BootInstant
      readonly restart?: RestartOrder
      /** With a number not seen before under this token, every resource is probed anew, and the report says when that is over. */
      readonly look?: number
      /** Nothing is probed as long as this is so. */
      readonly quiet?: true
      /** Nothing is started: it is on its way from that node. */
      readonly incoming?: { readonly from: NodeId }
      /** It came from there, for sure or perhaps, and goes on here. */
      readonly arrived?: { readonly from: NodeId; readonly isSure: boolean }
      /** With a number not seen before under this token, it is sent to that node, and the report says how that ended. */
      readonly migrate?: { readonly to: NodeId; readonly number: number }
      /** For the monitor that this group has of its own. */
      readonly dedicated?: true
      /** As it was when the grant was given: later ones change nothing under this token. */
      readonly onQuorumLoss?: QuorumLossPolicy
      /** Checkpoints left by the last holder, written into the resources' checkpoint folder before start. Large ones, and files, lie in the run folder by then. */
      readonly checkpoints: { readonly [name: string]: string }
    }
  /** Stop in reverse order, kill what is left, verify, seal the token. Idempotent; also for a group never started. */
  | { readonly kind: 'stop'; readonly group: GroupName; readonly token: Token; readonly sequence: number; readonly dedicated?: true }
  /** Look whether anything of this definition runs here without our having started it. Changes nothing. */
  | { readonly kind: 'probe'; readonly group: GroupName; readonly probeId: string; readonly resources: GroupDefinition['resources'] }
  /** Stop what runs of this definition here although nobody granted it: another node has the grant. The next `probe` tells what came of it. */
  | { readonly kind: 'end-stray'; readonly group: GroupName; readonly resources: GroupDefinition['resources'] }
  /** Probe one resource that runs here, at once. Answered with `looked`; what is found is judged as ever. */
  | {
      readonly kind: 'look'
      readonly lookId: string
      readonly group: GroupName
      readonly resource: ResourceName
      readonly deep: boolean
    }
  /** Run one program for the daemon: a fence agent, an agent's metadata or validation. */
  | {
      readonly kind: 'call'
      readonly callId: string
      readonly argv: readonly string[]
      readonly environment: { readonly [name: string]: string }
      /** With `hold`, the program is started at once and its input is withheld until `call-release` (writing it is the act). */
      readonly input: string
      readonly workingDirectory?: string
      /** Under whom it runs (needs root). */
      readonly user?: string
      readonly hold: boolean
      /** It acts under this grant: refused without it, and the group has not stopped before it has ended. */
      readonly of?: { readonly group: GroupName; readonly token: Token }
      /** Milliseconds from start (from release, when held) until it is killed whole. */
      readonly timeout: number
    }
  /** Past `deadline`, the lease under which the act was decided, it is cancelled instead. */
  | { readonly kind: 'call-release'; readonly callId: string; readonly deadline: BootInstant }
  | { readonly kind: 'call-cancel'; readonly callId: string }
  /** The answer to what an agent asked of the cluster; null when it could not be found out, for `problem`. */
  | { readonly kind: 'answered'; readonly askId: string; readonly answer: ClusterAnswer | null; readonly problem?: string }
  /** All that the log has of this node's attributes until the next boot; `place` only grows. */
  | { readonly kind: 'notes'; readonly place: number; readonly values: { readonly [name: string]: string } }
  /**
   * Programs to keep started with their input withheld, so many of each, for calls with `hold` to come. All of them: those not named are
   * ended. A monitor of an earlier version passes it over, and starts a program with each call.
   */
  | {
      readonly kind: 'ready'
      readonly programs: readonly {
        readonly argv: readonly string[]
        readonly environment: { readonly [name: string]: string }
        readonly count: number
      }[]
    }
  /** Of groups whose copies are told of each other, and that may run here: on which nodes copies are what. */
  | { readonly kind: 'copies'; readonly groups: { readonly [of: GroupName]: CopyLists } }
  /** The lease was renewed: runs in progress may go on spawning until this reading of the boot clock. */
  | { readonly kind: 'deadline'; readonly deadline: BootInstant }

/** What an agent asks of the cluster. Attributes that last, or are of other nodes, are kept by it. */
export type ClusterQuestion =
  /** `group`: for which the agent acts. */
  | { readonly kind: 'sight'; readonly group: string }
  /** Until the next boot, the name is that of a note. */
  | Pick<AttributeRequest, 'kind' | 'act' | 'scope' | 'node' | 'set' | 'name'>
  /** The monitor's own: what agents noted down of this node, for the others; null is deleted. */
  | { readonly kind: 'note'; readonly values: { readonly [name: string]: string | null } }

export type ClusterAnswer =
  | ({ readonly kind: 'sight' } & ClusterSight)
  | { readonly kind: 'attribute'; readonly value: string | null }
  /** They are in the log there, as `place` of `notes` has it. */
  | { readonly kind: 'noted'; readonly place: number }

export interface RestartOrder {
  readonly resource: ResourceName
  readonly number: number
  /** With everything that depends on it, in whatever way; else as each kind of dependency has it. */
  readonly dependents?: true
}

export type ResourceRunState = 'STOPPED' | 'STARTING' | 'ONLINE' | 'STOPPING' | 'FAILED' | 'UNKNOWN'

export interface ResourceReport {
  readonly state: ResourceRunState
  /** Why it is FAILED or UNKNOWN, or what the last probe said. */
  readonly detail?: string
  /** It is ONLINE, and its agent says: not as well as it should be. */
  readonly degraded?: true
}

/** `run`: wanted and being kept; `stopped`: verified stopped and its token sealed; `unknown`: could not be verified. */
export type GroupRunState = 'STARTING' | 'ONLINE' | 'FAILED' | 'STOPPING' | 'STOPPED' | 'UNKNOWN'

export interface GroupReport {
  readonly group: GroupName
  readonly token: Token
  readonly sequence: number
  /** FAILED: at least one resource failed and the monitor waits for the next order (the rest is left as it is). */
  readonly state: GroupRunState
  readonly resources: { readonly [name: ResourceName]: ResourceReport }
  /** Present when FAILED; also when UNKNOWN, if a failed stop or start led there. */
  readonly failure?: ResourceFailure
  /** Further ones; those of resources that are not critical come after those that are. */
  readonly others?: readonly ResourceFailure[]
  /** How the last migration that was ordered here ended. */
  readonly migrated?: Migrated
  /** What the agents of its promotable resources said: how well each would do as the primary. */
  readonly scores?: { readonly [name: ResourceName]: number }
  /** The look that is over; left out while one is not, and before the first. */
  readonly looked?: number
  /** Why the group as a whole is UNKNOWN, such as a run record that cannot be read. */
  readonly detail?: string
}

/** What a look found. */
export interface LookFound {
  /** `not-asked`: nothing of it is up, or it cannot be looked at now. */
  readonly result: 'running' | 'stopped' | 'failed' | 'timed-out' | 'not-asked'
  readonly detail?: string
  readonly degraded?: true
  /** Of the resource, once that was judged. */
  readonly state: ResourceRunState
  readonly elapsedMs: number
}

export interface ResourceFailure {
  readonly resource: ResourceName
  readonly event: 'died' | 'probe-failed' | 'probe-timeout' | 'start-failed' | 'start-timeout' | 'stop-failed' | 'stop-timeout'
  readonly detail: string
  /** Highest `restart.number` carried out before this was told, 0 for none. */
  readonly restartNumber: number
  /** Which failure of this run of the group it is: told again, it is the same one. */
  readonly number?: number
  readonly severity?: FailureSeverity
}

export type MonitorReport =
  /** Files of the group have changed: what they are now lies in the run folder. */
  | { readonly kind: 'captured'; readonly group: GroupName; readonly token: Token }
  /** An agent wants to know, or to have kept, what only the cluster can. Answered with `answered`. */
  | { readonly kind: 'asked'; readonly askId: string; readonly question: ClusterQuestion }
  | {
      readonly kind: 'hello'
      /** The feature level that its software understands; left out by those from before there were looks. */
      readonly level?: number
      readonly boot: BootId
      readonly groups: readonly GroupReport[]
      /** Highest sealed token of each group, from the run folder. */
      readonly sealed: { readonly [group: GroupName]: Token }
    }
  | ({ readonly kind: 'group' } & GroupReport)
  /** The token will never start anything again here, and everything under it was verified stopped. */
  | { readonly kind: 'sealed'; readonly group: GroupName; readonly token: Token }
  | {
      readonly kind: 'probed'
      readonly group: GroupName
      readonly probeId: string
      /** `clean`: nothing runs; `running`: a stray; `unknown`: a probe failed or timed out. */
      readonly result: 'clean' | 'running' | 'unknown'
      /** It is clean, and could not run here: what is missing. */
      readonly unable?: string
      readonly resources: { readonly [name: ResourceName]: ResourceReport }
    }
  /** Every second. `lagMs`: how late its loop came to what was due, at most, since the last one. */
  | { readonly kind: 'beat'; readonly lagMs: number }
  | { readonly kind: 'looked'; readonly lookId: string; readonly found: LookFound }
  | {
      readonly kind: 'called'
      readonly callId: string
      /** Exit status; undefined when killed by a signal, timed out or never started. */
      readonly code?: number
      readonly outcome: 'exited' | 'timed-out' | 'cancelled' | 'failed-to-start'
      /** Bounded to 64 KiB each. */
      readonly stdout: string
      readonly stderr: string
      readonly elapsedMs: number
    }
