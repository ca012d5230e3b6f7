/** Long work, and giving it up. */
import { ClusterError } from '../../base/index.js'
import type { OperationRow } from '../../core/cluster/index.js'
import type { Access } from '../cluster/access.js'
import { carryOut, changeQuery } from '../cluster/changing.js'
import { blockingQuery, read } from '../cluster/reading.js'
import type { Route } from '../http/route.js'
import { presentOperation } from '../present/operation.js'

export function operationRoutes(access: Access): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/operations',
      tag: 'operations',
      summary: 'Long work that is under way or has ended lately, newest first.',
      query: blockingQuery,
      answers: { 200: 'Operations.' },
      handle: async (call) => {
        const view = await read(access, call, { relevant: { tables: ['operations'] } })
        const rows = [...view.state.rows('operations')].map(([, row]) => row).sort((a, b) => b.startedAt - a.startedAt)
        return { body: { ...view.age, operations: rows.map((row) => presentOperation(row, view.node)) } }
      },
    },
    {
      method: 'GET',
      path: '/v1/operations/:operation',
      tag: 'operations',
      summary: 'One operation. With `wait` and no `index`, it waits for its end.',
      query: blockingQuery,
      answers: { 200: 'The operation.' },
      handle: async (call) => {
        const key = call.params.operation ?? ''
        const row = (): OperationRow => found(access.node.state.get('operations', key), key)
        await read(access, call, { relevant: { tables: [], row: { table: 'operations', key } } })
        if (call.query.number('index') === undefined)
          await access.waits.until(() => row().status !== 'running', call.query.number('wait') ?? 0, call.signal)
        const view = await read(access, call)
        return { body: { ...view.age, ...presentOperation(row(), view.node) } }
      },
    },
    {
      method: 'DELETE',
      path: '/v1/operations/:operation',
      tag: 'operations',
      summary: 'Gives it up and says what was undone. Only a move can be given up.',
      query: changeQuery,
      answers: { 200: '`undone` says where things are left.' },
      handle: (call) => {
        const id = call.params.operation ?? ''
        return carryOut(access, call, { kind: 'cancel-operation', operation: id }, (value) => ({
          body: { ...presentOperation(found(access.node.state.get('operations', id), id), access.node), ...value },
        }))
      },
    },
  ]
}

/** Errors: OPERATION_NOT_FOUND. */
function found(row: OperationRow | undefined, id: string): OperationRow {
  if (row === undefined)
    throw new ClusterError('OPERATION_NOT_FOUND', `there is no operation "${id.slice(0, 80)}"`, { fix: 'GET /v1/operations lists them' })
  return row
}
