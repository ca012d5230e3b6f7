/**
 * What this node does about what the log says: orders to its monitor, and reports to the log.
 *
 * Asked again whenever something changed: it compares what the log wants of this boot with what the monitor last said
 * and answers with the difference. It acts only on grants to its own boot and only within the lease (P4, P5); what runs
 * without a grant is stopped.
 */
import type { BootId, BootInstant, DiskName, GroupName, LogIndex, NodeId, Token } from '../../base/index.js'
import {
  type Command,
  canonical,
  checkpointsOf,
  currentBoot,
  dependencyKindsLevel,
  evictionLevel,
  freezesOf,
  type GroupRow,
  groupsOf,
  holdsToken,
  instanceName,
  isBeingSent,
  levelInForce,
  maintenanceLevel,
  mayStillRun,
  offlineProbeOf,
  poisonOf,
  probedSince,
  type Reader,
  type RunState,
  resourcesOn,
  scalableLevel,
  silentMonitorLevel,
  wholeOf,
} from '../cluster/index.js'
import type { DiskStanding } from '../disks/index.js'
import type { GroupReport, MonitorOrder, MonitorReport } from '../monitor/index.js'

export interface NodeAgentView {
  readonly self: NodeId
  readonly boot: BootId
  readonly state: Reader
  /** Within the lease, and everything applied that was committed when it was renewed. */
  readonly mayAct: boolean
  readonly deadline: BootInstant | undefined
  readonly now: number
  /** How this node stands on a shared disk; left out where there is none. */
  readonly standing?: (disk: DiskName) => DiskStanding
}

export type NodeAgentEffect =
  /** `to`: the monitor that this group has of its own; else the one that the others share. */
  | { readonly kind: 'order'; readonly order: MonitorOrder; readonly to?: GroupName }
  /** These groups, and no others, are to have a monitor of their own here. */
  | { readonly kind: 'monitors'; readonly groups: readonly GroupName[] }
  | { readonly kind: 'propose'; readonly key: string; readonly command: Command }

/** Orders are repeated after this many milliseconds without an answer, proposals likewise by the caller. */
const repeatAfter = 1_000
/** A probe that was not clean is repeated. Milliseconds. */
const probeAgainAfter = 2_000
/** Whether what was missing is there by now. Milliseconds. */
const unableAgainAfter = 30_000
/** A copy that is not ours and could not be ended is tried again. Milliseconds. */
const endAgainAfter = 10_000

export class NodeAgent {
  private readonly reports = new Map<GroupName, GroupReport>()
  /** Whose monitor said so, where that is not the shared one. */
  private readonly saidBy = new Map<GroupName, GroupName>()
  /** Monitors that groups have of their own, and what each understands; undefined until it has said what it runs. */
  private readonly own = new Map<GroupName, number | undefined>()
  private wanted = ''
  private readonly sealed = new Map<GroupName, Token>()
  private readonly ordered = new Map<GroupName, { readonly what: string; readonly at: number }>()
  /** The latest token under which a group was ordered to run here, until it is sealed. */
  private readonly runs = new Map<GroupName, Token>()
  private readonly probes = new Map<
    string,
    {
      readonly at: number
      readonly result: Probed | undefined
      answeredAt: number
      /** What was answered when it was asked before. */
      readonly before?: Probed
    }
  >()
  /** What the log and the monitor say the same of. */
  private readonly told = new Map<GroupName, { readonly committed: unknown; readonly report: GroupReport }>()
  /** When a copy that nobody granted here was last told to end. */
  private readonly ended = new Map<GroupName, number>()
  private monitorKnown = false
  /** What the monitor understands; it may be of an earlier version than this process. */
  private monitorLevel = silentMonitorLevel

  /** `open`: groups of which a monitor of their own has left something open here. */
  constructor(open: readonly GroupName[] = []) {
    for (const group of open) this.own.set(group, undefined)
  }

  /** A monitor is gone or came anew, that of a group or the shared one: nothing ordered before counts as received. */
  monitorDisconnected(of?: GroupName): void {
    if (of !== undefined) {
      if (this.own.has(of)) this.own.set(of, undefined)
      this.ordered.delete(of)
      return
    }
    this.monitorKnown = false
    this.ordered.clear()
    this.probes.clear()
  }

