import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppliedState } from '../../../src/io/store/applied-state.js'
import { Checksums } from '../../../src/io/store/checksums.js'
import type { RowBatch } from '../../../src/io/store/database.js'
import { applied } from './contract.js'

const change = (key: string, value: unknown) => ({ table: 't', key, value })
const nothingLoaded = () => ({ checksums: new Checksums(), sum: 0, applied: applied(0, 0) })
const unused = { writeAll: () => assert.fail('nothing comes as a whole'), picture: () => assert.fail('nothing is read') }

/** A batch that only notes what it is given; `write` is how it ends. */
function noting(operations: string[], write: () => Promise<void>): RowBatch {
  return { put: (key) => operations.push(`put ${key}`), del: (key) => operations.push(`del ${key}`), write }
}

test('a failed batch is reported once, nothing is written after it, and the database is not closed', async () => {
  const failures: unknown[] = []
  let written = 0
  let closed = false
  const database = {
    ...unused,
    batch: () =>
      noting([], () => {
        written++
        return Promise.reject(new Error('IO error: No space left on device'))
      }),
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
  assert.equal(written, 1)
  assert.equal(failures.length, 1)
  assert.equal(closed, false)
})

test('what is applied during a batch waits for the next; of many entries that come at once each row is written once', async () => {
  const written: (readonly string[])[] = []
  let release: () => void = () => undefined
  const database = {
    ...unused,
    batch: () => {
      const operations: string[] = []
      return noting(operations, () => {
        written.push(operations)
        return new Promise<void>((resolve) => {
          release = resolve
        })
      })
    },
    close: async () => undefined,
  }
  const state = new AppliedState(database, (error) => assert.fail(String(error)), nothingLoaded())
  state.apply(applied(1), [change('a', 1)])
  await new Promise((resolve) => setImmediate(resolve))
  state.apply(applied(2), [change('a', 2)])
  const many = Array.from({ length: 50 }, (_, at) => [change('a', 3 + at), change('b', undefined)])
  state.apply(applied(52), many.flat())
  assert.deepEqual(written, [['put t\0a', 'put \0applied']])
  const synced = state.sync()
  release()
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(written[1], ['put t\0a', 'put t\0a', 'del t\0b', 'put \0applied'])
  release()
  await synced
  await state.close()
})

test('the sum is that of the rows, whatever was in their place before', () => {
  const database = { ...unused, batch: () => noting([], async () => undefined), close: async () => undefined }
  const stateOf = (steps: readonly (readonly { table: string; key: string; value: unknown }[])[]) => {
    const state = new AppliedState(database, (error) => assert.fail(String(error)), nothingLoaded())
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
