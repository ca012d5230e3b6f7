/** What people ask of groups: names, moves, freezes, deletion, nodes on standby. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { GroupName } from '../../../src/base/index.js'
import type { Command, GroupDefinition } from '../../../src/core/cluster/index.js'
import { address, Database, definition, n1, n2, n3, resources, web } from './database.js'

const put = (change: Partial<GroupDefinition> = {}, more: object = {}): Command =>
  ({ kind: 'put-group', group: web, definition: definition(change), intent: null, precondition: {}, ...more }) as Command
const fresh = () => {
  const database = new Database().formed()
  database.group()
  return database
}
const operation = (database: Database, id: string) => {
  const row = database.state.get('operations', id)
  return `${row?.status}: ${row?.result}`
}

describe('definitions', () => {
  const wrong: readonly [string, Partial<GroupDefinition>, string][] = [
    ['without nodes', { nodes: [] }, 'INVALID_DEFINITION'],
    ['of a node that is not there', { nodes: [n1, 'n4' as never] }, 'UNKNOWN_NODE'],
    ['with a node twice', { nodes: [n1, n1] }, 'INVALID_DEFINITION'],
    ['without resources', { resources: {} }, 'INVALID_DEFINITION'],
    ['with a ring of dependencies', { resources: resources({ a: { dependsOn: ['b'] }, b: { dependsOn: ['a'] } }) }, 'DEPENDENCY_RING'],
    ['that depend on what is not there', { resources: resources({ a: { dependsOn: ['c'] } }) }, 'INVALID_DEFINITION'],
    ['with a name that is none', { resources: resources({ 'a b': {} }) }, 'INVALID_NAME'],
    ['with one address twice', { resources: resources({ a: address('10.0.0.1/24'), b: address('10.0.0.1/8') }) }, 'INVALID_DEFINITION'],
  ]
  for (const [name, change, code] of wrong) {
    test(`${name} are refused and change nothing`, () => {
      const database = fresh()
      database.refused(put(change), code)
    })
  }

  test('the same again changes nothing, not even the revision', () => {
    const database = fresh()
    const before = database.row()
    assert.equal(database.ok(put()).unchanged, true)
    assert.deepEqual(database.row(), before)
  })

  test('the revision of the resources changes with the resources only', () => {
    const database = fresh()
    const { resourcesRevision } = database.row()
    database.ok(put({ priority: 7 }))
    assert.equal(database.row().resourcesRevision, resourcesRevision)
    database.ok(put({ resources: resources({ other: {} }) }))
    assert.equal(database.row().resourcesRevision, database.index)
  })

  test('a list without the node on which it runs is refused', () => {
    const database = fresh()
    database.granted(n1)
    database.refused(put({ nodes: [n2, n3] }), 'CONFLICT', /runs on n1/)
    database.ok(database.released(n1))
    database.ok(put({ nodes: [n2, n3] }))
  })

  test('preconditions on the revision hold', () => {
    const database = fresh()
    const { revision } = database.row()
    database.refused(put({ priority: 1 }, { precondition: { ifRevision: revision - 1 } }), 'REVISION_MISMATCH')
    database.refused(put({ priority: 1 }, { precondition: { ifAbsent: true } }), 'REVISION_MISMATCH')
    database.ok(put({ priority: 1 }, { precondition: { ifRevision: revision } }))
  })
})

describe('deletion', () => {
  test('leaves a tombstone until every token has ended; the name is held', () => {
    const database = fresh()
    database.granted(n1)
    database.ok({ kind: 'put-checkpoint', group: web, name: 'count', value: '7', token: database.row().holder?.token as never })
    database.ok({ kind: 'delete-group', group: web, operation: 'o1', precondition: {} })
    database.refused(put(), 'NAME_HELD')
    assert.match(database.decide(web, { kind: 'forget' }) ?? '', /may still run/)
    database.ok(database.released(n1))
    database.refused(put(), 'NAME_HELD')
    assert.equal(database.decide(web, { kind: 'forget' }), undefined)
    assert.equal(database.state.get('groups', web), undefined)
    assert.equal([...database.state.rows('checkpoints')].length, 0)
    assert.equal(database.state.get('boots', 'n1/n1-1')?.probes[web], undefined)
    assert.match(operation(database, 'o1'), /^done/)
    database.ok(put())
  })

  test('is not carried out of a group that is not to be deleted', () => {
    const database = fresh()
    assert.match(database.decide(web, { kind: 'forget' }) ?? '', /may still run/)
  })
})

describe('moves', () => {
  const move = (to: string, id = 'o1'): Command => ({ kind: 'move-group', group: web, to: to as never, operation: id })

  test('to where it is are done at once; to elsewhere they end when it runs there', () => {
    const database = fresh()
    database.granted(n1)
    database.ok(move('n1', 'o0'))
    assert.match(operation(database, 'o0'), /^done/)
    database.ok(move('n2'))
    database.refused(move('n3', 'o2'), 'CONFLICT', /on its way/)
    database.ok(database.released(n1))
    database.granted(n2)
    assert.equal(database.row().move?.token, database.row().holder?.token)
    database.ok(database.report(n2, 'ONLINE'))
    assert.match(operation(database, 'o1'), /^done: web runs on n2/)
    assert.equal(database.row().move, null)
  })

  test('are refused to a node that is not there, not listed, and for a group that is to be offline, frozen or gone', () => {
    const database = fresh()
    database.refused(move('n4'), 'UNKNOWN_NODE')
    database.ok(put({ nodes: [n1, n2] }))
    database.refused(move('n3'), 'CONFLICT', /not in the list/)
    database.ok({ kind: 'freeze-group', group: web, forMs: 1_000, owner: 'ann', reason: 'work' })
    database.refused(move('n2'), 'FROZEN')
    database.ok({ kind: 'unfreeze-group', group: web })
    database.ok({ kind: 'set-intent', group: web, intent: 'OFFLINE', operation: 'o2' })
    database.refused(move('n2'), 'CONFLICT', /offline/)
    database.refused({ kind: 'move-group', group: 'none' as GroupName, to: n2, operation: 'o3' }, 'GROUP_NOT_FOUND')
  })

  test('can be cancelled until the end, and leave nothing behind', () => {
    const database = fresh()
    database.granted(n1)
    database.ok(move('n2'))
    database.ok({ kind: 'cancel-operation', operation: 'o1' })
    assert.equal(database.row().move, null)
    database.refused({ kind: 'cancel-operation', operation: 'o1' }, 'CONFLICT')
    database.refused({ kind: 'cancel-operation', operation: 'o9' }, 'OPERATION_NOT_FOUND')
  })

  test('end with the wish that the group be offline', () => {
    const database = fresh()
    database.granted(n1)
    database.ok(move('n2'))
    database.ok({ kind: 'set-intent', group: web, intent: 'OFFLINE', operation: 'o2' })
    assert.match(operation(database, 'o1'), /^cancelled/)
    database.ok(database.released(n1))
    assert.match(operation(database, 'o2'), /^done/)
  })
})

describe('freezes', () => {
  test('have an end in log time, and are lifted by the planner only after it', () => {
    const database = fresh()
    database.ok({ kind: 'freeze-group', group: web, forMs: 5_000, owner: 'ann', reason: 'work' })
    database.at += 4_999
    assert.match(database.decide(web, { kind: 'unfreeze' }) ?? '', /has not ended/)
    database.refused({ kind: 'set-intent', group: web, intent: 'OFFLINE', operation: 'o1' }, 'FROZEN')
    database.at += 1
    assert.equal(database.decide(web, { kind: 'unfreeze' }), undefined)
    assert.equal(database.row().frozen, null)
  })
})

describe('nodes', () => {
  test('a node that is to stand by has done so once it holds nothing', () => {
    const database = fresh()
    database.granted(n1)
    database.ok({ kind: 'set-duty', node: n1, duty: 'draining', operation: 'o1' })
    assert.match(operation(database, 'o1'), /^running/)
    database.ok(database.released(n1))
    assert.match(operation(database, 'o1'), /^done/)
    assert.equal(database.state.get('nodes', n1)?.duty, 'standby')
  })

  test('whoever waits for a drain hears that its node was activated first', () => {
    const database = new Database().formedAt(5)
    database.group()
    database.granted(n1)
    database.ok({ kind: 'set-duty', node: n1, duty: 'draining', operation: 'o1' })
    database.ok({ kind: 'set-duty', node: n1, duty: 'active', operation: null })
    assert.match(operation(database, 'o1'), /^cancelled/)
    assert.equal(database.state.get('nodes', n1)?.duty, 'active')
  })

  test('clearing forgets failures and bans, never a grant or a case', () => {
    const database = fresh()
    const held = database.granted(n1)
    database.ok(
      database.report(n1, 'FAILED', web, {
        report: { state: 'FAILED', resources: {}, failure: { resource: 'app', event: 'died', detail: '', restartNumber: 0 } },
      }),
    )
    database.decide(web, { kind: 'stop', token: held, ban: { node: n1, forMs: 1_000_000 } })
    database.ok(database.openCase(n1))
    database.ok({ kind: 'clear-node', node: n1 })
    database.ok({ kind: 'clear-group', group: web })
    assert.deepEqual([database.row().failures, database.row().bans], [{}, {}])
    assert.equal(database.row().holder?.token, held)
    assert.equal(database.case().stage, 'CHALLENGE')
  })
})

describe('checkpoints', () => {
  test('are written by the present token only', () => {
    const database = fresh()
    const first = database.granted(n1)
    const write = (held: number, value: string): Command => ({
      kind: 'put-checkpoint',
      group: web,
      name: 'count',
      value,
      token: held as never,
    })
    database.ok(write(first, '1'))
    database.fenced(n1)
    database.refused(write(first, '2'), 'STALE_TOKEN')
    const second = database.granted(n2)
    database.refused(write(first, '2'), 'STALE_TOKEN')
    database.ok(write(second, '3'))
    assert.equal(database.state.get('checkpoints', 'web/count')?.value, '3')
  })
})
