/** A copy and its role are one program to their agent: of both, one method runs at a time, in the order in which they came. */
import type { MethodRequest } from '../../core/monitor/index.js'
import { cellName } from './environment.js'
import type { MethodContext } from './method.js'

export class Turns {
  readonly #last = new Map<string, Promise<unknown>>()

  /** Resolves once it is its turn, or it is cancelled. Its end gives the turn to the next. */
  async take(request: MethodRequest, context: MethodContext): Promise<void> {
    const { promotable, role } = request.definition
    if (promotable !== true && role === undefined) return
    const key = cellName(request)
    const before = this.#last.get(key)
    // One that gives up its place does not let the next one overtake those before it.
    const both: Promise<unknown> = Promise.all([before, context.over])
    this.#last.set(key, both)
    void both.then(() => {
      if (this.#last.get(key) === both) this.#last.delete(key)
    })
    if (before === undefined) return
    const cancelled = new Promise<void>((resolve) => context.signal.addEventListener('abort', () => resolve(), { once: true }))
    await Promise.race([before, cancelled])
    context.beginAgain()
  }
}
