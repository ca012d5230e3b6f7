/** Cgroup version 1 freezer: frozen processes cannot fork, so freeze, kill each, thaw leaves nothing behind. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { foldersIn, killActionsBelow, makeParts, pidsBelow, readText, removeBelow, waitUntil, writeText } from './cgroup-files.js'
import { unescapeMount } from './cgroup2.js'
import type { Cell, Containment } from './containment.js'
import { identify, signalProcess } from './proc.js'

/** How long a freeze may take before the kill goes ahead without it. */
const freezeMax = 200

export function freezerContainment(root: string): Containment {
  const cell = (name: string) => freezerCell(join(root, name))
  return {
    place: { kind: 'freezer', root },
    cell,
    killActions: (timeout, of) => killActionsBelow(root, cell, timeout, of),
    remove: () => removeBelow(root),
  }
}

function freezerCell(folder: string): Cell {
  return {
    join: (part) => {
      makeParts(folder)
      return join(folder, part, 'cgroup.procs')
    },
    limit: (limits) => Object.keys(limits),
    pids: (part) => pidsBelow(part === undefined ? folder : join(folder, part)),
    empty: () => pidsBelow(folder).length === 0,
    kill: (timeout, part) => killFrozen(part === undefined ? folder : join(folder, part), timeout),
    freeze: (timeout) => setState(join(folder, 'service'), 'FROZEN', timeout),
    thaw: (timeout) => setState(join(folder, 'service'), 'THAWED', timeout),
    watch: () => undefined,
    remove: () => removeBelow(folder),
  }
}

async function killFrozen(path: string, timeout: number): Promise<boolean> {
  if (!existsSync(path)) return true
  const end = performance.now() + timeout
  while (pidsBelow(path).length > 0) {
    if (performance.now() >= end) return false
    writeText(join(path, 'freezer.state'), 'FROZEN')
    await waitUntil(() => readText(join(path, 'freezer.state'))?.trim() === 'FROZEN', freezeMax, 1)
    for (const pid of pidsBelow(path)) {
      const identity = identify(pid)
      if (identity !== undefined) signalProcess(identity, 'SIGKILL')
    }
    // Also what was made to stand still before: a signal acts only on what goes on.
    for (const name of foldersIn(path)) writeText(join(path, name, 'freezer.state'), 'THAWED')
    writeText(join(path, 'freezer.state'), 'THAWED')
    await waitUntil(() => pidsBelow(path).length === 0, Math.min(100, end - performance.now()))
  }
  return true
}

function setState(path: string, state: 'FROZEN' | 'THAWED', timeout: number): Promise<boolean> {
  if (!existsSync(path)) return Promise.resolve(true)
  const file = join(path, 'freezer.state')
  return waitUntil(() => writeText(file, state) && readText(file)?.trim() === state, timeout, 1)
}

export function findFreezerMount(mountinfo: string): string | undefined {
  for (const line of mountinfo.split('\n')) {
    const [left = '', right = ''] = line.split(' - ')
    if (/^cgroup \S+ \S*\bfreezer\b/.test(right)) return unescapeMount(left.split(' ')[4] ?? '')
  }
  return undefined
}
