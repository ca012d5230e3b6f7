/**
 * Makes a broken run shorter: ends it sooner, leaves out faults, takes fewer nodes, as long as it breaks.
 *
 * What is left out shifts what chance does with the rest, so the shorter run may break another promise than the long one
 * did; it is told what it breaks.
 */
import { runSeed } from './index.js'
import { BrokenRun, type Run } from './play.js'

/** Tries of one run, at most. */
const triesMax = 150

export function shrink(broken: BrokenRun, tell: (line: string) => void): BrokenRun {
  let best = broken
  let tries = 0
  const attempt = (change: Partial<Run>): boolean => {
    if (++tries > triesMax) return false
    const shorter = breaks({ ...best.run, live: false, ...change })
    if (shorter === undefined) return false
    best = shorter
    tell(`shorter: ${shorter.what.split('\n')[0]} at ${shorter.at} ms, ${shorter.run.omit?.size ?? 0} faults left out`)
    return true
  }
  for (const nodes of [3, 4, 5]) if (nodes < (best.run.nodes ?? 7) && attempt({ nodes })) break
  for (const part of [0.25, 0.5, 0.75]) if (attempt({ span: Math.ceil((best.run.span ?? 20_000) * part) })) break
  // Delta debugging (Zeller and Hildebrandt 2002) over the faults that struck.
  for (let size = Math.ceil(best.struck.length / 2); size >= 1 && tries < triesMax; ) {
    const struck = best.struck
    let helped = false
    for (let from = 0; from < struck.length; from += size) {
      const without = new Set([...(best.run.omit ?? []), ...struck.slice(from, from + size)])
      if (attempt({ omit: without })) helped = true
    }
    if (!helped || size > best.struck.length) size = size === 1 ? 0 : Math.ceil(size / 2)
  }
  return best
}

function breaks(run: Run): BrokenRun | undefined {
  try {
    runSeed(run)
    return undefined
  } catch (error) {
    if (error instanceof BrokenRun) return error
    throw error
  }
}
