/** One listener: takes requests, checks what can be checked before a route sees them, and turns answers and errors into HTTP. */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { ClusterError } from '../../base/index.js'
import type { Access, Log } from '../cluster/access.js'
import { etag, isUnchanged } from '../cluster/preconditions.js'
import { closed } from '../schemas/index.js'
import { askerOf } from './asker.js'
import { type LeanAnswer, openLeanLane } from './lean-lane.js'
import { LeanRoutes } from './lean-routes.js'
import { nowhere, wrongMethod } from './no-route.js'
import { checkOrigin, type Listener } from './origin.js'
import { parsePayload } from './payload.js'
import { operatingError, problemOf, problemType } from './problem.js'
import { parseQuery, Query } from './query.js'
import { type Answer, type Call, type Method, type Route, RouteCall } from './route.js'
import { checkValue } from './validation.js'

const bodyMax = 1_048_576
const headersMax = 16_384
const connectionsMax = 1_024
const firstRequestMax = 10_000
const keepAliveMax = 65_000
const noBody = closed({})

export interface ListenerOptions {
  readonly access: Access
  readonly routes: readonly Route[]
  readonly log: Log
  /** Set on TCP: whom requests may name. */
  readonly checked: Listener | undefined
}

export function makeListener({ access, routes, log, checked }: ListenerOptions): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: bodyMax,
    requestTimeout: 30_000,
    keepAliveTimeout: keepAliveMax,
    forceCloseConnections: 'idle',
    http: { maxHeaderSize: headersMax, headersTimeout: firstRequestMax },
    routerOptions: { maxParamLength: 2_048, ignoreTrailingSlash: true },
    clientErrorHandler: refuseGarbage,
    frameworkErrors: (error, request, reply) => void sendProblem(access, log, request, reply as FastifyReply, error),
  })
  app.server.maxConnections = connectionsMax
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.setErrorHandler((error, request, reply) => sendProblem(access, log, request, reply, error))
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0] ?? ''
    const allowed = wrongMethod(routes, path)
    if (allowed !== undefined) reply.header('allow', allowed.join(', '))
    return sendProblem(access, log, request, reply, nowhere(routes, request.method, path, allowed))
  })
  if (checked !== undefined) {
    app.addHook('onRequest', async (request) => {
      const { localAddress: address = '', localPort: port = 0 } = request.socket
      checkOrigin(request.headers, checked, { address, port })
    })
  }
  for (const route of routes) {
    app.route({
      method: route.method,
      url: route.path,
      handler: (request, reply) => handle({ access, route, isLocal: checked === undefined }, request, reply),
    })
  }
  const leanRoutes = new LeanRoutes(access, routes, checked)
  const lane = openLeanLane({
    server: app.server,
    firstRequestMax,
    keepAliveMax,
    handle: (request, done) => {
      const found = leanRoutes.find(request)
      if (found === undefined) return false
      leanAnswer(access, log, found.route, found.call, done)
      return true
    },
  })
  app.addHook('preClose', async () => lane.close())
  return app
}

function leanAnswer(access: Access, log: Log, route: Route, call: Call, done: (answer: LeanAnswer) => void): void {
  const refused = (error: unknown): void => done(lean(renderedProblem(access, log, call.method, call.url, error)))
  const answered = (answer: Answer): void => {
    let text: LeanAnswer
    try {
      text = renderedLean(access, call, answer)
    } catch (error) {
      return refused(error)
    }
    done(text)
  }
  handled(route, call).then(answered, refused)
}

/** What it throws comes later too: nobody is answered while his request is still being read. */
function handled(route: Route, call: Call): Promise<Answer> {
  try {
    return Promise.resolve(route.handle(call))
  } catch (error) {
    return Promise.reject(error)
  }
}

interface Handling {
  readonly access: Access
  readonly route: Route
  readonly isLocal: boolean
}

async function handle({ access, route, isLocal }: Handling, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const bytes = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
  const call = new RouteCall(
    {
      method: (request.method === 'HEAD' ? 'GET' : request.method) as Method,
      url: request.url,
      params: request.params as Record<string, string>,
      query: route.anyQuery === true ? new Query(new Map()) : parseQuery(request.url.split('?').slice(1).join('?'), route.query ?? {}),
      headers: request.headers,
      body: await bodyOf(route, bytes, request.headers['content-type']),
      bytes,
      by: askerOf(access, isLocal, request.socket.remoteAddress),
    },
    () => signalOf(access, request.raw.socket, reply.raw),
  )
  return send(access, request, reply, call, await route.handle(call))
}

/** Errors: BAD_JSON, BAD_YAML, INVALID, UNKNOWN_KEY, … */
async function bodyOf(route: Route, bytes: Uint8Array, contentType: string | undefined): Promise<unknown> {
  if (route.body === 'raw') return bytes
  const value = bytes.length === 0 ? {} : await parsePayload(bytes, contentType)
  checkValue(route.body ?? noBody, value)
  return value
}

/** Made for those who ask only: most requests are over before anybody could want to end them. */
function signalOf(access: Access, socket: Socket, response: ServerResponse): AbortSignal {
  const { signal, over } = access.handling()
  const end = (): void => {
    socket.off('close', end)
    over()
  }
  if (response.closed || socket.destroyed) over()
  else {
    response.once('close', end)
    // A response that waits for another one on its connection is told nothing of its end.
    socket.once('close', end)
  }
  return signal
}

