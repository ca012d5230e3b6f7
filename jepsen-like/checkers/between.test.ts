/** A part of a history is linearizable from some state when the whole is: short whiles of one value may be looked at alone. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pairOperations } from './history.js'
import { checkLinearizable } from './index.js'
import { RegisterMachine } from './register-machine.js'
import { between, compileRegisters, type Registers, squint } from './registers.js'
import { search } from './search.js'
import { generate, headerOf, type Shape } from './testing/generate.js'
import { Random } from './testing/random.js'

const shape: Shape = { model: 'cas-register', clients: 12, operations: 150, keys: 0, values: 4, info: 0.1 }

function isPossible(registers: Registers): boolean {
  const run = search(() => new RegisterMachine(registers), { steps: 0, stored: 0, storedMax: 1_000_000 })
  for (;;) {
    const next = run.next()
    if (next.done === true) return next.value === 'linearizable'
  }
}

for (const strict of [false, true]) {
  test(`every while of a good history is possible, for every value${strict ? ', strict' : ''}`, () => {
    for (let seed = 1; seed <= 15; seed += 1) {
      const random = new Random(seed)
      const header = headerOf({ ...shape, strict })
      const registers = compileRegisters(header, pairOperations(generate({ ...shape, strict }, random), strict))
      const moments = registers.steps.map(({ returned }) => returned).filter((returned) => returned < Number.POSITIVE_INFINITY)
      moments.sort((a, b) => a - b)
      for (let at = 0; at + 15 < moments.length; at += 5) {
        for (const value of (registers.values[0] ?? []).keys()) {
          const part = between(registers, moments[at] as number, moments[at + 15] as number)
          const found = [0, 1].some((initial) => isPossible(squint(part, value, initial)))
          assert.ok(found, `seed ${seed}, value ${value}, from ${moments[at]} to ${moments[at + 15]}`)
        }
      }
    }
  })
}

test('a stale read of one of few values is found after thousands of operations', { timeout: 240_000 }, () => {
  const large: Shape = { ...shape, clients: 50, operations: 2_000, values: 5, info: 0 }
  const calls = [
    { f: 'write', value: 1 },
    { f: 'write', value: 2 },
    { f: 'read', value: 1 },
  ]
  const stale = calls.flatMap((call) => [
    { process: 'z', type: 'invoke' as const, ...call },
    { process: 'z', type: 'ok' as const, ...call },
  ])
  const verdict = checkLinearizable([...generate(large, new Random(1)), ...stale], headerOf(large))
  assert.equal(verdict.linearizable, false)
})
