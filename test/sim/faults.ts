/** What befalls the cluster: each fault comes with what ends it. */
import type { GroupName, NodeId } from '../../src/base/index.js'
import { openCases } from '../../src/core/cluster/index.js'
import type { RaftMessage } from '../../src/core/raft/index.js'
import { type RaftFrame, unpackFrame } from '../../src/node/raft-wire.js'
import type { Machine } from './machine.js'
import type { Process } from './process.js'
import type { Random } from './random.js'
import { type Cell, healthy } from './services.js'
import type { World } from './world.js'

export interface Fault {
  readonly text: string
  readonly heal: () => void
}

type Make = (world: World, random: Random) => Fault | undefined
export type Faults = readonly (readonly [weight: number, make: Make])[]

const process = (role: 'daemon' | 'monitor' | 'guardian') => (machine: Machine) => machine[role]?.process
const none = (): void => undefined

function kill(role: 'daemon' | 'monitor' | 'guardian'): Make {
  return (world, random) => {
    const machine = random.pick(world.machines)
    machine.kill(process(role)(machine))
    return { text: `kill the ${role} of ${machine.name}`, heal: none }
  }
}

function pause(which: (machine: Machine) => readonly (Process | undefined)[], name: string): Make {
  return (world, random) => {
    const machine = random.pick(world.machines)
    const stopped = which(machine).filter((one) => one?.alive === true)
    for (const one of stopped) one?.pause()
    if (stopped.some((one) => one?.role === 'guardian')) machine.guardianSince = Number.POSITIVE_INFINITY
    return {
      text: `pause ${name} of ${machine.name}`,
      heal: () => {
        for (const one of stopped) one?.resume()
        const { guardian } = machine
        if (
          guardian?.listening === true &&
          guardian.process.alive &&
          !guardian.process.paused &&
          machine.guardianSince === Number.POSITIVE_INFINITY
        ) {
          machine.guardianSince = world.scheduler.now
        }
      },
    }
  }
}

const powerLoss: Make = (world, random) => {
  const machine = random.pick(world.machines)
  machine.powerOff('the power fails')
  return { text: `power loss of ${machine.name}`, heal: () => machine.powerOn() }
}

const diskLoss: Make = (world, random) => {
  if (!world.mayLoseDisk) return undefined
  const machine = random.pick(world.machines)
  machine.loseDisk()
  world.seen.add('disk lost')
  return { text: `loss of the disk of ${machine.name}`, heal: () => machine.powerOn() }
}

const allPowerLoss: Make = (world) => {
  for (const machine of world.machines) machine.powerOff('all power fails')
  return {
    text: 'power loss of all',
    heal: () => {
      for (const machine of world.machines) machine.powerOn()
    },
  }
}

/** At rest: found out at the next start, which has to refuse. */
const flippedBit: Make = (world, random) => {
  if (!world.mayLoseDisk) return undefined
  const machine = random.pick(world.machines)
  if (machine.disk.identity === undefined) return undefined
  machine.powerOff('the power fails')
  machine.disk.isDamaged = true
  world.seen.add('disk damaged')
  world.wiped = machine
  return { text: `power loss of ${machine.name}, and a flipped bit in its log`, heal: () => machine.powerOn() }
}

const failingDisk: Make = (world, random) => {
  const { disk, name } = random.pick(world.machines)
  disk.failing = random.pick(['full', 'sync fails'] as const)
  return {
    text: `disk of ${name}: ${disk.failing}`,
    heal: () => disk.mend(),
  }
}

const wallJump: Make = (world, random) => {
  const all = random.chance(0.2)
  const jump = random.pick([-3_600_000, 3_600_000, 86_400_000])
  const moved = all ? world.machines : [random.pick(world.machines)]
  for (const { clock } of moved) clock.wallOffset += jump
  return { text: `the wall clock of ${all ? 'all' : moved[0]?.name} jumps by ${jump / 3_600_000} h`, heal: none }
}

