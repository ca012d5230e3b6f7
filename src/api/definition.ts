/** Group definitions between the form that people write and the normal form that the log carries. */
import {
  ClusterError,
  formatDuration,
  type GroupName,
  groupName,
  nearestName,
  nodeId,
  parseDuration,
  type ResourceName,
  resourceName,
} from '../base/index.js'
import { type GroupDefinition, type ResourceDefinition, resourceDefaults } from '../core/cluster/index.js'
import { builtInTypes, checkResourceParameters, parseOcfType } from '../core/monitor/index.js'

type Raw = { readonly [key: string]: unknown }
type RawResource = {
  readonly type: string
  readonly parameters?: ResourceDefinition['parameters']
  readonly dependsOn?: readonly string[]
  readonly probe?: { readonly interval?: string | number; readonly timeout?: string | number }
  readonly start?: { readonly timeout?: string | number }
  readonly stop?: { readonly timeout?: string | number }
  readonly restart?: { readonly max?: number; readonly window?: string | number }
}

/** Fills in defaults. The value has passed `groupSchema`. Errors: NOT_YET, UNKNOWN_TYPE, INVALID_DEFINITION, INVALID, INVALID_NAME. */
export function normalise(raw: Raw): GroupDefinition {
  if (raw.mode === 'scalable')
    throw new ClusterError('NOT_YET', 'scalable groups come with a later version', { fix: 'use "mode": "failover"' })
  const failback = (raw.failback as { mode: string } | undefined)?.mode ?? 'never'
  if (failback !== 'never')
    throw new ClusterError('NOT_YET', `failback "${failback}" comes with a later version`, {
      fix: 'use "failback": {"mode": "never"} and move the group by hand',
    })
  const resources: Record<ResourceName, ResourceDefinition> = {}
  for (const [name, value] of Object.entries(raw.resources as Record<string, RawResource>))
    resources[resourceName(name)] = normaliseResource(name, value)
  return {
    mode: 'failover',
    nodes: (raw.nodes as string[]).map(nodeId),
    priority: (raw.priority as number | undefined) ?? 0,
    failback: { mode: 'never' },
    resources,
  }
}

function normaliseResource(name: string, raw: RawResource): ResourceDefinition {
  checkType(name, raw.type)
  const parameters = raw.parameters ?? {}
  const problem = checkResourceParameters(raw.type, parameters)[0]
  if (problem !== undefined) {
    throw new ClusterError(
      'INVALID_DEFINITION',
      `resource "${name}": ${problem.parameter}: ${problem.detail}`,
      problem.fix === undefined ? { fix: `GET /v1/types/${raw.type} shows its parameters` } : { fix: problem.fix },
    )
  }
  const span = (value: string | number | undefined, fallback: number): number => (value === undefined ? fallback : parseDuration(value))
  return {
    type: raw.type,
    parameters,
    dependsOn: (raw.dependsOn ?? []) as ResourceName[],
    probe: {
      interval: span(raw.probe?.interval, resourceDefaults.probe.interval),
      timeout: span(raw.probe?.timeout, resourceDefaults.probe.timeout),
    },
    start: { timeout: span(raw.start?.timeout, resourceDefaults.start.timeout) },
    stop: { timeout: span(raw.stop?.timeout, resourceDefaults.stop.timeout) },
    restart: { max: raw.restart?.max ?? resourceDefaults.restart.max, window: span(raw.restart?.window, resourceDefaults.restart.window) },
  }
}

function checkType(name: string, type: string): void {
  if (Object.hasOwn(builtInTypes, type) || parseOcfType(type) !== undefined) return
  if (type.startsWith('systemd:'))
    throw new ClusterError('NOT_YET', `resource "${name}": systemd units come with a later version`, {
      fix: 'use a command resource, or an OCF agent',
    })
  const nearest = nearestName(type, Object.keys(builtInTypes))
  throw new ClusterError('UNKNOWN_TYPE', `resource "${name}" has the type "${type.slice(0, 80)}", which does not exist`, {
    fix:
      nearest === undefined
        ? `use ${Object.keys(builtInTypes).join(', ')} or ocf:<provider>:<agent>; GET /v1/types lists them`
        : `did you mean "${nearest}"?`,
  })
}

/** As people write it: durations with their unit. `normalise` of it gives the same definition again. */
export function present(definition: GroupDefinition): Raw {
  const resources = Object.fromEntries(
    Object.entries(definition.resources).map(([name, resource]) => [
      name,
      {
        type: resource.type,
        parameters: resource.parameters,
        dependsOn: resource.dependsOn,
        probe: { interval: formatDuration(resource.probe.interval), timeout: formatDuration(resource.probe.timeout) },
        start: { timeout: formatDuration(resource.start.timeout) },
        stop: { timeout: formatDuration(resource.stop.timeout) },
        restart: { max: resource.restart.max, window: formatDuration(resource.restart.window) },
      },
    ]),
  )
  return { mode: definition.mode, nodes: definition.nodes, priority: definition.priority, failback: definition.failback, resources }
}

/** Errors: INVALID_NAME. */
export const asGroup = (name: string): GroupName => groupName(name)
