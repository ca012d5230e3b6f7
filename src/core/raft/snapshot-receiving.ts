/**
 * A snapshot that comes in: its chunks are written in order beside the present state; once it is whole it takes the place of state and
 * log (Raft §7).
 */
import { type LogIndex, logIndex, type MemberId, term } from '../../base/index.js'
import type { MemberState } from './member-state.js'
import type { Outbox } from './outbox.js'
import type { RaftMessage, SnapshotMeta } from './types.js'

interface Incoming {
  /** Tells it from every other one: sender, term and transfer. */
  readonly source: string
  readonly from: MemberId
  readonly transfer: number
  readonly meta: SnapshotMeta
  next: number
  written: number
  last: number | undefined
}

interface Installation {
  readonly source: string
  readonly meta: SnapshotMeta
  readonly keepTail: boolean
}

export class SnapshotReceiving {
  private readonly state: MemberState
  private readonly outbox: Outbox
  private incoming: Incoming | undefined
  private installing: Installation | undefined

  constructor(state: MemberState, outbox: Outbox) {
    this.state = state
    this.outbox = outbox
  }

  /** State and log are being replaced: nothing is appended, applied or compacted meanwhile. */
  get isInstalling(): boolean {
    return this.installing !== undefined
  }

  onSnapshot(from: MemberId, message: Extract<RaftMessage, { kind: 'snapshot' }>): void {
    if (this.installing !== undefined) return
    const { meta, transfer, sequence } = message
    // One that stands for nothing new is never taken: the applied state does not go back (R52).
    if (meta.index <= this.state.commitIndex) return this.acknowledgeLog(from)
    const source = `${from}/${message.term}/${transfer}`
    if (this.incoming?.source !== source) {
      if (sequence !== 0) return this.answerChunk(from, transfer, 0, true)
      this.incoming = { source, from, transfer, meta, next: 0, written: 0, last: undefined }
    }
    const { incoming } = this
    // Chunks are taken in order; another one says only where this member stands.
    if (sequence !== incoming.next) return this.answerChunk(from, transfer, incoming.written, false)
    incoming.next++
    if (message.last) incoming.last = sequence
    this.outbox.push({ kind: 'snapshot-write', source, sequence, meta, data: message.data, last: message.last })
  }

  /** What is committed here matches every leader; told as far as the own disk holds it. */
  private acknowledgeLog(to: MemberId): void {
    const { commitIndex, persistence, term: present } = this.state
    persistence.sendDurable(to, {
      kind: 'append-response',
      term: present,
      success: true,
      index: Math.min(commitIndex, persistence.durableIndex) as LogIndex,
      hintIndex: logIndex(0),
      hintTerm: term(0),
    })
  }

  private answerChunk(to: MemberId, transfer: number, next: number, lost: boolean): void {
    this.state.persistence.sendInTerm(to, { kind: 'snapshot-response', term: this.state.term, transfer, next, lost })
  }

  chunkWritten(source: string, sequence: number): void {
    const { incoming } = this
    if (incoming?.source !== source) return
    incoming.written = sequence + 1
    this.answerChunk(incoming.from, incoming.transfer, incoming.written, false)
  }

  /** A snapshot that is whole takes the place of the state, once no write to the log is under way. */
  continueInstall(): void {
    const { incoming, state } = this
    if (incoming === undefined || this.installing !== undefined) return
    const { source, meta } = incoming
    if (meta.index <= state.commitIndex) {
      this.incoming = undefined
      this.outbox.push({ kind: 'snapshot-abandon', source })
      return
    }
    if (incoming.last === undefined || incoming.written <= incoming.last || !state.persistence.isIdle) return
    this.incoming = undefined
    // A log that holds the snapshot's last entry agrees with it, and what follows may be committed elsewhere (R55).
    this.installing = { source, meta, keepTail: state.log.termAt(meta.index) === meta.term }
    this.outbox.push({ kind: 'snapshot-install', ...this.installing })
  }

  /** Whether another configuration came with it. */
  installed(source: string): boolean {
    const { installing, state } = this
    if (installing?.source !== source) return false
    this.installing = undefined
    state.install(installing.meta, installing.keepTail)
    if (!installing.keepTail) state.tellConfiguration()
    if (state.leader !== undefined && state.leader !== state.self) this.acknowledgeLog(state.leader)
    return !installing.keepTail
  }
}
