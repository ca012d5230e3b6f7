/** Small files that are there whole or not at all: written beside, renamed over. The folder outlives processes, not power, so nothing is synced. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { crc32c } from '../../base/index.js'

let written = 0

/** Throws where the folder cannot be written: nothing may rely on what is not there. */
export function writeWhole(path: string, text: string): void {
  const beside = `${path}.${process.pid}.${++written}.new`
  try {
    writeFileSync(beside, text, { mode: 0o600 })
    renameSync(beside, path)
  } catch (error) {
    rmSync(beside, { force: true })
    throw error
  }
}

/** JSON with its checksum on the first line. */
export function writeChecked(path: string, value: unknown): void {
  const json = JSON.stringify(value)
  writeWhole(path, `${checksum(json)}\n${json}\n`)
}

/** `missing` and `garbled` are told apart: a file that was there may have said anything. */
export function readChecked(path: string): { readonly kind: 'read'; readonly value: unknown } | { readonly kind: 'missing' | 'garbled' } {
  let text: string | undefined
  try {
    text = readWhole(path)
  } catch {
    return { kind: 'garbled' }
  }
  if (text === undefined) return { kind: 'missing' }
  const end = text.indexOf('\n')
  const json = text.slice(end + 1, -1)
  if (end < 0 || text.slice(0, end) !== checksum(json)) return { kind: 'garbled' }
  try {
    return { kind: 'read', value: JSON.parse(json) }
  } catch {
    return { kind: 'garbled' }
  }
}

/** Undefined when there is no such file. Throws when nobody can tell. */
export function readWhole(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

export const isMissing = (error: unknown) => (error as NodeJS.ErrnoException).code === 'ENOENT'

export function makeFolder(path: string, mode = 0o700): string {
  mkdirSync(path, { recursive: true, mode })
  return path
}

export function checksum(text: string): string {
  return crc32c(new TextEncoder().encode(text)).toString(16).padStart(8, '0')
}
