/**
 * Groups that run on several nodes at once, and the primary role of one of their copies.
 *
 * A scalable group is a definition; what is granted are its parts, each a group of its own with its own token and proofs: one
 * instance for each node of the list, and, where something is promotable, the primary role. The role is granted only to a node
 * that runs an instance; to start it is to promote, to stop it to demote. So everything that holds for a failover group holds
 * for each part without being said again (P1, P4, P5), the primary role among them.
 */
import { ClusterError, type GroupName, type NodeId, type ResourceName } from '../../base/index.js'
import { refuse } from './context.js'
import {
  type AnyDefinition,
  claimsOf,
  type GroupDefinition,
  isSameProgramOn,
  type ResourceDefinition,
  resourcesOn,
  type ScalableDefinition,
} from './definition.js'
import { checkDefinition, checkRules } from './definition-check.js'
import type { FailureRule } from './failure-policy.js'
import { type HeldGroup, mayStillRun } from './orders.js'
import type { GroupPart, GroupRow, Migration, ScalableRow } from './rows.js'
import type { Reader } from './state.js'

/** No name that people give has a colon. */
export const instanceName = (of: GroupName, node: NodeId): GroupName => `${of}:${node}` as GroupName
export const primaryName = (of: GroupName): GroupName => `${of}:primary` as GroupName

/** The primary role of the group that an instance, by its name, is one of. */
export const primaryOf = (instance: GroupName): GroupName => primaryName(instance.split(':')[0] as GroupName)

export interface PartDefinition {
  readonly name: GroupName
  readonly part: GroupPart
  readonly definition: GroupDefinition
}

/** The groups that a scalable one consists of: its instances in order of rank, then its primary role. */
export function partDefinitions(of: GroupName, scalable: ScalableDefinition): readonly PartDefinition[] {
  const { mode: _mode, desired, primary, migrate, nodes, resources, onQuorumLoss, offlineProbe, ...shared } = scalable
  const common = { ...shared, mode: 'failover' as const, ...(offlineProbe === undefined ? {} : { offlineProbe }) }
  // What migrates is no copy of several.
  const copies =
    migrate === true
      ? resources
      : Object.fromEntries(Object.entries(resources).map(([name, resource]) => [name, { ...resource, copy: { max: desired } }]))
  const instances = nodes.map((node) => ({
    name: instanceName(of, node),
    part: { of, role: 'instance' as const },
    definition: {
      ...common,
      ...rulesOfCopies(common.rules, Object.keys(resources)),
      ...(onQuorumLoss === undefined ? {} : { onQuorumLoss }),
      nodes: [node],
      resources: resourcesOn(copies, node),
    },
  }))
  if (primary === undefined) return instances
  const roles = Object.entries(resources).flatMap(([name, resource]) =>
    resource.promotable === true ? [[name, roleOf(of, scalable, resource)] as const] : [],
  )
  const { rules, ...policy } = common
  const definition: GroupDefinition = {
    ...policy,
    ...rulesOfPrimary(rules, [...roles.map(([name]) => name), ...Object.keys(primary.resources)]),
    // What stands still for a while goes on as the primary, and nothing of a role could stand still. A role ends with the lease.
    ...(onQuorumLoss === 'selfFence' ? { onQuorumLoss } : {}),
    nodes,
    resources: { ...Object.fromEntries(roles), ...primary.resources },
  }
  return [...instances, { name: primaryName(of), part: { of, role: 'primary' }, definition }]
}

/** A copy that fails has lost the role by that already. */
function rulesOfCopies(rules: GroupDefinition['rules'], names: readonly string[]): Pick<GroupDefinition, 'rules'> {
  if (rules === undefined) return {}
  const kept = rules.filter(({ resource }) => resource === undefined || names.includes(resource))
  return { rules: kept.map((rule) => (rule.action === 'demote' ? { ...rule, action: 'restart' } : rule)) }
}

function rulesOfPrimary(rules: GroupDefinition['rules'], names: readonly string[]): Pick<GroupDefinition, 'rules'> {
  const kept = rules?.filter(({ resource }) => resource === undefined || names.includes(resource)) ?? []
  return kept.length === 0 ? {} : { rules: kept }
}

