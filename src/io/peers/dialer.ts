/** Keeps trying to reach one node, over each of its addresses in turn, until it is told to stop. */
import { connect, type Socket } from 'node:net'
import type { PeerAddress } from './contract.js'

export interface DialerOptions {
  readonly addresses: readonly PeerAddress[]
  /** Local addresses to dial from, by the place of what is dialled; the system's choice where undefined. */
  readonly localAddresses: readonly (string | undefined)[]
  readonly onConnected: (socket: Socket, address: PeerAddress) => void
  /** Nothing listens at the address. At every try. */
  readonly onRefused: (address: PeerAddress) => void
}

/** First wait between two tries and the longest, in milliseconds. */
const retryMin = 10
const retryMax = 1_000
/** How long one try may take, in milliseconds. */
const connectMax = 1_000
/** A connection that ended sooner counts as another failed try. */
const steadyAfter = 1_000

export class Dialer {
  private readonly options: DialerOptions
  private addresses: readonly PeerAddress[]
  private failures = 0
  private next = 0
  private timer: NodeJS.Timeout | undefined
  private socket: Socket | undefined
  private connectedAt: number | undefined
  private stopped = false
  private avoided: readonly number[] = []
  /** Place of the address of `socket`. */
  private at = 0

  constructor(options: DialerOptions) {
    this.options = options
    this.addresses = options.addresses
  }

  dial(): void {
    if (this.stopped || this.socket !== undefined) return
    clearTimeout(this.timer)
    this.timer = undefined
    const { localAddresses } = this.options
    this.at = this.choose()
    const address = this.addresses[this.at]
    if (address === undefined) return
    const localAddress = localAddresses[Math.min(this.at, localAddresses.length - 1)]
    const socket = connect({ ...address, ...(localAddress === undefined ? {} : { localAddress }) })
    this.socket = socket
    socket.setTimeout(connectMax, () => socket.destroy())
    socket.once('connect', () => {
      socket.setTimeout(0)
      this.connectedAt = performance.now()
      this.options.onConnected(socket, address)
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (isRefused(error) && !this.stopped) this.options.onRefused(address)
    })
    socket.once('close', () => (this.socket === socket ? this.again() : undefined))
  }

  /** It is to be reached by these from now on. False where what is dialled or connected now is none of them. */
  move(addresses: readonly PeerAddress[]): boolean {
    const { host, port } = this.addresses[this.at] ?? {}
    const at = addresses.findIndex((address) => address.host === host && address.port === port)
    if (at < 0) return false
    this.addresses = addresses
    this.at = at
    this.avoid(this.avoided)
    return true
  }

  /** Places among the addresses that are not to be dialled as long as there are others; what is connected there is replaced. */
  avoid(places: readonly number[]): void {
    this.avoided = places
    if (this.socket === undefined || this.choose(this.at) === this.at) return
    // A connection goes on until its successor stands; what is only being tried is given up.
    if (this.connectedAt === undefined) this.socket.destroy()
    this.socket = undefined
    this.connectedAt = undefined
    this.failures = 0
    this.next = this.at + 1
    this.dial()
  }

  /** The next place that is not to be avoided, or simply the next. */
  private choose(from = this.next): number {
    const count = Math.max(1, this.addresses.length)
    for (let step = 0; step < count; step++) if (!this.avoided.includes((from + step) % count)) return (from + step) % count
    return from % count
  }

  /** The peer has just shown that it is there: try now instead of waiting. */
  hurry(): void {
    if (this.timer === undefined) return
    this.failures = 0
    this.dial()
  }

  stop(): void {
    this.stopped = true
    clearTimeout(this.timer)
    this.socket?.destroy()
  }

  private again(): void {
    this.socket = undefined
    if (this.stopped) return
    const lasted = this.connectedAt === undefined ? 0 : performance.now() - this.connectedAt
    this.connectedAt = undefined
    if (lasted >= steadyAfter) {
      // A lost connection: see at once whether the port still answers.
      this.failures = 0
      this.timer = setTimeout(() => this.dial(), 0)
      return
    }
    this.failures++
    this.next++
    // 10, 15, 22, ... up to 1 s, and a share of chance so that nodes do not dial in step.
    const wait = Math.min(retryMax, retryMin * 1.5 ** (this.failures - 1))
    this.timer = setTimeout(() => this.dial(), wait * (1 - Math.random() / 4))
  }
}

/** By every address that its name stands for. */
function isRefused(error: NodeJS.ErrnoException): boolean {
  if (error instanceof AggregateError) return error.errors.every((one: NodeJS.ErrnoException) => one.code === 'ECONNREFUSED')
  return error.code === 'ECONNREFUSED'
}
