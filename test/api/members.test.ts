/** Members of the consensus with real daemons: a disk that is lost, a node that is invited, one that leaves; over snapshots from real stores. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { parse } from 'yaml'
import { runCli } from '../../src/cli/index.js'
import { BenchCluster } from './bench-api.js'

let bench: BenchCluster

before(async () => {
  bench = await BenchCluster.of(['n1', 'n2', 'n3'])
  bench.compaction = { above: 20_000, keep: 2_000 }
  await Promise.all(['n1', 'n2', 'n3'].map((name) => bench.start(name)))
  await bench.until('the cluster to form', async () => (await bench.ask('GET', '/v1/status')).body.quorate === true)
})
after(() => bench.close())

interface Shown {
  readonly member: string
  readonly node: string
  readonly role: string
  readonly settled: boolean
}

async function members(): Promise<readonly Shown[]> {
  for (const node of ['n1', 'n2']) {
    const { status, body } = await bench.ask('GET', '/v1/members', { node })
    if (status === 200) return body.members
  }
  return []
}

/** Until every node has one member, which votes. */
async function settled(names: readonly string[]): Promise<readonly Shown[]> {
  let found: readonly Shown[] = []
  await bench.until(`${names.join()} to be the voters`, async () => {
    found = await members()
    const voters = found.filter((one) => one.role === 'voter' && one.settled).map((one) => one.node)
    return found.length === names.length && voters.sort().join() === [...names].sort().join()
  })
  return found
}

async function write(count: number, from: number): Promise<void> {
  for (let at = from; at < from + count; at++) {
    const { status } = await bench.ask('PUT', `/v1/store/key-${at}`, { body: { value: `${at} ${'x'.repeat(200)}` } })
    assert.ok(status === 200 || status === 201, `put ${at}: ${status}`)
  }
}

test('a node whose disk was lost joins as a new member, and gets by a snapshot what the others no longer have in their logs', async () => {
  const before = await settled(['n1', 'n2', 'n3'])
  await write(200, 0)
  await bench.stop('n3')
  bench.wipe('n3')
  await write(100, 200)
  await bench.until('the log to be compacted', () => Promise.resolve(bench.daemon('n1').node?.consensus.logBase !== 0))
  await bench.start('n3')
  const memberOf = (list: readonly Shown[], node: string) => list.find((one) => one.node === node)?.member
  await bench.until('n3 to be admitted', async () =>
    (await members()).some((one) => one.node === 'n3' && one.member !== memberOf(before, 'n3')),
  )
  const now = await settled(['n1', 'n2', 'n3'])
  assert.notEqual(memberOf(now, 'n3'), memberOf(before, 'n3'))
  assert.equal(memberOf(now, 'n1'), memberOf(before, 'n1'))
  for (const key of [0, 150, 299]) {
    const { status, body } = await bench.ask('GET', `/v1/store/key-${key}?consistency=local`, { node: 'n3' })
    assert.equal(status, 200)
    assert.ok(String(body.value).startsWith(`${key} `))
  }
  assert.ok(
    bench.logged.some((line) => line.startsWith('n3 info has the state of index')),
    'it came by a snapshot',
  )
})

test('it goes on from its own disk after that', async () => {
  await bench.stop('n3')
  await write(5, 300)
  await bench.start('n3')
  await bench.until('n3 to have what it missed', async () => {
    const { status } = await bench.ask('GET', '/v1/store/key-304?consistency=local', { node: 'n3' })
    return status === 200
  })
  await settled(['n1', 'n2', 'n3'])
})

