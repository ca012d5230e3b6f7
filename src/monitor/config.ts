/** What the monitor process is told when it starts. */
import type { BootId, GroupName, NodeId } from '../base/index.js'
import type { ContainmentPreference } from '../io/processes/index.js'

export interface MonitorConfig {
  readonly node: NodeId
  /** From `readBootId`. */
  readonly boot: BootId
  readonly runDir: string
  readonly logDir: string
  /** The one group that it keeps; the others' monitor unless given. */
  readonly group?: GroupName
  /** `auto` unless given: the strongest that this process may use. */
  readonly containment?: ContainmentPreference
}
