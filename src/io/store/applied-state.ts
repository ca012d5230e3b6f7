/**
 * The applied state: rows, and what they stand for in the same atomic batch.
 *
 * Batches lag behind what is applied, and behind the log on disk, which has it all: what is lost is applied again. They follow one another at a pace,
 * merged, so that their syncs take little from the log's. A sum over all rows goes along; where it does not match when the rows are
 * read, they are not used.
 */
import { crc32c, crc32cOfText, invariant, type LogIndex, logIndex } from '../../base/index.js'
import type { SnapshotMeta } from '../../core/raft/index.js'
import { Checksums } from './checksums.js'
import type { Row, RowChange } from './contract.js'
import type { RowDatabase, RowWrite } from './database.js'
import { changedSum, checksumOn, decodeMeta, decodeRow, encodeMeta, encodeRow, keyPrefix, keyText, metaKey } from './rows.js'

export interface Loaded {
  readonly checksums: Checksums
  readonly sum: number
  readonly applied: SnapshotMeta
}

export interface AppliedRead extends Loaded {
  readonly rows: readonly Row[]
  /** The rows are those that were written. */
  readonly sound: boolean
}

/** From the beginning of one batch to that of the next, in milliseconds, unless somebody waits for it. */
const pace = 200
/** Rows that wait at most for the pace. */
const waitingMax = 2_000
/** Entries in one go after which it is worth looking for rows that several of them change. */
const mergedFrom = 8

export class AppliedState {
  readonly database: RowDatabase
  private readonly logged: () => Promise<boolean>
  private readonly onFailure: (error: unknown) => void
  private readonly checksums: Checksums
  private sumNow: number
  private appliedNow: SnapshotMeta
  private durable: LogIndex
  /** What waits for the batch under way, merged: the latest change of a row wins. */
  private waiting: Waiting = new Map()
  /** Checksums of what stands before the keys of each table. */
  private readonly prefixes = new Map<string, number>()
  private dirty = false
  private writing = false
  private held: boolean
  private lastBegan = Number.NEGATIVE_INFINITY
  /** Ends the wait for the pace. */
  private hurry: () => void = () => undefined
  private hurried = false
  private stopped = false
  private failed = false
  private watchers: (() => void)[] = []

  /** `logged`: whether all that was given to the log until now is durable, once that is known. `held`: writes nothing before `release`. */
  constructor(database: RowDatabase, logged: () => Promise<boolean>, onFailure: (error: unknown) => void, loaded: Loaded, held = false) {
    this.database = database
    this.logged = logged
    this.onFailure = onFailure
    this.checksums = loaded.checksums
    this.sumNow = loaded.sum
    this.appliedNow = loaded.applied
    this.durable = held ? logIndex(0) : loaded.applied.index
    this.held = held
  }

  get applied(): SnapshotMeta {
    return this.appliedNow
  }

  /** Over all rows. */
  get sum(): number {
    return this.sumNow
  }

  get durableIndex(): LogIndex {
    return this.durable
  }

  apply(applied: SnapshotMeta, changes: readonly RowChange[]): void {
    if (this.stopped) return
    const before = this.appliedNow
    invariant(applied.index >= before.index, 'the applied index never falls', { index: applied.index, before: before.index })
    invariant(applied.term >= before.term, 'the applied term never falls', { term: applied.term, before: before.term })
    this.appliedNow = applied
    this.dirty = true
    const entries = applied.index - before.index
    if (entries < mergedFrom) for (const { table, key, value } of changes) this.change(table, key, value)
    else for (const [table, rows] of latestOfEach(changes)) for (const [key, value] of rows) this.change(table, key, value)
    if (sizeOf(this.waiting) > waitingMax) this.hurryUp()
    this.work()
  }

  private change(table: string, key: string, value: unknown): void {
    const ofKey = crc32cOfText(key, this.prefixOf(table))
    const waiting = rowsOf(this.waiting, table)
    if (value === undefined) {
      this.sumNow = changedSum(this.sumNow, this.checksums.delete(table, key, ofKey), 0)
      waiting.set(key, undefined)
      return
    }
    const bytes = encodeRow(value)
    const checksum = checksumOn(ofKey, bytes)
    this.sumNow = changedSum(this.sumNow, this.checksums.set(table, key, ofKey, checksum), checksum)
    waiting.set(key, bytes)
  }

  private prefixOf(table: string): number {
    let prefix = this.prefixes.get(table)
    if (prefix === undefined) {
      prefix = crc32cOfText(keyPrefix(table))
      this.prefixes.set(table, prefix)
    }
    return prefix
  }

