/**
 * The chaos harness against a cluster whose hosts are reached by ssh: three nodes with networks of their own, an sshd on each, with keys
 * of its own in a temporary folder, and the harness on a fourth machine.
 *
 * needs: openssh-server openssh-client iproute2 nftables
 */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { OwnCluster } from '../../jepsen-like/cluster/index.js'
import { waitFor } from '../../scripts/lib/http.js'
import { assertJudged, assertTidy, type HostsRuns, hostsRuns, waitUntilWell } from '../scripts/hosts-run.js'

const seed = String(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 1_000_000))
const keys = mkdtempSync(join(tmpdir(), 'quorate-ssh-'))
const daemons: ChildProcess[] = []
let cluster: OwnCluster
let runs: HostsRuns

before(async () => {
  cluster = await OwnCluster.raise({ arena: 'namespaces', nodes: 3, profile: 'normal', say: () => undefined })
  for (const key of ['host', 'user']) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(keys, key)])
  for (const name of cluster.names) await startSshd(name)
  writeFileSync(join(keys, 'config'), clientConfig())
  for (const name of cluster.names) ssh(name, 'true')
  await waitUntilWell(cluster)
  runs = hostsRuns(
    {
      on: `ssh -F ${join(keys, 'config')} root@%s`,
      node: process.execPath,
      nodes: Object.fromEntries(
        cluster.names.map((name, at) => {
          const { address, socket } = cluster.placeOf(name)
          // Two are asked by their sockets, through ssh.
          const way = at === 0 ? { api: `http://${address}:7480` } : { socket }
          return [name, { ...way, host: address, link: address, config: cluster.configOf(name), data: join(cluster.home, name, 'data') }]
        }),
      ),
      group: 'owner',
      service: { url: `http://${cluster.serviceAddress}:${cluster.servicePort}/`, who: { json: 'node' }, journal: cluster.journal },
    },
    cluster.machine('client'),
  )
})
after(async () => {
  runs?.close()
  for (const name of cluster?.names ?? []) if (existsSync(join(keys, cluster.placeOf(name).address))) ssh(name, '-O', 'exit')
  for (const daemon of daemons) daemon.kill()
  await cluster?.close()
  cluster?.remove()
  rmSync(keys, { recursive: true, force: true })
})

/** On the node's own network, where its port is free. */
async function startSshd(name: string): Promise<void> {
  // Where it gives up its rights; of its package, and only made when its service starts.
  mkdirSync('/run/sshd', { recursive: true, mode: 0o755 })
  const { address } = cluster.placeOf(name)
  // Without PAM it lets nobody in whose password is locked.
  const isLocked = /^root:!/m.test(readFileSync('/etc/shadow', 'utf8'))
  const path = join(keys, `sshd-${name}`)
  writeFileSync(
    path,
    [
      `ListenAddress ${address}`,
      `HostKey ${join(keys, 'host')}`,
      `AuthorizedKeysFile ${join(keys, 'user.pub')}`,
      `PidFile none`,
      `StrictModes no`,
      `UsePAM ${isLocked ? 'yes' : 'no'}`,
      `PermitRootLogin prohibit-password`,
      `PasswordAuthentication no`,
      '',
    ].join('\n'),
  )
  const [program, ...args] = [...cluster.machine(name), '/usr/sbin/sshd', '-D', '-e', '-f', path]
  const daemon = spawn(program as string, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  daemons.push(daemon)
  let said = ''
  daemon.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  await waitFor(`the sshd of ${name}`, 30_000, async () => {
    assert.equal(daemon.exitCode, null, said)
    return said.includes('Server listening')
  })
}

function clientConfig(): string {
  const known = join(keys, 'known')
  const host = readFileSync(join(keys, 'host.pub'), 'utf8')
  writeFileSync(known, cluster.names.map((name) => `${cluster.placeOf(name).address} ${host}`).join(''))
  return [
    'Host *',
    `IdentityFile ${join(keys, 'user')}`,
    'IdentitiesOnly yes',
    `UserKnownHostsFile ${known}`,
    'StrictHostKeyChecking yes',
    'BatchMode yes',
    'KexAlgorithms curve25519-sha256',
    // One connection to each host, for all commands.
    'ControlMaster auto',
    `ControlPath ${join(keys, '%h')}`,
    'ControlPersist yes',
    '',
  ].join('\n')
}

/** From the client's machine. Options come before the host. */
function ssh(name: string, ...words: readonly string[]): void {
  const host = `root@${cluster.placeOf(name).address}`
  const [program, ...args] = [...cluster.machine('client'), 'ssh', '-F', join(keys, 'config')]
  execFileSync(program as string, [...args, ...(words[0] === '-O' ? [...words, host] : [host, ...words])], {
    stdio: 'ignore',
    timeout: 60_000,
  })
}

/** What the node's kernel drops. */
function filters(name: string): string {
  const [program, ...args] = [...cluster.machine(name), 'nft', 'list', 'tables']
  return execFileSync(program as string, args, { encoding: 'utf8' })
}

function assertHealed(): void {
  for (const name of cluster.names) {
    assert.doesNotMatch(filters(name), /quorate_chaos/, name)
    for (const script of ['cut-link', 'lose-packets', 'fill-disk'])
      assert.ok(!existsSync(`/run/quorate-chaos-${script}-${name}`), `${script} of ${name} is in force`)
  }
}

test('kills, cuts and losses by ssh: nothing contradicts, all is healed, nothing is left', async (context) => {
  context.diagnostic(`CHAOS_SEED=${seed}`)
  const nemesis = 'kill-daemon,kill-guardian,cut-node,loss,disk-brim'
  const args = ['--confirm', 'chaos', '--seed', seed, '--seconds', '40', '--rest', '1-2', '--nemesis', nemesis]
  const done = await runs.run([...args, '--workload', 'register,set,idempotent,owner,address,events'])
  context.diagnostic(done.out)
  assertJudged(done, ['linearizable', 'once', 'events', 'gaps', 'convergence', 'faultless', 'leaks'])
  assert.ok(done.figures.faults >= 2, done.out)
  assertHealed()
  await assertTidy(cluster)
})

test('SIGINT in the midst of a cut: it is healed at once, and all is well', async () => {
  let isTold = false
  let wasCut = false
  const args = [
    '--confirm',
    'chaos',
    '--seed',
    seed,
    '--seconds',
    '120',
    '--rest',
    '20-30',
    '--nemesis',
    'cut-node',
    '--workload',
    'register',
  ]
  const done = await runs.run(args, (out, end) => {
    if (isTold || !/ s {2}cut-node /.test(out)) return
    isTold = true
    wasCut = cluster.names.every((name) => filters(name).includes('quorate_chaos_cut'))
    end('SIGINT')
  })
  assert.ok(isTold && wasCut, done.out)
  assert.match(done.out, /nothing more is broken: told to end/)
  assert.equal(done.figures.faults, 1, done.out)
  assertJudged(done, ['convergence', 'leaks'])
  assertHealed()
  await assertTidy(cluster)
})
