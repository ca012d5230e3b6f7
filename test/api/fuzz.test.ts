/** Whatever is sent, by the schemas or against them: an answer with a code, never a failure of the server. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { Access } from '../../src/api/cluster/access.js'
import type { QueryParameter } from '../../src/api/http/query.js'
import type { Route } from '../../src/api/http/route.js'
import { allRoutes } from '../../src/api/routes/index.js'
import { groupDefinitionSchema, groupPutSchema, type Schema } from '../../src/api/schemas/index.js'
import { BenchCluster, sleeper } from './bench-api.js'

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31)
const runs = Number(process.env.FUZZ_RUNS ?? 600)
const names = ['web', 'n1', 'main', 'app', 'constructor', '__proto__', 'toString', '', 'ä', 'a/b', '..', 'x'.repeat(70)]
const texts = [
  ...names,
  '5s',
  '0s',
  '-1s',
  '99999999d',
  'ocf:heartbeat:Dummy',
  'command',
  'logical-hostname',
  '127.0.0.1',
  '/bin/sh',
  '********',
  '\u0000',
  '\ud800',
]

let bench: BenchCluster
let routes: readonly Route[]
before(async () => {
  bench = await BenchCluster.single()
  routes = allRoutes(new Access(bench.daemon())).filter((route) => route.tag !== 'later')
  await bench.ask('PUT', '/v1/groups/web', { body: sleeper() })
})
after(() => bench.close())

const anything = fc.oneof(
  { depthSize: 'small' },
  fc.constantFrom<unknown>(null, true, false, 0, -1, 1.5, 2 ** 53, 1e300, '', [], {}),
  fc.constantFrom(...texts),
  fc.jsonValue({ maxDepth: 3 }),
)

/** Mostly what the schema wants, sometimes something else. */
function fitting(schema: Schema, depth = 0): fc.Arbitrary<unknown> {
  const good = goodValue(schema === groupPutSchema ? groupDefinitionSchema : schema, depth)
  return fc.oneof({ weight: 12, arbitrary: good }, { weight: 1, arbitrary: anything })
}

function goodValue(schema: Schema, depth: number): fc.Arbitrary<unknown> {
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
  const types = typeof schema.type === 'string' ? [schema.type] : (schema.type ?? [])
  if (types.length === 0 || depth > 6) return anything
  return fc.oneof(...types.map((type) => ofType(type, schema, depth)))
}

function ofType(type: string, schema: Schema, depth: number): fc.Arbitrary<unknown> {
  switch (type) {
    case 'string':
      return fc.oneof(fc.constantFrom(...texts), fc.string({ maxLength: 20 }))
    case 'integer':
      return fc.oneof(
        fc.integer({ min: schema.minimum ?? -10, max: Math.min(schema.maximum ?? 100_000, 2 ** 31 - 1) }),
        fc.constantFrom(0, 50, 5_000),
      )
    case 'number':
      return fc.double({ noNaN: true, noDefaultInfinity: true })
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'array':
      return fc.array(fitting(schema.items ?? {}, depth + 1), { maxLength: 3 })
    default: {
      const { properties = {}, additionalProperties, required = [] } = schema
      const known = fc.record(
        Object.fromEntries(
          Object.entries(properties)
            .filter(([, inner]) => inner['x-not-yet'] !== true)
            .map(([key, inner]) => [key, fitting(inner, depth + 1)]),
        ),
        { requiredKeys: [...required] },
      )
      if (additionalProperties === undefined || additionalProperties === false) return known
      const values = additionalProperties === true ? anything : fitting(additionalProperties, depth + 1)
      return fc.tuple(known, fc.dictionary(fc.constantFrom(...names), values, { maxKeys: 3 })).map(([a, b]) => ({ ...a, ...b }))
    }
  }
}

function queryValue(parameter: QueryParameter): fc.Arbitrary<string> {
  return fc.oneof({ weight: 20, arbitrary: goodQueryValue(parameter) }, { weight: 1, arbitrary: fc.constantFrom(...texts) })
}

function goodQueryValue(parameter: QueryParameter): fc.Arbitrary<string> {
  switch (parameter.kind) {
    case 'integer':
      return fc.integer({ min: Math.max(1, parameter.min), max: 50 }).map(String)
    case 'duration':
      return fc.constantFrom('50ms', '60ms')
    case 'flag':
      return fc.constantFrom('true', 'false')
    case 'choice':
      return fc.constantFrom(...parameter.values)
    case 'text':
      return fc.constantFrom('n1', 'web', 'a')
  }
}

/** Mostly nothing. */
const rarely = <Value>(value: fc.Arbitrary<Value>, otherwise: Value): fc.Arbitrary<Value> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(otherwise) }, { weight: 1, arbitrary: value })

