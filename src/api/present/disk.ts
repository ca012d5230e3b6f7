/** Shared disks as the API shows them. */
import { currentBoot, type DiskRow, nodesOf } from '../../core/cluster/index.js'
import { writtenDisk } from '../cluster/disks.js'
import type { View } from '../cluster/reading.js'
import { elapsed } from './times.js'

type Shown = Record<string, unknown>

export function presentDisk(view: View, row: DiskRow): Shown {
  const here = view.node.diskReports().find(({ disk }) => disk === row.name)
  return {
    name: row.name,
    ...writtenDisk(row.definition),
    revision: row.revision,
    nodes: Object.fromEntries(nodesOf(view.state).map(({ name }) => [name, standingOf(view, row, name)])),
    here:
      here === undefined
        ? null
        : {
            node: view.node.status.node,
            standing: here.standing,
            detail: here.detail,
            key: here.key,
            keys: here.keys,
            reservation: here.reservation,
          },
  }
}

function standingOf(view: View, row: DiskRow, node: string): Shown {
  const boot = currentBoot(view.state, node as never)
  const told = boot?.disks?.[row.name]
  if (boot?.state !== 'live' || told === undefined || told.place !== row.place)
    return { ready: false, detail: boot?.state === 'live' ? 'it has not told of it yet' : 'it is not here', since: null }
  return { ready: told.ready, detail: told.detail, since: elapsed(told.at, view.at) }
}
