/**
 * A disk that ends at one of its operations: from there on everything fails, and `image` is what a machine without power finds.
 *
 * Of what was not synced, any sectors may be there or not, and so may names that were made or removed since their folder was
 * synced. What lies outside these operations (the databases) is found as it was at that moment.
 */
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { type Disk, type DiskFile, realDisk } from '../../../src/io/store/index.js'
import type { Random } from '../../sim/random.js'

/** What a disk writes whole or not at all. */
const sector = 512

interface UnsyncedWrite {
  readonly position: number
  readonly length: number
  /** What was there, as far as the file went. */
  readonly before: Uint8Array
  readonly fileLength: number
}

/** Undo of a change of names. */
interface UnsyncedName {
  readonly path: string
  /** Undefined for a file that was made. */
  readonly removed: Uint8Array | undefined
}

export class CrashDisk implements Disk {
  /** Operations so far. */
  operations = 0
  crashed = false
  private readonly folder: string
  private readonly image: string
  private readonly crashAt: number
  private readonly random: Random
  private readonly writes = new Map<string, UnsyncedWrite[]>()
  private readonly names = new Map<string, UnsyncedName[]>()

  /** Leaves in `image` what is found of `folder` after the crash at operation `crashAt`, which counts from 1. */
  constructor(folder: string, image: string, crashAt: number, random: Random) {
    this.folder = folder
    this.image = image
    this.crashAt = crashAt
    this.random = random
  }

  async open(path: string): Promise<DiskFile> {
    this.step()
    if (!existsSync(path)) this.named(path, undefined)
    const file = await realDisk.open(path)
    return {
      write: (bytes, position) => {
        const whole = existsSync(path) ? readFileSync(path) : Buffer.alloc(0)
        const before = Buffer.from(whole.subarray(position, position + bytes.length))
        const unsynced = { position, length: bytes.length, before, fileLength: whole.length }
        if (!this.crashed && bytes.length > 0) this.writes.set(path, [...(this.writes.get(path) ?? []), unsynced])
        // The crash comes when some of it may be on disk already.
        const written = this.crashed ? undefined : file.write(bytes, position)
        if (written !== undefined) return written.then(() => this.step())
        this.step()
        return undefined
      },
      sync: async () => {
        this.step()
        const synced = this.writes.get(path) ?? []
        await file.sync()
        if (this.crashed) throw crash()
        this.writes.set(
          path,
          (this.writes.get(path) ?? []).filter((write) => !synced.includes(write)),
        )
      },
      cut: async (length) => {
        this.step()
        await file.cut(length)
        this.writes.delete(path)
      },
      close: () => file.close(),
    }
  }

  read(path: string): Promise<Uint8Array | undefined> {
    return realDisk.read(path)
  }

  list(folder: string): Promise<readonly string[]> {
    return realDisk.list(folder)
  }

  async makeFolder(path: string): Promise<void> {
    this.step()
    await realDisk.makeFolder(path)
  }

  async replace(path: string, text: string): Promise<void> {
    if (this.operations + 1 === this.crashAt && this.random.chance(0.5)) writeFileSync(path, text)
    this.step()
    await realDisk.replace(path, text)
  }

  async remove(path: string): Promise<void> {
    this.step()
    this.named(path, readFileSync(path))
    await realDisk.remove(path)
  }

  async removeFolder(path: string): Promise<void> {
    if (this.operations + 1 === this.crashAt && existsSync(path)) {
      for (const name of readdirSync(path)) if (this.random.chance(0.5)) rmSync(join(path, name))
    }
    this.step()
    await realDisk.removeFolder(path)
  }

  async syncFolder(folder: string): Promise<void> {
    this.step()
    await realDisk.syncFolder(folder)
    this.names.delete(folder)
  }

  private named(path: string, removed: Uint8Array | undefined): void {
    const folder = dirname(path)
    this.names.set(folder, [...(this.names.get(folder) ?? []), { path, removed }])
  }

  private step(): void {
    if (this.crashed) throw crash()
    this.operations += 1
    if (this.operations !== this.crashAt) return
    this.crashed = true
    this.takeImage()
    throw crash()
  }

  private takeImage(): void {
    copyFolder(this.folder, this.image)
    for (const [path, writes] of this.writes) this.loseWrites(join(this.image, relative(this.folder, path)), writes)
    for (const names of this.names.values()) {
      for (const { path, removed } of names) {
        if (this.random.chance(0.5)) continue
        const there = join(this.image, relative(this.folder, path))
        if (removed === undefined) rmSync(there, { force: true })
        else writeFileSync(there, removed)
      }
    }
  }

  private loseWrites(path: string, writes: readonly UnsyncedWrite[]): void {
    if (!existsSync(path)) return
    const bytes = readFileSync(path)
    const kept = this.random.pick([0, 0.5, 0.9, 1])
    const end = Math.max(...writes.map(({ position, length }) => position + length))
    for (let at = 0; at < end; at += sector) {
      // A sector is on disk as it was after one of the writes to it, or before all of them.
      const here = writes.filter(({ position, length }) => position < at + sector && position + length > at)
      const there = this.random.chance(kept) ? here.length : this.random.between(0, here.length)
      for (const { position, length, before } of here.slice(there).reverse()) {
        const [from, to] = [Math.max(at, position), Math.min(at + sector, position + length)]
        bytes.fill(0, from, to)
        bytes.set(before.subarray(from - position, to - position), from)
      }
    }
    // Of a file that has not its new length yet, what lies beyond the old one is not there.
    const shortest = Math.min(bytes.length, ...writes.map(({ fileLength }) => fileLength))
    const length = this.random.chance(0.3) ? this.random.between(shortest, bytes.length) : bytes.length
    writeFileSync(path, bytes.subarray(0, length))
  }
}

/** Databases go on in their threads, and a folder may be in the midst of its removal: what vanishes is tried again. */
function copyFolder(from: string, to: string): void {
  for (let tries = 1; ; tries++) {
    try {
      return cpSync(from, to, { recursive: true })
    } catch (error) {
      if (tries === 20) throw error
      rmSync(to, { recursive: true, force: true })
    }
  }
}

function crash(): Error {
  return new Error('the power is off')
}
