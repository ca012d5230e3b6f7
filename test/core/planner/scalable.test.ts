/** Scalable groups and the primary role, decided by the planner on the state that its own decisions lead to. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { GroupName, NodeId, Token } from '../../../src/base/index.js'
import {
  type AnyDefinition,
  type Command,
  instanceName,
  mayStillRun,
  partRows,
  primaryName,
  type ScalableDefinition,
  scalableLevel,
} from '../../../src/core/cluster/index.js'
import { decide, plannerVersion } from '../../../src/core/planner/index.js'
import { address, Database, definition, n1, n2, n3, resources, withWatchdog } from '../cluster/database.js'

const db = 'db' as GroupName
const primary = primaryName(db)
const at = (node: NodeId) => instanceName(db, node)

function scalable(change: Partial<ScalableDefinition> = {}): ScalableDefinition {
  const { mode: _mode, ...shared } = definition()
  const { app } = resources({ app: {} }) as { app: ScalableDefinition['resources'][never] }
  return { ...shared, mode: 'scalable', desired: 3, resources: { app } as ScalableDefinition['resources'], ...change }
}

function withPrimary(change: Partial<ScalableDefinition> = {}): ScalableDefinition {
  const shape = resources({ app: {} })
  const promotable = Object.fromEntries(Object.entries(shape).map(([name, one]) => [name, { ...one, promotable: true as const }]))
  const ip = resources({ ip: { ...address('10.0.0.9/24'), dependsOn: ['app'] } })
  return scalable({ resources: promotable, primary: { resources: ip }, ...change })
}

/** What holders and probes do about what is decided: at once, and well, unless a test says otherwise. */
class Played extends Database {
  readonly down = new Set<NodeId>()
  readonly scores: Partial<Record<NodeId, number>> = {}
  /** Groups whose stops are not carried out. */
  readonly stuck = new Set<GroupName>()
  readonly story: string[] = []

  put(definition: ScalableDefinition, group = db): void {
    this.ok({ kind: 'put-group', group, definition, intent: null, precondition: {} })
  }

  play(rounds = 12): void {
    for (let round = 0; round < rounds; round++) {
      for (const group of partRows(this.state, db)) {
        for (const node of group.definition.nodes) {
          if (!this.down.has(node) && !(mayStillRun(group) && group.holder.node === node)) this.probed(node, group.name)
        }
      }
      const decisions = decide({
        state: this.state,
        at: this.at as never,
        liveness: { isAlive: (node) => !this.down.has(node), isJoining: () => false },
      })
      const shown = decisions.filter(({ text }) => text !== '')
      this.story.push(
        ...shown.map(({ group, action, rule }) => `${group} ${action.kind}${'node' in action ? ` ${action.node}` : ''} (${rule})`),
      )
      this.ok({ kind: 'decide', decisions, plannerVersion })
      if (!this.obey() && shown.length === 0) return
    }
    assert.fail(`it does not come to rest: ${this.story.slice(-12).join('; ')}`)
  }

  /** Whether there was anything to do. */
  private obey(): boolean {
    let did = this.tellCopies()
    for (const { name } of partRows(this.state, db)) {
      const group = this.row(name)
      if (!mayStillRun(group) || this.down.has(group.holder.node)) continue
      const { node, boot, token, order, report, pinned } = group.holder
      if (order.wanted === 'stop') {
        if (this.stuck.has(name)) continue
        this.ok({ kind: 'released', node, boot, group: name, token })
      } else if (report.state === 'ONLINE' || (report.state === 'FAILED' && order.restart === null)) continue
      else {
        const states = Object.fromEntries(Object.keys(pinned.resources).map((one) => [one, { state: 'ONLINE' as const }]))
        const score = this.scores[node]
        const scores = group.part?.role === 'instance' && score !== undefined ? { scores: { app: score } } : {}
        this.say(name, { state: 'ONLINE', resources: states, failure: null, ...scores })
      }
      did = true
    }
    return did
  }

