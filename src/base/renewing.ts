/**
 * A `Map` and a `Set` for what comes and goes many times a second.
 *
 * V8's own ones move to a new table when they are full or cleared, and leave the old table pointing at the new one, for iterators that
 * may still be on it. An old table that has survived two collections of young objects then keeps alive every table after it, with
 * all that was in them, until the next full collection: of requests that are long answered, everything is copied about and promoted. These
 * here move to a fresh `Map` or `Set`, to which nothing points, before that becomes much.
 */

/** Deletions after which it is renewed, or as many as it has elements if that is more. */
const renewedAfter = 64

export class RenewingMap<Key, Value> {
  private map = new Map<Key, Value>()
  private deletions = 0
  /** Somebody who goes through it has to see what is deleted meanwhile. */
  private readers = 0

  get size(): number {
    return this.map.size
  }

  get(key: Key): Value | undefined {
    return this.map.get(key)
  }

  has(key: Key): boolean {
    return this.map.has(key)
  }

  set(key: Key, value: Value): void {
    this.map.set(key, value)
  }

  delete(key: Key): boolean {
    if (!this.map.delete(key)) return false
    if (++this.deletions >= renewedAfter && this.deletions >= this.map.size && this.readers === 0) {
      this.map = new Map(this.map)
      this.deletions = 0
    }
    return true
  }

  clear(): void {
    if (this.readers > 0) return this.map.clear()
    this.map = new Map()
    this.deletions = 0
  }

  /** In the order of insertion; what is deleted or set meanwhile is left out or comes, as with a `Map`. */
  *[Symbol.iterator](): IterableIterator<[Key, Value]> {
    this.readers += 1
    try {
      yield* this.map
    } finally {
      this.readers -= 1
    }
  }
}

export class RenewingSet<Element> {
  private readonly map = new RenewingMap<Element, true>()

  get size(): number {
    return this.map.size
  }

  has(element: Element): boolean {
    return this.map.has(element)
  }

  add(element: Element): void {
    this.map.set(element, true)
  }

  delete(element: Element): boolean {
    return this.map.delete(element)
  }

  *[Symbol.iterator](): IterableIterator<Element> {
    for (const [element] of this.map) yield element
  }
}
