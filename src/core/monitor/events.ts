/** What happens to the monitor and what it wants done. */
import type { BootId, BootInstant, GroupName, NodeId, ResourceName, Token } from '../../base/index.js'
import type { DeepProbeDefinition, ResourceDefinition } from '../cluster/index.js'
import type { MonitorOrder, MonitorReport } from './protocol.js'
import type { ContainmentPlace, ProcessIdentity, RunRecord, UnreadableRecord } from './record.js'
import type { MethodResult } from './verdict.js'

export interface Scored {
  readonly group: GroupName
  readonly resource: ResourceName
  readonly score: number
}

export type MonitorEvent =
  /** First of all, once: what the run folder holds. */
  | {
      readonly kind: 'resumed'
      readonly records: readonly RunRecord[]
      readonly unreadable: readonly UnreadableRecord[]
      readonly seals: ReadonlyMap<GroupName, Token>
      readonly deadline: BootInstant
      /** Open tokens of groups that other monitors of this node keep. */
      readonly others?: ReadonlyMap<GroupName, Token>
      /** What agents have said in this boot of copies that could be the primary. */
      readonly scores?: readonly Scored[]
    }
  /** The daemon has connected and hears reports from now on. */
  | { readonly kind: 'connected' }
  | { readonly kind: 'ordered'; readonly order: MonitorOrder }
  /** The process of a start exists. For a kept foreground process it is the service itself. */
  | { readonly kind: 'spawned'; readonly action: number; readonly process: ProcessIdentity }
  | { readonly kind: 'method-done'; readonly action: number; readonly result: MethodResult }
  /** `empty`: nothing of the resource is left. */
  | { readonly kind: 'killed'; readonly action: number; readonly empty: boolean }
  /** Main processes of an ONLINE resource that are worth watching. */
  | { readonly kind: 'learnt'; readonly group: GroupName; readonly resource: ResourceName; readonly processes: readonly ProcessIdentity[] }
  /** A watched process has ended. */
  | {
      readonly kind: 'ended'
      readonly group: GroupName
      readonly resource: ResourceName
      readonly process: ProcessIdentity
      readonly detail: string
    }
  /** No process of an ONLINE resource is left in its cgroup. */
  | { readonly kind: 'emptied'; readonly group: GroupName; readonly resource: ResourceName }
  /** Whoever knows of its state says that it may be another: it is looked at, at once. */
  | { readonly kind: 'changed'; readonly group: GroupName; readonly resource: ResourceName }
  | {
      readonly kind: 'called'
      readonly callId: string
      readonly outcome: Omit<Extract<MonitorReport, { kind: 'called' }>, 'kind' | 'callId'>
    }
  /** An agent said how well its copy would do as the primary; undefined where it has taken that back. */
  | { readonly kind: 'scored'; readonly group: GroupName; readonly resource: ResourceName; readonly score: number | undefined }
  /** The time that `nextWake` named has come. */
  | { readonly kind: 'woke' }

/** One method of one resource, with all that is needed to run it anywhere. */
export interface MethodRequest {
  readonly group: GroupName
  /** 0 for a probe of something that was never granted here. */
  readonly token: Token
  readonly node: NodeId
  readonly boot: BootId
  readonly resource: ResourceName
  /** Where its processes are, or are to be. */
  readonly place: ContainmentPlace
  /** The group whose cell it acts in: of a role, the instance that has the copy. Left out where it is its own. */
  readonly cellOf?: GroupName
  readonly definition: ResourceDefinition
  /** `settle` waits for a start that a dead monitor left behind; it ends as `done` when that start is over. It may still tell its process. */
  readonly method: 'start' | 'stop' | 'probe' | 'settle' | 'reload' | 'migrate'
  /** Of a reload: as what it runs until then. It fails where the difference needs a restart. */
  readonly former?: ResourceDefinition
  /** Of a start: it was sent here from that node while it ran. Of `migrate`: it is to be sent there. */
  readonly peer?: NodeId
  /** Of a probe: the second depth. */
  readonly deep?: DeepProbeDefinition
  /** Of a probe that does not come again by itself: somebody waits for what it finds; with `stop`, whether something is gone. */
  readonly urgency?: 'soon' | 'stop'
  /** Milliseconds. */
  readonly timeout: number
  /** What is known to run: the kept process, the start in flight. */
  readonly processes: readonly ProcessIdentity[]
}

export type MonitorEffect =
  /** On disk before the next effect is performed. */
  | { readonly kind: 'write-record'; readonly record: RunRecord }
  | { readonly kind: 'seal'; readonly group: GroupName; readonly token: Token }
  | { readonly kind: 'delete-record'; readonly group: GroupName; readonly token: Token }
  /** What was said of its copies before says nothing any more. */
  | { readonly kind: 'forget-scores'; readonly group: GroupName }
  /** Into the checkpoint folder of every resource of the group. */
  | {
      readonly kind: 'write-checkpoints'
      readonly group: GroupName
      readonly resources: readonly ResourceName[]
      readonly checkpoints: { readonly [name: string]: string }
    }
  /**
   * Ends as `method-done`. A `start` looks at seal and deadline once more, just before the spawn, and is refused when
   * the token is sealed or the boot clock plus its grain has reached the deadline that the monitor knows then.
   */
  | { readonly kind: 'begin'; readonly action: number; readonly request: MethodRequest }
  /** Kill the action whole; it still ends as `method-done`, usually `cancelled`. */
  | { readonly kind: 'cancel'; readonly action: number }
  /** Kill everything that the resource runs. Ends as `killed`. */
  | {
      readonly kind: 'kill'
      readonly action: number
      readonly group: GroupName
      readonly resource: ResourceName
      readonly place: ContainmentPlace
      /** As of a method. */
      readonly cellOf?: GroupName
    }
  /** Watch these processes, or learn them when there are none. Replaces what was watched of the resource before. */
  | {
      readonly kind: 'watch'
      readonly group: GroupName
      readonly resource: ResourceName
      readonly place: ContainmentPlace
      readonly processes: readonly ProcessIdentity[]
      readonly learn: boolean
    }
  | { readonly kind: 'unwatch'; readonly group: GroupName; readonly resource: ResourceName }
  | { readonly kind: 'call'; readonly call: Extract<MonitorOrder, { kind: 'call' }> }
  | { readonly kind: 'call-release'; readonly callId: string }
  | { readonly kind: 'call-cancel'; readonly callId: string }
  | { readonly kind: 'log'; readonly text: string }
  /** To the daemon, if one is connected; it hears everything again after the next `hello`. */
  | { readonly kind: 'report'; readonly report: MonitorReport }
