import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppliedState } from '../../../src/io/store/applied-state.js'
import { Checksums } from '../../../src/io/store/checksums.js'
import type { RowWrite } from '../../../src/io/store/database.js'
import { applied } from './contract.js'

const change = (key: string, value: unknown) => ({ table: 't', key, value })
const nothingLoaded = () => ({ checksums: new Checksums(), sum: 0, applied: applied(0, 0) })
const logged = async () => true
const unread = () => assert.fail('nothing is read')
const textOf = ([key, value]: RowWrite) => `${value === undefined ? 'del' : 'put'} ${key}`

test('a failed batch is reported once, nothing is written after it, and the database is not closed', async () => {
  const failures: unknown[] = []
  let written = 0
  let closed = false
  const database = {
    batch: () => {
      written++
      return Promise.reject(new Error('IO error: No space left on device'))
    },
    picture: unread,
    close: async () => {
      closed = true
    },
  }
  const state = new AppliedState(database, logged, (error) => failures.push(error), nothingLoaded())
  state.apply(applied(1), [change('a', 1)])
  state.apply(applied(2), [change('a', 2)])
  await new Promise((resolve) => setImmediate(resolve))
  state.apply(applied(3), [change('a', 3)])
  await state.close()
  assert.equal(written, 1)
  assert.equal(failures.length, 1)
  assert.equal(closed, false)
})

test('what waits for a batch is merged: one operation a row, the latest', async () => {
  const batches: (readonly string[])[] = []
  let release: () => void = () => undefined
  const database = {
    batch: (writes: Iterable<RowWrite>) => {
      batches.push([...writes].map(textOf).sort())
      return new Promise<void>((resolve) => {
        release = resolve
      })
    },
    picture: unread,
    close: async () => undefined,
  }
  const state = new AppliedState(database, logged, (error) => assert.fail(String(error)), nothingLoaded())
  state.apply(applied(1), [change('a', 1)])
  await new Promise((resolve) => setImmediate(resolve))
  // Entry by entry, and many in one go.
  for (let index = 2; index <= 50; index++) state.apply(applied(index), [change('a', index), change('b', undefined)])
  const many = Array.from({ length: 50 }, (_, at) => [change('a', at), change('c', at), change('c', undefined)])
  state.apply(applied(100), many.flat())
  assert.deepEqual(batches, [['put \0applied', 'put t\0a']])
  const synced = state.sync()
  release()
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(batches[1], ['del t\0b', 'del t\0c', 'put \0applied', 'put t\0a'])
  release()
  await synced
  await state.close()
})

for (const isDurable of [true, false]) {
  test(`a batch waits for the log that it came from, and ${isDurable ? 'is written then' : 'is not written where that never comes to be durable'}`, async () => {
    const batches: (readonly string[])[] = []
    const database = {
      batch: async (writes: Iterable<RowWrite>) => void batches.push([...writes].map(textOf).sort()),
      picture: unread,
      close: async () => undefined,
    }
    let tell: (isDurable: boolean) => void = () => undefined
    const waits = () => new Promise<boolean>((resolve) => (tell = resolve))
    const state = new AppliedState(database, waits, (error) => assert.fail(String(error)), nothingLoaded())
    state.apply(applied(1), [change('a', 1)])
    await new Promise((resolve) => setImmediate(resolve))
    state.apply(applied(2), [change('b', 1)])
    const synced = state.sync()
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual([batches, state.durableIndex], [[], 0])
    tell(isDurable)
    await new Promise((resolve) => setImmediate(resolve))
    // What came while it waited is of the next batch, and waits for more of the log.
    assert.deepEqual([batches, state.durableIndex], isDurable ? [[['put \0applied', 'put t\0a']], 1] : [[], 0])
    tell(isDurable)
    await synced
    assert.equal(state.durableIndex, isDurable ? 2 : 0)
    await state.close()
    assert.equal(batches.length, isDurable ? 2 : 0)
  })
}

test('the sum is that of the rows, whatever was in their place before', () => {
  const database = { batch: async () => undefined, picture: unread, close: async () => undefined }
  const stateOf = (steps: readonly (readonly { table: string; key: string; value: unknown }[])[]) => {
    const state = new AppliedState(database, logged, (error) => assert.fail(String(error)), nothingLoaded())
    steps.forEach((changes, at) => {
      state.apply(applied(at + 1), changes)
    })
    return state.sum
  }
  const names = Array.from({ length: 64 }, (_, at) => `key-${at}`)
  const direct = stateOf([names.map((name, at) => change(name, { at }))])
  const roundabout = stateOf([
    names.map((name) => change(name, 'before')),
    [...names.map((name) => change(name, undefined)), change('gone', 1)],
    [change('gone', undefined), change('never was', undefined)],
    names.map((name, at) => change(name, { at: at + 1 })),
    names.map((name, at) => change(name, { at })),
  ])
  assert.equal(roundabout, direct)
  assert.notEqual(direct, stateOf([names.slice(1).map((name, at) => change(name, { at: at + 1 }))]))
})