  /** The lowest of all that are here. */
  get levelOfMonitor(): number {
    return Math.min(this.monitorLevel, ...[...this.own.values()].flatMap((level) => level ?? []))
  }

  /** Whether the monitor has said what it runs. */
  get isMonitorKnown(): boolean {
    return this.monitorKnown
  }

  /** `from`: the group whose own monitor says so. */
  reported(report: MonitorReport, now: number, from?: GroupName): void {
    switch (report.kind) {
      case 'hello': {
        const level = report.level ?? silentMonitorLevel
        if (from === undefined) {
          this.monitorKnown = true
          this.monitorLevel = level
        } else this.own.set(from, level)
        for (const group of [...this.reports.keys()]) if (this.saidBy.get(group) === from) this.forget(group)
        for (const group of report.groups) this.heard(group, from)
        for (const [group, token] of Object.entries(report.sealed)) this.seal(group as GroupName, token, from)
        return
      }
      case 'group':
        this.heard(report, from)
        return
      case 'sealed':
        this.seal(report.group, report.token, from)
        if ((this.reports.get(report.group)?.token ?? 0) <= report.token) this.forget(report.group)
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

  private heard(report: GroupReport, from: GroupName | undefined): void {
    this.reports.set(report.group, report)
    if (from === undefined) this.saidBy.delete(report.group)
    else this.saidBy.set(report.group, from)
  }

  private forget(group: GroupName): void {
    this.reports.delete(group)
    this.saidBy.delete(group)
  }

  /** What is kept by another monitor is not its to say: a seal comes before the stop that it allows. */
  private seal(group: GroupName, token: Token, from: GroupName | undefined): void {
    if (from === undefined ? this.own.has(group) : from !== group) return
    if ((this.sealed.get(group) ?? 0) < token) this.sealed.set(group, token)
    if ((this.runs.get(group) ?? Number.POSITIVE_INFINITY) <= token) this.runs.delete(group)
  }

  /**
   * Something may run here under a token that this boot does not hold any more: what a monitor keeps, or was ordered to begin in this
   * daemon's life and has not sealed. A token that others have proved ended is sealed here only once its service has been seen to end.
   */
  keepsUngranted(state: Reader, self: NodeId, boot: BootId): boolean {
    if (!this.monitorKnown || [...this.own.values()].includes(undefined)) return true
    const isUngranted = (name: GroupName, token: Token): boolean =>
      (this.sealed.get(name) ?? 0) < token && !holdsToken(state.get('groups', name), self, boot, token)
    for (const [name, { token }] of this.reports) if (isUngranted(name, token)) return true
    for (const [name, token] of this.runs) if (isUngranted(name, token)) return true
    return false
  }

  step(view: NodeAgentView): readonly NodeAgentEffect[] {
    const boot = currentBoot(view.state, view.self)
    const effects: NodeAgentEffect[] = []
    if (!this.monitorKnown || boot === undefined || boot.boot !== view.boot) return effects
    const admitted = boot.state === 'live'
    this.wantMonitors(view, effects)
    for (const group of groupsOf(view.state)) {
      const mine = mayStillRun(group) && group.holder.node === view.self && group.holder.boot === view.boot
      // What it keeps is not known yet: until then nothing is said or done about its group.
      if (this.own.has(group.name) && this.own.get(group.name) === undefined) continue
      if (mine) this.follow(view, group, admitted, effects)
      else if (admitted && view.mayAct) {
        this.probe(view, group, boot.probes[group.name], effects)
        this.endExtra(view, group, boot.probes[group.name], effects)
      }
    }
    if (view.mayAct || !admitted) this.stopStrays(view, effects)
    return effects
  }

  /** One that keeps something, or may, and one that is to: those are wanted. */
  private wantMonitors(view: NodeAgentView, effects: NodeAgentEffect[]): void {
    const granted = groupsOf(view.state).filter(
      (group) =>
        mayStillRun(group) &&
        group.holder.node === view.self &&
        group.holder.boot === view.boot &&
        group.holder.pinned.isolation === 'dedicated',
    )
    const names = new Set(granted.map(({ name }) => name))
    for (const name of names) if (!this.own.has(name)) this.own.set(name, undefined)
    const keeps = new Set(this.saidBy.values())
    for (const [name, level] of [...this.own]) if (level !== undefined && !names.has(name) && !keeps.has(name)) this.own.delete(name)
    const groups = [...this.own.keys()].sort()
    const wanted = groups.join()
    if (wanted === this.wanted) return
    this.wanted = wanted
    effects.push({ kind: 'monitors', groups })
  }

  /** A group that this boot holds: have the order carried out, tell what became of it. */
  private follow(view: NodeAgentView, group: GroupRow, admitted: boolean, effects: NodeAgentEffect[]): void {
    const { holder } = group
    if (holder === null) return
    // What was found here before says nothing once it has run here.
    this.probes.delete(this.probeIdOf(view, group, group.resourcesRevision))
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
    const { storage } = holder.pinned
    const standing = storage === undefined ? 'ready' : (view.standing?.(storage) ?? 'unknown')
    // A node that finds itself condemned stops everything first; one whose key is gone, what lives on that disk: it has lost the
    // token for it, and can write nothing more (failfast).
    const stop = holder.order.wanted === 'stop' || !admitted || standing === 'lost'
    const sequence = stop && holder.order.wanted !== 'stop' ? holder.order.sequence + 1_000 : holder.order.sequence
    const to = holder.pinned.isolation === 'dedicated' ? group.name : undefined
    const dedicated = to === undefined ? {} : { dedicated: true as const }
    if (stop) this.order(view, group.name, { kind: 'stop', group: group.name, token: holder.token, sequence, ...dedicated }, effects, to)
    else if (view.mayAct && view.deadline !== undefined && standing === 'ready') this.orderRun(view, group, view.deadline, effects)
    if (report !== undefined && report.token === holder.token) this.tell(view, group, report, effects)
  }

  private orderRun(view: NodeAgentView, group: GroupRow, deadline: BootInstant, effects: NodeAgentEffect[]): void {
    const { holder } = group
    if (holder === null) return
    const report = this.reports.get(group.name)
    const known = report !== undefined && report.token === holder.token && report.sequence >= holder.order.sequence
    if (known) return
    const left = checkpointsOf(view.state, group.name)
    const small = left.filter(({ parts, file }) => parts === undefined && file === undefined)
    const checkpoints = Object.fromEntries(small.map(({ name, value }) => [name, value]))
    const order: MonitorOrder = {
      kind: 'run',
      group: group.name,
      token: holder.token,
      sequence: holder.order.sequence,
      resources: resourcesOn(holder.pinned.resources, view.self),
      node: view.self,
      boot: view.boot,
      deadline,
      ...(holder.pinned.onQuorumLoss === undefined ? {} : { onQuorumLoss: holder.pinned.onQuorumLoss }),
      checkpoints,
      ...(holder.order.restart === null ? {} : { restart: holder.order.restart }),
      ...(holder.order.look === undefined ? {} : { look: holder.order.look }),
      ...(holder.order.quiet === undefined ? {} : { quiet: holder.order.quiet }),
      ...(holder.order.incoming === undefined ? {} : { incoming: { from: holder.order.incoming.from } }),
      ...(holder.order.arrived === undefined ? {} : { arrived: holder.order.arrived }),
      ...(holder.order.migrate === undefined ? {} : { migrate: holder.order.migrate }),
      ...(holder.pinned.isolation === undefined ? {} : { dedicated: true as const }),
    }
    this.order(view, group.name, order, effects, holder.pinned.isolation === undefined ? undefined : group.name)
  }

  /** Sends an order once, and again when nothing was heard for a while. */
  private order(view: NodeAgentView, group: GroupName, order: MonitorOrder, effects: NodeAgentEffect[], to?: GroupName): void {
    const what = order.kind === 'run' || order.kind === 'stop' ? `${order.kind}/${order.token}/${order.sequence}` : order.kind
    const before = this.ordered.get(group)
    if (before?.what === what && view.now - before.at < repeatAfter) return
    this.ordered.set(group, { what, at: view.now })
    if (order.kind === 'run') this.runs.set(group, order.token)
    effects.push(to === undefined ? { kind: 'order', order } : { kind: 'order', order, to })
  }

  private tell(view: NodeAgentView, group: GroupRow, report: GroupReport, effects: NodeAgentEffect[]): void {
    const committed = group.holder?.report
    // Compared once: neither changes without being replaced.
    const before = this.told.get(group.name)
    if (before !== undefined && before.committed === committed && before.report === report) return
    const failure = report.failure ?? null
    const others = report.others === undefined || levelInForce(view.state) < dependencyKindsLevel ? {} : { others: report.others }
    const looked = report.looked === undefined || levelInForce(view.state) < maintenanceLevel ? {} : { looked: report.looked }
    const scores = report.scores === undefined || levelInForce(view.state) < scalableLevel ? {} : { scores: report.scores }
    const migrated = report.migrated === undefined ? {} : { migrated: report.migrated }
    const told = { state: report.state as RunState, resources: report.resources, failure, ...others, ...looked, ...scores, ...migrated }
    const same =
      committed?.state === told.state &&
      committed.looked === told.looked &&
      committed.migrated?.number === told.migrated?.number &&
      committed.migrated?.outcome === told.migrated?.outcome &&
      canonical(committed.scores ?? {}) === canonical(told.scores ?? {}) &&
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
  private probe(view: NodeAgentView, group: GroupRow, committed: CommittedProbe | undefined, effects: NodeAgentEffect[]): void {
    const earlierLife = mayStillRun(group) && group.holder.node === view.self ? group.holder : undefined
    const isDoubted = group.doubts?.includes(view.self) === true
    const isListed = group.definition.nodes.includes(view.self) && !group.deleting
    if (earlierLife === undefined && !isListed && !isDoubted) return
    if (isDoubted && earlierLife === undefined && isCoveredHere(view, group)) return
    if (this.runsUnknown(group.name, earlierLife?.token)) return // It is being stopped first.
    const definition = earlierLife?.pinnedRevision ?? group.resourcesRevision
    const resources = resourcesOn(earlierLife?.pinned.resources ?? group.definition.resources, view.self)
    const since = probedSince(view.state, group, view.self)
    const isCurrent = committed?.definition === definition && (committed.since ?? 0) === since
    const probeId = this.probeIdOf(view, group, definition)
    const asked = this.probes.get(probeId)
    // With an earlier boot's token still open, its proof comes from this answer: told even when it was told before.
    const isDone = isCurrent && committed?.result === 'clean' && earlierLife === undefined && !isDoubted
    const repeated = offlineProbeAfter(view, group, probeId)
    if (isDone && (repeated === undefined || asked === undefined)) {
      // Found by an earlier life of this process, or proved by a stop: the first look of this one is in its turn.
      if (repeated !== undefined) this.probes.set(probeId, { at: view.now, result: cleanOf(group, probeId), answeredAt: view.now })
      return
    }
    const knowsUnable = levelInForce(view.state) >= dependencyKindsLevel
    const result = asked?.result
    if (result !== undefined) {
      const found = result.unable !== undefined && knowsUnable ? ('unable' as const) : result.result
      const sameAsCommitted = isCurrent && committed?.result === found
      // That a later look could not tell takes nothing back of what an earlier one has found.
      if (!sameAsCommitted && !(isDone && found === 'unknown')) {
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
            ...(since === 0 ? {} : { since }),
          },
        })
      }
      const again = found === 'clean' ? (repeated ?? Number.POSITIVE_INFINITY) : found === 'unable' ? unableAgainAfter : probeAgainAfter
      if (view.now - (asked?.answeredAt ?? 0) < again) return
    } else if (asked !== undefined && view.now - asked.at < 60_000) return
    this.probes.set(probeId, { at: view.now, result: undefined, answeredAt: 0, ...(result === undefined ? {} : { before: result }) })
    effects.push({ kind: 'order', order: { kind: 'probe', group: group.name, probeId, resources } })
  }

