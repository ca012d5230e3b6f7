/**
 * `npm run bench:store`: the replicated store beside etcd's, on one machine, in one run, by one client program. `--help` has the options.
 *
 * Figures of one run compare; those of two runs do not, for the machine is never the same twice.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fill, measureCells, warmUp } from './store/cells.js'
import { measureElections } from './store/elections.js'
import { checkEtcd, startEtcd } from './store/etcd.js'
import { measureLoad } from './store/full-load.js'
import { measureLargeState } from './store/large-state.js'
import { help, readOptions } from './store/options.js'
import { startQuorate } from './store/quorate.js'
import { table } from './store/report.js'
import { measureRestarts } from './store/restarts.js'
import { type Name, names, type Place, type System } from './store/system.js'
import { measureWatch } from './store/watch.js'

const options = readOptions(process.argv.slice(2))
if (options === undefined) {
  process.stdout.write(help)
  process.exit(0)
}
const etcdVersion = options.systems.some((name) => name !== 'quorate') ? checkEtcd() : undefined
const folder = mkdtempSync(join(options.folder ?? tmpdir(), 'quorate-store-'))
// As its own process would on a machine of its own: nothing is told to the runtime that a user would not tell it.
const environment: Readonly<Record<string, string>> =
  process.env.BENCH_NODE_OPTIONS === undefined ? {} : { NODE_OPTIONS: process.env.BENCH_NODE_OPTIONS }
const loopback: Place = { address: (name: Name) => `127.0.0.${names.indexOf(name) + 1}`, prefix: () => [] }

const systems = new Map<System['kind'], System>()
try {
  systems.set('quorate', await startQuorate(join(folder, 'quorate'), loopback, environment))
  if (etcdVersion !== undefined) systems.set('etcd', await startEtcd(join(folder, 'etcd'), loopback))
  for (const system of systems.values()) await fill(system)
  await warmUp(options, systems)
  const rows = await measureCells(options, systems)
  if (rows.length > 0) process.stdout.write(table(rows))
  const load = options.loadMinutes > 0 ? await measureLoad(systems.get('quorate') as System, options.loadMinutes) : undefined
  const watch = options.also.includes('watch') ? await measureWatch(systems) : undefined
  const restarts = options.also.includes('restart') ? await measureRestarts(systems, options.runs) : undefined
  const large = options.largeMebibytes > 0 ? await measureLargeState(systems.get('quorate') as System, options.largeMebibytes) : undefined
  await closeAll()
  const elections = options.also.includes('elections') ? await measureElections(folder, options, etcdVersion !== undefined) : undefined
  const rest = { load, watch, restarts, large, elections }
  for (const [name, figures] of Object.entries(rest))
    if (figures !== undefined) process.stdout.write(`${name}: ${JSON.stringify(figures, undefined, 2)}\n`)
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify({ etcdVersion, options, rows, ...rest }, undefined, 1)}\n`)
} finally {
  await closeAll()
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
}

async function closeAll(): Promise<void> {
  for (const system of systems.values()) await system.close()
  systems.clear()
}
