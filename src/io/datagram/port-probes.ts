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

/** No destination is probed more often, and none that was heard within this time, unless its sender suspects it. Milliseconds. */
const probeInterval = 50
/** Destinations kept; a further one takes the place of the first. */
const destinationsMax = 64

interface Destination {
  readonly to: PeerAddress
  readonly socket: Socket
  ready: boolean
  /** Readings of the monotonic clock. */
  probed: number
  heard: number
  /** Something waits for the socket to be ready. */
  isWanted: boolean
  isSuspect: boolean
}

export class PortProbes {
  private readonly onUnreachable: (to: PeerAddress) => void
  private readonly destinations = new Map<string, Destination>()

  constructor(onUnreachable: (to: PeerAddress) => void) {
    this.onUnreachable = onUnreachable
  }

  /** `localHost` is the address of the link that was used; `isSuspect`: what it says now is wanted, however lately it was heard. */
  sentTo(localHost: string | undefined, to: PeerAddress, isSuspect = false): void {
    const destination = this.destinations.get(name(to)) ?? this.open(localHost, to)
    destination.isSuspect = isSuspect
    destination.isWanted = !destination.ready
    if (destination.ready) this.probe(destination)
  }

  private probe(destination: Destination): void {
    const now = performance.now()
    if (now < destination.probed + probeInterval) return
    if (!destination.isSuspect && now < destination.heard + probeInterval) return
    destination.probed = now
    // The callback takes the error that is reported at once; the one that counts comes as an event.
    destination.socket.send(probePacket, () => undefined)
  }

  heardFrom(from: PeerAddress): void {
    const destination = this.destinations.get(name(from))
    if (destination !== undefined) destination.heard = performance.now()
  }

  private dropOldest(): void {
    for (const [key, { socket }] of this.destinations) {
      this.destinations.delete(key)
      socket.close()
      return
    }
  }

  close(): void {
    for (const { socket } of this.destinations.values()) socket.close()
    this.destinations.clear()
  }

  private open(localHost: string | undefined, to: PeerAddress): Destination {
    if (this.destinations.size >= destinationsMax) this.dropOldest()
    const socket = createSocket({ type: isIPv6(to.host) ? 'udp6' : 'udp4' })
    const destination: Destination = { to, socket, ready: false, probed: 0, heard: 0, isWanted: false, isSuspect: false }
    this.destinations.set(name(to), destination)
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') this.onUnreachable(to)
    })
    socket.bind(0, localHost, () => {
      if (this.destinations.get(name(to)) !== destination) return
      socket.once('connect', () => {
        destination.ready = true
        if (destination.isWanted) this.probe(destination)
      })
      socket.connect(to.port, to.host)
    })
    return destination
  }
}

function name({ host, port }: PeerAddress): string {
  return `${host} ${port}`
}
