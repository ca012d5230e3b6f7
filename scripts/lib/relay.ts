/**
 * A relay between nodes on loopback, for cutting them from each other where no packet filter may be used.
 *
 * Each node has a front address, by which the others reach it. What arrives at the front of B from the own address of A is
 * from A to B; it goes on to B's own address, from the front of A. So either side knows the other by its front alone,
 * and an answer finds its way back by the same rule. A cut is silence: connections stay, and nothing passes.
 *
 * A front must not hide that nobody listens behind it, for nodes take a refused connection as a sign: it listens only
 * while its node does.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { type Cable, type Direction, pair, pairsOf, type Wired } from './cable.js'

/** What a direction of a pair does to what it carries. */
export interface Shape {
  /** Milliseconds, and by chance up to so many more: datagrams overtake each other then, streams do not. */
  readonly delay: number
  readonly jitter: number
  /** Percent of the datagrams that are lost; of a stream, what would be lost comes late, as if it had been sent again. */
  readonly loss: number
  /** Percent of the datagrams that come twice. */
  readonly duplicate: number
}

export interface Relay extends Cable {
  cutPair(from: string, to: string): void
  healPair(from: string, to: string): void
  /** Undefined: it carries everything at once again. */
  shapePair(from: string, to: string, shape: Shape | undefined): void
}

type Fronted = Wired & { readonly front: string }

/** After which a lost segment of a stream is sent again, in milliseconds. */
const sentAgainAfter = 200
/** Bytes of a stream that may be under way before its sender has to wait. */
const underWayMax = 1024 * 1024

/** How often a port that refused is tried again, in milliseconds. */
const lookAgain = 25

/** Rejects where a front address cannot be bound. */
export async function openRelay(nodes: readonly Fronted[]): Promise<Relay> {
  const relay = new LoopbackRelay(nodes)
  await relay.open()
  return relay
}

class LoopbackRelay implements Relay {
  private readonly nodes: readonly Fronted[]
  private readonly blocked = new Set<string>()
  private readonly shapes = new Map<string, Shape>()
  private readonly doors: Door[]
  /** By front address and port. */
  private readonly udp = new Map<string, UdpSocket>()

  constructor(nodes: readonly Fronted[]) {
    this.nodes = nodes
    const paths: Paths = {
      nameOf: (address) => nodes.find((node) => node.address === address)?.name,
      frontOf: (name) => nodes.find((node) => node.name === name)?.front,
      isBlocked: (from, to) => this.blocked.has(pair(from, to)),
      shapeOf: (from, to) => this.shapes.get(pair(from, to)),
      isAnyBlocked: (to) => nodes.some((node) => this.blocked.has(pair(node.name, to))),
    }
    this.doors = nodes.map((node) => new Door(node, paths))
  }

  async open(): Promise<void> {
    try {
      for (const door of this.doors) await door.open()
      for (const node of this.nodes) for (const port of new Set([node.port, node.guardianPort])) await this.bind(node, port)
    } catch (error) {
      await this.close()
      throw error
    }
  }

  async cut(node: string, direction: Direction): Promise<void> {
    for (const one of pairsOf(this.nodes, node, direction)) this.blocked.add(one)
    for (const door of this.doors) door.changed()
  }

  async heal(node: string): Promise<void> {
    for (const one of pairsOf(this.nodes, node, 'both')) this.blocked.delete(one)
    for (const door of this.doors) door.changed()
  }

  cutPair(from: string, to: string): void {
    this.blocked.add(pair(from, to))
    for (const door of this.doors) door.changed()
  }

  healPair(from: string, to: string): void {
    this.blocked.delete(pair(from, to))
    for (const door of this.doors) door.changed()
  }

  shapePair(from: string, to: string, shape: Shape | undefined): void {
    if (shape === undefined) this.shapes.delete(pair(from, to))
    else this.shapes.set(pair(from, to), shape)
  }

  async close(): Promise<void> {
    for (const door of this.doors) door.close()
    for (const socket of this.udp.values()) socket.close()
    this.udp.clear()
  }

