/** What agents noted down of this node: counts here at once, and comes to agree with the log whatever is lost on the way. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { BootId } from '../../src/base/index.js'
import { openRunFolder } from '../../src/io/run-folder/index.js'
import { openAttributes } from '../../src/monitor/attributes.js'

const home = mkdtempSync(join(tmpdir(), 'quorate-attributes-'))
after(() => rmSync(home, { recursive: true, force: true }))

let folders = 0
const fresh = (boot = 'b1' as BootId) => {
  const runFolder = openRunFolder(join(home, String(++folders)))
  return { runFolder, open: () => openAttributes(runFolder, boot) }
}

test('what is noted down here counts at once, and waits until it is in the log', () => {
  const attributes = fresh().open()
  attributes.set('a', '1')
  attributes.set('b', '1')
  attributes.delete('b')
  const first = attributes.unsent()
  assert.deepEqual(first, [
    { name: 'a', value: '1' },
    { name: 'b', value: undefined },
  ])
  attributes.set('a', '2')
  attributes.sent(first, 10)
  assert.deepEqual(attributes.unsent(), [{ name: 'a', value: '2' }], 'it was changed on the way')
  assert.equal(attributes.get('a'), '2')
})

test('the log counts, but for what is not in it yet and for what is older than what was seen', () => {
  const attributes = fresh().open()
  attributes.set('mine', '1')
  attributes.set('status', 'old')
  attributes.sent([{ name: 'status', value: 'old' }], 10)
  assert.deepEqual(attributes.take(9, {}), [], 'from before it was in the log')
  assert.equal(attributes.get('status'), 'old')
  assert.deepEqual(attributes.take(11, { status: 'HS:sync', 'db/master-db': '100' }), [
    { name: 'status', value: 'HS:sync' },
    { name: 'db/master-db', value: '100' },
  ])
  assert.equal(attributes.get('mine'), '1')
  assert.deepEqual(attributes.take(12, { status: 'HS:sync', 'db/master-db': '100' }), [])
  assert.deepEqual(attributes.take(13, {}).length, 2, 'the node was lost, and all of it with it')
  assert.equal(attributes.get('status'), undefined)
})

test('the next monitor of this boot goes on with it, and that of the next boot knows nothing', () => {
  const { runFolder, open } = fresh()
  const before = open()
  before.set('sent', '1')
  before.sent(before.unsent(), 20)
  before.set('unsent', '1')
  before.delete('sent')
  before.score('db:n1', 'db', 5)
  const next = open()
  assert.deepEqual(next.unsent(), [
    { name: 'unsent', value: '1' },
    { name: 'sent', value: undefined },
  ])
  assert.deepEqual(next.scores, [{ group: 'db:n1', resource: 'db', score: 5 }])
  assert.deepEqual(next.take(19, { late: '1' }), [])
  assert.deepEqual(openAttributes(runFolder, 'b2' as BootId).unsent(), [])
})

test('what a monitor of an earlier version noted down is not lost, and is to be known to the others', () => {
  const { runFolder, open } = fresh()
  runFolder.writeAttributes('b1' as BootId, { a: '1', 'score/db:n1/db': '7' })
  const attributes = open()
  assert.deepEqual(attributes.take(5, {}), [])
  assert.equal(attributes.get('a'), '1')
  assert.deepEqual(attributes.unsent(), [{ name: 'a', value: '1' }])
})

test('the scores of a copy that has ended are forgotten, those of other groups are not', () => {
  const attributes = fresh().open()
  for (const name of ['db/master-db', 'other/master-db', 'db-status']) attributes.set(name, '5')
  attributes.sent(attributes.unsent(), 3)
  attributes.score('db:n1', 'db', 5)
  attributes.forgetScores('db:n1')
  assert.deepEqual(
    ['db/master-db', 'other/master-db', 'db-status'].map((name) => attributes.get(name)),
    [undefined, '5', '5'],
  )
  assert.deepEqual(attributes.unsent(), [{ name: 'db/master-db', value: undefined }], 'the others are to know')
})
