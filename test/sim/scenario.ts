/** One run of whole nodes: a cluster comes up, faults and clients do their worst for a while, everything is mended, and it must recover. */
import type { NodeId, RequestId } from '../../src/base/index.js'
import {
  type Command,
  type FailurePolicy,
  type GroupDefinition,
  type ScalableDefinition,
  sharedDiskLevel,
} from '../../src/core/cluster/index.js'
import { RegisterClients } from './clients.js'
import { faults } from './faults.js'
import { attend, judge, play, type Report, type Run } from './play.js'
import { Random } from './random.js'
import type { SharedDisk } from './shared-disk.js'
import { Trouble } from './trouble.js'
import { copiesOf, fencingOf, groupOf, World, type WorldOptions } from './world.js'

const recoveryMax = 120_000

/** Throws `Broken`, with the story in its message. */
export function runScenario(run: Run): Report {
  const { seed, span = 20_000 } = run
  const world = new World({ ...optionsOf(seed, run.nodes), ...run.options, seed, live: run.live ?? false })
  return play(world, { ...run, profile: 'whole', span }, () => {
    const random = world.random.fork()
    const { names } = world
    world.start({
      kept: { ...groupOf(names), ...quorumLossOf(seed) },
      agent: { ...groupOf([...names].reverse(), { start: 'a', stop: 'b', probe: 'c' }), ...policyOf(seed) },
      ...(random.chance(0.5) ? { pinned: groupOf(names.slice(0, 2)) } : {}),
      ...(random.chance(0.4) ? { stack: stackOf(names) } : {}),
    })
    if (hasCopies(seed)) {
      world.must({ kind: 'put-group', group: 'db' as never, definition: copiesFor(seed, names), intent: null, precondition: {} })
      world.until('the copies run', () => world.isSettled(), 60_000)
    }
    const arrays = run.arrays === false ? undefined : arraysOf(world, seed)
    const trouble = new Trouble(world, random.fork(), { ...usualTrouble, span, omit: run.omit ?? new Set() })
    const clients = new Clients(world, random.fork())
    const registers = new RegisterClients(world, random.fork(), 600)
    trouble.begin()
    arrays?.begin()
    clients.begin()
    registers.begin(2)
    attend(world)
    world.run(span)
    trouble.end()
    arrays?.end()
    clients.end()
    registers.end()
    attendGroups(world)
    const recoveryMs = world.until('after the last fault everything recovers', () => world.isSettled(), recoveryMax)
    world.run(2_000)
    clients.judge()
    judge(world, registers)
    return { faults: trouble.count, drawn: trouble.drawn, recoveryMs, acknowledged: clients.acknowledged.length + registers.answered }
  })
}

export const usualTrouble = { faults, gapMin: 100, gapMax: 4_100, short: 2_520, long: 15_000, activeMax: 3 }

/** An address, and a service that needs it and an agent. */
function stackOf(names: readonly NodeId[]): GroupDefinition {
  const { resources, ...rest } = groupOf(names)
  const [app] = Object.values(resources)
  if (app === undefined) throw new Error('a group has a resource')
  const resource = (type: string, parameters: Record<string, string>, dependsOn: string[] = []) => ({ ...app, type, parameters, dependsOn })
  const stack = {
    address: resource('logical-hostname', { address: '10.0.0.100/24' }),
    base: resource('ocf:sim:Base', {}, ['address']),
    app: resource('command', { run: 'x' }, ['base']),
  }
  return { ...rest, resources: stack as GroupDefinition['resources'] }
}

/** In every third run, so that the story of the others stays as it was. */
const hasCopies = (seed: number) => seed % 3 === 1

function copiesFor(seed: number, names: readonly NodeId[]): ScalableDefinition {
  const random = new Random(seed ^ 0xc0b1)
  return {
    ...copiesOf(names, random.pick([names.length, names.length, 2])),
    ...random.pick([{}, policyOf(seed + 1)]),
    ...(random.chance(0.4) ? { notify: true as const } : {}),
    ...demotionOf(seed),
  }
}

