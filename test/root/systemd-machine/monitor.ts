/** A real monitor and a real systemd, on a machine of their own. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import type { MonitorReport } from '../../../src/core/monitor/index.js'
import { waitUntil } from '../../../src/io/processes/index.js'
import { BenchNode, group, resource, token } from '../../monitor/bench-node.js'
import { environmentOf, freezeSystemd, install, mainPid, processesOf, property, systemctl, uninstall } from './units.js'

let bench: BenchNode
let names = 0
let name: string
const unit = 'qtest.service'
const installed = new Set<string>()

before(async () => {
  bench = new BenchNode()
  bench.startMonitor()
  await bench.hello()
})
after(() => bench.close())
afterEach(async () => {
  await freezeSystemd(false)
  bench.stop(name, 1, 1_000)
  await bench.groupIs(name, 'STOPPED')
  for (const each of installed) uninstall(each)
  installed.clear()
})

function put(service: Readonly<Record<string, string>>, more = '', named = unit) {
  installed.add(named)
  install(named, service, more)
}
const next = () => {
  name = `u${++names}`
  return name
}
const web = (more: Partial<Parameters<typeof resource>[0]> = {}) => resource({ type: `systemd:${unit}`, parameters: {}, ...more })
const stopped = () => bench.until('it to have stopped', (report) => report.kind === 'sealed' && report.group === name)

test('a unit is started under its grant, watched, and stopped with nothing of it or of ours left', async () => {
  put({ ExecStart: '/bin/sh -c "sleep 1000 & exec sleep 1000"', Restart: 'always', RestartSec: '0' })
  bench.run(next(), { web: web() })
  await bench.groupIs(name, 'ONLINE')
  assert.equal(property(unit, 'ActiveState'), 'active')
  assert.equal(property(unit, 'Restart'), 'no')
  const { QUORATE_GRANT_TOKEN, QUORATE_GROUP, QUORATE_METHOD } = environmentOf(mainPid(unit))
  assert.deepEqual([QUORATE_GRANT_TOKEN, QUORATE_GROUP, QUORATE_METHOD], ['1', name, undefined])
  assert.equal(processesOf(unit).length, 2)
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED')
  await stopped()
  assert.equal(property(unit, 'ActiveState'), 'inactive')
  assert.deepEqual(processesOf(unit), [])
})

test('it is started once it says that it is ready (Type=notify), and not before', async () => {
  put({ Type: 'notify', NotifyAccess: 'all', ExecStart: '/bin/sh -c "sleep 1; systemd-notify --ready; exec sleep 1000"' })
  bench.run(next(), { web: web() })
  await bench.groupIs(name, 'STARTING')
  assert.ok(await waitUntil(() => property(unit, 'ActiveState') === 'activating', 10_000, 50))
  await bench.groupIs(name, 'ONLINE')
  assert.equal(property(unit, 'ActiveState'), 'active')
})

test('its death is known at once, says how it died, and systemd does not restart it', async () => {
  put({ ExecStart: '/bin/sleep 1000', Restart: 'always', RestartSec: '0', RestartForceExitStatus: 'SIGKILL' })
  bench.run(next(), { web: web() })
  await bench.groupIs(name, 'ONLINE')
  const from = bench.reports.length
  const died = performance.now()
  process.kill(mainPid(unit), 'SIGKILL')
  const failure = await bench.failureOf(name, from)
  assert.equal(failure?.event, 'died')
  assert.match(failure?.detail ?? '', /killed by signal 9/)
  assert.ok(performance.now() - died < 10_000, 'long before a probe is due')
  assert.equal(property(unit, 'ActiveState'), 'failed')
  assert.equal(property(unit, 'NRestarts'), '0')
  bench.run(name, { web: web() }, { sequence: 2, restart: { resource: 'web' as never, number: 1 } })
  await bench.groupIs(name, 'ONLINE', from)
  assert.equal(property(unit, 'NRestarts'), '0')
})

test('a oneshot without processes of its own runs for as long as systemd says', async () => {
  put({ Type: 'oneshot', RemainAfterExit: 'yes', ExecStart: '/bin/true' })
  bench.run(next(), { web: web() })
  await bench.groupIs(name, 'ONLINE')
  const from = bench.reports.length
  systemctl('stop', unit)
  const failure = await bench.failureOf(name, from)
  assert.equal(failure?.event, 'died')
})

test('who stops it by hand meets the cluster, and who restarts it does not', async () => {
  put({ ExecStart: '/bin/sleep 1000' })
  bench.run(next(), { web: web() })
  await bench.groupIs(name, 'ONLINE')
  const before = mainPid(unit)
  systemctl('restart', unit)
  assert.notEqual(mainPid(unit), before)
  // Its new process is the one that is watched now.
  const from = bench.reports.length
  bench.order({ kind: 'look', lookId: 'after', group: group(name), resource: 'web' as never, deep: false })
  const looked = await bench.until<Extract<MonitorReport, { kind: 'looked' }>>('a look', (report) => report.kind === 'looked', from)
  assert.equal(looked.found.result, 'running')
  process.kill(mainPid(unit), 'SIGKILL')
  assert.equal((await bench.failureOf(name, from))?.event, 'died')
})

test('what a stop leaves behind is killed, and only then has it stopped', async () => {
  put({ ExecStart: '/bin/sh -c "trap : TERM; sleep 1000 & while :; do wait; sleep 1; done"', KillMode: 'process', TimeoutStopSec: '1' })
  bench.run(next(), { web: web() })
  await bench.groupIs(name, 'ONLINE')
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED')
  assert.deepEqual(processesOf(unit), [])
})

test('a stop that takes longer than it may is ended by killing its cgroup', async () => {
  put({ ExecStart: '/bin/sh -c "trap : TERM; while :; do sleep 1; done"', TimeoutStopSec: '600' })
  bench.run(next(), { web: web({ stop: { timeout: 700 } }) })
  await bench.groupIs(name, 'ONLINE')
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED')
  assert.deepEqual(processesOf(unit), [])
})

test('a start that fails, and one that takes too long', async () => {
  put({ ExecStart: '/bin/sh -c "exit 3"', Type: 'oneshot', RemainAfterExit: 'yes' })
  bench.run(next(), { web: web() })
  const failed = await bench.failureOf(name)
  assert.equal(failed?.event, 'start-failed')
  assert.match(failed?.detail ?? '', /ended with status 3/)
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED')
  put({ Type: 'notify', ExecStart: '/bin/sleep 1000', TimeoutStartSec: '600' })
  bench.run(next(), { web: web({ start: { timeout: 5_000 } }) })
  const late = await bench.failureOf(name)
  assert.equal(late?.event, 'start-timeout')
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED')
  assert.deepEqual(processesOf(unit), [])
})

test('units that systemd starts by itself are refused, with what mends it', async () => {
  put({ ExecStart: '/bin/sleep 1000' }, '[Install]\nWantedBy=multi-user.target\n')
  systemctl('enable', unit)
  bench.run(next(), { web: web() })
  const enabled = await bench.failureOf(name)
  assert.equal(enabled?.severity, 'hard')
  assert.match(enabled?.detail ?? '', /at boot, without a grant; systemctl disable qtest.service/)
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED')
  systemctl('disable', unit)

  installed.add('qtest.socket')
  writeFileSync('/etc/systemd/system/qtest.socket', '[Socket]\nListenStream=/run/qtest.sock\n')
  systemctl('daemon-reload')
  systemctl('start', 'qtest.socket')
  bench.run(next(), { web: web() })
  assert.match((await bench.failureOf(name))?.detail ?? '', /qtest.socket can start the unit/)
  systemctl('stop', 'qtest.socket')
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED')
})

test('restarts that an administrator has set more strongly are refused', async () => {
  put({ ExecStart: '/bin/sleep 1000' })
  mkdirSync(`/etc/systemd/system/${unit}.d`, { recursive: true })
  writeFileSync(`/etc/systemd/system/${unit}.d/zzzz.conf`, '[Service]\nRestart=always\n')
  systemctl('daemon-reload')
  bench.run(next(), { web: web() })
  const failure = await bench.failureOf(name)
  assert.match(failure?.detail ?? '', /Restart=always.*zzzz.conf/)
  rmSync(`/etc/systemd/system/${unit}.d/zzzz.conf`)
  systemctl('daemon-reload')
})

test('a look at what was never granted here tells what runs, what does not, and what could not', async () => {
  put({ ExecStart: '/bin/sleep 1000' })
  next()
  const probed = async (resources: Record<string, ReturnType<typeof resource>>, id: string) => {
    bench.order({ kind: 'probe', group: group(name), probeId: id, resources: resources as never })
    return bench.until<Extract<MonitorReport, { kind: 'probed' }>>('a probe', (report) => report.kind === 'probed' && report.probeId === id)
  }
  assert.equal((await probed({ web: web() }, 'clean')).result, 'clean')
  systemctl('start', unit)
  assert.equal((await probed({ web: web() }, 'running')).result, 'running')
  bench.order({ kind: 'end-stray', group: group(name), resources: { web: web() } as never })
  assert.equal((await probed({ web: web() }, 'ended')).result, 'clean')
  assert.match((await probed({ web: resource({ type: 'systemd:nobody-has-this', parameters: {} }) }, 'none')).unable ?? '', /not installed/)
})

test('a monitor that comes after finds the unit as it was left', async () => {
  put({ ExecStart: '/bin/sleep 1000' })
  bench.run(next(), { web: web() })
  await bench.groupIs(name, 'ONLINE')
  const pid = mainPid(unit)
  await bench.killMonitor()
  const from = bench.reports.length
  bench.startMonitor()
  await bench.hello(from)
  assert.equal(mainPid(unit), pid)
  process.kill(pid, 'SIGKILL')
  assert.equal((await bench.failureOf(name, from))?.event, 'died')
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED', from)
})

test('a start that outlives its monitor is taken over', async () => {
  put({ Type: 'notify', NotifyAccess: 'all', ExecStart: '/bin/sh -c "sleep 3; systemd-notify --ready; exec sleep 1000"' })
  bench.run(next(), { web: web() })
  assert.ok(await waitUntil(() => property(unit, 'ActiveState') === 'activating', 10_000, 50))
  const pid = mainPid(unit)
  await bench.killMonitor()
  const from = bench.reports.length
  bench.startMonitor()
  await bench.hello(from)
  await bench.until('it to be ONLINE', (report) => report.kind === 'group' && report.group === name && report.state === 'ONLINE', from)
  assert.equal(mainPid(unit), pid)
})

test('while systemd hangs a service that runs is left alone, and its end is known all the same', async () => {
  put({ ExecStart: '/bin/sleep 1000' })
  bench.run(next(), { web: web({ probe: { interval: 300, timeout: 2_000 } }) })
  await bench.groupIs(name, 'ONLINE')
  const pid = mainPid(unit)
  const from = bench.reports.length
  await freezeSystemd(true)
  await bench.groupIs(name, 'ONLINE', from, (report) => /does not answer/.test(report.resources['web' as never]?.detail ?? ''))
  process.kill(pid, 'SIGKILL')
  const failure = await bench.failureOf(name, from)
  assert.equal(failure?.event, 'died')
  assert.match(failure?.detail ?? '', /does not answer.*no process of it is left/)
  bench.stop(name)
  await bench.groupIs(name, 'STOPPED', from)
  await freezeSystemd(false)
  assert.ok(await waitUntil(() => property(unit, 'ActiveState') === 'failed', 20_000, 100), 'and it stays so when systemd goes on')
})

test('a start on its way to a systemd that hangs comes to nothing once the group has been stopped', async () => {
  put({ ExecStart: `/bin/sh -c "touch ${join(bench.dir, 'began')}; exec sleep 1000"`, ExecStartPre: '/bin/sleep 2' })
  bench.run(next(), { web: web() })
  assert.ok(await waitUntil(() => property(unit, 'ActiveState') === 'activating', 10_000, 20))
  await freezeSystemd(true)
  const from = bench.reports.length
  bench.stop(name)
  await bench.groupIs(name, 'UNKNOWN', from)
  await freezeSystemd(false)
  assert.ok(await waitUntil(() => ['failed', 'inactive'].includes(property(unit, 'ActiveState')), 20_000, 100))
  assert.equal(existsSync(join(bench.dir, 'began')), false, 'nothing of it began')
  bench.stop(name, 1, 200)
  await bench.groupIs(name, 'STOPPED', from)
})

test('a bus that hangs does not hold up the monitor', async () => {
  put({ ExecStart: '/bin/sleep 1000' })
  bench.run(next(), { web: web({ probe: { interval: 300, timeout: 2_000 } }) })
  await bench.groupIs(name, 'ONLINE')
  const bus = mainPid('dbus.service')
  process.kill(bus, 'SIGSTOP')
  try {
    const from = bench.reports.length
    await bench.groupIs(name, 'ONLINE', from, (report) => /does not answer/.test(report.resources['web' as never]?.detail ?? ''))
    const before = bench.reports.length
    bench.run(`${name}-other`, { app: resource({ type: 'command', parameters: { run: 'exec sleep 1000' } }) })
    await bench.groupIs(`${name}-other`, 'ONLINE', before)
    bench.stop(`${name}-other`)
    await bench.groupIs(`${name}-other`, 'STOPPED', before)
    const beats = bench.reports.slice(from).flatMap((report) => (report.kind === 'beat' ? [report.lagMs] : []))
    assert.ok(
      beats.every((lag) => lag < 2_000),
      beats.join(),
    )
  } finally {
    process.kill(bus, 'SIGCONT')
  }
  await bench.groupIs(name, 'ONLINE', bench.reports.length - 1, (report) => report.resources['web' as never]?.detail === undefined)
})

test('what was left under a token that has ended starts nothing by hand either', async () => {
  put({ ExecStart: '/bin/sleep 1000' })
  bench.run(next(), { web: web() }, { token: token(7) })
  await bench.groupIs(name, 'ONLINE')
  bench.stop(name, 7)
  await bench.groupIs(name, 'STOPPED')
  assert.throws(() => systemctl('start', unit), 'the grant is gone, and the drop-in is kept for a while')
  assert.ok(readFileSync(`/run/systemd/system/${unit}.d/zzz-quorate-${bench.runFolder.key}.conf`, 'utf8').includes('EnvironmentFile='))
})
