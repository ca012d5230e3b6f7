/**
 * The network between the machines: streams between daemons, in order and whole while both live; datagrams, which may be
 * lost, doubled and reordered. Links are cut in each direction by itself; a cut stream either loses what is sent, as when
 * the connection breaks, or brings it late, as when it only stalls.
 */
import type { NodeId } from '../../src/base/index.js'
import type { Address } from '../../src/core/cluster/index.js'
import type { GuardianQuery } from '../../src/core/guardian/index.js'
import { kindOf } from '../../src/node/messages.js'
import type { SimDaemon } from './daemon.js'
import type { Machine } from './machine.js'
import type { Random } from './random.js'
import type { World } from './world.js'

interface Link {
  cut: 'loses' | 'holds' | undefined
  /** Share of datagrams that are lost. */
  loss: number
  /** Milliseconds on top of the usual. */
  delay: number
  lastArrival: number
  /** Connections there have been: what was on its way in an earlier one is lost. */
  connection: number
  held: (() => void)[]
}

const usualMin = 0.05
const heldMax = 5_000
/** Port at which every daemon listens, for streams and for datagrams. */
export const linkPort = 7400
/** Refusals that a machine sends to one destination before it is down to one a second; what was sent and what asks after it use one each. */
const refusalsMax = 6
const refusalCost = 2

export class Network {
  private readonly world: World
  private readonly random: Random
  private readonly links = new Map<string, Link>()
  doubled = 0.01
  /** Milliseconds that a datagram may take longer than another one. */
  jitter = 0

  constructor(world: World) {
    this.world = world
    this.random = world.random.fork()
  }

  link(from: string, to: string): Link {
    const key = `${from}>${to}`
    let link = this.links.get(key)
    if (link === undefined) {
      link = { cut: undefined, loss: 0, delay: 0, lastArrival: 0, connection: 0, held: [] }
      this.links.set(key, link)
    }
    return link
  }

  cut(from: string, to: string, how: 'loses' | 'holds'): void {
    this.link(from, to).cut = how
  }

  heal(from: string, to: string): void {
    const link = this.link(from, to)
    link.cut = undefined
    link.loss = 0
    link.delay = 0
    for (const bring of link.held.splice(0)) bring()
  }

  healAll(): void {
    for (const key of this.links.keys()) {
      const [from, to] = key.split('>') as [string, string]
      this.heal(from, to)
    }
  }

  /** The connection between two breaks, with all that is under way in it, and comes anew. */
  breakConnection(one: string, two: string): void {
    for (const link of [this.link(one, two), this.link(two, one)]) {
      link.connection++
      link.held = []
    }
    for (const [name, other] of [
      [one, two],
      [two, one],
    ] as const) {
      const daemon = this.world.machine(name)?.daemon
      if (daemon?.process.alive === true) daemon.process.now(() => daemon.node?.peerEnded(other as NodeId))
    }
  }

  isCut(from: string, to: string): boolean {
    return from !== to && this.link(from, to).cut !== undefined
  }

  private readonly watchers = new Set<(from: SimDaemon, to: NodeId, frame: unknown) => void>()

  /** Is told of every frame before it leaves; answers how to end that. */
  watch(told: (from: SimDaemon, to: NodeId, frame: unknown) => void): () => void {
    this.watchers.add(told)
    return () => void this.watchers.delete(told)
  }

  /** False when there is no connection: one of the two is not there. */
  frame(from: SimDaemon, to: NodeId, frame: unknown): boolean {
    const target = this.world.machine(to)?.daemon
    if (target === undefined || !target.process.alive || !target.listening || !from.process.alive) return false
    const link = this.link(from.machine.name, to)
    if (frame instanceof Uint8Array) this.world.seen.add('compact message')
    for (const told of this.watchers) told(from, to, frame)
    const send = () => {
      const { scheduler } = this.world
      const arrival = Math.max(scheduler.now + this.latency(link), link.lastArrival)
      link.lastArrival = arrival
      const { connection } = link
      scheduler.at(arrival, () => {
        if (link.connection !== connection) return
        if (link.cut !== undefined) return this.stall(link, send)
        if (from.process.alive || this.random.chance(0.5)) target.process.now(() => target.received(from.machine.name, frame))
      })
    }
    if (link.cut === undefined) send()
    else this.stall(link, send)
    return true
  }

  /** A stream outlives what cuts it off, for a while, and not the daemon at its other end. */
  isConnected(from: SimDaemon, to: NodeId): boolean {
    const target = this.world.machine(to)?.daemon
    return target?.process.alive === true && target.listening && target !== from
  }

