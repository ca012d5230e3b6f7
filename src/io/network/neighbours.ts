/**
 * Asks the link who has an address, without starting a program: to send a datagram there the kernel has to find the
 * neighbour by ARP, and `/proc/net/arp` shows whether somebody answered.
 */
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'

export interface Neighbour {
  /** Undefined while nobody has answered. */
  readonly mac: string | undefined
  /** Somebody has put it there: it is not to be touched, and says nothing. */
  readonly fixed: boolean
}

/** Of the discard service: nobody minds an empty datagram there. */
const discardPort = 9
const lookEvery = 5
const [complete, permanent, published] = [0x2, 0x4, 0x8]

/** What the kernel knows of a neighbour; undefined when it has never asked. */
export function neighbourOf(device: string, address: string): Neighbour | undefined {
  return parseNeighbours(readFileSync('/proc/net/arp', 'utf8'), device, address)
}

export function parseNeighbours(table: string, device: string, address: string): Neighbour | undefined {
  for (const line of table.split('\n').slice(1)) {
    const [ip, , flags = '0', mac, , dev] = line.trim().split(/\s+/)
    if (ip !== address || dev !== device) continue
    const state = Number.parseInt(flags, 16)
    return { mac: (state & complete) === 0 ? undefined : mac, fixed: (state & (permanent | published)) !== 0 }
  }
  return undefined
}

/**
 * Who has the address on the link, asked from `own`, this machine's address there: its MAC; `nobody` when the question went
 * out and was not answered within `wait` milliseconds; `unknown` when the kernel did not ask on this device. What it knew
 * before is to be forgotten first.
 */
export async function askNeighbours(
  device: string,
  address: string,
  own: string,
  wait: number,
  signal: AbortSignal,
): Promise<'nobody' | 'unknown' | { readonly mac: string }> {
  const socket = createSocket('udp4')
  socket.on('error', () => undefined) // Then nothing is sent, and nothing is known.
  try {
    await new Promise<void>((resolve) => {
      socket.once('error', () => resolve())
      socket.bind({ address: own, port: 0, exclusive: true }, () => resolve())
    })
    socket.send('', discardPort, address, () => undefined)
    for (const end = performance.now() + wait; performance.now() < end && !signal.aborted; ) {
      await new Promise((resolve) => setTimeout(resolve, lookEvery))
      const mac = neighbourOf(device, address)?.mac
      if (mac !== undefined) return { mac }
    }
    return neighbourOf(device, address) === undefined ? 'unknown' : 'nobody'
  } finally {
    socket.close()
  }
}
