import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type BootId, bootInstant, encode, type GroupName, type NodeId, type Token } from '../../../src/base/index.js'
import type { QuorumLossPolicy } from '../../../src/core/cluster/index.js'
import {
  type Detachment,
  GuardianCore,
  type GuardianEffect,
  type GuardianEvent,
  type KeptRole,
  statementGroups,
} from '../../../src/core/guardian/index.js'
import type { ContainmentPlace, MethodResult, ResourceRecord, RunRecord } from '../../../src/core/monitor/index.js'
import { payloadMax } from '../../../src/io/datagram/index.js'
import { agent, definitions, kept, shows } from '../monitor/script.js'

const node = 'n1' as NodeId
const boot = 'boot-1' as BootId
const g = 'g' as GroupName
const one = 1 as Token

function record(states: Record<string, Partial<ResourceRecord>>, kind: ContainmentPlace['kind'] = 'cgroup2'): RunRecord {
  const types: Parameters<typeof definitions>[0] = {
    ip: { type: 'logical-hostname', parameters: { address: '10.0.0.1/24' } },
    db: agent(),
    web: { ...kept('db', 'ip') },
  }
  const resources = definitions(Object.fromEntries(Object.keys(states).map((name) => [name, types[name] as (typeof types)[string]])))
  const progress = Object.entries(states).map(([name, state]) => [name, { state: 'ONLINE', touched: true, processes: [], ...state }])
  return {
    group: g,
    token: one,
    sequence: 1,
    node,
    boot,
    resources,
    containment: { kind, root: '/cells' },
    wanted: 'run',
    restartNumber: 0,
    restarting: [],
    progress: Object.fromEntries(progress),
  }
}

class Script {
  readonly core = new GuardianCore({ node, boot, emergencyStop: 5_000, leaveTimeout: 1_000 })
  now = 1_000
  deadline = 2_000
  open = new Map<GroupName, Token>()
  policies = new Map<GroupName, QuorumLossPolicy>()
  told: readonly GroupName[] = []
  detachment: Detachment | undefined
  seals = new Map<GroupName, Token>()
  answer: Extract<GuardianEffect, { kind: 'answer' }>['answer'] | undefined

  constructor(
    running: readonly KeptRole[] = ['daemon', 'monitor'],
    emergency?: Extract<GuardianEvent, { kind: 'resumed' }>['emergency'],
    detachment?: Detachment,
  ) {
    this.step({ kind: 'resumed', running, emergency, ...(detachment === undefined ? {} : { detachment }) })
  }

  step(event: GuardianEvent): string[] {
    return this.core.step(event, bootInstant(this.now)).flatMap((effect) => this.#show(effect))
  }

  look(now = this.now): string[] {
    this.now = now
    const view = { open: new Map(this.open), seals: new Map(this.seals), policies: this.policies }
    return this.step({ kind: 'looked', deadline: bootInstant(this.deadline), ...view })
  }

  done(action: number, outcome: 'done' | 'stopped' | 'running' | 'failed' | 'cancelled' = 'done'): string[] {
    return this.step({ kind: 'method-done', action, result: { outcome, detail: 'because' } as MethodResult })
  }

  killed(action: number, empty = true): string[] {
    return this.step({ kind: 'killed', action, empty })
  }

  records(...readable: RunRecord[]): string[] {
    return this.step({ kind: 'records', readable, unreadable: [] })
  }

  ask(groups?: readonly GroupName[]) {
    const query = { kind: 'guardian-query' as const, nonce: 'x', ...(groups === undefined ? {} : { groups }) }
    this.step({ kind: 'queried', query, from: undefined })
    return this.answer
  }

  #show(effect: GuardianEffect): string[] {
    switch (effect.kind) {
      case 'spawn':
        return [`spawn ${effect.role}`]
      case 'signal':
        return [`${effect.signal} to ${effect.role}`]
      case 'seal':
        this.seals.set(effect.group, effect.token)
        return [`seal ${effect.group} ${effect.token}`]
      case 'write-emergency':
        return [`emergency ${effect.left.phase}`]
      case 'delete-record':
        this.open.delete(effect.group)
        return [`delete ${effect.group}`]
      case 'write-record':
        return [] // The monitor's tests say when.
      case 'begin':
        return [`${effect.action} ${effect.request.method} ${effect.request.resource}`]
      case 'kill':
        return [`${effect.action} kill ${effect.resource}`]
      case 'cancel':
        return [`cancel ${effect.action}`]
      case 'answer':
        this.answer = effect.answer
        return []
      case 'tell-daemon':
        this.told = Object.keys(effect.state.frozen ?? {}) as GroupName[]
        this.detachment = effect.state.detachment
        return []
      case 'freeze':
      case 'thaw':
        return [`${effect.kind} ${effect.group}`]
      case 'log':
        return []
      default:
        return [effect.kind]
    }
  }
}

/** The lease of a node with one open group has run out; monitors are dead, and this is its record. */
function ending(found: RunRecord): { script: Script; lines: string[] } {
  const script = new Script()
  script.open.set(g, one)
  script.look()
  shows(script.look(1_990), 'emergency stopping \n seal g 1 \n kill-monitors')
  shows(script.step({ kind: 'monitors-killed', gone: true }), 'read-records')
  return { script, lines: script.records(found) }
}

