/** One receive of a snapshot, from its folder's making to the install or the abandoning. One step at a time. */
import { join } from 'node:path'
import { ClusterError, invariant } from '../../base/index.js'
import type { SnapshotMeta } from '../../core/raft/index.js'
import type { AppliedState } from './applied-state.js'
import type { Row } from './contract.js'
import { openDatabase } from './database.js'
import type { Disk } from './disk.js'
import type { Failure } from './failure.js'
import { ReceivedState } from './snapshot-writer.js'

export interface ReceivingOptions {
  readonly disk: Disk
  /** The data folder. */
  readonly place: string
  readonly failure: Failure
  readonly meta: SnapshotMeta
  /** Of the folder to receive into. */
  readonly name: string
}

export class Receiving {
  private readonly options: ReceivingOptions
  private state: ReceivedState | undefined
  /** Ends when what was begun has ended; its errors are told to those who began it. */
  private chain: Promise<unknown>
  private readonly opening: Promise<void>
  private writing: Promise<unknown> = Promise.resolve()
  private abandoned: Promise<void> | undefined
  private installed = false

  constructor(options: ReceivingOptions) {
    this.options = options
    this.opening = this.open()
    this.chain = this.opening.catch(() => undefined)
  }

  get meta(): SnapshotMeta {
    return this.options.meta
  }

  get name(): string {
    return this.options.name
  }

  private async open(): Promise<void> {
    const { disk, place, failure, meta, name } = this.options
    const folder = join(place, name)
    try {
      await disk.makeFolder(folder)
      this.state = new ReceivedState(meta, name, await openDatabase(folder))
    } catch (error) {
      throw failure.report(error)
    }
  }

  opened(): Promise<void> {
    return this.opening
  }

  write(data: Uint8Array): Promise<readonly Row[]> {
    const writing = this.chain.then(async () => {
      const { state } = this
      if (state === undefined || this.abandoned !== undefined) throw gone(this.name)
      const rows = state.take(data)
      try {
        await state.write()
      } catch (error) {
        throw this.options.failure.report(error)
      }
      return rows
    })
    this.writing = writing
    this.chain = writing.catch(() => undefined)
    return writing
  }

  /** The state that goes on from here, held until what was received is installed. */
  become(logged: () => Promise<boolean>): AppliedState {
    invariant(this.abandoned === undefined, 'an abandoned snapshot is not installed', { name: this.name })
    invariant(this.state !== undefined, 'an open snapshot is installed', { name: this.name })
    this.installed = true
    return this.state.become(logged, this.options.failure.report)
  }

  /** Resolves when all that was received is durable. */
  async written(): Promise<void> {
    await this.writing
  }

  abandon(): Promise<void> {
    if (this.installed) return Promise.resolve()
    this.abandoned ??= this.chain.then(() => this.remove())
    return this.abandoned
  }

  private async remove(): Promise<void> {
    const { disk, place, failure, name } = this.options
    await this.state?.close().catch(() => undefined) // Whatever it would still write is not wanted.
    try {
      await disk.removeFolder(join(place, name))
    } catch (error) {
      throw failure.report(error)
    }
  }
}

function gone(name: string): ClusterError {
  return new ClusterError('SNAPSHOT_GONE', `the snapshot that was received into ${name} was abandoned`)
}
