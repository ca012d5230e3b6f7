/**
 * One keep-alive HTTP/1.1 connection with one request on its way at a time, as lean as it can be: the client runs on the cores
 * that it measures.
 *
 * Reads what the two systems send: a status line, `content-length` or chunks, a body in ASCII.
 */
import type { Socket } from 'node:net'
import { openSocket } from './lean-socket.js'

export type Done = (status: number, body: string) => void

export class HttpConnection {
  private readonly host: string
  private readonly socket: Socket
  private received = ''
  private done: Done | undefined

  /** `target` is `host:port`. A connection that ends answers with status 0. */
  constructor(target: string, onOpen: () => void) {
    this.host = target
    this.socket = openSocket(target, (bytes) => this.take(bytes.toString('latin1')))
    this.socket.on('connect', onOpen)
    this.socket.on('error', () => undefined)
    this.socket.on('close', () => this.settle(0, ''))
  }

  ask(method: string, path: string, body: string, done: Done): void {
    this.done = done
    if (this.socket.destroyed) return this.settle(0, '')
    const length = body === '' ? '' : `content-type: application/json\r\ncontent-length: ${body.length}\r\n`
    this.socket.write(`${method} ${path} HTTP/1.1\r\nhost: ${this.host}\r\n${length}\r\n${body}`, 'latin1')
  }

  end(): void {
    this.done = undefined
    this.socket.destroy()
  }

  private take(text: string): void {
    this.received = this.received === '' ? text : this.received + text
    const head = this.received.indexOf('\r\n\r\n')
    if (head < 0) return
    const lengthAt = lengthIn(this.received)
    let end: number
    if (lengthAt >= 0 && lengthAt < head) end = head + 4 + Number.parseInt(this.received.slice(lengthAt + 16, lengthAt + 28), 10)
    else if (this.received.endsWith('\r\n0\r\n\r\n')) end = this.received.length
    else return
    if (this.received.length < end) return
    const status = Number.parseInt(this.received.slice(9, 12), 10)
    const body = this.received.slice(head + 4, end)
    this.received = this.received.slice(end)
    this.settle(status, body)
  }

  private settle(status: number, body: string): void {
    const { done } = this
    this.done = undefined
    done?.(status, body)
  }
}

/** Where `content-length: ` begins, as the two systems write it. */
function lengthIn(answer: string): number {
  const at = answer.indexOf('content-length: ')
  return at >= 0 ? at : answer.indexOf('Content-Length: ')
}
