/** Whatever bytes arrive, decoders answer or refuse; nothing else happens. fast-check prints the seed of a failure. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { NodeId } from '../../../src/base/index.js'
import { decode, encode } from '../../../src/base/index.js'
import { encodeFrame, FrameError, FrameReader, type FrameType, frameTypes } from '../../../src/io/peers/frame.js'
import { checkPreamble, decodeHello } from '../../../src/io/peers/handshake.js'

const runs = { numRuns: 2_000 }

function readAll(chunks: readonly Uint8Array[], payloadMax: number): { type: FrameType; payload: string }[] {
  const reader = new FrameReader(payloadMax)
  const frames = []
  for (const chunk of chunks) {
    reader.push(Buffer.from(chunk))
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
      frames.push({ type: frame.type, payload: frame.payload.toString('hex') })
    }
  }
  return frames
}

describe('decoders', { timeout: 120_000 }, () => {
  test('frames come out as they went in, however the stream is cut', () => {
    const types = fc.constantFrom(...(Object.keys(frameTypes) as FrameType[]))
    fc.assert(
      fc.property(
        fc.array(fc.tuple(types, fc.uint8Array({ maxLength: 300 })), { maxLength: 10 }),
        fc.array(fc.integer({ min: 1, max: 50 })),
        (frames, cuts) => {
          const stream = Buffer.concat(frames.map(([type, payload]) => encodeFrame(type, payload)))
          const chunks: Buffer[] = []
          for (let at = 0, turn = 0; at < stream.length; turn++) {
            const length = cuts.length === 0 ? stream.length : (cuts[turn % cuts.length] as number)
            chunks.push(stream.subarray(at, at + length))
            at += length
          }
          assert.deepEqual(
            readAll(chunks, 300),
            frames.map(([type, payload]) => ({ type, payload: Buffer.from(payload).toString('hex') })),
          )
        },
      ),
      runs,
    )
  })

  test('any bytes are a frame, too few, or a FrameError', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 }), (chunks) => {
        try {
          readAll(chunks, 1_000)
        } catch (error) {
          assert.ok(error instanceof FrameError, String(error))
        }
      }),
      runs,
    )
  })

  test('one flipped bit is never passed over', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.nat(), fc.nat(7), (payload, place, bit) => {
        const whole = encodeFrame('message', payload)
        const broken = Buffer.from(whole)
        const at = place % broken.length
        broken[at] = (broken[at] as number) ^ (1 << bit)
        try {
          assert.deepEqual(readAll([broken], 1_000), [], 'at most the frame seems unfinished')
        } catch (error) {
          assert.ok(error instanceof FrameError, String(error))
        }
      }),
      runs,
    )
  })

  test('any bytes are a hello or none', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }),
          fc.json().map((text) => Buffer.from(text)),
        ),
        (bytes) => {
          const hello = decodeHello(bytes)
          assert.ok(hello === undefined || typeof hello.node === 'string')
          checkPreamble(bytes, 'n1' as NodeId)
        },
      ),
      runs,
    )
  })

  test('any bytes decode to a value or throw; what was encoded decodes to itself', () => {
    const value = fc.jsonValue().filter((json) => !JSON.stringify(json).includes('__proto__'))
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        try {
          decode(bytes)
        } catch (error) {
          assert.ok(error instanceof Error)
        }
      }),
      runs,
    )
    fc.assert(
      fc.property(value, (json) => {
        const bytes = encode(json)
        assert.deepEqual(JSON.parse(JSON.stringify(decode(bytes))), JSON.parse(JSON.stringify(json)))
        for (let length = 0; length < bytes.length; length++) {
          try {
            decode(bytes.subarray(0, length))
          } catch (error) {
            assert.ok(error instanceof Error)
          }
        }
      }),
      { numRuns: 500 },
    )
  })
})
