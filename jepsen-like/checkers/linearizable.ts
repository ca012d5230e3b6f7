/**
 * The question: is there one order of the operations, in which each took effect at one moment between its invocation and its
 * completion, that explains all that was observed?
 *
 * Parts that have nothing to do with each other take turns, so that a hard one does not hide a guilty one. Where time or
 * memory run out, the answer is unknown.
 */
import type { Budget } from './budget.js'
import { explain, type Witness } from './explain.js'
import { type Header, type HistoryEvent, MalformedHistory, pairOperations } from './history.js'
import { type Judgement, type Judging, judge } from './judge.js'
import { type Part, partition } from './partition.js'
import type { Json } from './values.js'

export interface Limits {
  /** Of real time. Without it, only the others count, and the same history has the same verdict always. */
  readonly seconds?: number
  /** Configurations looked at. */
  readonly steps?: number
  /** Configurations held in memory: some 200 bytes each. */
  readonly configurations?: number
}

export interface Doubt {
  /** `limit` and `memory` name what ran out; anything else says what is wrong with the history. */
  readonly reason: string
  /** Keys that were not judged. */
  readonly keys?: readonly Json[]
}

export type Verdict =
  | { readonly linearizable: true; readonly witness: null }
  | { readonly linearizable: false; readonly witness: Witness }
  | { readonly linearizable: 'unknown'; readonly witness: Doubt }

export const defaultLimits = { seconds: 300, configurations: 3_000_000 } as const satisfies Limits

/** So many keys are named in a doubt. */
const keysMax = 20

interface Turn {
  readonly part: Part
  readonly judging: Judging<Judgement>
}

/** What is wrong with a malformed history is the reason of an unknown verdict. */
export function checkLinearizable(events: readonly HistoryEvent[], header: Header, limits: Limits = defaultLimits): Verdict {
  try {
    return check(events, header, limits)
  } catch (error) {
    if (!(error instanceof MalformedHistory)) throw error
    return { linearizable: 'unknown', witness: { reason: error.message } }
  }
}

function check(events: readonly HistoryEvent[], header: Header, limits: Limits): Verdict {
  const { seconds = Number.POSITIVE_INFINITY, steps = Number.POSITIVE_INFINITY } = limits
  const began = performance.now()
  const budget: Budget = { steps: 0, stored: 0, storedMax: limits.configurations ?? defaultLimits.configurations }
  const isOver = () => budget.steps >= steps || performance.now() - began >= seconds * 1_000

  const parts = partition(pairOperations(events, header.strict === true))
  let turns = parts.map((part): Turn => ({ part, judging: judge(header, part.operations, budget) }))
  const forgotten: Part[] = []
  while (turns.length > 0) {
    const left: Turn[] = []
    for (const [at, turn] of turns.entries()) {
      const next = turn.judging.next()
      if (next.done !== true) left.push(turn)
      else if (next.value.kind === 'violation') return { linearizable: false, witness: explain(header, turn.part, next.value, isOver) }
      else if (next.value.kind === 'memory') forgotten.push(turn.part)
      if (isOver()) return doubt('limit', [...forgotten, ...[...left, ...turns.slice(at + 1)].map(({ part }) => part)])
    }
    turns = left
  }
  return forgotten.length === 0 ? { linearizable: true, witness: null } : doubt('memory', forgotten)
}

function doubt(reason: string, parts: readonly Part[]): Verdict {
  if (parts.length === 0) return { linearizable: true, witness: null }
  return { linearizable: 'unknown', witness: { reason, keys: parts.flatMap(({ keys }) => keys).slice(0, keysMax) } }
}
