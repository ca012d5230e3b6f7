/**
 * Judges one register by its values that were written once (Gibbons and Korach 1997, with compare-and-set).
 *
 * In every linearization, such a value's write and all who observed it stand together with no other write between them: a block.
 * A compare-and-set ends one block and begins the next, so blocks joined by one are one. What is in no block is a block alone.
 * Block S must come before T when something of S completed before something of T began. Both before each other cannot be, and
 * where that is nowhere the case, an order of the blocks exists: among blocks that must come before each other in a ring, the
 * one with the latest beginning and its successor are before each other already.
 *
 * Where all observed values were written once, this decides. Where not, it may still find what cannot be.
 */
import { isOptional, type RegisterStep, type Registers } from './registers.js'
import { canonical, type Json } from './values.js'

export interface Conflict {
  readonly text: string
  readonly steps: readonly RegisterStep[]
}

export type BlockResult =
  | { readonly kind: 'conflict'; readonly conflict: Conflict }
  | { readonly kind: 'linearizable' }
  | { readonly kind: 'open' }

interface Use {
  readonly writers: RegisterStep[]
  readonly lookers: RegisterStep[]
}

interface Member {
  /** The write that was there before the history is undefined. */
  readonly step: RegisterStep | undefined
  /** Order within a chain of values. */
  readonly rank: number
}

/** `registers` has one register. */
export function judgeBlocks(registers: Registers): BlockResult {
  const uses = usesByValue(registers)
  const initial = registers.initial[0] as number
  const name = (value: number) => canonical((registers.values[0] as readonly Json[])[value] as Json)
  const conflict = (text: string, steps: readonly RegisterStep[]): BlockResult => ({ kind: 'conflict', conflict: { text, steps } })
  const written = (value: number) => (uses.get(value)?.writers.length ?? 0) + (value === initial ? 1 : 0)

  for (const [value, { writers, lookers }] of uses) {
    for (const looker of lookers.filter(isMandatory)) {
      if (value === initial || writers.some((writer) => writer !== looker && writer.invoked < looker.returned)) continue
      return conflict(`nobody wrote ${name(value)} before it was observed`, [looker])
    }
  }

  const happened = mustHaveHappened(registers.steps, uses, initial)
  const next = new Map<number, RegisterStep>()
  for (const step of happened) {
    const { expect, write } = effect(step)
    if (expect === -1 || write === -1 || written(expect) !== 1) continue
    const other = next.get(expect)
    if (other !== undefined) return conflict(`${name(expect)} was written once and replaced twice`, [other, step])
    next.set(expect, step)
  }

  const blocks: Member[][] = []
  const placed = new Set<RegisterStep>()
  const visited = new Set<number>()
  const isUnique = (value: number) => written(value) === 1 && (uses.get(value)?.lookers.length ?? 0) > 0
  /** The chain of values that begins with this one. */
  const chain = (head: number): Member[] => {
    const members: Member[] = []
    const enter = (step: RegisterStep | undefined, rank: number) => {
      members.push({ step, rank })
      if (step !== undefined) placed.add(step)
    }
    let value = head
    for (let rank = 0; ; rank += 2) {
      visited.add(value)
      const { writers, lookers } = uses.get(value) as Use
      if (rank === 0) enter(value === initial ? undefined : writers[0], 0)
      for (const looker of lookers) if (happened.has(looker) && effect(looker).write === -1) enter(looker, rank + 1)
      const successor = next.get(value)
      if (successor === undefined) return members
      enter(successor, rank + 2)
      value = effect(successor).write
      if (!isUnique(value) || visited.has(value)) return members
    }
  }
  for (const [value, { writers }] of uses) {
    if (!isUnique(value) || (value !== initial && !happened.has(writers[0] as RegisterStep))) continue
    const from = value === initial ? -1 : effect(writers[0] as RegisterStep).expect
    if (from === -1 || !isUnique(from)) blocks.push(chain(value))
  }
  for (const value of uses.keys()) {
    if (!isUnique(value) || visited.has(value) || !happened.has(uses.get(value)?.writers[0] as RegisterStep)) continue
    return conflict(
      `${name(value)} and what replaced it replace each other in a ring`,
      [next.get(value)].filter((step) => step !== undefined),
    )
  }
  for (const step of happened) {
    if (!placed.has(step) && effect(step).differ === -1) blocks.push([{ step, rank: 0 }])
  }

  const found = conflictWithin(blocks) ?? conflictBetween(blocks)
  if (found !== undefined) return { kind: 'conflict', conflict: found }
  const decides = [...uses].every(([value, { lookers }]) => lookers.length === 0 || written(value) === 1)
  return decides && registers.steps.every((step) => effect(step).differ === -1) ? { kind: 'linearizable' } : { kind: 'open' }
}

