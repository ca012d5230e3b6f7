/** Is the process there, is it ready, what does it measure: no quorum is needed for any of it. */
import { ClusterError } from '../../base/index.js'
import type { Access } from '../cluster/access.js'
import type { Route } from '../http/route.js'
import { metricsText } from '../present/metrics.js'

export function liveRoutes(access: Access): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/livez',
      tag: 'health',
      summary: 'The process answers.',
      answers: { 200: 'It does.' },
      handle: () => ({ body: { live: true } }),
    },
    {
      method: 'GET',
      path: '/readyz',
      tag: 'health',
      summary: 'The node is part of a formed cluster with a leader.',
      answers: { 200: 'It is.' },
      handle: () => {
        const { status } = access.node
        if (status.leader === undefined)
          throw new ClusterError('NO_QUORUM', 'waiting for a leader', { fix: 'GET /v1/attention says what is missing' })
        const missing = [...(status.guardian ? [] : ['guardian']), ...(status.monitor ? [] : ['monitor'])]
        return { body: { ready: true, leader: status.leader, missing } }
      },
    },
    {
      method: 'GET',
      path: '/metrics',
      tag: 'health',
      summary: 'Figures for Prometheus.',
      answers: { 200: 'Text in the Prometheus format, version 0.0.4.' },
      handle: () => ({ text: { type: 'text/plain; version=0.0.4; charset=utf-8', value: metricsText(access) } }),
    },
  ]
}
