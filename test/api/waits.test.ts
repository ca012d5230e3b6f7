/** Who waits for a change misses none, whatever way it came. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Waits } from '../../src/api/cluster/waits.js'
import type { QuorateNode } from '../../src/node/index.js'

type Listener = Parameters<QuorateNode['onApplied']>[0]

/** A node of which only the news are of account. */
function attached(appliedIndex = 5) {
  const waits = new Waits()
  let tell: (news: object) => void = () => undefined
  const onApplied = (listener: Listener) => {
    tell = listener as never
    return () => undefined
  }
  const store = new Map<string, { revision: number }>()
  const get = (_: string, key: string) => store.get(key)
  waits.attach({ state: { appliedIndex, get }, onApplied } as unknown as QuorateNode)
  return { waits, store, tell: (news: object) => tell(news) }
}

describe('the last change', () => {
  test('of a table and of a row is that of the entry that made it', () => {
    const { waits, tell, store } = attached()
    store.set('a', { revision: 6 })
    tell({ index: 6, events: [], changes: [{ table: 'store', key: 'a', value: 1 }] })
    tell({ index: 7, events: [], changes: [{ table: 'journal', key: 'e', value: 1 }] })
    assert.equal(waits.lastChange({ tables: ['store'] }), 6)
    assert.equal(waits.lastChange({ tables: ['journal'] }), 7)
    assert.equal(waits.lastChange({ tables: ['nodes'] }), 5)
    assert.equal(waits.lastChange({ tables: [], row: { table: 'store', key: 'a' } }), 6)
    assert.equal(waits.lastChange({ tables: [], row: { table: 'store', key: 'b' } }), 5)
    store.delete('a')
    tell({ index: 8, events: [], changes: [{ table: 'store', key: 'a', value: undefined }] })
    assert.equal(waits.lastChange({ tables: [], row: { table: 'store', key: 'a' } }), 8)
    tell({ index: 9, events: [], changes: [{ table: 'groups', key: 'g', value: 1 }] })
    assert.equal(waits.lastChange({ tables: [], row: { table: 'groups', key: 'g' } }), 9)
    assert.equal(waits.lastChange({ tables: [], row: { table: 'groups', key: 'h' } }), 5)
  })

  test('of everything is a snapshot that has come in, and whoever waits is woken by it', async () => {
    const { waits, tell } = attached()
    const woken = waits.until(() => waits.lastChange({ tables: ['store'] }) > 5, 60_000, new AbortController().signal)
    tell({ index: 90, events: [], changes: [], replaced: true })
    assert.equal(await woken, true)
    assert.equal(waits.lastChange({ tables: ['nodes'] }), 90)
    assert.equal(waits.lastChange({ tables: [], row: { table: 'store', key: 'a' } }), 90)
  })
})
