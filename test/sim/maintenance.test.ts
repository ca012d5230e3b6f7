/** Maintenance and freezes in whole clusters: nothing is done on its own meanwhile, and no promise rests on them. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { NodeId } from '../../src/base/index.js'
import type { Command } from '../../src/core/cluster/index.js'
import { faults } from './faults.js'
import { attend } from './play.js'
import { Random } from './random.js'
import { attendGroups, usualTrouble } from './scenario.js'
import { healthy } from './services.js'
import { Trouble } from './trouble.js'
import { groupOf, World, type WorldOptions } from './world.js'

const web = 'web' as never
const seedCount = 25
const span = 30_000

/** web is an agent's, and runs on n1; n2 leads. */
function begin(options: Partial<WorldOptions> = {}) {
  const world = new World({ seed: 31, profile: 'fast', ...options })
  world.start({ web: groupOf(world.names, { start: 'a', stop: 'b', probe: 'c' }) })
  world.until(
    'n2 leads',
    () => {
      if (world.leader?.name === 'n2' && world.leader.daemon?.node?.holdsLease() === true) return true
      world.leader?.daemon?.node?.transferLead('n2' as NodeId)
      world.run(500)
      return false
    },
    20_000,
  )
  const machine = world.machine('n1')
  assert.ok(machine !== undefined)
  const state = () => world.leader?.daemon?.node?.state
  const row = () => state()?.get('groups', web)
  const cases = () => [...(state()?.rows('cases') ?? [])].map(([, one]) => one)
  const running = () => world.truth.where('web').map((one) => one.name)
  const cell = machine.cell(web, 'app' as never)
  assert.deepEqual(running(), ['n1'])
  return { world, machine, state, row, cases, running, cell }
}

const maintain = (node: string, forMs: number): Command => ({
  kind: 'maintain-node',
  node: node as NodeId,
  forMs,
  owner: 'a test',
  reason: 'new memory',
})
const detach = (node: string, forMs: number): Command => ({ ...maintain(node, forMs), detached: true }) as Command
const end = (node: string): Command => ({ kind: 'end-maintenance', node: node as NodeId })
describe('maintenance', () => {
  test('a service that dies stays down until it has ended, and is restarted then, where it was', () => {
    const { world, row, running, cell } = begin()
    const token = row()?.holder?.token
    world.must(maintain('n1', 20_000))
    cell.serviceDown('a test')
    world.until('it is told', () => row()?.holder?.report.state === 'FAILED', 10_000)
    world.run(5_000)
    assert.deepEqual([running(), row()?.holder?.token], [[], token])
    world.until('it runs again', () => running().length === 1, 40_000)
    assert.deepEqual([running(), row()?.holder?.token], [['n1'], token])
    assert.equal(world.leader?.daemon?.node?.state.get('nodes', 'n1')?.lapsed?.owner, 'a test')
  })

  test('what a person started meanwhile is found, and stays', () => {
    const { world, row, running, cell } = begin()
    const starts = () => world.truth.starts
    world.must(maintain('n1', 60_000))
    cell.serviceDown('a test')
    world.until('it is told', () => row()?.holder?.report.state === 'FAILED', 10_000)
    cell.serviceUp({ pid: 77_777, startTime: 1 })
    const before = starts()
    world.must(end('n1'))
    world.until('it is seen', () => row()?.holder?.report.state === 'ONLINE', 10_000)
    world.run(10_000)
    assert.deepEqual([running(), starts()], [['n1'], before])
  })

  test('a node that loses its power is not cut off and nothing goes elsewhere; once it has ended, everything takes its usual way', () => {
    const { world, machine, cases, running } = begin()
    world.must(maintain('n1', 600_000))
    machine.powerOff('a person has pulled the plug')
    world.run(60_000)
    assert.deepEqual([cases().length, running()], [0, []])
    world.must(end('n1'))
    world.until('web runs elsewhere', () => running().length === 1 && running()[0] !== 'n1', 60_000)
    assert.equal(cases()[0]?.proof?.kind, 'fenced')
    world.until('all is well', () => world.isSettled(), 120_000)
  })

  test('its lease still ends what it runs when it loses contact', () => {
    const { world, running, cases, row } = begin()
    world.must(maintain('n1', 600_000))
    cutOff(world)
    world.until('it has stopped', () => running().length === 0, 20_000)
    world.run(20_000)
    assert.deepEqual([cases().length, running()], [0, []])
    world.network.healAll()
    world.until('n1 has told so', () => row()?.holder === null, 30_000)
    world.run(20_000)
    assert.deepEqual(running(), [], 'nobody else has started it')
    world.must(end('n1'))
    world.until('all is well', () => world.isSettled(), 120_000)
  })

  test('a node that a person has started anew has its group back, or another has, once it has ended', () => {
    const { world, machine, running, row } = begin()
    world.must(maintain('n1', 600_000))
    machine.reset('a test')
    world.until('its earlier life is proved over', () => row()?.proof?.kind === 'rebooted', 60_000)
    world.run(20_000)
    assert.deepEqual(running(), [])
    world.must(end('n1'))
    world.until('all is well', () => world.isSettled(), 60_000)
  })
})

