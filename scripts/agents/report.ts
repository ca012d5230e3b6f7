/**
 * `npm run agents:report [-- <agent>…]`, as root: `quorate agent test` on Debian's agents whose software is on this machine, each in folders of its own,
 * those of networks and mounts in namespaces of their own. Prints a table in Markdown, for docs/agents.md.
 *
 * No service of the machine is touched: what is started has its own configuration, data and port. What is not installed is listed as not run.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CheckResult } from '../../src/agent-kit/index.js'
import { freePort, mainScript } from '../lib/lab.js'

/** One agent may take so long; what is left of it then is ended. Milliseconds. */
const agentMax = 180_000
const detailMax = 160

interface Trial {
  readonly agent: string
  readonly with: string
  /** Programs without which it is not run. */
  readonly needs?: readonly string[]
  readonly prepare?: (folder: string) => Promise<Prepared> | Prepared
}

interface Prepared {
  readonly parameters?: Readonly<Record<string, string>>
  /** Put before the command, such as another namespace. */
  readonly prefix?: readonly string[]
  readonly options?: readonly string[]
  readonly clean?: () => void
}

interface Row {
  readonly agent: string
  readonly with: string
  readonly checks: readonly CheckResult[]
  /** Why there are no checks. */
  readonly problem?: string
  /** Of its parameters: replaced by dots in what is shown. */
  readonly folder?: string
}

const postgres = newest('/usr/lib/postgresql')
const ownMounts = ['unshare', '--mount', '--']
/** The agent runs login shells, some of which are killed: what root's own profile does is not to be broken off. */
const withoutProfile =
  'for file in .profile .bash_profile .bash_login; do [ ! -e ~root/$file ] || mount --bind /dev/null ~root/$file; done; exec "$@"'
/** In a network namespace of its own, with nobody on it. */
const [device, address] = ['eth0', '10.98.0.1']

const trials: readonly Trial[] = [
  { agent: 'Dummy', with: 'nothing' },
  { agent: 'Stateful', with: 'nothing' },
  {
    agent: 'Delay',
    with: 'delays of 1 s',
    prepare: () => ({ parameters: { startdelay: '1', stopdelay: '1', mondelay: '1' } }),
  },
  {
    agent: 'anything',
    with: '`sleep`',
    prepare: (folder) => ({
      parameters: { binfile: '/bin/sleep', cmdline_options: '100000', pidfile: join(folder, 'pid') },
      prefix: [...ownMounts, '/bin/sh', '-c', withoutProfile, 'sh'],
    }),
  },
  {
    agent: 'symlink',
    with: 'a link to a folder',
    prepare: (folder) => ({ parameters: { link: join(folder, 'link'), target: folder } }),
  },
  { agent: 'nginx', with: 'its own configuration and port, deep probe', needs: ['nginx'], prepare: nginx },
  { agent: 'apache', with: '`server-status`', needs: ['apache2', 'curl'], prepare: apache },
  { agent: 'redis', with: 'one server', needs: ['redis-server', 'redis-cli'], prepare: redis },
  { agent: 'pgsql', with: 'no replication', needs: [join(postgres, 'initdb'), join(postgres, 'pg_ctl')], prepare: pgsql },
  { agent: 'mysql', with: 'MariaDB, no replication', needs: ['mariadb-install-db', 'mysqld_safe'], prepare: mysql },
  { agent: 'Filesystem', with: 'ext4 on a loop device', needs: ['losetup', 'mkfs.ext4'], prepare: fileSystem },
  {
    agent: 'IPaddr2',
    with: 'an address in a network namespace',
    prepare: () => network({ ip: '10.98.0.100', cidr_netmask: '24', nic: device }),
  },
  {
    agent: 'IPsrcaddr',
    with: 'a default route made by hand, in a network namespace',
    prepare: () => network({ ipaddress: address, cidr_netmask: '24' }, ['route', 'add', 'default', 'via', '10.98.0.254']),
  },
  {
    agent: 'Route',
    with: 'a route in a network namespace',
    prepare: () => network({ destination: '10.97.0.0/24', device, gateway: '10.98.0.254' }),
  },
  {
    agent: 'portblock',
    with: '`action=block`, in a network namespace',
    needs: ['iptables'],
    prepare: () => network({ protocol: 'tcp', portno: '8081', action: 'block', ip: address }),
  },
  { agent: 'exportfs', with: 'one folder for 127.0.0.1, with a list of exports of its own', needs: ['exportfs'], prepare: exportFs },
]