  private stall(link: Link, send: () => void): void {
    if (link.cut === 'holds' && link.held.length < heldMax) link.held.push(send)
  }

  /** A filter that takes one port for another: heartbeats, and what answers them, do not pass; guardians and streams do. */
  cutHeartbeats(from: string, to: string): void {
    this.filtered.add(`${from} ${to}`)
  }
  private readonly filtered = new Set<string>()

  /** A filter that answers for the machine itself that nobody listens at a port: datagrams to it do not pass; streams do. */
  rejectDatagrams(from: string, to: string, port?: number): void {
    this.rejected.push({ from, to, port })
  }
  private rejected: { readonly from: string; readonly to: string; readonly port: number | undefined }[] = []

  acceptDatagrams(): void {
    this.rejected = []
  }

  datagram(from: SimDaemon, to: Address, message: unknown): void {
    const target = this.world.machine(to.host)
    if (target === undefined) return
    const sender = from.machine.name
    if (this.rejected.some((one) => one.from === sender && one.to === to.host && (one.port ?? to.port) === to.port))
      return this.portRefuses(from, target, to)
    if (kindOf(message) !== 'guardian-query' && this.filtered.has(`${sender} ${to.host}`)) return
    this.carry(sender, to.host, () => {
      if (kindOf(message) === 'guardian-query') {
        const { guardian } = target
        if (guardian?.listening !== true || !guardian.process.alive) return this.portRefuses(from, target, to)
        guardian.process.now(() =>
          guardian.queried(message as GuardianQuery, (answer) =>
            this.carry(to.host, sender, () => {
              const { daemon } = this.world.machine(sender) ?? {}
              daemon?.process.now(() => daemon.node?.datagram(`guardian:${to.host}`, 0, answer))
            }),
          ),
        )
        return
      }
      const { daemon } = target
      if (daemon?.listening !== true || !daemon.process.alive) return this.portRefuses(from, target, to)
      daemon.process.now(() => daemon.node?.datagram(sender, 0, message))
    })
  }

  /** A machine that has power answers for a port at which nobody listens, but to each destination a few times only, and then once a second (Linux). */
  private portRefuses(from: SimDaemon, target: Machine, to: Address): void {
    if (!target.powered) return
    const { now } = this.world.scheduler
    const key = `${target.name}>${from.machine.name}`
    const { left, at } = this.refusals.get(key) ?? { left: refusalsMax, at: now }
    const tokens = Math.min(refusalsMax, left + (now - at) / 1_000)
    const isTold = tokens >= refusalCost
    this.refusals.set(key, { left: isTold ? tokens - refusalCost : tokens, at: now })
    if (!isTold) return
    this.carry(target.name, from.machine.name, () => {
      if (from.process.alive) from.process.now(() => from.node?.portRefused(to))
    })
  }

  private readonly refusals = new Map<string, { readonly left: number; readonly at: number }>()

  private carry(from: string, to: string, arrive: () => void): void {
    const link = this.link(from, to)
    if (link.cut !== undefined || this.random.chance(link.loss)) return
    const copies = this.random.chance(this.doubled) ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      this.world.scheduler.after(this.latency(link) + (this.jitter === 0 ? 0 : this.random.next() * this.jitter), () => {
        if (link.cut === undefined) arrive()
      })
    }
  }

  private latency(link: Link): number {
    const spike = this.random.chance(0.002) ? this.random.next() * 30 : 0
    return usualMin + this.random.next() * (this.world.options.latencyMax - usualMin) + link.delay * (0.5 + this.random.next()) + spike
  }

  /** Its port refuses until it listens again; whoever had a connection notices at once and keeps trying. */
  daemonUp(daemon: SimDaemon): void {
    daemon.process.onEnd((how) => {
      if (how !== 'killed') return
      for (const other of this.world.machines) {
        if (other !== daemon.machine) this.refuse(daemon, other.name, 50)
      }
    })
  }

  private refuse(gone: SimDaemon, other: NodeId, pause: number): void {
    const { machine } = gone
    this.world.scheduler.after(pause === 50 ? this.random.next() * 3 : pause, () => {
      const { daemon } = this.world.machine(other) ?? {}
      const isThere = machine.daemon?.process.alive === true && machine.daemon.listening
      if (!machine.powered || isThere || daemon === undefined) return
      if (!this.isCut(machine.name, other) && !this.isCut(other, machine.name))
        daemon.process.now(() => {
          if (pause === 50) daemon.node?.peerEnded(machine.name)
          daemon.node?.peerRefused(machine.name, { host: machine.name, port: linkPort })
        })
      this.refuse(gone, other, Math.min(1_000, pause * 2))
    })
  }
}
