import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { Level } from 'level'
import { ClusterError, crc32c, decode, type ErrorCode, encode, type LogIndex } from '../../../src/base/index.js'
import type { LogEntry } from '../../../src/core/raft/index.js'
import { openStore, type Restored, type StoreOptions } from '../../../src/io/store/index.js'
import { type LogRecord, recordLength, writeRecord } from '../../../src/io/store/record.js'
import { segmentName, segmentSeed } from '../../../src/io/store/segment.js'
import { applied, entries, hardState, identity, plain, Recorder, storeContract } from './contract.js'
import { chunksOf } from './model.js'
import { faultyDisk, realStoreFolder, temporaryFolder } from './real-store.js'

storeContract('real', () => realStoreFolder())
storeContract('real, a segment for every batch', () => realStoreFolder({ segmentMax: 1 }))

const limit = { timeout: 60_000 }

function coded(code: ErrorCode, text?: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ClusterError, String(error))
    assert.equal(error.code, code, error.message)
    if (text !== undefined) assert.match(error.message, text)
    return true
  }
}

/** Writes one batch per item, each an append of entries `[from, to, term]`, to a file no longer than they are; returns the folder. */
async function written(batches: readonly (readonly [number, number, number])[], options: StoreOptions = { aheadStep: 0 }, bytes = 0) {
  const folder = await temporaryFolder()
  const recorder = new Recorder()
  const { store } = await openStore(folder.path, recorder, options)
  await store.writeIdentity(identity)
  for (const [at, [from, to, term]] of batches.entries()) {
    store.append({ sequence: at + 1, hardState: hardState(term), entries: entries(from, to, term, bytes) })
    await recorder.untilPersisted(at + 1)
  }
  await store.close()
  return { ...folder, segment: (number: number) => join(folder.path, 'log', `${String(number).padStart(16, '0')}.seg`) }
}

async function restore(path: string, options: StoreOptions = {}): Promise<Restored> {
  const { store, restored } = await openStore(path, new Recorder(), options)
  await store.close()
  return restored
}

async function flip(path: string, offset: number): Promise<void> {
  const bytes = await readFile(path)
  bytes[offset] = (bytes[offset] ?? 0) ^ 0x10
  await writeFile(path, bytes)
}

