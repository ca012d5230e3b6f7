/** What a node orders of its monitor and tells the log: only under its lease, only for its own boot, and strays are stopped. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { bootInstant } from '../../../src/base/index.js'
import type { GroupReport } from '../../../src/core/monitor/index.js'
import { NodeAgent, type NodeAgentEffect } from '../../../src/core/node-agent/index.js'
import { Database, definition, n1, n2, resources, web } from '../cluster/database.js'

/** The agent of n1. */
class Node {
  readonly agent = new NodeAgent()
  readonly database: Database
  now = 1_000
  mayAct = true
  boot = 'n1-1'

  constructor(database = new Database().formed()) {
    this.database = database
    this.hello()
  }

  hello(groups: GroupReport[] = [], sealed: Record<string, number> = {}): void {
    this.agent.reported({ kind: 'hello', boot: this.boot as never, groups, sealed: sealed as never }, this.now)
  }

  step(): string[] {
    const effects = this.agent.step({
      self: n1,
      boot: this.boot as never,
      state: this.database.state,
      mayAct: this.mayAct,
      deadline: bootInstant(9_000),
      now: this.now,
    })
    return effects.map(show)
  }

  reports(state: GroupReport['state'], more: Partial<GroupReport> = {}): void {
    const token = this.database.row().holder?.token as never
    this.agent.reported({ kind: 'group', group: web, token, sequence: 1, state, resources: {}, ...more }, this.now)
  }
}

function show(effect: NodeAgentEffect): string {
  if (effect.kind === 'propose')
    return `tell ${effect.command.kind}${effect.command.kind === 'report' ? ` ${effect.command.report.state}` : ''}`
  const { order } = effect
  if (order.kind === 'run') return `run ${order.group} until ${order.deadline}`
  return order.kind === 'stop' || order.kind === 'probe' ? `${order.kind} ${order.group}` : order.kind
}

function granted(): Node {
  const node = new Node()
  node.database.group()
  node.database.granted(n1)
  return node
}

describe('a grant', () => {
  test('is carried out within the lease, with its deadline, once; repeated when nothing is heard', () => {
    const node = granted()
    assert.deepEqual(node.step(), ['run web until 9000'])
    assert.deepEqual(node.step(), [])
    node.now += 1_000
    assert.deepEqual(node.step(), ['run web until 9000'])
    node.reports('STARTING')
    assert.deepEqual(node.step(), ['tell report STARTING'])
  })

  test('is not carried out without the lease', () => {
    const node = granted()
    node.mayAct = false
    assert.deepEqual(node.step(), [])
  })

  test('to another boot of the node is not its own: it looks instead', () => {
    const node = granted()
    node.database.boot(n1, 'n1-2')
    node.boot = 'n1-2'
    assert.deepEqual(node.step(), ['probe web'])
  })

  test('to another node is none of its business', () => {
    const node = new Node()
    node.database.group()
    node.database.granted(n2)
    assert.deepEqual(node.step(), [])
  })

  test('is not carried out before the monitor has said what it runs', () => {
    const node = granted()
    node.agent.monitorDisconnected()
    assert.deepEqual(node.step(), [])
    node.hello()
    assert.deepEqual(node.step(), ['run web until 9000'])
  })

  test('of pinned resources is carried out with those, whatever the definition says by now', () => {
    const node = granted()
    node.database.ok({
      kind: 'put-group',
      group: web,
      definition: definition({ resources: resources({ other: {} }) }),
      intent: null,
      precondition: {},
    })
    const [effect] = node.agent.step({
      self: n1,
      boot: node.boot as never,
      state: node.database.state,
      mayAct: true,
      deadline: bootInstant(9_000),
      now: 0,
    })
    assert.deepEqual(effect?.kind === 'order' && effect.order.kind === 'run' ? Object.keys(effect.order.resources) : [], ['app'])
  })
})

describe('a stop', () => {
  test('needs no lease, and is told as released only when the token is sealed', () => {
    const node = granted()
    node.step()
    node.reports('ONLINE')
    node.database.ok(node.database.report(n1, 'ONLINE'))
    node.database.decide(web, { kind: 'stop', token: node.database.row().holder?.token as never, ban: null })
    node.mayAct = false
    assert.deepEqual(node.step(), ['stop web'])
    node.reports('STOPPED', { sequence: 2 })
    assert.deepEqual(node.step(), ['tell report STOPPED'])
    node.agent.reported({ kind: 'sealed', group: web, token: node.database.row().holder?.token as never }, node.now)
    assert.deepEqual(node.step(), ['tell released'])
  })

  test('is what a node orders that finds itself condemned', () => {
    const node = granted()
    node.step()
    node.reports('ONLINE')
    node.database.ok(node.database.report(n1, 'ONLINE'))
    node.database.condemned(n1)
    assert.deepEqual(node.step(), ['stop web'])
  })

  test('of an emergency that the monitor finds afterwards is told as released', () => {
    const node = granted()
    node.step()
    node.agent.monitorDisconnected()
    node.hello([], { web: node.database.row().holder?.token as number })
    assert.deepEqual(node.step(), ['tell released'])
  })
})

describe('strays', () => {
  const stray: GroupReport = { group: web, token: 5 as never, sequence: 1, state: 'ONLINE', resources: {} }

  test('are stopped once the node may act on what it knows', () => {
    const node = new Node()
    node.database.group()
    node.hello([stray])
    node.mayAct = false
    assert.deepEqual(node.step(), [])
    node.mayAct = true
    assert.deepEqual(node.step(), ['stop web'])
  })

  test('under an older token than the granted one are stopped, the granted one is kept', () => {
    const node = granted()
    node.hello([stray])
    assert.ok(node.step().includes('stop web'))
  })
})

describe('probes', () => {
  test('are made of every group that it could host, told when answered, and repeated while they are not clean', () => {
    const node = new Node()
    node.database.ok({ kind: 'put-group', group: web, definition: definition(), intent: null, precondition: {} })
    assert.deepEqual(node.step(), ['probe web'])
    assert.deepEqual(node.step(), [])
    const probeId = `web@${node.database.row().resourcesRevision}`
    node.agent.reported({ kind: 'probed', group: web, probeId, result: 'unknown', resources: {} }, node.now)
    assert.deepEqual(node.step(), ['tell probed'])
    node.now += 2_000
    assert.deepEqual(node.step(), ['tell probed', 'probe web'])
    node.agent.reported({ kind: 'probed', group: web, probeId, result: 'clean', resources: {} }, node.now)
    assert.deepEqual(node.step(), ['tell probed'])
    node.database.probed(n1)
    assert.deepEqual(node.step(), [])
  })

  test('are not made without the lease, and not of groups that do not list it', () => {
    const node = new Node()
    node.database.ok({ kind: 'put-group', group: web, definition: definition({ nodes: [n2] }), intent: null, precondition: {} })
    assert.deepEqual(node.step(), [])
    node.database.ok({ kind: 'put-group', group: web, definition: definition(), intent: null, precondition: {} })
    node.mayAct = false
    assert.deepEqual(node.step(), [])
  })
})
