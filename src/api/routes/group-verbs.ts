/** What groups are told to do. */
import type { GroupName, NodeId } from '../../base/index.js'
import type { Command } from '../../core/cluster/index.js'
import type { Access } from '../cluster/access.js'
import { carryOut, changeQuery, operate, operationQuery } from '../cluster/changing.js'
import { readFreeze, type WrittenFreeze } from '../cluster/freezing.js'
import type { Call, Route } from '../http/route.js'
import { freezeSchema, moveSchema, type Schema } from '../schemas/index.js'
import { presentNow } from './groups.js'
import { operationAnswers } from './node-verbs.js'

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
    short(
      'freeze',
      'Nothing is done about it on its own, until the freeze ends or is lifted. The lease still holds.',
      (group, call) => ({ kind: 'freeze-group', group, ...readFreeze(access, call, call.body as WrittenFreeze) }),
      freezeSchema,
    ),
    short('unfreeze', 'It is looked at anew, and then looked after again.', (group) => ({ kind: 'unfreeze-group', group })),
    short(
      'clear',
      'Forgets its failures, bans and that it was stopped for them; never a grant. A dry run lists in `forgets` what that would be.',
      (group) => ({ kind: 'clear-group', group }),
    ),
  ]
}