describe('a broken log', limit, () => {
  test('a tail torn at any byte is cut, and the log goes on behind it', async () => {
    const folder = await written([
      [1, 2, 1],
      [3, 5, 2],
    ])
    try {
      const whole = await readFile(folder.segment(1))
      const firstBatch = whole.indexOf(Buffer.from('1:2')) + 3
      for (let length = firstBatch; length < whole.length; length++) {
        await writeFile(folder.segment(1), whole.subarray(0, length))
        const restored = await restore(folder.path)
        assert.ok(restored.entries.length >= 2 && restored.entries.length < 5, `${restored.entries.length} entries at ${length}`)
        assert.equal(restored.hardState.term, length >= firstBatch + 48 ? 2 : 1)
        assert.ok((await stat(folder.segment(1))).size <= length)
      }
      const recorder = new Recorder()
      const { store } = await openStore(folder.path, recorder)
      store.append({ sequence: 1, hardState: hardState(3), entries: entries(3, 4, 3) })
      await recorder.untilPersisted(1)
      await store.close()
      assert.deepEqual(
        (await restore(folder.path)).entries.map(({ term }) => term as number),
        [1, 1, 3, 3],
      )
    } finally {
      await folder.remove()
    }
  })

  test('a flipped bit before a later batch is damage: refused with file and offset, nothing touched', async () => {
    const folder = await written([
      [1, 2, 1],
      [3, 5, 1],
    ])
    try {
      const at = (await readFile(folder.segment(1))).indexOf(Buffer.from('1:2'))
      await flip(folder.segment(1), at)
      const before = await readFile(folder.segment(1))
      await assert.rejects(restore(folder.path), coded('STORE_CORRUPT', /0000000000000001\.seg at offset \d+/))
      assert.deepEqual(await readFile(folder.segment(1)), before)
      await assert.rejects(restore(folder.path), coded('STORE_CORRUPT'), 'and again, the folder is free')
    } finally {
      await folder.remove()
    }
  })

  test('a flipped bit within the last batch, good records behind it, is damage too', async () => {
    const folder = await written([[1, 5, 1]])
    try {
      await flip(folder.segment(1), (await readFile(folder.segment(1))).indexOf(Buffer.from('1:2')))
      await assert.rejects(restore(folder.path), coded('STORE_CORRUPT', /sound record follows/))
    } finally {
      await folder.remove()
    }
  })

  test('a sector of the last batch that never reached the disk is a torn tail', async () => {
    const folder = await written(
      [
        [1, 2, 1],
        [3, 40, 1],
      ],
      {},
      200,
    )
    try {
      const bytes = await readFile(folder.segment(1))
      await writeFile(folder.segment(1), bytes.fill(0, 1024, 2048))
      const restored = await restore(folder.path)
      assert.ok(restored.entries.length >= 2 && restored.entries.length < 6)
    } finally {
      await folder.remove()
    }
  })

  test('zeros behind the last record are space for the next', async () => {
    const folder = await written([[1, 5, 1]])
    try {
      const { size } = await stat(folder.segment(1))
      await truncate(folder.segment(1), size + 10_000)
      const recorder = new Recorder()
      const { store, restored } = await openStore(folder.path, recorder, { aheadStep: 0 })
      assert.equal(restored.entries.length, 5)
      store.append({ sequence: 1, hardState: hardState(1), entries: entries(6, 6) })
      await recorder.untilPersisted(1)
      await store.close()
      assert.equal((await stat(folder.segment(1))).size, size + 10_000)
      assert.equal((await restore(folder.path)).entries.length, 6)
    } finally {
      await folder.remove()
    }
  })

  test('a batch torn within the space made ahead is a torn tail: zeroed before anything new is written there', async () => {
    const folder = await written(
      [
        [1, 2, 1],
        [3, 40, 1],
      ],
      { aheadStep: 65_536 },
      200,
    )
    try {
      const whole = await readFile(folder.segment(1))
      assert.equal(whole.length, 65_536)
      const secondBatch = whole.indexOf(Buffer.from('1:3.')) - 48
      const end = whole.indexOf(Buffer.from('1:40.')) + 200
      const recordStarts = Array.from({ length: 38 }, (_, at) => whole.indexOf(Buffer.from(`1:${at + 3}.`)) - 24)
      for (let at = secondBatch; at < end; at += 97) {
        const torn = Buffer.from(whole).fill(0, at, end)
        await writeFile(folder.segment(1), torn)
        const left = (await restore(folder.path)).entries.length
        assert.equal(left, 2 + recordStarts.filter((start) => start + 224 <= at).length)
        const after = await readFile(folder.segment(1))
        const soundEnd = left === 2 ? secondBatch + (at >= secondBatch + 24 ? 24 : 0) : (recordStarts[left - 3] as number) + 224
        assert.ok(after.subarray(soundEnd).every((byte) => byte === 0))
      }
      // The first sector of the batch, which it shares with the one before, is lost, and what follows is there.
      const boundary = Math.ceil(secondBatch / 512) * 512
      assert.ok(boundary - secondBatch > 8)
      await writeFile(folder.segment(1), Buffer.from(whole).fill(0, secondBatch, boundary))
      assert.equal((await restore(folder.path)).entries.length, 2)
      // The same within a batch that another follows was synced once.
      const first = whole.indexOf(Buffer.from('1:1.')) - 24
      await writeFile(folder.segment(1), Buffer.from(whole).fill(0, first, 512))
      await assert.rejects(restore(folder.path), coded('STORE_CORRUPT', /written after it was synced/))
    } finally {
      await folder.remove()
    }
  })

  test('a segment whose beginning is torn is begun again, unless it is all that there is', async () => {
    const folder = await written(
      [
        [1, 2, 1],
        [3, 3, 2],
      ],
      { segmentMax: 1 },
    )
    try {
      const whole = await readFile(folder.segment(2))
      for (let length = 0; length < 80; length += 5) {
        await writeFile(folder.segment(2), whole.subarray(0, length))
        assert.equal((await restore(folder.path)).entries.length, 2)
      }
      const recorder = new Recorder()
      const { store } = await openStore(folder.path, recorder)
      store.append({ sequence: 1, hardState: hardState(4), entries: entries(3, 3, 4) })
      await recorder.untilPersisted(1)
      await store.close()
      assert.deepEqual(
        (await restore(folder.path)).entries.map((entry) => entry.term as number),
        [1, 1, 4],
      )
      await writeFile(folder.segment(2), whole.subarray(0, 50))
      await rm(folder.segment(1))
      await assert.rejects(restore(folder.path), coded('STORE_CORRUPT', /beginning of the segment/))
    } finally {
      await folder.remove()
    }
  })

  test('damage at the end of a segment that others follow, and a missing segment, are refused', async () => {
    const folder = await written(
      [
        [1, 2, 1],
        [3, 3, 1],
        [4, 4, 1],
      ],
      { segmentMax: 1 },
    )
    try {
      assert.equal((await readdir(join(folder.path, 'log'))).length, 3)
      assert.equal((await restore(folder.path)).entries.length, 4)
      const second = await readFile(folder.segment(2))
      await writeFile(folder.segment(2), second.subarray(0, second.length - 1))
      await assert.rejects(restore(folder.path), coded('STORE_CORRUPT', /later segments follow/))
      await rm(folder.segment(2))
      await assert.rejects(restore(folder.path), coded('STORE_CORRUPT', /0000000000000002\.seg.*missing/))
      await copyFile(folder.segment(1), folder.segment(2))
      await assert.rejects(restore(folder.path), coded('STORE_CORRUPT'), 'a segment does not pass under another number')
    } finally {
      await folder.remove()
    }
  })

  test('a new segment of which nothing arrived is no damage', async () => {
    const folder = await written([[1, 2, 1]], { segmentMax: 1 })
    try {
      await writeFile(folder.segment(2), '')
      assert.equal((await restore(folder.path)).entries.length, 2)
      await writeFile(folder.segment(2), Buffer.alloc(300))
      assert.equal((await restore(folder.path)).entries.length, 2)
    } finally {
      await folder.remove()
    }
  })

  test('a record inside a value does not pass for one of the log', async () => {
    const folder = await written([[1, 2, 1]])
    const other = await written([[1, 2, 1]])
    try {
      const foreign = await readFile(other.segment(1))
      const own = await readFile(folder.segment(1))
      await writeFile(folder.segment(1), Buffer.concat([own, Buffer.from('torn'), foreign]))
      assert.equal((await restore(folder.path)).entries.length, 2)
    } finally {
      await folder.remove()
      await other.remove()
    }
  })

  test('whatever one change of the file does, what was synced before the last batch is there or the folder is refused', async () => {
    const folder = await written(
      [
        [1, 3, 1],
        [2, 6, 2],
        [7, 8, 2],
        [8, 12, 3],
      ],
      {},
      30,
    )
    const expected = plain(await restore(folder.path)) as { entries: unknown[] }
    const whole = await readFile(folder.segment(1))
    try {
      const change = fc.oneof(
        fc.record({ kind: fc.constant('flip' as const), at: fc.nat(whole.length - 1), bit: fc.nat(7) }),
        fc.record({ kind: fc.constant('cut' as const), at: fc.nat(whole.length - 1) }),
        fc.record({ kind: fc.constant('zero' as const), at: fc.nat(whole.length - 1), length: fc.integer({ min: 1, max: 700 }) }),
        fc.record({ kind: fc.constant('append' as const), bytes: fc.uint8Array({ maxLength: 200 }) }),
      )
      await fc.assert(
        fc.asyncProperty(change, async (what) => {
          let bytes = Buffer.from(whole)
          if (what.kind === 'flip') bytes[what.at] = (bytes[what.at] ?? 0) ^ (1 << what.bit)
          else if (what.kind === 'cut') bytes = bytes.subarray(0, what.at)
          else if (what.kind === 'zero') bytes.fill(0, what.at, Math.min(what.at + what.length, bytes.length))
          else bytes = Buffer.concat([bytes, what.bytes])
          await writeFile(folder.segment(1), bytes)
          try {
            const { entries: left } = plain(await restore(folder.path)) as { entries: unknown[] }
            // A cut takes whole batches from a file that nothing else speaks for: only then may more than the last be gone.
            if (what.kind !== 'cut' && what.kind !== 'zero') assert.deepEqual(left.slice(0, 7), expected.entries.slice(0, 7))
            if (what.kind === 'append') assert.deepEqual(left, expected.entries)
          } catch (error) {
            coded('STORE_CORRUPT')(error)
          }
        }),
        { numRuns: 150 },
      )
    } finally {
      await folder.remove()
    }
  })
})

