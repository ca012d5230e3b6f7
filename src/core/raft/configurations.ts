/**
 * Which configuration is in force at which index of the log. A member uses the latest one that its log holds, committed or
 * not (Raft §6); one that is cut from the log gives way to the one before it.
 */
import { invariant, type LogIndex } from '../../base/index.js'
import { type Configuration, decodeConfiguration } from './configuration.js'
import type { LogEntry } from './types.js'

export class Configurations {
  /** By rising index; the first is in force at or before the log's beginning. */
  private known: { readonly index: LogIndex; readonly configuration: Configuration }[]

  constructor(first: Configuration, at: LogIndex) {
    this.known = [{ index: at, configuration: first }]
  }

  get latest(): { readonly index: LogIndex; readonly configuration: Configuration } {
    const latest = this.known.at(-1)
    invariant(latest !== undefined, 'some configuration is always known')
    return latest
  }

  /** In force at `index`, which is not before the first known one. */
  at(index: LogIndex): Configuration {
    return (this.known.findLast((one) => one.index <= index) ?? (this.known[0] as (typeof this.known)[number])).configuration
  }

  /** Whether one of the entries changes the configuration. */
  append(entries: readonly LogEntry[]): boolean {
    let isChanged = false
    for (const entry of entries) {
      if (entry.kind !== 'configuration') continue
      this.known.push({ index: entry.index, configuration: decodeConfiguration(entry.data) })
      isChanged = true
    }
    return isChanged
  }

  /** Whether a configuration went with it. */
  truncateFrom(index: LogIndex): boolean {
    const before = this.known.length
    this.known = this.known.filter((one, at) => at === 0 || one.index < index)
    return this.known.length < before
  }

  /** A snapshot stands for the whole log. */
  reset(first: Configuration, at: LogIndex): void {
    this.known = [{ index: at, configuration: first }]
  }

  /** Entries up to `index` are gone from the log. */
  forgetBefore(index: LogIndex): void {
    const first = this.known.findLastIndex((one) => one.index <= index)
    if (first > 0) this.known = this.known.slice(first)
  }
}
