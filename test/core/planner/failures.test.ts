/** From the committed state to what the planner does about failures: counts, pauses, obstacles, and what a failure holds up. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogTime, ResourceName } from '../../../src/base/index.js'
import type { GroupDefinition, PlannedDecision, ResourceState } from '../../../src/core/cluster/index.js'
import { decide, dueEnds, groupInput } from '../../../src/core/planner/index.js'
import { Database, definition, n1, nodes, resources, web } from '../cluster/database.js'

const liveness = { isAlive: () => true, isJoining: () => false }

class Planned {
  readonly database: Database
  private numbers = 0
  private failures = 0

  constructor(change: Partial<GroupDefinition> = {}, level = 3) {
    this.database = new Database().formedAt(level)
    this.put(change)
    for (const node of nodes) this.database.probed(node)
    this.database.granted(n1)
  }

  put(change: Partial<GroupDefinition>): void {
    this.database.ok({ kind: 'put-group', group: web, definition: definition(change), intent: null, precondition: {} })
  }

  /** As the monitor would tell it, with the failures that no restart is making good; each is a new one unless it has a number. */
  tells(states: Record<string, string>, ...failed: readonly (readonly [string, string, number?])[]): void {
    const [failure = null, ...others] = failed.map(([resource, event, number = ++this.failures]) => ({
      resource: resource as ResourceName,
      event,
      detail: 'x',
      restartNumber: this.numbers,
      number,
    }))
    const report = {
      state: failure === null ? ('ONLINE' as const) : ('FAILED' as const),
      resources: Object.fromEntries(Object.entries(states).map(([name, state]) => [name, { state: state as ResourceState }])),
      failure,
      ...(others.length === 0 ? {} : { others }),
    }
    this.database.ok(this.database.report(n1, 'ONLINE', web, { report }))
  }

  next(): PlannedDecision | undefined {
    return decide({ state: this.database.state, at: this.database.at as LogTime, liveness })[0]
  }

  /** Has what is to be done committed, and answers in short what that is. */
  does(): string {
    const decision = this.next()
    if (decision === undefined) return 'nothing'
    const { action } = decision
    this.database.ok({ kind: 'decide', decisions: [decision], plannerVersion: 3 })
    if (action.kind === 'restart') this.numbers++
    return action.kind === 'restart' ? `restart ${action.resource}: ${decision.rule}` : `${action.kind}: ${decision.rule}`
  }
}

const withExtra = (change: object = {}): GroupDefinition['resources'] => {
  const { app, extra } = resources({ app: {}, extra: {} }) as Record<string, GroupDefinition['resources'][never]>
  return { app, extra: { ...extra, critical: false, restart: { max: 1, window: 60_000 }, ...change } } as never
}

test('a pause before a restart is measured from the failure, and doubles', () => {
  const { app } = resources({ app: {} }) as Record<string, GroupDefinition['resources'][never]>
  const planned = new Planned({ resources: { app: { ...app, restart: { max: 3, window: 60_000, delay: 1_000 } } } as never })
  const { database } = planned
  for (const span of [1_000, 2_000, 4_000]) {
    planned.tells({ app: 'ONLINE' })
    planned.tells({ app: 'FAILED' }, ['app', 'died'])
    assert.equal(planned.does(), 'wait: restart-delay')
    database.at += span - 1
    assert.equal(planned.does(), 'nothing', 'it is said once')
    database.at += 1
    assert.equal(planned.does(), 'restart app: restart-in-place')
  }
  planned.tells({ app: 'FAILED' }, ['app', 'died'])
  assert.equal(planned.does(), 'stop: restarts-exhausted')
})

test('what was decided by the number of failures stays so as time goes by', () => {
  const planned = new Planned({ rules: [{ event: 'died', countAtLeast: 2, action: 'block' }] })
  planned.tells({ app: 'FAILED' }, ['app', 'died'])
  assert.equal(planned.does(), 'restart app: restart-in-place')
  planned.tells({ app: 'FAILED' }, ['app', 'died'])
  assert.equal(planned.does(), 'wait: rules[0]')
  planned.database.at += 3_600_000
  assert.equal(planned.does(), 'nothing')
})

