/**
 * Kept foreground processes: `command` with `run`. The process is the service; its death is noticed as our child's
 * exit, or after a restart of this process by its start time in /proc.
 */
import { dirname } from 'node:path'
import type { MethodResult, ProcessIdentity } from '../../core/monitor/index.js'
import {
  exitSealed,
  isAlive,
  LogTail,
  pause,
  readStat,
  signalProcess,
  spawnMember,
  spawnProblem,
  tailOf,
  waitUntil,
} from '../processes/index.js'
import { argvOf, commandOptions } from './command-line.js'
import { runCommand } from './commands.js'
import type { MethodContext } from './method.js'
import { listenForNotify, notifySocketOf, prepareReadiness, readinessOf, readyFileOf } from './readiness.js'

/** A process with nothing to wait for counts as started once it has lived this long. */
const settleTime = 50
const readyEvery = 20
/** Between two answers of its own probe that it is not there yet. */
const askAgainEvery = 200
const looksForStarted = 5
const betweenLooks = 50
/** How long it is known how a process ended, for whoever asks late. */
const forgetAfter = 60_000

/** The children of this process that are kept, with how those ended that have. */
export class KeptProcesses {
  readonly #ended = new WeakMap<ProcessIdentity, string>()
  readonly #children = new Map<number, ProcessIdentity>()

  /** Why it ended, if it was our child and has. */
  endOf(process: ProcessIdentity): string | undefined {
    const own = this.#children.get(process.pid)
    return own?.startTime === process.startTime ? this.#ended.get(own) : undefined
  }

  isOwn(process: ProcessIdentity): boolean {
    return this.#children.get(process.pid)?.startTime === process.startTime
  }

  add(process: ProcessIdentity) {
    this.#children.set(process.pid, process)
  }

  end(process: ProcessIdentity, how: string) {
    this.#ended.set(process, how)
    setTimeout(() => this.#forget(process), forgetAfter).unref()
  }

  #forget(process: ProcessIdentity) {
    if (this.isOwn(process)) this.#children.delete(process.pid)
  }
}

export async function startKept(
  context: MethodContext,
  kept: KeptProcesses,
  onEnded: (process: ProcessIdentity, how: string) => void,
): Promise<MethodResult> {
  const obstacle = await context.turn()
  const { parameters } = context.request.definition
  const options = commandOptions(parameters)
  const log = new LogTail(context.world.log)
  const deaf = obstacle === undefined ? await listenForNotify(context, options.user, log.fd) : undefined
  const refusal = obstacle ?? (context.signal.aborted ? { outcome: 'cancelled' as const } : context.refusal())
  if (refusal !== undefined || deaf !== undefined) {
    log.close()
    return refusal ?? { outcome: 'failed', detail: deaf ?? '', severity: 'hard' }
  }
  prepareReadiness(context, log.from)
  const readyFile = readyFileOf(context)
  const notifySocket = notifySocketOf(context)
  const { child, identity } = spawnMember({
    argv: argvOf(parameters.run),
    environment: {
      ...context.environment(options.environment),
      ...(readyFile === undefined ? {} : { QUORATE_READY_FILE: readyFile }),
      ...(notifySocket === undefined ? {} : { NOTIFY_SOCKET: notifySocket }),
    },
    openFiles: context.request.definition.limits?.openFiles,
    workingDirectory: options.workingDirectory,
    user: options.user,
    readyFolder: (readyFile ?? notifySocket) === undefined ? undefined : dirname((readyFile ?? notifySocket) as string),
    cell: context.world.cell,
    part: 'service',
    seal: context.seal,
    stdin: 'ignore',
    stdout: log.fd,
    stderr: log.fd,
  })
  log.close()
  if (identity === undefined) {
    const problem = await new Promise<string>((resolve) =>
      child.once('error', (error) => resolve(spawnProblem(error, options.workingDirectory))),
    )
    return { outcome: 'failed', detail: `it could not be started: ${problem}` }
  }
  kept.add(identity)
  child.once('exit', (code, signal) => {
    const said = tailOf(log.read())
    const how = (signal === null ? `it ended with status ${code}` : `it was killed by ${signal}`) + (said === '' ? '' : `: ${said}`)
    kept.end(identity, how)
    onEnded(identity, how)
  })
  context.world.onSpawned(identity)
  const result = await untilReady(context, identity, kept)
  if (result.outcome === 'timed-out') await context.world.cell.kill(5_000)
  const sealed = result.outcome === 'failed' && child.exitCode === exitSealed
  return sealed ? { outcome: 'refused', because: 'sealed', detail: 'the token was sealed meanwhile' } : result
}

