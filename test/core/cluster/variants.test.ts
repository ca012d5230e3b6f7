/** Resources that are not the same on every node, and those that are only looked at. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GroupName, NodeId } from '../../../src/base/index.js'
import {
  claimsOf,
  type GroupDefinition,
  isSameProgram,
  isUpdatable,
  levelOf,
  partDefinitions,
  type ResourceDefinition,
  resourcesOn,
  type ScalableDefinition,
} from '../../../src/core/cluster/index.js'
import { Database, definition, n1, n2, n3, nodes, resources, web } from './database.js'

const with1 = (name: string, more: Partial<ResourceDefinition>, base: Parameters<typeof resources>[0] = { [name]: {} }) => {
  const all = resources(base)
  return { ...all, [name]: { ...(all[name as never] as ResourceDefinition), ...more } } as GroupDefinition['resources']
}
const varied = with1('app', { perNode: { [n2]: { parameters: { run: 'other', user: 'www' } } } })
const put = (change: Partial<GroupDefinition>) =>
  ({ kind: 'put-group', group: web, definition: definition(change), intent: null, precondition: {} }) as const
const parametersOn = (node: NodeId, of = varied) => resourcesOn(of, node)['app' as never] as ResourceDefinition

test('parameters of a node come beside or instead of the usual ones, and nothing of the others is told there', () => {
  assert.deepEqual(parametersOn(n1).parameters, { run: 'app' })
  assert.deepEqual(parametersOn(n2).parameters, { run: 'other', user: 'www' })
  for (const node of nodes) assert.equal(parametersOn(node).perNode, undefined)
  const same = resources({ app: {} })
  assert.equal(resourcesOn(same, n2), same)
})

test('parameters for a node that is none of the group are refused', () => {
  const database = new Database().formedAt(5)
  const wrong = with1('app', { perNode: { ['n9' as NodeId]: { parameters: { run: 'x' } } } })
  database.refused(put({ resources: wrong }), 'INVALID_DEFINITION', /for "n9", which is no node of the group/)
  database.refused(put({ nodes: [n1, n3], resources: varied }), 'INVALID_DEFINITION', /for "n2"/)
  database.ok(put({ resources: varied }))
})

test('a change for one node is a change of the program, and can be taken on in place', () => {
  const before = varied['app' as never] as ResourceDefinition
  const after = { ...before, perNode: { [n2]: { parameters: { run: 'third', user: 'www' } } } }
  assert.equal(isSameProgram(before, { ...before }), true)
  assert.equal(isSameProgram(before, after), false)
  assert.equal(isUpdatable(varied, { app: after } as never, true), true)
})

test('what any node would hold is held, and held once', () => {
  const address = (of: string) => ({ type: 'logical-hostname', parameters: { address: of } })
  const all = with1(
    'ip',
    { perNode: { [n2]: { parameters: { device: 'ens3' } }, [n3]: { parameters: { address: '10.0.0.9/24' } } } },
    {
      ip: address('10.0.0.8/24'),
    },
  )
  assert.deepEqual(claimsOf(all), ['address:10.0.0.8', 'address:10.0.0.9'])
  new Database().formedAt(5).ok(put({ resources: all }))
})

test('an instance has what its node has, and what migrates is the same everywhere', () => {
  const scalable = { ...definition({ resources: varied }), mode: 'scalable', desired: 3 } as unknown as ScalableDefinition
  const parts = partDefinitions('web' as GroupName, scalable)
  const runs = parts.map((part) => (part.definition.resources['app' as never] as ResourceDefinition).parameters.run)
  assert.deepEqual(runs, ['app', 'other', 'app'])
  const database = new Database().formedAt(5)
  database.ok({ ...put({}), definition: scalable as never })
  const moving = { ...scalable, desired: 1, migrate: true }
  database.refused(
    { ...put({}), group: 'vm' as GroupName, definition: moving as never },
    'INVALID_DEFINITION',
    /leave perNode out|other parameters/,
  )
})

test('what is only looked at holds nothing, and becomes another resource when it is to be started', () => {
  const unit = with1('app', { operations: 'none' }, { app: { type: 'systemd:nginx', parameters: {} } })
  assert.deepEqual(claimsOf(unit), [])
  const started = with1('app', {}, { app: { type: 'systemd:nginx', parameters: {} } })
  assert.deepEqual(claimsOf(started), ['unit:nginx.service'])
  assert.equal(isUpdatable(unit, started, true), false)
})

test('members of an earlier version would keep such definitions and not obey them', () => {
  const deep = { interval: 1_000, timeout: 1_000 }
  for (const more of [
    { perNode: { [n2]: { parameters: { run: 'x' } } } },
    { operations: 'none' as const },
    { probeDeep: [deep, { ...deep, level: 20 }] },
  ])
    assert.equal(levelOf(put({ resources: with1('app', more) })), 5)
  assert.equal(levelOf(put({ resources: with1('app', { probeDeep: deep }) })), 1)
})