/** As the first version of the store wrote it: no pointer, no lock folder, no headers in the log, no term with the applied index. */
async function folderOfFormat1() {
  const folder = await temporaryFolder()
  const { store } = await openStore(folder.path, new Recorder())
  await store.writeIdentity(identity)
  await store.close()
  const { logId } = JSON.parse(await readFile(join(folder.path, 'format.json'), 'utf8')) as { logId: string }
  for (const name of ['current.json', 'lock', 'applied', 'log']) await rm(join(folder.path, name), { recursive: true })
  const format = { format: 1, logId }
  await writeFile(join(folder.path, 'format.json'), JSON.stringify({ ...format, checksum: crc32c(Buffer.from(JSON.stringify(format))) }))
  const [noop, command] = entries(1, 2) as [LogEntry, LogEntry]
  const records: LogRecord[] = [
    { kind: 'batch', number: 1 },
    { kind: 'hard-state', hardState: hardState(1) },
    { kind: 'entry', entry: noop },
    { kind: 'entry', entry: command },
    { kind: 'batch', number: 2 },
    { kind: 'hard-state', hardState: hardState(2, 'm-1') },
    { kind: 'entry', entry: entries(3, 3, 2)[0] as LogEntry },
  ]
  const bytes = Buffer.alloc(records.reduce((length, record) => length + recordLength(record), 0))
  records.reduce((at, record) => writeRecord(bytes, at, record, segmentSeed(logId, 1)), 0)
  await mkdir(join(folder.path, 'log'))
  await writeFile(join(folder.path, 'log', segmentName(1)), bytes)
  const database = new Level<string, Uint8Array>(join(folder.path, 'applied'), { valueEncoding: 'view' })
  const value = encode(2)
  await database.put('t\0a', value)
  await database.put('\0applied', encode([2, crc32c(value, crc32c(Buffer.from('t\0a')))]))
  await database.close()
  return folder
}

