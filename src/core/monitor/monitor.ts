/**
 * The monitor as a step-function: orders and what happened to processes go in, effects come out.
 *
 * Invariant: of one group at most one token is open here. An order under a newer token waits until the older one is
 * sealed; an order under an older or sealed one starts nothing.
 */
import {
  type BootId,
  type BootInstant,
  bootClockGrain,
  bootInstant,
  type GroupName,
  invariant,
  type NodeId,
  type ResourceName,
  type Token,
  unreachable,
} from '../../base/index.js'
import { instanceName, primaryOf, supportedLevel } from '../cluster/index.js'
import { Calls } from './calls.js'
import type { MethodRequest, MonitorEffect, MonitorEvent } from './events.js'
import { GroupRun } from './group-run.js'
import type { GroupReport, MonitorOrder } from './protocol.js'
import type { ContainmentPlace, UnreadableRecord } from './record.js'
import type { GroupHost } from './resource-run.js'
import { resultOf, StrayProbes } from './stray.js'

export interface MonitorCoreConfig {
  readonly node: NodeId
  readonly boot: BootId
  readonly containment: ContainmentPlace
  /** Spreads the probes of different nodes and lives; any whole number. */
  readonly jitterSeed: number
  /** The feature level that it says it understands; that of this version unless given. */
  readonly level?: number
  /** The one group that it keeps; without it, those that have no monitor of their own. */
  readonly only?: GroupName
}

export class MonitorCore {
  readonly #config: MonitorCoreConfig
  readonly #groups = new Map<GroupName, GroupRun>()
  /** Groups whose run record cannot be read: nobody can say any more what runs. */
  readonly #lost = new Map<GroupName, UnreadableRecord>()
  readonly #seals = new Map<GroupName, Token>()
  /** Kept by other monitors when this one came up: what is sealed of them is theirs to say. */
  #others: ReadonlyMap<GroupName, Token> = new Map()
  readonly #calls: Calls
  readonly #scores = new Map<GroupName, { readonly [name: ResourceName]: number }>()
  readonly #strays: StrayProbes
  /** Which group an action under way belongs to. */
  readonly #actions = new Map<number, GroupName>()
  /** Groups that this step may have changed. */
  readonly #touched = new Set<GroupName>()
  /** What the run folder and the daemon last heard of each group, to send changes only. */
  readonly #written = new Map<GroupName, string>()
  readonly #reported = new Map<GroupName, string>()
  /** When each group has something to do by itself. */
  readonly #wakes = new Map<GroupName, BootInstant>()
  #deadline = bootInstant(0)
  #lastAction = 0
  #jitter: number
  #effects: MonitorEffect[] = []

