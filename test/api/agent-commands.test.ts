/** The commands that agents call, asked of real nodes: what lasts is kept by the cluster, and known on every node of it. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { agentCommands } from '../../src/io/agents/index.js'
import { readNodeConfig } from '../../src/io/node-file/index.js'
import { openRunFolder, readBootId } from '../../src/io/run-folder/index.js'
import { type RunningMonitor, runMonitor } from '../../src/monitor/index.js'
import { BenchCluster } from './bench-api.js'

const names = ['n1', 'n2', 'n3']
const skip = existsSync('/usr/bin/perl') ? false : 'there is no Perl here'
let bench: BenchCluster
const monitors: RunningMonitor[] = []

before(async () => {
  bench = await BenchCluster.of(names)
  await Promise.all(names.map((name) => bench.start(name)))
  await bench.until('the cluster to form', async () => (await bench.ask('GET', '/v1/status')).body.quorate === true)
  for (const name of names) {
    const { node, runDir, logDir, bootIdFile } = readNodeConfig(bench.configOf(name))
    monitors.push(await runMonitor({ node, boot: readBootId({ bootIdFile }), runDir, logDir, containment: 'sweep' }, () => undefined))
  }
  if (skip === false)
    for (const name of names)
      await bench.until(`the daemon of ${name} to answer`, async () => (await on(name, 'crm_node', '-q')).code === 0)
})
after(async () => {
  for (const monitor of monitors) await monitor.close()
  await bench.close()
})

/** As the agent of a copy of `db` on that node, unless told otherwise. */
const on = (node: string, command: string, ...args: string[]) => asAgentOf(`db:${node}`, node, command, ...args)

async function asAgentOf(group: string, node: string, command: string, ...args: string[]) {
  const { runDir } = readNodeConfig(bench.configOf(node))
  const env = {
    PATH: '/usr/bin:/bin',
    OCF_RESOURCE_INSTANCE: 'db',
    QUORATE_GROUP: group,
    QUORATE_COMMANDS: openRunFolder(runDir).socket('commands'),
  }
  try {
    const { stdout } = await promisify(execFile)(join(agentCommands, command), args, { env })
    return { code: 0, out: stdout, error: '' }
  } catch (error) {
    const failed = error as { code: number; stdout: string; stderr: string }
    return { code: failed.code, out: failed.stdout, error: failed.stderr }
  }
}

test('who is here', { skip }, async () => {
  assert.equal((await on('n2', 'crm_node', '-n')).out, 'n2\n')
  assert.equal((await on('n2', 'crm_node', '-i')).out, '2\n')
  assert.equal((await on('n3', 'crm_node', '-l')).out, '1 n1 member\n2 n2 member\n3 n3 member\n')
  assert.equal((await on('n1', 'crm_node', '-p')).out, 'n1 n2 n3\n')
  assert.equal((await on('n1', 'crm_node', '-q')).out, '1\n')
  assert.match((await on('n1', 'crm_mon', '-1')).out, /Online: n1 n2 n3/)
})

test('what lasts is known on every node, whoever set it', { skip }, async () => {
  const cluster = ['--type', 'crm_config', '--name', 'r1_REPL_INFO', '-s', 'redis_replication']
  assert.equal((await on('n1', 'crm_attribute', ...cluster, '--query', '-q')).code, 105)
  assert.equal((await on('n1', 'crm_attribute', ...cluster, '-v', 'n1', '-q')).code, 0)
  assert.equal((await on('n3', 'crm_attribute', ...cluster, '--query', '-q')).out, 'n1\n')
  assert.equal((await on('n2', 'crm_attribute', '-N', 'n1', '-l', 'forever', '-n', 'tunnel', '-v', '7000')).code, 0)
  assert.equal((await on('n1', 'crm_attribute', '-l', 'forever', '-n', 'tunnel', '-G', '-q')).out, '7000\n')
  assert.equal((await on('n2', 'crm_attribute', '-l', 'forever', '-n', 'tunnel', '-G', '-q')).code, 105, 'that of another node')
  assert.equal((await bench.ask('GET', '/v1/store/quorate/attributes/node/n1/tunnel')).body.value, '7000')
  assert.equal((await on('n3', 'crm_attribute', '-N', 'n1', '-l', 'forever', '-n', 'tunnel', '-D')).code, 0)
  assert.equal((await on('n3', 'crm_attribute', '-N', 'n1', '-l', 'forever', '-n', 'tunnel', '-D')).code, 0, 'once more')
  assert.equal((await on('n1', 'crm_attribute', '-l', 'forever', '-n', 'tunnel', '-G', '-q')).code, 105)
  const nobody = await on('n1', 'crm_attribute', '-N', 'n9', '-l', 'forever', '-n', 'a', '-v', '1')
  assert.equal(nobody.code, 69)
  assert.match(nobody.error, /no node "n9"/)
})

