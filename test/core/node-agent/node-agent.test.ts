/** What a node orders of its monitor and tells the log: only under its lease, only for its own boot, and strays are stopped. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { bootInstant } from '../../../src/base/index.js'
import type { GroupDefinition } from '../../../src/core/cluster/index.js'
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
  if (effect.kind === 'monitors') return `monitors ${effect.groups.join(' ')}`.trim()
  if (effect.kind === 'propose')
    return `tell ${effect.command.kind}${effect.command.kind === 'report' ? ` ${effect.command.report.state}` : ''}`
  const { order, to } = effect
  const of = to === undefined ? '' : `, its own ${to}`
  if (order.kind === 'run') {
    const { look, quiet } = order
    return `run ${order.group}${of} until ${order.deadline}${quiet === true ? ', quiet' : ''}${look === undefined ? '' : `, look ${look}`}`
  }
  return order.kind === 'stop' || order.kind === 'probe' ? `${order.kind} ${order.group}${of}` : order.kind
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

describe('idle nodes', () => {
  /** n1 has looked and found nothing; n2 holds it. */
  function idle(change: Partial<GroupDefinition> = {}): Node {
    const node = new Node(new Database().formedAt(4))
    node.database.group(web, change)
    node.database.granted(n2)
    node.step()
    return node
  }
  const found = (node: Node, result: 'clean' | 'running') => {
    const { probedSince } = node.database.row()
    const probeId = `web@${node.database.row().resourcesRevision}${probedSince === undefined ? '' : `@${probedSince}`}`
    node.agent.reported({ kind: 'probed', group: web, probeId, result, resources: {} }, node.now)
  }

  test('look again and again, and tell only what has changed', () => {
    const node = idle()
    assert.deepEqual(node.step(), [])
    node.now += 80_000
    assert.deepEqual(node.step(), ['probe web'])
    found(node, 'clean')
    assert.deepEqual(node.step(), [])
    node.now += 80_000
    assert.deepEqual(node.step(), ['probe web'])
    found(node, 'running')
    assert.deepEqual(node.step(), ['tell probed'])
  })

  test('take nothing back because a later look could not tell, and look again soon', () => {
    const node = idle()
    node.now += 80_000
    node.step()
    node.agent.reported(
      { kind: 'probed', group: web, probeId: `web@${node.database.row().resourcesRevision}`, result: 'unknown', resources: {} },
      node.now,
    )
    assert.deepEqual(node.step(), [])
    node.now += 2_000
    assert.deepEqual(node.step(), ['probe web'])
  })

  test('end a copy beside that of the holder once the log has it, and look again', () => {
    const node = idle()
    node.now += 80_000
    node.step()
    found(node, 'running')
    node.step()
    node.database.probed(n1, web, 'running')
    assert.deepEqual(node.step(), ['end-stray'])
    assert.deepEqual(node.step(), [])
    node.now += 2_000
    assert.deepEqual(node.step(), ['probe web'])
    found(node, 'clean')
    assert.deepEqual(node.step(), ['tell probed'])
    node.database.probed(n1)
    node.now += 20_000
    assert.deepEqual(node.step(), [])
  })

  test('leave it where the group says so, while anything is frozen, and where nobody holds it', () => {
    const twice = (node: Node) => {
      node.database.probed(n1, web, 'running')
      return node.step().filter((effect) => effect === 'end-stray')
    }
    assert.deepEqual(twice(idle({ offlineProbe: { interval: 60_000, onFound: 'block' } })), [])
    const frozen = idle()
    frozen.database.ok({ kind: 'freeze-group', group: web, forMs: 60_000, owner: 'ada', reason: 'x' })
    assert.deepEqual(twice(frozen), [])
    const maintained = idle()
    maintained.database.ok({ kind: 'maintain-node', node: n1, forMs: 60_000, owner: 'ada', reason: 'x' })
    assert.deepEqual(twice(maintained), [])
    const free = new Node(new Database().formedAt(4))
    free.database.group()
    assert.deepEqual(twice(free), [])
  })

  const stopAll = { interval: 5_000, onFound: 'stopAllRestart' as const }
  const endings = (node: Node) => node.step().filter((effect) => effect === 'end-stray')
  /** n2 has held it and stopped; what n1 found meanwhile is in the log. */
  const left = (change: Partial<GroupDefinition> = { offlineProbe: stopAll }) => {
    const node = new Node(new Database().formedAt(5))
    node.database.group(web, change)
    node.database.granted(n2)
    node.database.probed(n1, web, 'running')
    return node
  }

  test('end a copy that bars its group, once nobody holds that any more', () => {
    for (const change of [{ offlineProbe: stopAll }, {}]) {
      const node = left(change)
      node.database.ok(node.database.released(n2))
      assert.deepEqual(endings(node), ['end-stray'], JSON.stringify(change))
    }
  })

  test('do not end what was just found clean', () => {
    const node = left()
    node.database.probed(n1, web, 'unknown')
    node.database.ok(node.database.released(n2))
    assert.deepEqual(endings(node), ['end-stray'])
    node.now += 4_000
    found(node, 'clean')
    node.now += 12_000
    assert.deepEqual(endings(node), [])
  })

  test('leave what a person has started by hand while the group rests, or before it has ever run', () => {
    const halted = new Node(new Database().formedAt(5))
    halted.database.group(web, { offlineProbe: stopAll })
    const token = halted.database.granted(n2)
    halted.database.decide(web, { kind: 'stop', token, ban: null, halt: true })
    halted.database.ok(halted.database.released(n2))
    halted.database.probed(n1, web, 'running')
    const fresh = new Node(new Database().formedAt(5))
    fresh.database.group(web, { offlineProbe: stopAll })
    fresh.database.probed(n1, web, 'running')
    const offline = left()
    offline.database.ok(offline.database.released(n2))
    offline.database.ok({ kind: 'set-intent', group: web, intent: 'OFFLINE', operation: 'o1' })
    for (const node of [halted, fresh, offline]) assert.deepEqual(endings(node), [])
  })

  test('do not look where that is switched off, or probes are paused', () => {
    const off = idle({ offlineProbe: { interval: 0, onFound: 'stopExtra' } })
    const paused = idle()
    paused.database.ok({ kind: 'freeze-group', group: web, forMs: 60_000, owner: 'ada', reason: 'x', probes: 'pause' })
    for (const node of [off, paused]) {
      node.now += 200_000
      assert.deepEqual(node.step(), [])
    }
  })

  test('look anew after a freeze has ended, whatever they knew before', () => {
    const node = idle()
    node.database.ok({ kind: 'freeze-group', group: web, forMs: 60_000, owner: 'ada', reason: 'x' })
    node.database.ok({ kind: 'unfreeze-group', group: web })
    assert.deepEqual(node.step(), ['probe web'])
    found(node, 'clean')
    assert.deepEqual(node.step(), ['tell probed'])
  })
})

