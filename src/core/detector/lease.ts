/**
 * Leases, both ends. A node may act on its grants until the echoed send time of its heartbeat plus `L` (DESIGN "Lease").
 *
 * All readings are of the boot clock, each on its own node; the two ends never compare their clocks, only spans.
 */
import { type BootId, type BootInstant, bootClockGrain, clockDrift, type LogIndex, type NodeId, type SessionId } from '../../base/index.js'

export interface Renewal {
  readonly session: SessionId
  /** The holder's own reading when it sent the heartbeat that is answered. */
  readonly sendTime: BootInstant
  readonly leaseMs: number
  readonly commitIndex: LogIndex
}

/** The node that lives by the lease. */
export class LeaseHolder {
  private readonly session: SessionId
  private until: number | undefined
  private latest: Renewal | undefined

  constructor(session: SessionId) {
    this.session = session
  }

  /** Takes an answer to one of its own heartbeats of its own session; anything else says nothing. True when the deadline moved. */
  renewed(renewal: Renewal): boolean {
    if (renewal.session !== this.session) return false
    if (this.latest !== undefined && renewal.sendTime <= this.latest.sendTime) return false
    this.latest = renewal
    this.until = renewal.sendTime + renewal.leaseMs
    return true
  }

  /** Nothing may be begun at or after this reading. Undefined before the first renewal. */
  get deadline(): BootInstant | undefined {
    return this.until as BootInstant | undefined
  }

  /** Send time of the heartbeat whose answer is the newest: an arbiter acts only when it was asked after it applied its attempt. */
  get askedAt(): BootInstant | undefined {
    return this.latest?.sendTime
  }

  /** What had been committed when the lease was renewed: nothing is started before it is applied here. */
  get commitIndex(): LogIndex | undefined {
    return this.latest?.commitIndex
  }

  remaining(reading: BootInstant): number {
    return this.until === undefined ? 0 : Math.max(0, this.until - (reading + bootClockGrain))
  }

  mayAct(reading: BootInstant, appliedIndex: LogIndex): boolean {
    return this.remaining(reading) > 0 && this.latest !== undefined && appliedIndex >= this.latest.commitIndex
  }
}

interface Given {
  readonly boot: BootId
  /** Receipt of the last heartbeat that was answered. */
  answered: number
}

/** The leader that gives leases, and judges when one has surely run out. */
export class LeaseGiver {
  private readonly electedAt: BootInstant
  private readonly given = new Map<string, Given>()
  private readonly withheld = new Set<string>()

  constructor(electedAt: BootInstant) {
    this.electedAt = electedAt
  }

  /** From proposing a condemnation on, no heartbeat of the boot is answered, rounds under way included. */
  withhold(node: NodeId, boot: BootId): void {
    this.withheld.add(key(node, boot))
  }

  /** The state machine refused the condemnation: the boot is answered again. */
  resume(node: NodeId, boot: BootId): void {
    this.withheld.delete(key(node, boot))
  }

  isWithheld(node: NodeId, boot: BootId): boolean {
    return this.withheld.has(key(node, boot))
  }

  /** To be called when the answer leaves, with the receipt of the heartbeat that it answers. */
  answered(node: NodeId, boot: BootId, received: BootInstant): void {
    const known = this.given.get(key(node, boot))
    if (known === undefined) this.given.set(key(node, boot), { boot, answered: received })
    else known.answered = Math.max(known.answered, received)
  }

  /** Whether this leader has answered the boot before. */
  hasAnswered(node: NodeId, boot: BootId): boolean {
    return this.given.has(key(node, boot))
  }

  /** Milliseconds until every lease this boot may have is over and its emergency stop with it; 0 when it is. */
  untilExpired(node: NodeId, boot: BootId, leaseMs: number, emergencyStopMs: number, reading: BootInstant): number {
    const from = Math.max(this.electedAt, this.given.get(key(node, boot))?.answered ?? 0)
    const bound = (leaseMs + emergencyStopMs + 1_000) * (1 + clockDrift)
    return Math.max(0, bound - (reading - from - bootClockGrain))
  }
}

const key = (node: NodeId, boot: BootId): string => `${node}/${boot}`
