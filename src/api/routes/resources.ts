/** One resource of a group: its definition, its state where it runs, its failures, its log. */
import { ClusterError, type GroupName, type NodeId, nearestName, parseDuration, type ResourceName } from '../../base/index.js'
import { depthsOf, type GroupRow, type Holder, mayStillRun, type ResourceDefinition } from '../../core/cluster/index.js'
import { logLinesMax, type ResourceLog } from '../../io/agents/index.js'
import { type ActionAnswer, actionGrace, actionTimeoutMax, lookGrace } from '../../node/index.js'
import type { Access } from '../cluster/access.js'
import { change, operate, operationQuery } from '../cluster/changing.js'
import { writtenResource } from '../cluster/definition.js'
import { blockingQuery, read, readQuery, type View } from '../cluster/reading.js'
import type { Answer, Call, Route } from '../http/route.js'
import { resourceActionSchema, resourceProbeSchema, resourceRestartSchema } from '../schemas/index.js'
import { groupOf } from './groups.js'
import { operationAnswers } from './node-verbs.js'
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
    {
      method: 'POST',
      path: '/v1/groups/:group/resources/:resource/restart',
      tag: 'groups',
      summary: 'Stops and starts one resource where it runs, and of what depends on it what its kind of dependency says. It is no failure.',
      query: operationQuery,
      body: resourceRestartSchema,
      answers: operationAnswers,
      handle: (call) => restart(access, call),
    },
    {
      method: 'POST',
      path: '/v1/groups/:group/resources/:resource/probe',
      tag: 'groups',
      summary: 'Probes one resource at once, where its group runs, and answers with what was found. That is judged as by any other probe.',
      query: readQuery,
      body: resourceProbeSchema,
      answers: { 200: '`result` is running, stopped, failed, timed-out, or not-asked where there is nothing to be probed.' },
      handle: (call) => probe(access, call),
    },
    {
      method: 'POST',
      path: '/v1/groups/:group/resources/:resource/actions/:action',
      tag: 'groups',
      summary: 'Runs an action of its agent, or one that its definition names, where its group runs. Each request runs it once more.',
      query: { ...readQuery, dryRun: { kind: 'flag', doc: '`true`: only says where it would be run.' } },
      body: resourceActionSchema,
      answers: { 200: 'How it ended, and the end of what it said (32 KiB of each stream at most).' },
      handle: (call) => act(access, call),
    },
  ]
}

function restart(access: Access, call: Call): Promise<Answer> {
  const { dependents = false } = call.body as { readonly dependents?: boolean }
  const group = (call.params.group ?? '') as GroupName
  const resource = (call.params.resource ?? '') as ResourceName
  const more = dependents ? { dependents: true as const } : {}
  return operate(access, call, (operation) => ({ kind: 'restart-resource', group, resource, operation, ...more }))
}

async function probe(access: Access, call: Call): Promise<Answer> {
  const { deep = false } = call.body as { readonly deep?: boolean }
  const { view, group, holder, resource, definition } = await runningResource(access, call)
  if (deep && definition.probeDeep === undefined)
    throw new ClusterError('CONFLICT', `${group.name}/${resource} has no deep probe`, {
      fix: 'leave "deep" out, or give the resource "probeDeep"',
    })
  const { timeout } = (deep ? depthsOf(definition)[0] : undefined) ?? definition.probe
  const question = { kind: 'look', group: group.name, resource, deep } as const
  const found = (await view.node.ask(holder.node, question, timeout + lookGrace + 2_000)) as Record<string, unknown>
  return { body: { group: group.name, resource, deep, ...found } }
}

async function act(access: Access, call: Call): Promise<Answer> {
  const { timeout: written } = call.body as { readonly timeout?: string | number }
  const action = call.params.action ?? ''
  if (call.headers['idempotency-key'] !== undefined)
    throw new ClusterError('INVALID', 'an action is run each time it is asked for', { fix: 'leave the Idempotency-Key out' })
  const timeout = written === undefined ? null : parseDuration(written)
  if (timeout !== null && (timeout < 100 || timeout > actionTimeoutMax))
    throw new ClusterError('INVALID', `timeout is ${JSON.stringify(written)}`, { fix: 'stay between 100ms and 5m' })
  const { view, group, holder, resource } = await runningResource(access, call)
  const of = { group: group.name, resource, action, node: holder.node }
  if (call.query.flag('dryRun') === true)
    return { body: { dryRun: true, ...of, text: `${action} of ${resource} would be run on ${holder.node}` } }
  const question = { kind: 'act', group: group.name, resource, action, timeout } as const
  const answer = (await view.node.ask(holder.node, question, (timeout ?? actionTimeoutMax) + actionGrace)) as ActionAnswer
  const outcome = answer.outcome === 'exited' ? (answer.code === null ? 'killed by a signal' : `exit ${answer.code}`) : answer.outcome
  // It has been run, whatever comes of the note.
  await change(access, call, { kind: 'note-action', group: group.name, resource, action, node: holder.node, by: call.by, outcome }).catch(
    () => undefined,
  )
  return { body: { ...of, ...answer } }
}

/** Errors: GROUP_NOT_FOUND, RESOURCE_NOT_FOUND, CONFLICT where its group runs nowhere. */
async function runningResource(access: Access, call: Call) {
  const view = await read(access, call)
  const group = groupOf(view.state, call.params.group ?? '')
  const resource = (call.params.resource ?? '') as ResourceName
  const defined = resourceOf(group, resource)
  if (!mayStillRun(group))
    throw new ClusterError('CONFLICT', `group ${group.name} does not run`, { fix: `GET /v1/groups/${group.name}/why` })
  const holder: Holder = group.holder
  return { view, group, holder, resource, definition: holder.pinned.resources[resource] ?? defined }
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
