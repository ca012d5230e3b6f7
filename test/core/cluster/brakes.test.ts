/** How much happens on its own before a person is asked, and what goes on all the same. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { CaseId, GroupName, LogTime, NodeId } from '../../../src/base/index.js'
import { brakesOf, levelOf } from '../../../src/core/cluster/index.js'
import { address, Database, n1, n2, n3, nodes, resources, web, withWatchdog } from './database.js'

const db2 = 'db' as GroupName

function fresh(patch: Record<string, unknown> = {}, level = 4): Database {
  const database = new Database().formedAt(level)
  database.group()
  if (level >= 4) database.ok({ kind: 'patch-settings', patch: { quarantineThreshold: 0, poisonWindow: 0, ...patch } })
  return database
}

const holds = (database: Database) => brakesOf(database.state, database.at as LogTime).holds

/** Lost, proved off by its device, and back with another boot. */
function lost(database: Database, node: NodeId, number: number): void {
  database.fenced(node, `c${number}`)
  database.ok({ kind: 'recover-case', caseId: `c${number}` as CaseId, conclusion: 'over' })
  database.boot(node, `${node}-${number + 1}`)
  database.probed(node)
}

const leaves = (database: Database, group = web) =>
  database.decide(group, {
    kind: 'stop',
    token: database.row(group).holder?.token as never,
    ban: { node: database.row(group).holder?.node as NodeId, forMs: 1_000 },
  })

describe('causes', () => {
  test('are the losses of nodes, however many groups each held, and groups that leave their nodes; a move that was asked for is none', () => {
    const database = fresh()
    for (const name of ['a', 'b', 'c'] as GroupName[]) {
      database.group(name)
      database.granted(n1, name)
    }
    lost(database, n1, 1)
    database.granted(n2)
    assert.equal(leaves(database), undefined)
    database.ok({ kind: 'move-group', group: 'a' as GroupName, to: n3, operation: 'op' })
    assert.deepEqual(
      brakesOf(database.state, database.at as LogTime).causes.map(({ kind, subject, caseId }) => [kind, subject, caseId]),
      [
        ['node-lost', 'n1', 'c1'],
        ['group-failed', 'web', null],
      ],
    )
  })

  test('beyond the limit: a group stays where it is, and one that has left lately is no further cause', () => {
    const database = fresh({ causesMax: 1 })
    database.group(db2, { resources: resources({ ip: address('10.0.0.9/24') }) })
    database.granted(n1)
    database.granted(n1, db2)
    assert.equal(leaves(database), undefined)
    assert.match(leaves(database, db2) ?? '', /^1 causes of automatic moves within 10m are enough/)
    database.ok(database.released(n1))
    database.granted(n2)
    assert.equal(leaves(database), undefined, 'it is the same cause')
    assert.deepEqual(
      database.events().filter((kind) => kind === 'brakes.hold'),
      ['brakes.hold'],
      'told once',
    )
  })

  test('beyond the limit: a node is condemned and not switched off, until time has passed', () => {
    const database = fresh({ causesMax: 2, causesWindow: '1m' })
    lost(database, n1, 1)
    database.condemned(n2, 'c2')
    assert.equal(database.case('c2').attempts.length, 1, 'the last that is allowed')
    database.ok(database.attemptResult(true, 1, 'c2'))
    database.boot(n2, 'n2-9')
    database.condemned(n3, 'c3')
    assert.deepEqual(database.case('c3').attempts, [])
    assert.equal(database.state.get('boots', 'n3/n3-1')?.state, 'condemned')
    const again = { kind: 'attempt', caseId: 'c3' as CaseId, attempt: database.attempt(1, n1), answering: nodes } as const
    database.refused(again, 'CONFLICT', /not switched off on its own: 2 causes/)
    database.at += 60_001
    database.ok(again)
    assert.equal(database.case('c3').attempts.length, 1)
  })

  test('a proof in hand is used, whatever the brakes say', () => {
    const database = new Database()
    database.level = 4
    database.formed(withWatchdog)
    database.ok({ kind: 'raise-level', level: 4 })
    database.ok({ kind: 'patch-settings', patch: { causesMax: 1, poisonWindow: 0 } })
    database.group()
    database.granted(n1)
    database.ok(database.openCase(n3, 'c0'))
    database.ok({ kind: 'condemn', caseId: 'c0' as CaseId, attempt: null, reason: 'silent', answering: nodes })
    database.ok(database.openCase(n1, 'c1'))
    database.ok({ kind: 'condemn', caseId: 'c1' as CaseId, attempt: null, reason: 'silent', answering: nodes })
    assert.equal(holds(database).length, 1)
    database.ok({ kind: 'lease-proof', node: n1, boot: database.currentBoot(n1), judgedTerm: database.term as never, waitedMs: 0 })
    assert.equal(database.grant(n2), undefined, 'and the group goes on')
  })

  test('are none of a version that does not know them', () => {
    const database = fresh({}, 3)
    lost(database, n1, 1)
    assert.deepEqual([...database.state.rows('causes')], [])
    assert.equal(levelOf({ kind: 'patch-settings', patch: { causesMax: 3 } }), 4)
    assert.equal(levelOf({ kind: 'release-brakes', by: 'me', reason: 'x' }), 4)
  })
})

