/** Copies on every node and the primary role of one: never two primaries, and none where its node or copy is not. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { GroupRow } from '../../src/core/cluster/index.js'
import { Story } from './story.js'
import { copiesOf } from './world.js'

const db = 'db' as never
const primary = 'db:primary'

class Copies extends Story {
  constructor(options: ConstructorParameters<typeof Story>[0] = {}) {
    super(options)
    this.world.must({ kind: 'put-group', group: db, definition: copiesOf(this.world.names), intent: null, precondition: {} })
    this.settled()
    assert.deepEqual(this.primary, ['n1'])
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
