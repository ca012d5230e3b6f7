/**
 * What was given to the disk and what the disk has confirmed; messages that must wait for it.
 *
 * Nothing that rests on a write leaves before that write is confirmed (Raft fig. 2, persistent state).
 */
import { type LogIndex, logIndex, type MemberId } from '../../base/index.js'
import type { HardState, LogEntry, RaftEffect, RaftMessage } from './types.js'

type Send = Extract<RaftEffect, { kind: 'send' }>
type Persist = Extract<RaftEffect, { kind: 'persist' }>

/** As those see it who do not own the log: how far the disk is, and answers that wait for it. */
export type PersistenceView = Readonly<
  Pick<Persistence, 'durableIndex' | 'isIdle' | 'isTermDurable' | 'waitingTicks' | 'sendDurable' | 'sendInTerm'>
>

export class Persistence {
  /** Highest index of the log that is surely on disk. */
  durableIndex: LogIndex
  private sequence = 0
  private confirmedSequence = 0
  /** The sequence that carries the present term. */
  private termSequence = 0
  private hardStateChanged = false
  private entries: LogEntry[] = []
  private underWay: { readonly sequence: number; readonly lastIndex: LogIndex; ticks: number }[] = []
  private held: { readonly sequence: number; readonly send: Send }[] = []

  constructor(durableIndex: LogIndex) {
    this.durableIndex = durableIndex
  }

  changeHardState(): void {
    this.hardStateChanged = true
  }

  append(entries: readonly LogEntry[]): void {
    this.entries.push(...entries)
  }

  /** The log was cut from `first` on: what the disk holds there, or is about to, counts no more. */
  truncateFrom(first: LogIndex): void {
    const before = logIndex(first - 1)
    this.entries = this.entries.filter((entry) => entry.index < first)
    this.durableIndex = Math.min(this.durableIndex, before) as LogIndex
    this.underWay = this.underWay.map((batch) => ({ ...batch, lastIndex: Math.min(batch.lastIndex, before) as LogIndex }))
  }

  /** A snapshot has taken the place of the whole log. Only votes and terms may be under way: their end says nothing of entries. */
  reset(index: LogIndex): void {
    this.entries = []
    this.durableIndex = index
    this.underWay = this.underWay.map((batch) => ({ ...batch, lastIndex: index }))
  }

  /** No write is under way or waits to be. */
  get isIdle(): boolean {
    return this.underWay.length === 0 && this.entries.length === 0 && !this.hardStateChanged
  }

  /** Whether the vote or term of this member is on disk. */
  get isTermDurable(): boolean {
    return !this.hardStateChanged && this.confirmedSequence >= this.termSequence
  }

  /** Ticks that the oldest write has been under way. */
  get waitingTicks(): number {
    return this.underWay[0]?.ticks ?? 0
  }

  tick(): void {
    for (const batch of this.underWay) batch.ticks++
  }

  /** Everything since the last call as one write; undefined where there is nothing. */
  flush(hardState: HardState, lastIndex: LogIndex): Persist | undefined {
    if (!this.hardStateChanged && this.entries.length === 0) return undefined
    this.sequence++
    if (this.hardStateChanged) this.termSequence = this.sequence
    this.underWay.push({ sequence: this.sequence, lastIndex, ticks: 0 })
    const entries = this.entries
    this.entries = []
    this.hardStateChanged = false
    return { kind: 'persist', sequence: this.sequence, hardState, entries }
  }

  confirmed(sequence: number): void {
    this.confirmedSequence = Math.max(this.confirmedSequence, sequence)
    while (this.underWay[0] !== undefined && this.underWay[0].sequence <= this.confirmedSequence) {
      this.durableIndex = Math.max(this.durableIndex, this.underWay[0].lastIndex) as LogIndex
      this.underWay.shift()
    }
  }

  /** Leaves once everything that was changed up to now is on disk. */
  sendDurable(to: MemberId, message: RaftMessage): void {
    const isPending = this.hardStateChanged || this.entries.length > 0
    this.hold(isPending ? this.sequence + 1 : this.sequence, to, message)
  }

  /** Leaves once the present term is on disk (R02); waits for no entry. */
  sendInTerm(to: MemberId, message: RaftMessage): void {
    this.hold(this.hardStateChanged ? this.sequence + 1 : this.termSequence, to, message)
  }

  private hold(sequence: number, to: MemberId, message: RaftMessage): void {
    this.held.push({ sequence, send: { kind: 'send', to, message } })
  }

  /** What may leave now, in the order in which it was held. */
  release(): readonly Send[] {
    if (this.held.length === 0) return []
    const free = this.held.filter(({ sequence }) => sequence <= this.confirmedSequence)
    if (free.length > 0) this.held = this.held.filter(({ sequence }) => sequence > this.confirmedSequence)
    return free.map(({ send }) => send)
  }
}
