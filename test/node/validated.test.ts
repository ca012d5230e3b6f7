/** What of a definition the nodes are asked about before it is committed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toBeValidated } from '../../src/node/index.js'

const unit = { type: 'systemd:chrony', parameters: {} }
const agent = { type: 'ocf:heartbeat:Dummy', parameters: { state: '/a' } }
const asked = (after: object, before?: object) =>
  Object.keys(toBeValidated({ app: after } as never, before === undefined ? undefined : ({ app: before } as never)))

test('agents and units that are new, or have other parameters', () => {
  for (const one of [unit, agent]) {
    assert.deepEqual(asked(one), ['app'])
    assert.deepEqual(asked(one, { ...one }), [])
  }
  assert.deepEqual(asked(agent, { ...agent, parameters: { state: '/b' } }), ['app'])
  assert.deepEqual(asked({ type: 'command', parameters: { run: 'x' } }), [])
})

test('what was only looked at and is to be started: it may be started by others too', () => {
  assert.deepEqual(asked(unit, { ...unit, operations: 'none' }), ['app'])
})
