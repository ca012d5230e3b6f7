/** Majorities of the voters. */
import { invariant, type LogIndex, type MemberId } from '../../base/index.js'

/** The highest value that a majority of `voters` has reached (Raft §5.3: the commit rule; also rounds of heartbeats). */
export function quorumValue(voters: readonly MemberId[], reachedBy: (voter: MemberId) => number): number {
  invariant(voters.length > 0, 'a configuration has at least one voter')
  const highestFirst = voters.map(reachedBy).sort((a, b) => b - a)
  const reached = highestFirst[Math.floor(voters.length / 2)]
  invariant(reached !== undefined, 'the middle of a non-empty list exists')
  return reached
}

export function quorumIndex(voters: readonly MemberId[], matchIndex: (voter: MemberId) => LogIndex): LogIndex {
  return quorumValue(voters, matchIndex) as LogIndex
}

/** Votes needed to win. */
export function majority(voters: readonly MemberId[]): number {
  return Math.floor(voters.length / 2) + 1
}
