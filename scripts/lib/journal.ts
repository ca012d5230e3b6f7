/**
 * Judges the journal that a service writes outside the cluster's control: whether two copies ever ran at one instant.
 *
 * A copy is known to have run from its first note to its last. Notes are JSON Lines with `at` (milliseconds since 1970),
 * `node`, `token`, `pid`, `what`, and of `start` and `stop` the milliseconds that the program itself `took`.
 */
import { existsSync, readFileSync } from 'node:fs'

export interface Copy {
  readonly node: string
  readonly token: number
  readonly pid: number
  readonly from: number
  readonly to: number
  /** Milliseconds from its process to its open port, and from the signal to its end; undefined where it did not say. */
  readonly startTook: number | undefined
  readonly stopTook: number | undefined
}

export function readCopies(path: string): readonly Copy[] {
  if (!existsSync(path)) return []
  const copies = new Map<string, { -readonly [Field in keyof Copy]: Copy[Field] }>()
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line === '') continue
    let note: { at: number; node: string; token: number; pid: number; what: string; took?: number }
    try {
      note = JSON.parse(line) as typeof note
    } catch {
      continue // Half a line: its writer was killed.
    }
    const key = `${note.node}/${note.pid}/${note.token}`
    const { node, token, pid, at } = note
    const copy = copies.get(key) ?? { node, token, pid, from: at, to: at, startTook: undefined, stopTook: undefined }
    copies.set(key, copy)
    copy.to = Math.max(copy.to, at)
    if (note.what === 'start') copy.startTook = note.took
    if (note.what === 'stop') copy.stopTook = note.took
  }
  return [...copies.values()].sort((a, b) => a.from - b.from)
}

/** Pairs of copies that ran at one instant. */
export function overlaps(copies: readonly Copy[]): readonly (readonly [Copy, Copy])[] {
  const found: (readonly [Copy, Copy])[] = []
  for (const [at, copy] of copies.entries()) {
    for (const later of copies.slice(at + 1)) {
      if (later.from < copy.to) found.push([copy, later])
    }
  }
  return found
}
