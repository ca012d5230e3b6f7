/** Writes that came together become one entry, and nothing that could tell. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { LogIndex } from '../../../src/base/index.js'
import { type Command, loneWrite, mergeWrites, partOfStore, type StoreOperation } from '../../../src/core/cluster/index.js'

const put = (key: string, value: unknown): StoreOperation => ({ kind: 'put', key, value })
const store = (...operations: readonly StoreOperation[]): Command => ({ kind: 'store', operations })
const merged = (...writes: readonly StoreOperation[]) =>
  mergeWrites(writes.map((write, id) => ({ id, write }))).map(({ ids, command }) => [ids, command.operations] as const)

describe('a write', () => {
  test('of one key, without a condition, may stand with others', () => {
    for (const value of ['text', 1, true, null]) assert.deepEqual(loneWrite(store(put('a', value)), 65_536), put('a', value))
  })

  test('that could be refused, or is part of a whole, or of unknown size, may not', () => {
    const at = 3 as LogIndex
    const others: readonly Command[] = [
      store(put('a', 1), put('b', 2)),
      store(),
      store({ kind: 'put', key: 'a', value: 1, ifRevision: at }),
      store({ kind: 'put', key: 'a', value: 1, ifAbsent: true }),
      store({ kind: 'delete', key: 'a' }),
      store({ kind: 'get', key: 'a' }),
      store({ kind: 'check', key: 'a', revision: at }),
      store(put('a', { of: 'any size' })),
      store(put('a', 'x'.repeat(4_097))),
      { kind: 'mark-state' },
    ]
    for (const command of others) assert.equal(loneWrite(command, 65_536), undefined, JSON.stringify(command).slice(0, 100))
  })
})

test('a write that may be too large for the setting goes alone', () => {
  assert.notEqual(loneWrite(store(put('a', 'x'.repeat(100))), 602), undefined)
  assert.equal(loneWrite(store(put('a', 'x'.repeat(100))), 601), undefined)
})

describe('writes', () => {
  test('of different keys become one entry, in order', () => {
    assert.deepEqual(merged(put('a', 1), put('b', 2), put('c', 3)), [
      [
        [0, 1, 2],
        [put('a', 1), put('b', 2), put('c', 3)],
      ],
    ])
  })

  test('of one key stand in entries of their own, so that a revision is one value', () => {
    assert.deepEqual(merged(put('a', 1), put('b', 2), put('a', 3), put('c', 4)), [
      [
        [0, 1],
        [put('a', 1), put('b', 2)],
      ],
      [
        [2, 3],
        [put('a', 3), put('c', 4)],
      ],
    ])
  })

  test('are at most 64, and 64 Ki characters, in an entry', () => {
    const many = merged(...Array.from({ length: 150 }, (_, at) => put(`k${at}`, at)))
    assert.deepEqual(
      many.map(([ids]) => ids.length),
      [64, 64, 22],
    )
    const large = merged(...Array.from({ length: 40 }, (_, at) => put(`k${at}`, 'x'.repeat(4_000))))
    assert.deepEqual(
      large.map(([ids]) => ids.length),
      [16, 16, 8],
    )
  })

  test('that are none are no entry', () => {
    assert.deepEqual(merged(), [])
  })
})

test('a part of an answer is what the write alone would have been told', () => {
  const index = 9 as LogIndex
  const results = [
    { key: 'a', revision: 9 },
    { key: 'b', revision: 9 },
  ]
  assert.deepEqual(partOfStore({ ok: true, index, value: { results, revision: 9 } }, 1), {
    ok: true,
    index,
    value: { results: [{ key: 'b', revision: 9 }], revision: 9 },
  })
})
