/**
 * Carries requests to the API on a unix socket of this host: one JSON object a line on standard input and output. It is sent to the
 * host as an argument of `node` (see tunnel.ts), writes nothing there, and ends with its input.
 *
 * In: `{id, method, path, headers, text}`, with `lines: true` for an endless answer, or `{id, cancel: true}`.
 * Out: `{ready}` first; then `{id, status, headers, text}`, or `{id, status}`, `{id, line}`… and `{id, end}`; or `{id, error}`.
 */
import { Agent, request } from 'node:http'
import { createInterface } from 'node:readline'

const socketPath = process.argv.at(-1)
const agent = new Agent({ keepAlive: true, maxSockets: 64 })
const open = new Map()
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`)

function ask({ id, method = 'GET', path, headers = {}, text, lines = false }) {
  const failed = (error) => open.delete(id) && say({ id, error: error.code ?? error.message })
  const asked = request({ socketPath, method, path, headers, agent: lines ? false : agent }, (answer) => {
    const { statusCode: status } = answer
    let received = ''
    answer.setEncoding('utf8')
    answer.on('error', failed)
    if (lines) say({ id, status })
    answer.on('data', (chunk) => {
      received += chunk
      if (!lines) return
      const whole = received.split('\n')
      received = whole.pop()
      for (const line of whole) if (line !== '') say({ id, line })
    })
    answer.on('close', () => {
      if (!open.delete(id)) return
      if (lines) say({ id, end: true })
      else if (answer.complete) say({ id, status, headers: answer.headers, text: received })
      else say({ id, error: 'broken off' })
    })
  })
  asked.on('error', failed)
  open.set(id, asked)
  asked.end(text)
}

say({ ready: true })
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const message = JSON.parse(line)
    if (!message.cancel) return ask(message)
    const asked = open.get(message.id)
    open.delete(message.id)
    asked?.destroy()
  })
  .on('close', () => process.exit(0))
process.stdout.on('error', () => process.exit(0))