  /** What was found after the end of a freeze is told apart from what was found before. */
  private probeIdOf(view: NodeAgentView, group: GroupRow, definition: LogIndex): string {
    const since = probedSince(view.state, group, view.self)
    return `${group.name}@${definition}${since === 0 ? '' : `@${since}`}`
  }

  /**
   * Of two copies the one with the current token is kept. Only what the log says was found here while another node holds the
   * group, and only where nothing is frozen: a person may be at work.
   */
  private endExtra(view: NodeAgentView, group: GroupRow, committed: CommittedProbe | undefined, effects: NodeAgentEffect[]): void {
    const { onFound } = offlineProbeOf(group.definition)
    const ran = onFound !== 'block' && committed?.ran === true
    if (committed === undefined || (committed.result !== 'running' && !ran) || levelInForce(view.state) < maintenanceLevel) return
    const isHeldElsewhere = mayStillRun(group) && group.holder.node !== view.self && group.definition.nodes.includes(view.self)
    // Of what migrates, whatever has come here without a token of this node is ended.
    const isDoubted = group.doubts?.includes(view.self) === true && wholeOf(view.state, group)?.definition.migrate === true
    const hasCome = isDoubted && !mayStillRun(group) && !isCoveredHere(view, group)
    // Nobody starts it before this copy has ended. One that ran before it was ever started by the cluster is a person's.
    const isResting = group.halted !== undefined || poisonOf(view.state, group) !== undefined || group.lastNode === null
    const isWaitedFor =
      levelInForce(view.state) >= evictionLevel &&
      !mayStillRun(group) &&
      group.intent === 'ONLINE' &&
      !isResting &&
      group.definition.nodes.includes(view.self)
    if (!hasCome && ((!isHeldElsewhere && !isWaitedFor) || group.deleting)) return
    const isCurrent =
      committed.definition === group.resourcesRevision && (committed.since ?? 0) === probedSince(view.state, group, view.self)
    const isFrozen = freezesOf(view.state, group).length > 0 || view.state.get('nodes', view.self)?.maintenance !== undefined
    if (!isCurrent || isFrozen || onFound === 'block' || this.runsUnknown(group.name, undefined)) return
    // The log may be behind what the last look has found.
    const { before, result: seen = before } = this.probes.get(this.probeIdOf(view, group, group.resourcesRevision)) ?? {}
    const isUntold = ran && seen?.result === 'unknown' && seen.unable === undefined
    if (seen !== undefined && seen.result !== 'running' && !isUntold) return
    if (view.now - (this.ended.get(group.name) ?? Number.NEGATIVE_INFINITY) < endAgainAfter) return
    this.ended.set(group.name, view.now)
    const resources = resourcesOn(group.definition.resources, view.self)
    effects.push({ kind: 'order', order: { kind: 'end-stray', group: group.name, resources } })
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
      const to = this.saidBy.get(name)
      const dedicated = to === undefined ? {} : { dedicated: true as const }
      const stop = { kind: 'stop', group: name, token: report.token, sequence: report.sequence + 1_000, ...dedicated } as const
      this.order(view, name, stop, effects, to)
    }
  }

  /** What the monitor last said of a group, for `active-here` and the resource pages. */
  reportOf(group: GroupName): GroupReport | undefined {
    return this.reports.get(group)
  }
}

