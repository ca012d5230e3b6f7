/** A real monitor process, as this user, with whatever holds processes together here. */

import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import { bootInstant } from '../../src/base/index.js'
import { supportedLevel } from '../../src/core/cluster/index.js'
import type { MonitorOrder, MonitorReport } from '../../src/core/monitor/index.js'
import { readStat } from '../../src/io/processes/index.js'
import { BenchNode, group, resource, token } from './bench-node.js'

let bench: BenchNode
let names = 0
let name: string

before(async () => {
  bench = new BenchNode()
  bench.startMonitor()
  await bench.hello()
})
after(() => bench.close())
afterEach(() => bench.stop(name, 1, 1_000))

const next = () => {
  name = `g${++names}`
  return name
}

const alive = (pid: number | undefined) => pid !== undefined && (readStat(pid)?.state ?? 'Z') !== 'Z'
const sleeper = resource({ type: 'command', parameters: { run: 'echo up; exec sleep 1000' } })
const file = (what: string) => join(bench.dir, `${name}-${what}`)

/** Start, stop and probe by a file. */
const switched = (more: Partial<Parameters<typeof resource>[0]> = {}, parameters: Record<string, string> = {}) =>
  resource({
    type: 'command',
    parameters: { start: `touch ${file('up')}`, stop: `rm -f ${file('up')}`, probe: `test -e ${file('up')} || exit 7`, ...parameters },
    ...more,
  })

test('a kept process is started, reported, stopped and its token sealed', async () => {
  bench.run(next(), { app: sleeper })
  await bench.groupIs(name, 'ONLINE')
  const pid = bench.pidOf(name, 'app')
  assert.ok(alive(pid))
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED')
  await bench.until('sealed', (report) => report.kind === 'sealed' && report.group === name)
  assert.equal(alive(pid), false)
  assert.equal(bench.runFolder.openTokens().has(group(name)), false)
  assert.ok(bench.runFolder.seals.isSealed(group(name), token(1)))
})

test('commands run in the order of their dependencies, with the grant in their environment', async () => {
  next()
  const noting = (what: string, ...dependsOn: string[]) =>
    resource({
      type: 'command',
      dependsOn: dependsOn as never,
      parameters: {
        start: `touch ${file(what)}; echo start ${what} $QUORATE_GRANT_TOKEN $QUORATE_GROUP/$QUORATE_RESOURCE $QUORATE_NODE >> ${file('order')}`,
        stop: `rm -f ${file(what)}; echo stop ${what} >> ${file('order')}`,
        probe: `test -e ${file(what)} || exit 7`,
      },
    })
  bench.run(name, { web: noting('web', 'ip'), ip: noting('ip') }, { token: token(7) })
  await bench.groupIs(name, 'ONLINE')
  bench.stop(name, 7)
  await bench.groupIs(name, 'STOPPED')
  assert.equal(readFileSync(file('order'), 'utf8'), `start ip 7 ${name}/ip n1\nstart web 7 ${name}/web n1\nstop web\nstop ip\n`)
})

test('checkpoints are there before the start', async () => {
  next()
  const start = `cp $QUORATE_CHECKPOINT_DIR/visits ${file('up')}`
  bench.run(name, { app: switched({}, { start }) }, { checkpoints: { visits: '42', '../outside': 'x' } })
  await bench.groupIs(name, 'ONLINE')
  assert.equal(readFileSync(file('up'), 'utf8'), '42')
})

