/**
 * `quorate agent init` and `quorate agent test`, on agents that are well and on some that are not.
 *
 * needs: resource-agents nginx-light
 */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type CheckResult, runAgentKit } from '../../src/agent-kit/index.js'

let folder: string
const provider = `quorate-test-kit-${process.pid}`
const providerFolder = `/usr/lib/ocf/resource.d/${provider}`

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-kit-'))
  mkdirSync(providerFolder, { recursive: true })
})
after(() => {
  rmSync(providerFolder, { recursive: true, force: true })
  rmSync(folder, { recursive: true, force: true })
})

async function kit(...argv: string[]) {
  const out: string[] = []
  const error: string[] = []
  const code = await runAgentKit(argv, { out: (text) => void out.push(text), error: (text) => void error.push(text) })
  return { code, out: out.join(''), error: error.join('') }
}

async function tried(...argv: string[]) {
  const ran = await kit('test', '-o', 'json', ...argv)
  assert.equal(ran.error, '')
  const checks = JSON.parse(ran.out).checks as CheckResult[]
  return { code: ran.code, checks, of: (outcome: string) => checks.filter((one) => one.outcome === outcome).map((one) => one.check) }
}

test('the beginning of an OCF agent keeps every promise', async () => {
  const made = await kit('init', 'Begun', '--provider', provider, '--folder', providerFolder)
  assert.equal(made.code, 0)
  assert.match(made.out, new RegExp(`quorate agent test ocf:${provider}:Begun`))
  assert.equal(statSync(join(providerFolder, 'Begun')).mode & 0o777, 0o755)
  const { code, of, checks } = await tried(`ocf:${provider}:Begun`, 'speed=3', `state=${join(folder, 'begun.state')}`)
  assert.deepEqual([of('failed'), of('unwise'), code], [[], [], 0], JSON.stringify(checks))
  assert.equal((await kit('init', 'Begun', '--folder', providerFolder)).code, 1, 'nothing is overwritten')
})

test('the beginning of a command keeps every promise', async () => {
  const path = join(folder, 'begun')
  assert.equal((await kit('init', 'begun', '--kind', 'command', '--folder', folder)).code, 0)
  assert.match(readFileSync(path, 'utf8'), new RegExp(`start: \\[${path}, start\\]`))
  const { code, of, checks } = await tried(
    'command',
    ...['start', 'stop', 'probe'].map((method) => `${method}=${JSON.stringify([path, method])}`),
  )
  assert.deepEqual([of('failed'), of('unwise'), code], [[], [], 0], JSON.stringify(checks))
})

test('a foreground process that the monitor keeps', async () => {
  const { code, of } = await tried('command', 'run=exec sleep 1000')
  assert.deepEqual([of('failed'), code], [[], 0])
})

test('Debian’s Dummy, symlink and nginx', async () => {
  const dummy = await tried('ocf:heartbeat:Dummy')
  assert.deepEqual(dummy.of('failed'), [], JSON.stringify(dummy.checks))
  const symlink = await tried('ocf:heartbeat:symlink', `link=${join(folder, 'link')}`, `target=${folder}`)
  assert.deepEqual(symlink.of('failed'), [], JSON.stringify(symlink.checks))
  const home = join(folder, 'nginx')
  mkdirSync(home)
  const port = 20_000 + Math.floor(Math.random() * 20_000)
  writeFileSync(
    join(home, 'nginx.conf'),
    `pid ${home}/nginx.pid; error_log ${home}/error.log; events {}
     http { access_log off; client_body_temp_path ${home}/b; proxy_temp_path ${home}/p; fastcgi_temp_path ${home}/f; uwsgi_temp_path ${home}/u; scgi_temp_path ${home}/s;
     server { listen 127.0.0.1:${port}; } }`,
  )
  const nginx = await tried('ocf:heartbeat:nginx', `configfile=${home}/nginx.conf`, `port=${port}`, `status10url=http://127.0.0.1:${port}/`)
  assert.deepEqual(nginx.of('failed'), [], JSON.stringify(nginx.checks))
})

