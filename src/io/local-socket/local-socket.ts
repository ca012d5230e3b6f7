/** Messages between the processes of one node, over unix sockets that only this user may open. */
import { chmodSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { FrameReader, toFrame } from './frames.js'

/** What may wait to be read by the other side before the connection is given up. */
const backlogMax = 32 * 1_048_576

export interface LocalConnection {
  send(message: unknown): void
  close(): void
}

export interface LocalListener {
  onMessage(message: unknown, connection: LocalConnection): void
  onConnected(connection: LocalConnection): void
  onDisconnected(connection: LocalConnection): void
}

export interface LocalServer {
  close(): Promise<void>
}

/** Binds `path`, taking the place of a socket that a dead process left there. */
export async function listenLocal(path: string, listener: LocalListener): Promise<LocalServer> {
  const open = new Set<LocalConnection>()
  const server = createServer((socket) => {
    const connection = serve(socket, {
      onMessage: (message, from) => listener.onMessage(message, from),
      onConnected: () => {},
      onDisconnected: (closed) => {
        open.delete(closed)
        listener.onDisconnected(closed)
      },
    })
    open.add(connection)
    listener.onConnected(connection)
  })
  rmSync(path, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => resolve())
  })
  chmodSync(path, 0o600)
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const connection of open) connection.close()
      }),
  }
}

export interface LocalClient {
  readonly connected: boolean
  /** Dropped while not connected: whoever connects says everything again. */
  send(message: unknown): void
  close(): void
}

/** Connects, and again whenever the connection is lost. */
export function connectLocal(path: string, listener: LocalListener, retryEvery = 50): LocalClient {
  let current: LocalConnection | undefined
  let closed = false
  let timer: NodeJS.Timeout | undefined
  let socket: Socket | undefined
  attempt()
  return {
    get connected() {
      return current !== undefined
    },
    send: (message) => current?.send(message),
    close: () => {
      closed = true
      clearTimeout(timer)
      socket?.destroy()
    },
  }

  function attempt() {
    const trial = connect({ path })
    socket = trial
    let up = false
    trial.once('error', () => {})
    trial.once('close', () => {
      if (!up && !closed) timer = setTimeout(attempt, retryEvery)
    })
    trial.once('connect', () => {
      if (closed) {
        trial.destroy()
        return
      }
      up = true
      const connection = serve(trial, {
        onMessage: (message, from) => listener.onMessage(message, from),
        onConnected: () => {},
        onDisconnected: (lost) => {
          current = undefined
          listener.onDisconnected(lost)
          if (!closed) timer = setTimeout(attempt, retryEvery)
        },
      })
      current = connection
      listener.onConnected(connection)
    })
  }
}

function serve(socket: Socket, listener: LocalListener): LocalConnection {
  const reader = new FrameReader()
  let open = true
  const connection: LocalConnection = {
    send: (message) => {
      if (!open) return
      if (socket.writableLength > backlogMax) socket.destroy()
      else socket.write(toFrame(message))
    },
    close: () => socket.destroy(),
  }
  socket.on('error', () => {})
  socket.on('data', (chunk) => {
    let messages: readonly unknown[]
    try {
      messages = reader.push(chunk)
    } catch {
      socket.destroy()
      return
    }
    for (const message of messages) if (open) listener.onMessage(message, connection)
  })
  socket.once('close', () => {
    open = false
    listener.onDisconnected(connection)
  })
  return connection
}