test('a start waits for its port; one that never opens is killed and told as a time-out', async () => {
  const script = 'setTimeout(() => require("net").createServer().listen(+process.argv[1]), 300)'
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  const listening = (more: object) =>
    resource({ type: 'command', parameters: { run: [process.execPath, '-e', script, String(port)], readyPort: port }, ...more })
  bench.run(next(), { app: listening({}) })
  const began = performance.now()
  await bench.groupIs(name, 'ONLINE')
  assert.ok(performance.now() - began >= 250)
  bench.stop(name, 1, 1_000)
  await bench.groupIs(name, 'STOPPED')
  bench.run(next(), {
    app: resource({ type: 'command', parameters: { run: 'exec sleep 1000', readyPort: port }, start: { timeout: 300 } }),
  })
  const report = await bench.until<Extract<MonitorReport, { kind: 'group' }>>(
    'the failure',
    (said) => said.kind === 'group' && said.group === name && said.failure !== undefined,
  )
  assert.equal(report.failure?.event, 'start-timeout')
})

test('a process that ends while it starts is a failed start, with what it said', async () => {
  bench.run(next(), { app: resource({ type: 'command', parameters: { run: 'echo no licence; exit 3' } }) })
  const failure = await bench.failureOf(name)
  // On a machine under load it may have lived longer than a start takes to settle.
  assert.match(failure?.event ?? '', /^(start-failed|died)$/)
  assert.match(failure?.detail ?? '', /status 3: no licence/)
})

test('the death of a kept process is reported, and a restart brings it up again', async () => {
  bench.run(next(), { app: sleeper })
  await bench.groupIs(name, 'ONLINE')
  const pid = bench.pidOf(name, 'app') as number
  process.kill(pid, 'SIGKILL')
  const { failure } = await bench.groupIs(name, 'FAILED')
  assert.deepEqual(
    [failure?.resource, failure?.event, failure?.restartNumber, failure?.detail],
    ['app', 'died', 0, 'it was killed by SIGKILL: up'],
  )
  bench.run(name, { app: sleeper }, { sequence: 2, restart: { resource: 'app' as never, number: 1 } })
  await bench.groupIs(name, 'ONLINE', 0, (report) => report.sequence === 2)
  assert.ok(alive(bench.pidOf(name, 'app')))
  assert.notEqual(bench.pidOf(name, 'app'), pid)
})

test('a failing probe and one that hangs are told apart', async () => {
  const often = { interval: 50, timeout: 300 }
  bench.run(next(), {
    app: switched({ probe: often }, { probe: `test -e ${file('up')} || exit 7; test ! -e ${file('bad')} || { echo broken; exit 1; }` }),
  })
  await bench.groupIs(name, 'ONLINE')
  writeFileSync(file('bad'), '')
  const failed = await bench.groupIs(name, 'FAILED')
  assert.equal(failed.failure?.event, 'probe-failed')
  assert.match(failed.failure?.detail ?? '', /broken/)
  bench.stop(name, 1, 1_000)
  await bench.groupIs(name, 'STOPPED')
  bench.run(next(), {
    app: switched({ probe: often }, { probe: `test -e ${file('up')} || exit 7; test ! -e ${file('bad')} || sleep 1000` }),
  })
  await bench.groupIs(name, 'ONLINE')
  writeFileSync(file('bad'), '')
  assert.equal((await bench.groupIs(name, 'FAILED')).failure?.event, 'probe-timeout')
})

test('ten probes that hang delay neither each other nor what is said of others', async () => {
  const slow = next()
  const up = (at: number) => join(bench.dir, `${slow}-up${at}`)
  const hangs = (at: number) => join(bench.dir, `${slow}-hangs${at}`)
  const all = Array.from({ length: 10 }, (_, at) => at)
  const bad = file('bad')
  const one = (at: number) =>
    resource({
      type: 'command',
      parameters: {
        start: `touch ${up(at)}`,
        stop: `rm -f ${up(at)}`,
        probe: `test -e ${up(at)} || exit 7; test ! -e ${bad} || { touch ${hangs(at)}; exec sleep 1000; }`,
      },
      probe: { interval: 100, timeout: 60_000 },
    })
  bench.run(slow, Object.fromEntries(all.map((at) => [`a${at}`, one(at)])))
  await bench.groupIs(slow, 'ONLINE')
  bench.run(next(), { app: sleeper })
  await bench.groupIs(name, 'ONLINE')
  writeFileSync(bad, '')
  await bench.eventually('all ten to hang', () => all.every((at) => existsSync(hangs(at))))
  process.kill(bench.pidOf(name, 'app') as number, 'SIGKILL')
  assert.equal((await bench.groupIs(name, 'FAILED')).failure?.event, 'died')
  assert.ok(!bench.reports.some((report) => report.kind === 'group' && report.group === slow && report.state === 'FAILED'), 'they hang on')
  bench.stop(slow, 1, 1_000)
  await bench.groupIs(slow, 'STOPPED')
})