/** Whether its copies go on without a lease, drawn apart. */
function demotionOf(seed: number): Pick<ScalableDefinition, 'onQuorumLoss'> {
  return new Random(seed ^ 0xde307e).chance(0.5) ? { onQuorumLoss: 'demote' } : {}
}

/** What follows failures of a group, drawn apart so that the rest of a seed's story stays as it is. */
export function policyOf(seed: number): FailurePolicy {
  return new Random(seed ^ 0xfa11).pick<FailurePolicy>([
    {},
    { failoverMode: 'HARD' },
    { failoverMode: 'HARD', stableAfter: 5_000, pingpongInterval: 2_000 },
    { onStopFailure: 'fence', rules: [{ event: 'died', action: 'failover' }], pingpongInterval: 2_000 },
    { failoverMode: 'RESTART_ONLY' },
    { failoverMode: 'NONE', rules: [{ event: 'any', countAtLeast: 2, action: 'stop' }] },
    { rules: [{ event: 'any', countAtLeast: 2, action: new Random(seed ^ 0xe71c7).chance(0.5) ? 'evictNode' : 'standbyNode' }] },
    { rules: [{ event: 'died', action: 'fence' }] },
    {
      failover: { max: 1, window: 60_000, onExhausted: new Random(seed ^ 0xd36).chance(0.5) ? 'runDegraded' : 'stop' },
      pingpongInterval: 2_000,
    },
  ])
}

/** What the cluster asks a person for: a node on which a group could not be verified stopped is switched off and on. */
/**
 * A call of a slow device that nobody knew the outcome of has switched the node off after all, when somebody else had proved that it was off
 * and its case was over.
 */
function switchOnAgain(world: World, name: NodeId): void {
  const machine = world.machine(name)
  if (machine === undefined || machine.powered) return
  const cases = [...(world.leader?.daemon?.node?.state.rows('cases') ?? [])].map(([, row]) => row).filter(({ node }) => node === name)
  if (cases.length === 0 || cases.some(({ stage }) => stage !== 'RECOVERED' && stage !== 'CLOSED')) return
  const isLate = cases.some(({ attempts }) => attempts.some(({ action, state }) => action === 'off' && state !== 'confirmed'))
  if (!isLate) return
  world.trace.add('----', `a person switches ${name} on`)
  machine.powerOn()
}

export function attendGroups(world: World): void {
  const stuck = new Map<string, number>()
  const look = () => {
    for (const { name, bootId } of world.machines) {
      const boot = world.leader?.daemon?.node?.state.get('boots', `${name}/${bootId}`)
      if (boot?.proof?.kind === 'storage') world.machine(name)?.reset('a person starts it anew: it was cut off from its storage')
      switchOnAgain(world, name)
    }
    for (const [, group] of world.leader?.daemon?.node?.state.rows('groups') ?? []) {
      const unknown = group.proof === null && group.holder?.report.state === 'UNKNOWN'
      const count = unknown ? (stuck.get(group.name) ?? 0) + 1 : 0
      stuck.set(group.name, count)
      if (group.holder !== null && count === 15) world.machine(group.holder.node)?.reset('a person was asked to')
    }
    world.scheduler.after(1_000, look)
  }
  look()
}

/** With some seeds a group lives on a shared disk, and challenges go to another; drawn apart so that the rest of a seed's story stays. */
function arraysOf(world: World, seed: number): Arrays | undefined {
  const random = new Random(seed ^ 0xd15c)
  const isKnown = world.names.every((name) => world.options.levelOf(name) >= sharedDiskLevel)
  return isKnown && random.chance(0.3) ? new Arrays(world, random) : undefined
}

/** Arrays that come to grief now and then: sessions break, requests take their time, or get no answer. */
export class Arrays {
  private readonly world: World
  private readonly random: Random
  private readonly disks: readonly SharedDisk[]
  private over = false

