/** The checkers against the definition: on thousands of small histories, both say the same. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkLinearizable, type HistoryEvent } from './index.js'
import { corrupt, generate, headerOf, type Shape } from './testing/generate.js'
import { Random } from './testing/random.js'
import { isLinearizable } from './testing/reference.js'

const small = { clients: 4, operations: 7, keys: 0, values: 2, info: 0.25 }

const shapes: Readonly<Record<string, Shape>> = {
  'a register with few values': { ...small, model: 'cas-register' },
  'a register with few values, strict': { ...small, model: 'cas-register', strict: true },
  'a register with new values': { ...small, model: 'cas-register', values: 0 },
  'a register with new values, strict': { ...small, model: 'cas-register', values: 0, strict: true },
  'a register with some values, many of unknown outcome': { ...small, model: 'cas-register', values: 5, info: 0.6 },
  'a register that is mostly written': { ...small, model: 'cas-register', values: 0, reads: 0.25, info: 0.1 },
  'keys and values': { ...small, model: 'kv', keys: 2, values: 3, operations: 8 },
  'several registers': { ...small, model: 'multi-register', keys: 2, operations: 6 },
  'several registers with new values': { ...small, model: 'multi-register', keys: 3, values: 0, operations: 6 },
  'a lock': { ...small, model: 'mutex', operations: 8 },
  'a set': { ...small, model: 'set', values: 3 },
  'a set of new elements': { ...small, model: 'set', values: 0 },
  'a list': { ...small, model: 'list-append', values: 0 },
  'a list with equal elements': { ...small, model: 'list-append', values: 2 },
  'several lists': { ...small, model: 'list-append', keys: 2, values: 0, operations: 6 },
  'several lists with equal elements': { ...small, model: 'list-append', keys: 2, values: 2, operations: 6 },
}

const count = Number(process.env.HISTORIES ?? 400)
const firstSeed = Number(process.env.SEED ?? 1)

for (const [name, shape] of Object.entries(shapes)) {
  test(`${name}: ${count} histories, and as many corrupted`, () => {
    const header = headerOf(shape)
    let [good, bad] = [0, 0]
    for (let seed = firstSeed; seed < firstSeed + count; seed += 1) {
      const random = new Random(seed)
      const history = generate(shape, random)
      for (const events of [history, corrupt(history, random), corrupt(corrupt(history, random), random), withLies(history, random)]) {
        const expected = isLinearizable(header, events)
        const verdict = checkLinearizable(events, header, { steps: 1_000_000 })
        const told = () => `seed ${seed}\n${events.map((event) => JSON.stringify(event)).join('\n')}\n${JSON.stringify(verdict)}`
        assert.equal(verdict.linearizable, expected, told())
        if (events === history) assert.equal(expected, true, told())
        if (expected) good += 1
        else bad += 1
      }
    }
    assert.ok(bad > count / 20 && good > count, `${good} good and ${bad} bad ones are a mixture`)
  })
}

/** Completions that tell the contrary: done where it failed, failed where it was done. */
function withLies(events: readonly HistoryEvent[], random: Random) {
  return events.map((event) => {
    if (event.f === 'read' || event.f === 'txn' || !random.chance(0.2)) return event
    if (event.type === 'ok') return { ...event, type: 'fail' as const }
    if (event.type === 'fail') return { ...event, type: 'ok' as const }
    return event
  })
}
