/** What nodes are told to do. */
import { ClusterError, type NodeId } from '../../base/index.js'
import type { Access } from '../cluster/access.js'
import { carryOut, changeQuery, operate, operationQuery } from '../cluster/changing.js'
import { read } from '../cluster/reading.js'
import type { Answer, Call, Route } from '../http/route.js'
import { fenceSchema } from '../schemas/index.js'
import { nodeOf, presentNow } from './nodes.js'

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
      summary: 'Forgets failures and bans on it and trusts its device again; never a grant, a case or a due fencing.',
      query: changeQuery,
      answers: { 200: 'The node.' },
      handle: (call) => carryOut(access, call, { kind: 'clear-node', node: name(call) }, () => presentNow(access, name(call))),
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
  ]
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
