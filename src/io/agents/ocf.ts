/** OCF resource agents as installed: environment in, exit codes out (OCF 1.1 resource agent API). */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type MethodResult, ocfAgentPath, ocfBaseEnvironment, parseOcfType } from '../../core/monitor/index.js'
import { isResult, judgeExit, type MethodContext } from './method.js'

const providers = '/usr/lib/ocf/resource.d'

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

export async function runOcf(context: MethodContext, method: 'start' | 'stop' | 'probe'): Promise<MethodResult> {
  const { definition, token } = context.request
  const path = ocfAgentPath(definition.type)
  // Nobody can have started what was never granted here with an agent that is not there.
  const neverThere: MethodResult | undefined = method === 'probe' && token === 0 ? { outcome: 'stopped' } : undefined
  if (path === undefined || !existsSync(path)) return neverThere ?? { outcome: 'failed', detail: `${definition.type} is not installed` }
  const action = method === 'probe' ? 'monitor' : method
  const outcome = await context.run(
    { argv: [path, action], environment: ocfEnvironment(context) },
    method === 'start' ? 'service' : 'action',
  )
  if (isResult(outcome)) return outcome
  return judgeExit(outcome, (code) => (code === 5 ? neverThere : undefined) ?? judgeOcfStatus(method, code))
}

/** What an exit status means to us; an agent's own text follows it. */
export function judgeOcfStatus(method: 'start' | 'stop' | 'probe', code: number): MethodResult {
  const meaning = ocfStatus[code] ?? 'a status that OCF does not know'
  const failed: MethodResult = { outcome: 'failed', detail: `the agent answered ${code} (${meaning})` }
  if (method === 'start') return code === 0 ? { outcome: 'done' } : failed
  // "Not running" is what a stop is for; the probe that follows has the last word.
  if (method === 'stop') return code === 0 || code === 7 ? { outcome: 'done' } : failed
  if (code === 0 || code === 8 || code === 190 || code === 191) return { outcome: 'running' }
  return code === 7 ? { outcome: 'stopped' } : failed
}

const ocfStatus: Readonly<Record<number, string>> = {
  0: 'success',
  1: 'generic error',
  2: 'wrong arguments',
  3: 'action not implemented',
  4: 'insufficient privileges',
  5: 'not installed',
  6: 'not configured',
  7: 'not running',
  8: 'running promoted',
  9: 'failed while promoted',
  190: 'running, degraded',
  191: 'running promoted, degraded',
}

function ocfEnvironment(context: MethodContext): Record<string, string> {
  const { request, world } = context
  const { probe, probeDeep } = request.definition
  const deep = request.deep === true ? probeDeep : undefined
  const interval = request.method === 'probe' && request.token !== 0 ? (deep ?? probe).interval : 0
  const parameters = Object.entries(request.definition.parameters).map(([key, value]) => [`OCF_RESKEY_${key}`, textOf(value)])
  return {
    ...ocfBaseEnvironment(request.definition.type),
    OCF_RESOURCE_INSTANCE: request.resource,
    // Agents compare it; ocf-shellfuncs would overwrite a bare OCF_CHECK_LEVEL with 0.
    OCF_RESKEY_crm_feature_set: '3.16.2',
    OCF_RESKEY_OCF_CHECK_LEVEL: '0',
    ...Object.fromEntries(parameters),
    ...(deep === undefined ? {} : { OCF_RESKEY_OCF_CHECK_LEVEL: String(deep.level ?? 10) }),
    OCF_RESKEY_CRM_meta_timeout: String(request.timeout),
    OCF_RESKEY_CRM_meta_interval: String(interval),
    OCF_RESKEY_CRM_meta_on_node: request.node,
    OCF_RESKEY_CRM_meta_quorate_grant_token: String(request.token),
    // Its own per node: agents keep their state files here, and two nodes of one kernel must not share them.
    HA_RSCTMP: world.runFolder.folder('rsctmp'),
  }
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.join(' ')
  return typeof value === 'boolean' ? (value ? 'true' : 'false') : String(value)
}
