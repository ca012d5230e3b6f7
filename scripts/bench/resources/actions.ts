/** From a process that dies, a probe that fails and a probe that hangs, until the first thing is done about it. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openContainment } from '../../../src/io/processes/index.js'
import { openRunFolder } from '../../../src/io/run-folder/index.js'
import { pause, waitFor } from '../../lib/http.js'
import type { Measured } from './report.js'
import { onStage, type Stage } from './stage.js'

const probeInterval = 1_000
const probeTimeout = 1_000
const patience = 60_000

export function measureActions(runs: number, say: (text: string) => void): Promise<readonly Measured[]> {
  return onStage(async (stage) => {
    await stage.define(['probed'], { nodes: ['n1'], probe: { interval: `${probeInterval}ms`, timeout: `${probeTimeout}ms` } })
    const journal = join(stage.home, 'kept.journal')
    await stage.must('PUT', '/v1/groups/kept', keptBy(journal))
    await stage.allOnline(2)
    const noted = join(stage.home, 'light', 'noted', 'probed')
    const [deaths, failing, hanging]: [number[], number[], number[]] = [[], [], []]
    for (let run = 0; run < runs; run++) {
      deaths.push(await death(stage, journal))
      failing.push(await disturbed(stage, noted, 'fail', 'failing'))
      hanging.push(await disturbed(stage, noted, 'hang', 'hanging'))
      say(`actions ${run + 1}/${runs}: died ${deaths.at(-1)} ms, failing ${failing.at(-1)} ms, hanging ${hanging.at(-1)} ms`)
    }
    const row = (what: string, values: readonly number[]): Measured => ({ part: 'actions', what, unit: 'ms', values })
    return [
      row('process dead → its restart begins', deaths),
      row('probe says that it failed → its stop begins', failing),
      row(`probe begins to hang → its stop begins (${probeTimeout} ms of it the probe's own time-out)`, hanging),
    ]
  })
}

/** Notes the time at which it begins. */
function keptBy(journal: string) {
  const run = `date +%s%3N >>${journal}; exec sleep 100000`
  const app = { type: 'command', parameters: { run }, restart: { max: 1000, window: '1s' } }
  return { nodes: ['n1'], resources: { app } }
}

async function death(stage: Stage, journal: string): Promise<number> {
  await stage.allOnline(2)
  await pause(300)
  const cells = openContainment({ preference: 'auto', key: openRunFolder(join(stage.lab.run, 'n1')).key, node: 'n1' as never })
  const [pid] = cells.cell('kept@app', { QUORATE_GROUP: 'kept', QUORATE_RESOURCE: 'app' }).pids('service')
  if (pid === undefined) throw new Error('the kept service has no process')
  const before = timesIn(journal).length
  const since = Date.now()
  process.kill(pid, 'SIGKILL')
  await waitFor('its restart', patience, async () => timesIn(journal).length > before)
  return (timesIn(journal).at(-1)?.at as number) - since
}

/** From the first probe that met the disturbance, as it noted itself, until the stop that follows began. */
async function disturbed(stage: Stage, noted: string, how: 'fail' | 'hang', note: string): Promise<number> {
  await stage.allOnline(2)
  writeFileSync(noted, '')
  const disturbance = join(stage.home, 'light', 'n1', `probed.${how}`)
  writeFileSync(disturbance, '')
  const first = (what: string): number | undefined => timesIn(noted).find((one) => one.what === what)?.at
  await waitFor('the stop that follows', patience, async () => first('stop') !== undefined)
  rmSync(disturbance, { force: true })
  const [began, stopped] = [first(note), first('stop')]
  await waitFor('its start', patience, async () => first('start') !== undefined)
  rmSync(noted, { force: true })
  if (began === undefined || stopped === undefined) throw new Error('no probe noted what it met')
  return stopped - began
}

function timesIn(path: string): readonly { readonly at: number; readonly what: string }[] {
  if (!existsSync(path)) return []
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => ({ at: Number(line.split(' ')[0]), what: line.split(' ')[1] ?? '' }))
}