test('what lasts until the next boot is of one node, and known on all', { skip }, async () => {
  const isThere = async (node: string, value: string | undefined, ...args: string[]) =>
    bench.until(`${node} to know ${args.join(' ')} as ${value}`, async () => {
      const { code, out } = await on(node, 'crm_attribute', '-l', 'reboot', ...args, '-G', '-q')
      return value === undefined ? code === 105 : code === 0 && out === `${value}\n`
    })
  assert.equal((await on('n1', 'crm_attribute', '-p', '-v', '100')).code, 0)
  assert.equal((await on('n1', 'crm_master', '-l', 'reboot', '-G', '-Q')).out, '100\n')
  assert.equal((await on('n2', 'crm_attribute', '-p', '-G', '-q')).code, 105)
  const score = ['-N', 'n1', '-n', 'master-db']
  await isThere('n2', '100', ...score)
  assert.equal((await asAgentOf('other:n2', 'n2', 'crm_attribute', '-l', 'reboot', ...score, '-G')).code, 105, 'that of another group')
  // An agent says of a copy elsewhere that it must not be the primary.
  assert.equal((await on('n2', 'crm_attribute', '-l', 'reboot', ...score, '-v', '-INFINITY')).code, 0)
  await isThere('n3', '-INFINITY', ...score)
  await isThere('n1', '-INFINITY', '-n', 'master-db')
  assert.equal((await on('n1', 'crm_attribute', '-p', '-v', '100')).code, 0)
  await isThere('n3', '100', ...score)
  const status = ['-N', 'n2', '-n', 'db-status']
  assert.equal((await on('n1', 'crm_attribute', '-l', 'reboot', ...status, '-v', 'HS:sync')).code, 0)
  await isThere('n2', 'HS:sync', '-n', 'db-status')
  assert.equal((await on('n3', 'attrd_updater', '-n', 'db-status', '-N', 'n2', '-Q')).out, 'name="db-status" host="n2" value="HS:sync"\n')
  assert.equal((await on('n2', 'crm_attribute', '-l', 'reboot', '-n', 'db-status', '-D')).code, 0)
  await isThere('n1', undefined, ...status)
  const nobody = await on('n1', 'crm_attribute', '-N', 'n9', '-l', 'reboot', '-n', 'a', '-v', '1')
  assert.match(nobody.error, /no node "n9"/)
  assert.equal((await on('n1', 'attrd_updater', '-n', 'x', '-v', 'a b')).code, 0)
  assert.equal((await on('n1', 'attrd_updater', '-n', 'x', '-Q')).out, 'name="x" host="n1" value="a b"\n')
})

test('what is no call ends its connection, and nothing else', async () => {
  const { runDir } = readNodeConfig(bench.configOf('n1'))
  const path = openRunFolder(runDir).socket('commands')
  for (const garbage of ['garbage\n', '999999999\n', '-1\n', '50\nabc', 'x'.repeat(100_000), '7\n\xff\xfe\0\0\0\0\0'])
    await new Promise<void>((resolve) => {
      const socket = connect(path)
      socket.on('error', () => undefined)
      socket.once('close', () => resolve())
      socket.resume()
      socket.end(garbage, 'latin1')
    })
  if (skip === false) assert.equal((await on('n1', 'crm_node', '-n')).out, 'n1\n')
})

test('without a quorum, what lasts is not to be had, and the rest is', { skip }, async () => {
  await bench.stop('n2')
  await bench.stop('n3')
  await bench.until('the others to be missed', async () => (await on('n1', 'crm_node', '-q')).out === '0\n')
  const written = await on('n1', 'crm_attribute', '-l', 'forever', '-n', 'a', '-v', '1')
  assert.equal(written.code, 69, written.error)
  assert.equal((await on('n1', 'crm_attribute', '-p', '-G', '-q')).out, '100\n')
  assert.equal((await on('n1', 'crm_node', '-n')).out, 'n1\n')
  assert.equal((await on('n1', 'crm_attribute', '-l', 'reboot', '-n', 'db-status', '-v', 'STOP')).code, 0, 'an agent can stop')
  assert.equal((await on('n1', 'crm_attribute', '-l', 'reboot', '-n', 'db-status', '-G', '-q')).out, 'STOP\n')
})
