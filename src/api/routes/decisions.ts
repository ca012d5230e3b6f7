/** What the planner decided, with its input; run again on that input it must say the same. */
import { ClusterError } from '../../base/index.js'
import { canonical, type DecisionRow, type Reader } from '../../core/cluster/index.js'
import { decideGroup, type GroupInput, plannerVersion } from '../../core/planner/index.js'
import type { Access } from '../cluster/access.js'
import { blockingQuery, read, readQuery } from '../cluster/reading.js'
import type { Route } from '../http/route.js'
import { presentDecision } from '../present/explanation.js'

export function decisionRoutes(access: Access): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/decisions',
      tag: 'decisions',
      summary: 'What the planner decided, newest first.',
      query: {
        ...blockingQuery,
        group: { kind: 'text', doc: 'Only of this group.' },
        limit: { kind: 'integer', min: 1, max: 1_000, doc: 'How many; 100 unless given.' },
      },
      answers: { 200: 'Decisions with their rules and candidates.' },
      handle: async (call) => {
        const view = await read(access, call, { relevant: { tables: ['decisions'] } })
        const group = call.query.text('group')
        const rows = [...view.state.rows('decisions')].map(([, row]) => row).filter((row) => group === undefined || row.group === group)
        const shown = rows.reverse().slice(0, call.query.number('limit') ?? 100)
        return { body: { ...view.age, decisions: shown.map(presentDecision) } }
      },
    },
    {
      method: 'GET',
      path: '/v1/decisions/:decision',
      tag: 'decisions',
      summary: 'One decision with its whole input.',
      query: readQuery,
      answers: { 200: 'The decision.' },
      handle: async (call) => {
        const view = await read(access, call)
        const row = decisionOf(view.state, call.params.decision ?? '')
        return { body: { ...view.age, ...presentDecision(row), input: row.input } }
      },
    },
    {
      method: 'GET',
      path: '/v1/decisions/:decision/replay',
      tag: 'decisions',
      summary: 'Decides again on the kept input and compares.',
      query: readQuery,
      answers: { 200: '`same` says whether it came out the same.' },
      handle: async (call) => {
        const view = await read(access, call)
        const row = decisionOf(view.state, call.params.decision ?? '')
        const kept = canonical({ action: row.action, rule: row.rule, text: row.text, candidates: row.candidates })
        const again = canonical(decideAgain(row))
        return {
          body: {
            ...view.age,
            decision: row.id,
            same: kept === again,
            keptVersion: row.plannerVersion,
            plannerVersion,
            kept: JSON.parse(kept),
            again: JSON.parse(again),
          },
        }
      },
    },
  ]
}

function decideAgain(row: DecisionRow): Record<string, unknown> | null {
  const decision = decideGroup(row.input as unknown as GroupInput)
  if (decision === undefined) return null
  const { action, rule, text, candidates } = decision
  return { action: action.kind === 'grant' ? `grant to ${action.node}` : action.kind, rule, text, candidates }
}

/** Errors: DECISION_NOT_FOUND. */
function decisionOf(state: Reader, id: string): DecisionRow {
  const row = state.get('decisions', id)
  if (row === undefined)
    throw new ClusterError('DECISION_NOT_FOUND', `there is no decision "${id.slice(0, 80)}", or it is no longer kept`, {
      fix: 'GET /v1/decisions lists them',
    })
  return row
}
