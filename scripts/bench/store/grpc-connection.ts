/**
 * Unary gRPC calls over one HTTP/2 connection (RFC 9113), many at a time: just the frames that etcd's server needs, written by hand,
 * for a general client would cost more than the calls and make etcd look slow.
 *
 * The header fields of a request are put into the server's dynamic table by the first call (RFC 7541 §6.2.1) and named by number
 * after that. What the server says in its own header fields is not decoded: a call that brings a message was carried out.
 */
import type { Socket } from 'node:net'
import { openSocket } from './lean-socket.js'

export type GrpcDone = (ok: boolean, message: Buffer) => void

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const types = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, windowUpdate: 8 } as const
const endStream = 1
const endHeaders = 4
const acknowledge = 1
const frameHead = 9
/** Longest payload of a frame that every server takes, in bytes. */
const frameMax = 16_384
/** Given to the server for the connection and each stream, in bytes. */
const window = 2 ** 30

export class GrpcConnection {
  private readonly socket: Socket
  private readonly first: Buffer
  /** All fields of a request, as the table holds them after the first one. */
  private readonly later = Buffer.from([0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe])
  private readonly calls = new Map<number, { readonly done: GrpcDone; message: Buffer | undefined }>()
  private received: Buffer = Buffer.alloc(0)
  private nextStream = 1
  private sendWindow = 65_535
  private taken = 0
  private corked = false

  constructor(target: string, path: string, onOpen: () => void) {
    this.socket = openSocket(target, (bytes) => this.take(Buffer.from(bytes)))
    this.first = Buffer.concat([
      Buffer.from([0x83, 0x86]),
      field(0x44, path),
      field(0x41, target),
      field(0x5f, 'application/grpc'),
      Buffer.from([0x40]),
      text('te'),
      text('trailers'),
    ])
    this.socket.on('connect', () => {
      const settings = Buffer.alloc(6)
      settings.writeUInt16BE(4, 0) // SETTINGS_INITIAL_WINDOW_SIZE
      settings.writeUInt32BE(window, 2)
      this.socket.write(Buffer.concat([preface, frame(types.settings, 0, 0, settings), this.windowUpdate(window - 65_535)]))
      onOpen()
    })
    this.socket.on('error', () => undefined)
    this.socket.on('close', () => {
      for (const stream of [...this.calls.keys()]) this.settle(stream)
    })
  }

  call(message: Buffer, done: GrpcDone): void {
    const stream = this.nextStream
    this.nextStream += 2
    this.calls.set(stream, { done, message: undefined })
    if (this.socket.destroyed) return this.settle(stream)
    const head = stream === 1 ? this.first : this.later
    const length = 5 + message.length
    this.sendWindow -= length
    // Clients per connection are few enough for this; to wait for the window would measure the client.
    if (this.sendWindow < 0) throw new Error('more is on its way than the server takes')
    this.write(requestFrames(stream, head, message))
  }

  end(): void {
    this.calls.clear()
    this.socket.destroy()
  }

  private write(bytes: Buffer): void {
    if (!this.corked) {
      this.corked = true
      this.socket.cork()
      process.nextTick(() => {
        this.corked = false
        this.socket.uncork()
      })
    }
    this.socket.write(bytes)
  }

  private take(chunk: Buffer): void {
    this.received = this.received.length === 0 ? chunk : Buffer.concat([this.received, chunk])
    let at = 0
    for (;;) {
      if (this.received.length < at + frameHead) break
      const length = this.received.readUIntBE(at, 3)
      const end = at + frameHead + length
      if (this.received.length < end) break
      this.handle(
        this.received[at + 3] as number,
        this.received[at + 4] as number,
        this.received.readUInt32BE(at + 5) & 0x7fffffff,
        this.received.subarray(at + frameHead, end),
      )
      at = end
    }
    this.received = this.received.subarray(at)
  }

