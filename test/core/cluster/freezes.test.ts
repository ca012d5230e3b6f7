/** Freezes of groups and maintenance of nodes: an end and an owner, nothing done meanwhile, everything looked at anew afterwards. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Command, freezesOf, levelOf, whyNotGrantable } from '../../../src/core/cluster/index.js'
import { Database, n1, n2, nodes, web } from './database.js'

const maintain = (node = n1, more: Partial<Extract<Command, { kind: 'maintain-node' }>> = {}): Command => ({
  kind: 'maintain-node',
  node,
  forMs: 60_000,
  owner: 'ada',
  reason: 'new memory',
  ...more,
})
const freeze = (more: Partial<Extract<Command, { kind: 'freeze-group' }>> = {}): Command => ({
  kind: 'freeze-group',
  group: web,
  forMs: 60_000,
  owner: 'ada',
  reason: 'a look at the disk',
  ...more,
})

/** web runs on n1. */
function running(): Database {
  const database = new Database().formedAt(4)
  database.group()
  database.granted(n1)
  database.ok(database.report(n1, 'ONLINE'))
  return database
}

const order = (database: Database) => database.row().holder?.order
const obstacle = (database: Database, node = n2) =>
  whyNotGrantable(
    {
      draft: database.state,
      at: database.at as never,
      groups: () => [database.row()],
      currentBoot: (name) => database.state.get('boots', `${name}/${database.currentBoot(name)}`),
    },
    { ...database.row(), holder: null },
    node,
    database.currentBoot(node),
  )