describe('the monitor', () => {
  test('says what it understands; one that says nothing is of an earlier version', () => {
    const node = new Node()
    assert.equal(node.agent.levelOfMonitor, 2)
    node.agent.reported({ kind: 'hello', level: 4, boot: node.boot as never, groups: [], sealed: {} }, node.now)
    assert.equal(node.agent.levelOfMonitor, 4)
  })

  test('is told to look and to be quiet as the log says, and what it says of looks is told', () => {
    const node = new Node(new Database().formedAt(4))
    node.database.group()
    node.database.granted(n1)
    node.step()
    node.reports('ONLINE')
    node.database.ok(node.database.report(n1, 'ONLINE'))
    assert.deepEqual(node.step(), [])
    node.database.ok({ kind: 'freeze-group', group: web, forMs: 60_000, owner: 'ada', reason: 'x', probes: 'pause' })
    assert.deepEqual(node.step(), ['run web until 9000, quiet'])
    node.reports('ONLINE', { sequence: 2 })
    node.database.ok({ kind: 'unfreeze-group', group: web })
    assert.deepEqual(node.step(), ['run web until 9000, look 1'])
    node.reports('ONLINE', { sequence: 3 })
    assert.deepEqual(node.step(), [])
    node.reports('ONLINE', { sequence: 3, looked: 1 })
    assert.deepEqual(node.step(), ['tell report ONLINE'])
  })
})

