/**
 * Judges lists that are appended to and read, alone or several in one transaction.
 *
 * A read returns the whole list, so the longest read of a key tells the order of all appends up to there. Where no value was
 * appended twice to one key, everything else follows: who appended before whom, who read before whom appended, and who completed
 * before whom began. The history is linearizable exactly when these have no ring (Adya 1999, with real time; it is what Elle looks
 * for). Of the appends that nobody read is known only that they come after all that was read; nobody saw in which order,
 * so any will do. An operation of unknown outcome took place if one of its appends was read, and else may be left out.
 */
import { type Header, MalformedHistory, type Operation } from './history.js'
import { findRing, type Precedence } from './precedence.js'
import { checkSameAccesses } from './registers.js'
import type { Machine, Outlook, State, Step } from './search.js'
import { canonical, Interning, type Json } from './values.js'

export interface ListStep {
  readonly operation: Operation
  readonly invoked: number
  readonly returned: number
  readonly accesses: readonly ListAccess[]
}

export type ListAccess =
  | { readonly kind: 'append'; readonly key: number; readonly value: number }
  | { readonly kind: 'read'; readonly key: number; readonly list: readonly number[] }

export interface Lists {
  readonly keys: readonly Json[]
  readonly values: readonly Json[]
  readonly initial: readonly (readonly number[])[]
  readonly steps: readonly ListStep[]
}

export interface Objection {
  readonly text: string
  readonly operations: readonly Operation[]
}

/** What is known of the lists from reads: the longest of each key, and who read it. */
export interface Known {
  readonly longest: readonly (readonly number[])[]
  /** A value was appended twice to a key: the order of the list does not tell whose it is. */
  readonly isAmbiguous: boolean
}

/** Throws MalformedHistory. */
export function compileLists(header: Header, operations: readonly Operation[]): Lists {
  const keys = new Interning()
  const values = new Interning()
  const initial: (readonly number[])[] = []
  const key = (of: Json): number => {
    const at = keys.id(of)
    if (at === initial.length) initial.push(initialList(header, of).map((value) => values.id(value)))
    return at
  }
  const steps = operations.map((operation): ListStep => {
    const accesses = accessesOf(operation).flatMap(([f, of, value]): ListAccess[] => {
      if (f === 'append') return [{ kind: 'append', key: key(of), value: values.id(value as Json) }]
      if (value === undefined) return []
      return [{ kind: 'read', key: key(of), list: listOf(value, operation.line).map((element) => values.id(element)) }]
    })
    return { operation, invoked: operation.invoked, returned: operation.returned, accesses }
  })
  return {
    keys: keys.values,
    values: values.values,
    initial,
    steps: steps.filter(
      ({ accesses, returned }) =>
        accesses.length > 0 && (returned < Number.POSITIVE_INFINITY || accesses.some(({ kind }) => kind === 'append')),
    ),
  }
}

function initialList({ initial = null }: Header, key: Json): readonly Json[] {
  if (Array.isArray(initial)) return initial
  if (typeof initial !== 'object' || initial === null) return []
  const name = typeof key === 'string' ? key : canonical(key)
  const own = Object.hasOwn(initial, name) ? (initial as { readonly [key: string]: Json })[name] : undefined
  return Array.isArray(own) ? own : []
}

function listOf(value: Json, line: number): readonly Json[] {
  if (value === null) return []
  if (!Array.isArray(value)) throw new MalformedHistory(line, 'a list was read that is none')
  return value
}

/** A read whose result is not known has the value undefined. */
function accessesOf(operation: Operation): readonly (readonly [f: 'append' | 'read', key: Json, value: Json | undefined])[] {
  const { f, key, asked, answered, outcome, line } = operation
  if (f === 'read') return [['read', key, outcome === 'ok' ? (answered ?? null) : undefined]]
  if (f === 'append' || f === 'add' || f === 'write') {
    const value = asked === undefined ? answered : asked
    if (value === undefined) throw new MalformedHistory(line, 'an append names no value')
    return [['append', key, value]]
  }
  if (f !== 'txn') throw new MalformedHistory(line, `a list knows append, read and txn, not ${JSON.stringify(f)}`)
  const known = outcome === 'ok' && answered !== undefined && answered !== null
  const list = known ? answered : asked
  if (!Array.isArray(list)) throw new MalformedHistory(line, 'the value of a txn is not a list')
  if (known && Array.isArray(asked)) checkSameAccesses(asked, list, line)
  return list.map((access: Json) => {
    const [kind, of, value] = (Array.isArray(access) ? access : []) as [Json?, Json?, Json?]
    if (of === undefined) throw new MalformedHistory(line, 'an access of a txn is not [f, key, value]')
    if ((kind === 'append' || kind === 'a') && value !== undefined) return ['append', of, value] as const
    if (kind !== 'r' && kind !== 'read') throw new MalformedHistory(line, `a txn reads (r) and appends, not ${canonical(access)}`)
    if (outcome === 'ok' && !known) throw new MalformedHistory(line, 'a completed txn does not say what it read')
    return ['read', of, outcome === 'ok' ? (value ?? null) : undefined] as const
  })
}