  private bind(node: Fronted, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = createSocket('udp4')
      socket.once('error', reject)
      socket.bind(port, node.front, () => {
        socket.off('error', reject)
        socket.on('error', () => undefined) // About one packet, not about the socket.
        socket.on('message', (packet, { address, port: from }) => {
          const sender = this.nodes.find((other) => other.address === address)
          if (sender === undefined || this.blocked.has(pair(sender.name, node.name))) return
          const shape = this.shapes.get(pair(sender.name, node.name))
          const carry = (): void => this.udp.get(`${sender.front}:${from}`)?.send(packet, port, node.address, () => undefined)
          if (shape === undefined) return carry()
          if (happens(shape.loss)) return
          for (let copy = happens(shape.duplicate) ? 2 : 1; copy > 0; copy--)
            setTimeout(() => {
              if (!this.blocked.has(pair(sender.name, node.name))) carry()
            }, delayOf(shape))
        })
        this.udp.set(`${node.front}:${port}`, socket)
        resolve()
      })
    })
  }
}

interface Paths {
  nameOf(address: string): string | undefined
  frontOf(name: string): string | undefined
  isBlocked(from: string, to: string): boolean
  isAnyBlocked(to: string): boolean
  shapeOf(from: string, to: string): Shape | undefined
}

/** The front of one node's TCP port. */
class Door {
  private readonly node: Fronted
  private readonly paths: Paths
  private readonly passages = new Set<Passage>()
  private server: Server | undefined
  private looking: Promise<void> | undefined
  private closed = false

  constructor(node: Fronted, paths: Paths) {
    this.node = node
    this.paths = paths
  }

  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => this.accept(socket))
      server.once('error', reject)
      server.listen({ host: this.node.front, port: this.node.port }, () => {
        server.off('error', reject)
        server.on('error', () => undefined)
        if (this.closed) server.close()
        else this.server = server
        resolve()
      })
    })
  }

  /** Something was cut or healed. */
  changed(): void {
    for (const passage of this.passages) passage.changed()
    if (!this.closed && this.server === undefined && this.paths.isAnyBlocked(this.node.name)) void this.open().catch(() => undefined)
  }

  close(): void {
    this.closed = true
    this.server?.close()
    for (const passage of this.passages) passage.end()
  }

  private accept(near: Socket): void {
    near.on('error', () => undefined)
    const from = this.paths.nameOf(near.remoteAddress ?? '')
    const front = from === undefined ? undefined : this.paths.frontOf(from)
    if (from === undefined || front === undefined) return void near.destroy()
    const to = this.node.name
    const passage = new Passage(near, {
      dial: () => connect({ host: this.node.address, port: this.node.port, localAddress: front, allowHalfOpen: true }),
      isThereBlocked: () => this.paths.isBlocked(from, to),
      isBackBlocked: () => this.paths.isBlocked(to, from),
      shapeThere: () => this.paths.shapeOf(from, to),
      shapeBack: () => this.paths.shapeOf(to, from),
      // First the door, then the news: who dials again at once finds what is true.
      onFarEnded: () => this.look(),
      onEnded: () => this.passages.delete(passage),
    })
    this.passages.add(passage)
    passage.changed()
  }

  /** Shuts the door while nobody listens behind it. Resolves after the first look. */
  private look(): Promise<void> {
    this.looking ??= new Promise((looked) => {
      void this.watch(looked).finally(() => {
        this.looking = undefined
        looked()
      })
    })
    return this.looking
  }

  private async watch(looked: () => void): Promise<void> {
    while (!this.closed && !(await isListening(this.node)) && !this.paths.isAnyBlocked(this.node.name)) {
      this.server?.close()
      this.server = undefined
      looked()
      await new Promise((resolve) => setTimeout(resolve, lookAgain))
    }
    if (!this.closed && this.server === undefined) await this.open().catch(() => undefined)
  }
}

function isListening({ address, port }: Wired): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'))
  })
}

interface PassageDoors {
  readonly dial: () => Socket
  readonly isThereBlocked: () => boolean
  readonly isBackBlocked: () => boolean
  readonly shapeThere: () => Shape | undefined
  readonly shapeBack: () => Shape | undefined
  readonly onFarEnded: () => Promise<void>
  readonly onEnded: () => void
}

/** One connection: the near half to whoever dialled, the far half to the node. */
class Passage {
  private readonly near: Socket
  private readonly doors: PassageDoors
  private far: Socket | undefined
  private there: Stream | undefined
  private isOver = false

  constructor(near: Socket, doors: PassageDoors) {
    this.near = near
    this.doors = doors
    near.once('close', () => this.end())
    near.on('end', () => (this.there === undefined ? this.end() : this.there.afterAll(() => this.far?.end())))
  }

