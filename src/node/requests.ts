/**
 * Requests that wait: proposals for their entry to be applied, reads for their index, questions for their answer.
 *
 * A request whose fate is unknown is answered as unknown, never as failed.
 */
import { ClusterError, type LogIndex, RenewingMap, RenewingSet, type RequestId, type Term } from '../base/index.js'
import { type Command, type CommandResult, partOfStore } from '../core/cluster/index.js'

export type Outcome<Value> = { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly error: ClusterError }
type Callback<Value> = (outcome: Outcome<Value>) => void

interface Waiting<Value> {
  readonly callbacks: Callback<Value>[]
  readonly deadline: number
  /** It left this node, or entered the log here: from then on it may be carried out. */
  sent: boolean
  /** Where it was passed on to a leader. */
  passed?: Passed | undefined
  /** What it travels in, together with others. */
  within?: Merged | undefined
  /** It is to travel alone from now on: what it travelled in was refused for one of them. */
  alone?: boolean
}

/** Proposals that became one: they are sent, returned and answered together. */
interface Merged {
  readonly id: RequestId
  readonly parts: readonly RequestId[]
  /** Of the parts, those that still travel in it. */
  open: number
}

/** The term in which a request was passed on. */
export interface Passed {
  readonly term: Term
  /** The leader takes it in that term only, and what is applied here since came as entries: what is not applied by a later term is lost. */
  readonly isKept: boolean
}

export interface Proposal {
  readonly id: RequestId
  readonly command: Command
  readonly fingerprint: string | undefined
  /** A judgement of the leader of this term: nobody else's to carry out. */
  readonly term?: Term
}

/** Bound on what may wait at once. */
const waitingMax = 10_000

export class Requests {
  private readonly proposals = new RenewingMap<RequestId, Waiting<CommandResult> & { readonly proposal: Proposal }>()
  /** Waiting for a leader to take them. */
  private readonly unsent = new RenewingSet<RequestId>()
  private readonly merged = new RenewingMap<RequestId, Merged>()
  private readonly reads: { readonly index: LogIndex; readonly callback: Callback<LogIndex>; readonly deadline: number }[] = []
  private readonly questions = new RenewingMap<string, Waiting<unknown>>()

  /** False when another request of this id is already on its way: the caller then only waits with it. */
  addProposal(proposal: Proposal, deadline: number, callback: Callback<CommandResult>): boolean {
    const { id } = proposal
    const known = this.proposals.get(id)
    if (known !== undefined) {
      known.callbacks.push(callback)
      return false
    }
    if (this.proposals.size >= waitingMax) {
      callback({
        ok: false,
        error: new ClusterError('OVERLOADED', `${waitingMax} requests wait already`, { fix: 'try again in a moment' }),
      })
      return false
    }
    this.proposals.set(id, { proposal, callbacks: [callback], deadline, sent: false })
    this.unsent.add(id)
    return true
  }

  /** These travel as one under `id` from now on, until it is returned or answered. */
  merge(id: RequestId, parts: readonly RequestId[]): void {
    const merged: Merged = { id, parts, open: 0 }
    this.merged.set(id, merged)
    for (const part of parts) {
      const waiting = this.proposals.get(part)
      if (waiting === undefined) continue
      this.leaveMerged(waiting)
      waiting.within = merged
      merged.open += 1
    }
    if (merged.open === 0) this.merged.delete(id)
  }

  /** It may travel with others. */
  mayMerge(id: RequestId): boolean {
    return this.proposals.get(id)?.alone !== true
  }

  /** It waits to be sent: it was neither sent nor answered since. */
  isUnsent(id: RequestId): boolean {
    return this.unsent.has(id)
  }

  proposalSent(id: RequestId, passed?: Passed): void {
    const merged = this.merged.get(id)
    if (merged !== undefined) {
      for (const part of merged.parts) if (this.proposals.get(part)?.within === merged) this.proposalSent(part, passed)
      return
    }
    const waiting = this.proposals.get(id)
    if (waiting !== undefined) {
      waiting.sent = true
      waiting.passed = passed
    }
    this.unsent.delete(id)
  }

  /** It surely never entered the log, or surely stands in it no more: it may be sent again. */
  proposalReturned(id: RequestId): void {
    const merged = this.merged.get(id)
    if (merged !== undefined) {
      for (const part of merged.parts) if (this.proposals.get(part)?.within === merged) this.proposalReturned(part)
      return
    }
    const waiting = this.proposals.get(id)
    if (waiting === undefined) return
    this.leaveMerged(waiting)
    waiting.sent = false
    waiting.passed = undefined
    this.unsent.add(id)
  }

  /** Refused by the leader of that term. By now it may have been passed on to another, who has it: then this says nothing. */
  forwardRefused(id: RequestId, term: Term | undefined): void {
    const merged = this.merged.get(id)
    if (merged !== undefined) {
      for (const part of merged.parts) if (this.proposals.get(part)?.within === merged) this.forwardRefused(part, term)
      return
    }
    const waiting = this.proposals.get(id)
    const passed = waiting?.passed
    if (passed !== undefined && (term === undefined || term === passed.term)) this.proposalReturned(id)
  }

  /**
   * An entry of this term was applied here, and all before it: what leaders of earlier terms took and is not applied by now stands
   * in no log that can still be committed (Raft §5.4.1), and they take nothing more.
   */
  termApplied(term: Term): void {
    for (const [id, { passed }] of this.proposals) if (passed?.isKept === true && passed.term < term) this.proposalReturned(id)
  }