describe('parts that do not belong together', limit, () => {
  test('an applied index beyond the log is refused', async () => {
    const folder = await written([[1, 3, 1]])
    try {
      const { store } = await openStore(folder.path, new Recorder())
      store.apply(applied(3), [{ table: 't', key: 'k', value: 1 }])
      await store.close()
      const bytes = await readFile(folder.segment(1))
      await writeFile(folder.segment(1), bytes.subarray(0, bytes.length - 1))
      await assert.rejects(restore(folder.path), coded('STORE_CORRUPT', /state at index 3, but the log ends at index 2/))
    } finally {
      await folder.remove()
    }
  })

  test('a lost or altered identity or format is refused', async () => {
    const folder = await written([[1, 3, 1]])
    try {
      const file = join(folder.path, 'identity.json')
      const text = await readFile(file, 'utf8')
      await writeFile(file, text.replace('m-1', 'm-2'))
      await assert.rejects(restore(folder.path), coded('STORE_CORRUPT', /identity\.json/))
      await rm(file)
      await assert.rejects(restore(folder.path), coded('STORE_CORRUPT', /identity\.json is missing/))
      await writeFile(file, text)
      assert.deepEqual((await restore(folder.path)).identity, identity)
      await rm(join(folder.path, 'format.json'))
      await assert.rejects(restore(folder.path), coded('STORE_CORRUPT', /format\.json/))
    } finally {
      await folder.remove()
    }
  })

  test('a newer format is refused by name', async () => {
    const folder = await written([[1, 1, 1]])
    try {
      const file = join(folder.path, 'format.json')
      const { logId } = JSON.parse(await readFile(file, 'utf8')) as { logId: string }
      const value = { format: 3, logId }
      await writeFile(file, JSON.stringify({ ...value, checksum: crc32c(Buffer.from(JSON.stringify(value))) }))
      await assert.rejects(restore(folder.path), coded('STORE_FORMAT', /format 3, this version knows formats up to 2/))
    } finally {
      await folder.remove()
    }
  })

  test('a folder of format 1 is opened, goes on as one of format 2, and its log can be cut', async () => {
    const folder = await folderOfFormat1()
    try {
      const recorder = new Recorder()
      const { store, restored } = await openStore(folder.path, recorder)
      assert.deepEqual(restored.hardState, hardState(2, 'm-1'))
      assert.deepEqual(
        restored.entries.map((entry) => [entry.index, entry.term]),
        [
          [1, 1],
          [2, 1],
          [3, 2],
        ],
      )
      assert.deepEqual(restored.applied, applied(2))
      assert.deepEqual(restored.rows, [{ table: 't', key: 'a', value: 2 }])
      store.append({ sequence: 1, hardState: hardState(2, 'm-1'), entries: entries(4, 4, 2) })
      await recorder.untilPersisted(1)
      store.apply(applied(4, 2), [])
      store.cutLog(await store.syncApplied())
      await store.close()
      const again = await restore(folder.path)
      assert.deepEqual(again.base, { index: 3, term: 2 })
      assert.deepEqual(again.hardState, hardState(2, 'm-1'))
      assert.match(await readFile(join(folder.path, 'format.json'), 'utf8'), /"format": 2/)
    } finally {
      await folder.remove()
    }
  })

  test('a lost pointer, applied state or beginning of the log is refused', async () => {
    const folder = await written(
      [
        [1, 2, 1],
        [3, 4, 1],
        [5, 6, 2],
      ],
      { segmentMax: 1 },
    )
    try {
      const { store } = await openStore(folder.path, new Recorder())
      store.apply(applied(4), [{ table: 't', key: 'a', value: 1 }])
      store.cutLog(await store.syncApplied())
      await store.close()
      assert.deepEqual((await restore(folder.path)).base, { index: 4, term: 1 })
      const lost = async (name: string, text: RegExp) => {
        await rename(join(folder.path, name), join(folder.path, 'aside'))
        await assert.rejects(restore(folder.path), coded('STORE_CORRUPT', text))
        await rm(join(folder.path, name), { recursive: true, force: true })
        await rename(join(folder.path, 'aside'), join(folder.path, name))
      }
      await lost('current.json', /current\.json/)
      await lost('applied', /index 0, but the log begins at index 5/)
      const database = new Level<string, Uint8Array>(join(folder.path, 'applied'), { valueEncoding: 'view' })
      await database.put('t\0a', encode(7))
      await database.close()
      await assert.rejects(restore(folder.path), coded('STORE_CORRUPT', /lacks rows/))
    } finally {
      await folder.remove()
    }
  })

  test('an applied state with a hole is thrown away, and the log is applied anew', async () => {
    const folder = await written([[1, 3, 1]])
    try {
      const { store } = await openStore(folder.path, new Recorder())
      store.apply(applied(1), [{ table: 't', key: 'a', value: 1 }])
      store.apply(applied(2), [{ table: 't', key: 'b', value: 2 }])
      await store.close()
      assert.equal((await restore(folder.path)).applied.index, 2 as LogIndex)
      const database = new Level<string, Uint8Array>(join(folder.path, 'applied'), { valueEncoding: 'view' })
      assert.equal(decode((await database.get('t\0a')) as Uint8Array), 1)
      await database.put('t\0a', encode(7))
      await database.close()
      const restored = await restore(folder.path)
      assert.equal(restored.applied.index, 0 as LogIndex)
      assert.deepEqual(restored.rows, [])
      assert.equal(restored.entries.length, 3)
    } finally {
      await folder.remove()
    }
  })
})

