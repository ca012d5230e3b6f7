/** A guardian that holds a watchdog: a FIFO stands in for the device, and this test for the machine that it resets. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { WatchdogStandIn } from '../../scripts/lib/watchdog.js'
import { pause, readStat } from '../../src/io/processes/index.js'
import { BenchNode, resource } from '../monitor/bench-node.js'

const timeout = 1_000

let bench: BenchNode
let device: WatchdogStandIn

beforeEach(() => {
  bench = new BenchNode()
  device = new WatchdogStandIn(join(bench.dir, 'watchdog'), timeout)
})
afterEach(async () => {
  device.end()
  await bench.close()
})

const sleeper = resource({ type: 'command', parameters: { run: ['/bin/sleep', '1000'] } })
const alive = (pid: number | undefined) => pid !== undefined && (readStat(pid)?.state ?? 'Z') !== 'Z'

async function withService(lease: number, emergencyStop = 5_000) {
  bench.startGuardian({ lease, emergencyStop, watchdog: device.path })
  await bench.hello()
  await bench.eventually('a lease', () => bench.runFolder.readDeadline(bench.boot) > 0)
  bench.run('g', { app: sleeper })
  await bench.groupIs('g', 'ONLINE')
  return bench.pidOf('g', 'app')
}

describe('a watchdog', () => {
  test('is fed in time while the lease is renewed', async () => {
    await withService(60_000)
    const before = device.fed
    let hungriest = 0
    await bench.eventually('twenty feeds', () => {
      hungriest = Math.max(hungriest, device.hungry)
      return device.fed > before + 20
    })
    assert.ok(hungriest < timeout, `${hungriest} ms without a byte`)
  })

  test('starves when the guardian is stopped, and would reset the machine in time', async () => {
    await withService(60_000)
    bench.signal('guardian', 'SIGSTOP')
    const fed = device.fed
    await pause(200) // What was on its way.
    const settled = device.fed
    await bench.eventually('the time-out', () => device.hungry > timeout)
    assert.ok(settled - fed <= 1)
    assert.equal(device.fed, settled)
    assert.notEqual(device.last, 'V')
    bench.signal('guardian', 'SIGCONT')
  })

  test('starves before deadline and emergency stop are over, where something cannot be stopped', async () => {
    bench.startGuardian({ lease: 800, emergencyStop: 2_000, watchdog: device.path })
    await bench.hello()
    await bench.eventually('a lease', () => bench.runFolder.readDeadline(bench.boot) > 0)
    bench.run('g', { app: resource({ type: 'command', parameters: { start: 'true', stop: 'true', probe: 'exit 0' } }) })
    await bench.groupIs('g', 'ONLINE')
    bench.signal('daemon', 'SIGSTOP')
    await bench.eventually('the time-out', () => device.hungry > timeout)
    const late = bench.clock.boot() - bench.runFolder.readDeadline(bench.boot)
    assert.ok(late < 2_000 + 500, `it fires ${late} ms after the deadline`)
    bench.signal('daemon', 'SIGCONT')
  })

  test('resets the machine in time also where the guardian dies again and again while something cannot be stopped', async () => {
    bench.startGuardian({ lease: 800, emergencyStop: 4_000, watchdog: device.path })
    await bench.hello()
    await bench.eventually('a lease', () => bench.runFolder.readDeadline(bench.boot) > 0)
    bench.run('g', { app: resource({ type: 'command', parameters: { start: 'true', stop: 'true', probe: 'exit 0' } }) })
    await bench.groupIs('g', 'ONLINE')
    bench.signal('daemon', 'SIGSTOP')
    const end = () => bench.runFolder.readDeadline(bench.boot) + 4_000
    await bench.eventually('the end of the lease', () => bench.clock.boot() > end() - 4_000)
    while (device.hungry <= timeout && bench.clock.boot() < end() + 2_000) {
      bench.signal('guardian', 'SIGKILL')
      await pause(300)
      bench.startGuardian({ lease: 800, emergencyStop: 4_000, watchdog: device.path })
      await pause(400)
    }
    assert.ok(device.hungry > timeout, 'nobody feeds it any more')
    assert.ok(bench.clock.boot() <= end() + 800, `it fired ${bench.clock.boot() - end()} ms after deadline and emergency stop`)
    bench.signal('daemon', 'SIGCONT')
  })

  test('is fed again once everything was verified stopped', async () => {
    const service = await withService(800)
    bench.signal('daemon', 'SIGSTOP')
    await bench.eventually('the verification', () => bench.runFolder.readEmergency()?.phase === 'stopped')
    assert.ok(!alive(service))
    const before = device.fed
    await bench.eventually('five feeds', () => device.fed > before + 5)
    bench.signal('daemon', 'SIGCONT')
  })

  test('stays armed when the guardian is replaced, and the next one feeds it', async () => {
    const service = await withService(60_000)
    bench.signal('guardian', 'SIGHUP')
    await bench.eventually('the guardian to be gone', () => bench.pid('guardian') === undefined)
    assert.notEqual(device.last, 'V')
    bench.startGuardian({ lease: 60_000, watchdog: device.path })
    const before = device.fed
    await bench.eventually('feeds of the next one', () => device.fed > before + 3)
    assert.ok(alive(service))
  })

  test('is disarmed at an orderly end', async () => {
    await withService(60_000)
    bench.signal('guardian', 'SIGTERM')
    await bench.eventually('the last word', () => device.last === 'V')
  })

  test('whose time does not fit twice into the emergency stop is not used, and it says why', async () => {
    bench.startGuardian({ lease: 60_000, emergencyStop: 1_900, watchdog: device.path })
    await bench.eventually('the reason', () => bench.log('guardian').includes('longer than the emergency stop'))
    assert.equal(device.fed, 0, 'and never armed')
  })

  test('that is not there is told, and the guardian guards without it', async () => {
    bench.startGuardian({ lease: 60_000, watchdog: join(bench.dir, 'none') })
    await bench.hello()
    await bench.eventually('the reason', () => bench.log('guardian').includes('does not tell its time-out'))
  })
})
