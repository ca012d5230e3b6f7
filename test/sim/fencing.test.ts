/**
 * Nodes that are lost and cut off, with traps in the middle of their cases: QUORATE_FENCING_SEEDS seeds (400 unless given), from
 * QUORATE_SIM_SEED on. A failure prints its seed, the command that plays it again, and the last lines of its story.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runFencing } from './fencing.js'
import { regressions } from './seeds.js'

const seedCount = Number(process.env.QUORATE_FENCING_SEEDS ?? 400)
const firstSeed = Number(process.env.QUORATE_SIM_SEED ?? 1)

test('the same seed gives the same story', () => {
  assert.equal(runFencing({ seed: 4 }).checksum, runFencing({ seed: 4 }).checksum)
})

for (const { run, was } of regressions.filter((one) => one.run.profile === 'fencing'))
  test(`seed ${run.seed}: ${was}`, () => void runFencing(run))

test('whoever is lost is cut off before its groups go on elsewhere, and everything recovers', (context) => {
  let [faults, cases, grants] = [0, 0, 0]
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed++) {
    const report = runFencing({ seed })
    faults += report.faults
    cases += report.cases
    grants += report.grants
  }
  context.diagnostic(`${seedCount} seeds from ${firstSeed} on: ${faults} faults, ${cases} cases, ${grants} grants`)
  assert.ok(cases > seedCount && grants > seedCount, 'nodes are lost, and groups go on')
})
