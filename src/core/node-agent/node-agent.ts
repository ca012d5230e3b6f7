/**
 * What this node does about what the log says: orders to its monitor, and reports to the log.
 *
 * Asked again whenever something changed: it compares what the log wants of this boot with what the monitor last said
 * and answers with the difference. It acts only on grants to its own boot and only within the lease (P4, P5); what runs
 * without a grant is stopped.
 */
import type { BootId, BootInstant, GroupName, LogIndex, NodeId, Token } from '../../base/index.js'
import {
  type Command,
  currentBoot,
  dependencyKindsLevel,
  type GroupRow,
  groupsOf,
  levelInForce,
  mayStillRun,
  type Reader,
  type RunState,
} from '../cluster/index.js'
import type { GroupReport, MonitorOrder, MonitorReport } from '../monitor/index.js'

export interface NodeAgentView {
  readonly self: NodeId
  readonly boot: BootId
  readonly state: Reader
  /** Within the lease, and everything applied that was committed when it was renewed. */
  readonly mayAct: boolean
  readonly deadline: BootInstant | undefined
  readonly now: number
}

export type NodeAgentEffect =
  | { readonly kind: 'order'; readonly order: MonitorOrder }
  | { readonly kind: 'propose'; readonly key: string; readonly command: Command }

/** Orders are repeated after this many milliseconds without an answer, proposals likewise by the caller. */
const repeatAfter = 1_000
/** A probe that was not clean is repeated. Milliseconds. */
const probeAgainAfter = 2_000
/** Whether what was missing is there by now. Milliseconds. */
const unableAgainAfter = 30_000

export class NodeAgent {
  private readonly reports = new Map<GroupName, GroupReport>()
  private readonly sealed = new Map<GroupName, Token>()
  private readonly ordered = new Map<GroupName, { readonly what: string; readonly at: number }>()
  private readonly probes = new Map<
    string,
    { readonly at: number; readonly result: Extract<MonitorReport, { kind: 'probed' }> | undefined; answeredAt: number }
  >()
  /** What the log and the monitor say the same of. */
  private readonly told = new Map<GroupName, { readonly committed: unknown; readonly report: GroupReport }>()
  private monitorKnown = false

  /** The monitor is gone or came anew: nothing ordered before counts as received. */
  monitorDisconnected(): void {
    this.monitorKnown = false
    this.ordered.clear()
    this.probes.clear()
  }

  /** Whether the monitor has said what it runs. */
  get isMonitorKnown(): boolean {
    return this.monitorKnown
  }

  reported(report: MonitorReport, now: number): void {
    switch (report.kind) {
      case 'hello':
        this.monitorKnown = true
        this.reports.clear()
        for (const group of report.groups) this.reports.set(group.group, group)
        for (const [group, token] of Object.entries(report.sealed)) this.seal(group as GroupName, token)
        return
      case 'group':
        this.reports.set(report.group, report)
        return
      case 'sealed':
        this.seal(report.group, report.token)
        if ((this.reports.get(report.group)?.token ?? 0) <= report.token) this.reports.delete(report.group)
        return
      case 'probed': {
        const known = this.probes.get(report.probeId)
        if (known !== undefined) this.probes.set(report.probeId, { at: known.at, result: report, answeredAt: now })
        return
      }
      case 'called':
        return
    }
  }

  private seal(group: GroupName, token: Token): void {
    if ((this.sealed.get(group) ?? 0) < token) this.sealed.set(group, token)
  }

  step(view: NodeAgentView): readonly NodeAgentEffect[] {
    const boot = currentBoot(view.state, view.self)
    const effects: NodeAgentEffect[] = []
    if (!this.monitorKnown || boot === undefined || boot.boot !== view.boot) return effects
    const admitted = boot.state === 'live'
    for (const group of groupsOf(view.state)) {
      const mine = mayStillRun(group) && group.holder.node === view.self && group.holder.boot === view.boot
      if (mine) this.follow(view, group, admitted, effects)
      else if (admitted && view.mayAct) this.probe(view, group, boot.probes[group.name], effects)
    }
    if (view.mayAct || !admitted) this.stopStrays(view, effects)
    return effects
  }

