/** Which actions people may have run. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { actionsOf, checkResourceParameters } from '../../../src/core/monitor/index.js'

const names = (...of: Parameters<typeof actionsOf>) => actionsOf(...of).map(({ name }) => name)

test('of a command those that it names', () => {
  assert.deepEqual(names({ type: 'command', parameters: { run: 'x', actions: { rotate: 'a', dump: 'b' } } }, undefined), ['dump', 'rotate'])
  assert.deepEqual(names({ type: 'command', parameters: { run: 'x' } }, undefined), [])
  assert.deepEqual(names({ type: 'tcp', parameters: { actions: { a: 'b' } } }, undefined), [])
})

test('of an agent those beside the ones that the cluster calls itself, with their time', () => {
  const action = (name: string, timeout?: number) => ({ name, depth: 0, ...(timeout === undefined ? {} : { timeout }) })
  const actions = [
    action('start', 1),
    action('monitor', 1),
    action('greet', 7_000),
    action('migrate_to'),
    action('meta-data'),
    action('check'),
  ]
  assert.deepEqual(actionsOf({ type: 'ocf:x:y', parameters: {} }, { actions }), [{ name: 'check' }, { name: 'greet', timeout: 7_000 }])
})

test('what names no command is refused', () => {
  const problems = (actions: unknown) =>
    checkResourceParameters('command', { run: 'x', actions } as never).map(({ parameter }) => parameter)
  assert.deepEqual(problems({ rotate: 'kill -HUP 1' }), [])
  for (const wrong of ['x', ['a'], { 'a b': 'x' }, { a: '' }]) assert.deepEqual(problems(wrong), ['actions'])
})
