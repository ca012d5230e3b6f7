/**
 * The applied state in `level`: rows under `table\0key`, and the applied index in the same atomic batch.
 *
 * Batches are not synced, for the log is: what is lost is applied again. But after a power failure LevelDB may pass over
 * a lost stretch of its own journal without a word and leave a state with holes. A sum over all rows, written with the applied index,
 * tells: where it does not match, the rows are thrown away and the whole log is applied anew.
 *
 * LevelDB's lock (fcntl on `applied/LOCK`, held by the kernel) is the data folder's lock.
 */
import { join } from 'node:path'
import { Level } from 'level'
import { ClusterError, crc32c, decode, encode, invariant, type LogIndex, logIndex } from '../../base/index.js'
import type { Restored, RowChange } from './contract.js'

/** The part of `level` that writes need. */
export interface RowDatabase {
  batch(operations: readonly RowOperation[]): Promise<void>
  close(): Promise<void>
}
export type RowOperation =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: string }

export interface AppliedRead {
  readonly appliedIndex: LogIndex
  readonly rows: Restored['rows']
}

/** Stands before all tables, whose names are not empty. */
const appliedKey = '\0applied'
/** Keeps the sum of row checksums within what a double holds exactly. */
const sumModulus = 2 ** 52

export class AppliedState {
  private readonly database: RowDatabase
  private readonly onFailure: (error: unknown) => void
  /** Checksum of each row, by its full key. */
  private readonly checksums: Map<string, number>
  private sum: number
  private appliedIndex: number
  /** What waits for the batch under way, merged: the latest change of a row wins. */
  private waiting = new Map<string, RowOperation>()
  private writing = false
  private stopped = false
  private failed = false
  private idle: (() => void)[] = []

  constructor(
    database: RowDatabase,
    onFailure: (error: unknown) => void,
    loaded: { checksums: Map<string, number>; sum: number; appliedIndex: number },
  ) {
    this.database = database
    this.onFailure = onFailure
    this.checksums = loaded.checksums
    this.sum = loaded.sum
    this.appliedIndex = loaded.appliedIndex
  }

  /** Errors: STORE_LOCKED, STORE_CORRUPT, STORE_FAILED. */
  static async open(
    folder: string,
    onFailure: (error: unknown) => void,
  ): Promise<{ readonly state: AppliedState; readonly read: AppliedRead }> {
    const database = new Level<string, Uint8Array>(join(folder, 'applied'), { keyEncoding: 'utf8', valueEncoding: 'view' })
    try {
      await database.open()
    } catch (error) {
      throw openError(folder, error)
    }
    try {
      const { read, ...loaded } = await load(database)
      const rows: RowDatabase = {
        batch: (operations) => database.batch([...operations]),
        close: () => database.close(),
      }
      return { state: new AppliedState(rows, onFailure, loaded), read }
    } catch (error) {
      await database.close().catch(() => undefined)
      throw openError(folder, error)
    }
  }

  apply(appliedIndex: LogIndex, changes: readonly RowChange[]): void {
    if (this.stopped) return
    invariant(appliedIndex >= this.appliedIndex, 'the applied index never falls', { appliedIndex, before: this.appliedIndex })
    this.appliedIndex = appliedIndex
    for (const { table, key, value } of changes) {
      invariant(table.length > 0 && !table.includes('\0'), 'a table has a name without NUL', { table })
      this.change(`${table}\0${key}`, value === undefined ? undefined : encode(value))
    }
    // The index and the sum are those after all that waits; they go into the same batch.
    this.waiting.set(appliedKey, { type: 'put', key: appliedKey, value: encode([this.appliedIndex, this.sum]) })
    if (this.writing) return
    this.writing = true
    queueMicrotask(() => void this.writeBatches())
  }

  private change(key: string, value: Uint8Array | undefined): void {
    this.sum = (this.sum + sumModulus - (this.checksums.get(key) ?? 0)) % sumModulus
    if (value === undefined) {
      this.checksums.delete(key)
      this.waiting.set(key, { type: 'del', key })
      return
    }
    const checksum = rowChecksum(key, value)
    this.checksums.set(key, checksum)
    this.sum = (this.sum + checksum) % sumModulus
    this.waiting.set(key, { type: 'put', key, value })
  }

  private async writeBatches(): Promise<void> {
    try {
      while (this.waiting.size > 0 && !this.stopped) {
        const batch = [...this.waiting.values()]
        this.waiting = new Map()
        await this.database.batch(batch)
      }
    } catch (error) {
      this.failed = true
      if (!this.stopped) this.onFailure(error)
      this.stop()
    }
    this.writing = false
    for (const resolve of this.idle.splice(0)) resolve()
  }

  /** Writes nothing more. */
  stop(): void {
    this.stopped = true
    this.waiting = new Map()
  }

  /** Resolves when all changes are written. After a failed write LevelDB is left as it is: closing it would write again. */
  async close(): Promise<void> {
    if (this.writing) await new Promise<void>((resolve) => this.idle.push(resolve))
    this.stopped = true
    if (!this.failed) await this.database.close()
  }
}

async function load(
  database: Level<string, Uint8Array>,
): Promise<{ readonly read: AppliedRead; readonly checksums: Map<string, number>; readonly sum: number; readonly appliedIndex: number }> {
  const checksums = new Map<string, number>()
  const rows: { table: string; key: string; value: unknown }[] = []
  let sum = 0
  let stored: readonly [number, number] = [0, 0]
  for await (const [key, value] of database.iterator()) {
    if (key === appliedKey) {
      stored = decode(value) as [number, number]
      continue
    }
    const checksum = rowChecksum(key, value)
    checksums.set(key, checksum)
    sum = (sum + checksum) % sumModulus
    const split = key.indexOf('\0')
    rows.push({ table: key.slice(0, split), key: key.slice(split + 1), value: safely(value) })
  }
  const [appliedIndex, storedSum] = stored
  if (sum === storedSum) return { read: { appliedIndex: logIndex(appliedIndex), rows }, checksums, sum, appliedIndex }
  await database.clear()
  return { read: { appliedIndex: logIndex(0), rows: [] }, checksums: new Map(), sum: 0, appliedIndex: 0 }
}

/** A row that does not decode fails the sum as well; which of them is told by the sum. */
function safely(value: Uint8Array): unknown {
  try {
    return decode(value)
  } catch {
    return undefined
  }
}

function rowChecksum(key: string, value: Uint8Array): number {
  return crc32c(value, crc32c(Buffer.from(key)))
}

function openError(folder: string, error: unknown): unknown {
  const cause = (error as { cause?: { code?: string; message?: string } }).cause
  if (cause?.code === 'LEVEL_LOCKED') {
    return new ClusterError('STORE_LOCKED', `another process uses the data folder ${folder}`, {
      fix: `find it with: fuser ${join(folder, 'applied', 'LOCK')}`,
      facts: { folder },
    })
  }
  const code = cause?.code ?? (error as { code?: string }).code
  if (code === 'LEVEL_CORRUPTION') {
    return new ClusterError('STORE_CORRUPT', `${join(folder, 'applied')}: ${cause?.message ?? String(error)}`, {
      fix: `check the disk; then remove ${join(folder, 'applied')}: it is made again from the log`,
      facts: { file: join(folder, 'applied') },
    })
  }
  if (error instanceof ClusterError) return error
  return new ClusterError('STORE_FAILED', `${join(folder, 'applied')}: ${cause?.message ?? String(error)}`, { facts: { folder } })
}
