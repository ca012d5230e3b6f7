/**
 * What is asked of a single resource of an installed OCF agent: its own actions, a restart, a probe.
 *
 * needs: resource-agents
 */
import assert from 'node:assert/strict'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { BenchCluster } from '../api/bench-api.js'
import { type OneNode, raiseOneNode } from '../api/one-node.js'
import { installTestAgent, type TestAgent } from './test-agent.js'

let bench: BenchCluster
let one: OneNode
let play: TestAgent
let answers: string

before(async () => {
  play = installTestAgent('verbs')
  one = await raiseOneNode()
  bench = one.bench
  answers = join(bench.folder, 'answers')
  mkdirSync(answers)
  const body = { nodes: ['n1'], resources: { app: { type: play.type, parameters: { answers } } } }
  const put = await bench.ask('PUT', '/v1/groups/web', { body })
  assert.equal(put.status, 201, put.text)
  assert.equal((await bench.ask('GET', '/v1/groups/web?until=ONLINE&wait=60s')).body.state, 'ONLINE')
})
after(async () => {
  await one.close()
  play.remove()
})

const ask = (verb: string, body: object = {}) => bench.ask('POST', `/v1/groups/web/resources/app/${verb}`, { body })

test('an action of the agent is run with its environment, for as long as its metadata say', async () => {
  const { token } = (await bench.ask('GET', '/v1/groups/web')).body.holders[0]
  const { status, body } = await ask('actions/greet')
  assert.equal(status, 200)
  assert.deepEqual([body.outcome, body.code, body.timeout], ['exited', 0, 7_000])
  assert.equal(body.stdout, `greetings from app on n1 within 7000 under ${token}\n`)
  assert.ok(play.calls(join(answers, 'log')).includes('greet 1'))
})

test('what the cluster calls itself is no action for people', async () => {
  for (const action of ['start', 'stop', 'monitor', 'reload-agent', 'validate-all', 'meta-data']) {
    const refused = await ask(`actions/${action}`)
    assert.deepEqual([action, refused.body.code, refused.body.fix], [action, 'ACTION_NOT_FOUND', 'it has greet'])
  }
})

test('a restart stops and starts it, and a probe finds what is there', async () => {
  rmSync(join(answers, 'log'))
  const restarted = await bench.ask('POST', '/v1/groups/web/resources/app/restart?wait=60s')
  assert.equal(restarted.body.status, 'done', restarted.text)
  assert.deepEqual(play.calls(join(answers, 'log')), ['stop 1', 'start 1'])
  assert.equal((await ask('probe')).body.result, 'running')
  rmSync(join(answers, 'app.state'))
  // It may have been found by its own probe already.
  const found = await ask('probe')
  assert.ok(found.body.result === 'stopped' || found.body.state !== 'ONLINE', found.text)
  // What was found is reported a moment later.
  await bench.until(
    'it to be started again',
    async () => play.calls(join(answers, 'log')).filter((call) => call === 'start 1').length === 2,
  )
  await bench.until('it to be up', async () => (await bench.ask('GET', '/v1/groups/web')).body.state === 'ONLINE')
})
