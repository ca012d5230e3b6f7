/**
 * Counts what the probes of a resource answered, until enough of them were bad.
 *
 * A probe that fails says something about the resource; one that takes too long may only say something about the
 * machine. So the two are counted apart: time-outs in a row, failures among the last answers.
 */
import type { ProbeDefinition } from '../cluster/index.js'

export class ProbeCount {
  readonly #failures: number
  readonly #of: number
  readonly #timeoutsMax: number
  /** The last answers, oldest first; true for a failure. */
  readonly #answers: boolean[] = []
  #timeouts = 0
  /** What the last bad one said. */
  #said = ''

  constructor(probe: ProbeDefinition) {
    const { failures, of } = probe.failAfter ?? { failures: 1, of: 1 }
    this.#failures = failures
    this.#of = of
    this.#timeoutsMax = probe.timeouts ?? 1
  }

  good() {
    this.#answered(false)
  }

  /** Whether the resource has failed with this. */
  failed(detail: string): boolean {
    this.#said = detail
    this.#answered(true)
    return this.#failed >= this.#failures
  }

  /** Whether the resource has failed with this. */
  timedOut(detail: string): boolean {
    this.#said = detail
    return ++this.#timeouts >= this.#timeoutsMax
  }

  /** What is bad without being a failure yet; undefined when nothing is. */
  get trouble(): string | undefined {
    const counted = [
      ...(this.#failed === 0 ? [] : [`${this.#failed} of the last ${this.#of} probes failed, ${this.#failures} are its failure`]),
      ...(this.#timeouts === 0 ? [] : [`${this.#timeouts} in a row timed out, ${this.#timeoutsMax} are its failure`]),
    ]
    return counted.length === 0 ? undefined : `${counted.join('; ')}: ${this.#said}`
  }

  get #failed(): number {
    return this.#answers.filter((failed) => failed).length
  }

  #answered(failed: boolean) {
    this.#timeouts = 0
    this.#answers.push(failed)
    if (this.#answers.length > this.#of) this.#answers.shift()
  }
}
