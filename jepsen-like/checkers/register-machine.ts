/** Registers for the search, with what can be foreseen: which value will still be looked for, and who can still write it. */
import { type Effect, isOptional, type Registers } from './registers.js'
import type { Machine, Outlook, State, Step } from './search.js'

/** Of those who take a value away, so many are looked at. */
const takersMax = 4

/** Steps in a fixed order, of which the first that is not done is asked for. */
class Queue {
  readonly steps: number[] = []
  /** Everything before it is done. */
  private begin = 0

  /** Its position in the order, which is the length where all is done. */
  firstPosition(isDone: Uint8Array): number {
    while (this.begin < this.steps.length && isDone[this.steps[this.begin] as number] === 1) this.begin += 1
    return this.begin
  }

  first(isDone: Uint8Array): number | undefined {
    return this.steps[this.firstPosition(isDone)]
  }

  undone(position: number): void {
    if (position < this.begin) this.begin = position
  }
}

/** Who has to do with one value of one register. */
interface Use {
  /** By invocation. */
  readonly looks: Queue
  /** Those who must complete, by completion. */
  readonly needs: Queue
  /** Of them, those who put another value in its place: each needs one of its own. */
  readonly takes: Queue
  /** By invocation, those that must complete and those that need not. */
  readonly supplies: Queue
  readonly spares: Queue
}

interface Place {
  readonly queue: Queue
  readonly position: number
}

/** Completed writes of one register: how soon after a moment one of them is surely over. */
interface Horizons {
  /** Ascending. */
  readonly invoked: readonly number[]
  /** The earliest completion of those invoked from here on. */
  readonly returned: readonly number[]
}

export class RegisterMachine implements Machine {
  readonly steps: readonly Step[]
  readonly initial: State
  private readonly effects: readonly (readonly Effect[])[]
  private readonly isDone: Uint8Array
  private readonly uses: readonly (readonly Use[])[]
  private readonly places: readonly (readonly Place[])[]
  private readonly horizons: readonly Horizons[]
  /** Of each step and effect: who begins later cannot see what it wrote. */
  private readonly seenUntil: readonly (readonly number[])[]
  /** Of each register, among what is not done: who asks it to differ. */
  private readonly differs: Int32Array

  private readonly isBold: boolean

  /** A bold one takes for granted that nobody asks values to differ; what it finds is an order, what it does not find may be one. */
  constructor(registers: Registers, { isBold = false }: { readonly isBold?: boolean } = {}) {
    this.isBold = isBold
    const classes = new Map<string, number>()
    this.initial = registers.initial
    this.effects = registers.steps.map(({ effects }) => effects)
    this.steps = registers.steps.map((step) => {
      const { invoked, returned, effects } = step
      const name = `${effects.map(({ register, expect, differ, write }) => `${register} ${expect} ${differ} ${write}`).join()} ${isOptional(step)}`
      const kind = classes.get(name) ?? classes.size
      classes.set(name, kind)
      return { invoked, returned, isOptional: isOptional(step), class: kind, pure: effects.every(({ write }) => write === -1) }
    })
    this.isDone = new Uint8Array(this.steps.length)
    this.uses = registers.values.map((values) =>
      values.map((): Use => ({ looks: new Queue(), needs: new Queue(), takes: new Queue(), supplies: new Queue(), spares: new Queue() })),
    )
    this.places = this.fillQueues()
    this.horizons = registers.keys.map((_, register) => this.horizonsOf(register))
    this.seenUntil = this.effects.map((effects, at) => effects.map(({ register }) => this.horizon(register, this.step(at).returned)))
    this.differs = new Int32Array(registers.values.length)
    for (const { register, differ } of this.effects.flat())
      if (differ !== -1) this.differs[register] = (this.differs[register] as number) + 1
  }

  apply(state: State, at: number): State | undefined {
    const effects = this.effects[at] as readonly Effect[]
    let after: number[] | undefined
    for (const { register, expect, differ } of effects) {
      const value = state[register]
      if ((expect !== -1 && value !== expect) || value === differ) return undefined
    }
    for (const { register, write } of effects) {
      if (write === -1 || write === state[register]) continue
      after ??= [...state]
      after[register] = write
    }
    return after ?? state
  }

  done(at: number): void {
    this.isDone[at] = 1
    for (const { register, differ } of this.effects[at] as readonly Effect[]) {
      if (differ !== -1) this.differs[register] = (this.differs[register] as number) - 1
    }
  }

  undone(at: number): void {
    this.isDone[at] = 0
    for (const { queue, position } of this.places[at] as readonly Place[]) queue.undone(position)
    for (const { register, differ } of this.effects[at] as readonly Effect[]) {
      if (differ !== -1) this.differs[register] = (this.differs[register] as number) + 1
    }
  }

  /** Hopeless when a value is left that somebody must still find and nobody can write again in time. */
  outlook(before: State, after: State): Outlook {
    let outlook: Outlook = 'fine'
    for (let register = 0; register < before.length; register += 1) {
      const value = before[register] as number
      if (value === after[register]) continue
      const use = this.uses[register]?.[value] as Use
      const needing = use.needs.first(this.isDone)
      if (needing === undefined) continue
      const isSupplied = this.canBeSupplied(use.supplies, register, needing)
      if (isSupplied && this.canAllTake(use, false)) continue
      if (!isSupplied && !this.canBeSupplied(use.spares, register, needing)) return 'hopeless'
      if (!this.canAllTake(use, true)) return 'hopeless'
      outlook = 'doubtful'
    }
    return outlook
  }

