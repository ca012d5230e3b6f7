/** A real iSCSI target on loopback (tgt), and a cable to it that can be slow, hold everything back, or be cut. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { waitFor } from './http.js'
import { freePort } from './lab.js'

export const targetName = 'iqn.2026-01.test.quorate:target'
const lunBytes = 16 * 1_048_576
const patience = 20_000

export interface Target {
  readonly port: number
  /** The LUN by its number, from 1 on. */
  url(lun: number): string
  close(): Promise<void>
}

/** tgtd changes its process id; it is spoken to, and ended, by tgtadm alone. */
export async function startTarget(luns: number): Promise<Target> {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-lun-'))
  const port = await freePort(['127.0.0.1'], 13_260)
  // Its own socket among those of other instances.
  const control = String(port)
  const admin = (...words: string[]) => spawnSync('tgtadm', ['-C', control, ...words], { encoding: 'utf8' })
  spawn('tgtd', ['-f', '-C', control, '--iscsi', `portal=127.0.0.1:${port}`], { stdio: 'ignore', detached: true }).unref()
  const must = (...words: string[]): void => {
    const { status, stderr } = admin(...words)
    if (status !== 0) throw new Error(`tgtadm ${words.join(' ')}: ${stderr}`)
  }
  const lld = ['--lld', 'iscsi']
  await waitFor('tgtd to answer', patience, async () => admin(...lld, '--mode', 'target', '--op', 'show').status === 0)
  must(...lld, '--mode', 'target', '--op', 'new', '--tid', '1', '--targetname', targetName)
  for (let lun = 1; lun <= luns; lun++) {
    const path = join(folder, `lun${lun}`)
    writeFileSync(path, '')
    truncateSync(path, lunBytes)
    must(...lld, '--mode', 'logicalunit', '--op', 'new', '--tid', '1', '--lun', String(lun), '--backing-store', path)
  }
  must(...lld, '--mode', 'target', '--op', 'bind', '--tid', '1', '--initiator-address', 'ALL')
  return {
    port,
    url: (lun) => `iscsi://127.0.0.1:${port}/${targetName}/${lun}`,
    close: async () => {
      admin(...lld, '--mode', 'target', '--op', 'delete', '--force', '--tid', '1')
      admin('--mode', 'system', '--op', 'delete')
      await waitFor('tgtd to end', patience, async () => admin('--mode', 'system', '--op', 'show').status !== 0)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export type CableMood = 'whole' | 'holds' | 'cut'

/** What lies between initiators and a target: `holds` lets nothing through and says nothing, `cut` refuses and ends what is there. */
export class TargetCable {
  readonly port: number
  /** Milliseconds by which what the target says comes late. */
  delay = 0
  private mood: CableMood = 'whole'
  private readonly server: Server
  private readonly pairs = new Set<readonly [Socket, Socket]>()

  private constructor(server: Server, port: number) {
    this.server = server
    this.port = port
  }

  static async open(target: Target): Promise<TargetCable> {
    const server = createServer()
    const port = await freePort(['127.0.0.1'], target.port + 1)
    const cable = new TargetCable(server, port)
    server.on('connection', (near) => cable.join(near, target.port))
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', () => resolve()))
    return cable
  }

  url(lun: number): string {
    return `iscsi://127.0.0.1:${this.port}/${targetName}/${lun}`
  }

  set(mood: CableMood): void {
    this.mood = mood
    for (const pair of this.pairs)
      for (const socket of pair) {
        if (mood === 'cut') socket.destroy()
        else if (mood === 'holds') socket.pause()
        else socket.resume()
      }
  }

  private join(near: Socket, to: number): void {
    if (this.mood === 'cut') return void near.destroy()
    const far = connect(to, '127.0.0.1')
    const pair = [near, far] as const
    this.pairs.add(pair)
    near.on('data', (bytes) => far.write(bytes))
    far.on('data', (bytes) => {
      if (this.delay === 0) near.write(bytes)
      else setTimeout(() => near.destroyed || near.write(bytes), this.delay)
    })
    for (const [one, other] of [pair, [far, near]] as const) {
      one.on('error', () => undefined)
      one.once('close', () => {
        this.pairs.delete(pair)
        other.destroy()
      })
    }
    if (this.mood === 'holds') for (const socket of pair) socket.pause()
  }

  async close(): Promise<void> {
    this.set('cut')
    await new Promise<void>((resolve) => this.server.close(() => resolve()))
  }
}
