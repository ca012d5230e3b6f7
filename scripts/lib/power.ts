/**
 * The power supply of a node that shares its kernel with others (demo, laboratory, benchmarks, tests).
 *
 * It stands for the machine's power button: `off` ends everything of the node, looks twice that nothing is left, and only
 * then may `on` renew the boot id and start the node's guardian. It lives outside the node, so that no node dies with it.
 */
import { spawn, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findExactly, killSwept } from '../../src/io/processes/index.js'
import { openRunFolder } from '../../src/io/run-folder/index.js'

export interface PowerOptions {
  readonly node: string
  /** The node's folder: `node.yaml`, `boot-id`, logs. */
  readonly home: string
  readonly runDir: string
  /** What starts the guardian. */
  readonly argv: readonly string[]
  /** Put before the command: another network namespace, for example. */
  readonly prefix?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** Takes away what a machine loses with its power besides its processes, such as the addresses of its network namespace. */
  readonly reset?: () => Promise<void>
}

/** Of a process of Quorate. */
export type Role = 'guardian' | 'daemon' | 'monitor'

const killTimeout = 5_000
const marker = 'QUORATE_POWER'

export class Power {
  private readonly options: PowerOptions
  private readonly cgroup: string | undefined
  private readonly runKey: string
  private working: Promise<unknown> = Promise.resolve()
  /** What was started here is in its cgroups, and nowhere else: a process cannot leave them by itself. */
  private contained = false

  constructor(options: PowerOptions) {
    this.options = options
    mkdirSync(options.home, { recursive: true })
    this.runKey = openRunFolder(options.runDir).key
    this.cgroup = makeCgroup(`quorate-power-${options.node}-${this.runKey}`)
  }

  get bootIdFile(): string {
    return join(this.options.home, 'boot-id')
  }

  /** One call at a time, in the order in which they come. */
  on(): Promise<void> {
    return this.queue(async () => {
      await this.killAll()
      writeFileSync(this.bootIdFile, `${randomUUID()}\n`)
      this.start()
    })
  }

  off(): Promise<void> {
    return this.queue(() => this.killAll())
  }

  /** The node's own processes in this role, by their command lines. */
  pidsIn(role: Role): readonly number[] {
    return this.pids().filter((pid) => {
      try {
        const [, script = '', found] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
        return /\/(quorate|main)\.js$/.test(script) && found === role
      } catch {
        return false // It has ended meanwhile.
      }
    })
  }

