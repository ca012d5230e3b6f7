/**
 * What an administrator writes about a group, in the normal form that the log carries: every default filled in,
 * every duration in milliseconds.
 */
import type { DiskName, GroupName, NodeId, ResourceName } from '../../base/index.js'
import { type DependsOn, dependenciesOf } from './dependencies.js'
import type { FailurePolicy } from './failure-policy.js'

export type ParameterValue = string | number | boolean | readonly string[] | { readonly [key: string]: string }

/** The name of a built-in type, `ocf:<provider>:<agent>`, or `systemd:<unit>`. */
export type ResourceType = string

/** Counts that are not there are one: the first failure and the first time-out count. */
export interface ProbeDefinition {
  readonly interval: number
  readonly timeout: number
  /** The resource has failed once so many of its last probes have. Time-outs are no part of it. */
  readonly failAfter?: { readonly failures: number; readonly of: number }
  /** So many time-outs in a row are its failure. */
  readonly timeouts?: number
}

export interface DeepProbeDefinition {
  readonly interval: number
  readonly timeout: number
  /** OCF_CHECK_LEVEL of an agent's monitor; 10 unless given. */
  readonly level?: number
}

/** The second depth of checks, and whatever comes after it. */
export function depthsOf({ probeDeep }: Pick<ResourceDefinition, 'probeDeep'>): readonly DeepProbeDefinition[] {
  if (probeDeep === undefined) return []
  return Array.isArray(probeDeep) ? probeDeep : [probeDeep as DeepProbeDefinition]
}

export interface ResourceLimits {
  /** Bytes. */
  readonly memory?: number
  /** Processes and threads. */
  readonly tasks?: number
  /** Processors, such as 1.5. */
  readonly cpu?: number
  /** Open files of each process. */
  readonly openFiles?: number
}

export interface ResourceDefinition {
  readonly type: ResourceType
  readonly parameters: { readonly [name: string]: ParameterValue }
  /** Parameters that are others on some nodes, beside or instead of the usual ones (VCS: localised attributes). */
  readonly perNode?: { readonly [node: NodeId]: { readonly parameters: { readonly [name: string]: ParameterValue } } }
  /** Resources of the same group that start before this one, and stop after it. */
  readonly dependsOn: readonly DependsOn[]
  /** Periodic check. Milliseconds. */
  readonly probe: ProbeDefinition
  /** The second depth of checks, off unless given; of OCF agents there may be several, each of a level of its own. Milliseconds. */
  readonly probeDeep?: DeepProbeDefinition | readonly DeepProbeDefinition[]
  /** What its processes may use. */
  readonly limits?: ResourceLimits
  /** Milliseconds a start or stop may take before it is killed with all its processes. */
  readonly start: { readonly timeout: number }
  readonly stop: { readonly timeout: number }
  /** In-place restarts allowed within `window` (milliseconds of log time) before the group moves. */
  readonly restart: {
    readonly max: number
    readonly window: number
    /** Milliseconds before such a restart, doubled for each further failure in the window; left out where it is 0. */
    readonly delay?: number
  }
  /** Absolute paths of files that go with the group: kept as they change where it runs, and put back before it starts elsewhere. */
  readonly files?: readonly string[]
  /** Others start and stop it, here it is only looked at. Left out where it is started and stopped (VCS: `Operations` None, OnOff). */
  readonly operations?: 'none'
  /** False: when its restarts are used up the group stays where it is, without it. Left out where it is true. */
  readonly critical?: boolean
  /** It has two roles: of its copies one at most is the primary. Of scalable groups only. */
  readonly promotable?: true
  /** It is one copy of several; never written by people. */
  readonly copy?: { readonly max: number }
  /** It is no program of its own but the primary role of this node's copy; never written by people. */
  readonly role?: PrimaryRole
}

/** The copy is the resource of the same name in the instance of that scalable group on the same node. */
export interface PrimaryRole {
  readonly of: GroupName
}

/** Looking for copies that run where the group is not granted. */
export interface OfflineProbe {
  /** Milliseconds; 0 is never. */
  readonly interval: number
  /** `stopExtra`: a copy beside that of the holder is stopped. `block`: it is only told. `stopAllRestart`: both are, and then it is started. */
  readonly onFound: 'stopExtra' | 'block' | 'stopAllRestart'
}

export const offlineProbeDefault: OfflineProbe = { interval: 60_000, onFound: 'stopExtra' }

