/**
 * Runs the methods of resources of every type, kills what they run, and watches the processes of those that are up.
 *
 * Shared by the monitor, and by the guardian when it has to end everything itself. Decides nothing.
 */
import type { BootInstant, GroupName, ResourceName } from '../../base/index.js'
import type { CopyLists, ResourceDefinition } from '../../core/cluster/index.js'
import { behaviourOf, isCheck, isSystemd, type MethodRequest, type MethodResult, type ProcessIdentity } from '../../core/monitor/index.js'
import type { Clock } from '../clock/index.js'
import {
  boundServiceLog,
  type Cell,
  type Containment,
  DeathWatch,
  hasEnded,
  pause,
  readStat,
  reopenContainment,
} from '../processes/index.js'
import type { RunFolder } from '../run-folder/index.js'
import { openSystemd, runtimeUnits, type SystemdOptions } from '../systemd/index.js'
import { probeCheck, startCheck } from './checks.js'
import { migrateCommand, runCommand, runDeepProbe, settleStart } from './commands.js'
import { cellName, markersOf } from './environment.js'
import { KeptProcesses, probeKept, settleKept, startKept, stopKept } from './kept.js'
import { limitService } from './limits.js'
import { runLogicalHostname } from './logical-hostname.js'
import { beginMethod, type Method, type MethodBody, MethodContext } from './method.js'
import { migrateOcf, reloadOcf, runOcf } from './ocf.js'
import { Pace } from './pace.js'
import { actionsLogPath, serviceLogPath } from './resource-log.js'
import { runRole } from './role.js'
import { Turns } from './turns.js'
import { cgroupOfUnit, killUnit, removeLeftDropIns, runUnit, type UnitsWorld, watchedUnit } from './units.js'

export interface AgentsConfig {
  readonly runFolder: RunFolder
  readonly logDir: string
  readonly clock: Clock
  /** On which nodes copies of a group are what, where its agents are to know. */
  readonly copies?: (group: GroupName) => CopyLists | undefined
  /** The time that a method waits until it may start its program is not taken off its own. */
  readonly isPatient?: boolean
  /** That of this machine unless given; `dropIns` is the folder for drop-ins. */
  readonly systemd?: SystemdOptions & { readonly dropIns?: string }
}

/** One resource, and where its processes are. */
export type Whereabouts = Pick<MethodRequest, 'group' | 'resource' | 'place' | 'cellOf'>

export interface AgentsListener {
  onLearnt(group: GroupName, resource: ResourceName, processes: readonly ProcessIdentity[]): void
  onEnded(group: GroupName, resource: ResourceName, process: ProcessIdentity, how: string): void
  onEmptied(group: GroupName, resource: ResourceName): void
  /** Somebody who knows says that its state may be another. */
  onChanged(group: GroupName, resource: ResourceName): void
}

export interface Agents {
  /** A start is refused when its token is sealed or the boot clock, plus its grain, has reached `deadline`, which is asked when its turn comes. */
  begin(request: MethodRequest, deadline: () => BootInstant, onSpawned?: (process: ProcessIdentity) => void): Method
  /** Kills everything of the resource. False when something is left after `timeout` milliseconds. */
  kill(of: Whereabouts, timeout: number): Promise<boolean>
  /** Has its service stand still, or go on. False where that could not be done. */
  freeze(of: Whereabouts, timeout: number): Promise<boolean>
  thaw(of: Whereabouts, timeout: number): Promise<boolean>
  /** With `learn`, finds the main processes itself and tells them. */
  watch(of: Whereabouts, processes: readonly ProcessIdentity[], learn: boolean): void
  unwatch(group: GroupName, resource: ResourceName): void
  /** Stops watching; touches nothing that runs. */
  close(): void
}

const logCheckEvery = 10_000
/** A unit that is started again soon need not be read anew. */
const dropInsKept = 30_000
const reloadMax = 60_000
/** What others may be about to start. Milliseconds. */
const lookAgainEvery = 250

