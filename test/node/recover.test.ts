/** The last way out with real daemons: two of three disks are gone for good, the third carries on. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { NodeId } from '../../src/base/index.js'
import { readNodeConfig } from '../../src/io/node-file/index.js'
import { openStore } from '../../src/io/store/index.js'
import { inspectForRecovery, recoverFrom, recoveryText } from '../../src/node/index.js'
import { BenchCluster } from '../api/bench-api.js'

let bench: BenchCluster
const names = ['n1', 'n2', 'n3']
/** Lease, emergency stop and clocks that differ: then no lease counts any more. */
const longestLease = 12_000

before(async () => {
  bench = await BenchCluster.of(names)
  await Promise.all(names.map((name) => bench.start(name)))
  await bench.until('the cluster to form', async () => (await bench.ask('GET', '/v1/status')).body.quorate === true)
  const body = { nodes: names, intent: 'OFFLINE', resources: { app: { type: 'tcp', parameters: { host: '127.0.0.1', port: 9 } } } }
  assert.equal((await bench.ask('PUT', '/v1/groups/web', { body })).status, 201)
  for (let at = 0; at < 20; at++) assert.equal((await bench.ask('PUT', `/v1/store/key-${at}`, { body: { value: at } })).status, 200)
  for (const name of names) await bench.stop(name)
})
after(() => bench.close())

test('it says what it knows, and changes nothing before the node is named', async () => {
  const config = readNodeConfig(bench.configOf('n1'))
  const view = await inspectForRecovery(config)
  assert.deepEqual([...view.lost].sort(), ['n2', 'n3'])
  assert.ok(view.appliedIndex > 20)
  assert.match(recoveryText(view), /what n[23], n[23] committed after that is lost[\s\S]*web: held by nobody/)
  await assert.rejects(recoverFrom(config, 'n2', 'typed wrong'), { code: 'INVALID' })
  assert.deepEqual(await inspectForRecovery(config), view)
})

test('broken off, it starts nothing until it is carried on again', async () => {
  const config = readNodeConfig(bench.configOf('n1'))
  const nobody = { onPersisted: () => undefined, onFailure: () => undefined }
  const { store, restored } = await openStore(config.dataDir, nobody)
  assert.ok(restored.identity !== undefined)
  await store.writeIdentity({ ...restored.identity, phase: 'recovering' })
  await store.close()
  await assert.rejects(bench.start('n1'), { code: 'CONFLICT', message: /broken off/ })
})

test('carried on, it leads alone with everything it had; a node of the time before is turned away, an empty one joins', async () => {
  const config = readNodeConfig(bench.configOf('n1'))
  const { clusterId } = await recoverFrom(config, 'n1', 'the others burned')
  await bench.start('n1')
  await bench.until('n1 to lead alone', async () => (await bench.ask('GET', '/v1/status')).body.leader === 'n1')
  assert.equal((await bench.ask('GET', '/v1/store/key-19')).body.value, 19)
  assert.equal((await bench.ask('PUT', '/v1/store/after', { body: { value: 1 } })).status, 200)
  assert.notEqual(bench.daemon('n1').node?.consensus.clusterId, clusterId)
  const members = async () => (await bench.ask('GET', '/v1/members')).body.members
  assert.deepEqual(
    (await members()).map((one: { node: string; role: string }) => [one.node, one.role]),
    [['n1', 'voter']],
  )

  await bench.start('n2')
  await bench.until(
    'n2 to be turned away',
    async () =>
      bench.daemon('n1').turnedAway.some(({ reason }) => reason.includes(clusterId)) ||
      bench.daemon('n2').turnedAway.some(({ reason }) => reason.includes(clusterId)),
  )
  // Nobody may state that it is off while its heartbeats come, though it is no member.
  const { boot } = bench.daemon('n2')
  const unheard = async () => {
    const answer = await bench.daemon('n1').node?.ask('n1' as NodeId, { kind: 'unheard', node: 'n2' as NodeId, boot })
    return (answer as { readonly unheard: boolean } | undefined)?.unheard === true
  }
  await new Promise((resolve) => setTimeout(resolve, longestLease))
  assert.equal(await unheard(), false)
  await bench.stop('n2')
  await bench.until('n2 to be unheard', unheard)

  bench.wipe('n3')
  await bench.start('n3')
  await bench.until('n3 to vote', async () =>
    (await members()).some((one: { node: string; role: string }) => one.node === 'n3' && one.role === 'voter'),
  )
  assert.equal((await bench.ask('GET', '/v1/store/key-7', { node: 'n3' })).body.value, 7)
})
