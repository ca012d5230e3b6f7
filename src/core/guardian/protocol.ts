/**
 * What is asked of a guardian and what it answers: over its own UDP port by other nodes, over a unix socket by its
 * own daemon.
 */
import type { BootId, GroupName, NodeId, Token } from '../../base/index.js'

/** Asked by the leader (or any node) of a suspect's guardian. `nonce` comes back in the answer and guards against replays. */
export interface GuardianQuery {
  readonly kind: 'guardian-query'
  readonly nonce: string
  /** Set once a case exists: the guardian may then state what it has sealed and verified. */
  readonly caseId?: string
  /** Only these in `sealed` and `open`, up to `statementGroups`. Without it, as many as there are, up to that. */
  readonly groups?: readonly GroupName[]
}

/** Groups of one statement: with the longest names, and each both sealed and open, they fit into a datagram of 8 KiB. More are asked for by name, a part at a time. */
export const statementGroups = 50

/** Carries a MAC by the node's own guardian key (derived from the cluster secret). */
export interface GuardianAnswer {
  readonly kind: 'guardian-answer'
  readonly node: NodeId
  readonly boot: BootId
  readonly nonce: string
  readonly daemonUp: boolean
  /** How long this node may still act on its grants; 0 when the lease has run out. */
  readonly leaseRemainingMs: number
  /** `stopped`: an emergency stop has ended with everything verified; its tokens are in `sealed`. */
  readonly emergency: 'none' | 'stopping' | 'stopped' | 'cannot-verify'
  /** Highest sealed and verified-stopped token per group. */
  readonly sealed: { readonly [group: GroupName]: Token }
  /** Groups with a run record whose token is not sealed. */
  readonly open: { readonly [group: GroupName]: Token }
}

/** Daemon → guardian, over the socket. The deadline itself is in the run folder, where it outlives both. */
export type GuardianOrder =
  | { readonly kind: 'alive' }
  /** A monitor hangs, that of a group or the one that is shared: it is to be killed, and started anew. */
  | { readonly kind: 'end-monitor'; readonly group?: GroupName }
  /** The daemon is about to stop in an orderly way; the guardian does not restart it. */
  | { readonly kind: 'daemon-leaving' }
  /** Under a lease that holds: these tokens of groups that stand still are this boot's. */
  | { readonly kind: 'holds'; readonly tokens: { readonly [group: GroupName]: Token } }
  /**
   * Its node is in maintenance without it, by this entry of the log: until `attach` names that entry, or a later one, nothing is ended
   * because a lease has run out. One that was attached again does not suspend once more.
   */
  | { readonly kind: 'detach'; readonly entry: Token }
  | { readonly kind: 'attach'; readonly entry: Token }
  /** The node has left the cluster: all of it stops, as when the guardian is told to. */
  | { readonly kind: 'shut-down' }

/** Which entries of the log, numbered as tokens are, have suspended this guardian, and let it guard again: the highest of each, 0 for none. */
export interface Detachment {
  readonly detached: Token
  readonly attached: Token
}

export function isSuspended({ detached, attached }: Detachment): boolean {
  return detached > attached
}

/** Guardian → daemon, on connection, at every change, and at least every 250 ms: its silence is a sign. */
export interface GuardianState {
  readonly kind: 'guardian-state'
  readonly emergency: GuardianAnswer['emergency']
  readonly sealed: GuardianAnswer['sealed']
  readonly open: GuardianAnswer['open']
  readonly monitorUp: boolean
  /** Of the watchdog that it holds armed, in milliseconds; null where it holds none (absent from an older guardian, which held none). */
  readonly watchdogTimeout?: number | null
  /** Milliseconds within which it ends everything once the lease is over (absent from an older guardian). */
  readonly emergencyStop?: number
  /** The feature level that its software understands (absent from an older guardian, which keeps one monitor). */
  readonly level?: number
  /** Left out where nothing was ever said of it. */
  readonly detachment?: Detachment
  /** Groups whose processes stand still, until the daemon says that they are still this boot's. */
  readonly frozen?: { readonly [group: GroupName]: Token }
}
