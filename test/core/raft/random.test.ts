/** Members of `core/raft` alone under chance, many seeds: what `random.ts` judges holds in all of them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RaftWorld } from './random.js'

const seeds = Number(process.env.QUORATE_RAFT_SEEDS ?? 3_000)

test('chance finds nothing that breaks agreement', () => {
  const only = process.env.QUORATE_SEED
  const seen = new Map<string, number>()
  for (let seed = Number(only ?? 1); seed <= Number(only ?? seeds); seed++) {
    const world = new RaftWorld(seed)
    try {
      world.run()
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
    for (const what of world.seen) seen.set(what, (seen.get(what) ?? 0) + 1)
  }
  if (only !== undefined) return
  // A test of chance that never meets what it is for proves nothing.
  for (const what of [
    'joint',
    'snapshot installed',
    'tail kept',
    'snapshot given up',
    'learner promoted',
    'leader removed',
    'applied ahead of the disk',
  ])
    assert.ok((seen.get(what) ?? 0) > 0, `"${what}" happened in some seed: ${JSON.stringify([...seen])}`)
})