  /** Each node tells its copy at once, unless it is one that does not. */
  readonly deaf = new Set<NodeId>()
  private tellCopies(): boolean {
    const notice = this.state.get('scalables', db)?.notice
    if (notice === undefined || notice.when === 'during') return false
    let did = false
    for (const node of [n1, n2, n3]) {
      const group = this.state.get('groups', at(node))
      const isUp = group !== undefined && mayStillRun(group) && group.holder.report.state === 'ONLINE'
      if (!isUp || this.deaf.has(node) || this.down.has(node) || notice.told.includes(node)) continue
      this.ok({ kind: 'noticed', group: db, number: notice.number, node })
      this.heard.push(`${node}: ${notice.when} ${notice.operation} ${notice.node}`)
      did = true
    }
    return did
  }
  readonly heard: string[] = []

  say(name: GroupName, report: Extract<Command, { kind: 'report' }>['report']): void {
    const { holder } = this.row(name)
    assert.ok(holder !== null)
    const { node, boot, token, order } = holder
    this.ok({ kind: 'report', node, boot, group: name, token, sequence: order.sequence, report })
  }

  /** Its main process has died. */
  died(node: NodeId): void {
    const failure = { resource: 'app' as never, event: 'died', detail: 'killed', restartNumber: 0, number: 1 }
    this.say(at(node), { state: 'FAILED', resources: { ['app' as never]: { state: 'FAILED' } }, failure })
  }

  holders(): Record<string, string> {
    return Object.fromEntries(partRows(this.state, db).flatMap((group) => (mayStillRun(group) ? [[group.name, group.holder.node]] : [])))
  }
}

const onlineOf = ({ resources: all }: { readonly resources: object }) =>
  Object.fromEntries(Object.keys(all).map((name) => [name, { state: 'ONLINE' as const }]))
const formed = () => new Played().formedAt(scalableLevel)

