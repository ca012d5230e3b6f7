/**
 * Broken invariants: our own bugs, never an operating condition.
 *
 * `invariant` stays on in production. Nobody catches what it throws below the process: the node stops, for an
 * outage of one node is better than a wrong answer from it.
 */

export class InvariantError extends Error {
  override readonly name = 'InvariantError'
  readonly facts: Readonly<Record<string, unknown>>

  constructor(statement: string, facts: Readonly<Record<string, unknown>>) {
    const shown = Object.keys(facts).length === 0 ? '' : ` ${JSON.stringify(facts)}`
    super(`does not hold: ${statement}${shown}`)
    this.facts = facts
  }
}

/** Throws unless `condition` holds. State the condition positively, one at a time, and attach the facts. */
export function invariant(condition: boolean, statement: string, facts: Readonly<Record<string, unknown>> = {}): asserts condition {
  if (!condition) throw new InvariantError(statement, facts)
}

/** Ends every `switch` over a union, so that a new kind is a compile error wherever it must be learnt. */
export function unreachable(value: never): never {
  throw new InvariantError('every kind is handled', { value })
}
