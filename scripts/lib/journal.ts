/**
 * Judges the journal that a service writes outside the cluster's control: whether two copies ever ran at one instant.
 *
 * A copy is known to have run from its first note to its last. Notes are JSON Lines with `at` (milliseconds since 1970),
 * `node`, `token`, `pid`, `what`.
 */
import { existsSync, readFileSync } from 'node:fs'

export interface Copy {
  readonly node: string
  readonly token: number
  readonly pid: number
  readonly from: number
  readonly to: number
}

export function readCopies(path: string): readonly Copy[] {
  if (!existsSync(path)) return []
  const copies = new Map<string, { node: string; token: number; pid: number; from: number; to: number }>()
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line === '') continue
    let note: { at: number; node: string; token: number; pid: number }
    try {
      note = JSON.parse(line) as typeof note
    } catch {
      continue // Half a line: its writer was killed.
    }
    const key = `${note.node}/${note.pid}/${note.token}`
    const copy = copies.get(key)
    if (copy === undefined) copies.set(key, { node: note.node, token: note.token, pid: note.pid, from: note.at, to: note.at })
    else copy.to = Math.max(copy.to, note.at)
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
