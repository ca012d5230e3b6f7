/**
 * What is done to the node, and when: all of it from the seed. Whom a blow meets in the end (the pid, the method that is just in
 * flight) is the machine's affair; which kind of process, how, for how long and in which order is not.
 */
import { Random } from '../../jepsen-like/core/index.js'

export const roles = ['guardian', 'daemon', 'monitor'] as const
export type Target = (typeof roles)[number] | 'agent' | 'service'
/** `hang`: it stands still until somebody ends it, or for `hangMax` where nobody does. */
export type How = 'kill' | 'stop' | 'hang'

export interface Blow {
  readonly target: Target
  readonly how: How
  /** Of agents and services. */
  readonly group: string | undefined
  /** How long a `stop` lasts. Milliseconds. */
  readonly ms: number
  /** After the first blow of the action. Milliseconds. */
  readonly after: number
}

export interface Action {
  readonly number: number
  /** One, or two at once. */
  readonly blows: readonly Blow[]
  /** Of peace before it. Milliseconds. */
  readonly pause: number
}

export interface Groups {
  /** Those whose probes, starts and stops are programs. */
  readonly withAgents: readonly string[]
  readonly all: readonly string[]
  /** Those whose probe notices one that stands still. */
  readonly watched: readonly string[]
}

/** Of the actions, those with two blows. */
const doubleShare = 0.3
/** Of the stops, those that last longer than a lease. */
const longShare = 0.06
/** Longer than a lease of the stand, and not so long that it only waits. */
const longest = [12_500, 15_000] as const

export function planActions(seed: number, count: number, groups: Groups): readonly Action[] {
  const random = new Random(seed)
  return Array.from({ length: count }, (_, at) => {
    const first = drawBlow(random, groups, 0)
    const blows = [first]
    if (random.chance(doubleShare)) {
      let second = drawBlow(random, groups, random.between(0, 300))
      while (second.target === first.target && second.group === first.group) second = drawBlow(random, groups, random.between(0, 300))
      blows.push(second)
    }
    return { number: at + 1, blows, pause: random.between(0, 400) }
  })
}

function drawBlow(random: Random, groups: Groups, after: number): Blow {
  const target = random.pick<Target>(['guardian', 'daemon', 'daemon', 'monitor', 'monitor', 'agent', 'agent', 'service', 'service'])
  const how = random.pick<How>(['kill', 'kill', 'kill', 'stop', 'stop', 'stop', 'hang'])
  const ms = random.chance(longShare) ? random.between(longest[0], longest[1]) : random.between(50, 1_500)
  const group = target === 'agent' ? random.pick(groups.withAgents) : target === 'service' ? random.pick(groups.all) : undefined
  return { target, how: isSeen(target, how, group, groups) ? how : 'kill', group, ms, after }
}

/** A hang of whoever nobody watches would only be a long stop. */
function isSeen(target: Target, how: How, group: string | undefined, { watched }: Groups): boolean {
  return how !== 'hang' || target !== 'service' || watched.includes(group as string)
}

export function describeBlow({ target, how, group, ms, after }: Blow): string {
  const whom = group === undefined ? target : `${target} of ${group}`
  return `${how} ${whom}${how === 'stop' ? ` for ${ms} ms` : ''}${after === 0 ? '' : ` ${after} ms later`}`
}
