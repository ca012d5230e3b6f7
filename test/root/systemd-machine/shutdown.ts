/** The guardian as a service of systemd: its units outlive it in the order of things, and its end does not wait for itself. */
import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { openRunFolder } from '../../../src/io/run-folder/index.js'
import { BenchNode, group, resource } from '../../monitor/bench-node.js'
import { install, processesOf, property, systemctl, uninstall } from './units.js'

let bench: BenchNode
const unit = 'qshut.service'
const own = 'qnode.service'

beforeEach(() => {
  bench = new BenchNode()
})
afterEach(async () => {
  await bench.close()
  uninstall(own)
  uninstall(unit)
})

/** systemd.service(5): a word in quotation marks. */
const quoted = (word: string) => `"${word.replaceAll('%', '%%').replaceAll('$', '$$$$').replaceAll(/["\\]/g, '\\$&')}"`

test('the end of our own service stops the unit in its turn, and soon', async () => {
  install(unit, { ExecStart: '/bin/sleep 1000' })
  const argv = bench.guardianArgv({ lease: 5_000, emergencyStop: 5_000 })
  install(own, { ExecStart: argv.map(quoted).join(' '), KillMode: 'process', Delegate: 'yes', TimeoutStopSec: '60' })
  systemctl('start', own)
  bench.listen()
  await bench.hello()
  const folder = openRunFolder(bench.runDir)
  await bench.eventually('a lease', () => folder.readDeadline(bench.boot) > 0)
  bench.run('g', { web: resource({ type: `systemd:${unit}`, parameters: {} }) })
  await bench.groupIs('g', 'ONLINE')
  assert.match(property(unit, 'Before'), /qnode.service/)
  const began = performance.now()
  systemctl('stop', own)
  assert.ok(performance.now() - began < 30_000, 'neither waits for the other')
  assert.equal(property(own, 'Result'), 'success')
  assert.equal(property(unit, 'ActiveState'), 'inactive')
  assert.equal(property(unit, 'Result'), 'success', 'it was stopped in order and not killed')
  assert.deepEqual(processesOf(unit), [])
  assert.equal(folder.openTokens().has(group('g')), false)
})
