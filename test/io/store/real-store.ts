/** Folders for tests of the real store, and a disk whose operations can be made to fail or wait. */
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Disk, type DiskFile, openStore, realDisk, type StoreOptions } from '../../../src/io/store/index.js'
import type { StoreFolder } from './contract.js'

export async function temporaryFolder(): Promise<{ readonly path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'quorate-store-'))
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

/** In memory where there is such a place, for tests in which it does not matter how long a sync takes. */
export async function quickFolder(): ReturnType<typeof temporaryFolder> {
  const path = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'quorate-store-'))
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

export async function realStoreFolder(options: StoreOptions = {}): Promise<StoreFolder & { readonly path: string }> {
  const { path, remove } = await temporaryFolder()
  return { path, remove, open: (listener) => openStore(join(path, 'data'), listener, options) }
}

export interface Faults {
  /** Called before each operation; what it throws is the operation's error, what it returns is waited for (writes excepted). */
  before: (
    operation: 'write' | 'sync' | 'cut' | 'replace' | 'sync-folder' | 'open' | 'remove' | 'remove-folder',
    path: string,
  ) => void | Promise<void>
}

export function faultyDisk(faults: Faults): Disk {
  return {
    ...realDisk,
    async open(path) {
      await faults.before('open', path)
      const file = await realDisk.open(path)
      const faulty: DiskFile = {
        write(bytes, position) {
          const wait = faults.before('write', path)
          return wait === undefined ? file.write(bytes, position) : wait.then(() => file.write(bytes, position))
        },
        async sync() {
          await faults.before('sync', path)
          await file.sync()
        },
        async cut(length) {
          await faults.before('cut', path)
          await file.cut(length)
        },
        close: () => file.close(),
      }
      return faulty
    },
    async replace(path, text) {
      await faults.before('replace', path)
      await realDisk.replace(path, text)
    },
    async remove(path) {
      await faults.before('remove', path)
      await realDisk.remove(path)
    },
    async removeFolder(path) {
      await faults.before('remove-folder', path)
      await realDisk.removeFolder(path)
    },
    async syncFolder(folder) {
      await faults.before('sync-folder', folder)
      await realDisk.syncFolder(folder)
    },
  }
}
