/**
 * Finds out whether a silent destination's port is closed.
 *
 * Linux tells "port unreachable" only to a connected socket, and the sockets of the links are not connected. So for a
 * destination that is sent to and not heard, a socket of its own, connected to it, sends a packet of three bytes that means nothing;
 * where the port is closed, the next thing that socket reports is ECONNREFUSED.
 */
import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import type { PeerAddress } from '../peers/index.js'
import { probePacket } from './packet.js'

/** A destination heard within this time is not probed, and no destination is probed more often. Milliseconds. */
const probeInterval = 50
/** Destinations kept; a further one is not probed. */
const destinationsMax = 64

interface Destination {
  readonly to: PeerAddress
  readonly socket: Socket
  ready: boolean
  /** Reading of the monotonic clock. */
  quietUntil: number
}

export class PortProbes {
  private readonly onUnreachable: (to: PeerAddress) => void
  private readonly destinations = new Map<string, Destination>()

  constructor(onUnreachable: (to: PeerAddress) => void) {
    this.onUnreachable = onUnreachable
  }

  /** `localHost` is the address of the link that was used. */
  sentTo(localHost: string | undefined, to: PeerAddress): void {
    const destination = this.destinations.get(name(to)) ?? this.open(localHost, to)
    const now = performance.now()
    if (destination === undefined || !destination.ready || now < destination.quietUntil) return
    destination.quietUntil = now + probeInterval
    // The callback takes the error that is reported at once; the one that counts comes as an event.
    destination.socket.send(probePacket, () => undefined)
  }

  heardFrom(from: PeerAddress): void {
    const destination = this.destinations.get(name(from))
    if (destination !== undefined) destination.quietUntil = performance.now() + probeInterval
  }

  close(): void {
    for (const { socket } of this.destinations.values()) socket.close()
    this.destinations.clear()
  }

  private open(localHost: string | undefined, to: PeerAddress): Destination | undefined {
    if (this.destinations.size >= destinationsMax) return undefined
    const socket = createSocket({ type: isIPv6(to.host) ? 'udp6' : 'udp4' })
    // The first packet may be on its way to an answer: no probe before one interval has passed.
    const destination: Destination = { to, socket, ready: false, quietUntil: performance.now() + probeInterval }
    this.destinations.set(name(to), destination)
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') this.onUnreachable(to)
    })
    socket.bind(0, localHost, () => {
      if (this.destinations.get(name(to)) !== destination) return
      socket.once('connect', () => {
        destination.ready = true
      })
      socket.connect(to.port, to.host)
    })
    return destination
  }
}

function name({ host, port }: PeerAddress): string {
  return `${host} ${port}`
}
