/**
 * Registers: what reads, writes, compare-and-sets, locks and transactions ask of them and do to them.
 *
 * A lock is a register that is free or held: to acquire is to set it from free to held, to release the other way. Nobody looks
 * at who holds it.
 */
import { type Header, MalformedHistory, type Operation } from './history.js'
import type { State } from './search.js'
import { canonical, Interning, type Json } from './values.js'

/** What a step asks of one register, and does to it. Values are numbers of `Registers.values`; -1 means nothing. */
export interface Effect {
  readonly register: number
  /** The value that the register must have. */
  readonly expect: number
  /** The value that the register must not have. */
  readonly differ: number
  readonly write: number
}

export interface RegisterStep {
  readonly operation: Operation
  readonly invoked: number
  readonly returned: number
  /** It need not have happened. Without it, that is so for what has no end. */
  readonly isOptional?: boolean
  /** At most one for each register. */
  readonly effects: readonly Effect[]
}

export const isOptional = (step: RegisterStep): boolean => step.isOptional ?? step.returned === Number.POSITIVE_INFINITY

export interface Registers {
  readonly keys: readonly Json[]
  readonly values: readonly (readonly Json[])[]
  readonly initial: State
  readonly steps: readonly RegisterStep[]
  /** Completed operations that no order explains, for they contradict themselves. */
  readonly contradictions: readonly Operation[]
}

interface Access {
  readonly kind: 'read' | 'write'
  readonly key: Json
  /** Undefined for a read whose result is not known. */
  readonly value: Json | undefined
}

/** Throws MalformedHistory. */
export function compileRegisters(header: Header, operations: readonly Operation[]): Registers {
  const registers = new Interning()
  const values: Interning[] = []
  const initial: number[] = []
  const register = (key: Json): number => {
    const at = registers.id(key)
    if (at === values.length) {
      const interning = new Interning()
      values.push(interning)
      initial.push(interning.id(initialValue(header, key)))
    }
    return at
  }
  const value = (at: number, of: Json): number => (values[at] as Interning).id(of)

  const steps: RegisterStep[] = []
  const contradictions: Operation[] = []
  for (const operation of operations) {
    const effects = effectsOf(header, operation, register, value)
    if (effects === undefined) contradictions.push(operation)
    else if (effects.length > 0) steps.push({ operation, invoked: operation.invoked, returned: operation.returned, effects })
  }
  return tidy({ keys: registers.values, values: values.map((each) => each.values), initial, steps, contradictions })
}

/** For `kv` and `multi-register`, an object names the value of each key; anything else is the value of every key. */
export function initialValue({ model, initial = null }: Header, key: Json): Json {
  if (model === 'mutex') return initial === true || initial === 'held' || initial === 'locked'
  if (model === 'cas-register' || typeof initial !== 'object' || initial === null || Array.isArray(initial)) return initial
  const name = typeof key === 'string' ? key : canonical(key)
  return Object.hasOwn(initial, name) ? ((initial as { readonly [key: string]: Json })[name] as Json) : null
}

/** Undefined where the operation contradicts itself. */
function effectsOf(
  header: Header,
  operation: Operation,
  register: (key: Json) => number,
  value: (register: number, of: Json) => number,
): readonly Effect[] | undefined {
  const { f, key, asked, answered, outcome, line } = operation
  const one = (expect: Json | undefined, differ: Json | undefined, write: Json | undefined): readonly Effect[] => {
    const at = register(key)
    const id = (of: Json | undefined) => (of === undefined ? -1 : value(at, of))
    return [{ register: at, expect: id(expect), differ: id(differ), write: id(write) }]
  }
  if (header.model === 'mutex') {
    if (f === 'acquire') return one(false, undefined, true)
    if (f === 'release') return one(true, undefined, false)
    throw new MalformedHistory(line, `a mutex knows acquire and release, not ${JSON.stringify(f)}`)
  }
  if (f === 'read') return outcome === 'ok' ? one(answered ?? null, undefined, undefined) : []
  if (f === 'write') {
    const written = asked === undefined ? answered : asked
    if (written === undefined) throw new MalformedHistory(line, 'a write names no value')
    return one(undefined, undefined, written)
  }
  if (f === 'cas') {
    const pair = isPair(asked) ? asked : answered
    if (!isPair(pair)) throw new MalformedHistory(line, 'the value of a cas is not [old, new]')
    return outcome === 'refused' ? one(undefined, pair[0], undefined) : one(pair[0], undefined, pair[1])
  }
  if (f === 'txn' && header.model === 'multi-register') return transaction(accesses(operation), register, value)
  throw new MalformedHistory(line, `the model ${header.model} does not know ${JSON.stringify(f)}`)
}