test('a demotion does not wait for a probe of the copy', async () => {
  next()
  const programs = {
    start: `touch ${file('up')}`,
    stop: `rm -f ${file('up')}`,
    probe: `test -e ${file('up')} || exit 7; test ! -e ${file('slow')} || { touch ${file('probing')}; sleep 1000; }`,
    promote: `touch ${file('primary')}`,
    demote: `rm -f ${file('primary')}`,
    probeRole: `test ! -e ${file('primary')} || exit 8`,
  }
  const copy = resource({
    type: 'command',
    parameters: programs,
    promotable: true,
    copy: { max: 1 },
    probe: { interval: 100, timeout: 600_000 },
  })
  const [instance, primary] = [`${name}:n1`, `${name}:primary`]
  bench.run(instance, { copy })
  await bench.groupIs(instance, 'ONLINE')
  bench.run(primary, { copy: { ...copy, role: { of: group(name) } } })
  await bench.groupIs(primary, 'ONLINE')
  writeFileSync(file('slow'), '')
  await bench.eventually('a probe that takes long', () => existsSync(file('probing')))
  bench.stop(primary)
  await bench.groupIs(primary, 'STOPPED')
  assert.equal(existsSync(file('primary')), false)
  rmSync(file('slow'))
})

test('a stop that hangs is killed whole, and what it should have stopped is verified', async () => {
  next()
  const stop = `echo $$ > ${file('stop')}; rm -f ${file('up')}; setsid sleep 1000 & wait`
  bench.run(name, { app: switched({ stop: { timeout: 300 } }, { stop }) })
  await bench.groupIs(name, 'ONLINE')
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED')
  assert.equal(alive(Number(readFileSync(file('stop'), 'utf8'))), false)
})

test('a stop that ends well but leaves it running makes the group UNKNOWN, with the reason', async () => {
  next()
  bench.run(name, { app: switched({}, { stop: 'true' }) })
  await bench.groupIs(name, 'ONLINE')
  bench.stop(name)
  const { resources } = await bench.groupIs(name, 'UNKNOWN')
  assert.match(JSON.stringify(resources), /its probe says that it still runs/)
  assert.equal(bench.runFolder.seals.isSealed(group(name), token(1)), false)
  rmSync(file('up'))
  bench.stop(name, 1, 101)
  await bench.groupIs(name, 'STOPPED')
})

test('a kept process that ignores its signal is killed', async () => {
  bench.run(next(), {
    app: resource({ type: 'command', parameters: { run: 'trap "" TERM; while :; do sleep 1; done' }, stop: { timeout: 200 } }),
  })
  await bench.groupIs(name, 'ONLINE')
  const pid = bench.pidOf(name, 'app')
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED')
  assert.equal(alive(pid), false)
})

test('nothing is started under a token that the guardian has sealed', async () => {
  next()
  bench.runFolder.seals.seal(group(name), token(5))
  bench.run(name, { app: switched() }, { token: token(5) })
  await bench.groupIs(name, 'STOPPED', 0, (report) => report.token === 5)
  assert.equal(existsSync(file('up')), false)
  bench.run(name, { app: switched() }, { token: token(6) })
  await bench.groupIs(name, 'ONLINE', 0, (report) => report.token === 6)
  bench.stop(name, 6)
  await bench.groupIs(name, 'STOPPED', 0, (report) => report.token === 6)
})

