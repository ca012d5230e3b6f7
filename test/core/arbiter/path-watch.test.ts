/** How a node reads the others' fence devices in good times: when, what it makes of the answers, and when it says that one lies. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type BootId, instant, type LogIndex, type NodeId } from '../../../src/base/index.js'
import { PathWatch, type WatchedNode } from '../../../src/core/arbiter/index.js'
import type { FenceDevice } from '../../../src/core/cluster/index.js'

const [n1, n3] = ['n1', 'n3'] as [NodeId, NodeId]
const device = (agent: string): FenceDevice => ({ agent, parameters: {}, timeout: 5_000 })

/** n2 watches the devices of others. */
class Watcher {
  readonly watch: PathWatch
  now = 0
  nodes: WatchedNode[] = []
  /** Calls that are under way, newest last. */
  calls: { callId: string; agent: string; action: string; hold: boolean }[] = []
  readonly said: string[] = []

  constructor(life = 'life') {
    this.watch = new PathWatch(life)
  }

  has(name: NodeId, levels: readonly (readonly FenceDevice[])[], revision = 1): this {
    const node = { name, revision: revision as LogIndex, levels, isBusy: false, distrusted: false }
    this.nodes = [...this.nodes.filter((one) => one.name !== name), { ...node, boot: 'b1' as BootId, heardAt: instant(this.now) }]
    return this
  }

  change(name: NodeId, change: Partial<WatchedNode>): this {
    this.nodes = this.nodes.map((one) => (one.name === name ? { ...one, ...change } : one))
    return this
  }

  /** Time passes; all that live are heard, but for `silent`. */
  runs(span: number, ...silent: NodeId[]): this {
    for (const end = this.now + span; this.now < end; ) {
      this.now += 100
      this.nodes = this.nodes.map((one) => (silent.includes(one.name) ? one : { ...one, heardAt: instant(this.now) }))
      for (const effect of this.watch.step({
        self: 'n2' as NodeId,
        now: instant(this.now),
        interval: 60_000,
        late: 900,
        nodes: this.nodes,
      })) {
        if (effect.kind === 'call') this.calls.push(effect.call)
        if (effect.kind === 'cancel') this.calls = this.calls.filter((call) => call.callId !== effect.callId)
        if (effect.kind === 'propose' && effect.command.kind === 'doubt-device')
          this.said.push(`${effect.command.node}: ${effect.command.detail}`)
      }
    }
    return this
  }

  /** The oldest call ends. */
  answers(code: number | undefined, detail = ''): this {
    const call = this.calls.shift()
    assert.ok(call !== undefined, 'a call is under way')
    this.watch.called({ callId: call.callId, code, detail, at: 0 as never }, instant(this.now))
    return this
  }

  states(): string[] {
    return this.watch.report(instant(this.now)).map(({ node, level, device: at, state }) => `${node}/${level}/${at} ${state}`)
  }
}