const isPair = (value: Json | undefined): value is readonly [Json, Json] => Array.isArray(value) && value.length === 2

function accesses(operation: Operation): readonly Access[] {
  const { asked, answered, outcome, line } = operation
  const known = outcome === 'ok' && answered !== undefined && answered !== null
  const list = known ? answered : asked
  if (!Array.isArray(list)) throw new MalformedHistory(line, 'the value of a txn is not a list')
  if (known && Array.isArray(asked)) checkSameAccesses(asked, list, line)
  const found = list.map((access: Json): Access => {
    if (!Array.isArray(access) || access.length < 2) throw new MalformedHistory(line, 'an access of a txn is not [f, key, value]')
    const [f, key, value] = access as [Json, Json, Json | undefined]
    if (f === 'r' || f === 'read') return { kind: 'read', key, value: outcome === 'ok' ? (value ?? null) : undefined }
    if ((f === 'w' || f === 'write') && value !== undefined) return { kind: 'write', key, value }
    throw new MalformedHistory(line, `a txn reads (r) and writes (w) with a value, not ${canonical(access)}`)
  })
  if (outcome === 'ok' && !known && found.some(({ kind }) => kind === 'read')) {
    throw new MalformedHistory(line, 'a completed txn does not say what it read')
  }
  return found
}

/** A completion may differ from its invocation in what was read only. */
export function checkSameAccesses(asked: readonly Json[], answered: readonly Json[], line: number): void {
  const shape = (access: Json) => {
    if (!Array.isArray(access)) return canonical(access)
    return canonical(access[0] === 'r' || access[0] === 'read' ? access.slice(0, 2) : access)
  }
  if (asked.length === answered.length && asked.every((access, at) => shape(access) === shape(answered[at] as Json))) return
  throw new MalformedHistory(line, 'the completed txn is not the one that was invoked')
}

function transaction(
  list: readonly Access[],
  register: (key: Json) => number,
  value: (register: number, of: Json) => number,
): readonly Effect[] | undefined {
  const effects = new Map<number, { register: number; expect: number; differ: number; write: number }>()
  for (const { kind, key, value: of } of list) {
    if (of === undefined) continue
    const at = register(key)
    const id = value(at, of)
    const effect = effects.get(at) ?? { register: at, expect: -1, differ: -1, write: -1 }
    effects.set(at, effect)
    if (kind === 'write') {
      effect.write = id
    } else {
      const own = effect.write !== -1 ? effect.write : effect.expect
      if (own !== -1 && own !== id) return undefined
      if (own === -1) effect.expect = id
    }
  }
  return [...effects.values()]
}

/** Leaves out what makes no difference. Also for registers that were made from others. */
export function tidy(registers: Registers): Registers {
  let steps = registers.steps.flatMap((step): RegisterStep[] => {
    const effects = step.effects
      .map((effect) => (effect.write === effect.expect ? { ...effect, write: -1 } : effect))
      .filter(({ expect, differ, write }) => expect !== -1 || differ !== -1 || write !== -1)
    return effects.length === 0 ? [] : [{ ...step, effects }]
  })
  for (;;) {
    const left = withoutIdle(steps)
    if (left.length === steps.length) break
    steps = left
  }
  return blind({ ...registers, steps })
}