  /** Resolves when what is applied now is durable, or when it is known that this state never will be. */
  async sync(): Promise<void> {
    const { index } = this.appliedNow
    while ((this.durable < index || this.dirty) && !this.stopped) {
      this.hurryUp()
      await new Promise<void>((resolve) => this.watchers.push(resolve))
      if (this.durable >= index) return
    }
  }

  /** What was held is written; the state as it was loaded is durable. */
  release(loaded: LogIndex): void {
    this.durable = loaded
    this.held = false
    this.wake()
    this.work()
  }

  private work(): void {
    if (this.writing || this.held || this.stopped || !this.dirty) return
    this.writing = true
    queueMicrotask(() => void this.writeBatches())
  }

  private async writeBatches(): Promise<void> {
    try {
      while (this.dirty && !this.stopped) {
        await this.untilDue()
        if (!this.stopped) await this.writeBatch()
      }
    } catch (error) {
      this.failed = true
      if (!this.stopped) this.onFailure(error)
      this.stop()
    }
    this.writing = false
    this.wake()
  }

  private async untilDue(): Promise<void> {
    const wait = this.lastBegan + pace - performance.now()
    if (wait > 0 && !this.hurried) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, wait)
        this.hurry = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    this.lastBegan = performance.now()
    this.hurried = false
    this.hurry = () => undefined
  }

  private hurryUp(): void {
    this.hurried = true
    this.hurry()
  }

  private async writeBatch(): Promise<void> {
    const { waiting, appliedNow, sumNow } = this
    this.waiting = new Map()
    this.dirty = false
    // A state may not be on disk without the log it came from: what the log was given before is there before.
    if (!(await this.logged())) return this.stop()
    if (this.stopped) return
    await this.database.batch(writesOf(waiting, encodeMeta({ applied: appliedNow, sum: sumNow })))
    this.durable = appliedNow.index
    this.wake()
  }

  private wake(): void {
    for (const resolve of this.watchers.splice(0)) resolve()
  }

  /** Writes nothing more. */
  stop(): void {
    this.stopped = true
    this.waiting = new Map()
    this.hurryUp()
    this.wake()
  }

  /** Resolves when all changes are written. After a failed write LevelDB is left as it is: closing it would write again. */
  async close(): Promise<void> {
    await this.sync()
    this.stopped = true
    while (this.writing) await new Promise<void>((resolve) => this.watchers.push(resolve))
    if (!this.failed) await this.database.close()
  }
}

/** Values by table and key. */
type RowsOfTables<Value> = Map<string, Map<string, Value>>
type Waiting = RowsOfTables<Uint8Array | undefined>

function rowsOf<Value>(tables: RowsOfTables<Value>, table: string): Map<string, Value> {
  let rows = tables.get(table)
  if (rows === undefined) {
    rows = new Map()
    tables.set(table, rows)
  }
  return rows
}

function sizeOf(tables: RowsOfTables<unknown>): number {
  let size = 0
  for (const rows of tables.values()) size += rows.size
  return size
}

function* writesOf(waiting: Waiting, meta: Uint8Array): Iterable<RowWrite> {
  for (const [table, rows] of waiting) {
    const prefix = keyPrefix(table)
    for (const [key, bytes] of rows) yield [`${prefix}${key}`, bytes]
  }
  yield [metaKey, meta]
}

/** Some rows are changed by every entry: only what they are in the end is worth encoding, where there are many. */
function latestOfEach(changes: readonly RowChange[]): RowsOfTables<unknown> {
  const latest: RowsOfTables<unknown> = new Map()
  for (const { table, key, value } of changes) rowsOf(latest, table).set(key, value)
  return latest
}

/** Reads all rows, in slices. Errors: STORE_CORRUPT, STORE_FAILED. */
export async function loadRows(database: RowDatabase): Promise<AppliedRead> {
  const picture = database.picture()
  try {
    const checksums = new Checksums()
    const rows: Row[] = []
    let sum = 0
    let meta = decodeMeta(undefined)
    for (let slice = await picture.next(); slice.length > 0; slice = await picture.next()) {
      for (const [keyBytes, value] of slice) {
        const key = keyText(keyBytes)
        if (key === metaKey) {
          meta = decodeMeta(value)
          continue
        }
        const ofKey = crc32c(keyBytes)
        const checksum = checksumOn(ofKey, value)
        const row = safely(key, value)
        checksums.set(row.table, row.key, ofKey, checksum)
        sum = changedSum(sum, 0, checksum)
        rows.push(row)
      }
    }
    return { checksums, sum, applied: meta.applied, rows, sound: sum === meta.sum }
  } finally {
    await picture.close()
  }
}

/** A row that does not decode fails the sum as well; which of them is told by the sum. */
function safely(key: string, value: Uint8Array): Row {
  try {
    return decodeRow(key, value)
  } catch {
    return { table: '', key, value: undefined }
  }
}
