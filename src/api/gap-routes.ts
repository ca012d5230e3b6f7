/** The routes. */
import { PassThrough } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type CaseId, ClusterError, effectiveSettings, type GroupName, type NodeId, parseDuration, type Token } from '../base/index.js'
import {
  type Command,
  type EventRow,
  type Fencing,
  type GroupRow,
  groupsOf,
  journalKey,
  metaOf,
  nodesOf,
  type StoreOperation,
} from '../core/cluster/index.js'
import { decideGroup, groupInput, table } from '../core/planner/index.js'
import type { Access } from './access.js'
import { type Query, queryDuration, queryFlag, queryNumber } from './body.js'
import { asGroup, normalise } from './definition.js'
import { attention, groupFull, groupState, groupSummary, nodeFull, nodeSummary } from './present.js'
import * as schemas from './schemas.js'
import type { Route, RouteTable } from './table.js'

type Params = { readonly [name: string]: string }
const params = (request: FastifyRequest): Params => request.params as Params

export function routes(access: Access): RouteTable {
  return [...liveRoutes(access), ...nodeRoutes(access), ...groupRoutes(access), ...otherRoutes(access)]
}

function liveRoutes(access: Access): Route[] {
  const shown = async (query: Query): Promise<Record<string, unknown>> => {
    const { state, quorate } = await access.stateAnyway(query)
    const { node, daemon } = access
    const { status } = node
    const seen = node.detectorReport()
    const missing = seen.filter((report) => report.stage === 'CONDEMNED' || report.stage === 'JOINING').map((report) => report.node)
    const insecure = daemon.config.api.listen !== undefined
    return {
      name: metaOf(state).clusterName,
      formed: true,
      answeredBy: status.node,
      leader: status.leader ?? null,
      term: status.term,
      quorate,
      insecure,
      ...(quorate ? {} : access.age()),
      nodes: nodesOf(state).map((row) => nodeSummary(state, row, seen, status.node)),
      groups: groupsOf(state).map(groupSummary),
      attention: attention(state, { quorate, insecure, guardian: status.guardian, self: status.node, missing }),
      turnedAway: daemon.turnedAway,
    }
  }
  return [
    { method: 'GET', path: '/livez', summary: 'The process lives.', handle: async () => ({ live: true }) },
    {
      method: 'GET',
      path: '/readyz',
      summary: 'This node is part of a quorate cluster.',
      handle: async () => {
        if (!access.node.status.quorate) throw new ClusterError('NO_QUORUM', 'no leader is known', { fix: 'GET /v1/status' })
        return { ready: true }
      },
    },
    {
      method: 'GET',
      path: '/v1/status',
      summary: 'Name, leader, nodes, groups and what needs a person. Answers without a quorum too.',
      query: ['index', 'wait'],
      handle: async (request) => {
        const query = access.query(request, 'index', 'wait')
        if (access.daemon.node === undefined)
          return { formed: false, quorate: false, waitingFor: access.daemon.waitingFor, turnedAway: access.daemon.turnedAway }
        await access.blocking(query)
        return shown(query)
      },
    },
    {
      method: 'GET',
      path: '/v1/attention',
      summary: 'What needs a person, each with the next step.',
      handle: async (request) => ({ attention: (await shown(access.query(request))).attention }),
    },
    {
      method: 'GET',
      path: '/v1/settings',
      summary: 'Every setting in force.',
      handle: async (request) => {
        const state = await access.state(access.query(request))
        const chosen = state.get('settings', 'cluster') ?? {}
        return { settings: effectiveSettings(chosen), chosen }
      },
    },
    {
      method: 'PATCH',
      path: '/v1/settings',
      summary: 'Changes settings; null returns one to its profile.',
      body: schemas.settingsSchema,
      query: ['dryRun'],
      handle: async (request) => {
        const query = access.query(request, 'dryRun')
        await access.change(request, query, { kind: 'patch-settings', patch: access.body(request, schemas.settingsSchema) })
        return { settings: access.node.settings }
      },
    },
    {
      method: 'GET',
      path: '/v1/links',
      summary: 'Who hears whom, as this node sees it.',
      handle: async () => ({ observer: access.node.status.node, nodes: access.node.detectorReport() }),
    },
    {
      method: 'POST',
      path: '/v1/leader/transfer',
      summary: 'Hands the lead to another voter.',
      body: schemas.transferSchema,
      handle: async (request) => {
        const { to } = access.body<{ to: NodeId }>(request, schemas.transferSchema)
        const state = await access.state({})
        if (state.get('nodes', to) === undefined) throw new ClusterError('UNKNOWN_NODE', `the cluster has no node "${to}"`)
        const { leader } = access.node.status
        if (leader === undefined) throw new ClusterError('NO_LEADER', 'there is no leader at the moment')
        if (leader !== to) await access.node.ask(leader, { kind: 'transfer-lead', to })
        return { to }
      },
    },
  ]
}

