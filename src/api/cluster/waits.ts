/**
 * Requests that wait for something to be applied here, and at which index what was last changed.
 *
 * Bounded; released when the time is over, when the client is gone and when the listener closes.
 */
import { ClusterError, RenewingSet } from '../../base/index.js'
import type { TableName } from '../../core/cluster/index.js'
import type { QuorateNode } from '../../node/index.js'

/** Longest time a request may wait. Milliseconds. */
export const waitMax = 300_000
const waitingMax = 2_000
/** Rows of one table whose last change is remembered one by one. */
const keysMax = 20_000
/** Tables of which one row may be asked for, and whose rows do not say themselves when they were last changed. */
const followedByRow: ReadonlySet<TableName> = new Set<TableName>(['groups', 'operations', 'cases', 'checkpoints'])

/** What an answer depends on: whole tables, or one row of one. */
export interface Relevant {
  readonly tables: readonly TableName[]
  readonly row?: { readonly table: 'store' | 'groups' | 'operations' | 'cases' | 'checkpoints'; readonly key: string }
}

export class Waits {
  private readonly waiting = new RenewingSet<() => void>()
  private readonly tables = new Map<TableName, number>()
  private readonly rows = new Map<TableName, Map<string, number>>()
  /** Changes up to here are not remembered. */
  private floor = 0
  private ended = false
  /** The revision of a key of the store, which is the index of its last change; 0 where there is none. */
  private revisionOf: (key: string) => number = () => 0

  attach(node: QuorateNode): void {
    this.floor = node.state.appliedIndex
    this.revisionOf = (key) => node.state.get('store', key)?.revision ?? 0
    node.onApplied(({ index, changes, replaced }) => {
      // The state has become that of a snapshot: anything may have changed.
      if (replaced === true) this.floor = index
      for (const { table, key, value } of changes) this.note(table as TableName, key, value, index)
      for (const look of [...this.waiting]) look()
    })
  }

  private note(table: TableName, key: string, value: unknown, index: number): void {
    this.tables.set(table, index)
    if (table === 'store' ? value !== undefined : !followedByRow.has(table)) return
    let keys = this.rows.get(table)
    if (keys === undefined || keys.size >= keysMax) {
      if (keys !== undefined) this.floor = index
      keys = new Map()
      this.rows.set(table, keys)
    }
    keys.set(key, index)
  }

  /** The index of the last change of anything relevant; never too low, since nobody may miss one. */
  lastChange(relevant: Relevant): number {
    const { row } = relevant
    return Math.max(
      this.floor,
      ...relevant.tables.map((table) => this.tables.get(table) ?? 0),
      row === undefined ? 0 : (this.rows.get(row.table)?.get(row.key) ?? 0),
      row?.table === 'store' ? this.revisionOf(row.key) : 0,
    )
  }

  /** Resolves with whether `holds` came true; false when the time, the client or the listener ended first. Errors: OVERLOADED. */
  until(holds: () => boolean, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    if (holds()) return Promise.resolve(true)
    if (timeoutMs <= 0 || signal.aborted || this.ended) return Promise.resolve(false)
    if (this.waiting.size >= waitingMax)
      return Promise.reject(new ClusterError('OVERLOADED', `${waitingMax} requests wait already`, { fix: 'ask again without wait' }))
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer)
        this.waiting.delete(look)
        signal.removeEventListener('abort', give)
      }
      const give = (): void => {
        settle()
        resolve(false)
      }
      const look = (): void => {
        try {
          if (this.ended) return give()
          if (!holds()) return
          settle()
          resolve(true)
        } catch (error) {
          settle()
          reject(error)
        }
      }
      const timer = setTimeout(give, timeoutMs)
      signal.addEventListener('abort', give)
      this.waiting.add(look)
    })
  }

  end(): void {
    this.ended = true
    for (const look of [...this.waiting]) look()
  }
}
