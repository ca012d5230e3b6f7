/** What agents note down of nodes: for as long as the node's boot belongs to the cluster, and within bounds. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Command, noteOf, notesMax, notesOf, noteValueMax } from '../../../src/core/cluster/index.js'
import { Database, guarded, n1, n2 } from './database.js'

const boot = (number: number): Command => ({
  kind: 'register-boot',
  node: n2,
  boot: `n2-${number}` as never,
  guard: guarded,
  level: 5,
  links: [],
  guardian: null,
  api: null,
})
const noted = (values: Record<string, string | null>, number = 1): Command => ({
  kind: 'note-attributes',
  node: n2,
  boot: `n2-${number}` as never,
  values,
})
const formed = () => {
  const database = new Database().formed()
  database.ok(boot(1))
  return database
}
const refused = (database: Database, command: Command) => {
  const result = database.apply(command)
  return result.ok ? undefined : result.error.code
}

test('they are of one node, and each can be changed and deleted', () => {
  const database = formed()
  database.ok(noted({ a: '1', 'db/master-db': '100' }))
  database.ok(noted({ a: '2', b: '', none: null }))
  assert.deepEqual(notesOf(database.state, n2), { a: '2', b: '', 'db/master-db': '100' })
  assert.deepEqual(notesOf(database.state, n1), {})
  assert.equal(noteOf(database.state, n2, 'b'), '')
  database.ok(noted({ a: null }))
  assert.equal(noteOf(database.state, n2, 'a'), undefined)
})

test('they are gone with the boot: nothing is noted of an earlier one, and its notes are not those of the next', () => {
  const database = formed()
  database.ok(noted({ a: '1' }))
  database.ok(boot(2))
  assert.deepEqual(notesOf(database.state, n2), {})
  assert.equal(refused(database, noted({ a: '1' })), 'CONFLICT')
  database.ok(noted({ a: '3' }, 2))
  assert.deepEqual(notesOf(database.state, n2), { a: '3' })
})

test('they are gone when the node leaves in good order, and it may note down anew when it is back', () => {
  const database = formed()
  database.ok(noted({ a: '1' }))
  database.ok({ kind: 'leave', operation: 'o1', node: n2, detail: 'asked by a test' })
  assert.equal(noteOf(database.state, n2, 'a'), undefined)
  assert.equal(refused(database, noted({ a: '1' })), 'CONFLICT')
  database.ok(boot(2))
  assert.equal(noteOf(database.state, n2, 'a'), undefined)
  database.ok(noted({ a: '2' }, 2))
  assert.equal(noteOf(database.state, n2, 'a'), '2')
})

test('there are so many, and no more; one that is refused changes nothing', () => {
  const database = formed()
  const many = Object.fromEntries(Array.from({ length: notesMax }, (_, at) => [`a${at}`, 'x']))
  database.ok(noted(many))
  assert.equal(refused(database, noted({ a0: 'y', more: 'x' })), 'TOO_LARGE')
  assert.equal(noteOf(database.state, n2, 'a0'), 'x')
  database.ok(noted({ a0: null, more: 'x' }))
  assert.equal(refused(database, noted({ a1: 'x'.repeat(noteValueMax + 1) })), 'TOO_LARGE')
  database.ok(noted({ a1: 'x'.repeat(noteValueMax) }))
})
