/**
 * What a reader needs to see that a history is not linearizable: the operation whose completion made it so, the operations that
 * contradict each other, and a small history that is not linearizable for the same reason.
 *
 * Only what keeps the verdict is left out. What happened later: a history that is linearizable is so up to every moment.
 * Operations that only observe: without them there is less to explain. All operations that read or write certain values, where no
 * compare-and-set leads from these to others: where they stood in an order, the others did not look.
 */
import type { Budget } from './budget.js'
import type { Header, Operation } from './history.js'
import { type Judgement, judgeNow } from './judge.js'
import { type Part, partition } from './partition.js'
import { RegisterMachine } from './register-machine.js'
import { compileRegisters, type Registers } from './registers.js'
import { type Reached, search } from './search.js'
import { canonical, type Json } from './values.js'

export interface WitnessOperation {
  readonly line: number
  readonly process: number | string
  readonly f: string
  readonly key: Json
  /** What was observed, where it was; else what was asked for. */
  readonly value: Json
  readonly outcome: 'ok' | 'info' | 'refused'
}

export interface Witness {
  readonly keys: readonly Json[]
  readonly text: string
  /** The history is not linearizable from its completion on; null where this was not found in time. */
  readonly operation: WitnessOperation | null
  /** Operations that contradict each other, where such are known. */
  readonly conflict: readonly WitnessOperation[]
  /** All that is needed of the history for the verdict, as far as it could be made small; null where it is still long. */
  readonly subhistory: readonly WitnessOperation[] | null
  /** Of the small history: the longest order that was found, as lines, and the values that were possible after that many. */
  readonly order: readonly number[] | null
  readonly states: readonly Json[] | null
}

type Violation = Extract<Judgement, { readonly kind: 'violation' }>

/** One judgement of a smaller history may cost so many steps. */
const stepsMax = 200_000
/** All smaller histories that are tried have so many operations together. */
const triedMax = 150_000
/** A small history has so many operations at most. */
const subhistoryMax = 60
const conflictMax = 20
const orderMax = 200

export function explain(header: Header, part: Part, violation: Violation, isOver: () => boolean): Witness {
  const budget: Budget = { steps: 0, stored: 0, storedMax: 500_000 }
  let best = violation
  let tried = 0
  const isStillFalse = (operations: readonly Operation[]): boolean | undefined => {
    tried += operations.length
    if (tried > triedMax || isOver()) return undefined
    const judgement = judgeNow(header, operations, budget, stepsMax)
    if (judgement === undefined || judgement.kind === 'memory') return undefined
    if (judgement.kind === 'violation') best = judgement
    return judgement.kind === 'violation'
  }

  const { culprit, operations: prefix } = shortestPrefix(part.operations, isStillFalse)
  const units = header.model === 'set' ? readsOf(prefix) : [...valuesOf(header, prefix), ...readsOf(prefix)]
  const named = new Set(best.operations.map(({ line }) => line))
  const strange = units.filter((unit) => unit.every(({ line }) => !named.has(line)))
  const small = without(without(prefix, [strange.flat()], isStillFalse), units, isStillFalse)
  const isSmall = small.length <= subhistoryMax
  const { order, states } = isSmall && culprit !== undefined ? reach(header, small) : { order: null, states: null }
  return {
    keys: part.keys.slice(0, conflictMax),
    text: best.text,
    operation: culprit === undefined ? null : tell(culprit),
    conflict: best.operations.slice(0, conflictMax).map(tell),
    subhistory: isSmall ? small.map(tell) : null,
    order,
    states,
  }
}

function tell({ line, process, f, key, asked, answered, outcome }: Operation): WitnessOperation {
  const observes = f === 'read' || f === 'txn'
  return { line, process, f, key, value: (observes ? (answered ?? asked) : (asked ?? answered)) ?? null, outcome }
}

type Ask = (operations: readonly Operation[]) => boolean | undefined

