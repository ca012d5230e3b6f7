/** After a recovery nothing starts that may run where the log does not know. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type CaseId, tokenAt } from '../../../src/base/index.js'
import { type Command, mayStillRun, metaOf } from '../../../src/core/cluster/index.js'
import { Database, definition, n1, n2, n3, web } from './database.js'

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

  test('believes no guardian either: it speaks for what it knows of, not for what this log does not', () => {
    const database = held()
    const { id, nonce } = caseOf(database, n2)
    database.refused(
      { kind: 'guardian-proof', caseId: id, node: n2, boot: 'n2-1' as never, nonce, tokens: {}, verified: true },
      'PROOF_REFUSED',
    )
  })

  test('a node whose last boot had ended, or that was never seen, can be stated off too', () => {
    const database = new Database()
    database.ok({
      kind: 'form',
      clusterName: 'demo',
      nodes: [n1, n2, n3].map((name) => ({ name, member: `m-${name}` as never, address: { host: name, port: 7400 } })),
    })
    database.boot(n1, 'n1-1')
    database.boot(n2, 'n2-1')
    const caseId = 'c-before' as CaseId
    database.ok({ kind: 'open-case', caseId, node: n2, boot: 'n2-1' as never, arbiter: n1, nonce: 'x', trigger: 'silent', dossier: {} })
    database.ok({ kind: 'condemn', caseId, attempt: null, reason: 'silent', answering: [n1, n3] })
    database.ok({ kind: 'operator-proof', caseId, node: n2, reason: 'it burned', by: 'me', unheard: true })
    database.ok({ kind: 'put-group', group: web, definition: definition(), intent: 'ONLINE', precondition: {} })
    database.ok(recover)
    database.probed(n1)
    statedOff(database, n2)
    statedOff(database, n3)
    database.granted(n1)
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
