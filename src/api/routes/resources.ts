/** One resource of a group: its definition, its state where it runs, its failures, its log. */
import { ClusterError, type NodeId, nearestName, type ResourceName } from '../../base/index.js'
import { type GroupRow, mayStillRun, type ResourceDefinition } from '../../core/cluster/index.js'
import { logLinesMax, type ResourceLog } from '../../io/agents/index.js'
import type { Access } from '../cluster/access.js'
import { writtenResource } from '../cluster/definition.js'
import { blockingQuery, read, readQuery, type View } from '../cluster/reading.js'
import type { Call, Route } from '../http/route.js'
import { groupOf } from './groups.js'
import { nodeOf } from './nodes.js'

const linesUnlessGiven = 100

export function resourceRoutes(access: Access): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/groups/:group/resources/:resource',
      tag: 'groups',
      summary: 'One resource: definition, state, failures that count.',
      query: blockingQuery,
      answers: { 200: 'The resource.' },
      handle: async (call) => {
        const key = call.params.group ?? ''
        const view = await read(access, call, { relevant: { tables: ['boots'], row: { table: 'groups', key } } })
        return { body: { ...view.age, ...present(view, groupOf(view.state, key), call.params.resource ?? '') } }
      },
    },
    {
      method: 'GET',
      path: '/v1/groups/:group/resources/:resource/log',
      tag: 'groups',
      summary: 'What the service wrote last, and what stops and bad probes of it said.',
      query: {
        ...readQuery,
        lines: { kind: 'integer', min: 1, max: logLinesMax, doc: `How many lines of each; ${linesUnlessGiven} unless given.` },
        node: { kind: 'text', doc: 'The node whose log is wanted; where the group runs, or ran last, unless given.' },
      },
      answers: { 200: 'The lines, oldest first.' },
      handle: async (call) => ({ body: await logOf(access, call) }),
    },
  ]
}

/** Errors: RESOURCE_NOT_FOUND, NODE_NOT_FOUND, LOG_NOT_FOUND, and what the nodes that were asked refuse with. */
async function logOf(access: Access, call: Call): Promise<Record<string, unknown>> {
  const view = await read(access, call)
  const group = groupOf(view.state, call.params.group ?? '')
  const resource = call.params.resource as ResourceName
  resourceOf(group, resource)
  const wanted = call.query.text('node')
  const asked = wanted === undefined ? placesOf(group) : [nodeOf(view.state, wanted).name]
  const lines = call.query.number('lines') ?? linesUnlessGiven
  const question = { kind: 'log', group: group.name, resource, lines } as const
  const answers = await Promise.allSettled(asked.map((node) => view.node.ask(node, question) as Promise<ResourceLog | null>))
  const at = answers.findIndex((answer) => answer.status === 'fulfilled' && answer.value !== null)
  const found = answers[at]
  if (found?.status === 'fulfilled' && found.value !== null)
    return { ...view.age, group: group.name, resource, node: asked[at], lines: found.value.service, actions: found.value.actions }
  const refused = answers.find((answer) => answer.status === 'rejected')
  if (refused !== undefined) throw refused.reason
  throw new ClusterError('LOG_NOT_FOUND', `nothing of ${group.name}/${resource} was ever written on ${asked.join(', ')}`, {
    fix: 'name another node with ?node=, or wait until the group has run; checks and addresses write nothing',
  })
}

/** Where it may run, else where it ran last and could have run before. */
function placesOf(group: GroupRow): readonly NodeId[] {
  if (mayStillRun(group)) return [group.holder.node]
  return [...new Set([...(group.lastNode === null ? [] : [group.lastNode]), ...group.definition.nodes])]
}

/** Errors: RESOURCE_NOT_FOUND. */
function resourceOf(group: GroupRow, name: string): ResourceDefinition {
  const known = Object.keys(group.definition.resources)
  const definition = known.includes(name) ? group.definition.resources[name as ResourceName] : undefined
  if (definition !== undefined) return definition
  const nearest = nearestName(name, known)
  throw new ClusterError('RESOURCE_NOT_FOUND', `group ${group.name} has no resource "${name.slice(0, 80)}"`, {
    fix: nearest === undefined ? `its resources are ${known.join(', ')}` : `did you mean "${nearest}"?`,
  })
}

function present(view: View, group: GroupRow, name: string): Record<string, unknown> {
  const definition = resourceOf(group, name)
  const holder = mayStillRun(group) ? group.holder : undefined
  const reported = holder?.report.resources[name as never]
  // This node's own monitor knows a little earlier than the log.
  const local = holder?.node === view.node.status.node ? view.node.agentReports.reportOf(group.name)?.resources[name as never] : undefined
  const seen = local ?? reported
  return {
    name,
    group: group.name,
    node: holder?.node ?? null,
    state: seen?.state ?? 'STOPPED',
    detail: seen?.detail ?? null,
    definition: writtenResource(definition),
    failures: Object.fromEntries(
      Object.entries(group.failures).map(([node, failures]) => [node, failures.filter((failure) => failure.resource === name)]),
    ),
  }
}