interface Shot {
  readonly route: Route
  readonly url: string
  readonly body: unknown
  readonly headers: Record<string, string>
}

const encoded = (text: string): string => encodeURIComponent(text.replaceAll(/[\ud800-\udfff]/g, '?'))

/** What is there by that name. */
const present: Readonly<Record<string, string>> = {
  group: 'web',
  node: 'n1',
  resource: 'main',
  name: 'visits',
  type: 'command',
  '*': 'key',
}

const headers: fc.Arbitrary<Record<string, string>> = fc.record(
  {
    'if-match': fc.constantFrom('"1"', '*', '"3"', 'x', ''),
    'if-none-match': fc.constantFrom('*', '"1"', 'x'),
    'idempotency-key': fc.constantFrom('a', 'b', ' ', 'k'.repeat(200)),
    'content-type': fc.constantFrom('application/json', 'application/yaml', 'text/plain', 'x', 'a/b', 'application/json; charset=x', ''),
    'quorate-grant-token': fc.constantFrom('1', '-1', 'x'),
    'last-event-id': fc.constantFrom('1.0', 'x', '99999.1'),
    accept: fc.constantFrom('text/event-stream', '*/*'),
  },
  { requiredKeys: [] },
) as fc.Arbitrary<Record<string, string>>

function shots(): fc.Arbitrary<Shot> {
  return fc.constantFrom(...routes).chain((route) => {
    const parameters = (route.path.match(/(?<=:)\w+|\*/g) ?? []).map((name) =>
      fc.oneof({ weight: 9, arbitrary: fc.constant(present[name] ?? 'web') }, { weight: 1, arbitrary: fc.constantFrom(...names) }),
    )
    const query = Object.entries(route.query ?? {}).map(([name, parameter]) => [name, queryValue(parameter)] as const)
    return fc.record({
      route: fc.constant(route),
      url: fc
        .tuple(fc.tuple(...parameters), rarely(fc.record(Object.fromEntries(query), { requiredKeys: [] }), {}))
        .map(([words, given]) => urlOf(route, words, given as Record<string, string>)),
      body: typeof route.body === 'object' ? fitting(route.body) : rarely(anything, undefined),
      headers: rarely(headers, {}),
    })
  })
}

function urlOf(route: Route, words: readonly string[], query: Record<string, string>): string {
  let at = 0
  const path = route.path.replaceAll(/:\w+|\*/g, () => encoded(words[at++] ?? ''))
  // What would go on for ever, or wait for a minute, is bounded here.
  const bounds: Record<string, string> =
    route.path === '/v1/events' ? { follow: 'false' } : query.index === undefined ? {} : { wait: '20ms' }
  return `${path}?${new URLSearchParams({ ...query, ...bounds })}`
}

test(`no request makes the server fail (seed ${seed}; FUZZ_SEED, FUZZ_RUNS)`, { timeout: 600_000 }, async (context) => {
  const codes = new Map<string, number>()
  await fc.assert(
    fc.asyncProperty(shots(), async ({ route, url, body, headers }) => {
      const answer = await bench.ask(route.method, url, { headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
      assert.ok(
        answer.status >= 200 && answer.status !== 500,
        `${route.method} ${url}: ${answer.status} ${answer.text}\n${bench.logged.slice(-5).join('\n')}`,
      )
      if (answer.status >= 400 && route.path !== '/v1/groups/:group/active-here') {
        assert.equal(typeof answer.body?.code, 'string', `${route.method} ${url}: ${answer.text}`)
        assert.ok(answer.body.fix === undefined || answer.body.fix.length > 0)
      }
      if (answer.body?.code === 'GROUP_NOT_FOUND') await bench.ask('PUT', '/v1/groups/web', { body: sleeper() })
      const code = String(answer.body?.code ?? answer.status)
      codes.set(code, (codes.get(code) ?? 0) + 1)
    }),
    { seed, numRuns: runs, endOnFailure: false },
  )
  context.diagnostic(JSON.stringify(Object.fromEntries([...codes].sort(([, a], [, b]) => b - a))))
  assert.ok((codes.get('200') ?? 0) > runs / 20, `something was right too: ${JSON.stringify([...codes])}`)
  assert.deepEqual(
    bench.logged.filter((line) => line.includes(' error ')),
    [],
  )
  assert.equal((await bench.ask('GET', '/v1/status')).body.quorate, true)
})

test(`nor do bytes that are no request of ours (seed ${seed})`, async () => {
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('PUT', 'POST', 'PATCH', 'DELETE'), fc.uint8Array({ maxLength: 200 }), async (method, bytes) => {
      const answer = await bench.ask(method, '/v1/groups/web', { body: Buffer.from(bytes) })
      assert.notEqual(answer.status, 500, answer.text)
    }),
    { seed, numRuns: 100 },
  )
})
