/**
 * Cuts a history into parts that have nothing to do with each other: keys, or groups of keys that transactions tie together.
 *
 * Linearizability is local (Herlihy and Wing 1990): a history is linearizable exactly when each part is.
 */
import type { Operation } from './history.js'
import { canonical, type Json } from './values.js'

export interface Part {
  readonly keys: readonly Json[]
  /** In the order of invocation. */
  readonly operations: readonly Operation[]
}

export function partition(operations: readonly Operation[]): readonly Part[] {
  const parents = new Map<string, string>()
  const keys = new Map<string, Json>()
  const root = (name: string): string => {
    let at = name
    for (;;) {
      const parent = parents.get(at) ?? at
      if (parent === at) break
      at = parent
    }
    parents.set(name, at)
    return at
  }
  const homes = operations.map((operation) => {
    const names = keysOf(operation).map((key) => {
      const name = canonical(key)
      keys.set(name, key)
      if (!parents.has(name)) parents.set(name, name)
      return name
    })
    const [first] = names
    for (const name of names) parents.set(root(name), root(first as string))
    return first
  })
  const parts = new Map<string, { readonly keys: Json[]; readonly operations: Operation[] }>()
  for (const [name, key] of keys) {
    const home = root(name)
    const part = parts.get(home) ?? { keys: [], operations: [] }
    part.keys.push(key)
    parts.set(home, part)
  }
  for (const [at, operation] of operations.entries()) {
    const home = homes[at]
    if (home !== undefined) parts.get(root(home))?.operations.push(operation)
  }
  return [...parts.values()]
}

/** A transaction that touches nothing has none. */
function keysOf({ f, key, asked, answered }: Operation): readonly Json[] {
  if (f !== 'txn') return [key]
  const list = Array.isArray(answered) && answered.length > 0 ? answered : asked
  // What is no list, or no access, is for the model to complain about.
  if (!Array.isArray(list)) return [key]
  return list.map((access: Json) => (Array.isArray(access) ? (access[1] ?? null) : null))
}