describe('instances', () => {
  test('one on each node', () => {
    const database = formed()
    database.put(scalable())
    database.play()
    assert.deepEqual(database.holders(), { 'db:n1': 'n1', 'db:n2': 'n2', 'db:n3': 'n3' })
  })

  test('as many as are wanted, the best placed first; where one cannot run, the next in rank takes its place', () => {
    const database = formed()
    database.put(scalable({ desired: 2 }))
    database.play()
    assert.deepEqual(Object.keys(database.holders()), ['db:n1', 'db:n2'])
    database.ok({ kind: 'set-duty', node: n1, duty: 'standby', operation: null })
    database.play()
    assert.deepEqual(Object.keys(database.holders()), ['db:n2', 'db:n3'])
    database.ok({ kind: 'set-duty', node: n1, duty: 'active', operation: null })
    database.play()
    assert.deepEqual(Object.keys(database.holders()), ['db:n2', 'db:n3'], 'what runs stays')
  })

  test('the state machine itself grants no more than are wanted', () => {
    const database = formed()
    database.put(scalable({ desired: 2 }))
    database.play()
    database.probed(n3, at(n3))
    assert.match(database.grant(n3, at(n3)) ?? '', /2 of db are wanted, and there are as many/)
  })

  test('one whose end is not proved counts as one', () => {
    const database = formed()
    database.put(scalable({ desired: 2 }))
    database.play()
    database.down.add(n1)
    database.play()
    assert.equal(database.holders()['db:n3'], undefined, 'before the proof')
  })

  test('fewer wanted: the last in rank goes', () => {
    const database = formed()
    database.put(scalable())
    database.play()
    database.put(scalable({ desired: 1 }))
    database.play()
    assert.deepEqual(Object.keys(database.holders()), ['db:n1'])
  })

  test('a node that leaves the list: its instance is stopped, then forgotten; until then its name is held', () => {
    const database = formed()
    database.put(scalable())
    database.play()
    database.stuck.add(at(n3))
    database.put(scalable({ nodes: [n1, n2], desired: 2 }))
    database.play()
    assert.equal(database.row(at(n3)).deleting, true)
    const again = { kind: 'put-group' as const, group: db, definition: scalable(), intent: null, precondition: {} }
    database.refused(again, 'NAME_HELD')
    database.stuck.clear()
    database.play()
    assert.equal(database.state.get('groups', at(n3)), undefined)
    database.ok(again)
  })

  test('offline, online and delete are of the whole, and end when it has come', () => {
    const database = formed()
    database.put(scalable())
    database.play()
    const statusOf = (id: string) => database.state.get('operations', id)?.status
    database.ok({ kind: 'set-intent', group: db, intent: 'OFFLINE', operation: 'op1' })
    assert.equal(statusOf('op1'), 'running')
    database.play()
    assert.equal(statusOf('op1'), 'done')
    assert.deepEqual(database.holders(), {})
    database.ok({ kind: 'set-intent', group: db, intent: 'ONLINE', operation: 'op2' })
    database.play()
    assert.equal(statusOf('op2'), 'done')
    database.ok({ kind: 'delete-group', group: db, operation: 'op3', precondition: {} })
    database.play()
    assert.equal(statusOf('op3'), 'done')
    assert.equal(database.state.get('scalables', db), undefined)
    assert.deepEqual(partRows(database.state, db), [])
  })

  test('online is over when every instance that can run runs, and says which does not and why', () => {
    const database = formed()
    database.put(withPrimary())
    database.play(40)
    const online = (operation: string) => {
      database.ok({ kind: 'set-intent', group: db, intent: 'OFFLINE', operation: `${operation}-off` })
      database.play(40)
      database.ok({ kind: 'set-intent', group: db, intent: 'ONLINE', operation })
      assert.equal(database.state.get('operations', operation)?.status, 'running')
    }
    const result = (operation: string) => {
      const { status, result: text } = database.state.get('operations', operation) ?? {}
      return `${status}: ${text}`
    }
    database.ok({ kind: 'set-duty', node: n2, duty: 'standby', operation: null })
    online('op1')
    database.play(40)
    assert.match(result('op1'), /^done: db runs on n1, n3; db:n2 does not: no node can take db:n2 now \(n2: it is standby\)$/)
    database.ok({ kind: 'set-intent', group: db, intent: 'ONLINE', operation: 'op2' })
    database.play(40)
    assert.match(result('op2'), /^done: .*db:n2 does not/, 'asked once more')
    database.ok({ kind: 'set-duty', node: n2, duty: 'active', operation: null })
    database.play(40)
    database.down.add(n3)
    database.condemned(n3)
    database.play(40)
    database.ok({ kind: 'set-intent', group: db, intent: 'ONLINE', operation: 'op3' })
    database.play(40)
    assert.match(result('op3'), /db:n3 does not: waiting for proof that n3 can no longer act/, 'a token that is open there')
  })

  test('online waits for what is still being looked for, and for the primary', () => {
    const database = formed()
    database.put(withPrimary())
    database.ok({ kind: 'set-intent', group: db, intent: 'ONLINE', operation: 'op' })
    const status = () => database.state.get('operations', 'op')?.status
    for (const { name } of partRows(database.state, db).filter(({ name: one }) => one !== at(n3)))
      for (const node of database.row(name).definition.nodes) database.probed(node, name)
    const step = () => {
      const liveness = { isAlive: () => true, isJoining: () => false }
      const decisions = decide({ state: database.state, at: database.at as never, liveness })
      database.ok({ kind: 'decide', decisions, plannerVersion })
      for (const { name, holder } of partRows(database.state, db))
        if (holder?.report.state === 'GRANTED') database.say(name, { state: 'ONLINE', resources: onlineOf(holder.pinned), failure: null })
    }
    for (let round = 0; round < 8; round++) step()
    assert.match(database.row(at(n3)).waitingFor ?? '', /has not looked yet/)
    assert.equal(status(), 'running')
    database.play(40)
    assert.equal(status(), 'done')
  })

  test('a part is not defined, switched or deleted by itself; a mode does not change', () => {
    const database = formed()
    database.put(scalable())
    const one = at(n1)
    database.refused({ kind: 'set-intent', group: one, intent: 'OFFLINE', operation: 'x' }, 'CONFLICT', /not switched by itself/)
    database.refused({ kind: 'delete-group', group: one, operation: 'x', precondition: {} }, 'CONFLICT', /not deleted by itself/)
    database.refused({ kind: 'move-group', group: db, to: n2, operation: 'x' }, 'CONFLICT', /no primary role/)
    const plain = { kind: 'put-group' as const, group: db, definition: definition(), intent: null, precondition: {} }
    database.refused(plain, 'CONFLICT', /its mode is "scalable"/)
    database.group()
    const other = { ...plain, group: 'web' as GroupName, definition: scalable() }
    database.refused(other, 'CONFLICT', /its mode is "failover"/)
  })
})