test('at the deadline, grain included, tokens are sealed before monitors are killed, and records read after that', () => {
  const script = new Script()
  script.open.set(g, one)
  shows(script.look(1_989), '')
  shows(script.look(1_990), 'emergency stopping \n seal g 1 \n kill-monitors')
})

test('with nothing open there is nothing to end', () => {
  shows(new Script().look(5_000), '')
})

test('addresses go first, then each resource before what it needs; all is killed and verified', () => {
  const { script, lines } = ending(record({ ip: {}, db: {}, web: {} }))
  shows(lines, '1 stop ip')
  shows(script.done(1), '2 kill ip \n 3 stop web')
  shows(script.killed(2), '4 probe ip')
  shows(script.done(4, 'stopped'), '')
  shows(script.done(3), '5 kill web')
  shows(script.killed(5), '6 probe web')
  shows(script.done(6, 'stopped'), '7 stop db')
  script.done(7)
  script.killed(8)
  shows(script.done(9, 'stopped'), 'delete g \n emergency stopped')
  assert.deepEqual([script.ask()?.emergency, script.ask()?.sealed, script.ask()?.open], ['stopped', { g: 1 }, {}])
})

test('when the time for orderly stops is over, everything is killed and verified in no order', () => {
  const { script } = ending(record({ db: {}, web: {} }))
  shows(script.look(4_980), '')
  shows(script.look(4_990), 'cancel 1 \n 2 kill db')
  shows(script.done(1, 'cancelled'), '3 kill web')
  shows(script.killed(2), '4 probe db')
  shows(script.killed(3), '5 probe web')
  script.done(4, 'stopped')
  shows(script.done(5, 'stopped'), 'delete g \n emergency stopped')
})

test('what cannot be verified does not keep the others up, and is not called stopped', () => {
  const { script } = ending(record({ db: {}, web: {} }))
  script.done(1)
  script.killed(2)
  shows(script.done(3, 'failed'), '4 stop db')
  script.done(4)
  script.killed(5)
  shows(script.done(6, 'stopped'), 'emergency cannot-verify')
  assert.deepEqual([script.ask()?.emergency, script.ask()?.sealed, script.ask()?.open], ['cannot-verify', {}, { g: 1 }])
})

test('a start in flight is killed before anything is stopped; where nothing holds it, it cannot be verified', () => {
  const held = ending(record({ db: { state: 'STARTING' } }))
  shows(held.lines, '1 kill db')
  held.script.killed(1)
  shows(held.script.done(2, 'running'), '3 stop db')
  held.script.done(3)
  held.script.killed(4)
  shows(held.script.done(5, 'stopped'), 'delete g \n emergency stopped')
  const swept = ending(record({ db: { state: 'STARTING' } }, 'sweep'))
  swept.script.killed(1)
  shows(swept.script.done(2, 'stopped'), '3 stop db')
  swept.script.done(3)
  swept.script.killed(4)
  shows(swept.script.done(5, 'stopped'), 'emergency cannot-verify')
})

test('a monitor that cannot be killed leaves nothing verified', () => {
  const script = new Script()
  script.open.set(g, one)
  script.look(1_990)
  script.step({ kind: 'monitors-killed', gone: false })
  script.records(record({ web: {} }))
  script.done(1)
  script.killed(2)
  shows(script.done(3, 'stopped'), 'delete g \n emergency cannot-verify')
})

test('a stop once begun is finished, though the lease returns; then the node may act again', () => {
  const { script } = ending(record({ web: {} }))
  script.deadline = 9_000
  shows(script.look(), '')
  script.done(1)
  script.killed(2)
  shows(script.done(3, 'stopped'), 'delete g \n emergency stopped')
  shows(script.look(), 'clear-emergency')
  assert.equal(script.ask()?.emergency, 'none')
})

test('a guardian that finds a stop begun goes on with it, lease or not', () => {
  const script = new Script(['daemon'], { phase: 'stopping', tokens: { [g]: one } })
  script.open.set(g, one)
  assert.equal(script.ask()?.emergency, 'stopping')
  shows(script.look(), 'emergency stopping \n seal g 1 \n kill-monitors')
})

test('the monitor is not started again before the stop has ended', () => {
  const { script } = ending(record({ web: {} }))
  shows(script.step({ kind: 'process-ended', role: 'monitor' }), '')
  shows(script.look(), '')
  script.done(1)
  script.killed(2)
  script.done(3, 'stopped')
  shows(script.look(), 'spawn monitor')
})

test('what could not be verified is tried again while the lease is gone', () => {
  const { script } = ending(record({ web: {} }))
  script.done(1)
  script.killed(2)
  script.done(3, 'running')
  shows(script.look(11_989), '')
  shows(script.look(11_990), 'emergency stopping \n seal g 1 \n kill-monitors')
})

test('what dies is started again at once, then with growing pauses', () => {
  const script = new Script([])
  shows(script.look(), 'spawn monitor \n spawn daemon')
  const starts: number[] = []
  for (let round = 0; round < 9; round++) {
    script.step({ kind: 'process-up', role: 'daemon' })
    script.step({ kind: 'process-ended', role: 'daemon' })
    const died = script.now
    while (!script.look(script.now + 25).includes('spawn daemon'));
    starts.push(script.now - died)
  }
  assert.deepEqual(starts, [25, 100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000])
  script.step({ kind: 'process-up', role: 'daemon' })
  script.now += 10_000
  script.step({ kind: 'process-ended', role: 'daemon' })
  shows(script.look(), 'spawn daemon')
})