export function openAgents(config: AgentsConfig, listener: AgentsListener): Agents {
  const outputFolder = config.runFolder.folder('output')
  const kept = new KeptProcesses()
  const turns = new Turns()
  const pace = new Pace()
  const names = new Map<string, { group: GroupName; resource: ResourceName; stop: (() => void) | undefined }>()
  const deaths = new DeathWatch<string>((key, process) => {
    const watched = names.get(key)
    if (watched !== undefined) listener.onEnded(watched.group, watched.resource, process, 'it has ended')
  })
  const logs = new Set<string>()
  const logCheck = setInterval(() => {
    for (const log of logs) boundServiceLog(log)
  }, logCheckEvery)
  logCheck.unref()
  const systemd = openSystemd(config.systemd)
  const units = { systemd, dropIns: config.systemd?.dropIns ?? runtimeUnits }
  let tidying: NodeJS.Timeout | undefined
  tidySoon() // An earlier process may have left some.

  const logOf = (group: GroupName, resource: ResourceName) => serviceLogPath(config.logDir, { group, resource })
  const containments = new Map<string, Containment>()
  const cellOf = (of: Whereabouts): Cell => {
    const key = `${of.place.kind}:${of.place.root}`
    const containment = containments.get(key) ?? reopenContainment(of.place)
    containments.set(key, containment)
    return containment.cell(cellName(of), markersOf(of))
  }

  return {
    begin: (request, deadline, onSpawned = () => {}) => {
      const { group, resource } = request
      const log = logOf(group, resource)
      if (request.method === 'start') logs.add(log)
      if (isSystemd(request.definition.type)) tidySoon()
      const world = {
        ...config,
        pace,
        cell: cellOf(request),
        outputFolder,
        log,
        actionsLog: actionsLogPath(config.logDir, { group, resource }),
        onSpawned,
      }
      return beginMethod(new MethodContext(request, deadline, world), async (context) => {
        await turns.take(request, context)
        if (context.signal.aborted) return { outcome: 'cancelled' }
        const note = limitService(context)
        const result = await bodyOf(request.definition, request.method)(context)
        return note !== undefined && result.outcome === 'done' ? { ...result, note } : result
      })
    },
    kill: async (of, timeout) => {
      const cell = cellOf(of)
      const [done, unitDone] = await Promise.all([cell.kill(timeout), killUnit(config.runFolder, of, timeout)])
      if (done) cell.remove()
      return done && unitDone
    },
    freeze: (of, timeout) => (cgroupOfUnit(config.runFolder, of)?.cgroup ?? cellOf(of)).freeze(timeout),
    thaw: (of, timeout) => (cgroupOfUnit(config.runFolder, of)?.cgroup ?? cellOf(of)).thaw(timeout),
    watch: (of, processes, learn) => {
      const { group, resource } = of
      const key = cellName({ group, resource })
      unwatch(group, resource)
      logs.add(logOf(group, resource))
      if (watchUnit(of, processes, learn)) return
      const cell = cellOf(of)
      const known = learn ? mainProcesses(cell.pids('service')) : processes
      if (known.length === 0) return
      names.set(key, { group, resource, stop: cell.watch(() => cell.empty() && listener.onEmptied(group, resource)) })
      if (learn) listener.onLearnt(group, resource, known)
      // Our own children tell us themselves.
      deaths.watch(
        key,
        known.filter((process) => !kept.isOwn(process)),
      )
      for (const process of known) {
        const how = kept.endOf(process)
        if (how !== undefined) listener.onEnded(group, resource, process, how)
      }
    },
    unwatch,
    close: () => {
      pace.close()
      clearInterval(logCheck)
      clearTimeout(tidying)
      systemd.close()
      removeLeftDropIns(config.runFolder, units.dropIns)
      deaths.close()
      for (const watched of names.values()) watched.stop?.()
      names.clear()
    },
  }

  /** Told by systemd, by the cgroup, and by the end of its main processes. Whether it is a unit. */
  function watchUnit(of: Whereabouts, processes: readonly ProcessIdentity[], learn: boolean): boolean {
    const unit = cgroupOfUnit(config.runFolder, of)
    if (unit === undefined) return false
    const { group, resource } = of
    const changed = () => listener.onChanged(group, resource)
    const stops = [systemd.watch(unit.note.unit, changed), unit.cgroup.watch(changed)]
    names.set(cellName(of), { group, resource, stop: () => stops.forEach((stop) => stop?.()) })
    const known = learn ? mainProcesses(unit.cgroup.pids()) : processes
    if (learn && known.length > 0) listener.onLearnt(group, resource, known)
    deaths.watch(cellName(of), known)
    return true
  }

  /** Drop-ins that no unit needs any more, all at once. */
  function tidySoon() {
    tidying ??= setTimeout(() => {
      tidying = undefined
      if (removeLeftDropIns(config.runFolder, units.dropIns)) systemd.reload(reloadMax).catch(() => {})
    }, dropInsKept).unref()
  }

  function unwatch(group: GroupName, resource: ResourceName) {
    const key = cellName({ group, resource })
    names.get(key)?.stop?.()
    names.delete(key)
    deaths.watch(key, [])
  }

  function bodyOf(definition: ResourceDefinition, method: MethodRequest['method']): MethodBody {
    if (definition.operations === 'none') return watchBody(definition, method, units)
    if (method === 'migrate') return migrateBody(definition.type)
    if (definition.role !== undefined) return (context) => runRole(context, method)
    if (isCheck(definition.type) && method !== 'reload') return checkBody(method)
    if (method === 'reload') return definition.type.startsWith('ocf:') ? reloadOcf : noReload
    if (behaviourOf(definition).kept) return keptBody(method)
    if (isSystemd(definition.type)) return (context) => runUnit(context, method, units)
    if (method === 'settle') return settleStart
    if (definition.type === 'logical-hostname') return (context) => runLogicalHostname(context, method)
    return (context) => (definition.type === 'command' ? runCommand(context, method) : runOcf(context, method))
  }

  function keptBody(method: Exclude<MethodRequest['method'], 'reload' | 'migrate'>): MethodBody {
    switch (method) {
      case 'start':
        return (context) =>
          startKept(context, kept, (process, how) => listener.onEnded(context.request.group, context.request.resource, process, how))
      case 'settle':
        return (context) => settleKept(context, kept)
      case 'stop':
        return stopKept
      case 'probe':
        return (context) => (context.request.deep !== undefined ? runDeepProbe(context) : probeKept(context))
    }
  }
}

