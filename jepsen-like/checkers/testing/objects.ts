/** The objects of all models, as plain as can be: what an operation answers when it takes effect. Written apart from the checkers. */
import type { ModelName } from '../history.js'
import { canonical, type Json } from '../values.js'

export type Objects = ReadonlyMap<string, Json>

export interface Effect {
  readonly objects: Objects
  readonly isRefused: boolean
  /** What is completed with. */
  readonly value: Json
}

/** The operation takes effect on the objects; undefined where it cannot happen now, as an acquire of a lock that is held. */
export function takeEffect(model: ModelName, objects: Objects, f: string, key: Json, value: Json): Effect | undefined {
  const name = canonical(key)
  const now = objects.get(name) ?? (model === 'mutex' ? false : model === 'set' || model === 'list-append' ? [] : null)
  const becomes = (next: Json): Objects => new Map([...objects, [name, next]])
  if (f === 'txn') return transaction(model, objects, value as readonly (readonly Json[])[])
  if (f === 'read') return { objects, isRefused: false, value: now }
  if (f === 'acquire') return now === true ? undefined : { objects: becomes(true), isRefused: false, value: null }
  if (f === 'release') return now === false ? undefined : { objects: becomes(false), isRefused: false, value: null }
  if (f === 'cas') {
    const [old, next] = value as readonly [Json, Json]
    const isRefused = canonical(now) !== canonical(old)
    return { objects: isRefused ? objects : becomes(next), isRefused, value }
  }
  if (model === 'set') {
    const list = now as readonly Json[]
    return { objects: list.includes(value) ? objects : becomes([...list, value]), isRefused: false, value }
  }
  if (model === 'list-append') return { objects: becomes([...(now as readonly Json[]), value]), isRefused: false, value }
  return { objects: becomes(value), isRefused: false, value }
}

function transaction(model: ModelName, objects: Objects, accesses: readonly (readonly Json[])[]): Effect {
  let now = objects
  const value = accesses.map(([f, key, of]): Json => {
    const kind = f === 'r' ? 'read' : f === 'append' ? 'append' : 'write'
    const effect = takeEffect(model, now, kind, key as Json, of as Json) as Effect
    now = effect.objects
    return [f as Json, key as Json, kind === 'read' ? effect.value : (of as Json)]
  })
  return { objects: now, isRefused: false, value }
}
