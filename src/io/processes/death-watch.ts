/** Notices the end of processes that are not our children, by a look at /proc: at least every 25 ms, more often while there are few. */
import type { ProcessIdentity } from '../../core/monitor/index.js'
import { isAlive } from './proc.js'

/** One look at a process takes some ten microseconds: this keeps all of them below one percent of a processor. */
function lookEvery(processes: number): number {
  return processes <= 4 ? 5 : processes <= 16 ? 10 : 25
}

export class DeathWatch<Key> {
  readonly #onEnded: (key: Key, process: ProcessIdentity) => void
  readonly #watched = new Map<Key, readonly ProcessIdentity[]>()
  #timer: NodeJS.Timeout | undefined
  #every: number | undefined

  constructor(onEnded: (key: Key, process: ProcessIdentity) => void) {
    this.#onEnded = onEnded
  }

  /** Replaces what was watched under this key. */
  watch(key: Key, processes: readonly ProcessIdentity[]) {
    if (processes.length === 0) this.#watched.delete(key)
    else this.#watched.set(key, processes)
    let count = 0
    for (const watched of this.#watched.values()) count += watched.length
    const every = count === 0 ? undefined : lookEvery(count)
    if (every === this.#every) return
    clearInterval(this.#timer)
    this.#every = every
    this.#timer = every === undefined ? undefined : setInterval(() => this.#look(), every)
  }

  close() {
    this.#watched.clear()
    clearInterval(this.#timer)
    this.#every = undefined
  }

  #look() {
    for (const [key, processes] of [...this.#watched]) {
      const ended = processes.filter((process) => !isAlive(process))
      if (ended.length === 0) continue
      this.watch(
        key,
        processes.filter((process) => !ended.includes(process)),
      )
      for (const process of ended) this.#onEnded(key, process)
    }
  }
}
