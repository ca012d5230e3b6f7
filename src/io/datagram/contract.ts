/** Authenticated datagrams: heartbeats, renewals, queries. May be lost, doubled, reordered; never forged or altered. */
import type { PeerAddress } from '../peers/index.js'

export interface DatagramListener {
  /** `sender` is the name inside the verified packet. `link` is the index of the local socket that received it. */
  onDatagram(sender: string, link: number, message: unknown, from: PeerAddress): void
  /** The destination's port answered "unreachable" (ICMP), where the system reports it. */
  onUnreachable?(to: PeerAddress): void
}

export interface Datagrams {
  /**
   * Sends from the local socket `link` (0 is the first link). Never throws on network errors. Whether the port is open is asked too where
   * nothing was heard from there lately, or where it is suspected not to be.
   */
  send(link: number, to: PeerAddress, message: unknown, isSuspect?: boolean): void
  close(): Promise<void>
}
