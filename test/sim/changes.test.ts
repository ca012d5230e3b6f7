/** Definitions that change again and again while services fail: promises hold, and in the end all runs as it is defined. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Command, type DependencyKind, dependencyKinds, type GroupDefinition } from '../../src/core/cluster/index.js'
import { faults, serviceFaults } from './faults.js'
import { attend } from './play.js'
import { Random } from './random.js'
import { attendGroups, usualTrouble } from './scenario.js'
import { Trouble } from './trouble.js'
import { groupOf, World } from './world.js'

const web = 'web' as never
const seedCount = 12
const span = 25_000

/**
 * Three resources, each of which needs the one before in some way, and others that come and go. What runs differs from one version to
 * the next, in some of them.
 */
function chainOf(world: World, random: Random, version: number): GroupDefinition {
  const { resources, ...rest } = groupOf(world.names)
  const [like] = Object.values(resources)
  assert.ok(like !== undefined)
  const kind = (): DependencyKind => dependencyKinds[Math.floor(random.next() * dependencyKinds.length)] ?? 'strong'
  const parameters = (): Record<string, string> => ({ run: `x${random.chance(0.5) ? version : 0}` })
  const needs = [kind(), kind()]
  const [first = 'strong', second = 'strong'] = needs
  const chain = {
    base: { ...like, type: 'ocf:sim:Base', parameters: parameters() },
    middle: { ...like, parameters: parameters(), dependsOn: [{ resource: 'base', kind: first }] },
    top: {
      ...like,
      type: random.chance(0.8) ? 'ocf:sim:Top' : 'ocf:sim:Peak',
      parameters: parameters(),
      dependsOn: [{ resource: 'middle', kind: second }],
      critical: false,
    },
  }
  const guests = ['early', 'late'].filter(() => random.chance(0.5))
  const coming = guests.map((name) => [
    name,
    { ...like, parameters: parameters(), dependsOn: name === 'early' ? [] : [{ resource: 'base', kind: kind() }] },
  ])
  // One that has come may be needed by those that are there already.
  const top = guests.includes('early') && random.chance(0.5) ? { top: { ...chain.top, dependsOn: [...chain.top.dependsOn, 'early'] } } : {}
  return { ...rest, resources: { ...chain, ...Object.fromEntries(coming), ...top } as unknown as GroupDefinition['resources'] }
}

for (const [what, of, seeds] of [
  ['while services fail', serviceFaults, seedCount],
  ['among faults of every kind', faults, 6],
] as const)
  test(`whatever changes ${what}, at most one copy runs, and all comes up in the end`, (context) => {
    const rules = new Map<string, number>()
    for (let seed = 1; seed <= seeds; seed++) {
      const world = new World({
        startedAgain: of === faults,
        seed,
        profile: 'fast',
        fencing: seed % 5 !== 0,
        containment: seed % 4 === 0 ? 'sweep' : 'cgroup2',
      })
      // The kinds stay for some versions, and change with others: then all is stopped first.
      const random = new Random(seed ^ 0xc4a9)
      let version = 0
      const next = () => chainOf(world, new Random(seed * 1_000 + Math.floor(version++ / 4)), version)
      world.start({ web: next() })
      const trouble = new Trouble(world, world.random.fork(), {
        ...usualTrouble,
        faults: of,
        span,
        gapMax: 2_500,
        omit: new Set(),
      })
      trouble.begin()
      if (of === faults) attend(world)
      attendGroups(world)
      const begun = world.scheduler.now
      const change = () => {
        if (world.scheduler.now > begun + span) return
        world.ask({ kind: 'put-group', group: web, definition: next(), intent: null, precondition: {} })
        world.scheduler.after(300 + random.next() * 3_000, change)
      }
      change()
      world.run(span)
      trouble.end()
      const clear = () => {
        const wishes: Command[] = world.names.map((node) => ({ kind: 'set-duty', node, duty: 'active', operation: null }))
        wishes.push({ kind: 'clear-group', group: web })
        for (const command of wishes) world.ask(command)
        world.scheduler.after(3_000, clear)
      }
      clear()
      world.until(`seed ${seed}: all runs`, () => world.isSettled(), 120_000)
      const group = world.leader?.daemon?.node?.state.get('groups', web)
      assert.equal(group?.holder?.pinnedRevision, group?.resourcesRevision, `seed ${seed}: as it is defined`)
      const cells = world.machine(group?.holder?.node as never)?.allCells() ?? []
      const running = cells.filter((cell) => cell.group === 'web' && cell.service !== undefined).map(({ resource }) => resource)
      assert.deepEqual(running.sort(), Object.keys(group?.definition.resources ?? {}).sort(), `seed ${seed}: what runs is what is defined`)
      for (const [, { rule }] of world.leader?.daemon?.node?.state.rows('decisions') ?? []) rules.set(rule, (rules.get(rule) ?? 0) + 1)
      world.close()
    }
    context.diagnostic([...rules].map(([rule, count]) => `${rule} ${count}`).join(', '))
    for (const rule of of === faults ? [] : ['definition-updated', 'definition-changed', 'restart-in-place'])
      assert.ok(rules.has(rule), `some run comes to "${rule}"`)
  })