/** What this script has no trial for, of those that docs/agents.md speaks of. */
const left: Readonly<Record<string, string>> = {
  mariadb: 'refuses to run without replicas',
  nfsserver: 'wants an NFS server in the kernel, and the only one of the machine',
  'LVM-activate': 'wants a device mapper in the kernel',
  VirtualDomain: 'wants libvirt and a machine for it',
}

let running: ChildProcess | undefined
let isEnding = false

if (process.getuid?.() === 0) await main()
else {
  process.stderr.write('agents:report: run it as root: agents mount, add addresses and change users\n')
  process.exitCode = 1
}

async function main(): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      isEnding = true
      running?.kill('SIGTERM')
    })
  const rows: Row[] = []
  const wanted = process.argv.slice(2)
  for (const trial of trials.filter(({ agent }) => wanted.length === 0 || wanted.includes(agent))) {
    if (isEnding) break
    process.stderr.write(`${trial.agent} …\n`)
    rows.push(await tried(trial))
  }
  if (isEnding) process.exitCode = 1
  else process.stdout.write(`${table(rows)}\n`)
}

async function tried(trial: Trial): Promise<Row> {
  const { agent, needs = [] } = trial
  const missing = [`/usr/lib/ocf/resource.d/heartbeat/${agent}`, ...needs].filter((program) => !isInstalled(program))
  if (missing.length > 0) return { agent, with: trial.with, checks: [], problem: `not run: ${missing.join(', ')} is not installed` }
  const folder = mkdtempSync(join(tmpdir(), 'quorate-report-'))
  chmodSync(folder, 0o755) // Users of databases have to come through.
  let prepared: Prepared = {}
  try {
    prepared = (await trial.prepare?.(folder)) ?? {}
    return { agent, with: trial.with, folder, ...(await checked(agent, prepared)) }
  } catch (error) {
    return {
      agent,
      with: trial.with,
      folder,
      checks: [],
      problem: `not run: ${(error as Error).message.split('\n').slice(0, 2).join(' ')}`,
    }
  } finally {
    prepared.clean?.()
    rmSync(folder, { recursive: true, force: true })
  }
}

function checked(agent: string, { parameters = {}, prefix = [], options = [] }: Prepared): Promise<Pick<Row, 'checks' | 'problem'>> {
  const given = Object.entries(parameters).map(([name, value]) => `${name}=${value}`)
  const argv = [process.execPath, mainScript, 'agent', 'test', '-o', 'json', ...options, `ocf:heartbeat:${agent}`, ...given]
  const [program = '', ...rest] = [...prefix, ...argv]
  return new Promise((resolve) => {
    const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'] })
    running = child
    const out: Buffer[] = []
    const said: Buffer[] = []
    child.stdout.on('data', (data: Buffer) => out.push(data))
    child.stderr.on('data', (data: Buffer) => said.push(data))
    const timer = setTimeout(() => child.kill('SIGTERM'), agentMax)
    child.once('error', (error) => resolve({ checks: [], problem: error.message }))
    child.once('close', (_code, signal) => {
      clearTimeout(timer)
      if (signal !== null) return resolve({ checks: [], problem: `it did not end within ${agentMax / 1_000} s` })
      try {
        resolve({ checks: (JSON.parse(Buffer.concat(out).toString()) as { checks: readonly CheckResult[] }).checks })
      } catch {
        resolve({ checks: [], problem: Buffer.concat(said).toString().trim().split('\n')[0] ?? 'it said nothing' })
      }
    })
  })
}

