/** After a recovery nothing starts that may run where the log does not know. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type CaseId, tokenAt } from '../../../src/base/index.js'
import { type Command, mayStillRun, metaOf } from '../../../src/core/cluster/index.js'
import { Database, n1, n2, n3, web } from './database.js'

const recover: Command = {
  kind: 'recover',
  node: n1,
  member: 'm-new' as never,
  address: { host: 'n1', port: 7400 },
  reason: 'the others burned',
}

function held(by = n2): Database {
  const database = new Database().formed()
  database.group()
  database.granted(by)
  database.ok(recover)
  return database
}

function caseOf(database: Database, node: string) {
  for (const [, row] of database.state.rows('cases')) if (row.node === node && row.stage === 'CONDEMNED') return row
  throw new Error(`there is no case of ${node}`)
}

function statedOff(database: Database, node: typeof n2): void {
  database.ok({ kind: 'operator-proof', caseId: caseOf(database, node).id as CaseId, node, reason: 'it burned', by: 'me', unheard: true })
}

describe('a recovery', () => {
  test('raises the epoch, so that tokens go on growing, and leaves one member', () => {
    const database = held()
    assert.equal(metaOf(database.state).epoch, 2)
    assert.deepEqual(
      [...database.state.rows('members')].map(([key]) => key),
      ['m-new'],
    )
  })

  test('grants nothing before every node of the list is proved off or has looked', () => {
    const database = held()
    database.probed(n1)
    assert.match(database.grant(n1) ?? '', /not proved stopped|may run on n2/)
    statedOff(database, n2)
    assert.match(database.grant(n1) ?? '', /may run on n3/)
    statedOff(database, n3)
    database.granted(n1)
    assert.ok((database.state.get('groups', web)?.holder?.token ?? 0) > tokenAt(2, 0 as never))
  })

  test('calls back what the own node holds: it may have been granted elsewhere since', () => {
    const database = held(n1)
    const { holder } = database.state.get('groups', web) ?? {}
    assert.equal(holder?.order.wanted, 'stop')
    for (const node of [n2, n3]) statedOff(database, node)
    database.ok({ kind: 'released', node: n1, boot: 'n1-1' as never, group: web, token: holder?.token as never })
    database.probed(n1)
    database.granted(n1)
    const group = database.state.get('groups', web)
    assert.ok(group !== undefined && mayStillRun(group))
  })

  test('believes no lease and no guardian of the time before', () => {
    const database = held()
    const lease = database.apply({ kind: 'lease-proof', node: n2, boot: 'n2-1' as never, judgedTerm: 1 as never, waitedMs: 99_999 })
    assert.equal(lease.ok ? '' : lease.error.code, 'PROOF_REFUSED')
  })

  test('a group that is deleted keeps its name while it may run somewhere', () => {
    const database = held()
    database.ok({ kind: 'delete-group', group: web, operation: 'op-1', precondition: {} })
    statedOff(database, n2)
    const decision = { group: web, action: { kind: 'forget' }, rule: 'delete', text: '', candidates: [], input: {} } as never
    database.ok({ kind: 'decide', decisions: [decision], plannerVersion: 1 })
    assert.ok(database.state.get('groups', web) !== undefined)
    statedOff(database, n3)
    database.probed(n1)
    database.ok({ kind: 'decide', decisions: [decision], plannerVersion: 1 })
    assert.equal(database.state.get('groups', web), undefined)
  })
})
