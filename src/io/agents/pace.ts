/** Which programs are started first. */
export type Urgency = 'stop' | 'soon' | 'periodic'

/**
 * One program at a time is started, in a turn of the event loop of its own.
 *
 * To start one holds everything else up for 5 to 20 ms. Where hundreds are to be started at once, whoever does it would say nothing for
 * seconds, be taken for hung, and be ended in the middle of it. Stops go first, for what is to run elsewhere may wait for them; then
 * what starts something; probes that come again by themselves have time.
 */
export class Pace {
  readonly #waiting: Readonly<Record<Urgency, (() => void)[]>> = { stop: [], soon: [], periodic: [] }
  #isTaken = false

  /** Resolves when a program may be started. */
  take(urgency: Urgency): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isTaken) this.#waiting[urgency].push(resolve)
      else this.#give(resolve)
    })
  }

  #give(resolve: () => void) {
    this.#isTaken = true
    resolve()
    setImmediate(() => {
      this.#isTaken = false
      const { stop, soon, periodic } = this.#waiting
      const next = stop.shift() ?? soon.shift() ?? periodic.shift()
      if (next !== undefined) this.#give(next)
    })
  }
}
