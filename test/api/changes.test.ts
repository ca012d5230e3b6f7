/** Changes: definitions there and back, preconditions, retries, dry runs, operations, whole documents. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { parse } from 'yaml'
import { BenchCluster, sleeper } from './bench-api.js'

let bench: BenchCluster
before(async () => {
  bench = await BenchCluster.single()
})
after(() => bench.close())

const etagOf = (answer: { readonly headers: Readonly<Record<string, unknown>> }): string => String(answer.headers.etag)

test('a group goes in as people write it and comes out so that putting it back changes nothing', async () => {
  const definition = {
    nodes: ['n1'],
    priority: 7,
    resources: {
      ip: { type: 'logical-hostname', parameters: { address: '127.0.0.77' } },
      app: {
        type: 'command',
        parameters: { run: 'sleep 100', environment: { A: 'b' } },
        dependsOn: ['ip'],
        probe: { interval: '2500ms', timeout: 7_000 },
        start: { timeout: '1.5m' },
        restart: { max: 0, window: '1h' },
      },
      watched: {
        type: 'command',
        parameters: { run: 'sleep 100', probeDeep: 'true', readyLog: 'up', readyFile: true },
        probe: { failAfter: { failures: 3 }, timeouts: 2 },
        probeDeep: { interval: '60s' },
        limits: { memory: '1024MiB', cpu: 1.5, tasks: 100, openFiles: 1_024 },
      },
      plain: {
        type: 'command',
        parameters: { run: 'sleep 100' },
        operations: 'onOff',
        probe: { failAfter: { failures: 1, of: 1 }, timeouts: 1 },
        limits: {},
      },
    },
  }
  const created = await bench.ask('PUT', '/v1/groups/there', { body: definition })
  assert.equal(created.status, 201)
  assert.equal(created.headers.location, '/v1/groups/there')
  assert.equal(created.body.intent, 'ONLINE')
  assert.deepEqual(created.body.definition.resources.app.probe, { interval: '2.5s', timeout: '7s' })
  assert.deepEqual(created.body.definition.resources.app.start, { timeout: '90s' })
  const { watched, plain } = created.body.definition.resources
  assert.deepEqual(watched.probe, { interval: '5s', timeout: '20s', failAfter: { failures: 3, of: 3 }, timeouts: 2 })
  assert.deepEqual(watched.probeDeep, { interval: '1m', timeout: '20s' })
  assert.deepEqual(watched.limits, { memory: '1GiB', cpu: 1.5, tasks: 100, openFiles: 1_024 })
  assert.deepEqual([plain.probe, plain.limits], [{ interval: '5s', timeout: '20s' }, undefined], 'what holds anyway is not written')
  const found = await bench.ask('GET', '/v1/groups/there')
  assert.equal(etagOf(found), etagOf(created))
  for (const body of [found.body, found.body.definition, definition]) {
    const again = await bench.ask('PUT', '/v1/groups/there', { body })
    assert.equal(again.status, 200, again.text)
    assert.equal(again.body.unchanged, true)
    assert.equal(etagOf(again), etagOf(created))
  }
  const listed = await bench.ask('GET', '/v1/config?format=yaml')
  assert.deepEqual(parse(listed.text).groups.there, { ...found.body.definition, intent: 'ONLINE' })
})

/** This daemon has no monitor, and tells of its boot only once it has one. */
async function everyMemberUnderstands(level: number): Promise<void> {
  const { node, boot } = bench.daemon()
  const guard = { guarded: false, watchdog: 'none', watchdogTimeout: 0, emergencyStop: 1_000 } as const
  await node?.propose({ kind: 'register-boot', node: 'n1' as never, boot, guard, level, links: [], guardian: null, api: null }, {})
  await bench.until('the level to rise', () => Promise.resolve(node?.state.get('meta', 'cluster')?.level === level))
}

test('rules for failures are refused while a member does not understand them', async () => {
  const refused = await bench.ask('PUT', '/v1/groups/early', { body: sleeper({ failoverMode: 'HARD' }) })
  assert.deepEqual([refused.status, refused.body.code], [409, 'MIXED_VERSIONS'])
  await everyMemberUnderstands(2)
})

