/** What the guardian process is told when it starts. */
import type { BootId, NodeId } from '../base/index.js'
import type { ContainmentPreference } from '../io/processes/index.js'

export interface GuardianConfig {
  readonly node: NodeId
  /** From `readBootId`. */
  readonly boot: BootId
  readonly runDir: string
  readonly logDir: string
  /** The cluster's secret: its datagram key is derived from it, and the key of this guardian's own statements. */
  readonly secret: string
  /** Where it answers other nodes: the same port on every link. */
  readonly guardian: { readonly addresses: readonly string[]; readonly port: number }
  /** Milliseconds; 5000 unless given. */
  readonly emergencyStop?: number
  /** Milliseconds that the daemon may take to leave when the guardian is told to stop; 10000 unless given. */
  readonly leaveTimeout?: number
  /** Programs with their arguments. Without one, that process is somebody else's to start. */
  readonly daemonArgv?: readonly string[]
  readonly monitorArgv?: readonly string[]
  /** A device such as /dev/watchdog0; none unless given. */
  readonly watchdog?: string
  /** Whether others may count on it: as it looks from here, unless somebody who knows the machine has said so. */
  readonly watchdogTrust?: boolean
  /** `auto` unless given; the same as the monitor's. */
  readonly containment?: ContainmentPreference
}