/** By halving: what is not linearizable up to a completion is not so later either. */
function shortestPrefix(
  operations: readonly Operation[],
  isStillFalse: Ask,
): { culprit: Operation | undefined; operations: readonly Operation[] } {
  const completions = operations.filter(({ returned }) => returned < Number.POSITIVE_INFINITY).sort((a, b) => a.returned - b.returned)
  let [low, high] = [0, completions.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    const answer = isStillFalse(upTo(operations, (completions[middle] as Operation).returned))
    if (answer === undefined) return { culprit: undefined, operations: upTo(operations, (completions[high] as Operation).returned) }
    if (answer) high = middle
    else low = middle + 1
  }
  const culprit = completions[high]
  return { culprit, operations: culprit === undefined ? operations : upTo(operations, culprit.returned) }
}

/** The history as it was at a moment: what was open then has an unknown outcome. */
export function upTo(operations: readonly Operation[], moment: number): readonly Operation[] {
  return operations
    .filter(({ invoked }) => invoked < moment)
    .map((operation) =>
      operation.returned <= moment
        ? operation
        : { ...operation, outcome: 'info' as const, answered: undefined, returned: Number.POSITIVE_INFINITY },
    )
}

const observesOnly = ({ f, outcome }: Operation): boolean => f === 'read' || outcome === 'refused'

const readsOf = (operations: readonly Operation[]): readonly (readonly Operation[])[] =>
  operations.filter(observesOnly).map((operation) => [operation])

/** Operations of a plain register by the values that they read or write; compare-and-sets tie values together. */
function valuesOf({ model }: Header, operations: readonly Operation[]): readonly (readonly Operation[])[] {
  if (model !== 'cas-register' && model !== 'kv') return []
  if (operations.some(({ outcome }) => outcome === 'refused')) return []
  const tied = operations.map((operation): Operation => {
    const { value } = tell(operation)
    const values = operation.f === 'cas' ? (value as readonly Json[]) : [value]
    return { ...operation, f: 'txn', asked: values.map((each) => ['r', each]), answered: undefined }
  })
  const byLine = new Map(operations.map((operation) => [operation.line, operation]))
  return partition(tied).map((part) => part.operations.map(({ line }) => byLine.get(line) as Operation))
}

/** Leaves out one group of units after the other, in ever smaller groups, as long as the verdict stays. */
function without(operations: readonly Operation[], units: readonly (readonly Operation[])[], isStillFalse: Ask): readonly Operation[] {
  let left = operations
  for (let size = Math.ceil(units.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < units.length; at += size) {
      const gone = new Set(units.slice(at, at + size).flat())
      const fewer = left.filter((operation) => !gone.has(operation))
      if (fewer.length === left.length) continue
      const answer = isStillFalse(fewer)
      if (answer === true) left = fewer
    }
  }
  return left
}

function reach(header: Header, operations: readonly Operation[]): { order: readonly number[] | null; states: readonly Json[] | null } {
  if (header.model === 'set' || header.model === 'list-append') return { order: null, states: null }
  const registers = compileRegisters(header, operations)
  const reached: Reached = { due: -1, order: [], states: [] }
  const run = search(() => new RegisterMachine(registers), { steps: 0, stored: 0, storedMax: stepsMax }, { reached })
  while (run.next().done !== true);
  if (reached.due === -1) return { order: null, states: null }
  return {
    order: reached.order.slice(-orderMax).map((step) => registers.steps[step]?.operation.line ?? 0),
    states: reached.states.map((state) => stateOf(header, registers, state)),
  }
}

function stateOf({ model }: Header, { keys, values }: Registers, state: readonly number[]): Json {
  const value = (register: number): Json => {
    const of = (values[register] as readonly Json[])[state[register] as number] as Json
    return model === 'mutex' ? (of === true ? 'held' : 'free') : of
  }
  if (model !== 'multi-register') return value(0)
  return Object.fromEntries(keys.map((key, register) => [typeof key === 'string' ? key : canonical(key), value(register)]))
}
