/**
 * The simulator's own test: classic mistakes are planted into the program, one at a time, and must be found within the
 * stated number of seeds. What it does not find when it is there, it does not rule out when it is not.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { RaftWorld } from '../core/raft/random.js'
import { playScenario, scenarioFolder } from '../core/raft/scenario.js'
import { runSeed } from './index.js'
import { type Plant, plants } from './plants.js'

test('there are at least twenty classic mistakes', () => assert.ok(plants.length >= 20, String(plants.length)))

for (const plant of plants) {
  test(`found: ${plant.mistake}`, (context) => {
    const takeOut = plant.plant()
    try {
      const found = find(plant)
      assert.ok(found !== undefined, `it is not found within ${plant.within} seeds`)
      context.diagnostic(found)
    } finally {
      takeOut()
    }
  })
}

/** By which seed, and what broke. */
function find(plant: Plant): string | undefined {
  if (plant.by === 'script') return findByScript()
  const first = plant.from ?? 1
  for (let seed = first; seed < first + plant.within; seed++) {
    const broken = breaks(plant, seed)
    if (broken !== undefined) return `${plant.by}, seed ${seed}: ${broken}`
  }
  return undefined
}

function breaks({ by, options }: Plant, seed: number): string | undefined {
  try {
    if (by === 'raft') new RaftWorld(seed).run()
    else if (by === 'consensus') runSeed({ seed, profile: 'consensus', ...(options === undefined ? {} : { options }) })
    else runSeed({ seed, profile: 'whole', span: 12_000, arrays: false, ...(options === undefined ? {} : { options }) })
    return undefined
  } catch (error) {
    const what = 'what' in (error as object) ? (error as { what: string }).what : (error as Error).message
    return what.split('\n')[0]
  }
}

function findByScript(): string | undefined {
  const folder = scenarioFolder()
  return readdirSync(folder).find((name) => {
    const script = readFileSync(join(folder, name), 'utf8')
    try {
      return playScenario(script) !== script
    } catch {
      return true
    }
  })
}
