/**
 * One resource of a group that runs here: what it is doing, and what each outcome makes of it.
 *
 * Knows nothing of the others. The group says when to start, stop and probe; how a stop becomes a kill, a verification
 * and the word UNKNOWN is decided here.
 */
import { type BootInstant, bootInstant, type NodeId, type ResourceName } from '../../base/index.js'
import { canonical, type DeepProbeDefinition, depthsOf, type ResourceDefinition } from '../cluster/index.js'
import type { MethodRequest, MonitorEffect } from './events.js'
import { ProbeCount } from './probe-count.js'
import type { LookFound, ResourceFailure, ResourceReport, ResourceRunState } from './protocol.js'
import type { ProcessIdentity, ResourceRecord, RunRecord } from './record.js'
import { behaviourOf, cellOf, type ResourceBehaviour } from './resource-type.js'
import { isSystemd } from './systemd-type.js'
import { judgeProbe, type MethodResult, type ProbePurpose } from './verdict.js'

/** What a group needs of the process around it. */
export interface GroupHost {
  emit(effect: MonitorEffect): void
  /** A number for an action that has not been used before. */
  newAction(): number
  /** From 0 up to 1. */
  jitter(): number
  /** Whether the lease still allows anything to be started. */
  mayStart(now: BootInstant): boolean
  /** Milliseconds that a method may take at most, whatever the definition says: an emergency has less time. */
  limit?(method: MethodRequest['method'], definition: ResourceDefinition): number
  /** Whether its stop has to wait for something outside the group. */
  holdsBack?(definition: ResourceDefinition): boolean
}

export type RunStart = Omit<
  RunRecord,
  | 'wanted'
  | 'restartNumber'
  | 'restarting'
  | 'after'
  | 'gone'
  | 'again'
  | 'look'
  | 'quiet'
  | 'failures'
  | 'progress'
  | 'incoming'
  | 'migrate'
  | 'migrated'
>

/** What a resource shares with its group. */
export interface RunContext {
  readonly host: GroupHost
  readonly start: RunStart
  /** Everything is being ended, asking nobody. */
  readonly emergency: boolean
  /** Numbers the failures of the group in their order; a number given before is kept. */
  nextFailure(before?: number): number
  /** A start found its token sealed. */
  onSealed(): void
}

type Failure = Pick<ResourceFailure, 'event' | 'detail' | 'severity'>

/** The one thing that is being done with a resource: never two at once. */
type Activity =
  | { readonly kind: 'start' | 'settle' | 'reload' | 'migrate' | 'stop' | 'kill' | 'verify'; readonly action: number; cancelled: boolean }
  | {
      readonly kind: 'probe'
      readonly action: number
      readonly purpose: ProbePurpose
      readonly deep: DeepProbeDefinition | undefined
      cancelled: boolean
    }

/** Whoever waits for a look. */
interface Asker {
  readonly lookId: string
  readonly deep: boolean
  readonly since: BootInstant
}

const askersMax = 16
/** A main process that has lived this long after its resource came ONLINE is no leftover of the start. */
const provenAfter = 3_000
/** For so long after the start it is looked again which its main processes are: some come late, some were only helpers. */
const learnFor = 10_000
/** The first probe comes soon after the start: one that said "done" too early is found out. */
const firstProbeAfter = 500
/**
 * A probe that still says "running" just after a main process has ended is asked again after these times: until the
 * dead one has been reaped, an agent that looks for it with `kill -0` takes it for alive.
 */
const askAgainAfter = [100, 400, 1_500, 3_000]
/** After a probe that was bad but does not count yet the next one comes no later than this. */
const againAfterBad = 1_000

