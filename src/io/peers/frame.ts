/**
 * Frames on a byte stream.
 *
 *     length of payload  u32 | CRC-32 of type and payload  u32 | type  u8 | payload        (little-endian)
 */
import { crc32 } from 'node:zlib'
import { invariant } from '../../base/index.js'

export const frameTypes = { hello: 1, proof: 2, reject: 3, identity: 4, ping: 5, pong: 6, message: 7 } as const
export type FrameType = keyof typeof frameTypes

export interface Frame {
  readonly type: FrameType
  readonly payload: Buffer
}

export const frameHeaderLength = 9
const typeNames = new Map(Object.entries(frameTypes).map(([name, number]) => [number as number, name as FrameType]))

/** What stands before `payload` on the wire. */
export function frameHeader(type: FrameType, payload: Uint8Array): Buffer {
  const header = Buffer.allocUnsafe(frameHeaderLength)
  header.writeUInt32LE(payload.length, 0)
  header[8] = frameTypes[type]
  header.writeUInt32LE(crc32(payload, crc32(header.subarray(8))), 4)
  return header
}

export function encodeFrame(type: FrameType, payload: Uint8Array): Buffer {
  return Buffer.concat([frameHeader(type, payload), payload])
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
  private length = 0
  private header: { readonly length: number; readonly checksum: number; readonly typeByte: Buffer } | undefined

  constructor(payloadMax: number) {
    this.payloadMax = payloadMax
  }

  push(chunk: Buffer): void {
    this.chunks.push(chunk)
    this.length += chunk.length
  }

  /** The first `count` bytes, once they are there. */
  takeBytes(count: number): Buffer | undefined {
    invariant(this.header === undefined, 'bytes are taken between frames')
    return this.take(count)
  }

  /** What has arrived and was not taken, up to `count` bytes of it. */
  peekBytes(count: number): Buffer {
    return Buffer.concat(this.chunks).subarray(0, count)
  }

  /** The next frame once it is whole; undefined before. Throws FrameError. */
  next(): Frame | undefined {
    if (this.header === undefined) {
      const bytes = this.take(frameHeaderLength)
      if (bytes === undefined) return undefined
      this.header = { length: bytes.readUInt32LE(0), checksum: bytes.readUInt32LE(4), typeByte: bytes.subarray(8) }
    }
    const { length, checksum, typeByte } = this.header
    if (length > this.payloadMax) throw new FrameError(`a frame has ${length} bytes, at most ${this.payloadMax} are allowed`)
    const payload = this.take(length)
    if (payload === undefined) return undefined
    this.header = undefined
    const found = crc32(payload, crc32(typeByte))
    if (found !== checksum) throw new FrameError(`a frame has checksum ${found.toString(16)} and says ${checksum.toString(16)}`)
    const type = typeNames.get(typeByte[0] as number)
    if (type === undefined) throw new FrameError(`a frame has type ${typeByte[0]}, known are ${[...typeNames.keys()].join(', ')}`)
    return { type, payload }
  }

  private take(count: number): Buffer | undefined {
    if (this.length < count) return undefined
    const first = this.chunks[0]
    if (first === undefined) return Buffer.alloc(0)
    let taken: Buffer
    if (first.length >= count) {
      taken = first.subarray(0, count)
      if (first.length === count) this.chunks.shift()
      else this.chunks[0] = first.subarray(count)
    } else {
      const all = Buffer.concat(this.chunks)
      taken = all.subarray(0, count)
      this.chunks = all.length === count ? [] : [all.subarray(count)]
    }
    this.length -= count
    return taken
  }
}
