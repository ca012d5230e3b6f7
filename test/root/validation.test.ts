/**
 * Before a definition is committed, the agents of every node of the group are asked whether they could run so.
 *
 * needs: resource-agents nginx-light
 */
import assert from 'node:assert/strict'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { readNodeConfig } from '../../src/io/node-file/index.js'
import { readBootId } from '../../src/io/run-folder/index.js'
import { type RunningMonitor, runMonitor } from '../../src/monitor/index.js'
import { BenchCluster } from '../api/bench-api.js'
import { installTestAgent, type TestAgent } from './test-agent.js'

const names = ['n1', 'n2', 'n3']
let bench: BenchCluster
let play: TestAgent
let answers: string
const monitors = new Map<string, RunningMonitor>()

before(async () => {
  play = installTestAgent('validation')
  bench = await BenchCluster.of(names)
  answers = join(bench.folder, 'answers')
  mkdirSync(answers)
  await Promise.all(names.map((name) => bench.start(name)))
  await bench.until('the cluster to form', async () => (await bench.ask('GET', '/v1/status')).body.quorate === true)
  for (const name of names) await startMonitor(name)
  // A daemon finds its monitor in its own time.
  for (const node of names)
    await bench.until(
      `the monitor of ${node}`,
      async () => (await bench.ask('GET', '/v1/types/ocf:heartbeat:Dummy', { node })).status === 200,
    )
})
after(async () => {
  for (const monitor of monitors.values()) await monitor.close()
  await bench.close()
  play.remove()
})

async function startMonitor(name: string): Promise<void> {
  const { node, runDir, logDir, bootIdFile } = readNodeConfig(bench.configOf(name))
  monitors.set(name, await runMonitor({ node, boot: readBootId({ bootIdFile }), runDir, logDir }, () => undefined))
}

/** Nothing of it is started: what it would be is all that matters here. */
const group = (parameters: object, more: object = {}) => ({
  nodes: names,
  intent: 'OFFLINE',
  resources: { app: { type: play.type, parameters: { answers, ...parameters } } },
  ...more,
})
const put = (name: string, body: object, query = '') => bench.ask('PUT', `/v1/groups/${name}${query}`, { body })
const answer = (action: string, status: number) => writeFileSync(join(answers, action), `${status}\n`)

test('what no agent objects to is committed, each node having been asked once', async () => {
  const created = await put('plain', group({ speed: 1 }))
  assert.equal(created.status, 201)
  assert.equal(created.body.warnings, undefined)
  assert.deepEqual(play.calls(join(answers, 'log')), ['validate-all 1', 'validate-all 1', 'validate-all 1'])
})

test('only what is new is asked about again', async () => {
  rmSync(join(answers, 'log'))
  assert.equal((await put('plain', group({ speed: 1 }, { priority: 5 }))).status, 200)
  assert.equal((await bench.ask('PATCH', '/v1/groups/plain', { body: { priority: 6 } })).status, 200)
  assert.deepEqual(play.calls(join(answers, 'log')), [])
  assert.equal((await bench.ask('PATCH', '/v1/groups/plain', { body: { resources: { app: { parameters: { speed: 2 } } } } })).status, 200)
  assert.equal(play.calls(join(answers, 'log')).length, 3)
})

test('what one node’s agent objects to is refused with its code, the node and its words', async () => {
  answer('validate-all.n2', 5)
  const refused = await put('elsewhere', group({}))
  assert.deepEqual([refused.status, refused.body.code], [422, 'VALIDATION_FAILED'])
  assert.equal(refused.body.detail, 'resource "app" on n2: its agent answered 5 (not installed): told to answer 5 to validate-all.n2')
  assert.match(refused.body.fix, /n2.*\?validate=false/)
  assert.deepEqual(refused.body.facts.problems[0].status, 5)
  assert.equal((await bench.ask('GET', '/v1/groups/elsewhere')).status, 404, 'nothing was committed')
  const patched = await bench.ask('PATCH', '/v1/groups/plain', { body: { resources: { app: { parameters: { speed: 3 } } } } })
  assert.equal(patched.body.code, 'VALIDATION_FAILED')
  assert.equal((await put('elsewhere', group({}), '?dryRun=true')).body.code, 'VALIDATION_FAILED')
  const planned = await bench.ask('POST', '/v1/plan', { body: { groups: { elsewhere: group({}) } } })
  assert.match(planned.body.detail, /^groups\.elsewhere: resource "app" on n2: /)
})

