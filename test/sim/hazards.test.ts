/**
 * What has gone wrong elsewhere with fencing, joining and partitions (docs/hazards.md), each as a story of a whole simulated cluster.
 *
 * Beside what a story asserts, every one of its steps is judged by the checkers: one copy of a group at any instant, nothing granted
 * while a copy runs, nothing running past lease and emergency stop.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { NodeId } from '../../src/base/index.js'
import type { GroupDefinition } from '../../src/core/cluster/index.js'
import type { Machine } from './machine.js'
import { Story, web } from './story.js'
import { fencingOf, groupOf } from './world.js'

describe('fencing', () => {
  for (const [what, options, proof] of [
    ['its device', { fencing: true }, 'fenced'],
    ['its watchdog', { fencing: false, watchdogTimeout: 1_000, emergencyStop: 3_000 }, 'rebooted'],
  ] as const) {
    test(`H01 a machine stands still past every limit: ${what} ends it before anybody takes over`, () => {
      const story = new Story(options)
      const boot = story.machine('n1').bootId
      for (const process of story.machine('n1').processes) process.pause()
      story.world.until(
        'web runs under a new grant',
        () => story.running.length === 1 && (story.web?.holder?.boot ?? boot) !== boot,
        90_000,
      )
      const { powered, bootId } = story.machine('n1')
      assert.ok(!powered || bootId !== boot, 'the machine was ended')
      assert.ok(['fenced', 'rebooted', 'lease'].includes(story.cases[0]?.proof?.kind ?? proof))
      story.settled()
    })
  }

  test('H04 the device is out of reach for ten minutes: tries with growing pauses, no takeover; then it goes on by itself', () => {
    const story = new Story()
    const { device } = story.machine('n1')
    device.mode = 'unreachable'
    story.machine('n1').powerOff('its supply is gone')
    story.world.run(600_000)
    assert.deepEqual(story.running, [])
    const tries = story.cases[0]?.attempts.length ?? 0
    assert.ok(tries >= 10 && tries <= 40, `${tries} attempts in ten minutes`)
    device.mode = 'works'
    story.moved()
    assert.equal(story.cases[0]?.proof?.kind, 'fenced')
    story.settled()
  })

  test('H06 it is switched off, and cannot be switched on: it counts as fenced, and the missing power is reported', () => {
    const story = new Story()
    const { device } = story.machine('n1')
    story.part('n1')
    story.world.until('n1 is off', () => !story.machine('n1').powered, 20_000)
    device.mode = 'fails'
    story.moved()
    story.world.until(
      'the attempt to switch it on has failed',
      () => story.cases[0]?.attempts.some(({ action, state }) => action === 'on' && state === 'failed') === true,
      60_000,
    )
    assert.equal(story.cases[0]?.proof?.kind, 'fenced')
    story.world.network.healAll()
    device.mode = 'works'
    story.machine('n1').powerOn()
    story.settled()
  })

  test('H07 the device loses its power together with the node: nothing is invented, the groups wait, and a person’s word is taken once it may be', () => {
    const story = new Story()
    story.machine('n1').powerOff('its supply is gone')
    story.machine('n1').device.mode = 'unreachable'
    story.world.run(20_000)
    assert.deepEqual(story.running, [])
    const [open] = story.cases
    assert.equal(open?.proof, null)
    story.world.must({
      kind: 'operator-proof',
      caseId: open?.id as never,
      node: 'n1' as NodeId,
      reason: 'I see it',
      by: 'a person',
      unheard: true,
    })
    story.moved()
  })

  test('H08 two halves of four lose sight of each other: neither has a quorum, and nobody is switched off', () => {
    const story = new Story({ nodes: 4 })
    story.part('n1', 'n2')
    story.world.run(60_000)
    assert.deepEqual(
      story.world.machines.map(({ name }) => story.offs(name)),
      [0, 0, 0, 0],
    )
    assert.deepEqual(story.running, [], 'without a quorum no lease is renewed')
    story.world.network.healAll()
    story.settled()
    assert.deepEqual(
      story.world.machines.map(({ boots }) => boots),
      [1, 1, 1, 1],
    )
  })

  test('H10 the leader’s own machine is to be cut off: another leads and has it done, once', () => {
    const story = new Story()
    story.fence('n2')
    story.world.until('n2 is off', () => !story.machine('n2').powered, 30_000)
    assert.notEqual(story.world.leader?.name, 'n2')
    story.settled()
    assert.equal(story.offs('n2'), 1)
    assert.equal(story.machine('n2').boots, 2)
  })

  for (const after of [0, 400, 900]) {
    test(`H11 the leader dies ${after} ms after the device has switched the node off: the next one finds out, and each group starts once`, () => {
      const story = new Story({ nodes: 5 })
      const { starts } = story.world.truth
      story.part('n1')
      story.world.until('n1 is off', () => !story.machine('n1').powered, 20_000)
      story.world.run(after)
      const old = story.world.leader as Machine
      story.world.network.healAll()
      old.kill(old.daemon?.process)
      story.moved()
      story.settled()
      assert.equal(story.world.truth.starts - starts, 1, 'web was started once')
      assert.equal(story.machine('n1').boots, 2, 'n1 was not switched off again after it had come back')
    })
  }

  test('H12 leader and holder lose power in the same instant: the next leader treats both as lost', () => {
    const story = new Story({ nodes: 5 })
    for (const name of ['n1', 'n2']) story.machine(name).powerOff('the rack is without power')
    story.moved()
    assert.deepEqual(story.cases.map(({ node, proof }) => `${node} ${proof?.kind}`).sort(), ['n1 fenced', 'n2 fenced'])
    story.settled()
  })

  test('H13 two persons ask for the same node to be cut off: it is switched off once', () => {
    const story = new Story()
    story.fence('n1', 'a')
    story.world.ask({
      kind: 'start-operation',
      operation: 'b-n1',
      operationKind: 'fence',
      subject: 'n1' as NodeId,
      detail: 'another: because',
    })
    story.moved()
    story.settled()
    story.world.run(20_000)
    assert.equal(story.offs('n1'), 1)
    assert.equal(story.machine('n1').boots, 2)
  })

  test('H14 a node is back before the call that switched it off has returned: the new boot is let in, and not switched off again', () => {
    const story = new Story({ bootMin: 100, bootMax: 200 })
    Object.assign(story.machine('n1').device, { latencyMin: 4_000, latencyMax: 4_500 })
    story.part('n1')
    story.world.until('n1 is off', () => !story.machine('n1').powered, 20_000)
    story.world.network.healAll()
    story.machine('n1').powerOn()
    story.settled()
    story.world.run(20_000)
    assert.equal(story.machine('n1').boots, 2)
  })

  test('H15 off takes longer than an attempt may: what became of it is read back, and the groups go on', () => {
    const story = new Story()
    Object.assign(story.machine('n1').device, { latencyMin: 5_500, latencyMax: 7_000 })
    story.machine('n1').powerOff('its supply is gone')
    story.world.run(8_000)
    Object.assign(story.machine('n1').device, { latencyMin: 20, latencyMax: 200 })
    story.moved()
    story.settled()
  })
})

describe('cold start and joining', () => {
  test('H21 all lose power, and who held the group stays away: nothing is started before that one is proved off', () => {
    const story = new Story()
    const { device } = story.machine('n1')
    device.mode = 'unreachable'
    for (const machine of story.world.machines) machine.powerOff('the house is without power')
    for (const name of ['n2', 'n3']) story.machine(name).powerOn()
    story.world.run(60_000)
    assert.deepEqual(story.running, [], 'nothing is started from what was true before')
    assert.equal(story.cases.at(-1)?.node, 'n1')
    device.mode = 'works'
    story.moved()
    story.settled()
  })

  test('H22 nodes come up over minutes: who is still to come is not cut off, and who does not come by then is', () => {
    const story = new Story({ settings: { startGrace: 180_000 } })
    for (const machine of story.world.machines) machine.powerOff('the house is without power')
    for (const name of ['n2', 'n3']) story.machine(name).powerOn()
    story.world.run(120_000)
    assert.deepEqual([story.offs('n1'), story.running], [0, []])
    story.world.run(75_000)
    story.moved()
    assert.equal(story.cases.at(-1)?.proof?.kind, 'fenced')
    story.settled()
  })

  test('H22 and one that comes within that time takes its group up again', () => {
    const story = new Story({ settings: { startGrace: 180_000 } })
    for (const machine of story.world.machines) machine.powerOff('the house is without power')
    for (const name of ['n2', 'n3']) story.machine(name).powerOn()
    story.world.run(100_000)
    story.machine('n1').powerOn()
    story.settled()
    assert.deepEqual(
      story.world.machines.map(({ name }) => story.offs(name)),
      [0, 0, 0],
    )
  })

  test('H25 a machine comes back under its name with an empty disk: it holds nothing, and nothing is thought to run there', () => {
    const story = new Story()
    story.machine('n1').loseDisk()
    story.moved()
    story.machine('n1').powerOn()
    story.settled()
    assert.notEqual(story.machine('n1').disk.identity?.memberId, undefined)
    assert.equal(story.running.length, 1)
  })

  test('H28 all daemons are stopped and started again: nobody is cut off, and everything is as before', () => {
    const story = new Story()
    const { starts } = story.world.truth
    for (const machine of story.world.machines) machine.kill(machine.daemon?.process)
    story.settled()
    assert.deepEqual([story.running, story.cases.length, story.world.truth.starts], [['n1'], 0, starts])
  })
})

describe('an orderly end', () => {
  const isDown = (machine: Machine) => machine.powered && machine.processes.length === 0

  test('H28 the whole cluster is stopped and started again: nobody is cut off, and every group is where it was', () => {
    const story = new Story({ nodes: 3 })
    story.world.must({ kind: 'leave', node: null, operation: 'stop', detail: 'the house is cleaned' })
    story.world.until('everything is down', () => story.world.machines.every(isDown), 60_000)
    assert.deepEqual(story.running, [])
    story.world.run(60_000)
    for (const machine of story.world.machines) machine.startGuardian()
    story.settled()
    story.world.run(30_000)
    assert.deepEqual([story.running, story.cases.length], [['n1'], 0])
    assert.deepEqual(
      story.world.machines.map(({ boots }) => boots),
      [1, 1, 1],
    )
  })

  for (const [how, late, time] of [
    ['is waited for by the leader', 200, 2_000],
    ['goes by itself, with what it has, where the others are gone before', 3_000, 30_000],
  ] as const)
    test(`H28 a node that does not hear that it has left ${how}`, () => {
      for (const delay of [8, 16, 24]) {
        const story = new Story({ nodes: 3 })
        const { world } = story
        const leader = world.leader as Machine
        world.ask({ kind: 'leave', node: null, operation: 'stop', detail: 'the house is cleaned' })
        world.run(delay)
        world.network.cut(leader.name, 'n1', 'loses')
        world.run(late)
        world.network.heal(leader.name, 'n1')
        world.until('everything is down', () => world.machines.every(isDown), time)
        assert.deepEqual(story.running, [])
        for (const machine of world.machines) machine.startGuardian()
        story.settled()
        assert.deepEqual([story.running, story.cases.length], [['n1'], 0])
      }
    })

  test('and where the nodes come back one after the other, with another boot, minutes apart', () => {
    const story = new Story({ settings: { startGrace: 15_000 } })
    story.world.must({ kind: 'leave', node: null, operation: 'stop', detail: 'the house is cleaned' })
    story.world.until('everything is down', () => story.world.machines.every(isDown), 60_000)
    for (const machine of story.world.machines) machine.powerOff('the house is cleaned')
    for (const name of ['n2', 'n3', 'n1']) {
      story.machine(name).powerOn()
      story.world.run(120_000)
    }
    story.settled()
    assert.deepEqual([story.world.machines.map(({ name }) => story.offs(name)), story.cases.length], [[0, 0, 0], 0])
  })

  test('a node that leaves gives away its group, is no case when it is silent, and comes back as it was', () => {
    const story = new Story()
    story.world.must({ kind: 'set-duty', node: 'n1' as NodeId, duty: 'active', operation: null })
    story.world.must({ kind: 'leave', node: 'n1' as NodeId, operation: 'op', detail: 'a new disk' })
    story.world.until('it is down', () => isDown(story.machine('n1')), 60_000)
    story.moved()
    assert.equal(story.world.leader?.daemon?.node?.state.get('operations', 'op')?.status, 'done')
    story.machine('n1').powerOff('a new disk')
    story.world.run(60_000)
    story.machine('n1').powerOn()
    story.settled()
    assert.deepEqual([story.cases.length, story.world.leader?.daemon?.node?.state.get('nodes', 'n1' as NodeId)?.away], [0, undefined])
  })

  test('the leader leaves: another leads, and the last two go on', () => {
    const story = new Story()
    story.world.must({ kind: 'leave', node: 'n2' as NodeId, operation: 'op', detail: 'a new disk' })
    story.world.until('it is down', () => isDown(story.machine('n2')), 60_000)
    story.world.run(20_000)
    assert.deepEqual([story.running, story.cases.length, story.world.leader?.name !== 'n2'], [['n1'], 0, true])
    story.machine('n2').startGuardian()
    story.settled()
  })

  test('where one is lost while everything is being stopped, it is cut off, and the stop goes on to its end', () => {
    const story = new Story()
    story.machine('n1').powerOff('it crashes')
    story.world.must({ kind: 'leave', node: null, operation: 'stop', detail: 'the house is cleaned' })
    story.world.until('everything is down', () => story.world.machines.every(({ processes }) => processes.length === 0), 60_000)
    assert.deepEqual([story.running, story.offs('n1')], [[], 1])
    for (const name of ['n2', 'n3']) story.machine(name).startGuardian()
    story.machine('n1').powerOn()
    story.settled()
  })

  test('one that has left and is off is not made active, for its silence would be news', () => {
    const story = new Story()
    story.world.must({ kind: 'leave', node: 'n1' as NodeId, operation: 'op', detail: 'a new disk' })
    story.world.until('it is down', () => isDown(story.machine('n1')), 60_000)
    let answer: unknown
    story.world.ask({ kind: 'set-duty', node: 'n1' as NodeId, duty: 'active', operation: null }, (result) => {
      answer = result?.ok === false ? result.error.code : result
    })
    story.world.run(10_000)
    assert.deepEqual([answer, story.cases.length], ['CONFLICT', 0])
  })

  test('the stop of everything is taken back: whoever waited goes on', () => {
    const story = new Story()
    story.machine('n3').behaviour(web).stopMs = 100
    story.machine('n1').behaviour(web).stopMs = 8_000
    story.world.must({ kind: 'leave', node: null, operation: 'stop', detail: 'the house is cleaned' })
    story.world.run(500)
    story.world.must({ kind: 'set-duty', node: 'n3' as NodeId, duty: 'active', operation: null })
    story.settled()
    assert.deepEqual([story.world.machines.map(({ boots }) => boots), story.cases.length], [[1, 1, 1], 0])
  })

  test('one that is to leave and crashes with its group in its hands is cut off like any other', () => {
    const story = new Story()
    story.machine('n1').behaviour(web).stopMs = 20_000
    story.machine('n1').behaviour(web).stopHangs = true
    story.world.must({ kind: 'leave', node: 'n1' as NodeId, operation: 'op', detail: 'a new disk' })
    story.world.run(500)
    story.machine('n1').powerOff('it crashes')
    story.moved()
    assert.equal(story.cases[0]?.proof?.kind, 'fenced')
    story.settled()
  })
})

describe('partitions', () => {
  for (const [from, to] of [
    ['n1', 'n2'],
    ['n2', 'n1'],
    ['n1', 'n3'],
  ] as const) {
    test(`H29 nothing comes from ${from} to ${to}, and everything the other way: one verdict, and no flapping`, () => {
      const story = new Story()
      story.world.network.cut(from, to, 'loses')
      story.world.run(60_000)
      const condemned = story.cases.filter(({ proof }) => proof !== null)
      assert.ok(condemned.length <= 1, `${condemned.length} nodes were cut off`)
      assert.equal(story.running.length, 1)
      story.world.network.healAll()
      story.settled()
    })
  }

  test('H31 without devices and watchdogs the majority waits for the one that was cut off, which stops by its lease', () => {
    const story = new Story({ fencing: false })
    story.part('n1')
    story.world.run(60_000)
    assert.deepEqual(story.running, [], 'it has stopped, and nobody else believes that without proof')
    assert.equal(story.cases[0]?.proof, null)
    story.world.network.healAll()
    story.settled()
    assert.equal(story.running.length, 1)
  })

  test('H33 no quorum can be reached for two minutes: services run until their lease ends, nobody takes over, and then all goes on', () => {
    const story = new Story({ nodes: 5 })
    story.part('n1', 'n2')
    story.part('n3')
    story.world.run(1_000)
    assert.deepEqual(story.running, ['n1'], 'a lease outlasts a short loss')
    story.world.run(120_000)
    assert.deepEqual(story.running, [])
    assert.deepEqual(
      story.world.machines.map(({ name }) => story.offs(name)),
      [0, 0, 0, 0, 0],
    )
    story.world.network.healAll()
    story.settled()
  })

  test('H34 the link of a node goes up and down for ten minutes: its group moves away once, and fencings are bounded', () => {
    const story = new Story({ settings: { fencingMax: 6, fencingWindow: 600_000 } })
    const { starts } = story.world.truth
    for (let round = 0; round < 100; round++) {
      story.part('n1')
      story.world.run(3_000)
      story.world.network.healAll()
      story.world.run(3_000)
    }
    assert.ok(story.world.truth.starts - starts <= 2, `${story.world.truth.starts - starts} starts of web`)
    assert.ok(story.offs('n1') <= 7, `n1 was switched off ${story.offs('n1')} times`)
    assert.match(story.node('n1')?.quarantine?.reason ?? '', /lost 3 times/)
    story.world.must({ kind: 'patch-settings', patch: { fencingMax: 1_000 } })
    story.settled()
  })
})

describe('time, disks and processes', () => {
  test('H73 syncs of the leader’s disk take seconds for ten minutes: the lead changes at most once, and nothing moves', () => {
    const story = new Story()
    const { starts } = story.world.truth
    const terms = story.world.checks.highestTerm
    story.machine('n2').disk.syncMin = 4_000
    story.machine('n2').disk.syncMax = 6_000
    story.world.run(600_000)
    assert.ok(story.world.checks.highestTerm - terms <= 2, `${story.world.checks.highestTerm - terms} terms`)
    assert.deepEqual([story.running, story.world.truth.starts - starts, story.offs('n2')], [['n1'], 0, 0])
    story.machine('n2').disk.syncMin = 0.2
    story.machine('n2').disk.mend()
    story.settled()
  })

  test('H76 every daemon, monitor and guardian is killed in turn: nothing moves, restarts or is cut off', () => {
    const story = new Story({ profile: 'normal' })
    const { starts } = story.world.truth
    for (const machine of story.world.machines)
      for (const role of ['daemon', 'monitor', 'guardian'] as const) {
        machine.kill(machine[role]?.process)
        story.world.run(6_000)
      }
    assert.deepEqual([story.running, story.world.truth.starts - starts, story.cases.length], [['n1'], 0, 0])
    story.settled()
  })
})

describe('orders and answers', () => {
  const put = (story: Story, group: string, change: Partial<GroupDefinition> = {}) =>
    story.world.must({
      kind: 'put-group',
      group: group as never,
      definition: { ...groupOf(story.world.names), ...change },
      intent: null,
      precondition: {},
    })
  const row = (story: Story, group: string) => story.world.leader?.daemon?.node?.state.get('groups', group as never)
  const isUp = (story: Story, group: string) => row(story, group)?.holder?.report.state === 'ONLINE'

  test('H59 the leader dies between its order to start a group and the word that it runs: nobody starts it once more', () => {
    const story = new Story({ nodes: 5 })
    const { world } = story
    const old = world.leader as Machine
    const host = world.machines.find((machine) => machine !== old) as Machine
    host.behaviour('late' as never).startMs = 1_500
    const { starts } = world.truth
    put(story, 'late', { nodes: [host.name, ...world.names.filter((name) => name !== host.name)] })
    world.until('it is granted', () => row(story, 'late')?.holder !== null, 20_000)
    assert.equal(isUp(story, 'late'), false)
    const token = row(story, 'late')?.holder?.token
    old.kill(old.daemon?.process)
    world.until('it runs under another leader', () => world.leader !== old && isUp(story, 'late'), 60_000)
    assert.deepEqual([world.truth.starts - starts, row(story, 'late')?.holder?.token], [1, token])
    story.settled()
  })

  test('H61 ten services end within a second: each is restarted once, and none is forgotten', () => {
    const story = new Story({ nodes: 5 })
    const { world } = story
    const names = Array.from({ length: 10 }, (_, at) => `g${at}`)
    for (const name of names) put(story, name)
    world.until('all run', () => names.every((name) => isUp(story, name)), 60_000)
    const tokens = names.map((name) => row(story, name)?.holder?.token)
    const { starts } = world.truth
    for (const name of names) {
      const holder = world.machine(row(story, name)?.holder?.node as NodeId)
      const cells = holder?.allCells().filter((cell) => cell.group === name) ?? []
      for (const cell of cells) cell.serviceDown('it crashed')
      world.run(90)
    }
    world.until('all run again', () => names.every((name) => isUp(story, name)) && world.truth.starts - starts >= 10, 60_000)
    world.run(10_000)
    assert.equal(world.truth.starts - starts, 10)
    assert.deepEqual(
      names.map((name) => row(story, name)?.holder?.token),
      tokens,
    )
    story.settled()
  })

  test('H65 an address goes from one group to another while both run: it is never up twice, and all comes up', () => {
    const story = new Story({ nodes: 3 })
    const { world } = story
    const app = { ...Object.values(groupOf(world.names).resources)[0] } as GroupDefinition['resources'][never]
    const ip = { ...app, type: 'ocf:heartbeat:IPaddr2', parameters: { ip: '10.0.0.9' } }
    const of = (...names: ('app' | 'ip')[]) => ({
      resources: Object.fromEntries(names.map((name) => [name, name === 'ip' ? ip : app])) as never,
    })
    put(story, 'one', { nodes: ['n1', 'n2', 'n3'] as NodeId[], ...of('app', 'ip') })
    put(story, 'other', { nodes: ['n2', 'n3', 'n1'] as NodeId[], ...of('app') })
    world.until('both run', () => isUp(story, 'one') && isUp(story, 'other'), 60_000)
    const holders = () =>
      world.machines.flatMap((machine) => machine.allCells().filter((cell) => cell.resource === 'ip' && cell.service !== undefined))
    assert.equal(holders().length, 1)
    put(story, 'other', { nodes: ['n2', 'n3', 'n1'] as NodeId[], ...of('app', 'ip') })
    put(story, 'one', { nodes: ['n1', 'n2', 'n3'] as NodeId[], ...of('app') })
    for (let passed = 0; passed < 60_000; passed += 5) {
      world.run(5)
      assert.ok(holders().length <= 1, 'the address is up twice')
      if (holders()[0]?.group === 'other' && isUp(story, 'one') && isUp(story, 'other')) break
    }
    assert.deepEqual([holders()[0]?.group, isUp(story, 'one'), isUp(story, 'other')], ['other', true, true])
    story.settled()
  })
})

describe('devices that are worse than that', () => {
  test('one that fails whenever it is called and another that works: levels are tried in turn', () => {
    const story = new Story()
    const device = (plug: string) => ({ agent: 'fence_sim', parameters: { plug }, timeout: 5_000 })
    // The first level names a plug that nobody has: its calls fail.
    const levels = [[device('nobody')], [device('n1')]]
    story.world.must({ ...fencingOf('n1' as NodeId), fencing: { levels, then: 'on' } } as never)
    story.part('n1')
    story.moved()
    assert.deepEqual(
      story.cases[0]?.attempts.filter(({ action }) => action === 'off').map(({ level, state }) => `${level} ${state}`),
      ['0 failed', '1 confirmed'],
    )
    story.world.network.healAll()
    story.settled()
  })
})

describe('H35: a daemon that is kept waiting while its machine lives', () => {
  for (const profile of ['fast', 'normal'] as const)
    test(`is not cut off within its lease, ${profile}: its guardian answers for it, and the services run on`, () => {
      const story = new Story({ profile })
      const n1 = story.machine('n1')
      const { starts } = story.world.truth
      for (let time = 0; time < 5; time++) {
        n1.daemon?.process.pause()
        story.world.run(1_800)
        n1.daemon?.process.resume()
        story.world.run(3_000)
      }
      assert.deepEqual([story.running, story.world.truth.starts, story.offs('n1')], [['n1'], starts, 0])
      assert.ok(story.cases.every(({ attempts }) => attempts.length === 0))
    })

  test('for longer than its lease: its guardian has ended what it ran, says so, and nobody has to cut it off before the group goes on', () => {
    const story = new Story({ profile: 'fast' })
    const n1 = story.machine('n1')
    n1.daemon?.process.pause()
    const { deadline } = n1.runFolder
    story.moved(20_000)
    assert.deepEqual([story.cases[0]?.proof?.kind, story.offs('n1')], ['guardian', 0])
    assert.ok(n1.clock.boot() >= (deadline ?? 0), 'not before its lease was over')
    n1.daemon?.process.resume()
    story.settled()
  })

  test('and services that take their time to end are let do so', () => {
    const story = new Story({ profile: 'fast' })
    const n1 = story.machine('n1')
    n1.behaviour(web).stopMs = 1_500
    n1.daemon?.process.pause()
    story.moved(20_000)
    assert.deepEqual([story.cases[0]?.proof?.kind, story.offs('n1')], ['guardian', 0])
  })

  test('in turns, so that it is renewed and never in time: it is challenged, and what fails on it is seen to', () => {
    const story = new Story({ profile: 'fast' })
    const n1 = story.machine('n1')
    let over = false
    const limp = (): void => {
      n1.daemon?.process.pause()
      story.world.scheduler.after(190, () => {
        n1.daemon?.process.resume()
        if (!over) story.world.scheduler.after(12, limp)
      })
    }
    limp()
    story.world.run(6_000)
    n1.allCells()[0]?.serviceDown('it crashed')
    story.world.until('web runs again', () => story.running.length === 1, 30_000)
    over = true
    story.settled()
  })

  test('by a link that only heartbeats do not pass: the lead goes to whoever hears it, and nothing ends', () => {
    const story = new Story({ profile: 'fast' })
    const { starts } = story.world.truth
    story.world.network.cutHeartbeats('n1', 'n2')
    story.world.run(10_000)
    assert.deepEqual([story.running, story.world.truth.starts, story.offs('n1')], [['n1'], starts, 0])
    assert.notEqual(story.world.leader?.name, 'n2')
  })

  const refusedAway = (story: Story) =>
    story.cases.flatMap(({ timeline }) =>
      timeline.filter(({ detail }) => detail.includes('all its ports refuse')).map(({ detail }) => detail),
    )

  test('by a filter that refuses datagrams for all of them, and lets streams pass: nobody is taken for gone', () => {
    const story = new Story({ profile: 'fast' })
    const { names, network } = story.world
    story.world.run(2_000)
    for (const from of names) for (const to of names) if (from !== to) network.rejectDatagrams(from, to)
    story.world.run(8_000)
    assert.deepEqual(refusedAway(story), [])
    network.acceptDatagrams()
    story.settled()
    assert.deepEqual(refusedAway(story), [])
  })

  test('by a filter that refuses what is asked of guardians: a daemon that dies is no node that is gone', () => {
    for (const [name, after] of ['n1', 'n2', 'n3'].flatMap((one) => [10, 150, 600].map((span) => [one, span] as const))) {
      const story = new Story({ profile: 'fast' })
      const { names, network } = story.world
      for (const from of names) network.rejectDatagrams(from, name, 7401)
      story.machine(name).reset('it comes anew behind the filter')
      story.settled()
      story.world.run(after)
      const before = refusedAway(story)
      for (let step = 0; step < 50; step++) {
        story.machine(name).kill(story.machine(name).daemon?.process)
        story.world.run(10)
      }
      story.world.run(2_000)
      assert.deepEqual(refusedAway(story), before)
    }
  })

  test('is cut off at once where its guardian is silent too', () => {
    const story = new Story({ profile: 'fast' })
    for (const process of story.machine('n1').processes) process.pause()
    story.moved(2_500)
    assert.equal(story.cases[0]?.proof?.kind, 'fenced')
    story.settled()
  })
})
