/**
 * One run of nodes without services: dense trouble for networks, disks, processes, the lead and the membership, over a short
 * span, with clients whose history is judged. What it costs is a tenth of a whole run's, so that there can be many.
 */
import type { MemberId } from '../../src/base/index.js'
import { compactLevel, supportedLevel } from '../../src/core/cluster/index.js'
import { QuorateNode } from '../../src/node/index.js'
import { RegisterClients } from './clients.js'
import { consensusFaults } from './faults.js'
import type { Machine } from './machine.js'
import { attend, judge, play, type Report, type Run } from './play.js'
import { Random } from './random.js'
import { Trouble } from './trouble.js'
import { World, type WorldOptions } from './world.js'

const recoveryMax = 90_000
const trouble = { faults: consensusFaults, gapMin: 20, gapMax: 420, short: 400, long: 1_500, activeMax: 3 }

/** Throws `BrokenRun`. */
export function runConsensus(run: Run): Report {
  const { seed, span = 3_000 } = run
  const world = new World({ ...optionsOf(seed, run.nodes), ...run.options, seed, live: run.live ?? false })
  return play(world, { ...run, profile: 'consensus', span }, () => {
    const random = world.random.fork()
    for (const machine of world.machines) machine.powerOn()
    world.until('somebody leads', () => world.leader !== undefined, 30_000)
    const [electionTimeoutMin, electionTimeoutMax] = random.pick([
      [200, 400],
      [90, 180],
      [90, 180],
      [100, 120],
    ] as const)
    world.ask({ kind: 'patch-settings', patch: { electionTimeoutMin, electionTimeoutMax, raftHeartbeat: random.pick([20, 40]) } })
    const strikes = new Trouble(world, random.fork(), { ...trouble, span, omit: run.omit ?? new Set() })
    const clients = new RegisterClients(world, random.fork(), random.pick([15, 30, 60]))
    const operator = new Operator(world, random.fork(), span)
    strikes.begin()
    clients.begin(3)
    operator.begin()
    attend(world)
    world.run(span)
    strikes.end()
    operator.end()
    world.run(300)
    clients.end()
    const recoveryMs = world.until('after the last fault everything recovers', () => isSettled(world), recoveryMax)
    world.run(700)
    judge(world, clients)
    return { faults: strikes.count, drawn: strikes.drawn, recoveryMs, acknowledged: clients.answered }
  })
}

function optionsOf(seed: number, nodes: number | undefined): Partial<WorldOptions> {
  const random = new Random(seed ^ 0xc0de)
  const size = nodes ?? random.pick([3, 3, 3, 3, 4, 4, 5, 5, 6, 7])
  const spares = size > 3 && random.chance(0.5) ? random.between(1, size - 3) : 0
  return {
    nodes: size,
    profile: 'fast',
    services: false,
    fencing: false,
    formed: random.chance(0.95) ? size - spares : undefined,
    bootMin: 20,
    bootMax: 150,
    upMin: 1,
    upMax: random.pick([5, 50, 250]),
    latencyMax: random.pick([0.6, 5, 25]),
    syncMax: random.pick([2, 10, 40]),
    compaction: { above: random.pick([1_500, 5_000, 20_000]), keep: random.pick([0, 500, 3_000]) },
    ...formOf(random),
  }
}

/** Machines without monitors register no boots, so that no level is ever raised: whether they write as one of level 5 does, the seed says. */
function formOf(random: Random): Partial<WorldOptions> {
  const level = random.pick([supportedLevel, supportedLevel, supportedLevel, compactLevel - 1])
  const isCompact = level === supportedLevel
  return {
    levelOf: () => level,
    makeNode: (...made) => Object.defineProperty(new QuorateNode(...made), 'mayWriteCompactly', { value: isCompact }),
  }
}

