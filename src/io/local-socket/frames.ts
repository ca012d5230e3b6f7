/** Frames on a stream: four bytes of length, then one value in the binary form of `base/codec`. */
import { decode, encode } from '../../base/index.js'

/** A group's report with its resources is a few KiB, a call's output at most twice 64 KiB. */
export const frameMax = 8 * 1_048_576

export function toFrame(message: unknown): Uint8Array {
  const body = encode(message)
  const frame = new Uint8Array(4 + body.length)
  new DataView(frame.buffer).setUint32(0, body.length)
  frame.set(body, 4)
  return frame
}

export class FrameReader {
  #waiting: Uint8Array = new Uint8Array(0)

  /** The whole messages so far. Throws on a frame that is too long or cannot be decoded: the stream is then of no more use. */
  push(chunk: Uint8Array): readonly unknown[] {
    this.#waiting = this.#waiting.length === 0 ? chunk : Buffer.concat([this.#waiting, chunk])
    const messages: unknown[] = []
    let at = 0
    while (this.#waiting.length - at >= 4) {
      const length = new DataView(this.#waiting.buffer, this.#waiting.byteOffset + at).getUint32(0)
      if (length > frameMax) throw new Error(`a frame of ${length} bytes is longer than ${frameMax}`)
      if (this.#waiting.length - at - 4 < length) break
      messages.push(decode(this.#waiting.subarray(at + 4, at + 4 + length)))
      at += 4 + length
    }
    this.#waiting = this.#waiting.subarray(at)
    return messages
  }
}
