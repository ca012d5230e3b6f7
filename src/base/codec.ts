/**
 * One binary form for everything that leaves memory: log entries, stored rows, frames.
 *
 * MessagePack by `msgpackr`, plain maps (no shared structures), so that any message can be read alone and by any version.
 */
// Not the package's main entry: that one loads a native addon which cuts strings out of one large one. Such a string is slow to
// compare, keeps the large one in memory, and is no faster to make.
import './whole-texts-begin.js'
import { Packr } from 'msgpackr/pack'
import { Unpackr } from 'msgpackr/unpack'
import './whole-texts-end.js'
import { invariant } from './invariant.js'

const packr = new Packr({ useRecords: false, variableMapSize: true, moreTypes: false })
const unpackr = new Unpackr({ useRecords: false, moreTypes: false, mapsAsObjects: true })

/** Short copies share a buffer of this many bytes: one of its own for each costs more than what is written into it. */
const poolBytes = 16 * 1024
let pool = new Uint8Array(poolBytes)
let poolUsed = 0

/** A fresh copy: it does not alias the encoder's buffer. */
export function encode(value: unknown): Uint8Array {
  return ownBytes(packr.pack(value))
}

/** A copy that may be kept. */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  const { length } = bytes
  if (length > poolBytes / 8) return new Uint8Array(bytes)
  if (poolUsed + length > poolBytes) {
    pool = new Uint8Array(poolBytes)
    poolUsed = 0
  }
  const copy = new Uint8Array(pool.buffer, poolUsed, length)
  copy.set(bytes)
  poolUsed += length
  return copy
}

/**
 * The same as a view of a larger buffer, which it keeps from being freed: for what is written out soon and then forgotten. The
 * encoder does not use the bytes again.
 */
export function encodeBriefly(value: unknown): Uint8Array {
  const packed = packr.pack(value)
  return new Uint8Array(packed.buffer, packed.byteOffset, packed.byteLength)
}

/** Throws on bytes that are not one whole MessagePack value. */
export function decode(bytes: Uint8Array): unknown {
  return unpackr.unpack(bytes)
}

// However the program was put together: the decoder was made while it was to be another one.
const marked = `\ufeff${'é'.repeat(40)}`
invariant(decode(encode(marked)) === marked, 'a text is read as it was written')
