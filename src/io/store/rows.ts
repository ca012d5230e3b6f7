/**
 * Rows of the applied state as the database and snapshots hold them: `table\0key` and an encoded value.
 *
 * One row, before all others, says what they stand for; the sum over all other rows in it tells whether they are all there.
 */
import { crc32c, decode, encode, encodeBriefly, invariant, logIndex, term } from '../../base/index.js'
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

/** What stands before the keys of a table's rows. */
export function keyPrefix(table: string): string {
  invariant(table.length > 0 && !table.includes('\0'), 'a table has a name without NUL', { table })
  return `${table}\0`
}

export interface Place {
  readonly table: string
  readonly key: string
}

/** A row's place, as its key says. */
export function placeOf(key: string): Place {
  const split = key.indexOf('\0')
  return { table: key.slice(0, split), key: key.slice(split + 1) }
}

export function decodeRow(key: string, value: Uint8Array): Row {
  return rowAt(placeOf(key), value)
}

/** Named one by one: a spread would give every row a list of properties of its own. */
export function rowAt({ table, key }: Place, value: Uint8Array): Row {
  return { table, key, value: decode(value) }
}

/** Clients' rows are many and small: they are written by hand, a chunk of memory after the other. */
const chunkBytes = 16 * 1024
const handMax = 4 * 1024
const beforeValue = Buffer.concat([Buffer.of(0x82, 0xa5), Buffer.from('value')])
const beforeRevision = Buffer.concat([Buffer.of(0xa8), Buffer.from('revision')])
let chunk = Buffer.allocUnsafeSlow(chunkBytes)
let chunkUsed = 0

/** As `encodeBriefly`, to the byte: members compare sums over these bytes. For what is written out soon and then forgotten. */
export function encodeRow(row: unknown): Uint8Array {
  return encodeOfClient(row) ?? encodeBriefly(row)
}

function encodeOfClient(row: unknown): Uint8Array | undefined {
  if (typeof row !== 'object' || row === null || !hasJustValueAndRevision(row)) return undefined
  const { value, revision } = row as { readonly value?: unknown; readonly revision?: unknown }
  const isHandy = typeof value === 'string' && value.length <= handMax && typeof revision === 'number' && revision >>> 0 === revision
  return isHandy ? encodeByHand(value, revision) : undefined
}

/** In this order: another one would be other bytes. */
function hasJustValueAndRevision(row: object): boolean {
  let fields = 0
  for (const name in row) {
    fields += 1
    if (name !== (fields === 1 ? 'value' : 'revision')) return false
  }
  return fields === 2
}

/** Undefined where the text is not in ASCII, whose length in bytes is only known when it is written. */
function encodeByHand(text: string, revision: number): Uint8Array | undefined {
  const { length } = text
  if (chunkUsed + length + 32 > chunkBytes) {
    chunk = Buffer.allocUnsafeSlow(chunkBytes)
    chunkUsed = 0
  }
  let at = copy(beforeValue, chunkUsed)
  if (length < 0x20) chunk[at++] = 0xa0 | length
  else if (length < 0x100) {
    chunk[at++] = 0xd9
    chunk[at++] = length
  } else {
    chunk[at++] = 0xda
    at = chunk.writeUInt16BE(length, at)
  }
  if (chunk.write(text, at) !== length) return undefined
  at = writeNumber32(revision, copy(beforeRevision, at + length))
  const bytes = new Uint8Array(chunk.buffer, chunkUsed, at - chunkUsed)
  chunkUsed = at
  return bytes
}

/** So few bytes are copied sooner than a function of the engine is called. Answers with where it ends. */
function copy(bytes: Uint8Array, to: number): number {
  for (let at = 0; at < bytes.length; at++) chunk[to + at] = bytes[at] as number
  return to + bytes.length
}

/** Answers with where it ends. */
function writeNumber32(value: number, at: number): number {
  if (value < 0x80) return chunk.writeUInt8(value, at)
  const head = value < 0x100 ? 0xcc : value < 0x1_0000 ? 0xcd : 0xce
  chunk[at] = head
  if (head === 0xcc) return chunk.writeUInt8(value, at + 1)
  return head === 0xcd ? chunk.writeUInt16BE(value, at + 1) : chunk.writeUInt32BE(value, at + 1)
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
