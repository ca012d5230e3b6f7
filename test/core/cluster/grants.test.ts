/** Every way in which a grant must be refused, and what one carries. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { GroupName, LogTime } from '../../../src/base/index.js'
import { address, Database, definition, guarded, n1, n2, n3, resources, web } from './database.js'

const db2 = 'db' as GroupName
const fresh = () => {
  const database = new Database().formed()
  database.group()
  return database
}

/** Tries once the first part has been done. */
const after = (_done: unknown, attempt: () => string | undefined) => attempt()

describe('a grant is refused', () => {
  const cases: readonly [string, (database: Database) => string | undefined, RegExp][] = [
    [
      'while the group is being deleted',
      (d) => after(d.ok({ kind: 'delete-group', group: web, operation: 'o1', precondition: {} }), () => d.grant(n1)),
      /being deleted/,
    ],
    [
      'while the group is to be offline',
      (d) => after(d.ok({ kind: 'set-intent', group: web, intent: 'OFFLINE', operation: 'o1' }), () => d.grant(n1)),
      /to be offline/,
    ],
    [
      'while the group is frozen',
      (d) => after(d.ok({ kind: 'freeze-group', group: web, forMs: 60_000, owner: 'a', reason: 'b' }), () => d.grant(n1)),
      /frozen/,
    ],
    ['to a node that the group does not list', (d) => after(d.group(web, { nodes: [n1, n2] }), () => d.grant(n3)), /not in the list/],
    ['while another holds it', (d) => after(d.granted(n1), () => d.grant(n2)), /former holder n1 is not proved stopped/],
    ['while the same boot holds it', (d) => after(d.granted(n1), () => d.grant(n1)), /not proved stopped/],
    [
      'to a boot that is not the present one',
      (d) => after(d.boot(n1, 'n1-2'), () => d.grant(n1, web, 'n1-1' as never)),
      /not the present boot/,
    ],
    ['to a boot that nobody has registered', (d) => d.grant(n1, web, 'n1-9' as never), /not the present boot/],
    ['to a node that the cluster does not have', (d) => d.grant('n9' as never), /not in the list/],
    ['to a condemned boot', (d) => after(d.condemned(n1), () => d.grant(n1)), /condemned/],
    ['to an ended boot', (d) => after(d.fenced(n1), () => d.grant(n1)), /ended/],
    ['to a boot without a guardian', (d) => after(d.boot(n1, 'n1-1', { ...guarded, guarded: false }), () => d.grant(n1)), /no guardian/],
    ['to a new boot before it has looked', (d) => after(d.boot(n1, 'n1-2'), () => d.grant(n1)), /not looked yet/],
    ['to a node that has found it running', (d) => after(d.probed(n1, web, 'running'), () => d.grant(n1)), /runs there without a grant/],
    ['to a node that could not tell', (d) => after(d.probed(n1, web, 'unknown'), () => d.grant(n1)), /probe there failed/],
    [
      'to a node that looked for other resources',
      (d) => {
        d.ok({
          kind: 'put-group',
          group: web,
          definition: definition({ resources: resources({ other: {} }) }),
          intent: null,
          precondition: {},
        })
        return d.grant(n1)
      },
      /not looked yet/,
    ],
    [
      'while a call to the fence device of the node is not over',
      (d) => {
        d.condemned(n1)
        d.boot(n1, 'n1-2')
        d.probed(n1)
        return d.grant(n1)
      },
      /call to the fence device/,
    ],
    [
      'while another group holds the same address',
      (d) => {
        d.group(db2, { resources: resources({ ip: address('10.0.0.100/24') }) })
        d.granted(n1, db2)
        d.group(web, { resources: resources({ vip: address('10.0.0.100/16') }) })
        return d.grant(n2)
      },
      /address:10.0.0.100 is held by group db on n1/,
    ],
  ]
  for (const [name, attempt, reason] of cases) {
    test(name, () => {
      const database = fresh()
      assert.match(attempt(database) ?? 'it was granted', reason)
    })
  }
})

test('a grant names the boot, takes the log index as token, and pins what was defined', () => {
  const database = fresh()
  const held = database.granted(n1)
  const { holder } = database.row()
  assert.equal(held, 2 ** 40 + database.index)
  assert.deepEqual([holder?.node, holder?.boot, holder?.order.sequence, holder?.order.wanted], [n1, 'n1-1', 1, 'run'])
  const changed = definition({ resources: resources({ other: {} }) })
  database.ok({ kind: 'put-group', group: web, definition: changed, intent: null, precondition: {} })
  assert.deepEqual(Object.keys(database.row().definition.resources), ['other'])
  assert.deepEqual(Object.keys(database.row().holder?.pinned.resources ?? {}), ['app'])
})

