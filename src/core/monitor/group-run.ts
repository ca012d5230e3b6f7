/**
 * Runs one group under one token: brings its resources up in order, keeps an eye on them, restarts what it is told to,
 * and brings them down in reverse until each is verified stopped.
 *
 * Level-triggered: `advance` compares what is with what is wanted and begins whatever may begin now, so an order, an
 * outcome and a resumption from the run record all go the same way.
 */
import { type BootInstant, bootInstant, type ResourceName, type Token } from '../../base/index.js'
import { startOrder } from '../cluster/index.js'
import type { MethodRequest, MonitorEffect } from './events.js'
import type { GroupReport, GroupRunState, ResourceFailure } from './protocol.js'
import type { ContainmentPlace, ProcessIdentity, RunRecord } from './record.js'
import { type Activity, newResourceRun, type ResourceRun, recordOf, reportOf, restoreResourceRun, sameProcess } from './resource-run.js'
import { isAddress } from './resource-type.js'
import { judgeProbe, type MethodResult, type ProbePurpose } from './verdict.js'

/** What a group needs of the monitor around it. */
export interface GroupHost {
  emit(effect: MonitorEffect): void
  /** A number for an action that has not been used before. */
  newAction(): number
  /** From 0 up to 1. */
  jitter(): number
  /** Whether the lease still allows anything to be started. */
  mayStart(now: BootInstant): boolean
  deadline(): BootInstant
  /** Milliseconds that a method may take at most, whatever the definition says: an emergency has less time. */
  limit?(method: MethodRequest['method'], type: string): number
}

/** A main process that has lived this long after its resource came ONLINE is no leftover of the start. */
const provenAfter = 3_000
/** How long a probe is put off that fell due while the lease had run out. */
const heldProbeDelay = 500

export type RunStart = Omit<RunRecord, 'wanted' | 'restartNumber' | 'restarting' | 'progress'>

export class GroupRun {
  readonly #host: GroupHost
  readonly #start: RunStart
  readonly #order: readonly ResourceName[]
  readonly #runs = new Map<ResourceName, ResourceRun>()
  /** Resources in the order in which they failed. */
  readonly #failed: ResourceName[] = []
  #restarting = new Set<ResourceName>()
  #restartNumber = 0
  #sequence: number
  #wanted: 'run' | 'stop' = 'run'
  /** The token that is sealed in the end: of the last stop order, which may be newer than the one that runs. */
  #ending: Token
  #emergency = false
  #hurried = false

  constructor(host: GroupHost, start: RunStart) {
    this.#host = host
    this.#start = start
    this.#sequence = start.sequence
    this.#ending = start.token
    this.#order = startOrder(start.resources)
    for (const name of this.#order) {
      const definition = start.resources[name]
      if (definition === undefined) continue
      const dependents = this.#order.filter((other) => start.resources[other]?.dependsOn.includes(name))
      this.#runs.set(name, newResourceRun(name, definition, dependents))
    }
  }

