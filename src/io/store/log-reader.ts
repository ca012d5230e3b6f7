/**
 * Reads the log back and judges what is broken in it. Writes nothing.
 *
 * A torn tail is what a crash leaves of the one batch that was not synced yet: it lies at the end of the last segment, and
 * nothing sound follows it, or only records of the same batch behind a sector that never reached the disk. It may be cut.
 * Anything else was synced once, perhaps acknowledged, and is damage: STORE_CORRUPT (Alagappan, Protocol-Aware Recovery, FAST 2018).
 */
import { join } from 'node:path'
import { ClusterError, type LogIndex, logIndex, term } from '../../base/index.js'
import type { HardState, LogEntry } from '../../core/raft/index.js'
import type { Disk } from './disk.js'
import { type LogRecord, readRecord } from './record.js'
import { segmentName, segmentNumber, segmentSeed } from './segment.js'

export interface LogRead {
  readonly hardState: HardState
  readonly entries: readonly LogEntry[]
  /** Number of the last batch read; 0 for an empty log. */
  readonly lastBatch: number
  /** The segment to go on writing; 1 for an empty log. */
  readonly segment: number
  /** Bytes of it that are sound, and its length on disk: where they differ, the rest is a torn tail. */
  readonly soundLength: number
  readonly fileLength: number
  /** The bytes of the last batch in that segment and where they begin. */
  readonly tail: { readonly position: number; readonly bytes: Uint8Array }
}

/** After so many bytes the reader lets other work of the process in. */
const sliceBytes = 1024 * 1024
/** Disks write whole sectors: one that never arrived reads as zeros. */
const sector = 512

/** Errors: STORE_CORRUPT, with the file and the offset. */
export async function readLog(disk: Disk, folder: string, logId: string): Promise<LogRead> {
  const reading = new Reading()
  const numbers = (await disk.list(folder)).map(segmentNumber).filter((number) => number !== undefined)
  let last: Pick<LogRead, 'segment' | 'soundLength' | 'fileLength' | 'tail'> | undefined
  for (const [at, number] of numbers.entries()) {
    const path = join(folder, segmentName(number))
    if (number !== at + 1) throw corrupt(join(folder, segmentName(at + 1)), 0, 'the file is missing, later ones are there')
    const bytes = Buffer.from(((await disk.read(path)) ?? new Uint8Array()) as Uint8Array<ArrayBuffer>)
    last = {
      segment: number,
      fileLength: bytes.length,
      ...(await readSegment(reading, path, bytes, segmentSeed(logId, number), at === numbers.length - 1)),
    }
  }
  last ??= { segment: 1, soundLength: 0, fileLength: 0, tail: { position: 0, bytes: new Uint8Array() } }
  return { hardState: reading.hardState, entries: reading.entries, lastBatch: reading.lastBatch, ...last }
}

async function readSegment(
  reading: Reading,
  path: string,
  bytes: Buffer,
  seed: number,
  isLast: boolean,
): Promise<Pick<LogRead, 'soundLength' | 'tail'>> {
  let at = 0
  let batchStart = 0
  let pauseAt = sliceBytes
  while (at < bytes.length) {
    const read = readRecord(bytes, at, seed)
    if (read === undefined) {
      if (!isLast) throw corrupt(path, at, 'the record there fails its checksum, and later segments follow')
      await judgeTail(path, bytes, at, seed)
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
  return { soundLength: at, tail: { position: batchStart, bytes: bytes.subarray(batchStart, at) } }
}

/** Returns when what begins at `damaged` is a torn tail, else throws. */
async function judgeTail(path: string, bytes: Buffer, damaged: number, seed: number): Promise<void> {
  let sameBatchAt: number | undefined
  for (let at = damaged + 1; at < bytes.length; ) {
    if (at % sliceBytes === 0) await pause()
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
}

function hasUnwrittenSector(bytes: Buffer, from: number, to: number): boolean {
  for (let at = Math.ceil(from / sector) * sector; at + sector <= to; at += sector) {
    if (bytes.subarray(at, at + sector).every((byte) => byte === 0)) return true
  }
  return false
}

/** What the records read so far add up to. */
class Reading {
  hardState: HardState = { term: term(0), votedFor: null }
  readonly entries: LogEntry[] = []
  lastBatch = 0

  /** Undefined when the record continues what came before, else what is wrong with it. */
  take(record: LogRecord): string | undefined {
    switch (record.kind) {
      case 'batch':
        if (record.number !== this.lastBatch + 1) return `batch ${record.number} follows batch ${this.lastBatch}`
        this.lastBatch = record.number
        return undefined
      case 'hard-state':
        if (record.hardState.term < this.hardState.term) return `term ${record.hardState.term} follows term ${this.hardState.term}`
        this.hardState = record.hardState
        return undefined
      case 'entry':
        return this.takeEntry(record.entry)
    }
  }

  /** An entry at or below the last index replaces the log from there on. */
  private takeEntry(entry: LogEntry): string | undefined {
    const lastIndex: LogIndex = logIndex(this.entries.length)
    if (entry.index < 1 || entry.index > lastIndex + 1) return `entry ${entry.index} follows entry ${lastIndex}`
    if (entry.term > this.hardState.term)
      return `entry ${entry.index} has term ${entry.term}, beyond the member's term ${this.hardState.term}`
    this.entries.length = entry.index - 1
    const before = this.entries.at(-1)
    if (before !== undefined && before.term > entry.term)
      return `entry ${entry.index} has term ${entry.term}, the one before it ${before.term}`
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
