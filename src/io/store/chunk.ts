/**
 * A snapshot's chunks as bytes:
 *
 *     CRC32C u32 | version u8 | last u8 | 0 0 | rows f64 | sum f64 | { key length u32 | value length u32 | key | value } ...
 *
 * little-endian. The checksum covers everything behind it; `rows` and `sum` are those of all chunks up to and with this one. Values are
 * passed on as they are stored.
 */
import { ClusterError, crc32c } from '../../base/index.js'
import type { StoredRow } from './rows.js'

export interface ChunkHeader {
  readonly last: boolean
  /** Number and sum of the rows in this and all earlier chunks. */
  readonly rows: number
  readonly sum: number
}

const version = 1
const headerLength = 24
const rowHeaderLength = 8

/** Bytes that `row` takes in a chunk. */
export function rowLength([key, value]: StoredRow): number {
  return rowHeaderLength + key.length + value.length
}

export function encodeChunk(rows: readonly StoredRow[], header: ChunkHeader): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(rows.reduce((length, row) => length + rowLength(row), headerLength))
  bytes.writeUInt32LE(version | (header.last ? 0x100 : 0), 4)
  bytes.writeDoubleLE(header.rows, 8)
  bytes.writeDoubleLE(header.sum, 16)
  let at = headerLength
  for (const [key, value] of rows) {
    bytes.writeUInt32LE(key.length, at)
    bytes.writeUInt32LE(value.length, at + 4)
    bytes.set(key, at + rowHeaderLength)
    bytes.set(value, at + rowHeaderLength + key.length)
    at += rowHeaderLength + key.length + value.length
  }
  bytes.writeUInt32LE(crc32c(bytes.subarray(4)), 0)
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** Keys and values are views of `data`. Errors: SNAPSHOT_DAMAGED. */
export function decodeChunk(data: Uint8Array): { readonly header: ChunkHeader; readonly rows: readonly StoredRow[] } {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  if (bytes.length < headerLength || bytes.readUInt32LE(0) !== crc32c(bytes.subarray(4))) throw damaged('a chunk fails its checksum')
  const flags = bytes.readUInt32LE(4)
  if ((flags & 0xff) !== version) throw damaged(`a chunk has version ${flags & 0xff}, this program knows version ${version}`)
  const rows: StoredRow[] = []
  for (let at = headerLength; at < bytes.length; ) {
    if (at + rowHeaderLength > bytes.length) throw damaged('a chunk ends within a row')
    const keyAt = at + rowHeaderLength
    const valueAt = keyAt + bytes.readUInt32LE(at)
    const end = valueAt + bytes.readUInt32LE(at + 4)
    if (end > bytes.length) throw damaged('a chunk ends within a row')
    rows.push([data.subarray(keyAt, valueAt), data.subarray(valueAt, end)])
    at = end
  }
  return { header: { last: (flags & 0x100) !== 0, rows: bytes.readDoubleLE(8), sum: bytes.readDoubleLE(16) }, rows }
}

export function damaged(what: string): ClusterError {
  return new ClusterError('SNAPSHOT_DAMAGED', what)
}
