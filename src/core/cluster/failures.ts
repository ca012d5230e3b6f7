/** Which failures of a group still count, and what it is without the resource that failed. */
import type { LogTime } from '../../base/index.js'
import { policyDefaults } from './failure-policy.js'
import type { Failure, GroupRow, HolderReport } from './rows.js'

/**
 * When this failure is forgotten if nothing else happens: at the end of its resource's restart window, or once the group
 * has run for `stableAfter` without another one. Not after `at` where it no longer counts.
 */
export function forgottenAt(group: GroupRow, failure: Failure, at: LogTime): number {
  const holder = group.proof === null ? group.holder : null
  const { resources } = holder?.pinned ?? group.definition
  const byWindow = failure.at + (resources[failure.resource]?.restart.window ?? 0)
  const { stableAfter = policyDefaults.stableAfter } = group.definition
  const later = Object.values(group.failures)
    .flat()
    .filter((other) => other.at > failure.at && (other.ranFor ?? 0) >= stableAfter)
  const report = holder?.report
  const byRunning = report?.state === 'ONLINE' && report.since !== undefined ? report.since + stableAfter : Number.POSITIVE_INFINITY
  return later.length > 0 ? Math.min(at, byWindow) : Math.min(byWindow, byRunning)
}

/** Something of it that is not critical has failed, and everything that is runs. */
export function isOnlyDegraded(resources: GroupRow['definition']['resources'], report: Pick<HolderReport, 'state' | 'resources'>): boolean {
  if (report.state !== 'FAILED') return false
  const states = Object.entries(resources).map(([name, { critical = true }]) => ({
    critical,
    state: report.resources[name as never]?.state,
  }))
  return (
    states.some(({ critical, state }) => !critical && state === 'FAILED') &&
    states.every(({ critical, state }) => !critical || state === 'ONLINE')
  )
}