test('tokens only grow, and a later grant is possible only after the earlier one has ended', () => {
  const database = fresh()
  const first = database.granted(n1)
  database.ok(database.released(n1))
  const second = database.granted(n2)
  assert.ok(second > first)
})

test('what was claimed stays claimed until the token ends, whatever the definition says meanwhile', () => {
  const database = fresh()
  database.group(db2, { resources: resources({ ip: address('10.0.0.100/24') }) })
  database.granted(n1, db2)
  database.group(db2, { resources: resources({ ip: address('10.0.0.101/24') }) })
  database.group(web, { resources: resources({ ip: address('10.0.0.100/24') }) })
  assert.match(database.grant(n2) ?? '', /is held by group db/)
  database.ok({ kind: 'set-intent', group: db2, intent: 'OFFLINE', operation: 'o1' })
  database.ok(database.released(n1, db2))
  assert.equal(database.grant(n2), undefined)
})

test('a group that was released on a node counts as looked for there', () => {
  const database = fresh()
  database.granted(n1)
  database.ok(database.released(n1))
  assert.equal(database.grant(n1), undefined)
})

test('a decision that the state no longer allows is answered with the reason, and the others of its batch are carried out', () => {
  const database = fresh()
  database.group(db2)
  const decision = (group: GroupName, boot: string) => ({
    group,
    action: { kind: 'grant' as const, node: n1, boot: boot as never },
    rule: 'rank',
    text: 'x',
    candidates: [],
    input: {},
  })
  const value = database.ok({ kind: 'decide', plannerVersion: 1, decisions: [decision(web, 'n1-9'), decision(db2, 'n1-1')] })
  const outcomes = value.outcomes as { refused?: string; decision?: string }[]
  assert.match(outcomes[0]?.refused ?? '', /not the present boot/)
  assert.ok(outcomes[1]?.decision !== undefined)
  assert.equal(database.row(web).holder, null)
  assert.equal(database.row(db2).holder?.node, n1)
  assert.equal([...database.state.rows('decisions')].length, 1)
})

describe('orders to the holder', () => {
  test('a stop and a restart are numbered, and name the token they are for', () => {
    const database = fresh()
    const held = database.granted(n1)
    assert.equal(database.decide(web, { kind: 'restart', token: held, resource: 'app' as never }), undefined)
    assert.deepEqual(database.row().holder?.order.restart, { resource: 'app', number: 1 })
    assert.equal(database.row().holder?.order.sequence, 2)
    assert.match(database.decide(web, { kind: 'stop', token: (held - 1) as never, ban: null }) ?? '', /nothing to stop/)
    assert.equal(database.decide(web, { kind: 'stop', token: held, ban: { node: n1, forMs: 1_000 } }), undefined)
    assert.equal(database.row().holder?.order.wanted, 'stop')
    assert.equal(database.row().bans[n1]?.until, (database.at + 1_000) as LogTime)
    assert.match(database.decide(web, { kind: 'restart', token: held, resource: 'app' as never }) ?? '', /nothing to restart/)
    assert.match(database.decide(web, { kind: 'stop', token: held, ban: null }) ?? '', /nothing to stop/)
  })

  test('reports of another token, boot or node are refused; of an older order ignored', () => {
    const database = fresh()
    const held = database.granted(n1)
    database.ok(database.report(n1, 'ONLINE'))
    assert.equal(database.row().holder?.report.state, 'ONLINE')
    database.refused(database.report(n2, 'ONLINE'), 'STALE_TOKEN')
    database.refused(database.report(n1, 'ONLINE', web, { boot: 'n1-0' }), 'STALE_TOKEN')
    database.refused(database.report(n1, 'ONLINE', web, { token: held - 1 }), 'STALE_TOKEN')
    database.decide(web, { kind: 'restart', token: held, resource: 'app' as never })
    database.ok(database.report(n1, 'FAILED', web, { sequence: 1 }))
    assert.equal(database.row().holder?.report.state, 'ONLINE')
  })

  test('one failure is counted once, however often it is told', () => {
    const database = fresh()
    database.granted(n1)
    const failure = { resource: 'app', event: 'died', detail: 'killed', restartNumber: 0 }
    const failed = database.report(n1, 'FAILED', web, { report: { state: 'FAILED', resources: {}, failure } })
    database.ok(failed)
    database.ok(failed)
    assert.equal(database.row().failures[n1]?.length, 1)
    database.ok(
      database.report(n1, 'FAILED', web, { report: { state: 'FAILED', resources: {}, failure: { ...failure, restartNumber: 1 } } }),
    )
    assert.equal(database.row().failures[n1]?.length, 2)
  })
})
