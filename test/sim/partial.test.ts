/**
 * Networks in which not everybody reaches everybody, for as long as it may be: a leader settles while that lasts, terms do not
 * climb, and the leader that there is stays where nobody needs another.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { effectiveSettings, type NodeId } from '../../src/base/index.js'
import type { Machine } from './machine.js'
import { groupOf, World } from './world.js'

type Cut = readonly [from: string, to: string]

const both = (...pairs: readonly Cut[]): Cut[] =>
  pairs.flatMap(([one, other]): Cut[] => [
    [one, other],
    [other, one],
  ])

function begin(nodes: number, leader: string, seed: number): World {
  const world = new World({ seed, nodes, profile: 'fast', services: false, fencing: false, formed: nodes, bootMin: 20, bootMax: 100 })
  for (const machine of world.machines) machine.powerOn()
  world.until('somebody leads', () => world.leader !== undefined, 30_000)
  world.until(
    `${leader} leads`,
    () => {
      if (world.leader?.name === leader) return true
      world.leader?.daemon?.node?.transferLead(leader as NodeId)
      world.run(500)
      return false
    },
    30_000,
  )
  world.run(1_000)
  return world
}

function cut(world: World, cuts: readonly Cut[]): void {
  for (const [from, to] of cuts) world.network.cut(from, to, 'loses')
}

function termOf(world: World): number {
  return Math.max(...world.machines.map((machine) => machine.daemon?.node?.status.term ?? 0))
}

function writes(world: World, at: Machine | undefined): void {
  world.must({ kind: 'store', operations: [{ kind: 'put', key: `k${world.freshId()}`, value: 1 }] }, 5_000, at)
}

describe('while some do not reach others, a leader settles', () => {
  const stories: readonly (readonly [what: string, leader: string, cuts: readonly Cut[], elections: number])[] = [
    ['n1 reaches n5 alone, n2 leads', 'n2', both(['n1', 'n2'], ['n1', 'n3'], ['n1', 'n4']), 0],
    ['n1 reaches n5 alone, and leads', 'n1', both(['n1', 'n2'], ['n1', 'n3'], ['n1', 'n4']), 6],
    [
      'the leader reaches all and hears n2 alone',
      'n1',
      [
        ['n3', 'n1'],
        ['n4', 'n1'],
        ['n5', 'n1'],
      ],
      6,
    ],
    [
      'the leader hears all and reaches n2 alone',
      'n1',
      [
        ['n1', 'n3'],
        ['n1', 'n4'],
        ['n1', 'n5'],
      ],
      6,
    ],
    ['a ring in which each hears two', 'n1', both(['n1', 'n3'], ['n1', 'n4'], ['n2', 'n4'], ['n2', 'n5'], ['n3', 'n5']), 6],
    ['two halves that meet in n3 alone', 'n1', both(['n1', 'n4'], ['n1', 'n5'], ['n2', 'n4'], ['n2', 'n5']), 6],
    ['a chain: only n3 has a majority', 'n5', both(['n1', 'n3'], ['n1', 'n4'], ['n1', 'n5'], ['n2', 'n4'], ['n2', 'n5'], ['n3', 'n5']), 6],
  ]
  for (const [what, leader, cuts, elections] of stories) {
    test(what, () => {
      for (let seed = 1; seed <= 10; seed++) {
        const world = begin(5, leader, seed)
        const before = termOf(world)
        cut(world, cuts)
        world.run(10_000)
        assert.ok(termOf(world) - before <= elections, `seed ${seed}: ${termOf(world) - before} terms in ten seconds`)
        const settled = termOf(world)
        for (let second = 0; second < 20; second++) {
          writes(world, world.leader)
          world.run(1_000)
        }
        assert.equal(termOf(world), settled, `seed ${seed}: nobody else is elected`)
      }
    })
  }
})

test('a follower that the leader does not reach changes no leader, and reads nothing old', () => {
  for (let seed = 1; seed <= 10; seed++) {
    const world = begin(3, 'n1', seed)
    const before = termOf(world)
    cut(world, [['n1', 'n3']])
    world.run(500)
    let old = 0
    for (let round = 0; round < 20; round++) {
      writes(world, world.machine('n1'))
      const node = world.machine('n3')?.daemon?.node
      node?.readBarrier(400, (outcome) => {
        if (outcome.ok && node.state.appliedIndex < (world.leader?.daemon?.node?.state.appliedIndex ?? 0)) old++
      })
      world.run(500)
    }
    assert.equal(old, 0)
    assert.equal(world.leader?.name, 'n1', `seed ${seed}`)
    assert.equal(termOf(world), before, `seed ${seed}`)
  }
})

test('a leader that hears nobody steps down within its election timeout, and fails who waits', () => {
  const world = begin(3, 'n1', 3)
  const n1 = world.machine('n1')
  const settings = effectiveSettings({ profile: 'fast' })
  let answer: boolean | undefined
  cut(world, [
    ['n2', 'n1'],
    ['n3', 'n1'],
  ])
  n1?.daemon?.submit({ kind: 'store', operations: [{ kind: 'put', key: 'lost', value: 1 }] }, { timeoutMs: 2_000 }, (outcome) => {
    answer = outcome.ok
  })
  world.until('n1 steps down', () => n1?.daemon?.node?.status.role !== 'leader', 4 * settings.electionTimeoutMax)
  world.until('another leads', () => world.leader !== undefined && world.leader !== n1, 5_000)
  world.until('who waited is answered', () => answer !== undefined, 5_000)
  assert.equal(answer, false)
  writes(world, world.leader)
})

test('wall clocks that jump, on one node and on all, move no lead and start no timer anew', () => {
  for (let seed = 1; seed <= 5; seed++) {
    const world = new World({ seed, profile: 'fast' })
    world.start({ kept: groupOf(world.names) })
    const before = { term: termOf(world), grants: world.checks.grants, starts: world.truth.starts }
    for (const moved of [world.machines.slice(0, 1), world.machines.slice(1, 2), world.machines]) {
      for (const hours of [1, -1, -1, 24 * 730]) {
        for (const { clock } of moved) clock.wallOffset += hours * 3_600_000
        world.run(3_000)
        writes(world, world.leader)
      }
    }
    assert.deepEqual({ term: termOf(world), grants: world.checks.grants, starts: world.truth.starts }, before, `seed ${seed}`)
    assert.equal(world.checks.cases, 0)
    // A service that dies after all this is restarted as ever: no window hangs on the wall clock.
    const [cell] = world.machines.flatMap((machine) => machine.allCells())
    cell?.serviceDown('it crashed')
    world.until('it runs again', () => world.truth.starts > before.starts && world.isSettled() === true, 20_000)
  }
})