describe('maintenance', () => {
  test('has an end by log time and an owner, and may be extended', () => {
    const database = running()
    database.ok(maintain())
    assert.deepEqual(database.state.get('nodes', n1)?.maintenance, { until: database.at + 60_000, owner: 'ada', reason: 'new memory' })
    database.at += 59_000
    assert.equal(database.ok({ kind: 'end-maintenance', node: n1, due: true }).ignored, 'its end has not come')
    database.ok(maintain(n1, { forMs: 5_000, owner: 'the local socket of n1', by: 'x' }))
    database.at += 5_000
    assert.equal(database.ok({ kind: 'end-maintenance', node: n1, due: true }).ended, true)
    const row = database.state.get('nodes', n1)
    assert.deepEqual([row?.maintenance, row?.lapsed?.owner], [undefined, 'the local socket of n1'])
    database.ok({ kind: 'clear-node', node: n1 })
    assert.equal(database.state.get('nodes', n1)?.lapsed, undefined, 'somebody has seen it')
  })

  test('that a person ends leaves nothing to be told', () => {
    const database = running()
    database.ok(maintain())
    database.ok({ kind: 'end-maintenance', node: n1 })
    assert.equal(database.state.get('nodes', n1)?.lapsed, undefined)
    assert.equal(database.ok({ kind: 'end-maintenance', node: n1 }).ignored, 'it is not in maintenance')
  })

  test('of the node that holds a group keeps people from asking for what would not be done', () => {
    const database = running()
    database.ok(maintain())
    const refused: Command[] = [
      { kind: 'move-group', group: web, to: n2, operation: 'op' },
      { kind: 'restart-group', group: web, operation: 'op' },
      { kind: 'restart-resource', group: web, resource: 'app' as never, operation: 'op' },
      { kind: 'set-intent', group: web, intent: 'OFFLINE', operation: 'op' },
      { kind: 'delete-group', group: web, operation: 'op', precondition: {} },
    ]
    for (const command of refused) database.refused(command, 'FROZEN', /n1, which holds web, is in maintenance by ada/)
    database.refused({ kind: 'leave', node: n1, operation: 'op', detail: 'x' }, 'CONFLICT', /maintenance/)
    database.refused({ kind: 'leave', node: null, operation: 'op', detail: 'x' }, 'CONFLICT', /maintenance/)
  })

  test('of another node keeps groups from it, and nobody from anything else', () => {
    const database = running()
    database.ok(maintain(n2))
    assert.match(obstacle(database) ?? '', /in maintenance by ada/)
    assert.deepEqual(freezesOf(database.state, database.row()), [])
    assert.equal(database.grant(n2), 'its former holder n1 is not proved stopped')
    database.ok({ kind: 'restart-group', group: web, operation: 'op' })
  })

  test('opens no case for silence, and a case of its node keeps it from beginning', () => {
    const database = running()
    database.ok(maintain())
    database.refused(database.openCase(n1), 'CONFLICT', /its silence opens no case/)
    database.ok(database.openCase(n1, 'c1', { trigger: 'asked by a person: because' }))
    database.ok(database.openCase(n2, 'c2'))
    database.refused(maintain(n2), 'CONFLICT', /has a case/)
  })

  test('ends with an order to look at everything, once no freeze is left', () => {
    const database = running()
    database.ok(maintain())
    assert.equal(order(database)?.sequence, 1)
    database.ok(freeze())
    database.ok({ kind: 'end-maintenance', node: n1 })
    assert.deepEqual([order(database)?.sequence, order(database)?.look], [1, undefined])
    database.ok({ kind: 'unfreeze-group', group: web })
    assert.deepEqual([order(database)?.sequence, order(database)?.look], [2, 1])
    database.ok(database.report(n1, 'ONLINE', web, { report: { state: 'ONLINE', resources: {}, failure: null, looked: 1 } }))
    assert.equal(database.row().holder?.report.looked, 1)
  })

  test('may pause probes: told to the holder when it begins and when it ends', () => {
    const database = running()
    database.ok(maintain(n1, { probes: 'pause' }))
    assert.deepEqual([order(database)?.sequence, order(database)?.quiet], [2, true])
    database.ok(freeze({ probes: 'pause' }))
    assert.equal(order(database)?.sequence, 2, 'it knows already')
    database.ok({ kind: 'end-maintenance', node: n1 })
    assert.deepEqual([order(database)?.sequence, order(database)?.quiet, order(database)?.look], [2, true, undefined])
    database.ok({ kind: 'unfreeze-group', group: web })
    assert.deepEqual([order(database)?.sequence, order(database)?.quiet, order(database)?.look], [3, undefined, 1])
  })

  test('makes what its node had found of every group say nothing any more', () => {
    const database = running()
    database.ok(maintain(n2))
    database.ok({ kind: 'end-maintenance', node: n2 })
    assert.equal(obstacle(database), 'the node has not looked yet whether it runs there already')
    const probed = { kind: 'probed', node: n2, boot: database.currentBoot(n2), group: web, result: 'clean', detail: '' } as const
    const definition = database.row().resourcesRevision
    assert.equal(database.ok({ ...probed, definition }).ignored, 'it looked before a freeze ended')
    const since = database.state.get('nodes', n2)?.probedSince
    assert.ok(since !== undefined)
    database.ok({ ...probed, definition, since })
    assert.equal(obstacle(database), undefined)
  })

  test('is not known to members of an earlier version, who are asked for nothing of it', () => {
    const database = new Database().formed()
    database.group()
    database.granted(n1)
    database.ok(freeze())
    database.ok({ kind: 'unfreeze-group', group: web })
    assert.deepEqual([order(database)?.look, database.row().probedSince], [undefined, undefined])
  })
})

