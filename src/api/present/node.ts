/** Nodes as the API shows them. */
import { type BootRow, bootsOf, type CaseRow, currentBoot, heldBy, type NodeRow, openCaseOf } from '../../core/cluster/index.js'
import { writtenFencing } from '../cluster/fencing.js'
import type { View } from '../cluster/reading.js'
import type { NodeState } from '../schemas/index.js'
import { elapsed, presentFreeze, presentLapsed, remaining } from './times.js'

type Shown = Record<string, unknown>

/** As in status and in lists. */
export function presentNode(view: View, row: NodeRow): Shown {
  const boot = currentBoot(view.state, row.name)
  const open = openCaseOf(view.state, row.name)
  return {
    name: row.name,
    state: nodeState(view, row, boot, open),
    duty: row.quarantine === undefined ? row.duty : 'quarantined',
    quarantine: presentQuarantine(view, row),
    evicted:
      row.evicted === undefined ? null : { group: row.evicted.group, reason: row.evicted.reason, ago: elapsed(row.evicted.at, view.at) },
    jeopardy: row.jeopardy?.reasons ?? [],
    maintenance: row.maintenance === undefined ? null : presentFreeze(row.maintenance, view.at),
    boot: boot?.boot ?? null,
    leaseOk: leaseRemaining(view, row) > 0,
    leaseRemainingMs: leaseRemaining(view, row),
    guarded: boot?.guard.guarded === true && boot.detached === undefined,
    ...(boot?.detached === undefined ? {} : { detached: boot.suspended === true ? 'suspended' : 'changing' }),
    groups: boot === undefined ? [] : heldBy(view.state, row.name, boot.boot),
    case: open?.id ?? null,
    api: row.api,
  }
}

export function presentNodeWhole(view: View, row: NodeRow): Shown {
  const boot = currentBoot(view.state, row.name)
  return {
    ...presentNode(view, row),
    revision: row.revision,
    member: row.member,
    links: row.links,
    guardian: row.guardian,
    guard: boot?.guard ?? null,
    fencing: writtenFencing(row.fencing),
    deviceDistrusted: row.deviceDistrusted,
    monitor:
      row.monitor === undefined ? null : { what: row.monitor.what, detail: row.monitor.detail, ago: elapsed(row.monitor.at, view.at) },
    lapsed: row.lapsed === undefined ? null : presentLapsed(row.lapsed, view.at),
    losses: (row.losses ?? []).map(({ at, caseId }) => ({ case: caseId, ago: elapsed(at, view.at) })),
    attributes: row.attributes,
    boots: bootsOf(view.state, row.name).map(({ boot: id, state, proof }) => ({ boot: id, state, proof })),
    probes: boot?.probes ?? {},
  }
}

function presentQuarantine(view: View, { quarantine }: NodeRow): Shown | null {
  if (quarantine === undefined) return null
  const { reason, until, cases } = quarantine
  return { reason, remaining: remaining(until, view.at), cases }
}

function nodeState(view: View, row: NodeRow, boot: BootRow | undefined, open: CaseRow | undefined): NodeState {
  if (row.away !== undefined && (boot === undefined || boot.state === 'live')) return row.away.boot === null ? 'LEAVING' : 'LEFT'
  if (boot === undefined) return 'JOINING'
  if (boot.state === 'ended') return 'DOWN'
  if (boot.state === 'condemned') return 'CONDEMNED'
  if (open !== undefined && open.boot === boot.boot) return 'SUSPECT'
  return heardState(view, row)
}

/** As the leader sees it; without one, as this node hears it. */
function heardState(view: View, row: NodeRow): NodeState {
  const { leaderView, node } = view
  if (leaderView !== undefined) {
    if (leaderView.lives.has(row.name)) return row.jeopardy === undefined ? 'ONLINE' : 'JEOPARDY'
    return leaderView.joining.has(row.name) ? 'JOINING' : 'SILENT'
  }
  if (row.name === node.status.node) return 'ONLINE'
  const report = node.detectorReport().find((one) => one.node === row.name)
  if (report === undefined || report.stage === 'JOINING') return 'JOINING'
  return report.stage === 'HEALTHY' || report.stage === 'MISSED' ? 'ONLINE' : 'SILENT'
}

/** What is left of the node's lease by its own last word; exact for this node. */
function leaseRemaining(view: View, row: NodeRow): number {
  const { node } = view
  if (row.name === node.status.node) return Math.round(node.status.leaseRemainingMs)
  const heartbeat = node.telemetry(row.name)
  const silence = node.detectorReport().find((one) => one.node === row.name)?.silenceMs ?? 0
  if (heartbeat === undefined || heartbeat.renewalAgeMs === null) return 0
  return Math.max(0, Math.round(node.settings.lease - heartbeat.renewalAgeMs - silence))
}
