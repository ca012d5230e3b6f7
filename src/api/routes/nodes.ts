/** Nodes: what they are, and what is changed about them. */
import { ClusterError, type NodeId, nearestName } from '../../base/index.js'
import { type NodeRow, nodesOf, type Reader } from '../../core/cluster/index.js'
import type { Access } from '../cluster/access.js'
import { carryOut, changeQuery } from '../cluster/changing.js'
import { readFencing } from '../cluster/fencing.js'
import { preconditionOf } from '../cluster/preconditions.js'
import { blockingQuery, localView, read } from '../cluster/reading.js'
import { validateQuery } from '../cluster/validation.js'
import type { Answer, Call, Route } from '../http/route.js'
import { presentNode, presentNodeWhole } from '../present/node.js'
import { nodePatchSchema } from '../schemas/index.js'

const relevant = { tables: ['nodes', 'boots', 'cases', 'groups'] } as const

/** Errors: NODE_NOT_FOUND. */
export function nodeOf(state: Reader, name: string): NodeRow {
  const row = state.get('nodes', name)
  if (row !== undefined) return row
  const names = nodesOf(state).map((node) => node.name)
  const nearest = nearestName(name, names)
  throw new ClusterError('NODE_NOT_FOUND', `the cluster has no node "${name.slice(0, 80)}"`, {
    fix: nearest === undefined ? `its nodes are ${names.join(', ')}` : `did you mean "${nearest}"? its nodes are ${names.join(', ')}`,
  })
}

export function nodeRoutes(access: Access): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/nodes',
      tag: 'nodes',
      summary: 'All nodes.',
      query: blockingQuery,
      answers: { 200: 'Also without a leader: then `quorate` is false and the answer has its age.' },
      handle: async (call) => {
        const view = await read(access, call, { anyway: true, withLeaderView: true, relevant })
        return { body: { quorate: view.quorate, ...view.age, nodes: nodesOf(view.state).map((row) => presentNode(view, row)) } }
      },
    },
    {
      method: 'GET',
      path: '/v1/nodes/:node',
      tag: 'nodes',
      summary: 'One node: boot, lease, guard, fencing, probes.',
      query: blockingQuery,
      answers: { 200: 'Also without a leader.' },
      handle: async (call) => {
        const view = await read(access, call, { anyway: true, withLeaderView: true, relevant })
        const row = nodeOf(view.state, call.params.node ?? '')
        return { revision: row.revision, body: { quorate: view.quorate, ...view.age, ...presentNodeWhole(view, row) } }
      },
    },
    {
      method: 'PATCH',
      path: '/v1/nodes/:node',
      tag: 'nodes',
      summary: 'Changes fencing and attributes (JSON merge patch).',
      query: { ...changeQuery, ...validateQuery },
      body: nodePatchSchema,
      answers: { 200: 'The node as it is now.' },
      handle: (call) => patch(access, call),
    },
  ]
}

async function patch(access: Access, call: Call): Promise<Answer> {
  const { state } = await read(access, call)
  const row = nodeOf(state, call.params.node ?? '')
  const { fencing, attributes } = call.body as { readonly fencing?: unknown; readonly attributes?: Attributes }
  const devices = fencing === undefined ? undefined : fencing === null ? none : readFencing(fencing, row.fencing, access.fencing(state))
  const isChecked = devices !== undefined && call.query.flag('validate') !== false
  const warnings = isChecked ? await access.checkFencing(devices, row.fencing) : []
  const changed = {
    ...(devices === undefined ? {} : { fencing: devices }),
    ...(attributes === undefined ? {} : { attributes: merged(row.attributes, attributes) }),
  }
  // What was read here is what was merged into.
  const precondition = { ifRevision: row.revision, ...preconditionOf(call) }
  return carryOut(access, call, { kind: 'patch-node', node: row.name, ...changed, precondition }, () =>
    withWarnings(presentNow(access, row.name), warnings),
  )
}

function withWarnings(answer: Answer, warnings: readonly string[]): Answer {
  return warnings.length === 0 ? answer : { ...answer, body: { ...(answer.body as object), warnings } }
}

const none = { levels: [], then: 'on' as const }

type Attributes = Readonly<Record<string, string | null>>

function merged(known: Readonly<Record<string, string>>, changes: Attributes): Record<string, string> {
  const entries = Object.entries({ ...known, ...changes }).filter((entry): entry is [string, string] => entry[1] !== null)
  return Object.fromEntries(entries)
}

/** The node after a change, without asking anybody again. */
export function presentNow(access: Access, name: NodeId): Answer {
  const view = localView(access.node)
  const row = nodeOf(view.state, name)
  return { revision: row.revision, body: presentNodeWhole(view, row) }
}
