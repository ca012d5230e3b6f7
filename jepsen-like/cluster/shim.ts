/**
 * The preloaded disk and clock of a node (`shim.c`): sets the faults, and at the loss of power takes back what was never synced.
 *
 * Compiled once with the system's C compiler; where there is none, nodes have no faulty disks and clocks, and a run says so.
 */
import { spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'

export interface Faults {
  readonly syncDelayMs?: number
  /** An errno, such as 5 (EIO) or 28 (ENOSPC). */
  readonly syncError?: number
  readonly writeDelayMs?: number
  readonly writeError?: number
  /** Of the wall clock. */
  readonly clockOffsetMs?: number
  /** How much faster the wall clock runs, in millionths. */
  readonly clockRatePpm?: number
  /** Syncs that say that all is well and do nothing: a disk that lies. */
  readonly syncIgnored?: boolean
}

const fields = 8

/** Path of the library; undefined where nothing can compile it. */
export function buildShim(source: string, folder: string): string | undefined {
  mkdirSync(folder, { recursive: true })
  const library = join(folder, 'shim.so')
  const compiled = spawnSync('cc', ['-shared', '-fPIC', '-O2', '-o', library, source, '-ldl', '-lpthread'], { encoding: 'utf8' })
  return compiled.status === 0 ? library : undefined
}

export class Shim {
  readonly #library: string
  readonly #control: string
  readonly #undo: string
  readonly #folder: string
  #faults: Faults = {}

  /** `folder`: the node's disk. */
  constructor(library: string, home: string, folder: string) {
    this.#library = library
    this.#control = join(home, 'shim-control')
    this.#undo = join(home, 'shim-undo')
    this.#folder = folder
    mkdirSync(folder, { recursive: true })
    rmSync(this.#undo, { force: true })
    writeFileSync(this.#control, new Uint8Array(fields * 8))
  }

  get environment(): Readonly<Record<string, string>> {
    return { LD_PRELOAD: this.#library, SHIM_CONTROL: this.#control, SHIM_FOLDER: this.#folder, SHIM_UNDO: this.#undo }
  }

  /** How much longer than this machine the node believes to be up, in milliseconds. */
  uptimeOffsetMs = 0

  /** Over those in force; `undefined` takes one away. */
  set(faults: { readonly [Name in keyof Faults]: Faults[Name] | undefined }): void {
    this.#faults = { ...this.#faults, ...faults } as Faults
    const {
      syncDelayMs = 0,
      syncError = 0,
      writeDelayMs = 0,
      writeError = 0,
      clockOffsetMs = 0,
      clockRatePpm = 0,
      syncIgnored,
    } = this.#faults
    const since = Math.round(Number(process.hrtime.bigint() / 1_000_000n)) + this.uptimeOffsetMs
    const values = [syncDelayMs, syncError, writeDelayMs, writeError, clockOffsetMs, clockRatePpm, since, syncIgnored === true ? 1 : 0]
    const file = openSync(this.#control, 'r+')
    writeSync(file, Buffer.from(BigInt64Array.from(values.map((value) => BigInt(Math.round(value)))).buffer), 0, fields * 8, 0)
    closeSync(file)
  }

  clear(): void {
    const none = { syncDelayMs: undefined, syncError: undefined, writeDelayMs: undefined, writeError: undefined }
    this.set({ ...none, clockOffsetMs: undefined, clockRatePpm: undefined, syncIgnored: undefined })
  }

  /** The node is off: what it wrote and did not sync was never there. Answers how many writes were taken back. */
  losePower(): number {
    if (!existsSync(this.#undo)) return 0
    const lost = unsyncedOf(readFileSync(this.#undo))
    rmSync(this.#undo, { force: true })
    if (lost.length === 0) return 0
    const paths = pathsByInode(this.#folder)
    let count = 0
    for (const { inode, offset, before, size } of lost.toReversed()) {
      const path = paths.get(inode)
      if (path === undefined) continue // It was removed since.
      count++
      const file = openSync(path, 'r+')
      try {
        if (before.length > 0) writeSync(file, before, 0, before.length, offset)
        if (statSync(path).size > size) ftruncateSync(file, size)
      } finally {
        closeSync(file)
      }
    }
    return count
  }
}

interface Write {
  readonly inode: string
  readonly offset: number
  readonly before: Buffer
  readonly size: number
}

/** Writes after the last sync of their file, in their order. */
function unsyncedOf(notes: Buffer): readonly Write[] {
  const synced = new Map<string, number>()
  const writes: { readonly at: number; readonly write: Write }[] = []
  for (let at = 0; at + 48 <= notes.length; ) {
    const field = (number: number): bigint => notes.readBigUInt64LE(at + number * 8)
    const inode = `${field(1)}/${field(2)}`
    const length = Number(field(4))
    if (field(0) === 2n) synced.set(inode, at)
    else
      writes.push({
        at,
        write: { inode, offset: Number(field(3)), before: notes.subarray(at + 48, at + 48 + length), size: Number(field(5)) },
      })
    at += 48 + (field(0) === 1n ? length : 0)
  }
  return writes.filter(({ at, write }) => at > (synced.get(write.inode) ?? -1)).map(({ write }) => write)
}

function pathsByInode(folder: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const { dev, ino } = statSync(path, { bigint: true })
    found.set(`${dev}/${ino}`, path)
  }
  return found
}

/** One bit of a file at rest is another one. Answers where; undefined where there is nothing to be spoilt. */
export function flipBit(path: string, share: number): { readonly path: string; readonly offset: number } | undefined {
  const bytes = readFileSync(path)
  // Zeros at the end are space made ahead of the records: nothing is there to be spoilt.
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end--
  if (end === 0) return undefined
  const offset = Math.min(end - 1, Math.floor(share * end))
  const file = openSync(path, 'r+')
  writeSync(file, Buffer.from([(bytes[offset] as number) ^ 0x10]), 0, 1, offset)
  closeSync(file)
  return { path, offset }
}
