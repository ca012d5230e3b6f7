/**
 * Groups whose starts bring nodes down: after the loss of a second one the group rests in POISON.
 *
 * A loss counts where it came within `poisonWindow` of a start on that node, by a case that nobody asked for or by a return
 * with another boot. Who else was started on both nodes at those moments rests too: nobody can tell them apart.
 */
import { formatDuration } from '../../base/index.js'
import { isAskedFor } from './brakes.js'
import type { Context } from './context.js'
import { brakesLevel, levelInForce } from './features.js'
import { recoveredTrigger } from './recovered-trigger.js'
import type { CaseRow, GroupRow, Holder, Proof, StartLoss } from './rows.js'

const lossesKept = 10

/** The group as it is after its holder's token has ended by this proof. */
export function afterLoss<Row extends GroupRow & { readonly holder: Holder }>(context: Context, group: Row, proof: Proof): Row {
  const { poisonWindow } = context.settings
  if (levelInForce(context.draft) < brakesLevel || poisonWindow === 0) return group
  const story = proof.caseId === null ? undefined : context.draft.get('cases', proof.caseId)
  if (story !== undefined && !wasCrash(story, group)) return group
  const lostAt = story?.openedAt ?? context.at
  const { node, boot } = group.holder
  const after = sinceStart(group.holder, lostAt)
  if (after > poisonWindow) return forgiven(group)
  const loss: StartLoss = { node, boot, at: context.at, after, caseId: proof.caseId }
  const losses = [...(group.losses ?? []).filter((one) => one.boot !== boot), loss].slice(-lossesKept)
  const first = losses.findLast((one) => one.node !== node)
  if (first === undefined || group.poisoned !== undefined) return { ...group, losses }
  const reason = `a start of it was followed by the loss of ${told(first)}, and the next one by that of ${told(loss)}`
  context.event('group.poison', group.name, `${group.name} rests until it is cleared: ${reason}`, {
    nodes: [first.node, node],
    cases: [first.caseId, loss.caseId],
  })
  return { ...group, losses, poisoned: { at: context.at, reason } }
}

/** The holder has released it: where it ran for long enough, earlier losses were none of its doing. */
export function afterRelease<Row extends GroupRow & { readonly holder: Holder }>(context: Context, group: Row): Row {
  return context.at - group.holder.grantedAt > context.settings.poisonWindow ? forgiven(group) : group
}

/** A power-off that a person asked for is no crash, and one that a rule asked for is the doing of that rule's group. */
function wasCrash(story: CaseRow, group: GroupRow): boolean {
  if (isAskedFor(story) || story.trigger === recoveredTrigger) return false
  return !story.trigger.startsWith('asked by ') || story.trigger.startsWith(`asked by the failure rules of ${group.name}:`)
}

/** Milliseconds from the last start, in place or by the grant, to the loss; 0 while it was being started. */
function sinceStart({ grantedAt, report }: Holder, lostAt: number): number {
  const { state, since = grantedAt } = report
  if (state === 'GRANTED' || state === 'STARTING') return 0
  return Math.max(0, lostAt - (state === 'ONLINE' ? Math.max(grantedAt, since) : grantedAt))
}

function forgiven<Row extends GroupRow>(group: Row): Row {
  if (group.losses === undefined) return group
  const { losses: _losses, ...rest } = group
  return rest as Row
}

function told({ node, after, caseId }: StartLoss): string {
  const when = after === 0 ? 'while it was being started' : `${formatDuration(Math.max(1_000, Math.round(after / 1_000) * 1_000))} later`
  return `${node} ${when} (${caseId === null ? 'which came back with another boot' : `case ${caseId}`})`
}
