/**
 * Histories from a seed. Clients call a real object, each call takes effect at one moment while it is open; one of unknown outcome
 * at any later moment, or never. So they are linearizable, until they are corrupted.
 */
import type { Header, HistoryEvent, ModelName } from '../history.js'
import type { Json } from '../values.js'
import { type Effect, type Objects, takeEffect } from './objects.js'
import type { Random } from './random.js'

export interface Shape {
  readonly model: ModelName
  readonly strict?: boolean
  readonly clients: number
  readonly operations: number
  readonly keys: number
  /** Values are chosen from so many; 0 for a new one each time. */
  readonly values: number
  /** Of operations, how many have an unknown outcome. */
  readonly info: number
  /** Of operations, how many read; a half by default. */
  readonly reads?: number
}

interface Call {
  readonly f: string
  readonly key: Json
  readonly value: Json
  readonly fate: 'ok' | 'info'
  effect?: Effect
}

export const headerOf = ({ model, strict = false }: Shape): Header => ({ model, strict })

export function generate(shape: Shape, random: Random): HistoryEvent[] {
  const events: HistoryEvent[] = []
  const open: (Call | undefined)[] = Array.from({ length: shape.clients }, () => undefined)
  /** Of unknown outcome, and not yet in effect: one day, or never. */
  const floating: Call[] = []
  let objects: Objects = new Map()
  let fresh = 1
  const happen = (call: Call): boolean => {
    const effect = takeEffect(shape.model, objects, call.f, call.key, call.value)
    if (effect === undefined) return false
    call.effect = effect
    objects = effect.objects
    return true
  }
  const emit = (process: number, type: HistoryEvent['type'], call: Call, value: Json) =>
    events.push({ process, type, f: call.f, value, ...(call.f === 'txn' || shape.keys === 0 ? {} : { key: call.key }) })

  for (let begun = 0, idle = 0; (begun < shape.operations || open.some((call) => call !== undefined)) && idle < 10_000; idle += 1) {
    const process = random.below(shape.clients)
    const call = open[process]
    if (random.chance(0.02) && floating.length > 0) happen(floating.splice(random.below(floating.length), 1)[0] as Call)
    if (call === undefined) {
      if (begun >= shape.operations) continue
      const next = invent(shape, random, objects, () => (shape.values === 0 ? fresh++ : random.below(shape.values)))
      open[process] = next
      emit(process, 'invoke', next, next.f === 'read' ? null : next.value)
      begun += 1
    } else if (call.effect === undefined && !(call.fate === 'info' && random.chance(0.5))) {
      if (!happen(call)) continue
    } else {
      if (call.fate === 'info' && call.effect === undefined && random.chance(0.5)) floating.push(call)
      const type = call.fate === 'info' ? 'info' : call.effect?.isRefused === true ? 'fail' : 'ok'
      emit(process, type, call, type === 'ok' ? (call.effect as Effect).value : call.f === 'read' ? null : call.value)
      open[process] = undefined
    }
    idle = 0
  }
  return events
}

function invent({ model, keys, info, reads = 0.5 }: Shape, random: Random, objects: Objects, value: () => Json): Call {
  const key = keys === 0 ? null : `k${random.below(keys)}`
  const fate = random.chance(info) ? 'info' : 'ok'
  if (model === 'mutex') return { f: random.chance(0.5) ? 'acquire' : 'release', key, value: null, fate }
  if (model === 'multi-register' || (model === 'list-append' && keys > 0)) {
    const write = model === 'multi-register' ? 'w' : 'append'
    const accesses = Array.from({ length: 1 + random.below(3) }, (): Json => {
      const of = `k${random.below(keys)}`
      return random.chance(reads) ? ['r', of, null] : [write, of, value()]
    })
    return { f: 'txn', key: null, value: accesses, fate }
  }
  if (random.chance(reads)) return { f: 'read', key, value: null, fate }
  if (model === 'set') return { f: 'add', key, value: value(), fate }
  if (model === 'list-append') return { f: 'append', key, value: value(), fate }
  if (random.chance(0.6)) return { f: 'write', key, value: value(), fate }
  // From what is there now, so that some succeed.
  const now = objects.get(JSON.stringify(key)) ?? null
  return { f: 'cas', key, value: [random.chance(0.8) ? now : value(), value()], fate }
}

/** Changes one answer to that of another read, of the same key where there are keys: a stale value, or one from the future. */
export function corrupt(events: readonly HistoryEvent[], random: Random): HistoryEvent[] {
  const answers = events.flatMap((event, at) => (event.type === 'ok' && (event.f === 'read' || event.f === 'txn') ? [at] : []))
  const changed = [...events]
  for (let tries = 0; tries < 100 && answers.length > 1; tries += 1) {
    const [at, from] = [random.pick(answers), random.pick(answers)]
    const [to, source] = [events[at] as HistoryEvent, events[from] as HistoryEvent]
    const value = to.f === 'txn' ? otherReads(to.value as readonly Json[], source.value as readonly Json[]) : source.value
    if (value === undefined || to.key !== source.key || JSON.stringify(value) === JSON.stringify(to.value)) continue
    changed[at] = { ...to, value }
    break
  }
  return changed
}

function otherReads(accesses: readonly Json[], source: readonly Json[]): Json | undefined {
  for (const [at, access] of accesses.entries()) {
    const [f, key, value] = access as readonly Json[]
    if (f !== 'r') continue
    const other = source.find((each) => (each as readonly Json[])[0] === 'r' && (each as readonly Json[])[1] === key) as
      | readonly Json[]
      | undefined
    if (other !== undefined && JSON.stringify(other[2]) !== JSON.stringify(value)) return accesses.with(at, other)
  }
  return undefined
}
