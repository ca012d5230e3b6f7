/** When a process that the guardian keeps is started again. */
import { type BootInstant, bootInstant } from '../../base/index.js'

const firstPause = 100
/** Short enough that a daemon that ends again and again is still back within its lease. */
const longestPause = 1_000
/** A process that has lived this long has not failed to start. */
const settledAfter = 1_000
/** So many in a row are taken for what passes by itself: somebody else's port, a disk that is full for a moment. */
const refusalsSoon = 8
/** Its lease is long gone, and what it wants is a person: it need not cost a processor meanwhile. Milliseconds. */
const refusedPause = 30_000

export class Supervision {
  #up = false
  #since = bootInstant(0)
  #failures = 0
  /** In a row, however long each life was. */
  #refusals = 0
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

  /** At once the first time, then after 100 ms, doubling up to 1 s while it keeps ending early, and up to 30 s while it keeps refusing. */
  onEnded(now: BootInstant, refused = false) {
    if (this.#up && now - this.#since >= settledAfter) this.#failures = 0
    const pause = this.#failures === 0 ? 0 : Math.min(longestPause, firstPause * 2 ** (this.#failures - 1))
    this.#failures++
    this.#refusals = refused ? this.#refusals + 1 : 0
    const rest = this.#refusals <= refusalsSoon ? 0 : Math.min(refusedPause, longestPause * 2 ** (this.#refusals - refusalsSoon))
    this.#up = false
    this.#startAt = bootInstant(now + Math.max(pause, rest))
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
