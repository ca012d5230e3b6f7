/** What rules for failures may do to the state, and what they may not. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { GroupName, LogTime } from '../../../src/base/index.js'
import {
  type Command,
  effectiveRules,
  type FailurePolicy,
  failoverModes,
  forgottenAt,
  type GroupDefinition,
  isOnlyDegraded,
  levelOf,
  matchingRule,
  type PlannedAction,
  restartPause,
} from '../../../src/core/cluster/index.js'
import { Database, definition, n1, n2, n3, nodes, resources, web } from './database.js'

const db2 = 'db' as GroupName
const fresh = (level = 2) => {
  const database = new Database().formedAt(level)
  database.group()
  return database
}
const put = (change: Partial<GroupDefinition> = {}): Command => ({
  kind: 'put-group',
  group: web,
  definition: definition(change),
  intent: null,
  precondition: {},
})
const failed = (database: Database, resource = 'app', more: Record<string, unknown> = {}) =>
  database.ok(
    database.report(n1, 'FAILED', web, {
      report: { state: 'FAILED', resources: {}, failure: { resource, event: 'died', detail: 'x', restartNumber: 0, ...more } },
    }),
  )
const operation = (database: Database, id: string) => database.state.get('operations', id)

describe('the list of rules', () => {
  const after = (policy: FailurePolicy, event: string, count = 1, resource = 'app', uncritical: string[] = []) =>
    matchingRule(effectiveRules(policy, uncritical as never), { event, resource, count, restartMax: 3 })?.action

  test('of each mode says what follows a death, a failed start and a failed stop', () => {
    const table = failoverModes.map((failoverMode) => [
      failoverMode,
      after({ failoverMode }, 'died'),
      after({ failoverMode }, 'died', 4),
      after({ failoverMode }, 'start-failed'),
      after({ failoverMode }, 'start-timeout', 4),
      after({ failoverMode }, 'stop-failed'),
      after({ failoverMode }, 'stop-timeout', 4),
    ])
    assert.deepEqual(table, [
      ['NONE', 'restart', 'failover', 'block', 'block', 'block', 'block'],
      ['SOFT', 'restart', 'failover', 'failover', 'failover', 'block', 'block'],
      ['HARD', 'restart', 'failover', 'failover', 'failover', 'fence', 'fence'],
      ['RESTART_ONLY', 'restart', 'block', 'restart', 'block', 'block', 'block'],
      ['LOG_ONLY', 'log', 'log', 'log', 'log', 'block', 'block'],
    ])
  })

  test('begins with those of the group, and the first that matches counts', () => {
    const rules = [
      { event: 'probe-timeout', action: 'ignore' },
      { event: 'any', resource: 'db' as never, countAtLeast: 2, action: 'stop' },
      { event: 'died', action: 'failover' },
      { event: 'any', action: 'restart' },
    ] as const
    assert.equal(after({ rules }, 'probe-timeout'), 'ignore')
    assert.equal(after({ rules }, 'died'), 'failover')
    assert.equal(after({ rules }, 'probe-failed', 1, 'db'), 'restart')
    assert.equal(after({ rules }, 'probe-failed', 2, 'db'), 'stop')
    assert.equal(after({ rules }, 'start-failed', 3), 'restart')
    assert.equal(after({ rules }, 'start-failed', 4), 'failover', 'that of the mode, when restarts are used up')
  })

  test('has nothing but block, fence, log and ignore for a stop that failed', () => {
    for (const action of ['restart', 'restartDependents', 'failover', 'stop', 'standbyNode', 'evictNode'] as const)
      assert.equal(after({ rules: [{ event: 'any', action }] }, 'stop-failed'), 'block', action)
    assert.equal(after({ rules: [{ event: 'any', action: 'fence' }] }, 'stop-failed'), 'fence')
  })

  test('keeps a group where it is for what is not critical, and still asks for a stop that fails', () => {
    assert.equal(after({}, 'start-failed', 1, 'app', ['app']), 'restart')
    assert.equal(after({}, 'start-failed', 4, 'app', ['app']), 'log')
    assert.equal(after({}, 'start-failed', 1, 'db', ['app']), 'failover')
    assert.equal(after({ failoverMode: 'HARD' }, 'stop-failed', 1, 'app', ['app']), 'fence')
  })

  test('pauses before a restart double up to a minute', () => {
    assert.deepEqual(
      [1, 2, 3, 4, 9, 1_000].map((count) => restartPause(5_000, count)),
      [5_000, 10_000, 20_000, 40_000, 60_000, 60_000],
    )
    assert.equal(restartPause(0, 7), 0)
  })
})

describe('definitions are refused', () => {
  const app = resources({ app: {} })['app' as never] as GroupDefinition['resources'][never]
  const wrong: readonly [string, Partial<GroupDefinition>, RegExp][] = [
    [
      'with a rule for a resource that is not there',
      { rules: [{ event: 'any', resource: 'apq' as never, action: 'log' }] },
      /did you mean|not have/,
    ],
    ['with an event that is none', { rules: [{ event: 'sneezed' as never, action: 'log' }] }, /sneezed/],
    ['with an action that is none', { rules: [{ event: 'any', action: 'demote' as never }] }, /demote/],
    ['with a restart after a failed stop', { rules: [{ event: 'stop-failed', action: 'restart' }] }, /cannot follow/],
    ['with a count of none', { rules: [{ event: 'any', countAtLeast: 0, action: 'log' }] }, /countAtLeast/],
    ['that are stable at once', { stableAfter: 0 }, /stableAfter/],
    ['with a pingpongInterval of a year', { pingpongInterval: 365 * 86_400_000 }, /pingpongInterval/],
    ['with fewer than no failovers', { failover: { max: -1, window: 60_000, onExhausted: 'stop' } }, /failover.max/],
    ['with a window of nothing', { failover: { max: 1, window: 0, onExhausted: 'stop' } }, /failover.window/],
    [
      'with a delay of an hour',
      { resources: { app: { ...app, restart: { ...app.restart, delay: 3_600_000 } } } as never },
      /restart.delay/,
    ],
  ]
  for (const [name, change, detail] of wrong) test(name, () => fresh().refused(put(change), 'INVALID_DEFINITION', detail))

  test('by members of an earlier version: they would keep such rules and not obey them', () => {
    const decide = (action: PlannedAction): Command => ({
      kind: 'decide',
      plannerVersion: 2,
      decisions: [{ group: web, action, rule: '', text: '', candidates: [], input: {} }],
    })
    assert.equal(levelOf(put()), 1)
    assert.equal(levelOf(put({ failoverMode: 'HARD' })), 2)
    assert.equal(levelOf({ kind: 'transaction', commands: [put({ stableAfter: 5_000 })], ifRevision: null }), 2)
    assert.equal(levelOf(put({ resources: { app: { ...app, critical: false } } as never })), 2)
    assert.equal(levelOf(decide({ kind: 'stop', token: 1 as never, ban: null })), 1)
    assert.equal(levelOf(decide({ kind: 'stop', token: 1 as never, ban: null, halt: true })), 2)
    assert.equal(levelOf(decide({ kind: 'fence', token: 1 as never, node: n1 })), 2)
    assert.equal(levelOf(decide({ kind: 'standby', token: 1 as never, node: n1 })), 2)
    assert.equal(levelOf(decide({ kind: 'standby', token: 1 as never, node: n1, evict: true })), 5)
    assert.equal(levelOf(put({ rules: [{ event: 'died', action: 'evictNode' }] })), 5)
    assert.equal(levelOf(put({ failover: { max: 1, window: 60_000, onExhausted: 'runDegraded' } })), 5)
    assert.equal(levelOf(put({ offlineProbe: { interval: 60_000, onFound: 'stopAllRestart' } })), 5)
  })
})

describe('a group that is stopped for its failures', () => {
  const halted = () => {
    const database = fresh()
    const token = database.granted(n1)
    database.ok({ kind: 'move-group', group: web, to: n2, operation: 'move' })
    assert.equal(database.decide(web, { kind: 'stop', token, ban: null, halt: true }), undefined)
    return database
  }

  test('is granted to nobody until it is cleared, whoever asks', () => {
    const database = halted()
    assert.equal(database.row().holder?.order.wanted, 'stop')
    database.ok(database.released(n1))
    for (const node of nodes) assert.match(database.grant(node) ?? '', /waits to be cleared/)
    database.refused({ kind: 'set-intent', group: web, intent: 'ONLINE', operation: 'o1' }, 'CONFLICT', /stopped for its failures/)
    database.refused({ kind: 'move-group', group: web, to: n2, operation: 'o2' }, 'CONFLICT', /stopped for its failures/)
    database.ok({ kind: 'clear-group', group: web })
    assert.equal(database.row().halted, undefined)
    assert.equal(database.grant(n2), undefined)
  })

  test('gives up the move that was asked for', () => {
    const database = halted()
    assert.equal(database.row().move, null)
    assert.equal(operation(database, 'move')?.status, 'failed')
  })

  test('clearing it ends no token: it is still stopped and proved first', () => {
    const database = halted()
    database.ok({ kind: 'clear-group', group: web })
    assert.match(database.grant(n2) ?? '', /former holder n1 is not proved stopped/)
  })
})

describe('a fencing for a failure', () => {
  const ask = (database: Database, node = n1, token = database.row().holder?.token) =>
    database.decide(web, { kind: 'fence', token: token as never, node })
  const held = (change: (database: Database) => void = () => {}) => {
    const database = fresh()
    database.granted(n1)
    change(database)
    return database
  }
  const refused: readonly [string, (database: Database) => void, RegExp][] = [
    [
      'without a device',
      (d) => d.ok({ kind: 'patch-node', node: n1, fencing: { levels: [], then: 'on' }, precondition: {} }),
      /no fence device/,
    ],
    ['while a case of the node is open', (d) => d.ok(d.openCase(n1)), /case c1 of n1 is open/],
    ['while a case of another node is open', (d) => d.ok(d.openCase(n2)), /case c1 of n2 is open/],
    [
      'while another node is being fenced',
      (d) => d.ok({ kind: 'start-operation', operation: 'o1', operationKind: 'fence', subject: n2, detail: 'an operator: x' }),
      /n2 is being fenced/,
    ],
    [
      'of a group that is to be offline',
      (d) => d.ok({ kind: 'set-intent', group: web, intent: 'OFFLINE', operation: 'o1' }),
      /no other node/,
    ],
    [
      'where nobody else could take the group',
      (d) => {
        d.ok({ kind: 'set-duty', node: n2, duty: 'standby', operation: null })
        d.probed(n3, web, 'running')
      },
      /no other node/,
    ],
    ['of a node that was started anew', (d) => d.boot(n1, 'n1-2'), /earlier boot/],
    ['beyond the brakes', (d) => d.ok({ kind: 'patch-settings', patch: { fencingMax: 1 } }), /enough/],
  ]
  for (const [name, change, reason] of refused) {
    test(`is refused ${name}`, () => {
      const database = held((d) => {
        if (reason.source === 'enough') {
          d.fenced(n3, 'c0')
          d.ok({ kind: 'recover-case', caseId: 'c0' as never, conclusion: 'x' })
        }
        change(d)
      })
      assert.match(ask(database) ?? '', reason)
      assert.equal([...database.state.rows('operations')].filter(([, row]) => row.subject === n1).length, 0)
    })
  }

  test('is refused under another token, of another node, and of a group that nobody holds', () => {
    const database = held()
    assert.match(ask(database, n1, 7 as never) ?? '', /nothing to end/)
    assert.match(ask(database, n2) ?? '', /not the node of the holder/)
    database.ok(database.released(n1))
    assert.match(ask(database) ?? '', /nothing to end/)
  })

  test('is asked for as a person does it, and once', () => {
    const database = held()
    const token = database.row().holder?.token
    assert.equal(ask(database), undefined)
    const row = operation(database, `fence-web-${token}`)
    assert.deepEqual([row?.kind, row?.subject, row?.status], ['fence', n1, 'running'])
    assert.match(ask(database) ?? '', /n1 is being fenced/)
    assert.equal(database.row().proof, null, 'what is asked for proves nothing')
    assert.match(database.grant(n2) ?? '', /not proved stopped/)
  })

  test('is taken back when the group has stopped before the node is condemned', () => {
    const database = held()
    const token = database.row().holder?.token
    ask(database)
    const { detail = '' } = operation(database, `fence-web-${token}`) ?? {}
    database.ok(database.openCase(n1, 'c1', { trigger: `asked by ${detail}` }))
    database.ok(database.released(n1))
    assert.equal(operation(database, `fence-web-${token}`)?.status, 'cancelled')
    assert.equal(database.case().stage, 'CLOSED')
    database.refused(
      { kind: 'condemn', caseId: 'c1' as never, attempt: database.attempt(1, n2), reason: 'x', answering: nodes },
      'CONFLICT',
    )
  })

  test('goes on once the node is condemned', () => {
    const database = held()
    const token = database.row().holder?.token
    ask(database)
    database.ok(database.openCase(n1, 'c1', { trigger: 'asked by the failure rules of web: x' }))
    database.ok({ kind: 'condemn', caseId: 'c1' as never, attempt: database.attempt(1, n2), reason: 'x', answering: nodes })
    database.ok(database.released(n1))
    assert.equal(operation(database, `fence-web-${token}`)?.status, 'running')
    database.ok(database.attemptResult(true))
    assert.equal(operation(database, `fence-web-${token}`)?.status, 'done')
  })
})

test('a fencing is over when another proof comes first: the node is not cut off once it is admitted again', () => {
  const database = fresh()
  const token = database.granted(n1)
  database.decide(web, { kind: 'fence', token, node: n1 })
  database.ok(database.openCase(n1, 'c1', { trigger: 'asked by the failure rules of web: x' }))
  const { nonce } = database.case()
  const boot = database.currentBoot(n1)
  database.ok({ kind: 'guardian-proof', caseId: 'c1' as never, node: n1, boot, nonce, tokens: { [web]: token }, verified: true })
  assert.equal(operation(database, `fence-web-${token}`)?.status, 'done')
  assert.equal(database.grant(n2), undefined)
})

describe('a node that goes to standby for a failure', () => {
  test('does so under the present token only, and once', () => {
    const database = fresh()
    const token = database.granted(n1)
    const standby = (node: typeof n1, held = token) => database.decide(web, { kind: 'standby', token: held, node })
    assert.match(standby(n2) ?? '', /nothing to leave/)
    assert.match(standby(n1, 7 as never) ?? '', /nothing to leave/)
    assert.equal(standby(n1), undefined)
    assert.equal(database.state.get('nodes', n1)?.duty, 'standby')
    assert.match(standby(n1) ?? '', /not active/)
  })

  test('does not where nobody else could take the group', () => {
    const database = fresh()
    const token = database.granted(n1)
    for (const node of [n2, n3]) database.probed(node, web, 'unknown')
    assert.match(database.decide(web, { kind: 'standby', token, node: n1 }) ?? '', /no other node/)
    assert.equal(database.state.get('nodes', n1)?.duty, 'active')
  })
})

describe('failures', () => {
  test('say how long the group had run before, once every member understands that', () => {
    const database = fresh()
    database.granted(n1)
    database.at = 10_000
    database.ok(database.report(n1, 'ONLINE'))
    database.at = 17_000
    failed(database)
    assert.equal(database.row().failures[n1]?.[0]?.ranFor, 7_000)
    const old = fresh(1)
    old.granted(n1)
    old.ok(old.report(n1, 'ONLINE'))
    failed(old)
    assert.deepEqual(Object.keys(old.row().failures[n1]?.[0] ?? {}).sort(), ['at', 'detail', 'event', 'resource'])
    assert.deepEqual(Object.keys(old.row().holder?.report ?? {}).sort(), ['at', 'failure', 'resources', 'state'])
  })

  test('are forgotten after their window, or a time without one', () => {
    const database = fresh()
    database.ok(put({ stableAfter: 20_000 }))
    const token = database.granted(n1)
    database.at = 10_000
    failed(database)
    const [first] = database.row().failures[n1] ?? []
    assert.ok(first !== undefined)
    const seen = (at: number) => forgottenAt(database.row(), first, at as LogTime)
    assert.equal(seen(11_000), 70_000, 'its window is a minute')
    database.decide(web, { kind: 'restart', token, resource: 'app' as never })
    database.at = 12_000
    database.ok(database.report(n1, 'ONLINE'))
    assert.equal(seen(13_000), 32_000, 'since 12 s it runs')
    database.at = 40_000
    failed(database, 'app', { restartNumber: 1 })
    const [, second] = database.row().failures[n1] ?? []
    assert.ok(seen(41_000) <= 41_000, 'it ran for longer than that in between')
    assert.equal(second === undefined ? 0 : forgottenAt(database.row(), second, 41_000 as LogTime), 100_000)
  })

  test('that made it leave are counted where they are limited', () => {
    const database = fresh()
    const leave = () => {
      const token = database.granted(n1)
      database.decide(web, { kind: 'stop', token, ban: { node: n1, forMs: 1_000 } })
      database.ok(database.released(n1))
    }
    leave()
    assert.equal(database.row().failovers, undefined)
    database.ok(put({ failover: { max: 2, window: 60_000, onExhausted: 'stop' } }))
    leave()
    leave()
    assert.equal(database.row().failovers?.length, 2)
    const token = database.granted(n1)
    database.decide(web, { kind: 'stop', token, ban: null })
    assert.equal(database.row().failovers?.length, 2, 'a stop for another reason is none')
    database.ok({ kind: 'clear-group', group: web })
    assert.equal(database.row().failovers, undefined)
  })

  test('of what is not critical leave a group as good as up: a move to it is over', () => {
    const database = fresh()
    const two = resources({ app: {}, extra: {} })
    const [app, extra] = Object.values(two)
    database.ok(put({ resources: { app, extra: { ...extra, critical: false } } as never }))
    for (const node of nodes) database.probed(node)
    database.granted(n1)
    database.ok({ kind: 'move-group', group: web, to: n2, operation: 'move' })
    database.ok(database.released(n1))
    database.granted(n2)
    const report = (states: Record<string, string>) => ({
      state: 'FAILED' as const,
      resources: Object.fromEntries(Object.entries(states).map(([name, state]) => [name, { state }])) as never,
      failure: { resource: 'extra' as never, event: 'start-failed', detail: '', restartNumber: 0 },
    })
    const { resources: all } = database.row().definition
    assert.equal(isOnlyDegraded(all, report({ app: 'FAILED', extra: 'FAILED' })), false)
    assert.equal(isOnlyDegraded(all, report({ app: 'STOPPED', extra: 'FAILED' })), false)
    assert.equal(isOnlyDegraded(all, report({ app: 'FAILED', extra: 'ONLINE' })), false)
    database.ok(database.report(n2, 'FAILED', web, { report: report({ app: 'STARTING', extra: 'FAILED' }) }))
    assert.equal(operation(database, 'move')?.status, 'running')
    database.ok(database.report(n2, 'FAILED', web, { report: report({ app: 'ONLINE', extra: 'FAILED' }) }))
    assert.equal(operation(database, 'move')?.status, 'done')
  })
})

test('a stop of one group says nothing of a fencing for another', () => {
  const database = fresh()
  database.group(db2, { resources: resources({ other: {} }) })
  const token = database.granted(n1)
  database.granted(n1, db2)
  database.decide(web, { kind: 'fence', token, node: n1 })
  database.ok(database.released(n1, db2))
  assert.equal(operation(database, `fence-web-${token}`)?.status, 'running')
})
