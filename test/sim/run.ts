/**
 * Runs seeds of the simulator: `npm run sim -- --seed 1 --count 100 --profile consensus`.
 *
 * The same seed gives the same trace. Ends with 1 where a promise was broken; a broken seed prints its story.
 *
 *   --seed N         first seed (1)
 *   --count N        so many of them (1)
 *   --hours H        instead of a count: until so much time has passed
 *   --profile P      whole, consensus, fencing, or both of the first in turn (whole)
 *   --nodes N        3 to 7; the seed chooses otherwise
 *   --span MS        virtual milliseconds of trouble
 *   --jobs N         processes, each with seeds of its own (1)
 *   --omit N,N       faults that are left out, by number
 *   --shrink         makes a broken seed shorter: fewer faults, less time, fewer nodes
 *   --keep-going     goes on after a broken seed
 *   --live           prints the trace as it comes
 *   --quiet          a line for every 100 seeds instead of one each
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { runSeed } from './index.js'
import { BrokenRun, type Profile, type Run } from './play.js'
import { shrink } from './shrink.js'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string' },
    hours: { type: 'string' },
    profile: { type: 'string', default: 'whole' },
    nodes: { type: 'string' },
    span: { type: 'string' },
    jobs: { type: 'string', default: '1' },
    /** Seeds from one to the next: set for each of several processes. */
    step: { type: 'string', default: '1' },
    omit: { type: 'string' },
    shrink: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
    live: { type: 'boolean', default: false },
    quiet: { type: 'boolean', default: false },
  },
})

if (Number(values.jobs) > 1) process.exitCode = await spread(Number(values.jobs))
else process.exitCode = runAll() === 0 ? 0 : 1

function runAll(): number {
  const first = Number(values.seed)
  const step = Number(values.step)
  const until = values.hours === undefined ? undefined : performance.now() + Number(values.hours) * 3_600_000
  const count = Number(values.count ?? (until === undefined ? 1 : Number.POSITIVE_INFINITY))
  let broken = 0
  let ran = 0
  for (; ran < count && (until === undefined || performance.now() < until); ran++) {
    broken += runOne(first + ran * step) ? 0 : 1
    if (broken > 0 && !values['keep-going']) break
    if (values.quiet && (ran + 1) % 100 === 0)
      console.log(`${ran + 1} seeds, up to ${first + ran * step}: ${broken} broken, ${cpuSeconds()} s`)
  }
  if (ran > 1) console.log(`${ran} seeds from ${first} on: ${broken} broken, ${cpuSeconds()} s of CPU`)
  return broken
}

function runOne(seed: number): boolean {
  const run = runOf(seed)
  const before = cpuSeconds()
  try {
    const report = runSeed(run)
    if (!values.quiet) console.log(`${JSON.stringify(report)} in ${(cpuSeconds() - before).toFixed(2)} s`)
    return true
  } catch (error) {
    if (!(error instanceof BrokenRun)) throw error
    console.log(error.message)
    if (values.shrink) console.log(shrink(error, (line) => console.error(line)).message)
    return false
  }
}

function runOf(seed: number): Run {
  const profile = values.profile === 'both' ? (seed % 8 === 0 ? 'whole' : 'consensus') : (values.profile as Profile)
  return {
    seed,
    profile,
    live: values.live,
    ...(values.span === undefined ? {} : { span: Number(values.span) }),
    ...(values.nodes === undefined ? {} : { nodes: Number(values.nodes) }),
    ...(values.omit === undefined ? {} : { omit: new Set(values.omit.split(',').map(Number)) }),
  }
}

function cpuSeconds(): number {
  return Math.round(process.cpuUsage().user / 10_000) / 100
}

/** The same command in several processes, each with every so manyth seed. */
async function spread(jobs: number): Promise<number> {
  const rest = process.argv
    .slice(2)
    .filter((word, at, all) => !/^--(jobs|seed|step|count)/.test(word) && !/^--(jobs|seed|step|count)$/.test(all[at - 1] ?? ''))
  const counts = values.count === undefined ? [] : [`--count=${Math.ceil(Number(values.count) / jobs)}`]
  const ends = Array.from({ length: jobs }, (_, at) => {
    const words = [...rest, `--seed=${Number(values.seed) + at}`, `--step=${jobs}`, ...counts]
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url), ...words], { stdio: 'inherit' })
    return new Promise<number>((resolve) => void child.once('exit', (status) => resolve(status ?? 1)))
  })
  return Math.max(...(await Promise.all(ends)))
}
