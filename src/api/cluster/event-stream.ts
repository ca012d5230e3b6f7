/**
 * Writes the journal to one client.
 *
 * Nothing is queued for a slow one: what comes next is read from the journal when the client has taken what was
 * written. One that falls behind the kept journal, or takes nothing for a minute, is told so and let go.
 */
import type { ServerResponse } from 'node:http'
import { ClusterError } from '../../base/index.js'
import { type EventRow, journalKey, metaOf, type Reader } from '../../core/cluster/index.js'
import type { QuorateNode } from '../../node/index.js'
import { lineOf, type Position } from './event-text.js'
import type { Live, LiveEvents } from './live-events.js'

export interface EventStream extends Live {
  readonly node: QuorateNode
  readonly live: LiveEvents
  readonly position: Position
  readonly follow: boolean
}

const batchMax = 200
const patience = 60_000

/** The position after an event that was received. Errors: INVALID. */
export function positionOf(lastEventId: string): Position {
  const match = /^(\d{1,16})\.(\d{1,6})$/.exec(lastEventId)
  if (match === null)
    throw new ClusterError('INVALID', `Last-Event-ID is "${lastEventId.slice(0, 80)}"`, {
      fix: 'send the id of the last event received, such as 42.0',
    })
  return { revision: Number(match[1]), number: Number(match[2]) + 1 }
}

/** Errors: JOURNAL_TRIMMED. */
export function checkKept(state: Reader, position: Position): void {
  if (!isTrimmed(state, position)) return
  const from = keptFrom(state)
  throw new ClusterError('JOURNAL_TRIMMED', `events from ${position.revision} on are no longer all kept`, {
    fix: `begin at ${from}, and read the present state first: GET /v1/events?from=${from}`,
    facts: { journalFrom: from },
  })
}

/** The first revision of which every event is kept. */
export function keptFrom(state: Reader): number {
  const first = firstKept(state)
  return first === undefined ? metaOf(state).journalFrom : first.number === 0 ? first.revision : first.revision + 1
}

function firstKept(state: Reader): EventRow | undefined {
  for (const [, row] of state.rows('journal')) return row
  return undefined
}

/** Whether an event between the position and what follows it may have been trimmed; trimming can cut an entry in two. */
function isTrimmed(state: Reader, next: Position): boolean {
  const first = firstKept(state)
  if (first === undefined || metaOf(state).journalFrom <= 1) return false // Nothing was ever trimmed.
  if (next.revision === first.revision) return next.number < first.number
  if (next.revision > first.revision) return false
  return !(next.number > 0 && next.revision + 1 === first.revision && first.number === 0)
}

/** Where the last so many events begin. */
export function lastEvents(state: Reader, count: number): Position {
  const rows: EventRow[] = []
  for (const [, row] of state.rows('journal')) {
    rows.push(row)
    if (rows.length > count * 2 + 100) rows.splice(0, rows.length - count)
  }
  const first = count === 0 ? undefined : rows.slice(-count)[0]
  if (first !== undefined) return { revision: first.revision, number: first.number }
  const last = rows.at(-1)
  return { revision: Math.max((last?.revision ?? 0) + 1, metaOf(state).journalFrom), number: 0 }
}

export async function eventStream(stream: EventStream): Promise<void> {
  const { node, response, signal, sse } = stream
  let next = stream.position
  while (!signal.aborted) {
    if (isTrimmed(node.state, next)) {
      comment(stream, 'fell behind: these events are no longer kept; begin anew')
      break
    }
    const rows = take(node.state, next)
    const last = rows.at(-1)
    if (last !== undefined) {
      next = { revision: last.revision, number: last.number + 1 }
      if (!(await write(stream, rows.map((row) => lineOf(row, sse)).join('')))) return
      continue
    }
    if (!stream.follow) break
    const left = await stream.live.follow(stream, next)
    next = left.position
    if (left.why === 'full' && !(await emptied(stream))) return
  }
  response.end()
}

function take(state: Reader, from: Position): readonly EventRow[] {
  const rows: EventRow[] = []
  for (const [, row] of state.rows('journal', journalKey(from.revision, from.number))) {
    rows.push(row)
    if (rows.length >= batchMax) break
  }
  return rows
}

/** False when the client is gone, or was let go. */
async function write(stream: EventStream, text: string): Promise<boolean> {
  const { response, signal } = stream
  if (signal.aborted || response.destroyed) return false
  return response.write(text) || (await emptied(stream))
}

/** The same, once what was written has been taken. */
async function emptied(stream: EventStream): Promise<boolean> {
  const { response, signal } = stream
  if (await drained(response, signal)) return true
  if (!signal.aborted) comment(stream, 'too slow: nothing was taken for a minute; resume with Last-Event-ID')
  response.destroy()
  return false
}

/** False when the client took nothing in time, or is gone. */
function drained(response: ServerResponse, signal: AbortSignal): Promise<boolean> {
  const { socket } = response
  if (signal.aborted || (socket?.writableNeedDrain === false && !socket.destroyed)) return Promise.resolve(!signal.aborted)
  return new Promise((resolve) => {
    const settle = (taken: boolean) => (): void => {
      clearTimeout(timer)
      response.off('drain', onDrain)
      socket?.off('drain', onDrain)
      signal.removeEventListener('abort', onGone)
      resolve(taken)
    }
    const onDrain = settle(true)
    const onGone = settle(false)
    const timer = setTimeout(onGone, patience)
    response.on('drain', onDrain)
    socket?.on('drain', onDrain) // The response says nothing of what went past it.
    signal.addEventListener('abort', onGone)
  })
}

function comment({ response, sse }: EventStream, text: string): void {
  if (response.destroyed) return
  response.write(sse ? `: ${text}\n\n` : `${JSON.stringify({ comment: text })}\n`)
}
