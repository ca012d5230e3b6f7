/** What `decideGroup` is told of a group's failures. What is as usual is left out: an input is kept with each decision. */
import type { LogTime, ResourceName } from '../../base/index.js'
import {
  dependenciesOf,
  effectiveRules,
  type FailoverLimit,
  type Failure,
  forgottenAt,
  type GroupRow,
  type Holder,
  matchingRule,
  type NamedRule,
  type Reader,
  type ReportedFailure,
  softRules,
  uncriticalOf,
  whyNotFenceable,
} from '../cluster/index.js'
import type { GroupInput, HolderInput } from './verdict.js'

export function rulesOf(group: GroupRow, resources: GroupRow['definition']['resources']): readonly NamedRule[] {
  const { failoverMode, onStopFailure, rules } = group.definition
  const uncritical = uncriticalOf(resources)
  const isUsual = failoverMode === undefined && onStopFailure === undefined && rules === undefined && uncritical.length === 0
  return isUsual ? softRules : effectiveRules(group.definition, uncritical)
}

export function policyInput(
  group: GroupRow,
  holder: Holder | null,
  at: LogTime,
): Pick<GroupInput, 'rules' | 'pingpongInterval' | 'failovers'> {
  const rules = rulesOf(group, holder?.pinned.resources ?? group.definition.resources)
  const { pingpongInterval, failover } = group.definition
  return {
    ...(rules === softRules ? {} : { rules }),
    ...(pingpongInterval === undefined ? {} : { pingpongInterval }),
    ...(failover === undefined
      ? {}
      : { failovers: { ...failover, recent: failoversAt(group, failover, holder === null ? at : failedAt(group, holder, at)) } }),
  }
}

function failoversAt({ failovers = [] }: GroupRow, { window }: FailoverLimit, at: number): number {
  return failovers.filter((one) => one > at - window).length
}

/** When the failure that is judged was told: what follows does not change while nobody acts and time goes by. */
function failedAt(group: GroupRow, holder: Holder, at: LogTime): LogTime {
  const resource = failureToJudge(group, holder)?.resource
  return (group.failures[holder.node] ?? []).findLast((one) => one.resource === resource)?.at ?? at
}

/** Of several that wait for an answer, the first that is not left as it is. */
export function failureToJudge(group: GroupRow, holder: Holder): ReportedFailure | null {
  const { failure, others = [] } = holder.report
  if (failure === null || others.length === 0) return failure
  const rules = rulesOf(group, holder.pinned.resources)
  return [failure, ...others].find(({ resource }) => !isLeft(group, holder, rules, resource)) ?? failure
}

/** What its holder can be asked to restart. */
export function restartInput(group: GroupRow, holder: Holder): Pick<HolderInput, 'restartsDependents'> {
  const asks = rulesOf(group, holder.pinned.resources).some(({ action }) => action === 'restartDependents')
  return asks ? { restartsDependents: true } : {}
}

/** Failures of the failed resource on the holder's node, and what is allowed. */
export function failureInput(
  group: GroupRow,
  holder: Holder,
  failure: ReportedFailure | null,
): Pick<HolderInput, 'failuresInWindow' | 'restartMax' | 'failedAt' | 'restartDelay' | 'cleared' | 'heldUp'> {
  if (failure === null) return { failuresInWindow: 0, restartMax: 0 }
  const restart = holder.pinned.resources[failure.resource]?.restart
  const failures = (group.failures[holder.node] ?? []).filter((one) => one.resource === failure.resource)
  const last = failures.at(-1)
  const heldUp = resourcesHeldUp(group, holder, failure.resource)
  return {
    failuresInWindow: countOf(group, holder, failure.resource),
    restartMax: restart?.max ?? 0,
    ...((restart?.delay ?? heldUp[0]) === undefined || last === undefined ? {} : { failedAt: last.at }),
    ...(restart?.delay === undefined ? {} : { restartDelay: restart.delay }),
    ...(last === undefined ? { cleared: true } : {}),
    ...(heldUp.length === 0 ? {} : { heldUp }),
  }
}

