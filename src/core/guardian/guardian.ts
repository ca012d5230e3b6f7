/**
 * The guardian as a step-function.
 *
 * It keeps daemon and monitor running, and when the lease has run out with anything still open it ends everything
 * itself. What it has once begun to end it finishes, even if the lease returns.
 */
import {
  type BootId,
  type BootInstant,
  bootClockGrain,
  bootInstant,
  type GroupName,
  type NodeId,
  type Token,
  unreachable,
} from '../../base/index.js'
import { Emergency } from './emergency.js'
import type { EmergencyLeft, GuardianEffect, GuardianEvent, KeptRole, RunFolderView } from './events.js'
import { type GuardianAnswer, type GuardianOrder, type GuardianQuery, type GuardianState, statementGroups } from './protocol.js'
import { Supervision } from './supervision.js'

export interface GuardianCoreConfig {
  readonly node: NodeId
  readonly boot: BootId
  /** Milliseconds within which everything must be ended once the lease has run out. */
  readonly emergencyStop: number
  /** Milliseconds that the daemon may take to leave when the guardian is told to stop. */
  readonly leaveTimeout: number
  /** Milliseconds after which the machine is reset where it is not fed, at most half of `emergencyStop`; undefined where there is no watchdog. */
  readonly watchdogTimeout?: number | undefined
  /** Whether the end of a lease may be counted on for it; true unless given. */
  readonly watchdogProves?: boolean
}

/** What the daemon is told of tokens, with a number that changes with it. */
interface TokensTold extends Pick<GuardianState, 'sealed' | 'open'> {
  readonly number: number
  readonly text: string
  /** The reading that it was made from. */
  readonly from: Pick<RunFolderView, 'open' | 'seals'>
}

/** A daemon that has not said `alive` for so long does not count as up. */
const aliveFor = 1_000
/**
 * A daemon that was heard and then says nothing for so long hangs: it is ended, and the next one takes its place. Longer than anything
 * that it may have to do at once. Counted in looks, each for no more than `lookMax`: what this process slept through is not its silence.
 */
const daemonSilence = 10_000
const lookMax = 100
/** What could not be verified is tried again so often, while the lease is gone. */
const retryAfter = 10_000
/** The daemon hears from a guardian that is well at least so often. */
const tellEvery = 250
/** How long a monitor may take to end when asked. */
const monitorEndMax = 2_000

type Leaving = { readonly step: 'daemon' | 'monitor'; readonly until: BootInstant } | { readonly step: 'emergency' | 'done' }

export class GuardianCore {
  readonly #config: GuardianCoreConfig
  readonly #kept: Readonly<Record<KeptRole, Supervision>> = { daemon: new Supervision(), monitor: new Supervision() }
  #view: RunFolderView = { deadline: bootInstant(0), open: new Map(), seals: new Map() }
  #emergency: Emergency | undefined
  /** The last emergency stop, after its end. */
  #left: EmergencyLeft | undefined
  #leftAt = bootInstant(0)
  #daemonLeaves = false
  #lastAlive: BootInstant | undefined
  /** Milliseconds of looks since then. */
  #silence = 0
  #lookedAt = bootInstant(0)
  #leaving: Leaving | undefined
  #told = ''
  #tokens: TokensTold | undefined
  #toldAt = bootInstant(0)
  #fedAt = Number.NEGATIVE_INFINITY
  /** The device is open, and took what it was last fed. */
  #isArmed = false
  #lastAction = 0
  #effects: GuardianEffect[] = []

  constructor(config: GuardianCoreConfig) {
    this.#config = config
  }

  /** Handles one event to the end. The first `looked` comes right after `resumed`. */
  step(event: GuardianEvent, now: BootInstant): readonly GuardianEffect[] {
    this.#effects = []
    this.#handle(event, now)
    this.#concludeEmergency(now)
    if (event.kind === 'looked') this.#act(now)
    if (event.kind === 'looked') this.#feed(now)
    this.#tellDaemon(now)
    return this.#effects
  }

