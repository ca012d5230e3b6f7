/**
 * Which programs are started first: `first` what holds up a method that has begun, or an address that is to go; then stops, and looks
 * whether something has stopped; then what somebody waits for; at last probes that come again by themselves.
 */
export type Urgency = 'first' | 'stop' | 'soon' | 'periodic'

const urgencies: readonly Urgency[] = ['first', 'stop', 'soon', 'periodic']

/** To start one program holds everything else up for 5 to 20 ms. */
const perTurn = 8

/**
 * A few programs are started in a turn of the event loop, and then everything else gets its own.
 *
 * Where hundreds are to be started at once, whoever does it would otherwise say nothing for seconds, be taken for hung, and be ended in
 * the middle of it.
 */
export class Pace {
  readonly #waiting: Readonly<Record<Urgency, ((given: boolean) => void)[]>> = { first: [], stop: [], soon: [], periodic: [] }
  #taken = 0
  #isClosed = false

  /** True when a program may be started; false as soon as `signal` says that none is wanted any more, or when all of this ends. */
  take(urgency: Urgency, signal: AbortSignal): Promise<boolean> {
    if (this.#isClosed || signal.aborted) return Promise.resolve(false)
    if (this.#taken < perTurn) {
      this.#count()
      return Promise.resolve(true)
    }
    return new Promise((resolve) => {
      const queue = this.#waiting[urgency]
      const give = (given: boolean) => {
        signal.removeEventListener('abort', leave)
        resolve(given)
      }
      const leave = () => {
        queue.splice(queue.indexOf(give), 1)
        resolve(false)
      }
      queue.push(give)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  close() {
    this.#isClosed = true
    for (const urgency of urgencies) for (const give of this.#waiting[urgency].splice(0)) give(false)
  }

  #count() {
    if (this.#taken++ > 0) return
    setImmediate(() => {
      this.#taken = 0
      while (this.#taken < perTurn) {
        const next = urgencies.map((urgency) => this.#waiting[urgency]).find((queue) => queue.length > 0)
        if (next === undefined) return
        this.#count()
        next.shift()?.(true)
      }
    })
  }
}
