/**
 * Looks for an order of operations that explains what was observed: Wing and Gong's search with Lowe's memory of configurations.
 *
 * A configuration is the next completion in real time, the state, and which of the pending operations are done. An operation
 * is done only when a completion needs it (just in time, Lowe 2016): every linearization can be delayed into that form. Four
 * more cuts, none of which loses a linearization:
 *
 * - An operation that changes nothing is done as soon as the state fits: whatever comes later fits without it as well.
 * - Of pending operations that do the same, the one that must complete first goes first: two that are taken in the other order
 *   can change places. Of equal operations with an unknown outcome only the number that was used matters.
 * - A configuration that used up more operations of unknown outcome than one that was seen, and is otherwise equal, can do
 *   nothing that the seen one cannot: nobody has to use them.
 * - What a machine says of its own kind of state: see Machine.
 */
import { type Budget, budgetSlice } from './budget.js'

/** An operation as the search sees it. */
export interface Step {
  readonly invoked: number
  /** It was not done later than this. */
  readonly returned: number
  /** It need not be done. What must be done has a finite `returned`. */
  readonly isOptional: boolean
  /** Steps of the same class are equally optional, do the same to every state, and observe the same. */
  readonly class: number
  /** Never changes a state. */
  readonly pure: boolean
}

export type State = readonly number[]

/** `hopeless`: no way leads from here to the end. `doubtful`: only one that needs an operation of unknown outcome. */
export type Outlook = 'fine' | 'doubtful' | 'hopeless'

export interface Machine {
  /** In the order of invocation. */
  readonly steps: readonly Step[]
  readonly initial: State
  /** The state after the step; undefined where the step cannot have happened. The same object where nothing changes. */
  apply(state: State, step: number): State | undefined
  /** The step is done, or, going back, not done any more: for what a machine counts. */
  done(step: number): void
  undone(step: number): void
  /** What becomes of this move. Asked while its step counts as done. */
  outlook(before: State, after: State): Outlook
  /** To do it now, before the moment, loses nothing, whatever comes: it puts what nobody will see over what nobody will see. */
  isHarmless(state: State, step: number, moment: number): boolean
  /** To do `step` just before `cover` loses nothing: `cover` hides all it does, and nobody would have looked at it. */
  isHiddenBy(step: number, cover: number): boolean
  /** The step may bring about what the other one waits for. Never false where the other one observes what the step does. */
  serves(step: number, other: number): boolean
  /** Whether the step touches one thing only: as long as nobody else does, it makes no difference when it is done. */
  canWait(step: number): boolean
  /** Whether it can still matter that a step of this class is left; must depend on what is not done only. */
  matters(step: number): boolean
}

export type SearchResult = 'linearizable' | 'impossible' | 'memory' | 'gave up'

/** How far a search came: for a reader, who wants to see why there was no further. */
export interface Reached {
  /** The step whose completion could not be brought about. */
  due: number
  /** One order in which the steps before it can have happened. */
  order: readonly number[]
  /** States that were possible then. */
  readonly states: State[]
}

interface Frame {
  readonly level: number
  readonly state: State
  readonly trail: number
  readonly candidates: readonly number[]
  next: number
}

const nothing: readonly number[] = []
/** Of configurations that differ in their used operations of unknown outcome only, so many are kept. */
const alternativesMax = 48
/** A hasty search stalls when it came no further for so many steps. */
const stallMax = 600
/** So many possible states are told. */
const statesMax = 8

export interface Manner {
  /** Goes each way to its end, to say here how far it came. */
  readonly reached?: Reached
  /** Leaves a part of the way that takes long for another one, further and further back; never finds that there is none. */
  readonly isHasty?: boolean
}

/** Yields from time to time. The machine is made when it is needed first. */
export function* search(machine: () => Machine, budget: Budget, manner: Manner = {}): Generator<void, SearchResult> {
  const run = new Search(machine(), budget, manner)
  try {
    return yield* run.run()
  } finally {
    budget.stored -= run.stored
  }
}

