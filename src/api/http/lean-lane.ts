/**
 * A short way for small requests: reads them off the socket as whole texts, without the general HTTP parser and its objects.
 *
 * It takes only what it understands to the last byte: a request that came whole, on a path that somebody wants, with header fields of a
 * short list, each once. At anything else the connection goes over to the general server for good, together with what was not
 * answered, and that one judges it: so there is one judge of what is odd, and nothing odd is judged here.
 *
 * It is worth its lines: of a put's processor time on the leader two thirds were the general server's (docs/benchmarks.md).
 */
import { type IncomingHttpHeaders, type Server, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'

export interface LeanRequest {
  readonly method: string
  /** With the query. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly socket: Socket
}

export interface LeanAnswer {
  readonly status: number
  /** Header fields as they are sent, each with its line's end. */
  readonly fields: string
  readonly body: string
}

export interface LeanLane {
  /** Connections that wait for a request are ended now, others with their answer. */
  close(): void
}

export interface LeanLaneOptions {
  readonly server: Server
  /** False where the general server is to answer. `done` is called once, later. */
  readonly handle: (request: LeanRequest, done: (answer: LeanAnswer) => void) => boolean
  /** Milliseconds. */
  readonly firstRequestMax: number
  readonly keepAliveMax: number
}

/** Longest request taken and longest head, in bytes: what one read of a socket brings at most, and less than the general server allows. */
const requestMax = 65_536
const headMax = 8_192
const requestLine = /^(GET|PUT|POST|DELETE) (\/[!-~]*) HTTP\/1\.1$/
const headerField = /^([A-Za-z-]+):[ \t]*([\t\x20-\x7e]*?)[ \t]*$/
/** Fields that mean the same here as in the general server, or nothing. */
const knownFields: ReadonlySet<string> = new Set([
  'host',
  'content-type',
  'content-length',
  'connection',
  'accept',
  'accept-encoding',
  'accept-language',
  'user-agent',
  'if-match',
  'if-none-match',
])
const headEnd = Buffer.from('\r\n\r\n')

/** Stands before the general server: takes its connections, and gives up those that it does not understand. */
export function openLeanLane(options: LeanLaneOptions): LeanLane {
  const { server } = options
  const general = server.listeners('connection') as ((this: Server, socket: Socket) => void)[]
  const connections = new Set<LeanConnection>()
  const giveUp = (socket: Socket): void => {
    for (const listener of general) listener.call(server, socket)
  }
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    const connection = new LeanConnection(socket, options, giveUp, () => connections.delete(connection))
    connections.add(connection)
  })
  return {
    close: () => {
      for (const connection of [...connections]) connection.close()
    },
  }
}

class LeanConnection {
  private readonly socket: Socket
  private readonly options: LeanLaneOptions
  private readonly giveUp: (socket: Socket) => void
  private readonly over: () => void
  /** The header fields of the request before, as text and as read: clients repeat them. */
  private lastFields = ''
  private lastHeaders: IncomingHttpHeaders = {}
  private waiting: Buffer | undefined
  private busy = false
  private closing = false
  private isFirst = true

  constructor(socket: Socket, options: LeanLaneOptions, giveUp: (socket: Socket) => void, over: () => void) {
    this.socket = socket
    this.options = options
    this.giveUp = giveUp
    this.over = over
    socket.setNoDelay(true)
    socket.setTimeout(options.firstRequestMax)
    socket.on('data', this.onData)
    socket.on('timeout', this.onTimeout)
    socket.on('error', this.onEnd)
    socket.on('end', this.onEnd)
    socket.on('close', this.onEnd)
  }

  close(): void {
    this.closing = true
    if (!this.busy) this.socket.destroy()
  }

  private readonly onData = (chunk: Buffer): void => {
    this.waiting = this.waiting === undefined ? chunk : Buffer.concat([this.waiting, chunk])
    if (this.busy)
      this.socket.pause() // Who sends before the answer waits for it.
    else this.next()
  }

  /** One that never asks is the general server's to time out; one that asks no more is let go. */
  private readonly onTimeout = (): void => {
    if (this.busy) return
    if (this.isFirst) this.handOver()
    else this.socket.destroy()
  }

