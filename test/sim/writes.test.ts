/** Writes that come together travel as one entry, and none of them can tell (src/core/cluster/merging.ts). */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Command, CommandResult, StoreOperation } from '../../src/core/cluster/index.js'
import type { SimDaemon } from './daemon.js'
import { World } from './world.js'

type Told = CommandResult | string

const put = (key: string, value: unknown): StoreOperation => ({ kind: 'put', key, value })

class Cluster {
  readonly world = new World({ seed: 5, fencing: false })
  readonly told = new Map<string, Told>()

  constructor() {
    this.world.start({})
    this.world.run(2_000)
  }

  get leader(): SimDaemon {
    return this.world.leader?.daemon as SimDaemon
  }

  get follower(): SimDaemon {
    return this.world.machines.find((machine) => machine !== this.world.leader)?.daemon as SimDaemon
  }

  write(at: SimDaemon, name: string, operation: StoreOperation, timeoutMs = 5_000): void {
    this.ask(at, name, { kind: 'store', operations: [operation] }, timeoutMs)
  }

  ask(at: SimDaemon, name: string, command: Command, timeoutMs = 5_000): void {
    at.submit(command, { timeoutMs }, (outcome) => {
      assert.ok(!this.told.has(name), `${name} is answered once`)
      this.told.set(name, outcome.ok ? outcome.value : outcome.error.code)
    })
  }

  answered(count: number): void {
    this.world.until('all are answered', () => this.told.size === count, 20_000)
  }

  row(key: string): { readonly value: unknown; readonly revision: number } | undefined {
    return this.leader.node?.state.get('store', key)
  }

  get index(): number {
    return this.leader.node?.state.appliedIndex ?? 0
  }
}

