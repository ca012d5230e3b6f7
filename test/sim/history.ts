/** What clients asked and were told, judged by the checker of jepsen-like, which knows nothing of the simulator. */
import { checkLinearizable, type HistoryEvent } from '../../jepsen-like/checkers/index.js'

/** A key whose history needs more than this is a mistake of the test: keys have some dozens of calls. */
const stepsMax = 2_000_000

export class History {
  readonly events: HistoryEvent[] = []

  /** `fail`: surely not carried out; `info`: nobody knows. A process asks one thing at a time. */
  add(event: HistoryEvent): void {
    this.events.push(event)
  }

  /** Registers that begin empty. Answers undefined, or what cannot be. */
  judge(): string | undefined {
    const { linearizable, witness } = checkLinearizable(this.events, { model: 'cas-register', initial: null }, { steps: stepsMax })
    if (linearizable === true) return undefined
    return `linearizable: ${linearizable}, ${JSON.stringify(witness, null, 1)}`
  }
}
