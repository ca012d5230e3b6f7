/** When a process that the guardian keeps is started again. */
import { type BootInstant, bootInstant } from '../../base/index.js'

const firstPause = 100
/** Short enough that a daemon that ends again and again is still back within its lease. */
const longestPause = 1_000
/** A process that has lived this long has not failed to start. */
const settledAfter = 1_000

export class Supervision {
  #up = false
  #since = bootInstant(0)
  #failures = 0
  /** Undefined while it runs or is not wanted. */
  #startAt: BootInstant | undefined

  get up(): boolean {
    return this.#up
  }

  onUp(now: BootInstant) {
    this.#up = true
    this.#since = now
    this.#startAt = undefined
  }

  /** At once the first time, then after 100 ms, doubling up to 1 s while it keeps ending early. */
  onEnded(now: BootInstant) {
    if (this.#up && now - this.#since >= settledAfter) this.#failures = 0
    const pause = this.#failures === 0 ? 0 : Math.min(longestPause, firstPause * 2 ** (this.#failures - 1))
    this.#failures++
    this.#up = false
    this.#startAt = bootInstant(now + pause)
  }

  /** Not yet started in this life of the guardian. */
  wantNow(now: BootInstant) {
    if (!this.#up) this.#startAt = now
  }

  /** Once per start: whoever asks must start it. */
  takeDue(now: BootInstant): boolean {
    if (this.#startAt === undefined || this.#startAt > now) return false
    this.#startAt = undefined
    return true
  }
}