function nodeRoutes(access: Access): Route[] {
  const find = async (request: FastifyRequest, query: Query) => {
    const { state } = await access.stateAnyway(query)
    const name = params(request).node ?? ''
    const row = state.get('nodes', name)
    if (row === undefined)
      throw new ClusterError('NODE_NOT_FOUND', `the cluster has no node "${name}"`, {
        fix: `its nodes are ${nodesOf(state)
          .map((node) => node.name)
          .join(', ')}`,
      })
    return { state, row }
  }
  const duty = (verb: string, duty: 'active' | 'standby' | 'draining', summary: string): Route => ({
    method: 'POST',
    path: `/v1/nodes/:node/${verb}`,
    summary,
    query: ['wait', 'dryRun'],
    handle: async (request, reply) => {
      const query = access.query(request, 'wait', 'dryRun')
      access.body(request, schemas.emptySchema)
      const { row } = await find(request, query)
      if (duty === 'active') return access.change(request, query, { kind: 'set-duty', node: row.name, duty, operation: null })
      return access.operation(request, reply, query, (operation) => ({ kind: 'set-duty', node: row.name, duty, operation }))
    },
  })
  return [
    {
      method: 'GET',
      path: '/v1/nodes',
      summary: 'All nodes. Answers without a quorum too.',
      query: ['index', 'wait'],
      handle: async (request) => {
        const query = access.query(request, 'index', 'wait')
        await access.blocking(query)
        const { state, quorate } = await access.stateAnyway(query)
        const seen = access.node.detectorReport()
        return {
          quorate,
          ...(quorate ? {} : access.age()),
          nodes: nodesOf(state).map((row) => nodeSummary(state, row, seen, access.node.status.node)),
        }
      },
    },
    {
      method: 'GET',
      path: '/v1/nodes/:node',
      summary: 'One node.',
      handle: async (request, reply) => {
        const { state, row } = await find(request, access.query(request))
        reply.header('etag', `"${row.revision}"`)
        return nodeFull(state, row, access.node.detectorReport(), access.node.status.node)
      },
    },
    {
      method: 'PATCH',
      path: '/v1/nodes/:node',
      summary: 'Changes fencing or attributes.',
      body: schemas.nodePatchSchema,
      query: ['dryRun'],
      handle: async (request) => {
        const query = access.query(request, 'dryRun')
        const patch = access.body<{ fencing?: RawFencing; attributes?: Record<string, string> }>(request, schemas.nodePatchSchema)
        const { row } = await find(request, query)
        const fencing = patch.fencing === undefined ? {} : { fencing: fencingOf(patch.fencing) }
        const attributes = patch.attributes === undefined ? {} : { attributes: patch.attributes }
        return access.change(request, query, {
          kind: 'patch-node',
          node: row.name,
          ...fencing,
          ...attributes,
          precondition: access.precondition(request),
        })
      },
    },
    {
      method: 'GET',
      path: '/v1/nodes/:node/detector',
      summary: 'How this node hears that one.',
      handle: async (request) => {
        const { row } = await find(request, access.query(request))
        return {
          node: row.name,
          observer: access.node.status.node,
          ...access.node.detectorReport().find((report) => report.node === row.name),
        }
      },
    },
    duty('standby', 'standby', 'Its groups leave it, and it hosts nothing until activated.'),
    duty('drain', 'draining', 'Its groups leave it; then it stands by.'),
    duty('activate', 'active', 'It may host groups again.'),
    {
      method: 'POST',
      path: '/v1/nodes/:node/clear',
      summary: 'Forgets failures there; never a grant, a case or a due fencing.',
      query: ['dryRun'],
      handle: async (request) => {
        const query = access.query(request, 'dryRun')
        const { row } = await find(request, query)
        return access.change(request, query, { kind: 'clear-node', node: row.name })
      },
    },
    {
      method: 'POST',
      path: '/v1/nodes/:node/fence',
      summary: 'Has the node fenced. Its name is typed again in the body.',
      body: schemas.fenceSchema,
      query: ['wait', 'dryRun'],
      handle: async (request, reply) => {
        const query = access.query(request, 'wait', 'dryRun')
        const { node, reason } = access.body<{ node: string; reason: string }>(request, schemas.fenceSchema)
        const { row } = await find(request, query)
        if (node !== row.name)
          throw new ClusterError('INVALID', `the path names ${row.name}, the body "${node}"`, {
            fix: `{"node":"${row.name}","reason":"…"}`,
          })
        if (row.fencing.levels.length === 0)
          throw new ClusterError('CONFLICT', `${row.name} has no fence device`, { fix: `PATCH /v1/nodes/${row.name} with "fencing" first` })
        return access.operation(request, reply, query, (operation) => ({
          kind: 'start-operation',
          operation,
          operationKind: 'fence',
          subject: row.name,
          detail: `a person: ${reason}`,
        }))
      },
    },
  ]
}