describe('a node that is invited', () => {
  test('is refused without an invitation, and says so', async () => {
    await bench.add('n4')
    await bench.start('n4')
    await bench.until('n4 to be refused', async () => {
      const { body } = await bench.ask('GET', '/v1/status', { node: 'n4' })
      return /no invitation/.test(JSON.stringify(body))
    })
    await bench.stop('n4')
    assert.equal((await members()).length, 3)
  })

  test('joins by the file that quorate join writes, and votes', async () => {
    const { status, body } = await bench.ask('POST', '/v1/members', { body: { node: 'n5' } })
    assert.equal(status, 201)
    const config = join(bench.folder, 'joined.yaml')
    const { cluster } = parse(readFileSync(bench.configOf('n1'), 'utf8'))
    const cli = async (...args: string[]) => {
      let text = ''
      const take = (part: string): void => {
        text += part
      }
      const terminal = { out: take, error: take }
      return { code: await runCli(['node', 'quorate', ...args], terminal, {}), text }
    }
    const args = ['join', body.invitation, '--link', '127.0.0.1:1', '--secret', cluster.secretFile, '--config', config]
    const wrote = await cli(...args)
    assert.equal(wrote.code, 0, wrote.text)
    const file = parse(readFileSync(config, 'utf8'))
    assert.equal(file.node, 'n5')
    assert.deepEqual(Object.keys(file.cluster.members).sort(), ['n1', 'n2', 'n3', 'n5'])
    const again = await cli(...args)
    assert.equal(again.code, 64)
    assert.match(again.text, /exists already/)
    assert.ok(existsSync(config))

    await bench.add('n5', { invitation: file.cluster.invitation })
    await bench.start('n5')
    await settled(['n1', 'n2', 'n3', 'n5'])
    assert.equal((await bench.ask('GET', '/v1/store/key-42', { node: 'n5' })).status, 200)
  })

  test('the word of an invitation works once', async () => {
    const { cluster } = parse(readFileSync(bench.configOf('n5'), 'utf8'))
    await bench.add('n6', { invitation: cluster.invitation })
    await bench.start('n6')
    await bench.until('n6 to be refused', async () =>
      /no invitation/.test(JSON.stringify((await bench.ask('GET', '/v1/status', { node: 'n6' })).body)),
    )
    await bench.stop('n6')
  })
})

describe('a member that leaves', () => {
  test('is refused while its node stands in a group, with what to do', async () => {
    const group = {
      nodes: ['n5', 'n1'],
      resources: { app: { type: 'tcp', parameters: { host: '127.0.0.1', port: 9 } } },
      intent: 'OFFLINE',
    }
    assert.equal((await bench.ask('PUT', '/v1/groups/web', { body: group })).status, 201)
    const member = (await members()).find((one) => one.node === 'n5')?.member
    const { status, body } = await bench.ask('DELETE', `/v1/members/${member}`)
    assert.equal(status, 409)
    assert.match(body.detail, /node list of web/)
    assert.match(body.fix, /nodes/)
    assert.equal((await bench.ask('DELETE', '/v1/groups/web?wait=10s')).status, 200)
  })

  test('goes, and its node with it', async () => {
    const member = (await members()).find((one) => one.node === 'n5')?.member
    const { status, body } = await bench.ask('DELETE', `/v1/members/${member}?wait=20s`)
    assert.equal(status, 200, JSON.stringify(body))
    await settled(['n1', 'n2', 'n3'])
    assert.equal((await bench.ask('GET', '/v1/nodes/n5')).status, 404)
    await bench.stop('n5')
    assert.equal((await bench.ask('PUT', '/v1/store/after', { body: { value: 1 } })).status, 200)
  })

  test('one that nobody knows is not found', async () => {
    const { status, body } = await bench.ask('DELETE', '/v1/members/nobody')
    assert.equal(status, 404)
    assert.equal(body.code, 'MEMBER_NOT_FOUND')
  })
})

test('a removal that would leave no majority that answers is not begun, and the reason is told', async () => {
  await bench.stop('n3')
  const [first] = await members()
  const other = (await members()).find((one) => one.node === 'n2')
  assert.ok(first !== undefined && other !== undefined)
  await bench.until('n3 to be missed', async () => {
    const { body } = await bench.ask('GET', '/v1/nodes/n3/detector')
    const silence = body.heardBy.map((one: { silenceMs: number }) => one.silenceMs)
    return silence.length === 2 && Math.min(...silence) > 2_000
  })
  // n3 is silent: without n2 one voter of two would be left to answer.
  const { status } = await bench.ask('DELETE', `/v1/members/${other.member}`)
  assert.equal(status, 202)
  await bench.until('the reason to be told', async () => {
    const { body } = await bench.ask('GET', '/v1/members')
    return /too few of the voters/.test(String(body.waitingFor))
  })
  await bench.start('n3')
  await settled(['n1', 'n3'])
})
