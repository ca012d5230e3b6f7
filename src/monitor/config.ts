/** What the monitor process is told when it starts. */
import type { BootId, NodeId } from '../base/index.js'
import type { ContainmentPreference } from '../io/processes/index.js'

export interface MonitorConfig {
  readonly node: NodeId
  /** From `readBootId`. */
  readonly boot: BootId
  readonly runDir: string
  readonly logDir: string
  /** `auto` unless given: the strongest that this process may use. */
  readonly containment?: ContainmentPreference
}
