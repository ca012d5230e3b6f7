/**
 * Without cgroups: the processes that carry our marker variables, their descendants, and whoever shares a session with
 * one of them. What empties its environment, leaves its session and loses its parent escapes; so a start that had to
 * be killed here proves nothing.
 */
import type { ProcessIdentity } from '../../core/monitor/index.js'
import { pause } from './cgroup-files.js'
import type { Cell, CellMarkers, Containment, Part } from './containment.js'
import { allPids, hasEnded, type ProcessStat, readEnvironment, readStat, signalProcess } from './proc.js'

/** `run` marks everything that belongs to one run folder. */
export function sweepContainment(run: string): Containment {
  const inFlight = (environment: ReadonlySet<string>) =>
    environment.has(`${runMarker}=${run}`) && methodsInFlight.some((method) => environment.has(`${methodMarker}=${method}`))
  const groupOf = (environment: ReadonlySet<string>) => {
    if (environment.has(`${methodMarker}=call`)) return undefined
    return [...environment].find((variable) => variable.startsWith('QUORATE_GROUP='))?.slice('QUORATE_GROUP='.length)
  }
  return {
    place: { kind: 'sweep', root: run },
    cell: (_name, markers) => sweepCell(run, markers),
    killActions: (timeout, of = () => true) =>
      killSwept(() => findMarked((environment) => inFlight(environment) && of(groupOf(environment))), timeout),
    remove: () => {},
  }
}

const methodsInFlight = ['probe', 'stop', 'call']

export const runMarker = 'QUORATE_RUN'
export const methodMarker = 'QUORATE_METHOD'

function sweepCell(run: string, markers: CellMarkers): Cell {
  const wanted = [`${runMarker}=${run}`, ...Object.entries(markers).map(([name, value]) => `${name}=${value}`)]
  const find = (part?: Part) => findMarked((environment) => wanted.every((marker) => environment.has(marker)) && inPart(environment, part))
  return {
    join: () => undefined,
    limit: (limits) => Object.keys(limits),
    pids: (part) => find(part).map((found) => found.pid),
    empty: () => find().length === 0,
    kill: (timeout, part) => killSwept(() => find(part), timeout),
    // One that is found and stopped may have had a child meanwhile that is not.
    freeze: () => Promise.resolve(false),
    thaw: () => Promise.resolve(true),
    watch: () => undefined,
    remove: () => {},
  }
}

function inPart(environment: ReadonlySet<string>, part: Part | undefined): boolean {
  return part === undefined || environment.has(`${methodMarker}=start`) === (part === 'service')
}

type Fits = (environment: ReadonlySet<string>) => boolean

/** Live processes whose environment fits, with all that hang on them. */
function findMarked(fits: Fits): readonly ProcessStat[] {
  const stats = allPids().flatMap((pid) => readStat(pid) ?? [])
  const found = new Map(findAmong(stats, fits).map((stat) => [stat.pid, stat]))
  if (found.size > 0) addRelatives(stats, found)
  return [...found.values()]
}

/** Live processes whose own environment fits, and not what hangs on them. */
export function findExactly(fits: Fits): readonly ProcessStat[] {
  return findAmong(
    allPids().flatMap((pid) => readStat(pid) ?? []),
    fits,
  )
}

function findAmong(stats: readonly ProcessStat[], fits: Fits): readonly ProcessStat[] {
  return stats.filter((stat) => {
    if (stat.pid === process.pid || hasEnded(stat)) return false
    const environment = readEnvironment(stat.pid)
    return environment?.includes('QUORATE_') === true && fits(new Set(environment.split('\0')))
  })
}

/** Sessions count only when their leader is one of ours: we start every action as the leader of a session of its own. */
function addRelatives(stats: readonly ProcessStat[], found: Map<number, ProcessStat>): void {
  for (let before = -1; before !== found.size; ) {
    before = found.size
    for (const stat of stats) {
      if (found.has(stat.pid) || stat.pid === process.pid || hasEnded(stat)) continue
      const leader = found.get(stat.session)
      if (found.has(stat.parent) || (leader !== undefined && leader.session === leader.pid)) found.set(stat.pid, stat)
    }
  }
}

/** Stops all before it kills any, so that none can fork meanwhile; done when two looks in a row find nothing. */
export async function killSwept(find: () => readonly ProcessIdentity[], timeout: number): Promise<boolean> {
  const end = performance.now() + timeout
  for (let clean = 0; clean < 2; ) {
    const stopped = stopAll(find)
    for (const victim of stopped) signalProcess(victim, 'SIGKILL')
    clean = stopped.length === 0 ? clean + 1 : 0
    if (clean < 2) {
      if (performance.now() >= end) return false
      await pause(stopped.length === 0 ? 2 : 5)
    }
  }
  return true
}

function stopAll(find: () => readonly ProcessIdentity[]): readonly ProcessIdentity[] {
  const stopped = new Map<number, ProcessIdentity>()
  for (let before = -1; before !== stopped.size; ) {
    before = stopped.size
    for (const victim of find()) {
      if (stopped.has(victim.pid)) continue
      stopped.set(victim.pid, victim)
      signalProcess(victim, 'SIGSTOP')
    }
  }
  return [...stopped.values()]
}
