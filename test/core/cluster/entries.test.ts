/** What holds for every entry: answers kept for retries, expiry by log time, the journal's bound, all or nothing, the same everywhere. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { effectiveSettings, encode, type RequestId } from '../../../src/base/index.js'
import { ClusterState, type Command, Draft, leaseBound } from '../../../src/core/cluster/index.js'
import { Database, definition, n1, n2, rowsOf, web } from './database.js'

const put = (key: string, value: unknown): Command => ({ kind: 'store', operations: [{ kind: 'put', key, value }] })

describe('requests with a key', () => {
  const more = (fingerprint: string, id = 'retry') => ({ requestId: id as RequestId, fingerprint })

  test('are carried out once; a retry gets the same answer, also a refusal', () => {
    const database = new Database().formed()
    const first = database.apply(put('a', 1), more('f1'))
    database.apply(put('a', 2))
    assert.deepEqual(database.apply(put('a', 1), more('f1')), first)
    assert.equal(database.state.get('store', 'a')?.value, 2)
    const refused = database.apply({ kind: 'clear-group', group: web }, more('f2', 'other'))
    database.group()
    assert.deepEqual(database.apply({ kind: 'clear-group', group: web }, more('f2', 'other')), refused)
  })

  test('with the same key and another content are refused', () => {
    const database = new Database().formed()
    database.apply(put('a', 1), more('f1'))
    const result = database.apply(put('a', 2), more('f2'))
    assert.equal(result.ok ? '' : result.error.code, 'IDEMPOTENCY_MISMATCH')
    assert.equal(database.state.get('store', 'a')?.value, 1)
  })

  test('are forgotten by log time, on all members at the same entry', () => {
    const database = new Database().formed()
    database.ok({ kind: 'patch-settings', patch: { idempotencyWindow: 60_000 } })
    database.apply(put('a', 1), more('f1'))
    database.at += 60_000
    database.apply(put('b', 1))
    assert.ok(database.state.get('requests', 'id/retry') !== undefined)
    database.at += 1
    database.apply(put('b', 2))
    assert.equal(database.state.get('requests', 'id/retry'), undefined)
    assert.equal([...database.state.rows('requests')].length, 0)
    database.apply(put('a', 3), more('f1'))
    assert.equal(database.state.get('store', 'a')?.value, 3)
  })

  test('may have a key with slashes in it', () => {
    const database = new Database().formed()
    database.ok({ kind: 'patch-settings', patch: { idempotencyWindow: 60_000 } })
    database.apply(put('a', 1), more('f1', 'a/b/c'))
    database.at += 60_001
    database.apply(put('b', 1))
    assert.equal([...database.state.rows('requests')].length, 0)
  })
})

test('log time never goes back', () => {
  const database = new Database().formed()
  database.at = 9_000
  database.ok(put('a', 1))
  database.at = 2_000
  database.ok(put('a', 2))
  assert.equal(database.state.get('meta', 'cluster')?.logTime, 9_000)
})

test('the journal is bounded, and says from where it is whole', () => {
  const database = new Database().formed()
  database.ok({ kind: 'patch-settings', patch: { journalEvents: 100 } })
  database.group()
  for (let count = 0; count < 200; count++) database.ok({ kind: 'clear-group', group: web })
  const rows = [...database.state.rows('journal')]
  const meta = database.state.get('meta', 'cluster')
  assert.equal(rows.length, 100)
  assert.equal(meta?.journalRows, 100)
  assert.equal(meta?.journalFrom, rows[0]?.[1].revision)
})

test('decisions are bounded', () => {
  const database = new Database().formed()
  database.ok({ kind: 'patch-settings', patch: { decisionsKept: 50 } })
  database.group()
  for (let count = 0; count < 120; count++) {
    database.ok({ kind: 'freeze-group', group: web, forMs: 0, owner: 'ann', reason: 'x' })
    assert.equal(database.decide(web, { kind: 'unfreeze' }), undefined)
  }
  assert.equal([...database.state.rows('decisions')].length, 50)
  assert.equal(database.state.get('meta', 'cluster')?.decisionRows, 50)
})

describe('a command that meets a mistake of ours', () => {
  const broken = { kind: 'store', operations: [{ kind: 'put', key: 'a', value: 1 }, null] } as unknown as Command

  test('is refused on every member alike, changes nothing, and stops nobody', () => {
    const database = new Database().formed()
    const result = database.apply(broken)
    assert.equal(result.ok ? '' : result.error.code, 'INTERNAL')
    assert.equal(database.state.get('store', 'a'), undefined)
    const told = [...database.state.rows('journal')].at(-1)?.[1]
    assert.equal(told?.kind, 'alarm.fault')
    database.ok(put('b', 1))
  })

  test('is answered a retry the same', () => {
    const database = new Database().formed()
    const more = { requestId: 'retry' as RequestId, fingerprint: 'f' }
    assert.deepEqual(database.apply(broken, more), database.apply(broken, more))
  })
})

describe('transactions', () => {
  test('are carried out whole or not at all', () => {
    const database = new Database().formed()
    const good: Command = { kind: 'put-group', group: web, definition: definition(), intent: null, precondition: {} }
    database.refused(
      { kind: 'transaction', ifRevision: null, commands: [good, { kind: 'clear-node', node: 'n9' as never }] },
      'NODE_NOT_FOUND',
    )
    assert.equal(database.state.get('groups', web), undefined)
    database.ok({ kind: 'transaction', ifRevision: null, commands: [good, { kind: 'clear-node', node: n1 }] })
    assert.ok(database.state.get('groups', web) !== undefined)
  })

  test('may ask that nothing has changed since they were planned', () => {
    const database = new Database().formed()
    const good: Command = { kind: 'put-group', group: web, definition: definition(), intent: null, precondition: {} }
    database.refused({ kind: 'transaction', ifRevision: 99 as never, commands: [good] }, 'REVISION_MISMATCH')
  })
})

describe('the store', () => {
  test('compares and sets', () => {
    const database = new Database().formed()
    database.ok(put('a', 1))
    const revision = database.state.get('store', 'a')?.revision
    const set = (value: number, ifRevision: number | undefined): Command => ({
      kind: 'store',
      operations: [{ kind: 'put', key: 'a', value, ...(ifRevision === undefined ? {} : { ifRevision: ifRevision as never }) }],
    })
    database.ok(set(2, revision))
    database.refused(set(3, revision), 'REVISION_MISMATCH')
    database.refused(
      {
        kind: 'store',
        operations: [
          { kind: 'put', key: 'b', value: 1 },
          { kind: 'check', key: 'a', revision: 0 as never },
        ],
      },
      'REVISION_MISMATCH',
    )
    assert.equal(database.state.get('store', 'b'), undefined)
    database.refused({ kind: 'store', operations: [{ kind: 'delete', key: 'none' }] }, 'KEY_NOT_FOUND')
    database.refused(put('big', 'x'.repeat(70_000)), 'TOO_LARGE')
  })
})

describe('settings', () => {
  test('that cannot hold together are refused and change nothing', () => {
    const database = new Database().formed()
    database.refused({ kind: 'patch-settings', patch: { lease: 1_000 } }, 'IMPOSSIBLE_SETTINGS')
    database.refused({ kind: 'patch-settings', patch: { leas: 1_000 } }, 'UNKNOWN_KEY')
    database.ok({ kind: 'patch-settings', patch: { profile: 'fast' } })
  })
})

describe('a lease that was lowered', () => {
  const device = { agent: 'fence', parameters: {}, timeout: 20_000 }
  const lowered = (): Database => {
    const database = new Database().formed()
    database.ok({ kind: 'patch-settings', patch: { profile: 'slow' } })
    database.ok({ kind: 'patch-node', node: n1, fencing: { levels: [[device]], then: 'on' }, precondition: {} })
    database.ok({ kind: 'patch-settings', patch: { profile: 'normal' } })
    return database
  }
  const bound = ({ state }: Database) => leaseBound(state, effectiveSettings(state.get('settings', 'cluster') ?? {}))
  const count = (database: Database, revision = database.state.get('meta', 'cluster')?.formerLease?.revision): Command => ({
    kind: 'count-former-lease',
    revision: revision ?? (0 as never),
  })

  test('counts as one of the old length while the leader may not have applied the change, however long that takes', () => {
    const database = lowered()
    database.at += 1_000_000
    database.ok(put('a', 1))
    assert.equal(bound(database), 30_000)
    database.ok(count(database, 1 as never))
    database.at += 1_000_000
    database.ok(put('a', 2))
    assert.equal(bound(database), 30_000, 'the word on another change says nothing')
  })

  test('counts so from then on until one of the old length, and what it allows, must be over', () => {
    const database = lowered()
    database.at += 7_000 // So long it took to be committed.
    database.ok(count(database))
    const applied = database.at
    database.at = applied + (30_000 + 20_000 + 1_000) * 1.1 - 1
    database.ok(count(database))
    assert.equal(bound(database), 30_000)
    database.at += 1
    database.ok(put('a', 2))
    assert.equal(bound(database), 3_000)
  })

  test('counts anew when it is lowered again', () => {
    const database = lowered()
    database.ok(count(database))
    database.ok({ kind: 'patch-settings', patch: { electionTimeoutMax: 300, daemonRestart: 500, lease: 2_000 } })
    database.at += 1_000_000
    database.ok(put('a', 1))
    assert.equal(bound(database), 30_000)
  })
})

test('the same log gives the same bytes, also to a member that starts from stored rows', () => {
  const database = new Database().formed()
  database.group()
  database.granted(n1)
  const restored = ClusterState.restored(
    database.state.appliedIndex,
    [...rowsOf(database.state)].reverse().map(([table, key, value]) => ({ table, key, value })),
  )
  database.fenced(n1)
  database.granted(n2)
  assert.deepEqual(encode([...rowsOf(database.state)]), encode([...rowsOf(database.twin)]))
  assert.equal([...rowsOf(restored)].length > 0, true)
})

test('a snapshot is not touched by what is applied later', () => {
  const database = new Database().formed()
  const snapshot = database.state.snapshot()
  const before = encode([...rowsOf(snapshot)])
  database.group()
  database.granted(n1)
  assert.deepEqual(encode([...rowsOf(snapshot)]), before)
})

test('a draft shows rows in key order, its own over those beneath it', () => {
  const key = fc.string({ minLength: 1, maxLength: 2, unit: fc.constantFrom('a', 'b', 'c', 'B', 'é') })
  const change = fc.record({ key, value: fc.option(fc.nat(9)) })
  fc.assert(
    fc.property(fc.array(change), fc.array(change), fc.array(change), fc.option(key), (base, outer, inner, from) => {
      const state = ClusterState.empty()
      const model = new Map<string, unknown>()
      const put = (rows: Iterable<{ key: string; value: number | null }>, draft: Draft | undefined) => {
        for (const row of rows) {
          const value = row.value === null ? undefined : { value: row.value, revision: 1 as never }
          if (draft === undefined) state.commit((state.appliedIndex + 1) as never, [{ table: 'store', key: row.key, value }])
          else if (value === undefined) draft.delete('store', row.key)
          else draft.put('store', row.key, value)
          if (value === undefined) model.delete(row.key)
          else model.set(row.key, value)
        }
      }
      put(base, undefined)
      const first = new Draft(state)
      put(outer, first)
      const second = new Draft(first)
      put(inner, second)
      const expected = [...model].filter(([name]) => from === null || name >= from).sort(([a], [b]) => (a < b ? -1 : 1))
      const rows = from === null ? second.rows('store') : second.rows('store', from)
      assert.deepEqual([...rows], expected)
      first.absorb(second)
      for (const { table, key: name, value } of first.changes()) assert.deepEqual(value, table === 'store' ? model.get(name) : undefined)
    }),
  )
})
