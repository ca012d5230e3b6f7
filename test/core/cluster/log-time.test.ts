/** Every entry moves the log time in the cluster's own row, and changes not a byte of it beside that. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { encode, logIndex, logTime, type RequestId, term, wallTime } from '../../../src/base/index.js'
import { apply, ClusterState, type Envelope, metaOf } from '../../../src/core/cluster/index.js'

const usual = {
  clusterName: 'c',
  epoch: 2,
  level: 5,
  logTime: 100,
  wall: 1_700_000_000_000,
  journalFrom: 1,
  journalRows: 4,
  decisionRows: 2,
  configRevision: 7,
  formerLease: null,
}
const { formerLease, ...older } = usual
const { epoch, ...rest } = usual

const rows: Readonly<Record<string, object>> = {
  usual,
  'with a former lease': { ...usual, formerLease: { ms: 5_000, revision: 9, until: null } },
  'with brakes released': { ...usual, brakesReleased: { at: 50, by: 'operator', reason: 'mended' } },
  'of an older version, which lacks a field': older,
  'of a later version, which has one more': { ...usual, somethingNew: [1, 2] },
  'with another order of fields': { ...rest, epoch },
  'that lacks one field and has another': { ...older, somethingNew: 1 },
}

describe('the row of the cluster itself', () => {
  for (const [name, row] of Object.entries(rows))
    test(name, () => {
      const state = ClusterState.restored(logIndex(10), [{ table: 'meta', key: 'cluster', value: row }])
      const envelope: Envelope = {
        requestId: 'r' as RequestId,
        at: logTime(250),
        wall: wallTime(1_700_000_000_150),
        command: { kind: 'store', operations: [{ kind: 'put', key: 'k', value: 'v' }] },
      }
      const applied = apply(state, { index: logIndex(11), term: term(3) }, envelope)
      state.commit(logIndex(11), applied.changes)
      assert.deepEqual(encode(metaOf(state)), encode({ ...row, logTime: 250, wall: 1_700_000_000_150 }))
    })

  test('the log time never falls', () => {
    const state = ClusterState.restored(logIndex(10), [{ table: 'meta', key: 'cluster', value: usual }])
    const envelope: Envelope = { requestId: 'r' as RequestId, at: logTime(50), wall: wallTime(5), command: { kind: 'mark-state' } }
    state.commit(logIndex(11), apply(state, { index: logIndex(11), term: term(3) }, envelope).changes)
    assert.deepEqual([metaOf(state).logTime, metaOf(state).wall], [100, 5])
  })
})