describe('fencings', () => {
  test('beyond the limit wait; those under way count', () => {
    const database = fresh({ fencingMax: 2 })
    lost(database, n1, 1)
    database.condemned(n2, 'c2')
    assert.equal(holds(database).length, 1)
    database.ok(database.attemptResult(false, 1, 'c2'))
    assert.deepEqual(holds(database), [], 'one that failed was none')
  })

  for (const [what, ask] of [
    ['that a person asked for in the first place', 'before'],
    ['that a person asks for now', 'after'],
  ] as const)
    test(`one ${what} is not held`, () => {
      const database = fresh({ fencingMax: 1 })
      lost(database, n1, 1)
      const asking = {
        kind: 'start-operation',
        operation: 'op',
        operationKind: 'fence',
        subject: n2,
        detail: 'an operator: because',
      } as const
      if (ask === 'before') database.ok(asking)
      database.ok(database.openCase(n2, 'c2', ask === 'before' ? { trigger: 'asked by an operator: because' } : {}))
      database.ok({ kind: 'condemn', caseId: 'c2' as CaseId, attempt: database.attempt(1, n3), reason: 'x', answering: nodes })
      assert.equal(database.case('c2').attempts.length, ask === 'before' ? 1 : 0)
      if (ask === 'before') return
      database.ok(asking)
      database.ok({ kind: 'attempt', caseId: 'c2' as CaseId, attempt: database.attempt(1, n3), answering: nodes })
    })

  test('that a rule asks for are held like those for silence', () => {
    const database = fresh({ fencingMax: 1 })
    lost(database, n1, 1)
    database.ok(database.openCase(n2, 'c2', { trigger: 'asked by the failure rules of web: its stop failed' }))
    database.ok({ kind: 'condemn', caseId: 'c2' as CaseId, attempt: database.attempt(1, n3), reason: 'x', answering: nodes })
    assert.deepEqual(database.case('c2').attempts, [])
  })
})

test('a person lets them go: what was counted counts no more, and the next count begins', () => {
  const database = fresh({ fencingMax: 1, causesMax: 1 })
  lost(database, n1, 1)
  assert.equal(holds(database).length, 2)
  database.at += 1
  assert.deepEqual(database.ok({ kind: 'release-brakes', by: 'an operator', reason: 'the switch is replaced' }), {
    held: true,
    fencings: 1,
    causes: 1,
  })
  assert.deepEqual(holds(database), [])
  assert.ok(database.events().includes('brakes.released'))
  database.at += 1
  lost(database, n2, 2)
  assert.equal(holds(database).length, 2)
})
