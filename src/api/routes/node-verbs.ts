/** What nodes are told to do. */
import { ClusterError, type NodeId } from '../../base/index.js'
import type { PathReport } from '../../core/arbiter/index.js'
import { currentBoot, metaOf, type NodeRow, nodesOf } from '../../core/cluster/index.js'
import type { Access } from '../cluster/access.js'
import { carryOut, changeQuery, operate, operationQuery } from '../cluster/changing.js'
import { writtenFencing } from '../cluster/fencing.js'
import { readFreeze, type WrittenFreeze } from '../cluster/freezing.js'
import { read, readQuery } from '../cluster/reading.js'
import type { Answer, Call, Route } from '../http/route.js'
import { clearSchema, fenceSchema, leaveSchema, maintenanceSchema, stopSchema } from '../schemas/index.js'
import { nodeOf, presentNow } from './nodes.js'

/** What a guardian may take to say that it is suspended, in milliseconds. */
const suspendMax = 5_000

export const operationAnswers = { 200: 'The operation has ended.', 202: 'It is under way: see Location.' }

export function nodeVerbRoutes(access: Access): readonly Route[] {
  const name = (call: Call): NodeId => (call.params.node ?? '') as NodeId
  const leave = (verb: 'standby' | 'drain', summary: string): Route => ({
    method: 'POST',
    path: `/v1/nodes/:node/${verb}`,
    tag: 'nodes',
    summary,
    query: operationQuery,
    answers: operationAnswers,
    handle: (call) =>
      operate(access, call, (operation) => ({
        kind: 'set-duty',
        node: name(call),
        duty: verb === 'drain' ? 'draining' : 'standby',
        operation,
      })),
  })
  return [
    leave('standby', 'Its groups leave it, and it hosts nothing until it is activated.'),
    leave('drain', 'As standby; shown as draining until its groups have left.'),
    {
      method: 'POST',
      path: '/v1/nodes/:node/activate',
      tag: 'nodes',
      summary: 'It may host groups again.',
      query: changeQuery,
      answers: { 200: 'The node.' },
      handle: (call) =>
        carryOut(access, call, { kind: 'set-duty', node: name(call), duty: 'active', operation: null }, () =>
          presentNow(access, name(call)),
        ),
    },
    {
      method: 'POST',
      path: '/v1/nodes/:node/clear',
      tag: 'nodes',
      summary: 'Forgets failures, bans and losses, trusts its device again, ends its quarantine; never a grant, a case or a due fencing.',
      query: changeQuery,
      body: clearSchema,
      answers: { 200: 'The node.' },
      handle: (call) => {
        const { reason } = (call.body ?? {}) as { readonly reason?: string }
        const command = { kind: 'clear-node', node: name(call), ...(reason === undefined ? {} : { reason }) } as const
        return carryOut(access, call, command, () => presentNow(access, name(call)))
      },
    },
    {
      method: 'POST',
      path: '/v1/nodes/:node/maintenance',
      tag: 'nodes',
      summary: 'Nothing is done on its own about it and what it holds, until that ends. The lease still holds. `end` ends it now.',
      query: changeQuery,
      body: maintenanceSchema,
      answers: { 200: 'The node.' },
      handle: (call) => maintain(access, call, name(call)),
    },
    {
      method: 'POST',
      path: '/v1/nodes/:node/fence',
      tag: 'nodes',
      summary: 'Cuts it off by its fence devices. Type its name again in the body.',
      query: operationQuery,
      body: fenceSchema,
      answers: operationAnswers,
      handle: (call) => fence(access, call, name(call)),
    },
    {
      method: 'POST',
      path: '/v1/nodes/:node/leave',
      tag: 'nodes',
      summary: 'Its groups leave it, its software stops, and its silence opens no case. Started again, it comes back as it was.',
      query: operationQuery,
      body: leaveSchema,
      answers: operationAnswers,
      handle: (call) => leaveCluster(access, call, name(call)),
    },
    {
      method: 'POST',
      path: '/v1/cluster/stop',
      tag: 'cluster',
      summary: 'Every group is stopped, then the software of every node. Started again, everything runs as before. Nobody is fenced.',
      query: operationQuery,
      body: stopSchema,
      answers: operationAnswers,
      handle: (call) => stopCluster(access, call),
    },
    {
      method: 'GET',
      path: '/v1/nodes/:node/fencing',
      tag: 'nodes',
      summary: 'Its fence devices, and whether each of the other nodes could reach them when it read their status last.',
      query: readQuery,
      answers: { 200: 'The devices, and a path for each of them and each other node.' },
      handle: async (call) => {
        const view = await read(access, call)
        return { body: { ...view.age, ...(await fencingOf(access, nodeOf(view.state, name(call)), false)) } }
      },
    },
    {
      method: 'POST',
      path: '/v1/nodes/:node/fencing/test',
      tag: 'nodes',
      summary: 'Every other node reads the status of its fence devices now. Nothing is switched.',
      query: readQuery,
      answers: { 200: 'As GET, with what has just been read; `healthy` tells whether every path is.' },
      handle: async (call) => {
        const { state } = await read(access, call)
        const row = nodeOf(state, name(call))
        if (row.fencing.levels.length === 0)
          throw new ClusterError('CONFLICT', `${row.name} has no fence device`, { fix: `PATCH /v1/nodes/${row.name} {"fencing": …} first` })
        return { body: await fencingOf(access, row, true) }
      },
    },
  ]
}

