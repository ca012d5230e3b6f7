/** Feature levels: what some members do not understand does not enter the log, and what is in it is never passed over. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BeyondThisVersion, type Command, levelInForce, levelOfAll } from '../../../src/core/cluster/index.js'
import { Database, guarded, nodes } from './database.js'

const boot = (node: string, level: number): Command => ({
  kind: 'register-boot',
  node: node as never,
  boot: `${node}-1` as never,
  guard: guarded,
  level,
  links: [],
  guardian: null,
  api: null,
})

test('the level in force is raised only when every member has it', () => {
  const database = new Database().formed()
  assert.equal(levelInForce(database.state), 1)
  const [last = '', ...others] = [...nodes].reverse()
  for (const node of others) database.ok(boot(node, 3))
  assert.equal(levelOfAll(database.state), 1)
  const refused = database.apply({ kind: 'raise-level', level: 3 })
  assert.equal(refused.ok ? '' : refused.error.code, 'CONFLICT')
  database.ok(boot(last, 2))
  database.ok({ kind: 'raise-level', level: 2 })
  assert.equal(levelInForce(database.state), 2)
})

test('it never falls: a member that comes with an older version has to stop', () => {
  const database = new Database().formed()
  for (const node of nodes) database.ok(boot(node, 2))
  database.ok({ kind: 'raise-level', level: 2 })
  for (const node of nodes) database.ok(boot(node, 1))
  database.ok({ kind: 'raise-level', level: 1 })
  assert.equal(levelInForce(database.state), 2)
})

test('a command of a later version is not passed over: the member cannot go on (R27)', () => {
  const database = new Database().formed()
  const later = { kind: 'what-comes-later' } as unknown as Command
  assert.throws(() => database.apply(later), BeyondThisVersion)
  assert.throws(() => database.apply({ kind: 'transaction', commands: [later], ifRevision: null }), BeyondThisVersion)
})
