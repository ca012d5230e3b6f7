/**
 * A whole cluster in one process on virtual time: real daemons, monitors and guardians by their decisions, and everything
 * beneath them simulated from one seed.
 */
import type { BootId, ClusterId, DiskName, MemberId, NodeId } from '../../src/base/index.js'
import {
  brakesLevel,
  type Command,
  type CommandResult,
  type GroupDefinition,
  type GroupRow,
  mayStillRun,
  type Reader,
  type ScalableDefinition,
  supportedLevel,
  whyNoInstance,
} from '../../src/core/cluster/index.js'
import { type Outcome, QuorateNode } from '../../src/node/index.js'
import { Checks, Truth } from './checks.js'
import { Device } from './device.js'
import { Machine } from './machine.js'
import { Network } from './network.js'
import { resetPids } from './process.js'
import { Random } from './random.js'
import { Scheduler } from './scheduler.js'
import { SharedDisk } from './shared-disk.js'
import { Trace } from './trace.js'

export interface WorldOptions {
  readonly seed: number
  readonly nodes: number
  readonly profile: 'fast' | 'normal'
  readonly settings: Readonly<Record<string, unknown>>
  readonly emergencyStop: number
  /** Milliseconds; undefined where the machines have no watchdog. */
  readonly watchdogTimeout: number | undefined
  readonly containment: 'cgroup2' | 'sweep'
  /** Milliseconds from power to guardian. */
  readonly bootMin: number
  readonly bootMax: number
  /** Milliseconds from the start of a daemon to its open ports. */
  readonly upMin: number
  readonly upMax: number
  /** Milliseconds that a message usually takes, and a sync. */
  readonly latencyMax: number
  readonly syncMax: number
  /** Largest difference of a clock's rate from 1. */
  readonly drift: number
  readonly fencing: boolean
  /** The feature level of the software on a machine. */
  readonly levelOf: (node: NodeId) => number
  /** Guardians, monitors and services run; without them a machine is a daemon and its disk. */
  readonly services: boolean
  /** So many of the machines begin as a formed cluster; undefined where it forms as a real one does. */
  readonly formed: number | undefined
  /** When logs are compacted; the product's own bounds where undefined. */
  readonly compaction: { readonly above: number; readonly keep: number } | undefined
  /** A person starts the software of a node that has left, some time later. */
  readonly startedAgain: boolean
  /** What a test plants instead of the real node. */
  readonly makeNode: (...made: ConstructorParameters<typeof QuorateNode>) => QuorateNode
  /** Prints every line as it comes. */
  readonly live: boolean
}

export const usual: WorldOptions = {
  seed: 1,
  nodes: 3,
  profile: 'normal',
  settings: {},
  emergencyStop: 5_000,
  watchdogTimeout: undefined,
  containment: 'cgroup2',
  bootMin: 1_000,
  bootMax: 3_000,
  upMin: 60,
  upMax: 250,
  latencyMax: 0.6,
  syncMax: 2,
  drift: 0.045,
  fencing: true,
  levelOf: () => supportedLevel,
  services: true,
  formed: undefined,
  compaction: undefined,
  startedAgain: false,
  makeNode: (...made) => new QuorateNode(...made),
  live: false,
}

/** A promise that does not hold in this run. */
export class Broken extends Error {
  override readonly name = 'Broken'
}

export class World {
  readonly options: WorldOptions
  readonly random: Random
  readonly scheduler = new Scheduler()
  readonly trace: Trace
  readonly truth: Truth
  readonly checks: Checks
  readonly network: Network
  readonly names: readonly NodeId[]
  readonly machines: readonly Machine[]
  private failure: Broken | undefined
  private ids = 0
  /** What this run has met, for whoever asks whether a test of chance meets what it is for. */
  readonly seen = new Set<string>()
  readonly sharedDisks = new Map<DiskName, SharedDisk>()
  /** On which shared disk a group lives, whatever the cluster thinks of it. */
  readonly storageOf = new Map<string, DiskName>()
  /** Groups whose one instance migrates. */
  readonly migratingGroups = new Set<string>()

  /** The group that this is an instance of, where that migrates. */
  migrating(instance: string): string | undefined {
    const [of = ''] = instance.split(':')
    return instance.includes(':') && this.migratingGroups.has(of) ? of : undefined
  }