type WrittenMaintenance = Partial<WrittenFreeze> & { readonly detached?: boolean; readonly end?: boolean }

function maintain(access: Access, call: Call, node: NodeId): Promise<Answer> {
  const { end, detached, ...written } = call.body as WrittenMaintenance
  const shown = () => presentNow(access, node)
  if (end === true) {
    if (Object.keys(written).length > 0 || detached !== undefined)
      throw new ClusterError('INVALID', '`end` goes with nothing else', { fix: 'send {"end": true}' })
    return carryOut(access, call, { kind: 'end-maintenance', node }, shown)
  }
  const { for: span, reason } = written
  if (span === undefined || reason === undefined)
    throw new ClusterError('INVALID', `"${span === undefined ? 'for' : 'reason'}" is missing`, {
      fix: 'send {"for": "30m", "reason": "…"}: maintenance always has an end, and says why; or {"end": true}',
    })
  const freeze = readFreeze(access, call, { ...written, for: span, reason })
  const command = { kind: 'maintain-node' as const, node, ...freeze, ...(detached === true ? { detached } : {}) }
  return carryOut(access, call, command, async () => {
    // Until the guardian has said so, it would end what runs.
    const isSuspended = () => currentBoot(access.node.state, node)?.suspended === true
    if (detached === true) await access.waits.until(isSuspended, suspendMax, call.signal)
    return shown()
  })
}

async function leaveCluster(access: Access, call: Call, node: NodeId): Promise<Answer> {
  const { reason = 'asked for', anyway = false } = (call.body ?? {}) as { reason?: string; anyway?: boolean }
  const { state, leaderView } = await read(access, call, { withLeaderView: true })
  nodeOf(state, node)
  if (!anyway && leaderView?.needed.has(node) === true)
    throw new ClusterError('CONFLICT', `without ${node} the voters left would be no quorum: all groups would stop`, {
      fix: 'bring the other nodes back first; or POST /v1/cluster/stop to stop everything; or send {"anyway": true}',
    })
  return operate(access, call, (operation) => ({ kind: 'leave', node, operation, detail: reason }))
}

async function stopCluster(access: Access, call: Call): Promise<Answer> {
  const { cluster, reason = 'asked for' } = call.body as { cluster: string; reason?: string }
  const { state } = await read(access, call)
  const { clusterName } = metaOf(state)
  if (cluster !== clusterName)
    throw new ClusterError('INVALID', `the cluster is called ${clusterName}, the body says "${cluster.slice(0, 80)}"`, {
      fix: `type the name of the cluster that is to stop: {"cluster":"${clusterName}"}`,
    })
  return operate(access, call, (operation) => ({ kind: 'leave', node: null, operation, detail: reason }))
}

/** Beyond the devices' own time, in milliseconds: for those that wait for another reading of the same node. */
const readingGrace = 10_000

/** What each other node says of its paths to the devices of a node. */
async function fencingOf(access: Access, row: NodeRow, fresh: boolean): Promise<Record<string, unknown>> {
  const { node } = access
  const others = nodesOf(node.state).filter((other) => other.name !== row.name)
  const patience = fresh ? readingGrace + row.fencing.levels.flat().reduce((sum, { timeout }) => sum + timeout, 0) : 2_000
  const paths = await Promise.all(
    others.map(async (other): Promise<readonly Record<string, unknown>[]> => {
      try {
        const reports = (await node.ask(other.name, { kind: 'paths', node: row.name, fresh }, patience)) as readonly PathReport[]
        return reports.map(({ level, device, agent, state, detail, ageMs }) => ({
          from: other.name,
          level,
          device,
          agent,
          state,
          detail,
          readAgoMs: ageMs ?? null,
        }))
      } catch (error) {
        const detail = error instanceof ClusterError ? error.message : String(error)
        return [
          {
            from: other.name,
            level: null,
            device: null,
            agent: null,
            state: 'unknown',
            detail: `${other.name} gave no answer: ${detail}`,
            readAgoMs: null,
          },
        ]
      }
    }),
  )
  return {
    node: row.name,
    healthy: paths.flat().length > 0 && paths.flat().every(({ state }) => state === 'healthy'),
    ...writtenFencing(row.fencing),
    deviceDistrusted: row.deviceDistrusted,
    paths: paths.flat(),
  }
}

async function fence(access: Access, call: Call, node: NodeId): Promise<Answer> {
  const { node: typed, reason } = call.body as { node: string; reason: string }
  const { state } = await read(access, call)
  const row = nodeOf(state, node)
  if (typed !== node) {
    throw new ClusterError('INVALID', `the path names ${node}, the body "${typed.slice(0, 80)}"`, {
      fix: `type the name of the node to be fenced: {"node":"${node}","reason":"…"}`,
    })
  }
  if (row.fencing.levels.length === 0) {
    throw new ClusterError('CONFLICT', `${node} has no fence device`, { fix: `PATCH /v1/nodes/${node} {"fencing": …} first` })
  }
  return operate(access, call, (operation) => ({
    kind: 'start-operation',
    operation,
    operationKind: 'fence',
    subject: node,
    detail: `an operator: ${reason}`,
  }))
}
