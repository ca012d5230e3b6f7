/** A node that is lost with so many groups, until all of them run on the other two. */
import { pause } from '../../lib/http.js'
import type { Measured } from './report.js'
import { groupNames, onStage, type Stage } from './stage.js'

/** Seconds that are to be reached, by the number of groups. */
const wanted: Readonly<Record<number, number>> = { 100: 1.5, 500: 6 }
const others = ['n2', 'n3'] as const

export async function measureFailover(counts: readonly number[], runs: number, say: (text: string) => void): Promise<readonly Measured[]> {
  const rows: Measured[] = []
  for (const count of counts) rows.push(...(await onStage((stage) => lose(stage, count, runs, say))))
  return rows
}

async function lose(stage: Stage, count: number, runs: number, say: (text: string) => void): Promise<readonly Measured[]> {
  const groups = groupNames(count)
  const half = Math.ceil(count / 2)
  await Promise.all([
    stage.define(groups.slice(0, half), { nodes: ['n1', 'n2', 'n3'] }),
    stage.define(groups.slice(half), { nodes: ['n1', 'n3', 'n2'] }),
  ])
  const [run, online]: [number[], number[]] = [[], []]
  for (let at = 0; at < runs; at++) {
    await home(stage, count)
    const since = performance.now()
    stage.power('n1').crash()
    await stage.allRun(count, others)
    run.push((performance.now() - since) / 1_000)
    await stage.allOnline(count, 'n1')
    online.push((performance.now() - since) / 1_000)
    say(
      `failover of ${count} groups ${at + 1}/${runs}: all run after ${run.at(-1)?.toFixed(2)} s, shown online after ${online.at(-1)?.toFixed(2)} s`,
    )
  }
  const row = (what: string, values: readonly number[]): Measured => ({
    part: 'failover',
    what: `${count} groups: ${what}`,
    unit: 's',
    values,
  })
  const goal = wanted[count]
  return [
    { ...row('node killed → all run', run), ...(goal === undefined ? {} : { wanted: goal }) },
    row('node killed → all shown online', online),
  ]
}

/** All groups on n1, which does not lead for it is to be lost alone. */
async function home(stage: Stage, count: number): Promise<void> {
  await stage.nodesWell()
  for (let attempt = 0; attempt < 20; attempt++) {
    if ((await stage.api('GET', '/v1/status')).body.leader !== 'n1') break
    await stage.api('POST', '/v1/leader/transfer', { to: 'n2' })
    await pause(500)
  }
  for (const other of others) await stage.must('POST', `/v1/nodes/${other}/standby`)
  await stage.allRun(count, ['n1'])
  for (const other of others) await stage.must('POST', `/v1/nodes/${other}/activate`)
  await stage.allOnline(count)
  await pause(1_000)
}
