/** Runs one program to its end, or to its deadline, when it is killed with everything that it has started. */

import type { ProcessIdentity } from '../../core/monitor/index.js'
import { CapturedOutput, LogTail } from './output.js'
import { signalProcess } from './proc.js'
import { exitNotJoined, exitSealed, type MemberRequest, spawnMember, spawnProblem } from './spawn-member.js'

export interface ActionRequest extends Omit<MemberRequest, 'stdin' | 'stdout' | 'stderr'> {
  /** Captured in files of this folder, or appended to the log of what it starts and leaves running. */
  readonly output: { readonly folder: string } | { readonly log: string }
  /** Written to its standard input, which is then closed. */
  readonly input?: string | undefined
  /** Withholds the input until `release`. */
  readonly hold?: boolean | undefined
  /** Milliseconds from the start, or from the release of a held one. */
  readonly timeout: number
}

export interface ActionOutcome {
  readonly kind: 'exited' | 'timed-out' | 'cancelled' | 'failed-to-start' | 'sealed'
  /** Undefined when it was killed by a signal. */
  readonly code: number | undefined
  readonly signal: string | undefined
  readonly stdout: string
  readonly stderr: string
  readonly elapsedMs: number
}

export interface Action {
  readonly process: ProcessIdentity | undefined
  readonly done: Promise<ActionOutcome>
  /** Kills it whole; `done` then says `cancelled`, unless it had ended before. */
  cancel(): void
  /** Writes what was withheld: as the request has it, or what is given here, with the time that it may take. */
  release(late?: { readonly input: string; readonly timeout: number }): void
}

/** How long the dead may take to be gone, before the action is called ended all the same. */
const killMax = 5_000
const boundEvery = 250

export function spawnAction(request: ActionRequest): Action {
  let began = performance.now()
  const { output } = request
  const stdout = 'log' in output ? undefined : new CapturedOutput(output.folder)
  const stderr = 'log' in output ? new LogTail(output.log) : new CapturedOutput(output.folder)
  const withInput = request.input !== undefined || request.hold === true
  const member = spawnMember({ ...request, stdin: withInput ? 'pipe' : 'ignore', stdout: (stdout ?? stderr).fd, stderr: stderr.fd })
  const { child, identity } = member
  let ending: 'timed-out' | 'cancelled' | undefined
  let killed: Promise<unknown> | undefined
  let deadline: NodeJS.Timeout | undefined
  const bounding = setInterval(() => {
    stdout?.bound()
    stderr.bound()
  }, boundEvery)

  child.stdin?.on('error', () => {}) // It may have ended without reading.
  if (request.hold !== true) release()

  const done = new Promise<ActionOutcome>((resolve) => {
    child.once('error', (error) => finish('failed-to-start', undefined, undefined, spawnProblem(error, request.workingDirectory)))
    child.once('exit', (code, signal) => {
      const kind =
        ending ?? (code === exitSealed && request.seal !== undefined ? 'sealed' : code === exitNotJoined ? 'failed-to-start' : 'exited')
      // What was asked to be killed is reported when it is gone.
      if (killed === undefined) finish(kind, code ?? undefined, signal ?? undefined, '')
      else killed.then(() => finish(kind, undefined, signal ?? undefined, ''))
    })
    let finished = false
    function finish(kind: ActionOutcome['kind'], code: number | undefined, signal: string | undefined, note: string) {
      if (finished) return
      finished = true
      clearTimeout(deadline)
      clearInterval(bounding)
      child.stdin?.destroy()
      const said = { stdout: stdout?.finish() ?? '', stderr: stderr.finish() + note }
      resolve({ kind, code, signal, ...said, elapsedMs: Math.round(performance.now() - began) })
    }
  })
  return { process: identity, done, cancel: () => end('cancelled'), release }

  function release(late?: { readonly input: string; readonly timeout: number }) {
    if (deadline !== undefined) return
    if (late !== undefined) began = performance.now()
    deadline = setTimeout(() => end('timed-out'), late?.timeout ?? request.timeout)
    if (withInput) child.stdin?.end(late?.input ?? request.input ?? '')
  }

  function end(why: 'timed-out' | 'cancelled') {
    if (ending !== undefined || child.exitCode !== null || child.signalCode !== null) return
    ending = why
    // Before its input closes: a program that waits for its orders must not take the end of the input for one.
    if (identity !== undefined) signalProcess(identity, 'SIGKILL', true)
    killed = request.cell.kill(killMax, request.part)
  }
}
