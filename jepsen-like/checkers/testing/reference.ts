/** The definition, word for word: tries every order of the operations. For a handful of them only. */
import type { Header, HistoryEvent } from '../history.js'
import { canonical, type Json } from '../values.js'
import { type Objects, takeEffect } from './objects.js'

interface Call {
  readonly f: string
  readonly key: Json
  readonly value: Json
  readonly invoked: number
  readonly completed: number
  readonly type: 'ok' | 'fail' | 'info'
  readonly answer: Json
}

/** `initial` is not known here: objects begin empty, null, free. */
export function isLinearizable(header: Header, events: readonly HistoryEvent[]): boolean {
  const calls = callsOf(events).filter(({ type, f }) => type !== 'fail' || (header.strict === true && f === 'cas'))
  return canFinish(header, new Map(), calls)
}

function callsOf(events: readonly HistoryEvent[]): readonly Call[] {
  return events.flatMap((event, at): Call[] => {
    if (event.type !== 'invoke') return []
    const end = events.findIndex((other, later) => later > at && other.process === event.process && other.type !== 'invoke')
    const completion = events[end]
    const type = completion === undefined || completion.type === 'invoke' ? 'info' : completion.type
    return [
      {
        f: event.f as string,
        key: event.key ?? null,
        value: event.value ?? null,
        invoked: at,
        completed: type === 'info' ? Number.POSITIVE_INFINITY : end,
        type,
        answer: completion?.value ?? null,
      },
    ]
  })
}

function canFinish(header: Header, objects: Objects, left: readonly Call[]): boolean {
  if (left.every(({ type }) => type === 'info')) return true
  const horizon = Math.min(...left.map(({ completed }) => completed))
  return left.some((call) => {
    if (call.invoked > horizon) return false
    const effect = takeEffect(header.model, objects, call.f, call.key, call.value)
    if (effect === undefined || !fits(header, call, effect.value, effect.isRefused)) return false
    return canFinish(
      header,
      effect.isRefused ? objects : effect.objects,
      left.filter((other) => other !== call),
    )
  })
}

function fits({ model }: Header, call: Call, value: Json, isRefused: boolean): boolean {
  if (call.type === 'info') return true
  if (call.f === 'cas') return isRefused === (call.type === 'fail')
  if (call.f !== 'read' && call.f !== 'txn') return true
  return ordered(model, value) === ordered(model, call.answer)
}

function ordered(model: string, value: Json): string {
  if (model === 'set' && Array.isArray(value)) return [...new Set(value.map(canonical))].sort().join()
  return canonical(emptyIsNull(model, value))
}

/** A list that is not there yet is read as null or as empty. */
function emptyIsNull(model: string, value: Json): Json {
  if (model !== 'list-append') return value
  if (value === null) return []
  if (!Array.isArray(value)) return value
  return value.map((access: Json) =>
    Array.isArray(access) && access[0] === 'r' && access[2] === null ? ['r', access[1] as Json, []] : access,
  )
}
