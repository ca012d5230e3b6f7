/**
 * `systemd:<unit>`: services that systemd starts and stops, with the restarts of the cluster instead of its own.
 *
 * While a unit is a resource that may run, a drop-in of ours turns its restarts off (as Pacemaker does) and has it need a file with
 * the grant (as Pacemaker does not): whatever systemd was told before, or makes up by itself, starts nothing once that file is gone.
 * The file goes before anything of the unit is killed. So a start that waits somewhere on the way to a slow systemd comes to nothing,
 * and the unit has stopped when systemd, asked after that, calls it stopped and its cgroup is empty. Where systemd does not answer,
 * the empty cgroup alone is a proof if no start was under way: nothing is left that could begin.
 */
import { chownSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  judgeStart,
  judgeUnit,
  judgeWatchedUnit,
  type MethodRequest,
  type MethodResult,
  overrideProblem,
  type UnitFacts,
  type UnitState,
  unitDropIn,
  unitEnd,
  unitObstacle,
  unitOf,
} from '../../core/monitor/index.js'
import { BusError, BusSilent } from '../bus/index.js'
import { methodMarker, pause, runMarker, type UnitCgroup, unitCgroup } from '../processes/index.js'
import type { RunFolder, UnitNote } from '../run-folder/index.js'
import { dropInPath, placeDropIn, removeDropIn, type Systemd, unitsWithDropIn } from '../systemd/index.js'
import type { MethodContext } from './method.js'

/** What the methods of units need beside that of others. */
export interface UnitsWorld {
  readonly systemd: Systemd
  /** Where drop-ins go. */
  readonly dropIns: string
}

type Named = Pick<MethodRequest, 'group' | 'resource'>

/** systemd answers within milliseconds. One that takes longer than this is not waited for where others can tell. */
const answerMax = 2_000
const lookEvery = 20
/** So often it is looked at a job whose end was not told. */
const jobEvery = 500
/** A stop that has not begun after this may wait for the end of what asks for it. */
const stopBegins = 300

export async function runUnit(
  context: MethodContext,
  method: 'start' | 'stop' | 'probe' | 'settle',
  world: UnitsWorld,
): Promise<MethodResult> {
  const unit = unitOf(context.request.definition.type)
  if (unit === undefined) return { outcome: 'failed', detail: 'its type names no unit', severity: 'fatal', nothingBegun: true }
  const methods = { start: startUnit, stop: stopUnit, probe: probeUnit, settle: settleUnit }
  try {
    return await methods[method](context, unit, world)
  } catch (error) {
    if (context.signal.aborted) return { outcome: 'cancelled' }
    if (error instanceof BusSilent) return { outcome: 'timed-out', detail: `systemd does not answer: ${error.message}` }
    if (error instanceof BusError) return { outcome: 'failed', detail: `systemd refuses: ${error.message}` }
    throw error
  }
}

async function startUnit(context: MethodContext, unit: string, world: UnitsWorld): Promise<MethodResult> {
  const { systemd } = world
  const { units } = context.world.runFolder
  const refused = context.refusal() ?? (await whyNotStartable(context, unit, world))
  if (refused !== undefined) return refused
  const facts = await override(context, unit, world)
  if ('outcome' in facts) return facts
  giveCheckpoints(context, facts.user)
  const refusal = context.refusal()
  if (refusal !== undefined) {
    units.remove(context.request)
    return refusal
  }
  units.writeGrant(context.request, grantEnvironment(context))
  const job = await systemd.start(unit, context.remaining())
  const ended = await untilEnded(context, unit, job, systemd)
  if (typeof ended !== 'string') {
    await systemd.cancelJob(job, answerMax).catch(() => {})
    return ended
  }
  const now = await systemd.facts(unit, Math.max(answerMax, context.remaining()))
  noteEnd(context, now)
  return judgeStart(ended, now)
}

/**
 * Of a unit that is only looked at: systemd may restart it by itself, and for as long as it waits for that it does not run. With
 * `strict`, one that is still starting does not yet.
 */
export async function watchedUnit(context: MethodContext, systemd: Systemd, strict: boolean): Promise<MethodResult> {
  const unit = unitOf(context.request.definition.type)
  if (unit === undefined) return { outcome: 'failed', detail: 'its type names no unit', severity: 'fatal' }
  try {
    return judgeWatchedUnit(await systemd.state(unit, Math.max(1, Math.min(answerMax, context.remaining()))), strict)
  } catch (error) {
    if (context.signal.aborted) return { outcome: 'cancelled' }
    if (error instanceof BusSilent || error instanceof BusError)
      return { outcome: 'failed', detail: `systemd does not answer: ${error.message}` }
    throw error
  }
}

