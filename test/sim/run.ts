/**
 * Runs seeds of the simulator: `node dist/test/sim/run.js --seed 1 --count 100 --nodes 3 --minutes 0.5 [--live]`.
 *
 * The same seed gives the same trace. Exit 1 at the first seed that breaks a promise.
 */
import { parseArgs } from 'node:util'
import { runScenario } from './scenario.js'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '1' },
    nodes: { type: 'string' },
    minutes: { type: 'string', default: '0.34' },
    live: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
  },
})

const first = Number(values.seed)
let broken = 0
for (let seed = first; seed < first + Number(values.count); seed++) {
  const began = performance.now()
  try {
    const report = runScenario({
      seed,
      span: Math.round(Number(values.minutes) * 60_000),
      live: values.live,
      ...(values.nodes === undefined ? {} : { nodes: Number(values.nodes) }),
    })
    console.log(`${JSON.stringify(report)} in ${Math.round(performance.now() - began)} ms`)
  } catch (error) {
    broken++
    console.log(error instanceof Error ? error.message : String(error))
    if (!values['keep-going']) break
  }
}
process.exitCode = broken === 0 ? 0 : 1