/** What reads say of the lists; an objection where two of them contradict each other or their own operation. */
export function whatIsKnown(lists: Lists): Known | Objection {
  const longest = [...lists.initial]
  const witness: (Operation | undefined)[] = lists.keys.map(() => undefined)
  for (const { operation, accesses } of lists.steps) {
    for (const access of accesses) {
      if (access.kind !== 'read' || access.list.length <= (longest[access.key] as readonly number[]).length) continue
      longest[access.key] = access.list
      witness[access.key] = operation
    }
  }
  for (const { operation, accesses } of lists.steps) {
    for (const access of accesses) {
      if (access.kind !== 'read') continue
      const list = longest[access.key] as readonly number[]
      if (!isPrefix(access.list, list)) {
        const text = 'of the two lists none begins with the other'
        return { text, operations: [witness[access.key], operation].filter((each) => each !== undefined) }
      }
      if (isPrefix(lists.initial[access.key] as readonly number[], access.list)) continue
      return { text: 'the list lacks what it had from the beginning', operations: [operation] }
    }
  }
  const seen = new Set(lists.initial.flatMap((list, key) => list.map((value) => `${key} ${value}`)))
  let isAmbiguous = lists.initial.some((list) => new Set(list).size < list.length)
  for (const { accesses } of lists.steps) {
    for (const access of accesses) {
      if (access.kind !== 'append') continue
      const name = `${access.key} ${access.value}`
      if (seen.has(name)) isAmbiguous = true
      seen.add(name)
    }
  }
  for (const [key, list] of longest.entries()) {
    const strange = list.find((value) => !seen.has(`${key} ${value}`))
    const repeats = !isAmbiguous && new Set(list).size < list.length
    const twice = repeats ? list.find((value, at) => list.indexOf(value) < at) : undefined
    const reader = witness[key] as Operation
    if (strange !== undefined) return { text: `nobody appended ${canonical(lists.values[strange] as Json)}`, operations: [reader] }
    if (twice !== undefined)
      return { text: `${canonical(lists.values[twice] as Json)} was appended once and is there twice`, operations: [reader] }
  }
  return { longest, isAmbiguous }
}

const isPrefix = (start: readonly number[], list: readonly number[]): boolean =>
  start.length <= list.length && start.every((value, at) => value === list[at])

/** Only for what is not ambiguous. Undefined when the operations are linearizable. */
export function judgeLists(lists: Lists, { longest }: Known): Objection | undefined {
  const position = longest.map((list) => new Map(list.map((value, at) => [value, at])))
  const isSeen = ({ accesses }: ListStep) =>
    accesses.some((access) => access.kind === 'append' && position[access.key]?.has(access.value) === true)
  const steps = lists.steps.filter((step) => step.returned < Number.POSITIVE_INFINITY || isSeen(step))

  /** Of each key, the step that appended each position; undefined for what was there from the beginning. */
  const owners = longest.map((list): (number | undefined)[] => list.map(() => undefined))
  for (const [at, { accesses }] of steps.entries()) {
    for (const access of accesses) {
      const place = access.kind === 'append' ? position[access.key]?.get(access.value) : undefined
      if (place !== undefined) (owners[access.key] as (number | undefined)[])[place] = at
    }
  }

  const order: Precedence[] = []
  const before = (from: number | undefined, to: number | undefined, why: string) => {
    if (from !== undefined && to !== undefined && from !== to) order.push({ from, to, why })
  }
  for (const owner of owners) owner.forEach((each, at) => before(owner[at - 1], each, 'appended before'))

  const atEnd = longest.map((): { readonly readers: Set<number>; readonly appenders: Set<number> } => ({
    readers: new Set(),
    appenders: new Set(),
  }))
  for (const [at, step] of steps.entries()) {
    const own = ownAppends(step, position)
    if (typeof own === 'string') return { text: own, operations: [step.operation] }
    for (const [key, length] of own.reads) {
      const owner = owners[key] as readonly (number | undefined)[]
      before(owner[length - 1], at, 'was read by')
      before(at, owner[length], 'did not see the append of')
      if (length === owner.length) atEnd[key]?.readers.add(at)
    }
    for (const key of own.unseen) atEnd[key]?.appenders.add(at)
  }

  let nodes = steps.length
  for (const [key, { readers, appenders }] of atEnd.entries()) {
    const both = [...readers].filter((reader) => appenders.has(reader))
    const [first, second] = both
    if (first !== undefined && second !== undefined) {
      const operations = [steps[first]?.operation, steps[second]?.operation] as Operation[]
      return { text: 'both read the same list and appended to it: the later one missed the append of the other', operations }
    }
    // What was read last, all readers of it, then the one that read or appended it and appended more, then all other appenders.
    const end = nodes
    nodes += 1
    const lastOwner = owners[key]?.at(-1)
    const pivot = lastOwner !== undefined && appenders.has(lastOwner) ? lastOwner : first
    before(lastOwner, pivot, 'appended before')
    before(pivot ?? lastOwner, end, 'appended before')
    for (const reader of readers) before(reader, pivot ?? end, 'did not see the append of')
    for (const appender of appenders) if (appender !== pivot) before(end, appender, 'did not see the append of')
  }

  const ring = findRing(nodes, order, steps)
  if (ring === undefined) return undefined
  // Nodes that only pass precedence on say what the step before them says.
  const told = ring.filter(({ from }) => from < steps.length)
  const text = told.map(({ from, why }) => `line ${steps[from]?.operation.line} ${why}`).join(' ')
  const operations = told.map(({ from }) => steps[from]?.operation as Operation)
  return { text: `in a ring: ${text} line ${operations[0]?.line}`, operations }
}

