/** Judges the operations of one part of a history: quick ways first, then search, with simpler questions asked beside it. */
import { judgeBlocks } from './blocks.js'
import { type Budget, budgetSlice } from './budget.js'
import type { Header, Operation } from './history.js'
import { compileLists, judgeLists, ListMachine, whatIsKnown } from './lists.js'
import { RegisterMachine } from './register-machine.js'
import { between, compileRegisters, isOptional, project, type Registers, squint } from './registers.js'
import { type SearchResult, search } from './search.js'
import { judgeSet } from './set.js'
import { canonical, type Json } from './values.js'

export type Judgement =
  | { readonly kind: 'linearizable' }
  | { readonly kind: 'violation'; readonly text: string; readonly operations: readonly Operation[] }
  | { readonly kind: 'memory' }

/** Yields from time to time; whoever has seen enough stops asking, and calls `return`. */
export type Judging<Result> = Generator<void, Result>

/** Operations of one part, in the order of invocation. Throws MalformedHistory. */
export function judge(header: Header, operations: readonly Operation[], budget: Budget): Judging<Judgement> {
  if (header.model === 'set') return judgeOnce(judgeSet(header.initial ?? null, operations))
  if (header.model === 'list-append') return judgeListAppend(header, operations, budget)
  return judgeRegisters(compileRegisters(header, operations), budget)
}

const linearizable: Judgement = { kind: 'linearizable' }

interface Objection {
  readonly text: string
  readonly operations: readonly Operation[]
}

// biome-ignore lint/correctness/useYield: it is a judging that needs no time.
function* judgeOnce(objection: Objection | undefined): Judging<Judgement> {
  return objection === undefined ? linearizable : { kind: 'violation', ...objection }
}

function* judgeListAppend(header: Header, operations: readonly Operation[], budget: Budget): Judging<Judgement> {
  const lists = compileLists(header, operations)
  const known = whatIsKnown(lists)
  if ('text' in known) return { kind: 'violation', ...known }
  if (!known.isAmbiguous) return yield* judgeOnce(judgeLists(lists, known))
  const result = yield* search(() => new ListMachine(lists, known), budget)
  if (result === 'linearizable') return linearizable
  if (result !== 'impossible') return { kind: 'memory' }
  return { kind: 'violation', text: 'in no order were the lists as they were read', operations: [] }
}

function* judgeRegisters(registers: Registers, budget: Budget): Judging<Judgement> {
  const [contradiction] = registers.contradictions
  if (contradiction !== undefined) return { kind: 'violation', text: 'it contradicts itself', operations: [contradiction] }
  const projections = registers.keys.length === 1 ? [registers] : registers.keys.map((_, register) => project(registers, register))
  /** Registers that may be the reason, each by itself. */
  const open: Registers[] = []
  for (const [register, projection] of projections.entries()) {
    const result = judgeBlocks(projection)
    if (result.kind === 'open') open.push(projection)
    if (result.kind === 'conflict') {
      const { text, steps } = result.conflict
      const where = registers.keys.length === 1 ? '' : `${canonical(registers.keys[register] as Json)}: `
      return { kind: 'violation', text: where + text, operations: steps.map(({ operation }) => operation) }
    }
    if (result.kind === 'linearizable' && registers.keys.length === 1) return linearizable
    yield
  }
  return yield* searchWithHelp(registers, open, budget)
}

/** The search is alone for so many slices: most are over by then. */
const aloneMax = 60
/** No simpler question may take longer than so many slices. */
const helpMax = 400

/**
 * The search, which decides; beside it one that only wants to find an order, and simpler questions that only want to find that there
 * is none. They take turns.
 */