test('a daemon that refuses to run costs little while it waits for somebody to mend what it names', () => {
  const script = new Script()
  const pauses: number[] = []
  const end = (refused: boolean): void => {
    script.now += 2_000
    script.step({ kind: 'process-ended', role: 'daemon', refused })
    const ended = script.now
    while (!script.look(script.now + 25).includes('spawn daemon'));
    pauses.push(script.now - ended)
    script.step({ kind: 'process-up', role: 'daemon' })
  }
  for (let round = 0; round < 14; round++) end(true)
  assert.deepEqual(pauses.slice(0, 8), Array(8).fill(25))
  assert.deepEqual(pauses.slice(8), [2_000, 4_000, 8_000, 16_000, 30_000, 30_000])
  end(false)
  assert.equal(pauses.at(-1), 25, 'one that is killed is not one that refuses')
})

test('a daemon that says it leaves is not started again, until one says that it lives', () => {
  const script = new Script()
  script.step({ kind: 'ordered', order: { kind: 'daemon-leaving' } })
  script.step({ kind: 'process-ended', role: 'daemon' })
  shows(script.look(), '')
  script.step({ kind: 'ordered', order: { kind: 'alive' } })
  shows(script.look(), 'spawn daemon')
})

test('a daemon counts as up while it runs and has lately said so', () => {
  const script = new Script()
  script.look()
  assert.equal(script.ask()?.daemonUp, false)
  script.step({ kind: 'ordered', order: { kind: 'alive' } })
  script.now += 1_000
  assert.equal(script.ask()?.daemonUp, true)
  script.now += 1
  assert.equal(script.ask()?.daemonUp, false)
  script.step({ kind: 'ordered', order: { kind: 'alive' } })
  script.step({ kind: 'process-ended', role: 'daemon' })
  assert.equal(script.ask()?.daemonUp, false)
})

test('the lease that is left counts the grain of the clock against the node', () => {
  const script = new Script()
  script.look(1_500)
  assert.equal(script.ask()?.leaseRemainingMs, 490)
  script.look(3_000)
  assert.equal(script.ask()?.leaseRemainingMs, 0)
})

test('a seal is stated only where no record is left under it', () => {
  const script = new Script()
  script.seals.set(g, one).set('other' as GroupName, 7 as Token)
  script.open.set(g, one)
  script.look()
  assert.deepEqual(script.ask()?.sealed, { other: 7 })
  script.open.set(g, 2 as Token)
  script.look()
  assert.deepEqual(script.ask()?.sealed, { g: 1, other: 7 })
})

test('told to stop: the daemon leaves, the monitor ends, what is open is ended, then it goes', () => {
  const script = new Script()
  script.open.set(g, one)
  script.look()
  shows(script.step({ kind: 'terminated' }), 'SIGTERM to daemon')
  shows(script.look(), '')
  script.step({ kind: 'process-ended', role: 'daemon' })
  shows(script.look(), 'SIGTERM to monitor')
  script.step({ kind: 'process-ended', role: 'monitor' })
  shows(script.look(), 'emergency stopping \n seal g 1 \n kill-monitors')
  script.step({ kind: 'monitors-killed', gone: true })
  script.records(record({ web: {} }))
  script.done(1)
  script.killed(2)
  script.done(3, 'stopped')
  shows(script.look(), 'clear-emergency \n exit')
})

test('a daemon that does not leave in time is ended', () => {
  const script = new Script()
  script.look()
  script.step({ kind: 'terminated' })
  shows(script.look(2_000), 'SIGKILL to daemon \n SIGTERM to monitor')
})

test('a statement names a part of many groups, those that were asked for, and fits into a datagram', () => {
  const guardian = new Script()
  const names = Array.from({ length: 1_000 }, (_, at) => String(at).padStart(63, 'g') as GroupName)
  for (const name of names) {
    guardian.seals.set(name, (2 ** 40 + 1) as Token)
    guardian.open.set(name, (2 ** 40 + 2) as Token)
  }
  guardian.deadline = guardian.now + 60_000
  guardian.look()
  for (const asked of [undefined, names.slice(400), names]) {
    const answer = guardian.ask(asked)
    assert.equal(Object.keys(answer?.sealed ?? {}).length, statementGroups)
    assert.deepEqual(Object.keys(answer?.open ?? {}), (asked ?? names).slice(0, statementGroups))
    assert.ok(encode(answer).length <= payloadMax)
  }
})