  /** Numbers of the faults that have struck. */
  readonly struck: number[] = []
  /** The last machine whose disk was lost. */
  wiped: Machine | undefined
  /** Signs of life after a proof are a failure, unless the test wants them. */
  alarmsAllowed = false
  readonly alarms: string[] = []
  readonly deviceCalls: { readonly by: NodeId; readonly of: NodeId; readonly action: string; readonly at: number }[] = []

  constructor(options: Partial<WorldOptions> = {}) {
    this.options = { ...usual, ...options }
    resetPids()
    this.random = new Random(this.options.seed)
    this.trace = new Trace(this.scheduler, this.options.live)
    this.truth = new Truth(this)
    this.checks = new Checks(this)
    this.network = new Network(this)
    this.names = Array.from({ length: this.options.nodes }, (_, at) => `n${at + 1}` as NodeId)
    this.machines = this.names.map((name) => new Machine(this, name, 1 + (this.random.next() * 2 - 1) * this.options.drift))
    for (const machine of this.machines) machine.device = new Device(machine, this.random.fork())
    if (this.options.formed !== undefined) this.formBeforehand(this.options.formed)
  }

  private formBeforehand(count: number): void {
    const voters = this.names.slice(0, count).map((node) => ({ node, member: `member-${node}-first` as MemberId }))
    for (const { node, member } of voters)
      (this.machine(node) as Machine).disk.identity = {
        clusterId: 'cluster-sim' as ClusterId,
        memberId: member,
        node,
        phase: 'formed',
        voters,
      }
  }

  machine(name: string): Machine | undefined {
    return this.machines.find((machine) => machine.name === name)
  }

  freshId(): string {
    return `${(++this.ids).toString(36)}${Math.floor(this.random.next() * 46_656).toString(36)}`
  }

  fail(text: string, cause?: unknown): void {
    if (this.failure !== undefined) return
    this.trace.add('!!!!', text)
    this.failure = new Broken(text, { cause })
  }

  alarm(text: string): void {
    this.alarms.push(text)
    if (!this.alarmsAllowed) this.fail(`alarm although no device lies: ${text}`)
  }

  /** A LUN is set up and made known to the cluster. */
  addDisk(name: string, use: 'challenge' | 'storage', timeout = 500): SharedDisk {
    const disk = new SharedDisk(this, name as DiskName)
    this.sharedDisks.set(disk.name, disk)
    const definition = { use, iscsi: { url: `iscsi://array/iqn.sim:${name}/1` }, timeout }
    this.must({ kind: 'put-disk', disk: disk.name, definition, precondition: {} })
    return disk
  }

  calledDevice(by: Machine, of: Machine, action: string): void {
    this.deviceCalls.push({ by: by.name, of: of.name, action, at: this.scheduler.now })
  }

  /** Where nobody could have ended the services in time: no watchdog, and the guardian was not let run, or a kill does not kill. */
  excused(machine: Machine): boolean {
    if (this.options.watchdogTimeout !== undefined) return false
    const began = machine.clock.trueTime(machine.runFolder.deadline)
    return machine.guardianSince > began || [...machine.behaviours.values()].some((behaviour) => behaviour.unkillable)
  }

  // Time.

  /** Throws what is broken as soon as it is. */
  run(span: number): void {
    const end = this.scheduler.now + span
    while (this.scheduler.now < end) {
      this.scheduler.runUntil(Math.min(end, this.scheduler.now + 10))
      if (this.failure !== undefined) throw this.failure
    }
  }

  /** Fails with `what` when it does not come true in time. Answers how long it took. */
  until(what: string, holds: () => boolean | string, bound: number): number {
    const began = this.scheduler.now
    for (;;) {
      const held = holds()
      if (held === true) return this.scheduler.now - began
      if (this.scheduler.now - began >= bound) {
        this.fail(`${what}: not within ${bound / 1_000} s${typeof held === 'string' ? `; ${held}` : ''}`)
      }
      this.run(50)
    }
  }

  // The cluster from outside.

