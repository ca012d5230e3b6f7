/** All that is known of a run when it is over, and what judges say of it. */
import type { Json } from '../checkers/index.js'
import type { Band, RunEvent } from '../core/index.js'

/** A line of the service's own journal; `at` in milliseconds since the run began. */
export interface Note {
  readonly at: number
  readonly node: string
  readonly token: number
  readonly pid: number
  readonly what: string
  readonly took?: number
}

/** An event of the cluster as a follower saw it. */
export interface SeenEvent {
  readonly revision: number
  readonly number: number
  readonly kind: string
  /** When it came, in milliseconds since the run began; undefined in a list read at the end. */
  readonly time?: number
  readonly subject?: string
  readonly text?: string
  readonly data?: Json
}

export interface Stall {
  readonly at: number
  readonly ms: number
}

export interface Pressure {
  readonly at: number
  readonly share: number
}

export interface RunRecord {
  readonly events: readonly RunEvent[]
  readonly bands: readonly Band[]
  /** Faults that may end the service or have a node fenced. */
  readonly mayStop: ReadonlySet<string>
  readonly notes: readonly Note[]
  /** By node: as followed, stream after stream. */
  readonly streams: Readonly<Record<string, readonly SeenEvent[]>>
  /** By node: as its journal has them at the end. */
  readonly finals: Readonly<Record<string, readonly SeenEvent[]>>
  /** When the faults ended, and how long it then took until all was well; undefined where it never was. */
  readonly faultsEnded: number
  readonly wellAfter: number | undefined
  readonly notWell: string | undefined
  /** When the run was over. */
  readonly ended: number
  readonly leaks: readonly string[]
  /** Times at which the harness itself stood still: the machine was overloaded. */
  readonly stalls: readonly Stall[]
  /** Share of the time in which somebody waited for a processor, by the kernel; empty where it does not tell. */
  readonly pressure?: readonly Pressure[]
}

export interface Verdict {
  readonly judge: string
  readonly workload?: string
  readonly valid: boolean | 'unknown'
  readonly text: string
  /** What contradicts it, the first few. */
  readonly offending?: readonly Json[]
  readonly figures?: Readonly<Record<string, number>>
}

export type Judge = (record: RunRecord) => Verdict

export const offendingMax = 10

/** Operations of a workload that were completed, with both their times. */
export interface Done {
  readonly process: string
  readonly f: string
  readonly key: Json | undefined
  readonly asked: Json | undefined
  readonly type: 'ok' | 'fail' | 'info'
  readonly value: Json | undefined
  readonly error: string | undefined
  readonly from: number
  readonly to: number
  readonly workload: string
  readonly node: string | undefined
}

export function completed(events: readonly RunEvent[], workload?: string): readonly Done[] {
  const open = new Map<string, RunEvent>()
  const done: Done[] = []
  for (const event of events) {
    if (event.workload === undefined || (workload !== undefined && event.workload !== workload)) continue
    if (event.type === 'invoke') {
      open.set(event.process, event)
      continue
    }
    const asked = open.get(event.process)
    if (asked === undefined) continue
    open.delete(event.process)
    const { process, f, key, value, time, node } = asked
    done.push({
      process,
      f,
      key,
      asked: value,
      type: event.type,
      value: event.value,
      error: event.error,
      from: time,
      to: event.time,
      workload: event.workload,
      node,
    })
  }
  return done
}

/** Whether something happened for a reason: within a fault that may do so or soon after it, or while somebody asked for it. */
export function reasonFor(record: RunRecord, at: number, grace: number): string | undefined {
  const band = record.bands.find(({ fault, from, to }) => record.mayStop.has(fault) && at >= from - 300 && at <= to + grace)
  if (band !== undefined) return band.fault
  const asked = completed(record.events).find(
    ({ workload, from, to, type }) =>
      (workload === 'switchover' || workload === 'operators') && at >= from && at <= (type === 'info' ? to + grace : to + 5_000),
  )
  if (asked !== undefined) return asked.f
  if (isStarved(record, at)) return 'starved'
  return record.stalls.some((stall) => stall.ms >= 150 && Math.abs(stall.at - at) < 3_000) ? 'stall' : undefined
}

/** Where for a larger share of the time somebody waited for a processor, there was none left. */
export const starvedShare = 0.9

/** Whether the machine had no processor left in the seconds before: then nobody can be on time. */
export function isStarved(record: RunRecord, at: number): boolean {
  return hasNoProcessor(record, at - 4_000, at + 1_000)
}

export function hasNoProcessor({ pressure = [] }: RunRecord, from: number, to: number): boolean {
  const about = pressure.filter(({ at }) => at >= from && at <= to)
  return about.length > 0 && about.reduce((sum, { share }) => sum + share, 0) / about.length > starvedShare
}
