/** Reads the applied state as chunks, from a picture of one batch boundary; writes go on meanwhile. */
import { ClusterError, invariant } from '../../base/index.js'
import type { SnapshotMeta } from '../../core/raft/index.js'
import { encodeChunk, rowLength } from './chunk.js'
import type { SnapshotChunk, SnapshotReader } from './contract.js'
import type { RowDatabase, RowPicture } from './database.js'
import { changedSum, decodeMeta, type Meta, metaKey, rowChecksum, type StoredRow } from './rows.js'

const chunkBytes = 256 * 1024

/** Errors of its `next`: SNAPSHOT_GONE where the database was closed, STORE_CORRUPT where rows are missing, STORE_FAILED. */
export async function readSnapshot(database: RowDatabase): Promise<SnapshotReader> {
  const picture = database.picture()
  try {
    return new RowReader(picture, decodeMeta(await picture.get(metaKey)))
  } catch (error) {
    await picture.close()
    throw error
  }
}

class RowReader implements SnapshotReader {
  private readonly picture: RowPicture
  private readonly stored: Meta
  /** Read and not yet passed on, from `at` on. */
  private rows: readonly StoredRow[] = []
  private at = 0
  private passed = 0
  private sum = 0
  private ended = false

  constructor(picture: RowPicture, stored: Meta) {
    this.picture = picture
    this.stored = stored
  }

  get meta(): SnapshotMeta {
    return this.stored.applied
  }

  async next(maxBytes = chunkBytes): Promise<SnapshotChunk> {
    invariant(!this.ended, 'nothing is read after the last chunk')
    const chosen: StoredRow[] = []
    for (let bytes = 0; await this.more(); ) {
      const row = this.rows[this.at] as StoredRow
      bytes += rowLength(row)
      if (bytes > maxBytes && chosen.length > 0) break
      this.at += 1
      if (row[0][0] === 0) continue // What the rows stand for is told by `meta`.
      this.sum = changedSum(this.sum, 0, rowChecksum(...row))
      chosen.push(row)
    }
    this.passed += chosen.length
    const last = this.at >= this.rows.length
    if (last) this.end()
    return { data: encodeChunk(chosen, { last, rows: this.passed, sum: this.sum }), last }
  }

  /** Whether there is a row at `at`. */
  private async more(): Promise<boolean> {
    if (this.at < this.rows.length) return true
    this.rows = await this.picture.next()
    this.at = 0
    return this.rows.length > 0
  }

  private end(): void {
    this.ended = true
    if (this.sum === this.stored.sum) return
    throw new ClusterError('STORE_CORRUPT', `the rows of the applied state add up to ${this.sum}, not to ${this.stored.sum}`, {
      fix: 'check the disk; move the data folder away and let the node join again as a new member',
    })
  }

  close(): Promise<void> {
    return this.picture.close()
  }
}
