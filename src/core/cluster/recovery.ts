/**
 * A cluster that lost its majority for good, carried on by one member (`quorate recover`).
 *
 * What the log of that member does not hold may have happened: a group may run where it does not know. So the epoch rises,
 * every grant that it knows is called back, and no group is granted anew before each node on which it may run is proved
 * off by its device or by a person, or has come into the new epoch and looked (DESIGN §5).
 */
import type { BootId, CaseId, NodeId } from '../../base/index.js'
import type { Command } from './commands.js'
import { type Context, refuse } from './context.js'
import { newMember } from './members.js'
import { recoveredTrigger } from './recovered-trigger.js'
import type { BootRow, CaseRow, GroupRow } from './rows.js'
import { wholeOf } from './scalable.js'
import { groupsOf, heldBy, nodesOf, rowsOfMembers } from './state.js'

type CommandOf<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>

export function recover(context: Context, command: CommandOf<'recover'>): Record<string, unknown> {
  const { node, member, address } = command
  const own = context.draft.get('nodes', node)
  if (own === undefined) refuse('NODE_NOT_FOUND', `the log knows no node "${node}"`)
  context.putMeta({ ...context.meta, epoch: context.meta.epoch + 1 })
  for (const row of rowsOfMembers(context.draft)) context.draft.delete('members', row.member)
  newMember(context, member, node, address, 'voter', null)
  context.putNode({ ...own, member })
  for (const [key] of [...context.draft.rows('invitations')]) context.draft.delete('invitations', key)
  for (const [, operation] of [...context.draft.rows('operations')]) {
    if (operation.status === 'running') context.endOperation(operation.id, 'failed', 'the cluster was recovered from one member')
  }
  for (const [key, boot] of [...context.draft.rows('boots')]) context.draft.put('boots', key, { ...boot, probes: {} })
  for (const group of groupsOf(context.draft)) context.putGroup(doubted(context, group))
  for (const [name, { migration: _lost, ...row }] of [...context.draft.rows('scalables')]) context.draft.put('scalables', name, row)
  for (const { name } of nodesOf(context.draft)) if (name !== node) suspect(context, name, node)
  context.event('cluster.recovered', context.meta.clusterName, `recovered from ${node} alone: ${command.reason}`, {
    epoch: context.meta.epoch,
    by: command.reason,
  })
  return { epoch: context.meta.epoch }
}

/** Its holder is to stop, whoever that is; and it may run on any node: its list, too, may have been another one since. */
function doubted(context: Context, group: GroupRow): GroupRow {
  // An instance is of its own node: what another one might run is that node's own.
  const isInstance = group.part?.role === 'instance' && wholeOf(context.draft, group)?.definition.migrate !== true
  const nodes = new Set<NodeId>([...(isInstance ? [] : nodesOf(context.draft).map((node) => node.name)), ...group.definition.nodes])
  const holder =
    group.holder === null
      ? null
      : {
          ...group.holder,
          order: {
            sequence: group.holder.order.sequence + 1,
            wanted: 'stop' as const,
            restart: null,
            reason: 'the cluster was recovered: what was granted before may be granted elsewhere',
          },
        }
  return { ...group, holder, doubts: [...nodes], doubtedSince: context.index, move: null, restartAsked: null }
}

/**
 * The other nodes are condemned at once: only their devices, or a person's word, say that they are off. One whose last boot
 * has ended, or that never had one, may have had another since.
 */
function suspect(context: Context, name: NodeId, arbiter: NodeId): void {
  const boot = context.currentBoot(name) ?? unseen(context, name)
  const id = `c-${name}-recovered-${context.index}` as CaseId
  for (const [key, row] of [...context.draft.rows('cases')]) {
    if (row.node === name && row.stage !== 'RECOVERED' && row.stage !== 'CLOSED')
      context.draft.put('cases', key, { ...row, stage: 'CLOSED', closedAt: context.at, conclusion: 'the cluster was recovered' })
  }
  const row: CaseRow = {
    id,
    node: name,
    boot: boot.boot,
    arbiter,
    nonce: id,
    stage: 'CONDEMNED',
    trigger: recoveredTrigger,
    openedIndex: context.index,
    openedTerm: context.term,
    openedAt: context.at,
    openedWall: context.wall,
    dossier: {},
    timeline: [{ stage: 'CONDEMNED', at: context.at, wall: context.wall, detail: recoveredTrigger }],
    attempts: [],
    proof: null,
    groups: heldBy(context.draft, name, boot.boot),
    closedAt: null,
    conclusion: null,
  }
  context.putCase(row)
  const condemned = { caseId: id, index: context.index, term: context.term }
  context.putBoot({ ...boot, state: 'condemned', condemned, proof: null, probes: {} })
  context.event('case.opened', name, `${name} is condemned: ${recoveredTrigger}`, { case: id, arbiter })
}

/** What the log knows of the boot of a node that it never saw: that there may have been one. */
function unseen(context: Context, node: NodeId): BootRow {
  return {
    node,
    boot: `unseen-${context.index}` as BootId,
    registeredIndex: context.index,
    registeredAt: context.at,
    guard: { guarded: false, watchdog: 'none', watchdogTimeout: 0, emergencyStop: context.settings.emergencyStop },
    level: 0,
    state: 'condemned',
    condemned: null,
    proof: null,
    probes: {},
  }
}
