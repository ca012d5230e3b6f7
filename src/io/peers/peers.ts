/**
 * Holds this node's connections with all others.
 *
 * A pair of nodes has two connections, each dialled by the one that sends over it. What a node sends goes over the
 * connection that it dialled itself; the other one carries only the answers to pings.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { type ClusterId, encodeBriefly, invariant, type MemberId, type NodeId } from '../../base/index.js'
import { Connection, type ConnectionContext } from './connection.js'
import type { PeerAddress, PeerIntroduction, PeerListener, Peers } from './contract.js'
import { Dialer } from './dialer.js'
import type { Self } from './handshake.js'

export interface PeersOptions {
  readonly self: NodeId
  readonly clusterName: string
  readonly secret: string | Uint8Array
  /** Random per process start. */
  readonly processId: string
  /** Feature level of this software. */
  readonly level?: number
  /** One address per link; port 0 takes a free one. */
  readonly listen: PeerAddress | readonly PeerAddress[]
  /** All other nodes, each with its addresses in the order in which they are tried. An entry of this node itself is passed over. */
  readonly peers: ReadonlyMap<NodeId, readonly PeerAddress[]>
  readonly listener: PeerListener
  /** What the handshake carries from the start; later by `setIdentity`. */
  readonly identity?: { readonly clusterId: ClusterId; readonly memberId: MemberId }
  /** Lets nodes in that `peers` does not name, if they have the secret: they may ask to belong. */
  readonly strangers?: boolean
  /** Local addresses to dial from, a link each; the system's choice where undefined. The last one serves what goes beyond. */
  readonly localAddresses?: readonly (string | undefined)[]
  /** Largest message in bytes. 8 MiB. Sending a larger one is a broken invariant, receiving one ends the connection. */
  readonly frameMax?: number
  /** Bytes that may wait for one peer. 32 MiB. */
  readonly queueMax?: number
}

export interface OpenedPeers extends Peers {
  /** The addresses in use, in the order of `listen`, with the ports that were taken. */
  readonly listening: readonly PeerAddress[]
}

const mebibyte = 1024 * 1024
/** The rhythm of pings, in milliseconds, and how many beats of silence end a connection: a peer is missed within about 2 s. */
const beat = 500
const silentBeatsMax = 4
/** How long the process that holds a name may take to answer when another process claims it, in milliseconds. */
const probePatience = 500
/** Connections that have not introduced themselves yet. */
const strangersMax = 64

/** Rejects with the system's error where an address cannot be bound. */
export async function openPeers(options: PeersOptions): Promise<OpenedPeers> {
  const peers = new NodePeers(options)
  await peers.listen()
  return peers
}

interface PeerState {
  addresses: readonly PeerAddress[]
  /** None for a node that came by itself and whose address nobody knows. */
  dialer: Dialer | undefined
  outbound: Connection | undefined
  inbound: Connection | undefined
}

class NodePeers implements OpenedPeers {
  listening: readonly PeerAddress[] = []
  private readonly options: PeersOptions
  private readonly listener: PeerListener
  private readonly context: ConnectionContext
  private readonly states = new Map<NodeId, PeerState>()
  private readonly avoided = new Map<NodeId, readonly number[]>()
  private readonly connections = new Set<Connection>()
  private readonly servers: Server[] = []
  private readonly sockets = new Set<Socket>()
  private readonly rhythm: NodeJS.Timeout
  private self: Self
  private closed = false

  constructor(options: PeersOptions) {
    this.options = options
    this.listener = options.listener
    this.self = {
      node: options.self,
      clusterId: options.identity?.clusterId,
      memberId: options.identity?.memberId,
      processId: options.processId,
      level: options.level,
      cluster: options.clusterName,
      secret: options.secret,
    }
    this.context = {
      self: () => this.self,
      known: () => (options.strangers === true ? undefined : this.states.keys()),
      admit: (peer) => this.admit(peer),
      onEstablished: (connection) => this.established(connection),
      onFrame: (connection, frame) => this.listener.onFrame(connection.peer.node, frame),
      onIdentity: (connection) => this.identityStated(connection),
      onTurnedAway: (connection, reason) => this.listener.onTurnedAway(connection.address, reason),
      onEnded: (connection) => this.ended(connection),
      frameMax: options.frameMax ?? 8 * mebibyte,
      queueMax: options.queueMax ?? 32 * mebibyte,
      silentTicksMax: silentBeatsMax,
    }
    for (const [node, addresses] of options.peers) if (node !== options.self) this.addPeer(node, addresses)
    this.rhythm = setInterval(() => this.beat(), beat)
  }

  async listen(): Promise<void> {
    const addresses = [this.options.listen].flat()
    try {
      for (const address of addresses) this.servers.push(await listenAt(address, (socket) => this.accepted(socket)))
    } catch (error) {
      await this.close()
      throw error
    }
    this.listening = this.servers.map((server) => {
      const bound = server.address()
      invariant(bound !== null && typeof bound === 'object', 'a TCP listener has an address and a port')
      return { host: bound.address, port: bound.port }
    })
    for (const { dialer } of this.states.values()) dialer?.dial()
  }

  send(to: NodeId, frame: unknown): boolean {
    const outbound = this.states.get(to)?.outbound
    if (outbound === undefined) return false
    return frame instanceof Uint8Array ? outbound.sendMessage('bytes', frame) : outbound.sendMessage('message', encodeBriefly(frame))
  }

  levelOf(node: NodeId): number {
    return this.states.get(node)?.outbound?.level ?? 0
  }

  isConnected(node: NodeId): boolean {
    const state = this.states.get(node)
    return state?.outbound !== undefined || state?.inbound !== undefined
  }

