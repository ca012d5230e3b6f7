/**
 * A history: what clients asked for and what they were told, in the order in which it happened.
 *
 * The order of events is their order in real time. Their `time` is for the reader: where it contradicts the order, the order
 * counts, and the contradiction is noted.
 */
import { canonical, type Json } from './values.js'

export type ModelName = 'cas-register' | 'kv' | 'multi-register' | 'mutex' | 'set' | 'list-append'

export const modelNames: readonly ModelName[] = ['cas-register', 'kv', 'multi-register', 'mutex', 'set', 'list-append']

export interface HistoryEvent {
  readonly process: number | string
  readonly type: 'invoke' | 'ok' | 'fail' | 'info'
  /** A completion may leave it out. */
  readonly f?: string
  readonly key?: Json
  readonly value?: Json
  readonly time?: number
  /** Where it stands in its file, from 1; without it, events are counted from 1. */
  readonly line?: number
}

export interface Header {
  readonly model: ModelName
  readonly initial?: Json
  /** A compare-and-set that failed says that the value was another one. */
  readonly strict?: boolean
}

/**
 * One operation, from its invocation to its completion.
 *
 * `info` has an unknown outcome: it took effect at some time after its invocation, or never. `refused` is a compare-and-set that
 * found another value, in a strict history. Other failures did nothing and are no operations.
 */
export interface Operation {
  readonly process: number | string
  readonly f: string
  readonly key: Json
  readonly outcome: 'ok' | 'info' | 'refused'
  /** As asked for; undefined where the invocation names none. */
  readonly asked: Json | undefined
  /** As completed; undefined where the completion names none, and for `info`. */
  readonly answered: Json | undefined
  /** Positions in real time; no two are equal. `returned` is Infinity for `info`. */
  readonly invoked: number
  readonly returned: number
  readonly line: number
}

/** The history cannot be judged. The text begins with the line. */
export class MalformedHistory extends Error {
  constructor(line: number, what: string) {
    super(`line ${line}: ${what}`)
  }
}

/** The word in which all operations without a key are about the same object. */
const noKey: Json = null

/**
 * Pairs invocations with completions. Events of the process "nemesis" that are `info` belong to nobody and are passed over.
 *
 * A process whose operation ended `info` may go on with another one. Throws MalformedHistory.
 */
export function pairOperations(events: readonly HistoryEvent[], strict: boolean): readonly Operation[] {
  const open = new Map<string, { readonly event: HistoryEvent; readonly at: number }>()
  const operations: Operation[] = []
  const finish = (invocation: HistoryEvent, invoked: number, completion: HistoryEvent | undefined, at: number) => {
    const operation = outcome(invocation, completion, strict)
    if (operation === undefined) return
    const { process, f, key, value } = invocation
    operations.push({
      process,
      f: f as string,
      key: key ?? noKey,
      outcome: operation,
      asked: value,
      answered: operation === 'info' ? undefined : completion?.value,
      invoked,
      returned: operation === 'info' ? Number.POSITIVE_INFINITY : at,
      line: invocation.line ?? invoked + 1,
    })
  }

  events.forEach((event, at) => {
    const line = event.line ?? at + 1
    const process = JSON.stringify(event.process)
    const before = open.get(process)
    if (event.type === 'invoke') {
      if (before !== undefined) {
        throw new MalformedHistory(line, `process ${process} invokes while its operation of line ${lineOf(before)} is open`)
      }
      if (event.f === undefined) throw new MalformedHistory(line, 'an invocation names no f')
      open.set(process, { event, at })
      return
    }
    if (before === undefined) {
      if (event.process === 'nemesis' && event.type === 'info') return
      throw new MalformedHistory(line, `process ${process} completes what it did not invoke`)
    }
    checkSame(before.event, event, line)
    open.delete(process)
    finish(before.event, before.at, event, at)
  })
  for (const { event, at } of open.values()) finish(event, at, undefined, events.length)
  return operations.sort((a, b) => a.invoked - b.invoked)
}

