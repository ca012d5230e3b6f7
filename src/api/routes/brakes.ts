/** The brakes: what happened on its own lately, what is allowed, and how a person lets them go. */
import type { Access } from '../cluster/access.js'
import { carryOut, changeQuery } from '../cluster/changing.js'
import { blockingQuery, estimatedLogTime, read } from '../cluster/reading.js'
import type { Route } from '../http/route.js'
import { presentBrakes } from '../present/brakes.js'
import { releaseBrakesSchema } from '../schemas/index.js'

export function brakesRoutes(access: Access): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/brakes',
      tag: 'brakes',
      summary: 'What has moved groups on its own lately, how much may, and whether anything is held.',
      query: blockingQuery,
      answers: { 200: '`holds` is empty while what is due happens on its own.' },
      handle: async (call) => {
        const view = await read(access, call, { relevant: { tables: ['causes', 'cases', 'settings'] } })
        return { body: { ...view.age, ...presentBrakes(view.state, view.at) } }
      },
    },
    {
      method: 'POST',
      path: '/v1/brakes/release',
      tag: 'brakes',
      summary: 'What was counted until now counts no more, so that what is held goes on. Say why.',
      query: changeQuery,
      body: releaseBrakesSchema,
      answers: { 200: 'The brakes, let go; `held` tells whether they held anything.' },
      handle: (call) => {
        const { reason } = call.body as { readonly reason: string }
        return carryOut(access, call, { kind: 'release-brakes', by: 'an operator', reason }, ({ held }) => ({
          body: { held, ...presentBrakes(access.node.state, estimatedLogTime(access.node)) },
        }))
      },
    },
  ]
}
