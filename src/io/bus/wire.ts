/**
 * Values as they go over D-Bus (D-Bus specification, "Marshaling"): aligned, in the byte order of their sender.
 *
 * Arrays and structs are arrays, dictionaries are arrays of pairs; a variant is read as what it holds. What is read is bounded, and
 * anything that does not fit its signature throws.
 */
import { invariant } from '../../base/index.js'

export type BusValue = number | boolean | string | readonly BusValue[] | BusVariant

/** A value with its own signature, to be sent. */
export class BusVariant {
  readonly signature: string
  readonly value: BusValue

  constructor(signature: string, value: BusValue) {
    this.signature = signature
    this.value = value
  }
}

interface Type {
  readonly code: string
  /** Of an array what it is of, of a struct or a dictionary entry what it holds. */
  readonly inner: readonly Type[]
}

const signatureMax = 255
const depthMax = 32
const alignments: Readonly<Record<string, number>> = {
  y: 1,
  g: 1,
  v: 1,
  n: 2,
  q: 2,
  b: 4,
  i: 4,
  u: 4,
  h: 4,
  s: 4,
  o: 4,
  a: 4,
  x: 8,
  t: 8,
  d: 8,
  '(': 8,
  '{': 8,
}
const parsed = new Map<string, readonly Type[]>()
const parsedMax = 1_000

export function writeValues(signature: string, values: readonly BusValue[], writer: Writer): void {
  const types = typesOf(signature)
  invariant(types.length === values.length, 'there are as many values as the signature says', { signature, values: values.length })
  for (const [at, type] of types.entries()) writeValue(type, values[at] as BusValue, writer)
}

export function readValues(signature: string, reader: Reader): readonly BusValue[] {
  return typesOf(signature).map((type) => readValue(type, reader, 0))
}

/** Grows as it is written to; little-endian. */
export class Writer {
  #bytes = new Uint8Array(256)
  #view = new DataView(this.#bytes.buffer)
  #length = 0

  get length(): number {
    return this.#length
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  align(to: number) {
    this.#reserve((to - (this.#length % to)) % to)
  }

  /** `size` bytes, as one number of that size. */
  number(size: 1 | 2 | 4, value: number) {
    const at = this.#reserve(size)
    if (size === 1) this.#view.setUint8(at, value)
    else if (size === 2) this.#view.setUint16(at, value, true)
    else this.#view.setUint32(at, value, true)
  }

  long(value: number) {
    this.#view.setBigInt64(this.#reserve(8), BigInt(value), true)
  }

  double(value: number) {
    this.#view.setFloat64(this.#reserve(8), value, true)
  }

  text(value: string) {
    const encoded = new TextEncoder().encode(value)
    const at = this.#reserve(encoded.length + 1) // Ends in a zero.
    this.#bytes.set(encoded, at)
  }

  /** Puts a length in its place once it is known. */
  setLength(at: number, value: number) {
    this.#view.setUint32(at, value, true)
  }

  #reserve(size: number): number {
    const at = this.#length
    this.#length += size
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length))
      larger.set(this.#bytes.subarray(0, at))
      this.#bytes = larger
      this.#view = new DataView(larger.buffer)
    }
    return at
  }
}

export class Reader {
  readonly #view: DataView
  readonly #isLittle: boolean
  #at: number

