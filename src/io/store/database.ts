/**
 * The few operations on `level` that the applied state needs.
 *
 * Every batch is synced. LevelDB's journal may lose a stretch of what was not synced, keep what came after it, and pass over the hole
 * without a word; and a later sync covers only the journal file then in use, not the one before it. With each batch synced before
 * the next is written, only the last one can be missing.
 */
import { Level } from 'level'
import { ClusterError } from '../../base/index.js'
import type { StoredRow } from './rows.js'

/** Key and value of a row to be written; no value where it is deleted. */
export type RowWrite = readonly [key: string, value: Uint8Array | undefined]

export interface RowDatabase {
  /** One atomic batch, durable when the promise resolves. */
  batch(writes: Iterable<RowWrite>): Promise<void>
  /** The rows as they are now, whatever is written after. */
  picture(): RowPicture
  /** Ends all pictures. */
  close(): Promise<void>
}

export interface RowPicture {
  get(key: string): Promise<Uint8Array | undefined>
  /** The next rows in the order of their keys, after `after`; none at the end. */
  next(): Promise<readonly StoredRow[]>
  close(): Promise<void>
}

/** Read or handed to the database in one go; more would hold up the event loop. */
const sliceBytes = 128 * 1024
const sliceRows = 500

/** Opens or makes the database in `folder`. Errors: STORE_LOCKED, STORE_CORRUPT, STORE_FAILED. */
export async function openDatabase(folder: string): Promise<RowDatabase> {
  const level = new Level<string, Uint8Array>(folder, { keyEncoding: 'utf8', valueEncoding: 'view' })
  try {
    await level.open()
  } catch (error) {
    throw databaseError(folder, error)
  }
  return {
    batch: (writes) => writeBatch(level, writes),
    picture: () => openPicture(level, folder),
    close: () => level.close(),
  }
}

/** The native batch lives only as long as this: its memory, of which V8 knows nothing, is freed with the object. */
async function writeBatch(level: Level<string, Uint8Array>, writes: Iterable<RowWrite>): Promise<void> {
  const batch = level.batch()
  let rows = 0
  let bytes = 0
  for (const [key, value] of writes) {
    if (value === undefined) batch.del(key)
    else batch.put(key, value)
    rows += 1
    bytes += value?.length ?? 0
    if (rows < sliceRows && bytes < sliceBytes) continue
    rows = 0
    bytes = 0
    await new Promise((resolve) => setImmediate(resolve))
  }
  await batch.write({ sync: true })
}

function openPicture(level: Level<string, Uint8Array>, folder: string): RowPicture {
  const snapshot = level.snapshot()
  const iterator = level.iterator<Uint8Array, Uint8Array>({
    snapshot,
    keyEncoding: 'view',
    valueEncoding: 'view',
    highWaterMarkBytes: sliceBytes,
  })
  async function read<Value>(reading: Promise<Value>): Promise<Value> {
    try {
      return await reading
    } catch (error) {
      throw databaseError(folder, error)
    }
  }
  return {
    get: (key) => read(level.get(key, { snapshot }) as Promise<Uint8Array | undefined>),
    next: () => read(iterator.nextv(sliceRows)),
    async close() {
      await iterator.close()
      await snapshot.close()
    },
  }
}

export function databaseError(folder: string, error: unknown): ClusterError {
  if (error instanceof ClusterError) return error
  const cause = (error as { cause?: { code?: string; message?: string } }).cause
  const code = cause?.code ?? (error as { code?: string }).code
  const text = `${folder}: ${cause?.message ?? String(error)}`
  switch (code) {
    case 'LEVEL_LOCKED':
      return new ClusterError('STORE_LOCKED', `another process uses ${folder}`, {
        fix: `find it with: fuser ${folder}/LOCK`,
        facts: { folder },
      })
    case 'LEVEL_CORRUPTION':
      return new ClusterError('STORE_CORRUPT', text, {
        fix: 'nothing was changed; check the disk, move the data folder away and let the node join again as a new member',
        facts: { file: folder },
      })
    case 'LEVEL_ITERATOR_NOT_OPEN':
    case 'LEVEL_DATABASE_NOT_OPEN':
    case 'LEVEL_SNAPSHOT_NOT_OPEN':
      return new ClusterError('SNAPSHOT_GONE', `${folder} is closed`, { facts: { folder } })
    default:
      return new ClusterError('STORE_FAILED', text, { facts: { folder } })
  }
}
