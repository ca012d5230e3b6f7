/** A small client for the scripts: JSON requests, waiting for a condition, following the events. */
import { type Agent, request as httpRequest, type RequestOptions } from 'node:http'

export interface Answer {
  /** 0 when nothing answered. */
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/**
 * `base` is `http://host:port`, or `unix:` and the path of a socket; `agent` holds connections, without one each request has its own.
 * Never throws: what cannot be reached answers with status 0.
 */
export function request(
  base: string,
  method: string,
  path: string,
  body?: unknown,
  options: { readonly timeoutMs?: number; readonly headers?: Readonly<Record<string, string>>; readonly agent?: Agent } = {},
): Promise<Answer> {
  return new Promise((resolve) => {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const headers = { ...(text === undefined ? {} : { 'content-type': 'application/json' }), ...options.headers }
    const { timeoutMs: timeout = 5_000, agent = false } = options
    const outgoing = httpRequest(...target(base, path, { method, headers, timeout, agent }), (incoming) => {
      let received = ''
      incoming.setEncoding('utf8')
      incoming.on('data', (chunk: string) => {
        received += chunk
      })
      incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, body: parse(received), headers: incoming.headers }))
      incoming.on('error', () => resolve({ status: 0, body: {}, headers: {} }))
    })
    outgoing.on('timeout', () => outgoing.destroy())
    outgoing.on('error', () => resolve({ status: 0, body: {}, headers: {} }))
    outgoing.end(text)
  })
}

function target(base: string, path: string, options: RequestOptions): [string, RequestOptions] {
  const own = { agent: false as const, ...options }
  if (!base.startsWith('unix:')) return [`${base}${path}`, own]
  return [`http://localhost${path}`, { ...own, socketPath: base.slice('unix:'.length) }]
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return { text }
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Throws with `what` when it does not come true in time. */
export async function waitFor(what: string, timeoutMs: number, holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + timeoutMs
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`waited ${timeoutMs / 1000} s for ${what}`)
    await pause(50)
  }
}

/** Follows the events for ever, at whichever node answers, without losing or repeating one. */
export async function follow(
  urls: () => readonly string[],
  take: (event: Readonly<Record<string, unknown>>) => void,
  from?: number,
): Promise<never> {
  let next = from
  for (let at = 0; ; at++) {
    const base = urls()[at % urls().length] as string
    if (next === undefined) {
      const status = await request(base, 'GET', '/v1/status')
      next = status.status === 200 ? Number(status.headers['quorate-index'] ?? 0) + 1 : undefined
    }
    if (next !== undefined) {
      await new Promise<void>((resolve) => {
        const outgoing = httpRequest(
          ...target(base, `/v1/events?from=${next}`, { headers: { accept: 'application/x-ndjson' } }),
          (incoming) => {
            let text = ''
            incoming.setEncoding('utf8')
            incoming.on('data', (chunk: string) => {
              text += chunk
              for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
                const line = text.slice(0, end)
                text = text.slice(end + 1)
                const event = parse(line)
                if (typeof event.revision !== 'number') continue
                next = event.revision + 1
                take(event)
              }
            })
            incoming.on('close', resolve)
            incoming.on('error', () => resolve())
          },
        )
        outgoing.on('error', () => resolve())
        outgoing.end()
      })
    }
    await pause(100)
  }
}
