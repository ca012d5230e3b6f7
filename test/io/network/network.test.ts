import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deviceOfSubnet, parseAddresses, parseDirectRoute } from '../../../src/io/network/index.js'

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
