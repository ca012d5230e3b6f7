/** What a person says when the planner is to leave something alone for a while. */
import { ClusterError, parseDuration } from '../../base/index.js'
import { levelInForce, maintenanceLevel } from '../../core/cluster/index.js'
import type { Call } from '../http/route.js'
import type { Access } from './access.js'

export interface WrittenFreeze {
  readonly for: string | number
  readonly owner?: string
  readonly reason: string
  readonly probes?: 'keep' | 'pause'
}

export interface ReadFreeze {
  readonly forMs: number
  readonly owner: string
  readonly reason: string
  readonly by?: string
  readonly probes?: 'pause'
}

const freezeMin = 1_000
const freezeMax = 30 * 86_400_000

/** Errors: INVALID. */
export function readFreeze(access: Access, call: Call, written: WrittenFreeze): ReadFreeze {
  const forMs = spanOf(written.for)
  if (forMs < freezeMin || forMs > freezeMax)
    throw new ClusterError('INVALID', `for is ${JSON.stringify(written.for)}`, {
      fix: 'stay between 1s and 30d; a freeze always has an end',
    })
  const { owner, reason, probes } = written
  // What members of an earlier version would not keep is left out while there are any.
  const isKnown = levelInForce(access.node.state) >= maintenanceLevel
  return {
    forMs,
    owner: owner ?? call.by,
    reason,
    ...(owner === undefined || !isKnown ? {} : { by: call.by }),
    ...(probes === 'pause' ? { probes } : {}),
  }
}

function spanOf(written: string | number): number {
  try {
    return parseDuration(written)
  } catch {
    throw new ClusterError('INVALID', `for is ${JSON.stringify(written)}`, { fix: 'write a duration such as "30m"' })
  }
}
