/** Copies that nobody granted: beside which of them a group is started, and beside which it is not. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ScalableDefinition } from '../../../src/core/cluster/index.js'
import { Database, definition, n1, n2, n3, nodes, resources, web } from './database.js'

const stopAll = { interval: 5_000, onFound: 'stopAllRestart' as const }
const put = (change: object) => ({ kind: 'put-group', group: web, definition: definition(change), intent: null, precondition: {} }) as const

/** n2 held it, something of it runs on n1, and n2 has stopped. */
function stopped(change: object = { offlineProbe: stopAll }, level = 5) {
  const database = new Database().formedAt(level)
  database.group(web, change)
  database.granted(n2)
  database.ok(database.report(n2, 'ONLINE'))
  database.probed(n1, web, 'running')
  database.ok(database.released(n2))
  for (const node of [n2, n3]) database.probed(node)
  return database
}
const guardianProof = (database: Database) => {
  database.ok(database.openCase(n1))
  const { nonce } = database.case()
  database.ok({
    kind: 'guardian-proof',
    caseId: 'c1' as never,
    node: n1,
    boot: database.currentBoot(n1),
    nonce,
    tokens: {},
    verified: true,
  })
}

describe('where everything of it is to be stopped', () => {
  test('it is granted to nobody until the copy has been seen to end', () => {
    const database = stopped()
    for (const node of [n2, n3]) assert.match(database.grant(node) ?? '', /runs on n1 without a grant, and is stopped first/)
    database.probed(n1, web, 'unknown')
    assert.match(database.grant(n2) ?? '', /runs on n1/, 'that nobody can tell is no end')
    database.probed(n1)
    assert.equal(database.grant(n2), undefined)
  })

  test('what proves the end of tokens says nothing of a copy that has none', () => {
    const database = stopped()
    guardianProof(database)
    assert.match(database.grant(n2) ?? '', /is not stopped: n1 is lost, and nobody has switched it off/)
    // The same kernel again, which has not looked yet.
    database.boot(n1, 'n1-1')
    assert.match(database.grant(n2) ?? '', /runs on n1/)
    database.probed(n1)
    assert.equal(database.grant(n2), undefined)
  })

  test('a node without power, or started anew, runs none', () => {
    const off = stopped()
    off.fenced(n1)
    assert.equal(off.grant(n2), undefined)
    const anew = stopped()
    anew.boot(n1, 'n1-2')
    assert.equal(anew.grant(n2), undefined)
  })

  test('a change of the group does not make it forgotten', () => {
    const database = stopped()
    database.ok(put({ offlineProbe: stopAll, resources: resources({ app: { parameters: { run: 'app --verbose' } } }) }))
    database.probed(n2)
    assert.match(database.grant(n2) ?? '', /runs on n1/)
    database.probed(n1)
    assert.equal(database.grant(n2), undefined)
  })

  test('whoever cannot end it is named: a node that has left, one in maintenance', () => {
    const left = stopped()
    left.ok({ kind: 'leave', node: n1, operation: 'o1', detail: 'x' })
    assert.match(left.grant(n2) ?? '', /is not stopped: n1 is leaving or has left: start it, or take it out/)
    left.ok(put({ offlineProbe: stopAll, nodes: [n2, n3] }))
    for (const node of [n2, n3]) left.probed(node)
    assert.equal(left.grant(n2), undefined)
    const maintained = stopped()
    maintained.ok({ kind: 'maintain-node', node: n1, forMs: 60_000, owner: 'ada', reason: 'x' })
    assert.match(maintained.grant(n2) ?? '', /n1 is in maintenance by ada/)
  })
})