export class ResourceRun {
  readonly name: ResourceName
  /** As what it runs; or, while nothing of it does, as what it will. */
  #definition: ResourceDefinition
  /** As what it is to run, where that is something else than what it runs. */
  #next: ResourceDefinition | undefined
  /** What the reload that is under way carries. */
  #reloading: ResourceDefinition | undefined
  readonly #context: RunContext
  #state: ResourceRunState = 'STOPPED'
  #detail: string | undefined
  #touched = false
  #escaped = false
  #processes: readonly ProcessIdentity[] = []
  #starting: ProcessIdentity | undefined
  #failure: (Failure & { readonly order: number }) | undefined
  #activity: Activity | undefined
  /** When to probe next, and why; meaningful while ONLINE. */
  #probeAt = bootInstant(0)
  #probePurpose: 'periodic' | 'death' | 'adopted' = 'periodic'
  /** When to probe to each further depth next; meaningful while ONLINE. */
  #deepAt: readonly (readonly [depth: DeepProbeDefinition, at: BootInstant])[] = []
  #count: ProbeCount
  /** What its start left to be said. */
  #note: string | undefined
  /** What its probe found wanting. */
  #degraded: string | undefined
  #onlineSince = bootInstant(0)
  /** A probe, or whoever looked for its processes, has found it running since its start. */
  #isSeen = true
  /** How often it was asked again since a main process ended. */
  #askedAgain: number = askAgainAfter.length
  /** Its main processes have outlived the start for long enough that their end means its death, without a probe. */
  #proven = false
  /** What went wrong with the stop that is now being made up for by a kill. */
  #stopTrouble: Failure | undefined
  /** UNKNOWN, and another try is allowed. */
  #retry = false
  /** An emergency stop has tried once. */
  #endTried = false
  /** Is to be probed anew, by order of the cluster. */
  #look = false
  #askers: readonly Asker[] = []
  /** A start of it has not been seen to end well: something of it may still be at work. */
  #unsure = false
  /** All that there was of it has been killed since its stop began. */
  #killed = false
  /** The node from which it was sent here, until it has been taken over; and to which it is sent. */
  #peer: NodeId | undefined
  /** It was sent to another node, and is only to be stopped. */
  #hasLeft = false
  #troubleLeaving: { readonly detail: string; readonly isSure: boolean } | undefined
  /** A start that a dead monitor left behind could not be taken over: stop, verify, start. */
  #startAgain = false

  constructor(context: RunContext, name: ResourceName, definition: ResourceDefinition) {
    this.#context = context
    this.name = name
    this.#definition = definition
    this.#count = new ProbeCount(definition.probe)
  }

