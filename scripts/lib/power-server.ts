/**
 * Lets fence agents reach the power supplies, and chaos scripts break nodes: one JSON line in, one out, over a unix socket
 * that only its owner may open. `{"node", "action"}` is answered with `{"ok", "on"}` or `{"ok": false, "detail"}`.
 */
import { chmodSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { type Cable, type Direction, directions } from './cable.js'
import type { Power } from './power.js'

export interface PowerServer {
  close(): Promise<void>
}

export function servePower(
  path: string,
  supplies: ReadonlyMap<string, Power>,
  onAction: (node: string, action: string) => void = () => undefined,
  cable?: Cable,
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
      const { node, action, direction = 'both' } = JSON.parse(line) as { node: string; action: string; direction?: Direction }
      const supply = supplies.get(node)
      if (supply === undefined) return { ok: false, detail: `there is no node "${node}", only ${[...supplies.keys()].join(', ')}` }
      if (action !== 'status' && action !== 'pids') onAction(node, action)
      const answered = await perform(supply, node, action, direction)
      return { ok: true, on: supply.isOn(), ...answered }
    } catch (error) {
      return { ok: false, detail: (error as Error).message }
    }
  }
  const perform = async (
    supply: Power,
    node: string,
    action: string,
    direction: Direction,
  ): Promise<Record<string, unknown> | undefined> => {
    switch (action) {
      case 'status':
        return undefined
      case 'off':
        await supply.off()
        return undefined
      case 'on':
      case 'reboot':
        await supply.on()
        return undefined
      case 'pids':
        return { pids: supply.pids() }
      case 'kill':
        return { pids: supply.crash() }
      case 'pause':
        return { pids: supply.pause() }
      case 'resume':
        return { pids: supply.resume() }
      case 'cut':
      case 'heal':
        if (cable === undefined) throw new Error('nothing lies between these nodes that could be cut')
        if (!directions.includes(direction)) throw new Error(`the direction is one of ${directions.join(', ')}`)
        await (action === 'cut' ? cable.cut(node, direction) : cable.heal(node))
        return undefined
      default:
        throw new Error(`unknown action "${action}"`)
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
