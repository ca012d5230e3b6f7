/**
 * What a leader knows of one follower: how far it matches, what is on its way, when it was last heard.
 *
 * While the follower's position is being looked for, one append is on its way at a time (`probe`); once it is known,
 * appends are pipelined up to a bound (`replicate`); where the log no longer reaches back far enough, it gets a `snapshot`.
 */
import type { LogIndex } from '../../base/index.js'
import type { SnapshotSending } from './snapshot-sending.js'

export interface Progress {
  mode: 'probe' | 'replicate' | 'snapshot'
  /** Known to be on the follower's disk. Never goes back within a term. */
  matchIndex: LogIndex
  nextIndex: LogIndex
  /** Appends sent and not answered, by their number: an answer that comes late or twice counts for another one. */
  inFlight: number
  /** Ticks since the last answer to an append while one is awaited. */
  quietTicks: number
  /** How far it was told that it may commit: by a heartbeat, or by an append, which may be lost; the next round says it again. */
  toldCommit: LogIndex
  /** Highest heartbeat round it has answered in this term. */
  ackedRound: number
  /** What was matched when the latest round was begun: an answer to that round that shows less is from a disk that lost it. */
  matchAtRound: LogIndex
  /** Ticks since anything of this term came from it. */
  silentTicks: number
  /** Something of this term has come from it. */
  isHeard: boolean
  /** In mode `snapshot`. */
  sending: SnapshotSending | undefined
  /** Not a member any more: it gets the log until it has had time to learn that. Counts ticks. */
  leavingTicks: number | undefined
}

/** Appends on their way to one follower: bounds memory when it hangs. */
export const inFlightMax = 32
/** Appends of fewer entries than this, and how many of them may be on their way to one follower: one that it syncs, and the next. */
export const smallAppend = 128
export const smallInFlightMax = 2
/** Bytes of entries in one append. */
export const appendBytesMax = 512 * 1024

export function freshProgress(lastIndex: LogIndex): Progress {
  return {
    mode: 'probe',
    matchIndex: 0 as LogIndex,
    nextIndex: (lastIndex + 1) as LogIndex,
    inFlight: 0,
    quietTicks: 0,
    toldCommit: 0 as LogIndex,
    ackedRound: 0,
    matchAtRound: 0 as LogIndex,
    silentTicks: 0,
    isHeard: false,
    sending: undefined,
    leavingTicks: undefined,
  }
}

/** Something was sent of which nobody knows yet that it arrived, however many answers there were. */
export function isAwaited({ mode, inFlight, matchIndex, nextIndex }: Progress): boolean {
  return inFlight > 0 || (mode === 'replicate' && nextIndex > matchIndex + 1)
}

/**
 * Nothing came back for what was sent: start over from what is known, one append at a time. Where the position is still
 * being looked for, the same question is asked again: matchIndex says nothing yet, and the log may not reach back to it.
 */
export function fallBack(progress: Progress): void {
  if (progress.mode !== 'probe') progress.nextIndex = (progress.matchIndex + 1) as LogIndex
  progress.mode = 'probe'
  progress.inFlight = 0
  progress.quietTicks = 0
}
