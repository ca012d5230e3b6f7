/**
 * Nodes that are lost and cut off, with traps in the middle of their cases: QUORATE_FENCING_SEEDS seeds (260 unless given), from
 * QUORATE_SIM_SEED on. A failure prints its seed, the command that plays it again, and the last lines of its story.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runFencing } from './fencing.js'
import { regressions } from './seeds.js'

const seedCount = Number(process.env.QUORATE_FENCING_SEEDS ?? 260)
const firstSeed = Number(process.env.QUORATE_SIM_SEED ?? 1)

test('the same seed gives the same story', () => {
  assert.equal(runFencing({ seed: 4 }).checksum, runFencing({ seed: 4 }).checksum)
})

for (const { run, was } of regressions.filter((one) => one.run.profile === 'fencing'))
  test(`seed ${run.seed}: ${was}`, () => void runFencing(run))

test('whoever is lost is cut off before its groups go on elsewhere, and everything recovers', (context) => {
  const seen = new Map<string, number>()
  let [faults, cases, takeovers] = [0, 0, 0]
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed++) {
    const report = runFencing({ seed })
    faults += report.faults
    cases += report.cases
    takeovers += report.grants - report.groups
    for (const what of report.seen) seen.set(what, (seen.get(what) ?? 0) + 1)
  }
  const met = JSON.stringify(Object.fromEntries([...seen].sort()))
  context.diagnostic(
    `${seedCount} seeds from ${firstSeed} on: ${faults} faults, ${cases} cases, ${takeovers} takeovers; met in so many: ${met}`,
  )
  // A test of chance that never meets what it is for proves nothing.
  if (seedCount < 200) return
  assert.ok(cases > seedCount && takeovers > seedCount, 'nodes are lost, and groups go on')
  for (const kind of ['fenced', 'guardian', 'lease', 'storage', 'rebooted'])
    assert.ok((seen.get(`proof: ${kind}`) ?? 0) > 0, `"${kind}" proves something in some seeds: ${met}`)
  for (const at of ['CHALLENGE', 'CONDEMNED', 'attempt', 'PROVED'])
    for (const whom of ['arbiter', 'leader', 'target']) assert.ok(seen.has(`trap at ${at}: ${whom}`), `${at}, ${whom}: ${met}`)
})
