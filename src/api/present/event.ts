/** Events of the journal as the API shows them. */
import type { EventRow } from '../../core/cluster/index.js'
import { onTheWall } from './times.js'

export function presentEvent(row: EventRow): Record<string, unknown> {
  const { revision, number, wall, at, kind, subject, text, data } = row
  return { revision, number, time: onTheWall(wall), wall, at, kind, subject, text, data }
}