  /** What was applied until now came as a snapshot: what is in it of those that were passed on is not known. */
  snapshotTaken(): void {
    for (const [, waiting] of this.proposals) if (waiting.passed !== undefined) waiting.passed = { ...waiting.passed, isKept: false }
  }

  /** What became of it will not be known here; a retry under its key may ask. */
  forgetProposal(id: RequestId): void {
    this.endProposal(id, {
      ok: false,
      error: new ClusterError('UNKNOWN_OUTCOME', 'this node took a snapshot that may hold the request', {
        fix: 'read the object, or repeat with the same Idempotency-Key',
      }),
    })
  }

  /** The leader says what came of it. Whoever asked is told when it is applied here too; at `deadline`, or its own, in any case. */
  proposalAnswered(id: RequestId, value: CommandResult, deadline: number): void {
    const merged = this.merged.get(id)
    const parts = merged?.parts ?? [id]
    let isAwaited = false
    parts.forEach((part, at) => {
      const waiting = this.proposals.get(part)
      if (waiting === undefined || waiting.within !== merged) return
      isAwaited = true
      // Nothing returns it any more.
      waiting.sent = true
      waiting.passed = undefined
      this.unsent.delete(part)
      if (waiting.deadline >= deadline || (merged !== undefined && !value.ok)) return
      const own = merged === undefined ? value : partOfStore(value, at)
      this.addRead(
        value.index,
        waiting.deadline,
        () => this.proposals.get(part) === waiting && this.endProposal(part, { ok: true, value: own }),
      )
    })
    if (isAwaited) this.addRead(value.index, deadline, () => this.endProposal(id, { ok: true, value }))
  }

  endProposal(id: RequestId, outcome: Outcome<CommandResult>): void {
    const merged = this.merged.get(id)
    if (merged !== undefined) return this.endMerged(merged, outcome)
    const waiting = this.proposals.get(id)
    if (waiting === undefined) return
    this.leaveMerged(waiting)
    this.proposals.delete(id)
    this.unsent.delete(id)
    for (const callback of waiting.callbacks) callback(outcome)
  }

  private endMerged(merged: Merged, outcome: Outcome<CommandResult>): void {
    this.merged.delete(merged.id)
    const isRefused = outcome.ok && !outcome.value.ok
    merged.parts.forEach((part, at) => {
      const waiting = this.proposals.get(part)
      if (waiting?.within !== merged) return
      waiting.within = undefined
      if (isRefused) {
        // Nothing of it was carried out, for the sake of one of them that only shows when each goes its own way.
        waiting.alone = true
        this.proposalReturned(part)
      } else this.endProposal(part, outcome.ok ? { ok: true, value: partOfStore(outcome.value, at) } : outcome)
    })
  }

  private leaveMerged(waiting: Waiting<CommandResult>): void {
    const { within } = waiting
    if (within === undefined) return
    waiting.within = undefined
    within.open -= 1
    if (within.open === 0) this.merged.delete(within.id)
  }

  /** Proposals that wait for a leader. */
  waitingForLeader(): readonly Proposal[] {
    if (this.unsent.size === 0) return []
    return [...this.unsent].flatMap((id) => this.proposals.get(id)?.proposal ?? [])
  }

  addRead(index: LogIndex, deadline: number, callback: Callback<LogIndex>): void {
    this.reads.push({ index, deadline, callback })
  }

  applied(index: LogIndex): void {
    for (let at = this.reads.length - 1; at >= 0; at--) {
      const read = this.reads[at]
      if (read === undefined || read.index > index) continue
      this.reads.splice(at, 1)
      read.callback({ ok: true, value: read.index })
    }
  }

  addQuestion(id: string, deadline: number, callback: Callback<unknown>): void {
    this.questions.set(id, { callbacks: [callback], deadline, sent: true })
  }

  answer(id: string, outcome: Outcome<unknown>): void {
    const waiting = this.questions.get(id)
    this.questions.delete(id)
    for (const callback of waiting?.callbacks ?? []) callback(outcome)
  }

  /** Ends what has waited too long; reads first, for an answer to a proposal may be among them. */
  expire(now: number): void {
    for (let at = this.reads.length - 1; at >= 0; at--) {
      const read = this.reads[at]
      if (read === undefined || read.deadline > now) continue
      this.reads.splice(at, 1)
      read.callback({
        ok: false,
        error: new ClusterError('NO_QUORUM', 'this node did not catch up in time', { fix: 'ask another node, or add ?consistency=local' }),
      })
    }
    for (const [id, waiting] of this.proposals) {
      if (waiting.deadline > now) continue
      const error = waiting.sent
        ? new ClusterError('UNKNOWN_OUTCOME', 'the request was passed on and no answer came in time', {
            fix: 'read the object, or repeat with the same Idempotency-Key',
          })
        : new ClusterError('NO_QUORUM', 'no leader with a quorum was found in time', {
            fix: 'GET /v1/status shows who is missing; nothing was changed',
          })
      this.endProposal(id, { ok: false, error })
    }
    for (const [id, waiting] of this.questions) {
      if (waiting.deadline > now) continue
      this.answer(id, {
        ok: false,
        error: new ClusterError('NO_QUORUM', 'the other node did not answer in time', { fix: 'GET /v1/links shows who hears whom' }),
      })
    }
  }
}
