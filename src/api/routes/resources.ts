/** One resource of a group: its definition, its state where it runs, its failures. */
import { ClusterError, nearestName } from '../../base/index.js'
import { type GroupRow, mayStillRun } from '../../core/cluster/index.js'
import type { Access } from '../cluster/access.js'
import { writtenResource } from '../cluster/definition.js'
import { blockingQuery, read, type View } from '../cluster/reading.js'
import type { Route } from '../http/route.js'
import { groupOf } from './groups.js'

export function resourceRoutes(access: Access): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/groups/:group/resources/:resource',
      tag: 'groups',
      summary: 'One resource: definition, state, failures that count.',
      query: blockingQuery,
      answers: { 200: 'The resource.' },
      handle: async (call) => {
        const key = call.params.group ?? ''
        const view = await read(access, call, { relevant: { tables: ['boots'], row: { table: 'groups', key } } })
        return { body: { ...view.age, ...present(view, groupOf(view.state, key), call.params.resource ?? '') } }
      },
    },
  ]
}

function present(view: View, group: GroupRow, name: string): Record<string, unknown> {
  const known = Object.keys(group.definition.resources)
  const definition = known.includes(name) ? group.definition.resources[name as never] : undefined
  if (definition === undefined) {
    const nearest = nearestName(name, known)
    throw new ClusterError('RESOURCE_NOT_FOUND', `group ${group.name} has no resource "${name.slice(0, 80)}"`, {
      fix: nearest === undefined ? `its resources are ${known.join(', ')}` : `did you mean "${nearest}"?`,
    })
  }
  const holder = mayStillRun(group) ? group.holder : undefined
  const reported = holder?.report.resources[name as never]
  // This node's own monitor knows a little earlier than the log.
  const local = holder?.node === view.node.status.node ? view.node.agentReports.reportOf(group.name)?.resources[name as never] : undefined
  const seen = local ?? reported
  return {
    name,
    group: group.name,
    node: holder?.node ?? null,
    state: seen?.state ?? 'STOPPED',
    detail: seen?.detail ?? null,
    definition: writtenResource(definition),
    failures: Object.fromEntries(
      Object.entries(group.failures).map(([node, failures]) => [node, failures.filter((failure) => failure.resource === name)]),
    ),
  }
}
