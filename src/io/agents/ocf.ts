/** OCF resource agents as installed: environment in, exit codes out (OCF 1.1 resource agent API). */
import { chmodSync, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { copyEnvironment } from '../../core/cluster/index.js'
import {
  changedParameters,
  exitReasonOf,
  judgeOcfStatus,
  judgeRoleStatus,
  type MethodResult,
  ocfAgentPath,
  ocfEnvironment,
  ocfMeaning,
  ocfMetadataCall,
  parseOcfMetadata,
  parseOcfType,
  reloadFor,
} from '../../core/monitor/index.js'
import type { ActionOutcome } from '../processes/index.js'
import { agentNotes, type RunFolder } from '../run-folder/index.js'
import { agentCommands } from './commands-folder.js'
import { migrationEnvironment } from './environment.js'
import { isResult, judgeExit, killedSending, type MethodContext } from './method.js'

const providers = '/usr/lib/ocf/resource.d'
const notInstalled = 5

/** The types of all agents on this machine, such as `ocf:heartbeat:nginx`. */
export function installedOcfTypes(): readonly string[] {
  const namesIn = (folder: string) => {
    try {
      return readdirSync(folder, { withFileTypes: true })
    } catch {
      return []
    }
  }
  return namesIn(providers)
    .flatMap((provider) => namesIn(join(providers, provider.name)).map((agent) => `ocf:${provider.name}:${agent.name}`))
    .filter((type) => parseOcfType(type) !== undefined)
    .sort()
}

export function isOcfInstalled(type: string): boolean {
  const path = ocfAgentPath(type)
  return path !== undefined && existsSync(path)
}

/** Its own per node: agents keep their state files here, and two nodes of one kernel must not share them. */
export function ocfScratch(runFolder: RunFolder): string {
  const folder = runFolder.folder(agentNotes)
  chmodSync(folder, 0o1755) // As distributions make /run/resource-agents.
  return folder
}

export async function runOcf(context: MethodContext, method: 'start' | 'stop' | 'probe'): Promise<MethodResult> {
  if (method === 'start' && context.request.peer !== undefined)
    return runAction(context, method, 'migrate_from', (code) => judgeOcfStatus(method, code))
  return runAction(context, method, actionOf(method), (code) => judgeOcfStatus(method, code))
}

/** Sends it to another node while it runs (OCF 1.1 `migrate_to`). Not past the lease: something begins there. */
export async function migrateOcf(context: MethodContext): Promise<MethodResult> {
  return context.refusal() ?? runAction(context, 'migrate', 'migrate_to', (code) => judgeOcfStatus('migrate', code))
}

/** Promotes, demotes, or asks which role it has. */
export async function runOcfRole(context: MethodContext, method: 'start' | 'stop' | 'probe'): Promise<MethodResult> {
  const action = method === 'start' ? 'promote' : method === 'stop' ? 'demote' : 'monitor'
  return runAction(context, method, action, (code) => judgeRoleStatus(method, code))
}

async function runAction(
  context: MethodContext,
  method: 'start' | 'stop' | 'probe' | 'migrate',
  action: string,
  judge: (code: number) => MethodResult,
): Promise<MethodResult> {
  const { definition, token } = context.request
  const path = ocfAgentPath(definition.type)
  // Nobody can have started what was never granted here with an agent that is not there, or lacks its tools.
  const isFirstLook = method === 'probe' && token === 0
  if (path === undefined || !existsSync(path)) {
    const detail = `${definition.type} is not installed`
    if (isFirstLook) return { outcome: 'stopped', unable: true, note: detail }
    return { outcome: 'failed', detail, severity: 'hard', ...(method === 'start' ? { nothingBegun: true } : {}) }
  }
  const outcome = await context.run(
    { argv: [path, action], environment: environmentOf(context, action) },
    method === 'start' ? 'service' : 'action',
  )
  if (isResult(outcome)) return outcome
  if (method === 'migrate' && outcome.signal !== undefined) return killedSending(outcome.signal)
  const told = withReason(outcome)
  if (isFirstLook && told.kind === 'exited' && told.code === notInstalled)
    return { outcome: 'stopped', unable: true, note: `${definition.type}: ${told.stderr.trim().slice(-200) || ocfMeaning(notInstalled)}` }
  return judgeExit(told, judge)
}

/** Has changed parameters take effect without a restart. Fails where the agent cannot, or has failed to: then a restart is due. */
export async function reloadOcf(context: MethodContext): Promise<MethodResult> {
  const { definition, former } = context.request
  const path = ocfAgentPath(definition.type)
  const asked = ocfMetadataCall(definition.type)
  if (path === undefined || asked === undefined || former === undefined || !existsSync(path))
    return { outcome: 'failed', detail: `${definition.type} is not installed` }
  const described = await context.run(asked)
  if (isResult(described)) return described
  if (described.kind === 'cancelled') return { outcome: 'cancelled' }
  const metadata = described.code === 0 ? parseOcfMetadata(described.stdout) : undefined
  const changed = changedParameters(former.parameters, definition.parameters)
  const action = metadata === undefined ? undefined : reloadFor(metadata, changed)
  if (action === undefined) return { outcome: 'failed', detail: `a change of ${changed.join(', ')} needs a restart` }
  const outcome = await context.run({ argv: [path, action], environment: environmentOf(context, action) }, 'service')
  return isResult(outcome) ? outcome : judgeExit(withReason(outcome), (code) => judgeOcfStatus('reload', code))
}

const actionOf = (method: 'start' | 'stop' | 'probe') => (method === 'probe' ? 'monitor' : method)

/** The reason that the agent gives says more than all that it wrote. */
function withReason(outcome: ActionOutcome): ActionOutcome {
  const reason = exitReasonOf(outcome.stderr)
  return reason === undefined ? outcome : { ...outcome, stderr: reason }
}

export function environmentOf({ request, world }: MethodContext, name: string): Record<string, string> {
  const { definition, method, deep, token } = request
  const level = deep === undefined ? 0 : (deep.level ?? 10)
  const interval = method === 'probe' && token !== 0 ? (deep ?? definition.probe).interval : 0
  const { group, resource, node, timeout } = request
  const copies = definition.copy === undefined ? undefined : world.copies?.(group)
  const place = { resource, node, token, scratch: ocfScratch(world.runFolder), commands: agentCommands }
  return {
    ...ocfEnvironment(definition, { name, timeout, interval, level }, place),
    ...migrationEnvironment(request, 'OCF_RESKEY_CRM_meta_migrate_'),
    ...(copies === undefined ? {} : copyEnvironment(copies, resource, { operation: name, node })),
    QUORATE_COMMANDS: world.runFolder.socket('commands'),
  }
}