describe('a group that is to stand still', () => {
  const h = 'h' as GroupName
  const still = (...others: GroupName[]) => {
    const script = new Script()
    script.look()
    for (const group of [g, ...others]) script.open.set(group, one)
    script.policies.set(g, 'freeze')
    script.look()
    shows(script.look(1_989), '')
    return script
  }
  const frozen = (script: Script, done = true) => script.step({ kind: 'frozen', group: g, token: one, done, detail: 'because' })
  const holds = (script: Script, token: number) =>
    script.step({ kind: 'ordered', order: { kind: 'holds', tokens: { [g]: token as Token } } })

  test('does so at the deadline, and is not called stopped', () => {
    const script = still()
    shows(script.look(1_990), 'freeze g')
    shows(frozen(script), '')
    shows(script.look(3_999), '')
    assert.deepEqual([script.ask()?.emergency, script.ask()?.sealed, script.ask()?.open, script.told], ['none', {}, { g: 1 }, [g]])
  })

  test('goes on when the lease is back and the daemon says, under it, that this token is still the node’s', () => {
    const script = still()
    script.look(1_990)
    frozen(script)
    shows(holds(script, 1), '') // Not by a word without a lease.
    script.deadline = 9_000
    shows(script.look(2_500), '') // Not by the lease alone.
    shows(holds(script, 2), '') // Not for another token.
    shows(holds(script, 1), 'thaw g')
    shows(holds(script, 1), '') // Once.
    script.step({ kind: 'thawed', group: g, token: one, done: true })
    shows(script.look(2_525), '')
    assert.deepEqual(script.told, [])
    shows(script.look(8_990), 'freeze g') // And stands still again with the next lease that ends.
  })

  test('is ended early enough when it does not come back: sealed, killed, then brought down in order and verified', () => {
    const script = still()
    script.look(1_990)
    frozen(script)
    shows(script.look(4_000), 'emergency stopping \n seal g 1 \n kill-monitors')
    shows(script.step({ kind: 'monitors-killed', gone: true }), 'read-records')
    shows(script.records(record({ ip: {}, db: {} })), '1 kill ip \n 2 kill db')
    shows(script.killed(1), '')
    shows(script.killed(2), '3 stop ip')
    script.done(3)
    shows(script.killed(4), '6 probe ip')
    script.done(6, 'stopped')
    script.done(5)
    script.killed(7)
    shows(script.done(8, 'stopped'), 'delete g \n emergency stopped')
    assert.deepEqual([script.ask()?.emergency, script.ask()?.sealed], ['stopped', { g: 1 }])
  })

  test('and cannot is stopped at once like any other', () => {
    const script = still()
    script.look(1_990)
    frozen(script, false)
    shows(script.look(2_015), 'emergency stopping \n seal g 1 \n kill-monitors')
  })

  test('and cannot, beside others that are being stopped, joins them at once', () => {
    const script = still(h)
    shows(script.look(1_990), 'freeze g \n emergency stopping \n seal h 1 \n kill-monitors')
    frozen(script, false)
    shows(script.look(2_015), 'seal g 1')
    script.step({ kind: 'monitors-killed', gone: true })
    shows(script.records(record({ db: {} }), { ...record({ db: {} }), group: h }), '1 stop db \n 2 stop db')
  })

  test('and cannot, after the records of the others were read, is stopped within the same time', () => {
    const script = still(h)
    script.look(1_990)
    script.step({ kind: 'monitors-killed', gone: true })
    const both = [record({ db: {} }), { ...record({ db: {} }), group: h }]
    shows(script.records(...both), '1 stop db')
    frozen(script, false)
    shows(script.look(2_015), 'seal g 1 \n read-records')
    shows(script.records(...both), '2 stop db')
  })

  test('and goes on while the others are ended is not left behind when the guardian is told to stop', () => {
    const script = still(h)
    script.look(1_990)
    frozen(script)
    script.step({ kind: 'monitors-killed', gone: true })
    shows(script.records(record({ db: {} }), { ...record({ db: {} }), group: h }), '1 stop db')
    script.deadline = 60_000
    script.look(2_500)
    shows(holds(script, 1), 'thaw g')
    script.step({ kind: 'thawed', group: g, token: one, done: true })
    script.step({ kind: 'terminated' })
    script.step({ kind: 'process-ended', role: 'daemon' })
    script.look(2_600)
    script.step({ kind: 'process-ended', role: 'monitor' })
    script.look(2_700)
    script.done(1)
    script.killed(2)
    shows(script.done(3, 'stopped'), 'delete h \n emergency stopped')
    shows(script.look(2_800), 'clear-emergency \n emergency stopping \n seal g 1 \n kill-monitors')
  })

  test('is not touched by the stop of the others, and joins it when its time is over', () => {
    const script = still(h)
    shows(script.look(1_990), 'freeze g \n emergency stopping \n seal h 1 \n kill-monitors')
    frozen(script)
    script.step({ kind: 'monitors-killed', gone: true })
    const both = [record({ db: {} }), { ...record({ db: {} }), group: h }]
    shows(script.records(...both), '1 stop db')
    shows(script.look(4_000), 'seal g 1 \n read-records')
    shows(script.records(...both), '2 kill db')
    shows(script.killed(2), '3 stop db')
    assert.equal(script.ask()?.emergency, 'stopping')
    script.done(1)
    script.killed(4)
    shows(script.done(5, 'stopped'), 'delete h')
    script.done(3)
    script.killed(6)
    shows(script.done(7, 'stopped'), 'delete g \n emergency stopped')
  })

  test('may stand still from an earlier guardian: it goes on by the daemon’s word, and is killed first if it has to end', () => {
    const begun = (deadline: number) => {
      const script = new Script()
      script.open.set(g, one)
      script.policies.set(g, 'freeze')
      script.deadline = deadline
      script.look()
      return script
    }
    const returned = begun(9_000)
    assert.deepEqual(returned.told, [g])
    shows(holds(returned, 1), 'thaw g')
    const gone = begun(9_000)
    shows(gone.look(8_990), 'freeze g') // Once more, for nobody knows.
    const late = begun(900)
    late.now = 4_000
    late.look()
    late.step({ kind: 'monitors-killed', gone: true })
    shows(late.records(record({ db: {} })), '1 kill db')
  })

  test('has no longer than the watchdog allows', () => {
    const core = new GuardianCore({ node, boot, emergencyStop: 5_000, leaveTimeout: 1_000, watchdogTimeout: 2_500 })
    const view = { deadline: bootInstant(2_000), open: new Map([[g, one]]), seals: new Map(), policies: new Map([[g, 'freeze' as const]]) }
    core.step({ kind: 'resumed', running: ['daemon', 'monitor'], emergency: undefined }, bootInstant(1_000))
    const kinds = core.step({ kind: 'looked', ...view }, bootInstant(1_990)).map(({ kind }) => kind)
    assert.ok(kinds.includes('kill-monitors') && !kinds.includes('freeze'), kinds.join())
  })
})

