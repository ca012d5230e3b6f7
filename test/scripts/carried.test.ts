/** The sample service goes on exactly where it stopped, on another node: its file and a large checkpoint go with it. Real daemons on loopback. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { readExample } from '../../scripts/lib/examples.js'
import { request, waitFor } from '../../scripts/lib/http.js'
import { freePort, projectRoot } from '../../scripts/lib/lab.js'
import { type LoopbackLab, raiseLoopback } from './loopback-lab.js'

let cluster: LoopbackLab
let folder: string
let state: string
let url: string
const patience = 60_000

interface FileRow {
  readonly path: string
  readonly node: string
  readonly token: number
  readonly sum: string
  readonly mode: string
  readonly ageMs: number
  readonly problem?: string
}

before(async () => {
  cluster = await raiseLoopback(27)
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'quorate-carried-')))
  mkdirSync(join(folder, 'counter'))
  state = join(folder, 'counter', 'state.json')
  const port = await freePort(['127.0.0.1'], 8_190)
  url = `http://127.0.0.1:${port}`
  await cluster.settled()
  // Long enough that what happens meanwhile happens before the next copy begins.
  await cluster.api('PATCH', '/v1/settings', { profile: 'slow' })
  const here = {
    '/usr/bin/node': process.execPath,
    '/usr/local/lib/quorate': projectRoot,
    '/var/lib/counter/state.json': state,
    '8090': String(port),
  }
  await set('PUT', '/v1/groups/counter', readExample('counter.yaml', here))
})
after(async () => {
  await cluster?.close()
  rmSync(folder, { recursive: true, force: true })
})

const set = (method: string, path: string, body: unknown): Promise<void> =>
  waitFor(`${method} ${path}`, patience, async () => {
    const answer = await cluster.api(method, path, body)
    if (answer.status >= 400 && answer.status < 500 && answer.body.code !== 'MIXED_VERSIONS')
      throw new Error(`${method} ${path}: ${JSON.stringify(answer.body)}`)
    return answer.status >= 200 && answer.status < 300
  })

async function holderOf(group: string): Promise<{ readonly node: string; readonly token: number } | undefined> {
  const { groups } = (await cluster.api('GET', '/v1/status')).body as {
    groups?: { name: string; state: string; holders: { node: string; token: number }[] }[]
  }
  const found = groups?.find(({ name }) => name === group)
  return found?.state === 'ONLINE' ? found.holders[0] : undefined
}

async function runsOn(...nodes: string[]) {
  await waitFor(`the counter to run on ${nodes.join(' or ')}`, patience, async () =>
    nodes.includes((await holderOf('counter'))?.node ?? ''),
  )
  return (await holderOf('counter')) as { node: string; token: number }
}

async function files(): Promise<readonly FileRow[]> {
  return ((await cluster.api('GET', '/v1/groups/counter/checkpoints')).body.files ?? []) as readonly FileRow[]
}

const sumOf = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex')
const counter = async (path = '/') => (await request(url, 'GET', path)).body as { count: number; starts: number }
/** The log has what the file is now. */
const carried = () => waitFor('the file to be carried', patience, async () => (await files())[0]?.sum === sumOf(state))

test('over the loss of its node it goes on where it stopped, and finds its large checkpoint', async () => {
  const { token } = await runsOn('n1')
  await waitFor('it to count', patience, async () => (await counter()).count > 3)
  const stopped = await counter('/stop')
  assert.equal(stopped.starts, 1)
  await carried()
  const [row] = await files()
  assert.deepEqual([row?.path, row?.node, row?.token, row?.mode], [state, 'n1', token, '0640'])
  const large = 'Grüße und mehr. '.repeat(40_000)
  const leave = (text: string, by: number) =>
    request(cluster.lab.url('n2'), 'PUT', '/v1/groups/counter/checkpoints/large', text, {
      headers: { 'quorate-grant-token': String(by) },
      timeoutMs: 20_000,
    })
  assert.equal((await leave(large, token)).status, 200)
  assert.equal((await leave(large, token - 1)).body.code, 'STALE_TOKEN')

  await cluster.lab.power.get('n1')?.off()
  rmSync(state)
  await runsOn('n2', 'n3')
  const { node } = await runsOn('n2', 'n3')
  const again = await counter('/stop')
  assert.equal(again.starts, 2, 'the same state, begun once more')
  assert.ok(again.count >= stopped.count && again.count < stopped.count + 600, `${again.count} after ${stopped.count}`)
  assert.equal(statSync(state).mode & 0o777, 0o640)
  const found = readFileSync(join(cluster.lab.run, node, 'checkpoints', 'counter', 'counter', 'large'), 'utf8')
  assert.equal(found, JSON.stringify(large))
  const decisions = (await cluster.api('GET', '/v1/decisions?group=counter')).body.decisions as {
    action: string
    carried?: { name: string; ageMs: number }[]
  }[]
  const told = decisions.filter(({ action }) => action.startsWith('grant')).flatMap((decision) => decision.carried ?? [])
  assert.ok(
    told.some(({ name, ageMs }) => name === state && ageMs >= 0),
    JSON.stringify(decisions),
  )
})

test('when it is moved, what it wrote last goes with it, byte for byte', async () => {
  await waitFor('n1 to be back', patience, async () => {
    const { nodes } = (await cluster.api('GET', '/v1/status')).body as { nodes?: { name: string; state: string }[] }
    return nodes?.every((node) => node.state === 'ONLINE') === true
  })
  const { node } = await runsOn('n2', 'n3')
  const before = await counter()
  await set('POST', '/v1/groups/counter/offline', {})
  await waitFor('it to have stopped', patience, async () => {
    const { groups } = (await cluster.api('GET', '/v1/status')).body as { groups?: { name: string; state: string }[] }
    return groups?.find(({ name }) => name === 'counter')?.state === 'OFFLINE'
  })
  const last = readFileSync(state, 'utf8')
  assert.equal((await files())[0]?.sum, sumOf(state), 'what it was at its stop is in the log')
  writeFileSync(state, 'what another machine would have here')
  chmodSync(state, 0o600)
  const other = node === 'n2' ? 'n3' : 'n2'
  await set('PATCH', '/v1/groups/counter', { nodes: [other], intent: 'ONLINE' })
  await set('POST', '/v1/groups/counter/online', {})
  await runsOn(other)
  const now = await counter('/stop')
  assert.equal(now.starts, before.starts + 1)
  assert.ok(now.count >= (JSON.parse(last) as { count: number }).count)
  assert.equal(statSync(state).mode & 0o777, 0o640)
})

test('a link in its place is not carried, and said so; what was carried before stays', async () => {
  await carried()
  const [before] = await files()
  writeFileSync(join(folder, 'elsewhere'), 'somebody else’s')
  rmSync(state)
  symlinkSync(join(folder, 'elsewhere'), state)
  await waitFor('it to be noticed', patience, async () => /symbolic link/.test((await files())[0]?.problem ?? ''))
  assert.equal((await files())[0]?.sum, before?.sum)
  rmSync(state)
  writeFileSync(state, JSON.stringify({ count: 1_000, starts: 7 }))
  await waitFor('it to be carried again', patience, async () => (await files())[0]?.sum === sumOf(state))
  assert.equal((await files())[0]?.problem, undefined)
})
