/**
 * Opens the streams, causes an event every 50 ms, and tells how long each stream waited for each.
 *
 * Usage: node watcher.js quorate|etcd TARGET STREAMS, with an IPC channel.
 */
import { connect } from 'node:net'
import { HttpConnection } from './http-connection.js'

const [, , kind, target = '', count = '1000'] = process.argv
const interval = 50
const events = 60
const key = Buffer.from('watched').toString('base64')

/** When each event was asked for, by its number. */
const asked = new Map<number, number>()
const latencies: number[] = []
/** Numbers are put where both systems show them: in a setting, in a value. */
const base = 10_000

await openStreams()
await new Promise((resolve) => setTimeout(resolve, 1_500))
const writer = await new Promise<HttpConnection>((resolve) => {
  const connection: HttpConnection = new HttpConnection(target, () => resolve(connection))
})
for (let number = base; number < base + events; number++) {
  asked.set(number, performance.now())
  await new Promise<void>((resolve, reject) => {
    const [method, path, body] =
      kind === 'quorate'
        ? ['PATCH', '/v1/settings', `{"journalEvents":${number}}`]
        : ['POST', '/v3/kv/put', `{"key":"${key}","value":"${Buffer.from(String(number)).toString('base64')}"}`]
    writer.ask(method as string, path as string, body as string, (status) =>
      status === 200 ? resolve() : reject(new Error(`the write was answered with ${status}`)),
    )
  })
  await new Promise((resolve) => setTimeout(resolve, interval))
}
await new Promise((resolve) => setTimeout(resolve, 1_000))
process.send?.({ events, latencies }, () => process.exit(0))

async function openStreams(): Promise<void> {
  for (let at = 0; at < Number(count); at += 50) await Promise.all(Array.from({ length: 50 }, openStream))
}

function openStream(): Promise<void> {
  const at = target.lastIndexOf(':')
  const socket = connect({ host: target.slice(0, at), port: Number(target.slice(at + 1)) })
  const body = kind === 'quorate' ? '' : `{"create_request":{"key":"${key}"}}`
  const head = kind === 'quorate' ? 'GET /v1/events?last=0 HTTP/1.1' : 'POST /v3/watch HTTP/1.1'
  socket.write(`${head}\r\nhost: ${target}\r\n${body === '' ? '' : `content-length: ${body.length}\r\n`}\r\n${body}`)
  return new Promise((resolve, reject) => {
    socket.setEncoding('latin1')
    socket.once('data', () => resolve())
    socket.on('data', (text: unknown) => take(text as string))
    socket.on('error', reject)
  })
}

function take(text: string): void {
  const now = performance.now()
  for (const number of numbersIn(text)) {
    const at = asked.get(number)
    if (at !== undefined) latencies.push(now - at)
  }
}

function numbersIn(text: string): readonly number[] {
  if (kind === 'quorate') return [...text.matchAll(/"patch":\{"journalEvents":(\d+)\}/g)].map((match) => Number(match[1]))
  return [...text.matchAll(/"value":"([^"]+)"/g)].map((match) => Number(Buffer.from(match[1] as string, 'base64').toString()))
}
