import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { RenewingMap, RenewingSet } from '../../src/base/index.js'

test('it is a Map, also for who goes through it while it changes', () => {
  const key = fc.integer({ min: 0, max: 40 })
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('set' as const), key }) },
    { weight: 12, arbitrary: fc.record({ kind: fc.constant('delete' as const), key }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const), key }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('walk' as const), key }) },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 600, size: 'max' }), (steps) => {
      const [model, tried] = [new Map<number, number>(), new RenewingMap<number, number>()]
      /** Takes each third element out on the way, the one after it with it, and puts one in; stops early, or not. */
      const walk = (map: Pick<Map<number, number>, 'delete' | 'has'> & Iterable<[number, number]>, put: () => void, most: number) => {
        const seen: [number, number][] = []
        for (const entry of map) {
          seen.push(entry)
          if (entry[0] % 3 === 0) {
            map.delete(entry[0])
            map.delete(entry[0] + 1)
            if (!map.has(entry[0] + 2)) put()
          }
          if (seen.length >= most) break
        }
        return seen
      }
      steps.forEach(({ kind, key: at }, number) => {
        if (kind === 'set') {
          model.set(at, number)
          tried.set(at, number)
        } else if (kind === 'delete') assert.equal(tried.delete(at), model.delete(at))
        else if (kind === 'clear') {
          model.clear()
          tried.clear()
        } else {
          const most = number % 2 === 0 ? 5 : 1_000
          assert.deepEqual(
            walk(tried, () => tried.set(at, -1), most),
            walk(model, () => model.set(at, -1), most),
          )
        }
        assert.equal(tried.size, model.size)
        assert.equal(tried.has(at), model.has(at))
        assert.equal(tried.get(at), model.get(at))
      })
      assert.deepEqual([...tried], [...model])
    }),
  )
})

test('what was deleted long ago is not kept alive by what was there before it', () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options?: { type: 'minor' }) => void
  const map = new RenewingMap<number, object>()
  const set = new RenewingSet<object>()
  for (let at = 0; at < 20; at++) map.set(at, new Array(64).fill(at))
  for (let round = 0; round < 4; round++) collect() // What is there now is old.
  const before = process.memoryUsage().heapUsed
  const queue: object[] = []
  for (let at = 0; at < 100_000; at++) {
    const element = new Array(64).fill(at) // 100,000 of half a KiB.
    map.set(at, element)
    set.add(element)
    queue.push(element)
    map.delete(at - 20)
    const former = queue.length > 20 ? queue.shift() : undefined
    if (former !== undefined) set.delete(former)
    if (at % 5_000 === 0) collect({ type: 'minor' })
  }
  collect({ type: 'minor' })
  collect({ type: 'minor' })
  const kept = process.memoryUsage().heapUsed - before
  assert.ok(kept < 8 * 1024 * 1024, `${(kept / 1024 / 1024).toFixed(1)} MiB of 52 are still there`)
})
