/** Group definitions between the form that people write and the normal form that the log carries. */
import {
  ClusterError,
  type DiskName,
  formatDuration,
  type GroupName,
  type NodeId,
  parseDuration,
  type ResourceName,
} from '../../base/index.js'
import {
  type AnyDefinition,
  checkAnyDefinition,
  type DependencyKind,
  type FailurePolicy,
  type FailureRule,
  fencesOnStopFailure,
  type GroupDefinition,
  normalDependency,
  type OfflineProbe,
  offlineProbeDefault,
  offlineProbeOf,
  policyDefaults,
  type QuorumLossPolicy,
  type ResourceDefinition,
  resourceDefaults,
} from '../../core/cluster/index.js'
import { checkValue } from '../http/validation.js'
import { groupDefinitionSchema } from '../schemas/index.js'
import type { ResourceTypes } from './resource-types.js'
import { readCounts, readWatching, type Span, type WrittenWatching, writtenProbe, writtenWatching } from './watching.js'

interface WrittenResource extends WrittenWatching {
  readonly type: string
  readonly parameters?: ResourceDefinition['parameters']
  readonly dependsOn?: readonly (ResourceName | { readonly resource: ResourceName; readonly kind?: DependencyKind })[]
  readonly start?: { readonly timeout?: Span }
  readonly stop?: { readonly timeout?: Span }
  readonly restart?: { readonly max?: number; readonly window?: Span; readonly delay?: Span }
  readonly critical?: boolean
  readonly operations?: 'onOff' | 'none'
  readonly perNode?: Readonly<Record<string, { readonly parameters?: ResourceDefinition['parameters'] }>>
  readonly promotable?: boolean
  readonly files?: readonly string[]
}

interface WrittenGroup {
  readonly mode?: 'failover' | 'scalable'
  readonly nodes: readonly NodeId[]
  readonly priority?: number
  readonly failback?: { readonly mode?: string }
  readonly intent?: Intent
  readonly desired?: number
  readonly primary?: { readonly resources?: Readonly<Record<string, WrittenResource>> }
  readonly notify?: boolean
  readonly migrate?: boolean
  readonly onQuorumLoss?: QuorumLossPolicy | 'stop'
  readonly resources: Readonly<Record<string, WrittenResource>>
  readonly failoverMode?: NonNullable<FailurePolicy['failoverMode']>
  readonly onStopFailure?: 'block' | 'fence'
  readonly rules?: readonly FailureRule[]
  readonly stableAfter?: Span
  readonly pingpongInterval?: Span
  readonly isolation?: 'shared' | 'dedicated'
  readonly storage?: DiskName
  readonly offlineProbe?: { readonly interval?: Span; readonly onFound?: 'stopExtra' | 'block' | 'stopAllRestart' }
  readonly failover?: { readonly max?: number; readonly window?: Span; readonly onExhausted?: 'stop' | 'keepTrying' | 'runDegraded' }
}

type Intent = 'ONLINE' | 'OFFLINE'

export interface ReadDefinition {
  readonly definition: AnyDefinition
  /** Null where it was not said. */
  readonly intent: Intent | null
  /** What is accepted and should be looked at, in sentences. */
  readonly warnings: readonly string[]
}

export interface ReadingOptions {
  readonly group: string
  /** What only the agents of this node object to is a warning. */
  readonly lenient: boolean
  /** What is read, as errors call it. */
  readonly what?: string
}

/**
 * From what a person wrote, checked against everything that this node can check.
 * Errors: INVALID, UNKNOWN_KEY, NOT_YET, INVALID_NAME, UNKNOWN_NODE, UNKNOWN_TYPE, INVALID_DEFINITION, DEPENDENCY_RING.
 */
export async function readDefinition(
  value: unknown,
  nodes: readonly string[],
  types: ResourceTypes,
  { group, lenient, what = 'the body' }: ReadingOptions,
): Promise<ReadDefinition> {
  checkValue(groupDefinitionSchema, value, what)
  const written = value as WrittenGroup
  const definition = normalise(written)
  const problem = checkAnyDefinition(group as GroupName, definition, nodes)
  if (problem !== undefined) throw problem
  const warnings = await types.check(group, definition, lenient)
  return { definition, intent: written.intent ?? null, warnings }
}

