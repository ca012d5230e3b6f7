/**
 * Groups whose starts bring nodes down: after the loss of a second one the group rests in POISON.
 *
 * A loss counts where it came within `poisonWindow` of a start on that node, by a case that nobody asked for or by a return
 * with another boot. Who else was started on both nodes at those moments rests too: nobody can tell them apart. Of a group that
 * runs on several nodes the losses that follow starts of all its parts are counted together, and it rests as a whole.
 */
import { formatDuration, type LogTime } from '../../base/index.js'
import { isAskedFor } from './brakes.js'
import type { Context } from './context.js'
import { brakesLevel, levelInForce } from './features.js'
import { mayStillRun } from './orders.js'
import { recoveredTrigger } from './recovered-trigger.js'
import type { CaseRow, GroupRow, Holder, Proof, ScalableRow, StartLoss } from './rows.js'
import { partRows, wholeOf } from './scalable.js'
import type { Reader } from './state.js'

const lossesKept = 10

/** What losses are counted for: a group that runs on one node, or all parts of one that runs on several. */
type Counted = Pick<GroupRow | ScalableRow, 'name' | 'losses' | 'poisoned'>

/** That it rests, alone or with the whole that it is a part of: then nothing of that is started, and what runs is left. */
export function poisonOf(reader: Reader, group: GroupRow): GroupRow['poisoned'] {
  return group.poisoned ?? (mayStillRun(group) ? undefined : wholeOf(reader, group)?.poisoned)
}

/** The group as it is after its holder's token has ended by this proof. */
export function afterLoss<Row extends GroupRow & { readonly holder: Holder }>(context: Context, group: Row, proof: Proof): Row {
  const { poisonWindow } = context.settings
  if (levelInForce(context.draft) < brakesLevel || poisonWindow === 0) return group
  const whole = wholeOf(context.draft, group)
  const story = proof.caseId === null ? undefined : context.draft.get('cases', proof.caseId)
  if (story !== undefined && !wasCrash(story, (whole ?? group).name)) return group
  const { node, boot } = group.holder
  const after = sinceStart(group.holder, story?.openedAt ?? context.at)
  const loss = after > poisonWindow ? undefined : { node, boot, at: context.at, after, caseId: proof.caseId }
  const startedAt = startOf(group.holder)
  if (whole === undefined) return loss === undefined ? forgiven(group) : counted(context, group, loss, loss, startedAt)
  const known = { ...whole, losses: stillCounting(context, whole) }
  const next = loss === undefined ? forgiven(known, startedAt) : counted(context, known, loss, shortest(known, loss), startedAt)
  context.draft.put('scalables', whole.name, next)
  if (whole.poisoned === undefined && next.poisoned !== undefined) restParts(context, next, next.poisoned)
  return group
}

/** Several parts of one group may be lost with one boot: what was started last tells. */
function shortest({ losses = [] }: Counted, loss: StartLoss): StartLoss {
  const same = losses.find((one) => one.boot === loss.boot)
  return same !== undefined && same.after < loss.after ? same : loss
}

function counted<Subject extends Counted>(context: Context, group: Subject, loss: StartLoss, kept: StartLoss, startedAt: number): Subject {
  const losses = [...(group.losses ?? []).filter((one) => one.boot !== loss.boot), kept].slice(-lossesKept)
  const first = losses.findLast((one) => one.node !== loss.node && isFollowedBy(one, loss, startedAt))
  if (first === undefined || group.poisoned !== undefined) return { ...group, losses }
  const reason = `a start of it was followed by the loss of ${told(first)}, and the next one by that of ${told(loss)}`
  context.event('group.poison', group.name, `${group.name} rests until it is cleared: ${reason}`, {
    nodes: [first.node, loss.node],
    cases: [first.caseId, loss.caseId],
  })
  return { ...group, losses, poisoned: { at: context.at, reason } }
}

/** Copies are started on many nodes at once, and a power cut of all of them is no doing of theirs; nodes that are lost one by one may be. */
function isFollowedBy(first: StartLoss, loss: StartLoss, startedAt: number): boolean {
  return startedAt >= first.at || (first.caseId !== null && loss.caseId !== null)
}

/** Without those after which a part was started that has run for long since: the losses were none of its doing. */
function stillCounting(context: Context, whole: ScalableRow): readonly StartLoss[] {
  const ranWell = partRows(context.draft, whole.name).flatMap((part) => {
    if (!mayStillRun(part) || part.holder.report.state !== 'ONLINE') return []
    const startedAt = startOf(part.holder)
    return context.at - startedAt > context.settings.poisonWindow ? [startedAt] : []
  })
  return (whole.losses ?? []).filter(({ at }) => !ranWell.some((startedAt) => startedAt >= at))
}

/** What was started lately may be about to bring down its node too: it is stopped. What has run for longer is left. */
function restParts(context: Context, { name }: ScalableRow, poisoned: { readonly at: LogTime; readonly reason: string }): void {
  for (const part of partRows(context.draft, name))
    if (mayStillRun(part) && sinceStart(part.holder, context.at) <= context.settings.poisonWindow) context.putGroup({ ...part, poisoned })
}

/** The holder has released it: where it ran for long enough, earlier losses were none of its doing. */
export function afterRelease<Row extends GroupRow & { readonly holder: Holder }>(context: Context, group: Row): Row {
  if (context.at - group.holder.grantedAt <= context.settings.poisonWindow) return group
  const whole = wholeOf(context.draft, group)
  if (whole === undefined) return forgiven(group)
  if (whole.losses !== undefined) context.draft.put('scalables', whole.name, forgiven(whole, group.holder.grantedAt))
  return group
}

/** A power-off that a person asked for is no crash, and one that a rule asked for is the doing of that rule's group. */
function wasCrash(story: CaseRow, name: string): boolean {
  if (isAskedFor(story) || story.trigger === recoveredTrigger) return false
  // Parts are called by the name of their whole, a colon, and which they are.
  return !story.trigger.startsWith('asked by ') || story.trigger.startsWith(`asked by the failure rules of ${name}:`)
}

/** When it was last started, in place or by the grant. */
function startOf({ grantedAt, report }: Holder): number {
  const isOfStart = report.state === 'ONLINE' || report.state === 'STARTING'
  return isOfStart ? Math.max(grantedAt, report.since ?? grantedAt) : grantedAt
}

/** Milliseconds from the last start, in place or by the grant, to the loss; 0 while it was being started. */
function sinceStart({ grantedAt, report }: Holder, lostAt: number): number {
  const { state, since = grantedAt } = report
  if (state === 'GRANTED' || state === 'STARTING') return 0
  return Math.max(0, lostAt - (state === 'ONLINE' ? Math.max(grantedAt, since) : grantedAt))
}

/** Without the losses before a start after which it ran for long; without all unless that is given. */
function forgiven<Subject extends Counted>(group: Subject, startedAt = Number.POSITIVE_INFINITY): Subject {
  const { losses = [], ...rest } = group
  const left = losses.filter(({ at }) => at > startedAt)
  return (left.length === 0 ? rest : { ...rest, losses: left }) as Subject
}

function told({ node, after, caseId }: StartLoss): string {
  const when = after === 0 ? 'while it was being started' : `${formatDuration(Math.max(1_000, Math.round(after / 1_000) * 1_000))} later`
  return `${node} ${when} (${caseId === null ? 'which came back with another boot' : `case ${caseId}`})`
}
