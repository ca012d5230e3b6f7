/** Rules for failures in whole clusters: who is cut off for a stop that fails, who is not, and what becomes of the group. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NodeId } from '../../src/base/index.js'
import type { Command, FailurePolicy } from '../../src/core/cluster/index.js'
import { serviceFaults } from './faults.js'
import { attendGroups, policyOf, usualTrouble } from './scenario.js'
import { healthy } from './services.js'
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
