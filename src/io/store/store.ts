/**
 * Opens a data folder and puts its parts together.
 *
 *     format.json      format version and the log's random id
 *     identity.json    who this member is
 *     log/             the Raft log with hard state, append-only segments
 *     applied/         the applied state, in `level`; its lock is the folder's lock
 */
import { realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { ClusterError, invariant } from '../../base/index.js'
import { AppliedState } from './applied-state.js'
import type { Identity, Restored, Store, StoreListener } from './contract.js'
import { type Disk, realDisk } from './disk.js'
import { readFormat, readIdentity, writeFormat, writeIdentity } from './folder.js'
import { readLog } from './log-reader.js'
import { LogWriter } from './log-writer.js'

export interface StoreOptions {
  /** Bytes after which a log segment is followed by a new one. 64 MiB. */
  readonly segmentMax?: number
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

/**
 * Opens `folder`, creating it where it is missing. A torn tail of the log is cut; damage is left untouched.
 * Errors: STORE_LOCKED, STORE_FORMAT, STORE_CORRUPT, STORE_FAILED.
 */
export async function openStore(folder: string, listener: StoreListener, options: StoreOptions = {}): Promise<OpenedStore> {
  const disk = options.disk ?? realDisk
  await disk.makeFolder(folder)
  const place = await realpath(folder)
  const known = await readFormat(disk, place)

  const failure = new Failure(listener)
  const { state, read: applied } = await AppliedState.open(place, failure.report)
  failure.stops(state)
  try {
    const format = known ?? (await writeFormat(disk, place))
    const logFolder = join(place, 'log')
    await disk.makeFolder(logFolder)
    const identity = await readIdentity(disk, place)
    const read = await readLog(disk, logFolder, format.logId)
    checkTogether(place, identity, read.entries.length, applied.appliedIndex)
    const log = await LogWriter.open(
      {
        disk,
        folder: logFolder,
        logId: format.logId,
        segmentMax: options.segmentMax ?? 64 * mebibyte,
        waitingMax: options.waitingMax ?? 256 * mebibyte,
        onPersisted: (sequence) => listener.onPersisted(sequence),
        onFailure: failure.report,
      },
      read,
    )
    failure.stops(log)
    return {
      store: new FolderStore(disk, place, log, state, failure),
      restored: { identity, hardState: read.hardState, entries: read.entries, ...applied },
    }
  } catch (error) {
    await state.close().catch(() => undefined)
    throw error
  }
}

/** The parts were written in this order: identity, log, applied state. What is later may not be there without what is earlier. */
function checkTogether(folder: string, identity: Identity | undefined, lastIndex: number, appliedIndex: number): void {
  const lost =
    appliedIndex > lastIndex
      ? `applied/ holds the state at index ${appliedIndex}, but the log ends at index ${lastIndex}`
      : identity === undefined && lastIndex > 0
        ? `identity.json is missing, but the log has ${lastIndex} entries`
        : undefined
  if (lost === undefined) return
  throw new ClusterError('STORE_CORRUPT', `${folder}: ${lost}`, {
    fix: 'a part of the folder was lost or replaced; move it away and let the node join again as a new member',
    facts: { folder, lastIndex, appliedIndex },
  })
}

/** The first failure of any part stops all of them, and is told once. */
class Failure {
  private readonly listener: StoreListener
  private readonly parts: { stop(): void }[] = []
  error: unknown

  constructor(listener: StoreListener) {
    this.listener = listener
  }

  stops(part: { stop(): void }): void {
    this.parts.push(part)
  }

  readonly report = (error: unknown): void => {
    if (this.error !== undefined) return
    this.error =
      error instanceof ClusterError ? error : new ClusterError('STORE_FAILED', String(error), { facts: { cause: String(error) } })
    for (const part of this.parts) part.stop()
    this.listener.onFailure(this.error)
  }
}

class FolderStore implements Store {
  private readonly disk: Disk
  private readonly folder: string
  private readonly log: LogWriter
  private readonly applied: AppliedState
  private readonly failure: Failure
  private identityWritten: Promise<void> = Promise.resolve()
  private closed: Promise<void> | undefined

  constructor(disk: Disk, folder: string, log: LogWriter, applied: AppliedState, failure: Failure) {
    this.disk = disk
    this.folder = folder
    this.log = log
    this.applied = applied
    this.failure = failure
  }

  writeIdentity(identity: Identity): Promise<void> {
    this.identityWritten = this.identityWritten.then(async () => {
      if (this.failure.error !== undefined) throw this.failure.error
      try {
        await writeIdentity(this.disk, this.folder, identity)
      } catch (error) {
        this.failure.report(error)
        throw this.failure.error
      }
    })
    return this.identityWritten
  }

  append(record: Parameters<Store['append']>[0]): void {
    invariant(this.closed === undefined, 'an open store is written to')
    this.log.append(record)
  }

  apply(...[appliedIndex, changes]: Parameters<Store['apply']>): void {
    invariant(this.closed === undefined, 'an open store is written to')
    if (this.failure.error !== undefined) return
    invariant(appliedIndex <= this.log.durableIndex, 'the applied state is never ahead of the log on disk', {
      appliedIndex,
      durable: this.log.durableIndex,
    })
    this.applied.apply(appliedIndex, changes)
  }

  close(): Promise<void> {
    this.closed ??= this.closeParts()
    return this.closed
  }

  private async closeParts(): Promise<void> {
    await this.identityWritten.catch(() => undefined)
    await this.log.close()
    await this.applied.close()
  }
}