/** What migrates may be here under this node's own instance, or be on its way here: what is found of another says nothing. */
function isCoveredHere({ state, self, boot }: NodeAgentView, group: GroupRow): boolean {
  if (group.part?.role !== 'instance' || wholeOf(state, group)?.definition.migrate !== true) return false
  const own = state.get('groups', instanceName(group.part.of, self))
  return isBeingSent(state, group, self) || (own !== undefined && mayStillRun(own) && own.holder.boot === boot)
}

type CommittedProbe = { readonly definition: LogIndex; readonly result: string; readonly since?: LogIndex; readonly ran?: true }
type Probed = Extract<MonitorReport, { kind: 'probed' }>

/** Milliseconds until what was found clean is looked at again; undefined where it is not. Different groups are spread. */
function offlineProbeAfter(view: NodeAgentView, group: GroupRow, probeId: string): number | undefined {
  const { interval } = offlineProbeOf(group.definition)
  if (interval === 0 || group.deleting || levelInForce(view.state) < maintenanceLevel) return undefined
  const paused = [...freezesOf(view.state, group), view.state.get('nodes', view.self)?.maintenance]
  if (paused.some((freeze) => freeze?.probes === 'pause')) return undefined
  let mixed = 0
  for (const character of probeId + view.self) mixed = (Math.imul(mixed, 31) + character.charCodeAt(0)) >>> 0
  return interval * (0.75 + (0.5 * (mixed % 1_000)) / 1_000)
}

function cleanOf(group: GroupRow, probeId: string): Probed {
  return { kind: 'probed', group: group.name, probeId, result: 'clean', resources: {} }
}

function sorted(
  resources: Readonly<Record<string, { readonly state: string; readonly detail?: string; readonly degraded?: true }>>,
): unknown {
  return Object.keys(resources)
    .sort()
    .map((name) => [name, resources[name]?.state, resources[name]?.detail, resources[name]?.degraded])
}