function roleOf(of: GroupName, { desired, resources }: ScalableDefinition, resource: ResourceDefinition): ResourceDefinition {
  const { probeDeep: _deep, limits: _limits, files: _files, ...role } = resource
  const dependsOn = resource.dependsOn.filter((needed) => {
    const name = typeof needed === 'string' ? needed : needed.resource
    return resources[name as ResourceName]?.promotable === true
  })
  return { ...role, dependsOn, copy: { max: desired }, role: { of } }
}

/** Everything that a definition has anybody run. */
export function resourcesOf(definition: AnyDefinition): GroupDefinition['resources'] {
  return definition.mode === 'failover' ? definition.resources : { ...definition.resources, ...definition.primary?.resources }
}

/** The first problem, with its fix; undefined when there is none. */
export function checkAnyDefinition(of: GroupName, definition: AnyDefinition, nodes: readonly string[]): ClusterError | undefined {
  if (definition.mode === 'scalable') return checkScalable(of, definition, nodes)
  const promotable = Object.entries(definition.resources).find(([, resource]) => resource.promotable === true)
  if (promotable !== undefined)
    return wrong(
      `"${promotable[0]}" is promotable, and the group runs on one node only`,
      'use "mode": "scalable", or leave "promotable" out',
    )
  return checkDefinition(definition, nodes) ?? refuseDemotion(definition) ?? refuseDemote(definition.rules ?? [])
}

function checkScalable(of: GroupName, definition: ScalableDefinition, nodes: readonly string[]): ClusterError | undefined {
  const { desired, primary, resources } = definition
  const { mode: _mode, desired: _desired, primary: _primary, ...plain } = definition
  // Rules may be for what goes with the primary.
  const { rules = [], ...others } = plain
  const own = checkDefinition({ ...others, mode: 'failover' }, nodes)
  if (own !== undefined) return own
  if (definition.nodes.includes('primary' as NodeId))
    return wrong('a node is called "primary", as the role of a copy is', 'leave that node out of its list')
  if (definition.storage !== undefined) return wrong('instances on several nodes cannot live on one shared disk', 'leave "storage" out')
  if (definition.isolation === 'dedicated')
    return wrong('instances do not have a monitor of their own', 'leave "isolation" out: they share that of their node')
  const lax = Object.entries(resources).find(([, one]) => one.promotable === true && one.critical === false)
  if (lax !== undefined) return wrong(`"${lax[0]}" is promotable, and not critical`, 'leave "critical" out: without it there is no primary')
  if (!Number.isSafeInteger(desired) || desired < 1 || desired > definition.nodes.length)
    return wrong(`desired is ${desired}`, `stay between 1 and ${definition.nodes.length}, the number of its nodes`)
  const [claim] = claimsOf(resources)
  if (claim !== undefined)
    return wrong(`every instance would hold ${claim}`, 'one node at a time holds an address: put it into "primary": {"resources": …}')
  const varied = Object.keys(resources).find((name) => resources[name as ResourceName]?.perNode !== undefined)
  if (definition.migrate === true && varied !== undefined)
    return wrong(`"${varied}" has other parameters on some nodes`, 'what migrates is the same everywhere: leave perNode out')
  const promotable = Object.keys(resources).filter((name) => resources[name as ResourceName]?.promotable === true)
  if (definition.migrate === true) {
    const problem = whyNoMigration(definition)
    if (problem !== undefined) return problem
  }
  if (promotable.length === 0 && primary !== undefined)
    return wrong(
      '"primary" is given, and no resource is promotable',
      'give the one with two roles "promotable": true, or leave "primary" out',
    )
  if (primary === undefined) return refuseDemotion(definition) ?? checkRules({ ...others, mode: 'failover', rules }) ?? refuseDemote(rules)
  if (definition.onQuorumLoss === 'freeze')
    return wrong(
      'onQuorumLoss is "freeze", and a primary that stands still could not be demoted',
      'use "demote": the copies go on as replicas; or "stop"',
    )
  const twice = Object.keys(primary.resources).find((name) => resources[name as ResourceName] !== undefined)
  if (twice !== undefined) return wrong(`"${twice}" is in "resources" and in "primary"`, 'give each its own name')
  const role = partDefinitions(of, { ...definition, rules: [] }).at(-1)
  const all = { ...others, mode: 'failover' as const, rules, resources: resourcesOf(definition) }
  return (role === undefined ? undefined : checkDefinition(role.definition, nodes)) ?? checkRules(all)
}