test('rules for failures go in and come out; the whole list in force is shown, what comes later is refused', async () => {
  const plain = await bench.ask('PUT', '/v1/groups/ruled', { body: sleeper({ intent: 'OFFLINE' }) })
  const { definition } = plain.body
  assert.deepEqual(
    [definition.failoverMode, definition.onStopFailure, definition.rules, definition.stableAfter, definition.pingpongInterval],
    ['SOFT', 'block', [], '10m', '1h'],
  )
  assert.deepEqual(definition.failover, { max: 0, window: '3h', onExhausted: 'stop' })
  assert.deepEqual([definition.resources.main.restart.delay, definition.resources.main.critical], ['0ms', true])
  assert.deepEqual(
    plain.body.effectiveRules.map((rule: Record<string, string>) => `${rule.name}: ${rule.event} → ${rule.action}`),
    [
      'stop-failed: stop-failed → block',
      'stop-failed: stop-timeout → block',
      'start-failed: start-failed → failover',
      'start-failed: start-timeout → failover',
      'restart-in-place: any → restart',
      'restarts-exhausted: any → failover',
    ],
  )
  const rules = [
    { event: 'died', resource: 'main', countAtLeast: 2, action: 'block' },
    { event: 'probe-timeout', action: 'ignore' },
  ]
  const policy = {
    failoverMode: 'HARD',
    rules,
    stableAfter: '2m',
    pingpongInterval: 90_000,
    failover: { max: 3 },
    resources: { main: { restart: { delay: '2s' } }, more: { type: 'command', parameters: { run: 'sleep 9' }, critical: false } },
  }
  const ruled = await bench.ask('PATCH', '/v1/groups/ruled', { body: policy })
  assert.equal(ruled.status, 200, ruled.text)
  const shown = ruled.body.definition
  assert.deepEqual([shown.failoverMode, shown.onStopFailure, shown.rules, shown.pingpongInterval], ['HARD', 'fence', rules, '90s'])
  assert.deepEqual(shown.failover, { max: 3, window: '3h', onExhausted: 'stop' })
  assert.deepEqual([shown.resources.main.restart.delay, shown.resources.more.critical], ['2s', false])
  assert.deepEqual(
    ruled.body.effectiveRules.slice(0, 6).map((rule: Record<string, string>) => `${rule.name} ${rule.resource ?? ''} ${rule.action}`),
    [
      'rules[0] main block',
      'rules[1]  ignore',
      'stop-failed  fence',
      'stop-failed  fence',
      'restart-in-place more restart',
      'not-critical more log',
    ],
  )
  assert.deepEqual(ruled.body.failovers, { recent: 0, max: 3, window: '3h' })
  for (const body of [ruled.body, shown]) {
    const again = await bench.ask('PUT', '/v1/groups/ruled', { body })
    assert.equal(again.body.unchanged, true, again.text)
  }
  for (const [change, status, code] of [
    [{ rules: [{ event: 'any', action: 'demote' }] }, 422, 'INVALID_DEFINITION'],
    [{ rules: [{ event: 'any', action: 'explode' }] }, 400, 'INVALID'],
    [{ rules: [{ event: 'any', action: 'log', resource: 'mian' }] }, 422, 'INVALID_DEFINITION'],
    [{ rules: [{ event: 'stop-failed', action: 'failover' }] }, 422, 'INVALID_DEFINITION'],
    [{ stableAfter: 'soon' }, 400, 'INVALID'],
    [{ resources: { main: { restart: { delay: '2m' } } } }, 422, 'INVALID_DEFINITION'],
  ] as const) {
    const refused = await bench.ask('PATCH', '/v1/groups/ruled', { body: change })
    assert.deepEqual([refused.status, refused.body.code], [status, code], `${JSON.stringify(change)}: ${refused.text}`)
  }
})

test('ETags and revisions guard changes', async () => {
  const created = await bench.ask('PUT', '/v1/groups/guarded', { body: sleeper(), headers: { 'if-none-match': '*' } })
  assert.equal(created.status, 201)
  const changed = await bench.ask('PUT', '/v1/groups/guarded', { body: sleeper({ priority: 1 }), headers: { 'if-match': etagOf(created) } })
  assert.equal(changed.status, 200)
  assert.notEqual(etagOf(changed), etagOf(created))
  const stale = await bench.ask('PATCH', '/v1/groups/guarded', { body: { priority: 2 }, headers: { 'if-match': etagOf(created) } })
  assert.equal(stale.status, 412)
  assert.deepEqual(stale.body.facts, { revision: changed.body.revision, expected: created.body.revision })
  const unchanged = await bench.ask('GET', '/v1/groups/guarded', { headers: { 'if-none-match': etagOf(changed) } })
  assert.equal(unchanged.status, 304)
  assert.equal(unchanged.text, '')
})

