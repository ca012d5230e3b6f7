/** Entries of the log: what is written of a command comes out as it was, and is told from what earlier versions wrote. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { decode, encode, logIndex, logTime, type RequestId, wallTime } from '../../src/base/index.js'
import type { Command, Envelope, StoreOperation } from '../../src/core/cluster/index.js'
import { encodeRow } from '../../src/io/store/rows.js'
import { decodeEntry, encodeEntry, isCompact } from '../../src/node/entries.js'

const whole = (unit: 'grapheme' | 'grapheme-ascii' | undefined, maxLength: number) =>
  fc.string({ ...(unit === undefined ? {} : { unit }), maxLength })
const key = fc.oneof(whole('grapheme-ascii', 40), whole('grapheme', 20))
const value = fc.oneof(whole('grapheme-ascii', 600), whole('grapheme', 200), fc.constant('\uFEFFmarked'), fc.constant(''))
const ordinary = { noNullPrototype: true } as const
const put: fc.Arbitrary<StoreOperation> = fc.record({ kind: fc.constant('put' as const), key, value }, ordinary)
const other: fc.Arbitrary<StoreOperation> = fc.oneof(
  fc.record({ kind: fc.constant('put' as const), key, value, ifAbsent: fc.constant(true) }, ordinary),
  fc.record(
    { kind: fc.constant('put' as const), key, value: fc.oneof(fc.integer(), fc.constant(null), fc.record({ a: fc.string() }, ordinary)) },
    ordinary,
  ),
  fc.record({ kind: fc.constant('delete' as const), key }, ordinary),
)
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 4, arbitrary: fc.array(put, { maxLength: 40 }).map((operations) => ({ kind: 'store' as const, operations })) },
  fc.array(fc.oneof(put, other), { maxLength: 8 }).map((operations) => ({ kind: 'store' as const, operations })),
  fc.constant({ kind: 'mark-state' as const }),
)
const envelope: fc.Arbitrary<Envelope> = fc
  .record({
    requestId: fc.oneof(whole('grapheme-ascii', 60), whole('grapheme', 20), fc.constant('x'.repeat(300))),
    at: fc.oneof(fc.maxSafeNat(), fc.double({ min: 0, max: 1e9, noNaN: true })).map(logTime),
    wall: fc.maxSafeNat().map(wallTime),
    command,
    fingerprint: fc.option(fc.string(), { nil: undefined }),
  })
  .map(({ fingerprint, requestId, ...rest }) => ({
    ...rest,
    requestId: requestId as RequestId,
    ...(fingerprint === undefined ? {} : { fingerprint }),
  }))

const compactMark = 0xc1
const plainOf = (operations: readonly StoreOperation[]): Envelope => ({
  requestId: 'n1-abc-1' as RequestId,
  at: logTime(5),
  wall: wallTime(1_700_000_000_000),
  command: { kind: 'store', operations },
})

describe('entries of the log', { timeout: 120_000 }, () => {
  test('every command comes out as it went in, compact or not', () => {
    fc.assert(
      fc.property(envelope, fc.boolean(), (sent, mayBeCompact) => {
        const data = encodeEntry(sent, mayBeCompact)
        if (!mayBeCompact) assert.deepEqual(data, encode(sent))
        assert.deepEqual(decodeEntry(data), sent)
      }),
      { numRuns: 3_000 },
    )
  })

  test('only puts of texts without condition are compact', () => {
    const is = (operations: readonly StoreOperation[]) => encodeEntry(plainOf(operations), true)[0] === compactMark
    assert.equal(is([{ kind: 'put', key: 'a', value: 'b' }]), true)
    assert.equal(is([{ kind: 'put', key: 'ä', value: 'ß' }]), true)
    assert.equal(
      is([
        { kind: 'put', key: 'a', value: 'b' },
        { kind: 'delete', key: 'c' },
      ]),
      false,
    )
    assert.equal(is([{ kind: 'put', key: 'a', value: 1 }]), false)
    assert.equal(is([{ kind: 'put', key: 'a', value: 'b', ifRevision: logIndex(3) }]), false)
    assert.equal(is([{ kind: 'put', key: 'a', value: 'b', ifAbsent: true }]), false)
  })

  test('a text reads the same out of an entry, whatever its form, and out of a row', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      ...['\uFEFF', '\uD800', '\uDC00\uD800', '\uFEFF\uFEFF'].map((begin) =>
        fc.string({ unit: 'grapheme', maxLength: 200 }).map((rest) => begin + rest),
      ),
    )
    fc.assert(
      fc.property(text, text, (key, value) => {
        const sent = plainOf([{ kind: 'put', key, value }])
        const compact = decodeEntry(encodeEntry(sent, true))
        assert.deepEqual(compact, decodeEntry(encodeEntry(sent, false)))
        if (!isCompact(encodeEntry(sent, true))) return
        assert.deepEqual(compact, sent)
        assert.deepEqual(decode(encodeRow({ value, revision: 7 })), { value, revision: 7 })
      }),
      { numRuns: 5_000 },
    )
  })

  test('what is larger than the space for it is written in the general form', () => {
    for (const operations of [
      [{ kind: 'put', key: 'k'.repeat(5_000), value: 'v' }],
      [{ kind: 'put', key: 'k', value: 'ü'.repeat(200_000) }],
      Array.from({ length: 3_000 }, (_, at) => ({ kind: 'put', key: `k${at}`, value: 'v' })),
      Array.from({ length: 100 }, (_, at) => ({ kind: 'put', key: `k${at}`, value: '€'.repeat(1_300) })),
      Array.from({ length: 2_000 }, (_, at) => ({ kind: 'put', key: `${at}${'€'.repeat(20)}`, value: '€'.repeat(40) })),
    ] as StoreOperation[][]) {
      const sent = plainOf(operations)
      assert.deepEqual(decodeEntry(encodeEntry(sent, true)), sent)
    }
  })

  test('an entry that was cut or goes on is none', () => {
    const data = encodeEntry(plainOf([{ kind: 'put', key: 'a', value: 'b'.repeat(100) }]), true)
    for (let length = 0; length < data.length; length++) assert.throws(() => decodeEntry(data.subarray(0, length)))
    assert.throws(() => decodeEntry(Buffer.concat([data, Buffer.of(0)])))
    const later = new Uint8Array(data)
    later[1] = 2
    assert.throws(() => decodeEntry(later), /a form that this version knows/)
  })
})