describe('a copy that goes on without a lease', () => {
  const h = 'h' as GroupName
  const going = (...others: GroupName[]) => {
    const script = new Script()
    script.look()
    for (const group of [g, ...others]) script.open.set(group, one)
    script.policies.set(g, 'demote')
    shows(script.look(1_989), '')
    return script
  }

  test('is left alone at the deadline and for as long as there is none, open and unsealed', () => {
    const script = going()
    for (const now of [1_990, 4_000, 7_500, 60_000]) shows(script.look(now), '')
    assert.deepEqual([script.ask()?.emergency, script.ask()?.open, script.ask()?.sealed], ['none', { [g]: one }, {}])
    shows(script.step({ kind: 'process-ended', role: 'monitor' }), '')
    shows(script.look(), 'spawn monitor')
  })

  test('is not touched by the stop of the others, whose tokens alone are stated', () => {
    const script = going(h)
    shows(script.look(1_990), 'emergency stopping \n seal h 1 \n kill-monitors')
    script.step({ kind: 'monitors-killed', gone: true })
    shows(script.records(record({ db: {} }), { ...record({ db: {} }), group: h }), '1 stop db')
    script.done(1)
    script.killed(2)
    shows(script.done(3, 'stopped'), 'delete h \n emergency stopped')
    assert.deepEqual([script.ask()?.sealed, script.ask()?.open], [{ [h]: one }, { [g]: one }])
    shows(script.look(20_000), '')
  })

  test('and is being started or stopped when the others are ended is ended with them', () => {
    for (const found of [record({ db: { state: 'STARTING' } }), { ...record({ db: {} }), wanted: 'stop' as const }]) {
      const script = going(h)
      script.look(1_990)
      script.step({ kind: 'monitors-killed', gone: true })
      assert.ok(script.records(found, { ...record({ db: {} }), group: h }).includes('seal g 1'))
    }
  })

  test('and whose end has begun is ended: its token is sealed', () => {
    const script = going()
    script.seals.set(g, one)
    shows(script.look(1_990), 'emergency stopping \n seal g 1 \n kill-monitors')
  })

  test('is ended with the others where the guardian is told to stop meanwhile', () => {
    const script = going(h)
    const both = [record({ db: {} }), { ...record({ db: {} }), group: h }] as const
    script.look(1_990)
    script.step({ kind: 'monitors-killed', gone: true })
    shows(script.records(...both), '1 stop db')
    script.step({ kind: 'terminated' })
    shows(script.look(2_000), 'seal g 1 \n read-records')
    shows(script.records(...both), '2 stop db')
  })

  test('is ended when the guardian is told to stop, and taken over by a later one', () => {
    const script = going()
    script.look(3_000)
    script.step({ kind: 'terminated' })
    for (const role of ['daemon', 'monitor'] as const) {
      script.step({ kind: 'process-ended', role })
      script.look(script.now + 10)
    }
    assert.ok(script.seals.has(g))
    const later = new Script(['daemon', 'monitor'], { phase: 'stopping', tokens: { [h]: one } })
    later.open = new Map([
      [g, one],
      [h, one],
    ])
    later.policies.set(g, 'demote')
    later.deadline = 900
    shows(later.look(), 'emergency stopping \n seal h 1 \n kill-monitors')
  })

  test('is ended where the record of its role cannot be read: nobody could demote it', () => {
    const [copy, role] = ['db:n1', 'db:primary'] as GroupName[] as [GroupName, GroupName]
    const script = new Script()
    for (const group of [copy, role]) script.open.set(group, one)
    script.policies.set(copy, 'demote')
    shows(script.look(1_990), 'emergency stopping \n seal db:primary 1 \n kill-monitors')
    script.step({ kind: 'monitors-killed', gone: true })
    const readable = [{ ...record({ db: {} }), group: copy }]
    const lines = script.step({ kind: 'records', readable, unreadable: [{ group: role, token: one, reason: 'it is damaged' }] })
    shows(lines, 'seal db:n1 1 \n 1 stop db')
  })

  test('keeps the watchdog fed, which resets the machine where the others do not end in time', () => {
    const feeds = (open: readonly GroupName[]) => {
      const core = new GuardianCore({ node, boot, emergencyStop: 5_000, leaveTimeout: 1_000, watchdogTimeout: 2_000 })
      core.step({ kind: 'resumed', running: ['daemon', 'monitor'], emergency: undefined }, bootInstant(1_000))
      const view = { seals: new Map(), policies: new Map([[g, 'demote' as const]]) }
      const looked = { kind: 'looked' as const, deadline: bootInstant(2_000), open: new Map(open.map((name) => [name, one])), ...view }
      return core.step(looked, bootInstant(20_000)).some(({ kind }) => kind === 'feed-watchdog')
    }
    assert.deepEqual([feeds([g]), feeds([g, h])], [true, false])
  })
})

