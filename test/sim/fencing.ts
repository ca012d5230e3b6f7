/**
 * One run of nodes that are lost and cut off, one after the other: dense trouble for machines, networks and fence devices over a short
 * span, with traps that spring in the middle of a case. What it costs is a third of a whole run's, so that there can be many.
 */
import type { NodeId } from '../../src/base/index.js'
import { openCases } from '../../src/core/cluster/index.js'
import { RegisterClients } from './clients.js'
import { fencingFaults } from './faults.js'
import { attend, judge, play, type Report, type Run } from './play.js'
import { Random } from './random.js'
import { Arrays, attendGroups, guarded } from './scenario.js'
import { Trouble } from './trouble.js'
import { groupOf, World, type WorldOptions } from './world.js'

const recoveryMax = 120_000
/** Without devices it takes a lease, and what follows it, until anything is proved. */
const trouble = (isSlow: boolean) => ({
  faults: fencingFaults,
  gapMin: 50,
  gapMax: isSlow ? 1_800 : 900,
  short: isSlow ? 4_000 : 900,
  long: isSlow ? 15_000 : 6_000,
  activeMax: 3,
})

/** Throws `BrokenRun`. */
export function runFencing(run: Run): Report {
  const { seed } = run
  const world = new World({ ...optionsOf(seed, run.nodes), ...run.options, seed, live: run.live ?? false })
  const isSlow = !world.options.fencing
  const { span = isSlow ? 12_000 : 6_000 } = run
  return play(world, { ...run, profile: 'fencing', span }, () => {
    const random = world.random.fork()
    const { names } = world
    world.start({ kept: groupOf(names), ...(random.chance(0.5) ? { other: groupOf([...names].reverse()) } : {}) })
    const groups = [...(world.leader?.daemon?.node?.state.rows('groups') ?? [])].length
    const arrays = random.chance(0.2) ? new Arrays(world, random.fork()) : undefined
    const strikes = new Trouble(world, random.fork(), { ...trouble(isSlow), span, omit: run.omit ?? new Set() })
    const clients = new RegisterClients(world, random.fork(), 300)
    const person = new Person(world, random.fork())
    strikes.begin()
    arrays?.begin()
    clients.begin(1)
    person.begin()
    attend(world)
    world.run(span)
    strikes.end()
    arrays?.end()
    clients.end()
    person.end()
    attendGroups(world)
    const recoveryMs = world.until('after the last fault everything recovers', () => world.isSettled(), recoveryMax)
    world.run(500)
    judge(world, clients)
    return { groups, faults: strikes.count, drawn: strikes.drawn, recoveryMs, acknowledged: clients.answered }
  })
}

function optionsOf(seed: number, nodes: number | undefined): Partial<WorldOptions> {
  const random = new Random(seed ^ 0xfe7ce)
  const watchdog = random.chance(0.5)
  return {
    nodes: nodes ?? random.pick([3, 3, 3, 3, 4, 5]),
    profile: random.chance(0.8) ? 'fast' : 'normal',
    containment: random.chance(0.85) ? 'cgroup2' : 'sweep',
    fencing: !watchdog || random.chance(0.3),
    ...guarded(random.pick([1_000, 2_000]), watchdog),
    bootMin: 50,
    bootMax: random.pick([300, 1_500]),
    startedAgain: true,
    settings: { verifyInterval: random.pick([1_000, 60_000]), causesMax: 1_000, poisonWindow: 0, quarantineThreshold: 0 },
  }
}

/** Asks for nodes to be cut off, and says of nodes without power that they are off. */
class Person {
  private readonly world: World
  private readonly random: Random
  private over = false

  constructor(world: World, random: Random) {
    this.world = world
    this.random = random
  }

  begin(): void {
    this.world.scheduler.after(200 + this.random.next() * 3_000, () => {
      if (this.over) return
      this.act()
      this.begin()
    })
  }

  end(): void {
    this.over = true
  }

  private act(): void {
    const { world, random } = this
    const machine = random.pick(world.machines)
    const node = machine.name as NodeId
    if (random.chance(0.5)) {
      const operation = `fence-${world.freshId()}`
      world.ask({ kind: 'start-operation', operation, operationKind: 'fence', subject: node, detail: 'a person: because' })
      return
    }
    const state = world.leader?.daemon?.node?.state
    for (const row of state === undefined ? [] : openCases(state)) {
      if (world.machine(row.node)?.powered !== false) continue
      world.ask({ kind: 'operator-proof', caseId: row.id, node: row.node, by: 'a person', reason: 'it is off', unheard: true })
    }
  }
}
