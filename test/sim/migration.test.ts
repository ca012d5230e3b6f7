/**
 * A group whose one instance goes to another node while it runs: never two of it, whatever is lost on the way.
 *
 * QUORATE_MIGRATION_SEEDS seeds (24 unless given), from QUORATE_MIGRATION_SEED on; QUORATE_LIVE=1 tells the whole story of each.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Command, GroupRow, ScalableDefinition } from '../../src/core/cluster/index.js'
import { faults } from './faults.js'
import { attend } from './play.js'
import { Random } from './random.js'
import { attendGroups, usualTrouble } from './scenario.js'
import { Story } from './story.js'
import { Trouble } from './trouble.js'
import { groupOf, World } from './world.js'

const vm = 'vm' as never
const seedCount = Number(process.env.QUORATE_MIGRATION_SEEDS ?? 24)
const firstSeed = Number(process.env.QUORATE_MIGRATION_SEED ?? 1)
const span = 30_000

function vmOf(world: World): ScalableDefinition {
  const { mode: _mode, ...shared } = groupOf(world.names, { start: 'a', stop: 'b', probe: 'c', migrateTo: 'd', migrateFrom: 'e' })
  return { ...shared, mode: 'scalable', desired: 1, migrate: true }
}

function define(world: World): void {
  world.migratingGroups.add('vm')
  world.must({ kind: 'put-group', group: vm, definition: vmOf(world), intent: null, precondition: {} })
}

class Migrating extends Story {
  constructor(options: ConstructorParameters<typeof Story>[0] = {}) {
    super(options)
    define(this.world)
    this.settled()
    assert.deepEqual(this.vmAt, ['n1'])
  }

  get vmAt(): readonly string[] {
    return this.world.names.filter((name) => this.world.truth.where(`vm:${name}`).length > 0)
  }

  row(node: string): GroupRow | undefined {
    return this.world.leader?.daemon?.node?.state.get('groups', `vm:${node}` as never)
  }

  get migration() {
    return this.world.leader?.daemon?.node?.state.get('scalables', 'vm')?.migration
  }

  /** Asked until it has gone there without being stopped: what sends it may fail, as it does at times. */
  move(to: string): void {
    for (let number = 1; this.vmAt[0] !== to && number < 30; number++) {
      const operation = `move-${to}-${number}`
      this.world.must({ kind: 'move-group', group: vm, to: to as never, operation })
      this.world.until('it is over', () => this.operation(operation) !== 'running', 60_000)
      this.settled()
    }
    assert.deepEqual(this.vmAt, [to])
  }

  operation(id: string): string | undefined {
    return this.world.leader?.daemon?.node?.state.get('operations', id)?.status
  }

  begin(to: string): void {
    this.world.must({ kind: 'move-group', group: vm, to: to as never, operation: 'op' })
    this.world.until('it is being sent', () => this.migration === undefined || this.migration.step === 'sending', 20_000)
  }
}

