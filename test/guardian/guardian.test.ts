import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import type { Token } from '../../src/base/index.js'
import type { GuardianAnswer, GuardianState } from '../../src/core/guardian/index.js'
import type { MonitorReport } from '../../src/core/monitor/index.js'
import { clusterKeyPurpose, guardianSender, startGuardian } from '../../src/guardian/index.js'
import { deriveKey, openDatagrams } from '../../src/io/datagram/index.js'
import { openGuardianLink } from '../../src/io/guardian-link/index.js'
import { openMonitorLink } from '../../src/io/monitor-link/index.js'
import { pause, readStat, signalProcess } from '../../src/io/processes/index.js'
import { openRunFolder } from '../../src/io/run-folder/index.js'
import { BenchNode, group, resource, token } from '../monitor/bench-node.js'

let bench: BenchNode

beforeEach(() => {
  bench = new BenchNode()
})
afterEach(() => bench.close())

const sleeper = resource({ type: 'command', parameters: { run: ['/bin/sleep', '1000'] } })

const alive = (pid: number | undefined) => pid !== undefined && (readStat(pid)?.state ?? 'Z') !== 'Z'

/** The monitor is there, and a lease: nothing is run without one, for the guardian would end it at once. */
async function begun() {
  await bench.hello()
  const folder = openRunFolder(bench.runDir)
  await bench.eventually('a lease', () => folder.readDeadline(bench.boot) > 0)
}

async function withService(lease: number) {
  bench.startGuardian({ lease })
  await begun()
  bench.run('g', { app: sleeper })
  await bench.groupIs('g', 'ONLINE')
  return bench.pidOf('g', 'app')
}

test('the death of guardian, daemon and monitor, one after the other, touches no service', async () => {
  const service = await withService(60_000)
  for (const role of ['daemon', 'monitor'] as const) {
    const before = bench.pid(role)
    bench.signal(role, 'SIGKILL')
    await bench.eventually(`another ${role}`, () => bench.pid(role) !== undefined && bench.pid(role) !== before)
  }
  await bench.hello(bench.reports.findIndex((report) => report.kind === 'hello') + 1)
  const [daemon, monitor, guardian] = [bench.pid('daemon'), bench.pid('monitor'), bench.pid('guardian')]
  bench.signal('guardian', 'SIGKILL')
  await bench.eventually('the guardian to be gone', () => bench.pid('guardian') === undefined)
  bench.startGuardian({ lease: 60_000 })
  await bench.eventually('another guardian', () => bench.pid('guardian') !== undefined && bench.pid('guardian') !== guardian)
  await bench.eventually('adoption', () => bench.log('guardian').includes('adopted daemon and monitor'))
  assert.deepEqual([bench.pid('daemon'), bench.pid('monitor')], [daemon, monitor])
  assert.ok(alive(service))
  assert.equal(bench.pidOf('g', 'app'), service)
})

test('with daemon and monitor stopped by SIGSTOP, the guardian ends everything at the deadline', async () => {
  const service = await withService(800)
  bench.signal('daemon', 'SIGSTOP')
  bench.signal('monitor', 'SIGSTOP')
  await bench.eventually('the service to be gone', () => !alive(service))
  await bench.eventually('the verification', () => bench.runFolder.readEmergency()?.phase === 'stopped')
  assert.ok(bench.runFolder.seals.isSealed(group('g'), token(1)))
  assert.equal(bench.runFolder.openTokens().size, 0)
  bench.signal('daemon', 'SIGCONT')
  await bench.eventually('the marker to go when the lease returns', () => bench.runFolder.readEmergency() === undefined)
})

test('with daemon and monitor killed and kept from starting, the guardian ends everything at the deadline', async () => {
  const mark = join(bench.dir, 'up')
  bench.startGuardian({ lease: 800 })
  await begun()
  const commands = { start: `touch ${mark}`, stop: `rm ${mark}`, probe: `test -e ${mark} || exit 7` }
  bench.run('g', { app: sleeper, ip: resource({ type: 'command', parameters: commands }) })
  await bench.groupIs('g', 'ONLINE')
  const service = bench.pidOf('g', 'app')
  const daemon = bench.pid('daemon')
  for (const role of ['daemon', 'monitor'] as const) bench.signal(role, 'SIGKILL')
  await bench.eventually('a new daemon', () => bench.pid('daemon') !== undefined && bench.pid('daemon') !== daemon)
  bench.signal('daemon', 'SIGSTOP') // It has not come so far as to renew anything.
  await bench.eventually('the service to be gone', () => !alive(service) && !existsSync(mark))
  await bench.eventually('the verification', () => bench.runFolder.readEmergency()?.phase === 'stopped')
})