/** What is there twice while it is on its way has to bear that. */
function whyNoMigration({ desired, notify, onQuorumLoss, resources }: ScalableDefinition): ClusterError | undefined {
  if (desired !== 1) return wrong(`"migrate" is given, and desired is ${desired}`, 'use "desired": 1: one instance moves')
  if (notify === true) return wrong('"migrate" and "notify" are given, and there are no other copies', 'leave "notify" out')
  if (onQuorumLoss === 'freeze' || onQuorumLoss === 'demote')
    return wrong(`"migrate" is given, and onQuorumLoss is "${onQuorumLoss}"`, 'leave it out: what migrates is stopped')
  const all = Object.entries(resources)
  const unable = all.find(([, one]) => !isMigratable(one))
  if (unable !== undefined)
    return wrong(
      `"${unable[0]}" (${unable[1].type}) cannot go to another node while it runs`,
      'put it into a group of its own; a `command` needs migrateTo and migrateFrom, an OCF agent migrate_to and migrate_from',
    )
  const other = all.find(([, { promotable, files }]) => promotable === true || files !== undefined)
  if (other !== undefined) return wrong(`"${other[0]}" is promotable or has files, and is to migrate`, 'leave that out')
  return undefined
}

/** Whether its agent has the actions is asked where it is checked. */
export function isMigratable({ type, parameters, operations }: ResourceDefinition): boolean {
  if (operations === 'none') return false
  return (
    type.startsWith('ocf:') ||
    (type === 'command' && parameters.run === undefined && parameters.migrateTo !== undefined && parameters.migrateFrom !== undefined)
  )
}

/** Pacemaker's `no-quorum-policy=demote` quietly means `stop` for what has no role; here that is to be said. */
function refuseDemotion({ onQuorumLoss }: Pick<GroupDefinition, 'onQuorumLoss'>): ClusterError | undefined {
  if (onQuorumLoss !== 'demote') return undefined
  return wrong(
    'onQuorumLoss is "demote", and the group has no primary role that could be given up',
    'use "stop", which is what Pacemaker makes of it there; or give the resource with two roles "promotable": true, in a group of "mode": "scalable"',
  )
}

function refuseDemote(rules: readonly FailureRule[]): ClusterError | undefined {
  const at = rules.findIndex(({ action }) => action === 'demote')
  return at < 0 ? undefined : wrong(`rules[${at}] asks for "demote", and nothing of it is promotable`, 'use "restart" or "failover"')
}

function wrong(detail: string, fix: string): ClusterError {
  return new ClusterError('INVALID_DEFINITION', detail, { fix })
}

/** The group that it is a part of; undefined where it is none, or nothing is left of that. */
export function wholeOf(reader: Reader, { part }: GroupRow): ScalableRow | undefined {
  return part === undefined ? undefined : reader.get('scalables', part.of)
}

/** Its parts that are there, in the order of their names. */
export function partRows(reader: Reader, of: GroupName): readonly GroupRow[] {
  const rows: GroupRow[] = []
  for (const [name, row] of reader.rows('groups', `${of}:`)) {
    if (!name.startsWith(`${of}:`)) break
    if (row.part?.of === of) rows.push(row)
  }
  return rows
}

/** People ask things of the whole. Errors: CONFLICT. */
export function refusePart(group: GroupRow, what: string): void {
  if (group.part === undefined) return
  const { of, role } = group.part
  const is = role === 'primary' ? 'the primary role' : 'an instance'
  refuse('CONFLICT', `${group.name} is ${is} of ${of} and is not ${what} by itself`, { fix: `ask it of ${of}` })
}

