/** The HTTP API of this node: the unix socket always, TCP when the node's file says so, both with the same routes. */
import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { ClusterError } from '../base/index.js'
import type { Daemon } from '../node/index.js'
import { Access, type Log } from './cluster/access.js'
import { makeListener } from './http/listener.js'
import { allRoutes } from './routes/index.js'

export interface RunningApi {
  /** `http://host:port`; undefined without a TCP listener. */
  readonly url: string | undefined
  /** Path of the unix socket. */
  readonly socket: string
  /** Streams of events that wait for what comes next. */
  readonly streams: number
  /** Ends waiting requests and streams, then the listeners. */
  close(): Promise<void>
}

const closePatience = 1_000

/** Errors: CONFLICT when another process answers at the socket. */
export async function startApi(daemon: Daemon, log: Log): Promise<RunningApi> {
  const { api, node } = daemon.config
  const access = new Access(daemon)
  const routes = allRoutes(access)
  const local = makeListener({ access, routes, log, checked: undefined })
  await clearSocket(api.socket)
  await local.listen({ path: api.socket })
  chmodSync(api.socket, 0o600)
  const listeners = [local]
  let url: string | undefined
  try {
    if (api.listen !== undefined) {
      const { host, port } = api.listen
      const tcp = makeListener({ access, routes, log, checked: { host, node } })
      listeners.push(tcp)
      await tcp.listen({ host, port })
      const bound = tcp.server.address()
      const number = typeof bound === 'object' && bound !== null ? bound.port : port
      url = `http://${host.includes(':') ? `[${host}]` : host}:${number}`
    }
  } catch (error) {
    await Promise.all(listeners.map((listener) => listener.close()))
    throw error
  }
  return {
    url,
    socket: api.socket,
    get streams() {
      return access.live.streams
    },
    close: async () => {
      access.end()
      // Requests that waited are answered now; who does not take the answer is not waited for.
      const patience = setTimeout(() => {
        for (const { server } of listeners) server.closeAllConnections()
      }, closePatience)
      await Promise.all(listeners.map((listener) => listener.close()))
      clearTimeout(patience)
    },
  }
}

/** A socket file that nobody answers at is of an earlier life. */
async function clearSocket(path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 })
  if (await answers(path))
    throw new ClusterError('CONFLICT', `another process answers at ${path}`, {
      fix: 'give each node a socket of its own: api.socket in its file',
    })
  rmSync(path, { force: true })
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
}