describe('a failing disk', limit, () => {
  async function failing(operation: 'write' | 'sync', sequence: number) {
    const folder = await temporaryFolder()
    const recorder = new Recorder()
    let armed = false
    const disk = faultyDisk({
      before: (what) => {
        if (armed && what === operation) throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })
      },
    })
    const { store } = await openStore(folder.path, recorder, { disk })
    await store.writeIdentity(identity)
    for (let at = 1; at < sequence; at++) store.append({ sequence: at, hardState: hardState(1), entries: entries(at, at) })
    await recorder.untilPersisted(sequence - 1)
    armed = true
    return { folder, recorder, store, disarm: () => (armed = false) }
  }

  for (const operation of ['write', 'sync'] as const) {
    test(`a failed ${operation} is reported once, and nothing is accepted after it`, async () => {
      const { folder, recorder, store, disarm } = await failing(operation, 4)
      try {
        store.append({ sequence: 4, hardState: hardState(1), entries: entries(4, 4) })
        store.apply(applied(4), [{ table: 't', key: 'ahead', value: 1 }]) // Others have stored it.
        await recorder.until(() => recorder.failures.length > 0)
        disarm()
        store.append({ sequence: 5, hardState: hardState(1), entries: entries(5, 5) })
        store.apply(applied(5), [{ table: 't', key: 'k', value: 1 }])
        await assert.rejects(store.writeIdentity(identity), coded('STORE_FAILED'))
        await store.close()
        assert.deepEqual(recorder.persisted, [1, 2, 3])
        assert.equal(recorder.failures.length, 1)
        coded('STORE_FAILED', /EIO/)(recorder.failures[0])
        const restored = await restore(folder.path)
        assert.ok(restored.entries.length >= 3 && restored.entries.length <= 4)
        assert.equal(restored.applied.index, 0 as LogIndex)
      } finally {
        await folder.remove()
      }
    })
  }

  test('a failed write of the identity rejects and stops the store', async () => {
    const folder = await temporaryFolder()
    const recorder = new Recorder()
    const disk = faultyDisk({
      before: (what, path) => {
        if (what === 'replace' && path.endsWith('identity.json')) throw new Error('ENOSPC: no space left on device')
      },
    })
    try {
      const { store } = await openStore(folder.path, recorder, { disk })
      await assert.rejects(store.writeIdentity(identity), coded('STORE_FAILED', /ENOSPC/))
      assert.equal(recorder.failures.length, 1)
      await store.close()
      assert.equal((await restore(folder.path)).identity, undefined)
    } finally {
      await folder.remove()
    }
  })

  test('what arrives during a sync becomes one batch with one sync', async () => {
    const folder = await temporaryFolder()
    const recorder = new Recorder()
    let syncs = 0
    let release: () => void = () => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    let holding = false
    const disk = faultyDisk({
      before: (what) => {
        if (what !== 'sync' || !holding) return undefined
        syncs++
        return held
      },
    })
    try {
      const { store } = await openStore(folder.path, recorder, { disk })
      await store.writeIdentity(identity)
      holding = true
      store.append({ sequence: 1, hardState: hardState(1), entries: entries(1, 1) })
      while (syncs === 0) await new Promise((resolve) => setImmediate(resolve))
      for (let at = 2; at <= 100; at++) store.append({ sequence: at, hardState: hardState(1), entries: entries(at, at) })
      assert.deepEqual(recorder.persisted, [], 'nothing is reported before its sync')
      release()
      await recorder.untilPersisted(100)
      assert.equal(syncs, 2)
      await store.close()
    } finally {
      await folder.remove()
    }
  })

  test('what is applied ahead of the log is on disk only after it, also where it replaces what the log had', async () => {
    const folder = await temporaryFolder()
    const recorder = new Recorder()
    let release: () => void = () => undefined
    let held: Promise<void> | undefined
    const disk = faultyDisk({ before: (what) => (what === 'sync' ? held : undefined) })
    try {
      const { store } = await openStore(folder.path, recorder, { disk })
      await store.writeIdentity(identity)
      store.append({ sequence: 1, hardState: hardState(1), entries: entries(1, 9) })
      await recorder.untilPersisted(1)
      held = new Promise<void>((resolve) => (release = resolve))
      store.append({ sequence: 2, hardState: hardState(2), entries: entries(4, 6, 2) })
      store.apply(applied(5, 2), [{ table: 't', key: 'k', value: 1 }])
      let synced: LogIndex | undefined
      const syncing = store.syncApplied().then((index) => (synced = index))
      // Where it did not wait, the batch would be there long before.
      await new Promise((resolve) => setTimeout(resolve, 300))
      assert.deepEqual([synced, recorder.persisted], [undefined, [1]])
      const reader = await store.openSnapshot()
      assert.equal(reader.meta.index, 0)
      await reader.close()
      held = undefined
      release()
      await syncing
      assert.equal(synced, 5)
      assert.deepEqual(recorder.persisted, [1, 2])
      await store.close()
      const restored = await restore(folder.path)
      assert.deepEqual(restored.applied, applied(5, 2))
      assert.deepEqual(restored.entries.map(({ term }) => term), [1, 1, 1, 2, 2, 2]) // biome-ignore format: one line is enough.
    } finally {
      await folder.remove()
    }
  })

  test('more than may wait for a hopeless disk counts as its failure', async () => {
    const folder = await temporaryFolder()
    const recorder = new Recorder()
    let hang = false
    const disk = faultyDisk({ before: (what) => (what === 'sync' && hang ? new Promise(() => undefined) : undefined) })
    const { store } = await openStore(folder.path, recorder, { disk, waitingMax: 100_000 })
    hang = true
    for (let at = 1; at <= 200 && recorder.failures.length === 0; at++) {
      store.append({ sequence: at, hardState: hardState(1), entries: entries(at, at, 1, 1_000) })
      await Promise.resolve()
    }
    assert.equal(recorder.failures.length, 1)
    coded('STORE_FAILED', /bytes wait/)(recorder.failures[0])
    await folder.remove()
  })

  test('at every opening the last batch is written and synced again before anything is restored', async () => {
    const folder = await written([[1, 3, 1]])
    try {
      const operations: string[] = []
      await restore(folder.path, { disk: faultyDisk({ before: (what) => void operations.push(what) }) })
      assert.deepEqual(operations, ['open', 'write', 'sync', 'sync-folder'])
    } finally {
      await folder.remove()
    }
  })

  test('large batches leave the event loop free and come back whole', async () => {
    const folder = await written([[1, 20, 1]], {}, 200_000)
    try {
      const restored = await restore(folder.path)
      assert.equal(restored.entries.length, 20)
      assert.ok(restored.entries.every(({ data }) => data.length === 200_000))
    } finally {
      await folder.remove()
    }
  })
})

