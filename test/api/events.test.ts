/** The journal over HTTP: ordered, without gaps, resumable, live, and honest about what is no longer kept. */
import assert from 'node:assert/strict'
import { type ClientRequest, request } from 'node:http'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { BenchCluster, sleeper } from './bench-api.js'

let bench: BenchCluster
before(async () => {
  bench = await BenchCluster.single()
})
after(() => bench.close())

interface Seen {
  readonly revision: number
  readonly number: number
  readonly kind: string
  readonly subject: string
}

/** A client that stays on the line. */
class Follower {
  readonly lines: string[] = []
  status = 0
  ended = false
  private text = ''
  private readonly outgoing: ClientRequest

  constructor(path: string, headers: Record<string, string> = {}) {
    this.outgoing = request({ socketPath: bench.api().socket, path, headers, agent: false }, (incoming) => {
      this.status = incoming.statusCode ?? 0
      incoming.setEncoding('utf8')
      incoming.on('data', (part: string) => {
        this.text += part
        const lines = this.text.split('\n')
        this.text = lines.pop() ?? ''
        this.lines.push(...lines)
      })
      incoming.on('close', () => {
        this.ended = true
      })
      incoming.on('error', () => undefined)
    })
    this.outgoing.on('error', () => {
      this.ended = true
    })
    this.outgoing.end()
  }

  get events(): readonly Seen[] {
    return this.lines
      .filter((line) => line.startsWith('{') || line.startsWith('data: '))
      .map((line) => JSON.parse(line.replace(/^data: /, '')) as Seen)
  }

  leave(): void {
    this.outgoing.destroy()
  }
}

const put = (name: string): Promise<unknown> => bench.ask('PUT', `/v1/groups/${name}`, { body: sleeper({ intent: 'OFFLINE' }) })
const created = (events: readonly Seen[]): readonly string[] =>
  events.filter((one) => one.kind === 'group.created').map((one) => one.subject)
const places = (events: readonly Seen[]): readonly string[] => events.map((one) => `${one.revision}.${one.number}`)

test('a follower sees what happens, in order, each once; another one that begins there sees the same', async () => {
  const follower = new Follower('/v1/events?from=0')
  const names = Array.from({ length: 30 }, (_, at) => `g${at}`)
  await Promise.all(names.slice(0, 10).map(put))
  await Promise.all(names.slice(10).map(put))
  await bench.until('all of them to be told', () => created(follower.events).length === names.length)
  const seen = places(follower.events)
  assert.equal(new Set(seen).size, seen.length, 'nothing twice')
  assert.deepEqual([...created(follower.events)].sort(), [...names].sort())
  const order = follower.events.map((one) => one.revision * 1_000 + one.number)
  assert.deepEqual(
    order,
    [...order].sort((a, b) => a - b),
  )
  const whole = await bench.ask('GET', '/v1/events?from=0&follow=false')
  assert.deepEqual(
    places(
      whole.text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ),
    seen,
  )
  follower.leave()
})

test('server-sent events go on after the last id, also in the middle of an entry', async () => {
  await bench.ask('POST', '/v1/apply', {
    body: { groups: { pair1: sleeper({ intent: 'OFFLINE' }), pair2: sleeper({ intent: 'OFFLINE' }) } },
  })
  const all = new Follower('/v1/events?last=2', { accept: 'text/event-stream' })
  await bench.until('both', () => created(all.events).length === 2)
  const ids = all.lines.filter((line) => line.startsWith('id: ')).map((line) => line.slice(4))
  assert.ok(all.lines.includes('event: group.created'))
  assert.equal(ids[0]?.split('.')[0], ids[1]?.split('.')[0], 'one entry')
  all.leave()
  const rest = new Follower('/v1/events', { accept: 'text/event-stream', 'last-event-id': String(ids[0]) })
  await put('after')
  await bench.until('the rest', () => created(rest.events).includes('after'))
  assert.deepEqual(created(rest.events), ['pair2', 'after'])
  rest.leave()
})

test('without a beginning the last hundred are told, or as many as wanted', async () => {
  assert.equal((await bench.ask('GET', '/v1/events?last=3&follow=false')).text.trim().split('\n').length, 3)
  assert.equal((await bench.ask('GET', '/v1/events?last=0&follow=false')).text, '')
  assert.ok((await bench.ask('GET', '/v1/events?follow=false')).text.trim().split('\n').length <= 100)
  const future = await bench.ask('GET', '/v1/events?from=99999999&follow=false')
  assert.deepEqual([future.status, future.text], [200, ''])
})

test('what is no longer kept is gone: 410 at the beginning, a last word on the line', async () => {
  await bench.ask('PATCH', '/v1/settings', { body: { journalEvents: 100 } })
  const { node } = bench.daemon()
  for (let at = 0; at < 150; at++) await node?.propose({ kind: 'clear-node', node: 'n1' as never })
  const gone = await bench.ask('GET', '/v1/events?from=2')
  assert.deepEqual([gone.status, gone.body.code], [410, 'JOURNAL_TRIMMED'])
  const { journalFrom } = gone.body.facts
  assert.match(gone.body.fix, new RegExp(`from=${journalFrom}`))
  const kept = await bench.ask('GET', `/v1/events?from=${journalFrom}&follow=false`)
  assert.equal(kept.status, 200)
  assert.equal(kept.text.trim().split('\n').length, 100)
  assert.equal((await bench.ask('GET', '/v1/events', { headers: { 'last-event-id': '2.0' } })).status, 410)
  assert.equal((await bench.ask('GET', '/v1/events', { headers: { 'last-event-id': 'two' } })).status, 400)
})

