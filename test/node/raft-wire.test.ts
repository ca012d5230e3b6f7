/** Raft messages on the wire: what is packed comes out as it was, in both forms, and what is garbled is nothing. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { decode, encode, logIndex, type MemberId, term } from '../../src/base/index.js'
import type { LogEntry, RaftMessage } from '../../src/core/raft/index.js'
import { type RaftFrame, RaftPacker, unpackFrame } from '../../src/node/raft-wire.js'

const self = 'member-n1-0123456789abcdef' as MemberId
const to = 'member-n2-fedcba9876543210' as MemberId

const number = fc.integer({ min: 0, max: 2 ** 48 - 1 })
const aTerm = number.map(term)
const anIndex = fc.integer({ min: 0, max: 2 ** 47 }).map(logIndex)
const entryData = fc.record({
  term: aTerm,
  kind: fc.constantFrom('noop', 'command', 'configuration'),
  data: fc.uint8Array({ maxLength: 400 }),
})
const append: fc.Arbitrary<RaftMessage> = fc
  .record({ term: aTerm, prevIndex: anIndex, prevTerm: aTerm, commit: anIndex, entries: fc.array(entryData, { maxLength: 5 }) })
  .map(({ entries, ...rest }) => ({
    kind: 'append',
    ...rest,
    entries: entries.map((entry, at) => ({ ...entry, index: logIndex(rest.prevIndex + 1 + at) }) as LogEntry),
  }))
const message: fc.Arbitrary<RaftMessage> = fc.oneof(
  append,
  fc.record({
    kind: fc.constant('append-response' as const),
    term: aTerm,
    success: fc.boolean(),
    index: anIndex,
    hintIndex: anIndex,
    hintTerm: aTerm,
  }),
  fc.record({ kind: fc.constant('heartbeat' as const), term: aTerm, round: number, commit: anIndex }),
  fc.record({ kind: fc.constant('heartbeat-response' as const), term: aTerm, round: number, durable: anIndex }),
  fc.record({ kind: fc.constant('timeout-now' as const), term: aTerm }),
)

/** As the other side gets it. */
function carried(frame: RaftFrame | Uint8Array): RaftFrame | Uint8Array {
  return frame instanceof Uint8Array ? new Uint8Array(frame) : (decode(encode(frame)) as RaftFrame)
}

/** Views of any kind become plain ones: what counts is what is in them. */
function plain(found: unknown): unknown {
  return JSON.parse(JSON.stringify(found, (_, value) => (value instanceof Uint8Array ? [...value] : value)))
}

describe('Raft messages on the wire', { timeout: 120_000 }, () => {
  test('every message comes out as it went in, compact or not', () => {
    fc.assert(
      fc.property(message, fc.boolean(), (sent, isCompact) => {
        const frame = new RaftPacker(self).pack(to, sent, isCompact)
        assert.equal(frame instanceof Uint8Array, isCompact && sent.kind !== 'timeout-now')
        assert.deepEqual(plain(unpackFrame(carried(frame))), plain({ member: self, to, message: sent }))
      }),
      { numRuns: 2_000 },
    )
  })

  test('entries that are packed once serve every follower, and only as long as they are the same ones', () => {
    const packer = new RaftPacker(self)
    const entry = (index: number, text: string): LogEntry => ({
      index: logIndex(index),
      term: term(3),
      kind: 'command',
      data: new TextEncoder().encode(text),
    })
    const [one, other] = [entry(8, 'one'), entry(8, 'other')]
    for (const entries of [[one], [one], [other], [other, entry(9, 'more')], []])
      for (const isCompact of [true, false]) {
        const sent: RaftMessage = { kind: 'append', term: term(3), prevIndex: logIndex(7), prevTerm: term(2), entries, commit: logIndex(5) }
        assert.deepEqual(plain(unpackFrame(carried(packer.pack(to, sent, isCompact)))), plain({ member: self, to, message: sent }))
      }
  })

  test('a large append is a map, whatever the receiver understands', () => {
    const entries: LogEntry[] = [{ index: logIndex(1), term: term(1), kind: 'command', data: new Uint8Array(100_000).fill(7) }]
    const sent: RaftMessage = { kind: 'append', term: term(1), prevIndex: logIndex(0), prevTerm: term(0), entries, commit: logIndex(0) }
    const frame = new RaftPacker(self).pack(to, sent, true)
    assert.equal(frame instanceof Uint8Array, false)
    assert.deepEqual(plain(unpackFrame(carried(frame))), plain({ member: self, to, message: sent }))
  })

  test('garbled bytes are no message, and nothing worse', () => {
    const changed = fc.record({ cut: fc.nat(), at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) })
    fc.assert(
      fc.property(message, changed, (sent, { cut, at, byte }) => {
        const frame = new RaftPacker(self).pack(to, sent, true)
        if (!(frame instanceof Uint8Array)) return
        const short = frame.subarray(0, cut % frame.length)
        const whole = unpackFrame(short)
        // An append that ends between two entries is one with fewer of them.
        if (whole !== undefined) assert.equal(sent.kind, 'append')
        const bytes = new Uint8Array(frame)
        bytes[at % bytes.length] = byte
        unpackFrame(bytes)
      }),
      { numRuns: 5_000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void unpackFrame(bytes)),
      { numRuns: 5_000 },
    )
  })
})
