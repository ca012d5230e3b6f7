/** What every `Store` must do. Run on the real one here, and on the simulator's by the simulator's tests. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ClusterError, type ClusterId, logIndex, type MemberId, type NodeId, term } from '../../../src/base/index.js'
import type { HardState, LogEntry, SnapshotMeta } from '../../../src/core/raft/index.js'
import type { Identity, Restored, Row, RowChange, SnapshotReader, Store, StoreListener } from '../../../src/io/store/index.js'

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

export function applied(index: number, atTerm = 1, configuration: SnapshotMeta['configuration'] = null): SnapshotMeta {
  return { index: logIndex(index), term: term(atTerm), configuration }
}

export function row(key: string, value: unknown): RowChange {
  return { table: 't', key, value }
}

/** All chunks of a snapshot. */
export async function allChunks(reader: SnapshotReader, maxBytes?: number): Promise<readonly Uint8Array[]> {
  const chunks: Uint8Array[] = []
  for (let last = false; !last; ) {
    const chunk = await reader.next(maxBytes)
    chunks.push(chunk.data)
    last = chunk.last
  }
  await reader.close()
  return chunks
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
    base: [restored.base.index, restored.base.term],
    applied: restored.applied,
    rows: plainRows(restored.rows),
  }
}

export function plainRows(rows: readonly Row[]): readonly unknown[] {
  return rows.map(({ table, key, value }) => [table, key, value]).sort()
}

