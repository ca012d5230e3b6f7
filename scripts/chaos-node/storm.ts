/** One storm over one node: the schedule of a seed carried out, and what came of it. */
import { pause } from '../lib/http.js'
import { judge, type Verdict } from './judge.js'
import { describeBlow, planActions } from './schedule.js'
import { groups, Stand } from './stand.js'

export interface StormResult {
  readonly seed: number
  readonly actions: number
  readonly blows: Readonly<Record<string, number>>
  readonly verdict: Verdict
  /** Of hangs, by whom they met: how many somebody ended, and how many nobody did. */
  readonly hangs: Readonly<Record<string, { readonly ended: number; readonly left: number }>>
  /** Milliseconds from the end of an action until all was well again. */
  readonly recovery: { readonly median: number; readonly p95: number; readonly max: number }
  readonly resets: number
  readonly before: Readonly<Record<string, number>>
  readonly after: Readonly<Record<string, number>>
  readonly seconds: number
  readonly problems: readonly string[]
  /** What cluster and node said when something was not well. */
  readonly told: unknown
}

/**
 * How many more than at the start there may be at the end. Processes come and go with probes; connections between three nodes are
 * opened anew by either side; resource logs get a second, older part. What piles up with every action is far beyond these.
 */
const allowance: readonly (readonly [RegExp, number])[] = [
  [/half-written/, 0],
  [/processes$/, 8],
  [/cgroups$/, 12],
  [/(files|sockets)$/, 12],
  [/run folder$/, 12],
  [/logs$/, 20],
]
/** Looks at what piles up: the least of several, for what comes and goes is in one or the other. */
const countings = 12

/** `third`: the third number of the nodes' addresses. After `minutes` it goes no further, and judges what there was. */
export async function storm(
  { seed, count, third, minutes }: { readonly seed: number; readonly count: number; readonly third: number; readonly minutes: number },
  say: (text: string) => void,
): Promise<StormResult> {
  const began = Date.now()
  const stand = await Stand.raise(third)
  const problems: string[] = []
  const recoveries: number[] = []
  const blows: Record<string, number> = {}
  let told: unknown
  let done = 0
  try {
    await stand.well()
    say(`three nodes are up, services held by ${stand.containment}`)
    const before = await settledCounts(stand)
    for (const action of planActions(seed, count, groups)) {
      if (Date.now() - began > minutes * 60_000) break
      await pause(action.pause)
      const what = action.blows.map(describeBlow).join(' and ')
      const met = await stand.carryOut(action)
      for (const { target, how } of action.blows) blows[`${how} ${target}`] = (blows[`${how} ${target}`] ?? 0) + 1
      const ended = Date.now()
      try {
        await stand.well()
      } catch (error) {
        problems.push(`after action ${action.number} (${what}; ${met.join(', ')}): ${String(error)}`)
        told = { ...((await stand.told()) as object), logs: stand.logs() }
        break
      }
      done++
      recoveries.push(Date.now() - ended)
      say(`${action.number}/${count} ${what}: ${met.join(', ')}; well after ${Date.now() - ended} ms`)
    }
    const after = await settledCounts(stand)
    const { emergencyStop, looks, hits, hangs } = stand
    const verdict = judge({ emergencyStop, looks, hits, journals: stand.journals() })
    problems.push(...verdict.outOfControl, ...verdict.needless.map((text) => `needless: ${text}`), ...piledUp(before, after))
    if (problems.length > 0) told ??= { logs: stand.logs() }
    await stand.off()
    const left = stand.left()
    if (left.length > 0) problems.push(`processes ${left.join(', ')} are left with all power off`)
    const resets = hits.filter(({ kind }) => kind === 'power').length
    const seconds = Math.round((Date.now() - began) / 1000)
    return { seed, actions: done, blows, verdict, hangs, recovery: spread(recoveries), resets, before, after, seconds, problems, told }
  } finally {
    await stand.close()
  }
}

async function settledCounts(stand: Stand): Promise<Readonly<Record<string, number>>> {
  let least: Record<string, number> = {}
  for (let time = 0; time < countings; time++) {
    const counts = stand.counts()
    least = Object.fromEntries(Object.entries(counts).map(([what, count]) => [what, Math.min(count, least[what] ?? count)]))
    await pause(250)
  }
  return least
}

export function piledUp(before: Readonly<Record<string, number>>, after: Readonly<Record<string, number>>): readonly string[] {
  return Object.entries(after).flatMap(([what, count]) => {
    const was = before[what] ?? 0
    const more = allowance.find(([fits]) => fits.test(what))?.[1] ?? 0
    return count > was + more ? [`${what}: ${count} at the end, ${was} at the start, ${was + more} at most are in order`] : []
  })
}

function spread(values: readonly number[]): StormResult['recovery'] {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return { median: at(0.5), p95: at(0.95), max: at(1) }
}
