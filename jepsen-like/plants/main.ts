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
import { type Asked, endStanding, runOnce } from '../run.js'
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
    for (let run = 0; run < plant.runs; run++) {
      const { verdicts } = await runOnce(askedOf(plant, seed + run, join(folder, 'runs'), main), say)
      const found = verdicts.find(({ judge, valid }) => valid === false && plant.judges.includes(judge))
      const about = { name: plant.name, seed: seed + run, runs: run + 1 }
      const seconds = (): number => Math.round((performance.now() - began) / 1_000)
      if (found !== undefined) {
        const took = seconds()
        // What a slow machine alone could bring about counts only where the program as it is does well under the same schedule.
        const control = ofTime.has(found.judge) ? (await runOnce(askedOf(plant, seed + run, join(folder, 'runs')), say)).verdicts : []
        if (!control.some(({ judge, valid }) => judge === found.judge && valid === false))
          return { ...about, seconds: took, by: `${found.workload ?? ''} ${found.judge}`.trim(), text: found.text }
        say(`${plant.name}: ${found.judge} objects to the program as it is too; the machine is too slow for this`)
      }
      if (run + 1 === plant.runs) {
        const other = verdicts.filter(({ valid }) => valid === false).map(({ judge, text }) => `${judge}: ${text}`)
        return {
          ...about,
          seconds: seconds(),
          by: undefined,
          text: other.length === 0 ? 'nothing was invalid' : `other judges: ${other.join('; ')}`,
        }
      }
    }
    throw new Error(`${plant.name} has no runs`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Judges of how long things take. */
const ofTime = new Set(['convergence', 'no-needless-action', 'calm', 'takeovers', 'gaps'])

function askedOf(plant: Plant, seed: number, out: string, main?: string): Asked {
  const workloads = chooseWorkloads(plant.workloads)
  const faults = chooseFaults(plant.nemesis)
  if (typeof workloads === 'string' || typeof faults === 'string')
    throw new Error(`${plant.name} names what there is not: ${workloads} ${faults}`)
  return {
    seconds: plant.seconds,
    runs: 1,
    seed,
    workloads,
    faults,
    nemesis: plant.nemesis.join(),
    nodes: 3,
    arena: 'loopback',
    wires: 'filter',
    profile: 'normal',
    lanes: 1,
    rest: plant.rest ?? [2_000, 4_000],
    out,
    dry: false,
    wellBound: 40_000,
    ...(main === undefined ? {} : { main }),
    ...(plant.settings === undefined ? {} : { settings: plant.settings }),
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
  endStanding()
  let missed = 0
  for (const plant of chosen) {
    const say = (text: string): void => void (words.includes('--verbose') && process.stderr.write(`${text}\n`))
    // One whose cluster did not even come up is not found; the others are looked for all the same.
    const found = await findPlant(plant, seed, say).catch((error: Error) => ({
      ...{ name: plant.name, by: undefined, text: `the run broke off: ${error.message}` },
      ...{ seconds: 0, seed, runs: 1 },
    }))
    if (found.by === undefined) missed++
    process.stdout.write(
      json
        ? `${JSON.stringify(found)}\n`
        : `${found.by === undefined ? 'MISSED' : 'found '}  ${plant.name.padEnd(28)} ${String(found.seconds).padStart(4)} s, ${found.runs} runs  ${found.by ?? ''}: ${found.text}\n`,
    )
  }
  process.exitCode = missed > 0 ? 1 : 0
}