describe('where only the copy beside the holder is to be stopped', () => {
  test('a group that has run is not started beside one either, as long as that is about to be ended', () => {
    const database = stopped({})
    assert.match(database.grant(n2) ?? '', /runs on n1 without a grant, and is stopped first/)
    database.probed(n1)
    assert.equal(database.grant(n2), undefined)
  })

  test('nor while nobody can tell, after a freeze, or with another definition: nothing but its end is one', () => {
    const untold = stopped({})
    untold.probed(n1, web, 'unknown')
    assert.match(untold.grant(n2) ?? '', /runs on n1/)
    const frozen = stopped({})
    frozen.ok({ kind: 'freeze-group', group: web, forMs: 60_000, owner: 'ada', reason: 'x' })
    frozen.ok({ kind: 'unfreeze-group', group: web })
    const since = frozen.row().probedSince
    frozen.ok({
      kind: 'probed',
      node: n2,
      boot: frozen.currentBoot(n2),
      group: web,
      definition: frozen.row().resourcesRevision,
      result: 'clean',
      detail: '',
      ...(since === undefined ? {} : { since }),
    })
    assert.match(frozen.grant(n2) ?? '', /runs on n1/)
    const changed = stopped({})
    changed.ok(put({ resources: resources({ app: { parameters: { run: 'app --verbose' } } }) }))
    changed.probed(n2)
    assert.match(changed.grant(n2) ?? '', /runs on n1/)
  })

  test('what nobody ends bars nothing: of a first start, of a lost node, of one in maintenance, of members that do not know it', () => {
    const first = new Database().formedAt(5)
    first.group()
    first.probed(n1, web, 'running')
    assert.equal(first.grant(n2), undefined)
    const lost = stopped({})
    guardianProof(lost)
    assert.equal(lost.grant(n2), undefined)
    const maintained = stopped({})
    maintained.ok({ kind: 'maintain-node', node: n1, forMs: 60_000, owner: 'ada', reason: 'x' })
    assert.equal(maintained.grant(n2), undefined)
    assert.equal(stopped({}, 4).grant(n2), undefined)
    assert.equal(stopped({ offlineProbe: { interval: 5_000, onFound: 'block' } }).grant(n2), undefined)
  })
})

describe('what is only looked at', () => {
  const looked = {
    app: { ...(resources({ app: { type: 'systemd:nginx', parameters: {} } })['app' as never] as object), operations: 'none' },
  }
  const taken = resources({ app: { type: 'systemd:nginx', parameters: {} } })

  test('is not taken over while it is watched: its stop would leave it, and another would be started elsewhere', () => {
    const database = new Database().formedAt(5)
    database.ok(put({ resources: looked }))
    for (const node of nodes) database.probed(node)
    database.granted(n1)
    database.refused(put({ resources: taken }), 'CONFLICT', /"app" of web runs on n1, started by others/)
    // It may be taken out, though: it is left as it is.
    database.ok(put({ resources: resources({ other: {} }) }))
    database.ok(put({ resources: { ...looked, other: resources({ other: {} })['other' as never] } as never }))
    database.ok({ kind: 'set-intent', group: web, intent: 'OFFLINE', operation: 'o1' })
    database.ok(database.released(n1))
    database.ok(put({ resources: taken }))
  })

  test('does not migrate', () => {
    const app = { ...looked.app, type: 'ocf:heartbeat:VirtualDomain' }
    const moving = {
      ...definition({ resources: { app } as never }),
      mode: 'scalable',
      desired: 1,
      migrate: true,
    } as unknown as ScalableDefinition
    new Database().formedAt(5).refused({ ...put({}), definition: moving as never }, 'INVALID_DEFINITION', /cannot go to another node/)
  })
})

test('of two restarts that are asked for one after the other the first one ends', () => {
  const database = new Database().formedAt(5)
  database.group()
  database.granted(n1)
  database.ok({ kind: 'restart-group', group: web, operation: 'o1' })
  database.ok({ kind: 'restart-group', group: web, operation: 'o2' })
  const status = (id: string) => database.state.get('operations', id)?.status
  assert.deepEqual([status('o1'), status('o2')], ['cancelled', 'running'])
})