/** Undefined where it may be started. */
async function whyNotStartable(context: MethodContext, unit: string, { systemd }: UnitsWorld): Promise<MethodResult | undefined> {
  let facts: UnitFacts
  try {
    facts = await systemd.facts(unit, context.remaining())
  } catch (error) {
    if (!(error instanceof BusSilent)) throw error
    return { outcome: 'failed', nothingBegun: true, detail: `systemd does not answer: ${error.message}` }
  }
  const state = await settled(context, unit, systemd, facts)
  const judged = judgeUnit(state, !unitCgroup(facts.cgroup).empty())
  const isStopped = judged !== 'changing' && judged.outcome === 'stopped'
  const obstacle = unitObstacle(facts)
  if (obstacle !== undefined)
    return {
      outcome: 'failed',
      severity: 'hard',
      detail: `${obstacle.detail}; ${obstacle.fix}`,
      ...(isStopped ? { nothingBegun: true } : {}),
    }
  if (isStopped) return undefined
  return { outcome: 'failed', detail: `${unit} runs already, and not by this grant: systemd calls it ${state.active} (${state.sub})` }
}

/** Turns off what systemd would do by itself. What it knows of the unit then, or why that could not be done. */
async function override(context: MethodContext, unit: string, { systemd, dropIns }: UnitsWorld): Promise<UnitFacts | MethodResult> {
  const { request, world } = context
  const { units, key } = world.runFolder
  const before = await systemd.facts(unit, context.remaining())
  const { group, resource, token, boot } = request
  // Known before anything of it can run, and so that nobody takes the drop-in for one that is left over.
  const note = {
    boot,
    group,
    resource,
    token,
    unit,
    cgroup: before.cgroup,
    phase: 'starting',
    livesByProcesses: !before.staysWithoutProcesses,
  } as const
  units.removeGrant(request)
  units.write(note)
  const path = dropInPath(dropIns, unit, key)
  const grantFile = units.grantPath(request)
  const own = await systemd.ownService(context.remaining())
  const isNew = placeDropIn(path, unitDropIn({ grantFile, before: own?.name }))
  if (isNew || before.needsReload || !before.dropIns.includes(path)) await reload(systemd, context.remaining())
  const facts = await systemd.facts(unit, context.remaining())
  const problem = overrideProblem(facts, path, grantFile)
  if (problem === undefined) return facts
  units.remove(request)
  removeDropIn(path)
  return { outcome: 'failed', severity: 'hard', nothingBegun: true, detail: `${problem}; take that out of the unit` }
}

/** Older versions close the connection instead of answering; what they did is seen afterwards. */
async function reload(systemd: Systemd, timeout: number) {
  try {
    await systemd.reload(timeout)
  } catch (error) {
    if (!(error instanceof BusError)) throw error
  }
}

async function stopUnit(context: MethodContext, unit: string, { systemd }: UnitsWorld): Promise<MethodResult> {
  const job = await systemd.stop(unit, 'replace', Math.min(answerMax, context.remaining()))
  const ended = job === undefined ? 'done' : await untilStopped(context, unit, job, systemd)
  if (typeof ended !== 'string') return ended
  if (ended !== 'done') {
    const state = await systemd.state(unit, answerMax)
    const judged = judgeUnit(state, false)
    if (judged === 'changing' || judged.outcome !== 'stopped')
      return { outcome: 'failed', detail: `systemd answered "${ended}" to the stop, and calls it ${state.active} (${state.sub})` }
  }
  // Of what was never granted here nobody else knows where its processes are.
  if (context.request.token === 0) await unitCgroup((await systemd.facts(unit, answerMax)).cgroup).kill(context.remaining())
  return { outcome: 'done' }
}

/**
 * The drop-in has the unit outlive our own service at the end of the machine, so that we bring it down in its turn. systemd would then
 * have its stop wait for our end, and we wait for its stop: while our own service is being stopped, it is told not to wait.
 */
