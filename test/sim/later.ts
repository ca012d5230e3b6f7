/**
 * A promise for a world without them: it calls back on the spot when it is settled, not in a turn of the event loop.
 *
 * `await` on one works where real time passes; what runs inside the simulator says `.then`.
 */
type Outcome<Value> = { readonly kind: 'value'; readonly value: Value } | { readonly kind: 'error'; readonly error: unknown }

export class Later<Value> implements Promise<Value> {
  readonly [Symbol.toStringTag] = 'Later'
  private outcome: Outcome<Value> | undefined
  private waiting: ((outcome: Outcome<Value>) => void)[] = []

  resolve(value: Value): void {
    this.settle({ kind: 'value', value })
  }

  reject(error: unknown): void {
    this.settle({ kind: 'error', error })
  }

  private settle(outcome: Outcome<Value>): void {
    if (this.outcome !== undefined) return
    this.outcome = outcome
    for (const run of this.waiting.splice(0)) run(outcome)
  }

  then<Next = Value, Other = never>(
    onValue?: ((value: Value) => Next | PromiseLike<Next>) | null,
    onError?: ((error: unknown) => Other | PromiseLike<Other>) | null,
  ): Promise<Next | Other> {
    const next = new Later<Next | Other>()
    this.whenSettled((outcome) => {
      try {
        if (outcome.kind === 'value') {
          if (onValue) next.adopt(onValue(outcome.value))
          else next.resolve(outcome.value as unknown as Next)
        } else if (onError) next.adopt(onError(outcome.error))
        else next.reject(outcome.error)
      } catch (error) {
        next.reject(error)
      }
    })
    return next
  }

  catch<Other = never>(onError?: ((error: unknown) => Other | PromiseLike<Other>) | null): Promise<Value | Other> {
    return this.then(undefined, onError)
  }

  finally(run?: (() => void) | null): Promise<Value> {
    return this.then(
      (value) => {
        run?.()
        return value
      },
      (error) => {
        run?.()
        throw error
      },
    )
  }

  private whenSettled(run: (outcome: Outcome<Value>) => void): void {
    if (this.outcome === undefined) this.waiting.push(run)
    else run(this.outcome)
  }

  private adopt(value: Value | PromiseLike<Value>): void {
    if (typeof (value as PromiseLike<Value> | undefined)?.then !== 'function') return this.resolve(value as Value)
    ;(value as PromiseLike<Value>).then(
      (inner) => this.resolve(inner),
      (error) => this.reject(error),
    )
  }
}
