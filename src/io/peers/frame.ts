/**
 * Frames on a byte stream.
 *
 *     length of payload  u32 | CRC-32 of type and payload  u32 | type  u8 | payload        (little-endian)
 */
import { crc32 } from 'node:zlib'
import { invariant } from '../../base/index.js'

export const frameTypes = { hello: 1, proof: 2, reject: 3, identity: 4, ping: 5, pong: 6, message: 7, bytes: 8 } as const
export type FrameType = keyof typeof frameTypes

export interface Frame {
  readonly type: FrameType
  readonly payload: Buffer
}

export const frameHeaderLength = 9
/** Where the type stands; it and the payload behind it have the checksum. */
const typeAt = 8
const typeNames = new Map(Object.entries(frameTypes).map(([name, number]) => [number as number, name as FrameType]))
/** Checksums of each type alone. */
const typeChecksums = Array.from({ length: 256 }, (_, type) => crc32(Buffer.of(type)))

/** What stands before `payload` on the wire. */
export function frameHeader(type: FrameType, payload: Uint8Array): Buffer {
  const header = Buffer.allocUnsafe(frameHeaderLength)
  header.writeUInt32LE(payload.length, 0)
  header.writeUInt32LE(crc32(payload, typeChecksums[frameTypes[type]]), 4)
  header[typeAt] = frameTypes[type]
  return header
}

export function encodeFrame(type: FrameType, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(frameHeaderLength + payload.length)
  frame.writeUInt32LE(payload.length, 0)
  frame.writeUInt32LE(crc32(payload, typeChecksums[frameTypes[type]]), 4)
  frame[typeAt] = frameTypes[type]
  frame.set(payload, frameHeaderLength)
  return frame
}

/** The stream is not what it should be; `message` is a plain sentence about it. */
export class FrameError extends Error {
  override readonly name = 'FrameError'
}

/** Takes a stream apart. Holds no more than one frame and what arrived with its end. */
export class FrameReader {
  /** Largest payload accepted, in bytes: small until the peer has proved itself. */
  payloadMax: number
  private chunks: Buffer[] = []
  /** Of the first chunk, how much was taken. */
  private taken = 0
  private length = 0
  /** Of the frame whose header was taken: the length of its payload, or -1 between frames. */
  private awaited = -1
  private checksum = 0
  private type = 0

  constructor(payloadMax: number) {
    this.payloadMax = payloadMax
  }

  push(chunk: Buffer): void {
    this.chunks.push(chunk)
    this.length += chunk.length
  }

  /** The first `count` bytes, once they are there. */
  takeBytes(count: number): Buffer | undefined {
    invariant(this.awaited < 0, 'bytes are taken between frames')
    return this.length < count ? undefined : this.take(count)
  }

  /** What has arrived and was not taken, up to `count` bytes of it. */
  peekBytes(count: number): Buffer {
    return Buffer.concat(this.chunks).subarray(this.taken, this.taken + count)
  }

  /** The next frame once it is whole; undefined before. Throws FrameError. */
  next(): Frame | undefined {
    if (this.awaited < 0 && !this.takeHeader()) return undefined
    if (this.length < this.awaited) return undefined
    const payload = this.take(this.awaited)
    this.awaited = -1
    const found = crc32(payload, typeChecksums[this.type])
    if (found !== this.checksum) throw new FrameError(`a frame has checksum ${found.toString(16)} and says ${this.checksum.toString(16)}`)
    const type = typeNames.get(this.type)
    if (type === undefined) throw new FrameError(`a frame has type ${this.type}, known are ${[...typeNames.keys()].join(', ')}`)
    return { type, payload }
  }

  private takeHeader(): boolean {
    if (this.length < frameHeaderLength) return false
    const first = this.chunks[0] as Buffer
    const isWhole = first.length - this.taken >= frameHeaderLength
    const bytes = isWhole ? first : this.take(frameHeaderLength)
    const at = isWhole ? this.taken : 0
    if (isWhole) this.pass(frameHeaderLength)
    const length = bytes.readUInt32LE(at)
    if (length > this.payloadMax) throw new FrameError(`a frame has ${length} bytes, at most ${this.payloadMax} are allowed`)
    this.awaited = length
    this.checksum = bytes.readUInt32LE(at + 4)
    this.type = bytes[at + typeAt] as number
    return true
  }

  /** No more than have arrived. */
  private take(count: number): Buffer {
    const first = this.chunks[0]
    if (first === undefined) return Buffer.alloc(0)
    if (first.length - this.taken >= count) {
      const bytes = first.subarray(this.taken, this.taken + count)
      this.pass(count)
      return bytes
    }
    this.chunks[0] = first.subarray(this.taken)
    this.taken = 0
    const all = Buffer.concat(this.chunks)
    this.chunks = [all]
    this.pass(count)
    return all.subarray(0, count)
  }

  /** Of the first chunk. */
  private pass(count: number): void {
    this.taken += count
    this.length -= count
    if (this.taken < (this.chunks[0] as Buffer).length) return
    this.chunks.shift()
    this.taken = 0
  }
}
