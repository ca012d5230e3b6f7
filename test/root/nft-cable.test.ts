/**
 * The packet filter that cuts the demo's nodes from each other when root runs it.
 *
 * needs: nftables
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createSocket, type Socket } from 'node:dgram'
import { connect, createServer } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { pause } from '../../scripts/lib/http.js'
import { freePort } from '../../scripts/lib/lab.js'
import { NftCable } from '../../scripts/lib/nft-cable.js'

const addresses = ['127.85.0.1', '127.85.0.2', '127.85.0.3'] as const
const tag = `test_${process.pid}`

describe('packet filter', () => {
  let cable: NftCable
  let sockets: Socket[]
  let port: number

  before(async () => {
    port = await freePort(addresses, 24_400)
    const opened = await NftCable.open(
      addresses.map((address, at) => ({ name: `n${at + 1}`, address, port, guardianPort: port + 1 })),
      tag,
    )
    assert.ok(opened !== undefined, 'root may filter packets')
    cable = opened
    sockets = await Promise.all(addresses.map((address) => bound(address, port)))
  })
  after(async () => {
    await cable?.close()
    for (const socket of sockets ?? []) socket.close()
  })

  /** Whether a datagram from one node arrives at the other. */
  const reaches = async (from: number, to: number): Promise<boolean> => {
    let arrived = false
    const take = (): void => {
      arrived = true
    }
    sockets[to]?.on('message', take)
    sockets[from]?.send('x', port, addresses[to])
    await pause(50)
    sockets[to]?.off('message', take)
    return arrived
  }

  test('a node that is cut is cut from all others, and they from it, and nobody else', async () => {
    await cable.cut('n1', 'both')
    assert.deepEqual(await Promise.all([reaches(0, 1), reaches(2, 0)]), [false, false])
    assert.equal(await reaches(1, 2), true)
    await cable.heal('n1')
    assert.deepEqual(await Promise.all([reaches(0, 1), reaches(2, 0)]), [true, true])
  })

  test('one direction alone', async () => {
    await cable.cut('n2', 'in')
    assert.equal(await reaches(0, 1), false)
    assert.equal(await reaches(1, 0), true)
    await cable.cut('n3', 'out')
    assert.equal(await reaches(2, 0), false)
    await cable.heal('n2')
    await cable.heal('n3')
    assert.deepEqual(await Promise.all([reaches(0, 1), reaches(2, 0)]), [true, true])
  })

  test('a stream between nodes falls silent; other ports of the node stay open', async () => {
    const servers = await Promise.all([port, port + 2].map((number) => echo(addresses[1], number)))
    const [peer, other] = await Promise.all([dial(addresses[0], addresses[1], port), dial(addresses[0], addresses[1], port + 2)])
    await cable.cut('n2', 'both')
    const silent = said(peer, 'a')
    assert.equal(await said(other, 'b'), 'b')
    assert.equal(await Promise.race([silent, pause(200).then(() => 'silence')]), 'silence')
    await cable.heal('n2')
    assert.equal(await silent, 'a', 'and goes on when it is healed')
    for (const socket of [peer, other]) socket.destroy()
    for (const server of servers) server.close()
  })

  test('nothing is left when nothing is cut', async () => {
    await cable.cut('n1', 'both')
    assert.match(tables(), new RegExp(`quorate_${tag}`))
    await cable.close()
    assert.doesNotMatch(tables(), new RegExp(`quorate_${tag}`))
  })
})

function tables(): string {
  return execFileSync('nft', ['list', 'tables'], { encoding: 'utf8' })
}

function bound(address: string, port: number): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    socket.bind(port, address, () => resolve(socket))
  })
}

function echo(host: string, port: number) {
  const server = createServer((socket) => void socket.pipe(socket))
  return new Promise<typeof server>((resolve) => server.listen({ host, port }, () => resolve(server)))
}

function dial(localAddress: string, host: string, port: number): Promise<ReturnType<typeof connect>> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, localAddress }, () => resolve(socket))
  })
}

function said(socket: ReturnType<typeof connect>, text: string): Promise<string> {
  return new Promise((resolve) => {
    socket.once('data', (chunk) => resolve(String(chunk)))
    socket.write(text)
  })
}
