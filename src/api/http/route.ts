/** What one route is: where it lies, what it takes, what it answers. Routing, checks and the OpenAPI description are made from this. */
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { Schema } from '../schemas/index.js'
import type { Query, QuerySpecification } from './query.js'

export type Method = 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE'

export interface Call {
  readonly method: Method
  /** As it came, with the query. */
  readonly url: string
  readonly params: Readonly<Record<string, string>>
  readonly query: Query
  readonly headers: IncomingHttpHeaders
  /** Checked against the route's schema; bytes where the route takes them raw. */
  readonly body: unknown
  /** The body as it came, for the fingerprint of a request. */
  readonly bytes: Uint8Array
  /** How whoever asks is known: for what is kept with a name. */
  readonly by: string
  /** Aborted when the client is gone or the listener closes. */
  readonly signal: AbortSignal
  /** Everything up to this index is in the answer; set when the state is read. */
  index: number | undefined
}

/** A call whose signal is made when it is asked for: it costs more than most requests. */
export class RouteCall implements Call {
  readonly method: Method
  readonly url: string
  readonly params: Readonly<Record<string, string>>
  readonly query: Query
  readonly headers: IncomingHttpHeaders
  readonly body: unknown
  readonly bytes: Uint8Array
  readonly by: string
  index: number | undefined
  private readonly makeSignal: () => AbortSignal
  private made: AbortSignal | undefined

  constructor(call: Omit<Call, 'signal' | 'index'>, makeSignal: () => AbortSignal) {
    this.method = call.method
    this.url = call.url
    this.params = call.params
    this.query = call.query
    this.headers = call.headers
    this.body = call.body
    this.bytes = call.bytes
    this.by = call.by
    this.index = undefined
    this.makeSignal = makeSignal
    this.made = undefined
  }

  get signal(): AbortSignal {
    this.made ??= this.makeSignal()
    return this.made
  }
}

export interface Answer {
  readonly status?: number
  readonly body?: unknown
  /** Instead of `body`: a text of its own type. */
  readonly text?: { readonly type: string; readonly value: string }
  /** Instead of both: writes to the response until it ends. */
  readonly stream?: { readonly type: string; readonly run: (response: ServerResponse) => Promise<void> }
  readonly headers?: Readonly<Record<string, string>>
  /** Becomes the ETag. */
  readonly revision?: number
}

export interface Route {
  readonly method: Method
  /** `:name` is one segment; a last `*` is the rest of the path. */
  readonly path: string
  readonly tag: string
  readonly summary: string
  readonly query?: QuerySpecification
  /** Takes any query: what is refused anyway is not refused for its parameters. */
  readonly anyQuery?: boolean
  /** `raw`: any bytes. Without it the body has to be empty or `{}`. */
  readonly body?: Schema | 'raw'
  /** Asked so often that it is worth the short way; answers in JSON, and its body has a schema. */
  readonly lean?: boolean
  /** What may be answered beside errors: status → what it means. */
  readonly answers: Readonly<Record<number, string>>
  readonly handle: (call: Call) => Promise<Answer> | Answer
}

/** The segments of a path that are parameters, in order. */
export function parametersOf(path: string): readonly string[] {
  return path.split('/').flatMap((part) => (part.startsWith(':') ? [part.slice(1)] : part === '*' ? ['*'] : []))
}

/** Whether a request path is one of this route's. */
export function pathMatches(template: string, path: string): boolean {
  const wanted = template.split('/')
  const found = path.split('/')
  if (wanted.at(-1) === '*') return found.length >= wanted.length && wanted.slice(0, -1).every((part, at) => fits(part, found[at]))
  return wanted.length === found.length && wanted.every((part, at) => fits(part, found[at]))
}

function fits(part: string, found: string | undefined): boolean {
  return part.startsWith(':') ? found !== undefined && found !== '' : part === found
}
