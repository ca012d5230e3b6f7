/** The brakes as the API shows them. */
import { formatDuration, type LogTime } from '../../base/index.js'
import { brakesOf, metaOf, type Reader, settingsOf } from '../../core/cluster/index.js'
import { elapsed, remaining } from './times.js'

export function presentBrakes(state: Reader, at: LogTime): Record<string, unknown> {
  const { fencings, causes, holds } = brakesOf(state, at)
  const { fencingMax, fencingWindow, causesMax, causesWindow } = settingsOf(state)
  const { brakesReleased: released } = metaOf(state)
  return {
    holds,
    fencings: { recent: fencings, max: fencingMax, window: formatDuration(fencingWindow) },
    causes: {
      recent: causes.map(({ kind, subject, text, caseId, at: when }) => ({
        kind,
        subject,
        text,
        case: caseId,
        ago: elapsed(when, at),
        forgottenIn: remaining((when + causesWindow) as LogTime, at),
      })),
      max: causesMax,
      window: formatDuration(causesWindow),
    },
    released: released === undefined ? null : { by: released.by, reason: released.reason, ago: elapsed(released.at, at) },
  }
}
