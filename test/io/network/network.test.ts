import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  announcement,
  deviceOfSubnet,
  parseAddresses,
  parseDirectRoute,
  parseNeighbours,
  runningAddresses,
} from '../../../src/io/network/index.js'

const addresses = parseAddresses(
  JSON.stringify([
    { ifname: 'lo', flags: ['LOOPBACK', 'UP'], addr_info: [{ family: 'inet', local: '127.0.0.1', prefixlen: 8 }] },
    {
      ifname: 'eth0',
      flags: ['UP', 'LOWER_UP'],
      addr_info: [
        { family: 'inet', local: '10.0.0.1', prefixlen: 24 },
        { family: 'inet6', local: 'fe80::1', prefixlen: 64 },
      ],
    },
    { ifname: 'eth1', flags: [], addr_info: [{ family: 'inet', local: '10.1.0.1', prefixlen: 24 }] },
    {},
  ]),
)

test('addresses are read with their devices, IPv4 alone', () => {
  assert.deepEqual(
    addresses.map(({ device, address, prefix, up }) => [device, address, prefix, up]),
    [
      ['lo', '127.0.0.1', 8, true],
      ['eth0', '10.0.0.1', 24, true],
      ['eth1', '10.1.0.1', 24, false],
    ],
  )
  assert.deepEqual(parseAddresses(''), [])
  assert.throws(() => parseAddresses('ip: command failed'))
})

for (const [address, prefix, device] of [
  ['10.0.0.100', 24, 'eth0'],
  ['10.0.1.100', 24, undefined],
  ['10.0.0.100', 16, undefined],
  ['10.1.0.100', 24, undefined],
] as const) {
  test(`${address}/${prefix} belongs to ${device ?? 'no device that is up'}`, () =>
    assert.equal(deviceOfSubnet(addresses, address, prefix), device))
}

test('a route through a gateway is no connected network', () => {
  assert.equal(parseDirectRoute('[{"dst":"10.0.0.9","dev":"eth0"}]'), 'eth0')
  assert.equal(parseDirectRoute('[{"dst":"10.0.0.9","gateway":"10.1.0.1","dev":"eth0"}]'), undefined)
  for (const wrong of ['', '[]', 'RTNETLINK answers: Network is unreachable']) assert.equal(parseDirectRoute(wrong), undefined)
})

test('the table of neighbours tells who answered, who did not, and what a person put there', () => {
  const table = [
    'IP address       HW type     Flags       HW address            Mask     Device',
    '10.0.0.7         0x1         0x2         02:00:00:00:00:07     *        eth0',
    '10.0.0.8         0x1         0x0         00:00:00:00:00:00     *        eth0',
    '10.0.0.9         0x1         0x6         02:00:00:00:00:09     *        eth0',
    '10.0.0.7         0x1         0x0         00:00:00:00:00:00     *        eth1',
    '',
  ].join('\n')
  assert.deepEqual(parseNeighbours(table, 'eth0', '10.0.0.7'), { mac: '02:00:00:00:00:07', fixed: false })
  assert.deepEqual(parseNeighbours(table, 'eth1', '10.0.0.7'), { mac: undefined, fixed: false })
  assert.deepEqual(parseNeighbours(table, 'eth0', '10.0.0.8'), { mac: undefined, fixed: false })
  assert.deepEqual(parseNeighbours(table, 'eth0', '10.0.0.9'), { mac: '02:00:00:00:00:09', fixed: true })
  assert.equal(parseNeighbours(table, 'eth0', '10.0.0.70'), undefined)
})

test('the addresses of running devices are seen without a program', () => {
  assert.deepEqual(
    runningAddresses().filter((one) => one.address === '127.0.0.1'),
    [{ device: 'lo', address: '127.0.0.1', prefix: 8, up: true }],
  )
})

test('an announcement is given a file of its own to delete', () => {
  const argv = announcement('eth0', '10.0.0.100', '/run/there.pid') ?? []
  assert.deepEqual(
    argv.filter((word) => word.startsWith('/dev/')),
    [],
  )
})
