/**
 * Whom a TCP listener answers (DESIGN "Security"): requests that name this listener, and no other site's pages.
 *
 * A page that a browser loaded elsewhere can send requests here; it gives itself away by `Origin`, by `Sec-Fetch-Site`,
 * or, where it made its own name point here, by `Host`.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { ClusterError } from '../../base/index.js'

export interface Listener {
  /** As the node's file has it. */
  readonly host: string
  readonly node: string
}

/** The socket's own end of the connection. */
export interface LocalEnd {
  readonly address: string
  readonly port: number
}

/** Errors: UNAUTHORIZED_HOST. */
export function checkOrigin(headers: IncomingHttpHeaders, listener: Listener, local: LocalEnd): void {
  const { host, origin } = headers
  if (host === undefined || !isOurs(host, listener, local)) {
    throw refused(`the Host "${(host ?? '').slice(0, 80)}" is not this listener`, local)
  }
  if (origin !== undefined) {
    const match = /^http:\/\/(.+)$/.exec(origin)
    if (match?.[1] === undefined || !isOurs(match[1], listener, local))
      throw refused(`the Origin "${origin.slice(0, 80)}" is not this listener`, local)
  }
  const site = headers['sec-fetch-site']
  if (site === 'cross-site') throw refused('the request comes from a page of another site', local)
}

function isOurs(authority: string, listener: Listener, local: LocalEnd): boolean {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]]+)(?::(\d+))?$/.exec(authority)
  if (match?.[1] === undefined || Number(match[2] ?? 80) !== local.port) return false
  const name = match[1].replace(/^\[|\]$/g, '').toLowerCase()
  const address = local.address.replace(/^::ffff:/, '')
  const loopback = address === '::1' || address.startsWith('127.')
  // The name of the node cannot be made to point here by a stranger's page: it has no public suffix under his control.
  return (
    name === address || name === listener.host.toLowerCase() || name === listener.node.toLowerCase() || (loopback && name === 'localhost')
  )
}

function refused(detail: string, local: LocalEnd): ClusterError {
  const host = local.address.replace(/^::ffff:/, '')
  const shown = host.includes(':') ? `[${host}]` : host
  return new ClusterError('UNAUTHORIZED_HOST', detail, { fix: `ask http://${shown}:${local.port} itself, or the unix socket` })
}
