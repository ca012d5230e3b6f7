/** Programs that a real monitor keeps started for calls to come. */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { bootInstant } from '../../src/base/index.js'
import type { MonitorReport } from '../../src/core/monitor/index.js'
import { readStat } from '../../src/io/processes/index.js'
import { BenchNode } from './bench-node.js'

let bench: BenchNode

beforeEach(async () => {
  bench = new BenchNode()
  bench.startMonitor()
  await bench.hello()
})
afterEach(() => bench.close())

const agent = () => join(bench.dir, 'agent')
const lines = (what: string): readonly string[] => {
  const path = join(bench.dir, what)
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : []
}

/** An agent that notes its start, and what it was told when its input ends. */
function install(version = 'v1') {
  const text = `#!/bin/sh\necho $$ >> ${join(bench.dir, 'started')}\ninput=$(cat)\necho "$$ $input" >> ${join(bench.dir, 'acted')}\necho ${version} $input\n`
  writeFileSync(`${agent()}.new`, text)
  chmodSync(`${agent()}.new`, 0o755)
  renameSync(`${agent()}.new`, agent())
}

const ready = (count: number) => bench.order({ kind: 'ready', programs: [{ argv: [agent()], environment: { SIGN: 'x' }, count }] })
const hold = (callId: string) =>
  bench.order({
    kind: 'call',
    callId,
    argv: [agent()],
    environment: { SIGN: 'x' },
    input: `action=off\nfor=${callId}\n`,
    hold: true,
    timeout: 20_000,
  })
const release = (callId: string) => bench.order({ kind: 'call-release', callId, deadline: bootInstant(Number.MAX_SAFE_INTEGER) })
const called = (callId: string) =>
  bench.until<Extract<MonitorReport, { kind: 'called' }>>(callId, (report) => report.kind === 'called' && report.callId === callId)
const standStill = (count: number) =>
  bench.eventually(
    'they stand still',
    () => lines('started').length === count && lines('started').every((pid) => readStat(Number(pid))?.state === 'T'),
    30_000,
  )

test('a call takes one that waits, stopped; it is told what the call says, and another takes its place', async () => {
  install()
  ready(2)
  await standStill(2)
  hold('c1')
  await bench.eventually('one goes on', () => lines('started').some((pid) => readStat(Number(pid))?.state !== 'T'), 10_000)
  assert.deepEqual(lines('acted'), [], 'held, it does nothing')
  release('c1')
  const { code, stdout } = await called('c1')
  assert.deepEqual([code, stdout.trim()], [0, 'v1 action=off for=c1'])
  assert.ok(lines('started').includes(lines('acted')[0]?.split(' ')[0] ?? ''))
  await bench.eventually('another takes its place', () => lines('started').length === 3, 30_000)
  hold('c2')
  bench.order({ kind: 'call-cancel', callId: 'c2' })
  assert.equal((await called('c2')).outcome, 'cancelled')
  assert.equal(lines('acted').length, 2, 'one that is cancelled was told nothing (the first has two lines)')
})

test('a monitor that is killed leaves none that takes the end of its input for an order; the next ends them', async () => {
  install()
  ready(2)
  await standStill(2)
  const pids = lines('started').map(Number)
  await bench.killMonitor()
  await new Promise((resolve) => setTimeout(resolve, 500))
  bench.startMonitor()
  await bench.hello()
  await bench.eventually('they are gone', () => pids.every((pid) => (readStat(pid)?.state ?? 'Z') === 'Z'), 10_000)
  assert.deepEqual(lines('acted'), [])
})

test('what was started from a program that is another one now is not used; what is not wanted any more is ended', async () => {
  install()
  ready(1)
  await standStill(1)
  install('v2')
  hold('c1')
  release('c1')
  assert.equal((await called('c1')).stdout.trim(), 'v2 action=off for=c1')
  await bench.eventually('another takes its place', () => lines('started').length === 3, 30_000)
  const pids = lines('started').map(Number)
  bench.order({ kind: 'ready', programs: [] })
  await bench.eventually('they are gone', () => pids.every((pid) => (readStat(pid)?.state ?? 'Z') === 'Z'), 10_000)
  assert.equal(lines('acted').length, 2)
})

test('a program that is not there, or that waits for nothing, is none to keep: calls start it as ever', async () => {
  ready(1)
  hold('none')
  assert.notEqual((await called('none')).code, 0)
  writeFileSync(agent(), '#!/bin/sh\necho gone\n')
  chmodSync(agent(), 0o755)
  ready(1)
  hold('c1')
  release('c1')
  assert.equal((await called('c1')).stdout, 'gone\n')
})
