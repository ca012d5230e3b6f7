/** `logical-hostname` on a real network: two namespaces and a cable between them. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { after, before, test } from 'node:test'
import type { MonitorReport } from '../../src/core/monitor/index.js'
import { BenchNode, group, resource } from '../monitor/bench-node.js'

const mine = `qm${process.pid}`
const peer = `qp${process.pid}`
const address = '10.99.7.100'

let bench: BenchNode

const ip = (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
const addressesOf = (namespace: string) => ip('-n', namespace, '-4', '-o', 'addr', 'show')

before(async () => {
  for (const namespace of [mine, peer]) ip('netns', 'add', namespace)
  ip('link', 'add', 'eth0', 'netns', mine, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', peer)
  for (const [namespace, host] of [
    [mine, '10.99.7.1/24'],
    [peer, '10.99.7.2/24'],
  ] as const) {
    ip('-n', namespace, 'addr', 'add', host, 'dev', 'eth0')
    for (const device of ['lo', 'eth0']) ip('-n', namespace, 'link', 'set', device, 'up')
  }
  bench = new BenchNode('auto', ['ip', 'netns', 'exec', mine])
  bench.startMonitor()
  await bench.hello()
})
after(async () => {
  await bench.close()
  for (const namespace of [mine, peer]) ip('netns', 'del', namespace)
})

const hostname = (parameters: Record<string, string> = {}) =>
  resource({ type: 'logical-hostname', parameters: { address: `${address}/24`, ...parameters }, probe: { interval: 100, timeout: 5_000 } })

async function stray(probeId: string, definition = hostname()) {
  bench.order({ kind: 'probe', group: group('stray'), probeId, resources: { ip: definition } as never })
  const report = await bench.until<Extract<MonitorReport, { kind: 'probed' }>>(
    'the probe',
    (said) => said.kind === 'probed' && said.probeId === probeId,
  )
  return report.result
}

test('the address comes up on the device of its network, is announced, and goes again', async () => {
  const before = ip('-n', peer, 'neigh', 'show', address)
  assert.equal(before.trim(), '')
  // The peer takes gratuitous ARP into its table only for what it knows: an old entry with a wrong MAC.
  ip('-n', peer, 'neigh', 'replace', address, 'lladdr', '02:00:00:00:00:99', 'dev', 'eth0', 'nud', 'reachable')
  bench.run('a', { ip: hostname() })
  await bench.groupIs('a', 'ONLINE')
  assert.match(addressesOf(mine), new RegExp(`eth0 .*${address}/24`))
  const mac = /link\/ether (\S+)/.exec(ip('-n', mine, 'link', 'show', 'eth0'))?.[1]
  assert.ok(mac)
  await bench.eventually('the announcement', () => ip('-n', peer, 'neigh', 'show', address).includes(mac))
  bench.stop('a')
  await bench.groupIs('a', 'STOPPED')
  assert.doesNotMatch(addressesOf(mine), new RegExp(address))
})

test('an address that somebody takes away is missed', async () => {
  bench.run('b', { ip: hostname() })
  await bench.groupIs('b', 'ONLINE')
  await bench.look('b', 'ip')
  ip('-n', mine, 'addr', 'del', `${address}/24`, 'dev', 'eth0')
  assert.equal((await bench.failureOf('b'))?.event, 'died')
  bench.stop('b')
  await bench.groupIs('b', 'STOPPED')
})

test('an address that another machine has is not taken', async () => {
  ip('-n', peer, 'addr', 'add', `${address}/24`, 'dev', 'eth0')
  try {
    bench.run('c', { ip: hostname() })
    assert.match((await bench.failureOf('c'))?.detail ?? '', new RegExp(`${address} is in use on eth0 by (..:){5}..`))
    assert.doesNotMatch(addressesOf(mine), new RegExp(address))
    bench.stop('c')
    await bench.groupIs('c', 'STOPPED')
  } finally {
    ip('-n', peer, 'addr', 'del', `${address}/24`, 'dev', 'eth0')
  }
})

test('a neighbour that is known from earlier is not taken for one that has the address, and one that has it is found all the same', async () => {
  const remember = () => ip('-n', mine, 'neigh', 'replace', address, 'lladdr', '02:00:00:00:00:99', 'dev', 'eth0', 'nud', 'stale')
  remember()
  bench.run('f', { ip: hostname() })
  await bench.groupIs('f', 'ONLINE')
  bench.stop('f')
  await bench.groupIs('f', 'STOPPED')
  ip('-n', peer, 'addr', 'add', `${address}/24`, 'dev', 'eth0')
  try {
    remember()
    bench.run('g', { ip: hostname() })
    assert.match((await bench.failureOf('g'))?.detail ?? '', new RegExp(`${address} is in use on eth0`))
    bench.stop('g')
    await bench.groupIs('g', 'STOPPED')
  } finally {
    ip('-n', peer, 'addr', 'del', `${address}/24`, 'dev', 'eth0')
  }
})

test('an address that is there twice is taken down everywhere, also from a device that is down', async () => {
  ip('-n', mine, 'link', 'add', 'spare', 'type', 'veth', 'peer', 'name', 'other')
  bench.run('h', { ip: hostname() })
  await bench.groupIs('h', 'ONLINE')
  ip('-n', mine, 'addr', 'add', `${address}/32`, 'dev', 'spare')
  bench.stop('h')
  await bench.groupIs('h', 'STOPPED')
  assert.doesNotMatch(addressesOf(mine), new RegExp(address))
})

test('an address of no connected network needs a device', async () => {
  const elsewhere = { address: '192.0.2.7/24' }
  bench.run('d', { ip: hostname(elsewhere) })
  assert.match((await bench.failureOf('d'))?.detail ?? '', /name one with the parameter "device"/)
  bench.stop('d')
  await bench.groupIs('d', 'STOPPED')
  bench.run('e', { ip: hostname({ ...elsewhere, device: 'eth0' }) })
  await bench.groupIs('e', 'ONLINE')
  bench.stop('e')
  await bench.groupIs('e', 'STOPPED')
})

test('a stray address is found', async () => {
  assert.equal(await stray('clean'), 'clean')
  ip('-n', mine, 'addr', 'add', `${address}/24`, 'dev', 'eth0')
  assert.equal(await stray('running'), 'running')
  ip('-n', mine, 'addr', 'del', `${address}/24`, 'dev', 'eth0')
})