function table(rows: readonly Row[]): string {
  const lines = [
    ['agent', 'run with', 'passed', 'unwise', 'failed', 'skipped', 'found'],
    ...rows.map(({ agent, with: given, checks, problem, folder }) => {
      const count = (outcome: CheckResult['outcome']) =>
        problem === undefined ? String(checks.filter((one) => one.outcome === outcome).length) : ''
      const found = checks.filter(({ outcome }) => outcome === 'failed' || outcome === 'unwise')
      const words = problem ?? found.map(({ check, outcome, detail }) => `${outcome}: ${check}: ${detail}`).join('; ')
      return [agent, given, ...(['ok', 'unwise', 'failed', 'skipped'] as const).map(count), shown(words, folder)]
    }),
    ...Object.entries(left).map(([agent, why]) => [agent, '', '', '', '', '', `not run: ${why}`]),
  ]
  const widths = (lines[0] as string[]).map((_, at) => Math.max(...lines.map((line) => [...(line[at] as string)].length)))
  const row = (cells: readonly string[]) =>
    `| ${cells.map((cell, at) => `${cell}${' '.repeat((widths[at] as number) - [...cell].length)}`).join(' | ')} |`
  const [head, ...body] = lines as [string[], ...string[][]]
  return [row(head), row(widths.map((width) => '-'.repeat(width))), ...body.map(row), '', `resource-agents ${version()}`].join('\n')
}

function shown(words: string, folder: string | undefined): string {
  const plain = (folder === undefined ? words : words.replaceAll(folder, '…'))
    .replaceAll(/\s*\n\s*/g, ' / ')
    .replaceAll('|', '\\|')
    .trim()
  return plain.length <= detailMax ? plain : `${plain.slice(0, detailMax)}…`
}

function version(): string {
  try {
    return run('dpkg-query', '--show', 'resource-agents').split('\t')[1] ?? ''
  } catch {
    return 'of an unknown version'
  }
}

async function nginx(folder: string): Promise<Prepared> {
  const port = await freePort(['127.0.0.1'], 8_180)
  const file = join(folder, 'nginx.conf')
  const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')
  writeFileSync(
    file,
    `pid ${folder}/nginx.pid; error_log ${folder}/error.log; events {}
     http { access_log off; ${folders} server { listen 127.0.0.1:${port}; location / { return 200 "well"; } } }`,
  )
  const url = `http://127.0.0.1:${port}/`
  return { parameters: { configfile: file, port: String(port), status10url: url, status10regex: 'well' }, options: ['--deep'] }
}

async function apache(folder: string): Promise<Prepared> {
  const port = await freePort(['127.0.0.1'], 8_190)
  const file = join(folder, 'httpd.conf')
  const modules = ['mpm_event', 'authz_core', 'status'].map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`)
  const lines = [
    `ServerRoot ${folder}`,
    'ServerName localhost',
    `PidFile ${folder}/apache.pid`,
    `ErrorLog ${folder}/error.log`,
    `DefaultRuntimeDir ${folder}`,
    `DocumentRoot ${folder}`,
    `Listen 127.0.0.1:${port}`,
    'User www-data',
    'Group www-data',
    ...modules,
    '<Location /server-status>',
    'SetHandler server-status',
    '</Location>',
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  const parameters = {
    configfile: file,
    httpd: '/usr/sbin/apache2',
    port: String(port),
    statusurl: `http://127.0.0.1:${port}/server-status`,
  }
  return { parameters }
}

async function redis(folder: string): Promise<Prepared> {
  const port = String(await freePort(['127.0.0.1'], 6_480))
  const file = join(folder, 'redis.conf')
  const [pid, socket] = ['redis.pid', 'redis.sock']
  writeFileSync(
    file,
    `port ${port}\nbind 127.0.0.1\ndaemonize yes\ndir ${folder}\npidfile ${folder}/${pid}\nunixsocket ${folder}/${socket}\n`,
  )
  return { parameters: { config: file, user: 'root', rundir: folder, pidfile_name: pid, socket_name: socket, port } }
}