/** True, or what is still missing. */
function isSettled(world: World): true | string {
  const { leader } = world
  const node = leader?.daemon?.node
  if (leader === undefined || node === undefined) return 'nobody leads'
  const missing = world.whoIsMissing(leader)
  if (missing !== undefined) return missing
  for (const machine of world.machines) {
    const other = machine.daemon?.node
    if (other === undefined || machine.daemon?.process.alive !== true) return `${machine.name} is not up`
    if (other.state.appliedIndex < node.state.appliedIndex) return `${machine.name} lags`
  }
  return true
}

/** Lets members leave, moves away what they leave behind, and lets them come again; one at a time. */
class Operator {
  private readonly world: World
  private readonly random: Random
  private readonly span: number
  private readonly leaving = new Map<Machine, MemberId>()
  private over = false

  constructor(world: World, random: Random, span: number) {
    this.world = world
    this.random = random
    this.span = span
  }

  begin(): void {
    for (const machine of this.world.machines) {
      if (machine.disk.identity !== undefined || this.world.options.formed === undefined) continue
      this.world.moving.add(machine.name)
      this.world.scheduler.after(this.random.next() * this.span * 0.6, () => this.invite(machine))
    }
    this.remove()
    this.look()
  }

  end(): void {
    this.over = true
  }

  private remove(): void {
    this.world.scheduler.after(this.random.next() * 1_200, () => {
      if (this.over) return
      this.letOneGo()
      this.remove()
    })
  }

  private letOneGo(): void {
    const { world } = this
    if (!world.mayLoseDisk) return
    const machine = this.random.pick(world.machines)
    const member = machine.disk.identity?.memberId
    if (member === undefined || world.leader?.daemon?.node?.consensus.configuration.voters.includes(member) !== true) return
    world.moving.add(machine.name)
    world.trace.add('....', `${member} is asked to leave`)
    world.seen.add('member asked to leave')
    this.leaving.set(machine, member)
  }

  private look(): void {
    for (const [machine, member] of this.leaving) this.seeOff(machine, member)
    const { leader } = this.world
    const node = leader?.daemon?.node
    for (const name of this.world.moving) {
      const machine = this.world.machine(name) as Machine
      const member = machine.disk.identity?.memberId
      if (this.leaving.has(machine) || node === undefined) continue
      if (member !== undefined && node.consensus.configuration.voters.includes(member) && !node.consensus.isChanging)
        this.world.moving.delete(name)
      else if (member === undefined && machine.invitation !== undefined && this.random.chance(0.2)) this.invite(machine)
    }
    for (const [, row] of node?.state.rows('members') ?? [])
      if (row.wanted === 'learner' && this.random.chance(this.over ? 1 : 0.3))
        this.world.ask({ kind: 'want-member', member: row.member, wanted: 'voter' })
    this.world.scheduler.after(150, () => this.look())
  }

  /** Asked again until it is so; what has left is moved away only when the log says so to one who asks a quorum. */
  private seeOff(machine: Machine, member: MemberId): void {
    const { world } = this
    world.ask({ kind: 'want-member', member, wanted: 'gone' })
    const node = world.leader?.daemon?.node
    node?.readBarrier(300, (outcome) => {
      if (!outcome.ok || node.state.get('members', member) !== undefined || node.consensus.configuration.voters.includes(member)) return
      // An answer may come late, when another life of the node is asked to leave.
      if (this.leaving.get(machine) !== member) return
      this.leaving.delete(machine)
      world.seen.add('member left')
      world.trace.add('....', `${member} has left`)
      if (machine.disk.identity?.memberId === member) machine.moveFolderAway('it belongs no more')
      world.scheduler.after(this.random.next() * 300, () => this.invite(machine))
    })
  }

  private invite(machine: Machine): void {
    const word = machine.invitation ?? `word-${this.world.freshId()}`
    machine.invitation = word
    const role = this.random.pick(['voter', 'learner'] as const)
    this.world.ask({ kind: 'invite', node: machine.name, role, checksum: word, forMs: 600_000, by: 'operator' })
  }
}