/** Of what others start and stop: the start waits until it is found running, and the stop leaves it. */
function watchBody({ type }: ResourceDefinition, method: MethodRequest['method'], { systemd }: UnitsWorld): MethodBody {
  if (method === 'stop') return () => Promise.resolve({ outcome: 'done' })
  if (method === 'reload' || method === 'migrate')
    return () => Promise.resolve({ outcome: 'failed', detail: 'it is only looked at', severity: 'fatal' })
  const look: MethodBody = isSystemd(type)
    ? (context) => watchedUnit(context, systemd, method !== 'probe')
    : (context) => lookBody(type)(context)
  return method === 'probe' ? look : (context) => untilRunning(context, look)
}

function lookBody(type: string): MethodBody {
  if (type === 'logical-hostname') return (context) => runLogicalHostname(context, 'probe')
  return (context) => (type === 'command' ? runCommand(context, 'probe') : runOcf(context, 'probe'))
}

async function untilRunning(context: MethodContext, probe: MethodBody): Promise<MethodResult> {
  let said = 'its probe has not answered'
  for (;;) {
    const found = await probe(context)
    if (found.outcome === 'running') return { outcome: 'done', ...(found.note === undefined ? {} : { note: found.note }) }
    if (context.signal.aborted) return { outcome: 'cancelled' }
    // No other answer is to be had here, or anywhere.
    if (found.outcome === 'failed' && found.severity !== undefined) return found
    if (found.outcome === 'stopped') said = found.note ?? 'its probe says that it is stopped'
    else if (found.outcome === 'failed') said = found.detail
    if (found.outcome === 'timed-out' || context.remaining() === 0) return { outcome: 'timed-out', detail: `it never ran: ${said}` }
    await pause(Math.min(lookAgainEvery, context.remaining()))
  }
}

const noReload: MethodBody = () => Promise.resolve({ outcome: 'failed', detail: 'its type has no reload' })

function migrateBody(type: string): MethodBody {
  if (type.startsWith('ocf:')) return migrateOcf
  return type === 'command' ? migrateCommand : () => Promise.resolve({ outcome: 'failed', detail: 'its type does not migrate' })
}

function checkBody(method: MethodRequest['method']): MethodBody {
  const done: MethodResult = { outcome: 'done' }
  if (method === 'probe') return probeCheck
  return method === 'stop' ? () => Promise.resolve(done) : startCheck
}

/** Those that a start left behind: in the cell or cgroup, with a parent outside it. */
function mainProcesses(pids: readonly number[]): readonly ProcessIdentity[] {
  const stats = pids.flatMap((pid) => readStat(pid) ?? [])
  const inside = new Set(stats.map((stat) => stat.pid))
  return stats.filter((stat) => !inside.has(stat.parent) && !hasEnded(stat)).map(({ pid, startTime }) => ({ pid, startTime }))
}
