/** Groups with a monitor of their own, among faults of every kind: at most one copy runs, and all runs in the end. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { faults } from './faults.js'
import { attend } from './play.js'
import { Random } from './random.js'
import { attendGroups, usualTrouble } from './scenario.js'
import { Trouble } from './trouble.js'
import { groupOf, World } from './world.js'

const web = 'web' as never
const seedCount = 25
const span = 30_000

describe('a group with a monitor of its own', () => {
  function begin() {
    const world = new World({ seed: 41, profile: 'fast' })
    world.start({ other: groupOf(world.names) })
    const definition = { ...groupOf(world.names, { start: 'a', stop: 'b', probe: 'c' }), isolation: 'dedicated' as const }
    world.must({ kind: 'put-group', group: web, definition, intent: null, precondition: {} })
    world.until('all runs', () => world.isSettled(), 60_000)
    const state = () => world.leader?.daemon?.node?.state
    const holder = () => state()?.get('groups', web)?.holder
    const machine = world.machine(holder()?.node ?? '')
    assert.ok(machine !== undefined)
    return { world, machine, state, holder }
  }

  test('is kept by it, and the others by the shared one', () => {
    const { world, machine } = begin()
    assert.equal(machine.ownMonitors.get(web)?.process.alive, true)
    assert.deepEqual(
      world.machines.filter((one) => one.ownMonitors.size > 0).map(({ name }) => name),
      [machine.name],
    )
    assert.deepEqual([...machine.runFolder.records.values()].map(({ group, dedicated }) => [group, dedicated]).sort(), [
      ['other', undefined],
      ['web', true],
    ])
  })

  test('runs on when either monitor is killed or hangs', () => {
    const { world, machine, holder, state } = begin()
    const [token, starts] = [holder()?.token, world.truth.starts]
    machine.kill(machine.monitor?.process)
    machine.kill(machine.ownMonitors.get(web)?.process)
    world.until(
      'both are back',
      () => machine.monitor?.process.alive === true && machine.ownMonitors.get(web)?.process.alive === true,
      20_000,
    )
    world.run(3_000)
    machine.ownMonitors.get(web)?.process.pause()
    world.until(
      'it is told',
      () => /that of web: nothing has come/.test(state()?.get('nodes', machine.name)?.monitor?.detail ?? ''),
      30_000,
    )
    world.until('it is back', () => state()?.get('nodes', machine.name)?.monitor?.what === 'back', 30_000)
    world.run(3_000)
    assert.deepEqual([holder()?.token, world.truth.starts, world.truth.where('web').length], [token, starts, 1])
  })

  test('leaves no monitor behind where it has moved away from', () => {
    const { world, machine } = begin()
    const to = world.names.find((name) => name !== machine.name)
    assert.ok(to !== undefined)
    world.must({ kind: 'move-group', group: web, to, operation: 'move' })
    world.until('it runs there', () => world.truth.where('web')[0]?.name === to && world.isSettled() === true, 60_000)
    world.until('its monitor here is gone', () => machine.ownMonitors.get(web)?.process.alive !== true, 20_000)
    assert.equal(world.machine(to)?.ownMonitors.get(web)?.process.alive, true)
  })

  test('whose lease runs out is ended by the guardian all the same', () => {
    const { world, machine } = begin()
    for (const other of world.names.filter((name) => name !== machine.name)) {
      world.network.cut(machine.name, other, 'loses')
      world.network.cut(other, machine.name, 'loses')
    }
    world.until('it runs elsewhere', () => world.truth.where('web').some((one) => one !== machine), 60_000)
    world.network.healAll()
    world.until('all is well', () => world.isSettled(), 120_000)
  })
})

test('groups that come to have a monitor of their own and lose it again, among faults of every kind: promises hold', (context) => {
  let own = 0
  for (let seed = 1; seed <= seedCount; seed++) {
    const world = new World({
      startedAgain: true,
      seed,
      profile: seed % 2 === 0 ? 'fast' : 'normal',
      fencing: seed % 5 !== 0,
      containment: seed % 6 === 0 ? 'sweep' : 'cgroup2',
    })
    world.start({ web: groupOf(world.names, { start: 'a', stop: 'b', probe: 'c' }), kept: groupOf(world.names) })
    const random = new Random(seed ^ 0xded1)
    const trouble = new Trouble(world, world.random.fork(), { ...usualTrouble, faults, span, omit: new Set() })
    trouble.begin()
    attend(world)
    attendGroups(world)
    const begun = world.scheduler.now
    const ask = () => {
      if (world.scheduler.now > begun + span) return
      const group = random.pick(['web', 'kept'])
      const parameters = group === 'web' ? { start: 'a', stop: 'b', probe: 'c' } : { run: 'x' }
      const isolation = random.chance(0.7) ? { isolation: 'dedicated' as const } : {}
      const definition = { ...groupOf(world.names, parameters), ...isolation }
      world.ask({ kind: 'put-group', group: group as never, definition, intent: null, precondition: {} })
      if (random.chance(0.5)) world.ask({ kind: 'restart-group', group: group as never, operation: `op-${world.freshId()}` })
      const machine = random.pick(world.machines)
      const process = random.pick([...machine.ownMonitors.values()].map((one) => one.process).concat(machine.monitor?.process ?? []))
      if (random.chance(0.3)) machine.kill(process)
      own += machine.ownMonitors.size
      world.scheduler.after(300 + random.next() * 2_500, ask)
    }
    ask()
    world.run(span)
    trouble.end()
    const clear = () => {
      for (const node of world.names) world.ask({ kind: 'set-duty', node, duty: 'active', operation: null })
      for (const group of ['web', 'kept'] as never[]) world.ask({ kind: 'clear-group', group })
      world.scheduler.after(3_000, clear)
    }
    clear()
    world.until(`seed ${seed}: all runs`, () => world.isSettled(), 150_000)
    world.close()
  }
  context.diagnostic(`${own} monitors of their own were seen`)
  assert.ok(own > seedCount, 'groups had monitors of their own')
})
