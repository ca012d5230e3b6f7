/** Does a TCP port accept a connection? */
import { connect } from 'node:net'

/** Undefined when it does, else why not. */
export function tryConnect(host: string, port: number, timeout: number, signal?: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const finish = (problem: string | undefined) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      socket.destroy()
      resolve(problem)
    }
    const onAbort = () => finish('cancelled')
    const timer = setTimeout(() => finish(`${host}:${port} did not answer within ${timeout} ms`), timeout)
    signal?.addEventListener('abort', onAbort)
    socket.once('connect', () => finish(undefined))
    socket.once('error', (error) => finish(`${host}:${port}: ${error.message}`))
  })
}
