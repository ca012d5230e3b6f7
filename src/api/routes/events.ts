/** The journal: ordered, without gaps, resumable, live. */

import type { Access } from '../cluster/access.js'
import { checkKept, eventStream, keptFrom, lastEvents, positionOf } from '../cluster/event-stream.js'
import { read, readQuery } from '../cluster/reading.js'
import type { Call, Route } from '../http/route.js'

const lastMax = 10_000

export function eventRoutes(access: Access): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/events',
      tag: 'events',
      summary: 'What happened, in order and without gaps, then live: NDJSON, or server-sent events for Accept: text/event-stream.',
      query: {
        ...readQuery,
        from: { kind: 'integer', min: 0, max: Number.MAX_SAFE_INTEGER, doc: 'The first revision wanted; 410 when it is no longer kept.' },
        last: { kind: 'integer', min: 0, max: lastMax, doc: 'Without `from`: begin with the last so many; 100 unless given.' },
        follow: { kind: 'flag', doc: '`false`: end at the present.' },
      },
      answers: { 200: 'One event a line, or an SSE stream whose ids can be sent back as Last-Event-ID.' },
      handle: async (call) => {
        const { node, state } = await read(access, call)
        const begin = beginning(call)
        const position = begin === undefined ? lastEvents(state, call.query.number('last') ?? 100) : begin
        const sse = (call.headers.accept ?? '').includes('text/event-stream')
        checkKept(state, position)
        access.live.checkRoom()
        return {
          stream: {
            type: sse ? 'text/event-stream' : 'application/x-ndjson',
            run: (response) =>
              eventStream({
                node,
                live: access.live,
                response,
                position,
                sse,
                follow: call.query.flag('follow') !== false,
                signal: call.signal,
              }),
          },
          headers: { 'quorate-journal-from': String(keptFrom(state)) },
        }
      },
    },
  ]
}

function beginning(call: Call) {
  const last = call.headers['last-event-id']
  if (typeof last === 'string' && last !== '') return positionOf(last)
  const from = call.query.number('from')
  return from === undefined ? undefined : { revision: from, number: 0 }
}
