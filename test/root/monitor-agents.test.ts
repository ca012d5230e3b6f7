/**
 * OCF agents under a real monitor: exit statuses, changed parameters, and the commands that agents call.
 *
 * needs: resource-agents redis-server
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import type { MonitorReport } from '../../src/core/monitor/index.js'
import { agentCommands } from '../../src/io/agents/index.js'
import { BenchNode, group, resource } from '../monitor/bench-node.js'
import { installTestAgent, type TestAgent } from './test-agent.js'

let bench: BenchNode
let play: TestAgent

before(async () => {
  bench = new BenchNode()
  play = installTestAgent('monitor')
  bench.startMonitor()
  await bench.hello()
})
after(async () => {
  play.remove()
  await bench.close()
})

/** A resource of the agent, with the folder of its answers. */
function player(name: string, more: object = {}) {
  const answers = join(bench.dir, name)
  mkdirSync(answers, { recursive: true })
  const definition = (parameters: object = {}) =>
    resource({ type: play.type, parameters: { answers, ...parameters }, probe: { interval: 100, timeout: 5_000 }, ...more })
  return {
    answers,
    definition,
    log: join(answers, 'log'),
    answer: (action: string, status: number) => writeFileSync(join(answers, action), `${status}\n`),
  }
}

test('what an agent calls degraded is ONLINE, with its reason', async () => {
  const { definition, answer, answers } = player('degraded')
  bench.run('degraded', { app: definition() })
  await bench.groupIs('degraded', 'ONLINE')
  answer('monitor', 190)
  const report = await bench.groupIs('degraded', 'ONLINE', 0, ({ resources }) => resources['app' as never]?.degraded === true)
  assert.equal(report.resources['app' as never]?.detail, 'told to answer 190 to monitor')
  rmSync(join(answers, 'monitor'))
  const from = bench.reports.length
  await bench.groupIs('degraded', 'ONLINE', from, ({ resources }) => resources['app' as never]?.degraded === undefined)
  bench.stop('degraded')
  await bench.groupIs('degraded', 'STOPPED')
})

for (const [status, severity] of [
  [1, undefined],
  [2, 'hard'],
  [4, 'hard'],
  [5, 'hard'],
  [6, 'fatal'],
] as const)
  test(`a start that answers ${status} is told as ${severity ?? 'one that may be tried again'}, in the agent’s words`, async () => {
    const name = `start-${status}`
    const { definition, answer } = player(name)
    answer('start', status)
    bench.run(name, { app: definition() })
    const failure = await bench.failureOf(name)
    assert.deepEqual([failure?.event, failure?.severity], ['start-failed', severity])
    assert.match(failure?.detail ?? '', new RegExp(`answered ${status} .*: told to answer ${status} to start$`))
    bench.stop(name)
    await bench.groupIs(name, 'STOPPED')
  })

test('where its tools are missing, a first look says so, and a start is not tried', async () => {
  const { definition, answer } = player('missing')
  answer('monitor', 5)
  bench.order({ kind: 'probe', group: group('missing'), probeId: 'missing', resources: { app: definition() } as never })
  const isAnswer = (report: MonitorReport) => report.kind === 'probed' && report.probeId === 'missing'
  const report = await bench.until<Extract<MonitorReport, { kind: 'probed' }>>('the probe', isAnswer)
  assert.equal(report.result, 'clean')
  assert.match(report.unable ?? '', /^app: ocf:.*: told to answer 5 to monitor$/)
})

test('an agent that is not there leaves nothing to be stopped', async () => {
  bench.run('nowhere', { app: resource({ type: 'ocf:heartbeat:Nowhere', parameters: {} }) })
  assert.equal((await bench.failureOf('nowhere'))?.severity, 'hard')
  bench.stop('nowhere')
  await bench.groupIs('nowhere', 'STOPPED')
})

test('changed parameters that can be reloaded are, and are what it is stopped with', async () => {
  const { definition, log } = player('reloads')
  bench.run('reloads', { app: definition({ speed: 1 }) })
  await bench.groupIs('reloads', 'ONLINE')
  bench.run('reloads', { app: definition({ speed: 2 }) }, { sequence: 2 })
  await bench.groupIs('reloads', 'ONLINE', 0, ({ sequence }) => sequence === 2)
  assert.deepEqual(play.calls(log), ['start 1', 'reload-agent 2'])
  bench.stop('reloads')
  await bench.groupIs('reloads', 'STOPPED')
  assert.deepEqual(play.calls(log), ['start 1', 'reload-agent 2', 'stop 2'])
})

test('a reload that fails is a restart: stopped as it was, started as it is', async () => {
  const { definition, log, answer } = player('restarts')
  bench.run('restarts', { app: definition({ speed: 1 }) })
  await bench.groupIs('restarts', 'ONLINE')
  answer('reload-agent', 1)
  bench.run('restarts', { app: definition({ speed: 2 }) }, { sequence: 2 })
  await bench.groupIs('restarts', 'ONLINE', 0, ({ sequence }) => sequence === 2)
  assert.deepEqual(play.calls(log), ['start 1', 'reload-agent 2', 'stop 1', 'start 2'])
  bench.stop('restarts')
  await bench.groupIs('restarts', 'STOPPED')
})