describe('writes of one moment', () => {
  for (const where of ['leader', 'follower'] as const)
    test(`at the ${where} are few entries, and each is told what became of its own key`, () => {
      const cluster = new Cluster()
      const before = cluster.index
      for (let at = 0; at < 40; at++) cluster.write(cluster[where], `w${at}`, put(`k${at}`, at))
      cluster.answered(40)
      for (let at = 0; at < 40; at++) {
        const told = cluster.told.get(`w${at}`) as Extract<CommandResult, { ok: true }>
        const row = cluster.row(`k${at}`)
        assert.deepEqual(told, {
          ok: true,
          index: row?.revision,
          value: { results: [{ key: `k${at}`, revision: row?.revision }], revision: row?.revision },
        })
        assert.equal(row?.value, at)
      }
      const entries = cluster.index - before
      assert.ok(entries < 20, `${entries} entries, those of other causes among them`)
    })

  test('of one key have revisions of their own', () => {
    const cluster = new Cluster()
    for (let at = 0; at < 6; at++) cluster.write(cluster.leader, `w${at}`, put('same', at))
    cluster.answered(6)
    const revisions = [...cluster.told.values()].map((told) => (told as CommandResult).index)
    assert.equal(new Set(revisions).size, 6)
    const latest = [...cluster.told].find(([, told]) => (told as CommandResult).index === cluster.row('same')?.revision)
    assert.equal(latest?.[0], `w${cluster.row('same')?.value}`)
  })

  test('one of which is refused, for the setting has changed under way: the others are carried out', () => {
    const cluster = new Cluster()
    cluster.ask(cluster.leader, 'settings', { kind: 'patch-settings', patch: { storeValueMax: 1_024 } })
    for (const where of ['leader', 'follower'] as const) {
      for (let at = 0; at < 5; at++)
        cluster.write(cluster[where], `${where}${at}`, put(`${where}-${at}`, at === 3 ? 'x'.repeat(2_000) : 'x'))
    }
    cluster.answered(11)
    assert.equal((cluster.told.get('settings') as CommandResult).ok, true)
    for (const [name, told] of cluster.told) {
      const result = told as CommandResult
      assert.equal(result.ok, !name.endsWith('3'), `${name}: ${JSON.stringify(told)}`)
      if (!result.ok) assert.equal(result.error.code, 'TOO_LARGE')
    }
    assert.equal(cluster.row('leader-3'), undefined)
    assert.equal(cluster.row('follower-4')?.value, 'x')
  })

  test('do not wait for a learner', () => {
    const world = new World({ seed: 3, nodes: 2, fencing: false, services: false, formed: 1, profile: 'fast' })
    const [first, second] = world.machines
    assert.ok(first !== undefined && second !== undefined)
    first.powerOn()
    world.until('it leads', () => world.leader === first, 30_000)
    second.invitation = 'word'
    world.must(
      { kind: 'invite', node: second.name, role: 'learner', checksum: 'word', forMs: 600_000, by: 'operator' } as never,
      30_000,
      first,
    )
    second.powerOn()
    const node = () => first.daemon?.node
    world.until('there is a learner', () => node()?.consensus.configuration.learners.length === 1, 30_000)
    world.run(2_000)
    second.powerOff('a test')
    world.run(3_000)
    for (let at = 0; at < 5; at++) {
      const since = world.scheduler.now
      let took: number | undefined
      first.daemon?.submit({ kind: 'store', operations: [put(`k${at}`, at)] }, { timeoutMs: 5_000 }, (outcome) => {
        if (outcome.ok && outcome.value.ok) took = world.scheduler.now - since
      })
      world.until('it is carried out', () => took !== undefined, 5_000)
      assert.ok((took ?? 0) < 50, `at once, after ${took} ms`)
      world.run(100)
    }
  })

  test('go on beside a stream of others that never waits', () => {
    const world = new World({ seed: 7, fencing: false, syncMax: 10, latencyMax: 0.6 })
    world.start({})
    world.run(2_000)
    const leader = world.leader?.daemon as SimDaemon
    let isOn = true
    const took = { plain: [] as number[], other: [] as number[] }
    const write = (kind: 'plain' | 'other', value: unknown, then: () => void): void => {
      const since = world.scheduler.now
      leader.submit({ kind: 'store', operations: [put(kind, value)] }, { timeoutMs: 5_000 }, (outcome) => {
        assert.ok(outcome.ok && outcome.value.ok)
        took[kind].push(world.scheduler.now - since)
        then()
      })
    }
    const stream = (): void => {
      if (!isOn) return
      write('other', { not: 'merged' }, () => undefined)
      world.scheduler.after(0.5, stream)
    }
    const client = (): void => {
      if (isOn) write('plain', 1, () => void world.scheduler.after(1, client))
    }
    stream()
    client()
    world.run(8_000)
    isOn = false
    world.run(2_000)
    const worst = (times: readonly number[]) => Math.max(...times)
    assert.ok(took.plain.length > 300, `${took.plain.length} of them`)
    assert.ok(worst(took.plain) < 2 * worst(took.other), `longest ${worst(took.plain)} ms, of the others ${worst(took.other)} ms`)
  })

  test('that waited for busy followers, and were told that nothing was carried out, are not carried out later', () => {
    const cluster = new Cluster()
    const { leader } = cluster
    const others = cluster.world.names.filter((name) => name !== cluster.world.leader?.name)
    for (const other of others) cluster.world.network.cut(cluster.world.leader?.name as string, other, 'holds')
    for (let at = 0; at < 12; at++) {
      cluster.write(leader, `w${at}`, put(`k${at}`, at), 40)
      cluster.world.run(2)
    }
    cluster.answered(12)
    const never = [...cluster.told].filter(([, told]) => told === 'NO_QUORUM').map(([name]) => name)
    assert.ok(never.length >= 6, `some waited: ${JSON.stringify([...cluster.told])}`)
    cluster.world.network.healAll()
    cluster.world.run(20_000)
    for (const name of never) assert.equal(cluster.row(`k${name.slice(1)}`), undefined, name)
    const maybe = [...cluster.told].filter(([, told]) => told === 'UNKNOWN_OUTCOME')
    assert.equal(maybe.length + never.length, 12)
  })
})
