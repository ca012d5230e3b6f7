/** Whether a definition holds together: names, nodes, dependencies, bounds. What its resource types think of their parameters is asked elsewhere. */
import { ClusterError, isName, nearestName } from '../../base/index.js'
import { checkBounds } from './bounds.js'
import { filesProblem } from './checkpoints.js'
import { claimsOf, dependencyRing, type GroupDefinition, quorumLossPolicies } from './definition.js'
import { dependenciesOf, dependencyKinds } from './dependencies.js'
import { failureActions, failureEvents, followsStop, isStopFailure, restartDelayMax } from './failure-policy.js'

const resourcesMax = 100
const rulesMax = 100
const durationMax = 86_400_000

/** The first problem, with its fix; undefined when there is none. */
export function checkDefinition(definition: GroupDefinition, nodes: readonly string[]): ClusterError | undefined {
  if (definition.nodes.length === 0) return wrong('the group has no nodes', 'list at least one node in "nodes", the preferred one first')
  for (const [at, node] of definition.nodes.entries()) {
    if (!nodes.includes(node)) {
      const nearest = nearestName(node, nodes)
      return new ClusterError('UNKNOWN_NODE', `the cluster has no node "${node}"`, {
        fix: nearest === undefined ? `its nodes are ${nodes.join(', ')}` : `did you mean "${nearest}"? its nodes are ${nodes.join(', ')}`,
      })
    }
    if (definition.nodes.indexOf(node) !== at) return wrong(`node "${node}" is listed twice`, 'list each node once')
  }
  const names = Object.keys(definition.resources)
  if (names.length === 0) return wrong('the group has no resources', 'give it at least one in "resources"')
  if (names.length > resourcesMax) return wrong(`the group has ${names.length} resources`, `keep to ${resourcesMax} at most`)
  for (const [name, resource] of Object.entries(definition.resources)) {
    if (!isName(name))
      return new ClusterError('INVALID_NAME', `"${name.slice(0, 80)}" cannot name a resource`, {
        fix: 'use letters, digits, dots, dashes or underscores',
      })
    const needs = dependenciesOf(resource)
    for (const [at, { resource: needed, kind }] of needs.entries()) {
      if (!dependencyKinds.includes(kind))
        return wrong(`resource "${name}" depends on "${needed}" in the way "${kind}"`, `use ${dependencyKinds.join(', ')}`)
      if (needs.findIndex((other) => other.resource === needed) !== at)
        return wrong(`resource "${name}" depends on "${needed}" twice`, 'list each once, with one kind')
      if (names.includes(needed)) continue
      const nearest = nearestName(needed, names)
      return wrong(
        `resource "${name}" depends on "${needed}", which the group does not have`,
        nearest === undefined ? `its resources are ${names.join(', ')}` : `did you mean "${nearest}"?`,
      )
    }
    for (const node of Object.keys(resource.perNode ?? {})) {
      if (definition.nodes.includes(node as never)) continue
      const nearest = nearestName(node, definition.nodes)
      return wrong(
        `resource "${name}" has parameters for "${node}", which is no node of the group`,
        nearest === undefined ? `its nodes are ${definition.nodes.join(', ')}` : `did you mean "${nearest}"?`,
      )
    }
    const files = filesProblem(resource.files ?? [])
    if (files !== undefined) return wrong(`resource "${name}": ${files}`, 'name files that the service itself writes')
    const outOfBounds = checkBounds(name, resource)
    if (outOfBounds !== undefined) return outOfBounds
    const times: readonly (readonly [string, number])[] = [
      ['probe.interval', resource.probe.interval],
      ['probe.timeout', resource.probe.timeout],
      ['start.timeout', resource.start.timeout],
      ['stop.timeout', resource.stop.timeout],
    ]
    for (const [key, value] of times) {
      if (!Number.isSafeInteger(value) || value < 50 || value > durationMax)
        return wrong(`resource "${name}": ${key} is ${value} ms`, 'stay between 50ms and 24h')
    }
    if (!Number.isSafeInteger(resource.restart.max) || resource.restart.max < 0 || resource.restart.max > 1_000) {
      return wrong(`resource "${name}": restart.max is ${resource.restart.max}`, 'stay between 0 and 1000')
    }
    if (!Number.isSafeInteger(resource.restart.window) || resource.restart.window < 1_000 || resource.restart.window > 7 * durationMax) {
      return wrong(`resource "${name}": restart.window is ${resource.restart.window} ms`, 'stay between 1s and 7d')
    }
    const { delay = 0 } = resource.restart
    if (!Number.isSafeInteger(delay) || delay < 0 || delay > restartDelayMax)
      return wrong(`resource "${name}": restart.delay is ${delay} ms`, 'stay between 0ms and 1m')
  }
  const { onQuorumLoss } = definition
  if (onQuorumLoss !== undefined && !quorumLossPolicies.includes(onQuorumLoss))
    return wrong(`onQuorumLoss is "${onQuorumLoss}"`, `use one of stop, ${quorumLossPolicies.join(', ')}`)
  const policy = checkPolicy(definition) ?? checkRules(definition)
  if (policy !== undefined) return policy
  const ring = dependencyRing(definition.resources)
  if (ring !== undefined)
    return new ClusterError('DEPENDENCY_RING', `the dependencies form a ring: ${ring.join(' → ')}`, {
      fix: `take one of these out of "dependsOn"`,
      facts: { ring },
    })
  const claims = claimsOf(definition.resources)
  const twice = claims.find((claim, at) => claims.indexOf(claim) !== at)
  if (twice !== undefined) return wrong(`two resources of the group use ${twice}`, 'give each its own')
  return undefined
}

