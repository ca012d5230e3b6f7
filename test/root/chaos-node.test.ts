/**
 * The short form of `npm run chaos:node`.
 *
 * needs: resource-agents
 */
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { storm } from '../../scripts/chaos-node/storm.js'

test('one node under kills, stops and hangs of its processes: control, no needless restart, no leak', async (context) => {
  const seed = Number(process.env.CHAOS_SEED ?? randomInt(1, 2 ** 31))
  context.diagnostic(`seed ${seed}: npm run chaos:node -- --count 14 --seed ${seed}`)
  const result = await storm({ seed, count: 14, third: 86, minutes: 8 }, () => {})
  assert.deepEqual(result.problems, [], `seed ${seed}: ${JSON.stringify(result, null, 1)}`)
  assert.ok(result.actions > 0)
  context.diagnostic(
    `${result.actions} actions in ${result.seconds} s, ${JSON.stringify(result.verdict.starts)}, recovery ${JSON.stringify(result.recovery)}`,
  )
})