async function untilStopped(context: MethodContext, unit: string, job: string, systemd: Systemd): Promise<string | MethodResult> {
  const soon = await systemd.ended(job, Math.min(stopBegins, context.remaining()))
  if (soon !== undefined) return soon
  const own = await systemd.ownService(Math.min(answerMax, context.remaining()))
  const isEnding = own !== undefined && (own.job === 'stop' || own.job === 'restart' || own.active === 'deactivating')
  const other = isEnding ? await systemd.stop(unit, 'ignore-dependencies', Math.min(answerMax, context.remaining())) : job
  return other === undefined ? 'done' : untilEnded(context, unit, other, systemd)
}

async function probeUnit(context: MethodContext, unit: string, world: UnitsWorld): Promise<MethodResult> {
  const { request } = context
  const note = context.world.runFolder.units.read(request)
  try {
    if (request.token === 0 || note === undefined) return await probeByFacts(context, unit, world)
    const cgroup = unitCgroup(note.cgroup)
    const patience = Math.max(1, Math.min(answerMax, context.remaining() / 2))
    const state = await settled(context, unit, world.systemd, await world.systemd.state(unit, patience))
    return await concluded(context, judgeUnit(state, !cgroup.empty()), unit, world)
  } catch (error) {
    if (!(error instanceof BusSilent) || context.signal.aborted) throw error
    return withoutSystemd(error, note)
  }
}

/** Of what was not started here. */
async function probeByFacts(context: MethodContext, unit: string, { systemd }: UnitsWorld): Promise<MethodResult> {
  const facts = await systemd.facts(unit, context.remaining())
  const state = await settled(context, unit, systemd, facts)
  const judged = judgeUnit(state, !unitCgroup(facts.cgroup).empty())
  if (judged === 'changing') return stillChanging(state)
  const obstacle = judged.outcome === 'stopped' && context.request.token === 0 ? unitObstacle(facts) : undefined
  return obstacle === undefined ? judged : { outcome: 'stopped', unable: true, note: `${obstacle.detail}; ${obstacle.fix}` }
}

async function concluded(
  context: MethodContext,
  judged: MethodResult | 'changing',
  unit: string,
  { systemd, dropIns }: UnitsWorld,
): Promise<MethodResult> {
  if (context.signal.aborted) return { outcome: 'cancelled' }
  if (judged === 'changing') return { outcome: 'timed-out', detail: `systemd has not come to the end of the stop of ${unit}` }
  const { units, key } = context.world.runFolder
  if (judged.outcome === 'running' && !existsSync(dropInPath(dropIns, unit, key)))
    return {
      outcome: 'running',
      degraded: true,
      note: 'its drop-in was taken away, so that systemd may restart it by itself: restart the resource',
    }
  if (judged.outcome !== 'stopped') return judged
  const facts = await systemd.facts(unit, answerMax).catch(() => undefined)
  // Without a grant nothing of it can begin any more: all that had to be known of it is told by this answer.
  if (!units.hasGrant(context.request)) units.remove(context.request)
  const end = facts === undefined ? undefined : unitEnd(facts)
  return end === undefined ? judged : { ...judged, note: end }
}

/** What its cgroup says alone. */
function withoutSystemd(error: BusSilent, note: UnitNote | undefined): MethodResult {
  const silent = `systemd does not answer (${error.message})`
  const cgroup = note === undefined ? undefined : unitCgroup(note.cgroup)
  if (note === undefined || cgroup === undefined || !cgroup.isKnown) return { outcome: 'timed-out', detail: silent }
  if (!cgroup.empty()) return { outcome: 'running', degraded: true, note: `${silent}; its processes run` }
  if (note.phase === 'starting') return { outcome: 'timed-out', detail: `${silent}, and a start of it may be under way there` }
  if (!note.livesByProcesses) return { outcome: 'timed-out', detail: `${silent}, and the unit may be active without processes` }
  return { outcome: 'stopped', note: `${silent}; no process of it is left` }
}

/** Waits for a start that another monitor asked for. */
async function settleUnit(context: MethodContext, unit: string, { systemd }: UnitsWorld): Promise<MethodResult> {
  for (;;) {
    const state = await systemd.state(unit, Math.max(answerMax, context.remaining()))
    if (context.signal.aborted) return { outcome: 'cancelled' }
    if (state.job === undefined && state.active !== 'activating' && state.active !== 'deactivating') break
    if (context.remaining() === 0)
      return { outcome: 'timed-out', detail: `its start is not over: systemd calls it ${state.active} (${state.sub})` }
    await pause(lookEvery)
  }
  const facts = await systemd.facts(unit, answerMax)
  noteEnd(context, facts)
  return judgeStart(facts.active === 'active' ? 'done' : 'failed', facts)
}

