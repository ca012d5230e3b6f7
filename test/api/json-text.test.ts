import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseJson } from '../../src/api/http/json-text.js'
import { ClusterError } from '../../src/base/index.js'

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31)

test('what it takes, it takes as the engine does', () => {
  for (const text of ['{}', '[]', ' {"a" : [1, -0.5e+3, true, false, null, "x\\u00e9\\n\\"" ] } ', '"é😀"', '0', '-0', '1e3']) {
    assert.deepEqual(parseJson(text), JSON.parse(text), text)
  }
  fc.assert(
    fc.property(fc.json(), (text) => {
      if (/"__proto__"/.test(text)) return
      assert.deepEqual(parseJson(text), JSON.parse(text))
    }),
    { seed },
  )
})

test('what it refuses, it refuses with the place', () => {
  const table: readonly (readonly [string, number, RegExp])[] = [
    ['', 0, /too early/],
    ['{', 1, /key/],
    ['{"a"}', 4, /":"/],
    ['{"a":1,}', 7, /key/],
    ['{a:1}', 1, /key in double quotes/],
    ["{'a':1}", 1, /key in double quotes/],
    ['{"a":tru}', 5, /value/],
    ['[1 2]', 3, /"," or "\]"/],
    ['{"a":1} x', 8, /nothing more/],
    ['{"a":1,"a":2}', 7, /twice/],
    ['{"__proto__":1}', 1, /not allowed/],
    ['"abc', 4, /not closed/],
    ['"a\nb"', 2, /control/],
    ['"\\x"', 1, /escape/],
    ['"\\u12"', 1, /hexadecimal/],
    ['1e999', 0, /too large/],
    ['01', 1, /nothing more/],
    ['NaN', 0, /value/],
    ['['.repeat(200), 101, /nested/],
  ]
  for (const [text, position, detail] of table) {
    assert.throws(
      () => parseJson(text),
      (error) =>
        error instanceof ClusterError && error.code === 'BAD_JSON' && error.facts.position === position && detail.test(error.message),
      `${text.slice(0, 30)} at ${position}`,
    )
  }
})

test(`nothing else comes out than a value or BAD_JSON (seed ${seed})`, () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'{}[]":,0123456789.eE+-\\untrfals \n\t'), maxLength: 60 }), (text) => {
      let expected: unknown
      try {
        expected = JSON.parse(text)
      } catch {
        assert.throws(() => parseJson(text), ClusterError)
        return
      }
      try {
        assert.deepEqual(parseJson(text), expected)
      } catch (error) {
        assert.ok(error instanceof ClusterError && /twice|too large|nested|__proto__/.test(error.message), text)
      }
    }),
    { seed, numRuns: 2_000 },
  )
})
