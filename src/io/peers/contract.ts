/** Ordered, authenticated streams between the nodes of one cluster. A frame may be lost with its connection; the core sends again. */
import type { ClusterId, MemberId, NodeId } from '../../base/index.js'

export interface PeerAddress {
  readonly host: string
  readonly port: number
}

/** What the other side proved or stated in the handshake. */
export interface PeerIntroduction {
  readonly node: NodeId
  readonly clusterId: ClusterId | undefined
  readonly memberId: MemberId | undefined
  /** Random per process start: tells a restarted daemon from a reconnect. */
  readonly processId: string
  /** Feature level of its software; versions before level 5 do not say. */
  readonly level?: number | undefined
}

export interface PeerListener {
  /** `frame` is whatever `base/codec` decoded, or the bytes that were sent as they are: the receiver checks its shape. */
  onFrame(from: NodeId, frame: unknown): void
  onConnected(peer: PeerIntroduction): void
  onDisconnected(node: NodeId): void
  /** The peer's port refused a connection (nothing listens there). */
  onRefused(node: NodeId, address: PeerAddress): void
  /** A peer of another cluster, version or secret was turned away; `reason` is a plain sentence with both values. */
  onTurnedAway(address: string, reason: string): void
}

export interface Peers {
  /**
   * Queued while connected, dropped otherwise. Returns false when dropped (not connected, or the queue is full). Bytes are sent as they
   * are, which only those understand that state a level of 5 or more, and must not be changed any more; all else is encoded.
   */
  send(to: NodeId, frame: unknown): boolean
  /** The feature level that it has stated over the stream that `send` takes; 0 where there is none, or it has not. */
  levelOf(node: NodeId): number
  /** A stream with it stands, dialled from here or from there. */
  isConnected(node: NodeId): boolean
  /**
   * Who belongs from now on, each with its addresses: new ones are dialled, connections with the others end. Addresses that
   * did not change, or are not known (an empty list), leave a connection as it is; so do new ones beside the one that is in use.
   */
  setPeers(peers: ReadonlyMap<NodeId, readonly PeerAddress[]>): void
  /** Dials a node that does not belong yet, so that it can be answered; until `setPeers` says who does. */
  reach(node: NodeId, addresses: readonly PeerAddress[]): void
  /**
   * Links by which this node is not to be reached as long as there is another: by their places among its addresses. A connection
   * over one of them goes on until there is one over another.
   */
  avoid(node: NodeId, links: readonly number[]): void
  /** From now on the handshake carries these; existing connections of another identity are closed. */
  setIdentity(identity: { readonly clusterId: ClusterId; readonly memberId: MemberId }): void
  close(): Promise<void>
}
