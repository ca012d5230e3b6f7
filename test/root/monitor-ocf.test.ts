/**
 * Debian's own agents under a real monitor.
 *
 * needs: resource-agents nginx-light
 */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { checkOcfParameters, type MonitorReport, ocfMetadataCall, parseOcfMetadata } from '../../src/core/monitor/index.js'
import { installedOcfTypes } from '../../src/io/agents/index.js'
import { readStat } from '../../src/io/processes/index.js'
import { BenchNode, group, resource } from '../monitor/bench-node.js'

let bench: BenchNode

before(async () => {
  bench = new BenchNode()
  bench.startMonitor()
  await bench.hello()
})
after(() => bench.close())

const dummy = resource({ type: 'ocf:heartbeat:Dummy', parameters: {}, probe: { interval: 100, timeout: 5_000 } })

test('Dummy starts, is missed when its state goes, is started again and stopped', async () => {
  bench.run('dummy', { d: dummy })
  await bench.groupIs('dummy', 'ONLINE')
  await bench.look('dummy', 'd')
  const state = join(bench.runFolder.path, 'rsctmp', 'Dummy-d.state')
  readFileSync(state)
  rmSync(state)
  assert.equal((await bench.failureOf('dummy'))?.event, 'died')
  bench.run('dummy', { d: dummy }, { sequence: 2, restart: { resource: 'd' as never, number: 1 } })
  await bench.groupIs('dummy', 'ONLINE', 0, (report) => report.sequence === 2)
  bench.stop('dummy')
  await bench.groupIs('dummy', 'STOPPED')
})

test('two nodes of one kernel do not share the agents’ state', async () => {
  const other = new BenchNode()
  try {
    other.startMonitor()
    await other.hello()
    bench.run('mine', { m: dummy })
    await bench.groupIs('mine', 'ONLINE')
    other.order({ kind: 'probe', group: group('mine'), probeId: 'p', resources: { m: dummy } as never })
    const report = await other.until<Extract<MonitorReport, { kind: 'probed' }>>('the probe', (said) => said.kind === 'probed')
    assert.equal(report.result, 'clean')
    bench.stop('mine')
    await bench.groupIs('mine', 'STOPPED')
  } finally {
    await other.close()
  }
})

test('an agent’s start that never gives up is killed at its time', async () => {
  const delay = resource({
    type: 'ocf:heartbeat:Delay',
    parameters: { startdelay: '30', stopdelay: '0', mondelay: '0' },
    start: { timeout: 500 },
  })
  bench.run('delay', { d: delay })
  assert.equal((await bench.failureOf('delay'))?.event, 'start-timeout')
  bench.stop('delay')
  await bench.groupIs('delay', 'STOPPED')
})

test('an agent that is not there: a failed start, a clean probe', async () => {
  const nothing = resource({ type: 'ocf:heartbeat:Nothing', parameters: {} })
  bench.order({ kind: 'probe', group: group('nothing'), probeId: 'nothing', resources: { n: nothing } as never })
  const report = await bench.until<Extract<MonitorReport, { kind: 'probed' }>>('the probe', (said) => said.kind === 'probed')
  assert.equal(report.result, 'clean')
  bench.run('nothing', { n: nothing })
  assert.match((await bench.failureOf('nothing'))?.detail ?? '', /not installed/)
})

test('nginx, daemonised by its agent: served, its main process learnt, its death noticed, its stop verified', async () => {
  const { web, port } = nginx('nginx')
  bench.run('web', { web })
  await bench.groupIs('web', 'ONLINE')
  assert.equal(await fetchPage(port), 200)
  await bench.eventually('its main process', () => bench.pidOf('web', 'web') !== undefined)
  const pid = bench.pidOf('web', 'web') as number
  assert.match(readFileSync(`/proc/${pid}/comm`, 'utf8'), /nginx/)
  process.kill(pid, 'SIGKILL')
  assert.equal((await bench.failureOf('web'))?.event, 'died')
  bench.run('web', { web }, { sequence: 2, restart: { resource: 'web' as never, number: 1 } })
  await bench.groupIs('web', 'ONLINE', 0, (report) => report.sequence === 2)
  assert.equal(await fetchPage(port), 200)
  bench.stop('web')
  await bench.groupIs('web', 'STOPPED')
  await assert.rejects(fetchPage(port))
})

test('a daemonised service runs on when its monitor is killed, and is adopted', async () => {
  const { web, port } = nginx('adopted')
  bench.run('adopted', { web })
  await bench.groupIs('adopted', 'ONLINE')
  await bench.eventually('its main process', () => bench.pidOf('adopted', 'web') !== undefined)
  const pid = bench.pidOf('adopted', 'web') as number
  await bench.killMonitor()
  const from = bench.reports.length
  bench.startMonitor()
  await bench.hello(from)
  assert.equal(await fetchPage(port), 200)
  assert.equal(bench.pidOf('adopted', 'web'), pid)
  process.kill(pid, 'SIGKILL')
  assert.equal((await bench.failureOf('adopted', from))?.event, 'died')
  assert.equal(readStat(pid)?.state ?? 'Z', 'Z')
})

test('metadata come through a call and check the parameters', async () => {
  assert.ok(installedOcfTypes().includes('ocf:heartbeat:IPaddr2'))
  const asked = ocfMetadataCall('ocf:heartbeat:IPaddr2')
  assert.ok(asked)
  bench.order({ kind: 'call', callId: 'meta', ...asked, input: '', hold: false, timeout: 5_000 })
  const report = await bench.until<Extract<MonitorReport, { kind: 'called' }>>('the metadata', (said) => said.kind === 'called')
  const metadata = parseOcfMetadata(report.stdout)
  assert.ok(metadata)
  assert.deepEqual(checkOcfParameters(metadata, { ip: '10.0.0.1', cidr_netmask: 24 }), [])
  assert.equal(checkOcfParameters(metadata, { iip: '10.0.0.1' }).length, 2)
})

function nginx(name: string) {
  const port = 20_000 + Math.floor(Math.random() * 20_000)
  const folder = join(bench.dir, name)
  mkdirSync(folder)
  const config = join(folder, 'nginx.conf')
  writeFileSync(
    config,
    `pid ${folder}/nginx.pid; error_log ${folder}/error.log; events {}
     http { access_log off; client_body_temp_path ${folder}/b; proxy_temp_path ${folder}/p; fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
     server { listen 127.0.0.1:${port}; location / { return 200 "hello"; } } }`,
  )
  const web = resource({ type: 'ocf:heartbeat:nginx', parameters: { configfile: config, port: String(port) } })
  return { web, port }
}

function fetchPage(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    }).once('error', reject)
  })
}
