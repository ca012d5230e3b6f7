/**
 * When a cluster stops acting on its own: brakes, groups that bring nodes down, nodes that are lost again and again; and links
 * that fail without anybody being lost. Each is a story of a whole simulated cluster, judged at every step.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { NodeId } from '../../src/base/index.js'
import { Story, web } from './story.js'
import { copiesOf } from './world.js'

/** Loses its power, and comes back by its device once that is proved. */
function crash(story: Story, name: string): void {
  const { boots } = story.machine(name)
  story.machine(name).powerOff('it crashes')
  story.world.until(`${name} is back`, () => story.machine(name).boots > boots && story.world.isSettled() === true, 120_000)
}

describe('the brakes', () => {
  test('a node is lost beyond what is allowed: it is not switched off before a person lets the brakes go', () => {
    const story = new Story({ settings: { causesMax: 1, poisonWindow: 0 } })
    crash(story, 'n1')
    assert.deepEqual(story.running, ['n2'])
    story.machine('n2').powerOff('it crashes too')
    story.world.run(60_000)
    assert.deepEqual([story.running, story.offs('n2'), story.cases.at(-1)?.stage], [[], 0, 'CONDEMNED'])
    story.world.must({ kind: 'release-brakes', by: 'a person', reason: 'the house had no power' })
    story.world.until('web runs again', () => story.running.length === 1, 60_000)
    assert.equal(story.cases.at(-1)?.proof?.kind, 'fenced')
    story.settled()
  })

  test('and a proof that comes by itself is used all the same', () => {
    const story = new Story({ settings: { causesMax: 1, poisonWindow: 0 } })
    crash(story, 'n1')
    story.machine('n2').powerOff('it crashes too')
    story.world.run(20_000)
    assert.deepEqual(story.running, [])
    story.machine('n2').powerOn()
    story.world.until('web runs again', () => story.running.length === 1, 60_000)
    assert.deepEqual([story.offs('n2'), story.cases.at(-1)?.proof?.kind], [0, 'rebooted'])
    story.settled()
  })

  test('a person who asks for a node to be cut off is not held', () => {
    const story = new Story({ settings: { causesMax: 1, poisonWindow: 0 } })
    crash(story, 'n1')
    story.machine('n2').powerOff('it crashes too')
    story.world.run(20_000)
    assert.equal(story.offs('n2'), 0)
    story.fence('n2')
    story.world.until('web runs again', () => story.running.length === 1, 60_000)
    story.settled()
  })
})

