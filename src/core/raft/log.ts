/**
 * The log as this member remembers it: contiguous entries after a base, which a snapshot covers (index 0 before the first).
 *
 * In memory only; what is durable is counted by `persistence.ts`.
 */
import { invariant, type LogIndex, logIndex, type Term } from '../../base/index.js'
import type { LogEntry, LogPosition } from './types.js'

/** What an entry costs beside its data, in bytes: for bounds on memory and messages. */
const entryOverhead = 32

/** As those see it who do not own it. */
export type LogView = Omit<Log, 'append' | 'truncateFrom' | 'compactTo' | 'resetTo'>

export class Log {
  private entries: LogEntry[] = []
  private baseIndex: number
  private baseTerm: Term
  private size = 0

  constructor(base: LogPosition, entries: readonly LogEntry[]) {
    this.baseIndex = base.index
    this.baseTerm = base.term
    this.append(entries)
  }

  /** The position before the first entry. */
  get base(): LogPosition {
    return { index: logIndex(this.baseIndex), term: this.baseTerm }
  }

  get lastIndex(): LogIndex {
    return logIndex(this.baseIndex + this.entries.length)
  }

  get lastTerm(): Term {
    return this.entries.at(-1)?.term ?? this.baseTerm
  }

  /** Bytes of all entries. */
  get bytes(): number {
    return this.size
  }

  /** The term of the entry at `index`; undefined where this log has none. */
  termAt(index: LogIndex): Term | undefined {
    if (index === this.baseIndex) return this.baseTerm
    return this.entries[index - this.baseIndex - 1]?.term
  }

  /** Entries from `from` to `to`, both included, cut off after `maxBytes` but never empty-handed when there is one. */
  slice(from: number, to: number, maxBytes: number): readonly LogEntry[] {
    invariant(from > this.baseIndex, 'entries asked for are still in the log', { from, base: this.baseIndex })
    const taken: LogEntry[] = []
    let bytes = 0
    for (let index = from; index <= to; index++) {
      const entry = this.entries[index - this.baseIndex - 1]
      invariant(entry !== undefined, 'the log has no holes', { index })
      bytes += sizeOf(entry)
      if (taken.length > 0 && bytes > maxBytes) break
      taken.push(entry)
    }
    return taken
  }

  append(entries: readonly LogEntry[]): void {
    for (const entry of entries) {
      invariant(entry.index === this.lastIndex + 1, 'the log grows without gaps', { index: entry.index, last: this.lastIndex })
      invariant(entry.term >= this.lastTerm, 'terms never fall along the log', { index: entry.index, term: entry.term })
      this.entries.push(entry)
      this.size += sizeOf(entry)
    }
  }

  /** Forgets `index` and everything after it (Raft §5.3: a follower's conflicting tail). */
  truncateFrom(index: LogIndex): void {
    invariant(index > this.baseIndex, 'what a snapshot covers is never cut', { index })
    for (const entry of this.entries.splice(index - this.baseIndex - 1)) this.size -= sizeOf(entry)
  }

  /** Forgets everything up to `index`, which becomes the base (Raft §7). */
  compactTo(index: LogIndex): void {
    const term = this.termAt(index)
    invariant(term !== undefined, 'the new base is in the log', { index, base: this.baseIndex, last: this.lastIndex })
    for (const entry of this.entries.splice(0, index - this.baseIndex)) this.size -= sizeOf(entry)
    this.baseIndex = index
    this.baseTerm = term
  }

  /** Nothing but a base is left: a snapshot stands for everything. */
  resetTo(base: LogPosition): void {
    this.entries = []
    this.size = 0
    this.baseIndex = base.index
    this.baseTerm = base.term
  }

  /** Bytes of the entries after `index`. */
  bytesAfter(index: LogIndex): number {
    let bytes = 0
    for (let at = Math.max(0, index - this.baseIndex); at < this.entries.length; at++) bytes += sizeOf(this.entries[at] as LogEntry)
    return bytes
  }

  /** The index behind which the entries make up about `bytes`. */
  indexBeforeTail(bytes: number): LogIndex {
    let left = bytes
    let at = this.entries.length
    for (; at > 0 && left > 0; at--) left -= sizeOf(this.entries[at - 1] as LogEntry)
    return logIndex(this.baseIndex + at)
  }

  /** The highest index up to `from` whose term is not above `limit`: where a leader should look after a refusal (thesis §3.5). */
  lastIndexNotAbove(from: LogIndex, limit: Term): LogIndex {
    let index = Math.min(from, this.lastIndex)
    while (index > this.baseIndex && (this.termAt(logIndex(index)) as Term) > limit) index--
    return logIndex(Math.max(index, 0))
  }

  /** Whether a log that ends at (`lastTerm`, `lastIndex`) holds at least what this one holds (Raft §5.4.1): term first, then length. */
  isUpToDate(lastTerm: Term, lastIndex: LogIndex): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.lastIndex)
  }
}

export function sizeOf(entry: LogEntry): number {
  return entry.data.length + entryOverhead
}
