/**
 * Appends to the log: one write and one asynchronous fdatasync per batch. What arrives while a batch is being synced
 * is the next batch, so group commit needs no timer.
 *
 * The file is made longer ahead of the records, by zeros written in the thread pool, for a sync that need not change the file's
 * size is shorter: on ext4, one batch after another, 2,400 to 3,500 a second of 300 bytes become 4,100 to 4,700, and 2,600 of 4 KB
 * become 4,400. With 64 writers, whose records share a sync, the difference is within what the machine varies by. Steps of 1 or 4 MiB
 * were no faster than 256 KiB, and what is ahead is read at the next start, for which the other nodes wait. The first sync after it
 * makes the zeros durable along with its records; a batch that is longer than the space ahead simply makes the file longer itself.
 *
 * A new segment begins with what all before it add up to, so that they can go when their entries are no longer needed.
 */
import { join } from 'node:path'
import { ClusterError, invariant, type LogIndex, logIndex, type Term } from '../../base/index.js'
import type { HardState, LogEntry, LogPosition } from '../../core/raft/index.js'
import type { Disk, DiskFile } from './disk.js'
import type { LogRead, SegmentRead } from './log-reader.js'
import { headerLength, type LogRecord, recordDataMax, recordLength, writeRecord } from './record.js'
import { segmentName, segmentSeed } from './segment.js'

export interface AppendRequest {
  readonly sequence: number
  readonly hardState: HardState
  readonly entries: readonly LogEntry[]
}

/** Something to be done between two appends. */
interface Break {
  /** Runs when all appends before are durable, and before any after. */
  readonly act: () => Promise<void>
  /** The log then begins anew after this position; undefined where it goes on. */
  readonly begin: LogPosition | undefined
  readonly done: () => void
}

export interface LogWriterOptions {
  readonly disk: Disk
  readonly folder: string
  readonly logId: string
  /** A segment that has reached this length, in bytes, is followed by a new one. */
  readonly segmentMax: number
  /** Bytes by which the file is made longer ahead of the records; 0 for never. */
  readonly aheadStep: number
  /** Bytes that may wait for the disk; beyond it the disk counts as failed. */
  readonly waitingMax: number
  readonly onPersisted: (sequence: number) => void
  readonly onFailure: (error: unknown) => void
}

export class LogWriter {
  private readonly options: LogWriterOptions
  private file: DiskFile
  private number: number
  /** Where the next batch goes, and the length of the file. */
  private position: number
  private length: number
  private extending: Promise<void> | undefined
  private lastBatch: number
  /** As written last; only a change is written again. */
  private hardState: HardState
  private last: LogPosition
  /** Those whose beginning is durable. */
  private readonly segments: SegmentRead[]
  private removing: Promise<void> = Promise.resolve()
  private cutTo = 0
  /** As queued, which may be ahead of what is durable. */
  private queuedTerm: Term
  private lastIndex: LogIndex
  /** No entry at or below it is replaced any more. */
  private floor: number
  private durable: LogIndex
  private waiting: (AppendRequest | Break)[] = []
  /** Of what was appended last, and of what is durable. */
  private queuedSequence = 0
  private durableSequence = 0
  private settling: { readonly sequence: number; readonly done: (isDurable: boolean) => void }[] = []
  private waitingBytes = 0
  private working = false
  /** Of the segment that is written. */
  private seed: { readonly of: number; readonly value: number } | undefined
  private stopped = false
  private idle: (() => void)[] = []

  private constructor(options: LogWriterOptions, read: LogRead, file: DiskFile) {
    this.options = options
    this.file = file
    this.number = read.segment
    this.position = read.soundLength
    this.length = read.torn ? read.soundLength : read.fileLength
    this.lastBatch = read.lastBatch
    this.hardState = read.hardState
    this.last = read.entries.at(-1) ?? read.base
    this.segments = [...read.segments]
    this.queuedTerm = read.hardState.term
    this.lastIndex = this.last.index
    this.floor = read.base.index
    this.durable = this.lastIndex
  }

  /**
   * Makes what was read durable, and cuts a torn tail off. The last batch is written again: where its sync failed before a
   * restart, the kernel may hold its pages as clean though they never reached the disk, and a mere sync would pass over them.
   */
  static async open(options: LogWriterOptions, read: LogRead): Promise<LogWriter> {
    const file = await options.disk.open(join(options.folder, segmentName(read.segment)))
    try {
      if (read.torn) await file.cut(read.soundLength)
      await file.write(read.tail.bytes, read.tail.position)
      await file.sync()
      await options.disk.syncFolder(options.folder)
    } catch (error) {
      await file.close().catch(() => undefined)
      throw error
    }
    const writer = new LogWriter(options, read, file)
    writer.remove(read.leftOver)
    return writer
  }

  /** Highest index of the log that is on disk. */
  get durableIndex(): LogIndex {
    return this.durable
  }

