/**
 * Opens a data folder and puts its parts together.
 *
 *     format.json      format version and the log's random id
 *     identity.json    who this member is
 *     current.json     which applied state is current, and what the log was to begin with when it was installed
 *     lock/            held while a process uses the folder
 *     log/             the Raft log with hard state, append-only segments
 *     applied/         the applied state, in `level`; `applied-1/` and on where it came as a snapshot
 *
 * A snapshot is installed by replacing current.json. What a crash leaves before that is a folder that nobody names; after it, a
 * log to be emptied, which current.json tells.
 */
import { realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { ClusterError, invariant, type LogIndex, logIndex, type Term, term } from '../../base/index.js'
import type { LogPosition, SnapshotMeta } from '../../core/raft/index.js'
import { type AppliedRead, AppliedState, loadRows } from './applied-state.js'
import type { Identity, Restored, RowChange, SnapshotReader, SnapshotWriter, Store, StoreListener } from './contract.js'
import { openDatabase, type RowDatabase } from './database.js'
import { type Disk, realDisk } from './disk.js'
import { Failure } from './failure.js'
import {
  appliedName,
  appliedNumber,
  type Current,
  type Format,
  formatVersion,
  readCurrent,
  readFormat,
  readIdentity,
  writeCurrent,
  writeFormat,
  writeIdentity,
} from './folder.js'
import { lockFolder } from './lock.js'
import { type LogRead, readLog } from './log-reader.js'
import { LogWriter } from './log-writer.js'
import { Receiving } from './receiving.js'
import { readSnapshot } from './snapshot-reader.js'

export interface StoreOptions {
  /** Bytes after which a log segment is followed by a new one. 16 MiB. */
  readonly segmentMax?: number
  /** Bytes by which a segment is made longer ahead of its records; 0 for never. 256 KiB. */
  readonly aheadStep?: number
  /** Bytes of log that may wait for a slow disk; beyond it the disk counts as failed. 256 MiB. */
  readonly waitingMax?: number
  /** For tests. */
  readonly disk?: Disk
}

export interface OpenedStore {
  readonly store: Store
  readonly restored: Restored
}

const mebibyte = 1024 * 1024
const rejoin = 'a part of the folder was lost or replaced; move it away and let the node join again as a new member'

/**
 * Opens `folder`, creating it where it is missing. A torn tail of the log is cut; damage is left untouched.
 * Errors: STORE_LOCKED, STORE_FORMAT, STORE_CORRUPT, STORE_FAILED.
 */
export async function openStore(folder: string, listener: StoreListener, options: StoreOptions = {}): Promise<OpenedStore> {
  const disk = options.disk ?? realDisk
  await disk.makeFolder(folder)
  const place = await realpath(folder)
  await readFormat(disk, place) // What a newer version wrote is left alone.
  const closing: { close(): Promise<void> }[] = [await lockFolder(place)]
  try {
    return await openLocked(disk, place, listener, options, closing)
  } catch (error) {
    for (const part of closing.reverse()) await part.close().catch(() => undefined)
    throw error
  }
}

/** Adds to `closing` what is to be closed again, from the last to the first. */
async function openLocked(
  disk: Disk,
  place: string,
  listener: StoreListener,
  options: StoreOptions,
  closing: { close(): Promise<void> }[],
): Promise<OpenedStore> {
  const { format, current } = await prepare(disk, place)
  const logFolder = join(place, 'log')
  await disk.makeFolder(logFolder)
  const identity = await readIdentity(disk, place)
  // At the same time, for who waits for this node counts the milliseconds of its start.
  const opening = openRows(disk, join(place, current.applied))
  closing.push({ close: async () => (await opening).database.close() })
  const [inLog, opened] = await Promise.all([readLog(disk, logFolder, format.logId), opening])
  const log = logFrom(inLog, current.logBase)
  let { database, read } = opened
  if (!read.sound) {
    if (log.base.index > 0)
      throw corrupt(`${place}: ${current.applied}/ lacks rows that it had, and the log no longer has them all`, { folder: place })
    await database.close()
    await disk.removeFolder(join(place, current.applied))
    ;({ database, read } = await openRows(disk, join(place, current.applied)))
    const again = database
    closing.push({ close: () => again.close() })
  }
  const applied = withTerm(read.applied, log)
  checkTogether(place, identity, log, applied)

  const failure = new Failure()
  const writer = await LogWriter.open(
    {
      disk,
      folder: logFolder,
      logId: format.logId,
      segmentMax: options.segmentMax ?? 16 * mebibyte,
      aheadStep: options.aheadStep ?? mebibyte / 4,
      waitingMax: options.waitingMax ?? 256 * mebibyte,
      onPersisted: (sequence) => listener.onPersisted(sequence),
      onFailure: failure.report,
    },
    inLog,
  )
  closing.push(writer)
  failure.stops(writer)
  if (log !== inLog) await writer.breakAt(log.base, () => Promise.resolve())
  if (failure.error !== undefined) throw failure.error
  failure.listener = listener
  const state = new AppliedState(database, () => writer.settled(), failure.report, { ...read, applied })
  failure.stops(state)
  const [lock] = closing as [RowDatabase]
  return {
    store: new FolderStore({ disk, place, lock, log: writer, failure }, state, current.applied),
    restored: { identity, hardState: log.hardState, base: log.base, entries: log.entries, applied, rows: read.rows, sum: read.sum },
  }
}

/** Makes an empty folder, or one of format 1, one of the present format; removes what an unfinished receive has left. */
async function prepare(disk: Disk, place: string): Promise<{ readonly format: Format; readonly current: Current }> {
  let format = await readFormat(disk, place)
  const isOld = format?.format === 1
  format ??= await writeFormat(disk, place)
  const current = (await readCurrent(disk, place, isOld)) ?? (await writeCurrent(disk, place, { applied: appliedName(0), logBase: null }))
  if (format.format < formatVersion) format = await writeFormat(disk, place, format)
  for (const name of await disk.list(place)) {
    if (appliedNumber(name) !== undefined && name !== current.applied) await disk.removeFolder(join(place, name))
  }
  return { format, current }
}

async function openRows(disk: Disk, folder: string): Promise<{ database: RowDatabase; read: AppliedRead }> {
  await disk.makeFolder(folder)
  const database = await openDatabase(folder)
  try {
    return { database, read: await loadRows(database) }
  } catch (error) {
    await database.close().catch(() => undefined)
    throw error
  }
}

/** The log as it is, or, where a crash kept an install from emptying it, the empty one after the snapshot. */
function logFrom(read: LogRead, logBase: LogPosition | null): Pick<LogRead, 'hardState' | 'base' | 'entries'> {
  if (logBase === null || read.base.index >= logBase.index || termAt(read, logBase.index) === logBase.term) return read
  return { hardState: read.hardState, base: { index: logIndex(logBase.index), term: term(logBase.term) }, entries: [] }
}

/** Term of the entry at `index`, or of the base there. */
function termAt({ base, entries }: Pick<LogRead, 'base' | 'entries'>, index: number): Term | undefined {
  return index === base.index ? base.term : entries[index - base.index - 1]?.term
}

/** Format 1 left the term to the log. */
function withTerm(applied: SnapshotMeta, log: Pick<LogRead, 'base' | 'entries'>): SnapshotMeta {
  return applied.index > 0 && applied.term === 0 ? { ...applied, term: termAt(log, applied.index) ?? applied.term } : applied
}

/** The parts were written in this order: identity, log, applied state. What is later may not be there without what is earlier. */
function checkTogether(
  folder: string,
  identity: Identity | undefined,
  log: Pick<LogRead, 'base' | 'entries'>,
  applied: SnapshotMeta,
): void {
  const first = log.base.index + 1
  const last = log.base.index + log.entries.length
  const facts = { folder, base: log.base.index, lastIndex: last, appliedIndex: applied.index }
  if (applied.index > last) {
    throw corrupt(`${folder}: the folder holds the state at index ${applied.index}, but the log ends at index ${last}`, facts)
  }
  if (applied.index < log.base.index) {
    throw corrupt(`${folder}: the folder holds the state at index ${applied.index}, but the log begins at index ${first}`, facts)
  }
  if (termAt(log, applied.index) !== applied.term) {
    throw corrupt(
      `${folder}: the folder holds the state at index ${applied.index} of term ${applied.term}, the log has another entry there`,
      facts,
    )
  }
  if (identity === undefined && last > 0) throw corrupt(`${folder}: identity.json is missing, but the log has entries up to ${last}`, facts)
}

function corrupt(what: string, facts: Readonly<Record<string, string | number>>): ClusterError {
  return new ClusterError('STORE_CORRUPT', what, { fix: rejoin, facts })
}

/** What stays the same while the store is open. */
interface Parts {
  readonly disk: Disk
  readonly place: string
  readonly lock: Pick<RowDatabase, 'close'>
  readonly log: LogWriter
  readonly failure: Failure
}

class FolderStore implements Store {
  private readonly parts: Parts
  private applied: AppliedState
  /** Name of the folder of the applied state. */
  private name: string
  private lastNumber: number
  private syncedIndex: number
  private receiving: Receiving | undefined
  private identityWritten: Promise<void> = Promise.resolve()
  /** Work on what is no longer current. */
  private clearing: Promise<void> = Promise.resolve()
  private closed: Promise<void> | undefined

  constructor(parts: Parts, applied: AppliedState, name: string) {
    this.parts = parts
    this.applied = applied
    this.name = name
    this.lastNumber = appliedNumber(name) ?? 0
    // LevelDB has just read its journal and written it anew, synced.
    this.syncedIndex = applied.applied.index
  }

  writeIdentity(identity: Identity): Promise<void> {
    this.identityWritten = this.identityWritten.then(() => this.guarded(() => writeIdentity(this.parts.disk, this.parts.place, identity)))
    return this.identityWritten
  }

  append(record: Parameters<Store['append']>[0], atOnce = false): void {
    this.checkOpen()
    this.parts.log.append(record, atOnce)
  }

  apply(applied: SnapshotMeta, changes: readonly RowChange[]): number {
    this.checkOpen()
    if (this.parts.failure.error !== undefined) return this.applied.sum
    this.applied.apply(applied, changes)
    return this.applied.sum
  }

  async syncApplied(): Promise<LogIndex> {
    this.checkOpen()
    const { disk, place, failure } = this.parts
    for (;;) {
      const state = this.applied
      await state.sync()
      if (failure.error !== undefined) throw failure.error
      if (state !== this.applied) continue
      const folder = join(place, this.name)
      const index = state.durableIndex
      try {
        await disk.syncFolder(folder) // LevelDB does not sync the name of a new journal file.
      } catch (error) {
        if (state === this.applied) throw failure.report(error)
      }
      if (state !== this.applied) continue
      this.syncedIndex = Math.max(this.syncedIndex, index)
      return index
    }
  }

  cutLog(index: LogIndex): void {
    this.checkOpen()
    invariant(index <= this.syncedIndex, 'the log is cut below what is durable of the applied state', { index, synced: this.syncedIndex })
    this.parts.log.cut(index)
  }

  get logBytes(): number {
    return this.parts.log.bytes
  }

  openSnapshot(): Promise<SnapshotReader> {
    this.checkOpen()
    return readSnapshot(this.applied.database)
  }

  async receiveSnapshot(meta: SnapshotMeta): Promise<SnapshotWriter> {
    this.checkOpen()
    this.checkNewer(meta)
    const { disk, place, failure } = this.parts
    if (failure.error !== undefined) throw failure.error
    const before = this.receiving
    this.lastNumber += 1
    const receiving = new Receiving({ disk, place, failure, meta, name: appliedName(this.lastNumber) })
    this.receiving = receiving
    await before?.abandon()
    await receiving.opened()
    return {
      write: (data) => receiving.write(data),
      install: (keepTail) => this.install(receiving, keepTail),
      abandon: () => receiving.abandon(),
    }
  }

  private async install(receiving: Receiving, keepTail: boolean): Promise<void> {
    this.checkOpen()
    const { disk, place, failure, log } = this.parts
    if (failure.error !== undefined) throw failure.error
    const { meta, name } = receiving
    this.checkNewer(meta)
    const [old, oldName] = [this.applied, this.name]
    const state = receiving.become(() => log.settled())
    this.receiving = undefined
    failure.stops(state)
    failure.forgets(old)
    old.stop()
    this.applied = state
    await log.breakAt(keepTail ? undefined : meta, async () => {
      await receiving.written()
      await disk.syncFolder(join(place, name))
      await disk.syncFolder(place)
      const { index, term } = meta
      await writeCurrent(disk, place, { applied: name, logBase: keepTail ? null : { index, term } })
    })
    if (failure.error !== undefined) throw failure.error
    this.name = name
    this.syncedIndex = meta.index
    state.release(meta.index)
    this.clear(old, oldName)
  }

  private clear(old: AppliedState, name: string): void {
    const { disk, place } = this.parts
    this.clearing = this.clearing.then(() =>
      this.guarded(async () => {
        await old.close()
        await disk.removeFolder(join(place, name))
      }).catch(() => undefined),
    )
  }

  private checkNewer({ index }: SnapshotMeta): void {
    const applied = this.applied.applied.index
    invariant(index > applied, 'a snapshot is of a later state than the present one', { index, applied })
  }

  private checkOpen(): void {
    invariant(this.closed === undefined, 'an open store is used')
  }

  /** Does nothing after a failure; what goes wrong is one. */
  private async guarded(act: () => Promise<void>): Promise<void> {
    const { failure } = this.parts
    if (failure.error !== undefined) throw failure.error
    try {
      await act()
    } catch (error) {
      throw failure.report(error)
    }
  }

  close(): Promise<void> {
    this.closed ??= this.closeParts()
    return this.closed
  }

  private async closeParts(): Promise<void> {
    await this.identityWritten.catch(() => undefined)
    await this.parts.log.close()
    await this.receiving?.abandon().catch(() => undefined)
    await this.clearing
    await this.applied.close()
    await this.parts.lock.close()
  }
}