test('a copy whose group says demote goes on when the lease runs out, the same process, and only its role ends', async () => {
  bench.startGuardian({ lease: 1_500, emergencyStop: 2_000 })
  await begun()
  const primary = join(bench.dir, 'primary')
  const programs = {
    run: ['/bin/sleep', '1000'],
    promote: `touch ${primary}`,
    demote: `rm -f ${primary}`,
    probeRole: `[ ! -e ${primary} ] || exit 8`,
  }
  const copy = resource({ type: 'command', parameters: programs, promotable: true, copy: { max: 1 } })
  bench.run('db:n1', { copy }, { onQuorumLoss: 'demote' })
  await bench.groupIs('db:n1', 'ONLINE')
  bench.run('db:primary', { copy: { ...copy, role: { of: group('db') } } })
  await bench.groupIs('db:primary', 'ONLINE')
  const service = bench.pidOf('db:n1', 'copy')
  assert.ok(existsSync(primary))
  const heard = bench.reports.length
  bench.signal('daemon', 'SIGSTOP')
  await bench.eventually('the demotion', () => bench.runFolder.seals.isSealed(group('db:primary'), token(1)) && !existsSync(primary))
  await bench.eventually('its end', () => bench.log('guardian').includes('emergency stop ended: everything verified stopped'))
  const { groups } = await bench.hello(heard)
  assert.deepEqual(
    groups.map(({ group: name, state }) => [name, state]),
    [['db:n1', 'ONLINE']],
    'what the monitor says that came after the stop',
  )
  await pause(1_500)
  assert.ok(alive(service), 'past lease and emergency stop')
  assert.deepEqual([...bench.runFolder.openTokens().keys()], ['db:n1'])
  assert.equal(bench.runFolder.seals.isSealed(group('db:n1'), token(1)), false)
  bench.signal('daemon', 'SIGCONT')
  await bench.eventually('a lease', () => openRunFolder(bench.runDir).readDeadline(bench.boot) > bench.clock.boot())
  bench.run('db:primary', { copy: { ...copy, role: { of: group('db') } } }, { token: token(2) })
  await bench.groupIs('db:primary', 'ONLINE', bench.reports.length)
  assert.equal(bench.pidOf('db:n1', 'copy'), service)
})

test('what cannot be verified is not called stopped', async () => {
  bench.startGuardian({ lease: 800, emergencyStop: 1_000 })
  await begun()
  const commands = { start: 'true', stop: 'true', probe: 'exit 0' }
  bench.run('g', { app: resource({ type: 'command', parameters: commands }) })
  await bench.groupIs('g', 'ONLINE')
  bench.signal('daemon', 'SIGSTOP')
  await bench.eventually('the end of the stop', () => bench.runFolder.readEmergency()?.phase === 'cannot-verify')
  assert.equal(bench.runFolder.openTokens().get(group('g')), 1)
})

test('a guardian killed in the middle of an emergency stop is followed by one that finishes it, lease or not', async () => {
  const mark = join(bench.dir, 'up')
  bench.startGuardian({ lease: 700, emergencyStop: 20_000 })
  await begun()
  const commands = {
    start: `touch ${mark}`,
    stop: `test -e ${bench.dir}/go || sleep 1000; rm -f ${mark}`,
    probe: `test -e ${mark} || exit 7`,
  }
  bench.run('g', { app: resource({ type: 'command', parameters: commands, stop: { timeout: 60_000 } }) })
  await bench.groupIs('g', 'ONLINE')
  bench.signal('daemon', 'SIGSTOP')
  await bench.eventually('the emergency stop to begin', () => bench.runFolder.readEmergency()?.phase === 'stopping')
  bench.signal('guardian', 'SIGKILL')
  bench.signal('daemon', 'SIGCONT')
  await bench.eventually('the lease to return', () => bench.runFolder.readDeadline(bench.boot) > bench.clock.boot())
  assert.equal(bench.runFolder.openTokens().size, 1)
  writeFileSync(join(bench.dir, 'go'), '')
  bench.startGuardian({ lease: 700, emergencyStop: 20_000 })
  await bench.eventually('the group to be ended', () => bench.runFolder.openTokens().size === 0 && !existsSync(mark))
})

test('told to stop, it lets the daemon leave and ends what still runs', async () => {
  const service = await withService(60_000)
  bench.signal('guardian', 'SIGTERM')
  await bench.eventually('all to be gone', () => !alive(service) && bench.pid('guardian') === undefined)
  assert.deepEqual([bench.pid('daemon'), bench.pid('monitor')], [undefined, undefined])
  assert.ok(bench.runFolder.seals.isSealed(group('g'), token(1)))
})

