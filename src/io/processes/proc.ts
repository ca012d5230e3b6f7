/** What /proc says about processes. A process is its pid and its start time; a bare pid is never signalled. */
import { readdirSync, readFileSync } from 'node:fs'
import type { ProcessIdentity } from '../../core/monitor/index.js'

export interface ProcessStat extends ProcessIdentity {
  /** R, S, D, T, Z … */
  readonly state: string
  readonly parent: number
  readonly processGroup: number
  readonly session: number
}

/** Undefined when there is no such process. */
export function readStat(pid: number): ProcessStat | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return undefined
  }
  // The name, in parentheses, may itself hold spaces and parentheses: fields are counted from the last one.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [state, parent, processGroup, session] = fields
  return {
    pid,
    state: state ?? '?',
    parent: Number(parent),
    processGroup: Number(processGroup),
    session: Number(session),
    startTime: Number(fields[19]), // Field 22 of the whole line.
  }
}

export function identify(pid: number): ProcessIdentity | undefined {
  const stat = readStat(pid)
  return stat === undefined ? undefined : { pid, startTime: stat.startTime }
}

/** A zombie has ended, and somebody has only not looked yet; unless only its first thread has, and others of it run on. */
export function hasEnded({ pid, state }: Pick<ProcessStat, 'pid' | 'state'>): boolean {
  return state === 'X' || (state === 'Z' && threadsOf(pid).length <= 1)
}

export function isAlive(identity: ProcessIdentity): boolean {
  const stat = readStat(identity.pid)
  return stat !== undefined && stat.startTime === identity.startTime && !hasEnded(stat)
}

/** Signals this very process, and says whether it was there. With `wholeGroup`, also the process group that it leads. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals, wholeGroup = false): boolean {
  const stat = readStat(identity.pid)
  if (stat === undefined || stat.startTime !== identity.startTime) return false
  try {
    process.kill(wholeGroup && stat.processGroup === stat.pid ? -stat.pid : stat.pid, signal)
    return true
  } catch {
    return false
  }
}

export function allPids(): readonly number[] {
  return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []))
}

/** Undefined when the process is gone, a zombie, or another user's. */
export function readEnvironment(pid: number): string | undefined {
  // Its first thread may have ended while others run on: then these have what it had.
  return (
    readIfThere(`/proc/${pid}/environ`) ||
    threadsOf(pid)
      .map((thread) => readIfThere(`/proc/${pid}/task/${thread}/environ`))
      .find(Boolean)
  )
}

function threadsOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch {
    return []
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}
