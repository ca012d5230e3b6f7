/** Rows as bytes: those that are written by hand are the bytes that the general encoder makes. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { decode, encode } from '../../../src/base/index.js'
import { encodeRow } from '../../../src/io/store/rows.js'

const text = fc.oneof(
  fc.string({ maxLength: 300 }),
  fc.string({ unit: 'grapheme', maxLength: 300 }),
  fc.string({ unit: 'binary', maxLength: 40 }),
  ...[0, 31, 32, 255, 256, 4_096, 4_097, 20_000].map((length) => fc.constant('x'.repeat(length))),
  ...[31, 255, 4_095].map((length) => fc.constant(`${'x'.repeat(length)}ü`)),
)
const revision = fc.oneof(
  fc.nat(),
  ...[0, 31, 32, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40].map((number) => fc.constant(number)),
)
const row = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(text, revision).map(([value, number]) => ({ value, revision: number })) },
  fc.tuple(text, revision).map(([value, number]) => ({ revision: number, value })),
  fc.tuple(text, revision).map(([value, number]) => ({ value, revision: number, more: true })),
  fc.record({
    value: fc.oneof(fc.integer(), fc.boolean(), fc.constant(null), fc.array(fc.string())),
    revision: fc.double({ noNaN: true }),
  }),
  fc.jsonValue(),
)

describe('rows as bytes', { timeout: 120_000 }, () => {
  test('a row has the same bytes, however it was made', () => {
    fc.assert(
      fc.property(row, (value) => {
        assert.deepEqual([...encodeRow(value)], [...encode(value)])
      }),
      { numRuns: 5_000 },
    )
  })

  test('what was made before stays as it was', () => {
    const rows = Array.from({ length: 500 }, (_, at) => ({
      value: `value ${at} ${at % 7 === 0 ? 'é' : 'e'}`.repeat(at % 40),
      revision: at * 1_000,
    }))
    const made = rows.map(encodeRow)
    assert.deepEqual(made.map(decode), rows)
  })
})
