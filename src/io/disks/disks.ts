/**
 * Sessions with shared disks, one for each, kept by a small program beside this process (`agents/disks/quorate-disk`).
 *
 * The program outlives this process: with an iSCSI session its registration would go, and a restarted daemon finds it there.
 * It holds the one clock by which a request is too long: it ends itself, and the closed connection tells. This side waits a
 * moment longer, for the case that the program itself stands still, and then kills it.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import type { DiskName } from '../../base/index.js'
import type { DiskAnswer, DiskOrder, DiskPlace } from '../../core/disks/index.js'
import { diskProgram } from './program.js'

export interface OpenDisk {
  readonly name: DiskName
  readonly place: DiskPlace
}

export interface DisksListener {
  onAnswer(answer: DiskAnswer): void
  /** One line for the node's log. */
  onTrouble(text: string): void
}

export interface Disks {
  /** These are to be kept open, and no others: a session with one that is left out ends. */
  want(disks: readonly OpenDisk[]): void
  /** Answered once, also where the disk is not wanted or cannot be reached. One order at a time for each disk. */
  send(order: DiskOrder): void
  /** Leaves the sessions as they are, for whoever comes next. */
  close(): void
}

export interface DisksOptions {
  /** Where the sockets of the programs are, a folder of this user alone. */
  readonly folder: string
  /** By which an iSCSI target knows this node. */
  readonly initiator: string
}

/** Beyond the time that a request may take: the program ends itself first. Milliseconds. */
const graceAfter = 1_000
/** A program is started again no sooner, in milliseconds. */
const startPause = 500
const lineMax = 4 * 1_048_576

export function openDisks(options: DisksOptions, listener: DisksListener): Disks {
  const links = new Map<DiskName, DiskLink>()
  return {
    want: (disks) => {
      for (const [name, link] of links) {
        const wanted = disks.find((disk) => disk.name === name)
        if (wanted !== undefined && isSamePlace(wanted.place, link.place)) continue
        links.delete(name)
        link.end()
      }
      for (const { name, place } of disks) if (!links.has(name)) links.set(name, new DiskLink(name, place, options, listener))
    },
    send: (order) => {
      const link = links.get(order.disk)
      if (link !== undefined) link.send(order)
      else listener.onAnswer(failed(order, 'the disk is not open here', ''))
    },
    close: () => {
      for (const link of links.values()) link.close()
      links.clear()
    },
  }
}

function isSamePlace(a: DiskPlace, b: DiskPlace): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

function failed({ disk, id }: DiskOrder, detail: string, session: string): DiskAnswer {
  return { disk, id, status: 'failed', detail, session }
}

interface Waiting {
  readonly order: DiskOrder
  readonly since: number
  readonly timer: NodeJS.Timeout
}

class DiskLink {
  readonly place: DiskPlace
  private readonly name: DiskName
  private readonly options: DisksOptions
  private readonly listener: DisksListener
  private readonly path: string
  private socket: Socket | undefined
  private text = ''
  /** Of the program, as it said itself; undefined while there is no connection. */
  private pid: number | undefined
  private waiting: Waiting | undefined
  private startedAt = Number.NEGATIVE_INFINITY
  private isOver = false

  constructor(name: DiskName, place: DiskPlace, options: DisksOptions, listener: DisksListener) {
    this.name = name
    this.place = place
    this.options = options
    this.listener = listener
    // Of what it leads to: another place is another program.
    const mark = createHash('sha256')
      .update(JSON.stringify([place, options.initiator]))
      .digest('hex')
      .slice(0, 12)
    this.path = join(options.folder, `disk-${mark}`)
    this.connect()
  }

  send(order: DiskOrder): void {
    if (this.waiting !== undefined) return this.listener.onAnswer(failed(order, 'another request is under way', this.session(0)))
    const timer = setTimeout(() => this.late(), order.timeout + graceAfter)
    this.waiting = { order, since: performance.now(), timer }
    if (this.pid !== undefined) this.write(this.waiting)
  }