describe('a group with a monitor of its own', () => {
  function dedicated(): Node {
    const node = new Node(new Database().formedAt(4))
    node.database.group(web, { isolation: 'dedicated' })
    node.database.granted(n1)
    return node
  }
  const says = (node: Node, report: Parameters<NodeAgent['reported']>[0]) => node.agent.reported(report, node.now, web)
  const hello = (node: Node, groups: GroupReport[] = [], sealed: Record<string, number> = {}) =>
    says(node, { kind: 'hello', level: 4, boot: node.boot as never, groups, sealed: sealed as never })
  const online = (node: Node): GroupReport => ({
    group: web,
    token: node.database.row().holder?.token as never,
    sequence: 1,
    state: 'ONLINE',
    resources: {},
  })

  test('is ordered of that one, once it has said what it runs', () => {
    const node = dedicated()
    assert.deepEqual(node.step(), ['monitors web'])
    assert.deepEqual(node.step(), [])
    hello(node)
    assert.deepEqual(node.step(), ['run web, its own web until 9000'])
    says(node, { kind: 'group', ...online(node) })
    assert.deepEqual(node.step(), ['tell report ONLINE'])
  })

  test('of which the shared one says something, or comes anew, is none of its business', () => {
    const node = dedicated()
    node.step()
    hello(node, [online(node)])
    assert.deepEqual(node.step(), ['tell report ONLINE'])
    node.database.ok(node.database.report(n1, 'ONLINE'))
    node.agent.monitorDisconnected()
    node.hello()
    assert.deepEqual(node.step(), [])
  })

  test('is not said to have stopped by the seals that the shared one knows, before its own has spoken', () => {
    const node = dedicated()
    node.step()
    node.hello([], { web: node.database.row().holder?.token as number })
    assert.deepEqual(node.step(), [])
    hello(node, [{ ...online(node), state: 'STOPPING' }])
    assert.ok(!node.step().includes('tell released'))
  })

  test('is stopped by its own one, which is let go once nothing is left', () => {
    const node = dedicated()
    node.step()
    hello(node, [online(node)])
    node.step()
    node.database.ok(node.database.report(n1, 'ONLINE'))
    const held = node.database.row().holder?.token as never
    node.database.decide(web, { kind: 'stop', token: held, ban: null })
    assert.deepEqual(node.step(), ['stop web, its own web'])
    says(node, { kind: 'sealed', group: web, token: held })
    assert.deepEqual(node.step(), ['tell released'])
    node.database.ok(node.database.released(n1))
    assert.deepEqual(node.step(), ['monitors'])
  })

  test('that an earlier life of the daemon left open is waited for, whatever the log says', () => {
    const database = new Database().formedAt(4)
    database.group()
    database.granted(n1)
    const agent = new NodeAgent([web])
    agent.reported({ kind: 'hello', level: 4, boot: 'n1-1' as never, groups: [], sealed: {} }, 0)
    const view = { self: n1, boot: 'n1-1' as never, state: database.state, mayAct: true, deadline: bootInstant(9_000), now: 0 }
    assert.deepEqual(agent.step(view).map(show), ['monitors web'])
    agent.reported({ kind: 'hello', level: 4, boot: 'n1-1' as never, groups: [], sealed: {} }, 0, web)
    assert.deepEqual(agent.step(view).map(show), ['monitors', 'run web until 9000'])
  })

  test('has its level count too', () => {
    const node = dedicated()
    node.agent.reported({ kind: 'hello', level: 4, boot: node.boot as never, groups: [], sealed: {} }, node.now)
    node.step()
    says(node, { kind: 'hello', level: 3, boot: node.boot as never, groups: [], sealed: {} })
    assert.equal(node.agent.levelOfMonitor, 3)
  })
})

test('parameters of this node are in what its monitor is told to run and to look for', () => {
  const node = new Node()
  const app = { ...(resources({ app: {} })['app' as never] as object), perNode: { [n1]: { parameters: { run: 'here' } } } }
  node.database.ok({
    kind: 'put-group',
    group: web,
    definition: definition({ resources: { app } as never }),
    intent: null,
    precondition: {},
  })
  const orders = () =>
    node.agent
      .step({ self: n1, boot: 'n1-1' as never, state: node.database.state, mayAct: true, deadline: bootInstant(9_000), now: node.now })
      .flatMap((effect) => (effect.kind === 'order' ? [effect.order] : []))
  const told = () => orders().map((order) => ('resources' in order ? [order.kind, order.resources['app' as never]] : [order.kind]))
  const asHere = { ...(resources({ app: { parameters: { run: 'here' } } })['app' as never] as object) }
  assert.deepEqual(told(), [['probe', asHere]])
  node.database.probed(n1)
  node.database.granted(n1)
  assert.deepEqual(told(), [['run', asHere]])
})
