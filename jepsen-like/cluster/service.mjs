#!/usr/bin/env node
/**
 * What the group of a chaos run runs: answers with who it is, and counts on from what its last holder left.
 *
 * Its journal (start, beat, stop) is written outside the cluster's control. Each answer has a number that only grows while
 * checkpoints are handed over: `left` is the last that was surely left.
 */
import { appendFileSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'

const { QUORATE_NODE: node, QUORATE_GROUP: group, QUORATE_GRANT_TOKEN: token, QUORATE_CHECKPOINT_DIR: checkpoints } = process.env
const [host, port, apis, journal] = process.argv.slice(2)
const api = new Map(apis.split(',').map((entry) => entry.split('='))).get(node)
const note = (what, more = {}) =>
  appendFileSync(journal, `${JSON.stringify({ at: Date.now(), node, token: Number(token), pid: process.pid, what, ...more })}\n`)

let count = 0
try {
  count = Number(readFileSync(`${checkpoints}/count`, 'utf8')) || 0
} catch {
  // The first start of all: nobody has left a count.
}
let left = count
note('begin', { count })

const server = createServer((request, response) => {
  if (request.url !== '/health') count++
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ node, token: Number(token), pid: process.pid, count, left }))
})
server.listen(Number(port), host, () => note('start', { took: Math.round(performance.now()) }))
server.on('error', (error) => {
  note(`error ${error.code}`)
  process.exit(1)
})
setInterval(() => note('beat'), 50)

let leaving
function leave() {
  if (count === left || leaving !== undefined) return leaving
  const now = count
  leaving = fetch(`${api}/v1/groups/${group}/checkpoints/count`, {
    method: 'PUT',
    headers: { 'quorate-grant-token': String(token), 'content-type': 'text/plain' },
    body: String(now),
    signal: AbortSignal.timeout(3_000),
  })
    .then((answer) => {
      if (answer.ok) left = now
    })
    .catch(() => undefined)
    .finally(() => {
      leaving = undefined
    })
  return leaving
}
setInterval(leave, 250)

process.on('SIGTERM', async () => {
  const since = performance.now()
  server.close()
  server.closeAllConnections()
  await leave()
  note('stop', { took: Math.round(performance.now() - since) })
  process.exit(0)
})