class Search {
  private readonly machine: Machine
  private readonly budget: Budget
  private readonly reached: Reached | undefined
  private readonly isHasty: boolean
  private furthest = -1
  private readonly steps: readonly Step[]
  /** Steps that complete, in the order of completion: one level each. */
  private readonly completions: readonly number[]
  /** For each level what is pending then, by completion. */
  private readonly pending: readonly (readonly number[])[]
  /** Steps of unknown outcome by class, in the order of invocation. */
  private readonly optional = new Map<number, number[]>()
  private readonly served = new Map<number, readonly (readonly number[])[]>()
  private readonly used = new Map<number, number>()
  private readonly isDone: Uint8Array
  private readonly seen: (Map<string, (readonly number[])[]> | undefined)[] = []
  private readonly trail: number[] = []
  private readonly stamps: Uint32Array
  private stamp = 0
  stored = 0
  private level = 0
  private state: State

  constructor(machine: Machine, budget: Budget, { reached, isHasty = false }: Manner) {
    this.isHasty = isHasty
    this.machine = machine
    this.budget = budget
    this.reached = reached
    this.steps = machine.steps
    this.state = machine.initial
    this.isDone = new Uint8Array(this.steps.length)
    this.stamps = new Uint32Array(this.steps.reduce((most, step) => Math.max(most, step.class), 0) + 1)
    const all = this.steps.map((_, at) => at)
    this.completions = all.filter((at) => this.step(at).returned < Number.POSITIVE_INFINITY).sort((a, b) => this.byCompletion(a, b))
    for (const at of all) {
      const { returned, class: kind } = this.step(at)
      if (returned < Number.POSITIVE_INFINITY) continue
      const alike = this.optional.get(kind)
      if (alike === undefined) this.optional.set(kind, [at])
      else alike.push(at)
    }
    this.pending = this.pendingByLevel()
  }

  *run(): Generator<void, SearchResult> {
    const frames: Frame[] = []
    let count = 0
    let best = 0
    let [stalled, stalls] = [0, 0]
    if (this.enter(frames)) return 'linearizable'
    for (;;) {
      if (this.level > best) [best, stalled, stalls] = [this.level, 0, 0]
      stalled += 1
      if (this.isHasty && stalled > stallMax) {
        stalls += 1
        stalled = 0
        this.jumpBack(frames, best - 2 ** Math.min(stalls, 16))
      }
      const frame = frames.at(-1)
      if (frame === undefined) return this.isHasty ? 'gave up' : 'impossible'
      const candidate = frame.candidates[frame.next]
      frame.next += 1
      this.backTo(frame)
      if (candidate === undefined) {
        frames.pop()
        continue
      }
      count += 1
      if (count % budgetSlice === 0) {
        this.budget.steps += budgetSlice
        if (this.budget.stored > this.budget.storedMax) return 'memory'
        yield
      }
      if (this.take(candidate) && this.enter(frames)) return 'linearizable'
    }
  }

  /** Forgets the choices from the level on, and that they were seen: they were not all tried. */
  private jumpBack(frames: Frame[], level: number): void {
    let last: Frame | undefined
    while (frames.length > 0 && (frames.at(-1) as Frame).level >= level) last = frames.pop()
    if (last !== undefined) this.backTo(last)
    for (let at = Math.max(0, level); at < this.seen.length; at += 1) {
      for (const alternatives of this.seen[at]?.values() ?? []) {
        this.stored -= alternatives.length
        this.budget.stored -= alternatives.length
      }
      this.seen[at] = undefined
    }
  }

  /** Goes as far as there is no choice, then remembers the choice. True at the end of the history. */
  private enter(frames: Frame[]): boolean {
    for (;;) {
      this.settle()
      const due = this.completions[this.level]
      if (due === undefined) return true
      if (this.isDone[due] === 0) break
      this.level += 1
    }
    if (this.isKnown()) return false
    if (this.reached !== undefined) this.report(this.reached)
    frames.push({ level: this.level, state: this.state, trail: this.trail.length, candidates: this.candidates(), next: 0 })
    return false
  }

