/**
 * Where processes write. Always files, never a pipe of ours: a pipe would break when this process dies, and a daemon
 * that an agent leaves behind would keep it open.
 */
import { closeSync, constants, copyFile, fstatSync, ftruncateSync, openSync, readSync, statSync, truncate, unlinkSync } from 'node:fs'
import { join } from 'node:path'

/** Most that is kept of one stream of an action. */
export const outputMax = 65_536
/** Size at which the file behind it is emptied: an action that writes without end must not fill the disk. */
const fileMax = 4 * 1_048_576
const serviceLogMax = 8 * 1_048_576
const followedMax = 262_144

let made = 0

/** A file without a name: it is gone with the last process that holds it. */
export class CapturedOutput {
  readonly fd: number
  /** What was written before the file had to be emptied. */
  #head: string | undefined

  constructor(folder: string) {
    const path = join(folder, `output.${process.pid}.${++made}`)
    this.fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_APPEND, 0o600)
    unlinkSync(path)
  }

  /** To be called now and then while the action runs. */
  bound() {
    if (fstatSync(this.fd).size <= fileMax) return
    this.#head ??= this.#read()
    ftruncateSync(this.fd, 0)
  }

  /** The beginning of what was written; closes the file. */
  finish(): string {
    const text = this.#head ?? this.#read()
    closeSync(this.fd)
    return text
  }

  #read(): string {
    const bytes = new Uint8Array(outputMax)
    const count = readSync(this.fd, bytes, 0, outputMax, 0)
    return new TextDecoder().decode(bytes.subarray(0, count))
  }
}

/** The end of a log that services append to, from where it stood when this was made. */
export class LogTail {
  /** Opened for appending, so that emptying the file under a running service is harmless. */
  readonly fd: number
  /** Size of the log when this was made. */
  readonly from: number
  readonly #path: string

  constructor(path: string) {
    this.#path = path
    this.fd = openSync(path, 'a', 0o640)
    this.from = fstatSync(this.fd).size
  }

  bound() {
    boundServiceLog(this.#path)
  }

  /** Lets go of our hold of the file; whoever was started with it keeps theirs. */
  close() {
    closeSync(this.fd)
  }

  finish(): string {
    this.close()
    return this.read()
  }

  /** What has been appended since, at most the last `outputMax` bytes; empty when the log is gone. */
  read(): string {
    let file: number
    try {
      file = openSync(this.#path, 'r')
    } catch {
      return ''
    }
    try {
      const size = fstatSync(file).size
      const from = Math.max(size < this.from ? 0 : this.from, size - outputMax)
      const bytes = new Uint8Array(size - from)
      return new TextDecoder().decode(bytes.subarray(0, readSync(file, bytes, 0, bytes.length, from)))
    } finally {
      closeSync(file)
    }
  }
}

/** Reads what is appended to a log, a piece at a time, from a place in it on. */
export class LogFollower {
  readonly #path: string
  #at: number
  readonly #decoder = new TextDecoder()

  constructor(path: string, from: number) {
    this.#path = path
    this.#at = from
  }

  /** What has come since the last look; of very much, the rest comes with the next one. Empty when the log is gone. */
  next(): string {
    let file: number
    try {
      file = openSync(this.#path, 'r')
    } catch {
      return ''
    }
    try {
      const { size } = fstatSync(file)
      if (size < this.#at) this.#at = 0 // It was emptied to bound its size.
      const bytes = new Uint8Array(Math.min(followedMax, size - this.#at))
      const count = readSync(file, bytes, 0, bytes.length, this.#at)
      this.#at += count
      return this.#decoder.decode(bytes.subarray(0, count), { stream: true })
    } finally {
      closeSync(file)
    }
  }
}

/** Keeps a service's log and one older part of it, each of bounded size. */
export function boundServiceLog(path: string) {
  try {
    if (statSync(path).size <= serviceLogMax) return
  } catch {
    return
  }
  copyFile(path, `${path}.1`, () => truncate(path, 0, () => {}))
}

/** The last lines of a text, for a person: at most `max` characters. */
export function tailOf(text: string, max = 300): string {
  const trimmed = text.trim()
  return trimmed.length <= max ? trimmed : `…${trimmed.slice(-max)}`
}