describe('a group whose node is to be reset', () => {
  const ended = (armed: boolean) => {
    const core = new GuardianCore({ node, boot, emergencyStop: 5_000, leaveTimeout: 1_000, watchdogTimeout: 2_000 })
    const effects: GuardianEffect[] = []
    const step = (event: GuardianEvent, now: number) => effects.push(...core.step(event, bootInstant(now)))
    const look = (now: number, open: boolean, deadline = 2_000) =>
      step(
        {
          kind: 'looked',
          deadline: bootInstant(deadline),
          open: new Map(open ? [[g, one]] : []),
          seals: new Map(),
          policies: new Map([[g, 'selfFence']]),
        },
        now,
      )
    step({ kind: 'resumed', running: ['daemon', 'monitor'], emergency: undefined }, 1_000)
    look(1_000, true)
    if (armed) step({ kind: 'watchdog', armed: true }, 1_001)
    effects.length = 0
    look(1_990, true)
    step({ kind: 'monitors-killed', gone: true }, 2_000)
    step({ kind: 'records', readable: [], unreadable: [] }, 2_000)
    look(9_000, false, 60_000)
    return { feeds: effects.filter(({ kind }) => kind === 'feed-watchdog').length, effects }
  }

  test('is stopped in the same time, and the watchdog is fed no more, even when nothing is left that runs', () => {
    const { feeds, effects } = ended(true)
    assert.equal(feeds, 0)
    assert.ok(effects.some(({ kind }) => kind === 'seal'))
    const left = effects.findLast((effect) => effect.kind === 'write-emergency')
    assert.ok(left?.kind === 'write-emergency' && left.left.reset === true, 'a later guardian does not feed it either')
    const core = new GuardianCore({ node, boot, emergencyStop: 5_000, leaveTimeout: 1_000, watchdogTimeout: 2_000 })
    core.step({ kind: 'resumed', running: [], emergency: left.left }, bootInstant(9_000))
    const kinds = core.step({ kind: 'looked', deadline: bootInstant(60_000), open: new Map(), seals: new Map() }, bootInstant(9_000))
    assert.ok(!kinds.some(({ kind }) => kind === 'feed-watchdog' || kind === 'clear-emergency'))
  })

  test('is left alone by an orderly end under a lease', () => {
    const core = new GuardianCore({ node, boot, emergencyStop: 5_000, leaveTimeout: 1_000, watchdogTimeout: 2_000 })
    const view = {
      deadline: bootInstant(60_000),
      open: new Map([[g, one]]),
      seals: new Map(),
      policies: new Map([[g, 'selfFence' as const]]),
    }
    const effects: GuardianEffect[] = []
    const step = (event: GuardianEvent, now: number) => effects.push(...core.step(event, bootInstant(now)))
    step({ kind: 'resumed', running: [], emergency: undefined }, 1_000)
    step({ kind: 'watchdog', armed: true }, 1_001)
    step({ kind: 'terminated' }, 1_002)
    for (const at of [1_003, 1_004, 4_000, 7_000]) step({ kind: 'looked', ...view }, at)
    const begun = effects.findLast((effect) => effect.kind === 'write-emergency')
    assert.ok(begun?.kind === 'write-emergency' && begun.left.phase === 'stopping' && begun.left.reset === undefined)
  })

  test('is only stopped where no watchdog is armed', () => {
    const { feeds, effects } = ended(false)
    assert.ok(feeds > 0)
    assert.ok(effects.some(({ kind }) => kind === 'seal'))
  })
})