/** What is wrong with an agent, and how the names of the checks begin that find it out. */
const faults: readonly (readonly [string, string, readonly string[]])[] = [
  [
    'a second start that fails',
    'start) [ ! -e $S ] || exit 1; touch $S ;; stop) rm -f $S ;; monitor) [ -e $S ] || exit 7 ;;',
    ['start while running'],
  ],
  ['a stop of nothing that fails', 'start) touch $S ;; stop) rm $S ;; monitor) [ -e $S ] || exit 7 ;;', ['stop while stopped']],
  ['a probe that always says running', 'start) touch $S ;; stop) rm -f $S ;; monitor) : ;;', ['first look']],
  ['a probe that fails instead of saying stopped', 'start) touch $S ;; stop) rm -f $S ;; monitor) [ -e $S ] || exit 1 ;;', ['first look']],
  ['a stop that stops nothing', 'start) touch $S ;; stop) : ;; monitor) [ -e $S ] || exit 7 ;;', ['probe while stopped']],
  ['a start that does not start', 'start) : ;; stop) rm -f $S ;; monitor) [ -e $S ] || exit 7 ;;', ['probe while running']],
  [
    'a probe that believes a file and not the process',
    'start) sleep 1000 >/dev/null 2>&1 & touch $S ;; stop) rm -f $S ;; monitor) [ -e $S ] || exit 7 ;;',
    ['probe after its processes were killed'],
  ],
  [
    'a stop that does not clean up half a start',
    'start) [ ! -e $S.half ] || exit 1; touch $S.half; sleep 2; touch $S; rm -f $S.half ;; stop) rm -f $S ;; monitor) [ -e $S.half ] && exit 1; [ -e $S ] || exit 7 ;;',
    ['kill -9 at '],
  ],
]

for (const [at, [what, actions, found]] of faults.entries())
  test(`${what} is found out`, async () => {
    const name = `Fault${at}`
    const action = (of: string) => `<action name="${of}" timeout="20s"/>`
    writeFileSync(
      join(providerFolder, name),
      `#!/bin/sh
S=${folder}/${name}.state
case $1 in
meta-data) echo '<resource-agent name="${name}"><version>1.1</version><parameters/><actions>${['start', 'stop', 'monitor', 'meta-data', 'validate-all'].map(action).join('')}</actions></resource-agent>' ;;
validate-all) : ;;
${actions}
*) exit 3 ;;
esac
`,
      { mode: 0o755 },
    )
    const { code, of, checks } = await tried(`ocf:${provider}:${name}`)
    assert.equal(code, 2, JSON.stringify(checks))
    for (const check of found)
      assert.ok(
        of('failed').some((name) => name.startsWith(check)),
        `${check}: ${JSON.stringify(checks)}`,
      )
  })

test('metadata that are not well-formed, wrong parameters, and what is not there', async () => {
  writeFileSync(join(providerFolder, 'Garbled'), '#!/bin/sh\necho "<resource-agent>"\n', { mode: 0o755 })
  assert.deepEqual((await tried(`ocf:${provider}:Garbled`)).of('failed'), ['metadata'])
  assert.deepEqual((await tried('ocf:heartbeat:Dummy', 'stat=/x')).of('failed'), ['parameters'])
  assert.deepEqual((await tried(`ocf:${provider}:Nowhere`)).of('failed'), ['installed', 'metadata'])
  for (const [argv, code] of [
    [['test', 'comand'], 1],
    [['test', 'command', 'run'], 1],
    [['test'], 64],
    [['test', 'command', 'run=x', '--timeout', 'soon'], 64],
    [['init', '../x'], 1],
    [['init', 'x', '--kind', 'other'], 64],
  ] as const)
    assert.equal((await kit(...argv)).code, code, argv.join(' '))
})
