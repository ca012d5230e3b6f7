#!/usr/bin/env node
/**
 * A service whose spare copy is warm: it has done everything that takes long, and serves nobody until it is promoted.
 *
 *     warm.mjs serve <folder> <port>     the copy: what `run` keeps
 *     warm.mjs promote|demote|role <folder>
 *
 * The second form asks the copy of this node through a socket in the folder. `role` ends as `probeRole` is to: 8 for the primary, 0
 * for a spare copy, 7 where none runs. The role is in the copy's memory only: one that was killed is no primary any more.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { createServer, request } from 'node:http'

const [what, folder, port] = process.argv.slice(2)
const path = `${folder}/${process.env.QUORATE_NODE}.sock`

if (what === 'serve') serve()
else process.exitCode = await ask()

function serve() {
  const began = Date.now()
  const service = createServer((_, response) => response.end(`Served by ${process.env.QUORATE_NODE}, warm since ${began}.\n`))
  const roles = {
    '/promote': (done) => (service.listening ? done() : service.listen(Number(port), done)),
    '/demote': (done) => {
      if (!service.listening) return done()
      service.close(done)
      service.closeAllConnections()
    },
    '/role': (done) => done(),
  }
  mkdirSync(folder, { recursive: true })
  rmSync(path, { force: true })
  createServer((asked, response) => {
    const act = roles[asked.url]
    if (act === undefined) response.writeHead(404).end()
    else act(() => response.end(service.listening ? 'primary' : 'spare'))
  }).listen(path)
  process.on('SIGTERM', () => process.exit(0))
}

/** The exit status. A copy that was just started may not listen yet. */
async function ask() {
  for (let tries = what === 'promote' ? 50 : 1; tries > 0; tries--) {
    const role = await answer()
    if (role !== undefined) return what === 'role' && role === 'primary' ? 8 : 0
    if (tries > 1) await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return { role: 7, demote: 0 }[what] ?? 1
}

/** Undefined where no copy runs. */
function answer() {
  return new Promise((resolve, reject) => {
    const asking = request({ socketPath: path, path: `/${what}` }, (response) => {
      let text = ''
      response.on('data', (part) => {
        text += part
      })
      response.on('end', () => resolve(text))
    })
    asking.on('error', (error) => (['ENOENT', 'ECONNREFUSED'].includes(error.code) ? resolve(undefined) : reject(error)))
    asking.end()
  })
}