test('a merge patch changes what it names and removes what is null', async () => {
  await bench.ask('PUT', '/v1/groups/patched', { body: sleeper({ priority: 5, intent: 'OFFLINE' }) })
  const patched = await bench.ask('PATCH', '/v1/groups/patched', {
    body: {
      priority: null,
      resources: { main: { probe: { interval: '1s' } }, check: { type: 'tcp', parameters: { host: '127.0.0.1', port: 9 } } },
    },
    headers: { 'content-type': 'application/merge-patch+json' },
  })
  assert.equal(patched.status, 200, patched.text)
  assert.equal(patched.body.definition.priority, 0)
  assert.equal(patched.body.intent, 'OFFLINE')
  assert.deepEqual(patched.body.definition.resources.main.probe, { interval: '1s', timeout: '20s' })
  assert.deepEqual(Object.keys(patched.body.definition.resources), ['main', 'check'])
  const less = await bench.ask('PATCH', '/v1/groups/patched', { body: { resources: { check: null } } })
  assert.deepEqual(Object.keys(less.body.definition.resources), ['main'])
})

test('curl’s own defaults are JSON, an empty body is {}, YAML is taken where it is called so', async () => {
  const form = await bench.ask('PUT', '/v1/store/form', {
    body: '{"value":1}',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  })
  assert.equal(form.status, 200)
  assert.equal((await bench.ask('POST', '/v1/groups/patched/clear', { body: '' })).status, 200)
  assert.equal((await bench.ask('POST', '/v1/groups/patched/clear', { body: '{}' })).status, 200)
  const yaml = 'nodes: [n1]\nintent: OFFLINE\nresources:\n  main: { type: command, parameters: { run: sleep 9 } }\n'
  const put = await bench.ask('PUT', '/v1/groups/yaml', { body: yaml, headers: { 'content-type': 'application/yaml' } })
  assert.equal(put.status, 201, put.text)
})

test('a dry run says what would be done, refuses what would be refused, and changes nothing', async () => {
  const { node } = bench.daemon()
  const before_ = node?.state.get('meta', 'cluster')?.configRevision
  const asked = await bench.ask('PUT', '/v1/groups/dry?dryRun=true', { body: sleeper() })
  assert.equal(asked.status, 200)
  assert.equal(asked.body.dryRun, true)
  assert.equal(asked.body.result.created, true)
  assert.deepEqual(asked.body.events, ['group dry was created'])
  assert.ok(
    asked.body.plan.some((step: { group: string; text: string }) => step.group === 'dry' && step.text !== ''),
    asked.text,
  )
  assert.equal((await bench.ask('GET', '/v1/groups/dry')).status, 404)
  for (const [method, path, body, status] of [
    ['PUT', '/v1/groups/dry?dryRun=true', sleeper({ nodes: ['n9'] }), 422],
    ['POST', '/v1/groups/none/offline?dryRun=true', {}, 404],
    ['PATCH', '/v1/settings?dryRun=true', { lease: '1500ms' }, 422],
    ['PUT', '/v1/store/form?dryRun=true', { value: 2 }, 200],
    ['DELETE', '/v1/groups/guarded?dryRun=true', {}, 200],
    ['POST', '/v1/nodes/n1/standby?dryRun=true', {}, 200],
  ] as const)
    assert.equal((await bench.ask(method, path, { body })).status, status, `${method} ${path}`)
  assert.equal((await bench.ask('GET', '/v1/store/form')).body.value, 1)
  assert.equal(node?.state.get('meta', 'cluster')?.configRevision, before_)
})

test('a request that is repeated under its Idempotency-Key is carried out once', async () => {
  const headers = { 'idempotency-key': 'counter-1' }
  const first = await bench.ask('POST', '/v1/store', { body: { operations: [{ kind: 'put', key: 'once', value: 1 }] }, headers })
  await bench.ask('PUT', '/v1/store/once', { body: { value: 2 } })
  const second = await bench.ask('POST', '/v1/store', { body: { operations: [{ kind: 'put', key: 'once', value: 1 }] }, headers })
  assert.deepEqual(second.body, first.body)
  assert.equal((await bench.ask('GET', '/v1/store/once')).body.value, 2)
  const other = await bench.ask('POST', '/v1/store', { body: { operations: [{ kind: 'put', key: 'once', value: 3 }] }, headers })
  assert.equal(other.status, 409)
  assert.equal(other.body.code, 'IDEMPOTENCY_MISMATCH')

  const again = { headers: { 'idempotency-key': 'offline-1' } }
  const [one, two] = await Promise.all([
    bench.ask('POST', '/v1/groups/guarded/offline', again),
    bench.ask('POST', '/v1/groups/guarded/offline?wait=1s', again),
  ])
  assert.equal(one.body.id, two.body.id, 'one operation, however often it is asked for')
  const refused = { headers: { 'idempotency-key': 'refused-1' } }
  for (let time = 0; time < 2; time++)
    assert.equal((await bench.ask('POST', '/v1/groups/later/offline', refused)).body.code, 'GROUP_NOT_FOUND')
})