function normalise(written: WrittenGroup): AnyDefinition {
  const failover = normaliseFailover(written)
  if (written.mode !== 'scalable') {
    const key = (['desired', 'primary', 'notify', 'migrate'] as const).find((name) => written[name] !== undefined)
    if (key === undefined) return failover
    throw new ClusterError('INVALID_DEFINITION', `"${key}" is of scalable groups`, { fix: `use "mode": "scalable", or leave "${key}" out` })
  }
  const { mode: _mode, ...shared } = failover
  const hasRoles = written.primary !== undefined || Object.values(failover.resources).some(({ promotable }) => promotable === true)
  const primary = hasRoles ? { primary: { resources: normaliseResources(written.primary?.resources ?? {}) } } : {}
  return {
    mode: 'scalable',
    ...shared,
    desired: written.desired ?? (written.migrate === true ? 1 : written.nodes.length),
    ...primary,
    ...(written.notify === true ? { notify: true } : {}),
    ...(written.migrate === true ? { migrate: true } : {}),
  }
}

function normaliseResources(written: Readonly<Record<string, WrittenResource>>): GroupDefinition['resources'] {
  return Object.fromEntries(Object.entries(written).map(([name, resource]) => [name, normaliseResource(name, resource)]))
}

function normaliseFailover(written: WrittenGroup): GroupDefinition {
  if (written.failback?.mode !== undefined && written.failback.mode !== 'never')
    throw new ClusterError('NOT_YET', `failback "${written.failback.mode}" comes with a later version`, {
      fix: 'use "never", and POST …/move when it is to return',
    })
  return {
    mode: 'failover',
    nodes: written.nodes,
    priority: written.priority ?? 0,
    failback: { mode: 'never' },
    ...readQuorumLoss(written),
    resources: normaliseResources(written.resources),
    ...normalisePolicy(written),
    ...normaliseOfflineProbe(written),
    ...(written.isolation === 'dedicated' ? { isolation: written.isolation } : {}),
    ...(written.storage === undefined ? {} : { storage: written.storage }),
  }
}

function normaliseOfflineProbe({ offlineProbe: written = {} }: WrittenGroup): { readonly offlineProbe?: OfflineProbe } {
  const usual = offlineProbeDefault
  const interval = readSpan('offlineProbe.interval', written.interval, usual.interval)
  const onFound = written.onFound ?? usual.onFound
  return interval === usual.interval && onFound === usual.onFound ? {} : { offlineProbe: { interval, onFound } }
}

function readQuorumLoss({ onQuorumLoss = 'stop' }: WrittenGroup): Pick<GroupDefinition, 'onQuorumLoss'> {
  return onQuorumLoss === 'stop' ? {} : { onQuorumLoss }
}

/** What is as usual is left out, as in rows from before there was a choice. */
function normalisePolicy(written: WrittenGroup): FailurePolicy {
  const usual = policyDefaults
  const mode = written.failoverMode ?? usual.failoverMode
  const span = (key: string, value: Span | undefined, fallback: number) => readSpan(key, value, fallback)
  const stableAfter = span('stableAfter', written.stableAfter, usual.stableAfter)
  const pingpongInterval = span('pingpongInterval', written.pingpongInterval, usual.pingpongInterval)
  const limit = {
    max: written.failover?.max ?? usual.failover.max,
    window: span('failover.window', written.failover?.window, usual.failover.window),
    onExhausted: written.failover?.onExhausted ?? usual.failover.onExhausted,
  }
  const isLimited =
    limit.max !== usual.failover.max || limit.window !== usual.failover.window || limit.onExhausted !== usual.failover.onExhausted
  return {
    ...(mode === usual.failoverMode ? {} : { failoverMode: mode }),
    ...(mode !== 'HARD' && written.onStopFailure === 'fence' ? { onStopFailure: 'fence' as const } : {}),
    ...(written.rules === undefined || written.rules.length === 0 ? {} : { rules: written.rules }),
    ...(stableAfter === usual.stableAfter ? {} : { stableAfter }),
    ...(pingpongInterval === usual.pingpongInterval ? {} : { pingpongInterval }),
    ...(isLimited ? { failover: limit } : {}),
  }
}

