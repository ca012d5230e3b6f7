/** The listeners: the unix socket always, TCP when the node's file says so; both with the same routes. */
import { chmodSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import fastify, { type FastifyInstance } from 'fastify'
import { ClusterError, nearestName } from '../base/index.js'
import type { Daemon } from '../node/index.js'
import { Access } from './access.js'
import { routes } from './gap-routes.js'
import { sendProblem } from './problem.js'
import { describeRoutes, type RouteTable } from './table.js'

export interface RunningApi {
  /** `http://host:port`, where TCP is listened on. */
  readonly url: string | undefined
  readonly socket: string
  close(): Promise<void>
}

const bodyMax = 1024 * 1024

export async function startApi(daemon: Daemon, log: (level: 'info' | 'warn' | 'error', text: string) => void): Promise<RunningApi> {
  const access = new Access(daemon)
  const table = routes(access)
  const { api } = daemon.config
  mkdirSync(dirname(api.socket), { recursive: true })
  if (existsSync(api.socket)) rmSync(api.socket)
  const local = makeServer(access, table, log, undefined)
  const before = process.umask(0o177)
  try {
    await local.listen({ path: api.socket })
  } finally {
    process.umask(before)
  }
  chmodSync(api.socket, 0o600)
  const servers = [local]
  let url: string | undefined
  if (api.listen !== undefined) {
    const tcp = makeServer(access, table, log, api.listen)
    url = await tcp.listen({ host: api.listen.host, port: api.listen.port })
    servers.push(tcp)
  }
  return {
    url,
    socket: api.socket,
    close: async () => {
      access.ending.abort()
      await Promise.all(servers.map((server) => server.close()))
    },
  }
}

function makeServer(
  access: Access,
  table: RouteTable,
  log: (level: 'info' | 'warn' | 'error', text: string) => void,
  tcp: { readonly host: string; readonly port: number } | undefined,
): FastifyInstance {
  const server = fastify({
    bodyLimit: bodyMax,
    forceCloseConnections: true,
    requestTimeout: 30_000,
    keepAliveTimeout: 60_000,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 2_000 },
    exposeHeadRoutes: false,
  })
  server.server.maxConnections = 4_096
  server.removeAllContentTypeParsers()
  server.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body))
  server.addHook('onRequest', (request, reply, done) => {
    const status = access.daemon.node?.status
    if (status !== undefined) {
      reply.header('quorate-term', status.term)
      if (status.leader !== undefined) reply.header('quorate-leader', status.leader)
    }
    if (tcp !== undefined && !isOwn(request.headers.host, request.headers.origin, request.headers['sec-fetch-site'], tcp)) {
      sendProblem(
        reply,
        new ClusterError('UNAUTHORIZED_HOST', `Host ${request.headers.host ?? '(none)'}, Origin ${request.headers.origin ?? '(none)'}`, {
          fix: `ask http://${tcp.host}:${tcp.port}`,
        }),
        request.url,
      )
      return
    }
    done()
  })
  server.addHook('onSend', (_request, reply, _payload, done) => {
    const { node } = access.daemon
    if (node !== undefined && !reply.hasHeader('quorate-index')) reply.header('quorate-index', node.state.appliedIndex)
    done()
  })
  server.setErrorHandler((error: Error & { statusCode?: number; code?: string }, request, reply) => {
    if (error instanceof ClusterError) return sendProblem(reply, error, request.url)
    if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE')
      return sendProblem(
        reply,
        new ClusterError('TOO_LARGE', `the body has more than ${bodyMax} bytes`, { fix: 'send less at once' }),
        request.url,
      )
    if (error.statusCode !== undefined && error.statusCode < 500)
      return sendProblem(reply, new ClusterError('INVALID', error.message), request.url)
    log('error', `${request.method} ${request.url}: ${error.stack ?? error.message}`)
    return sendProblem(reply, new ClusterError('INTERNAL', 'the server failed on this request; its log says why'), request.url)
  })
  const paths = new Map<string, Set<string>>()
  for (const route of table) {
    const methods = paths.get(route.path) ?? new Set()
    methods.add(route.method)
    paths.set(route.path, methods)
    server.route({
      method: route.method,
      url: route.path,
      handler: async (request, reply) => answer(await route.handle(request, reply), reply),
    })
  }
  for (const route of describeRoutes(table)) server.route({ method: route.method, url: route.path, handler: route.handle })
  refuseOtherMethods(server, paths)
  server.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0] ?? ''
    const nearest = nearestName(path, [...paths.keys()])
    return sendProblem(
      reply,
      new ClusterError('NOT_FOUND', `there is nothing at ${path.slice(0, 200)}`, {
        fix: nearest === undefined ? 'GET /v1/openapi.json lists every path' : `did you mean ${nearest}?`,
      }),
      request.url,
    )
  })
  return server
}

/** JSON ends with a newline, for people at a terminal. */
function answer(value: unknown, reply: { sent: boolean; type(type: string): unknown; hasHeader(name: string): boolean }): unknown {
  if (reply.sent || value === undefined || typeof value === 'string') return value
  if (typeof value === 'object' && value !== null && 'pipe' in value) return value
  if (!reply.hasHeader('content-type')) reply.type('application/json; charset=utf-8')
  return `${JSON.stringify(value, undefined, 2)}\n`
}

function refuseOtherMethods(server: FastifyInstance, paths: ReadonlyMap<string, ReadonlySet<string>>): void {
  const all = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const
  for (const [path, methods] of paths) {
    const others = all.filter((method) => !methods.has(method))
    if (others.length === 0) continue
    server.route({
      method: [...others],
      url: path,
      handler: (request, reply) => {
        reply.header('allow', [...methods].join(', '))
        return sendProblem(
          reply,
          new ClusterError('METHOD_NOT_ALLOWED', `${path} does not know ${request.method}`, { fix: `use ${[...methods].join(' or ')}` }),
          request.url,
        )
      },
    })
  }
}

/** A page of another origin, or a name that is not the listener's, gets nothing (DNS rebinding). */
function isOwn(
  host: string | undefined,
  origin: string | undefined,
  site: string | string[] | undefined,
  tcp: { readonly host: string; readonly port: number },
): boolean {
  const own = new Set([`${tcp.host}:${tcp.port}`, `localhost:${tcp.port}`])
  if (tcp.port === 80) own.add(tcp.host)
  if (host !== undefined && !own.has(host.toLowerCase())) return false
  if (site === 'cross-site') return false
  return origin === undefined || own.has(origin.toLowerCase().replace(/^https?:\/\//, ''))
}