test('a group that ran well for a while has all its restarts again', () => {
  const planned = new Planned({ stableAfter: 5_000 })
  const { database } = planned
  for (let time = 0; time < 3; time++) {
    planned.tells({ app: 'ONLINE' })
    planned.tells({ app: 'FAILED' }, ['app', 'died'])
    assert.equal(planned.does(), 'restart app: restart-in-place')
  }
  planned.tells({ app: 'ONLINE' })
  database.at += 5_000
  planned.tells({ app: 'FAILED' }, ['app', 'died'])
  assert.match(planned.next()?.text ?? '', /restart 1 of 3/)
})

test('what is not critical is left, and hides nothing', () => {
  const planned = new Planned({ resources: withExtra() })
  planned.tells({ app: 'ONLINE', extra: 'FAILED' }, ['extra', 'died', 1])
  assert.equal(planned.does(), 'restart extra: restart-in-place')
  planned.tells({ app: 'ONLINE', extra: 'FAILED' }, ['extra', 'start-failed', 2])
  assert.equal(planned.does(), 'wait: not-critical')
  assert.equal(planned.does(), 'nothing')
  planned.tells({ app: 'FAILED', extra: 'FAILED' }, ['app', 'died', 3], ['extra', 'start-failed', 2])
  assert.equal(planned.does(), 'restart app: restart-in-place')
  planned.tells({ app: 'STARTING', extra: 'FAILED' }, ['extra', 'start-failed', 2])
  assert.equal(planned.does(), 'wait: not-critical')
  planned.tells({ app: 'ONLINE', extra: 'FAILED' }, ['extra', 'start-failed', 2])
  assert.equal(planned.does(), 'nothing')
  const counted = planned.database.row().failures[n1]?.map(({ resource, number }) => `${resource} ${number}`)
  assert.deepEqual(counted, ['extra 1', 'extra 2', 'app 3'], 'what is told again is counted once')
})

test('of two that are not critical, the one that is left hides the other no longer', () => {
  const both = withExtra()
  const planned = new Planned({ resources: { ...both, more: (both as Record<string, unknown>).extra } as never })
  planned.tells({ app: 'ONLINE', extra: 'FAILED', more: 'ONLINE' }, ['extra', 'died', 1])
  assert.equal(planned.does(), 'restart extra: restart-in-place')
  planned.tells({ app: 'ONLINE', extra: 'FAILED', more: 'ONLINE' }, ['extra', 'died', 2])
  assert.equal(planned.does(), 'wait: not-critical')
  planned.tells({ app: 'ONLINE', extra: 'FAILED', more: 'FAILED' }, ['extra', 'died', 2], ['more', 'died', 3])
  assert.equal(planned.does(), 'restart more: restart-in-place')
  planned.tells({ app: 'ONLINE', extra: 'FAILED', more: 'FAILED' }, ['extra', 'died', 2], ['more', 'start-failed', 4])
  assert.equal(planned.does(), 'wait: not-critical')
  assert.equal(planned.does(), 'nothing', 'both are left')
})

test('what is critical and is left by a rule makes way for others after a moment', () => {
  const { app, other } = resources({ app: {}, other: {} }) as Record<string, GroupDefinition['resources'][never]>
  const planned = new Planned({ rules: [{ event: 'any', resource: 'app', action: 'log' }], resources: { app, other } as never } as never)
  planned.tells({ app: 'FAILED', other: 'STOPPED' }, ['app', 'start-failed'])
  assert.equal(planned.does(), 'wait: rules[0]')
  planned.database.at += 1_000
  assert.equal(planned.does(), 'restart app: make-way')
})