interface RawFencing {
  readonly levels: readonly (readonly {
    readonly agent: string
    readonly parameters?: Readonly<Record<string, string | number | boolean>>
    readonly timeout?: string | number
  }[])[]
  readonly then?: 'on' | 'stay-off'
}

function fencingOf(raw: RawFencing): Fencing {
  const levels = raw.levels.map((level) =>
    level.map((device) => ({
      agent: device.agent,
      parameters: Object.fromEntries(Object.entries(device.parameters ?? {}).map(([name, value]) => [name, String(value)])),
      timeout: device.timeout === undefined ? 20_000 : parseDuration(device.timeout),
    })),
  )
  return { levels, then: raw.then ?? 'on' }
}

function groupRoutes(access: Access): Route[] {
  const find = async (request: FastifyRequest, query: Query): Promise<GroupRow> => {
    const state = await access.state(query)
    const name = params(request).group ?? ''
    const row = state.get('groups', name)
    if (row === undefined) throw new ClusterError('GROUP_NOT_FOUND', `there is no group "${name}"`, { fix: 'GET /v1/groups lists them' })
    return row
  }
  const verb = (
    name: string,
    summary: string,
    schema: typeof schemas.emptySchema,
    make: (group: GroupName, body: never, operation: string) => Command,
  ): Route => ({
    method: 'POST',
    path: `/v1/groups/:group/${name}`,
    summary,
    body: schema,
    query: ['wait', 'dryRun'],
    handle: async (request, reply) => {
      const query = access.query(request, 'wait', 'dryRun')
      const body = access.body<never>(request, schema)
      const group = asGroup(params(request).group ?? '')
      return access.operation(request, reply, query, (operation) => make(group, body, operation))
    },
  })
  const now = (
    name: string,
    summary: string,
    schema: typeof schemas.emptySchema,
    make: (group: GroupName, body: never) => Command,
  ): Route => ({
    method: 'POST',
    path: `/v1/groups/:group/${name}`,
    summary,
    body: schema,
    query: ['dryRun'],
    handle: async (request) => {
      const query = access.query(request, 'dryRun')
      const body = access.body<never>(request, schema)
      return access.change(request, query, make(asGroup(params(request).group ?? ''), body))
    },
  })
  const view = async (query: Query) => {
    const state = await access.state(query)
    return { state, at: metaOf(state).logTime, liveness: await access.liveness() }
  }
  return [
    {
      method: 'GET',
      path: '/v1/groups',
      summary: 'All groups.',
      query: ['index', 'wait'],
      handle: async (request) => {
        const query = access.query(request, 'index', 'wait')
        await access.blocking(query)
        return { groups: groupsOf(await access.state(query)).map(groupSummary) }
      },
    },
    {
      method: 'GET',
      path: '/v1/groups/:group',
      summary: 'One group, whole; waits with ?until=ONLINE&wait=30s.',
      query: ['index', 'wait', 'until'],
      handle: async (request, reply) => {
        const query = access.query(request, 'index', 'wait', 'until')
        const { until } = query
        if (until !== undefined && !(until in schemas.groupStates))
          throw new ClusterError('INVALID_QUERY', `until=${until.slice(0, 40)}`, {
            fix: `use one of ${Object.keys(schemas.groupStates).join(', ')}`,
          })
        await find(request, query)
        const name = params(request).group ?? ''
        if (until === undefined) await access.blocking(query)
        else
          await access.until(
            () => {
              const row = access.node.state.get('groups', name)
              return row !== undefined && groupState(row) === until
            },
            queryDuration(query, 'wait', 300_000) || 30_000,
          )
        const row = await find(request, query)
        reply.header('etag', `"${row.revision}"`)
        return groupFull(row)
      },
    },
    {
      method: 'PUT',
      path: '/v1/groups/:group',
      summary: 'Defines or replaces a group.',
      body: schemas.groupSchema,
      query: ['dryRun'],
      handle: async (request, reply) => {
        const query = access.query(request, 'dryRun')
        const raw = access.body<{ intent?: 'ONLINE' | 'OFFLINE' }>(request, schemas.groupSchema)
        const group = asGroup(params(request).group ?? '')
        const definition = normalise(raw as never)
        const value = await access.change(request, query, {
          kind: 'put-group',
          group,
          definition,
          intent: raw.intent ?? null,
          precondition: access.precondition(request),
        })
        if (value.created === true) reply.code(201)
        if (value.revision !== undefined) reply.header('etag', `"${value.revision}"`)
        return value
      },
    },
    {
      method: 'DELETE',
      path: '/v1/groups/:group',
      summary: 'Stops the group everywhere, then forgets it.',
      query: ['wait', 'dryRun'],
      handle: async (request, reply) => {
        const query = access.query(request, 'wait', 'dryRun')
        const group = asGroup(params(request).group ?? '')
        return access.operation(request, reply, query, (operation) => ({
          kind: 'delete-group',
          group,
          operation,
          precondition: access.precondition(request),
        }))
      },
    },
    verb('online', 'Has it run.', schemas.emptySchema, (group, _body, operation) => ({
      kind: 'set-intent',
      group,
      intent: 'ONLINE',
      operation,
    })),
    verb('offline', 'Has it stop.', schemas.emptySchema, (group, _body, operation) => ({
      kind: 'set-intent',
      group,
      intent: 'OFFLINE',
      operation,
    })),
    verb('move', 'Moves it to a node.', schemas.moveSchema, (group, body: { to: NodeId }, operation) => ({
      kind: 'move-group',
      group,
      to: body.to,
      operation,
    })),
    verb('restart', 'Stops and starts it where it is.', schemas.emptySchema, (group, _body, operation) => ({
      kind: 'restart-group',
      group,
      operation,
    })),
    now('freeze', 'Leaves it alone for a time.', schemas.freezeSchema, (group, body: { for: string; owner: string; reason: string }) => ({
      kind: 'freeze-group',
      group,
      forMs: parseDuration(body.for),
      owner: body.owner,
      reason: body.reason,
    })),
    now('unfreeze', 'Ends a freeze.', schemas.emptySchema, (group) => ({ kind: 'unfreeze-group', group })),
    now('clear', 'Forgets its failures and bans.', schemas.emptySchema, (group) => ({ kind: 'clear-group', group })),
    {
      method: 'GET',
      path: '/v1/groups/:group/why',
      summary: 'Why it is where it is.',
      handle: async (request) => {
        const query = access.query(request)
        const row = await find(request, query)
        const seen = await view(query)
        const input = groupInput(seen, row)
        const decisions = [...seen.state.rows('decisions')]
          .map(([, decision]) => decision)
          .filter((decision) => decision.group === row.name)
        const last = decisions.findLast((decision) => decision.action !== 'wait')
        return {
          group: row.name,
          state: groupState(row),
          why: row.waitingFor ?? last?.text ?? 'nothing has been decided about it yet',
          lastDecision: last ?? null,
          next: decideGroup(input)?.text ?? null,
          candidates: table(input),
        }
      },
    },
    {
      method: 'GET',
      path: '/v1/groups/:group/why-not',
      summary: 'Why it is not on a node.',
      query: ['node'],
      handle: async (request) => {
        const query = access.query(request, 'node')
        const row = await find(request, query)
        const candidate = table(groupInput(await view(query), row)).find((one) => one.node === query.node)
        if (candidate === undefined)
          throw new ClusterError('INVALID_QUERY', `${query.node ?? 'no node'} is not in the list of ${row.name}`, {
            fix: `?node=${row.definition.nodes[0]}`,
          })
        const { holder } = row
        const why =
          holder?.node === candidate.node
            ? 'it is there'
            : candidate.eligible
              ? `it could run there; it runs on ${holder?.node ?? 'no node'}, which comes first or was asked for`
              : candidate.seen
        return { group: row.name, ...candidate, why }
      },
    },
    {
      method: 'GET',
      path: '/v1/groups/:group/active-here',
      summary: '200 when this node holds and runs the group, else 503.',
      handle: async (request, reply) => {
        const { node } = access
        const row = node.state.get('groups', params(request).group ?? '')
        const here =
          row?.holder?.node === node.status.node &&
          row.holder.boot === access.daemon.boot &&
          row.proof === null &&
          row.holder.report.state === 'ONLINE' &&
          node.holdsLease()
        reply.code(here ? 200 : 503)
        return {
          group: params(request).group,
          active: here,
          token: here ? row?.holder?.token : null,
          leaseRemainingMs: Math.round(node.status.leaseRemainingMs),
        }
      },
    },
    {
      method: 'GET',
      path: '/v1/groups/:group/checkpoints/:name',
      summary: 'What the last holder left.',
      handle: async (request) => {
        const state = await access.state(access.query(request))
        const row = state.get('checkpoints', `${params(request).group}/${params(request).name}`)
        if (row === undefined)
          throw new ClusterError('CHECKPOINT_NOT_FOUND', `${params(request).group} has no checkpoint "${params(request).name}"`)
        return row
      },
    },
    {
      method: 'PUT',
      path: '/v1/groups/:group/checkpoints/:name',
      summary: 'Leaves a small value for the next holder; needs the header quorate-grant-token.',
      handle: async (request) => {
        const query = access.query(request)
        const token = Number(request.headers['quorate-grant-token'])
        if (!Number.isSafeInteger(token))
          throw new ClusterError('INVALID', 'the header quorate-grant-token is missing', {
            fix: 'send the QUORATE_GRANT_TOKEN that the service was started with',
          })
        const { group = '', name = '' } = params(request)
        return access.change(request, query, {
          kind: 'put-checkpoint',
          group: asGroup(group),
          name,
          value: typeof request.body === 'string' ? request.body : '',
          token: token as Token,
        })
      },
    },
  ]
}

