/** What ends by itself and is not a group's: the maintenance of nodes, by log time. */
import type { LogTime } from '../../base/index.js'
import { type Command, nodesOf, type Reader } from '../cluster/index.js'

/** One command for each maintenance whose end is past. */
export function dueEnds(state: Reader, at: LogTime): readonly Extract<Command, { kind: 'end-maintenance' }>[] {
  return nodesOf(state).flatMap(({ name, maintenance }) =>
    maintenance !== undefined && maintenance.until <= at ? [{ kind: 'end-maintenance' as const, node: name, due: true as const }] : [],
  )
}
