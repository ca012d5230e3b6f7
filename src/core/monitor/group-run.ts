/**
 * Runs one group under one token: brings its resources up in order, keeps an eye on them, restarts what it is told to,
 * and brings them down in reverse until each is verified stopped.
 *
 * Level-triggered: `advance` compares what is with what is wanted and begins whatever may begin now, so an order, an
 * outcome and a resumption from the run record all go the same way.
 */
import { type BootInstant, bootInstant, type ResourceName, type Token } from '../../base/index.js'
import { startOrder } from '../cluster/index.js'
import type { GroupReport, GroupRunState, ResourceFailure } from './protocol.js'
import type { RunRecord } from './record.js'
import { type GroupHost, ResourceRun, type RunContext, type RunStart } from './resource-run.js'
import { isAddress } from './resource-type.js'

/** How long a probe is put off that fell due while the lease had run out. */
const heldProbeDelay = 500

export class GroupRun {
  readonly #host: GroupHost
  readonly #start: RunStart
  readonly #order: readonly ResourceName[]
  readonly #runs = new Map<ResourceName, ResourceRun>()
  readonly #restarting = new Set<ResourceName>()
  readonly #emergency: boolean
  #restartNumber = 0
  #sequence: number
  #wanted: 'run' | 'stop' = 'run'
  /** The token that is sealed in the end: of the last stop order, which may be newer than the one that runs. */
  #ending: Token
  #hurried = false
  #failures = 0

  constructor(host: GroupHost, start: RunStart, emergency = false) {
    this.#host = host
    this.#start = start
    this.#emergency = emergency
    this.#sequence = start.sequence
    this.#ending = start.token
    this.#order = startOrder(start.resources)
    const context: RunContext = {
      host,
      start,
      emergency,
      nextFailure: (before = this.#failures + 1) => {
        this.#failures = Math.max(this.#failures, before)
        return before
      },
      onSealed: () => {
        this.#wanted = 'stop'
      },
    }
    for (const name of this.#order) {
      const definition = start.resources[name]
      if (definition === undefined) continue
      const dependents = this.#order.filter((other) => start.resources[other]?.dependsOn.includes(name))
      this.#runs.set(name, new ResourceRun(context, name, definition, dependents))
    }
  }

