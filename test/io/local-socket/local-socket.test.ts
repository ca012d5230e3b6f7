import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { acquireLock, connectLocal, FrameReader, type LocalConnection, listenLocal, toFrame } from '../../../src/io/local-socket/index.js'
import { pause, waitUntil } from '../../../src/io/processes/index.js'

let dir: string

before(() => {
  dir = mkdtempSync(join(tmpdir(), 'quorate-sock-'))
})
after(() => rmSync(dir, { recursive: true, force: true }))

test('frames come out as they went in, however the stream is cut', () => {
  const messages = [1, 'two', { three: [4] }, 'x'.repeat(100_000)]
  const stream = Buffer.concat(messages.map(toFrame))
  for (const size of [1, 3, 7, 1_000, stream.length]) {
    const reader = new FrameReader()
    const out: unknown[] = []
    for (let at = 0; at < stream.length; at += size) out.push(...reader.push(stream.subarray(at, at + size)))
    assert.deepEqual(out, messages)
  }
})

test('a frame that is too long or cannot be decoded ends the stream', () => {
  assert.throws(() => new FrameReader().push(new Uint8Array([255, 0, 0, 0])), /longer than/)
  assert.throws(() => new FrameReader().push(new Uint8Array([0, 0, 0, 1, 0xda])))
})

test('a client connects when there is a server, again after it was lost, and only this user may', async () => {
  const path = join(dir, 'a.sock')
  const heard: unknown[] = []
  let ups = 0
  const client = connectLocal(path, {
    onMessage: (message) => heard.push(message),
    onConnected: () => ups++,
    onDisconnected: () => {},
  })
  client.send('dropped')
  for (let life = 1; life <= 2; life++) {
    const server = await listenLocal(path, {
      onMessage: (message, from) => from.send({ echo: message }),
      onConnected: (connection) => connection.send(`life ${life}`),
      onDisconnected: () => {},
    })
    assert.equal(statSync(path).mode & 0o777, 0o600)
    await waitUntil(() => ups === life && heard.includes(`life ${life}`), 10_000)
    client.send(life)
    await waitUntil(() => JSON.stringify(heard).includes(`{"echo":${life}}`), 10_000)
    await server.close()
  }
  client.close()
  assert.deepEqual(heard, ['life 1', { echo: 1 }, 'life 2', { echo: 2 }])
})

test('garbage from one client hurts neither the server nor the others', async () => {
  const path = join(dir, 'b.sock')
  const open = new Set<LocalConnection>()
  const server = await listenLocal(path, {
    onMessage: (message, from) => from.send(message),
    onConnected: (connection) => open.add(connection),
    onDisconnected: (connection) => open.delete(connection),
  })
  let seed = 1
  for (let turn = 0; turn < 50; turn++) {
    const bytes = new Uint8Array(64)
    for (let at = 0; at < bytes.length; at++) {
      seed = (seed * 48_271) % 2_147_483_647
      bytes[at] = seed & 255
    }
    const socket = connect({ path })
    socket.on('error', () => {})
    socket.write(bytes)
    await pause(1)
    socket.destroy()
  }
  const heard: unknown[] = []
  const client = connectLocal(path, {
    onMessage: (message) => heard.push(message),
    onConnected: (to) => to.send('still there'),
    onDisconnected: () => {},
  })
  assert.ok(await waitUntil(() => heard.includes('still there'), 10_000))
  client.close()
  await server.close()
  assert.ok(await waitUntil(() => open.size === 0, 10_000))
})

test('a lock has one holder, and is free again when it lets go', async () => {
  const name = `quorate-test-${process.pid}`
  const first = await acquireLock(name)
  assert.ok(first)
  assert.equal(await acquireLock(name), undefined)
  const second = acquireLock(name, 5_000)
  await pause(50)
  await first.release()
  await (await second)?.release()
})
