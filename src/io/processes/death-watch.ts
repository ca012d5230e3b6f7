/** Notices the end of processes that are not our children, by a look at /proc every 25 ms. */
import type { ProcessIdentity } from '../../core/monitor/index.js'
import { isAlive } from './proc.js'

const lookEvery = 25

export class DeathWatch<Key> {
  readonly #onEnded: (key: Key, process: ProcessIdentity) => void
  readonly #watched = new Map<Key, readonly ProcessIdentity[]>()
  #timer: NodeJS.Timeout | undefined

  constructor(onEnded: (key: Key, process: ProcessIdentity) => void) {
    this.#onEnded = onEnded
  }

  /** Replaces what was watched under this key. */
  watch(key: Key, processes: readonly ProcessIdentity[]) {
    if (processes.length === 0) this.#watched.delete(key)
    else this.#watched.set(key, processes)
    if (this.#watched.size === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
    } else {
      this.#timer ??= setInterval(() => this.#look(), lookEvery)
    }
  }

  close() {
    this.#watched.clear()
    clearInterval(this.#timer)
    this.#timer = undefined
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
