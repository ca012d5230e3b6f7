/** The description is made from what requests are checked by: every route is in it, and its schemas hold. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { Access } from '../../src/api/cluster/access.js'
import { allRoutes } from '../../src/api/routes/index.js'
import { errorTable } from '../../src/base/index.js'
import { BenchCluster, sleeper } from './bench-api.js'

// biome-ignore lint/suspicious/noExplicitAny: the document is walked.
type Json = any

let bench: BenchCluster
let document: Json
before(async () => {
  bench = await BenchCluster.single()
  document = (await bench.ask('GET', '/v1/openapi.json')).body
})
after(() => bench.close())

const described = (path: string): string => path.replaceAll(/:(\w+)/g, '{$1}').replace(/\*$/, '{key}')

test('every route is described, with its parameters, and nothing else is', () => {
  const routes = allRoutes(new Access(bench.daemon()))
  const wanted = routes.map((route) => `${route.method} ${described(route.path)}`)
  const found = Object.entries(document.paths as Record<string, Json>).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  )
  assert.deepEqual([...found].sort(), [...wanted].sort())
  assert.equal(document.openapi, '3.1.0')
  const ids = Object.values(document.paths as Record<string, Json>).flatMap((methods) =>
    Object.values(methods as Record<string, Json>).map((one) => one.operationId),
  )
  assert.equal(new Set(ids).size, ids.length, 'operation ids are unique')
  for (const [path, methods] of Object.entries(document.paths as Record<string, Json>)) {
    const names = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1])
    for (const one of Object.values(methods as Record<string, Json>)) {
      const given = (one.parameters ?? []).filter((parameter: Json) => parameter.in === 'path').map((parameter: Json) => parameter.name)
      assert.deepEqual(given, names, path)
      assert.ok(one.responses.default !== undefined && one.summary.length > 5, path)
    }
  }
})

test('the verbs of the contract are all there', () => {
  for (const path of [
    '/livez',
    '/readyz',
    '/metrics',
    '/v1/status',
    '/v1/attention',
    '/v1/protection',
    '/v1/settings',
    '/v1/nodes',
    '/v1/nodes/{node}',
    '/v1/nodes/{node}/detector',
    '/v1/links',
    '/v1/nodes/{node}/maintenance',
    '/v1/nodes/{node}/leave',
    '/v1/nodes/{node}/fencing/test',
    '/v1/groups',
    '/v1/groups/{group}',
    '/v1/groups/{group}/why',
    '/v1/groups/{group}/why-not',
    '/v1/groups/{group}/active-here',
    '/v1/groups/{group}/checkpoints/{name}',
    '/v1/groups/{group}/resources/{resource}',
    '/v1/types',
    '/v1/types/{type}',
    '/v1/cases',
    '/v1/cases/{case}/acknowledge',
    '/v1/decisions',
    '/v1/decisions/{decision}/replay',
    '/v1/config',
    '/v1/plan',
    '/v1/apply',
    '/v1/simulate',
    '/v1/store/{key}',
    '/v1/store',
    '/v1/events',
    '/v1/operations/{operation}',
    '/v1/members',
    '/v1/leader/transfer',
    '/v1/cluster/stop',
    '/v1/backup',
    '/v1/restore',
  ])
    assert.ok(document.paths[path] !== undefined, path)
})

test('its schemas compile, take what the API takes, and refuse what it refuses', () => {
  const ajv = new Ajv2020({ strict: false })
  ajv.addSchema({ $id: 'quorate', components: document.components })
  const names = Object.keys(document.components.schemas)
  for (const name of names) assert.doesNotThrow(() => ajv.compile({ $ref: `quorate#/components/schemas/${name}` }), name)
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map((match) => match[1] ?? '')
  for (const name of references) assert.ok(names.includes(name), `${name} is there`)
  const group = ajv.compile({ $ref: 'quorate#/components/schemas/GroupDefinition' })
  assert.ok(group(sleeper()), JSON.stringify(group.errors))
  assert.ok(!group(sleeper({ priorty: 1 })))
  assert.ok(!group(sleeper({ load: {} })))
})

test('errors and answers are as described', async () => {
  const ajv = new Ajv2020({ strict: false })
  ajv.addSchema({ $id: 'quorate', components: document.components })
  const problem = ajv.compile({ $ref: 'quorate#/components/schemas/Problem' })
  for (const path of ['/nowhere', '/v1/groups/none', '/v1/status?x=1', '/v1/backup']) {
    const { body } = await bench.ask('GET', path)
    assert.ok(problem(body), `${path}: ${JSON.stringify(problem.errors)}`)
  }
})

test('every error code and every state of a group has its meaning in a table', () => {
  const table = (name: string): string[] => document.components.schemas[name].oneOf.map((one: Json) => one.const)
  assert.deepEqual(table('ErrorCode'), Object.keys(errorTable))
  assert.deepEqual(table('GroupState'), ['OFFLINE', 'STARTING', 'ONLINE', 'DEGRADED', 'STOPPING', 'FAILED', 'BLOCKED', 'UNKNOWN', 'POISON'])
  assert.deepEqual(Object.keys(document['x-error-codes']), Object.keys(errorTable))
})
