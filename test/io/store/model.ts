/** What a store should hold, after each of the steps that were asked of it. */
import assert from 'node:assert/strict'
import { encode, logIndex, type MemberId, term } from '../../../src/base/index.js'
import type { HardState, LogEntry, SnapshotMeta } from '../../../src/core/raft/index.js'
import { encodeChunk } from '../../../src/io/store/chunk.js'
import type { Restored, RowChange } from '../../../src/io/store/index.js'
import { changedSum, rowChecksum, type StoredRow } from '../../../src/io/store/rows.js'
import { hardState } from './contract.js'

/** The log after a step. */
export interface LogState {
  readonly hardState: HardState
  readonly last: number
  /** Term by index, of all entries since the beginning. */
  readonly terms: ReadonlyMap<number, number>
  /** The log cannot begin before it. */
  readonly begin: number
}

interface AppliedState {
  readonly applied: SnapshotMeta
  readonly rows: ReadonlyMap<string, unknown>
}

export class Model {
  /** After each append and install, in the order of the calls; the first is the log as it was found. */
  readonly logs: LogState[]
  /** Number of the last of them that is known to be durable. */
  durable = 0
  /** After each apply and install since what is known to be durable; oldest first. */
  states: AppliedState[]
  cut = 0

  constructor(found?: Restored) {
    const terms = new Map(found?.entries.map((entry) => [entry.index as number, entry.term as number]))
    if (found !== undefined) terms.set(found.base.index, found.base.term)
    const last = found?.entries.at(-1)?.index ?? found?.base.index ?? 0
    this.logs = [{ hardState: found?.hardState ?? hardState(0), last, terms, begin: found?.base.index ?? 0 }]
    const rows = new Map(found?.rows.map(({ key, value }) => [key, value]))
    this.states = [{ applied: found?.applied ?? { index: logIndex(0), term: term(0), configuration: null }, rows }]
    this.cut = found?.base.index ?? 0
  }

  get log(): LogState {
    return this.logs.at(-1) as LogState
  }

  get state(): AppliedState {
    return this.states.at(-1) as AppliedState
  }

  termAt(index: number): number {
    return this.log.terms.get(index) ?? 0
  }

  append(atTerm: number, votedFor: string | null, from: number, count: number): LogEntry[] {
    const terms = new Map([...this.log.terms].filter(([index]) => count === 0 || index < from))
    const entries = Array.from({ length: count }, (_, at): LogEntry => {
      terms.set(from + at, atTerm)
      return { index: logIndex(from + at), term: term(atTerm), kind: 'command', data: dataOf(from + at, atTerm) }
    })
    const last = count === 0 ? this.log.last : from + count - 1
    this.logs.push({ ...this.log, hardState: hardState(atTerm, votedFor), last, terms })
    return entries
  }

  apply(applied: SnapshotMeta, changes: readonly RowChange[]): void {
    const rows = new Map(this.state.rows)
    for (const { key, value } of changes) {
      if (value === undefined) rows.delete(key)
      else rows.set(key, value)
    }
    this.states.push({ applied, rows })
  }

  install(applied: SnapshotMeta, rows: ReadonlyMap<string, unknown>, keepTail: boolean): void {
    this.states.push({ applied, rows })
    const { index, term } = applied
    this.logs.push(keepTail ? this.log : { ...this.log, last: index, terms: new Map([[index, term]]), begin: index })
  }

  /** What is applied up to `index` is durable. */
  synced(index: number): void {
    const from = this.states.findLastIndex(({ applied }) => applied.index <= index)
    this.states = this.states.slice(Math.max(from, 0))
  }

  /** `restored` is one of the states that a crash may leave. */
  check(restored: Restored): void {
    const state = this.states.findLast(({ applied }) => applied.index === restored.applied.index)
    assert.ok(state !== undefined, `applied ${restored.applied.index}, not one of ${this.states.map(({ applied }) => applied.index)}`)
    assert.deepEqual(restored.applied, state.applied)
    assert.deepEqual(new Map(restored.rows.map(({ key, value }) => [key, value])), state.rows)
    assert.equal(restored.sum, sumOf(state.rows))
    const last = restored.base.index + restored.entries.length
    const problems = this.logs.slice(this.durable).map((log, at) => this.difference(restored, last, log, this.logs[this.durable + at + 1]))
    assert.ok(problems.includes(undefined), problems.join('\n'))
  }

  /** What keeps `restored` from being `log`, or `log` with a beginning of the step after it. */
  private difference(restored: Restored, last: number, log: LogState, next: LogState | undefined): string | undefined {
    const { base, entries, hardState } = restored
    const same = (one: LogState) => hardState.term === one.hardState.term && hardState.votedFor === one.hardState.votedFor
    const torn = next !== undefined && next.begin === log.begin && same(next)
    if (!same(log) && !torn) return `hard state ${JSON.stringify(hardState)}, not ${JSON.stringify(log.hardState)}`
    if (base.index < log.begin || base.index > Math.max(log.begin, this.cut))
      return `base ${base.index}, begin ${log.begin}, cut ${this.cut}`
    if (last !== log.last && !(torn && last < next.last)) return `last ${last}, not ${log.last}`
    for (const { index, term, data } of [...entries, { ...base, data: undefined }]) {
      const inLog = log.terms.get(index) ?? (index === 0 ? 0 : undefined)
      if (term !== inLog && !(torn && term === next.terms.get(index))) return `entry ${index} of term ${term}, not of ${inLog}`
      if (data !== undefined && Buffer.compare(data, dataOf(index, term)) !== 0) return `entry ${index} has other data`
    }
    return undefined
  }
}

export function dataOf(index: number, atTerm: number): Uint8Array {
  return new Uint8Array(Buffer.from(`${atTerm}:${index}`.padEnd(20 + ((index * 37) % 90), '.')))
}

function storedRows(rows: ReadonlyMap<string, unknown>): StoredRow[] {
  return [...rows].map(([key, value]) => [Buffer.from(`t\0${key}`), encode(value)])
}

export function sumOf(rows: ReadonlyMap<string, unknown>): number {
  return storedRows(rows).reduce((sum, row) => changedSum(sum, 0, rowChecksum(...row)), 0)
}

/** The chunks of a snapshot of `rows`, which are two rows long. */
export function chunksOf(rows: ReadonlyMap<string, unknown>): Uint8Array[] {
  const stored = storedRows(rows)
  const chunks: Uint8Array[] = []
  let sum = 0
  for (let at = 0; at === 0 || at < stored.length; at += 2) {
    const some = stored.slice(at, at + 2)
    sum = some.reduce((so, row) => changedSum(so, 0, rowChecksum(...row)), sum)
    const rowsSoFar = Math.min(at + 2, stored.length)
    chunks.push(encodeChunk(some, { last: rowsSoFar === stored.length, rows: rowsSoFar, sum }))
  }
  return chunks
}

export function voter(number: number): MemberId {
  return `m-${number}` as MemberId
}