  /** Does what changes nothing and fits, and what is harmless. */
  private settle(): void {
    const pending = this.pending[this.level] ?? nothing
    const due = this.completions[this.level]
    if (due === undefined) return
    const moment = this.step(due).returned
    for (const at of pending) {
      if (this.isDone[at] === 0 && this.step(at).pure && this.machine.apply(this.state, at) !== undefined) this.mark(at)
    }
    for (const at of pending) {
      if (this.isDone[at] !== 0 || this.step(at).pure || !this.machine.isHarmless(this.state, at, moment)) continue
      const after = this.machine.apply(this.state, at)
      if (after === undefined) continue
      this.mark(at)
      this.state = after
    }
  }

  /** Does a step, and before it what it hides. False where that leads nowhere. */
  private take(candidate: number): boolean {
    if (candidate < 0) {
      this.mark(not(candidate))
      return true
    }
    for (const at of this.pending[this.level] ?? nothing) {
      if (at !== candidate && this.isDone[at] === 0 && this.machine.isHiddenBy(at, candidate)) this.mark(at)
    }
    const before = this.state
    const after = this.machine.apply(before, candidate)
    if (after === undefined) return false
    this.mark(candidate)
    this.state = after
    return this.reached !== undefined || this.machine.outlook(before, after) !== 'hopeless'
  }

  private report(reached: Reached): void {
    if (this.level > this.furthest) {
      this.furthest = this.level
      reached.due = this.completions[this.level] as number
      reached.order = [...this.trail]
      reached.states.length = 0
    }
    const isNew = !reached.states.some((state) => state.every((value, at) => value === this.state[at]))
    if (this.level === this.furthest && isNew && reached.states.length < statesMax) reached.states.push(this.state)
  }

  private mark(at: number): void {
    this.isDone[at] = 1
    this.trail.push(at)
    const { returned, class: kind } = this.step(at)
    if (returned === Number.POSITIVE_INFINITY) this.used.set(kind, (this.used.get(kind) ?? 0) + 1)
    this.machine.done(at)
  }

  private backTo({ level, state, trail }: Frame): void {
    while (this.trail.length > trail) {
      const at = this.trail.pop() as number
      this.isDone[at] = 0
      const { returned, class: kind } = this.step(at)
      if (returned === Number.POSITIVE_INFINITY) {
        const left = (this.used.get(kind) as number) - 1
        if (left === 0) this.used.delete(kind)
        else this.used.set(kind, left)
      }
      this.machine.undone(at)
    }
    this.level = level
    this.state = state
  }

  /** One of each class, the most promising first. */
  private candidates(): readonly number[] {
    this.stamp += 1
    const pending = this.pending[this.level] ?? nothing
    const horizon = this.step(this.completions[this.level] as number).returned
    const observers = pending.filter((at) => this.isDone[at] === 0 && this.step(at).pure)
    const found: { readonly at: number; readonly promise: number }[] = []
    const consider = (at: number) => {
      const promise = this.promise(at, observers)
      if (promise !== undefined) found.push({ at, promise })
    }
    for (const at of pending) {
      const { class: kind, pure } = this.step(at)
      if (this.isDone[at] !== 0 || pure || this.stamps[kind] === this.stamp) continue
      this.stamps[kind] = this.stamp
      consider(at)
    }
    for (const [kind, alike] of this.optional) {
      if (this.stamps[kind] === this.stamp) continue
      const at = alike[this.used.get(kind) ?? 0]
      if (at === undefined || this.step(at).invoked > horizon) continue
      if (this.machine.matters(at) && this.isWaitedFor(at, horizon)) consider(at)
    }
    const candidates = found.sort((a, b) => b.promise - a.promise).map(({ at }) => at)
    const due = this.completions[this.level] as number
    return this.step(due).isOptional ? [not(due), ...candidates] : candidates
  }

  /**
   * Whether what a step of unknown outcome does is looked for by one that is pending. Where nobody looks, the step may as well not
   * happen; where only later ones do, it can wait for them.
   */
  private isWaitedFor(at: number, horizon: number): boolean {
    if (!this.machine.canWait(at)) return true
    for (const other of this.pending[this.level] ?? nothing) {
      if (this.isDone[other] === 0 && this.machine.serves(at, other)) return true
    }
    return this.servedOptional(at).some((alike) => {
      const other = alike[this.used.get(this.step(alike[0] as number).class) ?? 0]
      return other !== undefined && other !== at && this.step(other).invoked < horizon
    })
  }