  constructor(config: MonitorCoreConfig) {
    this.#config = config
    this.#jitter = config.jitterSeed
    const emit = (effect: MonitorEffect) => this.#emit(effect)
    this.#calls = new Calls(emit)
    this.#strays = new StrayProbes({
      emit,
      newAction: () => ++this.#lastAction,
      node: config.node,
      boot: config.boot,
      place: config.containment,
    })
  }

  /** Handles one event to the end. Records come before the effects that rely on them, seals before what is said about them. */
  step(event: MonitorEvent, now: BootInstant): readonly MonitorEffect[] {
    this.#effects = []
    this.#touched.clear()
    this.#handle(event, now)
    this.#calls.advance(now)
    const first = this.#advance(now)
    // What has waited for the end of a role.
    return this.#touched.size === 0 ? first : [...first, ...this.#advance(now)]
  }

  #advance(now: BootInstant): readonly MonitorEffect[] {
    const touched = [...this.#touched].flatMap((group) => this.#groups.get(group) ?? [])
    this.#touched.clear()
    for (const run of touched) run.advance(now)
    const acts = this.#effects
    this.#effects = []
    const records: MonitorEffect[] = []
    for (const run of touched) this.#conclude(run, records)
    const effects = [...records, ...acts, ...this.#effects]
    this.#effects = []
    for (const run of touched) if (!run.isWanted && (run.finished || run.settled)) for (const copy of run.copies) this.#touch(copy)
    return effects
  }

  /** Until when something may be started, as far as this monitor has been told. */
  get deadline(): BootInstant {
    return this.#deadline
  }

  /** When `woke` is due at the latest. */
  nextWake(): BootInstant | undefined {
    let earliest = this.#calls.wakeAt
    for (const at of this.#wakes.values()) if (earliest === undefined || at < earliest) earliest = at
    return earliest
  }

  #handle(event: MonitorEvent, now: BootInstant) {
    switch (event.kind) {
      case 'resumed':
        return this.#resume(event, now)
      case 'connected':
        return this.#sayHello()
      case 'ordered':
        return this.#order(event.order, now)
      case 'method-done': {
        if (this.#strays.onMethodDone(event.action, event.result)) return
        const owner = this.#ownerOf(event.action)
        this.#actions.delete(event.action)
        return owner?.onMethodDone(event.result, now)
      }
      case 'spawned': {
        const owner = this.#ownerOf(event.action)
        return owner?.onSpawned(event.process)
      }
      case 'killed': {
        if (this.#strays.onKilled(event.action)) return
        const owner = this.#ownerOf(event.action)
        this.#actions.delete(event.action)
        return owner?.onKilled(event.empty)
      }
      case 'learnt':
        return this.#touch(event.group)?.resource(event.resource)?.onLearnt(event.processes)
      case 'ended':
        return this.#touch(event.group)?.resource(event.resource)?.onEnded(event.process, event.detail, now)
      case 'emptied':
        return this.#touch(event.group)?.resource(event.resource)?.onEmptied(now)
      case 'scored':
        return this.#score(event)
      case 'changed':
        return this.#touch(event.group)?.resource(event.resource)?.onChanged(now)
      case 'called': {
        const group = this.#calls.onCalled(event)
        if (group !== undefined) this.#countCalls(group)
        return
      }
      case 'woke':
        for (const [group, at] of this.#wakes) if (at <= now) this.#touched.add(group)
        return
      default:
        return unreachable(event)
    }
  }

  #order(order: MonitorOrder, now: BootInstant) {
    switch (order.kind) {
      case 'run':
        return this.#orderRun(order, now)
      case 'stop':
        return this.#orderStop(order)
      case 'probe':
        return this.#orderProbe(order)
      case 'end-stray':
        if (!this.#groups.has(order.group) && !this.#lost.has(order.group)) this.#strays.end(order)
        return
      case 'look':
        return this.#orderLook(order, now)
      case 'deadline':
        // While the lease holds nobody waits for its renewal, and there are many renewals.
        if (!this.#mayStart(now)) this.#touchAll()
        this.#deadline = bootInstant(Math.max(this.#deadline, order.deadline))
        return
      case 'call':
        return this.#orderCall(order, now)
      case 'call-release':
        return now + bootClockGrain < order.deadline ? this.#calls.release(order.callId) : this.#calls.cancel(order.callId)
      case 'call-cancel':
        return this.#calls.cancel(order.callId)
      case 'answered':
      case 'notes':
      case 'copies':
      case 'ready':
        return // Taken by whoever speaks with agents, or keeps them ready: they decide nothing.
      default:
        return unreachable(order)
    }
  }

  #orderRun(order: Extract<MonitorOrder, { kind: 'run' }>, now: BootInstant) {
    const { group, token, sequence } = order
    const run = this.#touch(group)
    if (this.#lost.has(group) || (run !== undefined && run.token !== token)) return this.#answer(group)
    if (run === undefined && this.#isSealed(group, token)) return this.#sayStopped(group, token, sequence)
    this.#deadline = bootInstant(Math.max(this.#deadline, order.deadline))
    if (run !== undefined) {
      if (sequence < run.sequence) return
      const known = new Set(Object.keys(run.report().resources))
      run.orderRun(sequence, order.resources, order.restart, now, watchingOf(order))
      const added = (Object.keys(order.resources) as ResourceName[]).filter((name) => !known.has(name))
      if (added.length > 0) this.#emit({ kind: 'write-checkpoints', group, resources: added, checkpoints: order.checkpoints })
      return this.#answer(group)
    }
    if (this.#config.only !== (order.dedicated === true ? group : undefined)) {
      return this.#log(`refused to run ${group}: it is another monitor's`)
    }
    if (order.node !== this.#config.node || order.boot !== this.#config.boot) {
      return this.#log(
        `refused to run ${group}: granted to ${order.node} boot ${order.boot}, this is ${this.#config.node} boot ${this.#config.boot}`,
      )
    }
    this.#strays.abandon(group, 'the group is being started')
    this.#forgetScores(group)
    const { resources, node, boot, onQuorumLoss } = order
    const fresh = new GroupRun(this.#hostOf(group), {
      group,
      token,
      sequence,
      node,
      boot,
      resources,
      containment: this.#config.containment,
      ...(order.dedicated === true ? { dedicated: true as const } : {}),
      ...(onQuorumLoss === undefined ? {} : { onQuorumLoss }),
    })
    if (order.incoming !== undefined) fresh.expect(order.incoming.from)
    fresh.orderRun(sequence, resources, order.restart, now, watchingOf(order))
    this.#groups.set(group, fresh)
    const names = Object.keys(resources) as (keyof typeof resources)[]
    this.#emit({ kind: 'write-checkpoints', group, resources: names, checkpoints: order.checkpoints })
  }

  #orderStop(order: Extract<MonitorOrder, { kind: 'stop' }>) {
    const { group, token, sequence } = order
    // That nothing of it runs here says nothing of what another one keeps.
    if (this.#config.only !== (order.dedicated === true ? group : undefined)) {
      return this.#log(`refused to stop ${group}: it is another monitor's`)
    }
    const run = this.#touch(group)
    const lost = this.#lost.get(group)
    if (lost !== undefined && lost.token <= token) return this.#answer(group)
    if (run === undefined || run.token > token) {
      // Nothing under this token was ever started here, or it has ended.
      this.#seal(group, token)
      if (run === undefined) this.#sayStopped(group, token, sequence)
      else this.#emit({ kind: 'report', report: { kind: 'sealed', group, token } })
      return
    }
    if (run.token === token && sequence < run.sequence) return
    run.orderStop(token, sequence)
    this.#answer(group)
  }

  /** What acts under a grant needs it: it is counted as a part of the group, and ends with it. */
  #orderCall(order: Extract<MonitorOrder, { kind: 'call' }>, now: BootInstant) {
    const { of } = order
    if (of === undefined) return this.#calls.order(order, now)
    const run = this.#groups.get(of.group)
    const holds = run?.token === of.token && run.isWanted && !this.#isSealed(of.group, of.token) && this.#mayStart(now)
    if (!holds) return this.#calls.refuse(order.callId, `${of.group} does not run here under token ${of.token}`)
    this.#calls.order(order, now)
    this.#countCalls(of.group)
  }

  #countCalls(group: GroupName) {
    const run = this.#touch(group)
    if (run !== undefined) run.calls = this.#calls.countOf(group)
  }

  #orderProbe(order: Extract<MonitorOrder, { kind: 'probe' }>) {
    const { group, probeId } = order
    const run = this.#groups.get(group)
    const lost = this.#lost.get(group)
    if (run === undefined && lost === undefined) return this.#strays.order(order)
    const resources = run?.report().resources ?? {}
    this.#emit({
      kind: 'report',
      report: { kind: 'probed', group, probeId, result: lost === undefined ? resultOf(resources) : 'unknown', resources },
    })
  }

  #orderLook({ lookId, group, resource, deep }: Extract<MonitorOrder, { kind: 'look' }>, now: BootInstant) {
    const run = this.#touch(group)?.resource(resource)
    if (run !== undefined) return run.ask(lookId, deep, now)
    const found = { result: 'not-asked', detail: 'it does not run here', state: 'STOPPED', elapsedMs: 0 } as const
    this.#emit({ kind: 'report', report: { kind: 'looked', lookId, found } })
  }

  #score({ group, resource, score }: Extract<MonitorEvent, { kind: 'scored' }>) {
    const { [resource]: _before, ...others } = this.#scores.get(group) ?? {}
    this.#scores.set(group, score === undefined ? others : { ...others, [resource]: score })
    this.#touch(group)
  }

  /** They are of one life of the copy. */
  #forgetScores(group: GroupName) {
    if (this.#scores.delete(group)) this.#emit({ kind: 'forget-scores', group })
  }

  #reportOf(run: GroupRun): GroupReport {
    const scores = this.#scores.get(run.group)
    return scores === undefined || !run.isPromotable ? run.report() : { ...run.report(), scores }
  }

  #resume(event: Extract<MonitorEvent, { kind: 'resumed' }>, now: BootInstant) {
    for (const [group, token] of event.seals) this.#seals.set(group, token)
    this.#others = event.others ?? new Map()
    for (const { group, resource, score } of event.scores ?? []) this.#scores.set(group, { ...this.#scores.get(group), [resource]: score })
    this.#deadline = event.deadline
    for (const lost of event.unreadable) this.#lost.set(lost.group, lost)
    for (const record of event.records) {
      if (record.boot !== this.#config.boot) {
        this.#emit({ kind: 'delete-record', group: record.group, token: record.token }) // A new boot inherits nothing.
        continue
      }
      const other = this.#groups.get(record.group)
      invariant(other === undefined, 'of one group at most one token is open here', {
        group: record.group,
        token: record.token,
        other: other?.token,
      })
      this.#groups.set(
        record.group,
        GroupRun.resume(this.#hostOf(record.group), record, now, { sealed: this.#isSealed(record.group, record.token) }),
      )
    }
    this.#touchAll()
  }

  #sayHello() {
    const groups = [...this.#groups.values()].map((run) => this.#reportOf(run))
    const lost = [...this.#lost.values()].map(unreadableReport)
    for (const report of groups) this.#reported.set(report.group, JSON.stringify(report))
    const sealed: Record<GroupName, Token> = {}
    for (const [group, token] of this.#seals) {
      if (this.#config.only !== undefined && this.#config.only !== group) continue
      const open = this.#groups.get(group)?.token ?? this.#lost.get(group)?.token ?? this.#others.get(group)
      if (open === undefined || open > token) sealed[group] = token // What is open is not yet proved stopped.
    }
    const level = this.#config.level ?? supportedLevel
    this.#emit({ kind: 'report', report: { kind: 'hello', level, boot: this.#config.boot, groups: [...groups, ...lost], sealed } })
  }

  /** Ends a group that is done, else writes and reports what has changed of it. */
  #conclude(run: GroupRun, records: MonitorEffect[]) {
    const { group } = run
    if (!run.isWanted) this.#calls.cancelOf(group)
    if (run.finished) {
      const report = run.report()
      this.#forgetScores(group)
      this.#seal(group, report.token)
      this.#emit({ kind: 'delete-record', group, token: run.token })
      this.#groups.delete(group)
      this.#written.delete(group)
      this.#wakes.delete(group)
      this.#reported.delete(group)
      this.#emit({ kind: 'report', report: { kind: 'group', ...report } })
      this.#emit({ kind: 'report', report: { kind: 'sealed', group, token: report.token } })
      return
    }
    const wakeAt = run.wakeAt
    if (wakeAt === undefined) this.#wakes.delete(group)
    else this.#wakes.set(group, wakeAt)
    const record = run.record()
    const text = JSON.stringify(record)
    if (this.#written.get(group) !== text) {
      this.#written.set(group, text)
      records.push({ kind: 'write-record', record })
    }
    const report = this.#reportOf(run)
    const said = JSON.stringify(report)
    if (this.#reported.get(group) === said) return
    this.#reported.set(group, said)
    this.#emit({ kind: 'report', report: { kind: 'group', ...report } })
  }

  /** Has the present state said again at the end of this step. */
  #answer(group: GroupName) {
    this.#reported.delete(group)
    const lost = this.#lost.get(group)
    if (lost !== undefined) this.#emit({ kind: 'report', report: { kind: 'group', ...unreadableReport(lost) } })
  }

  #sayStopped(group: GroupName, token: Token, sequence: number) {
    this.#emit({ kind: 'report', report: { kind: 'group', group, token, sequence, state: 'STOPPED', resources: {} } })
    this.#emit({ kind: 'report', report: { kind: 'sealed', group, token } })
  }

  #seal(group: GroupName, token: Token) {
    if (this.#isSealed(group, token)) return
    this.#seals.set(group, token)
    this.#emit({ kind: 'seal', group, token })
  }

  #isSealed(group: GroupName, token: Token): boolean {
    const sealed = this.#seals.get(group)
    return sealed !== undefined && sealed >= token
  }

  #ownerOf(action: number) {
    const group = this.#actions.get(action)
    return group === undefined ? undefined : this.#touch(group)?.ownerOf(action)
  }

  #mayStart(now: BootInstant): boolean {
    return now + bootClockGrain < this.#deadline
  }

  #touch(group: GroupName): GroupRun | undefined {
    this.#touched.add(group)
    return this.#groups.get(group)
  }

  #touchAll() {
    for (const group of this.#groups.keys()) this.#touched.add(group)
  }

  #hostOf(group: GroupName): GroupHost {
    return {
      emit: (effect) => {
        if (effect.kind === 'begin') this.#makeWay(effect.request)
        this.#emit(effect)
      },
      newAction: () => {
        const action = ++this.#lastAction
        this.#actions.set(action, group)
        return action
      },
      jitter: () => this.#nextJitter(),
      mayStart: (now) => this.#mayStart(now),
      // A copy is demoted before it is stopped. Whoever has the one stopped has the other stopped too.
      holdsBack: ({ promotable, role }) => {
        const primary = promotable === true && role === undefined ? this.#groups.get(primaryOf(group)) : undefined
        return primary !== undefined && !primary.finished && !primary.settled
      },
    }
  }

  /** A promotion or a demotion, and the look whether it was one, do not wait for a probe of the copy, which may take its whole time. */
  #makeWay({ group, definition: { role }, node, resource }: MethodRequest) {
    const isChanging = this.#groups.get(group)?.resource(resource)?.state !== 'ONLINE'
    if (role !== undefined && isChanging) this.#groups.get(instanceName(role.of, node))?.resource(resource)?.yieldToRole()
  }

  #emit(effect: MonitorEffect) {
    this.#effects.push(effect)
  }

  #log(text: string) {
    this.#emit({ kind: 'log', text })
  }

  /** mulberry32: a small generator is enough to keep probes from marching in step. */
  #nextJitter(): number {
    this.#jitter = (this.#jitter + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#jitter ^ (this.#jitter >>> 15), 1 | this.#jitter)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

function watchingOf({ look, quiet, arrived, migrate }: Extract<MonitorOrder, { kind: 'run' }>) {
  return {
    ...(look === undefined ? {} : { look }),
    ...(quiet === undefined ? {} : { quiet }),
    ...(arrived === undefined ? {} : { arrived }),
    ...(migrate === undefined ? {} : { migrate }),
  }
}

function unreadableReport(lost: UnreadableRecord): GroupReport {
  return { group: lost.group, token: lost.token, sequence: 0, state: 'UNKNOWN', resources: {}, detail: lost.reason }
}