test('long work is an operation with a place of its own; a wait answers with its end', async () => {
  await bench.ask('PUT', '/v1/groups/gone', { body: sleeper() })
  const asked = await bench.ask('DELETE', '/v1/groups/gone')
  assert.ok(asked.status === 202 || asked.status === 200)
  const { location } = asked.headers
  assert.equal(location, `/v1/operations/${asked.body.id}`)
  const ended = await bench.ask('GET', `${location}?wait=30s`)
  assert.equal(ended.body.status, 'done')
  assert.match(ended.body.result, /deleted/)
  assert.equal((await bench.ask('GET', '/v1/groups/gone')).status, 404)
  const cancelled = await bench.ask('DELETE', String(location))
  assert.equal(cancelled.body.code, 'CONFLICT')

  await bench.ask('PUT', '/v1/groups/brief', { body: sleeper() })
  const waited = await bench.ask('DELETE', '/v1/groups/brief?wait=30s')
  assert.equal(waited.status, 200)
  assert.equal(waited.body.status, 'done')
  const standby = await bench.ask('POST', '/v1/nodes/n1/standby?wait=30s')
  assert.deepEqual([standby.status, standby.body.kind, standby.body.status], [200, 'standby', 'done'])
  assert.equal((await bench.ask('GET', '/v1/nodes/n1')).body.duty, 'standby')
  assert.equal((await bench.ask('POST', '/v1/nodes/n1/activate')).body.duty, 'active')
})

test('a move waits in an operation and can be given up', async () => {
  await bench.ask('PUT', '/v1/groups/mover', { body: sleeper() })
  const moving = await bench.ask('POST', '/v1/groups/mover/move', { body: { to: 'n1' } })
  assert.equal(moving.status, 202, moving.text)
  assert.deepEqual((await bench.ask('GET', '/v1/groups/mover')).body.move.to, 'n1')
  const waited = await bench.ask('POST', '/v1/groups/mover/move?wait=50ms', { body: { to: 'n1' } })
  assert.equal(waited.body.code, 'CONFLICT', 'it is on its way already')
  const cancelled = await bench.ask('DELETE', String(moving.headers.location))
  assert.equal(cancelled.status, 200, cancelled.text)
  assert.equal(cancelled.body.status, 'cancelled')
  assert.equal(typeof cancelled.body.undone, 'string')
})

test('a freeze has an owner, a reason and an end', async () => {
  const frozen = await bench.ask('POST', '/v1/groups/mover/freeze', { body: { for: '1h', owner: 'ada', reason: 'a look at the disk' } })
  assert.equal(frozen.status, 200)
  assert.equal(frozen.body.frozen.owner, 'ada')
  assert.match(frozen.body.frozen.remaining, /^(1h|59\.?\d*m|\d+s)$/)
  const refused = await bench.ask('POST', '/v1/groups/mover/offline')
  assert.deepEqual([refused.status, refused.body.code], [409, 'FROZEN'])
  assert.equal((await bench.ask('POST', '/v1/groups/mover/unfreeze')).body.frozen, null)
})

test('secrets of fence devices go in and do not come out, and what was shown can be sent back', async () => {
  const fencing = {
    levels: [[{ agent: '/bin/sh', parameters: { ip: '10.0.0.9', lanplus: true, port: 623, password: 's3cret' }, timeout: '15s' }]],
  }
  const patched = await bench.ask('PATCH', '/v1/nodes/n1', { body: { fencing, attributes: { rack: 'r1' } } })
  assert.equal(patched.status, 200, patched.text)
  const shown = {
    levels: [[{ agent: '/bin/sh', parameters: { ip: '10.0.0.9', lanplus: 'true', port: '623', password: '********' }, timeout: '15s' }]],
    then: 'on',
  }
  assert.deepEqual(patched.body.fencing, shown)
  for (const path of ['/v1/nodes/n1', '/v1/config', '/v1/config?format=yaml', '/v1/events?follow=false', '/v1/status'])
    assert.doesNotMatch((await bench.ask('GET', path)).text, /s3cret/, path)
  const back = await bench.ask('PATCH', '/v1/nodes/n1', { body: { fencing: { ...shown, then: 'stay-off' } } })
  assert.equal(back.status, 200, back.text)
  const { node } = bench.daemon()
  assert.equal(node?.state.get('nodes', 'n1')?.fencing.levels[0]?.[0]?.parameters.password, 's3cret', 'not sealed before all know seals')
  assert.equal((await bench.ask('PATCH', '/v1/nodes/n1', { body: { attributes: { rack: null, room: '2' } } })).body.attributes.room, '2')
  assert.deepEqual((await bench.ask('GET', '/v1/nodes/n1')).body.attributes, { room: '2' })
  assert.deepEqual((await bench.ask('PATCH', '/v1/nodes/n1', { body: { fencing: null } })).body.fencing.levels, [])
})

