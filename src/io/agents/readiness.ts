/** When a kept process is ready: its port, its log, its file. What is given must all hold. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import { isAlive, LogFollower, spawnMember, waitUntil } from '../processes/index.js'
import { tryConnect } from './connect.js'
import type { MethodContext } from './method.js'

/** Undefined when it holds, else what is missing. */
type Condition = () => Promise<string | undefined> | string | undefined

/** An expression that needs longer for a piece of the log would hold up everything else. Milliseconds. */
const searchMax = 100
/** Longest part of a line that is searched. */
const lineMax = 65_536

/** Where the service leaves the file; undefined unless it is waited for. */
export function readyFileOf(context: MethodContext): string | undefined {
  const { group, resource, definition } = context.request
  if (definition.parameters.readyFile !== true) return undefined
  return join(context.world.runFolder.folder('ready', group, resource), 'ready')
}

/** The socket to which a service says `READY=1` (sd_notify(3)); undefined unless it is waited for. */
export function notifySocketOf(context: MethodContext): string | undefined {
  const { group, resource, definition } = context.request
  if (definition.parameters.readyNotify !== true) return undefined
  return join(context.world.runFolder.folder('ready', group, resource), 'notify')
}

const perl = '/usr/bin/perl'
/** Node has no datagram sockets of the file system. Bound for the service's user alone; ends with the first `READY=1`, which it leaves as a file. */
const listener = `use Socket; my ($path, $told, $user) = @ARGV; my ($s, $text); unlink $path; umask 0177;
socket($s, AF_UNIX, SOCK_DGRAM, 0) && bind($s, sockaddr_un($path)) or die "cannot listen at $path: $!\\n";
if ($user ne '') { my ($u, $g) = (getpwnam $user)[2, 3]; chown $u, $g, $path }
open(my $l, '>', "$path.bound") and close $l;
while (defined recv($s, $text, 65536, 0)) {
  next unless grep { $_ eq 'READY=1' } split /\\n/, $text;
  open(my $f, '>', $told) or die "cannot write $told: $!\\n"; close $f; unlink $path; exit 0 }`
const boundMax = 5_000

const toldFile = (socket: string) => `${socket}.told`

/** It outlives this process, so that the next one learns of what was said meanwhile; it ends with the cell. Answers with why it cannot. */
export async function listenForNotify(context: MethodContext, user: string | undefined, log: number): Promise<string | undefined> {
  const socket = notifySocketOf(context)
  if (socket === undefined) return undefined
  if (!existsSync(perl)) return `readyNotify needs ${perl}, which is not there`
  for (const left of [socket, `${socket}.bound`, toldFile(socket)]) rmSync(left, { recursive: true, force: true })
  const { child, identity } = spawnMember({
    argv: [perl, '-e', listener, socket, toldFile(socket), user ?? ''],
    environment: context.environment({}),
    cell: context.world.cell,
    part: 'action',
    stdin: 'ignore',
    stdout: log,
    stderr: log,
  })
  child.on('error', () => {})
  child.unref()
  if (identity === undefined) return 'nobody could be started to hear its READY=1'
  const isBound = await waitUntil(() => existsSync(`${socket}.bound`) || !isAlive(identity), Math.min(boundMax, context.remaining()), 5)
  return isBound && existsSync(`${socket}.bound`) ? undefined : `nobody can hear its READY=1 at ${socket}`
}

/** Before the spawn. `logFrom` is where its own words will begin in the log; a successor of this process needs to know it too. */
export function prepareReadiness(context: MethodContext, logFrom: number) {
  const file = readyFileOf(context)
  if (file !== undefined) rmSync(file, { recursive: true, force: true })
  if (context.request.definition.parameters.readyLog !== undefined) writeFileSync(placeOfLogStart(context), String(logFrom))
}

/** In this order: cheap ones first. Empty when nothing is to be waited for. */
export function readinessOf(context: MethodContext): readonly Condition[] {
  const { readyPort, readyHost, readyLog } = context.request.definition.parameters
  const file = readyFileOf(context)
  const socket = notifySocketOf(context)
  return [
    ...(readyLog === undefined ? [] : [logCondition(context, String(readyLog))]),
    ...(file === undefined ? [] : [() => (existsSync(file) ? undefined : 'it has not made its ready file')]),
    ...(socket === undefined ? [] : [() => (existsSync(toldFile(socket)) ? undefined : 'it has not said READY=1')]),
    ...(readyPort === undefined
      ? []
      : [() => tryConnect(String(readyHost ?? '127.0.0.1'), Number(readyPort), Math.min(1_000, context.remaining()), context.signal)]),
  ]
}

/** Holds from the first line on that fits. */
function logCondition(context: MethodContext, expression: string): Condition {
  const follower = new LogFollower(context.world.log, readLogStart(context))
  let found = false
  let begun = ''
  return () => {
    const more = found ? '' : follower.next()
    if (more !== '') {
      const text = begun + more
      found = search(expression, text)
      begun = text.slice(text.lastIndexOf('\n') + 1).slice(-lineMax)
    }
    return found ? undefined : `no line of its log fits ${expression}`
  }
}

/** In a context of its own, because only there a search can be broken off. */
function search(expression: string, text: string): boolean {
  try {
    return runInNewContext('new RegExp(expression, "m").test(text)', { expression, text }, { timeout: searchMax }) === true
  } catch {
    return false
  }
}

function placeOfLogStart({ request, world }: MethodContext): string {
  return join(world.runFolder.folder('log-starts', request.group), request.resource)
}

function readLogStart(context: MethodContext): number {
  try {
    return Number(readFileSync(placeOfLogStart(context), 'utf8')) || 0
  } catch {
    return 0
  }
}
