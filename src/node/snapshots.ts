/**
 * Snapshots between Raft and the store: reads them out chunk by chunk, takes them in, and puts the state of one in the
 * place of the present one. Decides nothing; what was done comes back as an event.
 *
 * The store's promises are taken by `then`: in the simulator they settle in virtual time.
 */
import type { MemberId } from '../base/index.js'
import { ClusterState } from '../core/cluster/index.js'
import type { RaftEffect, RaftEvent, SnapshotMeta } from '../core/raft/index.js'
import type { SnapshotReader, SnapshotWriter, Store } from '../io/store/index.js'

export type SnapshotEffect = Extract<
  RaftEffect,
  { kind: 'snapshot-read' | 'snapshot-close' | 'snapshot-write' | 'snapshot-install' | 'snapshot-abandon' }
>

interface Outgoing {
  reader: SnapshotReader | undefined
  sequence: number
}

interface Incoming {
  readonly source: string
  /** What the rows that came add up to; nobody reads it before it is installed. */
  readonly state: ClusterState
  writer: SnapshotWriter | undefined
  /** Chunks that wait to be written, in order. */
  readonly waiting: { readonly sequence: number; readonly data: Uint8Array }[]
  isWriting: boolean
}

export class Snapshots {
  private readonly store: Store
  private readonly state: ClusterState
  private readonly post: (event: RaftEvent) => void
  private readonly installed: (meta: SnapshotMeta) => void
  private readonly log: (text: string) => void
  private readonly outgoing = new Map<string, Outgoing>()
  private incoming: Incoming | undefined

  /** `installed` is called when `state` has become that of the snapshot. */
  constructor(
    store: Store,
    state: ClusterState,
    doors: {
      readonly post: (event: RaftEvent) => void
      readonly installed: (meta: SnapshotMeta) => void
      readonly log: (text: string) => void
    },
  ) {
    this.store = store
    this.state = state
    this.post = doors.post
    this.installed = doors.installed
    this.log = doors.log
  }

  perform(effect: SnapshotEffect): void {
    switch (effect.kind) {
      case 'snapshot-read':
        return this.read(effect.to, effect.transfer)
      case 'snapshot-close':
        return this.close(keyOf(effect.to, effect.transfer))
      case 'snapshot-write':
        return this.receive(effect)
      case 'snapshot-install':
        return this.install(effect)
      case 'snapshot-abandon':
        if (this.incoming?.source === effect.source) this.drop()
        return
    }
  }

  // Out.

  private read(to: MemberId, transfer: number): void {
    const key = keyOf(to, transfer)
    const known = this.outgoing.get(key)
    if (known?.reader !== undefined) return this.readNext(to, transfer, known, known.reader)
    const outgoing: Outgoing = { reader: undefined, sequence: 0 }
    this.outgoing.set(key, outgoing)
    this.store.openSnapshot().then(
      (reader) => {
        if (this.outgoing.get(key) !== outgoing) return this.let(reader.close())
        this.log(`sends ${to} a snapshot of index ${reader.meta.index}`)
        outgoing.reader = reader
        this.readNext(to, transfer, outgoing, reader)
      },
      (error) => this.unreadable(to, transfer, error),
    )
  }

  private readNext(to: MemberId, transfer: number, outgoing: Outgoing, reader: SnapshotReader): void {
    reader.next().then(
      ({ data, last }) => {
        if (this.outgoing.get(keyOf(to, transfer)) !== outgoing) return
        this.post({ kind: 'snapshot-chunk', to, transfer, sequence: outgoing.sequence++, meta: reader.meta, data, last })
      },
      (error) => this.unreadable(to, transfer, error),
    )
  }

  private unreadable(to: MemberId, transfer: number, error: unknown): void {
    this.log(`a snapshot for ${to} could not be read: ${String(error)}`)
    this.post({ kind: 'snapshot-unreadable', to, transfer })
  }

  private close(key: string): void {
    const reader = this.outgoing.get(key)?.reader
    this.outgoing.delete(key)
    if (reader !== undefined) this.let(reader.close())
  }

  // In.

  private receive({ source, sequence, meta, data }: Extract<SnapshotEffect, { kind: 'snapshot-write' }>): void {
    if (sequence === 0) {
      this.drop()
      const incoming: Incoming = { source, state: ClusterState.empty(), writer: undefined, waiting: [], isWriting: false }
      this.incoming = incoming
      this.log(`takes a snapshot of index ${meta.index}`)
      this.store.receiveSnapshot(meta).then(
        (writer) => {
          if (this.incoming !== incoming) return this.let(writer.abandon())
          incoming.writer = writer
          this.writeNext(incoming)
        },
        (error) => this.broken(incoming, error),
      )
    }
    const { incoming } = this
    if (incoming?.source !== source) return
    incoming.waiting.push({ sequence, data })
    this.writeNext(incoming)
  }

  private writeNext(incoming: Incoming): void {
    const { writer, waiting } = incoming
    const next = waiting[0]
    if (writer === undefined || next === undefined || incoming.isWriting) return
    incoming.isWriting = true
    writer.write(next.data).then(
      (rows) => {
        if (this.incoming !== incoming) return
        incoming.isWriting = false
        waiting.shift()
        incoming.state.load(rows)
        this.post({ kind: 'snapshot-written', source: incoming.source, sequence: next.sequence })
        this.writeNext(incoming)
      },
      (error) => this.broken(incoming, error),
    )
  }

  /** What does not hold together is never acknowledged: the sender gives the transfer up and begins anew. */
  private broken(incoming: Incoming, error: unknown): void {
    this.log(`the snapshot that comes in is of no use: ${String(error)}`)
    if (this.incoming === incoming) this.drop()
  }

  private drop(): void {
    const writer = this.incoming?.writer
    this.incoming = undefined
    if (writer !== undefined) this.let(writer.abandon())
  }

  private install({ source, meta, keepTail }: Extract<SnapshotEffect, { kind: 'snapshot-install' }>): void {
    const { incoming } = this
    if (incoming?.source !== source || incoming.writer === undefined) return
    incoming.writer.install(keepTail).then(
      () => {
        this.incoming = undefined
        incoming.state.appliedIndex = meta.index
        this.state.replace(incoming.state)
        this.log(`has the state of index ${meta.index}`)
        this.installed(meta)
        this.post({ kind: 'snapshot-installed', source })
      },
      () => undefined, // A failure of the store, which ends the process.
    )
  }

  /** What comes of tidying up is nobody's concern; a failure of the store is told by the store. */
  private let(done: Promise<unknown>): void {
    done.then(
      () => undefined,
      () => undefined,
    )
  }
}

const keyOf = (to: MemberId, transfer: number): string => `${to}/${transfer}`