describe('an install', limit, () => {
  test('keeps the lock, ends readers of the old state, and leaves nothing of it', async () => {
    const folder = await written([[1, 3, 1]])
    try {
      const { store } = await openStore(folder.path, new Recorder())
      store.apply(applied(3), [{ table: 't', key: 'a', value: 1 }])
      await store.syncApplied()
      const reader = await store.openSnapshot()
      const writer = await store.receiveSnapshot(applied(9, 1))
      for (const chunk of chunksOf(new Map([['b', 2]]))) await writer.write(chunk)
      await writer.install(false)
      await assert.rejects(openStore(folder.path, new Recorder()), coded('STORE_LOCKED'))
      const names = () => readdir(folder.path).then((all) => all.filter((name) => name.startsWith('applied')))
      while ((await names()).length > 1) await new Promise((resolve) => setTimeout(resolve, 5))
      await assert.rejects(reader.next(), coded('SNAPSHOT_GONE'))
      await reader.close()
      const second = await store.openSnapshot()
      await store.close()
      await assert.rejects(second.next(), coded('SNAPSHOT_GONE'))
      assert.deepEqual(await names(), ['applied-1'])
      assert.deepEqual(await readdir(join(folder.path, 'log')), ['0000000000000002.seg'])
      const restored = await restore(folder.path)
      assert.deepEqual(restored.applied, applied(9, 1))
      assert.deepEqual(restored.base, { index: 9, term: 1 })
    } finally {
      await folder.remove()
    }
  })

  test('what an unfinished receive has left is removed at the next start', async () => {
    const folder = await written([[1, 3, 1]])
    try {
      const left = new Level<string, Uint8Array>(join(folder.path, 'applied-4'), { valueEncoding: 'view' })
      await left.put('t\0a', encode(7))
      await left.close()
      await restore(folder.path)
      assert.deepEqual((await readdir(folder.path)).sort(), ['applied', 'current.json', 'format.json', 'identity.json', 'lock', 'log'])
    } finally {
      await folder.remove()
    }
  })
})

