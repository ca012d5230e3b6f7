import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { describe, test } from 'node:test'
import { encode, type NodeId } from '../../../src/base/index.js'
import { encodeFrame, frameHeader } from '../../../src/io/peers/frame.js'
import { encodeHello, preamble, proof } from '../../../src/io/peers/handshake.js'
import { freeAddress, identityOf, loopback, Nodes, until } from './sockets.js'

const limit = { timeout: 60_000 }
const n1 = 'n1' as NodeId
const n2 = 'n2' as NodeId

async function withNodes(names: readonly string[], body: (nodes: Nodes) => Promise<void>): Promise<void> {
  const nodes = await Nodes.of(...names)
  try {
    await body(nodes)
  } finally {
    await nodes.stop()
  }
}

describe('nodes of one cluster', limit, () => {
  test('introduce themselves and exchange messages in order', () =>
    withNodes(['n1', 'n2'], async (nodes) => {
      const a = await nodes.start('n1', { identity: identityOf('c', 'm1') })
      const b = await nodes.start('n2', { identity: identityOf('c', 'm2'), processId: 'p2', level: 3 })
      await until(() => a.told.connected.length > 0 && b.told.connected.length > 0)
      assert.deepEqual(a.told.connected, [{ node: n2, clusterId: 'c', memberId: 'm2', processId: 'p2', level: 3 }])
      const messages = Array.from({ length: 500 }, (_, at) => ({ kind: 'append', at, data: Buffer.alloc(at * 37, at) }))
      for (const message of messages) assert.equal(a.peers.send(n2, message), true)
      await until(() => b.told.frames.length === messages.length)
      assert.deepEqual(
        b.told.frames.map(({ frame }) => frame),
        messages,
      )
      assert.ok(b.told.frames.every(({ from }) => from === n1))
      assert.deepEqual([...a.told.turnedAway, ...b.told.turnedAway], [])
    }))

  test('a link that is to be avoided is left for another one, and nobody is told of a lost connection', () =>
    withNodes(['n1', 'n2'], async (nodes) => {
      const second = await freeAddress('127.0.0.2')
      const b = await nodes.start('n2', { listen: [nodes.address('n2'), second] })
      const peers = new Map([[n2, [nodes.address('n2'), second]]])
      const a = await nodes.start('n1', { peers, localAddresses: [loopback, '127.0.0.3'] })
      await until(() => a.told.connected.length === 1)
      a.peers.avoid(n2, [0])
      await until(() => a.told.connected.length === 2)
      assert.equal(a.peers.send(n2, { kind: 'over the second' }), true)
      await until(() => b.told.frames.length === 1)
      a.peers.avoid(n2, [0, 1])
      a.peers.avoid(n2, [0])
      assert.deepEqual([a.told.disconnected, a.told.connected.length], [[], 2], 'nothing to gain, nothing done')
      a.peers.avoid(n2, [1])
      await until(() => a.told.connected.length === 3)
      assert.deepEqual([a.told.disconnected, a.told.turnedAway, b.told.turnedAway], [[], [], []])
    }))

  test('a link that becomes known later stands beside the one in use, whose connection goes on', () =>
    withNodes(['n1', 'n2'], async (nodes) => {
      const second = await freeAddress('127.0.0.2')
      await nodes.start('n2', { listen: [nodes.address('n2'), second] })
      const a = await nodes.start('n1', { localAddresses: [loopback, '127.0.0.3'] })
      await until(() => a.told.connected.length === 1)
      a.peers.avoid(n2, [0])
      a.peers.setPeers(new Map([[n2, [nodes.address('n2')]]]))
      assert.equal(a.told.connected.length, 1, 'there is no other')
      a.peers.setPeers(new Map([[n2, [nodes.address('n2'), second]]]))
      await until(() => a.told.connected.length === 2)
      a.peers.setPeers(new Map([[n2, [second]]]))
      assert.deepEqual([a.told.disconnected, a.peers.send(n2, { kind: 'on' })], [[], true])
    }))

  test('each address is dialled from the own address of that link', async () => {
    const seen: (string | undefined)[] = []
    const server = createServer((socket) => {
      seen.push(socket.remoteAddress)
      socket.on('error', () => undefined).destroy()
    }).listen(0, '127.0.0.2')
    await once(server, 'listening')
    const { port } = server.address() as { readonly port: number }
    await withNodes(['n1'], async (nodes) => {
      const closed = await freeAddress()
      await nodes.start('n1', { peers: new Map([[n2, [closed, { host: '127.0.0.2', port }]]]), localAddresses: [loopback, '127.0.0.3'] })
      await until(() => seen.length > 0)
    })
    server.close()
    assert.equal(seen[0], '127.0.0.3')
  })

  test('a message of several megabytes arrives whole; a larger one than allowed is our own bug', () =>
    withNodes(['n1', 'n2'], async (nodes) => {
      const a = await nodes.start('n1')
      const b = await nodes.start('n2')
      await until(() => a.told.connected.length > 0)
      assert.equal(a.peers.send(n2, Buffer.alloc(7_000_000, 1)), true)
      await until(() => b.told.frames.length === 1)
      assert.deepEqual(b.told.frames[0]?.frame, Buffer.alloc(7_000_000, 1))
      assert.throws(() => a.peers.send(n2, Buffer.alloc(9_000_000)), /bounded size/)
    }))

  test('what is sent in one turn arrives in order, whether bytes or not, small or large', () =>
    withNodes(['n1', 'n2'], async (nodes) => {
      const a = await nodes.start('n1')
      const b = await nodes.start('n2')
      await until(() => a.told.connected.length > 0)
      const sent = [1, { kind: 'a' }, Buffer.from('b'), Buffer.alloc(20_000, 2), 'c', Buffer.alloc(0), { large: 'd'.repeat(30_000) }, [3]]
      for (const frame of sent) assert.equal(a.peers.send(n2, frame), true)
      await until(() => b.told.frames.length === sent.length)
      assert.deepEqual(
        b.told.frames.map(({ frame }) => frame),
        sent,
      )
    }))

  test('the level that a node states is known to those that send to it; one that states none has none', () =>
    withNodes(['n1', 'n2'], async (nodes) => {
      const a = await nodes.start('n1', { level: 5 })
      const b = await nodes.start('n2')
      assert.equal(a.peers.levelOf(n2), 0)
      await until(() => a.told.connected.length > 0 && b.told.connected.length > 0)
      assert.deepEqual([a.peers.levelOf(n2), b.peers.levelOf(n1)], [0, 5])
      await a.peers.close()
      await until(() => b.told.disconnected.length > 0)
      assert.equal(b.peers.levelOf(n1), 0)
    }))

  test('a full queue drops and says so', () =>
    withNodes(['n1', 'n2'], async (nodes) => {
      const a = await nodes.start('n1', { queueMax: 1_000_000 })
      const b = await nodes.start('n2')
      await until(() => a.told.connected.length > 0)
      const results = Array.from({ length: 30 }, (_, at) => a.peers.send(n2, { at, data: Buffer.alloc(100_000) }))
      const taken = results.filter(Boolean).length
      assert.ok(taken >= 5 && taken < 30, `${taken} taken`)
      await until(() => b.told.frames.length === taken)
      assert.equal(a.peers.send(n2, 'again'), true)
    }))

  test('nothing is taken for a node that is not connected or not known', () =>
    withNodes(['n1', 'n2'], async (nodes) => {
      const a = await nodes.start('n1')
      assert.equal(a.peers.send(n2, 1), false)
      assert.equal(a.peers.send('n9' as NodeId, 1), false)
    }))

  test('every try at a closed port is reported as refused, at first within 100 ms of each other', () =>
    withNodes(['n1', 'n2'], async (nodes) => {
      const a = await nodes.start('n1')
      await until(() => a.told.refused.length >= 3)
      const [first, second, third] = a.told.refused.map(({ at }) => at) as [number, number, number]
      // Generous: the machine may be busy.
      assert.ok(second - first < 1_000 && third - second < 1_000)
      assert.ok(a.told.refused.every(({ node }) => node === n2))
    }))

  test('a restarted peer is connected again, as the process that it now is', () =>
    withNodes(['n1', 'n2'], async (nodes) => {
      const a = await nodes.start('n1')
      const b = await nodes.start('n2', { processId: 'first' })
      await until(() => a.told.connected.length === 1)
      await b.peers.close()
      await until(() => a.told.disconnected.length === 1 && a.told.refused.length > 0)
      const again = await nodes.start('n2', { processId: 'second' })
      await until(() => a.told.connected.length === 2 && again.told.connected.length === 1)
      assert.equal(a.told.connected[1]?.processId, 'second')
      a.peers.send(n2, 'hello again')
      await until(() => again.told.frames.length === 1)
    }))

  test('a second address is tried when the first does not answer', () =>
    withNodes(['n1', 'n2'], async (nodes) => {
      const closed = await freeAddress()
      const a = await nodes.start('n1', { peers: new Map([[n2, [closed, nodes.address('n2')]]]) })
      await nodes.start('n2')
      await until(() => a.told.connected.length === 1)
    }))

  test('an identity that is set later reaches connected peers, and ends connections of another cluster', () =>
    withNodes(['n1', 'n2', 'n3'], async (nodes) => {
      const a = await nodes.start('n1')
      const b = await nodes.start('n2')
      const c = await nodes.start('n3', { identity: identityOf('other', 'm3') })
      await until(() => a.told.connected.length === 2 && b.told.connected.length === 2)
      a.peers.setIdentity(identityOf('c', 'm1'))
      await until(() => b.told.connected.some(({ memberId, clusterId }) => memberId === 'm1' && clusterId === 'c'))
      await until(() => a.told.disconnected.length === 1)
      assert.deepEqual(a.told.disconnected, ['n3'])
      await until(() => c.told.turnedAway.length > 0)
      assert.match(a.told.turnedAway[0] ?? '', /node n3 belongs to the cluster with id other, node n1 to the one with id c/)
      assert.equal(a.peers.send(n2, 'still here'), true)
      await until(() => b.told.frames.length === 1)
      // Who connects from now on hears it in the handshake.
      b.peers.setIdentity(identityOf('c', 'm2'))
      await until(() => a.told.connected.some(({ memberId }) => memberId === 'm2'))
    }))
})