function otherRoutes(access: Access): Route[] {
  const list = (
    path: string,
    name: 'cases' | 'decisions' | 'operations',
    code: 'CASE_NOT_FOUND' | 'DECISION_NOT_FOUND' | 'OPERATION_NOT_FOUND',
  ): Route[] => [
    {
      method: 'GET',
      path,
      summary: `All ${name}, newest last.`,
      handle: async (request) => ({ [name]: [...(await access.state(access.query(request))).rows(name)].map(([, row]) => row) }),
    },
    {
      method: 'GET',
      path: `${path}/:id`,
      summary: 'One of them.',
      handle: async (request) => {
        const row = (await access.state(access.query(request))).get(name, params(request).id ?? '')
        if (row === undefined) throw new ClusterError(code, `there is none with the id "${params(request).id}"`, { fix: `GET ${path}` })
        return row
      },
    },
  ]
  const key = (request: FastifyRequest): string => params(request)['*'] ?? ''
  return [
    ...list('/v1/cases', 'cases', 'CASE_NOT_FOUND'),
    ...list('/v1/decisions', 'decisions', 'DECISION_NOT_FOUND'),
    ...list('/v1/operations', 'operations', 'OPERATION_NOT_FOUND'),
    {
      method: 'POST',
      path: '/v1/cases/:id/acknowledge',
      summary: 'A person states that the node is off.',
      body: schemas.acknowledgeSchema,
      handle: async (request) => {
        const query = access.query(request)
        const {
          node,
          reason,
          by = 'an operator',
        } = access.body<{ node: NodeId; reason: string; by?: string }>(request, schemas.acknowledgeSchema)
        const state = await access.state(query)
        const row = state.get('cases', params(request).id ?? '')
        if (row === undefined)
          throw new ClusterError('CASE_NOT_FOUND', `there is no case "${params(request).id}"`, { fix: 'GET /v1/cases' })
        const { leader } = access.node.status
        const { unheard } = (await access.node.ask(leader as NodeId, { kind: 'unheard', node: row.node, boot: row.boot })) as {
          unheard: boolean
        }
        return access.change(request, query, { kind: 'operator-proof', caseId: row.id as CaseId, node, reason, by, unheard })
      },
    },
    {
      method: 'GET',
      path: '/v1/store/*',
      summary: 'One value of the store.',
      handle: async (request, reply) => {
        const row = (await access.state(access.query(request))).get('store', key(request))
        if (row === undefined) throw new ClusterError('KEY_NOT_FOUND', `the store has no key "${key(request).slice(0, 80)}"`)
        reply.header('etag', `"${row.revision}"`)
        return { key: key(request), ...row }
      },
    },
    {
      method: 'PUT',
      path: '/v1/store/*',
      summary: 'Writes one value; If-Match compares and sets.',
      body: schemas.storeValueSchema,
      handle: async (request) =>
        storeOne(access, request, {
          kind: 'put',
          key: key(request),
          value: access.body<{ value: unknown }>(request, schemas.storeValueSchema).value,
          ...access.precondition(request),
        }),
    },
    {
      method: 'DELETE',
      path: '/v1/store/*',
      summary: 'Removes one value.',
      handle: async (request) => storeOne(access, request, { kind: 'delete', key: key(request), ...access.precondition(request) }),
    },
    {
      method: 'GET',
      path: '/v1/events',
      summary: 'The journal from a revision on, live: NDJSON, or SSE.',
      query: ['from', 'follow'],
      handle: (request, reply) => events(access, request, reply),
    },
  ]
}

