/** Why a group is where it is, and why it is not elsewhere: the planner's own input and table, in sentences. */
import type { DecisionRow, GroupRow, Reader } from '../../core/cluster/index.js'
import { mayStillRun } from '../../core/cluster/index.js'
import { decideGroup, groupInput, plannerVersion, table } from '../../core/planner/index.js'
import { livenessOf, type View } from '../cluster/reading.js'
import { presentGroup } from './group.js'
import { onTheWall } from './times.js'

type Shown = Record<string, unknown>

export function why(view: View, group: GroupRow): Shown {
  const input = groupInput({ state: view.state, at: view.at, liveness: livenessOf(view.leaderView) }, group)
  const last = lastDecision(view.state, group.name)
  const next = decideGroup(input)
  const shown = presentGroup(view, group)
  return {
    group: group.name,
    state: shown.state,
    text: sentence(group, String(shown.state), shown.waitingFor, last),
    waitingFor: shown.waitingFor,
    lastDecision: last === undefined ? null : presentDecision(last),
    next: next === undefined || next.text === '' ? null : { action: next.action.kind, rule: next.rule, text: next.text },
    candidates: table(input),
    input,
    plannerVersion,
  }
}

function sentence(group: GroupRow, state: string, waiting: unknown, last: DecisionRow | undefined): string {
  const since = last === undefined ? '' : `: ${last.text} (rule ${last.rule})`
  if (typeof waiting === 'string') return `${group.name} is ${state}: ${waiting}`
  return mayStillRun(group) ? `${group.name} is ${state} on ${group.holder.node}${since}` : `${group.name} is ${state}${since}`
}

export function whyNot(view: View, group: GroupRow, node: string): Shown {
  const input = groupInput({ state: view.state, at: view.at, liveness: livenessOf(view.leaderView) }, group)
  const candidate = table(input).find((one) => one.node === node)
  const here = mayStillRun(group) && group.holder.node === node
  const holder = mayStillRun(group) ? group.holder.node : undefined
  if (candidate === undefined) {
    const text = `${node} is not in the list of ${group.name} (${group.definition.nodes.join(', ')})`
    return { group: group.name, node, eligible: false, rule: 'list', seen: text, text }
  }
  const text = here
    ? `${group.name} is on ${node}`
    : !candidate.eligible
      ? `${group.name} cannot go to ${node}: ${candidate.seen}`
      : holder === undefined
        ? `${node} could take ${group.name} (${candidate.seen}); see GET /v1/groups/${group.name}/why`
        : `${node} could take ${group.name} (${candidate.seen}), and it stays on ${holder}, where it runs: it moves only when asked, or when it cannot stay`
  return { group: group.name, ...candidate, text }
}

function lastDecision(state: Reader, group: string): DecisionRow | undefined {
  let last: DecisionRow | undefined
  for (const [, row] of state.rows('decisions')) if (row.group === group) last = row
  return last
}

export function presentDecision(row: DecisionRow): Shown {
  const { id, group, action, rule, text, wall, candidates, carried } = row
  const left = carried === undefined ? {} : { carried }
  return { id, time: onTheWall(wall), group, action, rule, text, candidates, plannerVersion: row.plannerVersion, ...left }
}
