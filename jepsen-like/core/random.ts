/** Chance from a seed: the same numbers in the same order, on every machine. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 0
  }

  /** From 0 up, below 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1))
  }

  chance(share: number): boolean {
    return this.next() < share
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.next() * items.length)] as Item
  }

  shuffle<Item>(items: readonly Item[]): readonly Item[] {
    const left = [...items]
    for (let at = left.length - 1; at > 0; at--) {
      const other = this.between(0, at)
      ;[left[at], left[other]] = [left[other] as Item, left[at] as Item]
    }
    return left
  }
}

/**
 * A stream of its own for each path, such as `randomOf(seed, 'register', 'worker-1', 17)`: what one part draws shifts nothing
 * that another part draws, so the whole schedule follows from the seed, however the parts take turns.
 */
export function randomOf(seed: number, ...path: readonly (string | number)[]): Random {
  let hash = 0x811c9dc5 ^ (seed | 0)
  for (const part of path.join('/')) {
    hash = Math.imul(hash ^ (part.codePointAt(0) as number), 0x01000193)
  }
  return new Random(hash ^ (hash >>> 13))
}
