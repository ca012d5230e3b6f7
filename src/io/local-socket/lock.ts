/** A lock that the kernel lets go of when its holder dies, however it dies: a bound abstract unix socket. One per network namespace. */
import { createServer } from 'node:net'

const retryEvery = 20

export interface Lock {
  release(): Promise<void>
}

/** Undefined when somebody else still holds it after `patience` milliseconds. */
export async function acquireLock(name: string, patience = 0): Promise<Lock | undefined> {
  const end = performance.now() + patience
  for (;;) {
    const lock = await tryLock(name)
    if (lock !== undefined || performance.now() >= end) return lock
    await new Promise((resolve) => setTimeout(resolve, retryEvery))
  }
}

function tryLock(name: string): Promise<Lock | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error)))
    server.listen(`\0${name}`, () => {
      server.unref()
      resolve({ release: () => new Promise((released) => void server.close(() => released())) })
    })
  })
}
