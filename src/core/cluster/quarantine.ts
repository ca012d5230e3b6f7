/**
 * Quarantine: a node that is lost again and again votes and hosts nothing, until its time is over or a person releases it.
 *
 * Counted are cases in which it was condemned and nobody had asked for it; a node that leaves in an orderly way has none.
 */
import { formatDuration, type LogTime } from '../../base/index.js'
import type { Command } from './commands.js'
import type { Context } from './context.js'
import { brakesLevel, levelInForce } from './features.js'
import { recoveredTrigger } from './recovered-trigger.js'
import type { CaseRow, NodeRow } from './rows.js'
import { nodesOf, type Reader } from './state.js'

type CommandOf<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>

const lossesKept = 100

/** Nodes that may be in quarantine at a time: a quarter of them, one of three, none of two. */
export function quarantineMax(reader: Reader): number {
  const nodes = nodesOf(reader).length
  return nodes < 3 ? 0 : Math.max(1, Math.floor(nodes / 4))
}

/** To be called when the case has condemned its node. */
export function noteNodeLoss(context: Context, row: CaseRow): void {
  if (levelInForce(context.draft) < brakesLevel || row.trigger.startsWith('asked by ') || row.trigger === recoveredTrigger) return
  const node = context.draft.get('nodes', row.node)
  if (node === undefined) return
  const { quarantineThreshold, quarantineWindow } = context.settings
  const recent = (node.losses ?? []).filter((loss) => loss.at > context.at - quarantineWindow)
  const losses = [...recent, { at: context.at, caseId: row.id }].slice(-lossesKept)
  const lost = { ...node, losses }
  context.putNode(lost)
  if (quarantineThreshold > 0 && losses.length >= quarantineThreshold && node.quarantine === undefined) keepOut(context, lost)
}

function keepOut(context: Context, node: NodeRow): void {
  const { quarantineWindow, quarantineDuration } = context.settings
  const cases = (node.losses ?? []).map(({ caseId }) => caseId)
  const reason = `it was lost ${cases.length} times within ${formatDuration(quarantineWindow)}`
  const others = nodesOf(context.draft).filter(({ name, quarantine }) => name !== node.name && quarantine !== undefined)
  if (others.length >= quarantineMax(context.draft)) {
    const why = others.length === 0 ? 'too few nodes would be left' : `${others.map(({ name }) => name).join(' and ')} is already`
    context.event('node.flaps', node.name, `${reason}; ${node.name} is not put into quarantine: ${why}`, { cases })
    return
  }
  context.putNode({ ...node, quarantine: { since: context.at, until: (context.at + quarantineDuration) as LogTime, reason, cases } })
  context.event('node.quarantined', node.name, `${node.name} hosts nothing for ${formatDuration(quarantineDuration)}: ${reason}`, { cases })
}

export function endQuarantine(context: Context, command: CommandOf<'end-quarantine'>): Record<string, unknown> {
  const node = context.node(command.node)
  if (node.quarantine === undefined || node.quarantine.since !== command.since) return { ignored: 'it is in no such quarantine' }
  if (node.quarantine.until > context.at) return { ignored: 'its time is not over' }
  release(context, node, 'its time is over')
  return { ended: true }
}

/** What led to it counts no more. */
export function release(context: Context, node: NodeRow, reason: string): void {
  const { quarantine: _quarantine, losses: _losses, ...free } = node
  context.putNode(free)
  context.event('node.quarantine-ended', node.name, `${node.name} may host groups again: ${reason}`)
}