  /** Whether there are enough writes for those who take the value away, each in time. Looks at the first few only. */
  private canAllTake({ takes, supplies, spares }: Use, withSpares: boolean): boolean {
    let taken = 0
    for (let at = takes.firstPosition(this.isDone); at < takes.steps.length && taken < takersMax; at += 1) {
      const taker = takes.steps[at] as number
      if (this.isDone[taker] === 1) continue
      taken += 1
      const { returned } = this.step(taker)
      const found = this.countUndone(supplies, returned, taken)
      if (found < taken && !(withSpares && found + this.countUndone(spares, returned, taken - found) >= taken)) return false
    }
    return true
  }

  /** Steps of the queue that are not done and began before the moment, at most `enough`. */
  private countUndone(queue: Queue, moment: number, enough: number): number {
    let count = 0
    for (let position = queue.firstPosition(this.isDone); position < queue.steps.length && count < enough; position += 1) {
      const at = queue.steps[position] as number
      if (this.step(at).invoked > moment) break
      if (this.isDone[at] === 0) count += 1
    }
    return count
  }

  private canBeSupplied(queue: Queue, register: number, needing: number): boolean {
    const { invoked, returned } = this.step(needing)
    for (let position = queue.firstPosition(this.isDone); position < queue.steps.length; position += 1) {
      const at = queue.steps[position] as number
      if (this.step(at).invoked > returned) return false
      if (this.isDone[at] === 0 && at !== needing && this.reach(at, register) > invoked) return true
    }
    return false
  }

  /**
   * A write that nobody will see over a value that nobody will see. In a linearization that has it later, it can be moved here: where
   * it was, nobody looked until the next write. That needs that nobody asks values to differ either.
   */
  isHarmless(state: State, at: number, moment: number): boolean {
    return (this.effects[at] as readonly Effect[]).every(
      ({ register, expect, write }) =>
        expect === -1 &&
        this.isIdle(register, write, this.reach(at, register)) &&
        this.isIdle(register, state[register] as number, this.horizon(register, moment)),
    )
  }

  isHiddenBy(at: number, cover: number): boolean {
    const covers = this.effects[cover] as readonly Effect[]
    return (this.effects[at] as readonly Effect[]).every(
      ({ register, expect, write }) =>
        expect === -1 &&
        this.isIdle(register, write, this.reach(at, register)) &&
        covers.some((over) => over.register === register && over.expect === -1 && over.write !== -1),
    )
  }

  serves(at: number, other: number): boolean {
    for (const { register, expect, differ } of this.effects[other] as readonly Effect[]) {
      for (const effect of this.effects[at] as readonly Effect[]) {
        if (effect.register !== register || effect.write === -1) continue
        if (effect.write === expect || (differ !== -1 && effect.write !== differ)) return true
      }
    }
    return false
  }

  canWait(at: number): boolean {
    return this.effects[at]?.length === 1
  }

  matters(at: number): boolean {
    return (this.effects[at] as readonly Effect[]).some(
      ({ register, write }) => write !== -1 && !this.isIdle(register, write, Number.POSITIVE_INFINITY),
    )
  }

  /** Whether nobody who begins before the horizon looks for the value, and nobody asks values to differ. */
  private isIdle(register: number, value: number, horizon: number): boolean {
    if (value === -1 || (this.differs[register] !== 0 && !this.isBold)) return false
    const look = this.uses[register]?.[value]?.looks.first(this.isDone)
    return look === undefined || this.step(look).invoked > horizon
  }

  private reach(at: number, register: number): number {
    const index = (this.effects[at] as readonly Effect[]).findIndex((effect) => effect.register === register)
    return this.seenUntil[at]?.[index] as number
  }

  /** Who begins after it cannot see what was written up to the moment: another write came and went in between. */
  private horizon(register: number, moment: number): number {
    const { invoked, returned } = this.horizons[register] as Horizons
    let [low, high] = [0, invoked.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((invoked[middle] as number) > moment) high = middle
      else low = middle + 1
    }
    return returned[low] ?? Number.POSITIVE_INFINITY
  }

  private horizonsOf(register: number): Horizons {
    const writers = this.steps.filter(
      (step, at) => !step.isOptional && this.effects[at]?.some((effect) => effect.register === register && effect.write !== -1),
    )
    let earliest = Number.POSITIVE_INFINITY
    const returned = writers.map(() => 0)
    for (let at = writers.length - 1; at >= 0; at -= 1) {
      earliest = Math.min(earliest, (writers[at] as Step).returned)
      returned[at] = earliest
    }
    return { invoked: writers.map(({ invoked }) => invoked), returned }
  }

  private fillQueues(): readonly (readonly Place[])[] {
    const places: Place[][] = this.steps.map(() => [])
    const join = (queue: Queue, at: number) => {
      places[at]?.push({ queue, position: queue.steps.length })
      queue.steps.push(at)
    }
    const each = (at: number, visit: (use: Use, isLook: boolean) => void) => {
      for (const { register, expect, write } of this.effects[at] as readonly Effect[]) {
        if (expect !== -1) visit(this.uses[register]?.[expect] as Use, true)
        if (write !== -1) visit(this.uses[register]?.[write] as Use, false)
      }
    }
    const isMandatory = (at: number) => !this.step(at).isOptional
    for (const at of this.steps.keys()) {
      each(at, (use, isLook) => join(isLook ? use.looks : isMandatory(at) ? use.supplies : use.spares, at))
    }
    const byCompletion = [...this.steps.keys()].filter(isMandatory).sort((a, b) => this.step(a).returned - this.step(b).returned)
    for (const at of byCompletion) {
      each(at, (use, isLook) => isLook && join(use.needs, at))
      for (const { register, expect, write } of this.effects[at] as readonly Effect[]) {
        const use = this.uses[register]?.[expect]
        if (use !== undefined && write !== -1) join(use.takes, at)
      }
    }
    return places
  }

  private step(at: number): Step {
    return this.steps[at] as Step
  }
}
