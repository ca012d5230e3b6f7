/** Requests to a node's API over connections that are kept, each with a verdict on what it may have done. */
import { Agent, type IncomingHttpHeaders, request } from 'node:http'

export interface ApiAnswer {
  /** 0: nothing was answered. */
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
  readonly headers: IncomingHttpHeaders
  /** Nobody listened: the request was surely not received. */
  readonly unsent: boolean
}

export interface ApiOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly timeoutMs?: number
}

export interface Api {
  call(method: string, path: string, body?: unknown, options?: ApiOptions): Promise<ApiAnswer>
  /** Lines of an endless answer, until it ends; of a refusal none. Resolves with its status; 0 where there was none. */
  lines(path: string, onLine: (line: string) => void, signal: AbortSignal): Promise<number>
  close(): void
}

export class HttpApi implements Api {
  readonly #target: { readonly socketPath: string } | { readonly host: string; readonly port: number }
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 })

  constructor(target: { readonly socketPath: string } | { readonly host: string; readonly port: number }) {
    this.#target = target
  }

  call(method: string, path: string, body?: unknown, options: ApiOptions = {}): Promise<ApiAnswer> {
    return new Promise((resolve) => {
      const text = body === undefined ? undefined : JSON.stringify(body)
      const none = (unsent: boolean): void => resolve({ status: 0, body: {}, headers: {}, unsent })
      const headers = { ...(text === undefined ? {} : { 'content-type': 'application/json' }), ...options.headers }
      const asked = request({ ...this.#target, method, path, headers, agent: this.#agent }, (answer) => {
        let received = ''
        answer.setEncoding('utf8')
        answer.on('data', (chunk: string) => {
          received += chunk
        })
        answer.on('end', () => {
          clearTimeout(timer)
          resolve({ status: answer.statusCode ?? 0, body: parse(received), headers: answer.headers, unsent: false })
        })
        answer.on('error', () => none(false))
      })
      // The whole of it, not the silence on the socket: a paused node keeps its connections open.
      const timer = setTimeout(() => asked.destroy(), options.timeoutMs ?? 8_000)
      asked.on('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(timer)
        none(error.code === 'ECONNREFUSED' || error.code === 'ENOENT')
      })
      asked.end(text)
    })
  }

  lines(path: string, onLine: (line: string) => void, signal: AbortSignal): Promise<number> {
    return new Promise((resolve) => {
      const asked = request({ ...this.#target, path, headers: { accept: 'application/x-ndjson' }, agent: false, signal }, (answer) => {
        const status = answer.statusCode ?? 0
        let text = ''
        answer.setEncoding('utf8')
        answer.on('data', (chunk: string) => {
          text += chunk
          const lines = text.split('\n')
          text = lines.pop() ?? ''
          for (const line of lines) if (line !== '' && status === 200) onLine(line)
        })
        answer.on('close', () => resolve(status))
        answer.on('error', () => resolve(status))
      })
      asked.on('error', () => resolve(0))
      asked.end()
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

export function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return { text }
  }
}
