/** Nodes of two versions in one cluster: upgraded one after the other, and one that is not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { groupOf, World } from './world.js'

test('the feature level rises when the last node is upgraded, and an older version does not join again', () => {
  const levels = new Map([
    ['n1', 1],
    ['n2', 1],
    ['n3', 1],
  ])
  const world = new World({ seed: 11, levelOf: (name) => levels.get(name) ?? 1 })
  const inForce = () => world.leader?.daemon?.node?.state.get('meta', 'cluster')?.level
  const restart = (name: string) => {
    const machine = world.machine(name)
    machine?.kill(machine.daemon?.process)
    world.until(`${name} is back`, () => world.isSettled(), 60_000)
  }
  world.start({ web: groupOf(world.names) })
  for (const name of ['n1', 'n2']) {
    levels.set(name, 2)
    restart(name)
    world.run(2_000)
    assert.equal(inForce(), 1, `with ${name} alone upgraded nothing new is in force`)
  }
  levels.set('n3', 2)
  restart('n3')
  world.until('the level is raised', () => inForce() === 2, 10_000)
  assert.equal(world.truth.starts, 1, 'the service ran through the upgrade')
  levels.set('n2', 1)
  assert.throws(() => restart('n2'), /feature level 2, this version understands 1/)
})