  /** A group that this boot holds: have the order carried out, tell what became of it. */
  private follow(view: NodeAgentView, group: GroupRow, admitted: boolean, effects: NodeAgentEffect[]): void {
    const { holder } = group
    if (holder === null) return
    const report = this.reports.get(group.name)
    if ((this.sealed.get(group.name) ?? 0) >= holder.token) {
      // While something runs here under a token that this log does not know, nothing is said to have stopped.
      if (this.runsUnknown(group.name, holder.token)) return
      effects.push({
        kind: 'propose',
        key: `released/${group.name}/${holder.token}`,
        command: { kind: 'released', node: view.self, boot: view.boot, group: group.name, token: holder.token },
      })
      return
    }
    // A node that finds itself condemned stops everything first.
    const stop = holder.order.wanted === 'stop' || !admitted
    const sequence = stop && holder.order.wanted !== 'stop' ? holder.order.sequence + 1_000 : holder.order.sequence
    if (stop) this.order(view, group.name, { kind: 'stop', group: group.name, token: holder.token, sequence }, effects)
    else if (view.mayAct && view.deadline !== undefined) this.orderRun(view, group, view.deadline, effects)
    if (report !== undefined && report.token === holder.token) this.tell(view, group, report, effects)
  }

  private orderRun(view: NodeAgentView, group: GroupRow, deadline: BootInstant, effects: NodeAgentEffect[]): void {
    const { holder } = group
    if (holder === null) return
    const report = this.reports.get(group.name)
    const known = report !== undefined && report.token === holder.token && report.sequence >= holder.order.sequence
    if (known) return
    const checkpoints: Record<string, string> = {}
    for (const [key, row] of view.state.rows('checkpoints', `${group.name}/`)) {
      if (!key.startsWith(`${group.name}/`)) break
      checkpoints[row.name] = row.value
    }
    const order: MonitorOrder = {
      kind: 'run',
      group: group.name,
      token: holder.token,
      sequence: holder.order.sequence,
      resources: holder.pinned.resources,
      node: view.self,
      boot: view.boot,
      deadline,
      ...(holder.pinned.onQuorumLoss === undefined ? {} : { onQuorumLoss: holder.pinned.onQuorumLoss }),
      checkpoints,
      ...(holder.order.restart === null ? {} : { restart: holder.order.restart }),
    }
    this.order(view, group.name, order, effects)
  }

  /** Sends an order once, and again when nothing was heard for a while. */
  private order(view: NodeAgentView, group: GroupName, order: MonitorOrder, effects: NodeAgentEffect[]): void {
    const what = order.kind === 'run' || order.kind === 'stop' ? `${order.kind}/${order.token}/${order.sequence}` : order.kind
    const before = this.ordered.get(group)
    if (before?.what === what && view.now - before.at < repeatAfter) return
    this.ordered.set(group, { what, at: view.now })
    effects.push({ kind: 'order', order })
  }

  private tell(view: NodeAgentView, group: GroupRow, report: GroupReport, effects: NodeAgentEffect[]): void {
    const committed = group.holder?.report
    // Compared once: neither changes without being replaced.
    const before = this.told.get(group.name)
    if (before !== undefined && before.committed === committed && before.report === report) return
    const failure = report.failure ?? null
    const others = report.others === undefined || levelInForce(view.state) < dependencyKindsLevel ? {} : { others: report.others }
    const told = { state: report.state as RunState, resources: report.resources, failure, ...others }
    const same =
      committed?.state === told.state &&
      JSON.stringify(sorted(committed.resources)) === JSON.stringify(sorted(told.resources)) &&
      JSON.stringify([committed.failure, committed.others ?? []]) === JSON.stringify([failure, told.others ?? []])
    if (same) {
      this.told.set(group.name, { committed, report })
      return
    }
    effects.push({
      kind: 'propose',
      key: `report/${group.name}/${report.token}/${report.sequence}/${JSON.stringify(told)}`,
      command: {
        kind: 'report',
        node: view.self,
        boot: view.boot,
        group: group.name,
        token: report.token,
        sequence: report.sequence,
        report: told,
      },
    })
  }

