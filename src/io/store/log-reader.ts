/**
 * Reads the log back and judges what is broken in it. Writes nothing.
 *
 * A torn tail is what a crash leaves of the one batch that was not synced yet: it lies at the end of the last segment, and
 * nothing sound follows it, or only records of the same batch behind a sector that never reached the disk. It may be cut.
 * Anything else was synced once, perhaps acknowledged, and is damage: STORE_CORRUPT (Alagappan, Protocol-Aware Recovery, FAST 2018).
 * Zeros at the end of a segment are space that was made ahead of the records.
 *
 * The log begins with its first segment, or with the last one whose header says that it begins anew: older ones are left over.
 */
import { join } from 'node:path'
import { ClusterError, type LogIndex, logIndex, term } from '../../base/index.js'
import type { HardState, LogEntry, LogPosition } from '../../core/raft/index.js'
import type { Disk } from './disk.js'
import { kindOffset, type LogRecord, readRecord } from './record.js'
import { segmentName, segmentNumber, segmentSeed } from './segment.js'

export interface LogRead {
  readonly hardState: HardState
  /** What the first entry follows. */
  readonly base: LogPosition
  readonly entries: readonly LogEntry[]
  /** Number of the last batch read; 0 for an empty log. */
  readonly lastBatch: number
  /** Those that hold records, in order. */
  readonly segments: readonly SegmentRead[]
  /** Number of the segment to go on writing: the last one, or one without a record that follows it. 1 for an empty log. */
  readonly segment: number
  /** Bytes of it that are sound, and its length on disk. */
  readonly soundLength: number
  readonly fileLength: number
  /** What follows the sound part is not all zeros. */
  readonly torn: boolean
  /** The bytes of the last batch in that segment and where they begin. */
  readonly tail: { readonly position: number; readonly bytes: Uint8Array }
  /** Segments from before the log began anew. */
  readonly leftOver: readonly number[]
}

export interface SegmentRead {
  readonly number: number
  /** Bytes of records. */
  readonly bytes: number
  /** Highest index of any entry in it; 0 where it holds none. */
  readonly highest: number
  /** It begins with a header. Those of format 1 do not; nothing before them can go. */
  readonly based: boolean
}

/** After so many bytes the reader lets other work of the process in. */
const sliceBytes = 1024 * 1024
/** Disks write whole sectors: one that never arrived reads as zeros. */
const sector = 512
/** As many as are compared at once. */
const zeros = new Uint8Array(64 * 1024)
/** Batch, base or begin, hard state. */
const headerRecords = 3

interface SegmentFile {
  readonly number: number
  readonly path: string
  readonly bytes: Buffer
  readonly seed: number
}

/** Errors: STORE_CORRUPT, with the file and the offset. */
export async function readLog(disk: Disk, folder: string, logId: string): Promise<LogRead> {
  const { files, leftOver } = await readFiles(disk, folder, logId)
  const reading = new Reading(files[0]?.number === 1)
  const segments: SegmentRead[] = []
  let last: Pick<LogRead, 'soundLength' | 'torn' | 'tail'> = { soundLength: 0, torn: false, tail: { position: 0, bytes: new Uint8Array() } }
  for (const [at, file] of files.entries()) {
    const isLast = at === files.length - 1
    const { header, brokenAt } = readHeader(file)
    if (header === 'broken') {
      // Nothing was cut before this header was synced, so there is something before it, or nothing ever was.
      if (!isLast || (at === 0 && file.number > 1)) throw corrupt(file.path, brokenAt, 'the beginning of the segment fails its checksum')
      const torn = (await judgeTail(file, brokenAt)) || brokenAt > 0
      last = { soundLength: 0, torn, tail: { position: 0, bytes: new Uint8Array() } }
      break
    }
    if (header === 'missing' && at === 0 && file.number > 1) {
      throw corrupt(join(folder, segmentName(file.number - 1)), 0, 'the file is missing, later ones are there')
    }
    reading.highest = 0
    last = await readSegment(reading, file, isLast)
    segments.push({ number: file.number, bytes: last.soundLength, highest: reading.highest, based: header === 'sound' })
  }
  const { hardState, base, entries, lastBatch } = reading
  const end = { segment: files.at(-1)?.number ?? 1, fileLength: files.at(-1)?.bytes.length ?? 0, ...last }
  return { hardState, base, entries, lastBatch, segments, ...end, leftOver }
}

