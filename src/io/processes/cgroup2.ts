/** Cgroup version 2: `cgroup.kill` ends a whole tree at once (Linux 5.14), `cgroup.events` tells when it is empty. Controllers are needed for limits only. */
import { existsSync, watch } from 'node:fs'
import { dirname, join } from 'node:path'
import { killActionsBelow, makeParts, pidsBelow, readText, removeBelow, waitUntil, writeText } from './cgroup-files.js'
import type { Cell, CellLimits, Containment } from './containment.js'
import { identify, signalProcess } from './proc.js'

export function cgroup2Containment(root: string): Containment {
  const cell = (name: string) => cgroup2Cell(join(root, name))
  return {
    place: { kind: 'cgroup2', root },
    cell,
    killActions: (timeout, of) => killActionsBelow(root, cell, timeout, of),
    remove: () => removeBelow(root),
  }
}

function cgroup2Cell(folder: string): Cell {
  const populated = (path: string) => /^populated 1$/m.test(readText(join(path, 'cgroup.events')) ?? '')
  return {
    join: (part) => {
      makeParts(folder)
      return join(folder, part, 'cgroup.procs')
    },
    limit: (limits) => {
      makeParts(folder)
      return setLimits(folder, limits)
    },
    pids: (part) => pidsBelow(part === undefined ? folder : join(folder, part)),
    empty: () => !populated(folder),
    kill: async (timeout, part) => {
      const done = await kill(part === undefined ? folder : join(folder, part), timeout)
      // What is killed dies in the freezer too; whoever comes into the cell next is not to stand still.
      if (part !== 'action' && done) writeText(join(folder, 'service', 'cgroup.freeze'), '0')
      return done
    },
    freeze: (timeout) => setFrozen(true, timeout),
    thaw: (timeout) => setFrozen(false, timeout),
    watch: (onChange) => {
      const events = join(folder, 'cgroup.events')
      if (!existsSync(events)) return undefined
      try {
        // The kernel announces a change of this file to inotify.
        const watcher = watch(events, { persistent: false }, () => onChange())
        watcher.on('error', () => watcher.close())
        return () => watcher.close()
      } catch {
        return undefined // No watches are left: the looks at /proc and the probes remain.
      }
    },
    remove: () => removeBelow(folder),
  }

  function setFrozen(frozen: boolean, timeout: number): Promise<boolean> {
    const path = join(folder, 'service')
    if (!existsSync(path)) return Promise.resolve(true)
    const value = frozen ? '1' : '0'
    const told = new RegExp(`^frozen ${value}$`, 'm')
    return waitUntil(
      () => writeText(join(path, 'cgroup.freeze'), value) && told.test(readText(join(path, 'cgroup.events')) ?? ''),
      timeout,
      1,
    )
  }

  function kill(path: string, timeout: number): Promise<boolean> {
    if (!existsSync(path)) return Promise.resolve(true)
    return waitUntil(() => {
      if (!populated(path)) return true
      killBelow(path)
      return !populated(path)
    }, timeout)
  }
}

/**
 * All at once; then those of which `cgroup.kill` reaches nothing: it signals the first thread of a process, and where that has ended the
 * others run on (`complete_signal` of Linux 6).
 */
export function killBelow(folder: string) {
  writeText(join(folder, 'cgroup.kill'), '1')
  const known = pidsBelow(folder).flatMap((pid) => identify(pid) ?? [])
  if (known.length === 0) return
  const left = new Set(pidsBelow(folder))
  for (const process of known) if (left.has(process.pid)) signalProcess(process, 'SIGKILL')
}

/** Processors are given as time within this span, in microseconds. */
const cpuPeriod = 100_000

/** A controller has to be passed down from the root of the tree, a level at a time; where one does not let it, the file is not there. */
function setLimits(folder: string, { memory, tasks, cpu }: CellLimits): readonly string[] {
  const wanted = [
    { name: 'memory', controller: 'memory', file: 'memory.max', value: memory },
    { name: 'tasks', controller: 'pids', file: 'pids.max', value: tasks },
    {
      name: 'cpu',
      controller: 'cpu',
      file: 'cpu.max',
      value: cpu === undefined ? undefined : `${Math.round(cpu * cpuPeriod)} ${cpuPeriod}`,
    },
  ]
  return wanted.flatMap(({ name, controller, file, value }) => {
    const path = join(folder, 'service', file)
    if (value !== undefined) passDown(controller, folder)
    if (existsSync(path) && writeText(path, value === undefined ? 'max' : String(value))) return []
    return value === undefined ? [] : [name]
  })
}

function passDown(controller: string, folder: string) {
  const node = dirname(folder)
  for (const level of [dirname(node), node, folder]) writeText(join(level, 'cgroup.subtree_control'), `+${controller}`)
}

/** Where the version 2 tree is mounted, alone or beside version 1. */
export function findCgroup2Mount(mountinfo: string): string | undefined {
  for (const line of mountinfo.split('\n')) {
    const [left = '', right = ''] = line.split(' - ')
    if (right.startsWith('cgroup2 ')) return unescapeMount(left.split(' ')[4] ?? '')
  }
  return undefined
}

export function unescapeMount(path: string): string {
  return path.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}
