/**
 * Rows of the applied state as the database and snapshots hold them: `table\0key` and an encoded value.
 *
 * One row, before all others, says what they stand for; the sum over all other rows in it tells whether they are all there.
 */
import { crc32c, decode, encode, invariant, logIndex, term } from '../../base/index.js'
import type { Configuration, SnapshotMeta } from '../../core/raft/index.js'
import type { Row } from './contract.js'

/** Key and value of a row as bytes. */
export type StoredRow = readonly [key: Uint8Array, value: Uint8Array]

/** Stands before all tables, whose names are not empty. */
export const metaKey = '\0applied'
/** Keeps the sum of row checksums within what a double holds exactly. */
const sumModulus = 2 ** 52

export interface Meta {
  readonly applied: SnapshotMeta
  /** Over all rows. */
  readonly sum: number
}

export function encodeMeta({ applied, sum }: Meta): Uint8Array {
  return encode([applied.index, sum, applied.term, applied.configuration])
}

/**
 * What `bytes` say; without them nothing was ever applied. Format 1 did not write the term, which is 0 here: that of the log's
 * entry counts.
 */
export function decodeMeta(bytes: Uint8Array | undefined): Meta {
  if (bytes === undefined) return { applied: { index: logIndex(0), term: term(0), configuration: null }, sum: 0 }
  const [index, sum, ofTerm = 0, configuration = null] = decode(bytes) as [number, number, number?, (Configuration | null)?]
  return { applied: { index: logIndex(index), term: term(ofTerm), configuration }, sum }
}

export function rowKey(table: string, key: string): string {
  invariant(table.length > 0 && !table.includes('\0'), 'a table has a name without NUL', { table })
  return `${table}\0${key}`
}

export function decodeRow(key: string, value: Uint8Array): Row {
  const split = key.indexOf('\0')
  return { table: key.slice(0, split), key: key.slice(split + 1), value: decode(value) }
}

export function keyText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString()
}

export function rowChecksum(key: Uint8Array, value: Uint8Array): number {
  return checksumOn(crc32c(key), value)
}

/** `ofKey`: that of the key alone. */
export function checksumOn(ofKey: number, value: Uint8Array): number {
  return crc32c(value, ofKey)
}

/** The sum after a row's checksum has changed; 0 stands for no row. */
export function changedSum(sum: number, before: number, after: number): number {
  return (sum + sumModulus - before + after) % sumModulus
}
