/**
 * Starts a program inside a cell.
 *
 * A one-line shell joins the cgroup before it becomes the program, so nothing of the program is ever outside. Between
 * the two it looks at the seal: whoever writes the seal first and then kills the cell meets this process either inside
 * the cell, or still before its look.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { statSync } from 'node:fs'
import type { ProcessIdentity } from '../../core/monitor/index.js'
import type { Cell, Part } from './containment.js'
import { identify } from './proc.js'

export const exitNotJoined = 121
export const exitSealed = 122

const wrapper = [
  '[ -z "$1" ] || echo $$ > "$1" || exit 121',
  '[ -z "$2" ] || [ ! -e "$2" ] || { read -r s < "$2"; [ "$s" -lt "$3" ] || exit 122; }',
  '[ -z "$5" ] || ulimit -n "$5" || exit 123',
  'u=$4; r=$6; d=$7; shift 7',
  '[ -z "$d" ] || set -- setpriv --pdeathsig KILL -- "$@"',
  '[ -z "$u" ] || { chown -R "$u" "$QUORATE_CHECKPOINT_DIR"; [ -z "$r" ] || chown "$u" "$r"; exec setpriv --reuid="$u" --regid="$(id -g "$u")" --init-groups -- "$@"; }',
  'exec "$@"',
].join('\n')

export interface MemberRequest {
  readonly argv: readonly string[]
  /** The whole environment: nothing is inherited. */
  readonly environment: Readonly<Record<string, string>>
  readonly workingDirectory?: string | undefined
  /** Needs root. */
  readonly user?: string | undefined
  /** Becomes that user's: where it makes its ready file. */
  readonly readyFolder?: string | undefined
  /** How many files each process may have open, as `ulimit -n` sets it. */
  readonly openFiles?: number | undefined
  readonly cell: Cell
  readonly part: Part
  /** Refuses, at the last instant, to become the program when the token is sealed. */
  readonly seal?: { readonly path: string; readonly token: number } | undefined
  /** Killed with the process that has started it: the end of its input would be an order to it. */
  readonly diesWithStarter?: boolean | undefined
  readonly stdin: 'ignore' | 'pipe'
  readonly stdout: number
  readonly stderr: number
}

export interface Member {
  readonly child: ChildProcess
  /** Undefined when it could not be started at all. */
  readonly identity: ProcessIdentity | undefined
}

export function spawnMember(request: MemberRequest): Member {
  const { cell, part, seal, argv } = request
  const prefix = [
    cell.join(part) ?? '',
    seal?.path ?? '',
    String(seal?.token ?? 0),
    request.user ?? '',
    String(request.openFiles ?? ''),
    request.readyFolder ?? '',
    request.diesWithStarter === true ? 'yes' : '',
  ]
  const child = spawn('/bin/sh', ['-c', wrapper, 'quorate', ...prefix, ...argv], {
    detached: true, // A session and process group of its own.
    env: { ...request.environment },
    cwd: request.workingDirectory ?? '/',
    stdio: [request.stdin, request.stdout, request.stderr],
  })
  // Its pid cannot be reused before this process has looked at its exit, so the start time read here is its own.
  return { child, identity: child.pid === undefined ? undefined : identify(child.pid) }
}

/** Of a folder that is not there the system says only that something was not found. */
export function spawnProblem(error: Error, workingDirectory: string | undefined): string {
  const isFolder = workingDirectory === undefined || statSync(workingDirectory, { throwIfNoEntry: false })?.isDirectory() === true
  return isFolder ? error.message : `its working folder ${workingDirectory} is not there`
}
