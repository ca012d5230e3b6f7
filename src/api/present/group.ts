/** Groups as the API shows them. */
import { type GroupRow, mayStillRun, type Reader } from '../../core/cluster/index.js'
import { rulesOf } from '../../core/planner/index.js'
import { writtenForm } from '../cluster/definition.js'
import type { View } from '../cluster/reading.js'
import { presentBans, presentFailovers, presentFailures, presentHalted, presentPoison } from './failures.js'
import { groupState, holderSeen } from './group-state.js'
import { grantedSince, remaining } from './times.js'

type Shown = Record<string, unknown>

/** As in status and in lists. */
export function presentGroup(view: View, group: GroupRow): Shown {
  return {
    name: group.name,
    state: groupState(group, holderSeen(view.state, group, view.leaderView), view.at),
    intent: group.intent,
    holders: holdersOf(view.state, group),
    waitingFor: waitingFor(view, group),
  }
}

export function holdersOf(state: Reader, group: GroupRow): readonly Shown[] {
  if (!mayStillRun(group)) return []
  const { node, boot, token } = group.holder
  return [{ node, boot, token, since: grantedSince(state, token) }]
}

export function waitingFor(view: View, group: GroupRow): string | null {
  if (group.waitingFor !== null) return group.waitingFor
  if (group.frozen === null || mayStillRun(group) || group.intent === 'OFFLINE') return null
  return `frozen by ${group.frozen.owner} for another ${remaining(group.frozen.until, view.at)}: ${group.frozen.reason}`
}

/** Everything about one group. What is not `definition` or `intent` may be sent back with a PUT and is not taken from there. */
export function presentGroupWhole(view: View, group: GroupRow): Shown {
  const { frozen, move, holder } = group
  const open = mayStillRun(group)
  return {
    ...presentGroup(view, group),
    revision: group.revision,
    definition: writtenForm(group.definition),
    resources: Object.fromEntries(
      Object.entries(group.definition.resources).map(([name, resource]) => {
        const reported = open ? holder?.report.resources[name as never] : undefined
        return [
          name,
          {
            type: resource.type,
            state: reported?.state ?? 'STOPPED',
            ...(reported?.detail === undefined ? {} : { detail: reported.detail }),
            ...(reported?.degraded === true ? { degraded: true } : {}),
          },
        ]
      }),
    ),
    frozen: frozen === null ? null : { owner: frozen.owner, reason: frozen.reason, remaining: remaining(frozen.until, view.at) },
    move: move === null ? null : { to: move.to, from: move.from, operation: move.operation },
    deleting: group.deleting,
    lastNode: group.lastNode,
    failures: presentFailures(group, view.at),
    effectiveRules: rulesOf(group, (open ? holder?.pinned.resources : undefined) ?? group.definition.resources),
    halted: presentHalted(group, view.at),
    poison: presentPoison(group, view.at),
    failovers: presentFailovers(group, view.at),
    bans: presentBans(group, view.at),
    proof: group.proof,
  }
}