describe('suspended by maintenance', () => {
  const detach = (script: Script, entry: number) => script.step({ kind: 'ordered', order: { kind: 'detach', entry: entry as Token } })
  const attach = (script: Script, entry: number) => script.step({ kind: 'ordered', order: { kind: 'attach', entry: entry as Token } })
  const withOpen = (detachment?: Detachment) => {
    const script = new Script(['daemon', 'monitor'], undefined, detachment)
    script.open.set(g, one)
    script.look()
    return script
  }

  test('it ends nothing at the deadline, and everything when it is attached again without a lease', () => {
    const script = withOpen()
    shows(detach(script, 7), 'write-detachment')
    assert.deepEqual(script.detachment, { detached: 7, attached: 0 })
    shows(script.look(1_990), '')
    shows(script.look(600_000), '')
    shows(attach(script, 7), 'write-detachment')
    shows(script.look(600_025), 'emergency stopping \n seal g 1 \n kill-monitors')
  })

  test('the next guardian of the boot is suspended too', () => {
    const script = withOpen({ detached: 7 as Token, attached: 0 as Token })
    shows(script.look(600_000), '')
  })

  test('what is said twice, or late, changes nothing', () => {
    const script = withOpen()
    detach(script, 7)
    shows(detach(script, 7), '')
    shows(detach(script, 5), '')
    attach(script, 7)
    shows(attach(script, 7), '')
    shows(detach(script, 7), '') // One that was attached again does not suspend once more.
    shows(script.look(1_990), 'emergency stopping \n seal g 1 \n kill-monitors')
  })

  test('an emergency stop that has begun is finished', () => {
    const { script } = ending(record({ web: {} }))
    detach(script, 7)
    shows(script.done(1), '2 kill web')
  })

  test('a daemon that takes the place of another in the middle of the end is told to go too', () => {
    const script = new Script()
    shows(script.step({ kind: 'terminated' }), 'SIGTERM to daemon')
    script.step({ kind: 'process-ended', role: 'daemon' })
    shows(script.step({ kind: 'process-up', role: 'daemon' }), 'SIGTERM to daemon')
    shows(script.look(1_025), '')
    script.step({ kind: 'process-ended', role: 'daemon' })
    shows(script.look(1_050), 'SIGTERM to monitor')
  })

  test('told to end, it leaves what runs, and nobody who would reset the machine', () => {
    const script = withOpen()
    detach(script, 7)
    shows(script.step({ kind: 'terminated' }), 'SIGTERM to daemon')
    script.step({ kind: 'process-ended', role: 'daemon' })
    shows(script.look(1_100), 'SIGTERM to monitor')
    script.step({ kind: 'process-ended', role: 'monitor' })
    shows(script.look(1_125), '')
    shows(script.look(1_150), 'exit')
    const core = new GuardianCore({ node, boot, emergencyStop: 5_000, leaveTimeout: 1_000, watchdogTimeout: 2_000 })
    const detachment = { detached: 7 as Token, attached: 0 as Token }
    core.step({ kind: 'resumed', running: [], emergency: undefined, detachment }, bootInstant(1_000))
    const looked = { kind: 'looked' as const, deadline: bootInstant(2_000), open: new Map([[g, one]]), seals: new Map() }
    const fed = core.step(looked, bootInstant(20_000)).some(({ kind }) => kind === 'feed-watchdog')
    assert.equal(fed, true, 'while it is there, the machine is not reset either')
    core.step({ kind: 'terminated' }, bootInstant(20_000))
    const kinds = [20_025, 23_000, 26_000, 26_025, 26_050].flatMap((at) => core.step(looked, bootInstant(at)).map(({ kind }) => kind))
    assert.ok(kinds.includes('disarm-watchdog') && kinds.includes('exit') && !kinds.includes('write-emergency'), kinds.join())
  })
})

describe('the watchdog', () => {
  const feeds = (deadline: number, now: number, open: boolean, has = true) => {
    const watchdogTimeout = has ? 2_000 : undefined
    const core = new GuardianCore({ node, boot, emergencyStop: 5_000, leaveTimeout: 1_000, watchdogTimeout })
    const tokens = new Map(open ? [['web' as GroupName, 7 as Token]] : [])
    core.step({ kind: 'resumed', running: ['daemon', 'monitor'], emergency: undefined }, bootInstant(now))
    const effects = core.step({ kind: 'looked', deadline: bootInstant(deadline), open: tokens, seals: new Map() }, bootInstant(now))
    return effects.some((effect) => effect.kind === 'feed-watchdog')
  }

  test('is fed while it would still fire by the deadline and the emergency stop together, fed once more by the kernel and the grain included', () => {
    assert.equal(feeds(10_000, 10_990, true), true)
    assert.equal(feeds(10_000, 10_991, true), false)
  })

  test('is told as armed once it has taken what it was fed, with the emergency stop that goes with it', () => {
    const core = new GuardianCore({ node, boot, emergencyStop: 5_000, leaveTimeout: 1_000, watchdogTimeout: 2_000 })
    const told: unknown[] = []
    const step = (event: GuardianEvent, now: number) => {
      for (const effect of core.step(event, bootInstant(now)))
        if (effect.kind === 'tell-daemon') told.push([effect.state.watchdogTimeout, effect.state.emergencyStop])
    }
    step({ kind: 'resumed', running: ['daemon', 'monitor'], emergency: undefined }, 1_000)
    step({ kind: 'looked', deadline: bootInstant(9_000), open: new Map(), seals: new Map() }, 1_000)
    step({ kind: 'watchdog', armed: true }, 1_001)
    step({ kind: 'watchdog', armed: false }, 1_500)
    assert.deepEqual(
      [told[0], ...told.slice(-2)],
      [
        [null, 5_000],
        [2_000, 5_000],
        [null, 5_000],
      ],
    )
  })

  test('an emergency stop that begins late has no more time than is left of the one that should have begun', () => {
    const script = new Script()
    script.deadline = 2_000
    script.open = new Map([[g, one]])
    script.look(6_500)
    script.step({ kind: 'monitors-killed', gone: true })
    const effects = script.core.step({ kind: 'records', readable: [record({ db: {} })], unreadable: [] }, bootInstant(6_500))
    const stop = effects.find((effect) => effect.kind === 'begin')
    assert.ok(stop?.kind === 'begin' && stop.request.timeout <= 500, JSON.stringify(stop))
  })

  test('is fed once nothing may run, whatever the deadline', () => {
    assert.equal(feeds(10_000, 99_000, false), true)
  })

  test('is not there unless there is one', () => {
    assert.equal(feeds(10_000, 1_000, true, false), false)
  })

  test('is disarmed at an orderly end, where nothing is left that may run', () => {
    for (const open of [false, true]) {
      const core = new GuardianCore({ node, boot, emergencyStop: 5_000, leaveTimeout: 1_000, watchdogTimeout: 2_000 })
      const kinds: string[] = []
      const step = (event: Parameters<typeof core.step>[0], now: number) => {
        for (const effect of core.step(event, bootInstant(now))) kinds.push(effect.kind)
      }
      const look = (now: number) => {
        const tokens = new Map(open ? [['web' as GroupName, 7 as Token]] : [])
        step({ kind: 'looked', deadline: bootInstant(100_000), open: tokens, seals: new Map() }, now)
      }
      step({ kind: 'resumed', running: [], emergency: undefined }, 1_000)
      look(1_000)
      step({ kind: 'terminated' }, 1_010)
      for (let now = 1_025; now < 1_100; now += 25) look(now)
      assert.equal(kinds.includes('disarm-watchdog'), !open)
    }
  })
})

