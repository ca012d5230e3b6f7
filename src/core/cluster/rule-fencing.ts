/**
 * Fencing that a group's failure rules ask for: it goes the way of a person's request, an operation that the leader opens
 * a case for, and only where nothing speaks against it.
 */
import type { NodeId, Token } from '../../base/index.js'
import { brakesOf, causeOf, noteCause } from './brakes.js'
import type { Context } from './context.js'
import type { GroupRow, Holder } from './rows.js'
import { isQuorumWithout, metaOf, openCases, type Reader, votingNodes } from './state.js'

/** The first reason why this node is not fenced now for a failure; undefined when it may be. One node at a time. */
export function whyNotFenceable(reader: Reader, node: NodeId): string | undefined {
  const row = reader.get('nodes', node)
  if (row === undefined) return 'the cluster has no such node'
  if (row.fencing.levels.length === 0) return 'it has no fence device'
  if (row.deviceDistrusted !== null) return `its fence device is not believed: ${row.deviceDistrusted}`
  const asked = [...reader.rows('operations')].find(([, one]) => one.kind === 'fence' && one.status === 'running')
  if (asked !== undefined) return `${asked[1].subject} is being fenced`
  const open = openCases(reader).find((one) => one.node === node || one.stage === 'CHALLENGE' || one.stage === 'CONDEMNED')
  if (open !== undefined) return `case ${open.id} of ${open.node} is open`
  const [held] = brakesOf(reader, metaOf(reader).logTime).holds
  if (held !== undefined) return held
  if (!isQuorumWithout(reader, node, votingNodes(reader))) return 'the voters left would be no quorum'
  return undefined
}

const operationOf = (group: GroupRow, token: Token): string => `fence-${group.name}-${token}`
const askerOf = (group: GroupRow): string => `the failure rules of ${group.name}`

/** Answers with why it is refused. */
export function fenceForFailure(
  context: Context,
  group: GroupRow & { readonly holder: Holder },
  node: NodeId,
  text: string,
): string | undefined {
  if (group.holder.node !== node) return 'it is not the node of the holder'
  if (context.currentBoot(node)?.boot !== group.holder.boot) return 'the holder is an earlier boot of the node'
  const refusal = whyNotFenceable(context.draft, node)
  if (refusal !== undefined) return refusal
  context.startOperation(operationOf(group, group.holder.token), 'fence', node, `${askerOf(group)}: ${text}`)
  noteCause(context, {
    kind: 'group-failed',
    subject: causeOf(group),
    text: `${group.name} failed on ${node}, which is fenced for it`,
    caseId: null,
  })
  context.event('node.fence-asked', node, `${node} is to be fenced: ${text}`, { group: group.name, token: group.holder.token })
  return undefined
}

/** The token has ended by a proof, whichever came first: its node need not be cut off any more. */
export function endFence(context: Context, group: GroupRow, token: Token, detail: string): void {
  context.endOperation(operationOf(group, token), 'done', detail)
}

/** The group has stopped after all: what was asked for its sake is not done, as long as nobody is condemned yet. */
export function withdrawFence(context: Context, group: GroupRow, node: NodeId, token: Token): void {
  const operation = operationOf(group, token)
  if (context.draft.get('operations', operation)?.status !== 'running') return
  const open = openCases(context.draft).find((one) => one.node === node)
  const conclusion = `${group.name} has stopped on ${node} after all`
  if (open !== undefined && open.stage !== 'CHALLENGE') return
  context.endOperation(operation, 'cancelled', conclusion)
  if (open === undefined || !open.trigger.startsWith(`asked by ${askerOf(group)}:`)) return
  const timeline = [...open.timeline, { stage: 'CLOSED', at: context.at, wall: context.wall, detail: conclusion }]
  context.putCase({ ...open, stage: 'CLOSED', closedAt: context.at, conclusion, timeline })
  context.event('case.closed', node, `case of ${node} closed: ${conclusion}`, { case: open.id })
}