function readSpan(key: string, value: Span | undefined, fallback: number): number {
  if (value === undefined) return fallback
  try {
    return parseDuration(value)
  } catch {
    throw new ClusterError('INVALID', `${key} is ${JSON.stringify(value)}`, {
      fix: 'write a number with ms, s, m, h or d, such as "5s"',
    })
  }
}

function normaliseResource(name: string, written: WrittenResource): ResourceDefinition {
  const span = (key: string, value: Span | undefined, fallback: number): number => readSpan(`resource "${name}": ${key}`, value, fallback)
  const delay = span('restart.delay', written.restart?.delay, 0)
  const { probe, start, stop, restart } = resourceDefaults
  return {
    type: written.type,
    parameters: written.parameters ?? {},
    dependsOn: (written.dependsOn ?? []).map((needed) =>
      normalDependency(typeof needed === 'string' ? needed : { kind: 'offlineRestart', ...needed }),
    ),
    probe: {
      interval: span('probe.interval', written.probe?.interval, probe.interval),
      timeout: span('probe.timeout', written.probe?.timeout, probe.timeout),
      ...readCounts(written),
    },
    ...readWatching(name, written, span, probe.timeout),
    start: { timeout: span('start.timeout', written.start?.timeout, start.timeout) },
    stop: { timeout: span('stop.timeout', written.stop?.timeout, stop.timeout) },
    restart: {
      max: written.restart?.max ?? restart.max,
      window: span('restart.window', written.restart?.window, restart.window),
      ...(delay === 0 ? {} : { delay }),
    },
    ...readPerNode(written),
    ...(written.operations === 'none' ? { operations: written.operations } : {}),
    ...(written.critical === false ? { critical: false } : {}),
    ...(written.promotable === true ? { promotable: true } : {}),
    ...((written.files ?? []).length === 0 ? {} : { files: written.files }),
  }
}

function readPerNode({ perNode = {} }: WrittenResource): Pick<ResourceDefinition, 'perNode'> {
  const given = Object.entries(perNode).filter(([, { parameters = {} }]) => Object.keys(parameters).length > 0)
  return given.length === 0 ? {} : { perNode: Object.fromEntries(given.map(([node, { parameters = {} }]) => [node, { parameters }])) }
}

/** As people write it: `readDefinition` makes the same normal form of it again. */
export function writtenForm(definition: AnyDefinition): Record<string, unknown> {
  const { primary } = definition.mode === 'scalable' ? definition : { primary: undefined }
  return {
    mode: definition.mode,
    nodes: definition.nodes,
    priority: definition.priority,
    failback: definition.failback,
    onQuorumLoss: definition.onQuorumLoss ?? 'stop',
    ...writtenPolicy(definition),
    isolation: definition.isolation ?? 'shared',
    ...(definition.storage === undefined ? {} : { storage: definition.storage }),
    offlineProbe: { ...offlineProbeOf(definition), interval: formatDuration(offlineProbeOf(definition).interval) },
    resources: writtenResources(definition.resources),
    ...(definition.mode === 'scalable'
      ? { desired: definition.desired, notify: definition.notify ?? false, migrate: definition.migrate ?? false }
      : {}),
    ...(primary === undefined ? {} : { primary: { resources: writtenResources(primary.resources) } }),
  }
}

function writtenResources(resources: GroupDefinition['resources']): Record<string, unknown> {
  return Object.fromEntries(Object.entries(resources).map(([name, resource]) => [name, writtenResource(resource)]))
}

function writtenPolicy(policy: FailurePolicy): Record<string, unknown> {
  const { failoverMode, rules, stableAfter, pingpongInterval, failover } = { rules: [], ...policyDefaults, ...policy }
  return {
    failoverMode,
    onStopFailure: fencesOnStopFailure(policy) ? 'fence' : 'block',
    rules,
    stableAfter: formatDuration(stableAfter),
    pingpongInterval: formatDuration(pingpongInterval),
    failover: { ...failover, window: formatDuration(failover.window) },
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
    restart: { max: restart.max, window: formatDuration(restart.window), delay: formatDuration(restart.delay ?? 0) },
    operations: resource.operations ?? 'onOff',
    critical: resource.critical ?? true,
    ...(resource.promotable === true ? { promotable: true } : {}),
    ...(resource.perNode === undefined ? {} : { perNode: resource.perNode }),
    files: resource.files ?? [],
  }
}
