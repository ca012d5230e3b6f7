/** What agents ask of the cluster by the commands they call: who is here, what runs, attributes that last or are of other nodes. */
import { type BootId, ClusterError, type GroupName, type LogIndex, type NodeId, type ResourceName, wholeOf } from '../base/index.js'
import {
  type ClusterState,
  type GroupRow,
  instanceName,
  mayStillRun,
  metaOf,
  nodesOf,
  notableBoot,
  noteOf,
  notesOf,
  primaryName,
  type Reader,
  type StoreOperation,
} from '../core/cluster/index.js'
import type { ClusterAnswer, ClusterQuestion, CopySight, MonitorOrder } from '../core/monitor/index.js'
import type { QuorateNode } from './node.js'

/** Keys of the store in which attributes are kept: `<prefix>/node/<node>/<name>` and `<prefix>/cluster/<set>/<name>`. */
export const attributePrefix = 'quorate/attributes'

const timeoutMs = 5_000

type AttributeQuestion = Extract<ClusterQuestion, { kind: 'attribute' }>

/** Errors: NO_QUORUM, UNKNOWN_OUTCOME, UNKNOWN_NODE, CONFLICT, TOO_LARGE, MIXED_VERSIONS. */
export async function answerAgent(node: QuorateNode, boot: BootId, question: ClusterQuestion): Promise<ClusterAnswer> {
  switch (question.kind) {
    case 'sight':
      return sightOf(node, question.group)
    case 'note':
      return { kind: 'noted', place: placeOf(node.state, await note(node, node.status.node, boot, question.values)) }
    case 'attribute':
      return answerAttribute(node, question)
  }
}

/** Everything that the log has of this node until its next boot, for the monitor; undefined as long as it is of no present boot. */
export function notesFor(state: ClusterState, self: NodeId, boot: BootId): MonitorOrder | undefined {
  if (notableBoot(state, self) !== boot) return undefined
  return { kind: 'notes', place: placeOf(state, state.appliedIndex), values: notesOf(state, self) }
}

/** Grows with the log, and with the epoch: as tokens do. */
function placeOf(state: Reader, index: LogIndex): number {
  return metaOf(state).epoch * 2 ** 40 + index
}

async function answerAttribute(node: QuorateNode, question: AttributeQuestion): Promise<ClusterAnswer> {
  const { act, scope, set, name, node: of = node.status.node } = question
  if (scope !== 'cluster' && node.state.get('nodes', of) === undefined)
    throw new ClusterError('UNKNOWN_NODE', `the cluster has no node "${of.slice(0, 80)}"`)
  if (scope === 'reboot') return answerNote(node, of as NodeId, question)
  const key = scope === 'cluster' ? `${attributePrefix}/cluster/${set}/${name}` : `${attributePrefix}/node/${of}/${name}`
  if (act.kind === 'get') {
    await node.barrier(timeoutMs)
    const row = node.state.get('store', key)
    return { kind: 'attribute', value: row === undefined ? null : String(row.value) }
  }
  const operation: StoreOperation = act.kind === 'set' ? { kind: 'put', key, value: act.value } : { kind: 'delete', key }
  const result = await node.propose({ kind: 'store', operations: [operation] }, { timeoutMs })
  // What was not there need not be deleted.
  if (!result.ok && result.error.code !== 'KEY_NOT_FOUND') throw new ClusterError('CONFLICT', result.error.detail)
  return { kind: 'attribute', value: null }
}

/** Of a node that is gone there is nothing, and nothing of it is kept: what was noted down would be gone with it. */
async function answerNote(node: QuorateNode, of: NodeId, { act, name }: AttributeQuestion): Promise<ClusterAnswer> {
  await node.barrier(timeoutMs)
  if (act.kind === 'get') return { kind: 'attribute', value: noteOf(node.state, of, name) ?? null }
  const boot = notableBoot(node.state, of)
  if (boot !== undefined)
    await note(node, of, boot, { [name]: act.kind === 'set' ? act.value : null }, () => notableBoot(node.state, of) !== boot)
  return { kind: 'attribute', value: null }
}

async function note(
  node: QuorateNode,
  of: NodeId,
  boot: BootId,
  values: Readonly<Record<string, string | null>>,
  isGone: () => boolean = () => false,
): Promise<LogIndex> {
  // It would be refused, and be in the log all the same, again and again.
  if (notableBoot(node.state, of) !== boot) throw new ClusterError('CONFLICT', `boot ${boot} of ${of} is not there`)
  const result = await node.propose({ kind: 'note-attributes', node: of, boot, values }, { timeoutMs })
  if (!result.ok && !isGone()) throw new ClusterError('CONFLICT', result.error.detail)
  return result.index
}

function sightOf(node: QuorateNode, group: string): ClusterAnswer {
  const { state, status } = node
  const silent = new Set(
    node.detectorReport().flatMap(({ node: name, stage }) => (stage === 'HEALTHY' || stage === 'MISSED' ? [] : [name])),
  )
  const isOnline = (name: NodeId) => name === status.node || (!silent.has(name) && notableBoot(state, name) !== undefined)
  const nodes = nodesOf(state).map(({ name }) => ({ name, online: isOnline(name) }))
  return { kind: 'sight', nodes, quorate: status.leader !== undefined, copies: copiesOf(state, wholeOf(group)) }
}

/** What the group runs, wherever that is, as long as it may still run there. */
function copiesOf(state: Reader, of: GroupName): readonly CopySight[] {
  const whole = state.get('scalables', of)
  const rows = whole === undefined ? [of] : whole.definition.nodes.map((node) => instanceName(of, node))
  const primary = state.get('groups', primaryName(of))
  return rows.flatMap((name) => {
    const row = state.get('groups', name)
    return row === undefined ? [] : copiesIn(row, primary)
  })
}

function copiesIn(row: GroupRow, primary: GroupRow | undefined): readonly CopySight[] {
  if (!mayStillRun(row)) return []
  const { node, pinned, report } = row.holder
  return Object.entries(pinned.resources).flatMap(([name, { type, promotable, copy }]) => {
    const resource = name as ResourceName
    const state = report.resources[resource]?.state ?? 'STOPPED'
    if (state === 'STOPPED') return []
    const role = copy === undefined || promotable !== true ? 'Started' : isPrimary(primary, node, resource) ? 'Promoted' : 'Unpromoted'
    return [{ resource, type, node, role, failed: state === 'FAILED' }]
  })
}

/** Until its demotion is known, or the end of its node is proved. */
function isPrimary(primary: GroupRow | undefined, node: NodeId, resource: ResourceName): boolean {
  if (primary === undefined || !mayStillRun(primary) || primary.holder.node !== node) return false
  const state = primary.holder.report.resources[resource]?.state ?? 'STOPPED'
  return state !== 'STOPPED' && state !== 'STARTING'
}
