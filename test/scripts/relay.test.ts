/** The relay between the demo's nodes passes what it should, is silent where it is cut, and refuses where nobody listens. */
import assert from 'node:assert/strict'
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { pause, waitFor } from '../../scripts/lib/http.js'
import { freePort } from '../../scripts/lib/lab.js'
import { abort, openRelay, type Relay } from '../../scripts/lib/relay.js'

const addresses = ['127.83.0.1', '127.83.0.2', '127.83.0.3'] as const
const fronts = ['127.83.1.1', '127.83.1.2', '127.83.1.3'] as const

describe('relay', () => {
  let port: number
  let guardianPort: number
  let relay: Relay

  before(async () => {
    port = await freePort([...addresses, ...fronts], 23_400)
    guardianPort = await freePort([...addresses, ...fronts], port + 1)
    relay = await openRelay(
      addresses.map((address, at) => ({ name: `n${at + 1}`, address, front: fronts[at] as string, port, guardianPort })),
    )
  })
  after(() => relay.close())

  const dial = (from: number, to: number): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = connect({ host: fronts[to] as string, port, localAddress: addresses[from] as string })
      socket.once('error', reject)
      socket.once('connect', () => resolve(socket))
    })

  test('a stream passes in both directions, and either side sees the other at its front', async () => {
    const server = await echo(1)
    const socket = await dial(0, 1)
    assert.equal(await said(socket, 'hello'), '127.83.1.1 hello')
    socket.destroy()
    await close(server)
  })

  test('a cut is silence for what stands and what comes; healed, nothing of what stands is lost', async () => {
    const server = await echo(1)
    const standing = await dial(0, 1)
    assert.equal(await said(standing, 'before'), '127.83.1.1 before')
    await relay.cut('n2', 'both')
    const waiting = said(standing, 'during')
    const late = await dial(0, 1)
    let heard = 0
    late.on('data', () => heard++)
    late.write('anybody?')
    const result = await Promise.race([waiting, pause(300).then(() => 'silence')])
    assert.equal(result, 'silence')
    assert.equal(heard, 0)
    assert.equal(standing.destroyed || late.destroyed, false)
    await relay.heal('n2')
    assert.equal(await waiting, '127.83.1.1 during')
    standing.destroy()
    late.destroy()
    await close(server)
  })

  test('a one-way cut leaves the other way open', async () => {
    const server = await echo(1)
    const socket = await dial(0, 1)
    assert.equal(await said(socket, 'one'), '127.83.1.1 one')
    relay.cutPair('n2', 'n1')
    const answer = said(socket, 'two')
    assert.equal(await Promise.race([answer, pause(200).then(() => 'silence')]), 'silence')
    assert.deepEqual(server.heard, ['one', 'two'])
    relay.healPair('n2', 'n1')
    assert.equal(await answer, '127.83.1.1 two')
    socket.destroy()
    await close(server)
  })

  test('where nobody listens the front refuses, and accepts again when somebody does', async () => {
    await assert.rejects(dial(0, 2).then((socket) => said(socket, 'x')))
    await assert.rejects(dial(0, 2), { code: 'ECONNREFUSED' })
    const server = await echo(2)
    await waitFor('the front to open', 2_000, () => dial(0, 2).then(answers, () => false))
    const socket = await dial(1, 2)
    const ended = new Promise((resolve) => socket.once('close', resolve))
    assert.equal(await said(socket, 'up'), '127.83.1.2 up')
    await close(server)
    await ended
    await assert.rejects(dial(1, 2), { code: 'ECONNREFUSED' }, 'refused as soon as the connection is seen to end')
  })

  test('a connection that is reset while its end is being said is closed all the same', async () => {
    const server = createServer({ allowHalfOpen: true })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const met = new Promise<Socket>((resolve) => server.once('connection', resolve))
    const { port: at } = server.address() as AddressInfo
    const other = connect({ host: '127.0.0.1', port: at }).on('error', () => undefined)
    const socket = await met
    const closed = new Promise<void>((resolve, reject) => socket.once('close', () => resolve()).once('error', reject))
    socket.end()
    abort(socket)
    await closed
    other.destroy()
    server.close()
  })

  test('datagrams pass between all known ports, and the answer finds its way back', async () => {
    const first = await udp(addresses[0], port)
    const guardian = await udp(addresses[1], guardianPort)
    guardian.on('message', (packet, from) => guardian.send(`${from.address}:${from.port} ${packet}`, from.port, from.address))
    const ask = (): Promise<string> => {
      const answer = new Promise<string>((resolve) => first.once('message', (packet) => resolve(String(packet))))
      first.send('lease?', guardianPort, fronts[1])
      return Promise.race([answer, pause(200).then(() => 'silence')])
    }
    assert.equal(await ask(), `127.83.1.1:${port} lease?`)
    await relay.cut('n1', 'in')
    assert.equal(await ask(), 'silence')
    first.removeAllListeners('message')
    await relay.heal('n1')
    assert.equal(await ask(), `127.83.1.1:${port} lease?`)
    first.close()
    guardian.close()
  })

  test('a stream that is delayed and loses loses nothing in the end, and stays in order', async () => {
    const server = await echo(1)
    const socket = await dial(0, 1)
    assert.equal(await said(socket, 'before'), '127.83.1.1 before')
    relay.shapePair('n1', 'n2', { delay: 40, jitter: 30, loss: 20, duplicate: 50 })
    const began = performance.now()
    assert.equal(await said(socket, 'late'), '127.83.1.1 late')
    assert.ok(performance.now() - began >= 40)
    server.heard.length = 0
    const pieces = Array.from({ length: 200 }, (_, at) => `${at};`)
    for (const piece of pieces) {
      socket.write(piece)
      await pause(1)
    }
    relay.shapePair('n1', 'n2', undefined)
    socket.write('end')
    await waitFor('all of it', 30_000, async () => server.heard.join('').endsWith('end'))
    assert.equal(server.heard.join(''), `${pieces.join('')}end`)
    socket.destroy()
    await close(server)
  })

  test('datagrams are late, lost, repeated, and overtake each other', async () => {
    const first = await udp(addresses[0], port)
    const second = await udp(addresses[1], port)
    const came: number[] = []
    second.on('message', (packet) => came.push(Number(packet)))
    const send = async (count: number): Promise<void> => {
      came.length = 0
      for (let at = 0; at < count; at++) {
        first.send(String(at), port, fronts[1])
        if (at % 10 === 0) await pause(1)
      }
      await pause(500)
    }
    relay.shapePair('n1', 'n2', { delay: 5, jitter: 60, loss: 0, duplicate: 0 })
    await send(200)
    assert.equal(new Set(came).size, 200)
    assert.notDeepEqual(
      came,
      came.toSorted((a, b) => a - b),
    )
    relay.shapePair('n1', 'n2', { delay: 0, jitter: 0, loss: 50, duplicate: 0 })
    await send(400)
    assert.ok(came.length > 100 && came.length < 300, `${came.length} of 400 came`)
    relay.shapePair('n1', 'n2', { delay: 0, jitter: 0, loss: 0, duplicate: 50 })
    await send(400)
    assert.ok(came.length > 500 && came.length < 700, `${came.length} came of 400`)
    relay.shapePair('n1', 'n2', undefined)
    first.close()
    second.close()
  })

  /** Answers with the sender's address and what it sent. */
  async function echo(at: number): Promise<Server & { readonly heard: string[]; readonly sockets: Set<Socket> }> {
    const heard: string[] = []
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
      socket.on('error', () => undefined)
      socket.on('data', (chunk) => {
        heard.push(String(chunk))
        socket.write(`${socket.remoteAddress} ${chunk}`)
      })
    })
    await new Promise<void>((resolve) => server.listen({ host: addresses[at] as string, port }, resolve))
    await waitFor('the front to open', 2_000, () => dial(0, at).then(answers, () => false))
    heard.length = 0
    return Object.assign(server, { heard, sockets })
  }
})

function said(socket: Socket, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once('data', (chunk) => resolve(String(chunk)))
    socket.once('close', () => reject(new Error('closed')))
    socket.once('error', reject)
    socket.write(text)
  })
}

async function answers(socket: Socket): Promise<boolean> {
  return said(socket, 'there?').then(
    () => {
      socket.destroy()
      return true
    },
    () => false,
  )
}

function close(server: Server & { readonly sockets: Set<Socket> }): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    for (const socket of server.sockets) socket.destroy()
  })
}

function udp(address: string, port: number): Promise<UdpSocket> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    socket.bind(port, address, () => resolve(socket))
  })
}
