/** So many resources, a group each, from the first definition until all run, spread over three nodes. */
import { type Measured, repeated } from './report.js'
import { groupNames, names, onStage, type Stage } from './stage.js'

export async function measureStarts(counts: readonly number[], repeats: number, say: (text: string) => void): Promise<readonly Measured[]> {
  const rows: Measured[] = []
  for (const count of counts) rows.push(...(await repeated(repeats, () => onStage((stage) => startAll(stage, count, say)))))
  return rows
}

async function startAll(stage: Stage, count: number, say: (text: string) => void): Promise<readonly Measured[]> {
  const groups = groupNames(count)
  const since = Date.now()
  // A third prefers each node.
  await Promise.all(
    names.map((_, at) => {
      const nodes = [...names.slice(at), ...names.slice(0, at)]
      return stage.define(
        groups.filter((_group, index) => index % names.length === at),
        { nodes },
      )
    }),
  )
  const defined = Date.now() - since
  await stage.allRun(count, names)
  const run = Date.now() - since
  await stage.allOnline(count)
  const online = Date.now() - since
  say(`start of ${count}: defined after ${defined} ms, all run after ${run} ms, all online after ${online} ms`)
  const row = (what: string, value: number): Measured => ({
    part: 'start',
    what: `${count} resources: ${what}`,
    unit: 's',
    values: [value / 1_000],
  })
  return [row('all defined', defined), row('all run', run), row('all shown online', online)]
}
