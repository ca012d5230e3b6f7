/** A monitor is killed with -9 and another takes its place: nothing that runs is touched, nothing that was begun is forgotten. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { readStat } from '../../src/io/processes/index.js'
import { BenchNode, group, resource, token } from './bench-node.js'

let bench: BenchNode

beforeEach(async () => {
  bench = new BenchNode()
  bench.startMonitor()
  await bench.hello()
})
afterEach(() => bench.close())

const alive = (pid: number | undefined) => pid !== undefined && (readStat(pid)?.state ?? 'Z') !== 'Z'
const sleeper = resource({ type: 'command', parameters: { run: 'exec sleep 1000' } })

/** Another monitor; what it says comes after this many reports. */
async function replaceMonitor(): Promise<number> {
  await bench.killMonitor()
  const from = bench.reports.length
  bench.startMonitor()
  await bench.hello(from)
  return from
}

test('a kept process runs on with the same pid, and its death is noticed afterwards', async () => {
  bench.run('g', { app: sleeper })
  await bench.groupIs('g', 'ONLINE')
  const pid = bench.pidOf('g', 'app')
  const from = await replaceMonitor()
  assert.ok(alive(pid))
  assert.equal(bench.pidOf('g', 'app'), pid)
  const hello = await bench.hello(from)
  assert.deepEqual(
    hello.groups.map(({ group, state }) => [group, state]),
    [['g', 'ONLINE']],
  )
  process.kill(pid as number, 'SIGKILL')
  const { failure } = await bench.groupIs('g', 'FAILED', from)
  assert.deepEqual([failure?.event, failure?.restartNumber], ['died', 0])
})

test('a death while there was no monitor is told by the next one, with the restarts so far', async () => {
  bench.run('g', { app: sleeper })
  await bench.groupIs('g', 'ONLINE')
  bench.run('g', { app: sleeper }, { sequence: 2, restart: { resource: 'app' as never, number: 1 } })
  await bench.groupIs('g', 'ONLINE', 0, (report) => report.sequence === 2)
  const pid = bench.pidOf('g', 'app') as number
  await bench.killMonitor()
  process.kill(pid, 'SIGKILL')
  await bench.eventually('its end', () => !alive(pid))
  const failure = await bench.failureOf('g', await replaceMonitor())
  assert.deepEqual([failure?.event, failure?.restartNumber], ['died', 1])
})

test('a stop in flight is begun again and finished', async () => {
  const up = join(bench.dir, 'up')
  const go = join(bench.dir, 'go')
  const app = resource({
    type: 'command',
    parameters: { start: `touch ${up}`, stop: `test -e ${go} || sleep 1000; rm -f ${up}`, probe: `test -e ${up} || exit 7` },
  })
  bench.run('g', { app })
  await bench.groupIs('g', 'ONLINE')
  bench.stop('g')
  await bench.groupIs('g', 'STOPPING')
  writeFileSync(go, '')
  await replaceMonitor()
  await bench.eventually('its end', () => bench.runFolder.openTokens().size === 0)
  assert.equal(existsSync(up), false)
  assert.ok(bench.runFolder.seals.isSealed(group('g'), token(1)))
})

test('a start in flight is waited for and not repeated', async () => {
  const up = join(bench.dir, 'up')
  const starts = join(bench.dir, 'starts')
  const app = resource({
    type: 'command',
    parameters: { start: `echo x >> ${starts}; sleep 1.5; touch ${up}`, stop: `rm -f ${up}`, probe: `test -e ${up} || exit 7` },
  })
  bench.run('g', { app })
  await bench.eventually('the start to begin', () => existsSync(starts) && bench.startingOf('g', 'app') !== undefined)
  const from = await replaceMonitor()
  await bench.groupIs('g', 'ONLINE', from)
  assert.equal(readFileSync(starts, 'utf8'), 'x\n')
})

