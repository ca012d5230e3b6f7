/** What every `Store` must do. Run on the real one here, and on the simulator's by the simulator's tests. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type ClusterId, type LogIndex, logIndex, type MemberId, type NodeId, term } from '../../../src/base/index.js'
import type { HardState, LogEntry } from '../../../src/core/raft/index.js'
import type { Identity, Restored, Store, StoreListener } from '../../../src/io/store/index.js'

export interface StoreFolder {
  open(listener: StoreListener): Promise<{ readonly store: Store; readonly restored: Restored }>
  /** Lets time pass where it does not pass by itself. */
  settle?(): Promise<void>
  remove(): Promise<void>
}

export const identity: Identity = {
  clusterId: 'c-1' as ClusterId,
  memberId: 'm-1' as MemberId,
  node: 'n1' as NodeId,
  phase: 'formed',
  voters: [{ node: 'n1' as NodeId, member: 'm-1' as MemberId }],
}

export function hardState(atTerm: number, votedFor: string | null = null): HardState {
  return { term: term(atTerm), votedFor: votedFor as MemberId | null }
}

/** Entries `from` to `to` of one term, with data that name both. */
export function entries(from: number, to: number, atTerm = 1, bytes = 0): LogEntry[] {
  return Array.from({ length: to - from + 1 }, (_, at) => ({
    index: logIndex(from + at),
    term: term(atTerm),
    kind: from + at === 1 ? 'noop' : 'command',
    data: new Uint8Array(Buffer.from(`${atTerm}:${from + at}`.padEnd(bytes, '.'))),
  }))
}

/** Remembers what a store reports, and lets tests wait for it. */
export class Recorder implements StoreListener {
  readonly persisted: number[] = []
  readonly failures: unknown[] = []
  private watchers: (() => void)[] = []

  onPersisted(sequence: number): void {
    this.persisted.push(sequence)
    for (const wake of this.watchers.splice(0)) wake()
  }

  onFailure(error: unknown): void {
    this.failures.push(error)
    for (const wake of this.watchers.splice(0)) wake()
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.watchers.push(resolve))
  }

  untilPersisted(sequence: number): Promise<void> {
    return this.until(() => this.persisted.at(-1) === sequence || this.failures.length > 0)
  }
}

export function plain(restored: Restored): unknown {
  return {
    hardState: restored.hardState,
    entries: restored.entries.map(({ index, term, kind, data }) => [index, term, kind, Buffer.from(data).toString()]),
    applied: restored.appliedIndex,
    rows: [...restored.rows].map(({ table, key, value }) => [table, key, value]).sort(),
  }
}