describe('a definition that cannot be', () => {
  const refused = (definition: ScalableDefinition, detail: RegExp) =>
    formed().refused({ kind: 'put-group', group: db, definition, intent: null, precondition: {} }, 'INVALID_DEFINITION', detail)
  const ip = resources({ ip: address('10.0.0.9/24') })

  test('is refused with what is wrong', () => {
    refused(scalable({ desired: 0 }), /desired is 0/)
    refused(scalable({ desired: 4 }), /desired is 4/)
    refused(scalable({ resources: ip }), /every instance would hold address:10.0.0.9/)
    refused(scalable({ primary: { resources: ip } }), /no resource is promotable/)
    refused(withPrimary({ primary: { resources: resources({ app: {} }) } }), /"app" is in "resources" and in "primary"/)
    refused(withPrimary({ isolation: 'dedicated' }), /monitor of their own/)
    refused(withPrimary({ primary: { resources: resources({ ip: { dependsOn: ['nothing'] } }) } }), /depends on "nothing"/)
  })
})

describe('the primary role', () => {
  test('goes to the copy with the best score, and its address with it', () => {
    const database = formed()
    Object.assign(database.scores, { n1: 5, n2: 10, n3: 7 })
    database.put(withPrimary())
    database.play()
    assert.equal(database.holders()[primary], n2)
    assert.deepEqual(Object.keys(database.row(primary).holder?.pinned.resources ?? {}), ['app', 'ip'])
  })

  test('is not given before all copies that are being started have shown how good they are', () => {
    const database = formed()
    Object.assign(database.scores, { n1: 1, n2: 2, n3: 3 })
    database.put(withPrimary())
    database.play()
    const grants = database.story.filter((line) => line.includes(' grant '))
    assert.equal(grants.at(-1), `${primary} grant n3 (score)`)
    assert.equal(grants.length, 4)
  })

  test('is given to no copy whose score is below zero, and to no node without a copy', () => {
    const database = formed()
    Object.assign(database.scores, { n1: -1, n2: -1_000_000, n3: -5 })
    database.put(withPrimary())
    database.play()
    assert.equal(database.holders()[primary], undefined)
    assert.match(database.row(primary).waitingFor ?? '', /must not be the primary/)
    database.ok({ kind: 'set-duty', node: n1, duty: 'standby', operation: null })
    database.play()
    assert.match(database.grant(n1, primary) ?? '', /db does not run there/)
  })

  test('leaves a copy that has died for the next best, which is asked nothing of the dead one but its proof', () => {
    const database = formed()
    Object.assign(database.scores, { n1: 5, n2: 10, n3: 7 })
    database.put(withPrimary())
    database.play()
    database.stuck.add(primary)
    database.died(n2)
    database.play()
    assert.equal(database.holders()[primary], n2, 'not before it is verified demoted')
    assert.ok(!database.story.includes(`${at(n2)} restart (restart)`), 'the copy is not restarted under the role')
    database.stuck.clear()
    database.play()
    assert.equal(database.holders()[primary], n3)
    assert.equal(database.holders()['db:n2'], n2, 'the copy is there again')
  })

  test('is demoted before its copy goes: standby, a new definition, fewer copies', () => {
    const database = formed()
    Object.assign(database.scores, { n1: 9, n2: 5, n3: 7 })
    database.put(withPrimary())
    database.play()
    assert.equal(database.holders()[primary], n1)
    database.story.length = 0
    database.ok({ kind: 'set-duty', node: n1, duty: 'standby', operation: null })
    database.play()
    const stops = database.story.filter((line) => line.includes(' stop '))
    assert.deepEqual(
      stops.map((line) => line.split(' ')[0]),
      [primary, at(n1)],
    )
    assert.equal(database.holders()[primary], n3)
    database.put(withPrimary({ desired: 1, nodes: [n1, n2, n3] }))
    database.play()
    assert.deepEqual(database.holders(), { 'db:n3': 'n3', [primary]: 'n3' }, 'the copy of the primary is the last to go')
  })

  test('moves where a person wants it, by the name of the whole', () => {
    const database = formed()
    Object.assign(database.scores, { n1: 5, n2: 10, n3: 7 })
    database.put(withPrimary())
    database.play()
    database.ok({ kind: 'move-group', group: db, to: n1, operation: 'op' })
    database.play()
    assert.equal(database.holders()[primary], n1)
    assert.equal(database.state.get('operations', 'op')?.status, 'done')
    assert.deepEqual(Object.keys(database.holders()).length, 4, 'no copy was touched')
  })

  test('a lost node: the role goes nowhere before the proof, and then to the best that is left', () => {
    const database = formed()
    Object.assign(database.scores, { n1: 5, n2: 10, n3: 7 })
    database.put(withPrimary())
    database.play()
    database.down.add(n2)
    database.play()
    assert.equal(database.holders()[primary], n2)
    assert.match(database.grant(n3, primary) ?? '', /not proved stopped/)
    const boot = database.currentBoot(n2)
    database.boot(n2, 'n2-2')
    for (const name of [primary, at(n2)]) database.probed(n2, name, 'clean', database.row(name).holder?.pinnedRevision)
    assert.equal(database.row(primary).proof?.boot, boot)
    database.play()
    assert.equal(database.holders()[primary], n3)
  })

  test('of a token that is old nobody takes a word', () => {
    const database = formed()
    Object.assign(database.scores, { n1: 5, n2: 10, n3: 7 })
    database.put(withPrimary())
    database.play()
    const { holder } = database.row(primary)
    const old = (holder?.token ?? 0) as Token
    database.ok({ kind: 'move-group', group: db, to: n1, operation: 'op' })
    database.play()
    const late = { kind: 'released' as const, node: n2, boot: database.currentBoot(n2), group: primary, token: old }
    database.refused(late, 'STALE_TOKEN')
  })
})

