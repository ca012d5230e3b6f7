/**
 * The watchdog device of the machine, as Linux has it (Documentation/watchdog/watchdog-api.rst): opening it arms it, any byte
 * feeds it, a last `V` before the close disarms it, and without that it goes on counting.
 *
 * Its time-out is read from the driver, never assumed: for `/dev/watchdogN` from sysfs, and for something that stands in for a
 * device (a FIFO of a test, or of a power supply that is a program) from the file `<device>.timeout`, in milliseconds.
 */
import { closeSync, constants, existsSync, lstatSync, openSync, readFileSync, realpathSync, statSync, writeSync } from 'node:fs'
import { basename, join } from 'node:path'
import { ClusterError } from '../../base/index.js'

export interface Watchdog {
  /** Milliseconds. */
  readonly timeout: number
  /** Feeds it; the first time, and after a failure, opens it, which arms it. Whether it has taken the food. */
  feed(): boolean
  /** It counts no more. */
  disarm(): void
  /** Closes it armed. The kernel takes an unclean close for one more byte; whoever comes next has to open and feed it in time. */
  leave(): void
}

/** Nothing is armed before the first `feed`. Errors: INVALID where it does not tell its time-out. */
export function watchdogAt(device: string, log: (text: string) => void): Watchdog {
  const timeout = readTimeout(device)
  let fd: number | undefined
  let isOver = false
  let complained = ''
  const complain = (error: unknown): false => {
    const text = `the watchdog ${device} was not fed: ${error instanceof Error ? error.message : String(error)}`
    if (text !== complained) log(`${text}; see that nobody else holds it (systemd: RuntimeWatchdogSec)`)
    complained = text
    return false
  }
  const leave = (): void => {
    isOver = true
    if (fd !== undefined) closeSync(fd)
    fd = undefined
  }
  return {
    timeout,
    feed: () => {
      if (isOver) return false
      try {
        // A FIFO that nobody reads would have us wait for ever.
        if (fd === undefined) {
          fd = openSync(device, constants.O_WRONLY | constants.O_NONBLOCK)
          // A driver may take another one when it is opened, and somebody may have set it since.
          const now = readTimeout(device)
          if (now !== timeout) {
            writeSync(fd, 'V')
            leave()
            throw new ClusterError('INVALID', `its time-out has become ${now} ms, it was ${timeout}: start the guardian again`)
          }
          log(`watchdog ${device} armed, ${timeout} ms`)
        }
        // One short system call: the time at which it is fed is the time at which that was decided.
        writeSync(fd, '.')
        complained = ''
        return true
      } catch (error) {
        return complain(error)
      }
    },
    disarm: () => {
      try {
        if (fd !== undefined) writeSync(fd, 'V')
      } catch (error) {
        complain(error)
      }
      leave()
    },
    leave,
  }
}

const magicClose = 0x0100

/**
 * Why others may not count on it that the machine has ended when this watchdog was to reset it; undefined where they may.
 *
 * It must not be part of what it guards (the kernel's software watchdog, a machine that somebody else can stop as a whole), must not
 * be disarmed by the death of who holds it, and the machine must not sleep, in which it would not count.
 */
export function whyNoProof(device: string): string | undefined {
  if (!statSync(device).isCharacterDevice()) return 'it is no watchdog device'
  const folder = `/sys/class/watchdog/${nameOf(device)}`
  const told = (file: string): string | undefined => {
    try {
      return readFileSync(join(folder, file), 'utf8').trim()
    } catch {
      return undefined
    }
  }
  const identity = told('identity') ?? ''
  if (/software/i.test(identity)) return `it is software ("${identity}"): it hangs with the machine`
  const options = Number(told('options') ?? Number.NaN)
  if (told('nowayout') !== '1' && !(options & magicClose))
    return 'its driver may disarm it when its holder dies (neither nowayout nor magic close)'
  if (isVirtual()) return 'this is a virtual machine, which can be stopped and go on'
  if (maySleep()) return 'this machine may sleep: systemctl mask sleep.target suspend.target hibernate.target hybrid-sleep.target'
  return undefined
}

/** Where it cannot be told, it is taken for one. */
function isVirtual(): boolean {
  const cpu = readFileSync('/proc/cpuinfo', 'utf8')
  return existsSync('/sys/hypervisor/type') || !/^flags\s*:/m.test(cpu) || /^flags\s*:.*\bhypervisor\b/m.test(cpu)
}

function maySleep(): boolean {
  const states = existsSync('/sys/power/state') ? readFileSync('/sys/power/state', 'utf8') : ''
  if (!/\b(mem|disk|standby|freeze)\b/.test(states)) return false
  const target = '/etc/systemd/system/sleep.target'
  const isMasked = lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink() === true && realpathSync(target) === '/dev/null'
  return !(existsSync('/run/systemd/system') && isMasked)
}

/** `/dev/watchdog` is the first of them, by the name of its driver's era. */
const nameOf = (device: string): string => basename(realpathSync(device)).replace(/^watchdog$/, 'watchdog0')

/** Milliseconds; nothing is armed by asking. Errors: INVALID. */
export function readTimeout(device: string): number {
  let told: number
  try {
    const isDevice = statSync(device).isCharacterDevice()
    const path = isDevice ? `/sys/class/watchdog/${nameOf(device)}/timeout` : `${device}.timeout`
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
