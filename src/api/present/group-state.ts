/** The state of a group in one word: a pure function of its row and of what is known about its holder. */
import type { LogTime } from '../../base/index.js'
import { type GroupRow, isOnlyDegraded, mayStillRun, type Reader, whyNoInstance } from '../../core/cluster/index.js'
import type { LeaderView } from '../cluster/reading.js'
import type { GroupState } from '../schemas/index.js'

export interface HolderSeen {
  /** The holder's boot is condemned, or gone without a proof for this token. */
  readonly condemned: boolean
  /** The leader renews its lease; undefined where nobody can say. */
  readonly alive: boolean | undefined
  /** Its node is in maintenance. */
  readonly maintained?: boolean
  /** An instance that is not needed: as many run elsewhere as are wanted. */
  readonly spare?: boolean
}

export function groupState(group: GroupRow, seen: HolderSeen, at: LogTime): GroupState {
  return mayStillRun(group) ? heldState(group, seen) : freeState(group, seen, at)
}

function heldState(group: GroupRow, seen: HolderSeen): GroupState {
  const { holder } = group
  if (holder === null) return 'UNKNOWN'
  if (holder.report.state === 'UNKNOWN' || seen.condemned || seen.alive === false) return 'UNKNOWN'
  if (holder.order.wanted === 'stop') return 'STOPPING'
  switch (holder.report.state) {
    case 'GRANTED':
    case 'STARTING':
      return 'STARTING'
    case 'ONLINE': {
      const reports = Object.keys(holder.pinned.resources).map((name) => holder.report.resources[name as never])
      return reports.every((one) => (one?.state ?? 'ONLINE') === 'ONLINE' && one?.degraded !== true) ? 'ONLINE' : 'DEGRADED'
    }
    case 'FAILED':
      return isOnlyDegraded(holder.pinned.resources, holder.report) ? 'DEGRADED' : 'FAILED'
    case 'STOPPING':
    case 'STOPPED':
      return 'STOPPING'
  }
}

function freeState(group: GroupRow, { maintained = false, spare = false }: HolderSeen, at: LogTime): GroupState {
  if (spare) return 'OFFLINE'
  if (group.intent === 'OFFLINE' || group.deleting) return 'OFFLINE'
  if (group.poisoned !== undefined) return 'POISON'
  const isBanned = (node: GroupRow['definition']['nodes'][number]): boolean => (group.bans[node]?.until ?? 0) > at
  if (group.halted !== undefined || group.definition.nodes.every(isBanned)) return 'FAILED'
  return group.waitingFor !== null || group.frozen !== null || maintained ? 'BLOCKED' : 'STARTING'
}

/** What the committed state and the leader say about the holder of a group. */
export function holderSeen(state: Reader, group: GroupRow, view: LeaderView | undefined): HolderSeen {
  const { holder } = group
  const place = holder?.node ?? group.stoppedIn
  const maintained = place !== undefined && state.get('nodes', place)?.maintenance !== undefined
  const { part } = group
  const spare = part?.role === 'instance' && whyNoInstance(state, group, part.of) !== undefined
  const free = { ...(maintained ? { maintained } : {}), ...(spare ? { spare } : {}) }
  if (holder === null) return { condemned: false, alive: undefined, ...free }
  const boot = state.get('boots', `${holder.node}/${holder.boot}`)
  return { condemned: boot?.state !== 'live', alive: view?.lives.has(holder.node), ...free }
}