describe('whoever does not belong is turned away with both values', limit, () => {
  const cases = [
    {
      name: 'another secret',
      options: { secret: 'another secret' },
      reason: /the cluster secret of node n[12] has the fingerprint [0-9a-f]{8}, that of node n[12] [0-9a-f]{8}/,
    },
    {
      name: 'another cluster name',
      options: { clusterName: 'beta' },
      reason: /node n2 belongs to cluster "beta", node n1 to cluster "alpha"/,
    },
    {
      name: 'another cluster id',
      options: { identity: identityOf('c2', 'm2') },
      reason: /node n2 belongs to the cluster with id c2, node n1 to the one with id c1/,
    },
  ]
  for (const { name, options, reason } of cases) {
    test(name, () =>
      withNodes(['n1', 'n2'], async (nodes) => {
        const a = await nodes.start('n1', { identity: identityOf('c1', 'm1') })
        const b = await nodes.start('n2', { identity: identityOf('c1', 'm2'), ...options })
        await until(() => a.told.turnedAway.some((text) => reason.test(text)) && b.told.turnedAway.length > 0)
        assert.deepEqual([a.told.connected, b.told.connected], [[], []])
      }),
    )
  }

  test('a node whose name is not in the list', () =>
    withNodes(['n1', 'n2'], async (nodes) => {
      const a = await nodes.start('n1')
      const stranger = await nodes.start('n2', {
        self: 'n7' as NodeId,
        listen: await freeAddress(),
        peers: new Map([[n1, [nodes.address('n1')]]]),
      })
      await until(() => stranger.told.turnedAway.length > 0)
      assert.match(stranger.told.turnedAway[0] ?? '', /refused there: node n7 is not in the cluster of node n1, which knows n2/)
      assert.match(a.told.turnedAway[0] ?? '', /n7/)
    }))

  test('an address that is none is not dialled, and ends nothing', () =>
    withNodes(['n1'], async (nodes) => {
      const a = await nodes.start('n1')
      for (const port of [-1, 70_000, 1.5, Number.NaN, 'x' as never]) a.peers.reach(n2, [{ host: loopback, port }])
      a.peers.reach(n2, [{ host: 7 as never, port: 7400 }])
      assert.equal(a.peers.send(n2, {}), false)
    }))

  test('a node at another node’s address, and a node that reaches itself', () =>
    withNodes(['n1', 'n2'], async (nodes) => {
      const a = await nodes.start('n1', { peers: new Map([[n2, [nodes.address('n1')]]]) })
      await until(() => a.told.turnedAway.some((text) => /node n1 reached itself/.test(text)))
      const wrong = { peers: new Map([['n3' as NodeId, [nodes.address('n1')]]]), self: n2, listen: nodes.address('n2') }
      const b = await nodes.start('n2', wrong)
      await until(() => b.told.turnedAway.some((text) => /node n1 answers at the address of node n3/.test(text)))
    }))

  test('a second process with the same name, while the first one is not disturbed', () =>
    withNodes(['n1', 'n2'], async (nodes) => {
      const a = await nodes.start('n1')
      const first = await nodes.start('n2', { processId: 'first' })
      await until(() => a.told.connected.length === 1 && first.told.connected.length === 1)
      const second = await nodes.start('n2', { processId: 'second', listen: await freeAddress() })
      await until(() => second.told.turnedAway.length > 0)
      assert.match(
        second.told.turnedAway[0] ?? '',
        /node n2 is connected with node n1 as process first, which answers; process second is refused/,
      )
      assert.deepEqual(a.told.disconnected, [])
      assert.deepEqual(first.told.disconnected, [])
      first.peers.send(n1, 'from the first')
      await until(() => a.told.frames.length === 1)
      await first.peers.close()
      await until(() => second.told.connected.length === 1)
    }))

  test('a process that no longer answers gives its name up', () =>
    withNodes(['n1', 'n2'], async (nodes) => {
      const a = await nodes.start('n1')
      const mute = await impostor(nodes, 'mute')
      const next = await nodes.start('n2', { processId: 'next' })
      await until(() => next.told.connected.length === 1 && a.told.connected.some(({ processId }) => processId === 'next'))
      mute.destroy()
    }))

  /** Proves itself as n2 and then never says anything again. */
  async function impostor(nodes: Nodes, processId: string): Promise<Socket> {
    const socket = connect(nodes.address('n1'))
    const hello = encodeHello({ node: n2, clusterId: undefined, memberId: undefined, processId, cluster: 'alpha', secret: 'a secret' })
    socket.write(preamble())
    socket.write(encodeFrame('hello', hello))
    let received = Buffer.alloc(0)
    let proved = false
    await new Promise<void>((resolve) => {
      socket.on('data', (chunk) => {
        received = Buffer.concat([received, chunk])
        const helloEnd = 8 + 9 + (received.length > 12 ? received.readUInt32LE(8) : Number.POSITIVE_INFINITY)
        if (!proved && received.length >= helloEnd) {
          proved = true
          socket.write(encodeFrame('proof', proof('a secret', 'dialer', hello, received.subarray(17, helloEnd))))
        }
        if (received.length >= helloEnd + 9 + 32) resolve()
      })
    })
    return socket
  }

  const raw: { name: string; bytes: () => Buffer; reason: RegExp }[] = [
    {
      name: 'a web browser',
      bytes: () => Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      reason: /the peer began with "GET \/ H", node n1 expects "quorate"/,
    },
    { name: 'an old version', bytes: () => preamble(0), reason: /the peer speaks version 0 of the peer protocol, node n1 version 2/ },
    { name: 'a newer version', bytes: () => preamble(9), reason: /version 9 of the peer protocol, node n1 version 2/ },
    {
      name: 'garbled bytes',
      bytes: () => Buffer.concat([preamble(), encodeFrame('hello', Buffer.from('{}')).fill(7, 10)]),
      reason: /garbled data to node n1: a frame has checksum/,
    },
    {
      name: 'an oversize frame',
      bytes: () => Buffer.concat([preamble(), frameHeader('hello', Buffer.alloc(5_000))]),
      reason: /a frame has 5000 bytes, at most 4096/,
    },
    {
      name: 'an empty hello',
      bytes: () => Buffer.concat([preamble(), encodeFrame('hello', Buffer.from('{}'))]),
      reason: /no proper hello/,
    },
    {
      name: 'a message before its time',
      bytes: () => Buffer.concat([preamble(), encodeFrame('message', encode(1))]),
      reason: /"message" to node n1 out of turn/,
    },
    {
      name: 'a wrong proof',
      bytes: () =>
        Buffer.concat([
          preamble(),
          encodeFrame(
            'hello',
            encodeHello({ node: n2, clusterId: undefined, memberId: undefined, processId: 'p', cluster: 'alpha', secret: 'a secret' }),
          ),
          encodeFrame('proof', Buffer.alloc(32)),
        ]),
      reason: /node n2 did not prove that it has the cluster secret of node n1/,
    },
    { name: 'silence', bytes: () => Buffer.alloc(0), reason: /did not finish its introduction/ },
  ]
  for (const { name, bytes, reason } of raw) {
    test(`${name}: the reason is told on both sides`, () =>
      withNodes(['n1', 'n2'], async (nodes) => {
        const a = await nodes.start('n1')
        const socket = connect(nodes.address('n1'))
        let answer = ''
        socket.on('data', (chunk) => {
          answer += chunk.toString()
        })
        socket.write(bytes())
        await once(socket, 'close')
        assert.match(a.told.turnedAway[0] ?? '', reason)
        assert.match(answer, reason)
        assert.deepEqual(a.told.frames, [])
        assert.deepEqual(a.told.connected, [])
      }))
  }

  test('this node’s own proof sent back to it proves nothing', () =>
    withNodes(['n1', 'n2'], async (nodes) => {
      // Answers n1's dialling with n1's own words, under another name.
      const mirror = createServer((socket) => {
        socket.on('error', () => undefined)
        socket.write(preamble())
        const hello = encodeHello({
          node: n2,
          clusterId: undefined,
          memberId: undefined,
          processId: 'p',
          cluster: 'alpha',
          secret: 'a secret',
        })
        socket.write(encodeFrame('hello', hello))
        let received = Buffer.alloc(0)
        socket.on('data', (chunk) => {
          received = Buffer.concat([received, chunk])
          const helloEnd = received.length > 12 ? 17 + received.readUInt32LE(8) : Number.POSITIVE_INFINITY
          if (received.length >= helloEnd + 41) socket.write(received.subarray(helloEnd, helloEnd + 41))
        })
      }).listen(nodes.address('n2').port, loopback)
      await once(mirror, 'listening')
      const a = await nodes.start('n1')
      await until(() => a.told.turnedAway.length > 0)
      assert.match(a.told.turnedAway[0] ?? '', /did not prove/)
      assert.deepEqual(a.told.connected, [])
      await a.peers.close()
      mirror.close()
    }))
})

test('a peer that takes no more bytes and says none is missed within a few seconds', limit, () =>
  withNodes(['n1', 'n2'], async (nodes) => {
    // A proxy that stops passing anything on, both ways, without closing: what a dead machine looks like.
    const pairs: Socket[] = []
    const proxy = createServer((near) => {
      const far = connect(nodes.address('n2'))
      pairs.push(near, far)
      near.on('error', () => undefined)
      far.on('error', () => undefined)
      near.pipe(far).pipe(near)
    }).listen(0, loopback)
    await once(proxy, 'listening')
    const { port } = proxy.address() as { port: number }
    const a = await nodes.start('n1', { peers: new Map([[n2, [{ host: loopback, port }]]]) })
    const b = await nodes.start('n2', { peers: new Map([[n1, [await freeAddress()]]]) })
    await until(() => a.told.connected.length === 1)
    a.peers.send(n2, 1)
    await until(() => b.told.frames.length === 1)
    const cut = performance.now()
    for (const socket of pairs) socket.unpipe().pause()
    await until(() => a.told.disconnected.length === 1)
    const took = performance.now() - cut
    assert.ok(took > 1_000 && took < 10_000, `${took} ms`)
    for (const socket of pairs) socket.destroy()
    proxy.close()
  }),
)