describe('a move of what migrates', () => {
  test('goes there and back without a stop', () => {
    const story = new Migrating()
    story.move('n2')
    story.move('n3')
    story.move('n1')
    assert.equal(story.migration, undefined)
    assert.deepEqual(
      ['n1', 'n2', 'n3'].map((node) => story.row(node)?.doubts),
      [undefined, undefined, undefined],
    )
  })

  test('to a node that never becomes ready is given up after a minute, and it goes on where it is', () => {
    const story = new Migrating()
    const hangs = (span: number) => {
      for (let step = 0; step < span / 10; step++) {
        story.machine('n2').monitor?.process.pause()
        story.world.run(10)
      }
    }
    hangs(10)
    story.world.must({ kind: 'move-group', group: vm, to: 'n2' as never, operation: 'op' })
    hangs(50_000)
    assert.deepEqual([story.migration?.step, story.operation('op')], ['asked', 'running'])
    hangs(20_000)
    assert.equal(story.operation('op'), 'failed')
    assert.deepEqual(story.vmAt, ['n1'])
    story.machine('n2').kill(story.machine('n2').monitor?.process)
    story.settled()
    assert.deepEqual([story.vmAt, story.migration], [['n1'], undefined])
  })

  test('of a node that is to stand by goes by itself', () => {
    let migrated = 0
    for (let seed = 1; seed <= 8; seed++) {
      const story = new Migrating({ seed })
      story.world.must({ kind: 'set-duty', node: 'n1' as never, duty: 'standby', operation: 'op' })
      story.world.until('n1 hosts nothing', () => story.operation('op') === 'done', 60_000)
      // What cannot be sent is stopped, and started elsewhere.
      story.world.until('it runs elsewhere', () => story.vmAt.length === 1 && story.vmAt[0] !== 'n1', 60_000)
      if (story.world.seen.has('migrated')) migrated++
    }
    assert.ok(migrated > 2, `${migrated} of 8`)
  })

  for (const [who, how] of [
    ['the sender', 'n1'],
    ['the receiver', 'n2'],
  ] as const)
    for (const [what, lose] of [
      ['loses its power', (story: Migrating) => story.machine(how).powerOff('a test')],
      ['is cut off', (story: Migrating) => story.part(how)],
      ['loses its monitor', (story: Migrating) => story.machine(how).kill(story.machine(how).monitor?.process)],
    ] as const)
      test(`${who} ${what} in the middle of it`, () => {
        for (let seed = 1; seed <= 12; seed++) {
          const story = new Migrating({ seed })
          story.begin('n2')
          story.world.run(seed * 4)
          lose(story)
          story.world.run(5_000)
          story.world.network.healAll()
          if (!story.machine(how).powered) story.machine(how).powerOn()
          story.settled()
          assert.equal(story.vmAt.length, 1)
          assert.equal(story.migration, undefined)
        }
      })

  test('what turns up at a node that was switched off and on meanwhile is found there before anybody starts it again', () => {
    let turnedUp = 0
    for (let seed = 1; seed <= 6; seed++) {
      const story = new Migrating({ seed })
      story.world.alarmsAllowed = true
      story.machine('n1').behaviour('vm:n1' as never).sendMs = 2_600
      story.begin('n2')
      const boot = story.machine('n2').bootId
      story.machine('n2').powerOff('a test')
      const state = () => story.world.leader?.daemon?.node?.state.get('boots', `n2/${boot}`)?.state
      story.world.until('it is proved off', () => state() === 'ended', 20_000)
      if (!story.machine('n2').powered) story.machine('n2').powerOn()
      for (let span = 0; span < 3_000 && !story.vmAt.includes('n2'); span += 20) story.world.run(20)
      if (story.vmAt.includes('n2')) turnedUp++
      story.world.run(10_000)
      story.settled()
      assert.equal(story.vmAt.length, 1)
    }
    assert.ok(turnedUp > 0, `${turnedUp} of 6`)
  })

  test('to a node that cannot take it is refused, and it stays', () => {
    const story = new Migrating()
    story.world.must({ kind: 'set-duty', node: 'n2' as never, duty: 'standby', operation: null })
    story.world.must({ kind: 'move-group', group: vm, to: 'n2' as never, operation: 'op' })
    story.world.until('it is refused', () => story.operation('op') === 'failed', 20_000)
    assert.deepEqual(story.vmAt, ['n1'])
  })

  test('its definition does not change on the way, and whether it migrates only where it does not run', () => {
    const story = new Migrating()
    const put = (definition: ScalableDefinition): string => {
      let said: string | undefined
      const command: Command = { kind: 'put-group', group: vm, definition, intent: null, precondition: {} }
      story.world.ask(command, (result) => {
        said = result === undefined ? 'nobody knows' : result.ok ? 'done' : result.error.detail
      })
      story.world.until('it is answered', () => said !== undefined, 20_000)
      return said ?? ''
    }
    const { migrate: _migrate, ...plain } = vmOf(story.world)
    assert.match(put(plain), /whether it migrates does not change/)
    story.machine('n1').behaviour('vm:n1' as never).sendMs = 2_000
    story.begin('n2')
    assert.match(put({ ...vmOf(story.world), priority: 7 }), /on its way/)
    story.settled()
    assert.equal(put({ ...vmOf(story.world), priority: 7 }), 'done')
    story.world.must({ kind: 'set-intent', group: vm, intent: 'OFFLINE', operation: 'off' })
    story.world.until('it is offline', () => story.operation('off') === 'done', 60_000)
    assert.equal(put(plain), 'done')
  })

  test('is given up where the group is to be offline', () => {
    const story = new Migrating()
    story.begin('n2')
    story.world.must({ kind: 'set-intent', group: vm, intent: 'OFFLINE', operation: 'off' })
    story.world.until('it is offline', () => story.operation('off') === 'done', 60_000)
    assert.deepEqual(story.vmAt, [])
    story.world.until('nothing is left of it', () => story.migration === undefined, 20_000)
    story.world.must({ kind: 'set-intent', group: vm, intent: 'ONLINE', operation: 'on' })
    story.settled()
  })
})