test('a change of what cannot be reloaded is a restart', async () => {
  const { definition, log } = player('renamed')
  bench.run('renamed', { app: definition({ speed: 1, name: 'a' }) })
  await bench.groupIs('renamed', 'ONLINE')
  bench.run('renamed', { app: definition({ speed: 2, name: 'b' }) }, { sequence: 2 })
  await bench.groupIs('renamed', 'ONLINE', 0, ({ sequence }) => sequence === 2)
  assert.deepEqual(play.calls(log), ['start 1', 'stop 1', 'start 2'])
  bench.stop('renamed')
  await bench.groupIs('renamed', 'STOPPED')
})

test('Debian’s Dummy reloads in the way of OCF 1.0', async () => {
  const dummy = (parameters: Record<string, string>) =>
    resource({ type: 'ocf:heartbeat:Dummy', parameters, probe: { interval: 100, timeout: 5_000 } })
  bench.run('old', { d: dummy({ fake: 'a' }) })
  await bench.groupIs('old', 'ONLINE')
  const state = join(bench.runFolder.path, 'rsctmp', 'Dummy-d.state')
  const before = statSync(state)
  bench.run('old', { d: dummy({ fake: 'b' }) }, { sequence: 2 })
  await bench.groupIs('old', 'ONLINE', 0, ({ sequence }) => sequence === 2)
  const after = statSync(state)
  assert.deepEqual([after.ino, after.mtimeMs], [before.ino, before.mtimeMs], 'it was never stopped')
  assert.match(readFileSync(join(bench.logDir, 'old@d.log'), 'utf8'), /Reloading d/)
  // Where it keeps its state is no such parameter.
  const moved = join(bench.dir, 'moved.state')
  bench.run('old', { d: dummy({ fake: 'b', state: moved }) }, { sequence: 3 })
  await bench.groupIs('old', 'ONLINE', 0, ({ sequence }) => sequence === 3)
  assert.throws(() => statSync(state), 'stopped as it was')
  assert.ok(statSync(moved))
  bench.stop('old')
  await bench.groupIs('old', 'STOPPED')
})

test('Debian’s Stateful keeps its score by the commands of its path, and the next monitor knows it', async () => {
  const stateful = resource({ type: 'ocf:heartbeat:Stateful', parameters: {}, probe: { interval: 200, timeout: 5_000 } })
  bench.run('stateful', { s: stateful })
  await bench.groupIs('stateful', 'ONLINE')
  const score = (of = 'stateful') =>
    command('crm_attribute', ['-N', 'n1', '-l', 'reboot', '-n', 'master-s', '-G', '-q'], {
      QUORATE_COMMANDS: bench.runFolder.socket('commands'),
      QUORATE_GROUP: of,
    })
  assert.match((await score()).stdout, /^\d+$/m)
  assert.equal((await score('other')).code, 105, 'another group has its own')
  await bench.killMonitor()
  const from = bench.reports.length
  bench.startMonitor()
  await bench.hello(from)
  assert.match((await score()).stdout, /^\d+$/m)
  bench.stop('stateful')
  await bench.groupIs('stateful', 'STOPPED', from)
  assert.equal((await score()).code, 105, 'its stop has deleted it')
})

test('Debian’s redis, single, neither misses nor disturbs a cluster manager', async () => {
  const folder = mkdtempSync(join(bench.dir, 'redis-'))
  const port = 20_000 + Math.floor(Math.random() * 20_000)
  writeFileSync(
    join(folder, 'redis.conf'),
    `port ${port}\nbind 127.0.0.1\ndaemonize yes\ndir ${folder}\npidfile ${folder}/redis.pid\nunixsocket ${folder}/redis.sock\n`,
  )
  const redis = resource({
    type: 'ocf:heartbeat:redis',
    parameters: {
      config: join(folder, 'redis.conf'),
      user: 'root',
      rundir: folder,
      pidfile_name: 'redis.pid',
      socket_name: 'redis.sock',
      port: String(port),
    },
    start: { timeout: 30_000 },
    stop: { timeout: 30_000 },
  })
  bench.run('redis', { redis })
  await bench.groupIs('redis', 'ONLINE')
  assert.doesNotMatch(readFileSync(join(bench.logDir, 'redis@redis.log'), 'utf8'), /crm_\w+: (not found|No such file)/)
  bench.stop('redis')
  await bench.groupIs('redis', 'STOPPED')
})

test('a command starts fast, and what only the cluster knows is missed by name without a daemon', async () => {
  assert.equal((await command('crm_node', ['-n'])).stdout, 'n1\n')
  const began = performance.now()
  for (let at = 0; at < 20; at++) await command('crm_node', ['-n'])
  const each = (performance.now() - began) / 20
  assert.ok(each < 200, `${each} ms each`)
  const without = await command('crm_node', ['-l'])
  assert.equal(without.code, 69)
  assert.match(without.stderr, /crm_node: /)
  const outside = await command('crm_node', ['-n'], {})
  assert.match(outside.stderr, /only for agents that Quorate runs/)
})

async function command(
  name: string,
  args: readonly string[],
  environment: Record<string, string> = { QUORATE_COMMANDS: bench.runFolder.socket('commands') },
) {
  try {
    const { stdout, stderr } = await promisify(execFile)(join(agentCommands, name), [...args], {
      env: { PATH: '/usr/bin:/bin', ...environment },
    })
    return { code: 0, stdout, stderr }
  } catch (error) {
    const failed = error as { code: number; stdout: string; stderr: string }
    return { code: failed.code, stdout: failed.stdout, stderr: failed.stderr }
  }
}
