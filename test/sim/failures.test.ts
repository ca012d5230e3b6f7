/** Rules for failures in whole clusters: who is cut off for a stop that fails, who is not, and what becomes of the group. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { NodeId } from '../../src/base/index.js'
import type { Command, FailurePolicy } from '../../src/core/cluster/index.js'
import { serviceFaults } from './faults.js'
import { attendGroups, policyOf, usualTrouble } from './scenario.js'
import { type Behaviour, healthy } from './services.js'
import { Trouble } from './trouble.js'
import { groupOf, World, type WorldOptions } from './world.js'

const web = 'web' as never
const seedCount = 40

function begin(policy: FailurePolicy, options: Partial<WorldOptions> = {}) {
  const world = new World({ seed: 21, profile: 'fast', ...options })
  world.start({ web: { ...groupOf(world.names), ...policy }, other: groupOf(world.names) })
  const row = () => world.leader?.daemon?.node?.state.get('groups', web)
  const holder = () => (row()?.proof === null ? row()?.holder : undefined)
  const cases = () => [...(world.leader?.daemon?.node?.state.rows('cases') ?? [])].map(([, one]) => one)
  const n1 = world.machine('n1')
  assert.ok(n1 !== undefined)
  assert.equal(holder()?.node, 'n1')
  return { world, row, holder, cases, n1, behaviour: n1.behaviour(web) }
}

/** It cannot be stopped on n1 any more, and is asked to go to n2. */
function stuck(policy: FailurePolicy, options: Partial<WorldOptions> = {}) {
  const begun = begin(policy, options)
  begun.behaviour.unkillable = true
  begun.world.must({ kind: 'move-group', group: web, to: 'n2' as NodeId, operation: 'move' })
  return begun
}

for (const policy of [{ failoverMode: 'HARD' }, { onStopFailure: 'fence' }] as const) {
  test(`a stop that fails, ${JSON.stringify(policy)}: its node is cut off, once, and the group goes on elsewhere`, () => {
    const { world, row, holder, cases, behaviour } = stuck(policy)
    world.until('n1 is without power', () => world.machine('n1')?.powered === false, 60_000)
    assert.equal(world.truth.where('web').length, 0)
    Object.assign(behaviour, healthy)
    world.until('web runs elsewhere', () => holder()?.node !== 'n1' && holder()?.report.state === 'ONLINE', 30_000)
    world.until('all is well', () => world.isSettled(), 120_000)
    assert.deepEqual(
      cases().map((one) => [one.node, one.trigger.split(':')[0], one.proof?.kind]),
      [['n1', 'asked by the failure rules of web', 'fenced']],
    )
    assert.equal(row()?.waitingFor, null)
    world.run(30_000)
    assert.equal(cases().length, 1)
  })
}

for (const [what, policy, options, said] of [
  ['in mode SOFT', {}, {}, /fence n1 to go on/],
  ['without a fence device', { failoverMode: 'HARD' }, { fencing: false }, /not fenced for it: it has no fence device/],
] as const) {
  test(`a stop that fails ${what} waits for a person: nobody is cut off, and nothing is granted`, () => {
    const { world, row, holder, cases } = stuck(policy, options)
    world.until('it says so', () => said.test(row()?.waitingFor ?? ''), 60_000)
    world.run(30_000)
    assert.deepEqual([cases().length, holder()?.node, world.machine('n1')?.powered], [0, 'n1', true])
    assert.deepEqual(
      world.truth.where('other').map((machine) => machine.name),
      ['n1'],
    )
  })
}

