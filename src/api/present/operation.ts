/** Operations as the API shows them. */
import { formatDuration } from '../../base/index.js'
import type { OperationRow } from '../../core/cluster/index.js'
import type { QuorateNode } from '../../node/index.js'

export function presentOperation(row: OperationRow, node: QuorateNode): Record<string, unknown> {
  const { id, kind, subject, detail, status, result, startedAt, endedAt } = row
  const last = node.state.get('meta', 'cluster')?.logTime ?? startedAt
  return { id, kind, subject, detail, status, result, took: formatDuration(Math.max(0, Math.round((endedAt ?? last) - startedAt))) }
}