test('moves at any moment, among faults of every kind: never two of it, and it runs in the end', (context) => {
  const seen = new Map<string, number>()
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed++) {
    const world = new World({
      startedAgain: true,
      live: process.env.QUORATE_LIVE !== undefined,
      seed,
      profile: seed % 2 === 0 ? 'fast' : 'normal',
      fencing: seed % 5 !== 0,
      ...(seed % 5 === 0 ? { watchdogTimeout: 1_000, emergencyStop: 3_000 } : {}),
      containment: seed % 6 === 0 ? 'sweep' : 'cgroup2',
    })
    // What turns up at a node that nobody expects to have it any more is told, as any copy that was not granted.
    world.alarmsAllowed = true
    world.start({ web: groupOf(world.names) })
    define(world)
    const random = new Random(seed ^ 0x716a)
    const trouble = new Trouble(world, world.random.fork(), { ...usualTrouble, faults, span, omit: new Set() })
    trouble.begin()
    attend(world)
    attendGroups(world)
    const begun = world.scheduler.now
    const ask = () => {
      if (world.scheduler.now > begun + span) return
      const [to, node] = [random.pick(world.names), random.pick(world.names)]
      const move: Command = { kind: 'move-group', group: vm, to, operation: `op-${world.freshId()}` }
      world.ask(
        random.pick<Command>([
          move,
          move,
          move,
          { kind: 'set-duty', node, duty: random.pick(['standby', 'active'] as const), operation: null },
          { kind: 'set-intent', group: vm, intent: random.pick(['ONLINE', 'OFFLINE'] as const), operation: `op-${world.freshId()}` },
        ]),
      )
      world.scheduler.after(100 + random.next() * 1_500, ask)
    }
    context.diagnostic(`seed ${seed}`)
    ask()
    world.run(span)
    trouble.end()
    const clear = () => {
      for (const node of world.names) world.ask({ kind: 'set-duty', node, duty: 'active', operation: null })
      world.ask({ kind: 'set-intent', group: vm, intent: 'ONLINE', operation: `op-${world.freshId()}` })
      for (const group of ['web', 'vm'] as never[]) world.ask({ kind: 'clear-group', group })
      world.scheduler.after(3_000, clear)
    }
    clear()
    world.run(1_000)
    world.until(`all is well (seed ${seed})`, () => world.isSettled(), 300_000)
    for (const what of world.seen) seen.set(what, (seen.get(what) ?? 0) + 1)
  }
  context.diagnostic(`${JSON.stringify(Object.fromEntries([...seen].filter(([what]) => /migrat/.test(what))))} of ${seedCount}`)
  assert.ok((seen.get('migrated') ?? 0) > seedCount / 2, 'it migrates in most of them')
})
