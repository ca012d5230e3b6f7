/** Failures of a group as the API shows them: which still count, until when, and how many moves they have caused. */
import { formatDuration, type LogTime } from '../../base/index.js'
import { forgottenAt, type GroupRow } from '../../core/cluster/index.js'
import { elapsed, remaining } from './times.js'

type Shown = Record<string, unknown>

/** By node, the latest last. */
export function presentFailures(group: GroupRow, at: LogTime): Shown {
  const byNode = Object.entries(group.failures).map(([node, failures]) => [
    node,
    failures.map((failure) => {
      const { resource, event, detail } = failure
      const until = forgottenAt(group, failure, at)
      const counts = until > at
      return { resource, event, detail, ago: elapsed(failure.at, at), counts, forgottenIn: counts ? remaining(until as LogTime, at) : null }
    }),
  ])
  return Object.fromEntries(byNode)
}

/** Null where they are not limited. */
export function presentFailovers(group: GroupRow, at: LogTime): Shown | null {
  const { failover } = group.definition
  if (failover === undefined || failover.max === 0) return null
  const recent = (group.failovers ?? []).filter((one) => one > at - failover.window).length
  return { recent, max: failover.max, window: formatDuration(failover.window) }
}

/** What clearing a group would forget. */
export function presentForgotten(group: GroupRow, at: LogTime): Shown {
  return {
    failures: presentFailures(group, at),
    bans: presentBans(group, at),
    halted: presentHalted(group, at),
    poison: presentPoison(group, at),
    failovers: presentFailovers(group, at),
    waitingFor: group.waitingFor,
  }
}

/** Nodes that are passed over now. */
export function presentBans(group: GroupRow, at: LogTime): Shown {
  return Object.fromEntries(
    Object.entries(group.bans)
      .filter(([, ban]) => ban.until > at)
      .map(([node, ban]) => [node, { reason: ban.reason, remaining: remaining(ban.until, at) }]),
  )
}

/** Null where no node was lost soon after a start of it. */
export function presentPoison(group: Pick<GroupRow, 'poisoned' | 'losses'>, at: LogTime): Shown | null {
  const { poisoned, losses = [] } = group
  if (poisoned === undefined && losses.length === 0) return null
  return {
    rests: poisoned !== undefined,
    reason: poisoned?.reason ?? null,
    losses: losses.map((loss) => ({
      node: loss.node,
      case: loss.caseId,
      ago: elapsed(loss.at, at),
      afterStart: loss.after === 0 ? 'while starting' : formatDuration(loss.after),
    })),
  }
}

export function presentHalted(group: GroupRow, at: LogTime): Shown | null {
  return group.halted === undefined ? null : { reason: group.halted.reason, ago: elapsed(group.halted.at, at) }
}