  get leader(): Machine | undefined {
    const leading = this.machines.filter((machine) => machine.daemon?.process.alive && machine.daemon.node?.status.role === 'leader')
    return leading.sort((a, b) => (b.daemon?.node?.status.term ?? 0) - (a.daemon?.node?.status.term ?? 0))[0]
  }

  /** Asks whoever is there until it is carried out or refused; the answer comes by callback, also that nobody knows. */
  ask(command: Command, done: (result: CommandResult | undefined) => void = () => undefined, at?: Machine): void {
    const there = this.machines.filter((machine) => machine.daemon?.process.alive && machine.daemon.node !== undefined)
    const target = at ?? (there.length === 0 ? undefined : this.random.pick(there))
    if (target?.daemon?.node === undefined) return done(undefined)
    let over = false
    const end = (result: CommandResult | undefined): void => {
      if (!over) done(result)
      over = true
    }
    target.daemon.submit(command, { timeoutMs: 2_000 }, (outcome: Outcome<CommandResult>) => end(outcome.ok ? outcome.value : undefined))
    this.scheduler.after(5_000, () => end(undefined)) // Whoever was asked may have died since.
  }

  /** Has it carried out, whatever it takes. */
  must(command: Command, bound = 30_000, at?: Machine): CommandResult {
    let answer: CommandResult | undefined
    let waiting = false
    this.until(
      `${command.kind} is carried out`,
      () => {
        if (answer !== undefined) return true
        if (waiting) return false
        waiting = true
        const take = (result: CommandResult | undefined) => {
          waiting = false
          answer = result
        }
        this.ask(command, take, at)
        return false
      },
      bound,
    )
    const result = answer as unknown as CommandResult
    if (!result.ok) this.fail(`${command.kind} was refused: ${result.error.detail}`)
    return result
  }

  start(groups: Readonly<Record<string, Partial<GroupDefinition>>>): void {
    for (const machine of this.machines) this.scheduler.after(this.random.next() * 500, () => machine.powerOn())
    this.until('the cluster forms and elects', () => this.leader !== undefined, 30_000)
    const { profile, settings } = this.options
    this.must({ kind: 'patch-settings', patch: { profile, fencingMax: 1_000, startGrace: 15_000 } })
    if (this.options.fencing) for (const name of this.names) this.must(fencingOf(name))
    for (const [name, change] of Object.entries(groups)) {
      this.must({
        kind: 'put-group',
        group: name as never,
        definition: { ...groupOf(this.names), ...change },
        intent: null,
        precondition: {},
      })
    }
    this.until('everything runs', () => this.isSettled(), 60_000)
    // By now every member is known to understand whatever is set.
    const isBraked = this.names.every((name) => this.options.levelOf(name) >= brakesLevel)
    const patch = { ...(isBraked ? { causesMax: 1_000 } : {}), ...settings }
    if (Object.keys(patch).length > 0) this.must({ kind: 'patch-settings', patch })
  }

  /** True, or what is still missing. */
  isSettled(): true | string {
    for (const machine of this.machines) {
      if (!machine.powered || machine.daemon?.node === undefined || !machine.daemon.process.alive) return `${machine.name} is not up`
    }
    const { leader } = this
    const state = leader?.daemon?.node?.state
    if (leader === undefined || state === undefined) return 'nobody leads'
    const members = this.whoIsMissing(leader)
    if (members !== undefined) return members
    for (const [, row] of state.rows('cases')) {
      if (row.stage !== 'RECOVERED' && row.stage !== 'CLOSED')
        return `case ${row.id} of ${row.node} is ${row.stage}: ${JSON.stringify(row.attempts.at(-1) ?? null)}`
    }
    for (const machine of this.machines) {
      const node = machine.daemon?.node
      if (node === undefined || node.state.appliedIndex < state.appliedIndex - 5) return `${machine.name} lags`
      if (!node.holdsLease()) return `${machine.name} holds no lease`
      const boot = state.get('boots', `${machine.name}/${machine.bootId as BootId}`)
      if (boot?.state !== 'live' || !boot.guard.guarded)
        return `boot ${machine.bootId} is ${boot?.state ?? 'not registered'}, guarded ${boot?.guard.guarded}`
    }
    for (const [, group] of state.rows('groups')) {
      const running = this.truth.where(group.name).map((machine) => machine.name)
      if (group.intent !== 'ONLINE' || group.deleting) {
        if (running.length > 0 || mayStillRun(group)) return `${group.name} is to be offline and runs on ${running.join()}`
        continue
      }
      if (isSpare(state, group)) continue
      const { holder } = group
      if (!mayStillRun(group) || holder?.report.state !== 'ONLINE' || running.length !== 1 || running[0] !== holder.node) {
        return `${group.name} is held by ${holder?.node ?? 'nobody'} (${holder?.report.state}, ${holder?.order.wanted}, proof ${group.proof?.kind}), runs on ${running.join() || 'none'}, waits for ${group.waitingFor}`
      }
      if (group.move !== null) return `${group.name} is to move to ${group.move.to}`
    }
    return true
  }

