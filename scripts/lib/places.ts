/** Where the demo and the laboratory of this checkout keep their files: other scripts find them there. */
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { projectRoot } from './lab.js'

export interface Place {
  /** Data and logs of the nodes. */
  readonly home: string
  /** Sockets: a short path, for theirs must be short. */
  readonly run: string
}

export function demoPlace(): Place {
  const home = join(projectRoot, '.demo')
  return { home, run: join(tmpdir(), `quorate-demo-${shortHash(home)}`) }
}

export const labTag = 'lab'

export function labPlace(tag = labTag): Place {
  return { home: join(projectRoot, '.demo', tag), run: `/run/quorate-${tag}` }
}

export function powerSocketOf(place: Place): string {
  return join(place.run, 'power.sock')
}

/** Tells checkouts from each other in names that must be short. */
export function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8)
}
