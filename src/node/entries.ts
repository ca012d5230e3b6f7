/**
 * What the log keeps of a command.
 *
 * Writes of single keys, which come in by the thousand, are a run of bytes from feature level 5 on. MessagePack never begins with its
 * first byte, so that each form is told from the other:
 *
 *     0xc1 | form  u8 = 1 | length of request id  u8 | log time  u48 | wall clock  u48 | writes  u16 | request id        (little-endian)
 *     text in ASCII  u8: 1 the key, 2 the value | length of key  u16 | length of value  u32 | key | value       one write after the other
 *
 * Everything else is a map by the general encoder, and so is what does not fit in here.
 */
import { decode, encode, invariant, logTime, ownBytes, type RequestId, wallTime } from '../base/index.js'
import type { Envelope, StoreOperation } from '../core/cluster/index.js'

const mark = 0xc1
const form = 1
const headLength = 17
const writeHead = 7
const isKeyAscii = 1
const isValueAscii = 2
const numberMax = 2 ** 48
/** Characters of keys and values, all together. */
const charactersMax = 128 * 1024
const writesMax = 2_000
const keyMax = 4_096
/** Bytes that a character may take at most as UTF-8. */
const characterMax = 3

const scratch = Buffer.allocUnsafeSlow(headLength + 255 + writesMax * writeHead + charactersMax * characterMax)

/** `mayBeCompact`: every member has feature level 5. */
export function encodeEntry(envelope: Envelope, mayBeCompact: boolean): Uint8Array {
  return (mayBeCompact ? encodeWrites(envelope) : undefined) ?? encode(envelope)
}

export function isCompact(data: Uint8Array): boolean {
  return data[0] === mark
}

/** Throws on bytes that are none. */
export function decodeEntry(data: Uint8Array): Envelope {
  return isCompact(data) ? decodeWrites(Buffer.from(data.buffer, data.byteOffset, data.length)) : (decode(data) as Envelope)
}

/** Undefined where it has another form. */
function encodeWrites({ requestId, at, wall, command, fingerprint }: Envelope): Uint8Array | undefined {
  if (command.kind !== 'store' || fingerprint !== undefined || !isNumber(at) || !isNumber(wall)) return undefined
  const { operations } = command
  if (operations.length > writesMax || requestId.length > 255) return undefined
  const idLength = scratch.write(requestId, headLength)
  if (idLength !== requestId.length) return undefined
  let end = headLength + idLength
  let characters = 0
  for (const operation of operations) {
    if (operation.kind !== 'put' || !isPlain(operation)) return undefined
    const { key, value } = operation
    if (typeof value !== 'string' || key.length > keyMax || isHalf(key) || isHalf(value)) return undefined
    characters += key.length + value.length
    if (characters > charactersMax) return undefined
    end = writeOne(key, value, end)
  }
  scratch[0] = mark
  scratch[1] = form
  scratch[2] = idLength
  scratch.writeUIntLE(at, 3, 6)
  scratch.writeUIntLE(wall, 9, 6)
  scratch.writeUInt16LE(operations.length, 15)
  return ownBytes(scratch.subarray(0, end))
}

function isNumber(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < numberMax
}

/** The general encoder makes something else of half a character than is made of it here: it is to do so in every entry. */
function isHalf(text: string): boolean {
  return /\p{Surrogate}/u.test(text)
}

function isPlain(put: Extract<StoreOperation, { kind: 'put' }>): boolean {
  return put.ifRevision === undefined && put.ifAbsent === undefined
}

/** Answers with where it ends. */
function writeOne(key: string, value: string, at: number): number {
  const keyAt = at + writeHead
  const keyLength = scratch.write(key, keyAt)
  const valueAt = keyAt + keyLength
  const valueLength = scratch.write(value, valueAt)
  scratch[at] = (keyLength === key.length ? isKeyAscii : 0) | (valueLength === value.length ? isValueAscii : 0)
  scratch.writeUInt16LE(keyLength, at + 1)
  scratch.writeUInt32LE(valueLength, at + 3)
  return valueAt + valueLength
}

function decodeWrites(bytes: Buffer): Envelope {
  invariant(bytes[1] === form, 'an entry has a form that this version knows', { form: bytes[1] })
  const at = logTime(bytes.readUIntLE(3, 6))
  const wall = wallTime(bytes.readUIntLE(9, 6))
  const count = bytes.readUInt16LE(15)
  let end = headLength + (bytes[2] as number)
  const requestId = bytes.toString('latin1', headLength, end) as RequestId
  const operations: StoreOperation[] = []
  for (let number = 0; number < count; number++) {
    const ascii = bytes[end] as number
    const keyAt = end + writeHead
    const valueAt = keyAt + bytes.readUInt16LE(end + 1)
    const valueLength = bytes.readUInt32LE(end + 3)
    end = valueAt + valueLength
    operations.push({
      kind: 'put',
      key: textOf(bytes, (ascii & isKeyAscii) !== 0, keyAt, valueAt),
      value: textOf(bytes, (ascii & isValueAscii) !== 0, valueAt, end),
    })
  }
  invariant(end === bytes.length, 'an entry ends with its last write', { end, length: bytes.length })
  return { requestId, at, wall, command: { kind: 'store', operations } }
}

function textOf(bytes: Buffer, isAscii: boolean, from: number, to: number): string {
  return bytes.toString(isAscii ? 'latin1' : 'utf8', from, to)
}
