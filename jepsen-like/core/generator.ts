/**
 * What one process is to do next, as a value: a generator says the next operation and what is left of it, and changes nothing.
 *
 * Small ones are put together to larger ones. Chance comes from a seed and the position alone, so a schedule can be had again.
 */
import type { Operation } from './history.js'
import { type Random, randomOf } from './random.js'

export type Next =
  | { readonly kind: 'operation'; readonly operation: Operation; readonly rest: Generator }
  /** Nothing before this time, in milliseconds since the run began. */
  | { readonly kind: 'wait'; readonly until: number; readonly rest: Generator }
  | { readonly kind: 'over' }

/** `now`: milliseconds since the run began. */
export type Generator = (now: number) => Next

export const nothing: Generator = () => ({ kind: 'over' })

/** For ever, the operation of each position. */
export function every(make: (at: number) => Operation, at = 0): Generator {
  return () => ({ kind: 'operation', operation: make(at), rest: every(make, at + 1) })
}

/** For ever, by chance; the stream of each position is its own. */
export function random(seed: number, name: string, make: (random: Random, at: number) => Operation): Generator {
  return every((at) => make(randomOf(seed, name, at), at))
}

export function once(operation: Operation): Generator {
  return () => ({ kind: 'operation', operation, rest: nothing })
}

export function limit(count: number, generator: Generator): Generator {
  if (count <= 0) return nothing
  return (now) => {
    const next = generator(now)
    if (next.kind === 'over') return next
    return { ...next, rest: limit(next.kind === 'operation' ? count - 1 : count, next.rest) }
  }
}

/** Nothing from `end` on. */
export function until(end: number, generator: Generator): Generator {
  return (now) => {
    if (now >= end) return { kind: 'over' }
    const next = generator(now)
    if (next.kind === 'over' || (next.kind === 'wait' && next.until >= end)) return { kind: 'over' }
    return { ...next, rest: until(end, next.rest) }
  }
}

export function sequence(generators: readonly Generator[]): Generator {
  const [first, ...later] = generators
  if (first === undefined) return nothing
  return (now) => {
    const next = first(now)
    return next.kind === 'over' ? sequence(later)(now) : { ...next, rest: sequence([next.rest, ...later]) }
  }
}

/** Pauses by chance between operations, `mean` milliseconds on average. */
export function stagger(mean: number, seed: number, name: string, generator: Generator, at = 0): Generator {
  return (now) => {
    const next = generator(now)
    if (next.kind === 'over') return next
    if (next.kind === 'wait') return { ...next, rest: stagger(mean, seed, name, next.rest, at) }
    const pause = randomOf(seed, name, 'pause', at).next() * 2 * mean
    const after: Generator = (then) => ({ kind: 'wait', until: then + pause, rest: stagger(mean, seed, name, next.rest, at + 1) })
    return { ...next, rest: after }
  }
}

/** At each position one of them by chance; one that is over is passed over. */
export function mix(seed: number, name: string, generators: readonly Generator[], at = 0): Generator {
  if (generators.length === 0) return nothing
  return (now) => {
    const chosen = randomOf(seed, name, 'mix', at).between(0, generators.length - 1)
    const next = (generators[chosen] as Generator)(now)
    if (next.kind === 'over') return mix(seed, name, generators.toSpliced(chosen, 1), at + 1)(now)
    return { ...next, rest: mix(seed, name, generators.toSpliced(chosen, 1, next.rest), at + 1) }
  }
}

/** The operations at their times. */
export function timetable(entries: readonly { readonly at: number; readonly operation: Operation }[]): Generator {
  const [first, ...later] = entries
  if (first === undefined) return nothing
  return (now) =>
    now < first.at
      ? { kind: 'wait', until: first.at, rest: timetable(entries) }
      : { kind: 'operation', operation: first.operation, rest: timetable(later) }
}
