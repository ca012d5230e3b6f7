import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { deriveKey, type OpenedDatagrams, openDatagrams, payloadMax } from '../../../src/io/datagram/index.js'
import { decodePacket, encodePacket } from '../../../src/io/datagram/packet.js'
import { ReplayWindow, windowSize } from '../../../src/io/datagram/replay-window.js'
import type { PeerAddress } from '../../../src/io/peers/index.js'
import { loopback, until } from '../peers/sockets.js'

const limit = { timeout: 60_000 }
const clusterKey = deriveKey('a secret', 'heartbeats')
const anyLink = { host: loopback, port: 0 }
const nonce = Buffer.from('0011223344556677', 'hex')

interface Told {
  readonly messages: { sender: string; link: number; message: unknown; from: PeerAddress }[]
  readonly unreachable: PeerAddress[]
}

async function opened(
  self: string,
  links: readonly PeerAddress[] = [anyLink],
  key = clusterKey,
): Promise<OpenedDatagrams & { told: Told }> {
  const told: Told = { messages: [], unreachable: [] }
  const datagrams = await openDatagrams({
    self,
    key: (sender) => (/^n\d$/.test(sender) ? clusterKey : sender === 'guardian:n2' ? deriveKey('a secret', 'guardian n2') : undefined),
    sendKey: key,
    links,
    listener: {
      onDatagram: (sender, link, message, from) => told.messages.push({ sender, link, message, from }),
      onUnreachable: (to) => told.unreachable.push(to),
    },
  })
  return Object.assign(datagrams, { told })
}

const linkOf = (datagrams: OpenedDatagrams, link = 0): PeerAddress => datagrams.links[link] as PeerAddress

/** Sends the packets as they are, from a socket of its own. */
async function sendRaw(to: PeerAddress, packets: readonly Uint8Array[]): Promise<void> {
  const socket = createSocket('udp4')
  for (const packet of packets) await new Promise<void>((resolve) => socket.send(packet, to.port, to.host, () => resolve()))
  socket.close()
  await once(socket, 'close')
}

describe('datagrams', limit, () => {
  test('arrive with sender, link and address; large ones too', async () => {
    const a = await opened('n1', [anyLink, { host: '127.0.0.2', port: 0 }])
    const b = await opened('n2', [anyLink, { host: '127.0.0.2', port: 0 }])
    a.send(0, linkOf(b), { kind: 'heartbeat', seq: 1 })
    a.send(1, linkOf(b, 1), Buffer.alloc(payloadMax - 8, 5))
    await until(() => b.told.messages.length === 2)
    const [first, second] = [0, 1].map((link) => b.told.messages.find((message) => message.link === link))
    assert.deepEqual(first, { sender: 'n1', link: 0, message: { kind: 'heartbeat', seq: 1 }, from: linkOf(a) })
    assert.deepEqual(second?.from, linkOf(a, 1))
    assert.deepEqual(second?.message, Buffer.alloc(payloadMax - 8, 5))
    assert.throws(() => a.send(0, linkOf(b), Buffer.alloc(payloadMax + 1)), /bounded size/)
    await Promise.all([a.close(), b.close()])
  })

  test('each sender is verified by its own key', async () => {
    const guardian = await opened('guardian:n2', [anyLink], deriveKey('a secret', 'guardian n2'))
    const pretender = await opened('guardian:n2', [anyLink], deriveKey('a secret', 'guardian n3'))
    const a = await opened('n1')
    pretender.send(0, linkOf(a), 'sealed')
    await until(() => a.counters().dropped.forged === 1)
    guardian.send(0, linkOf(a), 'sealed')
    await until(() => a.told.messages.length === 1)
    await Promise.all([guardian, pretender, a].map((each) => each.close()))
  })

  test('forged, replayed, garbled, foreign and own packets are dropped and counted', async () => {
    const a = await opened('n1')
    const good = encodePacket('n2', nonce, 7, 'hello', clusterKey)
    const altered = Buffer.from(good)
    altered[20] = (altered[20] as number) ^ 1
    const oldVersion = Buffer.from(good).fill(0, 2, 3)
    await sendRaw(linkOf(a), [
      good,
      good,
      altered,
      encodePacket('n2', nonce, 8, 'hello', deriveKey('another secret', 'heartbeats')),
      encodePacket('stranger', nonce, 1, 'hello', clusterKey),
      encodePacket('n1', nonce, 1, 'hello', clusterKey),
      oldVersion,
      Buffer.from('hello there'),
      Buffer.alloc(0),
      encodePacket('n2', nonce, 6, 'late', clusterKey),
    ])
    await until(() => a.told.messages.length === 2)
    assert.deepEqual(
      a.told.messages.map(({ message }) => message),
      ['hello', 'late'],
    )
    assert.deepEqual(a.counters().dropped, { garbled: 2, version: 1, 'unknown-sender': 1, forged: 2, replayed: 1, own: 1 })
    await a.close()
  })

  test('a closed port is reported while it is sent to, an open one never', async () => {
    const a = await opened('n1')
    const b = await opened('n2')
    const gone = await opened('n3')
    const closed = linkOf(gone)
    await gone.close()
    while (!a.told.unreachable.some(({ port }) => port === closed.port)) {
      a.send(0, closed, 'anyone?')
      a.send(0, linkOf(b), 'hello')
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    assert.ok(a.told.unreachable.every(({ port }) => port === closed.port))
    assert.deepEqual(b.counters().dropped, { garbled: 0, version: 0, 'unknown-sender': 0, forged: 0, replayed: 0, own: 0 })
    await Promise.all([a.close(), b.close()])
  })

  test('nothing is thrown where there is no way to the destination', async () => {
    const a = await opened('n1')
    a.send(0, { host: '203.0.113.1', port: 9 }, 'from loopback this has no route')
    await until(() => a.counters().sendErrors > 0)
    await a.close()
    a.send(0, { host: loopback, port: 9 }, 'after closing')
  })
})

describe('the replay window', () => {
  test('agrees with a plain memory of all counters', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: windowSize * 4 }), { maxLength: 300 }), (counters) => {
        const window = new ReplayWindow()
        const seen = new Set<number>()
        let highest = -1
        for (const counter of counters) {
          const expected = !seen.has(counter) && counter > highest - windowSize
          assert.equal(window.accept('n1', 'a', counter), expected, `${counter} after ${[...seen]}`)
          if (expected) seen.add(counter)
          highest = Math.max(highest, counter)
        }
      }),
      { numRuns: 500 },
    )
  })

  test('stays bounded, and keeps those heard last', () => {
    const window = new ReplayWindow()
    for (let process = 0; process < 40; process++) {
      assert.equal(window.accept('n1', 'steady', process), true)
      assert.equal(window.accept('n1', `process ${process}`, 1), true)
    }
    assert.equal(window.accept('n1', 'steady', 39), false)
    assert.equal(window.accept('n1', 'process 39', 1), false)
  })
})

describe('the packet decoder', { timeout: 120_000 }, () => {
  test('gives a packet or a reason for any bytes', () => {
    const packet = encodePacket('n1', nonce, 3, { a: [1, 2, 3] }, clusterKey)
    const mangled = fc.tuple(fc.nat(packet.length - 1), fc.integer({ min: 1, max: 255 }), fc.nat(packet.length)).map(([at, by, length]) => {
      const copy = Buffer.from(packet)
      copy[at] = (copy[at] as number) ^ by
      return copy.subarray(0, length)
    })
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mangled), (bytes) => {
        assert.equal(typeof decodePacket(Buffer.from(bytes), () => clusterKey), 'string')
      }),
      { numRuns: 3_000 },
    )
  })
})