function isDamage(error: unknown): boolean {
  assert.ok(error instanceof ClusterError && error.code === 'SNAPSHOT_DAMAGED', String(error))
  return true
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
        assert.deepEqual(plain(restored), { hardState: hardState(0), entries: [], base: [0, 0], applied: applied(0, 0), rows: [] })
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
        store.apply(applied(1), [
          { table: 'groups', key: 'web', value: { mode: 'failover', nodes: ['n1'] } },
          { table: 'groups', key: 'gone', value: 1 },
        ])
        store.apply(applied(2), [
          { table: 'groups', key: 'gone', value: undefined },
          { table: 'store', key: 'a/b\0c', value: 'ü' },
        ])
        store.apply(applied(3), [{ table: 'groups', key: 'web', value: { mode: 'failover', nodes: [] } }])
        await folder.settle?.()
        await store.close()
        const restored = await reopened(folder)
        assert.deepEqual(restored.applied, applied(3))
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
        store.apply(applied(2), [])
        await folder.settle?.()
        await store.close()
        assert.deepEqual((await reopened(folder)).applied, applied(2))
      }))

    /** A store with the entries `1` to `last` in its log, all of them applied: `key` of each index modulo 10 holds the index. */
    async function filled(
      folder: StoreFolder,
      last: number,
    ): Promise<{ readonly store: Store; readonly recorder: Recorder; readonly sum: number }> {
      const recorder = new Recorder()
      const { store } = await folder.open(recorder)
      await store.writeIdentity(identity)
      let sum = 0
      for (let index = 1; index <= last; index++) {
        store.append({ sequence: index, hardState: hardState(1), entries: entries(index, index) })
        await folder.settle?.()
        await recorder.untilPersisted(index)
        sum = store.apply(applied(index), [row(String(index % 10), { index })])
      }
      return { store, recorder, sum }
    }
    const rowsAt = (last: number) =>
      Array.from({ length: Math.min(last, 10) }, (_, back) => last - back)
        .map((index) => ['t', String(index % 10), { index }])
        .sort()

    test('the sum is the same for the same rows, however they came about, and is there after a restart', () =>
      withFolder(async (folder) => {
        const { store, sum } = await filled(folder, 5)
        const changed = store.apply(applied(5), [row('5', 'other'), row('x', 1)])
        assert.notEqual(changed, sum)
        assert.equal(store.apply(applied(5), [row('5', { index: 5 }), row('x', undefined)]), sum)
        await folder.settle?.()
        await store.close()
        assert.equal((await reopened(folder)).sum, sum)
        const other = await makeFolder()
        const { store: second } = await other.open(new Recorder())
        await second.writeIdentity(identity)
        const rows = [5, 3, 1, 2, 4].map((index) => row(String(index), { index }))
        assert.equal(second.apply(applied(0, 0), rows), sum)
        await second.close()
        await other.remove()
      }))

    test('the configuration comes back with the state it belongs to', () =>
      withFolder(async (folder) => {
        const { store } = await filled(folder, 2)
        const configuration = { voters: ['m-1' as MemberId], learners: ['m-2' as MemberId], outgoing: [], places: {} }
        store.apply(applied(2, 1, configuration), [])
        assert.equal(await store.syncApplied(), 2)
        await store.close()
        assert.deepEqual((await reopened(folder)).applied, applied(2, 1, configuration))
      }))

    test('the log is cut at most to what is durable, and what is left is there after a restart', () =>
      withFolder(async (folder) => {
        const { store, recorder } = await filled(folder, 40)
        assert.equal(await store.syncApplied(), 40)
        assert.throws(() => store.cutLog(logIndex(41)), /durable/)
        const before = store.logBytes
        store.cutLog(logIndex(30))
        await folder.settle?.()
        assert.ok(store.logBytes <= before)
        store.append({ sequence: 41, hardState: hardState(2, 'm-2'), entries: entries(41, 42, 2) })
        await folder.settle?.()
        await recorder.untilPersisted(41)
        await store.close()
        const restored = await reopened(folder)
        assert.ok(restored.base.index <= 30)
        assert.equal(restored.base.term, restored.base.index === 0 ? 0 : 1)
        assert.equal(restored.entries[0]?.index, restored.base.index + 1)
        assert.equal(restored.entries.at(-1)?.index, 42)
        assert.deepEqual(restored.hardState, hardState(2, 'm-2'))
        assert.deepEqual(plainRows(restored.rows), rowsAt(40))
        // The log goes on behind the cut, also from a point before its end.
        await session(folder, 1, (again) => again.append({ sequence: 1, hardState: hardState(3), entries: entries(41, 41, 3) }))
        assert.deepEqual(
          (await reopened(folder)).entries.slice(-2).map((entry) => [entry.index, entry.term]),
          [
            [40, 1],
            [41, 3],
          ],
        )
      }))

    test('entries at or below a cut are not replaced', () =>
      withFolder(async (folder) => {
        const { store } = await filled(folder, 3)
        await store.syncApplied()
        store.cutLog(logIndex(3))
        await folder.settle?.()
        assert.throws(
          () => store.append({ sequence: 4, hardState: hardState(2), entries: entries(0, 0, 2) }),
          /let go|not replaced|no gaps/,
        )
        await store.close()
      }))

    for (const maxBytes of [undefined, 1, 60]) {
      test(`a snapshot read in chunks of ${maxBytes ?? 'any'} bytes is that of one batch, whatever is written meanwhile`, () =>
        withFolder(async (folder) => {
          const { store, sum } = await filled(folder, 15)
          await store.syncApplied()
          const reader = await store.openSnapshot()
          store.apply(applied(15), [row('3', 'later'), row('new', 1), row('9', undefined)])
          await store.syncApplied()
          assert.deepEqual(reader.meta, applied(15))
          const chunks = await allChunks(reader, maxBytes)
          assert.ok(maxBytes === 1 ? chunks.length === 10 : chunks.length <= 10)
          await store.close()

          const other = await makeFolder()
          try {
            const { store: receiver } = await other.open(new Recorder())
            await receiver.writeIdentity(identity)
            const writer = await receiver.receiveSnapshot(applied(15))
            const rows: Row[] = []
            for (const chunk of chunks) rows.push(...(await writer.write(chunk)))
            assert.deepEqual(plainRows(rows), rowsAt(15))
            await writer.install(false)
            assert.equal(receiver.apply(applied(15), []), sum)
            await folder.settle?.()
            await receiver.close()
            const restored = await reopened(other)
            assert.deepEqual(plain(restored), {
              hardState: hardState(0),
              entries: [],
              base: [15, 1],
              applied: applied(15),
              rows: rowsAt(15),
            })
            assert.equal(restored.sum, sum)
          } finally {
            await other.remove()
          }
        }))
    }

    test('a snapshot of an empty state is one empty chunk', () =>
      withFolder(async (folder) => {
        const { store } = await folder.open(new Recorder())
        const reader = await store.openSnapshot()
        assert.deepEqual(reader.meta, applied(0, 0))
        assert.equal((await allChunks(reader)).length, 1)
        await store.close()
      }))

    /** The chunks of a snapshot at index `last`. */
    async function snapshotAt(last: number): Promise<readonly Uint8Array[]> {
      const folder = await makeFolder()
      try {
        const { store } = await filled(folder, last)
        await store.syncApplied()
        const chunks = await allChunks(await store.openSnapshot(), 60)
        await store.close()
        return chunks
      } finally {
        await folder.remove()
      }
    }

    test('an install with the tail kept leaves the log; without it the log begins after the snapshot', () =>
      withFolder(async (folder) => {
        const chunks = await snapshotAt(8)
        const { store, recorder } = await filled(folder, 5)
        store.append({ sequence: 6, hardState: hardState(1), entries: entries(6, 9) })
        const first = await store.receiveSnapshot(applied(8))
        for (const chunk of chunks) await first.write(chunk)
        await first.install(true)
        await folder.settle?.()
        await recorder.untilPersisted(6)
        await store.close()
        const kept = await reopened(folder)
        assert.equal(kept.entries.at(-1)?.index, 9)
        assert.deepEqual(kept.applied, applied(8))
        assert.deepEqual(plainRows(kept.rows), rowsAt(8))

        const later = await snapshotAt(20)
        const again = new Recorder()
        const { store: second } = await folder.open(again)
        second.append({ sequence: 1, hardState: hardState(3, 'm-3'), entries: [] })
        second.apply(applied(9), [row('not', 'in the snapshot')])
        const writer = await second.receiveSnapshot(applied(20, 2))
        for (const chunk of later) await writer.write(chunk)
        const installed = writer.install(false)
        assert.throws(() => second.append({ sequence: 2, hardState: hardState(3), entries: entries(22, 22, 3) }), /no gaps/)
        second.append({ sequence: 2, hardState: hardState(3, 'm-3'), entries: entries(21, 21, 3) })
        await folder.settle?.()
        await installed
        await again.untilPersisted(2)
        second.apply(applied(21, 3), [row('after', 1)])
        await folder.settle?.()
        await second.close()
        const restored = await reopened(folder)
        assert.deepEqual(plain(restored), {
          hardState: hardState(3, 'm-3'),
          entries: [[21, 3, 'command', '3:21']],
          base: [20, 2],
          applied: applied(21, 3),
          rows: [...rowsAt(20), ['t', 'after', 1]].sort(),
        })
      }))

    test('a damaged, lost or doubled chunk is refused, and the present state stays', () =>
      withFolder(async (folder) => {
        const chunks = await snapshotAt(12)
        const { store } = await filled(folder, 2)
        const refused = async (changed: readonly Uint8Array[]) => {
          const writer = await store.receiveSnapshot(applied(12))
          await assert.rejects(async () => {
            for (const chunk of changed) await writer.write(chunk)
          }, isDamage)
          await writer.abandon()
        }
        assert.ok(chunks.length > 3)
        const [first, second, ...rest] = chunks as [Uint8Array, Uint8Array]
        const flipped = first.slice()
        flipped[30] = (flipped[30] as number) ^ 1
        await refused([flipped])
        await refused([first.subarray(0, 10)])
        await refused([first, ...rest])
        await refused([first, first, second])
        await folder.settle?.()
        await store.close()
        assert.deepEqual((await reopened(folder)).applied, applied(2))
      }))

    test('a second receive abandons the first, and a snapshot that is not newer or not whole is our own bug', () =>
      withFolder(async (folder) => {
        const chunks = await snapshotAt(12)
        const { store } = await filled(folder, 2)
        const first = await store.receiveSnapshot(applied(12))
        await first.write(chunks[0] as Uint8Array)
        const second = await store.receiveSnapshot(applied(12))
        await assert.rejects(first.write(chunks[1] as Uint8Array), { code: 'SNAPSHOT_GONE' })
        await second.write(chunks[0] as Uint8Array)
        await assert.rejects(async () => await second.install(false))
        await assert.rejects(async () => await store.receiveSnapshot(applied(2)), /later state/)
        for (const chunk of chunks.slice(1)) await second.write(chunk)
        await second.install(false)
        await first.abandon()
        await second.abandon()
        await folder.settle?.()
        await store.close()
        assert.deepEqual((await reopened(folder)).applied, applied(12))
      }))

    test('a gap in the log is refused as our own bug', () =>
      withFolder(async (folder) => {
        const { store } = await folder.open(new Recorder())
        assert.throws(() => store.append({ sequence: 1, hardState: hardState(1), entries: entries(2, 2) }), /no gaps/)
        await store.close()
      }))
  })
}