/**
 * What a node does with the group when its lease has run out. Left out where it is `stop`: all is stopped at once. `freeze`: its
 * processes stand still for a part of the emergency stop, and go on where the lease comes back meanwhile, else they are killed.
 * `demote`, of copies with a primary role: only the role ends, and the copies go on. `selfFence`: beside the stop, the node has its
 * watchdog reset it.
 */
export const quorumLossPolicies = ['freeze', 'demote', 'selfFence'] as const
export type QuorumLossPolicy = (typeof quorumLossPolicies)[number]

/** Whether what runs by this definition goes on without a lease: then the end of a lease is no proof of its end. */
export function outlastsLease({ onQuorumLoss }: Pick<GroupDefinition, 'onQuorumLoss'>): boolean {
  return onQuorumLoss === 'demote'
}

export interface GroupDefinition extends FailurePolicy {
  readonly mode: 'failover'
  /** In order of rank, the first is preferred. */
  readonly nodes: readonly NodeId[]
  /** Larger matters more. */
  readonly priority: number
  readonly failback: { readonly mode: 'never' }
  /** Counts from the next grant on. */
  readonly onQuorumLoss?: QuorumLossPolicy
  readonly resources: { readonly [name: ResourceName]: ResourceDefinition }
  /** Left out where it is as usual. */
  readonly offlineProbe?: OfflineProbe
  /**
   * It has a monitor process of its own; left out where it shares the node's. Of the group and not of a resource: one process
   * keeps order, token and run record of a group.
   */
  readonly isolation?: 'dedicated'
  /**
   * All of its resources live on this shared disk and act nowhere else: who is cut off from it can do nothing for the group any
   * more. Counts from the next grant on.
   */
  readonly storage?: DiskName
}

/** What an administrator writes of a group that runs on several nodes at once. */
export interface ScalableDefinition extends Omit<GroupDefinition, 'mode'> {
  readonly mode: 'scalable'
  /** So many instances are to run, and never more. */
  readonly desired: number
  /** One of the instances is the primary, and these resources go with it. Left out where nothing is promotable. */
  readonly primary?: { readonly resources: GroupDefinition['resources'] }
  /** The copies are told of each other's starts, stops, promotions and demotions. */
  readonly notify?: true
  /** Of one instance: it goes to another node while it runs, where its node is only to be left. */
  readonly migrate?: true
}

export type AnyDefinition = GroupDefinition | ScalableDefinition

export function offlineProbeOf(definition: Pick<GroupDefinition, 'offlineProbe'>): OfflineProbe {
  return definition.offlineProbe ?? offlineProbeDefault
}

export const resourceDefaults = {
  probe: { interval: 5_000, timeout: 20_000 },
  start: { timeout: 60_000 },
  stop: { timeout: 60_000 },
  restart: { max: 3, window: 900_000 },
} as const

/** As it is on that node. */
export function resourceOn({ perNode, ...definition }: ResourceDefinition, node: NodeId): ResourceDefinition {
  const own = perNode?.[node]?.parameters
  return own === undefined ? definition : { ...definition, parameters: { ...definition.parameters, ...own } }
}

/** As they are on that node. */
export function resourcesOn(resources: GroupDefinition['resources'], node: NodeId): GroupDefinition['resources'] {
  if (Object.values(resources).every(({ perNode }) => perNode === undefined)) return resources
  return Object.fromEntries(Object.entries(resources).map(([name, definition]) => [name, resourceOn(definition, node)]))
}

/** As it is wherever it is otherwise than elsewhere. */
export function variantsOf(definition: ResourceDefinition): readonly ResourceDefinition[] {
  const nodes = Object.keys(definition.perNode ?? {}) as NodeId[]
  return [resourceOn(definition, '' as NodeId), ...nodes.map((node) => resourceOn(definition, node))]
}

/** Resources in an order that respects `dependsOn`; ties by name. Stops go in reverse. Rings have been refused before. */
export function startOrder(resources: GroupDefinition['resources']): readonly ResourceName[] {
  const order: ResourceName[] = []
  const left = new Set((Object.keys(resources) as ResourceName[]).sort())
  while (left.size > 0) {
    const next = [...left].find((name) => neededBy(resources, name).every((needed) => !left.has(needed)))
    if (next === undefined) return [...order, ...left]
    order.push(next)
    left.delete(next)
  }
  return order
}

