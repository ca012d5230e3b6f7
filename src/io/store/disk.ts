/**
 * The few file operations that the log and the identity need, so that tests can let each of them fail.
 *
 * What is called durable here is durable: contents by fdatasync or fsync, names by an fsync of their folder.
 */
import { close, constants, fdatasync, fsync, ftruncate, open as openFile, write, writeSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, rm, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'

export interface DiskFile {
  /** Writes all of `bytes` at `position`; small writes are done when this returns, large ones when the promise resolves. */
  write(bytes: Uint8Array, position: number): Promise<void> | undefined
  /** Makes contents and length durable. */
  sync(): Promise<void>
  /** Shortens the file to `length` bytes, durably. */
  cut(length: number): Promise<void>
  close(): Promise<void>
}

export interface Disk {
  /** Opens for writing without emptying; creates the file where it is missing. */
  open(path: string): Promise<DiskFile>
  /** Undefined where there is no such file. */
  read(path: string): Promise<Uint8Array | undefined>
  /** Names in `folder`, sorted. */
  list(folder: string): Promise<readonly string[]>
  /** Creates the folder and those above it, durably. */
  makeFolder(path: string): Promise<void>
  /** Replaces the file as one durable step: a temporary file, synced, renamed, and the folder synced. */
  replace(path: string, text: string): Promise<void>
  /** Removes a file; durable with the next `syncFolder`. */
  remove(path: string): Promise<void>
  /** Removes a folder with all that is in it, where it is there. */
  removeFolder(path: string): Promise<void>
  /** Makes the names in `folder` durable. */
  syncFolder(folder: string): Promise<void>
}

/** Beyond this a write goes to the thread pool; below it the copy into the page cache is shorter than the hop. */
const smallWriteMax = 128 * 1024

const syncData = promisify(fdatasync)

export const realDisk: Disk = {
  async open(path) {
    return openedFile(await promisify(openFile)(path, constants.O_RDWR | constants.O_CREAT, 0o600))
  },
  async read(path) {
    try {
      return await readFile(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  },
  async list(folder) {
    return (await readdir(folder)).sort()
  },
  async makeFolder(path) {
    const first = await mkdir(path, { recursive: true, mode: 0o700 })
    if (first === undefined) return
    for (let made = path; made.length >= first.length; made = dirname(made)) await this.syncFolder(dirname(made))
  },
  async replace(path, text) {
    const file = await open(`${path}.new`, 'w', 0o600)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(`${path}.new`, path)
    await this.syncFolder(dirname(path))
  },
  remove: (path) => unlink(path),
  removeFolder: (path) => rm(path, { recursive: true, force: true }),
  async syncFolder(folder) {
    const handle = await open(folder, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  },
}

function openedFile(fd: number): DiskFile {
  const writeAsync = promisify(write)
  return {
    write(bytes, position) {
      if (bytes.length > smallWriteMax) return writeLarge(bytes, position)
      let done = 0
      while (done < bytes.length) done += writeSync(fd, bytes, done, bytes.length - done, position + done)
      return undefined
    },
    sync: () => syncData(fd),
    async cut(length) {
      await promisify(ftruncate)(fd, length)
      await promisify(fsync)(fd)
    },
    close: () => promisify(close)(fd),
  }

  async function writeLarge(bytes: Uint8Array, position: number): Promise<void> {
    let done = 0
    while (done < bytes.length) {
      const { bytesWritten } = await writeAsync(fd, bytes, done, bytes.length - done, position + done)
      done += bytesWritten
    }
  }
}
