/** Group definitions between the form that people write and the normal form that the log carries. */
import { ClusterError, formatDuration, type NodeId, parseDuration, type ResourceName } from '../../base/index.js'
import { checkDefinition, type GroupDefinition, type ResourceDefinition, resourceDefaults } from '../../core/cluster/index.js'
import { checkValue } from '../http/validation.js'
import { groupDefinitionSchema } from '../schemas/index.js'
import type { ResourceTypes } from './resource-types.js'
import { readCounts, readWatching, type Span, type WrittenWatching, writtenProbe, writtenWatching } from './watching.js'

interface WrittenResource extends WrittenWatching {
  readonly type: string
  readonly parameters?: ResourceDefinition['parameters']
  readonly dependsOn?: readonly ResourceName[]
  readonly start?: { readonly timeout?: Span }
  readonly stop?: { readonly timeout?: Span }
  readonly restart?: { readonly max?: number; readonly window?: Span }
}

interface WrittenGroup {
  readonly mode?: 'failover' | 'scalable'
  readonly nodes: readonly NodeId[]
  readonly priority?: number
  readonly failback?: { readonly mode?: string }
  readonly intent?: Intent
  readonly resources: Readonly<Record<string, WrittenResource>>
}

type Intent = 'ONLINE' | 'OFFLINE'

export interface ReadDefinition {
  readonly definition: GroupDefinition
  /** Null where it was not said. */
  readonly intent: Intent | null
}

/**
 * From what a person wrote, checked against everything that this node can check.
 * Errors: INVALID, UNKNOWN_KEY, NOT_YET, INVALID_NAME, UNKNOWN_NODE, UNKNOWN_TYPE, INVALID_DEFINITION, DEPENDENCY_RING.
 */
export async function readDefinition(
  value: unknown,
  nodes: readonly string[],
  types: ResourceTypes,
  what = 'the body',
): Promise<ReadDefinition> {
  checkValue(groupDefinitionSchema, value, what)
  const written = value as WrittenGroup
  const definition = normalise(written)
  const problem = checkDefinition(definition, nodes)
  if (problem !== undefined) throw problem
  await types.check(definition)
  return { definition, intent: written.intent ?? null }
}

function normalise(written: WrittenGroup): GroupDefinition {
  if (written.mode === 'scalable')
    throw new ClusterError('NOT_YET', 'scalable groups come with a later version', { fix: 'use "mode": "failover"' })
  if (written.failback?.mode !== undefined && written.failback.mode !== 'never')
    throw new ClusterError('NOT_YET', `failback "${written.failback.mode}" comes with a later version`, {
      fix: 'use "never", and POST …/move when it is to return',
    })
  const resources = Object.entries(written.resources).map(([name, resource]) => [name, normaliseResource(name, resource)])
  return {
    mode: 'failover',
    nodes: written.nodes,
    priority: written.priority ?? 0,
    failback: { mode: 'never' },
    resources: Object.fromEntries(resources) as GroupDefinition['resources'],
  }
}

function normaliseResource(name: string, written: WrittenResource): ResourceDefinition {
  const span = (key: string, value: Span | undefined, fallback: number): number => {
    if (value === undefined) return fallback
    try {
      return parseDuration(value)
    } catch {
      throw new ClusterError('INVALID', `resource "${name}": ${key} is ${JSON.stringify(value)}`, {
        fix: 'write a number with ms, s, m, h or d, such as "5s"',
      })
    }
  }
  const { probe, start, stop, restart } = resourceDefaults
  return {
    type: written.type,
    parameters: written.parameters ?? {},
    dependsOn: written.dependsOn ?? [],
    probe: {
      interval: span('probe.interval', written.probe?.interval, probe.interval),
      timeout: span('probe.timeout', written.probe?.timeout, probe.timeout),
      ...readCounts(written),
    },
    ...readWatching(name, written, span, probe.timeout),
    start: { timeout: span('start.timeout', written.start?.timeout, start.timeout) },
    stop: { timeout: span('stop.timeout', written.stop?.timeout, stop.timeout) },
    restart: { max: written.restart?.max ?? restart.max, window: span('restart.window', written.restart?.window, restart.window) },
  }
}

/** As people write it: `readDefinition` makes the same normal form of it again. */
export function writtenForm(definition: GroupDefinition): Record<string, unknown> {
  return {
    mode: definition.mode,
    nodes: definition.nodes,
    priority: definition.priority,
    failback: definition.failback,
    resources: Object.fromEntries(Object.entries(definition.resources).map(([name, resource]) => [name, writtenResource(resource)])),
  }
}

export function writtenResource(resource: ResourceDefinition): Record<string, unknown> {
  const { type, parameters, dependsOn, probe, start, stop, restart } = resource
  return {
    type,
    parameters,
    dependsOn,
    probe: writtenProbe(probe),
    ...writtenWatching(resource),
    start: { timeout: formatDuration(start.timeout) },
    stop: { timeout: formatDuration(stop.timeout) },
    restart: { max: restart.max, window: formatDuration(restart.window) },
  }
}
