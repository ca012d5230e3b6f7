/**
 * `npm run bench:resources`: what many resources cost, and how soon something is done about one. Options: `--help`.
 *
 * Three nodes on loopback, each with its three processes. The resources are as light as Pacemaker's Dummy: a small shell program
 * whose start makes a file, whose probe looks for it and whose stop removes it.
 */
import { writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { measureActions } from './resources/actions.js'
import { measureDeaths } from './resources/deaths.js'
import { measureFailover } from './resources/failover.js'
import { help, readOptions } from './resources/options.js'
import { type Measured, table } from './resources/report.js'
import { Stage } from './resources/stage.js'
import { measureStarts } from './resources/starts.js'
import { measureUse } from './resources/use.js'

const options = readOptions(process.argv.slice(2))
if (typeof options === 'string') {
  process.stderr.write(`${options}\n\n${help}`)
  process.exit(64)
}
if (options.help) {
  process.stdout.write(help)
  process.exit(0)
}

const parts: Readonly<Record<string, () => Promise<readonly Measured[]>>> = {
  actions: () => measureActions(options.runs, say),
  death: () => measureDeaths(options.runs, say),
  start: () => measureStarts(options.starts, options.repeats, say),
  use: () => measureUse(options.sizes, options, say),
  failover: () => measureFailover(options.failovers, options.runs, say),
}
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void Promise.all([...Stage.standing].map((stage) => stage.close())).finally(() => process.exit(130)))

const loadBefore = loadavg()[0] as number
const rows: Measured[] = []
for (const name of options.only) rows.push(...(await (parts[name] as () => Promise<readonly Measured[]>)()))
const load = { before: loadBefore, after: loadavg()[0] as number }
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify({ load, rows }, null, 1)}\n`)
process.stdout.write(
  `\n${table(rows)}\n\nLoad of the machine before ${load.before.toFixed(1)}, after ${load.after.toFixed(1)}: figures count only where nothing else runs.\n`,
)

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}