  /** Every node votes, with the life of its disk that it has now; or what keeps it from that. */
  whoIsMissing(leader: Machine): string | undefined {
    const { configuration, isChanging, nodeOf } = leader.daemon?.node?.consensus ?? {}
    if (configuration === undefined || isChanging === true) return 'the configuration is changing'
    const voters = configuration.voters.map((member) => ({ member, node: nodeOf?.(member) }))
    for (const { name, disk } of this.machines) {
      const own = voters.filter((voter) => voter.node === name).map((voter) => voter.member)
      if (own.length !== 1 || own[0] !== disk.identity?.memberId)
        return `${name} is ${disk.identity?.memberId}, the voters are ${configuration.voters.join()}, learners ${configuration.learners.join()}`
    }
    return undefined
  }

  /** Members that a person has asked to leave, or to come, and that are not there yet. */
  readonly moving = new Set<NodeId>()

  /** Whether a disk may be lost now: one at a time, so that it is always a minority. */
  get mayLoseDisk(): boolean {
    const { leader, wiped } = this
    const node = leader?.daemon?.node
    if (leader === undefined || node === undefined || this.moving.size > 0) return false
    if (this.machines.some(({ disk }) => disk.isDamaged)) return false
    const { configuration, isChanging } = node.consensus
    const isBack = wiped === undefined || configuration.voters.includes(wiped.disk.identity?.memberId as never)
    if (!isBack || isChanging || configuration.voters.length < 3) return false
    return !this.options.services || (node.holdsLease() && this.whoIsMissing(leader) === undefined)
  }

  close(): void {
    for (const machine of this.machines) machine.powerOff('the world ends')
  }
}

export function fencingOf(name: NodeId): Command {
  const device = { agent: 'fence_sim', parameters: { plug: name }, timeout: 5_000 }
  return { kind: 'patch-node', node: name, fencing: { levels: [[device]], then: 'on' }, precondition: {} }
}

/** An instance that is not wanted: as many as are run elsewhere. */
function isSpare(state: Reader, group: GroupRow): boolean {
  const { part } = group
  return part?.role === 'instance' && !mayStillRun(group) && whyNoInstance(state, group, part.of) !== undefined
}

/** Copies with two roles, of which one is the primary; an address goes with it. */
export function copiesOf(nodes: readonly NodeId[], desired = nodes.length): ScalableDefinition {
  const { mode: _mode, resources, ...shared } = groupOf(nodes)
  const [app] = Object.values(resources)
  if (app === undefined) throw new Error('a group has a resource')
  const copy = { ...app, promotable: true as const }
  const beside = { ...app, dependsOn: ['copy'] }
  return {
    ...shared,
    mode: 'scalable',
    desired,
    resources: { copy } as ScalableDefinition['resources'],
    primary: { resources: { beside } as unknown as ScalableDefinition['resources'] },
  }
}

export function groupOf(nodes: readonly NodeId[], parameters: Record<string, string> = { run: 'x' }): GroupDefinition {
  const resource = {
    type: 'command',
    parameters,
    dependsOn: [],
    probe: { interval: 2_000, timeout: 1_000 },
    start: { timeout: 3_000 },
    stop: { timeout: 3_000 },
    restart: { max: 3, window: 60_000 },
  }
  return { mode: 'failover', nodes, priority: 0, failback: { mode: 'never' }, resources: { app: resource } as GroupDefinition['resources'] }
}
