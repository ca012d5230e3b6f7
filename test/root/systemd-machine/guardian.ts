/** The emergency stop of units: in order where systemd answers, and by what the kernel tells where it does not. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { pause } from '../../../src/io/processes/index.js'
import { openRunFolder } from '../../../src/io/run-folder/index.js'
import { BenchNode, group, resource } from '../../monitor/bench-node.js'
import { freezeSystemd, install, mainPid, processesOf, property, uninstall } from './units.js'

let bench: BenchNode
const unit = 'qguard.service'
const web = resource({ type: `systemd:${unit}`, parameters: {} })

beforeEach(() => {
  bench = new BenchNode()
})
afterEach(async () => {
  await freezeSystemd(false)
  uninstall(unit) // It may still be writing into the folder of this test.
  await bench.close()
})

/** A lease that ends 1500 ms after the daemon has renewed it last. */
async function begun(service: Readonly<Record<string, string>>, onQuorumLoss?: 'freeze') {
  install(unit, service)
  bench.startGuardian({ lease: 1_500, emergencyStop: onQuorumLoss === undefined ? 10_000 : 30_000 })
  await bench.hello()
  const folder = openRunFolder(bench.runDir)
  await bench.eventually('a lease', () => folder.readDeadline(bench.boot) > 0)
  bench.run('g', { web }, onQuorumLoss === undefined ? {} : { onQuorumLoss })
  return folder
}

const ended = (what: RegExp) => bench.eventually('the end of the emergency stop', () => what.test(bench.log('guardian')), 40_000)

test('it is stopped in order when the lease has run out', async () => {
  const folder = await begun({ ExecStart: '/bin/sleep 1000' })
  await bench.groupIs('g', 'ONLINE')
  bench.signal('daemon', 'SIGSTOP')
  await ended(/everything verified stopped/)
  assert.equal(property(unit, 'ActiveState'), 'inactive')
  assert.equal(property(unit, 'Result'), 'success')
  assert.equal(folder.openTokens().has(group('g')), false)
})

test('without systemd its cgroup is killed, and that is proof enough for what had started', async () => {
  const folder = await begun({ ExecStart: '/bin/sh -c "sleep 1000 & exec sleep 1000"', Restart: 'always' })
  await bench.groupIs('g', 'ONLINE')
  const pid = mainPid(unit)
  await freezeSystemd(true)
  bench.signal('daemon', 'SIGSTOP')
  await ended(/everything verified stopped/)
  assert.equal(folder.openTokens().has(group('g')), false)
  assert.deepEqual(processesOf(unit), [])
  await freezeSystemd(false)
  await bench.eventually('systemd to have seen it', () => property(unit, 'ActiveState') === 'failed')
  assert.notEqual(mainPid(unit), pid)
})

test('it stands still when the lease has run out, and goes on with the next one', async () => {
  const file = join(bench.dir, 'counted')
  const folder = await begun({ ExecStart: `/bin/sh -c "while :; do echo x >> ${file}; sleep 0.02; done"` }, 'freeze')
  await bench.groupIs('g', 'ONLINE')
  const pid = mainPid(unit)
  const count = () => (existsSync(file) ? readFileSync(file).length : 0)
  bench.signal('daemon', 'SIGSTOP')
  await bench.eventually('it to stand still', () => bench.log('guardian').includes('g stands still'))
  let before = -1
  while (before !== count()) {
    before = count()
    await pause(300)
  }
  bench.signal('daemon', 'SIGCONT')
  await bench.eventually('it to go on', () => count() > before + 20)
  assert.equal(mainPid(unit), pid)
  assert.equal(folder.openTokens().has(group('g')), true)
})

test('a bus that hangs keeps nothing alive either', async () => {
  await begun({ ExecStart: '/bin/sleep 1000' })
  await bench.groupIs('g', 'ONLINE')
  const bus = mainPid('dbus.service')
  process.kill(bus, 'SIGSTOP')
  try {
    bench.signal('daemon', 'SIGSTOP')
    await ended(/everything verified stopped/)
    assert.deepEqual(processesOf(unit), [])
  } finally {
    process.kill(bus, 'SIGCONT')
  }
})

test('a start that is under way in a systemd that hangs cannot be verified, and comes to nothing', async () => {
  const folder = await begun({ ExecStartPre: '/bin/sleep 3', ExecStart: '/bin/sleep 1000' })
  await bench.eventually('its start', () => property(unit, 'ActiveState') === 'activating')
  await freezeSystemd(true)
  bench.signal('daemon', 'SIGSTOP')
  await ended(/cannot verify: g: web is UNKNOWN.*start of it may be under way/)
  assert.equal(folder.openTokens().has(group('g')), true)
  await freezeSystemd(false)
  // What could not be verified is tried again.
  await bench.eventually('the next try', () => !folder.openTokens().has(group('g')), 40_000)
  assert.notEqual(property(unit, 'ActiveState'), 'active')
  assert.deepEqual(processesOf(unit), [])
})