  constructor(world: World, random: Random) {
    this.world = world
    this.random = random
    const disk = world.addDisk('d1', 'storage')
    this.disks = [disk, ...(random.chance(0.6) ? [world.addDisk('q', 'challenge')] : [])]
    // With some it is the only device: drawn apart, as all of this is.
    const isAlone = new Random(world.options.seed ^ 0xa10e).chance(0.3)
    const level = [{ agent: 'scsi3', parameters: { disk: 'd1' }, timeout: 5_000 }]
    for (const name of world.names) {
      const { fencing: power } = fencingOf(name) as Extract<Command, { kind: 'patch-node' }>
      const levels = [level, ...(world.options.fencing && !isAlone ? (power?.levels ?? []) : [])]
      world.must({ kind: 'patch-node', node: name, fencing: { levels, then: 'on' }, precondition: {} })
    }
    world.storageOf.set('stored', disk.name)
    const definition = { ...groupOf(world.names), storage: disk.name }
    world.must({ kind: 'put-group', group: 'stored' as never, definition, intent: null, precondition: {} })
    world.until('the group on the shared disk runs', () => world.isSettled(), 60_000)
  }

  begin(): void {
    this.world.scheduler.after(500 + this.random.next() * 5_000, () => {
      if (this.over) return
      const disk = this.random.pick(this.disks)
      const roll = this.random.next()
      if (roll < 0.35) disk.breakSession(this.random.pick(this.world.machines))
      else if (roll < 0.6) disk.latency = this.random.pick([0.2, 5, 80, 300])
      else if (roll < 0.8) disk.takeKeysOf(this.random.pick(this.world.machines))
      else this.silence(disk)
      this.begin()
    })
  }

  private silence(disk: SharedDisk): void {
    disk.mode = 'unreachable'
    this.world.scheduler.after(this.random.next() * 3_000, () => {
      disk.mode = 'works'
    })
  }

  end(): void {
    this.over = true
    for (const disk of this.disks) {
      disk.latency = 1
      this.world.scheduler.after(3_500, () => {
        disk.mode = 'works'
      })
    }
  }
}

/** What kind of cluster the seed makes. */
function optionsOf(seed: number, nodes: number | undefined): Partial<WorldOptions> {
  const random = new Random(seed ^ 0x5eed)
  const watchdog = random.chance(0.35)
  const usualSize = random.chance(0.2) ? random.pick([4, 5, 5, 6, 7]) : 3
  return {
    nodes: nodes ?? usualSize,
    profile: random.chance(0.5) ? 'fast' : 'normal',
    containment: random.chance(0.85) ? 'cgroup2' : 'sweep',
    fencing: !watchdog || random.chance(0.4),
    ...guarded(random.pick([2_000, 5_000]), watchdog),
    bootMax: random.pick([2_000, 8_000]),
    startedAgain: true,
    settings: { verifyInterval: new Random(seed ^ 0xdec).pick([1_000, 5_000, 60_000]), ...brakesOf(seed) },
    compaction: random.chance(0.6) ? { above: 20_000, keep: random.pick([0, 2_000, 10_000]) } : undefined,
  }
}

/** How soon a person has to be asked, drawn apart; whoever attends answers at the end. */
function brakesOf(seed: number): Readonly<Record<string, number>> {
  const random = new Random(seed ^ 0xb4a5)
  return {
    causesMax: random.pick([3, 1_000, 1_000]),
    causesWindow: random.pick([10_000, 600_000]),
    poisonWindow: random.pick([0, 2_000, 60_000]),
    quarantineThreshold: random.pick([0, 2, 3]),
    quarantineDuration: random.pick([10_000, 7_200_000]),
  }
}

/** What a node does with a group when its lease is over, drawn apart. */
function quorumLossOf(seed: number): Pick<GroupDefinition, 'onQuorumLoss'> {
  const policy = new Random(seed ^ 0xf4ee2e).pick(['freeze', 'freeze', undefined] as const)
  return policy === undefined ? {} : { onQuorumLoss: policy }
}