/** As it was when the resource failed last: what follows does not change while nobody acts and time goes by. */
function countOf(group: GroupRow, holder: Holder, resource: ResourceName): number {
  const failures = (group.failures[holder.node] ?? []).filter((one) => one.resource === resource)
  const at = failures.at(-1)?.at
  return at === undefined ? 0 : failures.filter((one) => forgottenAt(group, one, at) > at).length
}

/**
 * While a failure of something critical is not answered, the monitor starts nothing in this group. Where that one is left as
 * it is, these wait for it: what is down, does not need it, and is not itself left so.
 */
function resourcesHeldUp(group: GroupRow, holder: Holder, failed: ResourceName): readonly ResourceName[] {
  const { resources } = holder.report
  const names = Object.keys(holder.pinned.resources) as ResourceName[]
  const stateOf = (name: ResourceName) => resources[name]?.state
  if (holder.pinned.resources[failed]?.critical === false) return []
  if (holder.report.state !== 'FAILED' || names.some((name) => ['STARTING', 'STOPPING', 'UNKNOWN'].includes(stateOf(name) ?? ''))) return []
  const rules = rulesOf(group, holder.pinned.resources)
  const left = names.filter((name) => name === failed || (stateOf(name) === 'FAILED' && isLeft(group, holder, rules, name)))
  const without = new Set<ResourceName>()
  for (const name of names) if (needsAnyOf(holder, name, left)) without.add(name)
  return names.filter((name) => !without.has(name) && (stateOf(name) === 'FAILED' || stateOf(name) === 'STOPPED')).sort()
}

/** Judged before, and to be left as it is. */
function isLeft(group: GroupRow, holder: Holder, rules: readonly NamedRule[], resource: ResourceName): boolean {
  const last = (group.failures[holder.node] ?? []).findLast((one) => one.resource === resource)
  if (last === undefined) return false
  const restartMax = holder.pinned.resources[resource]?.restart.max ?? 0
  const { event, severity } = last
  const count = countOf(group, holder, resource)
  const rule = matchingRule(rules, { event, resource, count, restartMax, ...(severity === undefined ? {} : { severity }) })
  return rule?.action === 'log' || rule?.action === 'ignore' || (isUsedUp(group, last.at) && leadsElsewhere(rule, last, count > restartMax))
}

/** As `judgeFailure` has it: a demotion that is in vain is a failover. */
function leadsElsewhere(rule: NamedRule | undefined, { event, severity }: Failure, isOften: boolean): boolean {
  if (rule?.action === 'demote') return event.startsWith('start-') || severity !== undefined || isOften
  return rule?.action === 'failover' && severity !== 'fatal'
}

/** There were as many failovers as may be, and the group goes on without what has failed. */
function isUsedUp(group: GroupRow, at: LogTime): boolean {
  const { failover } = group.definition
  if (failover?.onExhausted !== 'runDegraded' || failover.max === 0) return false
  return failoversAt(group, failover, at) >= failover.max
}

function needsAnyOf(holder: Holder, name: ResourceName, left: readonly ResourceName[]): boolean {
  const definition = holder.pinned.resources[name]
  const needs = definition === undefined ? [] : dependenciesOf(definition).filter(({ kind }) => kind !== 'weak')
  return left.includes(name) || needs.some(({ resource }) => needsAnyOf(holder, resource, left))
}

export function fenceObstacle(reader: Reader, group: GroupRow, holder: Holder): Pick<HolderInput, 'fenceObstacle' | 'evicted'> {
  const evicted = reader.get('nodes', holder.node)?.evicted?.group
  if (evicted === undefined && !rulesOf(group, holder.pinned.resources).some((rule) => rule.action === 'fence')) return {}
  const obstacle = whyNotFenceable(reader, holder.node)
  return { ...(evicted === undefined ? {} : { evicted }), ...(obstacle === undefined ? {} : { fenceObstacle: obstacle }) }
}
