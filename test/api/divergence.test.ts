/** A member whose state has come to differ from the others', behind the back of everything that checks it: real daemons and stores. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Level } from 'level'
import { ClusterError, crc32c, decode, encode } from '../../src/base/index.js'
import { changedSum, checksumOn, decodeMeta, encodeMeta, metaKey } from '../../src/io/store/rows.js'
import { BenchCluster } from './bench-api.js'

const names = ['n1', 'n2', 'n3'] as const
let bench: BenchCluster

before(async () => {
  bench = await BenchCluster.of(names)
  await Promise.all(names.map((name) => bench.start(name)))
  await bench.until('the cluster to form', async () => (await bench.ask('GET', '/v1/status')).body.quorate === true)
})
after(() => bench.close())

async function put(value: string): Promise<void> {
  const { status } = await bench.ask('PUT', '/v1/store/key', { body: { value } })
  assert.ok(status === 200 || status === 201, `put: ${status}`)
}

/** Another value in place of the right one, and a sum that goes with it: nothing that one member has by itself shows that it is wrong. */
async function alter(name: string): Promise<void> {
  const database = new Level<string, Uint8Array>(join(bench.folder, name, 'data', 'applied'), { valueEncoding: 'view' })
  const key = 'store\0key'
  const [row, metaBytes] = [await database.get(key), await database.get(metaKey)]
  assert.ok(row !== undefined && metaBytes !== undefined)
  const meta = decodeMeta(metaBytes)
  const other = encode({ ...(decode(row) as object), value: 'what nobody wrote' })
  const ofKey = crc32c(Buffer.from(key))
  const sum = changedSum(meta.sum, checksumOn(ofKey, row), checksumOn(ofKey, other))
  await database.batch([
    { type: 'put', key, value: other },
    { type: 'put', key: metaKey, value: encodeMeta({ ...meta, sum }) },
  ])
  await database.close()
}

test('it finds out by what the others say, stops, does not start again, and comes back as another member', {
  timeout: 90_000,
}, async () => {
  await put('right')
  await bench.until('n3 to have it', async () => (await bench.ask('GET', '/v1/store/key', { node: 'n3' })).body.value === 'right')
  await bench.stop('n3')
  await alter('n3')

  const ended = new Promise<unknown>((resolve) => {
    bench.onFatal = (name, error) => resolve(name === 'n3' ? error : new Error(`${name} ended: ${error}`))
  })
  await bench.start('n3')
  const error = await ended
  assert.ok(error instanceof ClusterError, String(error))
  assert.equal(error.code, 'STATE_DIVERGED')
  assert.match(error.message, /another one than on 2 other members/)
  assert.match(String(error.fix), /move the data folder away/)
  await bench.stop('n3')
  await put('they go on')

  await assert.rejects(bench.start('n3'), (refused) => refused instanceof ClusterError && refused.code === 'STATE_DIVERGED')

  bench.onFatal = undefined
  bench.wipe('n3')
  await bench.start('n3')
  await bench.until('n3 to be here again', async () => {
    const { status, body } = await bench.ask('GET', '/v1/store/key', { node: 'n3' })
    return status === 200 && body.value === 'they go on'
  })
})
