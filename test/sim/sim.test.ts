/**
 * Whole clusters under faults of every kind, judged at every step.
 *
 * The same seeds each time: QUORATE_SIM_SEEDS of them (150 unless given), from QUORATE_SIM_SEED on. A failure prints its
 * seed, the command that plays it again, and the last lines of its story.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { chooseFault, elections } from './faults.js'
import { runScenario } from './scenario.js'
import { groupOf, World } from './world.js'

const seedCount = Number(process.env.QUORATE_SIM_SEEDS ?? 150)
const firstSeed = Number(process.env.QUORATE_SIM_SEED ?? 1)

test('the same seed gives the same story', () => {
  const once = runScenario({ seed: 4, span: 8_000 })
  const again = runScenario({ seed: 4, span: 8_000 })
  assert.equal(once.checksum, again.checksum)
})

test('clusters keep their promises under faults, and recover', (context) => {
  let faults = 0
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed++) faults += runScenario({ seed, span: 12_000 }).faults
  context.diagnostic(`${seedCount} seeds from ${firstSeed} on, ${faults} faults`)
})

describe('100 elections open no case against a live node', () => {
  for (const [profile, by] of [
    ['fast', 'transfers'],
    ['fast', 'daemons that die'],
    ['normal', 'both'],
  ] as const) {
    test(`${profile}, by ${by}`, () => {
      const world = new World({ seed: 100 + profile.length + by.length, profile })
      world.start({ kept: groupOf(world.names) })
      const random = world.random.fork()
      const { grants } = world.checks
      const kinds = by === 'both' ? elections : elections.filter((_, at) => at === (by === 'transfers' ? 0 : 1))
      const before = world.checks.highestTerm
      for (let tries = 0; world.checks.highestTerm < before + 35; tries++) {
        assert.ok(tries < 400, 'the lead moves')
        world.until('somebody leads', () => world.leader !== undefined, 10_000)
        const fault = chooseFault(world, random, kinds)
        world.trace.add('>>>>', fault?.text ?? '')
        world.run(by === 'transfers' ? 700 : 2_500)
        assert.equal(world.checks.cases, 0, world.trace.last.join('\n'))
      }
      world.until('everything runs', () => world.isSettled(), 10_000)
      assert.equal(world.checks.grants, grants, 'nothing was moved')
      assert.equal(world.truth.starts, 1, 'the service was never started again')
    })
  }
})
