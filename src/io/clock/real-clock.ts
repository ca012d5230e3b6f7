/** The kernel's clocks: CLOCK_MONOTONIC, the uptime (CLOCK_BOOTTIME) and the wall clock. */
import { closeSync, openSync, readSync } from 'node:fs'
import { type BootInstant, bootInstant, type Instant, instant, invariant, type WallTime, wallTime } from '../../base/index.js'
import type { Clock } from './contract.js'

export interface RealClock extends Clock {
  close(): void
}

/** Node has no call for CLOCK_BOOTTIME; `/proc/uptime` shows it in hundredths of a second. A reading takes a few microseconds. */
export function openClock(uptimeFile = '/proc/uptime'): RealClock {
  const fd = openSync(uptimeFile, 'r')
  const buffer = Buffer.alloc(64)
  return {
    now(): Instant {
      const [seconds, nanoseconds] = process.hrtime()
      return instant(seconds * 1_000 + nanoseconds / 1e6)
    },
    boot(): BootInstant {
      const length = readSync(fd, buffer, 0, buffer.length, 0)
      const match = /^(\d+)\.(\d\d) /.exec(buffer.toString('latin1', 0, length))
      invariant(match !== null, '/proc/uptime begins with seconds and hundredths', { read: buffer.toString('latin1', 0, length) })
      return bootInstant(Number(match[1]) * 1_000 + Number(match[2]) * 10)
    },
    wall(): WallTime {
      return wallTime(Date.now())
    },
    close() {
      closeSync(fd)
    },
  }
}
