/** A node is lost that no device can prove off: the API says what is missing, and takes a person's word when it is due. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { BenchCluster, sleeper } from './bench-api.js'

let bench: BenchCluster
before(async () => {
  bench = await BenchCluster.of(['n1', 'n2', 'n3'])
  await Promise.all(['n1', 'n2', 'n3'].map((name) => bench.start(name)))
  for (const node of ['n1', 'n2', 'n3'])
    await bench.until(`${node} to be part of it`, async () => (await bench.ask('GET', '/v1/status', { node })).body.quorate === true)
  await bench.ask('PATCH', '/v1/settings', { body: { profile: 'fast', emergencyStop: '500ms' } })
})
after(() => bench.close())

test('from the loss to the operator’s proof', { timeout: 120_000 }, async () => {
  const lost = bench.daemon('n3')
  // What a monitor and a guardian would have each of them say.
  const guard = { guarded: true, watchdog: 'none', watchdogTimeout: 0, emergencyStop: 500 } as const
  for (const name of ['n1', 'n2', 'n3'] as const) {
    const { boot, config } = bench.daemon(name)
    const command = {
      kind: 'register-boot',
      node: config.node,
      boot,
      guard,
      level: 1,
      links: config.links,
      guardian: null,
      api: null,
    } as const
    assert.equal((await bench.daemon().node?.propose(command))?.ok, true)
  }
  await bench.ask('PUT', '/v1/groups/web', { body: sleeper({ nodes: ['n3'] }) })
  const start = (await bench.ask('GET', '/v1/cases')).headers['quorate-index']
  const news = bench.ask('GET', `/v1/cases?index=${start}&wait=60s`)
  await bench.stop('n3')
  assert.equal((await news).body.cases[0].node, 'n3', 'who watched the cases heard of it')

  await bench.until('the condemnation', async () => (await bench.ask('GET', '/v1/cases?open=true')).body.cases[0]?.stage === 'CONDEMNED')
  const [story] = (await bench.ask('GET', '/v1/cases?open=true')).body.cases
  assert.deepEqual([story.node, story.boot, story.proof], ['n3', lost.boot, null])
  assert.ok(story.timings.CONDEMNED >= 0)
  const whole = (await bench.ask('GET', `/v1/cases/${story.id}`)).body
  assert.deepEqual(
    whole.timeline.map((one: { stage: string }) => one.stage),
    ['CHALLENGE', 'CONDEMNED'],
  )
  assert.equal((await bench.ask('GET', '/v1/nodes/n3')).body.state, 'CONDEMNED')
  const { attention } = (await bench.ask('GET', '/v1/attention')).body
  const missing = attention.find((item: { code: string }) => item.code === 'PROOF_MISSING')
  assert.match(missing.fix, new RegExp(`POST /v1/cases/${story.id}/acknowledge`))

  const path = `/v1/cases/${story.id}/acknowledge`
  const mistyped = await bench.ask('POST', path, { body: { node: 'n2', reason: 'I pulled the plug' } })
  assert.deepEqual([mistyped.status, mistyped.body.code], [400, 'INVALID'])
  const word = { node: 'n3', reason: 'I pulled the plug' }
  const early = await bench.ask('POST', path, { body: word })
  assert.deepEqual([early.status, early.body.code], [409, 'CONFLICT'])
  assert.match(early.body.detail, /heard within the lease time/)
  await bench.until(
    'the lease to be over for sure',
    async () => {
      const answer = await bench.ask('POST', path, { body: word, node: 'n2' })
      return answer.status === 200 && (answer.body.stage === 'PROVED' || answer.body.stage === 'RECOVERED')
    },
    60_000,
  )
  const after_ = (await bench.ask('GET', `/v1/cases/${story.id}`)).body
  assert.equal(after_.proof.kind, 'operator')
  assert.match(after_.proof.detail, /I pulled the plug/)
  assert.equal((await bench.ask('GET', '/v1/nodes/n3')).body.state, 'DOWN')
  const again = await bench.ask('POST', path, { body: word })
  assert.equal(again.status, 409, 'once')
})
