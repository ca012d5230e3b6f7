/**
 * Receives a snapshot into a database of its own, beside the present state.
 *
 * What it holds counts for nothing before the pointer file names it; a crash leaves a folder that the next start removes.
 */
import { crc32c, invariant } from '../../base/index.js'
import type { SnapshotMeta } from '../../core/raft/index.js'
import { AppliedState } from './applied-state.js'
import { Checksums } from './checksums.js'
import { damaged, decodeChunk } from './chunk.js'
import type { Row } from './contract.js'
import type { RowDatabase, RowWrite } from './database.js'
import { changedSum, checksumOn, encodeMeta, keyText, metaKey, placeOf, rowAt, type StoredRow } from './rows.js'

/** Bytes that go to disk as one batch. */
const batchBytes = 1024 * 1024

export class ReceivedState {
  readonly meta: SnapshotMeta
  /** Name of its folder. */
  readonly name: string
  private readonly database: RowDatabase
  private readonly checksums = new Checksums()
  private sum = 0
  private waiting: RowWrite[] = []
  private waitingBytes = 0
  private completed = false

  constructor(meta: SnapshotMeta, name: string, database: RowDatabase) {
    this.meta = meta
    this.name = name
    this.database = database
  }

  /** Errors: SNAPSHOT_DAMAGED. */
  take(data: Uint8Array): readonly Row[] {
    const { header, rows } = decodeChunk(data)
    if (this.completed) throw damaged('a chunk follows the last one')
    const taken = rows.map((row) => this.takeRow(row))
    if (header.rows !== this.checksums.size || header.sum !== this.sum) {
      throw damaged(`the chunks so far hold ${this.checksums.size} rows with sum ${this.sum}, not ${header.rows} with ${header.sum}`)
    }
    if (header.last) {
      this.waiting.push([metaKey, encodeMeta({ applied: this.meta, sum: this.sum })])
      this.completed = true
    }
    return taken
  }

  private takeRow([keyBytes, value]: StoredRow): Row {
    const key = keyText(keyBytes)
    const ofKey = crc32c(keyBytes)
    const checksum = checksumOn(ofKey, value)
    const place = placeOf(key)
    if (key.indexOf('\0') < 1 || this.checksums.has(place.table, place.key, ofKey))
      throw damaged(`a chunk holds the key ${JSON.stringify(key)}`)
    this.checksums.set(place.table, place.key, ofKey, checksum)
    this.sum = changedSum(this.sum, 0, checksum)
    this.waiting.push([key, value])
    this.waitingBytes += value.length
    try {
      return rowAt(place, value)
    } catch {
      throw damaged(`the value at ${JSON.stringify(key)} does not decode`)
    }
  }

  /** Writes what was taken, when there is enough of it. */
  async write(): Promise<void> {
    if (this.waitingBytes < batchBytes && !this.completed) return
    const { waiting } = this
    this.waiting = []
    this.waitingBytes = 0
    await this.database.batch(waiting)
  }

  /** The state that goes on from here; it writes nothing before it is released. */
  become(logged: () => Promise<boolean>, onFailure: (error: unknown) => void): AppliedState {
    invariant(this.completed, 'a snapshot is installed when its last chunk was written', { index: this.meta.index })
    return new AppliedState(this.database, logged, onFailure, { checksums: this.checksums, sum: this.sum, applied: this.meta }, true)
  }

  close(): Promise<void> {
    return this.database.close()
  }
}
