/** A node that is lost again and again hosts nothing for a while. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { CaseId, LogTime, NodeId } from '../../../src/base/index.js'
import { quarantineMax } from '../../../src/core/cluster/index.js'
import { Database, n1, n2, n3, nodes } from './database.js'

function fresh(patch: Record<string, unknown> = {}): Database {
  const database = new Database().formedAt(4)
  database.group()
  database.ok({ kind: 'patch-settings', patch: { poisonWindow: 0, ...patch } })
  return database
}

let cases = 0
function lost(database: Database, node: NodeId, trigger = 'silent for 700 ms'): void {
  const id = `c${++cases}`
  database.ok(database.openCase(node, id, { trigger }))
  const arbiter = nodes.find((other) => other !== node) as NodeId
  database.ok({ kind: 'condemn', caseId: id as CaseId, attempt: database.attempt(1, arbiter), reason: 'silent', answering: nodes })
  database.ok(database.attemptResult(true, 1, id))
  database.ok({ kind: 'recover-case', caseId: id as CaseId, conclusion: 'over' })
  database.boot(node, `${node}-b${cases}`)
  database.probed(node)
  database.at += 60_000
}

const quarantine = (database: Database, node: NodeId) => database.state.get('nodes', node)?.quarantine

describe('quarantine', () => {
  test('comes with the third loss within an hour: the node is granted nothing, and votes', () => {
    const database = fresh()
    lost(database, n1)
    lost(database, n1)
    assert.equal(quarantine(database, n1), undefined)
    lost(database, n1)
    assert.match(quarantine(database, n1)?.reason ?? '', /^it was lost 3 times within 1h$/)
    assert.equal(quarantine(database, n1)?.cases.length, 3)
    assert.match(database.grant(n1) ?? '', /in quarantine/)
    assert.equal(database.grant(n2), undefined)
    assert.equal(database.state.get('members', 'm-n1')?.votes ?? true, true)
  })

  test('counts no loss that is long past, that a person asked for, or that is challenged only', () => {
    const database = fresh()
    lost(database, n1)
    database.at += 3_600_000
    lost(database, n1)
    lost(database, n1, 'asked by an operator: a new disk')
    database.ok(database.openCase(n1, 'brief'))
    database.ok({ kind: 'close-case', caseId: 'brief' as CaseId, conclusion: 'a sign of life came' })
    assert.equal(quarantine(database, n1), undefined)
  })

  test('is for one of three nodes at a time, a quarter of many, and none of two', () => {
    const database = fresh()
    for (let time = 0; time < 3; time++) lost(database, n1)
    for (let time = 0; time < 3; time++) lost(database, n2)
    assert.notEqual(quarantine(database, n1), undefined)
    assert.equal(quarantine(database, n2), undefined)
    assert.ok(database.events().includes('node.flaps'))
    const sizes = [2, 3, 4, 7, 8, 12].map((size) => {
      const rows = Array.from({ length: size }, (_, at) => [`n${at}`, { name: `n${at}` }] as const)
      const reader = { get: () => undefined, rows: () => rows, derived: (_table: never, _what: never, make: () => unknown) => make() }
      return quarantineMax(reader as never)
    })
    assert.deepEqual(sizes, [0, 1, 1, 1, 2, 3])
  })

  test('ends by its time, and not before', () => {
    const database = fresh({ quarantineThreshold: 1, quarantineDuration: '10m' })
    lost(database, n1)
    const { since, until } = quarantine(database, n1) ?? { since: 0 as LogTime, until: 0 as LogTime }
    assert.equal(until - since, 600_000)
    database.ok({ kind: 'end-quarantine', node: n1, since })
    assert.notEqual(quarantine(database, n1), undefined)
    database.at = until
    database.ok({ kind: 'end-quarantine', node: n1, since: (since - 1) as LogTime })
    assert.notEqual(quarantine(database, n1), undefined, 'another one than was meant')
    database.ok({ kind: 'end-quarantine', node: n1, since })
    assert.equal(quarantine(database, n1), undefined)
    assert.equal(database.state.get('nodes', n1)?.losses, undefined, 'what led to it counts no more')
    assert.equal(database.grant(n1), undefined)
  })

  test('ends by a person’s word, with a reason only', () => {
    const database = fresh({ quarantineThreshold: 1 })
    lost(database, n1)
    database.refused({ kind: 'clear-node', node: n1 }, 'INVALID', /released with a reason/)
    database.ok({ kind: 'clear-node', node: n1, reason: 'its memory was replaced' })
    assert.equal(quarantine(database, n1), undefined)
    assert.equal(database.grant(n1), undefined)
    database.ok({ kind: 'clear-node', node: n3 })
  })

  test('can be turned off', () => {
    const database = fresh({ quarantineThreshold: 0 })
    for (let time = 0; time < 5; time++) lost(database, n1)
    assert.equal(quarantine(database, n1), undefined)
  })
})
