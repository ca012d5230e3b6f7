/**
 * What a follower does with what its leader says: it appends, commits as far as it was proved to hold, and answers (Raft §5.3).
 *
 * That the message is of the present term, and that its sender leads, is settled before it comes here.
 */
import { invariant, logIndex, type MemberId, term } from '../../base/index.js'
import type { MemberState } from './member-state.js'
import type { LogEntry, RaftMessage } from './types.js'

export class Following {
  private readonly state: MemberState

  constructor(state: MemberState) {
    this.state = state
  }

  onAppend(from: MemberId, message: Extract<RaftMessage, { kind: 'append' }>): void {
    const { state } = this
    const { log, persistence } = state
    const { prevIndex, prevTerm } = message
    // What a snapshot covers is committed, and the same everywhere: only what follows it is of interest.
    const covered = log.base.index - prevIndex
    const entries = covered > 0 ? message.entries.slice(covered) : message.entries
    if (covered <= 0 && log.termAt(prevIndex) !== prevTerm) {
      const hintIndex = log.lastIndexNotAbove(prevIndex, prevTerm)
      return persistence.sendInTerm(from, {
        kind: 'append-response',
        term: state.term,
        success: false,
        index: prevIndex,
        hintIndex,
        hintTerm: log.termAt(hintIndex) ?? term(0),
      })
    }
    const lastNew = logIndex(Math.max(prevIndex + message.entries.length, log.base.index))
    const firstOther = entries.findIndex((entry) => log.termAt(entry.index) !== entry.term)
    if (firstOther >= 0) this.take(entries.slice(firstOther))
    state.commitTo(Math.min(message.commit, lastNew)) // No further than what this message proved (paper fig. 2; R18).
    persistence.sendDurable(from, {
      kind: 'append-response',
      term: state.term,
      success: true,
      index: lastNew,
      hintIndex: logIndex(0),
      hintTerm: term(0),
    })
  }

  /** Replaces the log from the first of `entries` on. */
  private take(entries: readonly LogEntry[]): void {
    const { state } = this
    const first = entries[0]
    invariant(first !== undefined, 'there is an entry to take')
    invariant(first.index > state.commitIndex, 'a committed entry is never replaced (Raft §5.4)', {
      index: first.index,
      commit: state.commitIndex,
    })
    const isCut = first.index <= state.log.lastIndex && state.truncateFrom(first.index)
    if (state.append(entries) || isCut) state.tellConfiguration()
  }

  onHeartbeat(from: MemberId, message: Extract<RaftMessage, { kind: 'heartbeat' }>): void {
    const { state } = this
    // The leader sends no more than what it knows to match here. Where this log ends before that, the disk was rolled back:
    // nothing is made of it, and the answer shows the leader what is there.
    if (message.commit <= state.log.lastIndex) state.commitTo(message.commit)
    state.persistence.sendInTerm(from, {
      kind: 'heartbeat-response',
      term: state.term,
      round: message.round,
      durable: state.persistence.durableIndex,
    })
  }
}