/** Those that follow failures, and the resources that they name. */
export function checkRules({ rules = [], resources }: GroupDefinition): ClusterError | undefined {
  const names = Object.keys(resources)
  if (rules.length > rulesMax) return wrong(`the group has ${rules.length} rules`, `keep to ${rulesMax} at most`)
  for (const [at, { event, resource, countAtLeast = 1, action }] of rules.entries()) {
    if (event !== 'any' && !failureEvents.includes(event))
      return wrong(`rules[${at}] is for "${event}"`, `use any or ${failureEvents.join(', ')}`)
    if (!failureActions.includes(action)) return wrong(`rules[${at}] asks for "${action}"`, `use ${failureActions.join(', ')}`)
    if (isStopFailure(event) && !followsStop(action))
      return wrong(`rules[${at}]: "${action}" cannot follow a stop that failed`, 'use block, fence, log or ignore')
    if (!Number.isSafeInteger(countAtLeast) || countAtLeast < 1 || countAtLeast > 1_000)
      return wrong(`rules[${at}].countAtLeast is ${countAtLeast}`, 'stay between 1 and 1000')
    if (resource !== undefined && !names.includes(resource)) {
      const nearest = nearestName(resource, names)
      return wrong(
        `rules[${at}] is for "${resource}", which the group does not have`,
        nearest === undefined ? `its resources are ${names.join(', ')}` : `did you mean "${nearest}"?`,
      )
    }
  }
  return undefined
}

function checkPolicy({ stableAfter, pingpongInterval, failover, offlineProbe }: GroupDefinition) {
  const { interval = 0 } = offlineProbe ?? {}
  if (interval !== 0 && (!Number.isSafeInteger(interval) || interval < 1_000 || interval > durationMax))
    return wrong(`offlineProbe.interval is ${interval} ms`, 'stay between 1s and 24h; 0 is never')
  const times: readonly (readonly [string, number | undefined])[] = [
    ['stableAfter', stableAfter],
    ['pingpongInterval', pingpongInterval],
    ['failover.window', failover?.window],
  ]
  for (const [key, value] of times) {
    if (value !== undefined && (!Number.isSafeInteger(value) || value < 1_000 || value > 7 * durationMax))
      return wrong(`${key} is ${value} ms`, 'stay between 1s and 7d')
  }
  if (failover !== undefined && (!Number.isSafeInteger(failover.max) || failover.max < 0 || failover.max > 1_000))
    return wrong(`failover.max is ${failover.max}`, 'stay between 0 and 1000; 0 is no limit')
  return undefined
}

function wrong(detail: string, fix: string): ClusterError {
  return new ClusterError('INVALID_DEFINITION', detail, { fix })
}