  /** Written as soon as the program is there, with what is left of its time then. */
  private write({ order: { id, request, timeout }, since }: Waiting): void {
    const left = Math.round(timeout - (performance.now() - since))
    if (left > 0) this.socket?.write(`${JSON.stringify({ id, ...request, timeout: left })}\n`)
  }

  private session(number: number): string {
    return this.pid === undefined ? '' : `${this.pid}/${number}`
  }

  private connect(): void {
    if (this.isOver) return
    const socket = connect({ path: this.path })
    this.socket = socket
    socket.setEncoding('utf8')
    socket.on('data', (text: string) => this.read(text))
    socket.on('error', () => undefined)
    socket.once('close', () => this.lost(socket))
  }

  private read(text: string): void {
    this.text += text
    const lines = this.text.split('\n')
    this.text = lines.pop() ?? ''
    if (this.text.length > lineMax) return void this.socket?.destroy()
    for (const line of lines) this.take(line)
  }

  private take(line: string): void {
    let said: Record<string, unknown>
    try {
      said = JSON.parse(line) as Record<string, unknown>
    } catch {
      this.socket?.destroy()
      return
    }
    if (typeof said.hello === 'number') {
      this.pid = said.hello
      if (this.waiting !== undefined) this.write(this.waiting)
      return
    }
    const { id, session, status = 'error', detail = '', ...found } = said
    if (this.waiting?.order.id !== id) return
    const answer = { ...found, disk: this.name, id, status, detail, session: this.session(Number(session)) } as unknown as DiskAnswer
    this.settle(answer)
  }

  private settle(answer: DiskAnswer): void {
    clearTimeout(this.waiting?.timer)
    this.waiting = undefined
    this.listener.onAnswer(answer)
  }

  /** The program has not ended itself: it stands still. */
  private late(): void {
    const { pid, waiting } = this
    if (pid !== undefined) kill(pid)
    this.socket?.destroy()
    if (waiting !== undefined) this.settle(failed(waiting.order, `no answer within ${waiting.order.timeout} ms`, ''))
  }

  private lost(socket: Socket): void {
    if (this.socket !== socket) return
    const { waiting, pid } = this
    this.pid = undefined
    this.text = ''
    if (pid !== undefined && waiting !== undefined)
      this.settle(failed(waiting.order, `the session ended: no answer within ${waiting.order.timeout} ms`, ''))
    if (this.isOver) return
    if (Date.now() - this.startedAt >= startPause) this.start()
    setTimeout(() => this.connect(), 30).unref()
  }

  private start(): void {
    this.startedAt = Date.now()
    const { place, options } = this
    const words =
      place.kind === 'device'
        ? ['--device', place.path]
        : ['--iscsi', place.url, '--initiator', options.initiator, ...(place.user === undefined ? [] : ['--user', place.user])]
    const environment = {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      LC_ALL: 'C',
      // What marks the processes of this node, so that it ends with them.
      ...Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith('QUORATE_') && name !== 'QUORATE_ROLE')),
      ...(place.kind === 'iscsi' && place.password !== undefined ? { QUORATE_DISK_PASSWORD: place.password } : {}),
    }
    const child = spawn(diskProgram, ['--socket', this.path, '--timeout', '10000', ...words], {
      detached: true,
      stdio: 'ignore',
      cwd: '/',
      env: environment,
    })
    child.once('error', (error) => this.listener.onTrouble(`${diskProgram} cannot be run: ${error.message}`))
    child.unref()
  }

  /** The session ends with it. */
  end(): void {
    this.isOver = true
    if (this.pid !== undefined) this.socket?.end(`${JSON.stringify({ do: 'quit' })}\n`)
    else this.socket?.destroy()
    this.drop('the disk is not open here any more')
  }

  close(): void {
    this.isOver = true
    this.socket?.destroy()
    clearTimeout(this.waiting?.timer)
    this.waiting = undefined
  }

  private drop(detail: string): void {
    const { waiting } = this
    if (waiting !== undefined) this.settle(failed(waiting.order, detail, ''))
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It is gone.
  }
}
