/**
 * A member's disk: survives its processes, and of what was not synced loses some when they end or the power goes.
 *
 * The store over it does as the contract of `io/store` says: one synced batch in flight, what arrives meanwhile is the
 * next; the applied state is written in order and lags behind; a snapshot takes its place in one step.
 */
import { ClusterError, encode, invariant, type LogIndex, logIndex, term } from '../../src/base/index.js'
import type { HardState, LogEntry, LogPosition, SnapshotMeta } from '../../src/core/raft/index.js'
import { decodeChunk, encodeChunk, rowLength } from '../../src/io/store/chunk.js'
import type {
  Identity,
  Restored,
  Row,
  RowChange,
  SnapshotChunk,
  SnapshotReader,
  SnapshotWriter,
  Store,
  StoreListener,
} from '../../src/io/store/index.js'
import { changedSum, decodeRow, keyText, rowChecksum, type StoredRow } from '../../src/io/store/rows.js'
import { Later } from './later.js'
import type { Process } from './process.js'
import type { Random } from './random.js'

type Record = Parameters<Store['append']>[0]

interface AppliedBatch {
  readonly applied: SnapshotMeta
  readonly changes: readonly RowChange[]
}

/** Stands between the appends before and after it. */
interface Install {
  readonly state: AppliedRows
  readonly keepTail: boolean
  readonly done: () => void
}

/** Batches of the applied state that may be lost. */
const unsyncedMax = 64
/** Entries that a cut may leave standing, as the rest of a segment would be. */
const segmentEntries = 16

/** Rows and what they stand for. */
class AppliedRows {
  applied: SnapshotMeta = { index: logIndex(0), term: term(0), configuration: null }
  readonly rows = new Map<string, Row>()

  take({ applied, changes }: AppliedBatch): void {
    for (const { table, key, value } of changes) {
      if (value === undefined) this.rows.delete(`${table}\0${key}`)
      else this.rows.set(`${table}\0${key}`, { table, key, value })
    }
    this.applied = applied
  }

  copy(): AppliedRows {
    const copy = new AppliedRows()
    copy.take({ applied: this.applied, changes: [...this.rows.values()] })
    return copy
  }

  sum(): number {
    return [...this.rows.values()].reduce((sum, row) => changedSum(sum, 0, checksumOf(row)), 0)
  }
}

function storedRow({ table, key, value }: Row): StoredRow {
  return [Buffer.from(`${table}\0${key}`), encode(value)]
}

/** Rows are not changed in place: one that was summed under its key keeps its sum. */
const checksums = new WeakMap<object, { readonly table: string; readonly key: string; readonly sum: number }>()

export function checksumOf(row: Row): number {
  const { table, key, value } = row
  if (typeof value !== 'object' || value === null) return rowChecksum(...storedRow(row))
  const known = checksums.get(value)
  if (known?.key === key && known.table === table) return known.sum
  const sum = rowChecksum(...storedRow(row))
  checksums.set(value, { table, key, sum })
  return sum
}

export class Disk {
  identity: Identity | undefined
  hardState: HardState = { term: term(0), votedFor: null }
  base: LogPosition = { index: logIndex(0), term: term(0) }
  entries: LogEntry[] = []
  /** Milliseconds that a sync takes; a fault makes it slow. */
  syncMin = 0.2
  syncMax: number
  private readonly syncUsual: number
  /** What becomes of the next writes: the disk is full, or a sync fails. */
  failing: 'full' | 'sync fails' | undefined
  /** A bit of the log was flipped at rest. */
  isDamaged = false
  private state = new AppliedRows()
  private unsynced: AppliedBatch[] = []
  readonly random: Random

  constructor(random: Random, syncMax = 2) {
    this.random = random
    this.syncUsual = syncMax
    this.syncMax = syncMax
  }

  /** Whatever ailed it is over. */
  mend(): void {
    this.syncMax = this.syncUsual
    this.failing = undefined
  }

  get lastIndex(): number {
    return this.base.index + this.entries.length
  }

  get logBytes(): number {
    return this.entries.reduce((bytes, { data }) => bytes + 24 + data.length, 0)
  }

  write(record: Record, count = record.entries.length): void {
    this.hardState = record.hardState
    const entries = record.entries.slice(0, count)
    const first = entries[0]
    if (first === undefined) return
    this.entries.length = Math.min(this.entries.length, first.index - this.base.index - 1)
    this.entries.push(...entries)
  }