test('nothing is started past its deadline', async () => {
  const late = new BenchNode()
  try {
    late.lease = 0
    late.startMonitor()
    await late.hello()
    const up = join(late.dir, 'up')
    const app = resource({ type: 'command', parameters: { start: `touch ${up}`, stop: `rm ${up}`, probe: `test -e ${up} || exit 7` } })
    late.run('g', { app })
    await late.groupIs('g', 'STARTING')
    await new Promise((resolve) => setTimeout(resolve, 300))
    assert.equal(existsSync(up), false)
    late.order({ kind: 'deadline', deadline: late.deadline(60_000) })
    await late.groupIs('g', 'ONLINE')
  } finally {
    await late.close()
  }
})

test('tcp and http come up when they first succeed and fail when they no longer do', async () => {
  let status = 500
  const server = createServer((_request, response) => response.writeHead(status).end('hello world'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const often = { interval: 50, timeout: 1_000 }
  try {
    bench.run(next(), {
      port: resource({ type: 'tcp', parameters: { host: '127.0.0.1', port }, probe: often }),
      page: resource({ type: 'http', parameters: { url: `http://127.0.0.1:${port}/`, contains: 'world' }, probe: often }),
    })
    await bench.groupIs(name, 'STARTING', 0, (report) => JSON.stringify(report.resources).includes('ONLINE'))
    status = 200
    await bench.groupIs(name, 'ONLINE')
    status = 503
    const { failure } = await bench.groupIs(name, 'FAILED')
    assert.deepEqual([failure?.resource, failure?.event], ['page', 'probe-failed'])
    assert.match(failure?.detail ?? '', /answered 503/)
    bench.stop(name, 1)
    await bench.groupIs(name, 'STOPPED')
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test('a loopback address needs no set-up', async () => {
  bench.run(next(), { ip: resource({ type: 'logical-hostname', parameters: { address: '127.0.0.100' } }) })
  await bench.groupIs(name, 'ONLINE')
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED')
})

const call = (callId: string, script: string, more: Partial<Extract<MonitorOrder, { kind: 'call' }>> = {}): MonitorOrder => ({
  kind: 'call',
  callId,
  argv: ['/bin/sh', '-c', script],
  environment: {},
  input: '',
  hold: false,
  timeout: 10_000,
  ...more,
})
const called = (callId: string) =>
  bench.until<Extract<MonitorReport, { kind: 'called' }>>(callId, (report) => report.kind === 'called' && report.callId === callId)

test('calls: an exit, a time-out, a cancellation, and input that is held back until its release', async () => {
  bench.order(call('exit', 'echo out; echo err >&2; exit 2'))
  const { code, outcome, stdout, stderr } = await called('exit')
  assert.deepEqual([outcome, code, stdout, stderr], ['exited', 2, 'out\n', 'err\n'])
  bench.order(call('late', 'setsid sleep 1000 & sleep 1000', { timeout: 200 }))
  assert.equal((await called('late')).outcome, 'timed-out')
  bench.order(call('cancelled', 'sleep 1000'))
  bench.order({ kind: 'call-cancel', callId: 'cancelled' })
  assert.equal((await called('cancelled')).outcome, 'cancelled')
  bench.order(call('held', 'cat', { input: 'action=off', hold: true, timeout: 500 }))
  await new Promise((resolve) => setTimeout(resolve, 700))
  bench.order({ kind: 'call-release', callId: 'held', deadline: bootInstant(Number.MAX_SAFE_INTEGER) })
  assert.equal((await called('held')).stdout, 'action=off')
})

test('strays are found, whoever started them', async () => {
  next()
  const resources = { app: switched() }
  const ask = async (probeId: string) => {
    bench.order({ kind: 'probe', group: group(name), probeId, resources: resources as never })
    const report = await bench.until<Extract<MonitorReport, { kind: 'probed' }>>(
      'the probe',
      (said) => said.kind === 'probed' && said.probeId === probeId,
    )
    return report.result
  }
  assert.equal(await ask(`${name}-1`), 'clean')
  writeFileSync(file('up'), '')
  assert.equal(await ask(`${name}-2`), 'running')
})

test('a probe at once answers with what it found; what failed and was mended by hand is up again without a restart', async () => {
  bench.run(next(), { app: switched({ probeDeep: { interval: 3_600_000, timeout: 5_000 } }, { probeDeep: `test ! -e ${file('sick')}` }) })
  await bench.groupIs(name, 'ONLINE')
  const look = async (lookId: string, deep = false) => {
    bench.order({ kind: 'look', lookId, group: group(name), resource: 'app' as never, deep })
    const report = await bench.until<Extract<MonitorReport, { kind: 'looked' }>>(
      'the look',
      (said) => said.kind === 'looked' && said.lookId === lookId,
    )
    return [report.found.result, report.found.state]
  }
  assert.deepEqual(await look(`${name}-1`), ['running', 'ONLINE'])
  assert.deepEqual(await look(`${name}-2`, true), ['running', 'ONLINE'])
  rmSync(file('up'))
  assert.deepEqual(await look(`${name}-3`), ['stopped', 'FAILED'])
  writeFileSync(file('up'), '')
  const resources = { app: switched({ probeDeep: { interval: 3_600_000, timeout: 5_000 } }, { probeDeep: `test ! -e ${file('sick')}` }) }
  bench.run(name, resources, { sequence: 2, look: 1 })
  await bench.groupIs(name, 'ONLINE', 0, (report) => report.looked === 1)
  writeFileSync(file('sick'), '')
  assert.deepEqual(await look(`${name}-4`, true), ['failed', 'FAILED'])
})

test('while probes are paused none is made, and all is probed as before afterwards', async () => {
  next()
  const resources = {
    app: switched({ probe: { interval: 50, timeout: 5_000 } }, { probe: `echo >> ${file('probes')}; test -e ${file('up')} || exit 7` }),
  }
  const probes = () => readFileSync(file('probes'), 'utf8').length
  bench.run(name, resources)
  await bench.groupIs(name, 'ONLINE')
  await bench.eventually('probes', () => existsSync(file('probes')) && probes() > 2)
  bench.run(name, resources, { sequence: 2, quiet: true })
  await bench.groupIs(name, 'ONLINE', 0, (report) => report.sequence === 2)
  bench.order(call(`${name}-settle`, 'sleep 0.3')) // What was under way is over by then.
  await called(`${name}-settle`)
  const before = probes()
  bench.order(call(`${name}-wait`, 'sleep 0.5'))
  await called(`${name}-wait`)
  assert.equal(probes(), before)
  bench.run(name, resources, { sequence: 3 })
  await bench.eventually('probes', () => probes() > before)
})

test('a copy that nobody granted is ended by its own stop', async () => {
  next()
  const resources = { app: switched({}, { stop: `echo stopped >> ${file('stops')}; rm -f ${file('up')}` }) }
  writeFileSync(file('up'), '')
  bench.order({ kind: 'end-stray', group: group(name), resources: resources as never })
  bench.order({ kind: 'probe', group: group(name), probeId: `${name}-after`, resources: resources as never })
  const report = await bench.until<Extract<MonitorReport, { kind: 'probed' }>>(
    'the probe',
    (said) => said.kind === 'probed' && said.probeId === `${name}-after`,
  )
  assert.deepEqual([report.result, readFileSync(file('stops'), 'utf8'), existsSync(file('up'))], ['clean', 'stopped\n', false])
})

test('it says what it understands', async () => {
  assert.equal((await bench.hello()).level, supportedLevel)
})

test('it beats, and says how late it comes to its work', async () => {
  const beat = await bench.until<Extract<MonitorReport, { kind: 'beat' }>>('a beat', (said) => said.kind === 'beat', bench.reports.length)
  assert.ok(beat.lagMs >= 0)
})
