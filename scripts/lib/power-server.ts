/** Lets fence agents reach the power supplies: one JSON line in, one out, over a unix socket that only its owner may open. */
import { chmodSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import type { Power } from './power.js'

export interface PowerServer {
  close(): Promise<void>
}

export function servePower(
  path: string,
  supplies: ReadonlyMap<string, Power>,
  onAction: (node: string, action: string) => void = () => undefined,
): Promise<PowerServer> {
  rmSync(path, { force: true })
  const server: Server = createServer((socket) => {
    let text = ''
    socket.setEncoding('utf8')
    socket.on('error', () => undefined)
    socket.on('data', (chunk: string) => {
      text += chunk
      const end = text.indexOf('\n')
      if (end < 0) {
        if (text.length > 4_096) socket.destroy()
        return
      }
      const line = text.slice(0, end)
      text = ''
      void answer(line).then((reply) => socket.end(`${JSON.stringify(reply)}\n`))
    })
  })
  const answer = async (line: string): Promise<Record<string, unknown>> => {
    try {
      const { node, action } = JSON.parse(line) as { node: string; action: string }
      const supply = supplies.get(node)
      if (supply === undefined) return { ok: false, detail: `there is no outlet for "${node}"` }
      if (action !== 'status') onAction(node, action)
      if (action === 'off') await supply.off()
      else if (action === 'on') await supply.on()
      else if (action === 'reboot') await supply.on()
      else if (action !== 'status') return { ok: false, detail: `unknown action "${action}"` }
      return { ok: true, on: supply.isOn() }
    } catch (error) {
      return { ok: false, detail: (error as Error).message }
    }
  }
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      chmodSync(path, 0o600)
      resolve({ close: () => new Promise((done) => server.close(() => done())) })
    })
  })
}