  setPeers(peers: ReadonlyMap<NodeId, readonly PeerAddress[]>): void {
    for (const [node, state] of [...this.states]) {
      if (peers.has(node)) continue
      state.dialer?.stop()
      this.states.delete(node)
      state.inbound?.end()
      state.outbound?.end()
    }
    for (const [node, addresses] of peers) this.reach(node, addresses)
  }

  reach(node: NodeId, addresses: readonly PeerAddress[]): void {
    if (node === this.options.self || this.closed) return
    const state = this.states.get(node)
    // What a node says of itself may be anything; dialling it must not end this process.
    if (!addresses.every(isDialable)) return
    if (addresses.length === 0 || (state?.dialer !== undefined && JSON.stringify(addresses) === JSON.stringify(state.addresses))) return
    if (state?.dialer?.move(addresses) === true) {
      state.addresses = addresses
      return
    }
    state?.dialer?.stop()
    state?.outbound?.end()
    this.addPeer(node, addresses, state?.inbound)
    this.states.get(node)?.dialer?.dial()
  }

  avoid(node: NodeId, links: readonly number[]): void {
    this.avoided.set(node, links)
    this.states.get(node)?.dialer?.avoid(links)
  }

  setIdentity(identity: { readonly clusterId: ClusterId; readonly memberId: MemberId }): void {
    this.self = { ...this.self, ...identity }
    for (const connection of [...this.connections]) connection.stateIdentity()
    for (const { dialer } of this.states.values()) dialer?.hurry()
  }

  async close(): Promise<void> {
    this.closed = true
    clearInterval(this.rhythm)
    for (const { dialer } of this.states.values()) dialer?.stop()
    for (const connection of [...this.connections]) connection.end()
    const closing = this.servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())))
    for (const socket of this.sockets) socket.destroy()
    await Promise.all(closing)
  }

  private addPeer(node: NodeId, addresses: readonly PeerAddress[], inbound?: Connection): void {
    const dialer = new Dialer({
      addresses,
      localAddresses: this.options.localAddresses ?? [],
      onConnected: (socket, { host, port }) => this.open(socket, 'dialer', `${host}:${port}`, node),
      onRefused: (address) => this.listener.onRefused(node, address),
    })
    dialer.avoid(this.avoided.get(node) ?? [])
    this.states.set(node, { addresses, dialer, outbound: undefined, inbound })
  }

  private accepted(socket: Socket): void {
    const strangers = [...this.connections].filter((connection) => !connection.isEstablished).length
    if (this.closed || strangers >= strangersMax) {
      socket.destroy()
      return
    }
    this.sockets.add(socket)
    socket.once('close', () => this.sockets.delete(socket))
    this.open(socket, 'acceptor', `${socket.remoteAddress}:${socket.remotePort}`)
  }

  private open(socket: Socket, side: Connection['side'], address: string, expected?: NodeId): void {
    this.connections.add(new Connection(socket, side, address, this.context, expected))
  }

  /** A name belongs to one process: as long as that one answers, another is refused. */
  private async admit(peer: PeerIntroduction): Promise<string | undefined> {
    const rivals = this.rivals(peer)
    if (rivals.length === 0) return undefined
    const alive = await Promise.all(rivals.map((rival) => rival.probe(probePatience)))
    // Others may have come while this one was asked about: they were admitted by the same rule.
    const holder = rivals.find((_, at) => alive[at]) ?? this.rivals(peer).find((rival) => !rivals.includes(rival))
    if (holder !== undefined) {
      return `node ${peer.node} is connected with node ${this.self.node} as process ${holder.peer.processId}, which answers; process ${peer.processId} is refused`
    }
    for (const rival of rivals) rival.end()
    return undefined
  }

  private rivals(peer: PeerIntroduction): Connection[] {
    const state = this.states.get(peer.node)
    return [state?.outbound, state?.inbound].filter((held) => held !== undefined).filter((held) => held.peer.processId !== peer.processId)
  }

  private established(connection: Connection): void {
    const { node } = connection.peer
    const state = this.states.get(node) ?? { addresses: [], dialer: undefined, outbound: undefined, inbound: undefined }
    this.states.set(node, state)
    if (connection.side === 'acceptor') {
      const before = state.inbound
      state.inbound = connection
      before?.end()
      state.dialer?.hurry()
      return
    }
    const before = state.outbound
    state.outbound = connection
    before?.end()
    this.listener.onConnected(connection.peer)
  }

  /** Told again, for the introduction has changed. */
  private identityStated(connection: Connection): void {
    if (this.states.get(connection.peer.node)?.outbound === connection) this.listener.onConnected(connection.peer)
  }

  private ended(connection: Connection): void {
    this.connections.delete(connection)
    for (const [node, state] of this.states) {
      if (state.inbound === connection) {
        state.inbound = undefined
        if (state.dialer === undefined) this.states.delete(node)
      }
      if (state.outbound === connection) {
        state.outbound = undefined
        if (!this.closed) this.listener.onDisconnected(node)
      }
    }
  }

  private beat(): void {
    for (const connection of [...this.connections]) {
      connection.tick()
      if (connection.side === 'dialer') connection.ping()
    }
  }
}

function isDialable({ host, port }: PeerAddress): boolean {
  return typeof host === 'string' && host.length <= 255 && Number.isInteger(port) && port >= 0 && port <= 65_535
}

function listenAt(address: PeerAddress, onConnection: (socket: Socket) => void): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer(onConnection)
    server.once('error', reject)
    server.listen({ host: address.host, port: address.port }, () => {
      server.off('error', reject)
      // A later failure to accept (no file descriptors left) must not end the process; the peer tries again.
      server.on('error', () => undefined)
      resolve(server)
    })
  })
}
