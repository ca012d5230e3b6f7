/**
 * One program at a time is started, in a turn of the event loop of its own.
 *
 * To start one holds everything else up for 5 to 20 ms. Where hundreds are to be started at once, whoever does it would say nothing for
 * seconds, be taken for hung, and be ended in the middle of it. Stops go before everything else: what runs elsewhere may wait for them.
 */
export class Pace {
  readonly #stops: (() => void)[] = []
  readonly #others: (() => void)[] = []
  #isTaken = false

  /** Resolves when a program may be started. */
  take(isStop: boolean): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isTaken) (isStop ? this.#stops : this.#others).push(resolve)
      else this.#give(resolve)
    })
  }

  #give(resolve: () => void) {
    this.#isTaken = true
    resolve()
    setImmediate(() => {
      this.#isTaken = false
      const next = this.#stops.shift() ?? this.#others.shift()
      if (next !== undefined) this.#give(next)
    })
  }
}