test('a whole document is planned, applied all or nothing, and then nothing is left to change', async () => {
  const { body: present } = await bench.ask('GET', '/v1/config')
  const document = { ...present, settings: { profile: 'fast' }, groups: { ...present.groups, planned: sleeper({ priority: 3 }) } }
  const plan = await bench.ask('POST', '/v1/plan', { body: document })
  assert.equal(plan.status, 200, plan.text)
  assert.deepEqual(plan.body.changes, [
    { what: 'settings', name: 'profile', change: 'change' },
    { what: 'group', name: 'planned', change: 'create' },
  ])
  assert.equal(
    (await bench.ask('POST', '/v1/plan', { body: document })).body.planHash,
    plan.body.planHash,
    'the same plan has the same hash',
  )
  const broken = await bench.ask('POST', '/v1/apply', { body: { ...document, nodes: { n9: {} } } })
  assert.equal(broken.body.code, 'UNKNOWN_NODE')
  assert.equal((await bench.ask('GET', '/v1/groups/planned')).status, 404)
  const applied = await bench.ask('POST', '/v1/apply', {
    body: { ...document, planHash: plan.body.planHash, ifRevision: plan.body.revision },
  })
  assert.equal(applied.status, 200, applied.text)
  assert.equal((await bench.ask('GET', '/v1/settings')).body.settings.lease, '3s')
  assert.equal((await bench.ask('GET', '/v1/settings')).body.set.profile, 'fast')
  const { body: now } = await bench.ask('GET', '/v1/config')
  assert.equal((await bench.ask('POST', '/v1/apply', { body: now })).body.unchanged, true)
  const stale = await bench.ask('POST', '/v1/apply', { body: { ...document, planHash: plan.body.planHash } })
  assert.equal(stale.status, 412)
})

test('groups that a document leaves out stay, unless it says prune', async () => {
  const kept = await bench.ask('POST', '/v1/apply', { body: { groups: { planned: sleeper({ priority: 4 }) } } })
  assert.deepEqual(kept.body.changes, [{ what: 'group', name: 'planned', change: 'change' }])
  const dry = await bench.ask('POST', '/v1/apply?dryRun=true', { body: { groups: { planned: sleeper({ priority: 4 }) }, prune: true } })
  assert.ok(dry.body.changes.every((one: { change: string }) => one.change === 'delete') && dry.body.changes.length > 2)
  const pruned = await bench.ask('POST', '/v1/apply', { body: { groups: { planned: sleeper({ priority: 4 }) }, prune: true } })
  assert.equal(pruned.status, 200, pruned.text)
  assert.equal(pruned.body.operations.length, dry.body.changes.length)
  for (const operation of pruned.body.operations)
    assert.equal((await bench.ask('GET', `/v1/operations/${operation}?wait=30s`)).body.status, 'done')
  assert.deepEqual(Object.keys((await bench.ask('GET', '/v1/config')).body.groups), ['planned'])
})

test('the revision of the configuration changes with everything in it, and with nothing else', async () => {
  const revision = async (): Promise<unknown> => (await bench.ask('GET', '/v1/config')).headers.etag
  await bench.ask('PUT', '/v1/groups/first', { body: sleeper({ intent: 'OFFLINE' }) })
  await bench.ask('PUT', '/v1/groups/second', { body: sleeper({ intent: 'OFFLINE' }) })
  const seen = new Set([await revision()])
  for (const [method, path, body] of [
    ['PATCH', '/v1/settings', { fencingMax: 9 }],
    ['PATCH', '/v1/nodes/n1', { attributes: { a: 'b' } }],
    ['PATCH', '/v1/groups/first', { priority: 9 }],
    ['DELETE', '/v1/groups/second?wait=30s', {}],
  ] as const) {
    assert.ok((await bench.ask(method, path, { body })).status < 300, path)
    const now = await revision()
    assert.ok(!seen.has(now), path)
    seen.add(now)
  }
  await bench.ask('PUT', '/v1/store/x', { body: { value: 1 } })
  await bench.ask('PATCH', '/v1/groups/first', { body: { priority: 9 } })
  assert.ok(seen.has(await revision()))
})