async function storeOne(access: Access, request: FastifyRequest, operation: StoreOperation): Promise<unknown> {
  const value = await access.change(request, access.query(request, 'dryRun'), { kind: 'store', operations: [operation] })
  return (value.results as unknown[] | undefined)?.[0] ?? value
}

/** Ordered and without gaps: the stored rows first, then what is applied, each once. */
async function events(access: Access, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const query = access.query(request, 'from', 'follow')
  const state = await access.state({ ...query, consistency: 'local' })
  const from = queryNumber(query, 'from') ?? 0
  const { journalFrom } = metaOf(state)
  if (from > 0 && from < journalFrom)
    throw new ClusterError('JOURNAL_TRIMMED', `events from revision ${from} on are no longer kept; the oldest is ${journalFrom}`, {
      fix: `GET /v1/events?from=${journalFrom}`,
    })
  const sse = request.headers.accept?.includes('text/event-stream') === true
  const line = (row: EventRow): string =>
    sse ? `id: ${row.revision}.${row.number}\nevent: ${row.kind}\ndata: ${JSON.stringify(row)}\n\n` : `${JSON.stringify(row)}\n`
  const stream = new PassThrough({ highWaterMark: 1024 * 1024 })
  let next = from
  const write = (): void => {
    for (const [, row] of access.node.state.rows('journal', journalKey(next, 0))) {
      if (row.revision < next) continue
      next = row.revision
      stream.write(line(row))
    }
    next = access.node.state.appliedIndex + 1
    if (stream.writableLength > 8 * 1024 * 1024) stream.destroy() // A reader that does not read.
  }
  write()
  if (query.follow !== undefined && !queryFlag(query, 'follow')) stream.end()
  else {
    const stop = access.node.onApplied(write)
    const end = (): void => void stream.end()
    access.ending.signal.addEventListener('abort', end)
    stream.on('close', () => {
      stop()
      access.ending.signal.removeEventListener('abort', end)
    })
    request.raw.on('close', () => stream.destroy())
  }
  reply.type(sse ? 'text/event-stream' : 'application/x-ndjson')
  return reply.send(stream)
}
