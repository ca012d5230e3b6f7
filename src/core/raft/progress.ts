/**
 * What a leader knows of one follower: how far it matches, what is on its way, when it was last heard.
 *
 * While the follower's position is being looked for, one append is on its way at a time (`probe`); once it is known,
 * appends are pipelined up to a bound (`replicate`).
 */
import type { LogIndex } from '../../base/index.js'

export interface Progress {
  mode: 'probe' | 'replicate'
  /** Known to be on the follower's disk. Never goes back within a term. */
  matchIndex: LogIndex
  nextIndex: LogIndex
  /** Appends sent and not answered. */
  inFlight: number
  /** Ticks since the last answer to an append while some are in flight. */
  quietTicks: number
  /** Highest heartbeat round it has answered in this term. */
  ackedRound: number
  /** Ticks since anything of this term came from it. */
  silentTicks: number
}

/** Appends on their way to one follower: bounds memory when it hangs. */
export const inFlightMax = 32
/** Bytes of entries in one append. */
export const appendBytesMax = 512 * 1024

export function freshProgress(lastIndex: LogIndex): Progress {
  return {
    mode: 'probe',
    matchIndex: 0 as LogIndex,
    nextIndex: (lastIndex + 1) as LogIndex,
    inFlight: 0,
    quietTicks: 0,
    ackedRound: 0,
    silentTicks: 0,
  }
}

/** Nothing came back for what was sent: start over from what is known, one append at a time. */
export function fallBack(progress: Progress): void {
  progress.mode = 'probe'
  progress.inFlight = 0
  progress.quietTicks = 0
  progress.nextIndex = (progress.matchIndex + 1) as LogIndex
}