/** A watchdog is fed for twice its time at most before the end of the emergency stop. */
export function guarded(emergencyStop: number, watchdog: boolean): Partial<WorldOptions> {
  return { emergencyStop, watchdogTimeout: watchdog ? emergencyStop * 0.4 : undefined }
}

class Clients {
  readonly acknowledged: string[] = []
  private readonly world: World
  private readonly random: Random
  private readonly hasCopies: boolean
  private written = 0
  private over = false

  constructor(world: World, random: Random) {
    this.world = world
    this.random = random
    this.hasCopies = hasCopies(world.options.seed)
  }

  begin(): void {
    this.world.scheduler.after(50 + this.random.next() * 500, () => {
      if (this.over) return
      this.act()
      this.begin()
    })
  }

  private act(): void {
    const roll = this.random.next()
    if (roll < 0.6) this.write()
    else if (roll < 0.8) this.read()
    else this.change()
  }

  private write(): void {
    const key = `k${++this.written}`
    const command: Command = { kind: 'store', operations: [{ kind: 'put', key, value: key }] }
    const there = this.world.machines.filter((machine) => machine.daemon?.process.alive && machine.daemon.node !== undefined)
    if (there.length === 0) return
    const options = { requestId: `client-${key}` as RequestId, fingerprint: key, timeoutMs: 2_000 }
    this.random.pick(there).daemon?.submit(command, options, (outcome) => {
      if (outcome.ok && outcome.value.ok) this.acknowledged.push(key)
    })
  }

  /** P3: what was acknowledged before the question is in the answer. */
  private read(): void {
    const machine = this.random.pick(this.world.machines)
    const node = machine.daemon?.node
    if (node === undefined) return
    const known = this.acknowledged.slice(-5)
    node.readBarrier(2_000, (outcome) => {
      if (!outcome.ok) return
      for (const key of known) {
        if (node.state.get('store', key) === undefined)
          this.world.fail(`P3: ${machine.name} reads without ${key}, which was acknowledged before`)
      }
    })
  }

  private change(): void {
    const { random, world } = this
    const groups = this.hasCopies ? ['kept', 'agent', 'stack', 'db', 'db', 'db:primary'] : ['kept', 'agent', 'stack']
    const group = random.pick(groups) as never
    const node = random.pick(world.names) as NodeId
    const operation = `op-${world.freshId()}`
    const commands: readonly Command[] = [
      { kind: 'move-group', group, to: node, operation },
      { kind: 'move-group', group, to: node, operation },
      { kind: 'move-group', group, to: node, operation },
      { kind: 'restart-group', group, operation },
      { kind: 'set-duty', node, duty: 'standby', operation },
      { kind: 'set-duty', node, duty: 'active', operation: null },
      { kind: 'set-intent', group, intent: 'OFFLINE', operation },
      { kind: 'set-intent', group, intent: 'ONLINE', operation },
      { kind: 'freeze-group', group, forMs: 3_000, owner: 'client', reason: 'work' },
      { kind: 'clear-group', group },
      { kind: 'patch-settings', patch: { lease: random.pick([3_000, 4_500]) } },
      { kind: 'start-operation', operation, operationKind: 'fence', subject: node, detail: 'client: because' },
      { kind: 'put-group', group: 'kept' as never, definition: this.kept(operation), intent: null, precondition: {} },
      { kind: 'delete-group', group: 'brief' as never, operation, precondition: {} },
      { kind: 'put-group', group: 'brief' as never, definition: groupOf(world.names), intent: null, precondition: {} },
      ...(this.hasCopies ? this.aboutCopies(operation) : []),
      ...this.wordsOfAPerson(),
    ]
    world.ask(random.pick(commands))
  }

