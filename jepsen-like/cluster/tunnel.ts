/** Requests to the API on a unix socket of another host, by a process there that carries them (bridge.mjs); it is started anew when it has ended. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import { join } from 'node:path'
import { projectRoot } from '../../scripts/lib/lab.js'
import { type Api, type ApiAnswer, type ApiOptions, parse } from './api.js'

/** Not at once again, in milliseconds. */
const restMin = 500

interface Message {
  readonly ready?: true
  readonly id?: number
  readonly status?: number
  readonly headers?: IncomingHttpHeaders
  readonly text?: string
  readonly line?: string
  readonly end?: true
  readonly error?: string
}

type Heard = (message: Message | 'lost' | 'never sent') => void

export class TunnelApi implements Api {
  readonly #words: readonly string[]
  readonly #waiting = new Map<number, Heard>()
  #carrier: Carrier | undefined
  #next = 1
  #isClosed = false

  /** `way`: words before a piece of shell, by which it is run on the host. `node`: the program there. */
  constructor(way: readonly string[], socket: string, node: string) {
    const program = readFileSync(join(projectRoot, 'jepsen-like/cluster/bridge.mjs')).toString('base64')
    this.#words = [...way, `exec ${node} --input-type=module -e "$(printf %s ${program} | base64 -d)" '${socket}'`]
  }

  call(method: string, path: string, body?: unknown, options: ApiOptions = {}): Promise<ApiAnswer> {
    return new Promise((resolve) => {
      const text = body === undefined ? undefined : JSON.stringify(body)
      const headers = { ...(text === undefined ? {} : { 'content-type': 'application/json' }), ...options.headers }
      const done = (answer: ApiAnswer): void => {
        clearTimeout(timer)
        this.#waiting.delete(id)
        resolve(answer)
      }
      const none = (unsent: boolean): void => done({ status: 0, body: {}, headers: {}, unsent })
      const id = this.#send({ method, path, headers, ...(text === undefined ? {} : { text }) }, (message) => {
        if (message === 'lost') none(false)
        else if (message === 'never sent') none(true)
        else if (message.error !== undefined) none(message.error === 'ECONNREFUSED' || message.error === 'ENOENT')
        else done({ status: message.status ?? 0, body: parse(message.text ?? ''), headers: message.headers ?? {}, unsent: false })
      })
      const timer = setTimeout(() => {
        this.#cancel(id)
        none(false)
      }, options.timeoutMs ?? 8_000)
    })
  }

  lines(path: string, onLine: (line: string) => void, signal: AbortSignal): Promise<number> {
    return new Promise((resolve) => {
      let status = 0
      const done = (): void => {
        signal.removeEventListener('abort', abort)
        this.#waiting.delete(id)
        resolve(status)
      }
      const abort = (): void => {
        this.#cancel(id)
        done()
      }
      const id = this.#send({ path, headers: { accept: 'application/x-ndjson' }, lines: true }, (message) => {
        if (typeof message === 'string' || message.error !== undefined || message.end === true) return done()
        if (message.status !== undefined) status = message.status
        if (message.line !== undefined && status === 200) onLine(message.line)
      })
      signal.addEventListener('abort', abort)
      if (signal.aborted) abort()
    })
  }

  close(): void {
    this.#isClosed = true
    this.#carrier?.child.stdin?.end()
    this.#carrier?.end()
  }

  /** `heard` is not called before this has returned. */
  #send(message: Readonly<Record<string, unknown>>, heard: Heard): number {
    const id = this.#next++
    this.#waiting.set(id, heard)
    const carrier = this.#carrierNow()
    if (carrier === undefined) setImmediate(() => this.#waiting.get(id)?.('never sent'))
    else {
      carrier.sent.add(id)
      carrier.child.stdin?.write(`${JSON.stringify({ id, ...message })}\n`)
    }
    return id
  }

  #cancel(id: number): void {
    this.#carrier?.child.stdin?.write(`${JSON.stringify({ id, cancel: true })}\n`)
  }

  #carrierNow(): Carrier | undefined {
    if (this.#carrier !== undefined && (this.#carrier.isOpen || performance.now() - this.#carrier.began < restMin))
      return this.#carrier.isOpen ? this.#carrier : undefined
    if (this.#isClosed) return undefined
    this.#carrier = new Carrier(this.#words, (id, message) => this.#waiting.get(id)?.(message))
    return this.#carrier
  }
}

class Carrier {
  readonly child: ChildProcess
  readonly began = performance.now()
  readonly sent = new Set<number>()
  isOpen = true
  #isReady = false

  constructor([program, ...args]: readonly string[], heard: (id: number, message: Parameters<Heard>[0]) => void) {
    // In a group of its own: a Ctrl-C for the harness is not one for the way to the hosts.
    this.child = spawn(program as string, args, { stdio: ['pipe', 'pipe', 'ignore'], detached: true })
    this.child.stdin?.on('error', () => undefined)
    let text = ''
    this.child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      const lines = text.split('\n')
      text = lines.pop() ?? ''
      for (const line of lines) {
        const message = read(line)
        if (message?.ready === true) this.#isReady = true
        if (message?.id !== undefined) heard(message.id, message)
      }
    })
    const over = (): void => {
      if (!this.isOpen) return
      this.isOpen = false
      for (const id of this.sent) heard(id, this.#isReady ? 'lost' : 'never sent')
    }
    this.child.once('error', over)
    this.child.once('close', over)
  }

  /** It ends with its input; where the way hangs, it is not waited for. */
  end(): void {
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 2_000)
    this.child.once('close', () => clearTimeout(timer))
    this.child.unref()
  }
}

/** What a login says of its own is passed over. */
function read(line: string): Message | undefined {
  try {
    return JSON.parse(line) as Message
  } catch {
    return undefined
  }
}
