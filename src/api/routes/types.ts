/** Resource types and their parameters, as this node has them. */
import type { Access } from '../cluster/access.js'
import type { Route } from '../http/route.js'

export function typeRoutes(access: Access): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/types',
      tag: 'types',
      summary: 'The types that this node knows: built in, the OCF agents installed here, and services of systemd.',
      answers: { 200: 'Names.' },
      handle: () => ({ body: { node: access.daemon.config.node, types: access.types.list() } }),
    },
    {
      method: 'GET',
      path: '/v1/types/:type',
      tag: 'types',
      summary:
        'One type: its parameters, for OCF agents from their own metadata; of a unit, what systemd says of it and what stands against it as a resource.',
      answers: { 200: 'The type.' },
      handle: async (call) => ({ body: await access.types.describe(call.params.type ?? '') }),
    },
  ]
}