const brokenConnection: Make = (world, random) => {
  const one = random.pick(world.machines)
  const others = world.machines.filter((other) => other !== one && random.chance(0.6))
  for (const other of others) world.network.breakConnection(one.name, other.name)
  return { text: `connections of ${one.name} with ${others.map((other) => other.name).join()} break`, heal: none }
}

const doubledDatagrams: Make = (world, random) => {
  world.network.doubled = 0.3
  world.network.jitter = random.next() * 150
  return {
    text: 'datagrams come twice and in any order',
    heal: () => {
      world.network.doubled = 0.01
      world.network.jitter = 0
    },
  }
}

/** Two sides, and sometimes one in the middle that reaches both. */
const partition: Make = (world, random) => {
  const middle = random.chance(0.3) ? random.pick(world.machines) : undefined
  const rest = world.machines.filter((machine) => machine !== middle)
  const side = rest.filter(() => random.chance(0.5))
  const other = rest.filter((machine) => !side.includes(machine))
  for (const one of side) {
    for (const two of other) {
      world.network.cut(one.name, two.name, 'loses')
      world.network.cut(two.name, one.name, 'loses')
    }
  }
  const names = (machines: readonly Machine[]) => machines.map((machine) => machine.name).join()
  return {
    text: `${names(side)} | ${names(other)} are parted${middle === undefined ? '' : `, ${middle.name} reaches all`}`,
    heal: () => {
      for (const one of side) healAround(world, one)
    },
  }
}

/** What traps are set for. */
export const trapped = [
  'vote-request',
  'vote-response',
  'append',
  'append-response',
  'heartbeat-response',
  'snapshot',
  'timeout-now',
] as const

/** In the very moment in which somebody says something, it dies, or is cut off, or whoever it speaks to is. */
const trap: Make = (world, random) => {
  const kind = random.pick(trapped)
  const how = random.pick(['dies', 'dies', 'loses power', 'is cut off', 'is not heard any more', 'stops'] as const)
  const delay = random.chance(0.5) ? 0 : random.next() * 2 * world.options.syncMax
  let heal = none
  let isOver = false
  const over = world.network.watch((from, to, frame) => {
    const message = messageIn(frame)
    if (message?.kind !== kind || ('granted' in message && !message.granted) || ('success' in message && !message.success)) return
    over()
    world.seen.add(`trap: ${kind}`)
    const machine = random.chance(0.7) ? from.machine : (world.machine(to) as Machine)
    world.scheduler.after(delay, () => {
      if (isOver) return
      world.trace.add('>>>>', `${machine.name} ${how}: ${kind} of ${from.machine.name} to ${to}`)
      heal = befall(world, machine, how)
    })
  })
  return {
    text: `a trap for ${kind}: who ${how}`,
    heal: () => {
      isOver = true
      over()
      heal()
    },
  }
}

/** Of Raft, whatever form it travels in. */
function messageIn(frame: unknown): RaftMessage | undefined {
  const isOfRaft = frame instanceof Uint8Array || (frame as { readonly kind?: unknown }).kind === 'raft'
  return isOfRaft ? unpackFrame(frame as RaftFrame | Uint8Array)?.message : undefined
}

function befall(
  world: World,
  machine: Machine,
  how: 'dies' | 'loses power' | 'is cut off' | 'is not heard any more' | 'stops',
): () => void {
  const { daemon } = machine
  switch (how) {
    case 'dies':
      machine.kill(daemon?.process)
      return none
    case 'loses power':
      machine.powerOff('a trap')
      return () => machine.powerOn()
    case 'stops':
      daemon?.process.pause()
      return () => daemon?.process.resume()
    default:
      for (const other of world.machines) {
        if (other === machine) continue
        world.network.cut(machine.name, other.name, 'loses')
        if (how === 'is cut off') world.network.cut(other.name, machine.name, 'loses')
      }
      return () => healAround(world, machine)
  }
}

