/**
 * What happened in a run, in the words of Jepsen: a process invokes an operation, and it ends `ok` (done), `fail` (it did
 * nothing) or `info` (nobody knows). The faults are `info` events of the process "nemesis".
 */
import type { Json } from '../checkers/index.js'

export interface Operation {
  readonly f: string
  readonly key?: Json
  readonly value?: Json
}

export interface Completion {
  readonly type: 'ok' | 'fail' | 'info'
  readonly value?: Json
  /** Why it is not `ok`. */
  readonly error?: string
}

export interface RunEvent {
  readonly process: string
  readonly type: 'invoke' | 'ok' | 'fail' | 'info'
  readonly f: string
  readonly key?: Json
  readonly value?: Json
  /** Milliseconds since the run began, on a clock that does not jump. */
  readonly time: number
  /** Undefined for the nemesis. */
  readonly workload?: string
  /** Who was asked. */
  readonly node?: string
  readonly error?: string
}

/** One fault, from its injection until it was healed. */
export interface Band {
  readonly fault: string
  readonly lane: number
  /** As planned, and what it met (such as who led). */
  readonly detail: Json
  readonly from: number
  /** Infinity where it was never healed. */
  readonly to: number
}

/** The nemesis says `inject` and `heal` with `{id, fault, …}`. */
export function bandsOf(events: readonly RunEvent[]): readonly Band[] {
  const bands = new Map<number, Band>()
  for (const { process, f, value, time } of events) {
    if (process !== 'nemesis') continue
    const { id, fault, lane, ...detail } = value as { readonly id: number; readonly fault: string; readonly lane?: number }
    const known = bands.get(id)
    if (f === 'inject' && known === undefined)
      bands.set(id, { fault, lane: lane ?? 0, detail: detail as Json, from: time, to: Number.POSITIVE_INFINITY })
    else if (f === 'injected' && known !== undefined)
      bands.set(id, { ...known, detail: { ...(known.detail as object), ...detail } as Json })
    else if (f === 'healed' && known !== undefined) bands.set(id, { ...known, to: time })
  }
  return [...bands.values()]
}

export function writeHistory(events: readonly RunEvent[]): string {
  return events.map((event) => `${JSON.stringify(event)}\n`).join('')
}

export function readHistory(text: string): readonly RunEvent[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as RunEvent)
}
