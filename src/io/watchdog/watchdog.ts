/**
 * The watchdog device of the machine, as Linux has it (Documentation/watchdog/watchdog-api.rst): opening it arms it, any byte
 * feeds it, a last `V` before the close disarms it, and without that it goes on counting.
 *
 * Its time-out is read from the driver, never assumed: for `/dev/watchdogN` from sysfs, and for something that stands in for a
 * device (a FIFO of a test, or of a power supply that is a program) from the file `<device>.timeout`, in milliseconds.
 */
import { closeSync, constants, openSync, readFileSync, realpathSync, statSync, writeSync } from 'node:fs'
import { basename } from 'node:path'
import { ClusterError } from '../../base/index.js'

export interface Watchdog {
  /** Milliseconds. */
  readonly timeout: number
  feed(): void
  /** It counts no more. */
  disarm(): void
  /** Closes it armed. The kernel takes an unclean close for one more byte; whoever comes next has to open and feed it in time. */
  leave(): void
}

/**
 * Opens and thereby arms `device`.
 * Errors: INVALID when it is not there, is in use, or does not tell its time-out.
 */
export function openWatchdog(device: string, onFailure: (error: unknown) => void): Watchdog {
  const timeout = readTimeout(device)
  let fd: number
  try {
    // A FIFO that nobody reads would have us wait for ever.
    fd = openSync(device, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch (error) {
    throw new ClusterError(
      'INVALID',
      `the watchdog ${device} cannot be opened: ${error instanceof Error ? error.message : String(error)}`,
      {
        fix: 'see that nobody else holds it (systemd: RuntimeWatchdogSec), and that its driver is loaded (softdog where there is no hardware)',
      },
    )
  }
  let closed = false
  // One short system call: the time at which it is fed is the time at which that was decided.
  const say = (text: string): void => {
    try {
      writeSync(fd, text)
    } catch (error) {
      onFailure(error)
    }
  }
  const leave = (): void => {
    if (closed) return
    closed = true
    closeSync(fd)
  }
  return {
    timeout,
    feed: () => {
      if (!closed) say('.')
    },
    disarm: () => {
      if (closed) return
      say('V')
      leave()
    },
    leave,
  }
}

/** Milliseconds; nothing is armed by asking. Errors: INVALID. */
export function readTimeout(device: string): number {
  let told: number
  try {
    // /dev/watchdog is the first of them, by the name of its driver's era.
    const isDevice = statSync(device).isCharacterDevice()
    const name = basename(realpathSync(device)).replace(/^watchdog$/, 'watchdog0')
    const path = isDevice ? `/sys/class/watchdog/${name}/timeout` : `${device}.timeout`
    told = Number(readFileSync(path, 'utf8').trim()) * (isDevice ? 1_000 : 1)
  } catch (error) {
    throw new ClusterError(
      'INVALID',
      `the watchdog ${device} does not tell its time-out: ${error instanceof Error ? error.message : String(error)}`,
      {
        fix: 'name a device such as /dev/watchdog0, whose driver tells it in /sys/class/watchdog',
      },
    )
  }
  if (!Number.isFinite(told) || told <= 0)
    throw new ClusterError('INVALID', `the watchdog ${device} tells the time-out ${told}`, { fix: 'set one: wdctl -s SECONDS DEVICE' })
  return told
}
