/** What both cgroup versions have in common: a folder per cell, with one folder per part. */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Cell, callPrefix, type OfGroup, type Part } from './containment.js'

export const parts: readonly Part[] = ['service', 'action']

export function makeParts(folder: string): void {
  for (const part of parts) mkdirSync(join(folder, part), { recursive: true })
}

/** Pids of the folder and of everything below it. */
export function pidsBelow(folder: string): readonly number[] {
  const own = readText(join(folder, 'cgroup.procs')) ?? ''
  const pids = own.split('\n').flatMap((line) => (line === '' ? [] : [Number(line)]))
  return [...pids, ...foldersIn(folder).flatMap((name) => pidsBelow(join(folder, name)))]
}

export function removeBelow(folder: string): void {
  for (const name of foldersIn(folder)) removeBelow(join(folder, name))
  try {
    rmdirSync(folder)
  } catch {
    // Still populated, or never made: it stays for the next one.
  }
}

export function foldersIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []))
  } catch {
    return []
  }
}

/** Of every cell below `root` the part in flight, of calls everything. */
export async function killActionsBelow(
  root: string,
  cell: (name: string) => Cell,
  timeout: number,
  of: OfGroup = () => true,
): Promise<boolean> {
  const isCall = (name: string) => name.startsWith(callPrefix)
  const meant = foldersIn(root).filter((name) => of(isCall(name) ? undefined : name.split('@')[0]))
  const kills = meant.map(async (name) => {
    const one = cell(name)
    const isDone = await one.kill(timeout, isCall(name) ? undefined : 'action')
    // A call's cell is nobody's once whoever made it is gone.
    if (isDone && isCall(name)) one.remove()
    return isDone
  })
  return (await Promise.all(kills)).every((done) => done)
}

export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

export function writeText(path: string, text: string): boolean {
  try {
    writeFileSync(path, text)
    return true
  } catch {
    return false
  }
}

export const pause = (span: number) => new Promise<void>((done) => void setTimeout(done, span))

/** Looks every few milliseconds until `done` or the time is over. */
export async function waitUntil(done: () => boolean, timeout: number, every = 5): Promise<boolean> {
  const end = performance.now() + timeout
  for (;;) {
    if (done()) return true
    if (performance.now() >= end) return false
    await pause(every)
  }
}
