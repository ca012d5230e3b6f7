#!/usr/bin/env node
/**
 * The demo's web service: shows which node serves it, and counts visits.
 *
 * An ordinary program. It knows Quorate only by the environment that every service gets: the count comes from the
 * checkpoint that its last holder left, and is left for the next one under the token of its own grant. It also writes a
 * journal of its own (start, beat, stop), outside the cluster's control: whoever doubts that only one copy ever ran can
 * look there.
 */
import { appendFileSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'

const { QUORATE_NODE: node, QUORATE_GROUP: group, QUORATE_GRANT_TOKEN: token, QUORATE_CHECKPOINT_DIR: checkpoints } = process.env
/** `n1=http://…,n2=http://…`: the API of the own node is asked, the others' where it does not answer. */
const [host, port, apis, journal] = process.argv.slice(2)
const urls = new Map(apis.split(',').map((entry) => entry.split('=')))
const api = urls.get(node) ?? [...urls.values()][0]

let visits = 0
try {
  visits = Number(readFileSync(`${checkpoints}/visits`, 'utf8')) || 0
} catch {
  // The first start of all: nobody has left a count.
}
let left = visits
const note = (what, more = {}) =>
  appendFileSync(journal, `${JSON.stringify({ at: Date.now(), node, token: Number(token), pid: process.pid, what, ...more })}\n`)

const server = createServer((request, response) => {
  if (request.url === '/health') return void response.end('ok\n')
  visits++
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.end(`Served by ${node}, visit ${visits}, grant ${token}.\n`)
})
server.listen(Number(port), host, () => note('start', { took: Math.round(performance.now()) }))
server.on('error', (error) => {
  note(`error ${error.code}`)
  process.exit(1)
})

setInterval(() => note('beat'), 50)

/** Leaves the count where the next holder finds it. */
let leaving
function leave() {
  if (visits === left || leaving !== undefined) return leaving
  const count = visits
  leaving = fetch(`${api}/v1/groups/${group}/checkpoints/visits`, {
    method: 'PUT',
    headers: { 'quorate-grant-token': String(token), 'content-type': 'text/plain' },
    body: String(count),
    signal: AbortSignal.timeout(3_000),
  })
    .then((answer) => {
      if (answer.ok) left = count
    })
    .catch(() => undefined)
    .finally(() => {
      leaving = undefined
    })
  return leaving
}
setInterval(leave, 200)

process.on('SIGTERM', async () => {
  const since = performance.now()
  server.close()
  server.closeAllConnections()
  await leave()
  note('stop', { took: Math.round(performance.now() - since) })
  process.exit(0)
})
