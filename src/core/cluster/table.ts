/**
 * One table of the applied state: rows in the order of their keys, in a copy-on-write B+ tree, so that a picture of it costs nothing.
 *
 * The tree holds cells, and an index by hash may lead to them beside it: a row that is there is then read and replaced without
 * touching the tree, whose search goes through fourteen keys of ten thousand, all over the memory.
 */
import BTreeModule from 'sorted-btree'

// CommonJS class under an ES module import: the constructor is the `default` of the default.
const BTree = BTreeModule.default ?? BTreeModule
type Tree<Value> = InstanceType<typeof BTreeModule.default<string, Value>>

interface Cell {
  row: unknown
  /** Of the table that made it. No other may change it, nor this one after a picture was taken. */
  readonly owner: object
}

export class Table {
  private readonly tree: Tree<Cell>
  private readonly index: Index | undefined
  private owner: object = {}

  private constructor(tree: Tree<Cell>, index: Index | undefined) {
    this.tree = tree
    this.index = index
  }

  /** `isIndexed`: for tables whose rows are mostly read and replaced one by one. */
  static empty(isIndexed: boolean): Table {
    return new Table(new BTree<string, Cell>(undefined, compareKeys), isIndexed ? new Index() : undefined)
  }

  get size(): number {
    return this.tree.size
  }

  get(key: string): unknown {
    return this.cell(key)?.row
  }

  set(key: string, row: unknown): void {
    const cell = this.cell(key)
    if (cell?.owner === this.owner) {
      cell.row = row
      return
    }
    const fresh: Cell = { row, owner: this.owner }
    this.tree.set(key, fresh)
    this.index?.set(key, fresh)
  }

  delete(key: string): void {
    this.tree.delete(key)
    this.index?.delete(key)
  }

  /** In the order of keys, from `from` on. */
  *entries(from?: string): Iterable<readonly [string, unknown]> {
    for (const [key, { row }] of this.tree.entries(from)) yield [key, row]
  }

  /** A table of its own that later changes of this one do not touch, nor its changes this one. */
  picture(): Table {
    this.owner = {}
    return new Table(this.tree.clone(), undefined)
  }

  private cell(key: string): Cell | undefined {
    return this.index === undefined ? this.tree.get(key) : this.index.get(key)
  }
}

/** Many maps instead of one: a `Map` of many thousand keys takes tens of milliseconds to become larger. */
export const shardCount = 256

class Index {
  private readonly shards: (Map<string, Cell> | undefined)[] = new Array(shardCount).fill(undefined)

  get(key: string): Cell | undefined {
    return this.shards[shardOf(key)]?.get(key)
  }

  set(key: string, cell: Cell): void {
    const at = shardOf(key)
    const shard = this.shards[at]
    if (shard === undefined) this.shards[at] = new Map([[key, cell]])
    else shard.set(key, cell)
  }

  delete(key: string): void {
    this.shards[shardOf(key)]?.delete(key)
  }
}

/** Over the whole key: where keys differ is theirs to choose, and in one shard they would all be one large `Map` again. */
export function shardOf(key: string): number {
  let hash = 0
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193)
  return (hash ^ (hash >>> 15)) & (shardCount - 1)
}

/** Code unit order: the same in every locale. */
export function compareKeys(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
