import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { shardCount, shardOf, Table } from '../../../src/core/cluster/table.js'

/** As slow and as plain as can be. */
class Model {
  readonly rows: Map<string, unknown>

  constructor(rows: ReadonlyMap<string, unknown> = new Map()) {
    this.rows = new Map(rows)
  }

  entries(from = ''): readonly (readonly [string, unknown])[] {
    return [...this.rows].filter(([key]) => key >= from).sort(([a], [b]) => (a < b ? -1 : 1))
  }
}

for (const isIndexed of [true, false]) {
  test(`a table${isIndexed ? ' with an index' : ''} and its pictures, each changed without the others`, () => {
    const key = fc.oneof(
      fc.integer({ min: 0, max: 30 }).map((number) => `bench/key-${number}`),
      fc.constantFrom('', 'a', 'ä', '\0', 'bench/', '1'),
    )
    const step = fc.record({
      kind: fc.oneof(
        { weight: 10, arbitrary: fc.constant('set' as const) },
        { weight: 3, arbitrary: fc.constant('delete' as const) },
        { weight: 1, arbitrary: fc.constant('picture' as const) },
      ),
      key,
      of: fc.nat({ max: 5 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150, size: 'max' }), key, (steps, from) => {
        const all: [Table, Model][] = [[Table.empty(isIndexed), new Model()]]
        steps.forEach(({ kind, key: at, of }, number) => {
          const [table, model] = all[of % all.length] as [Table, Model]
          if (kind === 'set') {
            table.set(at, { number })
            model.rows.set(at, { number })
          } else if (kind === 'delete') {
            table.delete(at)
            model.rows.delete(at)
          } else if (all.length < 6) all.push([table.picture(), new Model(model.rows)])
          for (const [one, expected] of all) assert.deepEqual(one.get(at), expected.rows.get(at))
        })
        for (const [table, model] of all) {
          assert.equal(table.size, model.rows.size)
          assert.deepEqual([...table.entries()], model.entries())
          assert.deepEqual([...table.entries(from)], model.entries(from))
          for (const [name, row] of model.rows) assert.deepEqual(table.get(name), row)
        }
      }),
      { numRuns: 300 },
    )
  })
}

test('keys spread over the shards, wherever they differ', () => {
  const families: readonly ((number: number) => string)[] = [
    (number) => `bench/key-${String(number).padStart(8, '0')}`,
    (number) => `app/service-${number}/status`,
    (number) => `${number}`,
    (number) => `${number}${'x'.repeat(400)}`,
    (number) => `leader/${number.toString(16)}/current/configuration`,
  ]
  const count = 20_000
  for (const family of families) {
    const sizes = new Array(shardCount).fill(0)
    for (let number = 0; number < count; number++) sizes[shardOf(family(number))]++
    assert.ok(Math.max(...sizes) < (3 * count) / shardCount, `${family(1)}: ${Math.max(...sizes)} of ${count} in one shard`)
  }
})
