/**
 * What the run folder says about a group that may be running here: enough to probe, adopt, stop and kill it when
 * every process of ours has died.
 *
 * Written before a start, and at each change that a successor must know. Deleted only once the token is sealed and
 * everything was verified stopped, so a record that is there means "not proved stopped".
 */
import type { BootId, GroupName, NodeId, ResourceName, Token } from '../../base/index.js'
import type { GroupDefinition, Migrated, QuorumLossPolicy, ResourceDefinition } from '../cluster/index.js'
import type { ResourceFailure, ResourceRunState } from './protocol.js'

/** A pid alone may have been reused; with the start time (clock ticks since boot, /proc/PID/stat field 22) it is one process. */
export interface ProcessIdentity {
  readonly pid: number
  readonly startTime: number
}

/** How a resource's processes are held together. `sweep` finds them by their environment and can miss some. */
export interface ContainmentPlace {
  readonly kind: 'cgroup2' | 'freezer' | 'sweep'
  /** Folder of the node's cgroups, or the marker that its processes carry. */
  readonly root: string
}

export interface ResourceRecord {
  readonly state: ResourceRunState
  readonly detail?: string
  /** What its start left to be said for as long as it is ONLINE. */
  readonly note?: string
  /** What its agent says is not well while it is ONLINE. */
  readonly degraded?: string
  /** As what it runs, where that is not as last ordered: it is stopped, killed and probed by this. */
  readonly former?: ResourceDefinition
  /** Whether something of it may be running: from before its start until it was verified stopped. */
  readonly touched: boolean
  /** The kept foreground process, or the main processes learnt after the start. */
  readonly processes: readonly ProcessIdentity[]
  /** The start in flight. */
  readonly starting?: ProcessIdentity
  /** A start was killed where nothing holds its processes together: only power-off or reboot proves it stopped. */
  readonly escaped?: boolean
  /** Of a role: a promotion has not been seen to end well, so a demotion is not enough. */
  readonly unsure?: true
  /** It is to be probed anew before anything else. */
  readonly look?: true
  readonly failure?: Pick<ResourceFailure, 'event' | 'detail' | 'severity' | 'number'>
}

export interface RunRecord {
  readonly group: GroupName
  readonly token: Token
  readonly sequence: number
  readonly node: NodeId
  readonly boot: BootId
  /**
   * As last ordered, with those that are on their way out as they were last. What still runs as it was before that has its own
   * definition in its progress.
   */
  readonly resources: GroupDefinition['resources']
  readonly containment: ContainmentPlace
  /** It is kept by a monitor of its own. */
  readonly dedicated?: true
  /** What the guardian does when the lease has run out; left out where everything is stopped at once. */
  readonly onQuorumLoss?: QuorumLossPolicy
  readonly wanted: 'run' | 'stop'
  /** Highest restart number begun under this token. */
  readonly restartNumber: number
  /** Resources that a restart is still bringing down. */
  readonly restarting: readonly ResourceName[]
  /** Resources that are to be restarted once those are up again that they depend on. */
  readonly after?: readonly ResourceName[]
  /** Taken out of the group, and not verified stopped yet. */
  readonly gone?: readonly ResourceName[]
  /** Of those, what is wanted again, and as what: started anew once it has ended. */
  readonly again?: GroupDefinition['resources']
  /** Highest look begun under this token. */
  readonly look?: number
  /** Nothing is probed. */
  readonly quiet?: true
  /** It is on its way from that node: nothing was started, and it may be here. */
  readonly incoming?: { readonly from: NodeId }
  /** The last migration that was ordered, and how the last one ended. */
  readonly migrate?: { readonly to: NodeId; readonly number: number }
  readonly migrated?: Migrated
  /** How many failures were counted under this token: the next one's number is another. */
  readonly failures?: number
  readonly progress: { readonly [resource: ResourceName]: ResourceRecord }
}

/** Everything of it is up or was never started, and nothing is being changed: its processes may be made to stand still. */
export function isCalm({ wanted, restarting, after = [], progress }: RunRecord): boolean {
  const isAtRest = ({ touched, state }: ResourceRecord) => !touched || state === 'ONLINE'
  return wanted === 'run' && restarting.length === 0 && after.length === 0 && Object.values(progress).every(isAtRest)
}

/** A record that cannot be read: its group is UNKNOWN here until the node's next boot. */
export interface UnreadableRecord {
  readonly group: GroupName
  readonly token: Token
  readonly reason: string
}