function* searchWithHelp(registers: Registers, open: readonly Registers[], budget: Budget): Judging<Judgement> {
  const main = search(() => new RegisterMachine(registers), budget)
  const hasty = search(() => new RegisterMachine(registers, { isBold: true }), budget, { isHasty: true })
  const help = simplerQuestions(registers.keys.length > 1, open, budget)
  let [answer, hastyAnswer]: (SearchResult | undefined)[] = []
  let objection: Judgement | undefined
  let isHelpOver = false
  try {
    for (let slice = 0; ; slice += 1) {
      answer ??= main.next().value ?? undefined
      if (answer === 'impossible') return { kind: 'violation', text: 'no order explains what was observed', operations: [] }
      if (slice >= aloneMax || answer !== undefined) {
        hastyAnswer ??= hasty.next().value ?? undefined
        if (!isHelpOver) {
          const next = help.next()
          isHelpOver = next.done === true
          if (next.done === true) objection = next.value
        }
      }
      if (answer === 'linearizable' || hastyAnswer === 'linearizable') return linearizable
      if (objection !== undefined) return objection
      if (answer === 'memory' && hastyAnswer !== undefined && isHelpOver) return { kind: 'memory' }
      yield
    }
  } finally {
    main.return('memory')
    hasty.return('memory')
    help.return(undefined)
  }
}

/**
 * Much less to try, and what is impossible there is impossible: each register alone; of each only whether it has a certain value; and
 * that only for a short while, from any state.
 */
function* simplerQuestions(areTied: boolean, open: readonly Registers[], budget: Budget): Judging<Judgement | undefined> {
  const violation = (text: string): Judgement => ({ kind: 'violation', text, operations: [] })
  for (const projection of open) {
    const key = canonical(projection.keys[0] as Json)
    const told = (value: number) => `${key} was ${canonical((projection.values[0] as readonly Json[])[value] as Json)}`
    for (const [from, to] of whiles(projection)) {
      const part = between(projection, from, to)
      for (const value of observed(part)) {
        const isPossible = !(yield* isImpossible(squint(part, value, 0), budget)) || !(yield* isImpossible(squint(part, value, 1), budget))
        if (!isPossible) return violation(`no order explains when ${told(value)} and when it was not`)
      }
    }
    if (areTied && (yield* isImpossible(projection, budget))) {
      return violation(`no order explains what was observed of ${key} alone`)
    }
    for (const value of observed(projection)) {
      if (yield* isImpossible(squint(projection, value), budget))
        return violation(`no order explains when ${told(value)} and when it was not`)
    }
  }
  return undefined
}

/** Whiles have so many completions, the short ones first; the next begins in the middle of one. */
const whileLengths = [100, 400]

/** From the last to the first: what is wrong is often at the end, above all while the shortest wrong history is looked for. */
function whiles({ steps }: Registers): readonly (readonly [from: number, to: number])[] {
  const completions = steps
    .map(({ returned }) => returned)
    .filter((returned) => returned < Number.POSITIVE_INFINITY)
    .sort((a, b) => a - b)
  const found: (readonly [number, number])[] = []
  for (const length of whileLengths) {
    for (let end = completions.length; end > length; end -= length / 2) {
      found.push([completions[end - length] as number, completions[end - 1] as number])
    }
  }
  return found
}

/** Values that somebody must have looked for. */
function observed({ steps }: Registers): ReadonlySet<number> {
  const looks = steps.flatMap((step) => (isOptional(step) ? [] : step.effects.flatMap(({ expect, differ }) => [expect, differ])))
  return new Set(looks.filter((value) => value !== -1))
}

function* isImpossible(registers: Registers, budget: Budget): Judging<boolean> {
  if (judgeBlocks(registers).kind === 'conflict') return true
  const run = search(() => new RegisterMachine(registers), budget)
  try {
    for (let slice = 0; slice < helpMax; slice += 1) {
      const next = run.next()
      if (next.done === true) return next.value === 'impossible'
      yield
    }
    return false
  } finally {
    run.return('memory')
  }
}

/** Judges to the end, or until `steps` are used up: undefined then. */
export function judgeNow(header: Header, operations: readonly Operation[], budget: Budget, steps: number): Judgement | undefined {
  const judging = judge(header, operations, budget)
  try {
    for (let left = steps; left > 0; left -= budgetSlice) {
      const next = judging.next()
      if (next.done === true) return next.value
    }
    return undefined
  } finally {
    judging.return(linearizable)
  }
}