/** The leader writes something that nobody else gets, and is gone at once: figure 8 begins like this. */
const loneLeader: Make = (world, random) => {
  const { leader } = world
  if (leader === undefined) return undefined
  const spared = random.chance(0.5) ? random.pick(world.machines) : undefined
  for (const other of world.machines) if (other !== leader && other !== spared) world.network.cut(leader.name, other.name, 'loses')
  const key = `lone-${world.freshId()}`
  world.ask({ kind: 'store', operations: [{ kind: 'put', key, value: key }] }, () => undefined, leader)
  return {
    text: `the leader ${leader.name} is heard by ${spared === undefined || spared === leader ? 'nobody' : spared.name}, and writes`,
    heal: () => {
      if (random.chance(0.5)) leader.kill(leader.daemon?.process)
      healAround(world, leader)
    },
  }
}

const isolate: Make = (world, random) => {
  const machine = random.pick(world.machines)
  const how = random.pick(['loses', 'holds'] as const)
  const others = world.machines.filter((other) => other !== machine)
  for (const other of others) {
    world.network.cut(machine.name, other.name, how)
    world.network.cut(other.name, machine.name, how)
  }
  return { text: `cut ${machine.name} off (${how})`, heal: () => healAround(world, machine) }
}

const oneWay: Make = (world, random) => {
  const machine = random.pick(world.machines)
  const hears = random.chance(0.5)
  const how = random.pick(['loses', 'holds'] as const)
  const others = world.machines.filter((other) => other !== machine && random.chance(0.8))
  for (const other of others) {
    if (hears) world.network.cut(machine.name, other.name, how)
    else world.network.cut(other.name, machine.name, how)
  }
  return {
    text: `${machine.name} ${hears ? 'is not heard by' : 'does not hear'} ${others.map((one) => one.name).join()}`,
    heal: () => healAround(world, machine),
  }
}

const cutPair: Make = (world, random) => {
  const one = random.pick(world.machines)
  const other = random.pick(world.machines)
  if (one === other) return undefined
  world.network.cut(one.name, other.name, 'loses')
  world.network.cut(other.name, one.name, 'loses')
  return {
    text: `cut ${one.name} from ${other.name}`,
    heal: () => {
      world.network.heal(one.name, other.name)
      world.network.heal(other.name, one.name)
    },
  }
}

const badLinks: Make = (world, random) => {
  const machine = random.pick(world.machines)
  const loss = random.next() * 0.6
  const delay = random.chance(0.5) ? 0 : random.next() * 120
  for (const other of world.machines) {
    for (const link of [world.network.link(machine.name, other.name), world.network.link(other.name, machine.name)]) {
      if (other === machine) continue
      link.loss = loss
      link.delay = delay
    }
  }
  return {
    text: `links of ${machine.name} lose ${Math.round(loss * 100)} % and take ${Math.round(delay)} ms more`,
    heal: () => healAround(world, machine),
  }
}

const slowDisk: Make = (world, random) => {
  const { disk, name } = random.pick(world.machines)
  disk.syncMax = 50 + random.next() * 1_500
  return {
    text: `slow disk of ${name}`,
    heal: () => disk.mend(),
  }
}

const badDevice: Make = (world, random) => {
  const { device, name } = random.pick(world.machines)
  const how = random.pick(['fails', 'unreachable', 'works', 'works', 'forgets'] as const)
  const mode = how === 'forgets' ? 'works' : how
  device.mode = mode
  device.forgets = how === 'forgets'
  if (how === 'works') device.latencyMax = 500 + random.next() * 8_000
  return {
    text: `device of ${name} ${how === 'works' ? 'is slow' : how}`,
    heal: () => {
      device.mode = 'works'
      device.forgets = false
      device.latencyMax = 200
    },
  }
}

