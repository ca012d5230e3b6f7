/**
 * Probes of two depths, readiness and limits once more as root, and deep probes of agents.
 *
 * needs: resource-agents nginx-light curl
 */
import '../monitor/watching.test.js'
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { BenchNode, resource } from '../monitor/bench-node.js'

let bench: BenchNode
const provider = `/usr/lib/ocf/resource.d/quorate-test-${process.pid}`

before(async () => {
  bench = new BenchNode()
  chmodSync(bench.dir, 0o711)
  bench.startMonitor()
  await bench.hello()
})
after(async () => {
  rmSync(provider, { recursive: true, force: true })
  await bench.close()
})

test('deep probes are the agent’s monitor at other levels, each in its own time', async () => {
  mkdirSync(provider, { recursive: true })
  const said = join(bench.dir, 'levels')
  const state = join(bench.dir, 'state')
  const agent = `#!/bin/sh
. \${OCF_ROOT}/lib/heartbeat/ocf-shellfuncs
case $1 in
start) touch ${state} ;;
stop) rm -f ${state} ;;
monitor) echo "$OCF_CHECK_LEVEL $OCF_RESKEY_CRM_meta_interval $OCF_RESKEY_CRM_meta_timeout" >> ${said}; [ -e ${state} ] || exit 7 ;;
esac
`
  writeFileSync(join(provider, 'Levels'), agent, { mode: 0o755 })
  const app = resource({
    type: `ocf:quorate-test-${process.pid}:Levels`,
    parameters: {},
    probe: { interval: 100, timeout: 5_000 },
    probeDeep: [
      { interval: 200, timeout: 7_000, level: 20 },
      { interval: 300, timeout: 8_000, level: 30 },
    ],
  })
  bench.run('levels', { app })
  await bench.groupIs('levels', 'ONLINE')
  await bench.eventually(
    'all depths',
    () =>
      existsSync(said) &&
      ['0 100 5000', '20 200 7000', '30 300 8000'].every((line) => readFileSync(said, 'utf8').split('\n').includes(line)),
  )
  bench.stop('levels')
  await bench.groupIs('levels', 'STOPPED')
})

test('nginx at level 10 is asked for a page: that it runs is not enough', async () => {
  const port = 20_000 + Math.floor(Math.random() * 20_000)
  const folder = join(bench.dir, 'nginx')
  mkdirSync(folder)
  const page = join(folder, 'page')
  writeFileSync(page, 'all is well')
  writeFileSync(
    join(folder, 'nginx.conf'),
    `pid ${folder}/nginx.pid; error_log ${folder}/error.log; events {}
     http { access_log ${folder}/access.log; client_body_temp_path ${folder}/b; proxy_temp_path ${folder}/p; fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
     server { listen 127.0.0.1:${port}; root ${folder}; } }`,
  )
  const web = resource({
    type: 'ocf:heartbeat:nginx',
    parameters: {
      configfile: join(folder, 'nginx.conf'),
      port: String(port),
      status10url: `http://127.0.0.1:${port}/page`,
      status10regex: 'all is well',
    },
    probe: { interval: 100, timeout: 5_000 },
    probeDeep: { interval: 300, timeout: 10_000 },
  })
  bench.run('deep', { web })
  await bench.groupIs('deep', 'ONLINE')
  const pages = () => readFileSync(join(folder, 'access.log'), 'utf8').split('GET /page').length - 1
  await bench.eventually('deep probes that are good', () => pages() >= 2)
  writeFileSync(page, 'all is lost')
  const failure = await bench.failureOf('deep')
  assert.equal(failure?.event, 'probe-failed')
  assert.match(failure?.detail ?? '', /^deep probe: the agent answered/)
  bench.stop('deep')
  await bench.groupIs('deep', 'STOPPED')
})

test('a service of another user can make its ready file', async () => {
  const run = 'touch "$QUORATE_READY_FILE"; exec sleep 1000'
  bench.run('theirs', { app: resource({ type: 'command', parameters: { run, user: 'nobody', readyFile: true } }) })
  await bench.groupIs('theirs', 'ONLINE')
  bench.stop('theirs')
  await bench.groupIs('theirs', 'STOPPED')
})
