/** What the running node needs of the world. The daemon gives it the real rooms, the simulator its own. */
import type { BootId, BootInstant, DiskName, GroupName, NodeId, SessionId, Settings } from '../base/index.js'
import type { Address, Guard } from '../core/cluster/index.js'
import type { DiskOrder, DiskPlace } from '../core/disks/index.js'
import type { GuardianOrder } from '../core/guardian/index.js'
import type { MonitorOrder } from '../core/monitor/index.js'
import type { Clock } from '../io/clock/index.js'
import type { Datagrams } from '../io/datagram/index.js'
import type { Peers } from '../io/peers/index.js'
import type { Store } from '../io/store/index.js'

export interface NodeIdentity {
  readonly node: NodeId
  readonly boot: BootId
  readonly session: SessionId
  readonly clusterName: string
  /** Nodes that its own file names, with the address of their first link: who the cluster is formed by, or asked to take this node in. */
  readonly members: ReadonlyMap<NodeId, Address>
  readonly links: readonly Address[]
  readonly guardian: Address
  readonly api: string | null
  /** The highest feature level that this version understands. */
  readonly level: number
  /** What ends this boot's resources when it loses contact. `guarded` is replaced by whether the guardian answers. */
  readonly guard: Guard
}

export interface NodeIo {
  readonly clock: Clock
  readonly store: Store
  readonly peers: Peers
  readonly datagrams: Datagrams
  readonly monitor: {
    /** `to`: the monitor that this group has of its own; else the shared one. */
    send(order: MonitorOrder, to?: GroupName): void
    /** These groups, and no others, are to have one of their own. */
    want(groups: readonly GroupName[]): void
    /** Those of which a monitor of their own has left something open, when this process began. */
    readonly open: readonly GroupName[]
  }
  readonly guardian: { send(order: GuardianOrder): void }
  /** Shared disks. Each order is answered once, by `QuorateNode.diskAnswered`. */
  readonly disks: {
    want(disks: readonly { readonly name: DiskName; readonly place: DiskPlace }[]): void
    send(order: DiskOrder): void
  }
  /** The lease deadline, where it outlives the daemon. */
  readonly lease: { write(deadline: BootInstant): void }
  /** When the log is compacted, in bytes of entries in memory: above `above`, down to about `keep`. 48 and 12 MiB unless given. */
  readonly compaction?: { readonly above: number; readonly keep: number }
  /** A password as it was before the log had it. Throws where it was sealed under another secret. */
  unseal(text: string): string
  /** A fresh, unguessable identifier. */
  freshId(): string
  readonly seed: number
  /** Runs the function soon, after what already waits. */
  defer(run: () => void): void
  /** One line for the node's log. */
  log(level: 'info' | 'warn' | 'error', text: string): void
  /** The node cannot go on; ends the process. */
  fatal(error: unknown): void
}

export type { Settings }
