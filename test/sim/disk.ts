/**
 * A member's disk: survives its processes, and of what was not synced loses some when the power goes.
 *
 * The store over it does as the contract of `io/store` says: one synced batch in flight, what arrives meanwhile is the
 * next; the applied state is written in order and not synced.
 */
import { invariant, type LogIndex, logIndex, term } from '../../src/base/index.js'
import type { HardState, LogEntry } from '../../src/core/raft/index.js'
import type { Identity, Restored, RowChange, Store, StoreListener } from '../../src/io/store/index.js'
import type { Process } from './process.js'
import type { Random } from './random.js'

type Record = Parameters<Store['append']>[0]

interface AppliedBatch {
  readonly index: LogIndex
  readonly changes: readonly RowChange[]
}

/** Batches of the applied state that may be lost with the power. */
const unsyncedMax = 64

export class Disk {
  identity: Identity | undefined
  hardState: HardState = { term: term(0), votedFor: null }
  entries: LogEntry[] = []
  /** Milliseconds that a sync takes; a fault makes it slow. */
  syncMin = 0.2
  syncMax = 2
  private readonly rows = new Map<string, { readonly table: string; readonly key: string; readonly value: unknown }>()
  private rowsIndex = logIndex(0)
  private unsynced: AppliedBatch[] = []
  readonly random: Random

  constructor(random: Random) {
    this.random = random
  }

  write(record: Record, count = record.entries.length): void {
    this.hardState = record.hardState
    const entries = record.entries.slice(0, count)
    const first = entries[0]
    if (first === undefined) return
    this.entries.length = Math.min(this.entries.length, first.index - 1)
    this.entries.push(...entries)
  }

  apply(batch: AppliedBatch): void {
    this.unsynced.push(batch)
    while (this.unsynced.length > unsyncedMax) this.sync(this.unsynced.shift() as AppliedBatch)
  }

  private sync(batch: AppliedBatch): void {
    for (const { table, key, value } of batch.changes) {
      if (value === undefined) this.rows.delete(`${table}\0${key}`)
      else this.rows.set(`${table}\0${key}`, { table, key, value })
    }
    this.rowsIndex = batch.index
  }

  /** The machine is without power: of the applied state a beginning is there. */
  lostPower(): void {
    // The log is cut, and the state may rest on, only what is synced; here all of the log is kept.
    const survive = this.random.between(0, this.unsynced.length)
    for (const batch of this.unsynced.slice(0, survive)) this.sync(batch)
    this.unsynced = []
  }

  restore(): Restored {
    for (const batch of this.unsynced) this.sync(batch)
    this.unsynced = []
    return {
      identity: this.identity,
      hardState: this.hardState,
      entries: [...this.entries],
      appliedIndex: this.rowsIndex,
      rows: [...this.rows.values()],
    }
  }
}

export class SimStore implements Store {
  private readonly disk: Disk
  private readonly process: Process
  private readonly listener: StoreListener
  private waiting: Record[] = []
  private inFlight: Record[] = []
  private closed = false
  /** Of what was handed over, written or not. */
  private lastIndex: number

  constructor(disk: Disk, process: Process, listener: StoreListener) {
    this.disk = disk
    this.lastIndex = disk.entries.length
    this.process = process
    this.listener = listener
    process.onEnd((how) => this.end(how))
  }

  /** As `writeIdentity`, for a world without promises. */
  writeIdentityThen(identity: Identity, done: () => void): void {
    this.process.afterTrue(this.syncTime(), () => {
      this.disk.identity = identity
      done()
    })
  }

  async writeIdentity(identity: Identity): Promise<void> {
    await new Promise<void>((resolve) => this.writeIdentityThen(identity, resolve))
  }

  append(record: Record): void {
    const first = record.entries[0]
    invariant(first === undefined || first.index <= this.lastIndex + 1, 'the log has no gaps', { index: first?.index })
    this.lastIndex = record.entries.at(-1)?.index ?? this.lastIndex
    this.waiting.push(record)
    this.next()
  }

  apply(appliedIndex: LogIndex, changes: readonly RowChange[]): void {
    this.disk.apply({ index: appliedIndex, changes })
  }

  async close(): Promise<void> {
    this.closed = true
  }

  private next(): void {
    if (this.inFlight.length > 0 || this.waiting.length === 0 || this.closed) return
    this.inFlight = this.waiting
    this.waiting = []
    // The disk writes whether or not the process is let run meanwhile.
    this.process.machine.scheduler.after(this.syncTime(), () => {
      if (!this.process.alive || this.closed) return
      const batch = this.inFlight
      for (const record of batch) this.disk.write(record)
      this.inFlight = []
      this.process.post(() => {
        for (const { sequence } of batch) this.listener.onPersisted(sequence)
      })
      this.next()
    })
  }

  private syncTime(): number {
    const { random, syncMin, syncMax } = this.disk
    return syncMin + random.next() * (syncMax - syncMin)
  }

  /** Of the batch in flight a beginning may be there, torn anywhere. */
  private end(how: 'killed' | 'lost power'): void {
    this.closed = true
    const { random } = this.disk
    const whole = how === 'killed' && random.chance(0.5) ? this.inFlight.length : random.between(0, this.inFlight.length)
    for (const record of this.inFlight.slice(0, whole)) this.disk.write(record)
    const torn = this.inFlight[whole]
    if (torn !== undefined && random.chance(0.5)) this.disk.write(torn, random.between(0, torn.entries.length))
    this.inFlight = []
    this.waiting = []
  }
}
