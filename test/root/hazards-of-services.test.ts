/**
 * Hazards of services with Debian's own agents, in mounts and networks of their own: what is held by others when it is to stop, addresses
 * in an emergency and after a start, copies that are told of each other, and what a restart does to what depends on it.
 *
 * needs: resource-agents iproute2 iputils-arping psmisc python3
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type Answer, waitFor } from '../../scripts/lib/http.js'
import { BenchNode, group, resource, token } from '../monitor/bench-node.js'
import { type LoopbackLab, names, raiseLoopback } from '../scripts/loopback-lab.js'

const patience = 60_000

/** Of this kernel, for one command that has to succeed. */
const run = (...[program = '', ...args]: string[]) => execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

describe('H54: a mount that somebody holds', () => {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-hazards-'))
  const point = join(folder, 'files')
  let bench: BenchNode
  let device: string

  before(async () => {
    const image = join(folder, 'image')
    writeFileSync(image, '')
    truncateSync(image, 4 * 1024 * 1024)
    run('mkfs.ext4', '-q', image)
    device = run('losetup', '--find', '--show', image).trim()
    mkdirSync(point)
    // Mounts of its own: they are gone with the last of its processes.
    bench = new BenchNode('auto', ['unshare', '--mount'])
    bench.startMonitor()
    await bench.hello()
  })
  after(async () => {
    await bench?.close()
    if (device !== undefined) run('losetup', '--detach', device)
    rmSync(folder, { recursive: true, force: true })
  })

  const isMounted = () => readFileSync(`/proc/${bench.monitor?.pid}/mountinfo`, 'utf8').includes(` ${point} `)
  const isStopped = () => bench.reports.some((report) => report.kind === 'group' && report.group === 'files' && report.state === 'STOPPED')

  test('by a shell: its stop fails, it is UNKNOWN and says why, nobody calls it stopped; once the shell is gone the next order ends it', async () => {
    const parameters = { device, directory: point, fstype: 'ext4', force_unmount: 'false', fast_stop: 'yes' }
    bench.run('files', { fs: resource({ type: 'ocf:heartbeat:Filesystem', parameters, stop: { timeout: 30_000 } }) })
    await bench.groupIs('files', 'ONLINE')
    assert.ok(isMounted())
    const shell = await shellIn(point, bench.monitor?.pid as number)
    try {
      bench.stop('files')
      const { failure, resources } = await bench.groupIs('files', 'UNKNOWN')
      assert.equal(failure?.event, 'stop-failed')
      assert.match(failure?.detail ?? '', new RegExp(`Couldn't unmount ${point}, giving up`))
      assert.match(resources['fs' as never]?.detail ?? '', /Couldn't unmount .*; its probe says that it still runs$/)
      assert.equal(shell.exitCode, null, 'what is not of the group is left alone')
      assert.deepEqual([isMounted(), isStopped(), bench.runFolder.seals.isSealed(group('files'), token(1))], [true, false, false])
      assert.equal(bench.runFolder.openTokens().get(group('files')), 1)
    } finally {
      shell.stdin.end()
    }
    await bench.eventually('the shell to leave', () => shell.exitCode !== null)
    assert.equal(isStopped(), false)
    bench.stop('files', 1, 101)
    await bench.groupIs('files', 'STOPPED')
    assert.deepEqual([isMounted(), bench.runFolder.seals.isSealed(group('files'), token(1))], [false, true])
    assert.equal(bench.runFolder.openTokens().size, 0)
  })
})

describe('addresses', () => {
  const [mine, peer] = [`qh${process.pid}`, `qi${process.pid}`]
  const addresses = ['10.99.9.100', '10.99.9.101'] as const
  const prefix = ['ip', 'netns', 'exec', mine]

  before(() => {
    for (const namespace of [mine, peer]) run('ip', 'netns', 'add', namespace)
    run('ip', 'link', 'add', 'eth0', 'netns', mine, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', peer)
    for (const [at, namespace] of [mine, peer].entries()) {
      run('ip', '-n', namespace, 'addr', 'add', `10.99.9.${at + 1}/24`, 'dev', 'eth0')
      for (const device of ['lo', 'eth0']) run('ip', '-n', namespace, 'link', 'set', device, 'up')
    }
  })
  after(() => {
    for (const namespace of [mine, peer]) run('ip', 'netns', 'del', namespace)
  })

  const own = resource({ type: 'logical-hostname', parameters: { address: `${addresses[0]}/24` } })
  const debians = resource({ type: 'ocf:heartbeat:IPaddr2', parameters: { ip: addresses[1], cidr_netmask: '24', nic: 'eth0' } })

  /** Notes how many of the addresses are there when it starts, when it is told to end, and when it ends, a second later. */
  const slow = (journal: string) => {
    const script = `
      note() { echo "$1 with $(ip -4 -o addr show dev eth0 | grep -c ' 10[.]99[.]9[.]10[01]/')" >> ${journal}; }
      trap 'note told; sleep 1; note ended; exit 0' TERM
      note started
      : > "$QUORATE_READY_FILE"
      while :; do sleep 0.1; done`
    return resource({
      type: 'command',
      parameters: { run: ['/bin/sh', '-c', script], readyFile: true },
      dependsOn: ['own', 'debians'].map((name) => ({ resource: name, kind: 'offlineRestart' })) as never,
    })
  }

  test('go last where a group stops in order, and first in an emergency, before what needs them has ended', async () => {
    const bench = new BenchNode('auto', prefix)
    try {
      bench.startGuardian({ lease: 4_000 })
      await bench.hello()
      await bench.eventually('a lease', () => bench.runFolder.readDeadline(bench.boot) > 0)
      const journals = ['orderly', 'hurried'].map((name) => join(bench.dir, name)) as [string, string]
      const lines = (journal: string) => (existsSync(journal) ? readFileSync(journal, 'utf8').trim().split('\n') : [])
      bench.run('g', { own, debians, app: slow(journals[0]) })
      await bench.groupIs('g', 'ONLINE')
      bench.stop('g')
      await bench.groupIs('g', 'STOPPED')
      assert.deepEqual(lines(journals[0]), ['started with 2', 'told with 2', 'ended with 2'])

      bench.run('g', { own, debians, app: slow(journals[1]) }, { token: token(2) })
      await bench.groupIs('g', 'ONLINE', bench.reports.length)
      bench.signal('daemon', 'SIGSTOP')
      await bench.eventually('the end of the stop', () => bench.runFolder.readEmergency()?.phase === 'stopped')
      assert.deepEqual(lines(journals[1]), ['started with 2', 'told with 0', 'ended with 0'])
      assert.ok(bench.runFolder.seals.isSealed(group('g'), token(2)))
    } finally {
      await bench.close()
    }
  })

  test('H53: are announced again and again to everybody after a start, by whom they are now', async () => {
    const bench = new BenchNode('auto', prefix)
    const listener = spawn('ip', ['netns', 'exec', peer, '/usr/bin/python3', '-Euc', listenForAnnouncements], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let heard = ''
    listener.stdout.on('data', (data: Buffer) => {
      heard += data.toString()
    })
    const mac = /link\/ether (\S+)/.exec(run('ip', '-n', mine, 'link', 'show', 'eth0'))?.[1]
    const everybody = 'ff:ff:ff:ff:ff:ff'
    const announced = (address: string) => heard.split('\n').filter((line) => line === `${everybody} ${mac} ${address}`).length
    try {
      await bench.eventually('the listener', () => heard.includes('listens'))
      bench.startMonitor()
      await bench.hello()
      for (const [name, definition] of Object.entries({ own, debians })) {
        bench.run(name, { [name]: definition })
        await bench.groupIs(name, 'ONLINE')
      }
      for (const address of addresses) await bench.eventually(`five announcements of ${address}`, () => announced(address) >= 5)
      for (const name of ['own', 'debians']) {
        bench.stop(name)
        await bench.groupIs(name, 'STOPPED')
      }
    } finally {
      listener.kill('SIGKILL')
      await bench.close()
    }
  })
})

describe('on three nodes', () => {
  let loopback: LoopbackLab
  let agents: NotingAgents

  before(async () => {
    loopback = await raiseLoopback(64)
    agents = installNotingAgents(join(loopback.lab.home, 'journal'))
    await loopback.settled()
  })
  after(async () => {
    await loopback?.close()
    agents?.remove()
  })

  const done = async (method: string, path: string, body?: unknown): Promise<Answer> => {
    const answer = await loopback.api(method, path, body)
    assert.ok(answer.status >= 200 && answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer
  }
  const until = async (what: string, holds: () => Promise<boolean> | boolean) =>
    waitFor(what, patience, async () => holds()).catch((error: Error) => {
      throw new Error(`${error.message}: ${agents.lines().join('\n')}`)
    })
  const stateOf = async (name: string) => (await loopback.api('GET', `/v1/groups/${name}`)).body.state

  test('copies of Debian’s Stateful are told before and after each start, promotion, demotion and stop, and who is what', async () => {
    const resources = { copy: { type: agents.type('Stateful'), promotable: true, probe: { interval: '1s', timeout: '20s' } } }
    await done('PUT', '/v1/groups/ha', { mode: 'scalable', notify: true, nodes: [...names], resources })
    const primaryIs = async (node: string) => {
      const { state, primary } = (await loopback.api('GET', '/v1/groups/ha')).body as { state?: string; primary?: { node: string } | null }
      return state === 'ONLINE' && primary?.node === node
    }
    await until('its primary on n1', () => primaryIs('n1'))
    await done('POST', '/v1/groups/ha/move?wait=60s', { to: 'n2' })
    await until('its primary on n2', () => primaryIs('n2'))
    await done('POST', '/v1/nodes/n3/standby?wait=60s')
    await until('the last word', () => agents.lines().filter((line) => line.startsWith('post stop n3')).length === 2)

    const steps = agents.lines().flatMap((line) => (line.startsWith('begin ') ? [line.replace(/begin | copy/g, '')] : []))
    // Which node is ready first is not for them to choose.
    assert.deepEqual([...steps.slice(0, 3)].sort(), ['start n1', 'start n2', 'start n3'])
    assert.deepEqual(steps.slice(3), ['promote n1', 'demote n1', 'promote n2', 'stop n3'])
    assert.deepEqual(sortedWithinStep(agents.lines()), toldOf(steps))
    await done('DELETE', '/v1/groups/ha?wait=60s')
    await done('POST', '/v1/nodes/n3/activate')
  })

  test('what depends on a Dummy that is lost: weak and strong stay, restart follows once it is up again, the usual kind goes before it', async () => {
    await done('PUT', '/v1/groups/kinds', { nodes: ['n1'], resources: kinds(agents.type('Dummy')) })
    await until('kinds to be up', async () => (await stateOf('kinds')) === 'ONLINE')
    // What its first probe does not find is taken for a start that failed.
    await done('POST', '/v1/groups/kinds/resources/base/probe')
    const before = ['strong', 'weak'].map(madeOf)
    agents.clear()
    rmSync(stateFile('base'))
    await until('the last start', async () => agents.lines().includes('end start restart n1') && (await stateOf('kinds')) === 'ONLINE')
    const lines = agents.lines()
    const restarted = ['base', 'restart', 'usual'].flatMap((name) => ['start', 'stop'].map((action) => `end ${action} ${name} n1`))
    assert.deepEqual(lines.filter((line) => line.startsWith('end ')).sort(), restarted.sort())
    const inOrder = (first: string, second: string) =>
      assert.ok(lines.indexOf(`end ${first} n1`) < lines.indexOf(`begin ${second} n1`), `${first}, then ${second}: ${lines.join(', ')}`)
    inOrder('stop usual', 'stop base')
    inOrder('stop base', 'start base')
    inOrder('start base', 'start usual')
    inOrder('start base', 'stop restart')
    inOrder('stop restart', 'start restart')
    assert.deepEqual(['strong', 'weak'].map(madeOf), before, 'the others ran on')
    await done('DELETE', '/v1/groups/kinds?wait=60s')
  })

  test('what depends on a Dummy that cannot start: weak starts without it, the others once it was mended, and weak runs on', async () => {
    agents.clear()
    const missing = join(loopback.lab.home, 'missing')
    const base = { critical: false, restart: { max: 0 }, parameters: { state: join(missing, 'base') } }
    // Its agent would say that the folder is not there.
    await done('PUT', '/v1/groups/loose?validate=false', { nodes: ['n1'], resources: kinds(agents.type('Dummy'), base) })
    const statesOf = async () => {
      const { resources = {} } = (await loopback.api('GET', '/v1/groups/loose')).body as { resources?: Record<string, { state: string }> }
      return Object.fromEntries(Object.entries(resources).map(([name, { state }]) => [name, state]))
    }
    await until('weak to be up alone', async () => (await statesOf()).weak === 'ONLINE')
    const waits = { usual: 'STOPPED', restart: 'STOPPED', strong: 'STOPPED' }
    assert.deepEqual(await statesOf(), { base: 'FAILED', ...waits, weak: 'ONLINE' })
    const started = () => agents.lines().flatMap((line) => (line.startsWith('end start ') ? [line.split(' ')[2]] : []))
    assert.deepEqual(started(), ['base', 'weak'])
    const before = madeOf('weak')
    mkdirSync(missing)
    await done('POST', '/v1/groups/loose/clear')
    await until('loose to be up', async () => (await stateOf('loose')) === 'ONLINE')
    assert.deepEqual([...started()].sort(), ['base', 'base', 'restart', 'strong', 'usual', 'weak'])
    assert.deepEqual(madeOf('weak'), before)
    await done('DELETE', '/v1/groups/loose?wait=60s')
  })

  const stateFile = (name: string) => join(loopback.lab.home, 'run/n1/rsctmp', `Dummy-${name}.state`)
  /** Another one after each start. */
  const madeOf = (name: string) => {
    const { ino, ctimeMs } = statSync(stateFile(name))
    return [name, ino, ctimeMs]
  }
})

/** What copies are to be told of these steps, by a model: before each those that run are, and after it, in the order of their names. */
function toldOf(steps: readonly string[]): readonly string[] {
  let active: readonly string[] = []
  let primary = ''
  const told = (when: string, step: string) => active.map((node) => `${when} ${step} to ${node}: active ${active} primary ${primary}`)
  return steps.flatMap((step) => {
    const [operation, node = ''] = step.split(' ')
    const before = told('pre', step)
    if (operation === 'start') active = [...active, node].sort()
    if (operation === 'stop') active = active.filter((other) => other !== node)
    if (operation === 'promote') primary = node
    if (operation === 'demote') primary = ''
    return [...before, ...['begin', 'end'].map((part) => `${part} ${operation} copy ${node}`), ...told('post', step)]
  })
}

/** Who is told first of one step is left to chance. */
function sortedWithinStep(lines: readonly string[]): readonly string[] {
  const stepOf = (line: string) => (/^(begin|end) /.test(line) ? undefined : line.split(' to ')[0])
  const all: string[][] = []
  for (const line of lines) {
    const last = all.at(-1)
    if (last !== undefined && stepOf(line) !== undefined && stepOf(last[0] as string) === stepOf(line)) last.push(line)
    else all.push([line])
  }
  return all.flatMap((step) => step.sort())
}

/** A shell whose working directory is this one, among the mounts of that process; it ends with its input. */
async function shellIn(point: string, pid: number) {
  const shell = spawn('nsenter', [`--mount=/proc/${pid}/ns/mnt`, '/bin/sh', '-c', `cd ${point} && echo here && read _`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await new Promise((resolve) => shell.stdout.once('data', resolve))
  return shell
}

/** Prints who tells whom about which address, for each ARP message whose sender and target are the same. */
const listenForAnnouncements = `
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
s.bind(('eth0', 0))
print('listens')
mac = lambda octets: ':'.join('%02x' % octet for octet in octets)
while True:
    frame = s.recv(128)
    if frame[28:32] == frame[38:42]: print(mac(frame[0:6]), mac(frame[22:28]), socket.inet_ntoa(frame[28:32]))
`

/** One Dummy, and one more for each way to depend on it. */
function kinds(type: string, base: object = {}): object {
  const on = (...dependsOn: unknown[]) => ({ type, probe: { interval: '300ms', timeout: '20s' }, dependsOn })
  return {
    base: { ...on(), ...base },
    usual: on('base'),
    restart: on({ resource: 'base', kind: 'restart' }),
    strong: on({ resource: 'base', kind: 'strong' }),
    weak: on({ resource: 'base', kind: 'weak' }),
  }
}

interface NotingAgents {
  type(agent: string): string
  /** In the order of time, on all nodes. */
  lines(): readonly string[]
  clear(): void
  remove(): void
}

/** Debian's own agents, of which each step is noted, with an action `notify` that they do not have. */
function installNotingAgents(journal: string): NotingAgents {
  const provider = `quorate-test-noting-${process.pid}`
  const folder = join('/usr/lib/ocf/resource.d', provider)
  mkdirSync(folder, { recursive: true })
  for (const agent of ['Stateful', 'Dummy']) writeFileSync(join(folder, agent), notingAgent(agent, journal), { mode: 0o755 })
  const clear = () => writeFileSync(journal, '', { mode: 0o666 })
  clear()
  return {
    type: (agent) => `ocf:${provider}:${agent}`,
    lines: () => readFileSync(journal, 'utf8').split('\n').slice(0, -1),
    clear,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

function notingAgent(agent: string, journal: string): string {
  return `#!/bin/sh
debians=/usr/lib/ocf/resource.d/heartbeat/${agent}
case $1 in
meta-data)
  "$debians" meta-data | sed 's|<actions>|<actions><action name="notify" timeout="10s"/>|'
  exit ;;
notify)
  list() { eval "set -- \\$OCF_RESKEY_CRM_meta_notify_$1_uname"; IFS=,; echo "$*"; }
  step=$OCF_RESKEY_CRM_meta_notify_operation
  echo "$OCF_RESKEY_CRM_meta_notify_type $step $(list $step) to $OCF_RESKEY_CRM_meta_on_node: active $(list active) primary $(list master)" >> ${journal}
  exit 0 ;;
start | stop | promote | demote)
  echo "begin $1 $OCF_RESOURCE_INSTANCE $OCF_RESKEY_CRM_meta_on_node" >> ${journal}
  "$debians" "$@"
  status=$?
  echo "end $1 $OCF_RESOURCE_INSTANCE $OCF_RESKEY_CRM_meta_on_node" >> ${journal}
  exit $status ;;
*) exec "$debians" "$@" ;;
esac
`
}
