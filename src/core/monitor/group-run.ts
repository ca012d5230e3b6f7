/**
 * Runs one group under one token: brings its resources up in order, keeps an eye on them, restarts what it is told to,
 * takes on changes of their definitions, and brings them down in reverse until each is verified stopped.
 *
 * Level-triggered: `advance` compares what is with what is wanted and begins whatever may begin now, so an order, an
 * outcome and a resumption from the run record all go the same way.
 */
import { type BootInstant, bootInstant, type GroupName, type NodeId, type ResourceName, type Token } from '../../base/index.js'
import {
  type Dependency,
  dependenciesOf,
  dependentsOf,
  type GroupDefinition,
  instanceName,
  restartedAfter,
  restartedWith,
  startOrder,
} from '../cluster/index.js'
import type { GroupReport, GroupRunState, MonitorOrder, ResourceFailure, RestartOrder } from './protocol.js'
import type { RunRecord } from './record.js'
import { type GroupHost, ResourceRun, type RunContext, type RunStart } from './resource-run.js'
import { isAddress } from './resource-type.js'

/** How long a probe is put off that fell due while the lease had run out. */
const heldProbeDelay = 500

export class GroupRun {
  readonly #host: GroupHost
  readonly #start: RunStart
  readonly #context: RunContext
  /** In the order of their starts, with those that are on their way out. */
  #runs: ReadonlyMap<ResourceName, ResourceRun> = new Map()
  readonly #needs = new Map<ResourceName, readonly Dependency[]>()
  readonly #dependents = new Map<ResourceName, readonly Dependency[]>()
  /** Of those that stay: what they needed of what is on its way out. */
  readonly #formerNeeds = new Map<ResourceName, readonly ResourceName[]>()
  /** Taken out of the group: stopped by their last definitions, and forgotten once that is verified. */
  readonly #gone = new Set<ResourceName>()
  readonly #restarting = new Set<ResourceName>()
  /** To be restarted once what they depend on is up again. */
  readonly #after = new Set<ResourceName>()
  readonly #emergency: boolean
  /** Highest look that was ordered. */
  #look = 0
  #quiet = false
  /** Where it is to come from; nothing is started until it is here. */
  #incoming: NodeId | undefined
  #migrate: RunRecord['migrate']
  #migrated: RunRecord['migrated']
  /** As ordered last. One that is named again while it is on its way out is started anew once it has ended. */
  #wantedResources: GroupDefinition['resources']
  /** What is here, with what is on its way out. */
  #resources: GroupDefinition['resources']
  #restartNumber = 0
  #sequence: number
  #wanted: 'run' | 'stop' = 'run'
  /** Programs that act under its grant beside its resources’ own methods. */
  calls = 0
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
    this.#resources = start.resources
    this.#wantedResources = start.resources
    this.#context = {
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
    this.#arrange(start.resources)
  }

  /** Their order, and who needs whom. What is here already stays what it is. */
  #arrange(resources: GroupDefinition['resources']) {
    this.#resources = resources
    const ordered = withFormerNeeds(resources, this.#formerNeeds)
    const runs = new Map<ResourceName, ResourceRun>()
    this.#needs.clear()
    this.#dependents.clear()
    for (const name of startOrder(ordered)) {
      const definition = resources[name]
      if (definition === undefined) continue
      runs.set(name, this.#runs.get(name) ?? new ResourceRun(this.#context, name, definition))
      this.#needs.set(name, dependenciesOf(definition))
    }
    this.#runs = runs
    const order = [...runs.keys()]
    // Old and new definitions together may form a ring: who comes first in the order waits for nobody after it.
    for (const [at, name] of order.entries())
      this.#dependents.set(
        name,
        dependentsOf(ordered, name).filter(({ resource }) => order.indexOf(resource) > at),
      )
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
    const { wanted: _w, restartNumber: _n, restarting: _r, after: _a, look: _l, quiet: _q, failures: _f, progress: _p, ...left } = record
    const { incoming, migrate, migrated, gone = [], again = {}, ...start } = left
    const run = new GroupRun(host, start, how.emergency)
    for (const name of gone) run.#gone.add(name)
    const stays = Object.entries(start.resources).filter(([name]) => !run.#gone.has(name as ResourceName))
    run.#wantedResources = { ...Object.fromEntries(stays), ...again }
    run.#restartNumber = record.restartNumber
    run.#failures = record.failures ?? 0
    run.#look = record.look ?? 0
    run.#quiet = record.quiet === true
    for (const name of record.restarting) run.#restarting.add(name)
    for (const name of record.after ?? []) run.#after.add(name)
    run.#wanted = how.sealed ? 'stop' : record.wanted
    if (incoming !== undefined) run.expect(incoming.from)
    for (const resource of run.#runs.values()) {
      const progress = record.progress[resource.name]
      if (progress !== undefined && incoming === undefined) resource.resume(progress, now)
    }
    run.#migrate = migrate
    run.#migrated = migrated
    if (migrated !== undefined && migrated.outcome !== 'stays' && migrated.number === migrate?.number)
      for (const resource of run.#runs.values()) resource.leave()
    if (migrate !== undefined && migrated?.number !== migrate.number)
      run.#conclude('unsure', 'whoever sent it has ended before it was told how that ended')
    return run
  }

  /** It runs, or is to. */
  get isWanted(): boolean {
    return this.#wanted === 'run'
  }

  /** A copy of it could be the primary. */
  get isPromotable(): boolean {
    return Object.values(this.#resources).some(({ promotable, role }) => promotable === true && role === undefined)
  }

  /** The groups of the copies whose role it is. */
  get copies(): readonly GroupName[] {
    return Object.values(this.#resources).flatMap(({ role }) => (role === undefined ? [] : [instanceName(role.of, this.#start.node)]))
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
    if (this.calls > 0) return false
    return this.#wanted === 'stop' && this.#every((run) => !run.touched && !run.busy)
  }
  /** Nothing more is being done: finished, or something of it could not be verified. */
  get settled(): boolean {
    return this.#every((run) => !run.busy && (!run.touched || run.stuck))
  }
  /** The next reading of the clock at which `advance` has something to do by itself. */
  get wakeAt(): BootInstant | undefined {
    if (this.#wanted === 'stop' || this.#quiet || this.#isLeaving) return undefined
    const due = [...this.#runs.values()].flatMap((run) =>
      run.state === 'ONLINE' && !run.busy && !this.#gone.has(run.name) ? [run.probeAt] : [],
    )
    return due.length === 0 ? undefined : bootInstant(Math.min(...due))
  }

  /** A restart number that was seen before is not carried out again. */
  orderRun(
    sequence: number,
    resources: GroupDefinition['resources'],
    restart: RestartOrder | undefined,
    now: BootInstant,
    watching: { readonly look?: number; readonly quiet?: true } & Pick<Extract<MonitorOrder, { kind: 'run' }>, 'arrived' | 'migrate'> = {},
  ) {
    this.#sequence = sequence
    if (this.#wanted === 'stop') return
    this.#orderMigration(watching)
    this.#takeOn(resources, now)
    this.#quiet = watching.quiet === true
    if (watching.look !== undefined && watching.look > this.#look) {
      this.#look = watching.look
      for (const run of this.#runs.values()) run.look()
    }
    if (restart === undefined || restart.number <= this.#restartNumber) return
    this.#restartNumber = restart.number
    this.#restart(restart.resource, restart.dependents === true)
  }

  /** It is to come from that node: whatever of it turns up here is stopped with the rest, and nothing is started. */
  expect(from: NodeId) {
    this.#incoming = from
    for (const run of this.#runs.values()) run.expect(this.#emergency)
  }

  #orderMigration({ arrived, migrate }: Pick<Extract<MonitorOrder, { kind: 'run' }>, 'arrived' | 'migrate'>) {
    if (arrived !== undefined && this.#incoming !== undefined) {
      this.#incoming = undefined
      for (const run of this.#runs.values()) run.arrive(arrived.isSure ? arrived.from : undefined)
    }
    if (migrate !== undefined && migrate.number > (this.#migrate?.number ?? 0)) this.#migrate = migrate
  }

  /** Between the order to send it and what is done when it was not. */
  get #isLeaving(): boolean {
    return this.#migrate !== undefined && (this.#migrated?.number !== this.#migrate.number || this.#migrated.outcome !== 'stays')
  }

  /** One after the other, those first that depend on others. */
  #sendAway() {
    const { to, number } = this.#migrate ?? {}
    if (to === undefined || number === undefined || this.#migrated?.number === number || this.#gone.size > 0) return
    const left = [...this.#runs.values()].reverse().filter((run) => !run.hasLeft)
    const trouble = left.map((run) => run.takeTroubleLeaving()).find((text) => text !== undefined)
    const [next] = left
    if (trouble !== undefined) return this.#conclude(trouble.isSure ? 'stays' : 'unsure', trouble.detail)
    if (next === undefined) {
      this.#migrated = { number, outcome: 'sent' }
      return
    }
    if (left.some((run) => run.busy)) return next.yieldToMigration()
    const down = left.find((run) => run.state !== 'ONLINE')
    // Where others have gone already, it is neither here nor there.
    if (down !== undefined) return this.#conclude(left.length === this.#runs.size ? 'stays' : 'unsure', `${down.name} is ${down.state}`)
    next.migrate(to)
  }

  /** What is here still is looked at; where nobody can tell, all of it waits to be stopped. */
  #conclude(outcome: 'stays' | 'unsure', detail: string) {
    const { number } = this.#migrate ?? {}
    if (number === undefined) return
    this.#migrated = { number, outcome, detail }
    for (const run of this.#runs.values()) {
      if (outcome === 'stays') run.stay()
      else run.leave()
    }
  }

  /** Nothing that runs is ever lost sight of: what is not named any more is here until it was verified stopped. */
  #takeOn(resources: GroupDefinition['resources'], now: BootInstant) {
    this.#wantedResources = resources
    for (const name of this.#runs.keys()) if (resources[name] === undefined) this.#gone.add(name)
    for (const [name, needs] of this.#needs) {
      const former = needs.filter(({ resource }) => this.#gone.has(resource)).map(({ resource }) => resource)
      if (former.length > 0 && !this.#gone.has(name)) this.#formerNeeds.set(name, [...(this.#formerNeeds.get(name) ?? []), ...former])
    }
    const left = [...this.#gone].flatMap((name) => {
      const definition = this.#resources[name]
      return definition === undefined ? [] : [[name, definition] as const]
    })
    this.#arrange({ ...resources, ...Object.fromEntries(left) })
    for (const run of this.#runs.values()) {
      const definition = resources[run.name]
      if (definition !== undefined && !this.#gone.has(run.name)) run.redefine(definition, now)
    }
  }

  /** What was taken out and has ended. */
  #forgetGone() {
    const ended = [...this.#gone].filter((name) => {
      const run = this.#runs.get(name)
      return run === undefined || (!run.touched && !run.busy)
    })
    if (ended.length === 0) return
    for (const name of ended) {
      this.#gone.delete(name)
      this.#restarting.delete(name)
      this.#after.delete(name)
    }
    for (const [name, former] of [...this.#formerNeeds]) {
      const left = former.filter((one) => this.#gone.has(one))
      if (left.length === 0) this.#formerNeeds.delete(name)
      else this.#formerNeeds.set(name, left)
    }
    // One that is wanted again begins as if it had never been here.
    this.#runs = new Map([...this.#runs].filter(([name]) => !ended.includes(name)))
    const stays = Object.entries(this.#resources).filter(([name]) => this.#gone.has(name as ResourceName))
    this.#arrange({ ...this.#wantedResources, ...Object.fromEntries(stays) })
  }

  /** It runs on what is on its way out until it has taken on that it is not to. */
  #stillNeeds(run: ResourceRun, gone: ResourceRun): boolean {
    const needed = this.#formerNeeds.get(run.name)?.includes(gone.name) === true
    return needed && run.changing && (run.state === 'ONLINE' || run.busy)
  }

  /** It is to be down, whatever the group is to be. */
  #isGoingDown(name: ResourceName): boolean {
    return this.#wanted === 'stop' || this.#restarting.has(name) || this.#gone.has(name)
  }

  /** A repeated order changes nothing; a newer one has what could not be verified tried again. */
  orderStop(token: Token, sequence: number) {
    if (this.#wanted === 'stop' && token === this.#ending && sequence <= this.#sequence) return
    this.#sequence = sequence
    this.#ending = token
    this.#wanted = 'stop'
    for (const run of this.#runs.values()) run.allowRetry()
  }

  /** What could not be verified is tried once more. */
  retry() {
    for (const run of this.#runs.values()) run.allowRetry()
  }

  /** The time for orderly stops is over: kill everything that is left, in no order, and verify. */
  hurry() {
    this.#hurried = true
    for (const run of this.#runs.values()) run.hurry()
  }

  advance(now: BootInstant) {
    for (const run of this.#runs.values()) if (run.takeStartAgain()) this.#restart(run.name)
    this.#followUp()
    this.#bringDown()
    this.#forgetGone()
    if (this.#wanted === 'stop') {
      for (const run of this.#runs.values()) run.dropLook('its group is being stopped', now)
      return
    }
    if ([...this.#restarting].every((name) => this.#runs.get(name)?.touched !== true)) this.#restarting.clear()
    if (this.#host.mayStart(now)) {
      this.#sendAway()
      this.#bringUp()
      for (const run of this.#runs.values()) if (!this.#isGoingDown(run.name)) run.takeOnChange()
      // What needs no restart was told so at once: it may be all that there was to do.
      for (const run of this.#runs.values()) if (run.takeStartAgain()) this.#restart(run.name)
      this.#bringDown()
      for (const run of this.#runs.values()) if (!this.#isGoingDown(run.name) && !this.#isLeaving) run.beginLook(now)
    }
    if (!this.#quiet && !this.#isLeaving) this.#probeWhatIsDue(now)
  }

  resource(name: ResourceName): ResourceRun | undefined {
    return this.#runs.get(name)
  }

  /** The resource that has this action under way. */
  ownerOf(action: number): ResourceRun | undefined {
    return [...this.#runs.values()].find((run) => run.action === action)
  }

  report(): GroupReport {
    const [failure, ...others] = this.#unanswered()
    const resources: GroupReport['resources'] = Object.fromEntries([...this.#runs].map(([name, run]) => [name, run.report()]))
    return {
      group: this.group,
      token: this.finished ? this.#ending : this.token,
      sequence: this.#sequence,
      state: this.#state(failure !== undefined),
      resources,
      ...(failure === undefined ? {} : { failure }),
      ...(others.length === 0 ? {} : { others }),
      ...(this.#migrated === undefined || this.#migrated.number !== this.#migrate?.number ? {} : { migrated: this.#migrated }),
      ...(this.#look === 0 || !this.#every((run) => !run.looking) ? {} : { looked: this.#look }),
    }
  }

  record(): RunRecord {
    return {
      ...this.#start,
      resources: this.#resources,
      sequence: this.#sequence,
      wanted: this.#wanted,
      restartNumber: this.#restartNumber,
      restarting: [...this.#restarting],
      ...(this.#after.size === 0 ? {} : { after: [...this.#after] }),
      ...(this.#gone.size === 0 ? {} : { gone: [...this.#gone] }),
      ...this.#wantedAgain(),
      ...(this.#look === 0 ? {} : { look: this.#look }),
      ...(this.#quiet ? { quiet: true as const } : {}),
      ...(this.#failures === 0 ? {} : { failures: this.#failures }),
      ...(this.#incoming === undefined ? {} : { incoming: { from: this.#incoming } }),
      ...(this.#migrate === undefined ? {} : { migrate: this.#migrate }),
      ...(this.#migrated === undefined ? {} : { migrated: this.#migrated }),
      progress: Object.fromEntries([...this.#runs].map(([name, run]) => [name, run.record()])),
    }
  }

  /** Named again while it is on its way out. */
  #wantedAgain(): Pick<RunRecord, 'again'> {
    const again = Object.entries(this.#wantedResources).filter(([name]) => this.#gone.has(name as ResourceName))
    return again.length === 0 ? {} : { again: Object.fromEntries(again) }
  }

  #bringDown() {
    for (const run of [...this.#runs.values()].reverse()) {
      if (!this.#isGoingDown(run.name)) continue
      if (run.busy) run.yieldToStop()
      else if (!run.touched) run.becomeStopped()
      else if (!run.stuck && this.#mayStop(run)) run.stop(this.#hurried)
    }
  }

  #mayStop(run: ResourceRun): boolean {
    if (this.#hurried) return true
    if (this.#host.holdsBack?.(run.definition) === true) return false
    const dependents = (this.#dependents.get(run.name) ?? []).flatMap(({ resource, kind }) => {
      const other = this.#runs.get(resource)
      // Those that stay up while this one is restarted are not waited for.
      return other === undefined || !(this.#isGoingDown(resource) || this.#stillNeeds(other, run)) ? [] : [{ other, kind }]
    })
    if (!this.#emergency) return dependents.every(({ other, kind }) => !other.touched || (kind === 'weak' && other.stuck))
    if (isAddress(run.definition.type)) return true
    return (
      this.#every((other) => !isAddress(other.definition.type) || other.down) &&
      dependents.every(({ other }) => !other.touched || other.stuck)
    )
  }

  /** A failure of what is critical is answered first: the group may be about to leave. */
  #bringUp() {
    if (this.#incoming !== undefined || this.#isLeaving) return
    // What goes may be what comes, under another name.
    if ([...this.#gone].some((name) => this.#runs.get(name)?.touched === true)) return
    if (!this.#every((run) => !run.stuck) || this.#unanswered().some(({ resource }) => this.#isCritical(resource))) return
    for (const run of this.#runs.values()) {
      if (run.state !== 'STOPPED' || run.busy || this.#isGoingDown(run.name)) continue
      if ((this.#needs.get(run.name) ?? []).every((needed) => this.#isMet(needed))) run.start()
    }
  }

  #isMet({ resource, kind }: Dependency): boolean {
    return this.#isUp(resource) || (kind === 'weak' && !this.#isComing(resource))
  }

  #isUp(name: ResourceName): boolean {
    return this.#runs.get(name)?.state === 'ONLINE' && !this.#restarting.has(name) && !this.#gone.has(name)
  }

  /** Whether it is on its way up, or will be by itself. */
  #isComing(name: ResourceName): boolean {
    const run = this.#runs.get(name)
    if (run === undefined) return false
    if (run.busy || this.#restarting.has(name) || (this.#gone.has(name) && this.#wantedResources[name] !== undefined)) return true
    if (run.state !== 'STOPPED') return false
    return (this.#needs.get(name) ?? []).every((needed) => this.#isMet(needed) || this.#isComing(needed.resource))
  }

  #probeWhatIsDue(now: BootInstant) {
    for (const run of this.#runs.values()) {
      if (run.state !== 'ONLINE' || run.busy || run.probeAt > now || this.#gone.has(run.name)) continue
      if (this.#host.mayStart(now)) run.probe(now)
      else run.putOffProbe(bootInstant(now + heldProbeDelay))
    }
  }

  /** Brings a resource down with those that go down before it; they come up again when all of them are. */
  #restart(name: ResourceName, whole = false) {
    if (!this.#runs.has(name) || this.#gone.has(name)) return
    for (const next of restartedWith(this.#resources, name, whole)) {
      this.#restarting.add(next)
      this.#after.delete(next)
      this.#runs.get(next)?.allowRetry()
    }
    for (const next of restartedAfter(this.#resources, this.#restarting)) if (!this.#gone.has(next)) this.#after.add(next)
  }

  /** Restarts what waits for its needs to be up again. What is down by itself comes up in its turn. */
  #followUp() {
    if (this.#wanted === 'stop') return
    for (const name of [...this.#after]) {
      const needs = (this.#needs.get(name) ?? []).filter(({ kind }) => kind === 'restart')
      if (!needs.every(({ resource }) => this.#isUp(resource))) continue
      this.#after.delete(name)
      if (this.#runs.get(name)?.touched === true) this.#restart(name)
    }
  }

  /** The failures that no restart is making good: of what is critical first, then in their order. */
  #unanswered(): readonly ResourceFailure[] {
    const restartNumber = this.#restartNumber
    return [...this.#runs.values()]
      .flatMap(({ name, state, failure }) => {
        if (failure === undefined || (state !== 'UNKNOWN' && (this.#restarting.has(name) || this.#gone.has(name)))) return []
        const { order: number, ...what } = failure
        return [{ resource: name, ...what, restartNumber, number }]
      })
      .sort((a, b) => Number(this.#isCritical(b.resource)) - Number(this.#isCritical(a.resource)) || a.number - b.number)
  }

  #isCritical(name: ResourceName): boolean {
    return this.#resources[name]?.critical !== false
  }

  #state(failed: boolean): GroupRunState {
    const unknown = !this.#every((run) => !run.stuck)
    if (unknown) return 'UNKNOWN'
    if (this.#wanted === 'stop') return this.finished ? 'STOPPED' : 'STOPPING'
    if (failed) return 'FAILED'
    const isDone = (run: ResourceRun) => run.state === 'ONLINE' && !run.changing && !this.#restarting.has(run.name)
    return this.#after.size === 0 && this.#gone.size === 0 && this.#every(isDone) ? 'ONLINE' : 'STARTING'
  }

  #every(holds: (run: ResourceRun) => boolean): boolean {
    return [...this.#runs.values()].every(holds)
  }
}

/** For the order in which they go down: who needed what is on its way out goes before it. */
function withFormerNeeds(
  resources: GroupDefinition['resources'],
  former: ReadonlyMap<ResourceName, readonly ResourceName[]>,
): GroupDefinition['resources'] {
  if (former.size === 0) return resources
  return Object.fromEntries(
    Object.entries(resources).map(([name, definition]) => {
      const more = (former.get(name as ResourceName) ?? []).filter((needed) => resources[needed] !== undefined)
      return [name, more.length === 0 ? definition : { ...definition, dependsOn: [...definition.dependsOn, ...more] }]
    }),
  )
}
