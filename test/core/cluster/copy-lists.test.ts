/** How agents are told which copy is what. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ResourceName } from '../../../src/base/index.js'
import { copyEnvironment } from '../../../src/core/cluster/index.js'
import { n1, n2, n3, nodes } from './database.js'

const db = 'db' as ResourceName
const listed = (environment: Record<string, string>, list: string) => environment[`OCF_RESKEY_CRM_meta_notify_${list}`]

test('every list has nodes and as many times the resource; the roles have their older names too', () => {
  const told = copyEnvironment({ nodes, active: [n1, n3], promoted: [n3] }, db)
  assert.equal(listed(told, 'active_uname'), 'n1 n3')
  assert.equal(listed(told, 'active_resource'), 'db db')
  assert.equal(listed(told, 'inactive_uname'), 'n2')
  for (const list of ['promoted', 'master']) assert.equal(listed(told, `${list}_uname`), 'n3')
  for (const list of ['unpromoted', 'slave']) assert.equal(listed(told, `${list}_uname`), 'n1')
})

test('an empty list is a blank: pgsql takes its lock away by that', () => {
  const told = copyEnvironment({ nodes, active: [n1], promoted: [n1] }, db, { operation: 'demote', node: n1 })
  assert.equal(listed(told, 'slave_uname'), ' ')
  assert.equal(listed(told, 'demote_uname'), 'n1')
  assert.equal(listed(told, 'promote_uname'), ' ')
  assert.equal(listed(copyEnvironment({ nodes, active: [n2], promoted: [] }, db), 'master_uname'), ' ')
})