describe('of copies that are as good as each other', () => {
  test('one that has failed lately gets the role last, though it had it', () => {
    const database = formed()
    Object.assign(database.scores, { n1: 5, n2: 5, n3: 5 })
    database.put(withPrimary())
    database.play()
    assert.equal(database.holders()[primary], n1)
    database.stuck.add(primary)
    database.died(n1)
    database.play()
    database.stuck.clear()
    database.play()
    assert.equal(database.holders()[primary], n2)
    database.ok({ kind: 'set-duty', node: n2, duty: 'standby', operation: null })
    database.play()
    assert.equal(database.holders()[primary], n3)
  })
})

describe('copies that go on without a lease', () => {
  const lease = (node: NodeId): Command => ({
    kind: 'lease-proof',
    node,
    boot: `${node}-1` as never,
    judgedTerm: 1 as never,
    waitedMs: 0,
  })
  /** The primary is on n1, which is condemned. */
  const lost = (change: Partial<ScalableDefinition> = { onQuorumLoss: 'demote' }) => {
    const database = formed()
    for (const node of [n1, n2, n3]) database.boot(node, `${node}-1`, withWatchdog)
    database.put(withPrimary(change))
    database.play(40)
    assert.equal(database.holders()[primary], n1)
    database.down.add(n1)
    database.condemned(n1)
    return database
  }

  test('the end of the lease ends the token of the role, and not theirs: the case goes on for them', () => {
    const database = lost()
    database.ok(lease(n1))
    assert.deepEqual([database.row(primary).proof?.kind, database.row(at(n1)).proof], ['lease', null])
    assert.equal(database.case().stage, 'CONDEMNED')
    database.refused(lease(n1), 'PROOF_REFUSED', /goes on there without a lease/)
    database.play(40)
    assert.equal(database.holders()[primary], n2)
    database.ok(database.attemptResult(true))
    assert.deepEqual([database.row(at(n1)).proof?.kind, database.case().stage], ['fenced', 'PROVED'])
  })

  test('they count as long as nothing else has ended them: of two, a third one does not start', () => {
    const database = lost({ onQuorumLoss: 'demote', desired: 2 })
    database.ok(lease(n1))
    database.play(40)
    assert.deepEqual(database.holders(), { [at(n1)]: n1, [at(n2)]: n2, [primary]: n2 })
    database.refused({ kind: 'want-member', member: 'm-n1' as never, wanted: 'gone' }, 'CONFLICT', /holds db:n1/)
    database.ok(database.attemptResult(true))
    database.play(40)
    assert.equal(database.holders()[at(n3)], n3)
  })

  test('whether a lease ends them is settled with the grant', () => {
    for (const [first, then] of [
      ['demote', undefined],
      [undefined, 'demote'],
    ] as const) {
      const policy = (onQuorumLoss: 'demote' | undefined) => (onQuorumLoss === undefined ? {} : { onQuorumLoss })
      const database = formed()
      database.put(withPrimary(policy(first)))
      database.play(40)
      const held = database.row(at(n2)).holder?.token
      const changed = withPrimary(policy(then))
      const program = Object.fromEntries(
        Object.entries(changed.resources).map(([name, one]) => [name, { ...one, parameters: { run: 'other' } }]),
      )
      database.put({ ...changed, resources: program as ScalableDefinition['resources'] })
      database.play(80)
      const { holder, resourcesRevision } = database.row(at(n2))
      assert.deepEqual([holder?.token, holder?.pinnedRevision], [held, resourcesRevision], 'taken on in place')
      assert.equal(holder?.pinned.onQuorumLoss, first)
    }
  })

  test('the role itself never outlasts one, nor does anything that nobody promotes', () => {
    const database = lost()
    assert.equal(database.row(primary).holder?.pinned.onQuorumLoss, undefined)
    const put = (written: AnyDefinition): Command => ({
      kind: 'put-group',
      group: 'other' as GroupName,
      definition: written,
      intent: null,
      precondition: {},
    })
    database.refused(put(scalable({ onQuorumLoss: 'demote' })), 'INVALID_DEFINITION', /no primary role/)
    database.refused(put(definition({ onQuorumLoss: 'demote' })), 'INVALID_DEFINITION', /no primary role/)
  })
})

