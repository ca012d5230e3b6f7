/** Ends what people wait for of a group that runs on several nodes, once that has come as far as it can. */
import type { GroupName } from '../../base/index.js'
import type { Context } from './context.js'
import { freezesOf, hasLooked } from './freezes.js'
import { settleMigration } from './migration.js'
import { mayStillRun } from './orders.js'
import type { GroupRow, ScalableRow } from './rows.js'
import { isOnlinePart, partRows, whyNoInstance } from './scalable.js'

/** And forgets it once its last part is gone. */
export function settleScalable(context: Context, of: GroupName): void {
  const row = context.draft.get('scalables', of)
  if (row === undefined) return
  settleMigration(context, of)
  const parts = partRows(context.draft, of)
  if (row.deleting && parts.length === 0) {
    context.draft.delete('scalables', of)
    for (const { id, kind } of context.runningOperations(of))
      context.endOperation(id, kind === 'delete' ? 'done' : 'failed', `group ${of} is deleted`)
    return
  }
  const running = context.runningOperations(of)
  if (running.length === 0) return
  const up = upAsItCan(context, row, parts)
  const isDown = !parts.some((part) => mayStillRun(part))
  for (const { id, kind } of running) {
    if (kind === 'online' && up !== undefined) context.endOperation(id, 'done', up)
    if (kind === 'offline' && isDown && row.intent === 'OFFLINE') context.endOperation(id, 'done', `${of} is offline`)
  }
}

/** As wanted, or with every instance that can run, and the primary; then with why the others do not. Undefined where more is to come. */
function upAsItCan(context: Context, row: ScalableRow, parts: readonly GroupRow[]): string | undefined {
  // What a lost node said last is not what is.
  const isUp = (one: GroupRow) => isOnlinePart(one) && context.boot(one.holder.node, one.holder.boot)?.state === 'live'
  const instances = parts.filter(({ part, deleting }) => part?.role === 'instance' && !deleting)
  const primary = parts.find(({ part }) => part?.role === 'primary')
  const online = instances.filter(isUp)
  if (online.length === 0 || (primary !== undefined && !isUp(primary))) return undefined
  if (online.length >= row.definition.desired) return `${row.name} runs as wanted`
  const isSpare = (one: GroupRow) => !mayStillRun(one) && whyNoInstance(context.draft, one, row.name) !== undefined
  const missing = instances.filter((one) => !isUp(one) && !isSpare(one))
  const reasons = missing.flatMap((one) => {
    const why = whyDown(context, one)
    return why === undefined ? [] : [`${one.name} does not: ${why}`]
  })
  if (missing.length === 0 || reasons.length < missing.length) return undefined
  const where = online.map(({ holder }) => holder?.node).join(', ')
  return `${row.name} runs on ${where}; ${reasons.join('; ')}`.slice(0, 1_000)
}

/** What the planner has said of an instance that does not run; undefined where that may be over in a moment. */
function whyDown(context: Context, instance: GroupRow): string | undefined {
  // What it was told already goes on.
  if (mayStillRun(instance) && instance.holder.order.wanted === 'run' && ['GRANTED', 'STARTING'].includes(instance.holder.report.state))
    return undefined
  const [freeze] = freezesOf(context.draft, instance)
  if (freeze !== undefined) return `${freeze.node === undefined ? 'it is frozen' : `${freeze.node} is in maintenance`} by ${freeze.owner}`
  const [node] = instance.definition.nodes
  const { maintenance } = context.draft.get('nodes', node ?? '') ?? {}
  if (maintenance !== undefined) return `${node} is in maintenance by ${maintenance.owner}`
  if (instance.waitingFor === null) return undefined
  const boot = node === undefined ? undefined : context.currentBoot(node)
  const isLooking = !mayStillRun(instance) && boot?.state === 'live' && !hasLooked(context.draft, instance, boot)
  return isLooking ? undefined : instance.waitingFor
}
