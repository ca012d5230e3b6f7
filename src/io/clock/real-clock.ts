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
      return bootInstant(10 * hundredthsIn(buffer, length))
    },
    wall(): WallTime {
      return wallTime(Date.now())
    },
    close() {
      closeSync(fd)
    },
  }
}

/** Asked for many hundred times a second: read without making a text of it. */
function hundredthsIn(bytes: Uint8Array, length: number): number {
  let [hundredths, point] = [0, -1]
  for (let at = 0; at < length; at++) {
    const byte = bytes[at] as number
    if (byte >= zero && byte <= zero + 9) hundredths = hundredths * 10 + byte - zero
    else if (byte === dot && point < 0 && at > 0) point = at
    else if (byte === space && point > 0 && at === point + 3) return hundredths
    else break
  }
  const read = Buffer.from(bytes.subarray(0, length)).toString('latin1')
  invariant(false, '/proc/uptime begins with seconds and hundredths', { read })
}

const [zero, dot, space] = [0x30, 0x2e, 0x20]