describe('what befalls nodes counts for the whole', () => {
  const up = (change: Partial<ScalableDefinition> = {}, of = withPrimary) => {
    const database = formed()
    database.ok({ kind: 'patch-settings', patch: { poisonWindow: '60s', quarantineThreshold: 0, causesMax: 100, fencingMax: 100 } })
    database.put(of(change))
    database.play(60)
    return database
  }
  /** It is switched off, and comes back with another boot. */
  const crash = (database: Played, node: NodeId, id: string, trigger = 'silent') => {
    database.down.add(node)
    database.ok(database.openCase(node, id, { trigger }))
    const arbiter = [n1, n2, n3].find((other) => other !== node && !database.down.has(other)) as NodeId
    database.ok({ kind: 'condemn', caseId: id as never, attempt: database.attempt(1, arbiter), reason: 'silent', answering: [n1, n2, n3] })
    database.ok(database.attemptResult(true, 1, id))
    database.play(60)
    database.ok({ kind: 'recover-case', caseId: id as never, conclusion: 'over' })
    database.boot(node, `${node}-after-${id}`)
    database.down.delete(node)
    database.play(60)
  }
  const whole = (database: Played) => database.state.get('scalables', db)

  test('starts of two copies that were followed by the loss of their nodes: nothing of it is started, what has run for long goes on', () => {
    const database = up()
    database.at += 100_000
    crash(database, n2, 'c1') // Long after its start: none of its doing.
    assert.equal(whole(database)?.losses, undefined)
    database.at += 10_000
    crash(database, n2, 'c2')
    database.at += 10_000
    crash(database, n3, 'c3')
    assert.equal(whole(database)?.poisoned, undefined, 'n3 had run for long')
    database.at += 10_000
    crash(database, n3, 'c4')
    const { poisoned } = whole(database) ?? {}
    assert.match(poisoned?.reason ?? '', /loss of n2 10s later \(case c2\), and the next one by that of n3 10s later \(case c4\)/)
    assert.deepEqual(database.holders(), { [at(n1)]: n1, [primary]: n1 }, 'n2 had just been started too')
    for (const command of [
      { kind: 'set-intent', group: db, intent: 'ONLINE', operation: 'op' },
      { kind: 'move-group', group: db, to: n2, operation: 'op' },
      { kind: 'restart-group', group: at(n1), operation: 'op' },
    ] as const)
      database.refused(command, 'CONFLICT', /db rests/)
    assert.match(database.row(at(n3)).waitingFor ?? '', /POST \/v1\/groups\/db\/clear/)
    database.put({ ...withPrimary(), priority: 7 } as ScalableDefinition)
    database.play(5)
    assert.deepEqual([whole(database)?.poisoned, whole(database)?.definition.priority], [poisoned, 7], 'a change clears nothing')
    database.ok({ kind: 'clear-group', group: db })
    assert.deepEqual([whole(database)?.poisoned, whole(database)?.losses], [undefined, undefined])
    database.play(60)
    assert.equal(Object.keys(database.holders()).length, 4)
  })

  test('copies of a changed definition, lost one after the other while it goes from one to the next', () => {
    const database = up()
    database.at += 3_600_000
    const shape = withPrimary()
    const { app } = shape.resources as { app: object }
    database.put({ ...shape, resources: { app: { ...app, parameters: { run: 'bad' } } } as unknown as ScalableDefinition['resources'] })
    database.play(60)
    database.at += 5_000
    crash(database, n2, 'c1')
    database.at += 5_000
    crash(database, n3, 'c2')
    assert.notEqual(whole(database)?.poisoned, undefined)
  })

  test('a power cut of all, soon after all were started, is none of its doing', () => {
    const database = up()
    database.at += 5_000
    for (const node of [n1, n2, n3]) database.down.add(node)
    for (const node of [n1, n2, n3]) {
      database.boot(node, `${node}-2`)
      database.down.delete(node)
      for (const { name, holder } of partRows(database.state, db))
        if (holder?.node === node && holder.boot === (`${node}-1` as never)) database.probed(node, name, 'clean', holder.pinnedRevision)
    }
    database.play(60)
    assert.equal(whole(database)?.poisoned, undefined)
    assert.equal(Object.keys(database.holders()).length, 4)
  })

  test('one that has run for long since forgives what was before its start', () => {
    const database = up()
    database.at += 5_000
    crash(database, n2, 'c1')
    assert.equal(whole(database)?.losses?.length, 1)
    database.at += 60_001
    crash(database, n3, 'c2')
    assert.equal(whole(database)?.poisoned, undefined)
    assert.equal(whole(database)?.losses, undefined, 'the copy on n2 has run well since')
  })

  test('a stop that fails: the node of a copy is fenced where another copy goes on; and two of them are enough', () => {
    const database = up({ onStopFailure: 'fence' }, scalable)
    const fails = (node: NodeId, id: string) => {
      database.stuck.add(at(node))
      database.ok({ kind: 'restart-group', group: at(node), operation: id })
      database.play(60)
      const failure = { resource: 'app' as never, event: 'stop-failed', detail: 'it hangs', restartNumber: 0, number: 1 }
      database.say(at(node), { state: 'UNKNOWN', resources: { ['app' as never]: { state: 'UNKNOWN' } }, failure })
      database.play(60)
      const asked = [...database.state.rows('operations')].find(([, one]) => one.kind === 'fence' && one.status === 'running')?.[1]
      assert.equal(asked?.subject, node)
      database.stuck.delete(at(node))
      crash(database, node, id, `asked by ${asked?.detail}`)
    }
    database.at += 5_000
    fails(n1, 'c1')
    const causes = () => [...database.state.rows('causes')].map(([, { kind, subject }]) => `${kind} ${subject}`)
    assert.ok(causes().includes('group-failed db'), 'the whole is the cause')
    database.at += 5_000
    fails(n2, 'c2')
    assert.match(whole(database)?.poisoned?.reason ?? '', /loss of n1 .* n2/)
  })

  test('the last copy is not fenced for a stop that fails', () => {
    const database = up({ onStopFailure: 'fence', desired: 1 }, scalable)
    for (const node of [n2, n3]) database.ok({ kind: 'set-duty', node, duty: 'standby', operation: null })
    database.play(60)
    database.stuck.add(at(n1))
    database.ok({ kind: 'restart-group', group: at(n1), operation: 'op' })
    database.play(60)
    database.say(at(n1), { state: 'UNKNOWN', resources: { ['app' as never]: { state: 'UNKNOWN' } }, failure: null })
    database.play(60)
    assert.match(database.row(at(n1)).waitingFor ?? '', /n1 is not fenced for it: no other node can take db:n1 now/)
    database.ok({ kind: 'set-duty', node: n2, duty: 'active', operation: null })
    database.play(60)
    assert.match(database.row(at(n1)).waitingFor ?? '', /n1 is being fenced/)
  })

  test('a copy that fails can send its node to standby, where another one goes on', () => {
    const database = up({ rules: [{ event: 'died', action: 'standbyNode' }] }, scalable)
    database.died(n1)
    database.play(60)
    assert.equal(database.state.get('nodes', n1)?.duty, 'standby')
    assert.deepEqual(database.holders(), { [at(n2)]: n2, [at(n3)]: n3 })
  })
})