  apply(batch: AppliedBatch): void {
    this.unsynced.push(batch)
    if (this.unsynced.length > unsyncedMax) this.state.take(this.unsynced.shift() as AppliedBatch)
  }

  syncApplied(upTo: LogIndex): void {
    while (this.unsynced[0] !== undefined && this.unsynced[0].applied.index <= upTo) this.state.take(this.unsynced.shift() as AppliedBatch)
  }

  cut(index: number): void {
    const to = Math.max(index - (this.random.chance(0.5) ? 0 : this.random.between(0, segmentEntries)), this.base.index)
    const entry = this.entries[to - this.base.index - 1]
    if (entry === undefined) return
    this.entries.splice(0, to - this.base.index)
    this.base = { index: entry.index, term: entry.term }
  }

  install({ state, keepTail }: Install): void {
    this.state = state
    this.unsynced = []
    if (keepTail) return
    this.base = { index: state.applied.index, term: state.applied.term }
    this.entries = []
  }

  /** All that was applied, synced or not. */
  picture(): AppliedRows {
    const picture = this.state.copy()
    for (const batch of this.unsynced) picture.take(batch)
    return picture
  }

  /** The machine is without power, or the process was killed: of the applied state a beginning is there; all of the log is kept. */
  lostUnsynced(): void {
    const survive = this.random.between(0, this.unsynced.length)
    for (const batch of this.unsynced.slice(0, survive)) this.state.take(batch)
    this.unsynced = []
  }

  restore(): Restored {
    this.state = this.picture()
    this.unsynced = []
    return {
      identity: this.identity,
      hardState: this.hardState,
      base: this.base,
      entries: [...this.entries],
      applied: this.state.applied,
      rows: [...this.state.rows.values()],
      sum: this.state.sum(),
    }
  }
}

export class SimStore implements Store {
  private readonly disk: Disk
  private readonly process: Process
  private readonly listener: StoreListener
  private waiting: (Record | Install)[] = []
  private inFlight: readonly Record[] | Install | undefined
  private closed = false
  /** Of the log, what was handed over last and what is on disk. */
  private queued = 0
  private logged = 0
  /** Applied ahead of the log on disk: none of it gets there before what the log had been given by then. */
  private behind: { readonly queued: number; readonly batch: AppliedBatch }[] = []
  /** Of what was handed over, written or not. */
  private lastIndex: number
  private applied: SnapshotMeta | undefined
  private syncedIndex: number | undefined
  /** Of each row, by table and key; made when it is first needed. */
  private checksums: Map<string, number> | undefined
  private sum = 0
  private receiving: Received | undefined

  constructor(disk: Disk, process: Process, listener: StoreListener) {
    this.disk = disk
    this.lastIndex = disk.lastIndex
    this.process = process
    this.listener = listener
    process.onEnd((how) => this.end(how))
  }

  /** As `writeIdentity`, for who does not want its promise. */
  writeIdentityThen(identity: Identity, done: () => void): void {
    this.process.afterTrue(this.syncTime(), () => {
      this.disk.identity = identity
      done()
    })
  }

  writeIdentity(identity: Identity): Promise<void> {
    const written = new Later<void>()
    this.writeIdentityThen(identity, () => written.resolve())
    return written
  }

  append(record: Record): void {
    const first = record.entries[0]
    invariant(first === undefined || first.index <= this.lastIndex + 1, 'the log has no gaps', { index: first?.index })
    invariant(first === undefined || first.index > this.disk.base.index, 'what was let go is not replaced', { index: first?.index })
    this.lastIndex = record.entries.at(-1)?.index ?? this.lastIndex
    this.queued = record.sequence
    this.waiting.push(record)
    this.next()
  }

  apply(applied: SnapshotMeta, changes: readonly RowChange[]): number {
    const before = this.appliedNow()
    invariant(applied.index >= before.index, 'the applied index never falls', { index: applied.index, before: before.index })
    this.applied = applied
    for (const change of changes) this.account(change)
    const batch = { applied, changes }
    if (this.logged < this.queued) this.behind.push({ queued: this.queued, batch })
    else this.disk.apply(batch)
    return this.sum
  }

