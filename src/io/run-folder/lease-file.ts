/**
 * The lease deadline, where it outlives the daemon that renews it and the guardian that watches it.
 *
 * One line of fixed length with a checksum, overwritten in place by one write: a reader that meets half of one sees it
 * and reads again. For one boot the deadline only grows.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { type BootId, type BootInstant, bootInstant, invariant } from '../../base/index.js'
import { checksum } from './atomic-file.js'

const length = 192
const attempts = 5

/** What the file says; undefined when it is missing or cannot be read as a whole. */
export function readLease(path: string): { readonly boot: string; readonly deadline: BootInstant } | undefined {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const text = readOnce(path)
    if (text === undefined) return undefined
    const match = /^([0-9a-f]{8}) (\S+) (\d+) *\n$/.exec(text)
    if (match !== null && match[1] === checksum(`${match[2]} ${match[3]}`)) {
      return { boot: match[2] as string, deadline: bootInstant(Number(match[3])) }
    }
  }
  return undefined
}

export class LeaseWriter {
  readonly #file: number
  readonly #boot: BootId
  #deadline: BootInstant

  constructor(path: string, boot: BootId) {
    invariant(/^\S{1,128}$/.test(boot), 'a boot id is 1 to 128 characters without spaces', { boot })
    const known = readLease(path)
    this.#deadline = known?.boot === boot ? known.deadline : bootInstant(0)
    this.#boot = boot
    this.#file = openSync(path, 'a', 0o600)
    closeSync(this.#file)
    this.#file = openSync(path, 'r+')
  }

  get deadline(): BootInstant {
    return this.#deadline
  }

  /** An earlier deadline than the one in force changes nothing. */
  extend(deadline: BootInstant): void {
    const whole = bootInstant(Math.floor(deadline))
    if (whole <= this.#deadline) return
    const body = `${this.#boot} ${whole}`
    writeSync(this.#file, `${checksum(body)} ${body}`.padEnd(length - 1).concat('\n'), 0, 'utf8')
    this.#deadline = whole
  }

  close(): void {
    closeSync(this.#file)
  }
}

function readOnce(path: string): string | undefined {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch {
    return undefined
  }
  try {
    const bytes = new Uint8Array(length)
    const count = readSync(file, bytes, 0, length, 0)
    return new TextDecoder().decode(bytes.subarray(0, count))
  } catch {
    return undefined
  } finally {
    closeSync(file)
  }
}
