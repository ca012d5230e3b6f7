/** Requests of the short way → calls of the routes that are marked for it. What would be refused is left to the general server. */
import { ClusterError } from '../../base/index.js'
import type { Access } from '../cluster/access.js'
import { askerOf } from './asker.js'
import type { LeanRequest } from './lean-lane.js'
import { checkOrigin, type Listener } from './origin.js'
import { jsonOf } from './payload.js'
import { parseQuery } from './query.js'
import { type Call, type Method, type Route, RouteCall } from './route.js'
import { checkValue } from './validation.js'

/** Characters of a path that need no decoding and have no meaning to the router. */
const plainPath = /^[\w\-.~/:@]+$/

export class LeanRoutes {
  private readonly access: Access
  private readonly checked: Listener | undefined
  private readonly exact = new Map<string, Route>()
  /** Paths that end in `*`, without it. */
  private readonly prefixes: { readonly method: string; readonly prefix: string; readonly route: Route }[] = []
  /** Header fields that were found to name this listener. */
  private readonly named = new WeakSet<object>()

  constructor(access: Access, routes: readonly Route[], checked: Listener | undefined) {
    this.access = access
    this.checked = checked
    for (const route of routes) {
      if (route.lean !== true) continue
      const { method, path } = route
      if (path.endsWith('/*')) this.prefixes.push({ method, prefix: path.slice(0, -1), route })
      else this.exact.set(`${method} ${path}`, route)
    }
  }

  find(request: LeanRequest): { readonly route: Route; readonly call: Call } | undefined {
    const { method, url } = request
    const at = url.indexOf('?')
    const path = at < 0 ? url : url.slice(0, at)
    if (!plainPath.test(path) || path.endsWith('/')) return undefined
    const exact = this.exact.get(`${method} ${path}`)
    const found = exact === undefined ? this.prefixes.find((one) => one.method === method && path.startsWith(one.prefix)) : undefined
    const route = exact ?? found?.route
    if (route === undefined) return undefined
    try {
      return { route, call: this.call(request, route, at < 0 ? '' : url.slice(at + 1), path.slice(found?.prefix.length ?? path.length)) }
    } catch (error) {
      if (error instanceof ClusterError) return undefined
      throw error
    }
  }

  private call(request: LeanRequest, route: Route, query: string, rest: string): Call {
    const { headers, socket, body: bytes } = request
    if (this.checked !== undefined && !this.named.has(headers)) {
      checkOrigin(headers, this.checked, { address: socket.localAddress ?? '', port: socket.localPort ?? 0 })
      this.named.add(headers)
    }
    const isEmpty = bytes.length === 0
    if (route.body === 'raw' || (route.body === undefined && !isEmpty)) throw new ClusterError('INVALID', 'not a body for the short way')
    const body = isEmpty ? {} : jsonOf(bytes, headers['content-type'])
    if (route.body !== undefined) checkValue(route.body, body)
    return new RouteCall(
      {
        method: request.method as Method,
        url: request.url,
        params: { '*': rest },
        query: parseQuery(query, route.query ?? {}),
        headers,
        body,
        bytes,
        by: askerOf(this.access, this.checked === undefined, socket.remoteAddress),
      },
      () => {
        const { signal, over } = this.access.handling()
        if (socket.destroyed) over()
        else socket.once('close', over)
        return signal
      },
    )
  }
}