interface Own {
  /** Length of each list that was read, before own appends. */
  readonly reads: ReadonlyMap<number, number>
  /** Keys to which something was appended that nobody read. */
  readonly unseen: ReadonlySet<number>
}

/** What a step says of others, apart from what it did itself; a text where it contradicts itself. */
function ownAppends(step: ListStep, position: readonly ReadonlyMap<number, number>[]): Own | string {
  const reads = new Map<number, number>()
  const appended = new Map<number, number[]>()
  for (const access of step.accesses) {
    const own = appended.get(access.key) ?? []
    if (access.kind === 'append') {
      appended.set(access.key, [...own, access.value])
      continue
    }
    const length = access.list.length - own.length
    if (length < 0 || !own.every((value, at) => access.list[length + at] === value)) return 'it does not see what it appended itself'
    if ((reads.get(access.key) ?? length) !== length) return 'it saw the list change while it was at it'
    reads.set(access.key, length)
  }
  const unseen = new Set<number>()
  for (const [key, values] of appended) {
    const places = values.map((value) => position[key]?.get(value) ?? Number.POSITIVE_INFINITY)
    if (places.some((place, at) => place < Number.POSITIVE_INFINITY && place <= (places[at - 1] ?? -1)))
      return 'its appends are there in another order'
    if (places.some((place) => place < (reads.get(key) ?? 0))) return 'it saw its append before it was made'
    if (places.includes(Number.POSITIVE_INFINITY)) unseen.add(key)
  }
  return { reads, unseen }
}

/**
 * Lists for the search, where values were appended twice: the state is how much of the longest read of each key is there;
 * one more means that there is something that no read has.
 */
export class ListMachine implements Machine {
  readonly steps: readonly Step[]
  readonly initial: State
  private readonly accesses: readonly (readonly ListAccess[])[]
  private readonly longest: Known['longest']

  constructor(lists: Lists, { longest }: Known) {
    this.longest = longest
    this.initial = lists.initial.map((list) => list.length)
    this.accesses = lists.steps.map(({ accesses }) => accesses)
    const classes = new Map<string, number>()
    this.steps = lists.steps.map(({ invoked, returned, accesses }) => {
      const name = JSON.stringify(
        accesses.map((access) => (access.kind === 'append' ? ['a', access.key, access.value] : ['r', access.key, access.list.length])),
      )
      const kind = classes.get(name) ?? classes.size
      classes.set(name, kind)
      return {
        invoked,
        returned,
        isOptional: returned === Number.POSITIVE_INFINITY,
        class: kind,
        pure: accesses.every((access) => access.kind === 'read'),
      }
    })
  }

  apply(state: State, at: number): State | undefined {
    let after: number[] | undefined
    for (const access of this.accesses[at] as readonly ListAccess[]) {
      const list = this.longest[access.key] as readonly number[]
      const length = (after ?? state)[access.key] as number
      if (access.kind === 'read') {
        if (length !== access.list.length) return undefined
        continue
      }
      after ??= [...state]
      // The longest read is still to come while the list is shorter, so it must become that.
      if (length < list.length && list[length] !== access.value) return undefined
      after[access.key] = Math.min(length, list.length) + 1
    }
    return after ?? state
  }

  done(): void {}

  undone(): void {}

  outlook(): Outlook {
    return 'fine'
  }

  isHarmless(): boolean {
    return false
  }

  isHiddenBy(): boolean {
    return false
  }

  /** Any step that appends to the same list, for all wait for the length that they saw, or for their own place. */
  serves(at: number, other: number): boolean {
    const appended = (this.accesses[at] as readonly ListAccess[]).filter(({ kind }) => kind === 'append')
    return (this.accesses[other] as readonly ListAccess[]).some(({ key }) => appended.some((access) => access.key === key))
  }

  canWait(at: number): boolean {
    return new Set(this.accesses[at]?.map(({ key }) => key)).size === 1
  }

  matters(): boolean {
    return true
  }
}
