/**
 * One TCP connection, from the handshake to its end.
 *
 * It has one outcome: `established` once both sides have proved themselves, later `ended`; or `ended` alone. It is
 * not told when to give up by a clock of its own: `tick` comes at a steady rhythm and counts silence.
 */
import type { Socket } from 'node:net'
import { decode, invariant, type NodeId } from '../../base/index.js'
import type { PeerIntroduction } from './contract.js'
import { encodeFrame, type Frame, FrameError, FrameReader, type FrameType, frameHeader, frameHeaderLength } from './frame.js'
import {
  checkClusterIds,
  checkHello,
  checkPreamble,
  decodeHello,
  encodeHello,
  type Hello,
  helloMax,
  isProof,
  preamble,
  preambleLength,
  proof,
  type Self,
  type Side,
} from './handshake.js'

export interface ConnectionContext {
  /** As it is now: the identity may be set later. */
  readonly self: () => Self
  /** Names that are let in; undefined for any that has the secret. */
  readonly known: () => Iterable<NodeId> | undefined
  /** Whether the name is free for this process; resolves with why not. Asked once, when the peer has proved itself. */
  readonly admit: (peer: PeerIntroduction) => Promise<string | undefined>
  readonly onEstablished: (connection: Connection) => void
  readonly onFrame: (connection: Connection, frame: unknown) => void
  /** The peer has stated another identity than in its hello. */
  readonly onIdentity: (connection: Connection) => void
  readonly onTurnedAway: (connection: Connection, reason: string) => void
  /** Always the last call. */
  readonly onEnded: (connection: Connection) => void
  readonly frameMax: number
  readonly queueMax: number
  /** Ticks without a byte after which the connection counts as dead. */
  readonly silentTicksMax: number
}

type Stage = 'preamble' | 'hello' | 'proof' | 'admission' | 'established' | 'ended'

/** Longest reason sent or shown, in characters. */
const reasonMax = 500
/** Bytes up to which a copy costs less than one more piece of a write. */
const joinedMax = 16 * 1024
/** How long a peer that was turned away may take to read the reason, in milliseconds. */
const farewell = 500

export class Connection {
  readonly side: Side
  /** `host:port` of the other side. */
  readonly address: string
  private readonly socket: Socket
  private readonly context: ConnectionContext
  private readonly expected: NodeId | undefined
  private readonly reader = new FrameReader(helloMax)
  private readonly ownHello: Buffer
  private readonly self: Self
  private stage: Stage = 'preamble'
  private hello: Hello | undefined
  private theirHello: Buffer = Buffer.alloc(0)
  private heard = true
  private silentTicks = 0
  private probes: ((alive: boolean) => void)[] = []
  /** What leaves at the end of this turn of the event loop. */
  private unwritten: Uint8Array[] = []
  private unwrittenBytes = 0

