/** Whatever step of its work a store is broken off at, what it had promised is there when it is opened again. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { logIndex, term } from '../../../src/base/index.js'
import type { SnapshotMeta } from '../../../src/core/raft/index.js'
import { type Disk, openStore, type Restored, type RowChange, type Store } from '../../../src/io/store/index.js'
import { Random } from '../../sim/random.js'
import { hardState, identity, Recorder } from './contract.js'
import { CrashDisk } from './crash-disk.js'
import { chunksOf, Model, sumOf, voter } from './model.js'
import { quickFolder } from './real-store.js'

/** Small segments with space made ahead, so that everything happens often. */
const options = { segmentMax: 700, aheadStep: 256 }

/** A store and the model of it, kept in step. */
class Pair {
  readonly model: Model
  private readonly store: Store
  private readonly recorder: Recorder
  private sequence = 0
  /** Number in `model.logs` by sequence. */
  private readonly steps = new Map<number, number>()

  constructor(store: Store, recorder: Recorder, model: Model) {
    this.store = store
    this.recorder = recorder
    this.model = model
  }

  /** Without waiting for it. */
  append(atTerm: number, from: number, count: number, votedFor: string | null = null): void {
    this.sequence += 1
    const entries = this.model.append(atTerm, votedFor, from, count)
    this.steps.set(this.sequence, this.model.logs.length - 1)
    this.store.append({ sequence: this.sequence, hardState: hardState(atTerm, votedFor), entries })
  }

  async persisted(): Promise<void> {
    if (this.sequence > 0) await this.recorder.untilPersisted(this.sequence)
    this.note()
    if (this.recorder.failures.length > 0) throw this.recorder.failures[0]
  }

  /** Takes note of what was reported as durable. */
  note(): void {
    const step = this.steps.get(this.recorder.persisted.at(-1) ?? 0)
    this.model.durable = Math.max(this.model.durable, step ?? 0)
  }

  apply(index: number, changes: readonly RowChange[]): void {
    const { configuration } = this.model.state.applied
    const applied = { index: logIndex(index), term: term(this.model.termAt(index)), configuration }
    this.model.apply(applied, changes)
    const sum = this.store.apply(applied, changes)
    if (this.recorder.failures.length === 0) assert.equal(sum, sumOf(this.model.state.rows))
  }

  async sync(): Promise<number> {
    const index = await this.store.syncApplied()
    this.model.synced(index)
    return index
  }

  cut(index: number): void {
    this.model.cut = Math.max(this.model.cut, index)
    this.store.cutLog(logIndex(index))
  }

  async install(meta: SnapshotMeta, rows: ReadonlyMap<string, unknown>, keepTail: boolean, meanwhile = () => {}): Promise<void> {
    const writer = await this.store.receiveSnapshot(meta)
    for (const chunk of chunksOf(rows)) await writer.write(chunk)
    this.model.install(meta, rows, keepTail)
    const step = this.model.logs.length - 1
    const installing = writer.install(keepTail)
    meanwhile()
    await installing
    this.model.durable = Math.max(this.model.durable, step)
    this.model.synced(meta.index)
  }

  async abandon(meta: SnapshotMeta): Promise<void> {
    const writer = await this.store.receiveSnapshot(meta)
    await writer.write(chunksOf(new Map([['a', 1], ['b', 2], ['c', 3]]))[0] as Uint8Array) // biome-ignore format: one line is enough.
    await writer.abandon()
  }
}

function meta(index: number, atTerm: number): SnapshotMeta {
  return { index: logIndex(index), term: term(atTerm), configuration: { voters: [voter(1)], learners: [], outgoing: [], places: {} } }
}

const put = (key: string, value: unknown): RowChange => ({ table: 't', key, value })

/** Roll, truncation, cut, both kinds of install, an abandoned receive. */
async function story(pair: Pair): Promise<void> {
  pair.append(1, 1, 3, 'm-1')
  await pair.persisted()
  pair.append(1, 4, 5)
  pair.apply(2, [put('a', 1), put('b', { two: 2 })])
  await pair.persisted()
  pair.append(2, 6, 4, 'm-2')
  // Ahead of the log on disk, in the middle of what replaces its end.
  pair.apply(6, [put('b', 'ahead')])
  await pair.persisted()
  pair.append(2, 10, 6)
  pair.append(3, 16, 1)
  await pair.persisted()
  pair.apply(9, [put('a', undefined), put('c', 3)])
  pair.cut(await pair.sync())
  pair.append(3, 17, 4)
  await pair.persisted()
  pair.apply(12, [put('d', 'lost or not')])
  await pair.abandon(meta(30, 4))
  await pair.install(meta(30, 4), new Map(Object.entries({ a: 5, e: 'snapshot', f: [1, 2] })), false, () => pair.append(4, 31, 3))
  await pair.persisted()
  pair.append(4, 34, 8)
  await pair.persisted()
  pair.apply(32, [put('g', 7)])
  await pair.install(meta(36, 4), new Map(Object.entries({ e: 'tail kept', h: 8 })), true)
  pair.append(5, 40, 3, 'm-1')
  await pair.persisted()
  pair.apply(40, [put('i', 9)])
  pair.cut(await pair.sync())
  pair.append(5, 43, 6)
  await pair.persisted()
}