  constructor(bytes: Uint8Array, isLittle: boolean, at = 0) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#isLittle = isLittle
    this.#at = at
  }

  get at(): number {
    return this.#at
  }

  align(to: number) {
    this.#skip((to - (this.#at % to)) % to)
  }

  /** Those that do not fit into a number exactly come as the nearest one. */
  number(code: string): number {
    const at = this.#skip(alignments[code] ?? 1)
    switch (code) {
      case 'y':
        return this.#view.getUint8(at)
      case 'n':
        return this.#view.getInt16(at, this.#isLittle)
      case 'q':
        return this.#view.getUint16(at, this.#isLittle)
      case 'i':
        return this.#view.getInt32(at, this.#isLittle)
      case 'x':
        return Number(this.#view.getBigInt64(at, this.#isLittle))
      case 't':
        return Number(this.#view.getBigUint64(at, this.#isLittle))
      case 'd':
        return this.#view.getFloat64(at, this.#isLittle)
      default:
        return this.#view.getUint32(at, this.#isLittle)
    }
  }

  /** `length` bytes of text and the zero behind them. */
  text(length: number): string {
    const at = this.#skip(length + 1)
    return new TextDecoder().decode(new Uint8Array(this.#view.buffer, this.#view.byteOffset + at, length))
  }

  #skip(size: number): number {
    const at = this.#at
    if (at + size > this.#view.byteLength) throw new Error('a message ends within a value')
    this.#at += size
    return at
  }
}

function writeValue({ code, inner }: Type, value: BusValue, writer: Writer): void {
  writer.align(alignments[code] ?? 1)
  switch (code) {
    case 'y':
      return writer.number(1, value as number)
    case 'n':
    case 'q':
      return writer.number(2, value as number)
    case 'b':
      return writer.number(4, value === true ? 1 : 0)
    case 'i':
    case 'u':
    case 'h':
      return writer.number(4, value as number)
    case 'x':
    case 't':
      return writer.long(value as number)
    case 'd':
      return writer.double(value as number)
    case 's':
    case 'o':
      writer.number(4, new TextEncoder().encode(value as string).length)
      return writer.text(value as string)
    case 'g':
      writer.number(1, (value as string).length)
      return writer.text(value as string)
    case 'v': {
      const { signature, value: held } = value as BusVariant
      writer.number(1, signature.length)
      writer.text(signature)
      return writeValues(signature, [held], writer)
    }
    case 'a':
      return writeArray(inner[0] as Type, value as readonly BusValue[], writer)
    default:
      for (const [at, type] of inner.entries()) writeValue(type, (value as readonly BusValue[])[at] as BusValue, writer)
  }
}

function writeArray(of: Type, values: readonly BusValue[], writer: Writer) {
  const lengthAt = writer.length
  writer.number(4, 0)
  writer.align(alignments[of.code] ?? 1) // No part of the length.
  const from = writer.length
  for (const value of values) writeValue(of, value, writer)
  writer.setLength(lengthAt, writer.length - from)
}

function readValue({ code, inner }: Type, reader: Reader, depth: number): BusValue {
  if (depth > depthMax) throw new Error('a message holds values within values without end')
  reader.align(alignments[code] ?? 1)
  switch (code) {
    case 'b':
      return reader.number('u') !== 0
    case 's':
    case 'o':
      return reader.text(reader.number('u'))
    case 'g':
      return reader.text(reader.number('y'))
    case 'v': {
      const [type, ...more] = typesOf(reader.text(reader.number('y')))
      if (type === undefined || more.length > 0) throw new Error('a variant holds one value')
      return readValue(type, reader, depth + 1)
    }
    case 'a':
      return readArray(inner[0] as Type, reader, depth)
    case '(':
    case '{':
      return inner.map((type) => readValue(type, reader, depth + 1))
    default:
      return reader.number(code)
  }
}

function readArray(of: Type, reader: Reader, depth: number): readonly BusValue[] {
  const length = reader.number('u')
  reader.align(alignments[of.code] ?? 1)
  const end = reader.at + length
  const values: BusValue[] = []
  while (reader.at < end) values.push(readValue(of, reader, depth + 1))
  if (reader.at !== end) throw new Error('an array ends within a value')
  return values
}

function typesOf(signature: string): readonly Type[] {
  const known = parsed.get(signature)
  if (known !== undefined) return known
  if (signature.length > signatureMax) throw new Error('a signature is too long')
  const types: Type[] = []
  for (let at = 0; at < signature.length; ) {
    const { type, end } = parseType(signature, at, 0)
    types.push(type)
    at = end
  }
  if (parsed.size >= parsedMax) parsed.clear()
  parsed.set(signature, types)
  return types
}

function parseType(signature: string, at: number, depth: number): { readonly type: Type; readonly end: number } {
  const code = signature[at] ?? ''
  if (depth > depthMax || alignments[code] === undefined) throw new Error(`"${signature}" is no signature`)
  if (code === 'a') {
    const { type, end } = parseType(signature, at + 1, depth + 1)
    return { type: { code, inner: [type] }, end }
  }
  const close = code === '(' ? ')' : code === '{' ? '}' : undefined
  if (close === undefined) return { type: { code, inner: [] }, end: at + 1 }
  const inner: Type[] = []
  let next = at + 1
  while (signature[next] !== close) {
    const { type, end } = parseType(signature, next, depth + 1)
    inner.push(type)
    next = end
  }
  if (inner.length === 0) throw new Error(`"${signature}" is no signature`)
  return { type: { code, inner }, end: next + 1 }
}