/** A person has a node leave, or stops the whole cluster; what has stopped is started again by another one, later. */
const leaves: Make = (world, random) => {
  const { name } = random.pick(world.machines)
  const node = random.chance(0.25) ? null : name
  world.ask({ kind: 'leave', node, operation: `leave-${world.freshId()}`, detail: 'a test' })
  const back = (of: NodeId): void =>
    world.ask({ kind: 'set-duty', node: of, duty: 'active', operation: null }, (result) => {
      if (result === undefined) world.scheduler.after(1_000, () => back(of))
    })
  return { text: node === null ? 'everybody leaves' : `${name} leaves`, heal: () => (node === null ? world.names : [name]).forEach(back) }
}

const crashService: Make = (world, random) => {
  const cells = random
    .pick(world.machines)
    .allCells()
    .filter((cell) => cell.service !== undefined)
  if (cells.length === 0) return undefined
  const cell = random.pick(cells)
  cell.serviceDown('it crashed')
  return { text: `${cell.group} crashes on ${cell.machine.name}`, heal: none }
}

/** That of the copy, and of the role that it may have. */
const groupsIn = ({ group }: Cell): readonly GroupName[] => (group.startsWith('db:') ? [group, 'db:primary' as GroupName] : [group])

const badService: Make = (world, random) => {
  const machine = random.pick(world.machines)
  const [, group] = random.pick([
    ...world.machines.flatMap((one) => one.allCells().flatMap((cell) => groupsIn(cell).map((name) => [one.name, name] as const))),
  ]) ?? ['', undefined]
  if (group === undefined) return undefined
  const behaviour = machine.behaviour(group as GroupName)
  const how = random.pick([
    'startFails',
    'stopHangs',
    'probeFails',
    'unkillable',
    'slow',
    ...(group.endsWith(':primary') ? (['demotesNot', 'slow'] as const) : []),
  ] as const)
  if (how === 'slow') Object.assign(behaviour, { startMs: 1_500, stopMs: 1_500 })
  else behaviour[how] = true
  return { text: `${group} on ${machine.name}: ${how}`, heal: () => Object.assign(behaviour, healthy) }
}

const transferLead: Make = (world, random) => {
  const { leader } = world
  const to = random.pick(world.machines)
  leader?.daemon?.node?.transferLead(to.name as NodeId)
  return { text: `transfer the lead to ${to.name}`, heal: none }
}

export const faults: Faults = [
  [10, kill('daemon')],
  [5, kill('monitor')],
  [4, kill('guardian')],
  [6, powerLoss],
  [1, allPowerLoss],
  [3, diskLoss],
  [2, flippedBit],
  [3, failingDisk],
  [2, wallJump],
  [2, brokenConnection],
  [2, doubledDatagrams],
  [4, pause((machine) => [machine.daemon?.process], 'the daemon')],
  [2, pause((machine) => [machine.monitor?.process], 'the monitor')],
  [2, pause((machine) => [machine.guardian?.process], 'the guardian')],
  [6, pause((machine) => machine.processes, 'everything')],
  [8, isolate],
  [5, oneWay],
  [3, cutPair],
  [2, partition],
  [3, trap],
  [4, badLinks],
  [3, slowDisk],
  [4, badDevice],
  [3, leaves],
  [4, crashService],
  [4, badService],
  [5, transferLead],
]

/** What the consensus has to bear: disks, networks, processes, the lead. */
export const consensusFaults: Faults = [
  [8, kill('daemon')],
  [5, powerLoss],
  [2, allPowerLoss],
  [4, diskLoss],
  [2, flippedBit],
  [3, failingDisk],
  [1, wallJump],
  [4, brokenConnection],
  [1, doubledDatagrams],
  [5, pause((machine) => [machine.daemon?.process], 'the daemon')],
  [5, isolate],
  [5, oneWay],
  [3, cutPair],
  [6, partition],
  [3, badLinks],
  [5, slowDisk],
  [6, loneLeader],
  [30, trap],
  [6, transferLead],
]

