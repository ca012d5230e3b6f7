/** The methods of `systemd:` resources against a systemd that is slow, refuses, dies or says nothing on demand. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { type BootId, bootInstant, type GroupName, type NodeId, type ResourceName, type Token } from '../../../src/base/index.js'
import type { MethodRequest, MethodResult } from '../../../src/core/monitor/index.js'
import { type Agents, type Method, openAgents } from '../../../src/io/agents/index.js'
import { openClock } from '../../../src/io/clock/index.js'
import { openContainment, waitUntil } from '../../../src/io/processes/index.js'
import { openRunFolder, type RunFolder } from '../../../src/io/run-folder/index.js'
import { FakeSystemd } from './fake-systemd.js'

let folder: string
let runFolder: RunFolder
let fake: FakeSystemd
let agents: Agents
let changes: string[]
const clock = openClock()
const unit = 'web.service'
const group = 'g' as GroupName
const resource = 'web' as ResourceName
const place = { kind: 'sweep', root: 'units-test' } as const

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-units-'))
  runFolder = openRunFolder(join(folder, 'run'))
  fake = await new FakeSystemd(folder).listen()
  mkdirSync(fake.dropIns)
  mkdirSync(join(folder, 'log'))
  changes = []
  agents = openAgents(
    { runFolder, logDir: join(folder, 'log'), clock, systemd: { socket: fake.socket, dropIns: fake.dropIns } },
    {
      onLearnt: () => {},
      onEnded: () => {},
      onEmptied: () => {},
      onChanged: (_group, name) => void changes.push(name),
    },
  )
})
afterEach(async () => {
  agents.close()
  await fake.close()
  rmSync(folder, { recursive: true, force: true })
})

function begin(method: MethodRequest['method'], { token = 1, timeout = 5_000, deadline = 3_600_000 } = {}): Method {
  const definition = {
    type: 'systemd:web',
    parameters: {},
    dependsOn: [],
    probe: { interval: 5_000, timeout },
    start: { timeout },
    stop: { timeout },
    restart: { max: 3, window: 900_000 },
  }
  const request = { group, resource, place, definition, method, timeout, processes: [], token: token as Token }
  const where = { node: 'n1' as NodeId, boot: 'b1' as BootId }
  return agents.begin({ ...request, ...where }, () => bootInstant(clock.boot() + deadline))
}
const run = (method: MethodRequest['method'], options: Parameters<typeof begin>[1] = {}) => begin(method, options).result
const detailOf = (result: MethodResult) => ('detail' in result ? result.detail : ('note' in result && result.note) || '')
const dropIn = () => join(fake.dropIns, `${unit}.d`, `zzz-quorate-${runFolder.key}.conf`)
const grant = () => runFolder.units.grantPath({ group, resource })

test('a start is told to systemd, with its restarts turned off and the grant in its environment; a stop takes it back', async () => {
  const known = fake.unit(unit)
  assert.equal((await run('start')).outcome, 'done')
  assert.equal(known.restart, 'no')
  assert.match(readFileSync(grant(), 'utf8'), /^QUORATE_GRANT_TOKEN="1"$/m)
  assert.match(readFileSync(grant(), 'utf8'), /^QUORATE_GROUP="g"$/m)
  assert.doesNotMatch(readFileSync(grant(), 'utf8'), /QUORATE_METHOD|PATH/)
  assert.equal((await run('probe')).outcome, 'running')
  assert.equal((await run('stop')).outcome, 'done')
  assert.equal(await agents.kill({ group, resource, place }, 1_000), true)
  assert.equal(existsSync(grant()), false, 'the grant is gone before anything is called stopped')
  assert.equal((await run('probe')).outcome, 'stopped')
  assert.equal(runFolder.units.read({ group, resource }), undefined)
  agents.close()
  assert.equal(existsSync(dropIn()), false, 'nothing of ours is left')
})

test('a slow start is waited for, and broken off when it is not wanted any more', async () => {
  fake.unit(unit)
  fake.jobTakes = 400
  assert.equal((await run('start')).outcome, 'done')
  await run('stop')
  fake.jobTakes = 60_000
  const slow = begin('start')
  assert.ok(await waitUntil(() => fake.units.get(unit)?.active === 'activating', 5_000))
  slow.cancel()
  assert.equal((await slow.result).outcome, 'cancelled')
  fake.jobTakes = 5
  await run('stop')
  fake.jobTakes = 60_000
  const late = await run('start', { timeout: 500 })
  assert.equal(late.outcome, 'timed-out')
  assert.ok(
    fake.asked.some((asked) => asked.startsWith('Cancel')),
    'what is not wanted any more is told to systemd',
  )
})

test('a start that fails says what systemd knows of it', async () => {
  fake.unit(unit)
  fake.startResult = 'failed'
  const result = await run('start')
  assert.equal(result.outcome, 'failed')
  assert.match(detailOf(result), /exit-code.*ended with status 3/)
})

test('units that systemd would start by itself are not started, and say what mends it', async () => {
  const known = fake.unit(unit)
  const refused = async (why: RegExp) => {
    const result = await run('start')
    assert.equal(result.outcome, 'failed')
    assert.equal('severity' in result && result.severity, 'hard')
    assert.ok('nothingBegun' in result && result.nothingBegun)
    assert.match(detailOf(result), why)
    const first = await run('probe', { token: 0 })
    assert.ok(first.outcome === 'stopped' && first.unable === true)
    assert.match(first.note ?? '', why)
  }
  known.fileState = 'enabled'
  await refused(/systemctl disable web.service/)
  Object.assign(known, { fileState: 'disabled', wantedBy: ['multi-user.target'] })
  fake.unit('multi-user.target', { fileState: 'static', active: 'active' })
  await refused(/wanted by multi-user.target/)
  Object.assign(known, { wantedBy: [], triggeredBy: ['web.socket'] })
  fake.unit('web.socket', { active: 'active' })
  await refused(/web.socket can start/)
  Object.assign(known, { triggeredBy: [], load: 'not-found' })
  await refused(/not installed/)
  assert.deepEqual(
    fake.asked.filter((asked) => asked.startsWith('StartUnit')),
    [],
  )
})

test('restarts that cannot be turned off are refused before anything is begun', async () => {
  const known = fake.unit(unit)
  mkdirSync(join(fake.dropIns, `${unit}.d`))
  writeFileSync(join(fake.dropIns, `${unit}.d`, 'zzzz.conf'), '[Service]\nRestart=always\n')
  const result = await run('start')
  assert.match(detailOf(result), /Restart=always of web.service cannot be turned off \(set by .*zzzz.conf/)
  assert.ok('nothingBegun' in result && result.nothingBegun)
  assert.equal(existsSync(dropIn()), false)
  rmSync(join(fake.dropIns, `${unit}.d`, 'zzzz.conf'))
  known.forced = [1]
  assert.match(detailOf(await run('start')), /RestartForceExitStatus/)
})

test('a drop-in that somebody took away is told', async () => {
  fake.unit(unit)
  await run('start')
  rmSync(dropIn())
  const probe = await run('probe')
  assert.ok(probe.outcome === 'running' && probe.degraded === true)
  assert.match(detailOf(probe), /its drop-in was taken away/)
})

test('what runs already was not granted, and is left as it is', async () => {
  fake.unit(unit, { active: 'active', sub: 'running' })
  const result = await run('start')
  assert.match(detailOf(result), /runs already/)
  assert.equal('nothingBegun' in result, false, 'it has to be stopped')
})

test('past the lease and under a sealed token nothing is told to systemd', async () => {
  fake.unit(unit)
  assert.equal((await run('start', { deadline: -1 })).outcome, 'refused')
  runFolder.seals.seal(group, 3 as Token)
  assert.equal((await run('start', { token: 3 })).outcome, 'refused')
  assert.deepEqual(
    fake.asked.filter((asked) => asked.startsWith('StartUnit')),
    [],
  )
})

test('the end of the service is told at once', async () => {
  fake.unit(unit)
  await run('start')
  agents.watch({ group, resource, place }, [], true)
  assert.ok(await waitUntil(() => changes.length > 0, 5_000), 'what may have been missed is looked at')
  changes.length = 0
  fake.die(unit, [2, 9], 'signal')
  assert.ok(await waitUntil(() => changes.length > 0, 5_000))
  const result = await run('probe')
  assert.equal(result.outcome, 'stopped')
  assert.match(detailOf(result), /killed by signal 9/)
})

test('a bus that is started anew is found again, and what was missed meanwhile looked at', async () => {
  fake.unit(unit)
  await run('start')
  agents.watch({ group, resource, place }, [], true)
  assert.ok(await waitUntil(() => changes.length > 0, 5_000))
  changes.length = 0
  fake.drop()
  assert.ok(await waitUntil(() => changes.length > 0, 10_000))
  assert.equal((await run('probe')).outcome, 'running')
})

test('a systemd that says nothing holds up nobody, and what it may yet start is not called stopped', async () => {
  fake.unit(unit)
  fake.isHanging = true
  const silent = await run('start', { timeout: 300 })
  assert.equal(silent.outcome, 'failed')
  assert.ok('nothingBegun' in silent && silent.nothingBegun)
  fake.isHanging = false
  fake.jobTakes = 60_000
  const start = begin('start')
  assert.ok(await waitUntil(() => fake.units.get(unit)?.active === 'activating', 5_000))
  fake.isHanging = true
  start.cancel()
  await start.result
  const began = performance.now()
  assert.equal((await run('stop', { timeout: 400 })).outcome, 'timed-out')
  assert.equal(await agents.kill({ group, resource, place }, 1_000), true)
  const probe = await run('probe', { timeout: 600 })
  assert.equal(probe.outcome, 'timed-out')
  assert.match(detailOf(probe), /a start of it may be under way/)
  assert.ok(performance.now() - began < 10_000)
})

test('a start that comes out of a queue late comes to nothing once the grant is gone', async () => {
  const known = fake.unit(unit)
  await run('start')
  await run('stop')
  fake.jobTakes = 300
  const start = begin('start')
  assert.ok(await waitUntil(() => known.active === 'activating', 5_000))
  assert.equal(await agents.kill({ group, resource, place }, 1_000), true)
  const result = await start.result
  assert.equal(result.outcome, 'failed')
  assert.match(detailOf(result), /resources/)
  assert.equal(known.active, 'failed')
})

test('without systemd an empty cgroup is the proof, if no start was under way', async (t) => {
  const { kind } = openContainment({ preference: 'auto', key: 'units-test', node: 'n1' }).place
  t.diagnostic(`our own processes are held by ${kind}`)
  fake.unit(unit)
  await run('start')
  // This systemd starts no processes: the note is as of a service that lives by them.
  const note = runFolder.units.read({ group, resource })
  assert.ok(note?.phase === 'started')
  runFolder.units.write({ ...note, livesByProcesses: true })
  fake.isHanging = true
  assert.equal(await agents.kill({ group, resource, place }, 1_000), true)
  const probe = await run('probe', { timeout: 500 })
  assert.equal(probe.outcome, 'stopped')
  assert.match(detailOf(probe), /does not answer/)
  runFolder.units.write({ ...note, livesByProcesses: false })
  assert.equal((await run('probe', { timeout: 500 })).outcome, 'timed-out')
})

test('what a monitor before this one began is taken over when systemd is done with it', async () => {
  fake.unit(unit)
  fake.jobTakes = 400
  const start = begin('start')
  assert.ok(await waitUntil(() => fake.units.get(unit)?.active === 'activating', 5_000))
  assert.equal((await run('settle')).outcome, 'done')
  await start.result
  fake.die(unit, [1, 3])
  const ended = await run('settle')
  assert.equal(ended.outcome, 'failed')
})