/** n1 hears and is heard by nobody. */
function cutOff(world: World): void {
  for (const other of ['n2', 'n3']) {
    world.network.cut('n1' as never, other as never, 'loses')
    world.network.cut(other as never, 'n1' as never, 'loses')
  }
}

describe('maintenance without the guardian', () => {
  const detached = (node: { state: ReturnType<typeof begin>['state'] }, world: World) =>
    node.state()?.get('boots', `n1/${world.machine('n1')?.bootId}`)?.detached

  test('what runs goes on without a lease, also when its guardian dies, and nobody else takes it', () => {
    const { world, machine, running, cases, row } = begin()
    const [token, starts] = [row()?.holder?.token, world.truth.starts]
    world.must(detach('n1', 600_000))
    world.run(2_000)
    cutOff(world)
    world.run(30_000)
    machine.kill(machine.guardian?.process)
    world.run(30_000)
    assert.deepEqual([running(), cases().length], [['n1'], 0])
    world.network.healAll()
    world.until('n1 is back', () => machine.daemon?.node?.holdsLease() === true, 30_000)
    world.must(end('n1'))
    world.until('all is well', () => world.isSettled(), 60_000)
    assert.deepEqual([running(), row()?.holder?.token, world.truth.starts], [['n1'], token, starts])
  })

  test('once it has ended while the node is cut off, nobody takes its lease for its end', () => {
    const { world, running, row, state } = begin({ fencing: false, watchdogTimeout: 1_000, emergencyStop: 3_000 })
    world.must(detach('n1', 20_000))
    world.run(2_000)
    cutOff(world)
    world.until('the maintenance has ended', () => state()?.get('nodes', 'n1')?.maintenance === undefined, 60_000)
    world.until('n1 is condemned', () => state()?.get('boots', `n1/${world.machine('n1')?.bootId}`)?.state === 'condemned', 60_000)
    world.run(60_000)
    assert.deepEqual([running(), row()?.proof], [['n1'], null])
    world.network.healAll()
    world.until('all is well', () => world.isSettled(), 120_000)
    assert.equal(running().length, 1)
  })

  test('its fence device proves as ever', () => {
    const { world, running, row, state } = begin()
    world.must(detach('n1', 20_000))
    world.run(2_000)
    cutOff(world)
    world.until('web runs elsewhere', () => running().length === 1 && running()[0] !== 'n1', 120_000)
    assert.equal(state()?.get('nodes', 'n1')?.maintenance, undefined)
    assert.notEqual(row()?.holder?.node, 'n1')
    world.network.healAll()
    world.until('all is well', () => world.isSettled(), 120_000)
  })

  test('a guardian that is suspended by what the log does not know is told to guard, and ends what runs as ever', () => {
    const { world, machine, state, running } = begin({ fencing: false })
    const isGuarded = () => state()?.get('boots', `n1/${machine.bootId}`)?.guard.guarded
    // As after a recovery that has lost the entry.
    machine.runFolder.detachment = { detached: 10_000 as never, attached: 0 as never }
    machine.kill(machine.guardian?.process)
    world.until('it guards', () => machine.runFolder.detachment?.attached === 10_000 && isGuarded() === true, 10_000)
    cutOff(world)
    world.until('it has stopped', () => running().length === 0, 30_000)
    world.network.healAll()
    world.until('all is well', () => world.isSettled(), 120_000)
  })

  test('a node that is condemned after it has its guardian guard again, and comes back', () => {
    const { world, machine, state } = begin({ fencing: false, watchdogTimeout: 1_000, emergencyStop: 3_000 })
    machine.behaviour(web).stopHangs = true
    machine.behaviour(web).unkillable = true
    world.must(detach('n1', 20_000))
    world.run(2_000)
    cutOff(world)
    world.until('n1 is condemned', () => state()?.get('boots', `n1/${machine.bootId}`)?.state === 'condemned', 60_000)
    world.network.healAll()
    // What cannot be stopped is for the watchdog, as ever: it was fed while the guardian was suspended.
    world.until('the watchdog has reset it', () => state()?.get('boots', `n1/${machine.bootId}`) !== undefined, 60_000)
    machine.behaviour(web).stopHangs = false
    machine.behaviour(web).unkillable = false
    world.until('all is well', () => world.isSettled(), 120_000)
  })

  test('when it has ended, the lease ends what runs there again', () => {
    const node = begin({ fencing: false, watchdogTimeout: 1_000, emergencyStop: 3_000 })
    const { world, running } = node
    world.must(detach('n1', 600_000))
    world.run(2_000)
    assert.notEqual(detached(node, world), undefined)
    world.must(end('n1'))
    world.until('its guardian guards again', () => detached(node, world) === undefined, 10_000)
    cutOff(world)
    world.until('web runs elsewhere', () => running().length === 1 && running()[0] !== 'n1', 120_000)
    world.network.healAll()
    world.until('all is well', () => world.isSettled(), 120_000)
  })
})

