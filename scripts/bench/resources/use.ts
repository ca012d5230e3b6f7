/** Processor time and memory of the three processes of a node, with nothing to do and with so many resources. */
import { pause } from '../../lib/http.js'
import { cpuOf, memoryOf } from '../store/processes.js'
import { type Measured, repeated } from './report.js'
import { groupNames, onStage, roles, type Stage } from './stage.js'

/** Of the node's three processes together, idle. */
const wantedMemory = 200
/** After the last start, until what it left to do is done. Milliseconds. */
const settleTime = 10_000

interface Use {
  /** For so long it is looked. */
  readonly seconds: number
  /** Milliseconds between two probes of a resource. */
  readonly interval: number
  readonly repeats: number
}

export async function measureUse(sizes: readonly number[], how: Use, say: (text: string) => void): Promise<readonly Measured[]> {
  const rows: Measured[] = []
  for (const size of sizes) rows.push(...(await repeated(how.repeats, () => onStage((stage) => use(stage, size, how, say)))))
  return rows
}

async function use(stage: Stage, size: number, { seconds, interval }: Use, say: (text: string) => void): Promise<readonly Measured[]> {
  if (size > 0) {
    await stage.define(groupNames(size), { nodes: ['n1'], probe: { interval: `${interval}ms`, timeout: '20s' } })
    await stage.allOnline(size)
  }
  await pause(settleTime)
  const pids = new Map(roles.map((role) => [role, stage.power('n1').pidsIn(role)]))
  const before = new Map([...pids].map(([role, own]) => [role, cpuOf(own)]))
  const since = performance.now()
  await pause(seconds * 1_000)
  const elapsed = performance.now() - since
  const what = size === 0 ? 'no resources' : `${size} resources probed every ${interval / 1_000} s`
  const cpu = [...pids].map(([role, own]) => ({ role, value: (100 * (cpuOf(own) - (before.get(role) as number))) / elapsed }))
  const memory = [...pids].map(([role, own]) => ({ role, value: memoryOf(own).pss }))
  const resident = memoryOf([...pids.values()].flat()).rss
  const sum = (values: readonly { readonly value: number }[]): number => values.reduce((total, { value }) => total + value, 0)
  say(`use with ${what}: ${sum(cpu).toFixed(1)} % of a core, ${sum(memory)} MiB`)
  const row = (name: string, unit: Measured['unit'], value: number): Measured => ({
    part: 'use',
    what: `${what}: ${name}`,
    unit,
    values: [value],
  })
  const total = row('all three', 'MiB', sum(memory))
  return [
    ...cpu.map(({ role, value }) => row(role, '% of a core', value)),
    ...memory.map(({ role, value }) => row(role, 'MiB', value)),
    size === 0 ? { ...total, wanted: wantedMemory } : total,
    row('all three, what they share with others counted in each', 'MiB', resident),
  ]
}
