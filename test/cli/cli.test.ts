/** The command line against a live API: tables, JSON, the curl command, exit codes. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { isDeepStrictEqual, promisify } from 'node:util'
import { runCli } from '../../src/cli/index.js'
import { BenchCluster, sleeper } from '../api/bench-api.js'

let bench: BenchCluster
let definition: string
before(async () => {
  bench = await BenchCluster.single()
  definition = join(bench.folder, 'web.yaml')
  writeFileSync(definition, 'nodes: [n1]\nresources:\n  main: { type: command, parameters: { run: sleep 100 } }\n')
})
after(() => bench.close())

interface Ran {
  readonly code: number
  readonly out: string
  readonly error: string
}

async function quorate(line: string, environment: Record<string, string> = { QUORATE_SOCKET: bench.api().socket }): Promise<Ran> {
  const out: string[] = []
  const error: string[] = []
  const terminal = { out: (text: string) => void out.push(text), error: (text: string) => void error.push(text) }
  const words = line.match(/'[^']*'|\S+/g) ?? []
  const args = words.map((word) => word.replaceAll("'", ''))
  const code = await runCli(['node', 'quorate', ...args], terminal, environment)
  return { code, out: out.join(''), error: error.join('') }
}

test('tables for people', async () => {
  const put = await quorate(`group put web -f ${definition}`)
  assert.deepEqual([put.code, put.error], [0, ''])
  assert.match(put.out, /^name +web$/m)
  const status = await quorate('status')
  assert.equal(status.code, 0)
  assert.match(status.out, /^cluster +bench$/m)
  assert.match(status.out, /^leader +n1, term 1$/m)
  assert.match(status.out, /^NODE +STATE +DUTY +LEASE +GUARDED +GROUPS$/m)
  assert.match(status.out, /^n1 +JOINING +active +no +no +-$/m)
  assert.match(status.out, /^web +\w+ +ONLINE +- +-/m)
  assert.match(status.out, /next: /)
  for (const line of [
    'node',
    'node show n1',
    'group',
    'group show web',
    'resource web/main',
    'why web',
    'why-not web n1',
    'case',
    'decision',
    'events',
    'config',
    'config get',
    'settings',
    'operation',
    'type',
    'type show command',
    'links',
    'member',
    'protection',
    'attention',
    'doctor',
    'store list',
  ]) {
    const ran = await quorate(line)
    assert.deepEqual([line, ran.code, ran.error], [line, 0, ''])
    assert.ok(ran.out.trim().length > 0, line)
    assert.doesNotMatch(ran.out, /undefined|\[object/, line)
  }
})

test('-o json is the answer of the API', async () => {
  // What is decided meanwhile shows in one of them and not in the other: between two answers that are the same nothing was.
  const answer = async () => (await bench.ask('GET', '/v1/groups/web')).body
  await bench.until('the group to stay as it is for a moment', async () => {
    const [before, ran, behind] = [await answer(), await quorate('-o json group show web'), await answer()]
    if (!isDeepStrictEqual(before, behind)) return false
    assert.deepEqual(JSON.parse(ran.out), before)
    return true
  })
  assert.deepEqual(JSON.parse((await quorate('group show web -o json')).out).name, 'web')
  const refused = await quorate('-o json group show wbe')
  assert.equal(refused.code, 1)
  assert.equal(JSON.parse(refused.out).code, 'GROUP_NOT_FOUND')
})

test('exit codes and next steps', async () => {
  const table: readonly (readonly [string, number, RegExp])[] = [
    ['group show wbe', 1, /GROUP_NOT_FOUND: .*\n {2}next: did you mean "web"\?/],
    ['settings set lese=3s', 1, /UNKNOWN_KEY.*\n {2}next: did you mean "lease"\?/],
    ['settings set lease=1500ms', 1, /IMPOSSIBLE_SETTINGS/],
    ['group move web --to n9', 1, /UNKNOWN_NODE/],
    ['--url http://127.0.0.1:1 status', 4, /no answer from http:\/\/127\.0\.0\.1:1/],
    ['--socket /nowhere/api.sock status', 4, /no answer from \/nowhere/],
    ['--url localhost status', 64, /http:\/\/host:port/],
    ['statsu', 64, /unknown command 'statsu'[\s\S]*status/],
    ['group move web', 64, /--to/],
    ['group show', 64, /missing required argument/],
    ['-o xml status', 64, /json/],
    ['--wait soon status', 64, /duration/],
    ['group put web -f /nowhere.yaml', 64, /cannot be read/],
    ['settings set lease', 64, /key=value/],
    ['node maintenance n1 --for 30m', 64, /an end and a reason[\s\S]*--end/],
    ['node maintenance n9 --end', 1, /NODE_NOT_FOUND|MIXED_VERSIONS/],
    ['group freeze web --for 1h', 64, /--reason/],
    ['resource restart web', 64, /group\/resource/],
    ['resource restart web/mian', 1, /CONFLICT|MIXED_VERSIONS/],
    ['resource probe web/mian', 1, /RESOURCE_NOT_FOUND[\s\S]*did you mean "main"/],
    ['resource action web/main', 64, /missing required argument/],
  ]
  for (const [line, code, error] of table) {
    const ran = await quorate(line)
    assert.equal(ran.code, code, `${line}: ${ran.error}`)
    assert.match(ran.error, error, line)
    assert.equal(ran.out, '', line)
  }
  for (const line of ['--help', 'group --help', 'group move --help']) assert.equal((await quorate(line)).code, 0, line)
  assert.match((await quorate('--help')).out, /quorate guardian[\s\S]*64 usage/)
})

test('work that goes on is told apart from work that is done', async () => {
  const moving = await quorate('group move web --to n1')
  assert.equal(moving.code, 3)
  const [id] = /op-\w+/.exec(moving.out) ?? []
  assert.equal((await quorate(`operation show ${id}`)).code, 3)
  assert.equal((await quorate(`operation show ${id} --wait 50ms`)).code, 3)
  assert.equal((await quorate(`operation cancel ${id}`)).code, 0)
  assert.equal((await quorate(`operation show ${id}`)).code, 2, 'it was not done')
  assert.equal((await quorate('group offline web --wait')).code, 0)
  assert.equal((await quorate('group wait web --until OFFLINE')).code, 0)
  assert.equal((await quorate('group wait web --until ONLINE --wait 50ms')).code, 3)
})

test('--curl prints what a shell can run, and does nothing itself', async () => {
  const shown = await quorate(`--curl store put app/key '{"a": "it is 5 o clock"}'`)
  assert.equal(shown.code, 0)
  assert.match(
    shown.out,
    /^curl -sS --unix-socket \S+ -X PUT -d '\{"value":\{"a":"it is 5 o clock"\}\}' http:\/\/localhost\/v1\/store\/app\/key\n$/,
  )
  assert.equal((await quorate('store get app/key')).code, 1, 'nothing was done')
  const { stdout } = await promisify(execFile)('/bin/sh', ['-c', shown.out.replace(/^curl /, 'curl -f ')]).catch(
    (error: { code?: unknown; stdout: string }) => {
      if (error.code === 127) return { stdout: '' } // There is no curl here.
      throw error
    },
  )
  if (stdout !== '') assert.equal((await quorate('store get app/key')).out, '{"a":"it is 5 o clock"}\n')
  assert.match(
    (await quorate(`--curl --url http://n1:7480 group put web -f ${definition}`)).out,
    /-H 'content-type: application\/yaml' --data-binary 'nodes: \[n1\]/,
  )
  assert.match(
    (await quorate("--curl node maintenance n1 --for 30m --reason 'new memory' --pause-probes")).out,
    /-X POST -d '\{"for":"30m","reason":"new memory","probes":"pause"\}' http:\/\/localhost\/v1\/nodes\/n1\/maintenance/,
  )
  assert.match((await quorate('--curl group move web --to n2 --wait 30s')).out, /'http:\/\/localhost\/v1\/groups\/web\/move\?wait=30s'/)
})

test('the store from the command line', async () => {
  assert.equal((await quorate('store put counter 5')).code, 0)
  assert.equal((await quorate('store get counter')).out, '5\n')
  assert.equal((await quorate('store put counter 6 --if-revision 1')).code, 1)
  assert.equal((await quorate('store put counter 7 --create')).code, 1)
  assert.match((await quorate('store list coun')).out, /^counter +\d+ +5$/m)
  assert.equal((await quorate('store delete counter')).code, 0)
  assert.equal((await quorate('store get counter')).code, 1)
})

test('a document is compared, planned and applied', async () => {
  const file = join(bench.folder, 'all.json')
  writeFileSync(file, JSON.stringify({ groups: { web: sleeper({ priority: 2 }), api: sleeper() } }))
  assert.equal((await quorate(`config diff -f ${file}`)).out, 'change group web\ncreate group api\n')
  const plan = await quorate(`plan -f ${file}`)
  assert.match(plan.out, /^create group api$[\s\S]*^plan [0-9a-f]{32}, on revision \d+$/m)
  const [, hash, revision] = /plan (\w+), on revision (\d+)/.exec(plan.out) ?? []
  assert.equal((await quorate(`apply -f ${file} --plan-hash other`)).code, 1)
  assert.equal((await quorate(`apply -f ${file} --plan-hash ${hash} --if-revision ${revision}`)).code, 0)
  assert.equal((await quorate(`apply -f ${file}`)).out, 'nothing to change\n')
  const yaml = join(bench.folder, 'config.yaml')
  writeFileSync(yaml, (await quorate('config get')).out)
  assert.equal((await quorate(`apply -f ${yaml}`)).out, 'nothing to change\n')
})

test('events, as they were and as they come', async () => {
  const { url } = bench.api()
  const past = await quorate('events --last 2', { QUORATE_URL: String(url) })
  assert.equal(past.out.trim().split('\n').length, 2)
  const lines: string[] = []
  const following = runCli(
    ['node', 'quorate', '-o', 'json', 'events', '-f', '--last', '0'],
    { out: (text) => void lines.push(text), error: () => undefined },
    { QUORATE_SOCKET: bench.api().socket },
  )
  await bench.until('the line to be open', async () => {
    await bench.ask('POST', '/v1/groups/api/clear')
    return lines.length > 0
  })
  assert.equal(JSON.parse(lines[0] ?? '').kind, 'group.cleared')
  await bench.api().close()
  assert.equal(await following, 0)
})