  /**
   * Goes on where a process that has died left off. With `emergency` to end it, asking nobody: addresses go first, what
   * cannot be verified is passed over, a start in flight is killed.
   */
  static resume(
    host: GroupHost,
    record: RunRecord,
    now: BootInstant,
    how: { readonly sealed: boolean; readonly emergency?: boolean },
  ): GroupRun {
    const run = new GroupRun(host, record, how.emergency)
    run.#restartNumber = record.restartNumber
    for (const name of record.restarting) run.#restarting.add(name)
    run.#wanted = how.sealed ? 'stop' : record.wanted
    for (const resource of run.#runs.values()) {
      const progress = record.progress[resource.name]
      if (progress !== undefined) resource.resume(progress, now)
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
  /** Wanted stopped, and everything verified so. Only then may the token be called ended. */
  get finished(): boolean {
    return this.#wanted === 'stop' && this.#every((run) => !run.touched && !run.busy)
  }
  /** Nothing more is being done: finished, or something of it could not be verified. */
  get settled(): boolean {
    return this.#every((run) => !run.busy && (!run.touched || run.stuck))
  }
  /** The next reading of the clock at which `advance` has something to do by itself. */
  get wakeAt(): BootInstant | undefined {
    if (this.#wanted === 'stop') return undefined
    const due = [...this.#runs.values()].flatMap((run) => (run.state === 'ONLINE' && !run.busy ? [run.probeAt] : []))
    return due.length === 0 ? undefined : bootInstant(Math.min(...due))
  }

  /** A restart number that was seen before is not carried out again. */
  orderRun(sequence: number, restart: { readonly resource: ResourceName; readonly number: number } | undefined) {
    this.#sequence = sequence
    if (this.#wanted === 'stop' || restart === undefined || restart.number <= this.#restartNumber) return
    this.#restartNumber = restart.number
    this.#restart(restart.resource)
  }

  /** A repeated order changes nothing; a newer one has what could not be verified tried again. */
  orderStop(token: Token, sequence: number) {
    if (this.#wanted === 'stop' && token === this.#ending && sequence <= this.#sequence) return
    this.#sequence = sequence
    this.#ending = token
    this.#wanted = 'stop'
    for (const run of this.#runs.values()) run.allowRetry()
  }

  /** The time for orderly stops is over: kill everything that is left, in no order, and verify. */
  hurry() {
    this.#hurried = true
    for (const run of this.#runs.values()) run.hurry()
  }

  advance(now: BootInstant) {
    for (const run of this.#runs.values()) if (run.takeStartAgain()) this.#restart(run.name)
    this.#bringDown()
    if (this.#wanted === 'stop') return
    if ([...this.#restarting].every((name) => this.#runs.get(name)?.touched !== true)) this.#restarting.clear()
    if (this.#host.mayStart(now)) this.#bringUp()
    this.#probeWhatIsDue(now)
  }

  resource(name: ResourceName): ResourceRun | undefined {
    return this.#runs.get(name)
  }

  /** The resource that has this action under way. */
  ownerOf(action: number): ResourceRun | undefined {
    return [...this.#runs.values()].find((run) => run.action === action)
  }

  report(): GroupReport {
    const failure = this.#failure()
    const resources: GroupReport['resources'] = Object.fromEntries([...this.#runs].map(([name, run]) => [name, run.report()]))
    return {
      group: this.group,
      token: this.finished ? this.#ending : this.token,
      sequence: this.#sequence,
      state: this.#state(failure !== undefined),
      resources,
      ...(failure === undefined ? {} : { failure }),
    }
  }

  record(): RunRecord {
    return {
      ...this.#start,
      sequence: this.#sequence,
      wanted: this.#wanted,
      restartNumber: this.#restartNumber,
      restarting: [...this.#restarting],
      progress: Object.fromEntries([...this.#runs].map(([name, run]) => [name, run.record()])),
    }
  }

  #bringDown() {
    for (const run of [...this.#runs.values()].reverse()) {
      if (this.#wanted === 'run' && !this.#restarting.has(run.name)) continue
      if (run.busy) run.yieldToStop()
      else if (!run.touched) run.becomeStopped()
      else if (!run.stuck && this.#mayStop(run)) run.stop(this.#hurried)
    }
  }

  #mayStop(run: ResourceRun): boolean {
    if (this.#hurried) return true
    const dependents = run.dependents.flatMap((name) => this.#runs.get(name) ?? [])
    if (!this.#emergency) return dependents.every((other) => !other.touched)
    if (isAddress(run.definition.type)) return true
    return (
      this.#every((other) => !isAddress(other.definition.type) || other.down) && dependents.every((other) => !other.touched || other.stuck)
    )
  }

  #bringUp() {
    for (const run of this.#runs.values()) {
      if (this.#state(this.#failure() !== undefined) !== 'STARTING') return
      if (run.state !== 'STOPPED' || run.busy || this.#restarting.has(run.name)) continue
      const ready = (needed: ResourceName) => this.#runs.get(needed)?.state === 'ONLINE' && !this.#restarting.has(needed)
      if (run.definition.dependsOn.every(ready)) run.start()
    }
  }

  #probeWhatIsDue(now: BootInstant) {
    for (const run of this.#runs.values()) {
      if (run.state !== 'ONLINE' || run.busy || run.probeAt > now) continue
      if (this.#host.mayStart(now)) run.probe(now)
      else run.putOffProbe(bootInstant(now + heldProbeDelay))
    }
  }

  /** Brings a resource down with all that need it; they come up again when all of them are. */
  #restart(name: ResourceName) {
    const waiting = this.#runs.has(name) ? [name] : []
    const seen = new Set<ResourceName>()
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (seen.has(next)) continue
      seen.add(next)
      this.#restarting.add(next)
      this.#runs.get(next)?.allowRetry()
      waiting.push(...(this.#runs.get(next)?.dependents ?? []))
    }
  }

  /** The first failure that no restart is making good. */
  #failure(): ResourceFailure | undefined {
    const failed = [...this.#runs.values()].filter(
      (run) => run.failure !== undefined && (run.state === 'UNKNOWN' || !this.#restarting.has(run.name)),
    )
    const [first] = failed.sort((a, b) => (a.failure?.order ?? 0) - (b.failure?.order ?? 0))
    if (first?.failure === undefined) return undefined
    const { order: number, ...failure } = first.failure
    return { resource: first.name, ...failure, restartNumber: this.#restartNumber, number }
  }

  #state(failed: boolean): GroupRunState {
    const unknown = !this.#every((run) => !run.stuck)
    if (unknown) return 'UNKNOWN'
    if (this.#wanted === 'stop') return this.finished ? 'STOPPED' : 'STOPPING'
    if (failed) return 'FAILED'
    return this.#every((run) => run.state === 'ONLINE' && !this.#restarting.has(run.name)) ? 'ONLINE' : 'STARTING'
  }

  #every(holds: (run: ResourceRun) => boolean): boolean {
    return [...this.#runs.values()].every(holds)
  }
}