  private account(change: RowChange): void {
    const { table, key, value } = change
    const name = `${table}\0${key}`
    this.checksums ??= this.loadChecksums()
    const after = value === undefined ? 0 : checksumOf(change)
    this.sum = changedSum(this.sum, this.checksums.get(name) ?? 0, after)
    if (value === undefined) this.checksums.delete(name)
    else this.checksums.set(name, after)
  }

  private loadChecksums(): Map<string, number> {
    const checksums = new Map([...this.disk.picture().rows].map(([name, row]) => [name, checksumOf(row)]))
    this.sum = [...checksums.values()].reduce((sum, one) => changedSum(sum, 0, one), 0)
    return checksums
  }

  private appliedNow(): SnapshotMeta {
    this.applied ??= this.disk.picture().applied
    this.checksums ??= this.loadChecksums()
    return this.applied
  }

  syncApplied(): Promise<LogIndex> {
    const synced = new Later<LogIndex>()
    const { index } = this.appliedNow()
    const sync = (): void => {
      this.process.afterTrue(this.syncTime(), () => {
        const [first] = this.behind
        if (first !== undefined && first.batch.applied.index <= index) return sync()
        this.disk.syncApplied(index)
        this.syncedIndex = Math.max(this.syncedIndex ?? 0, index)
        // After what was said of the log, also where the process was stopped meanwhile.
        this.process.post(() => synced.resolve(index))
      })
    }
    sync()
    return synced
  }

  cutLog(index: LogIndex): void {
    this.syncedIndex ??= this.appliedNow().index
    invariant(index <= this.syncedIndex, 'the log is cut below what is durable of the applied state', { index, synced: this.syncedIndex })
    this.process.afterTrue(this.syncTime(), () => this.disk.cut(index))
  }

  get logBytes(): number {
    return this.disk.logBytes
  }

  openSnapshot(): Promise<SnapshotReader> {
    const opened = new Later<SnapshotReader>()
    this.process.afterTrue(this.readTime(), () =>
      opened.resolve(new SimReader(this.disk.picture(), (run) => this.process.afterTrue(this.readTime(), run))),
    )
    return opened
  }

  receiveSnapshot(meta: SnapshotMeta): Promise<SnapshotWriter> {
    this.checkNewer(meta)
    if (this.receiving !== undefined) this.receiving.abandoned = true
    const received = new Received(meta)
    this.receiving = received
    const opened = new Later<SnapshotWriter>()
    this.process.afterTrue(this.syncTime(), () => opened.resolve(this.writerOf(received)))
    return opened
  }

  private writerOf(received: Received): SnapshotWriter {
    return {
      write: (data) => {
        const written = new Later<readonly Row[]>()
        this.process.afterTrue(this.syncTime(), () => {
          try {
            written.resolve(received.take(data))
          } catch (error) {
            written.reject(error)
          }
        })
        return written
      },
      install: (keepTail) => this.install(received, keepTail),
      abandon: () => {
        received.abandoned = true
        const done = new Later<void>()
        done.resolve()
        return done
      },
    }
  }

  private install(received: Received, keepTail: boolean): Promise<void> {
    const { state } = received
    const { index } = state.applied
    invariant(received.complete && !received.abandoned, 'a whole snapshot is installed', { index })
    this.checkNewer(state.applied)
    this.receiving = undefined
    this.behind = []
    this.applied = state.applied
    this.checksums = new Map([...state.rows].map(([name, row]) => [name, checksumOf(row)]))
    this.sum = state.sum()
    if (!keepTail) this.lastIndex = index
    const installed = new Later<void>()
    const done = () => {
      this.syncedIndex = index
      installed.resolve()
    }
    this.waiting.push({ state, keepTail, done })
    this.next()
    return installed
  }

  private checkNewer({ index }: SnapshotMeta): void {
    const applied = this.appliedNow().index
    invariant(index > applied, 'a snapshot is of a later state than the present one', { index, applied })
  }

  close(): Promise<void> {
    this.closed = true
    const done = new Later<void>()
    done.resolve()
    return done
  }

  private next(): void {
    const first = this.waiting[0]
    if (this.inFlight !== undefined || first === undefined || this.closed) return
    if ('state' in first) {
      this.waiting.shift()
      this.inFlight = first
    } else {
      const until = this.waiting.findIndex((one) => 'state' in one)
      this.inFlight = this.waiting.splice(0, until < 0 ? this.waiting.length : until) as Record[]
    }
    // The disk writes whether or not the process is let run meanwhile.
    this.process.machine.scheduler.after(this.syncTime(), () => {
      if (!this.process.alive || this.closed) return
      const { failing } = this.disk
      if (failing !== undefined) {
        this.process.post(() => this.listener.onFailure(new ClusterError('STORE_FAILED', `a write failed: ${failing}`)))
        return
      }
      this.landed()
      this.next()
    })
  }