  changed(): void {
    if (this.isOver) return
    const there = this.doors.isThereBlocked()
    const back = this.doors.isBackBlocked()
    if (this.far === undefined) {
      // An introduction that began in the dark is not finished: its dialler gives up, or begins anew when this ends.
      if (!there && !back) this.join()
      else if (this.near.isPaused()) this.near.resume()
      return
    }
    flow(this.near, there)
    flow(this.far, back)
  }

  end(): void {
    if (this.isOver) return
    this.isOver = true
    this.near.destroy()
    this.far?.destroy()
    this.doors.onEnded()
  }

  private join(): void {
    const { near } = this
    if (near.bytesRead > 0) return this.end()
    const far = this.doors.dial()
    this.far = far
    const back = new Stream(far, near, this.doors.shapeBack, () => this.changed())
    this.there = new Stream(near, far, this.doors.shapeThere, () => this.changed())
    far.once('end', () => void this.farEnded().then(() => back.afterAll(() => near.end())))
    far.once('error', () => void this.farEnded().then(() => this.reset()))
    far.once('close', () => void this.farEnded().then(() => this.end()))
    this.changed()
  }

  private farEnded(): Promise<void> {
    return this.isOver ? Promise.resolve() : this.doors.onFarEnded()
  }

  private reset(): void {
    if (!this.isOver) abort(this.near)
    this.end()
  }
}

/**
 * Resets the connection, or only closes it where its end is just being said: Node 20 loses a socket that is reset then, says so
 * by an error instead of `close`, and turns in a circle for ever when the process is to end.
 */
export function abort(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

/** A socket that is not read keeps what comes, and its sender waits in the end: nothing is lost by a cut. */
function flow(socket: Socket, blocked: boolean): void {
  if (blocked) socket.pause()
  else socket.resume()
}

/** One direction of a connection: in order, however late. */
class Stream {
  private readonly to: Socket
  private readonly waiting: { readonly due: number; readonly chunk: Buffer }[] = []
  private bytes = 0
  private timer: NodeJS.Timeout | undefined
  private last = 0
  private onEmpty: (() => void) | undefined

  constructor(from: Socket, to: Socket, shape: () => Shape | undefined, onDrained: () => void) {
    this.to = to
    this.onDrained = onDrained
    from.on('data', (chunk: Buffer) => {
      const now = performance.now()
      const due = Math.max(this.last, now + streamDelay(shape()))
      if (due <= now && this.waiting.length === 0) {
        if (!to.write(chunk)) from.pause()
        return
      }
      this.last = due
      this.waiting.push({ due, chunk })
      this.bytes += chunk.length
      if (this.bytes > underWayMax) from.pause()
      this.arm()
    })
    to.on('drain', onDrained)
  }
  private readonly onDrained: () => void

  /** Once nothing is under way. */
  afterAll(act: () => void): void {
    if (this.waiting.length === 0) act()
    else this.onEmpty = act
  }

  private arm(): void {
    const [first] = this.waiting
    if (first === undefined || this.timer !== undefined) return
    this.timer = setTimeout(
      () => {
        this.timer = undefined
        this.deliver()
      },
      Math.max(0, first.due - performance.now()),
    )
  }

  private deliver(): void {
    const now = performance.now()
    const wasFull = this.bytes > underWayMax
    while (this.waiting[0] !== undefined && this.waiting[0].due <= now) {
      const { chunk } = this.waiting.shift() as { readonly chunk: Buffer }
      this.bytes -= chunk.length
      if (!this.to.destroyed) this.to.write(chunk)
    }
    if (wasFull && this.bytes <= underWayMax) this.onDrained()
    if (this.waiting.length === 0) this.onEmpty?.()
    this.arm()
  }
}

const happens = (percent: number): boolean => percent > 0 && Math.random() * 100 < percent
const delayOf = (shape: Shape): number => shape.delay + Math.random() * shape.jitter

/** Of a stream nothing is lost: each loss costs the time until it is sent again. */
function streamDelay(shape: Shape | undefined): number {
  if (shape === undefined) return 0
  let delay = delayOf(shape)
  for (let lost = 0; lost < 5 && happens(shape.loss); lost++) delay += sentAgainAfter * 2 ** lost
  return delay
}