test('a kept process whose start was in flight is taken over', async () => {
  const port = 20_000 + Math.floor(Math.random() * 20_000)
  const script = 'setTimeout(() => require("net").createServer().listen(+process.argv[1], "127.0.0.1"), 1500)'
  bench.run('g', {
    app: resource({ type: 'command', parameters: { run: [process.execPath, '-e', script, String(port)], readyPort: port } }),
  })
  await bench.eventually('its process', () => bench.pidOf('g', 'app') !== undefined)
  const pid = bench.pidOf('g', 'app')
  await cameOnline(await replaceMonitor())
  assert.equal(bench.pidOf('g', 'app'), pid)
})

/** It may have been there by the time of the first word. */
async function cameOnline(from: number): Promise<void> {
  const isOnline = (of: { readonly group: string; readonly state: string }) => of.group === 'g' && of.state === 'ONLINE'
  await bench.until(
    'g to be ONLINE',
    (said) => (said.kind === 'hello' ? said.groups.some(isOnline) : said.kind === 'group' && isOnline(said)),
    from,
  )
}

/** Ready once it has said so, which it does when `go` is there; an earlier life has said it before. */
function speaker(timeout: number) {
  const go = join(bench.dir, 'go')
  const starts = join(bench.dir, 'starts')
  mkdirSync(bench.logDir, { recursive: true })
  const log = join(bench.logDir, 'g@app.log')
  writeFileSync(log, 'I am ready\n')
  const run = `echo x >> ${starts}; while [ ! -e ${go} ]; do sleep 0.02; done; echo I am ready; exec sleep 1000`
  const app = resource({ type: 'command', parameters: { run, readyLog: '^I am ready$' }, start: { timeout } })
  const count = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 1 : 0)
  return { app, go, starts: () => count(starts), said: () => count(log) }
}

/** Of the only group, also from a monitor's first words. */
const statesSince = (from: number) =>
  bench.reports.slice(from).flatMap((report) => {
    if (report.kind === 'hello') return report.groups.map((said) => said.state)
    return report.kind === 'group' ? [report.state] : []
  })

test('what a service said while there was no monitor is heard by the next one', async () => {
  const { app, go, starts, said } = speaker(20_000)
  bench.run('g', { app })
  await bench.eventually('its process', () => starts() === 1 && bench.pidOf('g', 'app') !== undefined)
  const pid = bench.pidOf('g', 'app')
  await bench.killMonitor()
  writeFileSync(go, '')
  await bench.eventually('its words', () => said() === 2)
  const from = await replaceMonitor()
  await bench.eventually('it to be ready', () => statesSince(from).includes('ONLINE'))
  assert.deepEqual([bench.pidOf('g', 'app'), starts()], [pid, 1])
})

test('what a service said in an earlier life makes no start ready, nor for the next monitor', async () => {
  const { app, starts } = speaker(1_000)
  bench.run('g', { app })
  await bench.eventually('its process', () => starts() === 1 && bench.pidOf('g', 'app') !== undefined)
  const from = await replaceMonitor()
  // Where cells hold it, it is started again; where nothing does, nobody knows what is left of it.
  await bench.eventually('the end of its time', () => starts() === 2 || statesSince(from).includes('UNKNOWN'))
  assert.ok(!statesSince(from).includes('ONLINE'))
})

test('a record under a token that was sealed meanwhile is ended, not resumed', async () => {
  bench.run('g', { app: sleeper })
  await bench.groupIs('g', 'ONLINE')
  const pid = bench.pidOf('g', 'app')
  await bench.killMonitor()
  bench.runFolder.seals.seal(group('g'), token(1))
  bench.startMonitor()
  await bench.eventually('its end', () => !alive(pid) && bench.runFolder.openTokens().size === 0)
})

test('a run record that was destroyed makes the group UNKNOWN, and does not stop the monitor', async () => {
  bench.run('g', { app: sleeper })
  await bench.groupIs('g', 'ONLINE')
  await bench.killMonitor()
  const path = join(bench.runFolder.path, 'records', 'g@1')
  const text = readFileSync(path)
  writeFileSync(path, 'garbage')
  const from = await replaceMonitor()
  const hello = await bench.hello(from)
  assert.deepEqual(
    hello.groups.map(({ group, state }) => [group, state]),
    [['g', 'UNKNOWN']],
  )
  writeFileSync(path, text) // So that the test can clean up.
})
