#!/usr/bin/env node
/**
 * A service that goes on exactly where it stopped, wherever its group runs next: it counts, and says over HTTP how far it is.
 *
 *     counter.mjs <port> <state file>
 *
 * Its state is one file, replaced as a whole with each step, so that a copy that begins with it never finds half of one. With
 * `files: [<state file>]` in its resource the file goes with the group. With GET /stop it answers how far it came and counts no more.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'

const [port, path] = process.argv.slice(2)
let state = { count: 0, starts: 0 }
try {
  state = JSON.parse(readFileSync(path, 'utf8'))
} catch (error) {
  if (error.code !== 'ENOENT') throw error // A file that cannot be read is no reason to begin anew.
}
state.starts++
save()

function save() {
  writeFileSync(`${path}.new`, JSON.stringify(state), { mode: 0o640 })
  renameSync(`${path}.new`, path)
}

const counting = setInterval(() => {
  state.count++
  save()
}, 100)

const server = createServer((request, response) => {
  if (request.url === '/stop') clearInterval(counting)
  response.end(JSON.stringify(state))
})
server.listen(Number(port), '127.0.0.1')

process.on('SIGTERM', () => {
  clearInterval(counting)
  server.close()
  process.exit(0)
})
