/** Probes of two depths, readiness, limits and logs of real processes, as this user. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import type { ResourceName } from '../../src/base/index.js'
import type { MonitorReport } from '../../src/core/monitor/index.js'
import { readResourceLog } from '../../src/io/agents/index.js'
import { BenchNode, group, resource } from './bench-node.js'

let bench: BenchNode
let names = 0
let name: string

before(async () => {
  // What nothing holds together has no limits either, here as anywhere.
  bench = new BenchNode('sweep')
  bench.startMonitor()
  await bench.hello()
})
after(() => bench.close())
afterEach(() => bench.stop(name, 1, 1_000))

const next = () => {
  name = `w${++names}`
  return name
}
const file = (what: string) => join(bench.dir, `${name}-${what}`)
const kept = (run: string, more: Record<string, unknown> = {}, definition: Partial<Parameters<typeof resource>[0]> = {}) =>
  resource({ type: 'command', parameters: { run, ...more } as never, ...definition })
const often = { interval: 50, timeout: 5_000 }
/** Lines of one of the two logs, as they lie there. */
const linesIn = (suffix: string) => {
  const path = join(bench.logDir, `${name}@app${suffix}.log`)
  return existsSync(path)
    ? readFileSync(path, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
    : []
}
const logOf = (named: string) => readResourceLog(bench.logDir, { group: group(named), resource: 'app' as never }, 100)

test('one bad probe of two is told and passes; the second is the failure', async () => {
  next()
  const probe = `test ! -e ${file('bad')} || { echo broken; exit 1; }`
  const parameters = { start: 'true', stop: 'true', probe: `test -e ${file('up')} || exit 7; ${probe}` }
  writeFileSync(file('up'), '')
  const app = resource({ type: 'command', parameters, probe: { ...often, failAfter: { failures: 2, of: 2 } } })
  bench.run(name, { app })
  await bench.groupIs(name, 'ONLINE')
  writeFileSync(file('bad'), '')
  await bench.groupIs(name, 'ONLINE', 0, (report) => /1 of the last 2 probes failed.*broken/.test(JSON.stringify(report.resources)))
  assert.equal((await bench.failureOf(name))?.event, 'probe-failed')
  rmSync(file('up'))
})

test('a deep probe of a kept process fails by itself', async () => {
  next()
  const parameters = { run: 'exec sleep 1000', probeDeep: `test ! -e ${file('bad')} || { echo no answer to the query; exit 7; }` }
  const app = resource({ type: 'command', parameters, probeDeep: often })
  bench.run(name, { app })
  await bench.groupIs(name, 'ONLINE')
  writeFileSync(file('bad'), '')
  const failure = await bench.failureOf(name)
  assert.equal(failure?.event, 'probe-failed')
  assert.match(failure?.detail ?? '', /^deep probe: .*status 7: no answer to the query/)
  await bench.eventually('its words in the log', () => linesIn('@actions').length === 2)
  assert.match(linesIn('@actions').join('\n'), /probe \(deep\): status 7 after \d+ ms\n.* no answer to the query/)
})

test('a start waits for a line of its log, and one of an earlier life is none', async () => {
  next()
  mkdirSync(bench.logDir, { recursive: true })
  writeFileSync(join(bench.logDir, `${name}@app.log`), 'listening on 80\n')
  const go = join(bench.dir, 'go')
  const run = `echo warming up; while [ ! -e ${go} ]; do sleep 0.02; done; printf 'listening '; sleep 0.1; echo on 80; exec sleep 1000`
  const app = (timeout: number) => kept(run, { readyLog: '^listening on \\d+$' }, { start: { timeout } })
  bench.run(name, { app: app(500) })
  const failure = await bench.failureOf(name)
  assert.equal(failure?.event, 'start-timeout')
  assert.match(failure?.detail ?? '', /no line of its log fits/)
  bench.stop(name)
  next()
  bench.run(name, { app: app(10_000) })
  await bench.eventually('its first words', () => linesIn('').includes('warming up'))
  writeFileSync(go, '')
  await bench.groupIs(name, 'ONLINE')
  assert.deepEqual(linesIn(''), ['warming up', 'listening on 80'])
})

test('an expression that never ends its search holds up nothing and fits nothing', async () => {
  next()
  const app = kept(`echo ${'a'.repeat(40)}b; exec sleep 1000`, { readyLog: '^(a+)+$' }, { start: { timeout: 1_500 } })
  bench.run(name, { app })
  assert.equal((await bench.failureOf(name))?.event, 'start-timeout')
})

test('a start waits for its file, which is not the one of an earlier start, and all conditions must hold', async () => {
  next()
  const run = `echo up; [ ! -e ${file('make')} ] || touch "$QUORATE_READY_FILE"; exec sleep 1000`
  const app = kept(run, { readyFile: true, readyLog: 'up' }, { start: { timeout: 5_000 } })
  writeFileSync(file('make'), '')
  bench.run(name, { app })
  await bench.groupIs(name, 'ONLINE')
  assert.ok(existsSync(join(bench.runDir, 'ready', name, 'app', 'ready')))
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED')
  rmSync(file('make'))
  bench.run(name, { app: { ...app, start: { timeout: 500 } } }, { token: 2 as never })
  const failure = await bench.failureOf(name)
  assert.equal(failure?.event, 'start-timeout')
  assert.match(failure?.detail ?? '', /ready file/)
  bench.stop(name, 2)
})

test('a start waits for READY=1, which is heard while there is no monitor too', async () => {
  next()
  const say = (text: string) =>
    `perl -MSocket -e 'socket(S,AF_UNIX,SOCK_DGRAM,0); send(S,qq(${text}),0,sockaddr_un($ENV{NOTIFY_SOCKET})) or die' || exit 1`
  const run = `touch ${file('begun')}; ${say('STATUS=loading\\nMAINPID=1')}; until [ -e ${file('go')} ]; do sleep 0.02; done; ${say('STATUS=up\\nREADY=1')}; exec sleep 1000`
  const app = kept(run, { readyNotify: true })
  bench.run(name, { app })
  await bench.eventually('it to begin', () => existsSync(file('begun')))
  await bench.groupIs(name, 'STARTING')
  await bench.killMonitor()
  writeFileSync(file('go'), '')
  const from = bench.reports.length
  bench.startMonitor()
  const isUp = (report: MonitorReport) => {
    const groups = report.kind === 'hello' ? report.groups : report.kind === 'group' ? [report] : []
    return groups.some((one) => one.group === name && one.state === 'ONLINE')
  }
  await bench.until('it to be up', isUp, from)
  // What was said for an earlier start counts for no other.
  rmSync(file('go'))
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED', from)
  next()
  bench.run(name, { app: kept('exec sleep 1000', { readyNotify: true }, { start: { timeout: 900 } }) })
  const failure = await bench.failureOf(name)
  assert.deepEqual([failure?.event, /has not said READY=1/.test(failure?.detail ?? '')], ['start-timeout', true], failure?.detail)
})

test('open files are limited for each process, and limits that nothing enforces are told', async () => {
  next()
  const app = kept(`ulimit -n > ${file('files')}; exec sleep 1000`, {}, { limits: { openFiles: 77, memory: 2 ** 26, tasks: 50 } })
  bench.run(name, { app })
  const { resources } = await bench.groupIs(name, 'ONLINE')
  assert.equal(resources['app' as ResourceName]?.detail, 'not enforced here: limits.memory, limits.tasks')
  await bench.eventually('its number', () => existsSync(file('files')) && readFileSync(file('files'), 'utf8') !== '')
  assert.equal(readFileSync(file('files'), 'utf8'), '77\n')
})

test('a check of a file comes and goes with it', async () => {
  next()
  const here = file('here')
  const app = resource({ type: 'file', parameters: { path: here, contains: 'ready' }, probe: often })
  bench.run(name, { app })
  await bench.groupIs(name, 'STARTING')
  writeFileSync(here, 'it is ready')
  await bench.groupIs(name, 'ONLINE')
  rmSync(here)
  assert.match((await bench.failureOf(name))?.detail ?? '', /no such file/)
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED')
})

test('what others start and stop is up once it is found running, fails when it has ended, and is left by its stop', async () => {
  next()
  const app = resource({
    type: 'command',
    operations: 'none',
    parameters: { probe: `test -e ${file('up')} || exit 7; test ! -e ${file('sick')} || { echo it is sick; exit 1; }` },
    probe: often,
  })
  bench.run(name, { app })
  await bench.groupIs(name, 'STARTING')
  writeFileSync(file('up'), '')
  await bench.groupIs(name, 'ONLINE')
  writeFileSync(file('sick'), '')
  assert.match((await bench.failureOf(name))?.detail ?? '', /it is sick/)
  rmSync(file('sick'))
  bench.run(name, { app }, { sequence: 2, restart: { resource: 'app' as never, number: 1 } })
  await bench.groupIs(name, 'ONLINE', 0, (report) => report.sequence === 2)
  const told = bench.reports.length
  rmSync(file('up'))
  assert.equal((await bench.failureOf(name, told))?.event, 'died')
  writeFileSync(file('up'), '')
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED')
  // Where it is not granted it is no stray either.
  bench.order({ kind: 'probe', group: group(name), probeId: 'left', resources: { ['app' as ResourceName]: app } })
  const found = await bench.until('what is found', (report) => report.kind === 'probed' && report.probeId === 'left')
  assert.equal(found.kind === 'probed' && found.result, 'clean')
  assert.ok(existsSync(file('up')))
})

test('beside a kept process its probe counts too: the start waits for it, and what lives elsewhere has not stopped', async () => {
  next()
  // A client, as docker’s: what it has started is somewhere else, and outlives it.
  const run = `{ sleep 0.3; touch ${file('up')}; } & exec sleep 1000`
  const probe = `test ! -e ${file('sick')} || { echo it is sick; exit 1; }; test -e ${file('up')} || exit 7`
  const app = resource({ type: 'command', parameters: { run, probe }, probe: often })
  const began = performance.now()
  bench.run(name, { app })
  await bench.groupIs(name, 'ONLINE')
  assert.ok(performance.now() - began >= 300, 'only once its probe has found it')
  writeFileSync(file('sick'), '')
  assert.match((await bench.failureOf(name))?.detail ?? '', /it is sick/)
  rmSync(file('sick'))
  bench.stop(name)
  const { resources } = await bench.groupIs(name, 'UNKNOWN')
  assert.match(JSON.stringify(resources), /its probe says that it still runs/)
  assert.equal(bench.runFolder.seals.isSealed(group(name), 1 as never), false)
  const ask = async (probeId: string) => {
    bench.order({ kind: 'probe', group: group(`${name}-elsewhere`), probeId, resources: { ['app' as ResourceName]: app } })
    const found = await bench.until('what is found', (report) => report.kind === 'probed' && report.probeId === probeId)
    return found.kind === 'probed' && found.result
  }
  assert.equal(await ask(`${name}-1`), 'running')
  rmSync(file('up'))
  assert.equal(await ask(`${name}-2`), 'clean')
  bench.stop(name, 1, 101)
  await bench.groupIs(name, 'STOPPED')
})

test('a start of what nobody starts takes its time and says what its probe said', async () => {
  next()
  const app = resource({ type: 'command', operations: 'none', parameters: { probe: 'exit 7' }, start: { timeout: 600 } })
  bench.run(name, { app })
  const failure = await bench.failureOf(name)
  assert.deepEqual([failure?.event, failure?.detail], ['start-timeout', 'it never ran: its probe says that it is stopped'])
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED')
})

test('an agent that is not there says so at once, and that it is of no use to try again', async () => {
  next()
  bench.run(name, { app: resource({ type: 'ocf:heartbeat:nothing-of-that-name', operations: 'none', parameters: {} }) })
  const failure = await bench.failureOf(name)
  assert.deepEqual([failure?.event, failure?.severity], ['start-failed', 'hard'])
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED')
})

test('checks of a process, of room, of a device and of places that answer: each comes up, and fails for its own reason', async (context) => {
  next()
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const pidFile = file('pid')
  writeFileSync(pidFile, `${process.pid}\n`)
  const check = (type: string, parameters: Record<string, unknown>) => resource({ type, parameters: parameters as never, probe: often })
  const resources = {
    main: check('process', { pidFile }),
    room: check('disk-space', { path: bench.dir, minFree: '1KiB' }),
    device: check('link', { device: 'lo' }),
    places: check('reachability', { targets: [`127.0.0.1:${port}`, '127.0.0.1:1'], atLeast: 1 }),
  }
  bench.run(name, resources as never)
  await bench.groupIs(name, 'ONLINE')
  writeFileSync(pidFile, '999999999\n')
  assert.match(JSON.stringify(await bench.failureOf(name)), /main.*(no such process|does not run|no process)/)
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED')
  for (const [lacks, wrong, reason] of [
    ['room', check('disk-space', { path: bench.dir, minFree: '1000000GiB' }), /free/],
    ['device', check('link', { device: 'none0' }), /none0/],
    ['places', check('reachability', { targets: [`127.0.0.1:${port}`, '127.0.0.1:1'], atLeast: 2 }), /1 of 2 accept connections, 2 should/],
  ] as const) {
    next()
    const { [lacks]: _fine, main: _ended, ...others } = resources
    bench.run(name, { ...others, [lacks]: { ...wrong, start: { timeout: 1_500 } } } as never)
    const failure = await bench.failureOf(name)
    assert.deepEqual([failure?.resource, failure?.event], [lacks, 'start-timeout'])
    assert.match(failure?.detail ?? '', reason)
    bench.stop(name)
    await bench.groupIs(name, 'STOPPED')
  }
})

test('every command runs in its folder, and one that is not there is its failure', async () => {
  next()
  const folder = file('folder')
  mkdirSync(folder)
  const parameters = { start: 'touch up; pwd > where', stop: 'rm -f up', probe: 'test -e up || exit 7', workingDirectory: folder }
  bench.run(name, { app: resource({ type: 'command', parameters }) })
  await bench.groupIs(name, 'ONLINE')
  assert.equal(readFileSync(join(folder, 'where'), 'utf8').trim(), folder)
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED')
  next()
  bench.run(name, { app: resource({ type: 'command', parameters: { run: 'sleep 100', workingDirectory: file('nowhere') } }) })
  const failure = await bench.failureOf(name)
  assert.equal(failure?.event, 'start-failed')
  assert.match(failure?.detail ?? '', /nowhere|folder|directory/)
})

test('what a service, its starts and its stops say is kept, and nothing is read of other names', async () => {
  next()
  const parameters = {
    start: `touch ${file('up')}; echo begun`,
    stop: `rm ${file('up')}; echo ended >&2`,
    probe: `test -e ${file('up')} || exit 7`,
  }
  bench.run(name, { app: resource({ type: 'command', parameters }) })
  await bench.groupIs(name, 'ONLINE')
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED')
  await bench.eventually('the word of its stop', () => linesIn('@actions').length === 2)
  const log = await logOf(name)
  assert.deepEqual(log?.service, ['begun'])
  assert.match(log?.actions.join('\n') ?? '', /^\S+Z stop: status 0 after \d+ ms\n\S+Z ended$/)
  assert.equal(await logOf('nobody'), undefined)
  assert.equal(await readResourceLog(bench.logDir, { group: `../${name}` as never, resource: 'app' as never }, 5), undefined)
})

test('the last lines are told, over into the older part of a log', async () => {
  next()
  const path = join(bench.logDir, `${name}@app.log`)
  const lines = Array.from({ length: 20 }, (_, at) => `line ${at}`)
  writeFileSync(`${path}.1`, `${lines.slice(0, 15).join('\n')}\n`)
  writeFileSync(path, `${lines.slice(15).join('\n')}\n`)
  const last = async (count: number) =>
    (await readResourceLog(bench.logDir, { group: group(name), resource: 'app' as never }, count))?.service
  assert.deepEqual(await last(3), lines.slice(-3))
  assert.deepEqual(await last(8), lines.slice(-8))
  assert.deepEqual(await last(100), lines)
  writeFileSync(path, `${'x'.repeat(1_000)}\n`.repeat(1_000))
  const many = (await last(1_000)) ?? []
  assert.ok(many.length > 100 && many.length < 140, `${many.length} lines of a bounded answer`)
  assert.ok(
    many.every((line) => line.length === 1_000),
    'whole lines',
  )
})