/** Takes over the wait for a process that is there already. */
export async function settleKept(context: MethodContext, kept: KeptProcesses): Promise<MethodResult> {
  const [known] = context.request.processes
  const process = known ?? (await findStarted(context))
  if (process === undefined) return { outcome: 'failed', detail: 'no process of it was found' }
  if (known === undefined) context.world.onSpawned(process)
  return untilReady(context, process, kept)
}

/** The process of a start whose monitor died before it could write its pid. */
async function findStarted(context: MethodContext): Promise<ProcessIdentity | undefined> {
  for (let look = 0; look < looksForStarted; look++) {
    if (look > 0) await pause(betweenLooks)
    const stats = context.world.cell.pids('service').flatMap((pid) => readStat(pid) ?? [])
    const inside = new Set(stats.map((stat) => stat.pid))
    const leaders = stats.filter((stat) => stat.session === stat.pid && !inside.has(stat.parent))
    const [first] = leaders.sort((a, b) => a.startTime - b.startTime || a.pid - b.pid)
    if (first !== undefined) return { pid: first.pid, startTime: first.startTime }
  }
  return undefined
}

async function untilReady(context: MethodContext, process: ProcessIdentity, kept: KeptProcesses): Promise<MethodResult> {
  const conditions = readinessOf(context)
  const began = performance.now()
  for (;;) {
    const alive = isAlive(process)
    const ended = kept.endOf(process) ?? (alive || kept.isOwn(process) ? undefined : 'it has ended')
    if (ended !== undefined) return { outcome: 'failed', detail: ended }
    if (!alive) {
      await pause(1) // Our child: its exit, which says how it ended, is about to be told.
      continue
    }
    if (context.signal.aborted) return { outcome: 'cancelled' }
    let problem: string | undefined
    for (const condition of conditions) problem ??= await condition()
    const settled = conditions.length > 0 || performance.now() - began >= settleTime
    // Whoever answers at its port after its end is another.
    const stillRuns = kept.endOf(process) === undefined && isAlive(process)
    if (problem === undefined && settled && stillRuns) {
      problem = await problemByProbe(context)
      if (problem === undefined) return { outcome: 'done' }
      await pause(Math.min(askAgainEvery, context.remaining()))
    }
    if (context.remaining() === 0) return { outcome: 'timed-out', detail: `it was not ready in time: ${problem ?? 'it had only begun'}` }
    await pause(readyEvery)
  }
}

/** Asked last: it is a program, and costs more than the rest. */
async function problemByProbe(context: MethodContext): Promise<string | undefined> {
  if (context.request.definition.parameters.probe === undefined) return undefined
  const said = await runCommand(context, 'probe')
  if (said.outcome === 'running') return undefined
  return 'detail' in said ? said.detail : `its probe says that it is ${said.outcome}`
}

/** Asks it to end. What it leaves behind is killed by whoever verifies. */
export async function stopKept(context: MethodContext): Promise<MethodResult> {
  const { parameters } = context.request.definition
  const signal = String(parameters.stopSignal ?? 'SIGTERM') as NodeJS.Signals
  const [process] = context.request.processes
  if (process === undefined || !isAlive(process)) return { outcome: 'done' }
  // A shell command may be the shell's child: then the whole process group is asked.
  signalProcess(process, signal, typeof parameters.run === 'string')
  const ended = await waitUntil(() => context.signal.aborted || !isAlive(process), context.remaining())
  if (context.signal.aborted) return { outcome: 'cancelled' }
  return ended
    ? { outcome: 'done' }
    : { outcome: 'timed-out', detail: `it did not end after ${signal} within ${context.request.timeout} ms` }
}

/** Its empty cell is the proof that it is stopped. Where it has a probe of its own, that counts too: both have to say so. */
export async function probeKept(context: MethodContext): Promise<MethodResult> {
  const held = probeCell(context)
  if (context.request.definition.parameters.probe === undefined || held.outcome === 'failed') return held
  const said = await runCommand(context, 'probe')
  if (held.outcome === 'stopped' || said.outcome !== 'stopped') return said
  return { outcome: 'failed', detail: 'its process lives, and its probe says that it is stopped' }
}

function probeCell(context: MethodContext): MethodResult {
  const { processes } = context.request
  if (processes.some(isAlive)) return { outcome: 'running' }
  if (context.world.cell.empty()) return { outcome: 'stopped' }
  if (processes.length === 0) return { outcome: 'running' }
  return { outcome: 'failed', detail: 'its process has ended but others of it are left' }
}