describe('a group whose starts bring machines down', () => {
  test('rests after the second, and the third is spared; cleared, it runs', () => {
    const story = new Story()
    const { world } = story
    const crashed: string[] = []
    const harm = () => {
      for (const name of story.running) {
        if (crashed.length < 3)
          world.scheduler.after(500, () => story.machine(name).powered && story.machine(name).powerOff('web panics it'))
        if (crashed.at(-1) !== name) crashed.push(name)
      }
      world.scheduler.after(1_000, harm)
    }
    harm()
    world.until('web rests', () => story.web?.poisoned !== undefined, 120_000)
    assert.match(story.web?.poisoned?.reason ?? '', /loss of n1 .*\(case c-n1-.*n2 .*\(case c-n2-/)
    world.run(60_000)
    assert.deepEqual([story.running, crashed], [[], ['n1', 'n2']])
    world.must({ kind: 'clear-group', group: web })
    crashed.length = 3
    story.settled()
  })
})

describe('copies whose starts bring machines down', () => {
  test('rest as a whole after the second machine, whichever copy it was; the third is spared, and so is what has nothing to do with them', () => {
    const story = new Story()
    const { world } = story
    world.must({ kind: 'put-group', group: 'db' as never, definition: copiesOf(world.names), intent: null, precondition: {} })
    story.settled()
    const whole = () => world.leader?.daemon?.node?.state.get('scalables', 'db')
    const crashed: string[] = []
    for (const name of ['n3', 'n2', 'n1']) {
      if (whole()?.poisoned !== undefined) break
      world.until(
        `a copy runs on ${name}`,
        () => world.truth.where(`db:${name}`).length === 1 && story.cases.every(({ stage }) => stage === 'RECOVERED'),
        60_000,
      )
      story.machine(name).powerOff('db panics it')
      crashed.push(name)
      world.until('that is noticed', () => story.cases.some(({ node, stage }) => node === name && stage === 'RECOVERED'), 60_000)
    }
    assert.deepEqual(crashed, ['n3', 'n2'])
    assert.match(whole()?.poisoned?.reason ?? '', /loss of n3 .*\(case c-n3-.*n2 .*\(case c-n2-/)
    world.run(30_000)
    assert.deepEqual(
      world.names.filter((name) => world.truth.where(`db:${name}`).length > 0),
      [],
      'what was started lately on n1 is stopped',
    )
    assert.deepEqual(story.running, ['n1'])
    world.must({ kind: 'clear-group', group: 'db' as never })
    story.settled()
    assert.equal(world.names.filter((name) => world.truth.where(`db:${name}`).length > 0).length, 3)
  })
})

describe('a node that is lost again and again', () => {
  test('votes and hosts nothing, until its time is over', () => {
    const story = new Story({ settings: { quarantineDuration: 300_000, poisonWindow: 0 } })
    for (let time = 0; time < 3; time++) crash(story, 'n1')
    assert.deepEqual(story.running, ['n2'])
    assert.equal(story.node('n1')?.quarantine?.cases.length, 3)
    crash(story, 'n2')
    assert.deepEqual(story.running, ['n3'], 'n1 is the first in the list, and gave its vote')
    story.world.run(300_000)
    assert.equal(story.node('n1')?.quarantine, undefined)
    crash(story, 'n3')
    assert.deepEqual(story.running, ['n1'])
  })

  test('comes back by a person’s word', () => {
    const story = new Story({ settings: { poisonWindow: 0 } })
    for (let time = 0; time < 3; time++) crash(story, 'n1')
    story.world.must({ kind: 'clear-node', node: 'n1' as NodeId, reason: 'its memory was replaced' })
    crash(story, 'n2')
    assert.deepEqual(story.running, ['n1'])
  })

  test('is none that leaves in an orderly way', () => {
    const story = new Story()
    for (let time = 0; time < 4; time++) {
      const machine = story.machine('n3')
      story.world.must({ kind: 'leave', node: 'n3' as NodeId, operation: `op-${time}`, detail: 'a new disk' })
      story.world.until('it is down', () => machine.processes.length === 0, 60_000)
      machine.powerOff('a new disk')
      story.world.run(5_000)
      machine.powerOn()
      story.settled()
    }
    assert.deepEqual([story.node('n3')?.quarantine, story.cases.length], [undefined, 0])
  })
})

describe('links that fail while everybody lives', () => {
  for (const [what, cuts] of [
    [
      'leader and holder lose sight of each other',
      [
        ['n1', 'n2'],
        ['n2', 'n1'],
      ],
    ],
    ['the leader does not hear the holder', [['n1', 'n2']]],
    ['the holder does not hear the leader', [['n2', 'n1']]],
  ] as const)
    test(`${what}: whoever reaches both leads, nobody is condemned, and both are in jeopardy while it lasts`, () => {
      const story = new Story()
      const { starts } = story.world.truth
      for (const [from, to] of cuts) story.world.network.cut(from, to, 'loses')
      story.world.run(30_000)
      assert.equal(story.world.leader?.name, 'n3')
      assert.deepEqual(
        story.cases.filter(({ stage }) => stage !== 'CLOSED').map(({ node }) => node),
        [],
      )
      assert.deepEqual([story.running, story.world.truth.starts - starts, story.offs('n1')], [['n1'], 0, 0])
      for (const name of ['n1', 'n2'])
        assert.deepEqual(story.node(name)?.jeopardy?.reasons, ['n1 and n2 do not reach each other both ways'])
      assert.equal(story.node('n3')?.jeopardy, undefined)
      story.world.network.healAll()
      story.world.run(10_000)
      assert.deepEqual([story.node('n1')?.jeopardy, story.node('n2')?.jeopardy], [undefined, undefined])
      story.settled()
    })

  test('of five, two lose sight of the leader and of each other: one that reaches more leads, and nobody is condemned', () => {
    const story = new Story({ nodes: 5 })
    for (const [one, other] of [
      ['n2', 'n1'],
      ['n2', 'n3'],
      ['n1', 'n3'],
    ] as const) {
      story.world.network.cut(one, other, 'loses')
      story.world.network.cut(other, one, 'loses')
    }
    story.world.run(60_000)
    assert.ok(['n4', 'n5'].includes(story.world.leader?.name ?? ''), story.world.leader?.name)
    assert.deepEqual(
      story.world.machines.map(({ name }) => story.offs(name)),
      [0, 0, 0, 0, 0],
    )
    story.world.network.healAll()
    story.settled()
  })
})