describe('monitors that groups have of their own', () => {
  class Own extends Script {
    monitors: GroupName[] = []

    override look(now = this.now): string[] {
      this.now = now
      const { deadline, open, seals, monitors } = this
      return this.step({ kind: 'looked', deadline: bootInstant(deadline), open: new Map(open), seals: new Map(seals), monitors })
    }
  }

  test('are started when they are wanted, again when they end, and let go when they are not', () => {
    const script = new Own()
    script.deadline = 1_000_000
    assert.deepEqual(script.look(1_500), [])
    script.monitors = [g]
    assert.deepEqual(script.look(1_600), ['spawn monitor@g'])
    script.step({ kind: 'process-up', role: 'monitor@g' as never })
    assert.deepEqual(script.look(1_700), [])
    script.step({ kind: 'process-ended', role: 'monitor@g' as never })
    assert.deepEqual(script.look(1_800), ['spawn monitor@g'])
    script.step({ kind: 'process-up', role: 'monitor@g' as never })
    script.monitors = []
    assert.deepEqual(script.look(1_900), ['SIGTERM to monitor@g'])
    script.step({ kind: 'process-ended', role: 'monitor@g' as never })
    assert.deepEqual(script.look(2_500), [])
  })

  test('that run already are taken over, and one that hangs is ended alone', () => {
    const script = new Own(['daemon', 'monitor', 'monitor@g' as never])
    script.deadline = 1_000_000
    script.monitors = [g]
    assert.deepEqual(script.look(1_500), [])
    assert.deepEqual(script.step({ kind: 'ordered', order: { kind: 'end-monitor', group: g } }), ['SIGKILL to monitor@g'])
    assert.deepEqual(script.step({ kind: 'ordered', order: { kind: 'end-monitor' } }), ['SIGKILL to monitor'])
    assert.deepEqual(script.step({ kind: 'ordered', order: { kind: 'end-monitor', group: 'other' as GroupName } }), [])
  })

  test('are not started during an emergency stop, and go with the guardian', () => {
    const script = new Own()
    script.open.set(g, one)
    script.monitors = [g]
    const begun = script.look(2_500)
    assert.ok(begun.includes('kill monitors') || begun.some((line) => line.includes('monitors')), begun.join())
    assert.ok(!begun.includes('spawn monitor@g'), begun.join())
    const leaving = new Own(['daemon', 'monitor', 'monitor@g' as never])
    leaving.deadline = 1_000_000
    leaving.monitors = [g]
    leaving.look(1_500)
    leaving.step({ kind: 'terminated' })
    leaving.step({ kind: 'process-ended', role: 'daemon' })
    assert.deepEqual(leaving.look(1_600), ['SIGTERM to monitor', 'SIGTERM to monitor@g'])
    leaving.step({ kind: 'process-ended', role: 'monitor' })
    assert.deepEqual(leaving.look(1_700), [], 'the other one is waited for')
    leaving.step({ kind: 'process-ended', role: 'monitor@g' as never })
    leaving.look(1_800)
    assert.deepEqual(leaving.look(1_900), ['exit'])
  })
})

describe('a daemon that says nothing any more', () => {
  const looks = (script: Script, until: number): string[] => {
    const lines: string[] = []
    for (let now = script.now + 25; now <= until; now += 25) lines.push(...script.look(now))
    return lines
  }

  test('is ended after ten seconds, once, and started again at its end', () => {
    const script = new Script()
    script.look()
    script.step({ kind: 'ordered', order: { kind: 'alive' } })
    shows(looks(script, 10_950), '')
    shows(looks(script, 11_000), 'SIGKILL to daemon')
    shows(looks(script, 12_000), '')
    script.step({ kind: 'process-ended', role: 'daemon' })
    shows(looks(script, 12_025), 'spawn daemon')
    script.step({ kind: 'process-up', role: 'daemon' })
    shows(looks(script, 40_000), '') // It has not said anything yet: it may have much to read first.
  })

  test('is left alone while it speaks, while it leaves, and for the time that the guardian itself slept', () => {
    const script = new Script()
    script.look()
    for (let second = 2; second < 30; second++) {
      script.step({ kind: 'ordered', order: { kind: 'alive' } })
      shows(looks(script, second * 1_000), '')
    }
    shows(script.look(90_000), '')
    shows(looks(script, 98_000), '')
    script.step({ kind: 'ordered', order: { kind: 'daemon-leaving' } })
    shows(looks(script, 120_000), '')
  })
})
