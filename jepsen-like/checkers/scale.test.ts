/** Ten thousand operations of fifty clients, all of them at work all the time: minutes would do, seconds are usual. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkLinearizable } from './index.js'
import { corrupt, generate, headerOf, type Shape } from './testing/generate.js'
import { Random } from './testing/random.js'

const large = { clients: 50, operations: 10_000, keys: 0, values: 0 }
const shapes: Readonly<Record<string, Shape>> = {
  'a register with few values': { ...large, model: 'cas-register', values: 5, info: 0 },
  'a register with few values, strict, a part unknown': { ...large, model: 'cas-register', values: 5, strict: true, info: 0.05 },
  'a register with new values, a part unknown': { ...large, model: 'cas-register', info: 0.05 },
  'keys and values, many unknown': { ...large, model: 'kv', keys: 20, values: 10, info: 0.2 },
  'several registers with new values': { ...large, model: 'multi-register', keys: 5, info: 0 },
  'a lock, a part unknown': { ...large, model: 'mutex', info: 0.05 },
  'a set, a part unknown': { ...large, model: 'set', info: 0.05, reads: 0.2 },
  'a list, a part unknown': { ...large, model: 'list-append', info: 0.05, reads: 0.2 },
  'several lists, a part unknown': { ...large, model: 'list-append', keys: 20, info: 0.05 },
}

for (const [name, shape] of Object.entries(shapes)) {
  test(`${name}: ${shape.operations} operations of ${shape.clients} clients`, { timeout: 240_000 }, () => {
    const random = new Random(1)
    const history = generate(shape, random)
    assert.equal(checkLinearizable(history, headerOf(shape)).linearizable, true)
    // With few values, another one is seldom wrong.
    if (shape.values > 0 || shape.model === 'mutex') return
    const verdict = checkLinearizable(corrupt(history, random), headerOf(shape))
    assert.equal(verdict.linearizable, false)
    assert.ok(verdict.witness.text !== '' && verdict.witness.keys.length > 0)
  })
}

test('a hard key does not hide a guilty one', () => {
  const hard = generate({ ...large, model: 'cas-register', operations: 4_000, values: 40, info: 0.3 }, new Random(3))
  const events = hard.map((event) => ({ ...event, key: 'hard' }))
  const guilty = [
    { process: 'x', type: 'invoke', f: 'write', key: 'guilty', value: 1 },
    { process: 'x', type: 'ok', key: 'guilty' },
    { process: 'x', type: 'invoke', f: 'read', key: 'guilty' },
    { process: 'x', type: 'ok', key: 'guilty', value: 2 },
  ] as const
  const verdict = checkLinearizable([...events, ...guilty], { model: 'kv' }, { steps: 200_000 })
  assert.equal(verdict.linearizable, false)
  assert.deepEqual(verdict.witness.keys, ['guilty'])
})
