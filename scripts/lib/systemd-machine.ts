/**
 * A machine with systemd as its first process, on this kernel: a container whose files are those of this machine, with changes that
 * are gone with it. Needs root and the Debian packages systemd-container and dbus.
 *
 * Nothing of it outlives its first process: mounts are in a namespace of its own, its network has no way out, and nothing that this
 * machine would start at boot is started there.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { waitFor } from './http.js'

export interface SystemdMachine {
  /** Put before a program to run it there. */
  readonly prefix: readonly string[]
  /** As seen from here. */
  readonly firstProcess: number
  /** As pulling its plug. */
  close(): Promise<void>
}

export interface SystemdMachineOptions {
  /** Part of all names; at most eight letters and digits. */
  readonly tag: string
  /** For the mounts; made, and removed in the end. */
  readonly folder: string
  /** Seen there under the same paths; what lies below /tmp is else not seen there. */
  readonly shared: readonly string[]
}

const bootMax = 60_000

const script = `
set -e
tag=$1 folder=$2; shift 2
for tree in $TREES; do
  mkdir -p "$tree/$tag"
  echo $$ > "$tree/$tag/cgroup.procs"
done
mount -t tmpfs tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay "$tag" -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
units=$folder/root/etc/systemd/system
rm -rf "$folder/root/etc/hostname" "$folder/root/etc/fstab" "$units"/*.wants
ln -sf /lib/systemd/system/basic.target "$units/default.target"
exec systemd-nspawn -q -D "$folder/root" -M "$tag" --hostname="$tag" --register=no --keep-unit --private-network "$@" -b < /dev/null
`

export async function bootSystemdMachine({ tag, folder, shared }: SystemdMachineOptions): Promise<SystemdMachine> {
  const name = `quorate-${tag}`
  mkdirSync(folder, { recursive: true })
  const trees = ['/sys/fs/cgroup/systemd', '/sys/fs/cgroup/unified', '/sys/fs/cgroup'].filter((tree) =>
    existsSync(join(tree, 'cgroup.procs')),
  )
  const binds = shared.map((path) => `--bind=${path}`)
  const container = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script, 'boot', name, folder, ...binds], {
    env: { ...process.env, TREES: trees.join(' ') },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let said = ''
  for (const stream of [container.stdout, container.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => (said += text))
  const close = () => remove(container, trees, name, folder)
  try {
    let first: number | undefined
    await waitFor(`systemd to be up (${folder})`, bootMax, async () => {
      if (container.exitCode !== null) throw new Error(`the machine did not come up: ${said.slice(-2_000)}`)
      first ??= firstProcessOf(container.pid)
      return first !== undefined && isUp(first)
    })
    return { prefix: prefixOf(first as number), firstProcess: first as number, close }
  } catch (error) {
    await close()
    throw error
  }
}

const prefixOf = (first: number): readonly string[] => ['nsenter', '--target', String(first), '--all', '--']

/** The child of the container's own process, once it has one that is the first of its namespace. */
function firstProcessOf(container: number | undefined): number | undefined {
  try {
    const children = readFileSync(`/proc/${container}/task/${container}/children`, 'utf8').trim().split(' ')
    const [first] = children.filter((pid) => /^NSpid:.*\t1$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')))
    return first === undefined ? undefined : Number(first)
  } catch {
    return undefined
  }
}

function isUp(first: number): boolean {
  const [program = '', ...rest] = [...prefixOf(first), 'systemctl', 'is-system-running']
  try {
    return execFileSync(program, rest, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim() === 'running'
  } catch (error) {
    // Something of this machine may not be able to start there, and is not needed.
    return String((error as { stdout?: string }).stdout).trim() === 'degraded'
  }
}

async function remove(container: ChildProcess, trees: readonly string[], name: string, folder: string) {
  const first = firstProcessOf(container.pid)
  if (first !== undefined) process.kill(first, 'SIGKILL')
  if (container.exitCode === null && container.signalCode === null) {
    const ended = new Promise((resolve) => container.once('exit', resolve))
    if (first === undefined) container.kill('SIGKILL')
    await ended
  }
  for (const tree of trees) removeTree(join(tree, name))
  rmSync(join('/run/systemd/nspawn/propagate', name), { recursive: true, force: true })
  rmSync(folder, { recursive: true, force: true })
}

function removeTree(folder: string) {
  for (const inner of ['payload', 'supervisor', '']) {
    try {
      execFileSync('find', [join(folder, inner), '-depth', '-type', 'd', '-exec', 'rmdir', '{}', ';'], { stdio: 'ignore' })
      rmdirSync(join(folder, inner))
    } catch {
      // It is gone, or still held for a moment.
    }
  }
}
