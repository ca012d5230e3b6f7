/**
 * A small network of its own: hosts as network namespaces on a bridge that lies in a namespace too. Needs root.
 *
 * Nothing is made outside these namespaces, so nothing of the machine's own network is touched, and deleting them removes
 * all. Their names carry a tag: what an earlier run of the same tag left behind is removed before a new one begins.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import type { Direction } from './cable.js'

export interface Host {
  readonly name: string
  /** IPv4; all hosts are in one /24. */
  readonly address: string
  /** One of another /24 on the same wire. */
  readonly second?: string
}

export interface Network {
  /** Put before a command to run it in the host's network; everything else stays as it is (`ip netns exec` would hide cgroups). */
  prefix(host: string): readonly string[]
  /**
   * The same, in a pid, mount and IPC namespace of its own, with `files` mounted over `at`, and what is `hosts` among them over
   * /etc/hosts. All ends with its first process.
   */
  machine(host: string, files: string, at: string): readonly string[]
  /** Pulls the host's cable, or drops what comes in or what goes out. */
  cut(host: string, direction?: Direction): Promise<void>
  heal(host: string): Promise<void>
  /** Leaves the host the addresses that it was made with, as a restart of its machine does. */
  reset(host: string): Promise<void>
  /** A file below /proc/net of the host, without starting a process. */
  proc(host: string, file: string): string
  close(): Promise<void>
}

export const device = 'eth0'

/** `tag`: at most eight letters and digits. */
export async function makeNetwork(tag: string, hosts: readonly Host[]): Promise<Network> {
  await removeNetwork(tag)
  const bridge = namespaceOf(tag, 'switch')
  const holders = new Map<string, ChildProcess>()
  const prefix = (host: string): readonly string[] => hostPrefix(tag, host)
  const addressesOf = (host: string): readonly string[] => {
    const found = hosts.find(({ name }) => name === host)
    return [found?.address, found?.second].filter((address) => address !== undefined)
  }
  try {
    ip('netns', 'add', bridge)
    ip('-n', bridge, 'link', 'add', 'br0', 'type', 'bridge')
    ip('-n', bridge, 'link', 'set', 'br0', 'up')
    for (const [at, { name, address, second }] of hosts.entries()) {
      const host = namespaceOf(tag, name)
      const mac = `02:00:00:00:00:${(at + 1).toString(16).padStart(2, '0')}`
      ip('netns', 'add', host)
      ip('-n', host, 'link', 'set', 'lo', 'up')
      ip('link', 'add', device, 'netns', host, 'address', mac, 'type', 'veth', 'peer', 'name', portOf(name), 'netns', bridge)
      ip('-n', bridge, 'link', 'set', portOf(name), 'master', 'br0', 'up')
      for (const one of [address, second]) if (one !== undefined) ip('-n', host, 'addr', 'add', `${one}/24`, 'brd', '+', 'dev', device)
      ip('-n', host, 'link', 'set', device, 'up')
      const [program, ...rest] = [...prefix(name), 'sleep', 'infinity']
      holders.set(name, spawn(program as string, rest, { stdio: 'ignore' }))
    }
  } catch (error) {
    for (const holder of holders.values()) holder.kill('SIGKILL')
    await removeNetwork(tag)
    throw error
  }
  return {
    prefix,
    machine: (host, files, at) => [
      ...prefix(host),
      ...['unshare', '--mount', '--pid', '--ipc', '--fork', '--kill-child', '--mount-proc'],
      // The first process of a machine reaps what others leave, and stays when the cluster's processes have ended.
      ...[
        '/bin/sh',
        '-c',
        'mount --bind "$1" "$2" && { [ ! -e "$2/hosts" ] || mount --bind "$2/hosts" /etc/hosts; } && shift 2 && { "$@" & } && while :; do wait; sleep 1; done',
        'init',
        files,
        at,
      ],
    ],
    cut: (host, direction = 'both') => {
      switch (direction) {
        case 'both':
          return run('ip', ['-n', bridge, 'link', 'set', portOf(host), 'down'])
        case 'in':
          return filter(prefix(host), [dropTable(host), dropChain(host, device)])
        case 'out':
          return filter(prefix('switch'), [dropTable(host), dropChain(host, portOf(host))])
      }
    },
    heal: async (host) => {
      const gone = [dropTable(host), `delete ${dropTable(host)}`]
      await Promise.all([filter(prefix(host), gone), filter(prefix('switch'), gone)])
      await run('ip', ['-n', bridge, 'link', 'set', portOf(host), 'up'])
    },
    reset: (host) =>
      run(
        'ip',
        ['-n', namespaceOf(tag, host), '-batch', '-'],
        [`addr flush dev ${device}`, ...addressesOf(host).map((address) => `addr add ${address}/24 brd + dev ${device}`)],
      ),
    proc: (host, file) => readFileSync(`/proc/${holders.get(host)?.pid}/net/${file}`, 'utf8'),
    close: async () => {
      for (const holder of holders.values()) holder.kill('SIGKILL')
      await removeNetwork(tag)
    },
  }
}