test('an entry that was trimmed in the middle is not told by half', async () => {
  const { node } = bench.daemon()
  const clear = { kind: 'clear-node', node: 'n1' } as const
  const many = async (count: number): Promise<number> => {
    const result = await node?.propose({
      kind: 'transaction',
      commands: Array.from({ length: count }, () => clear as never),
      ifRevision: null,
    })
    return Number(result?.index)
  }
  const cut = await many(60)
  await many(60)
  const half = await bench.ask('GET', `/v1/events?from=${cut}`)
  assert.deepEqual([half.status, half.body.facts.journalFrom], [410, cut + 1])
  assert.equal((await bench.ask('GET', `/v1/events?from=${cut + 1}&follow=false`)).text.trim().split('\n').length, 60)
})

test('a client that does not read is not waited for: it is told that it fell behind, never given a gap', async () => {
  const { node } = bench.daemon()
  const begin = Number(node?.state.appliedIndex) + 1
  const lines: string[] = []
  let ended = false
  let read: (() => void) | undefined
  const outgoing = request({ socketPath: bench.api().socket, path: `/v1/events?from=${begin}`, agent: false }, (incoming) => {
    incoming.pause()
    read = () => {
      let text = ''
      incoming.setEncoding('utf8')
      incoming.on('data', (part: string) => {
        text += part
      })
      incoming.on('end', () => {
        lines.push(...text.trim().split('\n'))
        ended = true
      })
      incoming.resume()
    }
  })
  outgoing.end()
  await bench.until('the line to be open', () => read !== undefined)
  const clear = { kind: 'clear-node', node: 'n1' } as const
  // Entries without events may stand between them.
  const entries: number[] = []
  for (let entry = 0; entry < 80; entry++) {
    const commands = Array.from({ length: 90 }, () => clear as never)
    entries.push(Number((await node?.propose({ kind: 'transaction', commands, ifRevision: null }))?.index))
  }
  read?.()
  await bench.until('the stream to end', () => ended)
  const last = JSON.parse(lines.pop() ?? '{}')
  assert.match(last.comment, /fell behind/)
  const events = lines.map((line) => JSON.parse(line) as Seen)
  assert.ok(events.length < 80 * 90)
  events.forEach((event, at) => {
    const before_ = events[at - 1]
    const follows =
      before_ === undefined ||
      (event.revision === before_.revision
        ? event.number === before_.number + 1
        : event.number === 0 && event.revision === entries[entries.indexOf(before_.revision) + 1])
    assert.ok(follows, `${before_?.revision}.${before_?.number} → ${event.revision}.${event.number}`)
  })
})

/** Requests of one connection, sent without waiting for an answer. */
function pipelined(...paths: readonly string[]) {
  const line = { text: '' }
  const socket = connect(bench.api().socket)
    .setEncoding('utf8')
    .on('error', () => undefined)
  socket.on('data', (part: unknown) => {
    line.text += part as string
  })
  socket.write(paths.map((path) => `GET ${path} HTTP/1.1\r\nhost: local\r\n\r\n`).join(''))
  return { socket, line }
}

test('a stream that waits for an earlier answer on its connection lacks nothing afterwards', async () => {
  const { socket, line } = pipelined('/v1/operations?index=9999999&wait=2s', '/v1/events?last=0')
  await bench.until('the stream to have begun', () => bench.api().streams === 1)
  await put('waits1')
  await put('waits2')
  await bench.until('the first answer, and then the stream', () => line.text.includes('"waits2"'))
  await put('waits3')
  await bench.until('the stream to go on', () => line.text.includes('"waits3"'))
  const told = [...line.text.matchAll(/"kind":"group.created","subject":"(\w+)"/g)].map((match) => match[1])
  assert.deepEqual(told, ['waits1', 'waits2', 'waits3'])
  socket.destroy()
  await bench.until('its place to be free', () => bench.api().streams === 0)
})

test('streams that never came to their turn go with their connection', async () => {
  const { socket, line } = pipelined(...Array.from({ length: 20 }, () => '/v1/events?last=0'))
  await bench.until('all to have begun', () => bench.api().streams === 20)
  await bench.until('the head of the first', () => line.text.startsWith('HTTP/1.1 200'))
  socket.destroy()
  await bench.until('their places to be free', () => bench.api().streams === 0)
})

test('streams end and waiting requests are answered when the API closes', async () => {
  const other = await BenchCluster.single()
  const path = other.api().socket
  let ended: 'well' | 'broken' | undefined
  const outgoing = request({ socketPath: path, path: '/v1/events', agent: false }, (incoming) => {
    incoming.resume()
    incoming.on('close', () => {
      ended = incoming.complete ? 'well' : 'broken'
    })
    incoming.on('error', () => undefined)
  })
  outgoing.on('error', () => undefined)
  outgoing.end()
  const index = other.daemon().node?.state.appliedIndex
  const waiting = other.ask('GET', `/v1/store?index=${index}&wait=5m`)
  await other.until('the stream to be open', () => other.api().streams === 1)
  // An event that waits to be written when the API closes.
  await other.daemon().node?.propose({ kind: 'clear-node', node: 'n1' as never })
  await other.stop('n1')
  await other.until('the stream to end', () => ended !== undefined)
  assert.equal(ended, 'well')
  assert.equal((await waiting).status, 200, 'who waited for news is answered')
  await other.close()
})
