/** Messages of D-Bus: what is sent is read as it was, in whatever pieces it comes; and what is none is refused. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type BusMessage, BusSilent, BusVariant, connectBus, encodeMessage, MessageReader } from '../../../src/io/bus/index.js'

const message: BusMessage = {
  kind: 'reply',
  serial: 7,
  replyTo: 3,
  signature: 'ybnqiuxtdsogva{sv}a(sb)(ii)as',
  body: [
    255,
    true,
    65_000,
    7,
    3,
    4_000_000_000,
    9_007_199_254_740_991,
    1,
    0.5,
    'Grüße',
    '/a/b',
    'a{sv}',
    new BusVariant('(us)', [1, 'x']),
    [
      ['one', new BusVariant('s', '1')],
      ['two', new BusVariant('as', ['a', 'b'])],
    ],
    [
      ['p', true],
      ['q', false],
    ],
    [1, 2],
    [],
  ],
}
const read = [255, true, -536, 7, 3, 4_000_000_000, 9_007_199_254_740_991, 1, 0.5, 'Grüße', '/a/b', 'a{sv}', [1, 'x']]
const rest = [
  [
    ['one', '1'],
    ['two', ['a', 'b']],
  ],
  [
    ['p', true],
    ['q', false],
  ],
  [1, 2],
  [],
]

test('every kind of value is read as it was sent', () => {
  const [found, ...more] = new MessageReader().push(encodeMessage(message))
  assert.equal(more.length, 0)
  assert.deepEqual(found, { ...message, body: [...read, ...rest] })
})

test('messages come out whole, in whatever pieces they come', () => {
  const one = encodeMessage(message)
  const two = encodeMessage({ kind: 'signal', serial: 8, path: '/x', interface: 'a.b', member: 'C', body: [] })
  const all = new Uint8Array([...one, ...two, ...one])
  for (const size of [1, 7, 64, all.length]) {
    const reader = new MessageReader()
    const found: BusMessage[] = []
    for (let at = 0; at < all.length; at += size) found.push(...reader.push(all.subarray(at, at + size)))
    assert.deepEqual(
      found.map(({ kind, serial }) => [kind, serial]),
      [
        ['reply', 7],
        ['signal', 8],
        ['reply', 7],
      ],
    )
  }
})

test('the bytes are those of the specification', () => {
  // A call without arguments, put together by hand from the specification.
  const wanted = [
    ...[0x6c, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0], // little-endian, call, no flags, version 1, empty body, serial 1
    ...[0x1d, 0, 0, 0], // 29 bytes of fields
    ...[1, 1, 0x6f, 0, 2, 0, 0, 0, 0x2f, 0x61, 0, 0, 0, 0, 0, 0], // path /a, and up to the next multiple of eight
    ...[3, 1, 0x73, 0, 4, 0, 0, 0, 0x50, 0x69, 0x6e, 0x67, 0, 0, 0, 0], // member Ping, and up to the next multiple of eight
  ]
  assert.deepEqual([...encodeMessage({ kind: 'call', serial: 1, path: '/a', member: 'Ping', body: [] })], wanted)
})

test('what is no message is refused', () => {
  const good = encodeMessage(message)
  const changed = (at: number, ...bytes: number[]) => {
    const bad = good.slice()
    bad.set(bytes, at)
    return bad
  }
  assert.throws(() => new MessageReader().push(new TextEncoder().encode('HTTP/1.1 400 Bad Request\r\n')), /no message/)
  assert.throws(() => new MessageReader().push(changed(3, 9)), /version/)
  assert.throws(() => new MessageReader().push(changed(4, 255, 255, 255, 127)), /too large/)
  assert.throws(() => new MessageReader().push(changed(12, 255, 255, 255, 127)), /too large/)
})

test('no bytes bring the reader down, or have it read for ever', () => {
  const good = encodeMessage(message)
  for (let at = 0; at < good.length; at++)
    for (const value of [0, 1, 40, 97, 123, 255]) {
      const bad = good.slice()
      bad[at] = value
      try {
        new MessageReader().push(bad)
      } catch (error) {
        assert.ok(error instanceof Error)
      }
    }
})

test('a bus that accepts and says nothing is given up in time', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-bus-'))
  const path = join(folder, 'bus')
  const server = createServer((socket) => void socket.on('error', () => {}).resume())
  await new Promise<void>((resolve) => server.listen(path, resolve))
  try {
    await assert.rejects(connectBus(path, { onSignal: () => {}, onClosed: () => {} }, 100), BusSilent)
    await assert.rejects(connectBus(join(folder, 'none'), { onSignal: () => {}, onClosed: () => {} }, 100), BusSilent)
  } finally {
    server.close()
    rmSync(folder, { recursive: true, force: true })
  }
})
