/**
 * Asks the service at its address, one request for each line on standard input, from wherever this process was started: in the
 * client's network namespace, for example. Arguments: host and port. In: `{"id", "timeoutMs"}`; out: `{"id", "answer"}`, null for none.
 */
import { request } from 'node:http'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export interface ServiceAnswer {
  readonly node: string
  readonly token: number
  readonly pid: number
  /** Of requests, handed over by checkpoints. */
  readonly count: number
  /** The last count that was surely left for the next holder. */
  readonly left: number
}

/** Undefined where nothing came. A connection of its own for each, for the address moves. */
export function askAt(host: string, port: number, timeoutMs: number): Promise<ServiceAnswer | undefined> {
  return new Promise((resolve) => {
    const done = (answer: ServiceAnswer | undefined): void => {
      clearTimeout(timer)
      resolve(answer)
    }
    const asked = request({ host, port, path: '/', agent: false }, (incoming) => {
      let text = ''
      incoming.setEncoding('utf8')
      incoming.on('data', (chunk: string) => {
        text += chunk
      })
      incoming.on('end', () => {
        try {
          done(JSON.parse(text) as ServiceAnswer)
        } catch {
          done(undefined)
        }
      })
      incoming.on('error', () => done(undefined))
    })
    const timer = setTimeout(() => asked.destroy(), timeoutMs)
    asked.on('error', () => done(undefined))
    asked.end()
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [host = '', port = ''] = process.argv.slice(2)
  const lines = createInterface({ input: process.stdin })
  lines.on('line', (line) => {
    const { id, timeoutMs } = JSON.parse(line) as { id: number; timeoutMs: number }
    void askAt(host, Number(port), timeoutMs).then((answer) => process.stdout.write(`${JSON.stringify({ id, answer: answer ?? null })}\n`))
  })
  lines.on('close', () => process.exit(0))
}
