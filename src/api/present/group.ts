/** Groups as the API shows them. */
import { freezesOf, type GroupRow, mayStillRun, poisonOf, type Reader, wholeOf } from '../../core/cluster/index.js'
import { rulesOf } from '../../core/planner/index.js'
import { writtenForm } from '../cluster/definition.js'
import type { View } from '../cluster/reading.js'
import { presentBans, presentFailovers, presentFailures, presentHalted, presentPoison } from './failures.js'
import { groupState, holderSeen } from './group-state.js'
import { grantedSince, presentFreeze, presentLapsed, remaining } from './times.js'

type Shown = Record<string, unknown>

/** As in status and in lists. */
export function presentGroup(view: View, group: GroupRow): Shown {
  return {
    name: group.name,
    state: groupState(resting(view, group), holderSeen(view.state, group, view.leaderView), view.at),
    intent: group.intent,
    holders: holdersOf(view.state, group),
    waitingFor: waitingFor(view, group),
    ...presentFreezes(view, group),
  }
}

/** With the poison of its whole, which is its own. */
export function resting({ state }: View, group: GroupRow): GroupRow {
  const poisoned = poisonOf(state, group)
  const losses = wholeOf(state, group)?.losses ?? group.losses
  return { ...group, ...(poisoned === undefined ? {} : { poisoned }), ...(losses === undefined ? {} : { losses }) }
}

function presentFreezes(view: View, group: GroupRow): Shown {
  const maintenance = freezesOf(view.state, group).find(({ node }) => node !== undefined)
  return {
    frozen: group.frozen === null ? null : presentFreeze(group.frozen, view.at),
    maintenance: maintenance === undefined ? null : { node: maintenance.node, ...presentFreeze(maintenance, view.at) },
  }
}

export function holdersOf(state: Reader, group: GroupRow): readonly Shown[] {
  if (!mayStillRun(group)) return []
  const { node, boot, token } = group.holder
  return [{ node, boot, token, since: grantedSince(state, token) }]
}

export function waitingFor(view: View, group: GroupRow): string | null {
  const [freeze] = freezesOf(view.state, group)
  const isDown = mayStillRun(group) ? group.holder.report.state === 'FAILED' || group.holder.report.state === 'UNKNOWN' : true
  if (freeze === undefined || !isDown || group.intent === 'OFFLINE') return group.waitingFor
  const what = freeze.node === undefined ? 'frozen' : `${freeze.node} is in maintenance`
  return `${what} by ${freeze.owner} for another ${remaining(freeze.until, view.at)}: ${freeze.reason}`
}

/** Everything about one group. What is not `definition` or `intent` may be sent back with a PUT and is not taken from there. */
export function presentGroupWhole(view: View, group: GroupRow): Shown {
  const { move, holder } = group
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
    lapsed: group.lapsed === undefined ? null : presentLapsed(group.lapsed, view.at),
    move: move === null ? null : { to: move.to, from: move.from, operation: move.operation },
    deleting: group.deleting,
    lastNode: group.lastNode,
    failures: presentFailures(group, view.at),
    effectiveRules: rulesOf(group, (open ? holder?.pinned.resources : undefined) ?? group.definition.resources),
    halted: presentHalted(group, view.at),
    poison: presentPoison(resting(view, group), view.at),
    failovers: presentFailovers(group, view.at),
    bans: presentBans(group, view.at),
    proof: group.proof,
  }
}
