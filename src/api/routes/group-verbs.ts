/** What groups are told to do. */
import { ClusterError, type GroupName, type NodeId, parseDuration } from '../../base/index.js'
import type { Command } from '../../core/cluster/index.js'
import type { Access } from '../cluster/access.js'
import { carryOut, changeQuery, operate, operationQuery } from '../cluster/changing.js'
import type { Call, Route } from '../http/route.js'
import { freezeSchema, moveSchema, type Schema } from '../schemas/index.js'
import { presentNow } from './groups.js'
import { operationAnswers } from './node-verbs.js'

const freezeMax = 30 * 86_400_000

export function groupVerbRoutes(access: Access): readonly Route[] {
  const long = (
    verb: string,
    summary: string,
    make: (group: GroupName, operation: string, call: Call) => Command,
    body?: Schema,
  ): Route => ({
    method: 'POST',
    path: `/v1/groups/:group/${verb}`,
    tag: 'groups',
    summary,
    query: operationQuery,
    ...(body === undefined ? {} : { body }),
    answers: operationAnswers,
    handle: (call) => operate(access, call, (operation) => make((call.params.group ?? '') as GroupName, operation, call)),
  })
  const short = (verb: string, summary: string, make: (group: GroupName, call: Call) => Command, body?: Schema): Route => ({
    method: 'POST',
    path: `/v1/groups/:group/${verb}`,
    tag: 'groups',
    summary,
    query: changeQuery,
    ...(body === undefined ? {} : { body }),
    answers: { 200: 'The group.' },
    handle: (call) => {
      const group = (call.params.group ?? '') as GroupName
      return carryOut(access, call, make(group, call), () => presentNow(access, group))
    },
  })
  return [
    long('online', 'It is to run.', (group, operation) => ({ kind: 'set-intent', group, intent: 'ONLINE', operation })),
    long('offline', 'It is to stop and stay so.', (group, operation) => ({ kind: 'set-intent', group, intent: 'OFFLINE', operation })),
    long(
      'move',
      'It is to run on another node of its list.',
      (group, operation, call) => ({ kind: 'move-group', group, to: (call.body as { to: NodeId }).to, operation }),
      moveSchema,
    ),
    long('restart', 'It is stopped and started where it is.', (group, operation) => ({ kind: 'restart-group', group, operation })),
    short('freeze', 'The planner leaves it alone, until it ends or is unfrozen. The lease still holds.', freeze, freezeSchema),
    short('unfreeze', 'The planner looks after it again.', (group) => ({ kind: 'unfreeze-group', group })),
    short(
      'clear',
      'Forgets its failures, bans and that it was stopped for them; never a grant. A dry run lists in `forgets` what that would be.',
      (group) => ({ kind: 'clear-group', group }),
    ),
  ]
}

function freeze(group: GroupName, call: Call): Command {
  const body = call.body as { readonly for: string | number; readonly owner: string; readonly reason: string }
  const forMs = parseDuration(body.for)
  if (forMs < 1_000 || forMs > freezeMax)
    throw new ClusterError('INVALID', `for is ${JSON.stringify(body.for)}`, { fix: 'stay between 1s and 30d; a freeze always has an end' })
  return { kind: 'freeze-group', group, forMs, owner: body.owner, reason: body.reason }
}
