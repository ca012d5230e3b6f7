/** The simulator's door: a seed of any profile. */
import { runConsensus } from './consensus.js'
import { runFencing } from './fencing.js'
import type { Report, Run } from './play.js'
import { runScenario } from './scenario.js'

/** Throws `BrokenRun`. */
export function runSeed(run: Run): Report {
  if (run.profile === 'fencing') return runFencing(run)
  return run.profile === 'consensus' ? runConsensus(run) : runScenario(run)
}