async function pgsql(folder: string): Promise<Prepared> {
  const port = String(await freePort(['127.0.0.1'], 5_480))
  run('chown', 'postgres:', folder)
  const data = join(folder, 'data')
  run('setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups', join(postgres, 'initdb'), '-D', data, '--no-sync', '--auth=trust')
  writeFileSync(join(data, 'postgresql.conf'), `listen_addresses = '127.0.0.1'\nunix_socket_directories = '${folder}'\nfsync = off\n`)
  const [pgctl, psql] = ['pg_ctl', 'psql'].map((name) => join(postgres, name)) as [string, string]
  const logfile = join(folder, 'log')
  return { parameters: { pgctl, psql, pgdata: data, pgport: port, socketdir: folder, logfile }, options: ['--timeout', '30s'] }
}

async function mysql(folder: string): Promise<Prepared> {
  const port = await freePort(['127.0.0.1'], 3_480)
  const data = join(folder, 'data')
  run('chown', 'mysql:', folder)
  run('mariadb-install-db', '--no-defaults', '--user=mysql', `--datadir=${data}`, '--skip-test-db')
  const config = join(folder, 'my.cnf')
  writeFileSync(config, `[mysqld]\nbind_address = 127.0.0.1\nport = ${port}\ninnodb_buffer_pool_size = 32M\nperformance_schema = off\n`)
  const [socket, pid, log] = ['socket', 'pid', 'log'].map((name) => join(folder, name)) as [string, string, string]
  const parameters = { binary: '/usr/bin/mysqld_safe', config, datadir: data, socket, pid, log }
  return { parameters, options: ['--timeout', '60s'] }
}

function fileSystem(folder: string): Prepared {
  const image = join(folder, 'image')
  writeFileSync(image, '')
  truncateSync(image, 8 * 1024 * 1024)
  run('mkfs.ext4', '-q', image)
  const directory = join(folder, 'mounted')
  mkdirSync(directory)
  const device = run('losetup', '--find', '--show', image)
  return { parameters: { device, directory, fstype: 'ext4' }, prefix: ownMounts, clean: () => run('losetup', '--detach', device) }
}

function network(parameters: Readonly<Record<string, string>>, more: readonly string[] = []): Prepared {
  const namespace = `quorate-report-${process.pid}`
  run('ip', 'netns', 'add', namespace)
  const remove = () => run('ip', 'netns', 'del', namespace)
  for (const argv of [
    ['link', 'add', device, 'type', 'veth', 'peer', 'name', 'other'],
    ['addr', 'add', `${address}/24`, 'dev', device],
    ...['lo', device, 'other'].map((name) => ['link', 'set', name, 'up']),
    more,
  ])
    try {
      if (argv.length > 0) run('ip', '-n', namespace, ...argv)
    } catch (error) {
      remove()
      throw error
    }
  return { parameters, prefix: ['ip', 'netns', 'exec', namespace], clean: remove }
}

function exportFs(folder: string): Prepared {
  const directory = join(folder, 'shared')
  mkdirSync(directory)
  const parameters = { directory, fsid: '7', clientspec: '127.0.0.1', options: 'ro' }
  return {
    parameters,
    prefix: [...ownMounts, '/bin/sh', '-c', 'mount -t tmpfs none /var/lib/nfs && touch /var/lib/nfs/etab && exec "$@"', 'sh'],
  }
}

/** Its output, without the last line end. */
function run(program: string, ...argv: readonly string[]): string {
  return execFileSync(program, argv, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], cwd: '/' }).trimEnd()
}

function isInstalled(program: string): boolean {
  const folders = program.startsWith('/') ? [''] : ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** The folder of programs of the newest of several versions side by side. */
function newest(folder: string): string {
  const versions = existsSync(folder) ? readdirSync(folder).map(Number).filter(Number.isInteger) : []
  return join(folder, String(Math.max(0, ...versions)), 'bin')
}
