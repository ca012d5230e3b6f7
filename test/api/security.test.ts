/** Who is answered: the socket's owner, and on TCP only who names this listener. */
import assert from 'node:assert/strict'
import { statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { startApi } from '../../src/api/index.js'
import { BenchCluster } from './bench-api.js'

let bench: BenchCluster
before(async () => {
  bench = await BenchCluster.single()
})
after(() => bench.close())

test('the unix socket is its owner’s alone', () => {
  const { mode } = statSync(bench.api().socket)
  assert.equal(mode & 0o777, 0o600)
})

test('on TCP a foreign Host, Origin or site is turned away, on the socket nobody asks', async () => {
  const { url } = bench.api()
  const { host, port } = new URL(url ?? '')
  const table: readonly (readonly [Record<string, string>, number])[] = [
    [{ host }, 200],
    [{ host: `localhost:${port}` }, 200],
    [{ host: `n1:${port}` }, 200],
    [{ host: `evil.example:${port}` }, 403],
    [{ host: '127.0.0.1' }, 403],
    [{ host: '127.0.0.1:1' }, 403],
    [{ host: `127.0.0.2:${port}` }, 403],
    [{ host, origin: `http://${host}` }, 200],
    [{ host, origin: 'http://evil.example' }, 403],
    [{ host, origin: `https://${host}` }, 403],
    [{ host, origin: 'null' }, 403],
    [{ host, 'sec-fetch-site': 'cross-site' }, 403],
    [{ host, 'sec-fetch-site': 'same-origin' }, 200],
    [{ host, 'sec-fetch-site': 'none' }, 200],
  ]
  for (const [headers, status] of table) {
    const answer = await bench.ask('GET', '/v1/status', { headers, overTcp: true })
    assert.equal(answer.status, status, JSON.stringify(headers))
    if (status === 403) assert.equal(answer.body.code, 'UNAUTHORIZED_HOST')
  }
  const write = await bench.ask('PUT', '/v1/store/x', {
    body: { value: 1 },
    headers: { host, origin: 'http://evil.example' },
    overTcp: true,
  })
  assert.equal(write.status, 403)
  assert.equal((await bench.ask('GET', '/v1/store/x')).status, 404)
  assert.equal((await bench.ask('GET', '/nowhere', { headers: { host: 'evil.example' }, overTcp: true })).status, 403)
  assert.equal((await bench.ask('GET', '/v1/status', { headers: { host: 'whatever' } })).status, 200)
})

test('what is no HTTP is told so, and the listener goes on', async () => {
  const { hostname, port } = new URL(bench.api().url ?? '')
  const say = (text: string | Buffer): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname, () => socket.write(text))
      let answer = ''
      socket.setEncoding('utf8')
      socket.on('data', (part) => {
        answer += part
      })
      socket.on('close', () => resolve(answer))
      socket.on('error', reject)
    })
  assert.match(await say('hello\r\n\r\n'), /^HTTP\/1\.1 400 .*"code":"INVALID"/s)
  assert.match(await say(Buffer.from('160301020001fc0303', 'hex')), /^HTTP\/1\.1 400/)
  assert.match(await say(`GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`), /^HTTP\/1\.1 431 .*"code":"TOO_LARGE"/s)
  assert.equal((await bench.ask('GET', '/livez')).status, 200)
})

test('pages bring nothing from elsewhere', async () => {
  const page = await bench.ask('GET', '/docs')
  assert.match(String(page.headers['content-type']), /^text\/html/)
  assert.match(String(page.headers['content-security-policy']), /default-src 'none'/)
  assert.doesNotMatch(page.text, /<script|https?:\/\/|src=/)
  assert.equal(page.headers['x-content-type-options'], 'nosniff')
})

test('a socket that somebody answers at is not taken away, one of an earlier life is', async () => {
  const other = await BenchCluster.single()
  const { socket } = other.api()
  await assert.rejects(
    startApi(other.daemon(), () => undefined),
    /another process answers/,
  )
  assert.equal((await other.ask('GET', '/livez')).status, 200)
  await other.api().close()
  writeFileSync(socket, '')
  const again = await startApi(other.daemon(), () => undefined)
  assert.equal(again.socket, socket)
  await again.close()
  await other.close()
})
