/**
 * The log as this member remembers it: contiguous entries after a base (index 0 until snapshots exist).
 *
 * In memory only; what is durable is counted by `raft.ts`.
 */
import { invariant, type LogIndex, logIndex, type Term, term } from '../../base/index.js'
import type { LogEntry } from './types.js'

export class Log {
  private readonly entries: LogEntry[]
  private readonly baseIndex: number
  private readonly baseTerm: Term

  constructor(
    entries: readonly LogEntry[],
    base: { readonly index: LogIndex; readonly term: Term } = { index: logIndex(0), term: term(0) },
  ) {
    this.baseIndex = base.index
    this.baseTerm = base.term
    this.entries = []
    this.append(entries)
  }

  get lastIndex(): LogIndex {
    return logIndex(this.baseIndex + this.entries.length)
  }

  get lastTerm(): Term {
    return this.entries.at(-1)?.term ?? this.baseTerm
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
      bytes += entry.data.length + 32
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
    }
  }

  /** Forgets `index` and everything after it (Raft §5.3: a follower's conflicting tail). */
  truncateFrom(index: LogIndex): void {
    invariant(index > this.baseIndex, 'what a snapshot covers is never cut', { index })
    this.entries.length = index - this.baseIndex - 1
  }

  /** The highest index up to `from` whose term is not above `limit`: where a leader should look after a refusal (thesis §3.5). */
  lastIndexNotAbove(from: LogIndex, limit: Term): LogIndex {
    let index = Math.min(from, this.lastIndex)
    while (index > this.baseIndex && (this.termAt(logIndex(index)) as Term) > limit) index--
    return logIndex(index)
  }

  /** Whether a log that ends at (`lastTerm`, `lastIndex`) holds at least what this one holds (Raft §5.4.1): term first, then length. */
  isUpToDate(lastTerm: Term, lastIndex: LogIndex): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.lastIndex)
  }
}
