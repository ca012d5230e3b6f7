/** Virtual time: what is due next, in order of time and then of asking. Nothing else makes anything happen. */

export interface Timer {
  cancelled: boolean
}

interface Due extends Timer {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

export class Scheduler {
  /** Milliseconds since the world began. */
  now = 0
  /** What was run. */
  steps = 0
  private readonly heap: Due[] = []
  private asked = 0

  at(time: number, run: () => void): Timer {
    const due: Due = { at: Math.max(time, this.now), order: this.asked++, run, cancelled: false }
    this.push(due)
    return due
  }

  after(span: number, run: () => void): Timer {
    return this.at(this.now + span, run)
  }

  /** Runs everything that is due until then. */
  runUntil(end: number): void {
    for (let next = this.heap[0]; next !== undefined && next.at <= end; next = this.heap[0]) {
      this.pop()
      if (next.cancelled) continue
      this.now = next.at
      this.steps++
      next.run()
    }
    this.now = Math.max(this.now, end)
  }

  private push(due: Due): void {
    const { heap } = this
    let at = heap.length
    heap.push(due)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(due, heap[parent] as Due)) break
      heap[at] = heap[parent] as Due
      at = parent
    }
    heap[at] = due
  }

  private pop(): void {
    const { heap } = this
    const last = heap.pop() as Due
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      const left = 2 * at + 1
      if (left >= heap.length) break
      const right = left + 1
      const child = right < heap.length && before(heap[right] as Due, heap[left] as Due) ? right : left
      if (!before(heap[child] as Due, last)) break
      heap[at] = heap[child] as Due
      at = child
    }
    heap[at] = last
  }
}

function before(a: Due, b: Due): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
