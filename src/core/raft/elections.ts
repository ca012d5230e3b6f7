/**
 * Who leads: standing for election, asking for votes and giving them (Raft §5.2, §5.4.1), with pre-vote and loyalty to a leader that
 * is heard (thesis §9.6).
 *
 * It says when the member has won and when it must follow a later term; what a leader does then is `lead.ts`.
 */
import { type MemberId, type Term, term } from '../../base/index.js'
import { hasQuorum, votersOf } from './configuration.js'
import type { MemberState } from './member-state.js'
import type { Outbox } from './outbox.js'
import type { RaftMessage } from './types.js'

type VoteRequest = Extract<RaftMessage, { kind: 'vote-request' }>
type VoteResponse = Extract<RaftMessage, { kind: 'vote-response' }>

/** What comes of votes beyond the election itself. */
export interface Roles {
  becomeFollower(inTerm: Term): void
  becomeLeader(): void
}

/** A leader's silence that is longer than any loyalty: it was never heard, or is known to be gone. */
const endlessSilence = Number.MAX_SAFE_INTEGER - 1

export class Elections {
  private readonly state: MemberState
  private readonly outbox: Outbox
  private readonly roles: Roles

  /** Ticks since a leader was heard, a vote given or a round begun; and the drawn time-out. */
  private elapsed = 0
  private timeout = 0
  /** Ticks since a leader was last heard, for loyalty. */
  private leaderSilence = endlessSilence
  private round = 0
  private readonly votes = new Map<MemberId, boolean>()
  private random: number

  constructor(state: MemberState, outbox: Outbox, roles: Roles, seed: number) {
    this.state = state
    this.outbox = outbox
    this.roles = roles
    this.random = (seed >>> 0) | 1
    this.drawTimeout()
  }

  /** In every role. */
  tickSilence(): void {
    this.leaderSilence = Math.min(this.leaderSilence + 1, endlessSilence)
  }

  /** Not for a leader. */
  tick(): void {
    this.elapsed++
    if (this.elapsed >= this.timeout) this.startPreVote()
  }

  leaderHeard(): void {
    this.leaderSilence = 0
    this.elapsed = 0
  }

  /** The lead was this member's own: nobody else is owed loyalty. */
  leadLost(): void {
    this.leaderSilence = endlessSilence
  }

  /** A follower waits its time out from the beginning. */
  restart(): void {
    this.elapsed = 0
    this.drawTimeout()
  }

  drawTimeout(): void {
    const { electionTicksMin, electionTicksMax } = this.state.timing
    this.timeout = electionTicksMin + (this.draw() % (electionTicksMax - electionTicksMin + 1))
  }

  /** A hint that a leader is gone ends the loyalty to it; its followers stand soon, one after the other. */
  peerRefused(peer: MemberId): void {
    const { role, leader } = this.state
    if (role === 'leader' || peer !== leader) return
    this.leaderSilence = endlessSilence
    this.state.become(role, undefined)
    if (role === 'follower') this.elapsed = this.timeout - 1 - Math.min(this.timeout - 1, this.waitInTurn(peer))
  }

  /** The leader orders this member to stand (thesis §3.10). */
  onTimeoutNow(): void {
    if (this.state.role !== 'leader' && this.state.isVoter(this.state.self)) this.startElection(true)
  }

  /** Another configuration is in force: who has no place in it does not go on. */
  reconsider(): void {
    if (this.state.role !== 'follower' && !this.mayStand()) this.roles.becomeFollower(this.state.term)
  }

  /** A candidate's own vote counts once it is on disk. */
  persisted(): void {
    if (this.state.role === 'candidate') this.countVotes()
  }

  onVoteRequest(from: MemberId, message: VoteRequest): void {
    const { state } = this
    if (message.term < state.term) return this.refuse(from, message)
    // Loyalty (thesis §9.6): while a leader is heard, nobody is helped to depose it.
    const loyal = state.role === 'leader' || (state.leader !== undefined && this.leaderSilence < state.timing.electionTicksMin)
    if (loyal && !message.transfer) {
      // Refusing a pre-vote in the present term is harmless and lets the asker learn the term.
      if (message.pre) this.refuse(from, message)
      return
    }
    if (message.pre) return this.judgePreVote(from, message)
    const upToDate = state.log.isUpToDate(message.lastTerm, message.lastIndex)
    if (message.term > state.term) this.roles.becomeFollower(message.term)
    const free = state.votedFor === null || state.votedFor === from // One vote a term; the same candidate may ask again (R04).
    if (!free || !upToDate || state.role === 'leader') return this.refuse(from, message)
    state.voteFor(from)
    this.elapsed = 0
    state.persistence.sendDurable(from, { kind: 'vote-response', term: state.term, pre: false, granted: true, round: message.round })
  }