describe('maintenance without the guardian', () => {
  const detached = (database: Database) => database.state.get('boots', `${n1}/n1-1`)?.detached
  const attach = (entry: number): Command => ({ kind: 'attach-guardian', node: n1, boot: 'n1-1' as never, detached: entry as never })

  test('stands at the boot from its entry on, until the guardian says of that very entry that it guards again', () => {
    const database = running()
    database.ok(maintain(n1, { detached: true }))
    const first = detached(database)
    assert.ok(first !== undefined)
    assert.equal(database.ok(attach(first)).ignored, 'its maintenance has not ended')
    database.ok({ kind: 'end-maintenance', node: n1 })
    assert.equal(detached(database), first, 'nobody has heard from the guardian yet')
    database.ok(maintain(n1, { detached: true }))
    const second = detached(database)
    assert.ok(second !== undefined && second > first)
    database.ok({ kind: 'end-maintenance', node: n1 })
    assert.match(String(database.ok(attach(first)).ignored), /not suspended by that entry/, 'a late word of the first one')
    assert.equal(detached(database), second)
    database.ok(attach(second))
    assert.equal(detached(database), undefined)
  })

  test('counts as told once the guardian has said so of that very entry', () => {
    const database = running()
    const told = (entry: number): Command => ({ kind: 'guardian-suspended', node: n1, boot: 'n1-1' as never, detached: entry as never })
    const isTold = () => database.state.get('boots', `${n1}/n1-1`)?.suspended === true
    database.ok(maintain(n1, { detached: true }))
    const first = detached(database) as number
    database.ok(told(first))
    assert.equal(isTold(), true)
    database.ok(maintain(n1, { detached: true }))
    assert.equal(isTold(), false)
    database.ok(told(first))
    assert.equal(isTold(), false, 'of the one before')
    database.ok({ kind: 'end-maintenance', node: n1 })
    database.ok(told(detached(database) as number))
    database.ok(attach(detached(database) as number))
    assert.equal(isTold(), false)
  })

  test('keeps the node in the cluster: its guardian would not forget what the log does', () => {
    const database = new Database().formedAt(6)
    const member = database.state.get('nodes', n1)?.member as never
    database.ok(maintain(n1, { detached: true }))
    database.ok({ kind: 'end-maintenance', node: n1 })
    database.refused({ kind: 'want-member', member, wanted: 'gone' } as never, 'CONFLICT', /is suspended/)
    database.ok(attach(detached(database) as number))
    database.ok({ kind: 'want-member', member, wanted: 'gone' } as never)
  })

  test('is over for the guardian as soon as maintenance goes on without it', () => {
    const database = running()
    database.ok(maintain(n1, { detached: true }))
    database.ok(maintain(n1))
    assert.equal(database.state.get('nodes', n1)?.maintenance?.detached, undefined)
    database.ok(attach(detached(database) as number))
    assert.equal(detached(database), undefined)
  })

  test('a boot is granted nothing until then, and a later boot of the node is not suspended', () => {
    const database = running()
    database.ok(database.released(n1))
    database.ok(maintain(n1, { detached: true }))
    database.ok({ kind: 'end-maintenance', node: n1 })
    const since = database.state.get('nodes', n1)?.probedSince
    assert.match(database.grant(n1) ?? '', /its guardian is suspended/)
    database.boot(n1, 'n1-2')
    assert.equal(database.state.get('boots', `${n1}/n1-2`)?.detached, undefined)
    assert.ok(since !== undefined)
    database.ok({
      kind: 'probed',
      node: n1,
      boot: 'n1-2' as never,
      group: web,
      definition: database.row().resourcesRevision,
      result: 'clean',
      detail: '',
      since,
    })
    assert.equal(database.grant(n1), undefined)
  })

  test('is refused of a node that is not here', () => {
    const database = running()
    database.fenced(n1)
    database.ok({ kind: 'recover-case', caseId: 'c1' as never, conclusion: 'x' })
    database.refused(maintain(n1, { detached: true }), 'CONFLICT', /is not here/)
    database.ok(maintain(n1))
  })

  test('belongs to a level of its own: members that do not know it are not told', () => {
    assert.equal(levelOf(maintain(n1)), 4)
    assert.deepEqual([levelOf(maintain(n1, { detached: true })), levelOf(attach(1))], [5, 5])
  })
})

describe('a freeze', () => {
  test('that ends by itself is told, and all nodes look anew', () => {
    const database = running()
    database.ok(freeze())
    assert.equal(database.decide(web, { kind: 'unfreeze' }), 'its freeze has not ended')
    database.at += 60_000
    assert.equal(database.decide(web, { kind: 'unfreeze' }), undefined)
    assert.deepEqual([database.row().frozen, database.row().lapsed?.owner, order(database)?.look], [null, 'ada', 1])
    assert.equal(obstacle(database), 'the node has not looked yet whether it runs there already')
  })

  test('of a group that is being stopped tells its holder nothing more', () => {
    const database = running()
    database.decide(web, { kind: 'stop', token: database.row().holder?.token as never, ban: null })
    database.ok(freeze({ probes: 'pause' }))
    database.ok({ kind: 'unfreeze-group', group: web })
    assert.deepEqual([order(database)?.wanted, order(database)?.sequence], ['stop', 2])
  })
})

