/** How a daemon starts the guardian again when it has gone silent. */
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { roleMarker } from './children.js'

/** Detached, with a log file of its own. The lock makes a second guardian end quietly, so asking once too often is harmless. */
export function startGuardian(argv: readonly string[], logDir: string) {
  const [program, ...rest] = argv
  if (program === undefined) return
  mkdirSync(logDir, { recursive: true })
  const output = openSync(join(logDir, 'guardian.log'), 'a', 0o640)
  const child = spawn(program, rest, {
    detached: true,
    stdio: ['ignore', output, output],
    env: { ...process.env, [roleMarker]: 'guardian' },
  })
  child.once('error', () => {}) // Its silence goes on, and whoever noticed that tries again.
  child.unref()
  closeSync(output)
}