  /**
   * Goes on where a monitor that has died left off. With `emergency` to end it, asking nobody: addresses go first, what
   * cannot be verified is passed over, a start in flight is killed.
   */
  static resume(
    host: GroupHost,
    record: RunRecord,
    now: BootInstant,
    how: { readonly sealed: boolean; readonly emergency?: boolean },
  ): GroupRun {
    const run = new GroupRun(host, record)
    run.#emergency = how.emergency === true
    run.#restartNumber = record.restartNumber
    run.#restarting = new Set(record.restarting)
    run.#wanted = how.sealed ? 'stop' : record.wanted
    for (const fresh of [...run.#runs.values()]) {
      const kept = record.progress[fresh.name]
      if (kept !== undefined) run.#adopt(restoreResourceRun(fresh, kept), now)
    }
    return run
  }

  get group() {
    return this.#start.group
  }
  get token() {
    return this.#start.token
  }
  get sequence() {
    return this.#sequence
  }
  get wanted() {
    return this.#wanted
  }
  /** Wanted stopped, and everything verified so. Only then may the token be called ended. */
  get finished(): boolean {
    return this.#wanted === 'stop' && [...this.#runs.values()].every((run) => !run.touched && run.activity === undefined)
  }

  /** Wanted stopped, and nothing more is being done: finished, or something of it could not be verified. */
  get settled(): boolean {
    return [...this.#runs.values()].every((run) => run.activity === undefined && (!run.touched || isStuck(run)))
  }

  /** The next reading of the clock at which `advance` has something to do by itself. */
  get wakeAt(): BootInstant | undefined {
    if (this.#wanted === 'stop') return undefined
    let earliest: BootInstant | undefined
    for (const run of this.#runs.values()) {
      if (run.state !== 'ONLINE' || run.activity !== undefined) continue
      if (earliest === undefined || run.probeAt < earliest) earliest = run.probeAt
    }
    return earliest
  }

  orderRun(sequence: number, restart: { readonly resource: ResourceName; readonly number: number } | undefined) {
    this.#sequence = sequence
    if (this.#wanted === 'stop' || restart === undefined || restart.number <= this.#restartNumber) return
    this.#restartNumber = restart.number
    for (const name of this.#withDependents(restart.resource)) {
      this.#restarting.add(name)
      const run = this.#runs.get(name)
      if (run?.state === 'UNKNOWN') run.retry = true
    }
  }

  /** A repeated order changes nothing; a newer one has what could not be verified tried again. */
  orderStop(token: Token, sequence: number) {
    if (this.#wanted === 'stop' && token === this.#ending && sequence <= this.#sequence) return
    this.#sequence = sequence
    this.#ending = token
    this.#wanted = 'stop'
    for (const run of this.#runs.values()) if (run.state === 'UNKNOWN') run.retry = true
  }

  /** The time for orderly stops is over: kill everything that is left, in no order, and verify. */
  hurry() {
    this.#hurried = true
    for (const run of this.#runs.values()) {
      if (run.state === 'UNKNOWN') run.retry = true
      if (run.activity?.kind !== 'stop' || run.activity.cancelled) continue
      run.activity.cancelled = true
      this.#host.emit({ kind: 'cancel', action: run.activity.action })
    }
  }

  advance(now: BootInstant) {
    this.#bringDown()
    if (this.#wanted === 'stop') return
    if ([...this.#restarting].every((name) => this.#runs.get(name)?.touched !== true)) this.#restarting.clear()
    if (this.#host.mayStart(now)) this.#bringUp()
    this.#probeWhatIsDue(now)
  }

  /** The resource that has this action under way. */
  ownerOf(action: number): ResourceRun | undefined {
    for (const run of this.#runs.values()) if (run.activity?.action === action) return run
    return undefined
  }

  onSpawned(run: ResourceRun, process: ProcessIdentity) {
    if (run.activity?.kind !== 'start') return
    run.starting = process
    if (run.behaviour.kept) run.processes = [process]
  }

  onMethodDone(run: ResourceRun, result: MethodResult, now: BootInstant) {
    const activity = run.activity
    if (activity === undefined) return
    run.activity = undefined
    switch (activity.kind) {
      case 'start':
        return this.#onStarted(run, result, now)
      case 'settle':
        return this.#onSettled(run, result)
      case 'stop':
        if (result.outcome === 'failed') run.stopTrouble = { event: 'stop-failed', detail: result.detail }
        if (result.outcome === 'timed-out') run.stopTrouble = { event: 'stop-timeout', detail: result.detail }
        return this.#kill(run)
      case 'verify':
        return this.#onVerified(run, result)
      case 'probe':
        return this.#onProbed(run, activity.purpose, result, now)
      case 'kill':
        return
    }
  }

  onKilled(run: ResourceRun, empty: boolean) {
    if (run.activity?.kind !== 'kill') return
    run.activity = undefined
    if (!empty) return this.#becomeUnknown(run, 'its processes could not be killed')
    this.#begin(run, 'verify')
  }

  onLearnt(name: ResourceName, processes: readonly ProcessIdentity[]) {
    const run = this.#runs.get(name)
    if (run?.state === 'ONLINE' && !run.behaviour.kept) run.processes = processes
  }

  onEnded(name: ResourceName, process: ProcessIdentity, detail: string, now: BootInstant) {
    const run = this.#runs.get(name)
    if (run?.state !== 'ONLINE' || !run.processes.some((known) => sameProcess(known, process))) return
    run.processes = run.processes.filter((known) => !sameProcess(known, process))
    if (run.behaviour.kept) return this.#fail(run, 'died', detail)
    this.#probeAtOnce(run, now)
  }

  onEmptied(name: ResourceName, now: BootInstant) {
    const run = this.#runs.get(name)
    if (run?.state !== 'ONLINE' || run.behaviour.kept) return
    if (run.proven) return this.#fail(run, 'died', 'no process of it is left')
    if (run.processes.length > 0) this.#probeAtOnce(run, now)
  }

  report(): GroupReport {
    const failure = this.#failure()
    const resources: GroupReport['resources'] = Object.fromEntries(this.#order.map((name) => [name, reportOf(this.#run(name))]))
    return {
      group: this.group,
      token: this.finished ? this.#ending : this.token,
      sequence: this.#sequence,
      state: this.#state(failure !== undefined),
      resources,
      ...(failure === undefined ? {} : { failure }),
    }
  }

  record(containment: ContainmentPlace): RunRecord {
    return {
      ...this.#start,
      sequence: this.#sequence,
      containment,
      wanted: this.#wanted,
      restartNumber: this.#restartNumber,
      restarting: [...this.#restarting],
      progress: Object.fromEntries(this.#order.map((name) => [name, recordOf(this.#run(name))])),
    }
  }

  // ——— what is wanted ———

  #bringDown() {
    for (const name of [...this.#order].reverse()) {
      if (this.#wanted === 'run' && !this.#restarting.has(name)) continue
      const run = this.#run(name)
      if (!run.touched) {
        if (run.activity === undefined) this.#becomeStopped(run)
      } else if (run.activity !== undefined) {
        this.#cancelForStop(run, run.activity)
      } else if (run.state === 'UNKNOWN' && !run.retry) {
        // Only a newer order tries again.
      } else if (this.#mayStop(run)) {
        this.#beginStop(run)
      }
    }
  }

  #mayStop(run: ResourceRun): boolean {
    if (this.#hurried) return true
    const dependents = run.dependents.map((other) => this.#run(other))
    if (!this.#emergency) return dependents.every((other) => !other.touched)
    if (isAddress(run.definition.type)) return true
    const addressesDown = [...this.#runs.values()].every((other) => !isAddress(other.definition.type) || isDown(other))
    return addressesDown && dependents.every((other) => !other.touched || isStuck(other))
  }

  #beginStop(run: ResourceRun) {
    run.retry = false
    run.endTried = true
    if (run.behaviour.holdsNothing) return this.#becomeStopped(run)
    if (run.state === 'ONLINE') this.#host.emit({ kind: 'unwatch', group: this.group, resource: run.name })
    run.state = 'STOPPING'
    run.detail = undefined
    run.stopTrouble = undefined
    if (this.#hurried) this.#kill(run)
    else this.#begin(run, 'stop')
  }

  /**
   * A probe is never waited for. A start is, where killing it would leave nobody able to say what it left behind; a
   * kept process and a check only stop being waited for.
   */
  #cancelForStop(run: ResourceRun, activity: Activity) {
    if (activity.cancelled) return
    const start = activity.kind === 'start' || activity.kind === 'settle'
    if (activity.kind !== 'probe' && !(start && (this.#holds || run.behaviour.kept || run.behaviour.holdsNothing))) return
    activity.cancelled = true
    this.#host.emit({ kind: 'cancel', action: activity.action })
  }

  #bringUp() {
    for (const name of this.#order) {
      const run = this.#run(name)
      if (this.#state(this.#failure() !== undefined) !== 'STARTING') return
      if (run.state !== 'STOPPED' || run.activity !== undefined || this.#restarting.has(name)) continue
      const ready = run.definition.dependsOn.every((needed) => this.#runs.get(needed)?.state === 'ONLINE' && !this.#restarting.has(needed))
      if (!ready) continue
      run.state = 'STARTING'
      run.touched = true
      run.processes = []
      run.starting = undefined
      this.#begin(run, 'start')
    }
  }

  #probeWhatIsDue(now: BootInstant) {
    for (const run of this.#runs.values()) {
      if (run.state !== 'ONLINE' || run.activity !== undefined || run.probeAt > now) continue
      if (!this.#host.mayStart(now)) {
        run.probeAt = bootInstant(now + heldProbeDelay)
        continue
      }
      this.#begin(run, 'probe', run.probePurpose)
      run.probePurpose = 'periodic'
    }
  }

  // ——— outcomes ———

  #onStarted(run: ResourceRun, result: MethodResult, now: BootInstant) {
    switch (result.outcome) {
      case 'done':
        return this.#becomeOnline(run, now, true)
      case 'refused':
        run.touched = false
        run.state = 'STOPPED'
        if (result.because === 'sealed') this.#wanted = 'stop'
        return
      case 'cancelled':
        return
      case 'timed-out':
        this.#fail(run, 'start-timeout', result.detail)
        return this.#killedStart(run)
      default:
        return this.#fail(run, 'start-failed', 'detail' in result ? result.detail : `the start answered ${result.outcome}`)
    }
  }

  #onSettled(run: ResourceRun, result: MethodResult) {
    if (result.outcome === 'cancelled') return
    if (result.outcome === 'done') return this.#begin(run, 'probe', 'adopted')
    if (result.outcome === 'timed-out') this.#killedStart(run)
    this.#startAgain(run)
  }

  #onVerified(run: ResourceRun, result: MethodResult) {
    const verdict = judgeProbe('verify', result)
    if (verdict.verdict === 'unknown') return this.#becomeUnknown(run, verdict.detail)
    if (verdict.verdict === 'none') return this.#becomeUnknown(run, 'its verification was interrupted')
    if (run.escaped) return this.#becomeUnknown(run, escapedDetail)
    this.#becomeStopped(run)
  }

  #onProbed(run: ResourceRun, purpose: ProbePurpose, result: MethodResult, now: BootInstant) {
    const verdict = judgeProbe(purpose, result)
    if (verdict.verdict === 'none') return this.#scheduleProbe(run, now)
    if (verdict.verdict === 'running') {
      if (run.state === 'STARTING') return this.#becomeOnline(run, now, true)
      if (run.state !== 'ONLINE') return
      if (purpose === 'periodic' && run.processes.length > 0 && now - run.onlineSince >= provenAfter) run.proven = true
      if (purpose === 'death') this.#watch(run, true)
      return this.#scheduleProbe(run, now)
    }
    if (run.state === 'STARTING') return this.#startAgain(run)
    if (run.state === 'ONLINE' && verdict.verdict === 'failed') this.#fail(run, verdict.event, verdict.detail)
  }

  // ——— transitions ———

  #becomeOnline(run: ResourceRun, now: BootInstant, learn: boolean) {
    run.state = 'ONLINE'
    run.detail = undefined
    run.onlineSince = now
    run.proven = false
    run.starting = undefined
    this.#watch(run, learn)
    this.#scheduleProbe(run, now)
  }

  #becomeStopped(run: ResourceRun) {
    if (run.state === 'ONLINE') this.#host.emit({ kind: 'unwatch', group: this.group, resource: run.name })
    run.state = 'STOPPED'
    run.detail = undefined
    run.touched = false
    run.processes = []
    run.starting = undefined
    run.stopTrouble = undefined
    this.#forgetFailure(run)
  }

  #becomeUnknown(run: ResourceRun, detail: string) {
    run.state = 'UNKNOWN'
    run.detail = run.stopTrouble === undefined ? detail : `${run.stopTrouble.detail}; ${detail}`
    if (run.stopTrouble !== undefined) this.#rememberFailure(run, run.stopTrouble)
    if (this.#emergency && !run.endTried) run.retry = true
  }

  #fail(run: ResourceRun, event: ResourceFailure['event'], detail: string) {
    if (run.state === 'ONLINE') this.#host.emit({ kind: 'unwatch', group: this.group, resource: run.name })
    if (run.activity?.kind === 'probe' && !run.activity.cancelled) {
      run.activity.cancelled = true
      this.#host.emit({ kind: 'cancel', action: run.activity.action })
    }
    run.state = 'FAILED'
    run.detail = detail
    this.#rememberFailure(run, { event, detail })
  }

  #killedStart(run: ResourceRun) {
    if (this.#holds || run.behaviour.holdsNothing) return
    run.escaped = true
    run.state = 'UNKNOWN'
    run.detail = escapedDetail
  }

  /** After a start that a dead monitor left behind and that cannot be taken over: stop, verify, start. */
  #startAgain(run: ResourceRun) {
    for (const name of this.#withDependents(run.name)) this.#restarting.add(name)
  }

  #rememberFailure(run: ResourceRun, failure: Pick<ResourceFailure, 'event' | 'detail'>) {
    run.failure = failure
    if (!this.#failed.includes(run.name)) this.#failed.push(run.name)
  }

  #forgetFailure(run: ResourceRun) {
    run.failure = undefined
    const at = this.#failed.indexOf(run.name)
    if (at >= 0) this.#failed.splice(at, 1)
  }

  // ——— resumption ———

  #adopt(run: ResourceRun, now: BootInstant) {
    this.#runs.set(run.name, run)
    if (run.failure !== undefined) this.#failed.push(run.name)
    if (this.#emergency) return this.#adoptToEnd(run)
    if (run.state === 'ONLINE') {
      run.onlineSince = now
      this.#watch(run, run.processes.length === 0)
      run.probeAt = now
      run.probePurpose = 'adopted'
    } else if (run.state === 'STARTING') {
      if (run.starting === undefined && !this.#holds && !run.behaviour.holdsNothing) this.#killedStart(run)
      else this.#begin(run, 'settle')
    }
  }

  #adoptToEnd(run: ResourceRun) {
    if (run.state === 'UNKNOWN') run.retry = true
    if (run.state !== 'STARTING' || run.behaviour.kept || run.behaviour.holdsNothing) return
    if (!this.#holds) run.escaped = true
    this.#kill(run)
  }

  // ——— small steps ———

  #begin(run: ResourceRun, kind: Activity['kind'], purpose: ProbePurpose = 'periodic') {
    const action = this.#host.newAction()
    run.activity = kind === 'probe' ? { kind, action, purpose, cancelled: false } : { kind, action, cancelled: false }
    const method = kind === 'verify' || kind === 'kill' ? 'probe' : kind
    this.#host.emit({ kind: 'begin', action, request: this.#request(run, method), deadline: this.#host.deadline() })
  }

  #kill(run: ResourceRun) {
    const action = this.#host.newAction()
    run.activity = { kind: 'kill', action, cancelled: false }
    this.#host.emit({ kind: 'kill', action, group: this.group, resource: run.name })
  }

  #request(run: ResourceRun, method: MethodRequest['method']): MethodRequest {
    const { group, token, node, boot } = this.#start
    const { start, stop, probe } = run.definition
    const defined = method === 'probe' ? probe.timeout : method === 'stop' ? stop.timeout : start.timeout
    const timeout = Math.min(defined, this.#host.limit?.(method, run.definition.type) ?? defined)
    const known = run.starting === undefined ? run.processes : [run.starting]
    return { group, token, node, boot, resource: run.name, definition: run.definition, method, timeout, processes: known }
  }

  #watch(run: ResourceRun, learn: boolean) {
    if (run.behaviour.holdsNothing) return
    this.#host.emit({
      kind: 'watch',
      group: this.group,
      resource: run.name,
      processes: run.processes,
      learn: learn && !run.behaviour.kept,
    })
  }

  #probeAtOnce(run: ResourceRun, now: BootInstant) {
    run.probeAt = now
    run.probePurpose = 'death'
  }

  #scheduleProbe(run: ResourceRun, now: BootInstant) {
    if (run.probePurpose === 'death') return // Noticed while the last probe was under way: the next one is due already.
    run.probeAt = bootInstant(now + run.definition.probe.interval * (0.9 + 0.2 * this.#host.jitter()))
  }

  #failure(): ResourceFailure | undefined {
    for (const name of this.#failed) {
      const run = this.#runs.get(name)
      if (run?.failure === undefined || (this.#restarting.has(name) && run.state !== 'UNKNOWN')) continue
      return { resource: name, ...run.failure, restartNumber: this.#restartNumber }
    }
    return undefined
  }

  #state(failed: boolean): GroupRunState {
    const runs = [...this.#runs.values()]
    const unknown = runs.some(isStuck)
    if (this.#wanted === 'stop') return unknown ? 'UNKNOWN' : this.finished ? 'STOPPED' : 'STOPPING'
    if (unknown) return 'UNKNOWN'
    if (failed) return 'FAILED'
    return runs.every((run) => run.state === 'ONLINE' && !this.#restarting.has(run.name)) ? 'ONLINE' : 'STARTING'
  }

  #withDependents(name: ResourceName): ReadonlySet<ResourceName> {
    const all = new Set<ResourceName>()
    const waiting = this.#runs.has(name) ? [name] : []
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (all.has(next)) continue
      all.add(next)
      waiting.push(...this.#run(next).dependents)
    }
    return all
  }

  get #holds(): boolean {
    return this.#start.containment.kind !== 'sweep'
  }

  #run(name: ResourceName): ResourceRun {
    return this.#runs.get(name) as ResourceRun
  }
}

/** Nothing more will be tried with it unless somebody orders so. */
const isStuck = (run: ResourceRun) => run.state === 'UNKNOWN' && !run.retry

/** Its stop is over, whether or not it has been verified yet. */
const isDown = (run: ResourceRun) => !run.touched || isStuck(run) || run.activity?.kind === 'kill' || run.activity?.kind === 'verify'

const escapedDetail =
  'its start was killed where nothing holds its processes together, so some may be left: power the node off or reboot it'
