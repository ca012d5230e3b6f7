/** Events as they are written to streams. */
import type { EventRow } from '../../core/cluster/index.js'
import { presentEvent } from '../present/event.js'

/** The next event wanted: this one or the first after it. */
export interface Position {
  readonly revision: number
  readonly number: number
}

/** Made once for all streams. */
const texts = new WeakMap<EventRow, string>()

/** One line of NDJSON, or one server-sent event. */
export function lineOf(row: EventRow, sse: boolean): string {
  let text = texts.get(row)
  if (text === undefined) {
    text = JSON.stringify(presentEvent(row))
    texts.set(row, text)
  }
  return sse ? `id: ${row.revision}.${row.number}\nevent: ${row.kind}\ndata: ${text}\n\n` : `${text}\n`
}
