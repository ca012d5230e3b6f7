/** Speaks HTTP to one node: over its unix socket, or over TCP. */
import { type IncomingMessage, type RequestOptions, request } from 'node:http'
import { ClusterError } from '../base/index.js'

export interface Target {
  /** `http://host:port`; the socket is used where it is undefined. */
  readonly url: string | undefined
  readonly socket: string
}

export interface Asked {
  readonly method: string
  readonly path: string
  readonly query?: Readonly<Record<string, string | undefined>>
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON. */
  readonly body?: unknown
  /** Sent as it is. */
  readonly raw?: { readonly type: string; readonly text: string }
}

export interface Answered {
  readonly status: number
  readonly text: string
  /** Undefined where the answer is no JSON. */
  readonly body: Readonly<Record<string, unknown>> | undefined
}

export class Client {
  private readonly target: Target

  constructor(target: Target) {
    this.target = target
  }

  /** Errors: NO_QUORUM never; a node that cannot be reached is `unreachable`. */
  async ask(asked: Asked): Promise<Answered> {
    const incoming = await this.send(asked)
    const parts: Buffer[] = []
    for await (const part of incoming) parts.push(part as Buffer)
    const text = Buffer.concat(parts).toString()
    return { status: incoming.statusCode ?? 0, text, body: parsed(text) }
  }

  /** Gives each line as it comes; resolves when the answer ends. A refusal is answered whole. */
  async lines(asked: Asked, take: (line: string) => void): Promise<Answered> {
    const incoming = await this.send(asked)
    incoming.setEncoding('utf8')
    const refused = (incoming.statusCode ?? 0) >= 400
    let left = ''
    for await (const part of incoming) {
      left += part as string
      if (refused) continue
      for (let end = left.indexOf('\n'); end >= 0; end = left.indexOf('\n')) {
        take(left.slice(0, end))
        left = left.slice(end + 1)
      }
    }
    return { status: incoming.statusCode ?? 0, text: left, body: parsed(left) }
  }

  /** The same request for a person's shell. */
  curl(asked: Asked): string {
    const { url, socket } = this.target
    const parts = ['curl', '-sS']
    if (url === undefined) parts.push('--unix-socket', quoted(socket))
    if (asked.method !== 'GET') parts.push('-X', asked.method)
    for (const [name, value] of Object.entries(headersOf(asked)))
      if (value !== 'application/json') parts.push('-H', quoted(`${name}: ${value}`))
    const payload = payloadOf(asked)
    if (payload !== undefined) parts.push(asked.raw === undefined ? '-d' : '--data-binary', quoted(payload))
    parts.push(quoted(`${url ?? 'http://localhost'}${pathOf(asked)}`))
    return parts.join(' ')
  }

  private send(asked: Asked): Promise<IncomingMessage> {
    const { url, socket } = this.target
    const base = url === undefined ? undefined : parseUrl(url)
    const options: RequestOptions = {
      ...(base === undefined
        ? { socketPath: socket, host: 'localhost' }
        : { host: base.hostname.replace(/^\[|\]$/g, ''), port: base.port || 80 }),
      method: asked.method,
      path: pathOf(asked),
      headers: headersOf(asked),
      agent: false,
    }
    return new Promise((resolve, reject) => {
      const outgoing = request(options, resolve)
      outgoing.on('error', (error) => {
        reject(new Unreachable(url ?? socket, error.message))
      })
      outgoing.end(payloadOf(asked))
    })
  }
}

/** Nothing answers there. */
export class Unreachable extends Error {
  readonly fix = 'is the node running? give another one with --url http://host:port, or its socket with --socket'

  constructor(where: string, why: string) {
    super(`no answer from ${where}: ${why}`)
  }
}

function parseUrl(url: string): URL {
  if (!/^http:\/\/[^/]+\/?$/.test(url) || !URL.canParse(url))
    throw new ClusterError('INVALID', `--url is "${url}"`, { fix: 'write it as http://host:port' })
  return new URL(url)
}

function pathOf({ path, query = {} }: Asked): string {
  const search = new URLSearchParams(Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined)).toString()
  return search === '' ? path : `${path}?${search}`
}

function payloadOf({ body, raw }: Asked): string | undefined {
  return raw === undefined ? (body === undefined ? undefined : JSON.stringify(body)) : raw.text
}

function headersOf({ body, raw, headers }: Asked): Record<string, string> {
  const type = raw?.type ?? (body === undefined ? undefined : 'application/json')
  return { ...(type === undefined ? {} : { 'content-type': type }), ...headers }
}

function parsed(text: string): Answered['body'] {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

/** For a POSIX shell. */
export function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
