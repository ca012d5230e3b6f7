/** `command` with start, stop and probe commands that return. */
import { judgeRoleStatus, type MethodResult } from '../../core/monitor/index.js'
import { isAlive, waitUntil } from '../processes/index.js'
import { argvOf, commandOptions } from './command-line.js'
import { migrationEnvironment } from './environment.js'
import { isResult, judgeExit, killedSending, type MethodContext } from './method.js'

export async function runCommand(context: MethodContext, method: 'start' | 'stop' | 'probe'): Promise<MethodResult> {
  if (context.request.deep !== undefined) return runDeepProbe(context)
  const { parameters } = context.request.definition
  const { environment, workingDirectory, user } = commandOptions(parameters)
  const hasCome = method === 'start' && context.request.peer !== undefined
  const program = {
    argv: argvOf(parameters[hasCome ? 'migrateFrom' : method]),
    environment: { ...environment, ...migrationEnvironment(context.request, 'QUORATE_MIGRATE_') },
    workingDirectory,
    user,
  }
  const outcome = await context.run(program, method === 'start' ? 'service' : 'action')
  if (isResult(outcome)) return outcome
  return judgeExit(outcome, method === 'probe' ? judgeProbeStatus : undefined)
}

/** Sends it to another node while it runs. Not past the lease: something begins there. */
export async function migrateCommand(context: MethodContext): Promise<MethodResult> {
  const refusal = context.refusal()
  if (refusal !== undefined) return refusal
  const { parameters } = context.request.definition
  const { environment, workingDirectory, user } = commandOptions(parameters)
  const more = migrationEnvironment(context.request, 'QUORATE_MIGRATE_')
  const outcome = await context.run({
    argv: argvOf(parameters.migrateTo),
    environment: { ...environment, ...more },
    workingDirectory,
    user,
  })
  if (!isResult(outcome) && outcome.signal !== undefined) return killedSending(outcome.signal)
  return isResult(outcome) ? outcome : judgeExit(outcome)
}

/** Promotes, demotes, or asks which role it has. */
export async function runCommandRole(context: MethodContext, method: 'start' | 'stop' | 'probe'): Promise<MethodResult> {
  const { parameters } = context.request.definition
  const command = parameters[method === 'start' ? 'promote' : method === 'stop' ? 'demote' : 'probeRole']
  const outcome = await context.run({ argv: argvOf(command), ...commandOptions(parameters) }, method === 'start' ? 'service' : 'action')
  if (isResult(outcome)) return outcome
  return judgeExit(outcome, method === 'probe' ? (code) => judgeRoleStatus('probe', code === 3 ? 7 : code) : undefined)
}

/** Of every `command`, also of a kept process: what it says of the service is good or bad, and nothing about whether it runs. */
export async function runDeepProbe(context: MethodContext): Promise<MethodResult> {
  const { parameters } = context.request.definition
  const outcome = await context.run({ argv: argvOf(parameters.probeDeep), ...commandOptions(parameters) })
  return isResult(outcome) ? outcome : judgeExit(outcome, (code) => (code === 0 ? { outcome: 'running' } : undefined))
}

/** 7 as OCF has it, 3 as init scripts have it. */
function judgeProbeStatus(code: number): MethodResult | undefined {
  if (code === 0) return { outcome: 'running' }
  return code === 7 || code === 3 ? { outcome: 'stopped' } : undefined
}

/** Waits for a start that another monitor began, until its own time is over. */
export async function settleStart(context: MethodContext): Promise<MethodResult> {
  const [start] = context.request.processes
  if (start === undefined) return { outcome: 'failed', detail: 'nobody knows the process of its start' }
  const over = await waitUntil(() => context.signal.aborted || !isAlive(start), context.remaining(), 20)
  if (context.signal.aborted) return { outcome: 'cancelled' }
  if (over) return { outcome: 'done' }
  await context.world.cell.kill(5_000)
  return { outcome: 'timed-out', detail: `its start was killed after ${context.request.timeout} ms` }
}