/** The files that the log is in, read from the newest back to where it begins. */
async function readFiles(
  disk: Disk,
  folder: string,
  logId: string,
): Promise<{ readonly files: SegmentFile[]; readonly leftOver: number[] }> {
  const numbers = (await disk.list(folder)).map(segmentNumber).filter((number) => number !== undefined)
  const files: SegmentFile[] = []
  while (numbers.length > 0) {
    const number = numbers.pop() as number
    const path = join(folder, segmentName(number))
    const later = files[0]
    if (later !== undefined && later.number !== number + 1) {
      throw corrupt(join(folder, segmentName(later.number - 1)), 0, 'the file is missing, later ones are there')
    }
    const read = (await disk.read(path)) ?? new Uint8Array()
    const bytes = Buffer.from(read.buffer, read.byteOffset, read.byteLength)
    const file = { number, path, bytes, seed: segmentSeed(logId, number) }
    files.unshift(file)
    if (beginsAnew(file)) break
  }
  return { files, leftOver: numbers }
}

function beginsAnew(file: SegmentFile): boolean {
  if (readHeader(file).header !== 'sound') return false
  const first = readRecord(file.bytes, 0, file.seed)
  return first !== undefined && readRecord(file.bytes, first.end, file.seed)?.record.kind === 'begin'
}

/** Broken where not all of it is there, or where it cannot be told whether there was one. */
function readHeader({ bytes, seed }: SegmentFile): { readonly header: 'sound' | 'missing' | 'broken'; readonly brokenAt: number } {
  let at = 0
  for (let count = 0; count < headerRecords; count++) {
    const read = readRecord(bytes, at, seed)
    if (read === undefined) return { header: 'broken', brokenAt: at }
    if (count === 1 && read.record.kind !== 'base' && read.record.kind !== 'begin') return { header: 'missing', brokenAt: 0 }
    at = read.end
  }
  return { header: 'sound', brokenAt: 0 }
}

async function readSegment(reading: Reading, file: SegmentFile, isLast: boolean): Promise<Pick<LogRead, 'soundLength' | 'torn' | 'tail'>> {
  const { path, bytes, seed } = file
  let at = 0
  let batchStart = 0
  let pauseAt = sliceBytes
  let torn = false
  while (at < bytes.length) {
    const read = readRecord(bytes, at, seed)
    if (read === undefined) {
      torn = await judgeTail(file, at)
      if (torn && !isLast) throw corrupt(path, at, 'the record there fails its checksum, and later segments follow')
      break
    }
    const problem = reading.take(read.record)
    if (problem !== undefined) throw corrupt(path, at, problem)
    if (read.record.kind === 'batch') batchStart = at
    at = read.end
    if (at > pauseAt) {
      pauseAt = at + sliceBytes
      await pause()
    }
  }
  return { soundLength: at, torn, tail: { position: batchStart, bytes: bytes.subarray(batchStart, at) } }
}

/** Whether what begins at `damaged` is a torn tail (true) or no more than zeros (false); throws where it is damage. */
async function judgeTail({ path, bytes, seed }: SegmentFile, damaged: number): Promise<boolean> {
  // No record begins in zeros: its kind is not zero.
  const end = zerosFrom(bytes, damaged)
  let sameBatchAt: number | undefined
  let pauseAt = damaged + sliceBytes
  for (let at = damaged + 1; at < end; ) {
    if (at > pauseAt) {
      pauseAt = at + sliceBytes
      await pause()
    }
    const read = readRecord(bytes, at, seed)
    if (read === undefined) {
      at++
      continue
    }
    if (read.record.kind === 'batch') {
      throw corrupt(path, damaged, `the record there fails its checksum, and a batch written after it was synced follows at offset ${at}`)
    }
    sameBatchAt ??= at
    at = read.end
  }
  if (sameBatchAt !== undefined && !hasUnwrittenSector(bytes, damaged, sameBatchAt)) {
    throw corrupt(path, damaged, `the record there fails its checksum, and a sound record follows at offset ${sameBatchAt}`)
  }
  return end > damaged
}

