/**
 * The checksum of each row, by its full key.
 *
 * Many maps instead of one: a `Map` copies itself when it is full, which takes 25 ms at 131,072 rows and 50 ms at the next
 * doubling. The small ones do it in less than a millisecond, each at another time.
 */
const shardCount = 512

export class Checksums {
  size = 0
  private readonly shards = Array.from({ length: shardCount }, () => new Map<string, number>())

  /** `ofKey`: the checksum of the key alone, which tells where to look. */
  get(key: string, ofKey: number): number | undefined {
    return this.shardOf(ofKey).get(key)
  }

  set(key: string, ofKey: number, checksum: number): void {
    const shard = this.shardOf(ofKey)
    const before = shard.size
    shard.set(key, checksum)
    this.size += shard.size - before
  }

  delete(key: string, ofKey: number): void {
    if (this.shardOf(ofKey).delete(key)) this.size -= 1
  }

  private shardOf(ofKey: number): Map<string, number> {
    return this.shards[ofKey & (shardCount - 1)] as Map<string, number>
  }
}
