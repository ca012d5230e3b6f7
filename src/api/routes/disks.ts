/** Shared disks: for challenges, and for groups that live on them. */
import { ClusterError, diskName, nearestName } from '../../base/index.js'
import { type DiskRow, disksOf, type Reader } from '../../core/cluster/index.js'
import type { Access } from '../cluster/access.js'
import { carryOut, changeQuery } from '../cluster/changing.js'
import { readDisk, type WrittenDisk } from '../cluster/disks.js'
import { preconditionOf } from '../cluster/preconditions.js'
import { blockingQuery, localView, read } from '../cluster/reading.js'
import type { Answer, Call, Route } from '../http/route.js'
import { presentDisk } from '../present/disk.js'
import { diskPutSchema } from '../schemas/index.js'

const relevant = { tables: ['disks', 'boots'] } as const

export function diskRoutes(access: Access): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/disks',
      tag: 'disks',
      summary: 'All shared disks, and which nodes stand registered on them.',
      query: blockingQuery,
      answers: { 200: 'Each with its nodes.' },
      handle: async (call) => {
        const view = await read(access, call, { relevant })
        return { body: { ...view.age, disks: disksOf(view.state).map((row) => presentDisk(view, row)) } }
      },
    },
    {
      method: 'GET',
      path: '/v1/disks/:disk',
      tag: 'disks',
      summary: 'One shared disk.',
      query: blockingQuery,
      answers: { 200: '`here` is what the node that answers sees of it now.' },
      handle: async (call) => {
        const view = await read(access, call, { relevant })
        const row = diskOf(view.state, call.params.disk ?? '')
        return { revision: row.revision, body: { ...view.age, ...presentDisk(view, row) } }
      },
    },
    {
      method: 'PUT',
      path: '/v1/disks/:disk',
      tag: 'disks',
      summary: 'Adds or changes a shared disk. One that groups or fence devices rely on keeps its place.',
      query: changeQuery,
      body: diskPutSchema,
      answers: { 200: 'Changed.', 201: 'Added.' },
      handle: (call) => put(access, call),
    },
    {
      method: 'DELETE',
      path: '/v1/disks/:disk',
      tag: 'disks',
      summary: 'Deletes a shared disk on which nothing relies.',
      query: changeQuery,
      answers: { 200: 'Deleted.' },
      handle: (call) => {
        const disk = diskName(call.params.disk ?? '')
        return carryOut(access, call, { kind: 'delete-disk', disk, precondition: preconditionOf(call) }, () => ({
          body: { deleted: disk },
        }))
      },
    },
  ]
}

/** Errors: DISK_NOT_FOUND. */
function diskOf(state: Reader, name: string): DiskRow {
  const row = state.get('disks', name)
  if (row !== undefined) return row
  const names = disksOf(state).map((disk) => disk.name)
  const nearest = nearestName(name, names)
  throw new ClusterError('DISK_NOT_FOUND', `there is no shared disk "${name.slice(0, 80)}"`, {
    fix: nearest === undefined ? 'GET /v1/disks lists them' : `did you mean "${nearest}"?`,
  })
}

async function put(access: Access, call: Call): Promise<Answer> {
  const { state } = await read(access, call)
  const disk = diskName(call.params.disk ?? '')
  const written = call.body as WrittenDisk & { readonly revision?: number }
  const definition = readDisk(written, state.get('disks', disk)?.definition, access.sealing(state))
  const precondition = { ...(written.revision === undefined ? {} : { ifRevision: written.revision as never }), ...preconditionOf(call) }
  return carryOut(access, call, { kind: 'put-disk', disk, definition, precondition }, (value) => {
    const view = localView(access.node)
    const row = diskOf(view.state, disk)
    const unchanged = value.unchanged === true ? { unchanged: true } : {}
    return { status: value.created === true ? 201 : 200, revision: row.revision, body: { ...presentDisk(view, row), ...unchanged } }
  })
}
