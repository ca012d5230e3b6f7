/** Sends and receives packets over one UDP socket per link. */
import { randomBytes } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { invariant } from '../../base/index.js'
import type { PeerAddress } from '../peers/index.js'
import type { DatagramListener, Datagrams } from './contract.js'
import { type BadPacket, decodePacket, encodePacket, isProbe, nonceLength } from './packet.js'
import { PortProbes } from './port-probes.js'
import { ReplayWindow } from './replay-window.js'

export interface DatagramsOptions {
  /** This sender's name in its packets. */
  readonly self: string
  /** The key that verifies a sender's packets; undefined for a stranger, whose packets are dropped. */
  readonly key: (sender: string) => Uint8Array | undefined
  readonly sendKey: Uint8Array
  /** One local address per link, as IP addresses; port 0 takes a free one. */
  readonly links: readonly PeerAddress[]
  readonly listener: DatagramListener
}

/** Packets since the start. */
export interface DatagramCounters {
  readonly sent: number
  readonly received: number
  /** What was dropped, by reason. */
  readonly dropped: Readonly<Record<BadPacket | 'replayed' | 'own', number>>
  /** Sends that the system refused. */
  readonly sendErrors: number
}

export interface OpenedDatagrams extends Datagrams {
  /** The addresses in use, with the ports that were taken. */
  readonly links: readonly PeerAddress[]
  counters(): DatagramCounters
}

/** Rejects with the system's error where an address cannot be bound. */
export async function openDatagrams(options: DatagramsOptions): Promise<OpenedDatagrams> {
  const datagrams = new LinkDatagrams(options)
  await datagrams.open()
  return datagrams
}

class LinkDatagrams implements OpenedDatagrams {
  links: readonly PeerAddress[] = []
  private readonly options: DatagramsOptions
  private readonly sockets: Socket[] = []
  private readonly nonce = randomBytes(nonceLength)
  private readonly window = new ReplayWindow()
  private readonly probes: PortProbes | undefined
  private counter = 0
  private closed = false
  private readonly counts = {
    sent: 0,
    received: 0,
    sendErrors: 0,
    dropped: { garbled: 0, version: 0, 'unknown-sender': 0, forged: 0, replayed: 0, own: 0 },
  }

  constructor(options: DatagramsOptions) {
    this.options = options
    if (options.listener.onUnreachable !== undefined) {
      this.probes = new PortProbes((to) => {
        if (!this.closed) options.listener.onUnreachable?.(to)
      })
    }
  }

  async open(): Promise<void> {
    try {
      for (const [link, address] of this.options.links.entries()) this.sockets.push(await this.bind(link, address))
    } catch (error) {
      await this.close()
      throw error
    }
    this.links = this.sockets.map((socket) => ({ host: socket.address().address, port: socket.address().port }))
  }

  send(link: number, to: PeerAddress, message: unknown, isSuspect = false): void {
    const socket = this.sockets[link]
    invariant(socket !== undefined, 'a link exists', { link, links: this.sockets.length })
    if (this.closed) return
    const packet = encodePacket(this.options.self, this.nonce, this.counter++, message, this.options.sendKey)
    this.counts.sent++
    // Without a callback a failed send would be an error of the socket.
    socket.send(packet, to.port, to.host, (error) => {
      if (error !== null) this.counts.sendErrors++
    })
    this.probes?.sentTo(this.links[link]?.host, to, isSuspect)
  }

  counters(): DatagramCounters {
    return { ...this.counts, dropped: { ...this.counts.dropped } }
  }

  async close(): Promise<void> {
    if (this.closed) return
    this.closed = true
    this.probes?.close()
    await Promise.all(this.sockets.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))))
  }

  private bind(link: number, address: PeerAddress): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = createSocket({ type: isIPv6(address.host) ? 'udp6' : 'udp4' })
      socket.once('error', (error) => {
        socket.close()
        reject(error)
      })
      socket.bind(address.port, address.host, () => {
        socket.removeAllListeners('error')
        // What the network reports about one packet is no failure of the socket.
        socket.on('error', () => this.counts.sendErrors++)
        socket.on('message', (bytes, from) => this.receive(link, bytes, { host: from.address, port: from.port }))
        resolve(socket)
      })
    })
  }

  private receive(link: number, bytes: Buffer, from: PeerAddress): void {
    if (this.closed || isProbe(bytes)) return
    const packet = decodePacket(bytes, this.options.key)
    if (typeof packet === 'string') {
      this.counts.dropped[packet]++
    } else if (packet.sender === this.options.self) {
      this.counts.dropped.own++
    } else if (!this.window.accept(packet.sender, packet.nonce, packet.counter)) {
      this.counts.dropped.replayed++
    } else {
      this.counts.received++
      this.probes?.heardFrom(from)
      this.options.listener.onDatagram(packet.sender, link, packet.message, from)
    }
  }
}