describe('a copy that nobody granted', () => {
  test('beside that of the holder is seen, told and ended; the copy with the token stays', () => {
    const { world, running, row } = begin()
    world.alarmsAllowed = true
    const token = row()?.holder?.token
    const other = world.machine('n3')?.cell(web, 'app' as never)
    // Nobody of the cluster has started it: it is no failure of the cluster that two run.
    assert.ok(other !== undefined)
    other.service = { pid: 88_888, startTime: 1 }
    world.until('it is told', () => world.alarms.some((text) => text.includes('web runs on n3 without a grant')), 120_000)
    world.until('it is ended', () => other.service === undefined, 30_000)
    world.until('n3 has looked again', () => probe(world, 'n3') === 'clean', 30_000)
    assert.deepEqual([running(), row()?.holder?.token], [['n1'], token])
  })

  test('is left to a person where the group says so', () => {
    const { world, row } = begin()
    world.alarmsAllowed = true
    const definition = {
      ...groupOf(world.names, { start: 'a', stop: 'b', probe: 'c' }),
      offlineProbe: { interval: 5_000, onFound: 'block' as const },
    }
    world.must({ kind: 'put-group', group: web, definition, intent: null, precondition: {} })
    const other = world.machine('n3')?.cell(web, 'app' as never)
    assert.ok(other !== undefined)
    other.service = { pid: 88_888, startTime: 1 }
    world.until('it is told', () => world.alarms.some((text) => text.includes('stop it by hand')), 30_000)
    world.run(30_000)
    assert.deepEqual([other.service?.pid, row()?.holder?.node], [88_888, 'n1'])
    other.service = undefined
    world.until('n3 has looked again', () => probe(world, 'n3') === 'clean', 30_000)
  })

  const stopAll = { interval: 5_000, onFound: 'stopAllRestart' as const }
  test('has everything stopped where the group says so, and started once that has been seen to end', () => {
    const { world, running, row } = begin()
    world.alarmsAllowed = true
    const definition = { ...groupOf(world.names, { start: 'a', stop: 'b', probe: 'c' }), offlineProbe: stopAll }
    world.must({ kind: 'put-group', group: web, definition, intent: null, precondition: {} })
    world.until('it runs as it is now', () => running().length === 1 && row()?.holder?.report.state === 'ONLINE', 30_000)
    const token = row()?.holder?.token ?? 0
    const other = world.machine('n3')?.cell(web, 'app' as never)
    assert.ok(other !== undefined)
    other.service = { pid: 88_888, startTime: 1 }
    const behaviour = world.machine('n3')?.behaviour(web)
    assert.ok(behaviour !== undefined)
    behaviour.stopHangs = true
    behaviour.unkillable = true
    world.until('it is told', () => world.alarms.some((text) => text.includes('both are stopped')), 30_000)
    world.until('its holder has stopped', () => row()?.holder === null, 60_000)
    // What cannot be ended there keeps it down everywhere.
    world.run(30_000)
    assert.deepEqual([other.service?.pid, row()?.holder], [88_888, null])
    assert.match(row()?.waitingFor ?? '', /runs on n3 without a grant, and is stopped first/)
    Object.assign(behaviour, healthy)
    world.until(
      'it is ended, and then it is started',
      () => other.service === undefined && row()?.holder?.report.state === 'ONLINE',
      120_000,
    )
    assert.ok((row()?.holder?.token ?? 0) > token)
    const rules = [...(world.leader?.daemon?.node?.state.rows('decisions') ?? [])].map(([, { rule }]) => rule)
    assert.equal(rules.filter((rule) => rule === 'two-copies').length, 1)
    world.until('n3 has looked again', () => probe(world, 'n3') === 'clean', 30_000)
  })
})

