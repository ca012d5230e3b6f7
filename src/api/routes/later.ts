/** What the contract lists and a later version brings: answered with NOT_YET and what can be done meanwhile. */
import { ClusterError } from '../../base/index.js'
import type { Method, Route } from '../http/route.js'

const later: readonly (readonly [Method, string, string, string])[] = [
  ['POST', '/v1/simulate', 'What would happen if nodes were lost.', 'GET /v1/protection says who could take each group now'],
  ['GET', '/v1/backup', 'A backup.', 'GET /v1/config has settings, nodes and groups'],
  ['POST', '/v1/restore', 'A restore.', 'POST /v1/apply takes what GET /v1/config gave'],
]

export function laterRoutes(): readonly Route[] {
  return later.map(([method, path, summary, fix]) => ({
    method,
    path,
    tag: 'later',
    summary: `${summary} Comes with a later version.`,
    body: 'raw',
    answers: {},
    anyQuery: true,
    handle: () => {
      throw new ClusterError('NOT_YET', `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')} comes with a later version`, { fix })
    },
  }))
}