/** Where the zeros begin that `bytes` end with, not before `least`. */
function zerosFrom(bytes: Buffer, least: number): number {
  let end = bytes.length
  while (end - zeros.length >= least && bytes.compare(zeros, 0, zeros.length, end - zeros.length, end) === 0) end -= zeros.length
  while (end > least && bytes[end - 1] === 0) end--
  return end
}

function hasUnwrittenSector(bytes: Buffer, from: number, to: number): boolean {
  // The sector that the batch shares with the one before it was there before: where a record begins, its kind is still zero.
  const next = Math.ceil(from / sector) * sector
  if (next - from > kindOffset && bytes.subarray(from, next).every((byte) => byte === 0)) return true
  for (let at = Math.ceil(from / sector) * sector; at + sector <= to; at += sector) {
    if (bytes.subarray(at, at + sector).every((byte) => byte === 0)) return true
  }
  return false
}

/** What the records read so far add up to. */
class Reading {
  hardState: HardState = { term: term(0), votedFor: null }
  base: LogPosition = { index: logIndex(0), term: term(0) }
  readonly entries: LogEntry[] = []
  /** Highest index of an entry since it was last set. */
  highest = 0
  private batch: number | undefined
  private begun = false

  /** A log that has its first segment begins with batch 1; one that was cut, with any. */
  constructor(fromTheFirst: boolean) {
    this.batch = fromTheFirst ? 0 : undefined
  }

  get lastBatch(): number {
    return this.batch ?? 0
  }

  /** Undefined when the record continues what came before, else what is wrong with it. */
  take(record: LogRecord): string | undefined {
    const problem = this.takeOne(record)
    if (record.kind !== 'batch') this.begun = true
    return problem
  }

  private takeOne(record: LogRecord): string | undefined {
    switch (record.kind) {
      case 'batch':
        if (this.batch !== undefined && record.number !== this.batch + 1) return `batch ${record.number} follows batch ${this.batch}`
        this.batch = record.number
        return undefined
      case 'hard-state':
        if (record.hardState.term < this.hardState.term) return `term ${record.hardState.term} follows term ${this.hardState.term}`
        this.hardState = record.hardState
        return undefined
      case 'base':
        return this.takeBase(record.position)
      case 'begin':
        if (this.begun) return 'the log begins anew within a segment'
        this.base = record.position
        return undefined
      case 'entry':
        return this.takeEntry(record.entry)
    }
  }

  private takeBase(position: LogPosition): string | undefined {
    const last = this.entries.at(-1) ?? this.base
    if (!this.begun) this.base = position
    else if (last.index !== position.index || last.term !== position.term) {
      return `a segment that follows entry ${position.index} of term ${position.term} follows entry ${last.index} of term ${last.term}`
    }
    return undefined
  }

  /**
   * An entry at or below the last index replaces the log from there on. One at or below the base becomes the base: what
   * was cut is committed and applied, so a later record brought the entries back that it took away.
   */
  private takeEntry(entry: LogEntry): string | undefined {
    const lastIndex: LogIndex = logIndex(this.base.index + this.entries.length)
    if (entry.index < 1 || entry.index > lastIndex + 1) return `entry ${entry.index} follows entry ${lastIndex}`
    if (entry.term > this.hardState.term)
      return `entry ${entry.index} has term ${entry.term}, beyond the member's term ${this.hardState.term}`
    this.highest = Math.max(this.highest, entry.index)
    if (entry.index <= this.base.index) {
      this.entries.length = 0
      this.base = { index: entry.index, term: entry.term }
      return undefined
    }
    this.entries.length = entry.index - this.base.index - 1
    const before = this.entries.at(-1) ?? this.base
    if (before.term > entry.term) return `entry ${entry.index} has term ${entry.term}, the one before it ${before.term}`
    this.entries.push(entry)
    return undefined
  }
}

function corrupt(path: string, offset: number, what: string): ClusterError {
  return new ClusterError('STORE_CORRUPT', `${path} at offset ${offset}: ${what}`, {
    fix: 'nothing was changed; check the disk, move this data folder away and let the node join again as a new member, which copies everything from the others',
    facts: { file: path, offset },
  })
}

function pause(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