  /** Bytes of records on disk; the space made ahead of them does not count. */
  get bytes(): number {
    return this.segments.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** Resolves when all that was appended before is durable: true; false where the writer has stopped, and it never may be. */
  settled(): Promise<boolean> {
    const sequence = this.queuedSequence
    if (this.durableSequence >= sequence) return Promise.resolve(true)
    if (this.stopped) return Promise.resolve(false)
    return new Promise((done) => this.settling.push({ sequence, done }))
  }

  /** `atOnce`: the disk has its order when this returns, where nothing else is under way. */
  append(request: AppendRequest, atOnce = false): void {
    if (this.stopped) return
    this.check(request)
    invariant(request.sequence > this.queuedSequence, 'appends come in the order of their numbers', { sequence: request.sequence })
    this.queuedSequence = request.sequence
    this.waiting.push(request)
    this.waitingBytes += request.entries.reduce((bytes, entry) => bytes + entry.data.length + headerLength, headerLength)
    if (this.waitingBytes > this.options.waitingMax) {
      this.fail(new ClusterError('STORE_FAILED', `${this.waitingBytes} bytes wait for the disk, at most ${this.options.waitingMax} may`))
    }
    this.work(atOnce)
  }

  /**
   * Runs `act` between what was appended before and what is appended after, and lets the log begin anew after `begin` where that is
   * given. Resolves when that is durable, or when the writer has stopped. What is appended from now on belongs to the new log.
   */
  breakAt(begin: LogPosition | undefined, act: () => Promise<void>): Promise<void> {
    if (this.stopped) return Promise.resolve()
    if (begin !== undefined) {
      this.lastIndex = begin.index
      this.floor = begin.index
      this.durable = begin.index
    }
    return new Promise((resolve) => {
      this.waiting.push({ act, begin, done: resolve })
      this.work()
    })
  }

  /** Removes, in the background, the segments that hold only entries at or below `index`. */
  cut(index: LogIndex): void {
    this.floor = Math.max(this.floor, index)
    this.cutTo = Math.max(this.cutTo, index)
    this.removeCut()
  }

  private check({ hardState, entries }: AppendRequest): void {
    invariant(hardState.term >= this.queuedTerm, 'a term never falls', { term: hardState.term, before: this.queuedTerm })
    this.queuedTerm = hardState.term
    const first = entries[0]
    if (first === undefined) return
    invariant(first.index <= this.lastIndex + 1, 'the log has no gaps', { index: first.index, last: this.lastIndex })
    invariant(first.index > this.floor, 'what was let go is not replaced', { index: first.index, floor: this.floor })
    for (const [at, entry] of entries.entries()) {
      invariant(entry.index === first.index + at, 'entries are contiguous', { index: entry.index, first: first.index, at })
      invariant(entry.data.length <= recordDataMax, 'an entry has a bounded size', { bytes: entry.data.length, recordDataMax })
      invariant(entry.term <= hardState.term, 'no entry is newer than the term of its member', { entry: entry.term, term: hardState.term })
    }
    this.lastIndex = logIndex(first.index + entries.length - 1)
  }

  private work(atOnce = false): void {
    if (this.working || this.stopped) return
    this.working = true
    if (atOnce) void this.workOff()
    else queueMicrotask(() => void this.workOff())
  }

  private async workOff(): Promise<void> {
    while (this.waiting.length > 0 && !this.stopped) {
      try {
        const first = this.waiting[0]
        if (first !== undefined && 'act' in first) await this.performBreak(first)
        else await this.appendBatch()
      } catch (error) {
        this.fail(error)
      }
    }
    this.working = false
    for (const resolve of this.idle.splice(0)) resolve()
  }

  private async appendBatch(): Promise<void> {
    const until = this.waiting.findIndex((one) => 'act' in one)
    const batch = (until < 0 ? this.waiting : this.waiting.slice(0, until)) as AppendRequest[]
    this.waiting = until < 0 ? [] : this.waiting.slice(until)
    if (until < 0) this.waitingBytes = 0
    if (this.position >= this.options.segmentMax || this.segments.at(-1)?.based === false) await this.roll()
    await this.writeBatch(batch, 'base')
    if (this.stopped) return
    // Where the log is to begin anew, what it held counts no more.
    if (!this.waiting.some((one) => 'act' in one && one.begin !== undefined)) this.durable = this.last.index
    this.durableSequence = (batch.at(-1) as AppendRequest).sequence
    for (const { sequence } of batch) this.options.onPersisted(sequence)
    while (this.settling[0] !== undefined && this.settling[0].sequence <= this.durableSequence) this.settling.shift()?.done(true)
  }

  private async performBreak({ act, begin, done }: Break): Promise<void> {
    this.waiting.shift()
    try {
      await act()
      if (begin !== undefined && !this.stopped) await this.beginAnew(begin)
    } catch (error) {
      this.fail(error) // Known before the promise that `done` resolves is looked at.
    }
    done()
  }

  private async beginAnew(begin: LogPosition): Promise<void> {
    if (this.position > 0) await this.roll()
    this.last = begin
    await this.writeBatch([], 'begin')
    this.remove(this.segments.splice(0, this.segments.length - 1).map(({ number }) => number))
  }

  private async writeBatch(batch: readonly AppendRequest[], header: 'base' | 'begin'): Promise<void> {
    const isNew = this.position === 0
    const bytes = this.encode(batch, isNew ? header : undefined)
    if (this.position + bytes.length > this.length) await this.extending
    const written = this.file.write(bytes, this.position)
    if (written !== undefined) await written
    await this.file.sync()
    if (isNew) await this.options.disk.syncFolder(this.options.folder)
    this.position += bytes.length
    this.length = Math.max(this.length, this.position)
    this.account(batch, isNew)
    this.extend()
  }

  private account(batch: readonly AppendRequest[], isNew: boolean): void {
    const before = isNew ? undefined : this.segments.pop()
    const highest = batch.reduce((most, { entries }) => Math.max(most, entries.at(-1)?.index ?? 0), before?.highest ?? 0)
    this.segments.push({ number: this.number, bytes: this.position, highest, based: before?.based ?? true })
    if (isNew) this.removeCut()
  }

  /** The old segment is synced whole, for no batch is in flight; the new one's name becomes durable with its first batch. */
  private async roll(): Promise<void> {
    await this.extending
    const next = await this.options.disk.open(join(this.options.folder, segmentName(this.number + 1)))
    await this.file.close()
    this.file = next
    this.number += 1
    this.position = 0
    this.length = 0
  }

  /** Keeps at least half a step of zeros ahead of the records, in the background. */
  private extend(): void {
    const { aheadStep, segmentMax } = this.options
    if (aheadStep === 0 || this.extending !== undefined || this.stopped || this.length - this.position > aheadStep / 2) return
    const end = Math.min((Math.floor(this.length / aheadStep) + 1) * aheadStep, segmentMax)
    if (end <= this.length) return
    const write = async () => {
      try {
        await this.file.write(new Uint8Array(end - this.length), this.length)
        this.length = end
      } catch (error) {
        this.fail(error)
      }
      this.extending = undefined
    }
    this.extending = write()
  }

  private encode(batch: readonly AppendRequest[], header: 'base' | 'begin' | undefined): Buffer {
    this.lastBatch += 1
    const records: LogRecord[] = [{ kind: 'batch', number: this.lastBatch }]
    if (header !== undefined) {
      records.push({ kind: header, position: this.last }, { kind: 'hard-state', hardState: this.hardState })
    }
    for (const { hardState, entries } of batch) {
      // Hard state first: a batch that is torn behind it is still a state that Raft may have.
      if (hardState.term !== this.hardState.term || hardState.votedFor !== this.hardState.votedFor) {
        this.hardState = hardState
        records.push({ kind: 'hard-state', hardState })
      }
      for (const entry of entries) records.push({ kind: 'entry', entry })
      this.last = entries.at(-1) ?? this.last
    }
    const bytes = Buffer.allocUnsafe(records.reduce((length, record) => length + recordLength(record), 0))
    if (this.seed?.of !== this.number) this.seed = { of: this.number, value: segmentSeed(this.options.logId, this.number) }
    const seed = this.seed.value
    let at = 0
    for (const record of records) at = writeRecord(bytes, at, record, seed)
    return bytes
  }

  private removeCut(): void {
    let count = 0
    for (let at = 0; at < this.segments.length - 1 && (this.segments[at] as SegmentRead).highest <= this.cutTo; at++) {
      if ((this.segments[at + 1] as SegmentRead).based) count = at + 1
    }
    this.remove(this.segments.splice(0, count).map(({ number }) => number))
  }

  /** Oldest first, and each durably before the next, so that a crash leaves no gap. */
  private remove(numbers: readonly number[]): void {
    if (numbers.length === 0) return
    const { disk, folder } = this.options
    this.removing = this.removing.then(async () => {
      try {
        for (const number of numbers) {
          if (this.stopped) return
          await disk.remove(join(folder, segmentName(number)))
          await disk.syncFolder(folder)
        }
      } catch (error) {
        this.fail(error)
      }
    })
  }

  private fail(error: unknown): void {
    if (this.stopped) return
    this.stop()
    this.options.onFailure(error)
  }

  /** Accepts and reports nothing more. */
  stop(): void {
    this.stopped = true
    for (const one of this.waiting) if ('act' in one) one.done()
    this.waiting = []
    for (const { done } of this.settling.splice(0)) done(false)
  }

  /** Resolves when all that was appended is durable and the file is closed. */
  async close(): Promise<void> {
    if (this.working) await new Promise<void>((resolve) => this.idle.push(resolve))
    await this.extending
    await this.removing
    this.stopped = true
    await this.file.close()
  }
}