  private judgePreVote(from: MemberId, message: VoteRequest): void {
    const { state } = this
    if (message.term <= state.term) return this.refuse(from, message)
    const upToDate = state.log.isUpToDate(message.lastTerm, message.lastIndex)
    if (!upToDate || (!message.transfer && this.standsFirst(from, message))) {
      this.refuse(from, message)
      // Whoever stands has given its leader up, and may have been asked before it had.
      if (state.role === 'pre-candidate' && this.votes.get(from) !== true) this.askForVote(from, term(state.term + 1), true, false)
      return
    }
    state.persistence.sendInTerm(from, {
      kind: 'vote-response',
      term: message.term,
      pre: true,
      granted: true,
      round: message.round,
    })
  }

  private refuse(from: MemberId, { pre, round }: VoteRequest): void {
    this.state.persistence.sendInTerm(from, { kind: 'vote-response', term: this.state.term, pre, granted: false, round })
  }

  /**
   * Of two equals that have just begun to stand, the one with the lower id goes on: votes that they split would cost a whole election
   * timeout. For a moment only, so that one who cannot win does not stand in another's way.
   */
  private standsFirst(from: MemberId, { term: asked, lastTerm, lastIndex }: VoteRequest): boolean {
    const { self, role, log, term: present } = this.state
    const equals = lastTerm === log.lastTerm && lastIndex === log.lastIndex
    return asked <= present + 1 && role === 'pre-candidate' && equals && self < from && this.elapsed <= this.turn
  }

  onVoteResponse(from: MemberId, message: VoteResponse): void {
    // Only answers to the present round of the present kind count (R05).
    const expected = message.pre ? 'pre-candidate' : 'candidate'
    if (this.state.role !== expected || message.round !== this.round || !this.state.isVoter(from)) return
    this.votes.set(from, message.granted)
    this.countVotes()
  }

  private countVotes(): void {
    const { state } = this
    if (!hasQuorum(state.configuration, (voter) => this.votes.get(voter) === true)) return
    if (state.role === 'pre-candidate') this.startElection(false)
    else if (state.role === 'candidate' && state.persistence.isTermDurable) this.roles.becomeLeader()
  }

  private startPreVote(): void {
    const { state } = this
    if (!this.mayStand()) return
    state.become('pre-candidate', undefined)
    this.beginVoting()
    this.askForVotes(term(state.term + 1), true, false)
    this.countVotes()
  }

  private startElection(transfer: boolean): void {
    const { state } = this
    state.become('candidate', undefined)
    state.enterTerm(term(state.term + 1))
    state.voteFor(state.self)
    this.beginVoting()
    this.askForVotes(state.term, false, transfer)
  }

  private beginVoting(): void {
    this.restart() // Redrawn each round, so that equals do not collide for ever (Raft §5.2).
    this.round++
    this.votes.clear()
    this.votes.set(this.state.self, true)
  }

  private askForVotes(inTerm: Term, pre: boolean, transfer: boolean): void {
    const { self, configuration } = this.state
    for (const voter of votersOf(configuration)) if (voter !== self) this.askForVote(voter, inTerm, pre, transfer)
  }

  private askForVote(voter: MemberId, inTerm: Term, pre: boolean, transfer: boolean): void {
    const { lastIndex, lastTerm } = this.state.log
    const message: RaftMessage = { kind: 'vote-request', term: inTerm, pre, lastIndex, lastTerm, transfer, round: this.round }
    if (pre) this.outbox.send(voter, message)
    else this.state.persistence.sendDurable(voter, message)
  }

  /**
   * A voter; or one that its log removes and that does not know this to be committed. Those that stay may lack the entry, and
   * then only such a one can win: it does not count itself, carries the change through and steps down (thesis §4.2.2).
   */
  private mayStand(): boolean {
    const { self, commitIndex } = this.state
    return this.state.isVoter(self) || votersOf(this.state.configurationAt(commitIndex)).includes(self)
  }

  /**
   * Ticks before this member stands for the place of `peer`. They stand in turn, by their ids: two that stand in the same moment
   * split the votes, and a second round waits for a whole election timeout. A heartbeat's span is enough for a vote without load.
   */
  private waitInTurn(peer: MemberId): number {
    const { self, configuration } = this.state
    return configuration.voters.filter((voter) => voter !== peer && voter < self).length * this.turn
  }

  /** Ticks in which a vote is usually over. */
  private get turn(): number {
    return Math.max(2, this.state.timing.heartbeatTicks)
  }

  /** xorshift32: enough for election time-outs, and the same from the same seed. */
  private draw(): number {
    let x = this.random
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.random = x >>> 0
    return this.random
  }
}
