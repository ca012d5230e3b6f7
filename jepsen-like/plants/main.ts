/**
 * `npm run chaos:plants [-- name…]`: puts each classic mistake into a copy of the program and has the harness find it.
 *
 * The exit status is 1 where one was not found. Prints what found it, and after how long, with `--json` one line a plant.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chooseFaults } from '../faults/index.js'
import { runOnce } from '../run.js'
import { chooseWorkloads } from '../workloads/index.js'
import { plantInto } from './copy.js'
import { type Plant, plants } from './plants.js'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..')

export interface Found {
  readonly name: string
  /** Undefined where nothing did. */
  readonly by: string | undefined
  readonly text: string
  readonly seconds: number
  readonly seed: number
  readonly runs: number
}

export async function findPlant(plant: Plant, seed: number, say: (text: string) => void): Promise<Found> {
  const folder = mkdtempSync(join(tmpdir(), 'qp-'))
  const began = performance.now()
  try {
    const main = plantInto(join(folder, 'program'), root, plant)
    const workloads = chooseWorkloads(plant.workloads)
    const faults = chooseFaults(plant.nemesis)
    if (typeof workloads === 'string' || typeof faults === 'string')
      throw new Error(`${plant.name} names what there is not: ${workloads} ${faults}`)
    for (let run = 0; run < plant.runs; run++) {
      const asked = {
        seconds: plant.seconds,
        runs: 1,
        seed: seed + run,
        workloads,
        faults,
        nemesis: plant.nemesis.join(),
        nodes: 3,
        arena: 'loopback' as const,
        wires: 'filter' as const,
        profile: 'fast' as const,
        lanes: 1,
        rest: plant.rest ?? ([2_000, 4_000] as const),
        out: join(folder, 'runs'),
        dry: false,
        main,
        wellBound: 30_000,
        ...(plant.settings === undefined ? {} : { settings: plant.settings }),
      }
      const { verdicts } = await runOnce(asked, say)
      const found = verdicts.find(({ judge, valid }) => valid === false && plant.judges.includes(judge))
      const seconds = Math.round((performance.now() - began) / 1_000)
      const about = { name: plant.name, seconds, seed: seed + run, runs: run + 1 }
      if (found !== undefined) return { ...about, by: `${found.workload ?? ''} ${found.judge}`.trim(), text: found.text }
      if (run + 1 === plant.runs) {
        const other = verdicts.filter(({ valid }) => valid === false).map(({ judge, text }) => `${judge}: ${text}`)
        return { ...about, by: undefined, text: other.length === 0 ? 'nothing was invalid' : `other judges: ${other.join('; ')}` }
      }
    }
    throw new Error(`${plant.name} has no runs`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const words = process.argv.slice(2)
  const names = words.filter((word) => !word.startsWith('--') && !/^\d+$/.test(word))
  const seed = Number(words[words.indexOf('--seed') + 1] ?? 1) || 1
  const json = words.includes('--json')
  const chosen = names.length === 0 ? plants : plants.filter(({ name }) => names.includes(name))
  if (chosen.length < names.length) {
    process.stderr.write(`there are the plants ${plants.map(({ name }) => name).join(', ')}\n`)
    process.exit(64)
  }
  let missed = 0
  for (const plant of chosen) {
    const found = await findPlant(plant, seed, (text) => (words.includes('--verbose') ? process.stderr.write(`${text}\n`) : undefined))
    if (found.by === undefined) missed++
    process.stdout.write(
      json
        ? `${JSON.stringify(found)}\n`
        : `${found.by === undefined ? 'MISSED' : 'found '}  ${plant.name.padEnd(28)} ${String(found.seconds).padStart(4)} s, ${found.runs} runs  ${found.by ?? ''}: ${found.text}\n`,
    )
  }
  process.exitCode = missed > 0 ? 1 : 0
}
