/** How a daemon starts the guardian again when it has gone silent. */
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { signalProcess } from '../io/processes/index.js'
import type { RunFolder } from '../io/run-folder/index.js'
import { roleMarker } from './children.js'

export interface StartedGuardian {
  /** False once it has ended. */
  isAlive(): boolean
}

/**
 * Undefined when there is none to start. Detached, with a log file of its own. The lock makes a second guardian end quietly, so asking once too often is
 * harmless. With `hung`, the guardian that its pid file names is killed first: one that hangs keeps its lock, and what
 * it had begun the next one finishes.
 */
export function startGuardian(argv: readonly string[], logDir: string, hung?: RunFolder): StartedGuardian | undefined {
  const [program, ...rest] = argv
  if (program === undefined) return undefined
  const before = hung?.readPid('guardian')
  if (before !== undefined) signalProcess(before, 'SIGKILL')
  mkdirSync(logDir, { recursive: true })
  const output = openSync(join(logDir, 'guardian.log'), 'a', 0o640)
  const child = spawn(program, rest, {
    detached: true,
    stdio: ['ignore', output, output],
    env: { ...process.env, [roleMarker]: 'guardian' },
  })
  let isAlive = true
  const over = () => {
    isAlive = false
  }
  child.once('error', over) // Its silence goes on, and whoever noticed that tries again.
  child.once('exit', over)
  child.unref()
  closeSync(output)
  return { isAlive: () => isAlive }
}

/** Whether this process was started by a daemon that missed its guardian, and not by the system's own service manager. */
export function isStartedByDaemon(): boolean {
  return process.env[roleMarker] === 'guardian'
}
