/**
 * Who belongs to the Raft group: majorities of one half or of both, and the way from one configuration to the next.
 *
 * Every change of voters goes through joint consensus (Raft §6): while `outgoing` is not empty, elections and commits
 * need a majority of the new voters and one of the outgoing ones. Learners receive the log and never count.
 */
import { decode, encode, invariant, type MemberId, type NodeId } from '../../base/index.js'

/** How a member is reached: carried along by Raft, which does not look into it. */
export interface MemberPlace {
  readonly node: NodeId
  readonly addresses: readonly { readonly host: string; readonly port: number }[]
}

export interface Configuration {
  readonly voters: readonly MemberId[]
  readonly learners: readonly MemberId[]
  /** The voters of the configuration that is being left; empty outside a joint phase. */
  readonly outgoing: readonly MemberId[]
  readonly places: { readonly [member: MemberId]: MemberPlace }
}

/** What is wanted of a change, all at once. A promoted member was a learner before; a removed one may be either. */
export interface ConfigurationChange {
  readonly add: readonly { readonly member: MemberId; readonly place: MemberPlace }[]
  readonly promote: readonly MemberId[]
  readonly remove: readonly MemberId[]
}

export type ChangeProblem = 'no-such-member' | 'already-member' | 'last-voter' | 'nothing-to-change'

/** The halves whose majorities are needed. */
export function halvesOf(configuration: Configuration): readonly (readonly MemberId[])[] {
  return configuration.outgoing.length === 0 ? [configuration.voters] : [configuration.voters, configuration.outgoing]
}

/** Everybody with a vote, each once. */
export function votersOf(configuration: Configuration): readonly MemberId[] {
  return configuration.outgoing.length === 0 ? configuration.voters : [...new Set([...configuration.voters, ...configuration.outgoing])]
}

/** Everybody who gets the log, each once. */
export function membersOf(configuration: Configuration): readonly MemberId[] {
  return [...votersOf(configuration), ...configuration.learners]
}

/** Whether a majority of each half says yes. */
export function hasQuorum(configuration: Configuration, says: (voter: MemberId) => boolean): boolean {
  return halvesOf(configuration).every((half) => half.filter(says).length >= majority(half))
}

/** The highest value that a majority of each half has reached (Raft §5.3: the commit rule; also rounds of heartbeats). */
export function quorumValue(configuration: Configuration, reachedBy: (voter: MemberId) => number): number {
  const { voters, outgoing } = configuration
  const reached = reachedByMajority(voters, reachedBy)
  return outgoing.length === 0 ? reached : Math.min(reached, reachedByMajority(outgoing, reachedBy))
}

/** The highest that as many voters have reached as are a majority. Counted, for it is asked with every answer: no list is made. */
function reachedByMajority(voters: readonly MemberId[], reachedBy: (voter: MemberId) => number): number {
  invariant(voters.length > 0, 'a configuration has at least one voter')
  const needed = majority(voters)
  let highest = Number.NEGATIVE_INFINITY
  for (const voter of voters) {
    const value = reachedBy(voter)
    if (value <= highest) continue
    let count = 0
    for (const other of voters) if (reachedBy(other) >= value) count += 1
    if (count >= needed) highest = value
  }
  return highest
}

/** Votes needed to win. */
export function majority(voters: readonly MemberId[]): number {
  return Math.floor(voters.length / 2) + 1
}

/**
 * The configuration to append first: joint where voters change, final where only learners do.
 * `present` is not joint.
 */
export function changed(present: Configuration, change: ConfigurationChange): Configuration | ChangeProblem {
  invariant(present.outgoing.length === 0, 'one change at a time (thesis §4.1)')
  const known = new Set(membersOf(present))
  if (change.add.some(({ member }) => known.has(member))) return 'already-member'
  const learners = [...present.learners, ...change.add.map(({ member }) => member)]
  if (change.promote.some((member) => !learners.includes(member)) || change.remove.some((member) => !known.has(member)))
    return 'no-such-member'
  const voters = [...present.voters, ...change.promote].filter((member) => !change.remove.includes(member))
  if (voters.length === 0) return 'last-voter'
  const nextLearners = learners.filter((member) => !change.promote.includes(member) && !change.remove.includes(member))
  const isSame = (one: readonly MemberId[], other: readonly MemberId[]) => one.join() === other.join()
  if (isSame(voters, present.voters) && isSame(nextLearners, present.learners)) return 'nothing-to-change'
  const places = { ...present.places, ...Object.fromEntries(change.add.map(({ member, place }) => [member, place])) }
  const outgoing = isSame(voters, present.voters) ? [] : present.voters
  return trimmed({ voters, learners: nextLearners, outgoing, places })
}

/** What follows a committed joint configuration. */
export function final(joint: Configuration): Configuration {
  return trimmed({ ...joint, outgoing: [] })
}

function trimmed(configuration: Configuration): Configuration {
  const members = new Set<string>(membersOf(configuration))
  return { ...configuration, places: Object.fromEntries(Object.entries(configuration.places).filter(([member]) => members.has(member))) }
}

export function encodeConfiguration(configuration: Configuration): Uint8Array {
  return encode(configuration)
}

export function decodeConfiguration(data: Uint8Array): Configuration {
  return decode(data) as Configuration
}