test('how bad an agent says it is decides whether another try is made, here or at all', () => {
  const severe = (severity: 'hard' | 'fatal', change: Partial<GroupDefinition> = {}) => {
    const planned = new Planned(change)
    const failure = { resource: 'app' as ResourceName, event: 'probe-failed', detail: 'x', restartNumber: 0, number: 1, severity }
    const report = { state: 'FAILED' as const, resources: {}, failure }
    planned.database.ok(planned.database.report(n1, 'FAILED', web, { report }))
    assert.equal(planned.database.row().failures[n1]?.[0]?.severity, severity)
    return planned
  }
  const hard = severe('hard')
  assert.equal(hard.does(), 'stop: hard-error')
  assert.ok((hard.database.row().bans[n1]?.until ?? 0) > hard.database.at, 'the node is passed over')
  hard.database.ok(hard.database.released(n1))
  assert.equal(hard.does(), 'grant: rank')
  assert.equal(hard.database.row().holder?.node, 'n2')
  const fatal = severe('fatal')
  assert.equal(fatal.does(), 'stop: fails-everywhere')
  fatal.database.ok(fatal.database.released(n1))
  assert.equal(fatal.does(), 'wait: halted')
  assert.equal(fatal.does(), 'nothing')
  fatal.database.ok({ kind: 'clear-group', group: web })
  assert.equal(fatal.does(), 'grant: stay')
  assert.equal(severe('fatal', { failoverMode: 'RESTART_ONLY' }).does(), 'wait: restarts-exhausted')
})

test('a change of how it runs is taken on in place, one of what it is stops it first', () => {
  const planned = new Planned()
  const { database } = planned
  planned.tells({ app: 'ONLINE' })
  const { app, other } = resources({ app: { parameters: { run: 'another' } }, other: {} }) as Record<
    string,
    GroupDefinition['resources'][never]
  >
  planned.put({ resources: { app } as never })
  assert.equal(planned.does(), 'update: definition-updated')
  const { holder } = database.row()
  assert.deepEqual(
    [holder?.pinned.resources['app' as never]?.parameters, holder?.report.state, holder?.order.sequence],
    [{ run: 'another' }, 'STARTING', 2],
  )
  database.ok(database.report(n1, 'ONLINE', web, { sequence: 2 }))
  assert.equal(planned.does(), 'nothing')
  planned.put({ resources: { app, other } as never })
  assert.equal(planned.does(), 'stop: definition-changed')
})

test('an address changes hands by a stop only: nobody else may have it before', () => {
  const ip = (address: string) => resources({ ip: { type: 'logical-hostname', parameters: { address } } })
  const planned = new Planned({ resources: ip('10.0.0.1/24') })
  planned.tells({ ip: 'ONLINE' })
  planned.put({ resources: ip('10.0.0.2/24') })
  assert.equal(planned.does(), 'stop: definition-changed')
})

test('while something of it has failed, a change stops and starts it all', () => {
  const planned = new Planned({ failoverMode: 'LOG_ONLY' })
  planned.tells({ app: 'FAILED' }, ['app', 'died'])
  assert.equal(planned.does(), 'wait: log-only')
  planned.put({ failoverMode: 'LOG_ONLY', resources: resources({ app: { parameters: { run: 'another' } } }) })
  assert.equal(planned.does(), 'stop: definition-changed')
})

test('restartDependents asks for all that depend on it, once every member knows how', () => {
  const asked = (level: number) => {
    const planned = new Planned({ rules: [{ event: 'any', action: 'restartDependents' }] }, level)
    planned.tells({ app: 'FAILED' }, ['app', 'died'])
    const action = planned.next()?.action
    return action?.kind === 'restart' ? action.dependents : action?.kind
  }
  assert.equal(asked(3), true)
  assert.equal(asked(2), undefined)
})

test('what needs a resource that is left is not waited for', () => {
  const { leaf } = resources({ leaf: { dependsOn: ['extra'] } }) as Record<string, GroupDefinition['resources'][never]>
  const planned = new Planned({ resources: { ...withExtra({ restart: { max: 0, window: 60_000 } }), leaf } as never })
  planned.tells({ app: 'ONLINE', extra: 'FAILED', leaf: 'STOPPED' }, ['extra', 'start-failed'])
  assert.equal(planned.does(), 'wait: not-critical')
})

test('a failure that was cleared is tried again, whatever the rules say', () => {
  const planned = new Planned({ failoverMode: 'LOG_ONLY' })
  planned.tells({ app: 'FAILED' }, ['app', 'start-failed'])
  assert.equal(planned.does(), 'wait: log-only')
  planned.database.at += 600_000
  assert.equal(planned.does(), 'nothing', 'time alone changes nothing')
  planned.database.ok({ kind: 'clear-group', group: web })
  assert.equal(planned.does(), 'restart app: cleared')
})

