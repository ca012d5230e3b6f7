/**
 * The log's records as bytes.
 *
 *     length of data  u32 | CRC32C  u32 | kind  u8 | 0 0 0 | term  u48 | index  u48 | data        (little-endian)
 *
 * The checksum covers everything behind it and begins with a seed of the segment, so that a record found in the wrong
 * place (a recycled block, a log inside a value) does not pass for one of ours.
 *
 * A `batch` record stands before the records that are synced together; its index is the batch's number. It says that
 * all batches before it had been synced when it was written, which is how damage and a torn tail are told apart.
 *
 * The first batch of a segment begins with the segment's header: a `base` or `begin` record, and the hard state, so that the
 * segments before it can go. `base` names the last entry before the segment, `begin` starts the log anew after a position.
 */
import { crc32c, invariant, type LogIndex, logIndex, type MemberId, type Term, term } from '../../base/index.js'
import type { HardState, LogEntry, LogPosition } from '../../core/raft/index.js'

export type LogRecord =
  | { readonly kind: 'batch'; readonly number: number }
  | { readonly kind: 'hard-state'; readonly hardState: HardState }
  | { readonly kind: 'entry'; readonly entry: LogEntry }
  | { readonly kind: 'base' | 'begin'; readonly position: LogPosition }

export const headerLength = 24
/** Where the kind stands, which is zero in no record. */
export const kindOffset = 8
/** Largest data of one record, in bytes. */
export const recordDataMax = 16 * 1024 * 1024

const kindNumbers = { batch: 1, 'hard-state': 2, noop: 3, command: 4, configuration: 5, base: 6, begin: 7 } as const
const entryKinds: Readonly<Record<number, LogEntry['kind']>> = { 3: 'noop', 4: 'command', 5: 'configuration' }

/** Length in bytes of `record` on disk. */
export function recordLength(record: LogRecord): number {
  switch (record.kind) {
    case 'batch':
    case 'base':
    case 'begin':
      return headerLength
    case 'hard-state':
      return headerLength + Buffer.byteLength(record.hardState.votedFor ?? '')
    case 'entry':
      return headerLength + record.entry.data.length
  }
}

/** Writes `record` at `at` and returns the position behind it. */
export function writeRecord(into: Buffer, at: number, record: LogRecord, seed: number): number {
  switch (record.kind) {
    case 'batch':
      return writeFields(into, at, kindNumbers.batch, 0, record.number, new Uint8Array(), seed)
    case 'hard-state': {
      const { term, votedFor } = record.hardState
      // The index field tells "voted for nobody" from a vote.
      return writeFields(into, at, kindNumbers['hard-state'], term, votedFor === null ? 0 : 1, Buffer.from(votedFor ?? ''), seed)
    }
    case 'entry': {
      const { kind, term, index, data } = record.entry
      return writeFields(into, at, kindNumbers[kind], term, index, data, seed)
    }
    case 'base':
    case 'begin':
      return writeFields(into, at, kindNumbers[record.kind], record.position.term, record.position.index, new Uint8Array(), seed)
  }
}

function writeFields(into: Buffer, at: number, kind: number, term: number, index: number, data: Uint8Array, seed: number): number {
  invariant(data.length <= recordDataMax, 'a log record has a bounded size', { bytes: data.length, recordDataMax })
  const end = at + headerLength + data.length
  into.writeUInt32LE(data.length, at)
  into.writeUInt32LE(kind, at + kindOffset)
  into.writeUIntLE(term, at + 12, 6)
  into.writeUIntLE(index, at + 18, 6)
  into.set(data, at + headerLength)
  into.writeUInt32LE(checksum(into, at, end, seed), at + 4)
  return end
}

/** The checksum covers the length too, though it stands before the checksum. */
function checksum(bytes: Buffer, at: number, end: number, seed: number): number {
  return crc32c(bytes.subarray(at + 8, end), crc32c(bytes.subarray(at, at + 4), seed))
}

/** The record at `at` and the position behind it; undefined where no sound record begins. Data are views of `bytes`. */
export function readRecord(bytes: Buffer, at: number, seed: number): { readonly record: LogRecord; readonly end: number } | undefined {
  if (at + headerLength > bytes.length) return undefined
  const kind = bytes.readUInt32LE(at + kindOffset)
  if (kind < kindNumbers.batch || kind > kindNumbers.begin) return undefined
  const end = at + headerLength + bytes.readUInt32LE(at)
  if (end > bytes.length || end - at > headerLength + recordDataMax) return undefined
  if (bytes.readUInt32LE(at + 4) !== checksum(bytes, at, end, seed)) return undefined
  return { record: sound(bytes, at, end, kind), end }
}

function sound(bytes: Buffer, at: number, end: number, kind: number): LogRecord {
  const recordTerm: Term = term(bytes.readUIntLE(at + 12, 6))
  const number = bytes.readUIntLE(at + 18, 6)
  const data = bytes.subarray(at + headerLength, end)
  if (kind === kindNumbers.batch) return { kind: 'batch', number }
  if (kind === kindNumbers['hard-state']) {
    return { kind: 'hard-state', hardState: { term: recordTerm, votedFor: number === 0 ? null : (data.toString() as MemberId) } }
  }
  const index: LogIndex = logIndex(number)
  if (kind === kindNumbers.base) return { kind: 'base', position: { index, term: recordTerm } }
  if (kind === kindNumbers.begin) return { kind: 'begin', position: { index, term: recordTerm } }
  const entryKind = entryKinds[kind]
  invariant(entryKind !== undefined, 'a sound record has a known kind', { kind })
  return {
    kind: 'entry',
    entry: { index, term: recordTerm, kind: entryKind, data: new Uint8Array(data.buffer, data.byteOffset, data.length) },
  }
}
