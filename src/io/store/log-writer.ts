/**
 * Appends to the log: one write and one asynchronous fdatasync per batch. What arrives while a batch is being synced
 * is the next batch, so group commit needs no timer.
 */
import { join } from 'node:path'
import { ClusterError, invariant, type LogIndex, logIndex, type Term } from '../../base/index.js'
import type { HardState, LogEntry } from '../../core/raft/index.js'
import type { Disk, DiskFile } from './disk.js'
import type { LogRead } from './log-reader.js'
import { headerLength, type LogRecord, recordDataMax, recordLength, writeRecord } from './record.js'
import { segmentName, segmentSeed } from './segment.js'

export interface AppendRequest {
  readonly sequence: number
  readonly hardState: HardState
  readonly entries: readonly LogEntry[]
}

export interface LogWriterOptions {
  readonly disk: Disk
  readonly folder: string
  readonly logId: string
  /** A segment that has reached this length, in bytes, is followed by a new one. */
  readonly segmentMax: number
  /** Bytes that may wait for the disk; beyond it the disk counts as failed. */
  readonly waitingMax: number
  readonly onPersisted: (sequence: number) => void
  readonly onFailure: (error: unknown) => void
}

export class LogWriter {
  private readonly options: LogWriterOptions
  private file: DiskFile
  private segment: number
  private position: number
  private lastBatch: number
  /** As written last; only a change is written again. */
  private hardState: HardState
  /** As queued, which may be ahead of what is durable. */
  private queuedTerm: Term
  private lastIndex: LogIndex
  private durable: LogIndex
  private waiting: AppendRequest[] = []
  private waitingBytes = 0
  private syncing = false
  private stopped = false
  private idle: (() => void)[] = []

  private constructor(options: LogWriterOptions, read: LogRead, file: DiskFile) {
    this.options = options
    this.file = file
    this.segment = read.segment
    this.position = read.soundLength
    this.lastBatch = read.lastBatch
    this.hardState = read.hardState
    this.queuedTerm = read.hardState.term
    this.lastIndex = logIndex(read.entries.length)
    this.durable = this.lastIndex
  }

  /**
   * Makes what was read durable, and cuts a torn tail off. The last batch is written again: where its sync failed before a
   * restart, the kernel may hold its pages as clean though they never reached the disk, and a mere sync would pass over them.
   */
  static async open(options: LogWriterOptions, read: LogRead): Promise<LogWriter> {
    const file = await options.disk.open(join(options.folder, segmentName(read.segment)))
    try {
      if (read.soundLength < read.fileLength) await file.cut(read.soundLength)
      await file.write(read.tail.bytes, read.tail.position)
      await file.sync()
      await options.disk.syncFolder(options.folder)
    } catch (error) {
      await file.close().catch(() => undefined)
      throw error
    }
    return new LogWriter(options, read, file)
  }

  /** Highest index of the log that is on disk. */
  get durableIndex(): LogIndex {
    return this.durable
  }

  append(request: AppendRequest): void {
    if (this.stopped) return
    this.check(request)
    this.waiting.push(request)
    this.waitingBytes += request.entries.reduce((bytes, entry) => bytes + entry.data.length + headerLength, headerLength)
    if (this.waitingBytes > this.options.waitingMax) {
      this.fail(new ClusterError('STORE_FAILED', `${this.waitingBytes} bytes wait for the disk, at most ${this.options.waitingMax} may`))
      return
    }
    if (this.syncing) return
    this.syncing = true
    // What else is appended in this turn goes along.
    queueMicrotask(() => void this.writeBatches())
  }

  private check({ hardState, entries }: AppendRequest): void {
    invariant(hardState.term >= this.queuedTerm, 'a term never falls', { term: hardState.term, before: this.queuedTerm })
    this.queuedTerm = hardState.term
    const first = entries[0]
    if (first === undefined) return
    invariant(first.index >= 1 && first.index <= this.lastIndex + 1, 'the log has no gaps', { index: first.index, last: this.lastIndex })
    for (const [at, entry] of entries.entries()) {
      invariant(entry.index === first.index + at, 'entries are contiguous', { index: entry.index, first: first.index, at })
      invariant(entry.data.length <= recordDataMax, 'an entry has a bounded size', { bytes: entry.data.length, recordDataMax })
      invariant(entry.term <= hardState.term, 'no entry is newer than the term of its member', { entry: entry.term, term: hardState.term })
    }
    this.lastIndex = logIndex(first.index + entries.length - 1)
  }

  private async writeBatches(): Promise<void> {
    while (this.waiting.length > 0 && !this.stopped) {
      const batch = this.waiting
      this.waiting = []
      this.waitingBytes = 0
      try {
        await this.writeBatch(batch)
      } catch (error) {
        this.fail(error)
      }
      if (this.stopped) break
      for (const { entries } of batch) this.durable = entries.at(-1)?.index ?? this.durable
      for (const { sequence } of batch) this.options.onPersisted(sequence)
    }
    this.syncing = false
    for (const resolve of this.idle.splice(0)) resolve()
  }

  private async writeBatch(batch: readonly AppendRequest[]): Promise<void> {
    const isNew = this.position >= this.options.segmentMax
    if (isNew) await this.roll()
    const bytes = this.encode(batch)
    await this.file.write(bytes, this.position)
    await this.file.sync()
    if (isNew) await this.options.disk.syncFolder(this.options.folder)
    this.position += bytes.length
  }

  /** The old segment is synced whole, for no batch is in flight; the new one's name becomes durable with its first batch. */
  private async roll(): Promise<void> {
    const next = await this.options.disk.open(join(this.options.folder, segmentName(this.segment + 1)))
    await this.file.close()
    this.file = next
    this.segment += 1
    this.position = 0
  }

  private encode(batch: readonly AppendRequest[]): Buffer {
    this.lastBatch += 1
    const records: LogRecord[] = [{ kind: 'batch', number: this.lastBatch }]
    for (const { hardState, entries } of batch) {
      // Hard state first: a batch that is torn behind it is still a state that Raft may have.
      if (hardState.term !== this.hardState.term || hardState.votedFor !== this.hardState.votedFor) {
        this.hardState = hardState
        records.push({ kind: 'hard-state', hardState })
      }
      for (const entry of entries) records.push({ kind: 'entry', entry })
    }
    const bytes = Buffer.allocUnsafe(records.reduce((length, record) => length + recordLength(record), 0))
    const seed = segmentSeed(this.options.logId, this.segment)
    let at = 0
    for (const record of records) at = writeRecord(bytes, at, record, seed)
    return bytes
  }

  private fail(error: unknown): void {
    if (this.stopped) return
    this.stop()
    this.options.onFailure(error)
  }

  /** Accepts and reports nothing more. */
  stop(): void {
    this.stopped = true
    this.waiting = []
  }

  /** Resolves when all that was appended is durable and the file is closed. */
  async close(): Promise<void> {
    if (this.syncing) await new Promise<void>((resolve) => this.idle.push(resolve))
    this.stopped = true
    await this.file.close()
  }
}
