/**
 * Whole clusters under faults of every kind, judged at every step.
 *
 * The same seeds each time: QUORATE_SIM_SEEDS of them (100 unless given), from QUORATE_SIM_SEED on. A failure prints its
 * seed, the command that plays it again, and the last lines of its story.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { NodeId } from '../../src/base/index.js'
import { statementGroups } from '../../src/core/guardian/index.js'
import { chooseFault, elections } from './faults.js'
import { runScenario } from './scenario.js'
import { regressions } from './seeds.js'
import { groupOf, World } from './world.js'

const seedCount = Number(process.env.QUORATE_SIM_SEEDS ?? 100)
const firstSeed = Number(process.env.QUORATE_SIM_SEED ?? 1)

test('the same seed gives the same story', () => {
  const once = runScenario({ seed: 4, span: 8_000 })
  const again = runScenario({ seed: 4, span: 8_000 })
  assert.equal(once.checksum, again.checksum)
})

for (const { run, was } of regressions.filter(({ run: { profile = 'whole' } }) => profile === 'whole'))
  test(`seed ${run.seed}: ${was}`, () => void runScenario({ ...run, arrays: false }))

test('clusters keep their promises under faults, and recover', (context) => {
  let faults = 0
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed++) faults += runScenario({ seed, span: 12_000 }).faults
  context.diagnostic(`${seedCount} seeds from ${firstSeed} on, ${faults} faults`)
})

test('a node says that there is a quorum only once it knows the nodes', () => {
  for (let seed = 1; seed <= 10; seed++) {
    const world = new World({ seed })
    for (const machine of world.machines) machine.powerOn()
    const nodes = () => world.machines.flatMap((machine) => machine.daemon?.node ?? [])
    for (let quorate = 0; quorate < 3; quorate = nodes().filter((node) => node.status.quorate).length) {
      assert.ok(world.scheduler.now < 30_000, 'the cluster forms')
      world.run(1)
      for (const { status, state } of nodes())
        if (status.quorate) assert.equal([...state.rows('nodes')].length, 3, `${status.node} at ${world.scheduler.now} ms`)
    }
  }
})

test('a node with more groups than a statement names is proved by its guardian, a part at a time', () => {
  const world = new World({ seed: 11, profile: 'fast', fencing: false })
  const names = Array.from({ length: 2 * statementGroups + 20 }, (_, at) => `g${String(at).padStart(3, '0')}`)
  world.start(Object.fromEntries(names.map((name) => [name, groupOf(world.names)])))
  const n1 = world.machine('n1')
  assert.ok(n1 !== undefined)
  const online = () => {
    const rows = [...(world.leader?.daemon?.node?.state.rows('groups') ?? [])].map(([, row]) => row)
    return rows.filter(({ holder }) => holder?.report.state === 'ONLINE').map(({ holder }) => holder?.node)
  }
  assert.deepEqual(new Set(online()), new Set(['n1']))
  // Its daemon dies and does not come up again; its guardian ends everything when the lease runs out, and says so.
  const start = n1.startDaemon.bind(n1)
  n1.startDaemon = () => {
    const process = start()
    process.pause()
    return process
  }
  n1.kill(n1.daemon?.process)
  world.until('all of them run elsewhere', () => online().length === names.length && !online().includes('n1' as NodeId), 60_000)
  const [[, row] = []] = [...(world.leader?.daemon?.node?.state.rows('cases') ?? [])]
  assert.equal(row?.proof?.kind, 'guardian')
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