describe('a node that is evicted for a failure', () => {
  const policy: FailurePolicy = { rules: [{ event: 'died', action: 'evictNode' }] }
  const evict = (options: Partial<WorldOptions> = {}, before: (other: Behaviour) => void = () => {}) => {
    const begun = begin(policy, options)
    const { world, n1, holder } = begun
    before(n1.behaviour('other' as never))
    const node = () => world.leader?.daemon?.node?.state.get('nodes', 'n1' as never)
    n1.cell(web, 'app' as never).serviceDown('it crashed')
    world.until('it is evicted, and web runs elsewhere', () => node()?.evicted !== undefined && holder()?.node === 'n2', 60_000)
    return { ...begun, node }
  }
  const runs = (world: World, group: string) => world.truth.where(group).map(({ name }) => name)

  test('gives all its groups away, and hosts nothing until a person activates it', () => {
    const { world, node, cases } = evict()
    world.until('the other one runs elsewhere', () => runs(world, 'other').join() === 'n2', 60_000)
    assert.deepEqual([node()?.duty, node()?.evicted?.group, cases().length], ['standby', web, 0])
    assert.match(node()?.evicted?.reason ?? '', /died .* n1 is evicted, and its groups leave it, by rules\[0\]/)
    world.must({ kind: 'set-duty', node: 'n1' as NodeId, duty: 'active', operation: null })
    assert.deepEqual([node()?.duty, node()?.evicted], ['active', undefined])
  })

  test('is fenced where one of them cannot be stopped, though that group would not ask for it', () => {
    const { world, node, cases, n1 } = evict({}, (other) => {
      other.unkillable = true
    })
    world.until('n1 is without power', () => !n1.powered, 60_000)
    Object.assign(n1.behaviour('other' as never), healthy)
    world.until('the other one runs elsewhere', () => runs(world, 'other').join() === 'n2', 60_000)
    assert.match(cases()[0]?.trigger ?? '', /asked by the failure rules of other: .*n1 is evicted for web/)
    world.until('it is back', () => n1.powered && node()?.evicted !== undefined && node()?.duty === 'standby', 120_000)
    world.run(30_000)
    assert.deepEqual([runs(world, 'web'), runs(world, 'other'), cases().length], [['n2'], ['n2'], 1])
  })

  test('is not fenced for it without a device: a person is asked', () => {
    const { world, cases, row } = evict({ fencing: false }, (other) => {
      other.unkillable = true
    })
    const other = () => world.leader?.daemon?.node?.state.get('groups', 'other' as never)?.waitingFor ?? ''
    world.until('it says so', () => /n1 is evicted for web; n1 is not fenced for it: it has no fence device/.test(other()), 60_000)
    assert.deepEqual([cases().length, row()?.holder?.node], [0, 'n2'])
  })

  test('is not the last one: where nobody else could take the group it stays, and says so', () => {
    const begun = begin(policy)
    const { world, row, n1, holder } = begun
    for (const node of ['n2', 'n3'] as NodeId[]) world.must({ kind: 'set-duty', node, duty: 'standby', operation: null })
    n1.cell(web, 'app' as never).serviceDown('it crashed')
    world.until('it says so', () => /n1 would be evicted, and no other node can take web now/.test(row()?.waitingFor ?? ''), 60_000)
    assert.deepEqual([holder()?.node, world.leader?.daemon?.node?.state.get('nodes', 'n1' as never)?.duty], ['n1', 'active'])
  })
})

test('failovers that are used up leave the group where it is with what runs, for as long as nobody clears it', () => {
  const policy: FailurePolicy = {
    rules: [{ event: 'died', action: 'failover' }],
    failover: { max: 1, window: 20_000, onExhausted: 'runDegraded' },
  }
  const { world, row, holder, n1 } = begin(policy)
  n1.cell(web, 'app' as never).serviceDown('it crashed')
  world.until('web runs on n2', () => holder()?.node === 'n2' && holder()?.report.state === 'ONLINE', 30_000)
  world
    .machine('n2')
    ?.cell(web, 'app' as never)
    .serviceDown('it crashed')
  world.until('it stays', () => /1 failover within 20s, 1 allowed: web stays on n2 with what runs/.test(row()?.waitingFor ?? ''), 30_000)
  // The window is over, and that alone is no reason to go.
  world.run(60_000)
  assert.deepEqual([holder()?.node, holder()?.report.state, row()?.halted], ['n2', 'FAILED', undefined])
  world.must({ kind: 'clear-group', group: web })
  world.until('it runs where it is', () => holder()?.node === 'n2' && holder()?.report.state === 'ONLINE', 30_000)
})

test('services that fail again and again, under rules of every kind: promises hold, and once they are well and cleared all runs', (context) => {
  const rules = new Map<string, number>()
  for (let seed = 1; seed <= seedCount; seed++) {
    const world = new World({ seed, profile: 'fast', fencing: seed % 5 !== 0 })
    const span = 40_000
    world.start({ web: { ...groupOf(world.names), ...policyOf(seed) }, other: { ...groupOf(world.names), ...policyOf(seed + 1_000) } })
    const trouble = new Trouble(world, world.random.fork(), {
      ...usualTrouble,
      faults: serviceFaults,
      span,
      gapMax: 1_500,
      omit: new Set(),
    })
    trouble.begin()
    attendGroups(world)
    const restart = () => {
      if (world.scheduler.now > begun + span) return
      for (const group of ['web', 'other'] as never[]) world.ask({ kind: 'restart-group', group, operation: `op-${world.freshId()}` })
      world.scheduler.after(2_500, restart)
    }
    const begun = world.scheduler.now
    restart()
    world.run(span)
    trouble.end()
    const clear = () => {
      const wishes: Command[] = world.names.map((node) => ({ kind: 'set-duty', node, duty: 'active', operation: null }))
      for (const group of ['web', 'other'] as never[]) wishes.push({ kind: 'clear-group', group })
      for (const command of wishes) world.ask(command)
      world.scheduler.after(3_000, clear)
    }
    clear()
    world.until(`seed ${seed}: all runs`, () => world.isSettled(), 120_000)
    for (const [, { rule }] of world.leader?.daemon?.node?.state.rows('decisions') ?? []) rules.set(rule, (rules.get(rule) ?? 0) + 1)
    world.close()
  }
  context.diagnostic([...rules].map(([rule, count]) => `${rule} ${count}`).join(', '))
  for (const rule of ['restart-in-place', 'start-failed', 'stop-failed', 'rules[0]', 'halted'])
    assert.ok(rules.has(rule), `some run comes to "${rule}"`)
})