/** Steps as chance has them. */
async function randomStory(pair: Pair, random: Random, steps: number): Promise<void> {
  const { model } = pair
  let synced = model.state.applied.index as number
  for (let step = 0; step < steps; step++) {
    const { last } = model.log
    const applied = model.state.applied.index
    const now = Math.max(model.log.hardState.term, 1)
    const roll = random.between(0, 99)
    if (roll < 45) {
      const atTerm = now + (random.chance(0.2) ? 1 : 0)
      const from = random.chance(0.2) ? random.between(Math.max(applied, model.cut, model.log.begin) + 1, last + 1) : last + 1
      const votedFor = random.chance(0.5) ? 'm-1' : null
      pair.append(atTerm, from, random.between(0, 4), atTerm === now ? model.log.hardState.votedFor : votedFor)
      if (random.chance(0.7)) await pair.persisted()
    } else if (roll < 70) {
      // What others have stored is applied, whether the own disk has it yet or not.
      if (random.chance(0.5)) await pair.persisted()
      const index = random.between(applied, model.log.last)
      const changes = Array.from({ length: index === applied ? 0 : random.between(0, 3) }, () => {
        return put(`k${random.between(0, 9)}`, random.chance(0.3) ? undefined : random.between(0, 1_000))
      })
      pair.apply(index, changes)
    } else if (roll < 80) synced = await pair.sync()
    else if (roll < 90) pair.cut(random.between(0, synced))
    else {
      await pair.persisted()
      const keepTail = last > applied && random.chance(0.5)
      const index = keepTail ? random.between(applied + 1, last) : last + random.between(1, 9)
      const rows = new Map(Array.from({ length: random.between(0, 6) }, (_, at) => [`k${at}`, random.between(0, 1_000)]))
      await pair.install(meta(index, keepTail ? model.termAt(index) : now), rows, keepTail)
      synced = index
    }
  }
}

async function openPair(folder: string, disk: Disk | undefined, found: (restored: Restored) => Model) {
  const recorder = new Recorder()
  const { store, restored } = await openStore(folder, recorder, { ...options, ...(disk === undefined ? {} : { disk }) })
  if (restored.identity === undefined) await store.writeIdentity(identity)
  return { store, recorder, pair: new Pair(store, recorder, found(restored)) }
}

/** Runs `tell` until operation `crashAt` and checks what is found then; false when the story ended before. */
async function crashIn(tell: (pair: Pair) => Promise<void>, crashAt: number, seed: number): Promise<boolean> {
  const folder = await quickFolder()
  const [place, image] = [join(folder.path, 'data'), join(folder.path, 'image')]
  const disk = new CrashDisk(place, image, crashAt, new Random(seed))
  const model = new Model()
  try {
    let opened: Awaited<ReturnType<typeof openPair>> | undefined
    try {
      opened = await openPair(place, disk, () => model)
      await tell(opened.pair)
      await opened.store.close()
    } catch (error) {
      if (!disk.crashed) throw error
    }
    opened?.pair.note()
    if (opened !== undefined && disk.crashed) {
      assert.ok(opened.recorder.failures.length <= 1)
      await opened.store.close().catch(() => undefined)
    }
    if (!disk.crashed) return false

    const again = await openPair(image, undefined, (restored) => {
      model.check(restored)
      return new Model(restored)
    })
    assert.equal(readdirSync(image).filter((name) => name.startsWith('applied')).length, 1)
    again.pair.append(9, again.pair.model.log.last + 1, 2, 'm-9')
    await again.pair.persisted()
    again.pair.apply(again.pair.model.log.last, [put('z', 1)])
    again.pair.cut(await again.pair.sync())
    await again.store.close()
    await openPair(image, undefined, (restored) => {
      again.pair.model.check(restored)
      return again.pair.model
    }).then(({ store }) => store.close())
    return true
  } finally {
    await folder.remove()
  }
}

describe('a crash', { timeout: 120_000 }, () => {
  test('at any operation of a story with rolls, cuts and installs leaves what was promised', async () => {
    let crashAt = 1
    while (await within(`operation ${crashAt}`, () => crashIn(story, crashAt, crashAt))) crashAt += 1
    assert.ok(crashAt > 60, `${crashAt} operations`)
  })

  test('anywhere in stories of chance leaves what was promised', async () => {
    const random = new Random(7)
    for (let seed = 1; seed <= 60; seed++) {
      const crashAt = random.between(5, 80)
      await within(`seed ${seed}, operation ${crashAt}`, () => crashIn((pair) => randomStory(pair, new Random(seed), 60), crashAt, seed))
    }
  })
})

test('stories of chance, opened again and again, hold what they should', { timeout: 120_000 }, async () => {
  for (let seed = 1; seed <= 6; seed++) {
    const folder = await quickFolder()
    try {
      const random = new Random(seed)
      let model = new Model()
      for (let life = 1; life <= 6; life++) {
        await within(`seed ${seed}, life ${life}`, async () => {
          const { store, pair } = await openPair(folder.path, undefined, (restored) => {
            if (life > 1) model.check(restored)
            return new Model(restored)
          })
          model = pair.model
          await randomStory(pair, random, 30)
          await pair.persisted()
          await pair.sync()
          await store.close()
          pair.note()
        })
      }
    } finally {
      await folder.remove()
    }
  }
})

async function within<Value>(where: string, body: () => Promise<Value>): Promise<Value> {
  try {
    return await body()
  } catch (error) {
    throw new Error(`${where}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}