test('where it is not asked, or on a node that it is not for, it is committed', async () => {
  assert.equal((await put('elsewhere', group({}), '?validate=false')).status, 201)
  assert.equal((await put('here', group({ name: 'here' }, { nodes: ['n1', 'n3'] }))).status, 201)
  const added = await bench.ask('PATCH', '/v1/groups/here', { body: { nodes: names } })
  assert.match(added.body.detail, /on n2/, 'a node that is new is asked about everything')
})

test('an agent that does not know the question has nothing against it', async () => {
  answer('validate-all.n2', 3)
  assert.equal((await put('unasked', group({ name: 'unasked' }))).status, 201)
})

test('a node that cannot be asked is named, and does not keep the others waiting for ever', async () => {
  await bench.stop('n3')
  const created = await put('without', group({ name: 'without' }))
  assert.equal(created.status, 201)
  assert.equal(created.body.warnings.length, 1)
  assert.match(created.body.warnings[0], /^n3 could not be asked/)
  await bench.start('n3')
})

test('what is unwise is said with the answer', async () => {
  const outdated = await put('outdated', group({ old: 'x' }))
  assert.match(outdated.body.warnings.join(), /resource "app": the agent Play calls its parameter "old" deprecated: use name/)
  const same = await put('same', group({ name: 'here' }))
  assert.match(same.body.warnings.join(), /resource "app" has the same name as here\/app/)
  // What GET or PUT answers may be sent back.
  assert.equal((await put('same', same.body)).status, 200)
})

test('two resources of one group must not have what is unique the same', async () => {
  const app = { type: play.type, parameters: { answers, name: 'twin' } }
  const refused = await put('twins', { nodes: ['n1'], intent: 'OFFLINE', resources: { one: app, two: app } })
  assert.deepEqual([refused.status, refused.body.code], [422, 'INVALID_DEFINITION'])
  assert.match(refused.body.detail, /resources "one" and "two" have the same name/)
})

test('Debian’s agents, in their own words', async () => {
  const nginx = {
    nodes: ['n1', 'n2'],
    intent: 'OFFLINE',
    resources: { web: { type: 'ocf:heartbeat:nginx', parameters: { configfile: '/nowhere/nginx.conf' } } },
  }
  const refused = await put('web', nginx)
  assert.equal(refused.body.code, 'VALIDATION_FAILED')
  assert.match(refused.body.detail, /resource "web" on n1: its agent answered \d+ \(.*\/nowhere\/nginx\.conf/s)
  const address = {
    nodes: ['n1', 'n2'],
    intent: 'OFFLINE',
    resources: { ip: { type: 'ocf:heartbeat:IPaddr2', parameters: { ip: '10.123.1.300' } } },
  }
  assert.equal((await put('ip', address)).body.code, 'VALIDATION_FAILED')
  const symlink = {
    nodes: ['n1', 'n2'],
    intent: 'OFFLINE',
    resources: { link: { type: 'ocf:heartbeat:symlink', parameters: { link: join(bench.folder, 'link'), target: bench.folder } } },
  }
  assert.equal((await put('link', symlink)).status, 201)
})

test('the schema of a type is shown whole', async () => {
  const { body } = await bench.ask('GET', `/v1/types/${play.type}`)
  const named = Object.fromEntries(body.parameters.map((one: { name: string }) => [one.name, one]))
  assert.deepEqual([named.speed.type, named.speed.fallback, named.speed.reloadable], ['integer', '1', true])
  assert.deepEqual([named.name.uniqueGroup, named.old.deprecated, named.old.replacedBy], ['name', true, ['name']])
  assert.equal(body.reloadAction, 'reload-agent')
})
