import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppliedState } from '../../../src/io/store/applied-state.js'
import { Checksums } from '../../../src/io/store/checksums.js'
import type { RowOperation } from '../../../src/io/store/database.js'
import { applied } from './contract.js'

const change = (key: string, value: unknown) => ({ table: 't', key, value })
const nothingLoaded = () => ({ checksums: new Checksums(), sum: 0, applied: applied(0, 0) })
const unread = () => assert.fail('nothing is read')

test('a failed batch is reported once, nothing is written after it, and the database is not closed', async () => {
  const failures: unknown[] = []
  let batches = 0
  let closed = false
  const database = {
    batch: () => {
      batches++
      return Promise.reject(new Error('IO error: No space left on device'))
    },
    picture: unread,
    close: async () => {
      closed = true
    },
  }
  const state = new AppliedState(database, (error) => failures.push(error), nothingLoaded())
  state.apply(applied(1), [change('a', 1)])
  state.apply(applied(2), [change('a', 2)])
  await new Promise((resolve) => setImmediate(resolve))
  state.apply(applied(3), [change('a', 3)])
  await state.close()
  assert.equal(batches, 1)
  assert.equal(failures.length, 1)
  assert.equal(closed, false)
})

test('what waits for a batch is merged: one operation a row, the latest', async () => {
  const batches: (readonly RowOperation[])[] = []
  let release: () => void = () => undefined
  const database = {
    batch: (operations: readonly RowOperation[]) => {
      batches.push(operations)
      return new Promise<void>((resolve) => {
        release = resolve
      })
    },
    picture: unread,
    close: async () => undefined,
  }
  const state = new AppliedState(database, (error) => assert.fail(String(error)), nothingLoaded())
  state.apply(applied(1), [change('a', 1)])
  await new Promise((resolve) => setImmediate(resolve))
  for (let index = 2; index <= 50; index++) state.apply(applied(index), [change('a', index), change('b', undefined)])
  assert.equal(batches.length, 1)
  const synced = state.sync()
  release()
  await new Promise((resolve) => setImmediate(resolve))
  const second = batches[1]?.map(({ type, key }) => `${type} ${key}`).sort()
  assert.deepEqual(second, ['del t\0b', 'put \0applied', 'put t\0a'])
  release()
  await synced
  await state.close()
})