/** systemd has said what came of the start: none is under way. */
function noteEnd({ request, world }: MethodContext, facts: UnitFacts) {
  const note = world.runFolder.units.read(request)
  if (note === undefined) return
  const livesByProcesses = !facts.staysWithoutProcesses && !unitCgroup(facts.cgroup).empty()
  world.runFolder.units.write({ ...note, cgroup: facts.cgroup, phase: 'started', livesByProcesses })
}

/** Its state once it is not being stopped any more, or when the time is over. */
async function settled<State extends UnitState>(context: MethodContext, unit: string, systemd: Systemd, first: State): Promise<UnitState> {
  let state: UnitState = first
  while (state.active === 'deactivating' && !context.signal.aborted && context.remaining() > 0) {
    await pause(Math.min(lookEvery, context.remaining()))
    state = await systemd.state(unit, Math.max(1, Math.min(answerMax, context.remaining())))
  }
  return state
}

/** What came of the job; or that it took too long, or is not wanted any more. */
async function untilEnded(context: MethodContext, unit: string, job: string, systemd: Systemd): Promise<string | MethodResult> {
  const aborted = new Promise<void>((resolve) => context.signal.addEventListener('abort', () => resolve(), { once: true }))
  for (;;) {
    if (context.signal.aborted) return { outcome: 'cancelled' }
    const span = Math.max(1, Math.min(jobEvery, context.remaining()))
    const ended = await Promise.race([systemd.ended(job, span), aborted.then(() => undefined)])
    if (ended !== undefined) return ended
    if (context.signal.aborted) return { outcome: 'cancelled' }
    if (context.remaining() === 0)
      return { outcome: 'timed-out', detail: `systemd did not come to an end with ${unit} within ${context.request.timeout} ms` }
    // Its end may have gone past us.
    const state = await systemd.state(unit, answerMax).catch(() => undefined)
    if (state !== undefined && state.job === undefined && state.active !== 'activating' && state.active !== 'deactivating')
      return state.active === 'failed' ? 'failed' : 'done'
  }
}

/** What the service finds in its environment, beside what its unit says. */
function grantEnvironment(context: MethodContext): Record<string, string> {
  const ours = Object.entries(context.environment()).filter(
    ([name]) => name.startsWith('QUORATE_') && name !== runMarker && name !== methodMarker,
  )
  return Object.fromEntries(ours)
}

/** As for commands with a user: what the last holder left is its to read. */
function giveCheckpoints(context: MethodContext, user: string) {
  const number = userNumber(user)
  if (number === undefined) return
  const { group, resource } = context.request
  const folder = context.world.runFolder.folder('checkpoints', group, resource)
  for (const path of [folder, ...readdirSync(folder).map((name) => join(folder, name))]) chownSync(path, number, -1)
}

/** Undefined for root, and for a user that only systemd knows. */
function userNumber(user: string): number | undefined {
  if (user === '' || user === 'root' || user === '0') return undefined
  if (/^\d+$/.test(user)) return Number(user)
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((one) => one.startsWith(`${user}:`))
  return line === undefined ? undefined : Number(line.split(':')[2])
}

function stillChanging(state: UnitState): MethodResult {
  return { outcome: 'timed-out', detail: `systemd calls it ${state.active} (${state.sub})` }
}

// What is done without a method.

/** Kills everything of the unit, if the resource is one that was started here. False when something is left. */
export async function killUnit(runFolder: RunFolder, of: Named, timeout: number): Promise<boolean> {
  const { units } = runFolder
  const note = units.read(of)
  units.removeGrant(of)
  return note === undefined || unitCgroup(note.cgroup).kill(timeout)
}

/** The cgroup of a unit that was started here; undefined for other resources. */
export function cgroupOfUnit(runFolder: RunFolder, of: Named): { readonly note: UnitNote; readonly cgroup: UnitCgroup } | undefined {
  const note = runFolder.units.read(of)
  return note === undefined ? undefined : { note, cgroup: unitCgroup(note.cgroup) }
}

/** Takes away what no unit that may run needs any more. Whether there was anything. */
export function removeLeftDropIns({ units, key }: RunFolder, dropIns: string): boolean {
  const needed = new Set(units.all().map(({ unit }) => unit))
  const left = unitsWithDropIn(dropIns, key).filter((unit) => !needed.has(unit))
  for (const unit of left) removeDropIn(dropInPath(dropIns, unit, key))
  return left.length > 0
}
