/** Ports, waiting and listeners for tests with real sockets. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { ClusterId, MemberId, NodeId } from '../../../src/base/index.js'
import type { OpenedPeers, PeerAddress, PeerIntroduction, PeerListener, PeersOptions } from '../../../src/io/peers/index.js'
import { openPeers } from '../../../src/io/peers/index.js'

export const loopback = '127.0.0.1'

/** A port that was free a moment ago. */
export async function freeAddress(host = loopback): Promise<PeerAddress> {
  const server = createServer().listen(0, host)
  await once(server, 'listening')
  const bound = server.address()
  server.close()
  await once(server, 'close')
  if (bound === null || typeof bound === 'string') throw new Error('a listener has a port')
  return { host, port: bound.port }
}

/** Waits until `condition` holds, for as long as the test's own limit allows. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}

/** Remembers all that it is told. */
export class PeerRecorder implements PeerListener {
  readonly frames: { from: NodeId; frame: unknown }[] = []
  readonly connected: PeerIntroduction[] = []
  readonly disconnected: NodeId[] = []
  readonly refused: { node: NodeId; at: number }[] = []
  readonly turnedAway: string[] = []

  onFrame(from: NodeId, frame: unknown): void {
    this.frames.push({ from, frame })
  }
  onConnected(peer: PeerIntroduction): void {
    this.connected.push(peer)
  }
  onDisconnected(node: NodeId): void {
    this.disconnected.push(node)
  }
  onRefused(node: NodeId): void {
    this.refused.push({ node, at: performance.now() })
  }
  onTurnedAway(_address: string, reason: string): void {
    this.turnedAway.push(reason)
  }
}

export const identityOf = (cluster: string, member: string) => ({ clusterId: cluster as ClusterId, memberId: member as MemberId })

/** Nodes on free ports, and their end. */
export class Nodes {
  private readonly addresses = new Map<NodeId, PeerAddress>()
  private readonly open = new Set<OpenedPeers>()

  static async of(...names: string[]): Promise<Nodes> {
    const nodes = new Nodes()
    for (const name of names) nodes.addresses.set(name as NodeId, await freeAddress())
    return nodes
  }

  address(name: string): PeerAddress {
    const address = this.addresses.get(name as NodeId)
    if (address === undefined) throw new Error(`no address for ${name}`)
    return address
  }

  async start(name: string, options: Partial<PeersOptions> = {}): Promise<{ peers: OpenedPeers; told: PeerRecorder }> {
    const told = new PeerRecorder()
    const peers = await openPeers({
      self: name as NodeId,
      clusterName: 'alpha',
      secret: 'a secret',
      processId: `${name}-${Math.random()}`,
      listen: this.address(name),
      peers: new Map([...this.addresses].map(([node, address]) => [node, [address]])),
      listener: told,
      ...options,
    })
    this.open.add(peers)
    return { peers, told }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.open].map((peers) => peers.close()))
  }
}
