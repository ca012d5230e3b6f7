/** Clocks of this node. */
import type { BootInstant, Instant, WallTime } from '../../base/index.js'

export interface Clock {
  /** Monotonic; does not count suspend. */
  now(): Instant
  /** Counts suspend; shared by all processes of the kernel. Grain `bootClockGrain`. */
  boot(): BootInstant
  wall(): WallTime
}
