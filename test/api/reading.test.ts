/** Reads: consistency, blocking queries, what is said without a quorum, the store, and what is shown of the cluster. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { BenchCluster, sleeper } from './bench-api.js'

describe('one node', () => {
  let bench: BenchCluster
  before(async () => {
    bench = await BenchCluster.single()
    await bench.ask('PUT', '/v1/groups/web', { body: sleeper() })
  })
  after(() => bench.close())

  test('every answer says how far it has come, in which term, and who leads', async () => {
    for (const [method, path] of [
      ['GET', '/livez'],
      ['GET', '/v1/status'],
      ['GET', '/v1/groups/none'],
      ['GET', '/nowhere'],
      ['HEAD', '/v1/groups'],
      ['POST', '/v1/simulate'],
    ] as const) {
      const { headers } = await bench.ask(method, path)
      assert.match(String(headers['quorate-index']), /^\d+$/, path)
      assert.equal(headers['quorate-term'], '1', path)
      assert.equal(headers['quorate-leader'], 'n1', path)
    }
  })

  test('a local read says its age, a linearizable one does not need to', async () => {
    const local = await bench.ask('GET', '/v1/groups?consistency=local')
    assert.equal(local.body.quorate, true)
    assert.ok(Number.isFinite(Date.parse(local.body.asOf)))
    assert.equal(typeof local.body.ageMs, 'number')
    assert.equal(typeof local.body.leaseRemainingMs, 'number')
    assert.equal((await bench.ask('GET', '/v1/groups')).body.asOf, undefined)
  })

  test('a blocking query answers when something of it has changed, and not for something else', async () => {
    const start = await bench.ask('GET', '/v1/store?prefix=watched')
    const index = String(start.headers['quorate-index'])
    let answered = false
    const waiting = bench.ask('GET', `/v1/store/watched?index=${index}&wait=30s`).then((answer) => {
      answered = true
      return answer
    })
    const list = bench.ask('GET', `/v1/store?index=${index}&wait=30s`)
    await bench.ask('PUT', '/v1/groups/other', { body: sleeper({ intent: 'OFFLINE' }) })
    assert.equal(answered, false)
    await bench.ask('PUT', '/v1/store/unwatched', { body: { value: 1 } })
    assert.equal((await list).body.items.length, 1)
    assert.equal(answered, false)
    await bench.ask('PUT', '/v1/store/watched', { body: { value: 'now' } })
    const answer = await waiting
    assert.equal(answer.body.value, 'now')
    assert.ok(Number(answer.headers['quorate-index']) > Number(index))
    const next = await bench.ask('GET', `/v1/store/watched?index=${answer.headers['quorate-index']}&wait=50ms`)
    assert.equal(next.body.value, 'now', 'after its time it answers with what there is')
  })

  test('a change that came between two queries is not missed', async () => {
    const { headers } = await bench.ask('GET', '/v1/store')
    await bench.ask('PUT', '/v1/store/between', { body: { value: 1 } })
    const since = Date.now()
    const answer = await bench.ask('GET', `/v1/store?index=${headers['quorate-index']}&wait=60s`)
    assert.ok(answer.body.items.some((item: { key: string }) => item.key === 'between'))
    assert.ok(Date.now() - since < 30_000)
  })

  test('a group is waited for until it has a state', async () => {
    const waiting = bench.ask('GET', '/v1/groups/web?until=OFFLINE&wait=30s')
    await bench.ask('POST', '/v1/groups/web/offline')
    assert.equal((await waiting).body.state, 'OFFLINE')
    const vain = await bench.ask('GET', '/v1/groups/web?until=ONLINE&wait=50ms')
    assert.deepEqual([vain.status, vain.body.state], [200, 'OFFLINE'])
  })

  test('the store compares and sets, keeps slashes in keys, lists by prefix and page, and does several things at once', async () => {
    const put = await bench.ask('PUT', '/v1/store/app/db/primary', { body: { value: { host: 'n1', tags: [1, null, 'x'] } } })
    const { revision } = put.body
    assert.equal(put.headers.etag, `"${revision}"`)
    assert.deepEqual((await bench.ask('GET', '/v1/store/app%2Fdb/primary')).body, {
      key: 'app/db/primary',
      value: { host: 'n1', tags: [1, null, 'x'] },
      revision,
    })
    const swapped = await bench.ask('PUT', '/v1/store/app/db/primary', { body: { value: 2 }, headers: { 'if-match': `"${revision}"` } })
    assert.equal(swapped.status, 200)
    const lost = await bench.ask('PUT', '/v1/store/app/db/primary', { body: { value: 3 }, headers: { 'if-match': `"${revision}"` } })
    assert.equal(lost.status, 412)
    assert.equal((await bench.ask('DELETE', '/v1/store/app/db/primary', { headers: { 'if-match': `"${revision}"` } })).status, 412)
    for (let at = 0; at < 5; at++) await bench.ask('PUT', `/v1/store/list/${at}`, { body: { value: at } })
    const first = await bench.ask('GET', '/v1/store?prefix=list/&limit=3')
    assert.deepEqual(
      first.body.items.map((item: { key: string }) => item.key),
      ['list/0', 'list/1', 'list/2'],
    )
    const rest = await bench.ask('GET', `/v1/store?prefix=list/&limit=3&after=${encodeURIComponent(first.body.next)}`)
    assert.deepEqual([rest.body.items.map((item: { key: string }) => item.key), rest.body.next], [['list/3', 'list/4'], null])
    const many = await bench.ask('POST', '/v1/store', {
      body: {
        operations: [
          { kind: 'check', key: 'list/9', revision: 0 },
          { kind: 'get', key: 'list/0' },
          { kind: 'delete', key: 'list/0' },
          { kind: 'put', key: 'list/9', value: 9, ifAbsent: true },
        ],
      },
    })
    assert.equal(many.status, 200, many.text)
    assert.equal(many.body.results[1].value, 0)
    assert.equal((await bench.ask('GET', '/v1/store/list/0')).status, 404)
    assert.equal((await bench.ask('GET', '/v1/store/list/9')).body.value, 9)
  })

  test('what is wrong is said in attention, with the next step', async () => {
    const { body } = await bench.ask('GET', '/v1/attention')
    const codes = body.attention.map((item: { code: string }) => item.code)
    assert.ok(codes.includes('INSECURE_LISTENER'))
    for (const item of body.attention) assert.ok(item.text.length > 10 && item.fix.length > 5, JSON.stringify(item))
    const status = await bench.ask('GET', '/v1/status')
    assert.deepEqual([status.body.insecure, status.body.formed, status.body.leader, status.body.name], [true, true, 'n1', 'bench'])
  })

  test('why a group is where it is, and why not elsewhere, is said in a sentence', async () => {
    await bench.ask('POST', '/v1/groups/web/online')
    await bench.until('a decision', async () => (await bench.ask('GET', '/v1/decisions?group=web')).body.decisions.length > 0)
    const why = await bench.ask('GET', '/v1/groups/web/why')
    assert.match(why.body.text, /^web is BLOCKED: no node can take web now/)
    assert.deepEqual(
      why.body.candidates.map((one: { node: string; eligible: boolean }) => [one.node, one.eligible]),
      [['n1', false]],
    )
    assert.match((await bench.ask('GET', '/v1/groups/web/why-not?node=n1')).body.text, /web cannot go to n1/)
    const [decision] = (await bench.ask('GET', '/v1/decisions?group=web')).body.decisions
    const replay = await bench.ask('GET', `/v1/decisions/${decision.id}/replay`)
    assert.equal(replay.body.same, true, replay.text)
    const here = await bench.ask('GET', '/v1/groups/web/active-here')
    assert.deepEqual([here.status, here.body.active, here.body.token], [503, false, null])
  })

  test('types with their parameters, members, links, protection, metrics', async () => {
    const types = await bench.ask('GET', '/v1/types')
    for (const name of ['command', 'logical-hostname', 'tcp', 'http']) assert.ok(types.body.types.includes(name))
    const type = await bench.ask('GET', '/v1/types/logical-hostname')
    assert.deepEqual(type.body.parameters[0].name, 'address')
    const { members } = (await bench.ask('GET', '/v1/members')).body
    assert.deepEqual([members.length, members[0].node, members[0].leads], [1, 'n1', true])
    assert.deepEqual((await bench.ask('GET', '/v1/links')).body, { links: [], noAnswer: [] })
    assert.deepEqual((await bench.ask('GET', '/v1/nodes/n1/detector')).body.heardBy, [])
    assert.equal((await bench.ask('GET', '/v1/protection')).body.nodes[0].protection, 'manual')
    assert.equal((await bench.ask('POST', '/v1/leader/transfer', { body: { to: 'n1' } })).status, 200)
    const metrics = await bench.ask('GET', '/metrics')
    assert.match(String(metrics.headers['content-type']), /^text\/plain; version=0\.0\.4/)
    assert.match(metrics.text, /^quorate_leader 1$/m)
    for (const line of metrics.text.trim().split('\n'))
      assert.match(line, /^(# (HELP|TYPE) quorate_\w+ .+|quorate_\w+(\{.*\})? -?[\d.e+-]+)$/)
  })

  test('live and ready', async () => {
    assert.equal((await bench.ask('GET', '/livez')).status, 200)
    const ready = await bench.ask('GET', '/readyz')
    assert.deepEqual([ready.status, ready.body.missing], [200, ['guardian', 'monitor']])
  })
})

describe('three nodes', () => {
  let bench: BenchCluster
  before(async () => {
    bench = await BenchCluster.of(['n1', 'n2', 'n3'])
  })
  after(() => bench.close())

  test('until the cluster has formed, the API says who is waited for', async () => {
    await bench.start('n1')
    assert.equal((await bench.ask('GET', '/livez')).status, 200)
    const ready = await bench.ask('GET', '/readyz')
    assert.deepEqual([ready.status, ready.body.code], [503, 'NOT_FORMED'])
    assert.match(ready.body.detail, /n2, n3/)
    const status = await bench.ask('GET', '/v1/status')
    assert.deepEqual([status.status, status.body.formed, status.body.quorate], [200, false, false])
    assert.match(status.body.waitingFor, /n2, n3/)
    for (const path of ['/v1/groups', '/v1/nodes', '/v1/config']) assert.equal((await bench.ask('GET', path)).body.code, 'NOT_FORMED')
    assert.equal((await bench.ask('PUT', '/v1/store/x', { body: { value: 1 } })).body.code, 'NOT_FORMED')
    assert.match((await bench.ask('GET', '/metrics')).text, /^quorate_formed 0$/m)
  })

  test('any node answers, with what another one has just been told', async () => {
    await Promise.all([bench.start('n2'), bench.start('n3')])
    for (const node of ['n1', 'n2', 'n3'])
      await bench.until(`${node} to be part of it`, async () => (await bench.ask('GET', '/v1/status', { node })).body.quorate === true)
    for (const [at, writer] of ['n1', 'n2', 'n3'].entries()) {
      assert.equal((await bench.ask('PUT', `/v1/store/told-${writer}`, { body: { value: at }, node: writer })).status, 200)
      for (const reader of ['n1', 'n2', 'n3'])
        assert.equal((await bench.ask('GET', `/v1/store/told-${writer}`, { node: reader })).body.value, at)
    }
    const leaders = await Promise.all(['n1', 'n2', 'n3'].map(async (node) => (await bench.ask('GET', '/v1/status', { node })).body.leader))
    assert.equal(new Set(leaders).size, 1)
  })

  test('the lead is handed over when asked', async () => {
    const { leader } = (await bench.ask('GET', '/v1/status')).body
    const to = ['n1', 'n2', 'n3'].find((name) => name !== leader)
    await bench.until('the lead to be handed over', async () => {
      const answer = await bench.ask('POST', '/v1/leader/transfer?wait=5s', { body: { to } })
      return answer.status === 200 && answer.body.leader === to
    })
  })

  test('without a quorum, status, attention and nodes still answer with their age; the rest says NO_QUORUM', async () => {
    await bench.ask('PUT', '/v1/groups/web', { body: sleeper({ nodes: ['n1', 'n2', 'n3'] }) })
    await bench.ask('PUT', '/v1/store/colour', { body: { value: 'green' } })
    await Promise.all([bench.stop('n2'), bench.stop('n3')])
    await bench.until('the loss to be noticed', async () => (await bench.ask('GET', '/v1/status')).body.quorate === false)
    const status = await bench.ask('GET', '/v1/status')
    assert.equal(status.status, 200)
    assert.equal(status.headers['quorate-leader'], '')
    assert.ok(Number.isFinite(Date.parse(status.body.asOf)))
    assert.equal(status.body.leaseRemainingMs, 0)
    assert.deepEqual(
      status.body.groups.map((group: { name: string }) => group.name),
      ['web'],
    )
    assert.ok(status.body.attention.some((item: { code: string }) => item.code === 'NO_QUORUM'))
    for (const path of ['/v1/attention', '/v1/nodes', '/v1/nodes/n2']) {
      const answer = await bench.ask('GET', path)
      assert.deepEqual([answer.status, answer.body.quorate, typeof answer.body.ageMs], [200, false, 'number'], path)
    }
    assert.equal((await bench.ask('GET', '/readyz')).body.code, 'NO_QUORUM')
    assert.equal((await bench.ask('GET', '/livez')).status, 200)
    assert.deepEqual((await bench.ask('GET', '/v1/links')).body.noAnswer.sort(), ['n2', 'n3'])
    const since = Date.now()
    const read = await bench.ask('GET', '/v1/store/colour')
    assert.deepEqual([read.status, read.body.code, read.headers['retry-after']], [503, 'NO_QUORUM', '1'])
    assert.match(read.body.fix, /consistency=local/)
    assert.ok(Date.now() - since < 4_000, 'people are not kept waiting')
    const local = await bench.ask('GET', '/v1/store/colour?consistency=local')
    assert.deepEqual([local.status, local.body.value, local.body.quorate], [200, 'green', false])
    const write = await bench.ask('PUT', '/v1/store/colour?timeout=500ms', { body: { value: 'red' } })
    assert.deepEqual([write.status, write.body.code], [503, 'NO_QUORUM'])
    assert.match(write.body.fix, /status/)
  })

  test('with a second node back everything is as it was', async () => {
    await bench.start('n3')
    await bench.until('a quorum', async () => (await bench.ask('GET', '/v1/status')).body.quorate === true)
    assert.equal((await bench.ask('GET', '/v1/store/colour')).body.value, 'green')
    assert.equal((await bench.ask('PUT', '/v1/store/colour', { body: { value: 'red' }, node: 'n3' })).status, 200)
  })
})