describe('paths', () => {
  test('are read one after the other for a node, for several nodes at once, and only their status', () => {
    const watcher = new Watcher()
      .has(n1, [[device('a'), device('b')]])
      .has(n3, [[device('c')]])
      .runs(5_000)
    assert.deepEqual(
      watcher.calls.map(({ agent, action, hold }) => `${agent} ${action} ${hold}`),
      ['a status false', 'c status false'],
    )
    watcher.answers(0).runs(200)
    assert.deepEqual(
      watcher.calls.map(({ agent }) => agent),
      ['c', 'b'],
    )
    watcher.answers(0).answers(1, 'no route').runs(200)
    assert.deepEqual(watcher.states(), ['n1/0/0 healthy', 'n1/0/1 failed', 'n3/0/0 healthy'])
    assert.deepEqual({ ...watcher.watch.summary() }, { n1: 'failed', n3: 'healthy' })
  })

  test('are read again after the interval, and sooner where they failed', () => {
    const watcher = new Watcher()
      .has(n1, [[device('a')], [device('b')]])
      .runs(5_000)
      .answers(0)
      .runs(200)
      .answers(undefined, 'timed out')
    assert.deepEqual({ ...watcher.watch.summary() }, { n1: 'healthy' }, 'one level that answers whole is enough')
    watcher.runs(14_000)
    assert.equal(watcher.calls.length, 0)
    watcher.runs(2_000)
    assert.deepEqual(
      watcher.calls.map(({ agent }) => agent),
      ['b'],
    )
    watcher.answers(0).runs(42_000)
    assert.equal(watcher.calls.length, 0)
    watcher.runs(4_000)
    assert.deepEqual(
      watcher.calls.map(({ agent }) => agent),
      ['a'],
    )
  })

  test('are left to the arbiter while the node has a case', () => {
    const watcher = new Watcher().has(n1, [[device('a')]]).runs(5_000)
    assert.equal(watcher.calls.length, 1)
    watcher.change(n1, { isBusy: true }).runs(100)
    assert.equal(watcher.calls.length, 0, 'the reading is called off')
    watcher.runs(200_000)
    assert.equal(watcher.calls.length, 0)
    watcher.change(n1, { isBusy: false }).runs(100)
    assert.equal(watcher.calls.length, 1)
  })

  test('of devices that were changed are new ones, and what was under way is called off', () => {
    const watcher = new Watcher()
      .has(n1, [[device('a')]])
      .runs(5_000)
      .has(n1, [[device('b')]], 2)
      .runs(100)
    assert.equal(watcher.calls.length, 0)
    assert.deepEqual(watcher.states(), ['n1/0/0 unknown'])
    watcher.runs(2_000).answers(0)
    assert.deepEqual(watcher.states(), ['n1/0/0 healthy'])
  })

  test('of which no answer comes have failed', () => {
    const watcher = new Watcher()
      .has(n1, [[device('a')]])
      .runs(5_000)
      .runs(11_000)
    assert.deepEqual(watcher.states(), ['n1/0/0 failed'])
  })

  test('are read at once when somebody asks', () => {
    const watcher = new Watcher()
      .has(n1, [[device('a')]])
      .runs(5_000)
      .answers(0)
      .runs(1_000)
    watcher.watch.hurry(n1)
    watcher.runs(100)
    assert.equal(watcher.calls.length, 1)
  })
})

describe('a device that says off', () => {
  test('of a node that goes on being heard is doubted, when it has said so twice', () => {
    const watcher = new Watcher()
      .has(n1, [[device('a')]])
      .runs(5_000)
      .answers(2)
      .runs(5_000)
    assert.deepEqual([watcher.said, watcher.calls.length], [[], 0])
    watcher.runs(7_000)
    assert.equal(watcher.calls.length, 1, 'it is read again soon')
    watcher.answers(2).runs(800)
    assert.deepEqual(watcher.said, [], 'heartbeats may have been on their way')
    watcher.runs(300)
    assert.deepEqual(watcher.said, ['n1: its device a says off, read by n2 twice, and its heartbeats go on'])
    assert.deepEqual(watcher.states(), ['n1/0/0 lies'])
  })

  test('and then on had a mishap', () => {
    const watcher = new Watcher()
      .has(n1, [[device('a')]])
      .runs(5_000)
      .answers(2)
      .runs(12_000)
      .answers(0)
      .runs(61_000)
      .answers(2)
      .runs(12_000)
    assert.deepEqual(watcher.said, [])
    assert.equal(watcher.calls.length, 1)
  })

  test('of a node that is silent since says the truth, for all that is known', () => {
    const watcher = new Watcher().has(n1, [[device('a')]]).runs(5_000)
    watcher.answers(2).runs(30_000, n1)
    assert.equal(watcher.calls.length, 0)
    assert.deepEqual([watcher.said, watcher.states()], [[], ['n1/0/0 healthy']])
  })

  test('of one boot says nothing of the next', () => {
    const watcher = new Watcher()
      .has(n1, [[device('a')]])
      .runs(5_000)
      .answers(2)
      .runs(12_000)
    watcher
      .change(n1, { boot: 'b2' as BootId })
      .answers(2)
      .runs(12_000)
    assert.deepEqual(watcher.said, [])
    watcher.answers(2).runs(12_000)
    assert.equal(watcher.said.length, 1)
  })

  test('is doubted with its level only: of two supplies one may be off', () => {
    const watcher = new Watcher()
      .has(n1, [[device('a'), device('b')]])
      .runs(5_000)
      .answers(2)
      .runs(200)
      .answers(0)
      .runs(12_000)
    watcher.answers(2).runs(2_000)
    assert.deepEqual([watcher.said, watcher.states()], [[], ['n1/0/0 lies', 'n1/0/1 healthy']])
    assert.deepEqual({ ...watcher.watch.summary() }, { n1: 'lies' })
  })

  test('has calls of another name in each life of the process, for a monitor answers those it knows from memory', () => {
    const names = ['one', 'two'].map((life) => new Watcher(life).has(n1, [[device('a')]]).runs(5_000).calls[0]?.callId)
    assert.notEqual(names[0], names[1])
  })
})
