/** Cases: suspected nodes' stories, and a person's word as proof. */
import { type CaseId, ClusterError, type NodeId } from '../../base/index.js'
import type { CaseRow, Reader } from '../../core/cluster/index.js'
import type { Access } from '../cluster/access.js'
import { carryOut, changeQuery } from '../cluster/changing.js'
import { blockingQuery, read } from '../cluster/reading.js'
import type { Answer, Call, Route } from '../http/route.js'
import { presentCase, presentCaseWhole } from '../present/case.js'
import { acknowledgeSchema } from '../schemas/index.js'

export function caseRoutes(access: Access): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/cases',
      tag: 'cases',
      summary: 'Every case that is kept, oldest first.',
      query: { ...blockingQuery, open: { kind: 'flag', doc: '`true`: only those that are not over.' } },
      answers: { 200: 'Cases with stage, proof, timings and the next step.' },
      handle: async (call) => {
        const view = await read(access, call, { relevant: { tables: ['cases'] } })
        const rows = [...view.state.rows('cases')].map(([, row]) => row).sort((a, b) => a.openedIndex - b.openedIndex)
        const shown = call.query.flag('open') === true ? rows.filter((row) => row.stage !== 'RECOVERED' && row.stage !== 'CLOSED') : rows
        return { body: { ...view.age, cases: shown.map(presentCase) } }
      },
    },
    {
      method: 'GET',
      path: '/v1/cases/:case',
      tag: 'cases',
      summary: 'One case with its dossier and timeline.',
      query: blockingQuery,
      answers: { 200: 'The case.' },
      handle: async (call) => {
        const key = call.params.case ?? ''
        const view = await read(access, call, { relevant: { tables: [], row: { table: 'cases', key } } })
        return { body: { ...view.age, ...presentCaseWhole(caseOf(view.state, key)) } }
      },
    },
    {
      method: 'POST',
      path: '/v1/cases/:case/acknowledge',
      tag: 'cases',
      summary: 'A person states that the node is off: the operator’s proof. Type its name again in the body.',
      query: changeQuery,
      body: acknowledgeSchema,
      answers: { 200: 'The case, proved.' },
      handle: (call) => acknowledge(access, call),
    },
  ]
}

async function acknowledge(access: Access, call: Call): Promise<Answer> {
  const { node: typed, reason } = call.body as { readonly node: NodeId; readonly reason: string }
  const { state, node } = await read(access, call)
  const row = caseOf(state, call.params.case ?? '')
  const { leader } = node.status
  if (leader === undefined)
    throw new ClusterError('NO_LEADER', 'only a leader knows what was heard of the node', { fix: 'try again in a moment' })
  const heard = (await node.ask(leader, { kind: 'unheard', node: row.node, boot: row.boot })) as { readonly unheard: boolean }
  const command = {
    kind: 'operator-proof',
    caseId: row.id as CaseId,
    node: typed,
    reason,
    by: 'an operator',
    unheard: heard.unheard,
  } as const
  return carryOut(access, call, command, () => ({ body: presentCaseWhole(caseOf(access.node.state, row.id)) }))
}

/** Errors: CASE_NOT_FOUND. */
function caseOf(state: Reader, id: string): CaseRow {
  const row = state.get('cases', id)
  if (row === undefined)
    throw new ClusterError('CASE_NOT_FOUND', `there is no case "${id.slice(0, 80)}"`, { fix: 'GET /v1/cases lists them' })
  return row
}
