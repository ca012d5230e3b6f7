/** The cgroup in which systemd has a unit: looked at, killed and frozen without asking systemd. */
import { existsSync, readFileSync, watch } from 'node:fs'
import { join } from 'node:path'
import { pidsBelow, readText, waitUntil, writeText } from './cgroup-files.js'
import { findCgroup2Mount, killBelow, unescapeMount } from './cgroup2.js'
import { readStat } from './proc.js'
import { killSwept } from './sweep.js'

export interface UnitCgroup {
  /** Whether this process may see and kill what is in it. */
  readonly isKnown: boolean
  pids(): readonly number[]
  empty(): boolean
  /** Kills everything in it until nothing is left. False when something still is after `timeout` milliseconds. */
  kill(timeout: number): Promise<boolean>
  freeze(timeout: number): Promise<boolean>
  thaw(timeout: number): Promise<boolean>
  /** Calls back when the last process is gone, or a first one has come. Undefined where nothing tells. */
  watch(onChange: () => void): (() => void) | undefined
}

/** `path` as systemd names it, from the root of the tree. Version 2 where it is mounted, alone or beside version 1. */
export function unitCgroup(path: string): UnitCgroup {
  const mountinfo = readFileSync('/proc/self/mountinfo', 'utf8')
  const unified = findCgroup2Mount(mountinfo)
  const named = findNamedMount(mountinfo)
  const folder = unified === undefined ? undefined : join(unified, path)
  const oldFolder = named === undefined ? undefined : join(named, path)
  const isPopulated = () => folder !== undefined && /^populated 1$/m.test(readText(join(folder, 'cgroup.events')) ?? '')
  const pids = () => [...new Set([folder, oldFolder].flatMap((each) => (each === undefined ? [] : pidsBelow(each))))]
  const empty = () => !isPopulated() && pids().length === 0
  const thaw = (timeout: number) => setFrozen(folder, false, timeout)
  return {
    isKnown: unified !== undefined || named !== undefined,
    pids,
    empty,
    kill: async (timeout) => {
      const end = performance.now() + timeout
      const killed = () => {
        if (folder !== undefined && !empty()) killBelow(folder)
        return empty()
      }
      // Where there is no such file, or processes are in the older tree alone, they are killed one by one.
      const whole = await waitUntil(killed, oldFolder === undefined ? timeout : Math.min(timeout, wholeKillMax))
      const done = whole || (await killSwept(() => pids().flatMap((pid) => readStat(pid) ?? []), Math.max(0, end - performance.now())))
      await thaw(0) // Whoever comes into it next is not to stand still.
      return done && empty()
    },
    freeze: (timeout) => setFrozen(folder, true, timeout),
    thaw,
    watch: (onChange) => {
      const events = folder === undefined ? undefined : join(folder, 'cgroup.events')
      if (events === undefined || !existsSync(events)) return undefined
      try {
        const watcher = watch(events, { persistent: false }, () => onChange())
        watcher.on('error', () => watcher.close())
        return () => watcher.close()
      } catch {
        return undefined
      }
    },
  }
}

/** How long the kill of a whole tree may take before its processes are killed one by one. */
const wholeKillMax = 500

function setFrozen(folder: string | undefined, frozen: boolean, timeout: number): Promise<boolean> {
  if (folder === undefined || !existsSync(join(folder, 'cgroup.freeze'))) return Promise.resolve(!frozen)
  const value = frozen ? '1' : '0'
  const told = new RegExp(`^frozen ${value}$`, 'm')
  return waitUntil(
    () => writeText(join(folder, 'cgroup.freeze'), value) && told.test(readText(join(folder, 'cgroup.events')) ?? ''),
    timeout,
    1,
  )
}

/** The tree of version 1 that is systemd's own. */
function findNamedMount(mountinfo: string): string | undefined {
  for (const line of mountinfo.split('\n')) {
    const [left = '', right = ''] = line.split(' - ')
    if (/^cgroup \S+ \S*\bname=systemd\b/.test(right)) return unescapeMount(left.split(' ')[4] ?? '')
  }
  return undefined
}
