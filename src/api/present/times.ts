/** Times as people read them. The log counts log time; what stood beside it in the journal says when that was on the wall. */
import { formatDuration, type LogTime, type Token } from '../../base/index.js'
import { journalKey, type Lapsed, type Maintenance, type Reader } from '../../core/cluster/index.js'

const tokenEpochSpan = 2 ** 40

/** When a grant was committed, as the leader's wall clock had it; null once the journal no longer reaches back so far. */
export function grantedSince(state: Reader, token: Token): string | null {
  const index = token % tokenEpochSpan
  for (const [, row] of state.rows('journal', journalKey(index, 0))) return row.revision === index ? new Date(row.wall).toISOString() : null
  return null
}

/** What is left until an end in log time, as a duration. */
export function remaining(until: LogTime, at: LogTime): string {
  return formatDuration(Math.max(0, Math.round((until - at) / 1_000) * 1_000))
}

/** Who keeps the planner away from something, why, and for how long still. */
export function presentFreeze({ owner, reason, by, probes, until, detached }: Maintenance, at: LogTime): Record<string, unknown> {
  return {
    owner,
    reason,
    remaining: remaining(until, at),
    ...(by === undefined ? {} : { by }),
    probes: probes ?? 'keep',
    ...(detached === undefined ? {} : { detached }),
  }
}

export function presentLapsed({ owner, reason, at: ended }: Lapsed, at: LogTime): Record<string, unknown> {
  return { owner, reason, ago: elapsed(ended, at) }
}

/** How long ago that was, in whole seconds. */
export function elapsed(since: LogTime, at: LogTime): string {
  return formatDuration(Math.max(0, Math.round((at - since) / 1_000) * 1_000))
}

export const onTheWall = (wall: number): string => new Date(wall).toISOString()
