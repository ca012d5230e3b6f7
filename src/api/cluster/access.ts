/** What the routes reach the cluster by. */
import { ClusterError, RenewingSet } from '../../base/index.js'
import { canonical, type Fencing, isSealed, levelInForce, metaOf, type Reader, sealsLevel, storageAgent } from '../../core/cluster/index.js'
import type { Daemon, QuorateNode } from '../../node/index.js'
import { type FencingDoors, writtenFencing } from './fencing.js'
import { LiveEvents } from './live-events.js'
import { ResourceTypes } from './resource-types.js'
import { Waits } from './waits.js'

export type Log = (level: 'info' | 'warn' | 'error', text: string) => void

export class Access {
  readonly daemon: Daemon
  readonly waits = new Waits()
  readonly live = new LiveEvents()
  readonly types: ResourceTypes
  /** Of the requests that are being handled: aborted when their client is gone, or when the listeners close. */
  private readonly handled = new RenewingSet<AbortController>()
  private ended = false
  /** Fingerprints of requests under way, by their Idempotency-Key. */
  readonly underWay = new Map<string, string>()

  constructor(daemon: Daemon) {
    this.daemon = daemon
    this.types = new ResourceTypes(daemon)
    // A cluster that never forms ends the daemon by itself.
    void daemon.formed.then(
      (node) => {
        this.waits.attach(node)
        this.live.attach(node)
      },
      () => undefined,
    )
  }

  /** Undefined until the cluster has formed and this node has its first entry, which names the nodes. */
  get formedNode(): QuorateNode | undefined {
    const { node } = this.daemon
    return node !== undefined && metaOf(node.state).clusterName !== '' ? node : undefined
  }

  /** What is waited for while there is no formed node. */
  get waitingFor(): string {
    return this.daemon.node === undefined ? this.daemon.waitingFor : 'waiting for a leader and its first entry'
  }

  /** Errors: NOT_FORMED. */
  get node(): QuorateNode {
    const node = this.formedNode
    if (node === undefined)
      throw new ClusterError('NOT_FORMED', this.waitingFor, { fix: 'start the missing nodes; GET /v1/status says who is waited for' })
    return node
  }

  /** A TCP listener without keys. */
  get isInsecure(): boolean {
    return this.daemon.config.api.listen !== undefined
  }

  /** A signal for one request, and how to say that it is over. */
  handling(): { readonly signal: AbortSignal; over(): void } {
    const controller = new AbortController()
    if (this.ended) controller.abort()
    this.handled.add(controller)
    const over = (): void => {
      this.handled.delete(controller)
      controller.abort()
    }
    return { signal: controller.signal, over }
  }

  /** How secrets go into the log, as far as every member understands it; what is sealed stays as it is. Errors: INVALID when it is sealed under another secret. */
  sealing(state: Reader): (text: string) => string {
    const { sealer } = this.daemon
    const isKnown = levelInForce(state) >= sealsLevel
    return (text) => {
      if (!isSealed(text)) return isKnown ? sealer.seal(text) : text
      sealer.open(text)
      return text
    }
  }

  fencing(state: Reader): FencingDoors {
    return { at: this.daemon.config.node, seal: this.sealing(state) }
  }

  /** Devices that are new, by what their agents say of themselves. Answers with what is unwise. Errors: INVALID_DEFINITION, NO_QUORUM. */
  async checkFencing(fencing: Fencing, known: Fencing): Promise<readonly string[]> {
    // A password says nothing of what has to be checked.
    const shown = (of: Fencing) => (writtenFencing(of).levels as readonly unknown[][]).flat().map(canonical)
    const before = new Set(shown(known))
    const isNew = shown(fencing).map((device) => !before.has(device))
    const devices = fencing.levels.flat().filter(({ agent }, at) => agent !== storageAgent && isNew[at] === true)
    // That nothing runs programs now keeps nobody from changing devices.
    if (devices.length > 0 && this.daemon.node?.status.monitor !== true)
      return ['the monitor of this node does not answer: parameters of fence agents are not checked']
    const warnings: string[] = []
    for (const device of devices) warnings.push(...(await this.daemon.fenceAgents.check(device)))
    return warnings
  }

  end(): void {
    this.ended = true
    this.waits.end()
    for (const controller of this.handled) controller.abort()
  }
}