  private aboutCopies(operation: string): readonly Command[] {
    const { random, world } = this
    const group = 'db' as never
    const { resources, ...shared } = copiesOf(world.names, random.pick([1, 2, world.names.length]))
    const [copy] = Object.values(resources)
    const others = { copy: { ...copy, parameters: { run: operation } } } as typeof resources
    const put = { kind: 'put-group' as const, group, intent: null, precondition: {} }
    return [
      { ...put, definition: { ...shared, resources } },
      { ...put, definition: { ...shared, resources: others, ...demotionOf(world.options.seed) } },
      { ...put, definition: { ...shared, resources, nodes: world.names.slice(1), desired: 1 } },
      { kind: 'move-group', group, to: random.pick(world.names), operation },
      { kind: 'restart-group', group: `db:${random.pick(world.names)}` as never, operation },
      { kind: 'delete-group', group, operation, precondition: {} },
      { ...put, definition: { ...shared, resources } },
    ]
  }

  /** As it was, but for what it runs. */
  private kept(operation: string): GroupDefinition {
    const known = this.world.leader?.daemon?.node?.state.get('groups', 'kept' as never)?.definition
    return {
      ...groupOf(this.world.names, { run: operation }),
      ...(known?.onQuorumLoss === undefined ? {} : { onQuorumLoss: known.onQuorumLoss }),
    }
  }

  /** Who stands in front of a dark machine, and is asked for the proof, gives it. */
  private wordsOfAPerson(): readonly Command[] {
    const { leader } = this.world
    const words: Command[] = []
    for (const [, row] of leader?.daemon?.node?.state.rows('cases') ?? []) {
      if (row.stage !== 'CONDEMNED' || this.world.machine(row.node)?.powered !== false) continue
      words.push({ kind: 'operator-proof', caseId: row.id, node: row.node, reason: 'it is dark', by: 'client', unheard: true })
    }
    return words
  }

  /** The last wishes: everything is to run, everywhere. Asked again until they are granted. */
  end(): void {
    this.over = true
    const { world } = this
    const wishes: Command[] = []
    for (const node of world.names)
      wishes.push({ kind: 'set-duty', node, duty: 'active', operation: null }, { kind: 'clear-node', node, reason: 'all is mended' })
    for (const group of ['kept', 'agent', 'pinned', 'stack', 'brief', 'db', 'stored'] as never[]) {
      wishes.push({ kind: 'unfreeze-group', group }, { kind: 'clear-group', group })
      wishes.push({ kind: 'set-intent', group, intent: 'ONLINE', operation: `end-${world.freshId()}` })
    }
    const wish = (command: Command) =>
      world.ask(command, (result) => {
        if (result === undefined) world.scheduler.after(300, () => wish(command))
      })
    for (const command of wishes) wish(command)
    // What fails on the way back is forgotten too, while there is something to do.
    const again = () => {
      for (const group of ['kept', 'agent', 'pinned', 'stack', 'brief', 'db', 'stored'] as never[])
        world.ask({ kind: 'clear-group', group })
      for (const [, row] of world.leader?.daemon?.node?.state.rows('groups') ?? []) {
        // Refused while it was stopped for its failures.
        const isWished = row.intent === 'ONLINE' || row.deleting
        if (!isWished && row.part === undefined)
          world.ask({ kind: 'set-intent', group: row.name, intent: 'ONLINE', operation: `end-${world.freshId()}` })
      }
      world.ask({ kind: 'release-brakes', by: 'client', reason: 'all is mended' })
      for (const node of world.names) world.ask({ kind: 'clear-node', node, reason: 'all is mended' })
      // A rule for failures may have put a node on standby meanwhile.
      for (const node of world.names) world.ask({ kind: 'set-duty', node, duty: 'active', operation: null })
      world.scheduler.after(5_000, again)
    }
    world.scheduler.after(5_000, again)
  }

  /** P2. */
  judge(): void {
    for (const machine of this.world.machines) {
      for (const key of this.acknowledged) {
        if (machine.daemon?.node?.state.get('store', key) === undefined)
          this.world.fail(`P2: ${machine.name} has lost ${key}, which was acknowledged`)
      }
    }
  }
}
