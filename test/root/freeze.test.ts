/** Real processes that stand still when the lease has run out, and go on with it or are killed. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { openContainment, pause, readStat } from '../../src/io/processes/index.js'
import { openRunFolder } from '../../src/io/run-folder/index.js'
import { BenchNode, group, resource, token } from '../monitor/bench-node.js'

let bench: BenchNode

beforeEach(() => {
  bench = new BenchNode()
})
afterEach(() => bench.close())

const { kind } = openContainment({ preference: 'auto', key: `freeze-${process.pid}`, node: 'n1' }).place
const skip = kind === 'sweep' ? 'nothing here can freeze processes: it takes cgroups' : false

const alive = (pid: number | undefined) => pid !== undefined && (readStat(pid)?.state ?? 'Z') !== 'Z'

/** A service that counts, so that it can be seen whether it does anything. */
function counting(name: string) {
  const file = join(bench.dir, name)
  const script = `while :; do echo x >> ${file}; sleep 0.02; done`
  return {
    definition: resource({ type: 'command', parameters: { run: ['/bin/sh', '-c', script] } }),
    count: () => (existsSync(file) ? readFileSync(file).length : 0),
  }
}

/** A lease that ends 800 ms after the daemon has renewed it last. */
async function begun(emergencyStop: number) {
  bench.startGuardian({ lease: 800, emergencyStop })
  await bench.hello()
  const folder = openRunFolder(bench.runDir)
  await bench.eventually('a lease', () => folder.readDeadline(bench.boot) > 0)
}

async function standsStill(count: () => number) {
  await bench.eventually('the guardian to freeze it', () => bench.log('guardian').includes('g stands still'))
  for (let tries = 0; ; tries++) {
    const before = count()
    await pause(300)
    if (count() === before) return before
    assert.ok(tries < 20, 'it goes on counting')
  }
}

test('it goes on when the lease is back, the same process, with nothing lost', { skip }, async () => {
  const { definition, count } = counting('g')
  await begun(30_000)
  bench.run('g', { app: definition }, { onQuorumLoss: 'freeze' })
  await bench.groupIs('g', 'ONLINE')
  const service = bench.pidOf('g', 'app')
  bench.signal('daemon', 'SIGSTOP')
  const before = await standsStill(count)
  assert.ok(alive(service))
  assert.equal(bench.runFolder.seals.isSealed(group('g'), token(1)), false, 'it is not called ended')
  bench.signal('daemon', 'SIGCONT')
  await bench.eventually('it to go on', () => count() > before + 5)
  assert.ok(alive(service))
  assert.equal(bench.pidOf('g', 'app'), service)
  assert.equal(bench.runFolder.readEmergency(), undefined)
})

test('it is killed and verified within the emergency stop when the lease does not come back', { skip }, async () => {
  const { definition, count } = counting('g')
  await begun(5_000)
  bench.run('g', { app: definition }, { onQuorumLoss: 'freeze' })
  await bench.groupIs('g', 'ONLINE')
  const service = bench.pidOf('g', 'app')
  bench.signal('daemon', 'SIGSTOP')
  const before = await standsStill(count)
  await bench.eventually('the service to be gone', () => !alive(service))
  await bench.eventually('the verification', () => bench.runFolder.readEmergency()?.phase === 'stopped')
  const left = bench.runFolder.readDeadline(bench.boot) + 5_000 - bench.clock.boot()
  assert.ok(left > -1_000, `verified ${-left} ms after its time`)
  assert.equal(count(), before, 'it did nothing more before it ended')
  assert.ok(bench.runFolder.seals.isSealed(group('g'), token(1)))
  assert.equal(bench.runFolder.openTokens().size, 0)
})

test('a guardian that is killed meanwhile is followed by one that has it go on, or ends it', { skip }, async () => {
  const { definition, count } = counting('g')
  await begun(30_000)
  bench.run('g', { app: definition }, { onQuorumLoss: 'freeze' })
  await bench.groupIs('g', 'ONLINE')
  const service = bench.pidOf('g', 'app')
  bench.signal('daemon', 'SIGSTOP')
  const before = await standsStill(count)
  const first = bench.pid('guardian')
  bench.signal('guardian', 'SIGKILL')
  await bench.eventually('the guardian to be gone', () => bench.pid('guardian') === undefined)
  bench.signal('daemon', 'SIGCONT')
  bench.startGuardian({ lease: 800, emergencyStop: 30_000 })
  await bench.eventually('another guardian', () => bench.pid('guardian') !== undefined && bench.pid('guardian') !== first)
  await bench.eventually('it to go on', () => count() > before + 5)
  assert.ok(alive(service))
})

test('what is beside it and does not ask for that is stopped at once', { skip }, async () => {
  const still = counting('g')
  const other = counting('h')
  await begun(30_000)
  bench.run('g', { app: still.definition }, { onQuorumLoss: 'freeze' })
  bench.run('h', { app: other.definition })
  await bench.groupIs('g', 'ONLINE')
  await bench.groupIs('h', 'ONLINE')
  const [first, second] = [bench.pidOf('g', 'app'), bench.pidOf('h', 'app')]
  bench.signal('daemon', 'SIGSTOP')
  await bench.eventually('the other one to be gone', () => !alive(second))
  const before = await standsStill(still.count)
  assert.ok(alive(first))
  bench.signal('daemon', 'SIGCONT')
  await bench.eventually('it to go on', () => still.count() > before + 5)
  assert.ok(alive(first))
})