test('failovers beyond the limit stop the group, in sight of everybody, until it is cleared', () => {
  const planned = new Planned({ failover: { max: 1, window: 60_000, onExhausted: 'stop' }, pingpongInterval: 1_000 })
  const { database } = planned
  planned.tells({ app: 'FAILED' }, ['app', 'start-failed'])
  assert.equal(planned.does(), 'stop: start-failed')
  assert.equal(database.row().bans[n1]?.until, database.at + 1_000)
  database.ok(database.released(n1))
  database.at += 2_000
  assert.equal(planned.does(), 'grant: stay', 'it may come back after the interval')
  planned.tells({ app: 'FAILED' }, ['app', 'start-timeout'])
  assert.equal(planned.does(), 'stop: failovers-exhausted')
  database.ok(database.released(n1))
  assert.equal(planned.does(), 'wait: halted')
  assert.match(database.row().waitingFor ?? '', /1 failover within 1m, 1 allowed.*POST \/v1\/groups\/web\/clear/)
  assert.equal(planned.does(), 'nothing')
  database.ok({ kind: 'clear-group', group: web })
  assert.equal(planned.does(), 'grant: stay')
})

test('a stop that fails in mode HARD: fenced once, where it may be', () => {
  const planned = new Planned({ failoverMode: 'HARD' })
  const { database } = planned
  const stuck = () =>
    database.ok(
      database.report(n1, 'UNKNOWN', web, {
        report: { state: 'UNKNOWN', resources: {}, failure: { resource: 'app', event: 'stop-failed', detail: 'x', restartNumber: 0 } },
      }),
    )
  stuck()
  assert.equal(planned.does(), 'stop: unknown', 'the stop is tried again first')
  stuck()
  assert.equal(planned.does(), 'fence: stop-failed')
  assert.equal(planned.does(), 'wait: stop-failed')
  assert.match(database.row().waitingFor ?? '', /n1 is being fenced/)
  assert.equal(planned.does(), 'nothing')
})

test('an obstacle to a fencing is told', () => {
  const planned = new Planned({ onStopFailure: 'fence' })
  const { database } = planned
  const obstacle = () => groupInput({ state: database.state, at: database.at as LogTime, liveness }, database.row()).holder?.fenceObstacle
  database.ok(database.report(n1, 'UNKNOWN'))
  assert.equal(obstacle(), undefined)
  database.ok({ kind: 'patch-node', node: n1, fencing: { levels: [], then: 'on' }, precondition: {} })
  assert.equal(obstacle(), 'it has no fence device')
})

test('in maintenance a failure is left alone; after it everything is looked at before anything is decided', () => {
  const planned = new Planned({}, 4)
  const { database } = planned
  planned.tells({ app: 'ONLINE' })
  database.ok({ kind: 'maintain-node', node: n1, forMs: 60_000, owner: 'ada', reason: 'new memory' })
  planned.tells({ app: 'FAILED' }, ['app', 'died'])
  planned.put({ resources: resources({ app: { parameters: { run: 'another' } } }) })
  assert.equal(planned.does(), 'nothing')
  assert.deepEqual(dueEnds(database.state, (database.at + 59_000) as LogTime), [])
  database.at += 60_000
  const [due] = dueEnds(database.state, database.at as LogTime)
  assert.deepEqual(due, { kind: 'end-maintenance', node: n1, due: true })
  if (due !== undefined) database.ok(due)
  assert.equal(planned.does(), 'nothing', 'it has not looked yet')
  const { holder } = database.row()
  const report = { ...holder?.report, looked: 1 }
  database.ok(database.report(n1, 'FAILED', web, { sequence: 2, report }))
  assert.equal(planned.does(), 'restart app: restart-in-place')
})

test('what was mended by hand during maintenance is not restarted for the failure before', () => {
  const planned = new Planned({}, 4)
  const { database } = planned
  planned.tells({ app: 'FAILED' }, ['app', 'died'])
  database.ok({ kind: 'maintain-node', node: n1, forMs: 60_000, owner: 'ada', reason: 'new memory' })
  assert.equal(planned.does(), 'nothing')
  database.ok({ kind: 'end-maintenance', node: n1 })
  const report = { state: 'ONLINE', resources: { app: { state: 'ONLINE' } }, failure: null, looked: 1 }
  database.ok(database.report(n1, 'ONLINE', web, { sequence: 2, report }))
  assert.equal(planned.does(), 'nothing')
})