  #handle(event: GuardianEvent, now: BootInstant) {
    switch (event.kind) {
      case 'resumed':
        return this.#resume(event, now)
      case 'looked':
        this.#view = { deadline: event.deadline, open: event.open, seals: event.seals, isKnown: event.isKnown ?? true }
        return
      case 'process-up':
        return this.#kept[event.role].onUp(now)
      case 'process-ended':
        if (event.role === 'daemon') this.#lastAlive = undefined
        return this.#kept[event.role].onEnded(now)
      case 'daemon-connected':
        this.#told = ''
        return
      case 'ordered':
        return this.#onOrder(event.order, now)
      case 'queried':
        return this.#emit({ kind: 'answer', answer: this.#answer(event.query, now), to: event.from })
      case 'monitors-killed':
        return this.#emergency?.onMonitorsKilled(event.gone)
      case 'records':
        return this.#emergency?.onRecords(event, now)
      case 'method-done':
        return this.#emergency?.onMethodDone(event, now)
      case 'killed':
        return this.#emergency?.onKilled(event, now)
      case 'watchdog':
        this.#isArmed = event.armed
        return
      case 'terminated':
        return this.#beginToLeave(now)
      default:
        return unreachable(event)
    }
  }

  #resume(event: Extract<GuardianEvent, { kind: 'resumed' }>, now: BootInstant) {
    this.#left = event.emergency
    for (const role of ['daemon', 'monitor'] as const) {
      if (event.running.includes(role)) this.#kept[role].onUp(now)
      else this.#kept[role].wantNow(now)
    }
  }

  #onOrder(order: GuardianOrder, now: BootInstant) {
    switch (order.kind) {
      case 'alive':
        this.#lastAlive = now
        this.#silence = 0
        this.#daemonLeaves = false
        return
      case 'daemon-leaving':
        this.#daemonLeaves = true
        return
      case 'shut-down':
        return this.#beginToLeave(now)
      default:
        return unreachable(order)
    }
  }

  /** What is due at this reading of the clock. */
  #act(now: BootInstant) {
    this.#emergency?.onTime(now)
    this.#concludeEmergency(now)
    if (this.#emergency === undefined) {
      const reason = this.#emergencyReason(now)
      if (reason !== undefined) this.#beginEmergency(reason, now)
      else this.#forgetEmergency(now)
    }
    this.#countSilence(now)
    if (this.#leaving !== undefined) return this.#goOnLeaving(now, this.#leaving)
    if (this.#emergency === undefined && this.#kept.monitor.takeDue(now)) this.#emit({ kind: 'spawn', role: 'monitor' })
    if (!this.#daemonLeaves && this.#kept.daemon.takeDue(now)) this.#emit({ kind: 'spawn', role: 'daemon' })
  }

  /** Its own end touches no service: the next one goes on with the lease, or comes back to a node whose lease has run out. */
  #countSilence(now: BootInstant) {
    this.#silence += Math.min(lookMax, now - this.#lookedAt)
    this.#lookedAt = now
    if (this.#leaving !== undefined || this.#daemonLeaves || !this.#kept.daemon.up || this.#lastAlive === undefined) return
    if (this.#silence < daemonSilence) return
    this.#silence = 0
    this.#emit({ kind: 'log', text: `the daemon has said nothing for ${daemonSilence / 1_000} s: it is ended, and started again` })
    this.#emit({ kind: 'signal', role: 'daemon', signal: 'SIGKILL' })
  }

  // The lease, and what happens at its end.

  #leaseHolds(now: BootInstant): boolean {
    return now + bootClockGrain < this.#view.deadline
  }

  get #isNothingOpen(): boolean {
    return this.#view.open.size === 0 && this.#view.isKnown !== false
  }

  /**
   * Fed only while it would still reset the machine in time, or once nothing may run: wherever this process hangs, the machine is
   * reset by the deadline and the emergency stop together. At other times it is left to count.
   *
   * Twice its time has to fit, for Linux feeds a watchdog once more when whoever holds it dies, and to open it is to feed it. This
   * process may die at any moment until the time-out of what it feeds now.
   */
  #feed(now: BootInstant) {
    const { watchdogTimeout, emergencyStop } = this.#config
    if (watchdogTimeout === undefined || now - this.#fedAt < watchdogTimeout / 8) return
    const inTime = now + bootClockGrain + 2 * watchdogTimeout <= this.#view.deadline + emergencyStop
    if (!inTime && !this.#isNothingOpen) return
    this.#fedAt = now
    this.#emit({ kind: 'feed-watchdog' })
  }

  /** Why everything must end now; undefined when nothing must. */
  #emergencyReason(now: BootInstant): string | undefined {
    if (this.#left?.phase === 'stopping') return 'an emergency stop had begun'
    if (this.#leaseHolds(now) || this.#view.open.size === 0) return undefined
    const tried = this.#left?.tokens ?? {}
    const fresh = [...this.#view.open].some(([group, token]) => (tried[group] ?? -1) < token)
    if (fresh) return 'the lease has run out'
    return now - this.#leftAt >= retryAfter ? 'the lease has run out and something could not be verified' : undefined
  }

  #beginEmergency(reason: string, now: BootInstant) {
    const host = { emit: (effect: GuardianEffect) => this.#emit(effect), newAction: () => ++this.#lastAction }
    const open = this.#view.open
    const tokens = Object.fromEntries(open)
    this.#emit({ kind: 'log', text: `emergency stop of ${open.size} groups: ${reason}` })
    this.#emit({ kind: 'write-emergency', reason, left: { phase: 'stopping', tokens } })
    this.#left = undefined
    // One that begins late, for this process hung or died, has no more time than one that began at the deadline.
    const left = this.#view.deadline + this.#config.emergencyStop - now
    this.#emergency = new Emergency(host, reason, open, now, Math.max(0, Math.min(this.#config.emergencyStop, left)))
  }

  #concludeEmergency(now: BootInstant) {
    const outcome = this.#emergency?.outcome
    if (this.#emergency === undefined || outcome === undefined) return
    const { reason, tokens } = this.#emergency
    const left: EmergencyLeft = {
      phase: outcome.problems.length === 0 ? 'stopped' : 'cannot-verify',
      tokens: Object.fromEntries(tokens),
    }
    this.#emergency = undefined
    this.#left = left
    this.#leftAt = now
    this.#emit({ kind: 'write-emergency', reason, left })
    const text = outcome.problems.length === 0 ? 'everything verified stopped' : `cannot verify: ${outcome.problems.join('; ')}`
    this.#emit({ kind: 'log', text: `emergency stop ended: ${text}` })
  }

  /** Once all of it is verified, and the node may act again, it is history. */
  #forgetEmergency(now: BootInstant) {
    if (this.#left === undefined || !this.#leaseHolds(now) || this.#emergencyState() !== 'stopped') return
    this.#left = undefined
    this.#emit({ kind: 'clear-emergency' })
  }

  #emergencyState(): GuardianAnswer['emergency'] {
    if (this.#emergency !== undefined || this.#left?.phase === 'stopping') return 'stopping'
    if (this.#left === undefined) return 'none'
    // What could not be verified then may have been since, by the monitor.
    const unproved = Object.entries(this.#left.tokens).some(
      ([group, token]) => (this.#view.open.get(group as GroupName) ?? token + 1) <= token,
    )
    return unproved ? 'cannot-verify' : 'stopped'
  }

  // What others are told.

  #answer({ nonce, groups }: GuardianQuery, now: BootInstant): GuardianAnswer {
    const left = this.#view.deadline - now - bootClockGrain
    const alive = this.#lastAlive !== undefined && now - this.#lastAlive <= aliveFor
    return {
      kind: 'guardian-answer',
      node: this.#config.node,
      boot: this.#config.boot,
      nonce,
      daemonUp: this.#kept.daemon.up && alive,
      leaseRemainingMs: Math.max(0, left),
      emergency: this.#emergencyState(),
      sealed: portion(this.#sealed(), groups),
      open: portion(Object.fromEntries(this.#view.open), groups),
    }
  }

  /** A seal is a proof only where no record is left: what is still there has not been verified. */
  #sealed(): GuardianAnswer['sealed'] {
    const proved: Record<GroupName, Token> = {}
    for (const [group, token] of this.#view.seals) {
      const open = this.#view.open.get(group)
      if (open === undefined || open > token) proved[group] = token
    }
    return proved
  }

  /** At every change, and now and then without one: a guardian that hangs keeps its connection but falls silent. */
  #tellDaemon(now: BootInstant) {
    const { number, sealed, open } = this.#tokensTold()
    const state: GuardianState = {
      kind: 'guardian-state',
      emergency: this.#emergencyState(),
      sealed,
      open,
      monitorUp: this.#kept.monitor.up,
      watchdogTimeout: this.#isArmed && this.#config.watchdogProves !== false ? (this.#config.watchdogTimeout ?? null) : null,
      emergencyStop: this.#config.emergencyStop,
    }
    const told = `${number} ${state.emergency} ${state.monitorUp} ${state.watchdogTimeout}`
    if (told === this.#told && now - this.#toldAt < tellEvery) return
    this.#told = told
    this.#toldAt = now
    this.#emit({ kind: 'tell-daemon', state })
  }

  /** Made anew only when the run folder was read anew: with a thousand groups it is most of what a look costs. */
  #tokensTold(): TokensTold {
    const { open, seals } = this.#view
    if (this.#tokens?.from.open === open && this.#tokens.from.seals === seals) return this.#tokens
    const said = { sealed: this.#sealed(), open: Object.fromEntries(open) as GuardianState['open'] }
    const text = JSON.stringify(said)
    const number = (this.#tokens?.number ?? 0) + (text === this.#tokens?.text ? 0 : 1)
    this.#tokens = { number, text, from: { open, seals }, ...said }
    return this.#tokens
  }

  // The orderly end of the guardian: the daemon leaves, then the monitor, then what still runs is ended.

  #beginToLeave(now: BootInstant) {
    if (this.#leaving !== undefined) return
    this.#leaving = { step: 'daemon', until: bootInstant(now + this.#config.leaveTimeout) }
    if (this.#kept.daemon.up) this.#emit({ kind: 'signal', role: 'daemon', signal: 'SIGTERM' })
  }

  #goOnLeaving(now: BootInstant, leaving: Leaving) {
    switch (leaving.step) {
      case 'daemon':
        if (this.#kept.daemon.up && now < leaving.until) return
        if (this.#kept.daemon.up) this.#emit({ kind: 'signal', role: 'daemon', signal: 'SIGKILL' })
        if (this.#kept.monitor.up) this.#emit({ kind: 'signal', role: 'monitor', signal: 'SIGTERM' })
        this.#leaving = { step: 'monitor', until: bootInstant(now + monitorEndMax) }
        return
      case 'monitor':
        if (this.#kept.monitor.up && now < leaving.until) return
        if (this.#kept.monitor.up) this.#emit({ kind: 'signal', role: 'monitor', signal: 'SIGKILL' })
        this.#leaving = { step: 'emergency' }
        if (this.#emergency === undefined && this.#view.open.size > 0) this.#beginEmergency('the guardian is stopping', now)
        return
      case 'emergency':
        if (this.#emergency !== undefined) return
        this.#leaving = { step: 'done' }
        // Armed it stays where something could not be verified: nobody would be left to end it.
        if (this.#config.watchdogTimeout !== undefined && this.#isNothingOpen) this.#emit({ kind: 'disarm-watchdog' })
        return this.#emit({ kind: 'exit' })
      case 'done':
        return
      default:
        return unreachable(leaving)
    }
  }

  /** What this step has sealed and deleted counts at once, not only at the next look. */
  #emit(effect: GuardianEffect) {
    this.#effects.push(effect)
    if (effect.kind === 'delete-record') this.#view = { ...this.#view, open: without(this.#view.open, effect.group) }
    if (effect.kind === 'seal') this.#view = { ...this.#view, seals: new Map([...this.#view.seals, [effect.group, effect.token]]) }
  }
}

function without(open: ReadonlyMap<GroupName, Token>, group: GroupName): ReadonlyMap<GroupName, Token> {
  return new Map([...open].filter(([name]) => name !== group))
}

function portion(tokens: GuardianAnswer['sealed'], groups: readonly GroupName[] | undefined): GuardianAnswer['sealed'] {
  const names = (groups ?? (Object.keys(tokens) as GroupName[])).filter((group) => Object.hasOwn(tokens, group))
  return Object.fromEntries(names.slice(0, statementGroups).map((group) => [group, tokens[group] as Token]))
}
