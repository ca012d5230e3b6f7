/**
 * Whom a leader leads, what it knows of each, and what a majority of them says.
 *
 * Made anew at each election (Raft fig. 2, volatile state on leaders). Members that leave stay for a while, so that they learn it.
 */
import type { LogIndex, MemberId } from '../../base/index.js'
import { hasQuorum, membersOf, quorumValue } from './configuration.js'
import type { MemberState } from './member-state.js'
import { freshProgress, type Progress } from './progress.js'

/** A learner may lag by so many entries when it is promoted (thesis §4.2.1; R45). */
const promotionLagMax = 1_000

export class Followers {
  private readonly state: MemberState
  private readonly progress = new Map<MemberId, Progress>()

  constructor(state: MemberState) {
    this.state = state
  }

  [Symbol.iterator](): IterableIterator<[MemberId, Progress]> {
    return this.progress.entries()
  }

  get(member: MemberId): Progress | undefined {
    return this.progress.get(member)
  }

  forget(member: MemberId): void {
    this.progress.delete(member)
  }

  /** New members get the log from here on; those that are leaving get it until they have had time to learn that. */
  followConfiguration(): void {
    const members = membersOf(this.state.configuration)
    for (const member of members) {
      if (member === this.state.self) continue
      const known = this.progress.get(member)
      if (known === undefined) this.progress.set(member, freshProgress(this.state.log.lastIndex))
      else known.leavingTicks = undefined
    }
    for (const [member, progress] of this.progress) if (!members.includes(member)) progress.leavingTicks ??= 0
  }

  /** It has said something just now. Undefined where it is none of them. */
  heardFrom(member: MemberId): Progress | undefined {
    const progress = this.progress.get(member)
    if (progress !== undefined) {
      progress.silentTicks = 0
      progress.isHeard = true
    }
    return progress
  }

  /** Whether it was heard within so many ticks; this member always is. */
  private isHeard(member: MemberId, ticks: number): boolean {
    return member === this.state.self || (this.progress.get(member)?.silentTicks ?? Number.MAX_SAFE_INTEGER) <= ticks
  }

  /** It has answered in this term, and lately. */
  answers(member: MemberId): boolean {
    const { self, timing } = this.state
    return member === self || (this.progress.get(member)?.isHeard === true && this.isHeard(member, timing.electionTicksMax))
  }

  /** This leader has brought it up to date, but for what came just now, and it answers (thesis §4.2.1; R45). */
  hasCaughtUp(member: MemberId): boolean {
    if (member === this.state.self) return true
    const progress = this.progress.get(member)
    return progress?.mode === 'replicate' && progress.matchIndex + promotionLagMax >= this.state.commitIndex && this.answers(member)
  }

  /** A majority was heard within an election time-out (check-quorum, thesis §6.2). */
  hearsQuorum(): boolean {
    const { configuration, timing } = this.state
    return hasQuorum(configuration, (voter) => this.isHeard(voter, timing.electionTicksMax))
  }

  /** The highest value that a majority has reached: this member itself stands at `own`. */
  reachedByQuorum(own: number, reachedBy: (progress: Progress) => number): number {
    const { configuration, self } = this.state
    return quorumValue(configuration, (voter) => {
      if (voter === self) return own
      const progress = this.progress.get(voter)
      return progress === undefined ? 0 : reachedBy(progress)
    })
  }

  /** The other voter that has the most of the log, of those that are heard. */
  bestVoter(): MemberId | undefined {
    const { configuration, self, timing } = this.state
    const match = (voter: MemberId): number => this.progress.get(voter)?.matchIndex ?? 0
    return configuration.voters
      .filter((voter) => voter !== self && this.isHeard(voter, timing.electionTicksMin))
      .sort((a, b) => match(b) - match(a) || (a < b ? -1 : 1))[0]
  }

  /** How far up to `index` the log may go: snapshots under way keep the entries that will follow them (R56). */
  spare(index: LogIndex): LogIndex {
    let spared = index
    // One that is not read yet will stand at the present applied index or later; until it is, nothing goes.
    for (const { sending } of this.progress.values())
      if (sending !== undefined) spared = Math.min(spared, sending.index ?? this.state.log.base.index) as LogIndex
    return spared
  }
}
