/**
 * Nodes without services under dense trouble for their logs: QUORATE_CONSENSUS_SEEDS of them (1,650 unless given), from
 * QUORATE_SIM_SEED on. A failure prints its seed, the command that plays it again, and the last lines of its story.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runConsensus } from './consensus.js'
import { trapped } from './faults.js'
import { regressions } from './seeds.js'

const seedCount = Number(process.env.QUORATE_CONSENSUS_SEEDS ?? 1_650)
const firstSeed = Number(process.env.QUORATE_SIM_SEED ?? 1)

test('the same seed gives the same story', () => {
  assert.equal(runConsensus({ seed: 4 }).checksum, runConsensus({ seed: 4 }).checksum)
})

for (const { run, was } of regressions.filter((one) => one.run.profile === 'consensus'))
  test(`seed ${run.seed}: ${was}`, () => void runConsensus(run))

test('logs agree, what was committed stays, and histories are linearizable', (context) => {
  const seen = new Map<string, number>()
  let faults = 0
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed++) {
    const report = runConsensus({ seed })
    faults += report.faults
    for (const what of report.seen) seen.set(what, (seen.get(what) ?? 0) + 1)
  }
  context.diagnostic(
    `${seedCount} seeds from ${firstSeed} on, ${faults} faults; met in so many: ${JSON.stringify(Object.fromEntries(seen))}`,
  )
  // A test of chance that never meets what it is for proves nothing.
  if (seedCount < 500) return
  for (const what of [
    'log compacted',
    'log written at once',
    'snapshot installed',
    'member left',
    'joint',
    'disk lost',
    'disk damaged',
    'write failed',
    'lead handed over',
    'compact entry',
    'compact message',
  ])
    assert.ok((seen.get(what) ?? 0) > seedCount / 50, `"${what}" happens in some seeds`)
  for (const kind of trapped) assert.ok(seen.has(`trap: ${kind}`), `a trap for "${kind}" springs in some seeds`)
})
