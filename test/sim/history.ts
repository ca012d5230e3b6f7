/**
 * What clients asked and were told, and whether registers could have answered so (linearizability).
 *
 * The events are the adapter: whoever checks them needs nothing else of the simulator. The check here is exact and small
 * (Wing and Gong 1993, with the visited states remembered as Lowe 2017 does): made for some dozens of calls a key.
 */

/** As a client sees it. `fail`: surely not carried out; `info`: nobody knows, and nobody ever will. */
export interface HistoryEvent {
  /** One call at a time each; after `info` a process does not go on. */
  readonly process: number
  readonly type: 'invoke' | 'ok' | 'fail' | 'info'
  readonly f: 'read' | 'write' | 'cas'
  readonly key: string
  /** Of a `read` that is `ok` what it saw, null where there was nothing; of a `cas` from what to what. */
  readonly value: string | null | readonly [from: string | null, to: string]
  /** Milliseconds of the world's time. */
  readonly time: number
}

/** Judges the history of one key; answers undefined, or what cannot be. */
export type Checker = (events: readonly HistoryEvent[]) => string | undefined

interface Call {
  readonly process: number
  readonly f: 'read' | 'write' | 'cas'
  readonly value: HistoryEvent['value']
  readonly began: number
  /** Infinity while nobody knows. */
  ended: number
}

/** Calls whose bits fit into one number. */
export const callsMax = 50

export class History {
  readonly events: HistoryEvent[] = []

  add(event: HistoryEvent): void {
    this.events.push(event)
  }

  /** Key by key; the first that is wrong is told. */
  judge(check: Checker = checkRegister): string | undefined {
    const keys = new Map<string, HistoryEvent[]>()
    for (const event of this.events) {
      const of = keys.get(event.key)
      if (of === undefined) keys.set(event.key, [event])
      else of.push(event)
    }
    for (const [key, events] of keys) {
      const wrong = check(events)
      if (wrong !== undefined) return `register ${key}: ${wrong}`
    }
    return undefined
  }
}

/** A register that begins empty. The order of the events is the order in time. */
export const checkRegister: Checker = (events) => {
  const calls = callsOf(events)
  if (calls.length > callsMax) throw new Error(`${calls.length} calls of one key are too many for this check`)
  const deepest = { count: 0, value: null as string | null }
  if (search(calls, 0, 0, null, new Set(), deepest)) return undefined
  const lines = events.map(({ time, process, type, f, value }) => `  ${(time / 1_000).toFixed(4)} p${process} ${type} ${f} ${show(value)}`)
  return `no order of the calls explains the answers; ${deepest.count} of ${calls.length} can be explained\n${lines.join('\n')}`
}

function callsOf(events: readonly HistoryEvent[]): Call[] {
  const open = new Map<number, Call>()
  const calls: Call[] = []
  for (const [at, { process, type, f, value }] of events.entries()) {
    if (type === 'invoke') {
      const call = { process, f, value, began: at, ended: Number.POSITIVE_INFINITY }
      open.set(process, call)
      calls.push(call)
      continue
    }
    const call = open.get(process)
    open.delete(process)
    if (call === undefined) throw new Error(`process ${process} is answered what it did not ask`)
    if (type === 'ok') Object.assign(call, { ended: at, value })
    // A read that nobody answered has seen nothing that counts.
    else if (type === 'fail' || f === 'read') calls.splice(calls.indexOf(call), 1)
  }
  return calls.filter((call) => call.f !== 'read' || call.ended !== Number.POSITIVE_INFINITY)
}

/** Whether what is not done yet can follow `value`, one call after the other, none before it was asked or after it was answered. */
function search(
  calls: readonly Call[],
  done: number,
  count: number,
  value: string | null,
  visited: Set<string>,
  deepest: { count: number; value: string | null },
): boolean {
  let firstEnd = Number.POSITIVE_INFINITY
  for (const [at, call] of calls.entries()) if (!has(done, at) && call.ended < firstEnd) firstEnd = call.ended
  if (firstEnd === Number.POSITIVE_INFINITY) return true
  if (count > deepest.count) Object.assign(deepest, { count, value })
  for (const [at, call] of calls.entries()) {
    if (has(done, at) || call.began > firstEnd) continue
    const next = after(call, value)
    if (next === undefined) continue
    const then = done + 2 ** at
    const state = `${then}/${next}`
    if (visited.has(state)) continue
    visited.add(state)
    if (search(calls, then, count + 1, next, visited, deepest)) return true
  }
  return false
}

function has(done: number, at: number): boolean {
  return Math.floor(done / 2 ** at) % 2 === 1
}

/** What the register holds afterwards; undefined where the call cannot have ended so. */
function after(call: Call, value: string | null): string | null | undefined {
  if (call.f === 'read') return call.value === value ? value : undefined
  if (call.f === 'write') return call.value as string
  const [from, to] = call.value as readonly [string | null, string]
  return from === value ? to : undefined
}

function show(value: HistoryEvent['value']): string {
  return value === null || typeof value === 'string' ? String(value) : `${value[0]} → ${value[1]}`
}
