/** What people look at first. Status and attention answer without a quorum too, from what this node last knew. */
import { groupsOf, metaOf, nodesOf } from '../../core/cluster/index.js'
import type { Access } from '../cluster/access.js'
import { blockingQuery, read, readQuery, type View } from '../cluster/reading.js'
import type { Route } from '../http/route.js'
import { attentionOf } from '../present/attention.js'
import { presentNode } from '../present/node.js'
import { protectionOf } from '../present/protection.js'
import { presentGroups } from '../present/scalable.js'
import { presentFreeze } from '../present/times.js'

const relevant = { tables: ['nodes', 'boots', 'groups', 'scalables', 'cases', 'settings'] } as const

/** What nothing is done about on its own now: shown first, so that nobody forgets it. */
function freezesIn(view: View): readonly Record<string, unknown>[] {
  return [
    ...nodesOf(view.state).flatMap(({ name, maintenance }) =>
      maintenance === undefined ? [] : [{ node: name, ...presentFreeze(maintenance, view.at) }],
    ),
    ...groupsOf(view.state).flatMap(({ name, frozen }) => (frozen === null ? [] : [{ group: name, ...presentFreeze(frozen, view.at) }])),
  ]
}

export function statusRoutes(access: Access): readonly Route[] {
  const around = () => ({ insecure: access.isInsecure, turnedAway: access.daemon.turnedAway })
  return [
    {
      method: 'GET',
      path: '/v1/status',
      tag: 'status',
      summary: 'The cluster on one page: leader, nodes, groups, and what needs a person.',
      query: blockingQuery,
      answers: { 200: 'Also without a leader: then `quorate` is false and the answer has its age.' },
      handle: async (call) => {
        const { daemon } = access
        if (access.formedNode === undefined) {
          const { clusterName: name, node } = daemon.config
          const { waitingFor } = access
          return { body: { name, formed: false, answeredBy: node, quorate: false, waitingFor, turnedAway: daemon.turnedAway } }
        }
        const view = await read(access, call, { anyway: true, withLeaderView: true, relevant })
        const { status } = view.node
        return {
          body: {
            name: metaOf(view.state).clusterName,
            formed: true,
            answeredBy: status.node,
            leader: status.leader ?? null,
            term: status.term,
            quorate: view.quorate,
            insecure: access.isInsecure,
            ...view.age,
            frozen: freezesIn(view),
            nodes: nodesOf(view.state).map((row) => presentNode(view, row)),
            groups: presentGroups(view),
            attention: attentionOf(view, around()),
          },
        }
      },
    },
    {
      method: 'GET',
      path: '/v1/attention',
      tag: 'status',
      summary: 'What needs a person, each with the next step.',
      query: blockingQuery,
      answers: { 200: 'Also without a leader.' },
      handle: async (call) => {
        const view = await read(access, call, { anyway: true, withLeaderView: true, relevant })
        return { body: { quorate: view.quorate, ...view.age, attention: attentionOf(view, around()) } }
      },
    },
    {
      method: 'GET',
      path: '/v1/protection',
      tag: 'status',
      summary: 'What would happen if a node were lost this moment, per node and group.',
      query: readQuery,
      answers: { 200: '`strong`, `weak`, `manual`, `unprotected` or `maintained` per node.' },
      handle: async (call) => {
        const view = await read(access, call, { withLeaderView: true })
        return { body: { ...view.age, ...protectionOf(view) } }
      },
    },
  ]
}
