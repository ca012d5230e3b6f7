/** A socket that costs as little as Node allows: the client program runs on the processors that it measures. */
import { connect, type Socket } from 'node:net'

/** One for all sockets: what is in it is taken before anything else is read. */
const readBuffer = Buffer.allocUnsafe(64 * 1024)

/** `target` is `host:port`. What `take` is given is overwritten when it has returned. */
export function openSocket(target: string, take: (bytes: Buffer) => void): Socket {
  const at = target.lastIndexOf(':')
  return connect({
    host: target.slice(0, at),
    port: Number(target.slice(at + 1)),
    noDelay: true,
    onread: {
      buffer: readBuffer,
      callback: (size) => {
        take(readBuffer.subarray(0, size))
        return true
      },
    },
  })
}