describe('a copy that nobody granted', () => {
  const found = (database: Database, result: 'clean' | 'running', node = n2) => database.probed(node, web, result)

  test('beside that of the holder is an alarm; without a holder it is told', () => {
    const database = running()
    found(database, 'running')
    assert.deepEqual(database.events().slice(-2), ['group.probe', 'alarm.p1'])
    found(database, 'running')
    assert.equal(database.events().filter((kind) => kind === 'alarm.p1').length, 1, 'told once')
    found(database, 'clean')
    const idle = new Database().formedAt(4)
    idle.group()
    found(idle, 'running')
    assert.ok(!idle.events().includes('alarm.p1'))
  })

  test('on the node that holds it is its own', () => {
    const database = running()
    found(database, 'running', n1)
    assert.ok(!database.events().includes('alarm.p1'))
  })
})

describe('a restart of one resource', () => {
  const asked = (database: Database) => database.ok({ kind: 'restart-resource', group: web, resource: 'app' as never, operation: 'op' })
  const operation = (database: Database) => database.state.get('operations', 'op')
  const ordered = (database: Database) =>
    database.decide(web, { kind: 'restart', token: database.row().holder?.token as never, resource: 'app' as never, operation: 'op' })
  const says = (database: Database, state: 'ONLINE' | 'STARTING', sequence: number) =>
    database.ok(database.report(n1, state, web, { sequence }))

  test('is ordered once, and over when all is up again after that order', () => {
    const database = running()
    asked(database)
    assert.equal(ordered(database), undefined)
    assert.equal(ordered(database), 'nobody waits for this restart')
    assert.deepEqual([order(database)?.restart?.resource, order(database)?.restart?.number], ['app', 1])
    says(database, 'STARTING', 2)
    assert.equal(operation(database)?.status, 'running')
    says(database, 'ONLINE', 2)
    assert.deepEqual([operation(database)?.status, database.row().resourceRestart], ['done', undefined])
    assert.deepEqual(database.row().failures, {}, 'it is no failure')
  })

  test('that leads to a failure has failed, and so has one whose token ends', () => {
    const database = running()
    asked(database)
    ordered(database)
    const failure = { resource: 'app', event: 'start-failed', detail: 'status 1', restartNumber: 1, number: 1 }
    database.ok(database.report(n1, 'FAILED', web, { sequence: 2, report: { state: 'FAILED', resources: {}, failure } }))
    assert.deepEqual([operation(database)?.status, operation(database)?.result], ['failed', 'app: start-failed (status 1)'])
    const ended = running()
    asked(ended)
    ended.decide(web, { kind: 'stop', token: ended.row().holder?.token as never, ban: null })
    ended.ok(ended.released(n1))
    assert.deepEqual([operation(ended)?.status, ended.row().resourceRestart], ['failed', undefined])
    const lost = running()
    asked(lost)
    lost.fenced(n1)
    assert.equal(operation(lost)?.status, 'failed')
  })

  test('is one at a time, of what runs', () => {
    const database = running()
    asked(database)
    database.refused({ kind: 'restart-resource', group: web, resource: 'app' as never, operation: 'other' }, 'CONFLICT', /already/)
    const other = running()
    other.refused({ kind: 'restart-resource', group: web, resource: 'nothing' as never, operation: 'x' }, 'RESOURCE_NOT_FOUND')
    other.ok({ kind: 'note-action', group: web, resource: 'app' as never, action: 'rotate', node: n1, by: 'ada', outcome: 'exit 0' })
    assert.equal(other.events().at(-1), 'resource.action')
    assert.equal(nodes.length, 3)
  })
})