function outcome(invocation: HistoryEvent, completion: HistoryEvent | undefined, strict: boolean): Operation['outcome'] | undefined {
  if (completion?.type === 'ok') return 'ok'
  if (completion?.type === 'fail') return strict && invocation.f === 'cas' ? 'refused' : undefined
  return 'info'
}

function checkSame(invocation: HistoryEvent, completion: HistoryEvent, line: number): void {
  if (completion.f !== undefined && completion.f !== invocation.f) {
    throw new MalformedHistory(line, `completes ${JSON.stringify(invocation.f)} as ${JSON.stringify(completion.f)}`)
  }
  if (completion.key !== undefined && completion.key !== null && canonical(completion.key) !== canonical(invocation.key ?? noKey)) {
    throw new MalformedHistory(line, `completes key ${canonical(invocation.key ?? noKey)} as key ${canonical(completion.key)}`)
  }
}

const lineOf = ({ event, at }: { readonly event: HistoryEvent; readonly at: number }): number => event.line ?? at + 1

/** The first event whose time is before that of an earlier event; undefined when there is none. */
export function timeContradiction(events: readonly HistoryEvent[]): string | undefined {
  let latest: { readonly time: number; readonly line: number } | undefined
  for (const [at, { time, line = at + 1 }] of events.entries()) {
    if (time === undefined) continue
    if (latest !== undefined && time < latest.time) {
      return `line ${line}: its time ${time} is before ${latest.time} of line ${latest.line}; the order of lines counts`
    }
    latest = { time, line }
  }
  return undefined
}

export interface ParsedHistory {
  readonly header: Header
  readonly events: readonly HistoryEvent[]
}

/** Reads JSON Lines: a header, then events. Empty lines are passed over. Throws MalformedHistory. */
export function parseHistory(text: string): ParsedHistory {
  let header: Header | undefined
  const events: HistoryEvent[] = []
  for (const [at, source] of text.split('\n').entries()) {
    if (source.trim() === '') continue
    const line = at + 1
    const fields = parseObject(source, line)
    if (header === undefined) header = parseHeader(fields, line)
    else events.push(parseEvent(fields, line))
  }
  if (header === undefined) throw new MalformedHistory(1, 'there is no header')
  return { header, events }
}

type Fields = { readonly [name: string]: Json }

function parseObject(source: string, line: number): Fields {
  let value: unknown
  try {
    value = JSON.parse(source)
  } catch (error) {
    throw new MalformedHistory(line, `is not JSON: ${(error as Error).message}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new MalformedHistory(line, 'is not a JSON object')
  return value as Fields
}

function parseHeader({ model, initial, strict }: Fields, line: number): Header {
  const name = modelNames.find((known) => known === model)
  if (name === undefined) {
    throw new MalformedHistory(line, `the header’s model is ${JSON.stringify(model)}, not one of ${modelNames.join(', ')}`)
  }
  if (strict !== undefined && strict !== null && typeof strict !== 'boolean') {
    throw new MalformedHistory(line, 'strict is neither true nor false')
  }
  return { model: name, strict: strict === true, ...(initial === undefined ? {} : { initial }) }
}

function parseEvent({ process, type, f, key, value, time }: Fields, line: number): HistoryEvent {
  if (typeof process !== 'number' && typeof process !== 'string') throw new MalformedHistory(line, 'process is no number and no text')
  if (type !== 'invoke' && type !== 'ok' && type !== 'fail' && type !== 'info') {
    throw new MalformedHistory(line, `type is ${JSON.stringify(type)}, not invoke, ok, fail or info`)
  }
  if (f !== undefined && f !== null && typeof f !== 'string') throw new MalformedHistory(line, 'f is no text')
  return {
    process,
    type,
    line,
    ...(typeof f === 'string' ? { f } : {}),
    ...(key === undefined ? {} : { key }),
    ...(value === undefined ? {} : { value }),
    ...(typeof time === 'number' ? { time } : {}),
  }
}
