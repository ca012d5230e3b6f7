/** The log of a resource, asked of whatever node: of the one that has it, of a named one, of nobody. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { runCli } from '../../src/cli/index.js'
import { BenchCluster } from './bench-api.js'

let bench: BenchCluster
const log = '/v1/groups/web/resources/main/log'

before(async () => {
  bench = await BenchCluster.of(['n1', 'n2'])
  await Promise.all(['n1', 'n2'].map((name) => bench.start(name)))
  await bench.until('the cluster to form', async () => (await bench.ask('GET', '/v1/status')).body.quorate === true)
  const body = { nodes: ['n1', 'n2'], intent: 'OFFLINE', resources: { main: { type: 'command', parameters: { run: 'sleep 9' } } } }
  assert.equal((await bench.ask('PUT', '/v1/groups/web', { body })).status, 201)
})
after(() => bench.close())

const lines = Array.from({ length: 150 }, (_, at) => `line ${at}`)

test('where nobody has it, that is said, with what to do', async () => {
  const answer = await bench.ask('GET', log)
  assert.deepEqual([answer.status, answer.body.code], [404, 'LOG_NOT_FOUND'])
  assert.match(answer.body.detail, /web\/main was ever written on n1, n2/)
  assert.match(answer.body.fix, /\?node=/)
})

test('it is found on the node that has it, from any node, and only its end', async () => {
  const folder = join(bench.folder, 'n2', 'log')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'web@main.log'), `${lines.join('\n')}\n`)
  writeFileSync(join(folder, 'web@main@actions.log'), 'stop: status 0\n')
  for (const node of ['n1', 'n2']) {
    const { status, body } = await bench.ask('GET', log, { node })
    assert.equal(status, 200)
    assert.deepEqual(body, { group: 'web', resource: 'main', node: 'n2', lines: lines.slice(-100), actions: ['stop: status 0'] })
  }
  assert.deepEqual((await bench.ask('GET', `${log}?lines=2&node=n2`)).body.lines, lines.slice(-2))
  const elsewhere = await bench.ask('GET', `${log}?node=n1`)
  assert.deepEqual([elsewhere.status, elsewhere.body.code], [404, 'LOG_NOT_FOUND'])
})

test('what is asked for wrongly is refused by its name', async () => {
  for (const [path, code] of [
    [`${log}?lines=0`, 'INVALID_QUERY'],
    [`${log}?lines=5000`, 'INVALID_QUERY'],
    [`${log}?node=n9`, 'NODE_NOT_FOUND'],
    ['/v1/groups/web/resources/mian/log', 'RESOURCE_NOT_FOUND'],
    ['/v1/groups/wbe/resources/main/log', 'GROUP_NOT_FOUND'],
  ] as const)
    assert.equal((await bench.ask('GET', path)).body.code, code, path)
})

test('the command line prints it', async () => {
  const printed: string[] = []
  const terminal = { out: (text: string) => void printed.push(text), error: (text: string) => void printed.push(text) }
  const run = (...args: string[]) =>
    runCli(['node', 'quorate', 'group', 'log', ...args], terminal, { QUORATE_SOCKET: bench.socketOf('n1') })
  assert.equal(await run('web/main', '--lines', '2'), 0)
  assert.equal(printed.join(''), 'line 148\nline 149\nstops and bad probes:\nstop: status 0\n')
  assert.equal(await run('web/main', '--node', 'n1'), 1)
})