/** In the middle of a case: who is to act then dies, stands still or is cut off, or the lead goes elsewhere, or the target is back. */
const caseTrap: Make = (world, random) => {
  const at = random.pick(['CHALLENGE', 'CONDEMNED', 'attempt', 'attempt', 'PROVED'] as const)
  const whom = random.pick(['arbiter', 'arbiter', 'leader', 'target'] as const)
  const how = random.pick(['dies', 'loses power', 'is cut off', 'is not heard any more', 'stops'] as const)
  const delay = random.next() * random.pick([5, 60, 300])
  let heal = none
  let isOver = false
  const look = (): void => {
    if (isOver) return
    const { leader } = world
    const rows = leader?.daemon?.node === undefined ? [] : openCases(leader.daemon.node.state)
    const row = rows.find(({ stage, attempts }) => (at === 'attempt' ? attempts.some(({ state }) => state === 'open') : stage === at))
    if (row === undefined || leader === undefined) return void world.scheduler.after(10, look)
    world.scheduler.after(delay, () => {
      if (isOver) return
      const machine = whom === 'leader' ? leader : world.machine(whom === 'arbiter' ? row.arbiter : row.node)
      if (machine === undefined) return
      world.seen.add(`trap at ${at}: ${whom}`)
      world.trace.add('>>>>', `${machine.name}, ${whom} of case ${row.id} at ${at}: ${whom === 'target' ? 'is back' : how}`)
      if (whom !== 'target') {
        heal = befall(world, machine, how)
        return
      }
      healAround(world, machine)
      for (const process of machine.processes) process.resume()
      if (!machine.powered) machine.powerOn()
    })
  }
  look()
  return {
    text: `a trap at ${at}: the ${whom} ${whom === 'target' ? 'is back' : how}`,
    heal: () => {
      isOver = true
      heal()
    },
  }
}

/** What loses nodes, and what is in the way of cutting them off. */
export const fencingFaults: Faults = [
  [8, powerLoss],
  [1, allPowerLoss],
  [8, pause((machine) => machine.processes, 'everything')],
  [10, pause((machine) => [machine.daemon?.process], 'the daemon')],
  [2, pause((machine) => [machine.guardian?.process], 'the guardian')],
  [3, kill('daemon')],
  [3, kill('monitor')],
  [3, kill('guardian')],
  [12, isolate],
  [6, oneWay],
  [3, cutPair],
  [3, partition],
  [3, badLinks],
  [1, slowDisk],
  [12, badDevice],
  [2, crashService],
  [4, transferLead],
  [25, caseTrap],
]

/** What befalls services, and now and then the node that looks after them. */
export const serviceFaults: Faults = [
  [20, crashService],
  [15, badService],
  [1, kill('daemon')],
  [1, kill('monitor')],
  [1, powerLoss],
  [1, isolate],
  [2, badDevice],
  [1, transferLead],
]

/** Only what leaves every node alive and connected: the lead moves, or its daemon dies. */
export const elections: Faults = [
  [1, transferLead],
  [
    1,
    (world) => {
      const { leader } = world
      leader?.kill(leader.daemon?.process)
      return { text: `kill the leading daemon of ${leader?.name}`, heal: none }
    },
  ],
]

export function chooseFault(world: World, random: Random, from: Faults = faults): Fault | undefined {
  const total = from.reduce((sum, [weight]) => sum + weight, 0)
  let left = random.next() * total
  for (const [weight, make] of from) {
    left -= weight
    if (left <= 0) return make(world, random)
  }
  return undefined
}

function healAround(world: World, machine: Machine): void {
  for (const other of world.machines) {
    if (other === machine) continue
    world.network.heal(machine.name, other.name)
    world.network.heal(other.name, machine.name)
  }
}
