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
})