  private handle(type: number, flags: number, stream: number, payload: Buffer): void {
    switch (type) {
      case types.data: {
        const call = this.calls.get(stream)
        if (call !== undefined) call.message = call.message === undefined ? payload : Buffer.concat([call.message, payload])
        this.taken += payload.length
        if (this.taken > window / 2) {
          this.write(this.windowUpdate(this.taken))
          this.taken = 0
        }
        if ((flags & endStream) !== 0) this.settle(stream)
        return
      }
      case types.headers:
        if ((flags & endStream) !== 0) this.settle(stream)
        return
      case types.reset:
        return this.settle(stream)
      case types.settings:
        if ((flags & acknowledge) === 0) this.write(frame(types.settings, acknowledge, 0, Buffer.alloc(0)))
        return
      case types.ping:
        if ((flags & acknowledge) === 0) this.write(frame(types.ping, acknowledge, 0, Buffer.from(payload)))
        return
      case types.windowUpdate:
        if (stream === 0) this.sendWindow += payload.readUInt32BE(0)
        return
      case types.goAway:
        this.socket.destroy()
        return
    }
  }

  private settle(stream: number): void {
    const call = this.calls.get(stream)
    if (call === undefined) return
    this.calls.delete(stream)
    const { message } = call
    call.done(message !== undefined, message === undefined ? Buffer.alloc(0) : message.subarray(5))
  }

  private windowUpdate(bytes: number): Buffer {
    const payload = Buffer.alloc(4)
    payload.writeUInt32BE(bytes, 0)
    return frame(types.windowUpdate, 0, 0, payload)
  }
}

/** `etcdserverpb.PutRequest`. */
export function putRequest(key: string, value: string): Buffer {
  // In one go, as ASCII: this one is made many thousand times a second.
  return Buffer.from(`\n${varint(key.length).toString('latin1')}${key}\x12${varint(value.length).toString('latin1')}${value}`, 'latin1')
}

/** `etcdserverpb.RangeRequest` of one key. */
export function rangeRequest(key: string, serializable: boolean): Buffer {
  return Buffer.concat([bytesField(1, Buffer.from(key)), serializable ? Buffer.from([7 << 3, 1]) : Buffer.alloc(0)])
}

/** `etcdserverpb.TxnRequest` of puts, without compare. */
export function transactionRequest(puts: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(puts.map(([key, value]) => bytesField(2, bytesField(2, putRequest(key, value)))))
}

function bytesField(number: number, value: Buffer): Buffer {
  return Buffer.concat([varint((number << 3) | 2), varint(value.length), value])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let left = value
  for (; left > 127; left >>>= 7) bytes.push((left & 127) | 128)
  bytes.push(left)
  return Buffer.from(bytes)
}

/** A literal field with incremental indexing, its name from the static table (`first` is the whole first byte). */
function field(first: number, value: string): Buffer {
  return Buffer.concat([Buffer.from([first]), text(value)])
}

function text(value: string): Buffer {
  if (value.length > 126) throw new Error('a header field of the benchmark is short')
  return Buffer.concat([Buffer.from([value.length]), Buffer.from(value)])
}

/** HEADERS with `head`, then the message in as many DATA frames as it needs. */
function requestFrames(stream: number, head: Buffer, message: Buffer): Buffer {
  const length = 5 + message.length
  const data = Math.ceil(length / frameMax)
  const bytes = Buffer.allocUnsafe((1 + data) * frameHead + head.length + length)
  writeHead(bytes, 0, head.length, types.headers, endHeaders, stream)
  head.copy(bytes, frameHead)
  let at = frameHead + head.length
  for (let from = 0; from < length; from += frameMax) {
    const part = Math.min(frameMax, length - from)
    writeHead(bytes, at, part, types.data, from + part < length ? 0 : endStream, stream)
    at += frameHead
    if (from === 0) {
      bytes[at] = 0 // Not compressed.
      bytes.writeUInt32BE(message.length, at + 1)
    }
    message.copy(bytes, from === 0 ? at + 5 : at, Math.max(0, from - 5), from - 5 + part)
    at += part
  }
  return bytes
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(frameHead + payload.length)
  writeHead(bytes, 0, payload.length, type, flags, stream)
  payload.copy(bytes, frameHead)
  return bytes
}

function writeHead(into: Buffer, at: number, length: number, type: number, flags: number, stream: number): void {
  into.writeUIntBE(length, at, 3)
  into[at + 3] = type
  into[at + 4] = flags
  into.writeUInt32BE(stream, at + 5)
}
