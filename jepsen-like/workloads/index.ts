/** Every workload by its name. */
import { events } from './events.js'
import { serviceWorkloads } from './service.js'
import { storeWorkloads } from './store.js'
import type { Workload } from './workload.js'

export { allEvents, Follower, type Seen } from './events.js'
export { undoOperators } from './service.js'
export type { Client, Workload } from './workload.js'

export const workloads: readonly Workload[] = [...storeWorkloads, ...serviceWorkloads, events]

/** What runs unless something else is asked for. Operators are on their own: what they do looks like a fault. */
export const defaultWorkloads = ['register', 'kv', 'append', 'set', 'idempotent', 'owner', 'events'] as const

/** Of these, on a cluster of somebody's own, those for which it has what they need. */
export const hostsWorkloads = [...defaultWorkloads, 'address'] as const

/** `all` is every one, with `gentle` but for those that must be named; the text of what is unknown. */
export function chooseWorkloads(words: readonly string[], gentle = false): readonly Workload[] | string {
  const chosen = new Set<Workload>()
  for (const word of words) {
    const found = workloads.filter(({ name, onlyByName = false }) => word === name || (word === 'all' && !(gentle && onlyByName)))
    if (found.length === 0) return word
    for (const workload of found) chosen.add(workload)
  }
  return [...chosen]
}