function send(access: Access, request: FastifyRequest, reply: FastifyReply, call: Call, answer: Answer): FastifyReply {
  if (answer.stream !== undefined || answer.text !== undefined) {
    reply.headers(answerHeaders(access, call, answer)).code(answer.status ?? 200)
    if (answer.stream !== undefined) return stream(request, reply, answer.stream)
    return reply.type(answer.text?.type ?? '').send(answer.text?.value)
  }
  const { status, headers, body } = rendered(access, call, answer)
  return reply
    .headers(headers)
    .code(status)
    .send(status === 304 ? undefined : body)
}

interface Rendered {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
}

const jsonType = 'application/json; charset=utf-8'

/** An answer in JSON. */
function rendered(access: Access, call: Call, answer: Answer): Rendered {
  const headers = answerHeaders(access, call, answer)
  if (isNotModified(call, answer)) return { status: 304, headers, body: '' }
  headers['content-type'] = jsonType
  return { status: answer.status ?? 200, headers, body: jsonBody(answer) }
}

/** The same for the short way. */
function renderedLean(access: Access, call: Call, answer: Answer): LeanAnswer {
  const { headers, revision } = answer
  const own = `${headers === undefined ? '' : fieldsOf(headers)}${revision === undefined ? '' : `etag: ${etag(revision)}\r\n`}`
  const fields = `${standardFields(access, call.index)}${own}`
  if (isNotModified(call, answer)) return { status: 304, fields, body: '' }
  return { status: answer.status ?? 200, fields: `${fields}content-type: ${jsonType}\r\n`, body: jsonBody(answer) }
}

function lean({ status, headers, body }: Rendered): LeanAnswer {
  return { status, fields: fieldsOf(headers), body }
}

function isNotModified(call: Call, { revision }: Answer): boolean {
  return revision !== undefined && call.method === 'GET' && isUnchanged(call, revision)
}

function jsonBody({ body }: Answer): string {
  return `${JSON.stringify(body ?? {}, undefined, 2)}\n`
}

function fieldsOf(headers: Readonly<Record<string, string>>): string {
  let fields = ''
  for (const name in headers) fields += `${name}: ${headers[name]}\r\n`
  return fields
}

function answerHeaders(access: Access, call: Call, answer: Answer): Record<string, string> {
  const headers = standardHeaders(access, call.index)
  Object.assign(headers, answer.headers)
  if (answer.revision !== undefined) headers.etag = etag(answer.revision)
  return headers
}

function stream(request: FastifyRequest, reply: FastifyReply, { type, run }: NonNullable<Answer['stream']>): FastifyReply {
  reply.type(type)
  if (request.method === 'HEAD') return reply.send()
  reply.hijack()
  const response = reply.raw
  response.writeHead(reply.statusCode, reply.getHeaders() as Record<string, string>)
  response.flushHeaders()
  request.socket.setKeepAlive(true, 30_000)
  // The head has left: all that can still be done for a broken stream is to end it.
  void run(response).catch(() => response.destroy())
  return reply
}

export function standardHeaders(access: Access, index: number | undefined): Record<string, string> {
  const position = access.daemon.node?.position
  return {
    'quorate-index': String(index ?? position?.appliedIndex ?? 0),
    'quorate-term': String(position?.term ?? 0),
    'quorate-leader': position?.leader ?? '',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  }
}

/** The standard fields that were made last: what was committed together is answered with the same. */
let lastFields = { index: -1, term: -1, leader: '', text: '' }

function standardFields(access: Access, given: number | undefined): string {
  const { appliedIndex = 0, term = 0, leader = '' } = access.daemon.node?.position ?? {}
  const index = given ?? appliedIndex
  if (lastFields.index !== index || lastFields.term !== term || lastFields.leader !== leader)
    lastFields = { index, term, leader, text: fieldsOf(standardHeaders(access, index)) }
  return lastFields.text
}

function sendProblem(access: Access, log: Log, request: FastifyRequest, reply: FastifyReply, thrown: unknown): FastifyReply {
  const { status, headers, body } = renderedProblem(access, log, request.method, request.url, thrown)
  return reply.headers(headers).code(status).send(body)
}

function renderedProblem(access: Access, log: Log, method: string, url: string, thrown: unknown): Rendered {
  let error = operatingError(thrown)
  if (error === undefined) {
    log('error', `${method} ${url.slice(0, 200)}: ${thrown instanceof Error ? thrown.stack : String(thrown)}`)
    error = new ClusterError('INTERNAL', 'the server failed on this request; its log says why', {
      fix: 'please report it with the log of this node',
    })
  }
  const problem = problemOf(error, url.slice(0, 2_048))
  const headers = standardHeaders(access, undefined)
  headers['content-type'] = problemType
  if (problem.status === 503) headers['retry-after'] = '1'
  return { status: problem.status, headers, body: `${JSON.stringify(problem, undefined, 2)}\n` }
}

/** What is no HTTP at all, or has too large a head. */
function refuseGarbage(error: Error & { readonly code?: string }, socket: Socket): void {
  if (!socket.writable) return void socket.destroy()
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW'
  const refusal = tooLarge
    ? new ClusterError('TOO_LARGE', `the head of the request has more than ${headersMax} bytes`, { fix: 'send fewer or shorter headers' })
    : new ClusterError('INVALID', 'this is not an HTTP request', { fix: 'speak HTTP/1.1, without TLS' })
  const body = `${JSON.stringify(problemOf(refusal, ''))}\n`
  const status = tooLarge ? '431 Request Header Fields Too Large' : '400 Bad Request'
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: ${problemType}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
}
