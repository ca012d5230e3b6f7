/** Maintenance and freeze as people ask for them: an end and an owner, shown everywhere, told when they are about to end and when they have. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { BenchCluster, sleeper } from './bench-api.js'

let bench: BenchCluster
before(async () => {
  bench = await BenchCluster.single()
  // This daemon has no monitor, and tells of its boot only once it has one.
  const { node, boot } = bench.daemon()
  const guard = { guarded: false, watchdog: 'none', watchdogTimeout: 0, emergencyStop: 1_000 } as const
  await node?.propose({ kind: 'register-boot', node: 'n1' as never, boot, guard, level: 4, links: [], guardian: null, api: null }, {})
  await bench.until('the level to rise', () => Promise.resolve(node?.state.get('meta', 'cluster')?.level === 4))
  assert.equal((await bench.ask('PUT', '/v1/groups/web', { body: sleeper({ intent: 'OFFLINE' }) })).status, 201)
})
after(() => bench.close())

const maintain = (body: object, query = '') => bench.ask('POST', `/v1/nodes/n1/maintenance${query}`, { body })
const attention = async () =>
  (await bench.ask('GET', '/v1/attention')).body.attention as { code: string; subject: string; text: string; fix: string }[]
const of = async (code: string) => (await attention()).find((item) => item.code === code)

test('maintenance has an owner, a reason and an end, and is shown wherever the node is', async () => {
  const set = await maintain({ for: '30m', reason: 'new memory', owner: 'ada' })
  assert.equal(set.status, 200, set.text)
  const { owner, reason, by, probes } = set.body.maintenance
  assert.deepEqual([owner, reason, by, probes], ['ada', 'new memory', 'the local socket of n1', 'keep'])
  assert.match(set.body.maintenance.remaining, /^(30m|29\.?\d*m|1\d{3}s)$/)
  assert.equal((await bench.ask('GET', '/v1/nodes')).body.nodes[0].maintenance.owner, 'ada')
  const status = (await bench.ask('GET', '/v1/status')).body
  assert.deepEqual([status.frozen.length, status.frozen[0].node, status.frozen[0].reason], [1, 'n1', 'new memory'])
  assert.equal(status.nodes[0].maintenance.reason, 'new memory')
  assert.equal(await of('MAINTENANCE_ENDS'), undefined, 'there is time left')
})

test('whoever asks is the owner unless one is named', async () => {
  const set = await maintain({ for: '30m', reason: 'x', probes: 'pause' })
  assert.deepEqual(
    [set.body.maintenance.owner, set.body.maintenance.by, set.body.maintenance.probes],
    ['the local socket of n1', undefined, 'pause'],
  )
  const tcp = await bench.ask('POST', '/v1/nodes/n1/maintenance', { body: { for: '30m', reason: 'x' }, overTcp: true })
  assert.equal(tcp.body.maintenance.owner, '127.0.0.1 without a key, at n1')
})

test('what the node is asked for meanwhile says who is at work, and how to end it', async () => {
  const leaving = await bench.ask('POST', '/v1/nodes/n1/leave', { body: { anyway: true } })
  assert.deepEqual([leaving.status, leaving.body.code], [409, 'CONFLICT'])
  assert.match(leaving.body.fix, /maintenance \{"end": true\}/)
})

test('a dry run changes nothing', async () => {
  const dry = await maintain({ end: true }, '?dryRun=true')
  assert.equal(dry.status, 200, dry.text)
  assert.match(dry.body.events.join(), /the maintenance of n1 .* was ended/)
  assert.notEqual((await bench.ask('GET', '/v1/nodes/n1')).body.maintenance, null)
})

test('it is told before it ends, ends by itself, and that is told until somebody has seen it', async () => {
  await maintain({ for: '1s', reason: 'a moment', owner: 'ada' })
  const soon = await of('MAINTENANCE_ENDS')
  if (soon !== undefined) assert.match(soon.text, /the maintenance of n1 by ada \(a moment\) ends in/)
  await bench.until('its end', async () => (await bench.ask('GET', '/v1/nodes/n1')).body.maintenance === null)
  const ended = await of('MAINTENANCE_ENDED')
  assert.match(ended?.text ?? '', /the maintenance of n1 by ada \(a moment\) ended by itself/)
  assert.equal((await bench.ask('GET', '/v1/nodes/n1')).body.lapsed.owner, 'ada')
  assert.equal((await bench.ask('POST', '/v1/nodes/n1/clear')).status, 200)
  assert.equal(await of('MAINTENANCE_ENDED'), undefined)
})

test('a person ends it, once or twice', async () => {
  await maintain({ for: '4m', reason: 'x', owner: 'ada' })
  assert.match((await of('MAINTENANCE_ENDS'))?.fix ?? '', /extend it/)
  for (let time = 0; time < 2; time++) {
    const ended = await maintain({ end: true })
    assert.deepEqual([ended.status, ended.body.maintenance, ended.body.lapsed], [200, null, null], ended.text)
  }
})

test('a freeze of a group needs no owner either, may pause probes, and is told when it ends', async () => {
  const frozen = await bench.ask('POST', '/v1/groups/web/freeze', { body: { for: '1h', reason: 'the disk', probes: 'pause' } })
  assert.deepEqual([frozen.body.frozen.owner, frozen.body.frozen.probes], ['the local socket of n1', 'pause'], frozen.text)
  assert.equal((await bench.ask('GET', '/v1/groups')).body.groups[0].frozen.reason, 'the disk')
  assert.equal((await bench.ask('POST', '/v1/groups/web/online')).body.code, 'FROZEN')
  assert.equal((await bench.ask('GET', '/v1/status')).body.frozen[0].group, 'web')
  await bench.ask('POST', '/v1/groups/web/freeze', { body: { for: '1s', reason: 'a moment', owner: 'ada' } })
  await bench.until('its end', async () => (await bench.ask('GET', '/v1/groups/web')).body.frozen === null)
  assert.match((await of('FREEZE_ENDED'))?.text ?? '', /the freeze of web by ada \(a moment\) ended by itself/)
  await bench.ask('POST', '/v1/groups/web/clear')
  assert.equal(await of('FREEZE_ENDED'), undefined)
})

test('what is asked of resources that do not run is refused with the reason', async () => {
  for (const [path, body] of [
    ['restart', {}],
    ['probe', { deep: true }],
    ['actions/rotate', {}],
  ] as const) {
    const { status, body: problem } = await bench.ask('POST', `/v1/groups/web/resources/main/${path}`, { body })
    assert.deepEqual([path, status, problem.code], [path, 409, 'CONFLICT'])
  }
  assert.equal((await bench.ask('POST', '/v1/groups/web/resources/mian/restart')).status, 409)
  const again = await bench.ask('POST', '/v1/groups/web/resources/main/actions/rotate', { headers: { 'idempotency-key': 'a' } })
  assert.deepEqual([again.status, again.body.code], [400, 'INVALID'])
})

test('where it is looked for outside control is part of a group, as usual unless it says otherwise', async () => {
  const usual = (await bench.ask('GET', '/v1/groups/web')).body.definition.offlineProbe
  assert.deepEqual(usual, { interval: '1m', onFound: 'stopExtra' })
  const offlineProbe = { interval: 0, onFound: 'block' }
  const put = await bench.ask('PUT', '/v1/groups/quiet', { body: sleeper({ intent: 'OFFLINE', offlineProbe }) })
  assert.deepEqual(put.body.definition.offlineProbe, { interval: '0ms', onFound: 'block' }, put.text)
  const again = await bench.ask('PUT', '/v1/groups/quiet', { body: put.body.definition })
  assert.equal(again.body.unchanged, true, again.text)
  const wrong = await bench.ask('PUT', '/v1/groups/other', { body: sleeper({ offlineProbe: { interval: '10ms' } }) })
  assert.deepEqual([wrong.status, wrong.body.code], [422, 'INVALID_DEFINITION'])
})

test('a copy where nobody granted one needs a person', async () => {
  const { node, boot } = bench.daemon()
  const definition = node?.state.get('groups', 'web')?.resourcesRevision as never
  const since = node?.state.get('groups', 'web')?.probedSince
  const result = await node?.propose({
    kind: 'probed',
    node: 'n1' as never,
    boot,
    group: 'web' as never,
    definition,
    result: 'running',
    detail: 'main ONLINE',
    ...(since === undefined ? {} : { since: Math.max(since, node.state.get('nodes', 'n1')?.probedSince ?? 0) as never }),
  })
  assert.deepEqual(result?.ok === true ? result.value : result, {})
  assert.match((await of('STRAY'))?.text ?? '', /something of web runs on n1 without a grant/)
})