export function storeContract(name: string, makeFolder: () => Promise<StoreFolder>): void {
  describe(`store contract: ${name}`, () => {
    async function withFolder(body: (folder: StoreFolder) => Promise<void>): Promise<void> {
      const folder = await makeFolder()
      try {
        await body(folder)
      } finally {
        await folder.remove()
      }
    }
    /** Opens, lets `body` work, waits for `sequence` to be persisted, closes. */
    async function session(folder: StoreFolder, sequence: number, body: (store: Store) => void | Promise<void>): Promise<Restored> {
      const recorder = new Recorder()
      const { store, restored } = await folder.open(recorder)
      await body(store)
      await folder.settle?.()
      if (sequence > 0) await recorder.untilPersisted(sequence)
      assert.deepEqual(recorder.failures, [])
      await store.close()
      return restored
    }
    const reopened = (folder: StoreFolder) => session(folder, 0, () => undefined)

    test('an empty folder restores nothing', () =>
      withFolder(async (folder) => {
        const restored = await reopened(folder)
        assert.equal(restored.identity, undefined)
        assert.deepEqual(plain(restored), { hardState: hardState(0), entries: [], applied: 0, rows: [] })
      }))

    test('an identity is there once its promise has resolved, and the latest counts', () =>
      withFolder(async (folder) => {
        await session(folder, 0, async (store) => {
          await store.writeIdentity({ ...identity, phase: 'forming' })
          await store.writeIdentity(identity)
        })
        assert.deepEqual((await reopened(folder)).identity, identity)
      }))

    test('hard state and entries come back as they were', () =>
      withFolder(async (folder) => {
        await session(folder, 3, async (store) => {
          await store.writeIdentity(identity)
          store.append({ sequence: 1, hardState: hardState(1, 'm-1'), entries: entries(1, 3) })
          store.append({ sequence: 2, hardState: hardState(2), entries: [] })
          store.append({ sequence: 3, hardState: hardState(2, 'm-2'), entries: entries(4, 4, 2) })
        })
        const restored = await reopened(folder)
        assert.deepEqual(restored.hardState, hardState(2, 'm-2'))
        assert.deepEqual(
          restored.entries.map(({ index, term, kind, data }) => [index, term, kind, Buffer.from(data).toString()]),
          [
            [1, 1, 'noop', '1:1'],
            [2, 1, 'command', '1:2'],
            [3, 1, 'command', '1:3'],
            [4, 2, 'command', '2:4'],
          ],
        )
      }))

    test('reports come in order, each once', () =>
      withFolder(async (folder) => {
        const recorder = new Recorder()
        const { store } = await folder.open(recorder)
        await store.writeIdentity(identity)
        for (let sequence = 1; sequence <= 200; sequence++) {
          store.append({ sequence, hardState: hardState(1), entries: entries(sequence, sequence) })
        }
        await folder.settle?.()
        await recorder.untilPersisted(200)
        assert.deepEqual(
          recorder.persisted,
          Array.from({ length: 200 }, (_, at) => at + 1),
        )
        await store.close()
        assert.equal((await reopened(folder)).entries.length, 200)
      }))

    test('entries at or below the last index replace the log from there on', () =>
      withFolder(async (folder) => {
        await session(folder, 2, async (store) => {
          await store.writeIdentity(identity)
          store.append({ sequence: 1, hardState: hardState(1), entries: entries(1, 5) })
          store.append({ sequence: 2, hardState: hardState(2), entries: entries(3, 4, 2) })
        })
        await session(folder, 3, (store) => store.append({ sequence: 3, hardState: hardState(3), entries: entries(4, 4, 3) }))
        assert.deepEqual(
          (await reopened(folder)).entries.map((entry) => [entry.index, entry.term]),
          [
            [1, 1],
            [2, 1],
            [3, 2],
            [4, 3],
          ],
        )
      }))

    test('rows are put, replaced and deleted together with the applied index', () =>
      withFolder(async (folder) => {
        const recorder = new Recorder()
        const { store } = await folder.open(recorder)
        await store.writeIdentity(identity)
        store.append({ sequence: 1, hardState: hardState(1), entries: entries(1, 3) })
        await folder.settle?.()
        await recorder.untilPersisted(1)
        store.apply(logIndex(1), [
          { table: 'groups', key: 'web', value: { mode: 'failover', nodes: ['n1'] } },
          { table: 'groups', key: 'gone', value: 1 },
        ])
        store.apply(logIndex(2), [
          { table: 'groups', key: 'gone', value: undefined },
          { table: 'store', key: 'a/b\0c', value: 'ü' },
        ])
        store.apply(logIndex(3), [{ table: 'groups', key: 'web', value: { mode: 'failover', nodes: [] } }])
        await folder.settle?.()
        await store.close()
        const restored = await reopened(folder)
        assert.equal(restored.appliedIndex, 3 as LogIndex)
        assert.deepEqual(
          [...restored.rows].sort((a, b) => (a.table < b.table ? -1 : 1)),
          [
            { table: 'groups', key: 'web', value: { mode: 'failover', nodes: [] } },
            { table: 'store', key: 'a/b\0c', value: 'ü' },
          ],
        )
      }))

    test('the applied index moves without changes', () =>
      withFolder(async (folder) => {
        const recorder = new Recorder()
        const { store } = await folder.open(recorder)
        await store.writeIdentity(identity)
        store.append({ sequence: 1, hardState: hardState(1), entries: entries(1, 2) })
        await folder.settle?.()
        await recorder.untilPersisted(1)
        store.apply(logIndex(2), [])
        await folder.settle?.()
        await store.close()
        assert.equal((await reopened(folder)).appliedIndex, 2 as LogIndex)
      }))

    test('a gap in the log is refused as our own bug', () =>
      withFolder(async (folder) => {
        const { store } = await folder.open(new Recorder())
        assert.throws(() => store.append({ sequence: 1, hardState: hardState(1), entries: entries(2, 2) }), /no gaps/)
        await store.close()
      }))
  })
}