const effect = (step: RegisterStep) => step.effects[0] as RegisterStep['effects'][number]
const isMandatory = (step: RegisterStep) => !isOptional(step)

function usesByValue(registers: Registers): ReadonlyMap<number, Use> {
  const uses = new Map<number, Use>([[registers.initial[0] as number, { writers: [], lookers: [] }]])
  const use = (value: number): Use => {
    const known = uses.get(value) ?? { writers: [], lookers: [] }
    uses.set(value, known)
    return known
  }
  for (const step of registers.steps) {
    const { expect, write } = effect(step)
    if (expect !== -1) use(expect).lookers.push(step)
    if (write !== -1) use(write).writers.push(step)
  }
  return uses
}

/** Completed steps, and the only writers of what those who must have happened observed. */
function mustHaveHappened(steps: readonly RegisterStep[], uses: ReadonlyMap<number, Use>, initial: number): ReadonlySet<RegisterStep> {
  const happened = new Set(steps.filter(isMandatory))
  for (const step of happened) {
    const { expect } = effect(step)
    const [writer, another] = uses.get(expect)?.writers ?? []
    if (expect !== -1 && expect !== initial && writer !== undefined && another === undefined) happened.add(writer)
  }
  return happened
}

/** Something completed before what it comes after in its own block began. */
function conflictWithin(blocks: readonly (readonly Member[])[]): Conflict | undefined {
  for (const block of blocks) {
    let earliest: RegisterStep | undefined
    let waiting: RegisterStep | undefined
    let rank = -1
    for (const member of [...block].sort((a, b) => b.rank - a.rank)) {
      if (member.rank !== rank && waiting !== undefined && (earliest === undefined || waiting.returned < earliest.returned))
        earliest = waiting
      if (member.rank !== rank) waiting = undefined
      rank = member.rank
      const { step } = member
      if (earliest !== undefined && step !== undefined && earliest.returned < step.invoked) {
        return { text: 'the first completed before the second began, but what they saw is the other way round', steps: [earliest, step] }
      }
      if (step !== undefined && (waiting === undefined || step.returned < waiting.returned)) waiting = step
    }
  }
  return undefined
}

interface Zone {
  readonly first: RegisterStep | undefined
  readonly firstReturned: number
  readonly last: RegisterStep | undefined
  readonly lastInvoked: number
}

function conflictBetween(blocks: readonly (readonly Member[])[]): Conflict | undefined {
  const zones = blocks.map(zone).sort((a, b) => a.firstReturned - b.firstReturned)
  const returned = zones.map(({ firstReturned }) => firstReturned)
  // Of the zones up to each, the two with the latest beginning: one of them may be the zone that is asked about.
  const tops: (readonly Zone[])[] = []
  for (const each of zones) {
    tops.push([...(tops.at(-1) ?? []), each].sort((a, b) => b.lastInvoked - a.lastInvoked).slice(0, 2))
  }
  for (const each of zones) {
    const other = tops[countBelow(returned, each.lastInvoked) - 1]?.find((candidate) => candidate !== each)
    if (other === undefined || other.lastInvoked <= each.firstReturned) continue
    const steps = [each.first, each.last, other.first, other.last].filter((step) => step !== undefined)
    return { text: 'of the two values each has to be there both before and after the other', steps: [...new Set(steps)] }
  }
  return undefined
}

function zone(block: readonly Member[]): Zone {
  let [first, last]: [RegisterStep | undefined, RegisterStep | undefined] = [undefined, undefined]
  let [firstReturned, lastInvoked] = [Number.POSITIVE_INFINITY, -1]
  for (const { step } of block) {
    const returned = step?.returned ?? -1
    const invoked = step?.invoked ?? -1
    if (returned < firstReturned) [first, firstReturned] = [step, returned]
    if (invoked > lastInvoked) [last, lastInvoked] = [step, invoked]
  }
  return { first, firstReturned, last, lastInvoked }
}

/** How many of the ascending numbers are below the bound. */
function countBelow(ascending: readonly number[], bound: number): number {
  let [low, high] = [0, ascending.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((ascending[middle] as number) < bound) low = middle + 1
    else high = middle
  }
  return low
}