  get definition(): ResourceDefinition {
    return this.#definition
  }
  get behaviour(): ResourceBehaviour {
    return behaviourOf(this.#definition)
  }
  /** It does not run yet as it is to. */
  get changing(): boolean {
    return this.#next !== undefined
  }

  get state(): ResourceRunState {
    return this.#state
  }
  /** Something of it may be running: from before its start until it was verified stopped. */
  get touched(): boolean {
    return this.#touched
  }
  get busy(): boolean {
    return this.#activity !== undefined
  }
  get action(): number | undefined {
    return this.#activity?.action
  }
  /** UNKNOWN, and nothing more will be tried with it unless somebody orders so. */
  get stuck(): boolean {
    return this.#state === 'UNKNOWN' && !this.#retry
  }
  /** Its stop is over, whether or not it has been verified yet. */
  get down(): boolean {
    return !this.#touched || this.stuck || this.#activity?.kind === 'kill' || this.#activity?.kind === 'verify'
  }
  get failure(): (Failure & { readonly order: number }) | undefined {
    return this.#failure
  }
  /** When to probe next, to whichever depth. */
  get probeAt(): BootInstant {
    return bootInstant(Math.min(this.#probeAt, ...this.#deepAt.map(([, at]) => at)))
  }

  /** A look that was ordered is not over. */
  get looking(): boolean {
    return this.#look
  }

  /** Has it probed anew, as soon as nothing else is being done with it. */
  look() {
    this.#look = true
  }

  /** As `look`, for somebody who waits for what is found. */
  ask(lookId: string, deep: boolean, now: BootInstant) {
    const asker = { lookId, deep, since: now }
    if (deep && depthsOf(this.definition).length === 0) this.#answer([asker], 'not-asked', now, 'it has no deep probe')
    else if (this.#askers.length >= askersMax) this.#answer([asker], 'not-asked', now, 'too many wait for its probe')
    else this.#askers = [...this.#askers, asker]
  }

  /** Begins the probe that is waited for. What is neither up nor failed has nothing to be looked at. */
  beginLook(now: BootInstant) {
    const [first] = this.#askers
    if (this.busy || (!this.#look && first === undefined)) return
    if (this.#state !== 'ONLINE' && this.#state !== 'FAILED') return this.dropLook(`it is ${this.#state}`, now)
    this.#begin('probe', 'look', !this.#look && first?.deep === true ? depthsOf(this.definition)[0] : undefined)
  }

  dropLook(why: string, now: BootInstant) {
    this.#look = false
    if (this.#askers.length === 0) return
    this.#answer(this.#askers, 'not-asked', now, why)
    this.#askers = []
  }

  #onLooked(deep: boolean, result: MethodResult, now: BootInstant) {
    if (result.outcome === 'cancelled') return // It is begun again, or dropped with what it gave way to.
    if (!deep) this.#look = false
    const told = this.#askers.filter((asker) => asker.deep === deep)
    this.#askers = this.#askers.filter((asker) => asker.deep !== deep)
    const { outcome } = result
    const found = outcome === 'running' || outcome === 'stopped' || outcome === 'timed-out' ? outcome : 'failed'
    const detail = 'detail' in result ? result.detail : 'note' in result ? result.note : undefined
    this.#answer(told, found, now, detail, 'degraded' in result && result.degraded === true)
  }

  #answer(askers: readonly Asker[], result: LookFound['result'], now: BootInstant, detail?: string, degraded = false) {
    for (const { lookId, since } of askers) {
      const found: LookFound = {
        result,
        state: this.#state,
        elapsedMs: now - since,
        ...(detail === undefined ? {} : { detail }),
        ...(degraded ? { degraded: true as const } : {}),
      }
      this.#emit({ kind: 'report', report: { kind: 'looked', lookId, found } })
    }
  }

  /** Whether its start has to be repeated; says so once. */
  takeStartAgain(): boolean {
    const again = this.#startAgain
    this.#startAgain = false
    return again
  }

  /** Allows what is UNKNOWN another try. */
  allowRetry() {
    if (this.#state === 'UNKNOWN') this.#retry = true
  }

  /**
   * Takes on another definition: at once what only says how it is watched and what follows, or when nothing of it runs;
   * the rest by a reload or a restart. Until then it is stopped and probed as what it runs.
   */
  redefine(definition: ResourceDefinition, now: BootInstant) {
    // As what it runs then is known when it has ended, whatever is wanted by that time.
    if (this.#activity?.kind === 'reload') {
      this.#next = definition
      return
    }
    if (sameProgram(this.#definition, definition)) {
      this.#next = undefined
      if (canonical(this.#definition) === canonical(definition)) return
      this.#definition = definition
      if (this.#state !== 'ONLINE') return
      this.#count = new ProbeCount(definition.probe)
      this.#tellTrouble()
      this.#scheduleProbe(now)
      this.#firstDeepProbe(now)
    } else if (this.#touched) this.#next = definition
    else this.#definition = definition
  }

  /** Goes from what it runs to what it is to run. Asked by the group when it may start something. */
  takeOnChange() {
    if (this.#next === undefined || this.#state !== 'ONLINE' || this.busy) return
    if (this.#probePurpose !== 'periodic') return // It may be dead: that is looked at first.
    if (this.#next.type.startsWith('ocf:') && canonical(this.#next.limits ?? null) === canonical(this.#definition.limits ?? null))
      this.#begin('reload')
    else this.#startAgain = true
  }

  // Migration.

  /** It may turn up here. Nothing is started; when it is to end, it is stopped and verified as anything that runs. */
  expect(isEmergency: boolean) {
    if (this.behaviour.holdsNothing) return
    this.#touched = true
    this.#state = isEmergency ? 'FAILED' : 'STARTING'
    this.#detail = 'it is on its way from another node'
  }

  /** With `from`, what was sent is taken over; else it is looked for, and started where it is not there. */
  arrive(from: NodeId | undefined) {
    this.#detail = undefined
    this.#peer = from
    // What perhaps has come is looked for: else it would be started beside itself.
    this.#state = from === undefined ? 'STARTING' : 'STOPPED'
    if (from === undefined) this.#begin('probe', 'adopted')
  }

  get hasLeft(): boolean {
    return this.#hasLeft
  }

  migrate(to: NodeId) {
    this.#peer = to
    this.#begin('migrate')
    this.#peer = undefined
  }

  /** Why it could not be sent; said once. */
  takeTroubleLeaving() {
    const trouble = this.#troubleLeaving
    this.#troubleLeaving = undefined
    return trouble
  }

  leave() {
    this.#leaveOnline()
    this.#hasLeft = true
  }

  /** It was not sent: whether it is still here is looked at. */
  stay() {
    this.#hasLeft = false
    if (this.#state !== 'ONLINE' || this.#activity?.kind === 'migrate') return
    this.#watch(true)
    this.#look = true
  }

  /** A probe is not waited for. */
  yieldToMigration() {
    if (this.#activity?.kind === 'probe') this.#cancel()
  }

  #onMigrated(result: MethodResult) {
    if (result.outcome === 'done') return this.leave()
    // Only its own word says that it is still here: what was killed may have been carried on by others.
    const isSure = result.outcome === 'failed' || result.outcome === 'refused'
    this.#troubleLeaving = { detail: 'detail' in result ? result.detail : `it was ${result.outcome}`, isSure }
  }

  /** What ends here then is on its way. */
  get #isOnItsWay(): boolean {
    return this.#hasLeft || this.#activity?.kind === 'migrate'
  }

  // What the group has done with it.

  start() {
    this.#state = 'STARTING'
    this.#touched = true
    this.#unsure = true
    this.#processes = []
    this.#starting = undefined
    this.#begin('start')
  }

  /** Stops it, or goes on stopping it; `hurried` goes straight to the kill. The group has seen to the order. */
  stop(hurried: boolean) {
    this.#retry = false
    this.#endTried = true
    if (this.behaviour.holdsNothing) return this.becomeStopped()
    this.#leaveOnline()
    this.#state = 'STOPPING'
    this.#detail = undefined
    this.#stopTrouble = undefined
    this.#killed = false
    if (hurried) this.#kill()
    else this.#begin('stop')
  }

  /**
   * Makes way for a stop. A probe is never waited for. A start is, where killing it would leave nobody able to say
   * what it left behind, and a promotion, for its end would be that of the copy; a kept process and a check only stop being waited for.
   */
  yieldToStop() {
    const kind = this.#activity?.kind
    const mayEndStart = !this.behaviour.isRole && (this.#holds || this.behaviour.kept || this.behaviour.holdsNothing)
    if (kind === 'probe' || ((kind === 'start' || kind === 'settle' || kind === 'reload') && mayEndStart)) this.#cancel()
  }

  /** Makes way for what is done with its role: of both, one action runs at a time. Only a probe that comes again by itself does. */
  yieldToRole() {
    if (this.#activity?.kind === 'probe' && this.#activity.purpose === 'periodic') this.#cancel()
  }

  /** The time for an orderly stop is over. */
  hurry() {
    this.allowRetry()
    if (this.#activity?.kind === 'stop' || this.#activity?.kind === 'migrate') this.#cancel()
  }

  /** The one that is due; the shallow one first, which is soon over. */
  probe(now: BootInstant) {
    if (this.#probeAt > now) {
      const [due] = [...this.#deepAt].sort(([, a], [, b]) => a - b)
      if (due !== undefined) this.#begin('probe', 'periodic', due[0])
      return
    }
    const purpose = this.#probePurpose
    this.#probePurpose = 'periodic'
    this.#begin('probe', purpose)
  }

  putOffProbe(until: BootInstant) {
    if (this.#probeAt < until) this.#probeAt = until
    this.#deepAt = this.#deepAt.map(([depth, at]) => [depth, at < until ? until : at])
  }

  becomeStopped() {
    this.#leaveOnline()
    this.#definition = this.#next ?? this.#definition
    this.#next = undefined
    this.#state = 'STOPPED'
    this.#detail = undefined
    this.#note = undefined
    this.#degraded = undefined
    this.#touched = false
    this.#processes = []
    this.#starting = undefined
    this.#stopTrouble = undefined
    this.#failure = undefined
    this.#unsure = false
    this.#hasLeft = false
    this.#peer = undefined
  }

  // What happened to it.

  onSpawned(process: ProcessIdentity) {
    if (this.#activity?.kind !== 'start' && this.#activity?.kind !== 'settle') return
    this.#starting = process
    if (this.behaviour.kept) this.#processes = [process]
  }

  onMethodDone(result: MethodResult, now: BootInstant) {
    const activity = this.#activity
    this.#activity = undefined
    switch (activity?.kind) {
      case 'start':
        return this.#onStarted(result, now)
      case 'settle':
        return this.#onSettled(result)
      case 'reload':
        return this.#onReloaded(result, now)
      case 'migrate':
        return this.#onMigrated(result)
      case 'stop':
        if (result.outcome === 'failed') this.#stopTrouble = { event: 'stop-failed', detail: result.detail }
        if (result.outcome === 'timed-out') this.#stopTrouble = { event: 'stop-timeout', detail: result.detail }
        // A copy that was demoted runs on. One that was not, or that something may yet promote, is killed.
        if (this.behaviour.isRole && result.outcome === 'done' && !this.#unsure) return this.#begin('verify')
        return this.#kill()
      case 'verify':
        return this.#onVerified(result)
      case 'probe':
        if (activity.deep !== undefined) this.#onProbedDeep(activity.deep, result, now)
        else this.#onProbed(activity.purpose, result, now)
        if (activity.purpose === 'look') this.#onLooked(activity.deep !== undefined, result, now)
        return
      default:
        return
    }
  }

  onKilled(empty: boolean) {
    if (this.#activity?.kind !== 'kill') return
    this.#activity = undefined
    this.#killed = empty
    if (empty) this.#begin('verify')
    else this.#becomeUnknown('its processes could not be killed')
  }

  onLearnt(processes: readonly ProcessIdentity[]) {
    if (this.#state !== 'ONLINE' || this.behaviour.kept) return
    this.#processes = processes
    if (processes.length > 0) this.#isSeen = true
  }

  onEnded(process: ProcessIdentity, detail: string, now: BootInstant) {
    const known = (other: ProcessIdentity) => other.pid === process.pid && other.startTime === process.startTime
    if (this.#state !== 'ONLINE' || this.#isOnItsWay || !this.#processes.some(known)) return
    this.#processes = this.#processes.filter((other) => !known(other))
    if (this.behaviour.kept) this.#fail({ event: 'died', detail })
    else this.#probeForDeath(now)
  }

  onEmptied(now: BootInstant) {
    if (this.#state !== 'ONLINE' || this.#isOnItsWay || this.behaviour.kept) return
    // A reload that is killed takes the service with it: then a restart is under way already.
    if (this.#proven && this.#activity?.kind !== 'reload') this.#fail({ event: 'died', detail: 'no process of it is left' })
    else if (this.#processes.length > 0) this.#probeForDeath(now)
  }

  onChanged(now: BootInstant) {
    if (this.#state === 'ONLINE' && !this.#isOnItsWay && !this.behaviour.kept) this.#probeForDeath(now)
  }

  // What others read of it.

  report(): ResourceReport {
    const degraded = this.#state === 'ONLINE' && this.#degraded !== undefined
    return { state: this.#state, ...(this.#detail === undefined ? {} : { detail: this.#detail }), ...(degraded ? { degraded } : {}) }
  }

  record(): ResourceRecord {
    const failure = this.#failure
    return {
      state: this.#state,
      touched: this.#touched,
      processes: this.#processes,
      ...(this.#detail === undefined ? {} : { detail: this.#detail }),
      ...(this.#note === undefined ? {} : { note: this.#note }),
      ...(this.#degraded === undefined ? {} : { degraded: this.#degraded }),
      ...(this.#starting === undefined ? {} : { starting: this.#starting }),
      ...(this.#next === undefined ? {} : { former: this.#definition }),
      ...(this.#escaped ? { escaped: true } : {}),
      ...(this.#unsure && this.behaviour.isRole ? { unsure: true as const } : {}),
      ...(this.#look ? { look: true as const } : {}),
      ...(failure === undefined ? {} : { failure: recordOf(failure) }),
    }
  }

  /** Goes on where the process before this one left it. */
  resume(record: ResourceRecord, now: BootInstant) {
    if (record.former !== undefined) {
      this.#next = this.#definition
      this.#definition = record.former
    }
    this.#state = record.state
    this.#detail = record.detail
    this.#note = record.note
    this.#degraded = record.degraded
    this.#touched = record.touched
    this.#escaped = record.escaped === true
    this.#unsure = record.unsure === true
    this.#look = record.look === true
    this.#processes = record.processes
    this.#starting = record.starting
    if (record.failure !== undefined) {
      const { number, ...failure } = record.failure
      this.#failure = { ...failure, order: this.#context.nextFailure(number) }
    }
    if (this.#context.emergency) return this.#resumeToEnd()
    // It had come here, and was not taken over yet.
    if (this.#state === 'STOPPED' && this.#touched) return this.arrive(undefined)
    if (this.#state === 'ONLINE') {
      this.#onlineSince = now
      this.#watch(this.#processes.length === 0)
      this.#probeAt = now
      this.#probePurpose = 'adopted'
      this.#firstDeepProbe(now)
    } else if (this.#state === 'STARTING') {
      // Of a kept process it can often still be found out which it is.
      const lost = this.#starting === undefined && !this.#holds && !this.behaviour.holdsNothing && !this.behaviour.kept
      if (lost) this.#becomeEscaped()
      else this.#begin('settle')
    }
  }

  /** A start in flight is killed first: nothing may come up any more. */
  #resumeToEnd() {
    this.allowRetry()
    if (this.#state !== 'STARTING' || this.behaviour.kept || this.behaviour.holdsNothing) return
    if (!this.#holds) this.#escaped = true
    this.#kill()
  }

  #onStarted(result: MethodResult, now: BootInstant) {
    // What was refused was not tried; after anything else it is started as ever.
    if (result.outcome !== 'refused') this.#peer = undefined
    switch (result.outcome) {
      case 'done':
        this.#note = result.note
        this.#unsure = false
        this.#isSeen = this.behaviour.kept || this.behaviour.holdsNothing || this.behaviour.isRole
        return this.#becomeOnline(now)
      case 'refused':
        // What has come is here all the same.
        this.#touched = this.#peer !== undefined
        this.#unsure = false
        this.#state = 'STOPPED'
        if (result.because === 'sealed') this.#context.onSealed()
        return
      case 'cancelled':
        return // A stop follows.
      case 'timed-out':
        this.#fail({ event: 'start-timeout', detail: result.detail })
        if (!this.#holds && !this.behaviour.holdsNothing) this.#becomeEscaped()
        return
      default:
        this.#fail({ event: 'start-failed', ...('detail' in result ? whyOf(result) : { detail: `the start answered ${result.outcome}` }) })
        if ('nothingBegun' in result && result.nothingBegun === true) this.#touched = false
    }
  }

  #onSettled(result: MethodResult) {
    if (result.outcome === 'cancelled') return
    if (result.outcome === 'done') {
      this.#note = result.note
      this.#unsure = false
      return this.#begin('probe', 'adopted')
    }
    // What nobody has found may still be there, where its processes are found by their environment alone.
    const lost = result.outcome === 'timed-out' || this.#starting === undefined
    if (lost && !this.#holds && !this.behaviour.holdsNothing) this.#becomeEscaped()
    this.#startAgain = true
  }

  #onReloaded(result: MethodResult, now: BootInstant) {
    if (this.#state !== 'ONLINE' || result.outcome === 'cancelled') return // A stop follows, or an answer to its failure.
    if (result.outcome === 'refused') {
      if (result.because === 'sealed') this.#context.onSealed()
      return // Past the lease: it is tried again once that is renewed.
    }
    if (result.outcome !== 'done') {
      this.#startAgain = true
      if (result.outcome === 'timed-out' && !this.#holds) {
        this.#leaveOnline()
        return this.#becomeEscaped() // It was killed, as a start would be.
      }
      this.#detail = 'detail' in result ? `restarted for its new definition: ${result.detail}` : undefined
      return
    }
    const wanted = this.#next ?? this.#definition
    const reloaded = this.#reloading ?? this.#definition
    const isAsWanted = sameProgram(reloaded, wanted)
    this.#definition = isAsWanted ? wanted : reloaded
    this.#next = isAsWanted ? undefined : wanted
    this.#count = new ProbeCount(this.#definition.probe)
    this.#onlineSince = now // Its main processes may be others from now on.
    this.#proven = false
    this.#watch(true)
    this.#probePurpose = 'periodic'
    this.#scheduleProbe(now, firstProbeAfter)
    this.#firstDeepProbe(now)
  }

  #onVerified(result: MethodResult) {
    const verdict = judgeProbe('verify', result)
    if (verdict.verdict !== 'stopped') {
      // A demotion that says that it is done is not taken at its word.
      if (this.behaviour.isRole && !this.#killed) return this.#kill()
      return this.#becomeUnknown('detail' in verdict ? verdict.detail : 'its verification was interrupted')
    }
    if (this.#escaped) return this.#becomeUnknown(escapedDetail)
    this.becomeStopped()
  }

  #onProbed(purpose: ProbePurpose, result: MethodResult, now: BootInstant) {
    const verdict = judgeProbe(purpose, result)
    if (verdict.verdict === 'none') return this.#scheduleProbe(now)
    if (this.#state === 'STARTING') {
      if (verdict.verdict === 'running') this.#becomeOnline(now)
      else this.#startAgain = true
      return
    }
    if (this.#state === 'FAILED' && verdict.verdict === 'running') {
      this.#failure = undefined // It was mended by hand.
      return this.#becomeOnline(now)
    }
    if (this.#state !== 'ONLINE') return
    if (verdict.verdict === 'failed') {
      // Its start said "done" too early, or of something else: another try here is worth no more than the first.
      if (verdict.event === 'died' && purpose === 'periodic' && !this.#isSeen)
        return this.#fail({ event: 'start-failed', detail: `its start was done, and its first probe after that: ${verdict.detail}` })
      if (this.#counts(purpose, verdict)) return this.#fail({ event: verdict.event, ...whyOf(verdict) })
      this.#tellTrouble()
      return this.#scheduleProbe(now, againAfterBad)
    }
    this.#isSeen = true
    this.#count.good()
    this.#degraded = verdict.verdict === 'running' ? verdict.degraded : undefined
    this.#tellTrouble()
    const age = now - this.#onlineSince
    if (purpose === 'periodic' && this.#processes.length > 0 && age >= provenAfter) this.#proven = true
    else if (purpose === 'death' || (age < learnFor && !this.behaviour.kept && !this.#proven)) this.#watch(true)
    this.#scheduleProbe(now)
  }

  /** Whether a bad probe is the failure of the resource. Death always is. */
  #counts(purpose: ProbePurpose, { event, detail, severity }: Failure): boolean {
    if (purpose === 'death' || event === 'died' || severity !== undefined) return true
    return event === 'probe-timeout' ? this.#count.timedOut(detail) : this.#count.failed(detail)
  }

  #tellTrouble() {
    const said = [this.#note, this.#degraded, this.#count.trouble].filter((text) => text !== undefined)
    this.#detail = said.length === 0 ? undefined : said.join('; ')
  }

  #onProbedDeep(depth: DeepProbeDefinition, result: MethodResult, now: BootInstant) {
    const verdict = judgeProbe('periodic', result)
    const which = depthsOf(this.definition).length > 1 ? ` (level ${depth.level ?? 10})` : ''
    if (this.#state === 'ONLINE' && verdict.verdict === 'failed')
      return this.#fail({ ...verdict, detail: `deep probe${which}: ${verdict.detail}` })
    if (this.#state !== 'ONLINE') return
    const next = bootInstant(now + depth.interval * (0.9 + 0.2 * this.#context.host.jitter()))
    this.#deepAt = this.#deepAt.map(([other, at]) => [other, other === depth ? next : at])
  }

  #firstDeepProbe(now: BootInstant) {
    const first = ({ interval }: DeepProbeDefinition) => bootInstant(now + interval * (0.5 + 0.5 * this.#context.host.jitter()))
    this.#deepAt = depthsOf(this.definition).map((depth) => [depth, first(depth)])
  }

  #becomeOnline(now: BootInstant) {
    this.#state = 'ONLINE'
    this.#count = new ProbeCount(this.definition.probe)
    this.#degraded = undefined
    this.#tellTrouble()
    this.#onlineSince = now
    this.#proven = false
    this.#askedAgain = askAgainAfter.length
    this.#starting = undefined
    this.#watch(true)
    this.#probePurpose = 'periodic'
    this.#probeAt = bootInstant(now + Math.min(firstProbeAfter, this.definition.probe.interval) * (0.5 + 0.5 * this.#context.host.jitter()))
    this.#firstDeepProbe(now)
  }

  #becomeUnknown(detail: string) {
    const trouble = this.#stopTrouble
    this.#state = 'UNKNOWN'
    this.#detail = trouble === undefined ? detail : `${trouble.detail}; ${detail}`
    if (trouble !== undefined) this.#remember(trouble)
    if (this.#context.emergency && !this.#endTried) this.#retry = true
  }

  /** Its start was, or may have been, killed where nothing holds its processes together. */
  #becomeEscaped() {
    this.#escaped = true
    this.#becomeUnknown(escapedDetail)
  }

  #fail(failure: Failure) {
    this.#leaveOnline()
    if (this.#activity?.kind === 'probe') this.#cancel()
    this.#state = 'FAILED'
    this.#detail = failure.detail
    this.#remember(failure)
  }

  #remember(failure: Failure) {
    const { event, ...why } = failure
    this.#failure = { event, ...whyOf(why), order: this.#failure?.order ?? this.#context.nextFailure() }
  }

  #leaveOnline() {
    if (this.#state === 'ONLINE' && this.#isWatched) this.#emit({ kind: 'unwatch', ...this.#reference })
  }

  #watch(learn: boolean) {
    if (!this.#isWatched) return
    this.#emit({ kind: 'watch', ...this.#reference, place: this.#place, processes: this.#processes, learn: learn && !this.behaviour.kept })
  }

  #probeForDeath(now: BootInstant) {
    this.#askedAgain = 0
    this.#probeAt = now
    this.#probePurpose = 'death'
    // A deep one may take long, and is not the one that tells whether anything is left.
    if (this.#activity?.kind === 'probe' && this.#activity.deep !== undefined) this.#cancel()
  }

  #scheduleProbe(now: BootInstant, latest = Number.POSITIVE_INFINITY) {
    if (this.#probePurpose === 'death') return // Noticed while the last probe was under way: the next one is due already.
    const soon = Math.min(latest, askAgainAfter[this.#askedAgain++] ?? Number.POSITIVE_INFINITY)
    const interval = this.definition.probe.interval * (0.9 + 0.2 * this.#context.host.jitter())
    this.#probeAt = bootInstant(now + Math.min(soon, interval))
  }

  #begin(kind: Activity['kind'], purpose: ProbePurpose = 'periodic', deep?: DeepProbeDefinition) {
    const { host } = this.#context
    const action = host.newAction()
    this.#activity = kind === 'probe' ? { kind, action, purpose, deep, cancelled: false } : { kind, action, cancelled: false }
    if (kind === 'reload') this.#reloading = this.#next
    const method = kind === 'verify' || kind === 'kill' ? 'probe' : kind
    const request = this.#request(method, deep)
    const isWaitedFor = kind === 'verify' || (kind === 'probe' && purpose !== 'periodic')
    const urgency = kind === 'verify' || purpose === 'death' ? ('stop' as const) : ('soon' as const)
    this.#emit({ kind: 'begin', action, request: isWaitedFor ? { ...request, urgency } : request })
  }

  #kill() {
    // Whoever goes on with a kill that was broken off kills again: what is left of the copy may still be the primary.
    if (this.behaviour.isRole) this.#unsure = true
    const action = this.#context.host.newAction()
    this.#activity = { kind: 'kill', action, cancelled: false }
    this.#emit({ kind: 'kill', action, ...this.#reference, place: this.#place, ...cellOf(this.definition, this.#context.start.node) })
  }

  #cancel() {
    if (this.#activity === undefined || this.#activity.cancelled) return
    this.#activity.cancelled = true
    this.#emit({ kind: 'cancel', action: this.#activity.action })
  }

  #request(method: MethodRequest['method'], deep: DeepProbeDefinition | undefined): MethodRequest {
    const { group, token, node, boot } = this.#context.start
    const { start, stop, probe } = this.definition
    const reload = method === 'reload' && this.#next !== undefined ? { definition: this.#next, former: this.definition } : {}
    const defined = method === 'probe' ? (deep ?? probe).timeout : method === 'stop' || method === 'migrate' ? stop.timeout : start.timeout
    const timeout = Math.min(defined, this.#context.host.limit?.(method, this.definition) ?? defined)
    const processes = this.#starting === undefined ? this.#processes : [this.#starting]
    return {
      group,
      token,
      node,
      boot,
      resource: this.name,
      place: this.#place,
      ...cellOf(this.definition, node),
      definition: this.definition,
      method,
      ...reload,
      ...((method === 'start' || method === 'migrate') && this.#peer !== undefined ? { peer: this.#peer } : {}),
      ...(deep === undefined ? {} : { deep }),
      timeout,
      processes,
    }
  }

  #emit(effect: MonitorEffect) {
    this.#context.host.emit(effect)
  }

  get #reference() {
    return { group: this.#context.start.group, resource: this.name }
  }

  get #place() {
    return this.#context.start.containment
  }

  /** The processes of a copy are watched where the copy is. */
  get #isWatched(): boolean {
    return !this.behaviour.holdsNothing && !this.behaviour.isRole
  }

  /** What systemd starts, it has in a cgroup of its own. */
  get #holds(): boolean {
    return this.#place.kind !== 'sweep' || isSystemd(this.definition.type)
  }
}

const escapedDetail =
  'its start or reload was killed or lost sight of where nothing holds its processes together, so some may be left: power the node off or reboot it'

/** Whether the two differ only in how it is watched, in times, and in what follows a failure. */
function sameProgram(one: ResourceDefinition, other: ResourceDefinition): boolean {
  const program = ({ type, parameters, limits, operations }: ResourceDefinition) => {
    const { actions, ...others } = parameters
    return canonical([type, type === 'command' ? others : parameters, limits ?? null, operations ?? null])
  }
  return program(one) === program(other)
}

function whyOf({ detail, severity }: Omit<Failure, 'event'>): Omit<Failure, 'event'> {
  return { detail, ...(severity === undefined ? {} : { severity }) }
}

function recordOf({ event, order, ...why }: Failure & { readonly order: number }): NonNullable<ResourceRecord['failure']> {
  return { event, ...whyOf(why), number: order }
}
