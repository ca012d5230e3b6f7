/** The settings: what is set, and what is in force. */
import type { Access } from '../cluster/access.js'
import { carryOut, changeQuery } from '../cluster/changing.js'
import { blockingQuery, read } from '../cluster/reading.js'
import type { Route } from '../http/route.js'
import { presentSettings } from '../present/settings.js'
import { settingsSchema } from '../schemas/index.js'

export function settingsRoutes(access: Access): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/settings',
      tag: 'settings',
      summary: 'Every setting in force, and which of them are set.',
      query: blockingQuery,
      answers: { 200: '`set` is what was chosen; the rest follows from the profile.' },
      handle: async (call) => {
        const view = await read(access, call, { relevant: { tables: ['settings'] } })
        return { body: { ...view.age, ...presentSettings(view.state) } }
      },
    },
    {
      method: 'PATCH',
      path: '/v1/settings',
      tag: 'settings',
      summary: 'Changes settings, checked as a set; null returns one to its profile.',
      query: changeQuery,
      body: settingsSchema,
      answers: { 200: 'The settings now in force.' },
      handle: (call) =>
        carryOut(access, call, { kind: 'patch-settings', patch: call.body as Record<string, unknown> }, (value) => ({
          body: { revision: value.revision, ...presentSettings(access.node.state) },
        })),
    },
  ]
}
