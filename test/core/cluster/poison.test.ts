/** A group whose starts bring nodes down rests; one that merely was there does not. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { CaseId, NodeId } from '../../../src/base/index.js'
import { Database, n1, n2, n3, web } from './database.js'

function fresh(level = 4): Database {
  const database = new Database().formedAt(level)
  database.group()
  if (level >= 4) database.ok({ kind: 'patch-settings', patch: { poisonWindow: '60s', quarantineThreshold: 0 } })
  return database
}

/** Granted to the node, online after `startMs`, and the node lost `afterMs` later. */
function lostAfter(database: Database, node: NodeId, afterMs: number, id: string, more: Record<string, unknown> = {}): void {
  database.granted(node)
  database.ok(database.report(node, 'STARTING'))
  database.at += 1_000
  database.ok(database.report(node, 'ONLINE'))
  database.at += afterMs
  database.ok(database.openCase(node, id, more))
  const arbiter = [n1, n2, n3].find((other) => other !== node) as NodeId
  database.ok({ kind: 'condemn', caseId: id as CaseId, attempt: database.attempt(1, arbiter), reason: 'silent', answering: [n1, n2, n3] })
  database.ok(database.attemptResult(true, 1, id))
  back(database, node, id)
}

function back(database: Database, node: NodeId, id: string): void {
  database.ok({ kind: 'recover-case', caseId: id as CaseId, conclusion: 'over' })
  database.boot(node, `${node}-after-${id}`)
  database.probed(node)
}

describe('a group', () => {
  test('whose starts were followed by the loss of two nodes is granted to nobody before it is cleared; both cases are named', () => {
    const database = fresh()
    lostAfter(database, n1, 5_000, 'c1')
    assert.equal(database.row().poisoned, undefined)
    lostAfter(database, n2, 12_000, 'c2')
    assert.equal(
      database.row().poisoned?.reason,
      'a start of it was followed by the loss of n1 5s later (case c1), and the next one by that of n2 12s later (case c2)',
    )
    assert.match(database.grant(n3) ?? '', /waits to be cleared/)
    database.refused({ kind: 'set-intent', group: web, intent: 'ONLINE', operation: 'op' }, 'CONFLICT', /rests/)
    database.refused({ kind: 'move-group', group: web, to: n3, operation: 'op' }, 'CONFLICT', /rests/)
    database.ok({ kind: 'clear-group', group: web })
    assert.deepEqual([database.row().poisoned, database.row().losses], [undefined, undefined])
    assert.equal(database.grant(n3), undefined)
  })

  const harmless: readonly [string, (database: Database) => void][] = [
    [
      'that ran for longer than that on the second',
      (database) => {
        lostAfter(database, n1, 5_000, 'c1')
        lostAfter(database, n2, 60_001, 'c2')
      },
    ],
    [
      'that ran well in between',
      (database) => {
        lostAfter(database, n1, 5_000, 'c1')
        database.granted(n2)
        database.at += 60_001
        database.ok(database.released(n2))
        lostAfter(database, n2, 5_000, 'c2')
      },
    ],
    [
      'whose start was followed by the loss of the same node twice',
      (database) => {
        lostAfter(database, n1, 5_000, 'c1')
        lostAfter(database, n1, 5_000, 'c2')
      },
    ],
    [
      'one of whose nodes a person had cut off',
      (database) => {
        lostAfter(database, n1, 5_000, 'c1')
        lostAfter(database, n2, 5_000, 'c2', { trigger: 'asked by an operator: maintenance' })
      },
    ],
    [
      'beside one for which a rule had the node cut off',
      (database) => {
        lostAfter(database, n1, 5_000, 'c1')
        lostAfter(database, n2, 5_000, 'c2', { trigger: 'asked by the failure rules of other: a stop failed' })
      },
    ],
    [
      'where that is turned off',
      (database) => {
        database.ok({ kind: 'patch-settings', patch: { poisonWindow: 0 } })
        lostAfter(database, n1, 5_000, 'c1')
        lostAfter(database, n2, 5_000, 'c2')
      },
    ],
  ]
  for (const [what, story] of harmless)
    test(`${what} goes on`, () => {
      const database = fresh()
      story(database)
      assert.equal(database.row().poisoned, undefined)
      assert.equal(database.grant(n3), undefined)
    })

  test('for which a rule had two nodes cut off, one after the other, rests', () => {
    const database = fresh()
    lostAfter(database, n1, 5_000, 'c1', { trigger: 'asked by the failure rules of web: a stop failed' })
    lostAfter(database, n2, 5_000, 'c2', { trigger: 'asked by the failure rules of web: a stop failed' })
    assert.notEqual(database.row().poisoned, undefined)
  })

  test('counts a restart in place as a start, and a start that never ended', () => {
    const database = fresh()
    database.granted(n1)
    database.ok(database.report(n1, 'ONLINE'))
    database.at += 3_600_000
    database.ok(database.report(n1, 'STARTING'))
    database.at += 600_000
    database.fenced(n1, 'c1')
    back(database, n1, 'c1')
    assert.deepEqual(
      database.row().losses?.map(({ node, after }) => [node, after]),
      [[n1, 0]],
    )
    lostAfter(database, n2, 2_000, 'c2')
    assert.match(database.row().poisoned?.reason ?? '', /n1 while it was being started \(case c1\)/)
  })

  test('counts nodes that were back with another boot before there was a case', () => {
    const database = fresh()
    for (const node of [n1, n2]) {
      database.granted(node)
      database.ok(database.report(node, 'ONLINE'))
      database.at += 2_000
      database.boot(node, `${node}-2`)
      database.probed(node)
    }
    assert.match(database.row().poisoned?.reason ?? '', /which came back with another boot/)
  })

  test('keeps nothing of that before every member understands it', () => {
    const database = fresh(3)
    lostAfter(database, n1, 5_000, 'c1')
    lostAfter(database, n2, 5_000, 'c2')
    assert.deepEqual([database.row().poisoned, database.row().losses], [undefined, undefined])
  })
})