test('a guardian that hangs is killed and replaced, and the services run on', async () => {
  const service = await withService(60_000)
  const hung = bench.pid('guardian')
  bench.signal('guardian', 'SIGSTOP')
  startGuardian(bench.guardianArgv({ lease: 60_000 }), bench.logDir, bench.runFolder)
  await bench.eventually('another guardian', () => bench.pid('guardian') !== undefined && bench.pid('guardian') !== hung)
  await bench.eventually('adoption', () => bench.log('guardian').includes('adopted daemon and monitor'))
  assert.equal(alive(hung), false)
  assert.ok(alive(service))
})

test('other nodes are answered under the guardian’s own key, also while the daemon is down', async () => {
  const port = 30_000 + Math.floor(Math.random() * 10_000)
  bench.startGuardian({ lease: 60_000, addresses: ['127.0.0.1'], port })
  await begun()
  bench.run('g', { app: sleeper })
  await bench.groupIs('g', 'ONLINE')
  bench.runFolder.seals.seal(group('old'), token(7))
  const answers: { sender: string; answer: GuardianAnswer }[] = []
  const cluster = deriveKey(bench.secret, clusterKeyPurpose)
  const own = deriveKey(bench.secret, guardianSender(bench.node))
  const asker = (sendKey: Uint8Array) =>
    openDatagrams({
      self: 'n2',
      key: (sender) => (sender === guardianSender(bench.node) ? own : undefined),
      sendKey,
      links: [{ host: '127.0.0.1', port: 0 }],
      listener: { onDatagram: (sender, _link, message) => answers.push({ sender, answer: message as GuardianAnswer }) },
    })
  const stranger = await asker(deriveKey('another secret', clusterKeyPurpose))
  const leader = await asker(cluster)
  const ask = async (nonce: string, more: object = {}) => {
    const answered = () => answers.find(({ answer }) => answer.nonce === nonce)
    for (let end = performance.now() + 20_000; answered() === undefined && performance.now() < end; ) {
      leader.send(0, { host: '127.0.0.1', port }, { kind: 'guardian-query', nonce, ...more })
      await pause(50)
    }
    return answered()?.answer
  }
  try {
    stranger.send(0, { host: '127.0.0.1', port }, { kind: 'guardian-query', nonce: 'forged' })
    // What a case may rest on is read anew.
    const answer = await ask('one', { groups: ['g', 'old'] })
    assert.deepEqual([answer?.node, answer?.boot, answer?.daemonUp, answer?.emergency], [bench.node, bench.boot, true, 'none'])
    assert.deepEqual([answer?.open, answer?.sealed], [{ g: 1 }, { old: 7 }])
    assert.ok((answer?.leaseRemainingMs ?? 0) > 50_000)
    assert.deepEqual((await ask('two', { groups: ['old', 'nowhere'] }))?.open, {})
    for (const garbage of [null, 7, 'x', {}, { kind: 'guardian-query' }]) leader.send(0, { host: '127.0.0.1', port }, garbage)
    bench.signal('daemon', 'SIGSTOP')
    await pause(1_200)
    assert.equal((await ask('three'))?.daemonUp, false)
    assert.equal(answers.filter(({ answer }) => answer.nonce === 'forged').length, 0)
  } finally {
    await stranger.close()
    await leader.close()
  }
})

test('a second guardian ends quietly', async () => {
  await withService(60_000)
  const first = bench.pid('guardian')
  const second = bench.startGuardian()
  await bench.eventually('the second to end', () => second.exitCode !== null)
  assert.equal(second.exitCode, 0)
  assert.equal(bench.pid('guardian'), first)
})

test('a monitor that hangs is ended when the daemon says so, and the next one takes over what runs', async () => {
  const service = await withService(60_000)
  const before = bench.pid('monitor')
  bench.signal('monitor', 'SIGSTOP')
  const link = openGuardianLink(bench.runFolder.socket('guardian'), { onState: () => {}, onConnected: () => {}, onDisconnected: () => {} })
  try {
    await bench.eventually('the link', () => link.connected)
    const heard = bench.reports.length
    link.send({ kind: 'end-monitor' })
    await bench.eventually('another monitor', () => bench.pid('monitor') !== undefined && bench.pid('monitor') !== before)
    const { groups } = await bench.hello(heard)
    assert.deepEqual(
      groups.map(({ group: name, state }) => [name, state]),
      [['g', 'ONLINE']],
    )
    assert.ok(alive(service))
    assert.equal(bench.pidOf('g', 'app'), service)
  } finally {
    link.close()
  }
})