/** Put before a command to run it on a host of the network of this tag. */
export function hostPrefix(tag: string, host: string): readonly string[] {
  return ['nsenter', `--net=/run/netns/${namespaceOf(tag, host)}`, '--']
}

/** Put before a command to run it on a machine that runs (`Network.machine`), among its processes. Undefined where it does not run. */
export function machinePrefix(tag: string, host: string): readonly string[] | undefined {
  if (!existsSync(`/run/netns/${namespaceOf(tag, host)}`)) return undefined
  const first = ip('netns', 'pids', namespaceOf(tag, host))
    .split('\n')
    .filter(Boolean)
    .find((pid) => isFirst(pid))
  return first === undefined ? undefined : ['nsenter', '--target', first, '--net', '--pid', '--mount', '--']
}

/** Whether it is the first process of a pid namespace below ours. */
function isFirst(pid: string): boolean {
  try {
    return /^NSpid:.*\t1$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** Ends what still runs in the namespaces of this tag, and deletes them. */
export async function removeNetwork(tag: string): Promise<void> {
  const own = ip('netns', 'list')
    .split('\n')
    .map((line) => line.split(' ')[0] as string)
    .filter((name) => name.startsWith(namespaceOf(tag, '')))
  for (const name of own) {
    for (const pid of ip('netns', 'pids', name).split('\n').filter(Boolean)) kill(Number(pid))
    ip('netns', 'del', name)
  }
}

/** IPv4 addresses that the kernel holds in a namespace, by its own routing table (`fib_trie`). */
export function localAddresses(fibTrie: string): ReadonlySet<string> {
  const found = new Set<string>()
  let last = ''
  for (const line of fibTrie.split('\n')) {
    const leaf = /\|-- ([\d.]+)/.exec(line)
    if (leaf !== null) last = leaf[1] as string
    else if (line.includes('/32 host LOCAL')) found.add(last)
  }
  return found
}

/** Ports on which somebody listens, by `/proc/net/tcp`. */
export function listeningPorts(tcp: string): ReadonlySet<number> {
  const lines = tcp.split('\n').map((line) => line.trim().split(/\s+/))
  return new Set(
    lines.filter((fields) => fields[3] === '0A').map((fields) => Number.parseInt((fields[1] as string).split(':')[1] as string, 16)),
  )
}

function namespaceOf(tag: string, host: string): string {
  return `quorate-${tag}-${host}`
}

/** Names of devices have at most 15 characters. */
function portOf(host: string): string {
  return `p-${host}`
}

function dropTable(host: string): string {
  return `table netdev cut_${host}`
}

/** Before anything else sees the packet, ARP included. */
function dropChain(host: string, port: string): string {
  return `${dropTable(host)} { chain wire { type filter hook ingress device "${port}" priority -300; policy drop; }; }`
}

function filter(prefix: readonly string[], lines: readonly string[]): Promise<void> {
  const [program, ...args] = [...prefix, 'nft', '-f', '-']
  return run(program as string, args, lines)
}

function ip(...args: readonly string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

function run(program: string, args: readonly string[], input: readonly string[] = []): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, (error, _stdout, stderr) =>
      error === null ? resolve() : reject(new Error(stderr.trim() || error.message)),
    )
    child.stdin?.on('error', () => undefined) // It ended without reading; its exit status says why.
    child.stdin?.end(input.map((line) => `${line}\n`).join(''))
  })
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
