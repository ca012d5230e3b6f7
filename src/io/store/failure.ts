/** The first failure of any part of a store stops all of them, and is told once. */
import { ClusterError } from '../../base/index.js'
import type { StoreListener } from './contract.js'

export class Failure {
  /** Who is told; nobody while the store is being opened. */
  listener: StoreListener | undefined
  error: unknown
  private readonly parts = new Set<{ stop(): void }>()

  stops(part: { stop(): void }): void {
    this.parts.add(part)
  }

  forgets(part: { stop(): void }): void {
    this.parts.delete(part)
  }

  /** Returns what was reported first. */
  readonly report = (error: unknown): unknown => {
    if (this.error !== undefined) return this.error
    this.error =
      error instanceof ClusterError ? error : new ClusterError('STORE_FAILED', String(error), { facts: { cause: String(error) } })
    for (const part of this.parts) part.stop()
    this.listener?.onFailure(this.error)
    return this.error
  }
}