describe('a monitor', () => {
  test('that hangs is told, ended and started anew; what it keeps runs on under the same grant', () => {
    const { world, machine, state, row, running } = begin()
    const { monitor } = machine
    const [token, starts] = [row()?.holder?.token, world.truth.starts]
    monitor?.process.pause()
    world.until('it is told', () => state()?.get('nodes', 'n1')?.monitor?.what === 'hung', 30_000)
    world.until('it is back', () => state()?.get('nodes', 'n1')?.monitor?.what === 'back', 20_000)
    assert.equal(monitor?.process.alive, false)
    world.run(5_000)
    assert.deepEqual([running(), row()?.holder?.token, world.truth.starts], [['n1'], token, starts])
  })

  test('that ends is told, and when it is back', () => {
    const { world, machine, state, running } = begin()
    machine.kill(machine.monitor?.process)
    world.until('it is back', () => state()?.get('nodes', 'n1')?.monitor?.what === 'back', 20_000)
    const told = [...(state()?.rows('journal') ?? [])].map(([, { kind }]) => kind).filter((kind) => kind.startsWith('monitor.'))
    assert.deepEqual([told, running()], [['monitor.lost', 'monitor.back'], ['n1']])
  })
})

function probe(world: World, node: string): string | undefined {
  const machine = world.machine(node)
  return world.leader?.daemon?.node?.state.get('boots', `${node}/${machine?.bootId}`)?.probes[web]?.result
}

test('freezes, maintenance and restarts of single resources at any moment, among faults of every kind: promises hold, and all runs in the end', (context) => {
  const rules = new Map<string, number>()
  const events = new Map<string, number>()
  for (let seed = 1; seed <= seedCount; seed++) {
    const world = new World({
      startedAgain: true,
      seed,
      profile: seed % 2 === 0 ? 'fast' : 'normal',
      fencing: seed % 5 !== 0,
      containment: seed % 6 === 0 ? 'sweep' : 'cgroup2',
    })
    world.start({ web: groupOf(world.names, { start: 'a', stop: 'b', probe: 'c' }), kept: groupOf(world.names) })
    const random = new Random(seed ^ 0x3a17)
    const trouble = new Trouble(world, world.random.fork(), { ...usualTrouble, faults, span, omit: new Set() })
    trouble.begin()
    attend(world)
    attendGroups(world)
    const begun = world.scheduler.now
    const ask = () => {
      if (world.scheduler.now > begun + span) return
      const group = random.pick(['web', 'kept']) as never
      const node = random.pick(world.names)
      const forMs = 500 + Math.floor(random.next() * 6_000)
      const probes = random.chance(0.3) ? { probes: 'pause' as const } : {}
      const how = { forMs, owner: 'a test', reason: 'work', ...probes }
      world.ask(
        random.pick<Command>([
          { kind: 'maintain-node', node, ...how },
          { kind: 'maintain-node', node, ...how },
          { kind: 'maintain-node', node, ...how, detached: true },
          { kind: 'end-maintenance', node },
          { kind: 'freeze-group', group, ...how },
          { kind: 'unfreeze-group', group },
          { kind: 'restart-resource', group, resource: 'app' as never, operation: `op-${world.freshId()}` },
          { kind: 'restart-resource', group, resource: 'app' as never, operation: `op-${world.freshId()}` },
        ]),
      )
      world.scheduler.after(200 + random.next() * 2_000, ask)
    }
    ask()
    world.run(span)
    trouble.end()
    const clear = () => {
      for (const node of world.names) {
        world.ask({ kind: 'end-maintenance', node })
        world.ask({ kind: 'set-duty', node, duty: 'active', operation: null })
      }
      for (const group of ['web', 'kept'] as never[]) {
        world.ask({ kind: 'unfreeze-group', group })
        world.ask({ kind: 'clear-group', group })
      }
      world.scheduler.after(3_000, clear)
    }
    clear()
    // What was asked for last may have been ordered just now.
    const isRestarting = () =>
      [...(world.leader?.daemon?.node?.state.rows('operations') ?? [])].some(
        ([, { kind, status }]) => kind === 'restart-resource' && status === 'running',
      )
    world.until(`seed ${seed}: all runs`, () => world.isSettled() && !isRestarting(), 150_000)
    const state = world.leader?.daemon?.node?.state
    for (const [, { rule }] of state?.rows('decisions') ?? []) rules.set(rule, (rules.get(rule) ?? 0) + 1)
    for (const [, { kind }] of state?.rows('journal') ?? []) events.set(kind, (events.get(kind) ?? 0) + 1)
    world.close()
  }
  context.diagnostic([...rules].map(([rule, count]) => `${rule} ${count}`).join(', '))
  for (const rule of ['resource-restart-asked', 'freeze-ended', 'restart-in-place'])
    assert.ok(rules.has(rule), `some run comes to "${rule}"`)
  for (const kind of ['node.maintenance', 'node.maintenance-ended']) assert.ok(events.has(kind), `some run comes to "${kind}"`)
})
