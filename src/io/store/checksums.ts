/**
 * The checksum of each row, by its table and key: the key as its owner has it, for a text that was made anew has to be hashed anew.
 *
 * Many maps instead of one: a `Map` copies itself when it is full, which takes 25 ms at 131,072 rows and 50 ms at the next
 * doubling. The small ones do it in less than a millisecond, each at another time.
 */
const shardCount = 512

/** Signed: half of the unsigned ones would be objects of their own, made anew with each change. */
interface Kept {
  signed: number
}

type Shard = Map<string, Kept>

export class Checksums {
  size = 0
  private readonly tables = new Map<string, (Shard | undefined)[]>()

  /** `ofKey`: the checksum of the whole key alone, which tells where to look. */
  has(table: string, key: string, ofKey: number): boolean {
    return this.shardOf(table, ofKey).has(key)
  }

  /** Answers with what it was; 0 stands for no row. */
  set(table: string, key: string, ofKey: number, checksum: number): number {
    const shard = this.shardOf(table, ofKey)
    const kept = shard.get(key)
    if (kept === undefined) {
      shard.set(key, { signed: checksum | 0 })
      this.size += 1
      return 0
    }
    const before = kept.signed >>> 0
    kept.signed = checksum | 0
    return before
  }

  /** Answers with what it was; 0 stands for no row. */
  delete(table: string, key: string, ofKey: number): number {
    const shard = this.shardOf(table, ofKey)
    const kept = shard.get(key)
    if (kept === undefined) return 0
    shard.delete(key)
    this.size -= 1
    return kept.signed >>> 0
  }

  private shardOf(table: string, ofKey: number): Shard {
    let shards = this.tables.get(table)
    if (shards === undefined) {
      shards = []
      this.tables.set(table, shards)
    }
    const at = ofKey & (shardCount - 1)
    let shard = shards[at]
    if (shard === undefined) {
      shard = new Map()
      shards[at] = shard
    }
    return shard
  }
}