describe('a killed process', limit, () => {
  test('loses nothing that it reported, and its lock ends with it', async () => {
    const folder = await temporaryFolder()
    const path = join(folder.path, 'deep', 'data')
    await mkdir(join(folder.path, 'deep'))
    try {
      const child = spawn(process.execPath, [fileURLToPath(new URL('writer.js', import.meta.url)), path], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let reported = 0
      await new Promise<void>((resolve, reject) => {
        child.once('exit', (code) => reject(new Error(`the writer ended with ${code}`)))
        child.stdout.on('data', (chunk: Buffer) => {
          reported = Math.max(reported, ...chunk.toString().split('\n').map(Number))
          if (reported > 500) resolve()
        })
      })
      await assert.rejects(openStore(path, new Recorder()), coded('STORE_LOCKED', /deep\/data/))
      const ended = once(child, 'close')
      child.removeAllListeners('exit')
      child.kill('SIGKILL')
      await ended
      const restored = await restore(path)
      assert.ok(restored.entries.length >= reported, `${restored.entries.length} entries, ${reported} reported`)
      assert.equal(restored.identity?.memberId, identity.memberId)
      assert.ok(restored.applied.index <= restored.entries.length)
      assert.equal(restored.rows.length, restored.applied.index, 'one row was written with each index')
    } finally {
      await folder.remove()
    }
  })
})
