/** Why a group is where it is, why it is not elsewhere, and whether it is active on this very node. */
import type { NodeId } from '../../base/index.js'
import { instanceName, isOnlyDegraded, mayStillRun, primaryName, type Reader, type ScalableRow } from '../../core/cluster/index.js'
import type { Access } from '../cluster/access.js'
import { read, readQuery } from '../cluster/reading.js'
import type { Answer, Call, Route } from '../http/route.js'
import { why, whyNot } from '../present/explanation.js'
import { groupOf } from './groups.js'
import { nodeOf } from './nodes.js'

export function explanationRoutes(access: Access): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/groups/:group/why',
      tag: 'explanations',
      summary: 'Why it is where it is: the last decision, what it waits for, the planner’s present input and table.',
      query: readQuery,
      answers: { 200: '`text` says it in a sentence.' },
      handle: async (call) => {
        const view = await read(access, call, { withLeaderView: true })
        return { body: { ...view.age, ...why(view, groupOf(view.state, call.params.group ?? '')) } }
      },
    },
    {
      method: 'GET',
      path: '/v1/groups/:group/why-not',
      tag: 'explanations',
      summary: 'Why it is not on a node: the first rule that rules the node out.',
      query: { ...readQuery, node: { kind: 'text', required: true, doc: 'The node.' } },
      answers: { 200: '`text` says it in a sentence.' },
      handle: async (call) => {
        const view = await read(access, call, { withLeaderView: true })
        const group = groupOf(view.state, call.params.group ?? '')
        return { body: { ...view.age, ...whyNot(view, group, nodeOf(view.state, call.query.text('node') ?? '').name) } }
      },
    },
    {
      method: 'GET',
      path: '/v1/groups/:group/active-here',
      tag: 'explanations',
      summary:
        'For load balancers: 200 while this node holds the group’s token and its lease, and runs it; else 503. Local, no quorum needed.',
      answers: { 200: 'Active here.', 503: 'Not active here.' },
      handle: (call) => activeHere(access, call),
    },
  ]
}

/** Any part: it is not active on a node outside the list. */
function primaryOrFirst({ name, definition }: ScalableRow): string {
  return definition.primary === undefined ? instanceName(name, definition.nodes[0] as NodeId) : primaryName(name)
}

/** Of a scalable group whoever has the primary role is active; without one, each instance. */
function partFor(state: Reader, name: string, node: NodeId): string {
  const scalable = state.get('scalables', name)
  if (scalable === undefined) return name
  if (!scalable.definition.nodes.includes(node)) return primaryOrFirst(scalable)
  return scalable.definition.primary === undefined ? instanceName(scalable.name, node) : primaryName(scalable.name)
}

function activeHere(access: Access, call: Call): Answer {
  const { node, daemon } = access
  const group = groupOf(node.state, partFor(node.state, call.params.group ?? '', node.status.node))
  call.index = node.state.appliedIndex
  const mine = mayStillRun(group) && group.holder.node === node.status.node && group.holder.boot === daemon.boot ? group.holder : undefined
  const leaseRemainingMs = Math.round(node.status.leaseRemainingMs)
  const isUp = mine?.report.state === 'ONLINE' || (mine !== undefined && isOnlyDegraded(mine.pinned.resources, mine.report))
  const runs = mine !== undefined && mine.order.wanted === 'run' && isUp
  const active = runs && leaseRemainingMs > 0 && node.holdsLease()
  return {
    status: active ? 200 : 503,
    body: { group: group.name, node: node.status.node, active, token: mine?.token ?? null, leaseRemainingMs },
  }
}