  /** Looks whether a group runs here before it may be granted to this boot. */
  private probe(
    view: NodeAgentView,
    group: GroupRow,
    committed: { readonly definition: LogIndex; readonly result: string } | undefined,
    effects: NodeAgentEffect[],
  ): void {
    const earlierLife = mayStillRun(group) && group.holder.node === view.self ? group.holder : undefined
    const isDoubted = group.doubts?.includes(view.self) === true
    const isListed = group.definition.nodes.includes(view.self) && !group.deleting
    if (earlierLife === undefined && !isListed && !isDoubted) return
    if (this.runsUnknown(group.name, earlierLife?.token)) return // It is being stopped first.
    const definition = earlierLife?.pinnedRevision ?? group.resourcesRevision
    const resources = earlierLife?.pinned.resources ?? group.definition.resources
    // With an earlier boot's token still open, its proof comes from this answer: told even when it was told before.
    if (committed?.definition === definition && committed.result === 'clean' && earlierLife === undefined && !isDoubted) return
    const knowsUnable = levelInForce(view.state) >= dependencyKindsLevel
    const probeId = `${group.name}@${definition}`
    const asked = this.probes.get(probeId)
    const result = asked?.result
    if (result !== undefined) {
      const found = result.unable !== undefined && knowsUnable ? ('unable' as const) : result.result
      const sameAsCommitted = committed?.definition === definition && committed.result === found
      if (!sameAsCommitted) {
        const detail =
          found === 'unable'
            ? (result.unable ?? '')
            : Object.entries(result.resources)
                .map(([name, seen]) => `${name} ${seen.state}${seen.detail === undefined ? '' : `: ${seen.detail}`}`)
                .join(', ')
        effects.push({
          kind: 'propose',
          key: `probed/${probeId}/${found}`,
          command: {
            kind: 'probed',
            node: view.self,
            boot: view.boot,
            group: group.name,
            definition,
            result: found,
            detail: detail.slice(0, 500),
          },
        })
      }
      const again = found === 'clean' ? Number.POSITIVE_INFINITY : found === 'unable' ? unableAgainAfter : probeAgainAfter
      if (view.now - (asked?.answeredAt ?? 0) < again) return
    } else if (asked !== undefined && view.now - asked.at < 60_000) return
    this.probes.set(probeId, { at: view.now, result: undefined, answeredAt: 0 })
    effects.push({ kind: 'order', order: { kind: 'probe', group: group.name, probeId, resources } })
  }

  /** The monitor keeps the group under another token than `known`, and has not sealed it. */
  private runsUnknown(group: GroupName, known: number | undefined): boolean {
    const report = this.reports.get(group)
    return report !== undefined && report.token !== known && report.token > (this.sealed.get(group) ?? 0)
  }

  /** Whatever the monitor keeps without a grant of this boot is stopped; of two copies the one with the current token is kept. */
  private stopStrays(view: NodeAgentView, effects: NodeAgentEffect[]): void {
    for (const [name, report] of this.reports) {
      const group = view.state.get('groups', name)
      const held =
        group !== undefined &&
        mayStillRun(group) &&
        group.holder.node === view.self &&
        group.holder.boot === view.boot &&
        group.holder.token === report.token
      if (held || (this.sealed.get(name) ?? 0) >= report.token) continue
      this.order(view, name, { kind: 'stop', group: name, token: report.token, sequence: report.sequence + 1_000 }, effects)
    }
  }

  /** What the monitor last said of a group, for `active-here` and the resource pages. */
  reportOf(group: GroupName): GroupReport | undefined {
    return this.reports.get(group)
  }
}

function sorted(
  resources: Readonly<Record<string, { readonly state: string; readonly detail?: string; readonly degraded?: true }>>,
): unknown {
  return Object.keys(resources)
    .sort()
    .map((name) => [name, resources[name]?.state, resources[name]?.detail, resources[name]?.degraded])
}
