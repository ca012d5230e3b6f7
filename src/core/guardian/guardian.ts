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
import { supportedLevel } from '../cluster/index.js'
import { Emergency } from './emergency.js'
import type { EmergencyLeft, GuardianEffect, GuardianEvent, KeptRole, RunFolderView } from './events.js'
import {
  type Detachment,
  type GuardianAnswer,
  type GuardianOrder,
  type GuardianQuery,
  type GuardianState,
  isSuspended,
  statementGroups,
} from './protocol.js'
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
const leaseOver = 'the lease has run out'

/** Share of the emergency stop for which processes may stand still; the rest is for killing them and verifying. */
const freezeShare = 0.4
/** Less than this is not worth it. Milliseconds. */
const freezeLeast = 100

/** Processes that stand still, or are about to. */
interface Frozen {
  readonly token: Token
  /** `inherited`: an earlier guardian may have frozen it. */
  readonly step: 'freezing' | 'frozen' | 'inherited' | 'thawing'
}

const never: Detachment = { detached: 0 as Token, attached: 0 as Token }

type Leaving = { readonly step: 'daemon' | 'monitor'; readonly until: BootInstant } | { readonly step: 'emergency' | 'done' }

export class GuardianCore {
  readonly #config: GuardianCoreConfig
  readonly #kept: Readonly<Record<'daemon' | 'monitor', Supervision>> = { daemon: new Supervision(), monitor: new Supervision() }
  /** Monitors that groups have of their own. */
  readonly #own = new Map<KeptRole, Supervision>()
  #wanted: readonly KeptRole[] = []
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
  readonly #frozen = new Map<GroupName, Frozen>()
  /** Of these it was tried in vain under this token. */
  readonly #unfreezable = new Map<GroupName, Token>()
  /** Copies that go on without a lease, as far as that was said. */
  readonly #goingOn = new Map<GroupName, Token>()
  /** What an earlier guardian froze still stands still, perhaps: to be looked for once, and killed first if it has to end. */
  #mayBeFrozen = false
  #mayInherit = false
  /** The watchdog is to reset the machine. */
  #resetting = false
  #detachment: Detachment | undefined
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
        this.#view = {
          deadline: event.deadline,
          open: event.open,
          seals: event.seals,
          policies: event.policies ?? new Map(),
          isKnown: event.isKnown ?? true,
        }
        this.#wanted = (event.monitors ?? []).map((group) => `monitor@${group}` as const)
        return this.#lookAtFrozen(now)
      case 'process-up':
        // One that takes the place of another in the middle of the end.
        if (event.role === 'daemon' && this.#leaving?.step === 'daemon') this.#emit({ kind: 'signal', role: 'daemon', signal: 'SIGTERM' })
        return this.#supervisionOf(event.role).onUp(now)
      case 'process-ended':
        if (event.role === 'daemon') this.#lastAlive = undefined
        return this.#supervisionOf(event.role).onEnded(now, event.refused)
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
      case 'frozen':
        return this.#onFrozen(event)
      case 'thawed':
        return this.#onThawed(event)
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
    this.#detachment = event.detachment
    this.#resetting = event.emergency?.reset === true
    this.#mayBeFrozen = true
    this.#mayInherit = true
    for (const role of ['daemon', 'monitor'] as const) {
      if (event.running.includes(role)) this.#kept[role].onUp(now)
      else this.#kept[role].wantNow(now)
    }
    for (const role of event.running) if (role !== 'daemon' && role !== 'monitor') this.#supervisionOf(role).onUp(now)
  }

  #supervisionOf(role: KeptRole): Supervision {
    if (role === 'daemon' || role === 'monitor') return this.#kept[role]
    const known = this.#own.get(role) ?? new Supervision()
    this.#own.set(role, known)
    return known
  }

  /** One that is not wanted any more keeps nothing: it only goes. */
  #keepOwnMonitors(now: BootInstant) {
    for (const role of this.#wanted) {
      const isNew = !this.#own.has(role)
      const supervision = this.#supervisionOf(role)
      if (isNew) supervision.wantNow(now)
      if (supervision.takeDue(now)) this.#emit({ kind: 'spawn', role })
    }
    for (const [role, supervision] of this.#own) {
      if (this.#wanted.includes(role)) continue
      if (supervision.up) this.#emit({ kind: 'signal', role, signal: 'SIGTERM' })
      else this.#own.delete(role)
    }
  }

  get #areMonitorsUp(): boolean {
    return this.#kept.monitor.up || [...this.#own.values()].some((supervision) => supervision.up)
  }

  #signalMonitors(signal: 'SIGTERM' | 'SIGKILL') {
    if (this.#kept.monitor.up) this.#emit({ kind: 'signal', role: 'monitor', signal })
    for (const [role, supervision] of this.#own) if (supervision.up) this.#emit({ kind: 'signal', role, signal })
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
      case 'end-monitor': {
        const role = order.group === undefined ? ('monitor' as const) : (`monitor@${order.group}` as const)
        if (this.#emergency === undefined && this.#supervisionOf(role).up) this.#emit({ kind: 'signal', role, signal: 'SIGKILL' })
        return
      }
      case 'shut-down':
        return this.#beginToLeave(now)
      case 'holds':
        return this.#thaw(order.tokens, now)
      case 'detach':
        return this.#detach(order.entry)
      case 'attach':
        return this.#attach(order.entry)
      default:
        return unreachable(order)
    }
  }

  /** What is due at this reading of the clock. */
  #act(now: BootInstant) {
    this.#emergency?.onTime(now)
    this.#concludeEmergency(now)
    this.#freeze(now)
    this.#endFrozen(now)
    this.#tellGoingOn(now)
    if (this.#emergency !== undefined) this.#takeLeftOut(this.#emergency, now)
    if (this.#emergency === undefined) {
      const reason = this.#emergencyReason(now)
      if (reason !== undefined) this.#beginEmergency(reason, now)
      else this.#forgetEmergency(now)
    }
    this.#countSilence(now)
    if (this.#leaving !== undefined) return this.#goOnLeaving(now, this.#leaving)
    if (this.#emergency === undefined && this.#kept.monitor.takeDue(now)) this.#emit({ kind: 'spawn', role: 'monitor' })
    if (this.#emergency === undefined) this.#keepOwnMonitors(now)
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

  /** By maintenance: what runs goes on whatever becomes of the lease, and nobody elsewhere takes that for its end. */
  get #isSuspended(): boolean {
    return this.#detachment !== undefined && isSuspended(this.#detachment)
  }

  #mayRun(now: BootInstant): boolean {
    return this.#isSuspended || this.#leaseHolds(now)
  }

  #detach(entry: Token) {
    const { detached, attached } = this.#detachment ?? never
    if (entry > detached && entry > attached)
      this.#setDetachment({ detached: entry, attached }, 'suspended: what runs goes on without a lease')
  }

  #attach(entry: Token) {
    const { detached, attached } = this.#detachment ?? never
    if (entry > attached) this.#setDetachment({ detached, attached: entry }, 'guards again')
  }

  #setDetachment(detachment: Detachment, text: string) {
    this.#detachment = detachment
    this.#emit({ kind: 'write-detachment', detachment })
    this.#emit({ kind: 'log', text })
  }

  get #isNothingOpen(): boolean {
    return this.#view.open.size === 0 && this.#view.isKnown !== false
  }

  /** Nothing is open that must end with the lease. */
  get #isNothingDue(): boolean {
    return this.#view.isKnown !== false && [...this.#view.open].every(([group, token]) => this.#goesOn(group, token))
  }

  /**
   * A copy that goes on without a lease, as a replica: its token is ended by nothing that a lease could prove (`outlastsLease`). Not
   * once its end has begun, nor when this process leaves and nobody would be left to keep it.
   */
  #goesOn(group: GroupName, token: Token): boolean {
    if (this.#leaving !== undefined || this.#view.policies?.get(group) !== 'demote') return false
    const ending = Math.max(this.#view.seals.get(group) ?? -1, this.#left?.tokens[group] ?? -1, this.#emergency?.tokens.get(group) ?? -1)
    return ending < token
  }

  #tellGoingOn(now: BootInstant) {
    if (this.#mayRun(now)) return this.#goingOn.clear()
    for (const [group, token] of this.#view.open) {
      if (this.#goingOn.get(group) === token || !this.#goesOn(group, token)) continue
      this.#goingOn.set(group, token)
      this.#emit({ kind: 'log', text: `${group} goes on as a replica: the lease has run out` })
    }
  }

  /**
   * Fed only while it would still reset the machine in time, or once nothing may run that must end with the lease: wherever this process hangs, the machine is
   * reset by the deadline and the emergency stop together. At other times it is left to count.
   *
   * Twice its time has to fit, for Linux feeds a watchdog once more when whoever holds it dies, and to open it is to feed it. This
   * process may die at any moment until the time-out of what it feeds now.
   */
  #feed(now: BootInstant) {
    const { watchdogTimeout, emergencyStop } = this.#config
    if (watchdogTimeout === undefined || this.#resetting || now - this.#fedAt < watchdogTimeout / 8) return
    const inTime = now + bootClockGrain + 2 * watchdogTimeout <= this.#view.deadline + emergencyStop
    if (!inTime && !this.#isNothingDue && !this.#isSuspended) return
    this.#fedAt = now
    this.#emit({ kind: 'feed-watchdog' })
  }

  /** Why everything must end now; undefined when nothing must. */
  #emergencyReason(now: BootInstant): string | undefined {
    if (this.#left?.phase === 'stopping') return 'an emergency stop had begun'
    const isDue = ([group, token]: [GroupName, Token]) => !this.#frozen.has(group) && !this.#goesOn(group, token)
    const due = this.#mayRun(now) ? [] : [...this.#view.open].filter(isDue)
    if (due.length === 0) return undefined
    const tried = this.#left?.tokens ?? {}
    const fresh = due.some(([group, token]) => (tried[group] ?? -1) < token)
    if (fresh) return leaseOver
    return now - this.#leftAt >= retryAfter ? 'the lease has run out and something could not be verified' : undefined
  }

  #beginEmergency(reason: string, now: BootInstant) {
    // Only the end of a lease leaves time to wait for another one.
    const waits = reason.startsWith(leaseOver)
    const spared = waits ? new Map(this.#frozen) : new Map<GroupName, Frozen>()
    const frozen = waits ? [] : [...this.#frozen.keys()]
    if (!waits) this.#frozen.clear()
    this.#begin(reason, spared, frozen, now)
  }

  #begin(reason: string, spared: ReadonlyMap<GroupName, unknown>, frozen: readonly GroupName[], now: BootInstant) {
    const host = { emit: (effect: GuardianEffect) => this.#emit(effect), newAction: () => ++this.#lastAction }
    const goingOn = new Map([...this.#view.open].filter(([group, token]) => this.#goesOn(group, token)))
    const open = new Map([...this.#view.open].filter(([group]) => !spared.has(group) && !goingOn.has(group)))
    const tokens = Object.fromEntries(open)
    this.#emit({ kind: 'log', text: `emergency stop of ${open.size} groups: ${reason}` })
    this.#haveReset(open, now)
    const reset = this.#resetting ? { reset: true as const } : {}
    this.#emit({ kind: 'write-emergency', reason, left: { phase: 'stopping', tokens, ...reset } })
    this.#left = undefined
    // One that begins late, for this process hung or died, has no more time than one that began at the deadline.
    const left = this.#view.deadline + this.#config.emergencyStop - now
    const budget = Math.max(0, Math.min(this.#config.emergencyStop, left))
    const inherited = this.#mayInherit ? [...open.keys()].filter((group) => this.#view.policies?.get(group) === 'freeze') : []
    this.#emergency = new Emergency(host, reason, open, now, budget, {
      spared: spared.keys(),
      frozen: [...frozen, ...inherited],
      goingOn: goingOn.keys(),
    })
  }

  /** One of the groups wants its node reset where the lease is over: nothing has to be fed any more. */
  #haveReset(ending: ReadonlyMap<GroupName, Token>, now: BootInstant) {
    if (this.#mayRun(now)) return // An orderly end leaves the machine as it is.
    const wants = [...ending.keys()].filter((group) => this.#view.policies?.get(group) === 'selfFence')
    if (wants.length === 0 || this.#resetting) return
    this.#resetting = this.#isArmed && this.#config.watchdogTimeout !== undefined
    const what = this.#resetting ? 'the watchdog is left to reset this machine' : 'no watchdog is armed, so that it is only stopped'
    this.#emit({ kind: 'log', text: `${what}, for ${wants.join(', ')}` })
  }

  /** What it spared because it was to stand still, and does not: it ends with the rest, within the same time. */
  #takeLeftOut(emergency: Emergency, now: BootInstant) {
    if (this.#mayRun(now)) return
    const isLeft = ([group, token]: [GroupName, Token]) =>
      !this.#frozen.has(group) && !this.#goesOn(group, token) && (emergency.tokens.get(group) ?? -1) < token
    const left = [...this.#view.open].filter(isLeft)
    if (left.length === 0) return
    const taken = new Map(left)
    this.#haveReset(taken, now)
    emergency.take(taken, now, { standsStill: false })
  }

  /** Open, and not what an emergency stop has tried to end. */
  get #hasUntried(): boolean {
    return [...this.#view.open].some(([group, token]) => (this.#left?.tokens[group] ?? -1) < token)
  }

  // What stands still while it is not known whether the lease comes back.

  /** At the latest then they are killed: early enough to be over, and verified, when others may start. */
  get #freezeEnd(): BootInstant {
    return bootInstant(this.#view.deadline + this.#freezeSpan)
  }

  /** Milliseconds after the deadline; 0 where there is no time for it. */
  get #freezeSpan(): number {
    const { emergencyStop, watchdogTimeout } = this.#config
    const shared = emergencyStop * freezeShare
    // A watchdog that is not fed any more must not come before the kill.
    const span = watchdogTimeout === undefined ? shared : Math.min(shared, emergencyStop - 2 * watchdogTimeout)
    return span < freezeLeast ? 0 : span
  }

  #lookAtFrozen(now: BootInstant) {
    for (const [group, { token }] of [...this.#frozen]) if (this.#view.open.get(group) !== token) this.#frozen.delete(group)
    if (!this.#mayBeFrozen) return
    this.#mayBeFrozen = false
    if (!this.#mayRun(now)) return // They are frozen, once more if need be.
    for (const [group, token] of this.#view.open)
      if (this.#view.policies?.get(group) === 'freeze') this.#frozen.set(group, { token, step: 'inherited' })
  }

  /** A copy that stands still has not stopped: it is open, unsealed, and proves nothing. */
  #freeze(now: BootInstant) {
    if (this.#mayRun(now) || this.#freezeSpan === 0 || now >= this.#freezeEnd) return
    if (this.#leaving !== undefined || this.#left?.phase === 'stopping') return
    for (const [group, token] of this.#view.open) {
      const isTried = (this.#left?.tokens[group] ?? -1) >= token || (this.#emergency?.tokens.get(group) ?? -1) >= token
      const isSealed = (this.#view.seals.get(group) ?? -1) >= token
      const { step = 'inherited' } = this.#frozen.get(group) ?? {}
      if (this.#view.policies?.get(group) !== 'freeze' || step !== 'inherited' || isTried || isSealed) continue
      if ((this.#unfreezable.get(group) ?? -1) >= token) continue
      this.#frozen.set(group, { token, step: 'freezing' })
      this.#emit({ kind: 'log', text: `${group} stands still: the lease has run out` })
      this.#emit({ kind: 'freeze', group, token })
    }
  }

  #onFrozen({ group, token, done, detail }: Extract<GuardianEvent, { kind: 'frozen' }>) {
    const known = this.#frozen.get(group)
    if (known?.token !== token || known.step !== 'freezing') return
    if (done) {
      this.#frozen.set(group, { token, step: 'frozen' })
      return
    }
    this.#frozen.delete(group)
    this.#unfreezable.set(group, token)
    this.#emit({ kind: 'log', text: `${group} cannot stand still, and is stopped: ${detail}` })
  }

  /** The daemon has applied what was committed when the lease was renewed, and the log still has these tokens as this boot's. */
  #thaw(tokens: { readonly [group: GroupName]: Token }, now: BootInstant) {
    if (!this.#leaseHolds(now)) return
    for (const [group, { token, step }] of this.#frozen) {
      if (tokens[group] !== token || (step !== 'frozen' && step !== 'inherited')) continue
      this.#frozen.set(group, { token, step: 'thawing' })
      this.#emit({ kind: 'thaw', group, token })
    }
  }

  #onThawed({ group, token, done }: Extract<GuardianEvent, { kind: 'thawed' }>) {
    const known = this.#frozen.get(group)
    if (known?.token !== token || known.step !== 'thawing') return
    if (done) {
      this.#frozen.delete(group)
      if (this.#frozen.size === 0) this.#mayInherit = false
    } else this.#frozen.set(group, { token, step: 'frozen' }) // Asked again at the daemon's next word.
    this.#emit({ kind: 'log', text: done ? `${group} goes on: the lease was renewed` : `${group} still stands still` })
  }

  /** The lease did not come back in time. */
  #endFrozen(now: BootInstant) {
    if (this.#frozen.size === 0 || this.#mayRun(now) || now < this.#freezeEnd) return
    if (this.#emergency !== undefined) return this.#takeFrozen(this.#emergency, now)
    const frozen = [...this.#frozen.keys()]
    this.#frozen.clear()
    this.#begin('the lease has run out, and did not come back in time', new Map(), frozen, now)
  }

  /** One that ends others has begun: these end with it. */
  #takeFrozen(emergency: Emergency, now: BootInstant) {
    const frozen = new Map([...this.#frozen].map(([group, { token }]) => [group, token]))
    this.#frozen.clear()
    this.#emit({ kind: 'log', text: `${[...frozen.keys()].join(', ')} ends too: the lease did not come back in time` })
    emergency.take(frozen, now)
  }

  #concludeEmergency(now: BootInstant) {
    const outcome = this.#emergency?.outcome
    if (this.#emergency === undefined || outcome === undefined) return
    const { reason, tokens } = this.#emergency
    const left: EmergencyLeft = {
      phase: outcome.problems.length === 0 ? 'stopped' : 'cannot-verify',
      tokens: Object.fromEntries(tokens),
      ...(this.#resetting ? { reset: true as const } : {}),
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
    if (this.#left === undefined || this.#resetting || !this.#leaseHolds(now) || this.#emergencyState() !== 'stopped') return
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
      watchdogTimeout:
        this.#isArmed && !this.#resetting && this.#config.watchdogProves !== false ? (this.#config.watchdogTimeout ?? null) : null,
      emergencyStop: this.#config.emergencyStop,
      level: supportedLevel,
      ...(this.#detachment === undefined ? {} : { detachment: this.#detachment }),
      ...(this.#frozen.size === 0 ? {} : { frozen: Object.fromEntries([...this.#frozen].map(([group, { token }]) => [group, token])) }),
    }
    const told = `${number} ${state.emergency} ${state.monitorUp} ${state.watchdogTimeout} ${JSON.stringify([state.frozen, state.detachment])}`
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
        this.#signalMonitors('SIGTERM')
        this.#leaving = { step: 'monitor', until: bootInstant(now + monitorEndMax) }
        return
      case 'monitor':
        if (this.#areMonitorsUp && now < leaving.until) return
        this.#signalMonitors('SIGKILL')
        this.#leaving = { step: 'emergency' }
        if (this.#emergency !== undefined && this.#frozen.size > 0) this.#takeFrozen(this.#emergency, now)
        if (this.#emergency === undefined && this.#view.open.size > 0 && !this.#isSuspended)
          this.#beginEmergency('the guardian is stopping', now)
        return
      case 'emergency':
        if (this.#emergency !== undefined) return
        // It went on under a lease while the others were ended.
        if (this.#hasUntried && !this.#isSuspended) return this.#beginEmergency('the guardian is stopping', now)
        this.#leaving = { step: 'done' }
        // Armed it stays where something could not be verified: nobody would be left to end it.
        if (this.#config.watchdogTimeout !== undefined && (this.#isNothingOpen || this.#isSuspended) && !this.#resetting)
          this.#emit({ kind: 'disarm-watchdog' })
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