  /** `expected` is the node whose address was dialled. The socket is connected. */
  constructor(socket: Socket, side: Side, address: string, context: ConnectionContext, expected?: NodeId) {
    this.socket = socket
    this.side = side
    this.address = address
    this.context = context
    this.expected = expected
    this.self = context.self()
    this.ownHello = encodeHello(this.self)
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.receive(chunk))
    socket.on('error', () => this.end())
    socket.on('end', () => this.end())
    socket.on('close', () => this.end())
    this.write(preamble())
    this.write(encodeFrame('hello', this.ownHello))
  }

  get peer(): PeerIntroduction {
    invariant(this.hello !== undefined, 'a peer is known once it has said hello')
    const { node, clusterId, memberId, processId, level } = this.hello
    return { node, clusterId, memberId, processId, level }
  }

  /** As the peer has stated it. */
  get level(): number {
    return this.hello?.level ?? 0
  }

  get isEstablished(): boolean {
    return this.stage === 'established'
  }

  /** False when it was dropped: not established, or `queueMax` bytes are waiting already. */
  sendMessage(type: 'message' | 'bytes', payload: Uint8Array): boolean {
    invariant(payload.length <= this.context.frameMax, 'a frame has a bounded size', {
      bytes: payload.length,
      frameMax: this.context.frameMax,
    })
    if (this.stage !== 'established') return false
    if (this.queued + payload.length + frameHeaderLength > this.context.queueMax) return false
    if (payload.length < joinedMax) this.write(encodeFrame(type, payload))
    else {
      this.write(frameHeader(type, payload))
      this.write(payload)
    }
    return true
  }

  /** Tells the peer of an identity that came after the hello; ends the connection if the two do not go together. */
  stateIdentity(): void {
    if (this.stage !== 'established') return
    const { clusterId, memberId } = this.context.self()
    this.sendControl('identity', Buffer.from(JSON.stringify({ clusterId, memberId })))
    this.checkIdentities()
  }

  ping(): void {
    if (this.stage === 'established') this.sendControl('ping', new Uint8Array())
  }

  /** Whether the other side answers within `patience` milliseconds. */
  probe(patience: number): Promise<boolean> {
    if (this.stage !== 'established') return Promise.resolve(false)
    this.ping()
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), patience)
      this.probes.push((alive) => {
        clearTimeout(timer)
        resolve(alive)
      })
    })
  }

  /** One beat of the steady rhythm. A stall of this process counts as one beat, however long it was. */
  tick(): void {
    // Before the peer has proved itself a trickle of bytes counts for nothing.
    this.silentTicks = this.heard && this.stage === 'established' ? 0 : this.silentTicks + 1
    this.heard = false
    if (this.silentTicks < this.context.silentTicksMax || this.stage === 'admission') return
    if (this.stage === 'established') this.end()
    else this.turnAway(`the peer did not finish its introduction to node ${this.self.node} (stage: ${this.stage})`)
  }

  /** Sends the reason, reports it, and ends. */
  turnAway(reason: string): void {
    if (this.stage === 'ended') return
    const shown = printable(reason)
    this.sendControl('reject', Buffer.from(shown))
    this.context.onTurnedAway(this, shown)
    this.flush()
    this.socket.end()
    setTimeout(() => this.socket.destroy(), farewell).unref()
    this.finish()
  }

  /** Ends at once; what is queued is lost. */
  end(): void {
    this.socket.destroy()
    this.finish()
  }

  private finish(): void {
    if (this.stage === 'ended') return
    this.stage = 'ended'
    for (const resolve of this.probes.splice(0)) resolve(false)
    this.context.onEnded(this)
  }

  private receive(chunk: Buffer): void {
    if (this.stage === 'ended') return
    this.heard = true
    this.reader.push(chunk)
    this.readOn()
  }

  private readOn(): void {
    if (this.stage === 'preamble' && !this.takePreamble()) return
    for (let frame = this.nextFrame(); frame !== undefined; frame = this.nextFrame()) this.take(frame)
  }

  private takePreamble(): boolean {
    const bytes = this.reader.takeBytes(preambleLength)
    if (bytes === undefined) return false
    const problem = checkPreamble(bytes, this.self.node)
    if (problem === undefined) this.stage = 'hello'
    else this.turnAway(problem)
    return problem === undefined
  }

  /** While admission is being decided, what follows waits in the reader and, beyond it, in the kernel. */
  private nextFrame(): Frame | undefined {
    if (this.stage === 'ended' || this.stage === 'admission') return undefined
    try {
      return this.reader.next()
    } catch (error) {
      if (!(error instanceof FrameError)) throw error
      this.turnAway(`${this.name()} sent garbled data to node ${this.self.node}: ${error.message}`)
      return undefined
    }
  }

  private name(): string {
    return this.hello === undefined ? 'the peer' : `node ${this.hello.node}`
  }

  private take(frame: Frame): void {
    if (frame.type === 'reject') return this.takeReject(frame.payload)
    switch (this.stage) {
      case 'hello':
        return frame.type === 'hello' ? this.takeHello(frame.payload) : this.unexpected(frame.type)
      case 'proof':
        return frame.type === 'proof' ? this.takeProof(frame.payload) : this.unexpected(frame.type)
      case 'established':
        return this.takeEstablished(frame)
      default:
        return
    }
  }

  private unexpected(type: FrameType): void {
    this.turnAway(`${this.name()} sent a frame "${type}" to node ${this.self.node} out of turn (stage: ${this.stage})`)
  }

  private takeReject(payload: Buffer): void {
    this.context.onTurnedAway(this, `refused there: ${printable(payload.toString())}`)
    this.end()
  }

  private takeHello(payload: Buffer): void {
    const hello = decodeHello(payload)
    if (hello === undefined) return this.turnAway(`the peer sent no proper hello to node ${this.self.node}`)
    this.hello = hello
    this.theirHello = Buffer.from(payload)
    const problem = checkHello(this.self, hello, this.context.known(), this.expected)
    if (problem !== undefined) return this.turnAway(problem)
    this.stage = 'proof'
    if (this.side === 'dialer') this.sendControl('proof', this.proofOf('dialer'))
  }

  private takeProof(payload: Buffer): void {
    if (!isProof(payload, this.proofOf(this.side === 'dialer' ? 'acceptor' : 'dialer'))) {
      return this.turnAway(`node ${this.peer.node} did not prove that it has the cluster secret of node ${this.self.node}`)
    }
    this.stage = 'admission'
    this.socket.pause()
    void this.context.admit(this.peer).then((problem) => {
      if (this.stage !== 'admission') return
      if (problem !== undefined) return this.turnAway(problem)
      this.establish()
    })
  }

  private proofOf(side: Side): Buffer {
    const [dialer, acceptor] = this.side === 'dialer' ? [this.ownHello, this.theirHello] : [this.theirHello, this.ownHello]
    return proof(this.self.secret, side, dialer, acceptor)
  }

  private establish(): void {
    if (this.side === 'acceptor') this.sendControl('proof', this.proofOf('acceptor'))
    this.reader.payloadMax = this.context.frameMax
    this.stage = 'established'
    this.heard = true
    this.context.onEstablished(this)
    const { clusterId, memberId } = this.context.self()
    if (clusterId !== this.self.clusterId || memberId !== this.self.memberId) this.stateIdentity()
    this.socket.resume()
    this.readOn()
  }

  private takeEstablished({ type, payload }: Frame): void {
    switch (type) {
      case 'message':
        return this.takeMessage(payload)
      case 'bytes':
        return this.context.onFrame(this, payload)
      case 'ping':
        return this.sendControl('pong', new Uint8Array())
      case 'pong':
        for (const resolve of this.probes.splice(0)) resolve(true)
        return
      case 'identity':
        return this.takeIdentity(payload)
      default:
        return this.unexpected(type)
    }
  }

  private takeMessage(payload: Buffer): void {
    let message: unknown
    try {
      message = decode(payload)
    } catch (error) {
      return this.turnAway(`${this.name()} sent a message that node ${this.self.node} cannot decode: ${(error as Error).message}`)
    }
    this.context.onFrame(this, message)
  }

  private takeIdentity(payload: Buffer): void {
    const stated = decodeHello(Buffer.from(JSON.stringify({ ...this.hello, ...safelyParsed(payload) })))
    if (stated === undefined || stated.node !== this.peer.node) return this.unexpected('identity')
    this.hello = stated
    if (this.checkIdentities()) this.context.onIdentity(this)
  }

  private checkIdentities(): boolean {
    const problem = checkClusterIds(this.context.self(), this.peer)
    if (problem !== undefined) this.turnAway(problem)
    return problem === undefined
  }

  private sendControl(type: FrameType, payload: Uint8Array): void {
    // A peer that only asks and never reads is not answered without end.
    if (this.queued > this.context.queueMax) return
    this.write(encodeFrame(type, payload))
  }

  /** Bytes that wait for the peer. */
  private get queued(): number {
    return this.socket.writableLength + this.unwrittenBytes
  }

  /** All that is written in one turn of the event loop leaves as one write. */
  private write(bytes: Uint8Array): void {
    if (this.unwritten.length === 0) process.nextTick(() => this.flush())
    this.unwritten.push(bytes)
    this.unwrittenBytes += bytes.length
  }

  private flush(): void {
    const { unwritten, unwrittenBytes, socket } = this
    this.unwritten = []
    this.unwrittenBytes = 0
    const [first] = unwritten
    if (first === undefined || socket.destroyed) return
    if (unwritten.length === 1) socket.write(first)
    else if (unwrittenBytes < joinedMax) socket.write(Buffer.concat(unwritten, unwrittenBytes))
    else {
      socket.cork()
      for (const bytes of unwritten) socket.write(bytes)
      socket.uncork()
    }
  }
}

/** A text that holds foreign parts, fit for a log line: bounded, and without control characters. */
function printable(text: string): string {
  return text.slice(0, reasonMax).replace(/\p{Cc}/gu, ' ')
}

function safelyParsed(payload: Buffer): object {
  try {
    const { clusterId, memberId } = JSON.parse(payload.toString()) as { clusterId?: unknown; memberId?: unknown }
    return { clusterId, memberId }
  } catch {
    return { node: '' }
  }
}
