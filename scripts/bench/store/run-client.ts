/** Runs the client program once, and measures what the members use while it measures. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { cpuOf } from './processes.js'
import { names, type System } from './system.js'
import type { ClientReport, Measured, Work } from './work.js'

export interface Cell extends Measured {
  readonly perSecond: number
  /** Of all members' processes, for one operation, in microseconds. */
  readonly cpuPerOperation: number
  /** Of the client program. */
  readonly clientCpuPerOperation: number
}

const program = join(import.meta.dirname, 'client.js')

export async function runClient(system: System, work: Work, prefix: readonly string[] = []): Promise<Cell> {
  const pids = names.flatMap((name) => system.pids(name))
  const [command, ...args] = [...prefix, process.execPath, program, JSON.stringify(work)]
  const child = spawn(command as string, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  let before = { members: 0, client: 0 }
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the client program ended with ${code}`)))
    child.once('error', reject)
    child.on('message', (message: ClientReport) => {
      const now = { members: cpuOf(pids), client: cpuOf([child.pid ?? 0]) }
      if (message.kind === 'begin') {
        before = now
        return
      }
      const { measured } = message
      const operations = measured.requests * (work.operation === 'transaction' ? work.operations : 1)
      resolve({
        ...measured,
        perSecond: operations / measured.seconds,
        cpuPerOperation: ((now.members - before.members) * 1_000) / Math.max(1, operations),
        clientCpuPerOperation: ((now.client - before.client) * 1_000) / Math.max(1, operations),
      })
    })
  })
}
