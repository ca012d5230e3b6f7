/** The simulator's door: a seed of either profile. */
import { runConsensus } from './consensus.js'
import type { Report, Run } from './play.js'
import { runScenario } from './scenario.js'

/** Throws `BrokenRun`. */
export function runSeed(run: Run): Report {
  return run.profile === 'consensus' ? runConsensus(run) : runScenario(run)
}
