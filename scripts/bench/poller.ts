/**
 * A client of the service, in a process of its own (and, where asked, in a network namespace of its own): sends a
 * request every 10 ms whatever became of the earlier ones, and prints the time of each success.
 *
 * Usage: node poller.js URL. Prints one line a success: milliseconds since 1970 and the body's first word groups.
 */
import { request } from 'node:http'

const url = process.argv[2] ?? ''
const interval = 10
const patience = 1_000

setInterval(() => {
  const asked = request(url, { agent: false, timeout: patience }, (answer) => {
    let body = ''
    answer.setEncoding('utf8')
    answer.on('data', (chunk: string) => {
      body += chunk
    })
    answer.on('end', () => {
      if (answer.statusCode === 200) process.stdout.write(`${Date.now()} ${body.trim().slice(0, 200)}\n`)
    })
    answer.on('error', () => undefined)
  })
  asked.on('timeout', () => asked.destroy())
  asked.on('error', () => undefined)
  asked.end()
}, interval)
process.stdout.on('error', () => process.exit(0))
process.on('disconnect', () => process.exit(0))
