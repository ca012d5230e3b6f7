/** One file as it is at one moment: read whole or not at all, and put in its place whole or not at all. */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, readlink, rename, rm } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { carriedFileMax } from '../../core/cluster/index.js'
import { pause } from '../processes/index.js'

export type FileNow =
  | {
      readonly kind: 'read'
      readonly bytes: Uint8Array
      readonly sum: string
      readonly mode: number
      readonly owner: number
      readonly ownerGroup: number
    }
  | { readonly kind: 'missing' }
  /** It changes all the time: another look is due. */
  | { readonly kind: 'unsteady' }
  | { readonly kind: 'problem'; readonly detail: string }

const tries = 20
const betweenTries = 50
/** Clocks of file systems move in steps: what changed this lately may change once more without showing it. Milliseconds. */
const settledFor = 30

/** A file that changes while it is read is read again. */
export async function readFileNow(path: string): Promise<FileNow> {
  for (let attempt = 0; attempt < tries; attempt++) {
    if (attempt > 0) await pause(betweenTries)
    try {
      const now = await readOnce(path)
      if (now.kind !== 'unsteady') return now
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      if (code === 'ENOENT') return { kind: 'missing' }
      const isLink = code === 'ELOOP' || code === 'ENOTDIR'
      return { kind: 'problem', detail: isLink ? 'it is a symbolic link, or reached by one' : message }
    }
  }
  return { kind: 'unsteady' }
}

async function readOnce(path: string): Promise<FileNow> {
  const folder = await openFolder(path)
  try {
    // Not to wait for the other end of a pipe.
    const file = await open(folder.inside(basename(path)), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      const before = await file.stat({ bigint: true })
      if (!before.isFile()) return { kind: 'problem', detail: 'it is no file' }
      if (before.size > carriedFileMax)
        return { kind: 'problem', detail: `it has ${before.size} bytes, and ${carriedFileMax} are carried at most` }
      if (Date.now() - Number(before.mtimeMs) < settledFor) return { kind: 'unsteady' }
      const bytes = await readAll(file, Number(before.size))
      const after = await file.stat({ bigint: true })
      const there = await lstat(path, { bigint: true })
      const isSame = [after, there].every(
        ({ ino, dev, size, mtimeNs, ctimeNs }) =>
          ino === before.ino && dev === before.dev && size === before.size && mtimeNs === before.mtimeNs && ctimeNs === before.ctimeNs,
      )
      if (!isSame || bytes.length !== Number(before.size)) return { kind: 'unsteady' }
      const sum = createHash('sha256').update(bytes).digest('hex')
      return { kind: 'read', bytes, sum, mode: Number(before.mode) & 0o7777, owner: Number(before.uid), ownerGroup: Number(before.gid) }
    } finally {
      await file.close()
    }
  } finally {
    await folder.handle.close()
  }
}

async function readAll(file: FileHandle, size: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(size)
  let at = 0
  while (at < size) {
    const { bytesRead } = await file.read(bytes, at, size - at, at)
    if (bytesRead === 0) break
    at += bytesRead
  }
  return bytes.subarray(0, at)
}

/**
 * The folder of a file, held open: whoever puts a link in its place meanwhile changes nothing for who goes on inside it.
 * Throws where a symbolic link is on the way to it.
 */
async function openFolder(path: string): Promise<{ readonly handle: FileHandle; inside(name: string): string }> {
  const folder = dirname(path)
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  const place = `/proc/self/fd/${handle.fd}`
  if ((await readlink(place)) !== folder) {
    await handle.close()
    throw new Error(`${folder} is reached by a symbolic link`)
  }
  return { handle, inside: (name) => `${place}/${name}` }
}

export interface WantedFile {
  readonly path: string
  readonly mode: number
  readonly owner: number
  readonly ownerGroup: number
  readonly size: number
  readonly sum: string
}

/** Written beside it, synced, and renamed over it: there is the old one or the new one, never a part. Throws where that cannot be done. */
export async function putBack(wanted: WantedFile, bytes: Uint8Array): Promise<void> {
  const { path } = wanted
  const sum = createHash('sha256').update(bytes).digest('hex')
  if (bytes.length !== wanted.size || sum !== wanted.sum) throw new Error('what was carried is not what was left')
  await mkdir(dirname(path), { recursive: true, mode: 0o755 })
  const folder = await openFolder(path)
  try {
    const present = await lstat(folder.inside(basename(path))).catch(() => undefined)
    if (present !== undefined && !present.isFile())
      throw new Error(present.isSymbolicLink() ? 'a symbolic link is in its place' : 'something else is in its place')
    const beside = folder.inside(`.quorate-${process.pid}-${sum.slice(0, 16)}.new`)
    await rm(beside, { force: true })
    try {
      await writeNew(beside, wanted, bytes)
      await rename(beside, folder.inside(basename(path)))
    } catch (error) {
      await rm(beside, { force: true })
      throw error
    }
    await folder.handle.sync()
  } finally {
    await folder.handle.close()
  }
}

async function writeNew(path: string, { mode, owner, ownerGroup }: WantedFile, bytes: Uint8Array): Promise<void> {
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
  try {
    await file.writeFile(bytes)
    await giveTo(file, owner, ownerGroup)
    await file.chmod(mode) // After its owner: to give a file away takes bits from its mode.
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Without root a file belongs to whoever runs the monitor, on every node. */
async function giveTo(file: FileHandle, owner: number, ownerGroup: number) {
  const { uid, gid } = await file.stat()
  if (uid !== owner || gid !== ownerGroup) await file.chown(owner, ownerGroup)
}
