/**
 * Judges a set that only grows, from its history alone and without search.
 *
 * What reads returned must form a chain, each containing the one before. The place of an element is the first link that has it;
 * elements that no read has come after all. So everything has a rank: the reads of link k have 2k, the adds of what is new in it
 * have 2k - 1. The history is linearizable exactly when no operation completed before one of a lower rank began: operations of
 * equal rank get along in any order.
 *
 * Of several adds of the same element, one has that rank and the others can come later, so each gets the lowest rank that its
 * forerunners in real time leave it, and one of them must have the element's. Adds of unknown outcome count where they help.
 */
import { MalformedHistory, type Operation } from './history.js'
import { Interning, type Json } from './values.js'

export interface Objection {
  readonly text: string
  readonly operations: readonly Operation[]
}

interface Read {
  readonly operation: Operation
  /** Each once. */
  readonly elements: Int32Array
  rank: number
}

const adds = new Set(['add', 'append', 'write'])

/** All operations are about one set. Undefined when they are linearizable. Throws MalformedHistory. */
export function judgeSet(initial: Json, operations: readonly Operation[]): Objection | undefined {
  const interning = new Interning()
  const start = new Set((Array.isArray(initial) ? initial : []).map((element: Json) => interning.id(element)))
  const reads: Read[] = []
  const added: { readonly operation: Operation; readonly element: number }[] = []
  for (const operation of operations) {
    if (operation.f === 'read') {
      if (operation.outcome === 'ok') reads.push({ operation, elements: elementsOf(operation, interning), rank: 0 })
    } else if (adds.has(operation.f)) {
      const element = operation.asked === undefined ? operation.answered : operation.asked
      if (element === undefined) throw new MalformedHistory(operation.line, 'an add names no element')
      added.push({ operation, element: interning.id(element) })
    } else {
      throw new MalformedHistory(operation.line, `a set knows add (or append, write) and read, not ${JSON.stringify(operation.f)}`)
    }
  }
  const names = (element: number) => JSON.stringify(interning.values[element])

  reads.sort((a, b) => a.elements.length - b.elements.length)
  /** The rank of an add. */
  const place = new Map<number, number>([...start].map((element) => [element, 0]))
  const seenBy = new Map<number, Read>()
  let [rank, last]: [number, Read | undefined] = [0, undefined]
  for (const read of reads) {
    const before = place.size
    const known = read.elements.reduce((count, element) => count + (place.has(element) ? 1 : 0), 0)
    if (known < before) return loss(last, read, place, names)
    if (read.elements.length > before) rank += 2
    read.rank = rank
    for (const element of read.elements) {
      if (place.has(element)) continue
      place.set(element, rank - 1)
      seenBy.set(element, read)
    }
    last = read
  }

  const rankOf = new Map<Operation, number>(reads.map((read) => [read.operation, read.rank]))
  const elementOf = new Map<Operation, number>(added.map(({ operation, element }) => [operation, element]))
  const provided = new Set<number>()
  let highest: { readonly rank: number; readonly operation: Operation | undefined } = { rank: 0, operation: undefined }
  const completed = [...rankOf.keys(), ...added.map(({ operation }) => operation)]
    .filter(({ returned }) => returned < Number.POSITIVE_INFINITY)
    .sort((a, b) => a.returned - b.returned)
  let next = 0
  for (const operation of operations.filter((each) => rankOf.has(each) || elementOf.has(each))) {
    for (; next < completed.length && (completed[next] as Operation).returned < operation.invoked; next += 1) {
      const done = completed[next] as Operation
      const own = rankOf.get(done) as number
      if (own > highest.rank) highest = { rank: own, operation: done }
    }
    const element = elementOf.get(operation)
    if (element === undefined) {
      if ((rankOf.get(operation) as number) >= highest.rank) continue
      return {
        text: 'the second began after the first completed, and lacks what was there',
        operations: [highest.operation as Operation, operation],
      }
    }
    const own = place.get(element) ?? rank + 1
    if (highest.rank <= own) provided.add(element)
    rankOf.set(operation, Math.max(own, highest.rank))
  }
  for (const [element, read] of seenBy) {
    if (provided.has(element)) continue
    const late = added.filter((add) => add.element === element).map(({ operation }) => operation)
    const text = late.length === 0 ? `nobody added ${names(element)}` : `${names(element)} was seen before it can have been added`
    return { text, operations: [read.operation, ...late.slice(0, 4)] }
  }
  return undefined
}

function loss(before: Read | undefined, read: Read, place: ReadonlyMap<number, number>, names: (element: number) => string): Objection {
  const elements = new Set(read.elements)
  const lost = names([...place.keys()].find((element) => !elements.has(element)) as number)
  if (before === undefined) return { text: `${lost} was there from the beginning, and is missing`, operations: [read.operation] }
  const text = `${lost} is in the first and not in the second, which has others instead: in no order does a set grow like this`
  return { text, operations: [before.operation, read.operation] }
}

function elementsOf(operation: Operation, interning: Interning): Int32Array {
  const list = operation.answered ?? []
  if (!Array.isArray(list)) throw new MalformedHistory(operation.line, 'a set was read that is not a list')
  return Int32Array.from(new Set(list.map((element: Json) => interning.id(element))))
}
