/** Copies on every node and the primary role of one: never two primaries, and none where its node or copy is not. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { GroupRow, ScalableDefinition } from '../../src/core/cluster/index.js'
import { Story } from './story.js'
import { copiesOf } from './world.js'

const db = 'db' as never
const primary = 'db:primary'

class Copies extends Story {
  constructor(options: ConstructorParameters<typeof Story>[0] = {}, change: Partial<ScalableDefinition> = {}) {
    super(options)
    this.put(change)
    this.settled()
    assert.deepEqual(this.primary, ['n1'])
  }

  put(change: Partial<ScalableDefinition>): void {
    const definition = { ...copiesOf(this.world.names), ...change }
    this.world.must({ kind: 'put-group', group: db, definition, intent: null, precondition: {} })
  }

  get primary(): readonly string[] {
    return this.world.truth.where(primary).map((one) => one.name)
  }

  copies(): readonly string[] {
    return this.world.names.filter((name) => this.world.truth.where(`db:${name}`).length > 0)
  }

  row(name: string): GroupRow | undefined {
    return this.world.leader?.daemon?.node?.state.get('groups', name as never)
  }

  elsewhere(bound = 60_000): void {
    this.world.until('another primary', () => this.primary.length === 1 && this.primary[0] !== 'n1', bound)
  }

  cell(node: string) {
    return this.machine(node).cell(`db:${node}` as never, 'copy' as never)
  }
}

describe('whoever waits for a group of several', () => {
  const span = { forMs: 600_000, reason: 'work', owner: 'anna' }
  const ends = [
    ['its group is frozen', { kind: 'freeze-group', group: db, ...span }],
    ['its node goes into maintenance', { kind: 'maintain-node', node: 'n3' as never, ...span }],
  ] as const
  for (const [what, command] of ends) {
    test(`${what} while a copy is yet to be granted: the wait ends, and says so`, () => {
      const story = new Copies()
      const operation = () => story.world.leader?.daemon?.node?.state.get('operations', 'on')
      story.world.must({ kind: 'set-intent', group: db, intent: 'OFFLINE', operation: 'off' })
      story.world.until('all are down', () => story.copies().length === 0, 60_000)
      // It has to look first whether the copy runs there, as it is defined now.
      story.machine('n3').monitor?.process.pause()
      const { copy } = copiesOf(story.world.names).resources as Record<string, object>
      story.put({ resources: { copy: { ...copy, parameters: { run: 'y' } } } as never })
      story.world.must({ kind: 'set-intent', group: db, intent: 'ONLINE', operation: 'on' })
      story.world.until('two run', () => story.copies().length >= 2 && story.primary.length === 1, 10_000)
      story.world.run(1_000)
      assert.equal(operation()?.status, 'running', operation()?.result ?? '')
      story.world.must(command)
      story.world.run(500)
      assert.equal(operation()?.status, 'done')
      assert.match(operation()?.result ?? '', /db:n3 does not: .* by anna/)
    })
  }
})

describe('the primary role', () => {
  test('its node loses power: it goes elsewhere, once the end of the node is proved', () => {
    const story = new Copies()
    story.machine('n1').powerOff('the power fails')
    story.elsewhere()
    assert.equal(story.row(primary)?.holder?.node === 'n1', false)
    story.machine('n1').powerOn()
    story.settled()
    assert.equal(story.copies().length, 3)
  })

  test('its node is cut off: it has ended there, as the whole copy has, before it begins elsewhere', () => {
    const story = new Copies({ fencing: false, watchdogTimeout: 800, emergencyStop: 2_000 })
    story.part('n1')
    story.elsewhere()
    assert.deepEqual(story.world.truth.where('db:n1'), [], 'its copy has ended too')
    story.world.network.healAll()
    story.settled()
  })

  test('its copy dies: the role is given up there and goes to another copy; the dead one comes back as a replica', () => {
    const story = new Copies()
    const { starts } = story.world.truth
    story.cell('n1').serviceDown('it died')
    story.elsewhere()
    story.settled()
    assert.equal(story.copies().length, 3)
    assert.equal(story.world.truth.starts - starts, 3, 'the copy, the role, and what goes with it')
  })

  test('a demotion that hangs: the copy is killed for it, and only then is there another primary', () => {
    const story = new Copies()
    story.machine('n1').behaviour(primary as never).stopHangs = true
    story.world.must({ kind: 'move-group', group: db, to: 'n2' as never, operation: 'op' })
    story.elsewhere()
    story.machine('n1').behaviour(primary as never).stopHangs = false
    story.settled()
    assert.equal(story.copies().length, 3)
  })

  test('nobody can tell which role a copy has: it is killed, else nothing more is done and a person is asked', () => {
    const story = new Copies()
    Object.assign(story.machine('n1').behaviour(primary as never), { stopHangs: true, probeFails: true })
    story.world.must({ kind: 'move-group', group: db, to: 'n2' as never, operation: 'op' })
    story.world.run(20_000)
    assert.equal(story.row(primary)?.holder?.node, 'n1')
    assert.equal(story.row(primary)?.holder?.report.state, 'UNKNOWN')
    Object.assign(story.machine('n1').behaviour(primary as never), { stopHangs: false, probeFails: false })
    story.fence('n1')
    story.settled()
  })

  test('monitor, daemon and guardian of its node die again and again: the role stays, or goes, and there is one', () => {
    for (const role of ['monitor', 'daemon', 'guardian'] as const) {
      const story = new Copies()
      for (let round = 0; round < 6; round++) {
        const machine = story.machine(story.primary[0] ?? 'n1')
        machine.kill(machine[role]?.process)
        story.world.run(700)
        if (round % 2 === 1)
          story.world.ask({ kind: 'move-group', group: db, to: story.world.names[round % 3] as never, operation: `op-${round}` })
      }
      story.settled()
      assert.equal(story.primary.length, 1)
    }
  })

  test('all nodes lose their leases at once, and come back', () => {
    const story = new Copies({ emergencyStop: 2_000 })
    for (const name of story.world.names) story.part(name)
    story.world.until('nothing runs', () => story.copies().length === 0 && story.primary.length === 0, 20_000)
    story.world.network.healAll()
    story.settled()
    assert.equal(story.primary.length, 1)
  })

  test('a promotion outlives its monitor, and is overtaken by a move: it is ended before anybody else is promoted', () => {
    for (let after = 0; after < 400; after += 40) {
      const story = new Copies()
      story.machine('n2').behaviour(primary as never).startMs = 1_500
      story.world.must({ kind: 'move-group', group: db, to: 'n2' as never, operation: 'op1' })
      story.world.until('n2 is being promoted', () => story.row(primary)?.holder?.report.state === 'STARTING', 10_000)
      story.world.run(after)
      story.machine('n2').kill(story.machine('n2').monitor?.process)
      story.world.run(300)
      story.world.ask({ kind: 'move-group', group: db, to: 'n3' as never, operation: 'op2' })
      story.world.run(3_000)
      story.machine('n2').behaviour(primary as never).startMs = 30
      story.settled()
    }
  })

  test('a demotion that says it is done and is not: the copy is killed, and nobody is asked', () => {
    const story = new Copies()
    story.machine('n1').behaviour(primary as never).demotesNot = true
    story.world.must({ kind: 'move-group', group: db, to: 'n2' as never, operation: 'op' })
    story.elsewhere()
    story.machine('n1').behaviour(primary as never).demotesNot = false
    story.settled()
    assert.equal(story.copies().length, 3)
  })

  test('and in an emergency stop: nothing is left that cannot be verified', () => {
    const story = new Copies({ fencing: false, watchdogTimeout: 800, emergencyStop: 2_000 })
    story.machine('n1').behaviour(primary as never).demotesNot = true
    story.part('n1')
    story.elsewhere()
    assert.deepEqual(story.world.truth.where('db:n1'), [])
    story.machine('n1').behaviour(primary as never).demotesNot = false
    story.world.network.healAll()
    story.settled()
  })

  test('a change of what the copies run: one after the other, the primary’s last, and never without a primary for long', () => {
    const story = new Copies()
    const changed = copiesOf(story.world.names)
    const [copy] = Object.values(changed.resources)
    const resources = { copy: { ...copy, parameters: { run: 'y' } } } as typeof changed.resources
    story.world.must({ kind: 'put-group', group: db, definition: { ...changed, resources }, intent: null, precondition: {} })
    let without = 0
    let least = 3
    for (let at = 0; at < 20_000; at += 50) {
      story.world.run(50)
      without = story.primary.length === 0 ? without + 50 : 0
      least = Math.min(least, story.copies().length)
      assert.ok(without < 3_000, `no primary for ${without} ms`)
    }
    assert.equal(least, 2)
    story.settled()
    for (const name of story.world.names) {
      const { holder, resourcesRevision } = story.row(`db:${name}`) ?? {}
      assert.equal(holder?.pinnedRevision, resourcesRevision)
    }
  })

  test('another copy takes long to start: the role does not wait for it', () => {
    const story = new Copies()
    story.machine('n3').behaviour('db:n3' as never).startFails = true
    story.cell('n3').serviceDown('it died')
    story.world.run(500)
    story.cell('n1').serviceDown('it died')
    story.elsewhere(5_000)
    story.machine('n3').behaviour('db:n3' as never).startFails = false
    for (const name of ['db', 'db:n3']) story.world.ask({ kind: 'clear-group', group: name as never })
    story.settled()
  })

  test('a person has the copy of the primary restarted: the role leaves it first, and the copy is not banned', () => {
    const story = new Copies()
    story.world.must({ kind: 'restart-resource', group: 'db:n1' as never, resource: 'copy' as never, operation: 'op' })
    story.elsewhere()
    story.settled()
    assert.deepEqual(story.row('db:n1')?.bans, {})
    assert.equal(story.world.leader?.daemon?.node?.state.get('operations', 'op')?.status, 'done')
  })
})

describe('onQuorumLoss: demote', () => {
  const demote = { onQuorumLoss: 'demote' } as const
  const alone = { fencing: false, watchdogTimeout: 800, emergencyStop: 2_000 }
  const tokens = (story: Copies) => story.world.names.map((name) => story.row(`db:${name}`)?.holder?.token)
  const all = ['n1', 'n2', 'n3']
  /** `n1` has no lease, and its time is over. */
  const outlived = (story: Copies) => {
    story.part('n1')
    story.elsewhere()
    story.world.run(10_000)
  }

  test('nobody has a lease: the primary ends in time, the copies go on for as long as it takes, and go on under the same tokens', () => {
    const story = new Copies(alone, demote)
    const before = tokens(story)
    const { starts } = story.world.truth
    for (const name of story.world.names) story.part(name)
    story.world.until('there is no primary', () => story.primary.length === 0, 10_000)
    story.world.run(30_000)
    assert.deepEqual([story.copies(), story.primary], [all, []])
    story.world.network.healAll()
    story.settled()
    assert.deepEqual(tokens(story), before)
    assert.equal(story.world.truth.starts - starts, 3, 'the role, what goes with it, and web')
  })

  test('a side without the quorum: another primary by the lease of the former one, whose copy goes on, held by its token, and is given up', () => {
    const story = new Copies(alone, demote)
    const [before] = tokens(story)
    outlived(story)
    assert.deepEqual(story.copies(), all)
    const { holder, proof } = story.row('db:n1') ?? {}
    assert.deepEqual([holder?.token, proof], [before, null], 'the end of the lease is not taken for the end of the copy')
    story.world.network.healAll()
    story.settled()
    assert.deepEqual(story.copies(), all)
    assert.notEqual(tokens(story)[0], before)
  })

  test('its machine loses power while it goes on, and comes back: found by its next boot to have ended', () => {
    const story = new Copies(alone, demote)
    outlived(story)
    story.machine('n1').powerOff('the power fails')
    story.world.network.healAll()
    story.machine('n1').powerOn()
    story.settled()
    assert.deepEqual(story.copies(), all)
  })

  test('its fence device fails for a while: what goes on is switched off, and only then counts as ended', () => {
    const story = new Copies({ watchdogTimeout: 800, emergencyStop: 2_000 }, demote)
    story.machine('n1').device.mode = 'fails'
    outlived(story)
    assert.deepEqual([story.row('db:n1')?.proof, story.copies()], [null, all])
    story.machine('n1').device.mode = 'works'
    story.world.until('n1 is fenced', () => story.row('db:n1')?.proof?.kind === 'fenced', 60_000)
    story.world.network.healAll()
    story.settled()
  })

  test('a demotion that hangs, or does nothing: the copy is ended for it, in the same time', () => {
    for (const wrong of [{ stopHangs: true }, { demotesNot: true }, { stopHangs: true, probeFails: true }]) {
      const story = new Copies(alone, demote)
      Object.assign(story.machine('n1').behaviour(primary as never), wrong)
      story.part('n1')
      story.elsewhere()
      assert.deepEqual(story.copies(), ['n2', 'n3'])
      Object.assign(story.machine('n1').behaviour(primary as never), { stopHangs: false, demotesNot: false, probeFails: false })
      story.world.network.healAll()
      story.settled()
    }
  })

  test('a copy that is being started or stopped at that moment is ended with the primary', () => {
    const story = new Copies(alone, demote)
    story.machine('n1').behaviour('db:n1' as never).stopMs = 20_000
    story.world.must({ kind: 'restart-group', group: 'db:n1' as never, operation: 'op' })
    story.world.until('its copy is being stopped', () => story.row('db:n1')?.holder?.order.wanted === 'stop', 20_000)
    story.part('n1')
    story.world.run(20_000)
    assert.deepEqual(story.copies(), ['n2', 'n3'])
    story.machine('n1').behaviour('db:n1' as never).stopMs = 20
    story.world.network.healAll()
    story.settled()
  })

  test('guardian, daemon and monitor of its node die again and again meanwhile: it goes on, and nothing is promoted there', () => {
    for (const role of ['guardian', 'daemon', 'monitor'] as const) {
      const story = new Copies(alone, demote)
      story.part('n1')
      for (let round = 0; round < 8; round++) {
        const machine = story.machine('n1')
        machine.kill(machine[role]?.process)
        story.world.run(1_000)
      }
      assert.deepEqual(
        story.primary.filter((name) => name === 'n1'),
        [],
      )
      story.world.network.healAll()
      story.settled()
      assert.deepEqual(story.copies(), all)
    }
  })

  test('its definition changes meanwhile: what was said with the grant counts, there and here', () => {
    for (const [first, then] of [
      [demote, {}],
      [{}, demote],
    ]) {
      const story = new Copies(alone, first)
      const [before] = tokens(story)
      const { copy } = copiesOf(story.world.names).resources as Record<string, object>
      story.part('n1')
      story.put({ ...then, resources: { copy: { ...copy, parameters: { run: 'y' } } } as never })
      story.elsewhere()
      story.world.run(10_000)
      const goesOn = first === demote
      assert.deepEqual(story.copies(), goesOn ? all : ['n2', 'n3'])
      assert.deepEqual([story.row('db:n1')?.holder?.token, story.row('db:n1')?.proof?.kind], [before, goesOn ? undefined : 'lease'])
      story.world.network.healAll()
      story.settled()
    }
  })

  test('the group is deleted meanwhile: its name is held until the copy has ended', () => {
    const story = new Copies(alone, demote)
    outlived(story)
    story.world.must({ kind: 'delete-group', group: db, operation: 'op', precondition: {} })
    story.world.run(10_000)
    assert.deepEqual(story.copies(), ['n1'])
    assert.equal(story.world.leader?.daemon?.node?.state.get('scalables', db)?.deleting, true)
    story.world.network.healAll()
    story.world.until('it is gone', () => story.world.leader?.daemon?.node?.state.get('scalables', db) === undefined, 60_000)
    assert.deepEqual(story.copies(), [])
    story.settled()
  })
})