  private readonly onEnd = (): void => {
    this.over()
    this.closing = true
    if (!this.busy) this.socket.destroy()
  }

  private next(): void {
    const bytes = this.waiting
    if (bytes === undefined) return
    const found = this.read(bytes)
    if (found === undefined || !this.options.handle(found.request, this.onAnswer)) return this.handOver()
    this.waiting = found.end === bytes.length ? undefined : bytes.subarray(found.end)
    this.busy = true
    if (this.isFirst) {
      this.isFirst = false
      this.socket.setTimeout(this.options.keepAliveMax)
    }
  }

  private readonly onAnswer = (answer: LeanAnswer): void => {
    this.busy = false
    if (this.socket.destroyed) return
    const length = Buffer.byteLength(answer.body)
    const text = answerText(answer, length, this.closing)
    const encoding = length === answer.body.length ? 'latin1' : 'utf8' // Of the same bytes the one that is written faster.
    if (this.closing) return void this.socket.end(text, encoding)
    this.socket.write(text, encoding)
    this.next()
    if (this.socket.isPaused()) this.socket.resume()
  }

  /** The connection is the general server's from here on, with the request that has not been answered. */
  private handOver(): void {
    const { socket, waiting } = this
    socket.off('data', this.onData)
    socket.off('timeout', this.onTimeout)
    socket.off('error', this.onEnd)
    socket.off('end', this.onEnd)
    socket.off('close', this.onEnd)
    socket.setTimeout(0)
    this.over()
    if (waiting !== undefined) socket.unshift(waiting)
    this.giveUp(socket)
  }

  /** The first request in `bytes` and where it ends; undefined where it is not whole, or not of the known kind. */
  private read(bytes: Buffer): { readonly request: LeanRequest; readonly end: number } | undefined {
    if (bytes.length > requestMax) return undefined
    const head = bytes.indexOf(headEnd)
    if (head < 0 || head > headMax) return undefined
    const text = bytes.toString('latin1', 0, head)
    const lineEnd = text.indexOf('\r\n')
    const line = requestLine.exec(lineEnd < 0 ? text : text.slice(0, lineEnd))
    const headers = lineEnd < 0 ? undefined : this.fields(text.slice(lineEnd + 2))
    if (line === null || headers === undefined) return undefined
    const begin = head + headEnd.length
    const end = begin + Number(headers['content-length'] ?? 0)
    if (end > bytes.length) return undefined
    const request = { method: line[1] as string, url: line[2] as string, headers, body: bytes.subarray(begin, end), socket: this.socket }
    return { request, end }
  }

  private fields(text: string): IncomingHttpHeaders | undefined {
    if (text === this.lastFields) return this.lastHeaders
    const headers: Record<string, string> = {}
    for (const line of text.split('\r\n')) {
      const field = headerField.exec(line)
      const name = field?.[1]?.toLowerCase()
      if (name === undefined || !knownFields.has(name) || Object.hasOwn(headers, name)) return undefined
      headers[name] = field?.[2] as string
    }
    const { connection, 'content-length': length } = headers
    if (headers.host === undefined) return undefined
    if (connection !== undefined && connection.toLowerCase() !== 'keep-alive') return undefined
    if (length !== undefined && !/^\d{1,5}$/.test(length)) return undefined
    this.lastFields = text
    this.lastHeaders = headers
    return headers
  }
}

function answerText({ status, fields, body }: LeanAnswer, bytes: number, closing: boolean): string {
  const length = status === 304 ? '' : `content-length: ${bytes}\r\n` // RFC 9110 §8.6.
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${fields}${length}date: ${date()}\r\nconnection: ${closing ? 'close' : 'keep-alive'}\r\n\r\n${body}`
}

let dateText = ''
let dateSecond = 0

/** The time as HTTP has it, made once a second. */
function date(): string {
  const second = Math.floor(Date.now() / 1_000)
  if (second !== dateSecond) {
    dateSecond = second
    dateText = new Date(second * 1_000).toUTCString()
  }
  return dateText
}