  private landed(): void {
    const { inFlight } = this
    this.inFlight = undefined
    if (inFlight === undefined) return
    if ('state' in inFlight) {
      this.disk.install(inFlight)
      this.process.post(inFlight.done)
      return
    }
    for (const record of inFlight) this.disk.write(record)
    this.logged = Math.max(this.logged, inFlight.at(-1)?.sequence ?? 0)
    while (this.behind[0] !== undefined && this.behind[0].queued <= this.logged) {
      this.disk.apply((this.behind.shift() as { readonly batch: AppliedBatch }).batch)
    }
    this.process.post(() => {
      for (const { sequence } of inFlight) this.listener.onPersisted(sequence)
    })
  }

  private syncTime(): number {
    const { random, syncMin, syncMax } = this.disk
    return syncMin + random.next() * (syncMax - syncMin)
  }

  private readTime(): number {
    return 0.1 + this.disk.random.next() * 0.2
  }

  /** Of the batch in flight a beginning may be there, torn anywhere; an install is there or not; the applied state lags behind. */
  private end(how: 'killed' | 'lost power'): void {
    this.closed = true
    const { random } = this.disk
    const { inFlight = [] } = this
    if ('state' in inFlight) {
      if (random.chance(0.5)) this.disk.install(inFlight)
    } else {
      const whole = how === 'killed' && random.chance(0.5) ? inFlight.length : random.between(0, inFlight.length)
      for (const record of inFlight.slice(0, whole)) this.disk.write(record)
      const torn = inFlight[whole]
      if (torn !== undefined && random.chance(0.5)) this.disk.write(torn, random.between(0, torn.entries.length))
    }
    if (how === 'killed' && random.chance(0.5)) this.disk.lostUnsynced()
    this.inFlight = undefined
    this.waiting = []
  }
}

class SimReader implements SnapshotReader {
  readonly meta: SnapshotMeta
  private readonly rows: Row[]
  private readonly soon: (run: () => void) => void
  private passed = 0
  private sum = 0

  constructor(picture: AppliedRows, soon: (run: () => void) => void) {
    this.meta = picture.applied
    this.rows = [...picture.rows.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row)
    this.soon = soon
  }

  next(maxBytes = 256 * 1024): Promise<SnapshotChunk> {
    const chunk = new Later<SnapshotChunk>()
    this.soon(() => chunk.resolve(this.read(maxBytes)))
    return chunk
  }

  private read(maxBytes: number): SnapshotChunk {
    const chosen: StoredRow[] = []
    for (let bytes = 0; this.passed < this.rows.length; ) {
      const row = storedRow(this.rows[this.passed] as Row)
      bytes += rowLength(row)
      if (bytes > maxBytes && chosen.length > 0) break
      this.sum = changedSum(this.sum, 0, rowChecksum(...row))
      this.passed += 1
      chosen.push(row)
    }
    const last = this.passed === this.rows.length
    return { data: encodeChunk(chosen, { last, rows: this.passed, sum: this.sum }), last }
  }

  close(): Promise<void> {
    const done = new Later<void>()
    done.resolve()
    return done
  }
}

/** A snapshot as far as it was received. */
class Received {
  readonly state = new AppliedRows()
  abandoned = false
  complete = false
  private sum = 0

  constructor(meta: SnapshotMeta) {
    this.state.applied = meta
  }

  take(data: Uint8Array): readonly Row[] {
    if (this.abandoned) throw new ClusterError('SNAPSHOT_GONE', 'the snapshot was abandoned')
    const { header, rows } = decodeChunk(data)
    const taken = rows.map(([key, value]) => decodeRow(keyText(key), value))
    for (const row of rows) this.sum = changedSum(this.sum, 0, rowChecksum(...row))
    this.state.take({ applied: this.state.applied, changes: taken })
    if (header.rows !== this.state.rows.size || header.sum !== this.sum) {
      throw new ClusterError('SNAPSHOT_DAMAGED', 'a chunk is missing or came twice')
    }
    this.complete = header.last
    return taken
  }
}
