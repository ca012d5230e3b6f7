/**
 * Which faults come when, from a seed alone: kinds take turns by weight, each with a target drawn for it, and a rest after it.
 *
 * Lanes run side by side, so that faults of different lanes overlap. Only the first lane may take what a quorum needs.
 */
import type { Json } from '../checkers/index.js'
import { type Random, randomOf } from './random.js'

/** What the plan knows of a kind of fault. */
export interface FaultKind {
  readonly name: string
  /** How long it lasts, in milliseconds, from and to. */
  readonly lasts: readonly [number, number]
  /** What is drawn for it: who is met, and how hard. */
  readonly draw: (random: Random, nodes: readonly string[]) => Json
  /** Takes a node away, or a part of the network: not beside another of the kind. */
  readonly takesAway: boolean
}

export interface PlannedFault {
  readonly id: number
  readonly fault: string
  readonly lane: number
  readonly detail: Json
  readonly from: number
  readonly to: number
}

export interface PlanOptions {
  readonly seed: number
  readonly nodes: readonly string[]
  readonly kinds: readonly FaultKind[]
  /** Milliseconds since the run began, between which faults may be. */
  readonly from: number
  readonly to: number
  /** Between two faults of a lane, from and to. */
  readonly rest: readonly [number, number]
  readonly lanes: number
}

export function planFaults(options: PlanOptions): readonly PlannedFault[] {
  const lanes = Array.from({ length: options.lanes }, (_, lane) => planLane(options, lane))
  return lanes
    .flat()
    .sort((a, b) => a.from - b.from || a.lane - b.lane)
    .map((fault, at) => ({ ...fault, id: at + 1 }))
}

function planLane({ seed, nodes, kinds, from, to, rest }: PlanOptions, lane: number): readonly Omit<PlannedFault, 'id'>[] {
  const allowed = lane === 0 ? kinds : kinds.filter((kind) => !kind.takesAway)
  const planned: Omit<PlannedFault, 'id'>[] = []
  if (allowed.length === 0) return planned
  let deck: readonly FaultKind[] = []
  let time = from + randomOf(seed, 'lane', lane).between(0, lane * rest[1])
  for (let at = 0; ; at++) {
    const random = randomOf(seed, 'fault', lane, at)
    // Every kind comes once before any comes again.
    if (deck.length === 0) deck = random.shuffle(allowed)
    const [kind, ...others] = deck as readonly [FaultKind, ...FaultKind[]]
    deck = others
    const end = time + random.between(...kind.lasts)
    if (end > to) return planned
    planned.push({ fault: kind.name, lane, detail: kind.draw(random, nodes), from: time, to: end })
    time = end + random.between(...rest)
  }
}