describe('copies that are told of each other', () => {
  const formedSo = () => {
    const database = formed()
    Object.assign(database.scores, { n1: 5, n2: 10, n3: 7 })
    database.put(withPrimary({ notify: true }))
    database.play(60)
    database.heard.length = 0
    database.story.length = 0
    return database
  }

  test('before and after each step, and one step comes after the other', () => {
    const database = formedSo()
    assert.equal(database.holders()[primary], n2)
    database.ok({ kind: 'move-group', group: db, to: n3, operation: 'op' })
    database.play(60)
    const steps = [...new Set(database.heard.map((line) => line.split(': ')[1]))]
    assert.deepEqual(steps, ['pre demote n2', 'post demote n2', 'pre promote n3', 'post promote n3'])
    assert.equal(database.heard.length, 12, 'each of the three copies of each')
    assert.deepEqual(
      database.story.map((line) => line.split(' ').slice(1, 3).join(' ')),
      ['announce n2', 'stop (move)', 'announce n3', 'grant n3'],
    )
  })

  test('one that does not answer is waited for as long as notices are, and no longer', () => {
    const database = formedSo()
    database.deaf.add(n1)
    database.ok({ kind: 'move-group', group: db, to: n3, operation: 'op' })
    database.play(60)
    assert.equal(database.holders()[primary], n2)
    for (let times = 0; times < 6; times++) {
      database.at += 21_000
      database.play(60)
    }
    assert.equal(database.holders()[primary], n3)
  })

  test('a start that was announced, and then is not wanted any more, holds up nothing', () => {
    const database = formedSo()
    database.ok({ kind: 'set-duty', node: n1, duty: 'standby', operation: null })
    database.play(60)
    database.deaf.add(n2)
    database.ok({ kind: 'set-duty', node: n1, duty: 'active', operation: null })
    database.play(60)
    const { notice } = database.state.get('scalables', db) ?? {}
    assert.deepEqual([notice?.when, notice?.operation, notice?.node, database.holders()[at(n1)]], ['pre', 'start', n1, undefined])
    database.deaf.clear()
    database.ok({ kind: 'delete-group', group: db, operation: 'op', precondition: {} })
    database.play(60)
    assert.deepEqual(database.holders(), {}, 'without waiting for a time that is over')
  })

  test('the loss of a node that was being told, or promoted, holds up nothing', () => {
    const database = formedSo()
    database.deaf.add(n1)
    database.ok({ kind: 'move-group', group: db, to: n1, operation: 'op' })
    database.play(60)
    database.down.add(n1)
    database.play(60)
    assert.ok(database.holders()[primary] === n2 || database.holders()[primary] === n3, JSON.stringify(database.holders()))
    database.down.add(n2)
    database.boot(n2, 'n2-2')
    database.down.delete(n2)
    for (const name of [primary, at(n2)])
      if (database.row(name).holder?.boot === ('n2-1' as never))
        database.probed(n2, name, 'clean', database.row(name).holder?.pinnedRevision)
    database.play(60)
    assert.equal(database.holders()[primary], n3)
  })
})

test('parameters of another node do not keep the primary from taking on what has changed', () => {
  const varied = (address1: string, perNode?: object) => {
    const { app } = resources({ app: {} }) as { app: object }
    const copy = { ...app, promotable: true as const, ...(perNode === undefined ? {} : { perNode }) }
    const ip = resources({ ip: { ...address(address1), dependsOn: ['app'] } })
    return scalable({ resources: { app: copy } as never, primary: { resources: ip } })
  }
  const database = new Played().formedAt(scalableLevel)
  database.put(varied('10.0.0.9/24'))
  database.play()
  assert.equal(database.row(primary).holder?.node, n1)
  const perNode = { [n3]: { parameters: { run: 'other' } } }
  database.put(varied('10.0.0.9/24', perNode))
  database.play()
  database.put(varied('10.0.0.10/24', perNode))
  database.play()
  const { holder, resourcesRevision } = database.row(primary)
  assert.equal(holder?.pinnedRevision, resourcesRevision)
  assert.equal(holder?.pinned.resources['ip' as never]?.['parameters' as never]?.['address' as never], '10.0.0.10/24')
})