test('suspended by maintenance, it ends nothing, nor does the next one or its orderly end; attached again, it does', async () => {
  const service = await withService(800)
  let told: GuardianState | undefined
  const connect = () =>
    openGuardianLink(bench.runFolder.socket('guardian'), {
      onState: (state) => {
        told = state
      },
      onConnected: () => {},
      onDisconnected: () => {},
    })
  const link = connect()
  try {
    await bench.eventually('the link', () => link.connected)
    link.send({ kind: 'detach', entry: 7 as Token })
    await bench.eventually('its word', () => told?.detachment?.detached === 7)
    bench.signal('daemon', 'SIGSTOP')
    const isLongOver = () => bench.clock.boot() > bench.runFolder.readDeadline(bench.boot) + 1_000
    await bench.eventually('the end of the lease', isLongOver)
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      bench.signal('guardian', signal)
      if (signal === 'SIGTERM') bench.signal('daemon', 'SIGCONT')
      await bench.eventually('the guardian to be gone', () => bench.pid('guardian') === undefined)
      assert.ok(alive(service), `after ${signal}`)
      bench.startGuardian({ lease: 800 })
      await bench.eventually('another guardian', () => bench.pid('guardian') !== undefined && link.connected)
      await bench.eventually('a daemon', () => bench.pid('daemon') !== undefined)
    }
    bench.signal('daemon', 'SIGSTOP')
    await bench.eventually('the end of the lease', isLongOver)
    assert.ok(alive(service))
    assert.equal(bench.runFolder.seals.isSealed(group('g'), token(1)), false)
    link.send({ kind: 'attach', entry: 7 as Token })
    await bench.eventually('the service to be gone', () => !alive(service))
    bench.signal('daemon', 'SIGCONT')
  } finally {
    link.close()
  }
})

test('a monitor that a group has of its own is kept by the guardian: its end, and that of the shared one, touch no service', async () => {
  bench.startGuardian({ lease: 60_000 })
  await begun()
  const own = 'monitor@own' as const
  const pidOfOwn = () => {
    const known = bench.runFolder.readPid(own)
    return known !== undefined && alive(known.pid) ? known.pid : undefined
  }
  bench.runFolder.writeMonitors(bench.boot, [group('own')])
  await bench.eventually('its monitor', () => pidOfOwn() !== undefined)
  const reports: MonitorReport[] = []
  const link = openMonitorLink(bench.runFolder.socket(own), {
    onReport: (report) => void reports.push(report),
    onConnected: () => {},
    onDisconnected: () => {},
  })
  try {
    await bench.eventually('its first word', () => reports.some(({ kind }) => kind === 'hello'))
    const order = {
      kind: 'run',
      group: group('own'),
      token: token(1),
      sequence: 1,
      node: bench.node,
      boot: bench.boot,
      checkpoints: {},
    } as const
    link.send({ ...order, resources: { app: sleeper } as never, deadline: bench.deadline(), dedicated: true })
    bench.run('shared', { app: sleeper })
    await bench.groupIs('shared', 'ONLINE')
    await bench.eventually('its group', () => reports.some((report) => report.kind === 'group' && report.state === 'ONLINE'))
    const services = [bench.pidOf('own', 'app'), bench.pidOf('shared', 'app')]
    const monitors = [pidOfOwn(), bench.pid('monitor')]
    bench.signal('monitor', 'SIGKILL')
    await bench.eventually('another shared one', () => bench.pid('monitor') !== undefined && bench.pid('monitor') !== monitors[1])
    assert.equal(pidOfOwn(), monitors[0], 'the other one is not touched')
    const known = bench.runFolder.readPid(own)
    assert.ok(known !== undefined)
    signalProcess(known, 'SIGKILL')
    await bench.eventually('another one of its own', () => pidOfOwn() !== undefined && pidOfOwn() !== monitors[0])
    const hellos = () => reports.filter((report) => report.kind === 'hello')
    await bench.eventually(
      'its word',
      () =>
        hellos()
          .at(-1)
          ?.groups.some(({ group: name, state }) => name === 'own' && state === 'ONLINE') === true,
    )
    assert.deepEqual([bench.pidOf('own', 'app'), bench.pidOf('shared', 'app')], services)
    assert.ok(services.every(alive))
    bench.signal('daemon', 'SIGSTOP')
    link.send({ kind: 'stop', group: group('own'), token: token(1), sequence: 2, dedicated: true })
    await bench.eventually('the stop', () => !alive(services[0]))
    bench.runFolder.writeMonitors(bench.boot, [])
    await bench.eventually('its monitor to go', () => pidOfOwn() === undefined)
    assert.ok(alive(services[1]))
    bench.signal('daemon', 'SIGCONT')
  } finally {
    link.close()
  }
})
