/** What agents ask of the cluster by the commands they call: who is here, and attributes that outlast a boot. */
import { ClusterError } from '../base/index.js'
import { nodesOf, type StoreOperation } from '../core/cluster/index.js'
import type { ClusterAnswer, ClusterQuestion } from '../core/monitor/index.js'
import type { QuorateNode } from './node.js'

/** Keys of the store in which attributes are kept: `<prefix>/node/<node>/<name>` and `<prefix>/cluster/<set>/<name>`. */
export const attributePrefix = 'quorate/attributes'

const timeoutMs = 5_000

/** Errors: NO_QUORUM, UNKNOWN_OUTCOME, UNKNOWN_NODE. */
export async function answerAgent(node: QuorateNode, question: ClusterQuestion): Promise<ClusterAnswer> {
  if (question.kind === 'sight') {
    const silent = new Set(
      node.detectorReport().flatMap(({ node: name, stage }) => (stage === 'HEALTHY' || stage === 'MISSED' ? [] : [name])),
    )
    const nodes = nodesOf(node.state).map(({ name }) => ({ name, online: name === node.status.node || !silent.has(name) }))
    return { kind: 'sight', nodes, quorate: node.status.leader !== undefined }
  }
  const { act, scope, set, name, node: of = node.status.node } = question
  if (scope !== 'cluster' && node.state.get('nodes', of) === undefined)
    throw new ClusterError('UNKNOWN_NODE', `the cluster has no node "${of.slice(0, 80)}"`)
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
