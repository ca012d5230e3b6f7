/** Programs that the monitor runs for the daemon. A call that is asked for again is never run again. */
import { type BootInstant, bootInstant, type GroupName } from '../../base/index.js'
import type { MonitorEffect, MonitorEvent } from './events.js'
import type { MonitorOrder, MonitorReport } from './protocol.js'

type Call = Extract<MonitorOrder, { kind: 'call' }>
type Called = Extract<MonitorReport, { kind: 'called' }>

/** How long a held call may wait for its release; its process is then ended without having been told anything. */
export const holdMax = 120_000
const answersKept = 64
const callsMax = 64

export class Calls {
  readonly #emit: (effect: MonitorEffect) => void
  /** `heldUntil` is undefined once released. */
  readonly #running = new Map<string, { heldUntil: BootInstant | undefined; readonly group: GroupName | undefined; cancelled: boolean }>()
  readonly #answers = new Map<string, Called>()

  constructor(emit: (effect: MonitorEffect) => void) {
    this.#emit = emit
  }

  get wakeAt(): BootInstant | undefined {
    const ends = [...this.#running.values()].flatMap(({ heldUntil }) => (heldUntil === undefined ? [] : [heldUntil]))
    return ends.length === 0 ? undefined : bootInstant(Math.min(...ends))
  }

  order(call: Call, now: BootInstant) {
    const answer = this.#answers.get(call.callId)
    if (answer !== undefined) return this.#emit({ kind: 'report', report: answer })
    if (this.#running.has(call.callId)) return
    if (this.#running.size >= callsMax) {
      return this.refuse(call.callId, `${callsMax} calls are already running`)
    }
    const heldUntil = call.hold ? bootInstant(now + holdMax) : undefined
    this.#running.set(call.callId, { heldUntil, group: call.of?.group, cancelled: false })
    this.#emit({ kind: 'call', call })
  }

  release(callId: string) {
    const running = this.#running.get(callId)
    if (running?.heldUntil === undefined) return
    running.heldUntil = undefined
    this.#emit({ kind: 'call-release', callId })
  }

  cancel(callId: string) {
    if (this.#running.has(callId)) this.#emit({ kind: 'call-cancel', callId })
  }

  refuse(callId: string, stderr: string) {
    this.#emit({ kind: 'report', report: { kind: 'called', callId, outcome: 'failed-to-start', stdout: '', stderr, elapsedMs: 0 } })
  }

  /** How many act under a grant of the group. */
  countOf(group: GroupName): number {
    return [...this.#running.values()].filter((one) => one.group === group).length
  }

  /** Whoever acts under a grant of the group is ended. */
  cancelOf(group: GroupName) {
    for (const [callId, running] of this.#running) {
      if (running.group !== group || running.cancelled) continue
      running.cancelled = true
      this.#emit({ kind: 'call-cancel', callId })
    }
  }

  /** Ends what has been held for too long. */
  advance(now: BootInstant) {
    for (const [callId, running] of this.#running) {
      if (running.heldUntil === undefined || running.heldUntil > now) continue
      running.heldUntil = undefined
      this.#emit({ kind: 'call-cancel', callId })
    }
  }

  /** Answers with the group under whose grant it acted. */
  onCalled(event: Extract<MonitorEvent, { kind: 'called' }>): GroupName | undefined {
    const running = this.#running.get(event.callId)
    if (running === undefined) return undefined
    this.#running.delete(event.callId)
    const answer: Called = { kind: 'called', callId: event.callId, ...event.outcome }
    this.#answers.set(event.callId, answer)
    const oldest = this.#answers.keys().next()
    if (this.#answers.size > answersKept && oldest.done !== true) this.#answers.delete(oldest.value)
    this.#emit({ kind: 'report', report: answer })
    return running.group
  }
}
