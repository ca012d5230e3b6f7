/**
 * A connection to a message bus over its unix socket (D-Bus specification, "Authentication Protocol", EXTERNAL).
 *
 * Nothing here waits without an end: every call has its time, and how much may wait is bounded. A connection that has failed stays
 * so; whoever needs one opens another.
 */
import { connect, type Socket } from 'node:net'
import { type BusMessage, encodeMessage, MessageReader } from './message.js'
import type { BusValue } from './wire.js'

export interface BusCall {
  readonly destination: string
  readonly path: string
  readonly interface: string
  readonly member: string
  readonly signature?: string
  readonly body?: readonly BusValue[]
}

/** The other side has answered with an error; `error` is its name, such as `org.freedesktop.systemd1.NoSuchUnit`. */
export class BusError extends Error {
  override readonly name = 'BusError'
  readonly error: string

  constructor(error: string, text: string) {
    super(text === '' ? error : text)
    this.error = error
  }
}

/** Nobody has answered in time, or there is no bus. Whether the call was carried out is not known. */
export class BusSilent extends Error {
  override readonly name = 'BusSilent'
}

export interface BusListener {
  onSignal(message: BusMessage): void
  onClosed(reason: string): void
}

export interface BusConnection {
  /** Errors: BusError, BusSilent. `timeout` in milliseconds. */
  call(call: BusCall, timeout: number): Promise<readonly BusValue[]>
  /** Has signals sent here that fit the rule. */
  match(rule: string, timeout: number): Promise<void>
  close(): void
}

export const systemBusSocket = '/run/dbus/system_bus_socket'

const callsMax = 1_000
const backlogMax = 1_048_576
const busName = 'org.freedesktop.DBus'
const bus = { destination: busName, path: '/org/freedesktop/DBus', interface: busName }

/** Errors: BusSilent. */
export async function connectBus(socketPath: string, listener: BusListener, timeout: number): Promise<BusConnection> {
  const end = performance.now() + timeout
  const socket = connect(socketPath)
  const opened = new OpenedBus(socket, listener)
  try {
    await within(opened.authenticated, timeout, 'the bus did not answer in time')
    await opened.call({ ...bus, member: 'Hello' }, Math.max(1, end - performance.now()))
  } catch (error) {
    opened.close()
    throw error instanceof BusSilent ? error : new BusSilent(`${socketPath}: ${(error as Error).message}`)
  }
  return opened
}

class OpenedBus implements BusConnection {
  readonly authenticated: Promise<void>
  readonly #socket: Socket
  readonly #listener: BusListener
  readonly #waiting = new Map<number, { readonly answer: (message: BusMessage) => void; readonly fail: (error: Error) => void }>()
  readonly #reader = new MessageReader()
  #serial = 0
  #isClosed = false

  constructor(socket: Socket, listener: BusListener) {
    this.#socket = socket
    this.#listener = listener
    socket.unref()
    this.authenticated = new Promise((resolve, reject) => {
      let greeting = ''
      const onGreeting = (chunk: Uint8Array) => {
        greeting += new TextDecoder('latin1').decode(chunk)
        const end = greeting.indexOf('\r\n')
        if (end < 0 && greeting.length < 1_024) return
        socket.off('data', onGreeting)
        if (!greeting.startsWith('OK ')) return reject(new BusSilent(`the bus refuses us: ${greeting.slice(0, 200).trim()}`))
        socket.on('data', (more: Uint8Array) => this.#onData(more))
        socket.write('BEGIN\r\n')
        resolve()
      }
      socket.on('data', onGreeting)
      socket.once('connect', () => {
        const user = [...String(process.getuid?.() ?? 0)].map((digit) => digit.charCodeAt(0).toString(16)).join('')
        socket.write(`\0AUTH EXTERNAL ${user}\r\n`)
      })
      socket.once('error', (error) => {
        reject(new BusSilent(error.message))
        this.#fail(error.message)
      })
      socket.once('close', () => {
        reject(new BusSilent('the bus has closed the connection'))
        this.#fail('the bus has closed the connection')
      })
    })
    this.authenticated.catch(() => {}) // Whoever opens it hears of it.
  }

  async call(call: BusCall, timeout: number): Promise<readonly BusValue[]> {
    if (this.#isClosed) throw new BusSilent('the connection to the bus is closed')
    if (this.#waiting.size >= callsMax || this.#socket.writableLength > backlogMax) throw new BusSilent('too much waits for the bus')
    const serial = ++this.#serial
    const answered = new Promise<BusMessage>((resolve, reject) => this.#waiting.set(serial, { answer: resolve, fail: reject }))
    this.#socket.write(encodeMessage({ kind: 'call', serial, body: [], ...call }))
    try {
      const answer = await within(answered, timeout, `no answer to ${call.member} within ${Math.round(timeout)} ms`)
      if (answer.kind === 'error') throw new BusError(answer.error ?? 'unknown', String(answer.body[0] ?? ''))
      return answer.body
    } finally {
      this.#waiting.delete(serial)
    }
  }

  async match(rule: string, timeout: number): Promise<void> {
    await this.call({ ...bus, member: 'AddMatch', signature: 's', body: [rule] }, timeout)
  }

  close() {
    this.#fail('the connection was closed')
  }

  #onData(chunk: Uint8Array) {
    let messages: readonly BusMessage[]
    try {
      messages = this.#reader.push(chunk)
    } catch (error) {
      return this.#fail((error as Error).message)
    }
    for (const message of messages) {
      if (message.kind === 'signal') this.#listener.onSignal(message)
      else if (message.replyTo !== undefined) this.#waiting.get(message.replyTo)?.answer(message)
    }
  }

  #fail(reason: string) {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#socket.destroy()
    for (const { fail } of this.#waiting.values()) fail(new BusSilent(reason))
    this.#waiting.clear()
    this.#listener.onClosed(reason)
  }
}

async function within<Value>(answer: Promise<Value>, timeout: number, text: string): Promise<Value> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new BusSilent(text)), timeout)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
    answer.catch(() => {})
  }
}
