/** Chooses the program that sends ARP on this machine. */
import { accessSync, constants } from 'node:fs'
import { announce, duplicateCheck } from './arp-scripts.js'

const announcements = 5

function firstOf(...paths: readonly string[]): string | undefined {
  return paths.find((path) => {
    try {
      accessSync(path, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

const python = () => firstOf('/usr/bin/python3', '/usr/local/bin/python3', '/bin/python3')
const arping = () => firstOf('/usr/bin/arping', '/usr/sbin/arping', '/sbin/arping')

/** Exit status 1 means that somebody else has the address. Undefined where nothing on this machine can ask. */
export function duplicateProbe(device: string, address: string): readonly string[] | undefined {
  const interpreter = python()
  if (interpreter !== undefined) return [interpreter, '-Ec', duplicateCheck, device, address]
  const program = arping()
  return program === undefined ? undefined : [program, '-D', '-q', '-c', '2', '-w', '1', '-I', device, address]
}

/**
 * Tells the neighbours where the address now lives; takes about half a second, and need not be waited for. `pidFile` is a
 * path that the program may write, and deletes in the end whatever it is: never a device.
 */
export function announcement(device: string, address: string, pidFile: string): readonly string[] | undefined {
  // The smallest program first: while it starts, so does what depends on the address.
  const sender = firstOf('/usr/libexec/heartbeat/send_arp', '/usr/lib/heartbeat/send_arp')
  if (sender !== undefined) {
    return [sender, '-i', '100', '-r', String(announcements), '-p', pidFile, device, address, 'auto', 'not_used', 'not_used']
  }
  const interpreter = python()
  if (interpreter !== undefined) return [interpreter, '-Ec', announce, device, address, String(announcements)]
  const program = arping()
  return program === undefined ? undefined : [program, '-q', '-U', '-c', String(announcements), '-I', device, address]
}
