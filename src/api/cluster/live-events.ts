/**
 * Streams that have all that the journal has. What comes next is made into bytes once and written to each of them, without a wait, a
 * timer or a search of its own. One that cannot take it leaves, and goes on by itself from where it stands.
 */
import type { ServerResponse } from 'node:http'
import { ClusterError } from '../../base/index.js'
import type { EventRow } from '../../core/cluster/index.js'
import type { QuorateNode } from '../../node/index.js'
import { lineOf, type Position } from './event-text.js'

/** Streams at once. */
const followersMax = 2_000
/** Streams that are written to before others of this process have their turn. */
const sliceMax = 250
/** A stream of server-sent events shows after so many milliseconds that it lives. */
const keepAlive = 15_000
const keepAliveLook = 1_000

export interface Live {
  readonly response: ServerResponse
  readonly sse: boolean
  readonly signal: AbortSignal
}

/** Why a stream has left: it has to drain first; what it lacks is not told here; it is over. */
export type Left = 'full' | 'behind' | 'over'

interface Follower extends Live {
  position: Position
  /** Events that were told before it came. */
  readonly before: number
  writtenAt: number
  readonly leave: (why: Left) => void
}

/** A text, and the same as a chunk of HTTP/1.1 (RFC 9112 §7.1). */
interface Written {
  readonly text: Buffer
  readonly chunk: Buffer
}

export class LiveEvents {
  private readonly followers = new Set<Follower>()
  /** Not yet written to anybody. */
  private pending: EventRow[] = []
  /** Events that were told, the pending ones among them. */
  private told = 0
  private isWriting = false
  private keeping: NodeJS.Timeout | undefined
  private appliedIndex = (): number => 0

  attach(node: QuorateNode): void {
    this.appliedIndex = () => node.state.appliedIndex
    this.leaveAll('behind')
    node.onApplied(({ events, replaced }) => {
      // The state has become that of a snapshot: nobody told its events one by one.
      if (replaced === true) this.leaveAll('behind')
      if (events.length === 0) return
      this.told += events.length
      if (this.followers.size === 0 && !this.isWriting) return
      for (const event of events) this.pending.push(event)
      if (this.isWriting) return
      this.isWriting = true
      setImmediate(() => void this.writeAll())
    })
  }

  get streams(): number {
    return this.followers.size
  }

  /** Errors: OVERLOADED. */
  checkRoom(): void {
    if (this.followers.size < followersMax) return
    throw new ClusterError('OVERLOADED', `${followersMax} streams of events are open already`, {
      fix: 'close some, or follow another node',
    })
  }

  /** For a stream that lacks nothing that is applied now. Resolves when it has left, with the event that it needs next. Errors: OVERLOADED. */
  follow(live: Live, position: Position): Promise<{ readonly why: Left; readonly position: Position }> {
    this.checkRoom()
    const { response, sse, signal } = live
    return new Promise((resolve) => {
      const leave = (why: Left): void => {
        if (!this.followers.delete(follower)) return
        signal.removeEventListener('abort', onAbort)
        if (this.followers.size === 0) clearInterval(this.keeping)
        resolve({ why, position: follower.position })
      }
      const onAbort = (): void => leave('over')
      const follower: Follower = { response, sse, signal, position, before: this.told, writtenAt: performance.now(), leave }
      if (this.followers.size === 0) this.keeping = setInterval(() => this.keepAlive(), keepAliveLook).unref()
      this.followers.add(follower)
      signal.addEventListener('abort', onAbort)
      if (signal.aborted) onAbort()
    })
  }

  private leaveAll(why: Left): void {
    this.pending = []
    for (const follower of [...this.followers]) follower.leave(why)
  }

  private async writeAll(): Promise<void> {
    try {
      while (this.pending.length > 0) {
        const rows = this.pending
        this.pending = []
        await this.writeRows(rows, this.told - rows.length)
      }
    } catch {
      this.leaveAll('behind') // Each meets the mistake by itself, and is ended by it.
    } finally {
      this.isWriting = false
    }
  }

  /** `first`: how many were told before these. */
  private async writeRows(rows: readonly EventRow[], first: number): Promise<void> {
    const made = new Map<boolean, Written>()
    const last = rows.at(-1) as EventRow
    let written = 0
    for (const follower of [...this.followers]) {
      if (!this.followers.has(follower) || follower.before >= first + rows.length) continue
      if (written++ % sliceMax === sliceMax - 1) await new Promise((resolve) => setImmediate(resolve))
      if (!this.followers.has(follower)) continue
      let shown = follower.before > first ? writtenOf(rows.slice(follower.before - first), follower.sse) : made.get(follower.sse)
      if (shown === undefined) {
        shown = writtenOf(rows, follower.sse)
        made.set(follower.sse, shown)
      }
      this.write(follower, shown, { revision: last.revision, number: last.number + 1 })
    }
  }

  /** `after`: where the stream stands with it. */
  private write(follower: Follower, { text, chunk }: Written, after = follower.position): void {
    const { response } = follower
    const { socket } = response
    if (response.destroyed) return follower.leave('over')
    follower.writtenAt = performance.now()
    follower.position = after
    // What Node would make of the text, made once for all. A response that waits for another one on its connection has no socket yet.
    const isTaken = socket !== null && response.chunkedEncoding && response.headersSent ? socket.write(chunk) : response.write(text)
    if (!isTaken) follower.leave('full')
  }

  private keepAlive(): void {
    const due = performance.now() - keepAlive
    for (const follower of [...this.followers])
      if (follower.sse && follower.writtenAt <= due) this.write(follower, writtenText(`: ${this.appliedIndex()}\n\n`))
  }
}

function writtenOf(rows: readonly EventRow[], sse: boolean): Written {
  return writtenText(rows.map((row) => lineOf(row, sse)).join(''))
}

function writtenText(shown: string): Written {
  const text = Buffer.from(shown)
  return { text, chunk: Buffer.concat([Buffer.from(`${text.length.toString(16)}\r\n`), text, Buffer.from('\r\n')]) }
}
