/**
 * One binary form for everything that leaves memory: log entries, stored rows, frames.
 *
 * MessagePack by `msgpackr`, plain maps (no shared structures), so that any message can be read alone and by any version.
 */
import { Packr, Unpackr } from 'msgpackr'

const packr = new Packr({ useRecords: false, variableMapSize: true, moreTypes: false })
const unpackr = new Unpackr({ useRecords: false, moreTypes: false, mapsAsObjects: true })

/** A fresh copy: it does not alias the encoder's buffer. */
export function encode(value: unknown): Uint8Array {
  return new Uint8Array(packr.pack(value))
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
