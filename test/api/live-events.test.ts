/** Streams that follow live: each has what came after it, once, in order, and leaves where it cannot take more. */
import assert from 'node:assert/strict'
import { createServer, request, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { type Left, LiveEvents } from '../../src/api/cluster/live-events.js'
import type { EventRow } from '../../src/core/cluster/index.js'
import type { QuorateNode } from '../../src/node/index.js'

type Listener = Parameters<QuorateNode['onApplied']>[0]

let server: Server
const arrived: ServerResponse[] = []
before(async () => {
  server = createServer((_, response) => {
    response.writeHead(200)
    response.flushHeaders()
    arrived.push(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
after(() => {
  server.closeAllConnections()
  server.close()
})

const port = (): number => (server.address() as AddressInfo).port
const beginning = { revision: 0, number: 0 }

/** Hub and what a node would tell it. */
function hub() {
  const live = new LiveEvents()
  let tell: (news: object) => void = () => undefined
  const onApplied = (listener: Listener) => {
    tell = listener as never
    return () => undefined
  }
  live.attach({ state: { appliedIndex: 1 }, onApplied } as unknown as QuorateNode)
  const event = (revision: number, text = '') =>
    ({ revision, number: 0, kind: 'test', subject: text, wall: 0, at: 0, text: '', data: {} }) as unknown as EventRow
  return {
    live,
    events: (...revisions: number[]) => tell({ events: revisions.map((revision) => event(revision)), changes: [] }),
    large: (revision: number) => tell({ events: [event(revision, 'x'.repeat(1024 * 1024))], changes: [] }),
    replaced: () => tell({ events: [], changes: [], replaced: true }),
  }
}

/** A client, and its response at the server. */
async function client(version: '1.0' | '1.1' = '1.1') {
  const seen: number[] = []
  let text = ''
  const take = (part: string): void => {
    text += part
    const lines = text.split('\n')
    text = lines.pop() as string
    for (const line of lines) if (line.startsWith('{')) seen.push((JSON.parse(line) as { revision: number }).revision)
  }
  let socket: Socket | undefined
  const count = arrived.length
  if (version === '1.0') {
    socket = connect(port(), '127.0.0.1')
      .setEncoding('utf8')
      .on('data', take as never)
    socket.write('GET / HTTP/1.0\r\n\r\n')
  } else
    request({ port: port(), agent: false }, (incoming) => {
      socket = incoming.socket
      incoming.setEncoding('utf8').on('data', take)
    }).end()
  await until('the request to arrive', () => arrived.length > count && socket !== undefined)
  const gone = new AbortController()
  return { response: arrived.at(-1) as ServerResponse, seen, socket: socket as unknown as Socket, gone }
}

function follow(live: LiveEvents, { response, gone }: Awaited<ReturnType<typeof client>>, position = beginning) {
  const follower: { why?: Left; position?: object } = {}
  void live.follow({ response, sse: false, signal: gone.signal }, position).then((left) => Object.assign(follower, left))
  return follower
}

describe('a stream that follows live', () => {
  test('has what is told after it came, once, whatever waits to be written', async () => {
    const { live, events } = hub()
    const [first, second, third] = [await client(), await client(), await client('1.0')]
    follow(live, first)
    events(1, 2)
    follow(live, second)
    events(3)
    follow(live, third)
    events(4, 5)
    await until('all to have all', () => [first, second, third].every(({ seen }) => seen.at(-1) === 5))
    events(6)
    await until('all to have the next', () => [first, second, third].every(({ seen }) => seen.at(-1) === 6))
    assert.deepEqual(
      [first.seen, second.seen, third.seen],
      [
        [1, 2, 3, 4, 5, 6],
        [3, 4, 5, 6],
        [4, 5, 6],
      ],
    )
  })

  test('leaves when it takes no more, and knows what it had', async () => {
    const { live, large, events } = hub()
    const [slow, other] = [await client(), await client()]
    slow.socket.pause()
    const follower = follow(live, slow)
    follow(live, other)
    let told = 0
    while (follower.why === undefined) {
      large(++told)
      await new Promise((resolve) => setImmediate(resolve))
      assert.ok(told < 1_000, 'it takes and takes')
    }
    assert.equal(follower.why, 'full')
    events(told + 1)
    slow.socket.resume()
    await until('the other one to have all', () => other.seen.at(-1) === told + 1)
    const { position } = follower as { position: { revision: number; number: number } }
    assert.equal(position.number, 1)
    await until('the slow one to have what was written to it', () => slow.seen.at(-1) === position.revision)
    assert.deepEqual(
      slow.seen,
      slow.seen.map((_, at) => at + 1),
    )
  })

  test('leaves when a snapshot has come in, without what waited to be written', async () => {
    const { live, events, replaced } = hub()
    const one = await client()
    const follower = follow(live, one, { revision: 7, number: 0 })
    events(7)
    replaced()
    await until('it to leave', () => follower.why !== undefined)
    assert.deepEqual(follower, { why: 'behind', position: { revision: 7, number: 0 } })
    const again = follow(live, one, { revision: 20, number: 0 })
    events(20)
    await until('it to go on', () => one.seen.length > 0)
    assert.deepEqual([one.seen, again.why], [[20], undefined])
  })

  test('is over when its client is', async () => {
    const { live, events } = hub()
    const [one, other] = [await client(), await client()]
    const [follower, destroyed] = [follow(live, one), follow(live, other)]
    one.gone.abort()
    other.response.destroy()
    events(1)
    await until('both to be over', () => follower.why === 'over' && destroyed.why === 'over')
    assert.deepEqual(one.seen, [])
  })

  test('beyond the bound is refused', async () => {
    const { live } = hub()
    const one = await client()
    const streams = Array.from({ length: 2_000 }, () => ({ ...one, gone: new AbortController() }))
    for (const each of streams) follow(live, each)
    assert.throws(() => live.checkRoom(), { code: 'OVERLOADED' })
    streams[0]?.gone.abort()
    live.checkRoom()
    for (const { gone } of streams) gone.abort()
  })
})

async function until(what: string, holds: () => boolean): Promise<void> {
  const end = performance.now() + 20_000
  while (!holds()) {
    assert.ok(performance.now() < end, `waited for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