/**
 * Without those of unknown outcome that may as well not have happened: all that could have observed a value that they write
 * had completed before they began.
 *
 * Why this is sound: take a linearization with such a step. Until each register is written again, nobody after the step expects
 * the value that it wrote there, so nobody expects any (a read of another value is not possible there), and nobody asks
 * that the value differ from another. Without the step, all the others see what they saw.
 */
function withoutIdle(steps: readonly RegisterStep[]): RegisterStep[] {
  const lastLook = new Map<string, number>()
  const lastDiffer = new Map<number, number>()
  for (const { effects, returned } of steps) {
    for (const { register, expect, differ } of effects) {
      const name = `${register} ${expect}`
      if (expect !== -1) lastLook.set(name, Math.max(returned, lastLook.get(name) ?? -1))
      if (differ !== -1) lastDiffer.set(register, Math.max(returned, lastDiffer.get(register) ?? -1))
    }
  }
  return steps.filter((step) => {
    const { invoked, effects } = step
    if (!isOptional(step)) return true
    return effects.some(
      ({ register, write }) =>
        write !== -1 && ((lastLook.get(`${register} ${write}`) ?? -1) > invoked || (lastDiffer.get(register) ?? -1) > invoked),
    )
  })
}

/** Values that nobody looks for are one value. */
function blind(registers: Registers): Registers {
  const looked = new Set<string>()
  for (const { effects } of registers.steps) {
    for (const { register, expect, differ } of effects) {
      if (expect !== -1) looked.add(`${register} ${expect}`)
      if (differ !== -1) looked.add(`${register} ${differ}`)
    }
  }
  const stand = registers.values.map((values, register) => values.findIndex((_, value) => !looked.has(`${register} ${value}`)))
  const seen = (register: number, value: number): number =>
    value === -1 || looked.has(`${register} ${value}`) ? value : (stand[register] as number)
  return {
    ...registers,
    initial: registers.initial.map((value, register) => seen(register, value)),
    steps: registers.steps.map((step) => ({
      ...step,
      effects: step.effects.map((effect) => ({ ...effect, write: seen(effect.register, effect.write) })),
    })),
  }
}

/** One register alone, as it is seen by who looks at nothing else: what holds of all holds of it. */
export function project(registers: Registers, register: number): Registers {
  const steps = registers.steps.flatMap((step) => {
    const effects = step.effects.filter((effect) => effect.register === register).map((effect) => ({ ...effect, register: 0 }))
    return effects.length === 0 ? [] : [{ ...step, effects }]
  })
  return tidy({
    keys: [registers.keys[register] as Json],
    values: [registers.values[register] as readonly Json[]],
    initial: [registers.initial[register] as number],
    steps,
    contradictions: [],
  })
}

/**
 * One register as it is seen by who can only tell `value` from all others: 1 is the value, 0 any other. What is linearizable
 * stays so, and there is much less to try.
 */
export function squint(registers: Registers, value: number, initial = is(value, registers.initial[0] as number)): Registers {
  return tidy({
    ...registers,
    values: [['another value', (registers.values[0] as readonly Json[])[value] as Json]],
    initial: [initial],
    steps: registers.steps.map((step) => ({
      ...step,
      effects: step.effects.map(({ register, expect, differ, write }) => ({
        register,
        // To differ from the value is to be another one; to differ from one of the others says nothing.
        expect: differ === value ? 0 : is(value, expect),
        differ: -1,
        write: is(value, write),
      })),
    })),
  })
}

const is = (value: number, other: number): number => (other === -1 ? -1 : other === value ? 1 : 0)

/**
 * One register between two moments. What had completed before is left out, what was open at either moment need not have happened in
 * between. Linearizable, from one of the values that it may have had at the first, when the whole is.
 */
export function between(registers: Registers, from: number, to: number): Registers {
  const steps = registers.steps
    .filter(({ invoked, returned }) => returned > from && invoked < to)
    .map((step) =>
      step.invoked > from && step.returned <= to
        ? step
        : { ...step, isOptional: true, returned: step.returned > to ? Number.POSITIVE_INFINITY : step.returned },
    )
  return { ...registers, steps }
}
