/** What the routes reach the cluster by. */
import { ClusterError } from '../../base/index.js'
import type { Daemon, QuorateNode } from '../../node/index.js'
import { ResourceTypes } from './resource-types.js'
import { Waits } from './waits.js'

export type Log = (level: 'info' | 'warn' | 'error', text: string) => void

export class Access {
  readonly daemon: Daemon
  readonly waits = new Waits()
  readonly types: ResourceTypes
  /** Aborted when the listeners close. */
  readonly ending = new AbortController()
  /** Fingerprints of requests under way, by their Idempotency-Key. */
  readonly underWay = new Map<string, string>()

  constructor(daemon: Daemon) {
    this.daemon = daemon
    this.types = new ResourceTypes(daemon)
    // A cluster that never forms ends the daemon by itself.
    void daemon.formed.then(
      (node) => this.waits.attach(node),
      () => undefined,
    )
  }

  /** Errors: NOT_FORMED. */
  get node(): QuorateNode {
    const { node, waitingFor } = this.daemon
    if (node === undefined)
      throw new ClusterError('NOT_FORMED', waitingFor, { fix: 'start the missing nodes; GET /v1/status says who is waited for' })
    return node
  }

  /** A TCP listener without keys. */
  get isInsecure(): boolean {
    return this.daemon.config.api.listen !== undefined
  }

  end(): void {
    this.ending.abort()
    this.waits.end()
  }
}