  /** Those of the node's processes whose command line has `word` in it. */
  pidsOf(word: string): readonly number[] {
    return this.pids().filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(word)
      } catch {
        return false
      }
    })
  }

  /** A crash: everything of the node is killed, nothing is verified, no boot id is renewed. Answers with who was met. */
  crash(): readonly number[] {
    const met = this.pids()
    for (const cgroup of this.cgroups()) if (isPopulated(cgroup)) writeFileSync(join(cgroup, 'cgroup.kill'), '1')
    return [...new Set([...met, ...this.signal('SIGKILL')])]
  }

  /** Everything of the node stands still until `resume`. */
  pause(): readonly number[] {
    return this.signal('SIGSTOP')
  }

  resume(): readonly number[] {
    return this.signal('SIGCONT')
  }

  /** Whether anything of the node is left. */
  isOn(): boolean {
    return this.processes().length > 0 || this.cgroups().some(isPopulated)
  }

  /** Every live process of the node. */
  pids(): readonly number[] {
    const listed = this.cgroups().flatMap((cgroup) => listPids(cgroup))
    return [...new Set([...this.processes().map((found) => found.pid), ...listed])]
  }

  /** Removes what the node left outside its folders. */
  async clean(): Promise<void> {
    await this.off()
    for (const cgroup of this.cgroups()) removeTree(cgroup)
  }

  /** Looks again until it finds nobody new: what is signalled late may have started others meanwhile. */
  private signal(name: NodeJS.Signals): readonly number[] {
    const told = new Set<number>()
    for (let before = -1; before !== told.size; ) {
      before = told.size
      for (const pid of this.pids()) {
        if (told.has(pid)) continue
        told.add(pid)
        signalPid(pid, name)
      }
    }
    return [...told]
  }

  private queue(work: () => Promise<void>): Promise<void> {
    const done = this.working.then(work)
    this.working = done.catch(() => undefined)
    return done
  }

  private async killAll(): Promise<void> {
    const end = Date.now() + killTimeout
    for (;;) {
      for (const cgroup of this.cgroups()) if (isPopulated(cgroup)) writeFileSync(join(cgroup, 'cgroup.kill'), '1')
      const swept = await killSwept(() => this.processes(), Math.max(1, end - Date.now()))
      if (swept && !this.isOn()) return this.options.reset?.()
      if (Date.now() > end) throw new Error(`processes of ${this.options.node} could not be ended: ${this.pids().join(', ')}`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  private start(): void {
    const { home, argv, prefix = [], environment = {} } = this.options
    const log = openSync(join(home, 'guardian.log'), 'a', 0o640)
    const join_ = this.cgroup === undefined ? '' : `echo $$ > ${join(this.cgroup, 'cgroup.procs')} && `
    const [program, ...rest] = [...(this.cgroup === undefined ? namespace() : []), ...prefix, ...argv]
    const child = spawn('/bin/sh', ['-c', `${join_}exec "$@"`, 'sh', program as string, ...rest], {
      detached: true,
      stdio: ['ignore', log, log],
      cwd: '/',
      env: { PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin', HOME: home, [marker]: home, ...environment },
    })
    child.once('error', () => undefined) // The node stays off, and whoever asks sees it.
    child.unref()
    closeSync(log)
    this.contained = this.cgroup !== undefined
  }

  /** Outside of its cgroups: by the marker that our start put into its environment, by its run folder, or by its boot. */
  private processes() {
    if (this.contained) return []
    const boot = existsSync(this.bootIdFile) ? readFileSync(this.bootIdFile, 'utf8').trim() : undefined
    const wanted = [`${marker}=${this.options.home}`, `QUORATE_RUN=${this.runKey}`, ...(boot === undefined ? [] : [`QUORATE_BOOT=${boot}`])]
    return findExactly((environment) => wanted.some((one) => environment.has(one)))
  }

  /** Its own, and the one under which its monitor puts the resources. */
  private cgroups(): readonly string[] {
    if (this.cgroup === undefined) return []
    return [this.cgroup, join(this.cgroup, '..', `quorate-${this.options.node}-${this.runKey}`)].filter((path) => existsSync(path))
  }
}

function signalPid(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It has ended by itself.
  }
}

let namespaceArgs: readonly string[] | undefined

/**
 * Without cgroups: a user and pid namespace of the node's own, so that its end ends everything in it. A shell is its
 * first process and reaps what others leave. Empty where the system does not allow it; then the sweep has to do.
 */
function namespace(): readonly string[] {
  if (namespaceArgs !== undefined) return namespaceArgs
  const args = ['unshare', '--user', '--map-current-user', '--pid', '--fork', '--kill-child', '--mount-proc']
  const works = spawnSync(args[0] as string, [...args.slice(1), 'true'], { stdio: 'ignore' }).status === 0
  namespaceArgs = works ? [...args, '/bin/sh', '-c', '"$@" & while :; do wait; sleep 1; done', 'sh'] : []
  return namespaceArgs
}

/** Undefined where this user may not make one with `cgroup.kill`. */
function makeCgroup(name: string): string | undefined {
  const mount = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((line) => line.includes(' - cgroup2 '))
    ?.split(' ')[4]
  if (mount === undefined) return undefined
  const path = join(mount, name)
  try {
    mkdirSync(path, { recursive: true })
    return existsSync(join(path, 'cgroup.kill')) ? path : undefined
  } catch {
    return undefined
  }
}

function isPopulated(cgroup: string): boolean {
  try {
    return readFileSync(join(cgroup, 'cgroup.events'), 'utf8').includes('populated 1')
  } catch {
    return false
  }
}

function children(cgroup: string): readonly string[] {
  return readdirSync(cgroup, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(cgroup, entry.name))
}

function listPids(cgroup: string): readonly number[] {
  try {
    const own = readFileSync(join(cgroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number)
    return [...own, ...children(cgroup).flatMap(listPids)]
  } catch {
    return []
  }
}

function removeTree(cgroup: string): void {
  try {
    for (const child of children(cgroup)) removeTree(child)
    rmdirSync(cgroup)
  } catch {
    // A process that ends just now keeps it busy; the next start uses it again.
  }
}
