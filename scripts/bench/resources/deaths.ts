/** A service process killed until it answers a client again, and what of it was its own start. */
import { openArena, serviceDeath } from '../arena.js'
import type { Measured } from './report.js'

export async function measureDeaths(runs: number, say: (text: string) => void): Promise<readonly Measured[]> {
  const arena = await openArena('loopback')
  try {
    const [gaps, without]: [number[], number[]] = [[], []]
    for (let run = 0; run < runs; run++) {
      const { gap, own } = await serviceDeath(arena)
      gaps.push(gap)
      if (own !== undefined) without.push(gap - own)
      say(`death ${run + 1}/${runs}: ${gap} ms, ${own ?? '?'} of them its own start`)
    }
    const row = (what: string, values: readonly number[]): Measured => ({ part: 'death', what, unit: 'ms', values })
    return [
      row('service process killed → it answers again', gaps),
      ...(without.length === 0 ? [] : [{ ...row('the same without its own start', without), wanted: 150 }]),
    ]
  } finally {
    await arena.close()
  }
}
