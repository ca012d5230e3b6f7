/** What a holder is told to do. Numbered: each order replaces the one before. */
import type { BootId, NodeId, Token } from '../../base/index.js'
import type { Context } from './context.js'
import type { GroupRow, Holder } from './rows.js'

export type HeldGroup = GroupRow & { readonly holder: Holder }

/** Whether the holder's token is still open: it may act, or may have acted without our knowing. */
export function mayStillRun(group: GroupRow): group is HeldGroup {
  return group.holder !== null && group.proof === null
}

/** The group's token in force is this one, of this boot. */
export function holdsToken(group: GroupRow | undefined, node: NodeId, boot: BootId, token: Token): boolean {
  if (group === undefined || !mayStillRun(group)) return false
  const { holder } = group
  return holder.node === node && holder.boot === boot && holder.token === token
}

/** What it was told of restarts, looks and probes stays so unless `more` says otherwise. */
export function putOrder(
  context: Context,
  group: HeldGroup,
  wanted: 'run' | 'stop',
  reason: string,
  more: {
    readonly restart?: Holder['order']['restart']
    readonly look?: number
    readonly quiet?: boolean
    readonly migrate?: Holder['order']['migrate']
    readonly arrived?: Holder['order']['arrived']
  } = {},
): void {
  const { holder } = group
  const { sequence, restart: before } = holder.order
  const arrived = more.arrived ?? holder.order.arrived
  const incoming = more.arrived === undefined ? holder.order.incoming : undefined
  const migrate = wanted === 'run' ? (more.migrate ?? holder.order.migrate) : undefined
  const look = more.look ?? holder.order.look
  const quiet = wanted === 'run' && (more.quiet ?? holder.order.quiet === true)
  context.putGroup({
    ...group,
    waitingFor: null,
    holder: {
      ...holder,
      order: {
        sequence: sequence + 1,
        wanted,
        restart: more.restart ?? (wanted === 'stop' ? null : before),
        reason,
        ...(look === undefined ? {} : { look }),
        ...(quiet ? { quiet: true as const } : {}),
        ...(incoming === undefined ? {} : { incoming }),
        ...(arrived === undefined ? {} : { arrived }),
        ...(migrate === undefined ? {} : { migrate }),
      },
    },
  })
}
