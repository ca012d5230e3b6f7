/** Shared disks through the API and the command line: set, shown, refused with a next step. No disk is there to be reached. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { runCli } from '../../src/cli/index.js'
import { sharedDiskLevel } from '../../src/core/cluster/index.js'
import { BenchCluster, sleeper } from './bench-api.js'

const iscsi = 'iscsi://127.0.0.1:1/iqn.2026-01.test:none/1'
let bench: BenchCluster
before(async () => {
  bench = await BenchCluster.single()
})
after(async () => {
  for (const name of ['data', 'quorum']) await bench.ask('DELETE', `/v1/disks/${name}`)
  await bench.close()
})

const put = (name: string, body: unknown, headers: Readonly<Record<string, string>> = {}) =>
  bench.ask('PUT', `/v1/disks/${name}`, { body, headers })

test('they are refused while a member does not understand them', async () => {
  const early = await put('data', { use: 'storage', iscsi })
  assert.deepEqual([early.status, early.body.code], [409, 'MIXED_VERSIONS'])
  const { boot, config, node } = bench.daemon()
  const guard = { guarded: true, watchdog: 'none', watchdogTimeout: 0, emergencyStop: 500 } as const
  await node?.propose({
    kind: 'register-boot',
    node: config.node,
    boot,
    guard,
    level: sharedDiskLevel,
    links: config.links,
    guardian: null,
    api: null,
  })
  await bench.until('the level to rise', async () => (await put('data', { use: 'storage', iscsi })).status < 300)
})

test('one is shown with what each node and this one see of it, and never with its password', async () => {
  const created = await put('quorum', { use: 'challenge', iscsi, user: 'u', password: 'secret', timeout: '2s' })
  assert.deepEqual([created.status, created.body.use, created.body.password, created.body.timeout], [201, 'challenge', '********', '2s'])
  const again = await put('quorum', created.body)
  assert.deepEqual([again.status, again.body.unchanged], [200, true], again.text)
  const kept = bench.daemon().node?.state.get('disks', 'quorum')?.definition.iscsi?.password ?? ''
  assert.match(kept, /^sealed:/, 'as the log, the data folder and a backup have it')
  assert.equal(bench.daemon().sealer.open(kept), 'secret')
  const all = await bench.ask('GET', '/v1/disks')
  assert.deepEqual(
    all.body.disks.map((one: { name: string }) => one.name),
    ['data', 'quorum'],
  )
  assert.ok(!all.text.includes('secret'))
  const one = (await bench.ask('GET', '/v1/disks/quorum')).body
  assert.equal(one.nodes.n1.ready, false)
  assert.equal(one.here.node, 'n1')
  assert.match(one.here.key, /^[0-9a-f]{16}$/)
})

test('passwords of fence devices are sealed, and what is sealed under another secret is refused', async () => {
  const patch = (parameters: Record<string, string>) =>
    bench.ask('PATCH', '/v1/nodes/n1', { body: { fencing: { levels: [[{ agent: '/bin/sh', parameters }]] } } })
  const known = () => bench.daemon().node?.state.get('nodes', 'n1')?.fencing.levels[0]?.[0]?.parameters ?? {}
  const { status, body } = await patch({ ip: '10.0.0.9', password: 's3cret' })
  assert.deepEqual([status, body.fencing?.levels[0][0].parameters], [200, { ip: '10.0.0.9', password: '********' }])
  const { password = '' } = known()
  assert.match(password, /^sealed:/)
  assert.equal(bench.daemon().sealer.open(password), 's3cret')
  for (const again of ['s3cret', '********', password]) {
    assert.equal((await patch({ ip: '10.0.0.9', password: again })).status, 200)
    assert.equal(known().password, password, 'the same password is no change')
  }
  for (const parameters of [{ password: `${password.slice(0, -8)}AAAAAAA=` }, { ip: password }])
    assert.equal((await patch(parameters)).body.code, 'INVALID')
  assert.doesNotMatch((await bench.ask('GET', '/v1/config')).text, /sealed:|s3cret/)
  assert.equal((await bench.ask('PATCH', '/v1/nodes/n1', { body: { fencing: null } })).status, 200)
})

test('what is wrong with one is said, with the next step', async () => {
  for (const [body, status, code] of [
    [{ iscsi }, 400, 'INVALID'],
    [{ use: 'other', iscsi }, 400, 'INVALID'],
    [{ use: 'storage' }, 422, 'INVALID_DEFINITION'],
    [{ use: 'storage', iscsi, device: '/dev/sdb' }, 422, 'INVALID_DEFINITION'],
    [{ use: 'storage', iscsi: 'iscsi://host/no-lun' }, 422, 'INVALID_DEFINITION'],
    [{ use: 'storage', device: 'sdb' }, 422, 'INVALID_DEFINITION'],
    [{ use: 'storage', device: '/dev/sdb', user: 'u' }, 400, 'INVALID'],
    [{ use: 'storage', iscsi, password: '********' }, 400, 'INVALID'],
    [{ use: 'storage', iscsi, timeout: '1ms' }, 422, 'INVALID_DEFINITION'],
    [{ use: 'challenge', iscsi }, 409, 'CONFLICT'],
    [{ use: 'storage', iscsi, lun: 1 }, 400, 'UNKNOWN_KEY'],
  ] as const) {
    const refused = await put('other', body)
    assert.deepEqual([refused.body.code, refused.status], [code, status], JSON.stringify([body, refused.body]))
    assert.ok(typeof refused.body.fix === 'string' && refused.body.fix.length > 5, refused.text)
  }
  const guarded = await put('data', { use: 'storage', iscsi, timeout: '3s' }, { 'if-match': '"1"' })
  assert.deepEqual([guarded.status, guarded.body.code], [412, 'REVISION_MISMATCH'])
  const missing = await bench.ask('GET', '/v1/disks/dta')
  assert.deepEqual([missing.status, missing.body.code, missing.body.fix], [404, 'DISK_NOT_FOUND', 'did you mean "data"?'])
})

test('groups and fence devices name them, and keep them from being deleted', async () => {
  const fencing = { levels: [[{ agent: 'scsi3', parameters: { disk: 'data' }, timeout: '10s' }]] }
  const wrong = await bench.ask('PATCH', '/v1/nodes/n1', {
    body: { fencing: { levels: [[{ agent: 'scsi3', parameters: { disk: 'dat' } }]] } },
  })
  assert.equal(wrong.body.code, 'INVALID_DEFINITION', wrong.text)
  assert.equal((await bench.ask('PATCH', '/v1/nodes/n1', { body: { fencing } })).status, 200)
  const address = { type: 'logical-hostname', parameters: { address: '127.0.0.7' } }
  const elsewhere = sleeper({ storage: 'data' }) as { resources: Record<string, unknown> }
  elsewhere.resources.ip = address
  const refused = await bench.ask('PUT', '/v1/groups/db?validate=false', { body: elsewhere })
  assert.match(refused.body.detail, /does not live on data/)
  const group = await bench.ask('PUT', '/v1/groups/db?validate=false', { body: sleeper({ storage: 'data' }) })
  assert.deepEqual([group.status, group.body.definition?.storage], [201, 'data'], group.text)
  const used = await bench.ask('DELETE', '/v1/disks/data')
  assert.deepEqual([used.status, used.body.code], [409, 'CONFLICT'])
  const { nodes } = (await bench.ask('GET', '/v1/protection')).body
  assert.equal(nodes[0].protection, 'manual', 'a node is not ended by losing its storage')
  await bench.until('the attention', async () =>
    (await bench.ask('GET', '/v1/attention')).body.attention.some((one: { code: string }) => one.code === 'DISK_LOST'),
  )
})

test('they are part of the configuration document', async () => {
  const { body } = await bench.ask('GET', '/v1/config')
  assert.deepEqual(Object.keys(body.disks), ['data', 'quorum'])
  const document = { disks: { ...body.disks, more: { use: 'storage', device: '/dev/disk/by-id/none', timeout: '5s' } } }
  const planned = await bench.ask('POST', '/v1/plan', { body: document })
  assert.deepEqual(planned.body.changes, [{ what: 'disk', name: 'more', change: 'create' }], planned.text)
  assert.equal((await bench.ask('POST', '/v1/apply', { body: document })).status, 200)
  assert.equal((await bench.ask('DELETE', '/v1/disks/more')).status, 200)
})

test('the command line shows, sets and deletes them', async () => {
  const quorate = async (...words: string[]) => {
    let said = ''
    const take = (text: string) => {
      said += text
    }
    const code = await runCli(['node', 'quorate', ...words], { out: take, error: take }, { QUORATE_SOCKET: bench.api().socket })
    return { code, said }
  }
  const set = await quorate('disk', 'set', 'third', '--use', 'storage', '--device', '/dev/disk/by-id/none', '--timeout', '5s')
  assert.deepEqual([set.code, /place +\/dev\/disk\/by-id\/none/.test(set.said)], [0, true], set.said)
  assert.match((await quorate('disk')).said, /third +storage +\/dev\/disk\/by-id\/none/)
  assert.match((await quorate('disk', 'show', 'third')).said, /n1 +no/)
  assert.equal((await quorate('disk', 'delete', 'third')).code, 0)
  assert.equal((await quorate('disk', 'show', 'third')).code, 1)
})