  /** Of unknown outcome, the classes that wait for what the step does. */
  private servedOptional(at: number): readonly (readonly number[])[] {
    const kind = this.step(at).class
    const known = this.served.get(kind)
    if (known !== undefined) return known
    const found = [...this.optional.values()].filter((alike) => this.machine.serves(at, alike[0] as number))
    this.served.set(kind, found)
    return found
  }

  /** How good it looks to do a step now: whom it serves. Undefined where it cannot be done, or leads nowhere. */
  private promise(at: number, observers: readonly number[]): number | undefined {
    const after = this.machine.apply(this.state, at)
    if (after === undefined) return undefined
    this.machine.done(at)
    const outlook = this.machine.outlook(this.state, after)
    this.machine.undone(at)
    if (outlook === 'hopeless' && this.reached === undefined) return undefined
    const due = this.completions[this.level] as number
    let promise = at === due ? 2 : this.machine.serves(at, due) ? 1 : 0
    for (const observer of observers) if (this.machine.apply(after, observer) !== undefined) promise += 1
    if (this.step(at).isOptional) promise -= 1.5
    return outlook === 'fine' ? promise : promise - 1_000
  }

  /** Whether a configuration was seen that can do all that this one can; if not, it is remembered. */
  private isKnown(): boolean {
    const usage: number[] = []
    for (const [kind, count] of this.used) {
      const [representative] = this.optional.get(kind) as number[]
      if (this.machine.matters(representative as number)) usage.push(kind, count)
    }
    let seen = this.seen[this.level]
    if (seen === undefined) {
      seen = new Map()
      this.seen[this.level] = seen
    }
    const key = this.key()
    const alternatives = seen.get(key)
    if (alternatives === undefined) {
      seen.set(key, [usage.length === 0 ? nothing : usage])
    } else {
      const now = new Map<number, number>()
      for (let at = 0; at < usage.length; at += 2) now.set(usage[at] as number, usage[at + 1] as number)
      if (alternatives.some((known) => isWithin(known, now))) return true
      if (alternatives.length >= alternativesMax) return false
      alternatives.push(usage.length === 0 ? nothing : usage)
    }
    this.stored += 1
    this.budget.stored += 1
    return false
  }

  private key(): string {
    const codes: number[] = []
    for (const value of this.state) codes.push(value & 0xffff, value >>> 16)
    let bits = 0
    let count = 0
    for (const at of this.pending[this.level] ?? nothing) {
      bits = (bits << 1) | (this.isDone[at] as number)
      count += 1
      if (count % 16 === 0) {
        codes.push(bits)
        bits = 0
      }
    }
    codes.push(bits)
    return String.fromCharCode(...codes)
  }

  private pendingByLevel(): readonly (readonly number[])[] {
    const levels: number[][] = []
    let open: number[] = []
    let next = 0
    const mandatory = this.steps.map((_, at) => at).filter((at) => this.step(at).returned < Number.POSITIVE_INFINITY)
    for (const due of this.completions) {
      for (; next < mandatory.length; next += 1) {
        const at = mandatory[next] as number
        if (this.step(at).invoked > this.step(due).returned) break
        const { returned } = this.step(at)
        const place = open.findIndex((other) => this.step(other).returned > returned)
        open.splice(place === -1 ? open.length : place, 0, at)
      }
      levels.push([...open])
      open = open.filter((at) => at !== due)
    }
    return levels
  }

  private byCompletion(a: number, b: number): number {
    return this.step(a).returned - this.step(b).returned
  }

  private step(at: number): Step {
    return this.steps[at] as Step
  }
}

/** Stands for not doing a step that need not be done, now that its time is over. */
const not = (step: number): number => -1 - step

function isWithin(known: readonly number[], now: ReadonlyMap<number, number>): boolean {
  for (let at = 0; at < known.length; at += 2) {
    if ((now.get(known[at] as number) ?? 0) < (known[at + 1] as number)) return false
  }
  return true
}