/** Why another instance is not granted now; undefined where it may be. `ended` is counted as if its token had ended. */
export function whyNoInstance(reader: Reader, group: GroupRow, of: GroupName, ended?: GroupName): string | undefined {
  const row = reader.get('scalables', of)
  if (row === undefined || row.deleting) return `${of} is being deleted`
  const running = partRows(reader, of).filter((other) => other.part?.role === 'instance' && mayStillRun(other))
  const others = running.filter(({ name }) => name !== group.name && name !== ended)
  if (others.length < row.definition.desired || mayBeReadied(row, group, others)) return undefined
  const where = others.map(({ holder }) => holder?.node).join(', ')
  return `${row.definition.desired} of ${of} are wanted, and there are as many (${where})`
}

/** This grant makes ready what a migration waits for. */
export function isReadied({ step, target, to }: Migration, { name, part }: GroupRow): boolean {
  return step === 'asked' && target === null && part !== undefined && name === instanceName(part.of, to)
}

/** Beside the instance that is to be sent there, which runs and is wanted. */
function mayBeReadied(row: ScalableRow, group: GroupRow, others: readonly GroupRow[]): boolean {
  const { migration } = row
  const [source] = others
  if (migration === undefined || !isReadied(migration, group) || others.length !== 1 || source === undefined) return false
  return isOnlinePart(source) && source.holder.token === migration.source
}

/** Why this boot cannot have the primary role; undefined where it can. */
export function whyNoPrimary(reader: Reader, group: GroupRow, of: GroupName, node: NodeId, boot: string): string | undefined {
  const instance = reader.get('groups', instanceName(of, node))
  if (instance === undefined || !mayStillRun(instance) || instance.holder.boot !== boot) return `${of} does not run there`
  const { order, report, pinned, pinnedRevision } = instance.holder
  if (instance.deleting || order.wanted === 'stop') return `${of} is being stopped there`
  if (instance.resourceRestart !== undefined || instance.restartAsked !== null) return `${of} is being restarted there`
  for (const [name, { type, role }] of Object.entries(group.definition.resources)) {
    if (role === undefined) continue
    // Else it would be demoted, and asked, as what it is not yet.
    const isAsDefined =
      pinnedRevision === instance.resourcesRevision ||
      isSameProgramOn(node, pinned.resources[name as ResourceName], group.definition.resources[name as ResourceName])
    if (!isAsDefined) return `${name} does not run there yet as it is defined now`
    const state = report.resources[name as ResourceName]?.state ?? 'STOPPED'
    if (state !== 'ONLINE') return `${name} is ${state} there`
    const score = report.scores?.[name as ResourceName]
    if (score === undefined && type.startsWith('ocf:')) return `the agent of ${name} has not said that it could be the primary there`
    if (score !== undefined && score < 0) return `the agent of ${name} says that it must not be the primary there (score ${score})`
  }
  return undefined
}

/** The sum over what is promotable of what each agent said; 0 where none has. */
export function scoreOf(reader: Reader, group: GroupRow, of: GroupName, node: NodeId): number {
  const scores = reader.get('groups', instanceName(of, node))?.holder?.report.scores ?? {}
  return Object.entries(group.definition.resources).reduce(
    (sum, [name, { role }]) => sum + (role === undefined ? 0 : (scores[name as ResourceName] ?? 0)),
    0,
  )
}

/** As many instances as wanted, and the primary role where there is one. */
export function isUpAsWanted({ definition }: ScalableRow, parts: readonly GroupRow[]): boolean {
  const online = parts.filter(isOnlinePart)
  const instances = online.filter(({ part }) => part?.role === 'instance').length
  const primary = parts.find(({ part }) => part?.role === 'primary')
  return instances >= definition.desired && (primary === undefined || isOnlinePart(primary))
}

export function isOnlinePart(group: GroupRow): group is HeldGroup {
  return mayStillRun(group) && group.holder.report.state === 'ONLINE' && group.holder.order.wanted === 'run'
}