/** The names along one ring of `dependsOn`, first name repeated at the end; undefined when there is none. */
export function dependencyRing(resources: GroupDefinition['resources']): readonly string[] | undefined {
  const done = new Set<string>()
  for (const start of Object.keys(resources).sort()) {
    const ring = walk(start, [])
    if (ring !== undefined) return ring
  }
  return undefined

  function walk(name: string, path: readonly string[]): readonly string[] | undefined {
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name]
    if (done.has(name)) return undefined
    for (const needed of neededBy(resources, name as ResourceName)) {
      const ring = walk(needed, [...path, name])
      if (ring !== undefined) return ring
    }
    done.add(name)
    return undefined
  }
}

function neededBy(resources: GroupDefinition['resources'], name: ResourceName): readonly ResourceName[] {
  const definition = resources[name]
  return definition === undefined ? [] : dependenciesOf(definition).map(({ resource }) => resource)
}

/**
 * Whether a holder may take on the new definition while it runs. Resources may come and go, and their dependencies change; not what
 * they are, and what only one group may hold is not given up: it would be another's before it is down. Anything else is stopped as it
 * was and started as it is. Without `isWide` it is the same resources in the same order, as earlier versions have it.
 */
export function isUpdatable(before: GroupDefinition['resources'], after: GroupDefinition['resources'], isWide: boolean): boolean {
  if (!isWide) return shapeOf(before) === shapeOf(after)
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])] as ResourceName[]
  return names.every((name) => mayBecome(before[name], after[name]))
}

function mayBecome(before: ResourceDefinition | undefined, after: ResourceDefinition | undefined): boolean {
  if (before !== undefined && after !== undefined)
    return (
      before.type === after.type &&
      before.operations === after.operations &&
      before.promotable === after.promotable &&
      (before.role === undefined) === (after.role === undefined) &&
      claimsWithin(before, after)
    )
  if (before !== undefined && claimsOf({ before } as GroupDefinition['resources']).length > 0) return false
  const single = before ?? after
  // Files are put back before the start of the whole, and roles are asked of by others.
  return single !== undefined && single.promotable === undefined && single.role === undefined && single.files === undefined
}

/** What the one holds the other does. */
function claimsWithin(before: ResourceDefinition, after: ResourceDefinition): boolean {
  const held = claimsOf({ after } as GroupDefinition['resources'])
  return claimsOf({ before } as GroupDefinition['resources']).every((claim) => held.includes(claim))
}

function shapeOf(resources: GroupDefinition['resources']): string {
  const shapes = Object.entries(resources)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { type, operations, ...definition }]) => [
      name,
      type,
      dependenciesOf(definition),
      ...(operations === undefined ? [] : [operations]),
    ])
  return JSON.stringify([shapes, claimsOf(resources)])
}

/** Whether the two are run by the same program with the same parameters. */
export function isSameProgram(one: ResourceDefinition | undefined, other: ResourceDefinition | undefined): boolean {
  const program = (of: ResourceDefinition | undefined) =>
    JSON.stringify([
      of?.type,
      sortedEntries(of?.parameters ?? {}),
      of?.limits ?? null,
      ...(of?.operations === undefined ? [] : [of.operations]),
      ...(of?.perNode === undefined ? [] : [sortedEntries(of.perNode).map(([node, { parameters }]) => [node, sortedEntries(parameters)])]),
    ])
  return program(one) === program(other)
}

/** As the two are on that node. */
export function isSameProgramOn(node: NodeId, one: ResourceDefinition | undefined, other: ResourceDefinition | undefined): boolean {
  return isSameProgram(one && resourceOn(one, node), other && resourceOn(other, node))
}

const sortedEntries = <Value>(of: { readonly [key: string]: Value }): [string, Value][] =>
  Object.entries(of).sort(([a], [b]) => (a < b ? -1 : 1))

/**
 * Names of things outside the group that two groups must not hold at once, such as `address:10.0.0.100` or `unit:nginx.service`.
 * What a holder's pinned definition claims stays held until its token ends.
 */
export function claimsOf(resources: GroupDefinition['resources']): readonly string[] {
  const claims = Object.values(resources).flatMap((resource) => [...new Set(variantsOf(resource).flatMap(claimsOfOne))])
  return claims.sort()
}

function claimsOfOne({ type, parameters, operations }: ResourceDefinition): readonly string[] {
  if (operations === 'none') return []
  const unit = /^systemd:(.+?)(?:\.service)?$/.exec(type)?.[1]
  if (unit !== undefined) return [`unit:${unit}.service`]
  const address = type === 'logical-hostname' ? parameters.address : type === 'ocf:heartbeat:IPaddr2' ? parameters.ip : undefined
  return typeof address === 'string' ? [`address:${address.split('/')[0]}`] : []
}
