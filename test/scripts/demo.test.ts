/** What a user of the demo is promised, with its real processes on loopback and without root: nothing but the API and the service is asked. */
import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { pause, request, waitFor } from '../../scripts/lib/http.js'
import { type LoopbackLab, names, raiseLoopback } from './loopback-lab.js'
import { ServiceClient } from './service-client.js'

const patience = 60_000
const kills = 20

describe('three nodes on loopback', () => {
  let loopback: LoopbackLab

  before(async () => {
    loopback = await raiseLoopback(10)
  })
  after(() => loopback?.close())
  afterEach(() => assert.deepEqual(loopback.doubles(), [], 'no instant with two copies in the journal of the service'))

  test(`the daemon of the active node, leader or not, is killed ${kills} times, and no request at the service fails`, async (context) => {
    const holder = await loopback.settled()
    const client = new ServiceClient(loopback.url)
    let led = 0
    for (let kill = 0; kill < kills; kill++) {
      const other = names.find((name) => name !== holder.node) as string
      // Every other time it leads when it dies.
      await transferLead(kill % 2 === 0 ? holder.node : other)
      if ((await leader()) === holder.node) led++
      const pid = daemonOf(holder.node)
      assert.ok(pid !== undefined, `${holder.node} has a daemon`)
      process.kill(pid, 'SIGKILL')
      await waitFor('the daemon to be back', patience, async () => {
        const status = await loopback.api('GET', '/v1/status', undefined, holder.node)
        if (status.body.quorate !== true || [pid, undefined].includes(daemonOf(holder.node))) return false
        // One death at a time is promised: its lease is as long as ever before the next.
        const { body } = await loopback.api('GET', `/v1/nodes/${holder.node}`, undefined, holder.node)
        return Number(body.leaseRemainingMs) > 2_500
      })
    }
    const after_ = await loopback.settled()
    await client.close()
    context.diagnostic(`${client.succeeded} requests, slowest ${client.slowest} ms; ${led} of ${kills} times the active node led`)
    assert.deepEqual(after_, holder, 'the same boot holds the same grant')
    assert.deepEqual(client.failures, [])
    assert.ok(client.succeeded > 100)
    assert.ok(led > 0 && led < kills, 'leader and not leader were both killed')
    assert.equal(loopback.copies().length, 1, 'one copy ran all the time')
  })

  test('everything of the active node is paused past every limit: taken over after fencing, and no second copy acts when it goes on', async (context) => {
    const lost = await loopback.settled()
    const supply = loopback.lab.power.get(lost.node)
    const began = Date.now()
    supply?.pause()
    await waitFor('the service at another node', patience, async () => {
      const holder = await loopback.holder()
      return holder !== undefined && holder.node !== lost.node && (await request(loopback.url, 'GET', '/health')).status === 200
    })
    context.diagnostic(`taken over after ${Date.now() - began} ms`)
    const taken = await loopback.holder()
    assert.ok((taken?.token ?? 0) > lost.token)
    await pause(10_000 - (Date.now() - began))
    supply?.resume()
    await pause(1_000)
    assert.deepEqual(loopback.doubles(), [])
    const old = loopback.copies().find((copy) => copy.token === lost.token)
    assert.ok(old !== undefined && old.to < began + 500, 'the old copy wrote nothing after its pause')
    assert.deepEqual(await loopback.settled(), taken)
  })

  test('two of three nodes are lost: the last stops its services by its lease and says what is missing; one returns, and it recovers alone', async (context) => {
    const last = await loopback.settled()
    const others = names.filter((name) => name !== last.node)
    const stored = await loopback.api('PUT', '/v1/store/colour', { value: 'green' })
    assert.ok(stored.status < 300)
    await waitFor('the last node to know it', patience, async () => {
      const known = await loopback.api('GET', '/v1/store/colour?consistency=local', undefined, last.node)
      return known.body.value === 'green'
    })
    const began = Date.now()
    for (const other of others) loopback.lab.power.get(other)?.crash()
    await waitFor('the service to stop', patience, async () => (await request(loopback.url, 'GET', '/health')).status === 0)
    context.diagnostic(`service stopped after ${Date.now() - began} ms`)
    assert.ok(Date.now() - began > 1_000, 'not before its lease was running out')

    const status = await loopback.api('GET', '/v1/status', undefined, last.node)
    assert.equal(status.status, 200)
    assert.equal(status.body.quorate, false)
    assert.equal(typeof status.body.asOf, 'string')
    assert.equal(typeof status.body.leaseRemainingMs, 'number')
    const attention = JSON.stringify((await loopback.api('GET', '/v1/attention', undefined, last.node)).body)
    assert.match(attention, /NO_QUORUM/)
    const write = await loopback.api('PUT', '/v1/store/colour', { value: 'red' }, last.node)
    assert.equal(write.status, 503)
    assert.ok(['NO_QUORUM', 'UNKNOWN_OUTCOME'].includes(String(write.body.code)), String(write.body.code))
    assert.equal(typeof write.body.fix, 'string')
    const read = await loopback.api('GET', '/v1/store/colour', undefined, last.node)
    assert.equal(read.status, 503)
    assert.equal(read.body.code, 'NO_QUORUM')
    const local = await loopback.api('GET', '/v1/store/colour?consistency=local', undefined, last.node)
    assert.equal(local.status, 200)
    assert.equal(local.body.value, 'green')

    const [second, third] = others as [string, string]
    await loopback.lab.power.get(second)?.on()
    await waitFor('the service again', patience, async () => (await request(loopback.url, 'GET', '/health')).status === 200)
    await loopback.lab.power.get(third)?.on()
    const again = await loopback.settled()
    assert.ok(again.token > last.token, 'under a new grant')
    assert.equal(typeof local.body.asOf, 'string', 'what is read without a quorum says how old it may be')
  })

  test('all three nodes are lost at once and started again: the same configuration, and the service is up under a new grant', async () => {
    const held = await loopback.settled()
    assert.ok((await loopback.api('PUT', '/v1/store/shape', { value: 'round' })).status < 300)
    const before_ = await configuration()
    for (const supply of loopback.lab.power.values()) supply.crash()
    await Promise.all([...loopback.lab.power.values()].map((supply) => supply.on()))
    const holder = await loopback.settled()
    assert.deepEqual(await configuration(), before_)
    assert.ok(holder.token > held.token)
    assert.notEqual(holder.boot, held.boot)
    assert.equal((await loopback.api('GET', '/v1/store/shape')).body.value, 'round')
  })

  test('a node leaves and its software stops; started again it comes back, and no case was opened', async () => {
    const { node } = await loopback.settled()
    const known = await caseCount()
    const answer = await loopback.api('POST', `/v1/nodes/${node}/leave?wait=30s`, { reason: 'a test' })
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    const supply = loopback.lab.power.get(node)
    await waitFor('its software to stop', patience, async () => isEmpty(node))
    await waitFor('the service elsewhere', patience, async () => (await loopback.holder()) !== undefined)
    const other = names.find((name) => name !== node) as string
    const { body } = await loopback.api('GET', '/v1/nodes', undefined, other)
    assert.equal((body.nodes as readonly { name: string; state: string }[]).find(({ name }) => name === node)?.state, 'LEFT')
    // Of two, none can be spared.
    assert.equal((await loopback.api('POST', `/v1/nodes/${other}/leave`, {}, other)).status, 409)
    await supply?.on()
    await loopback.settled()
    assert.equal(await caseCount(), known)
  })

  test('the whole cluster is stopped and started: every process ends, nobody is cut off, and the service is back', async () => {
    await loopback.settled()
    const known = await caseCount()
    const wrong = await loopback.api('POST', '/v1/cluster/stop', { cluster: 'another' })
    assert.equal(wrong.status, 400)
    assert.ok((await loopback.api('POST', '/v1/cluster/stop', { cluster: 'test', reason: 'a test' })).status < 300)
    await waitFor('every process to end', patience, async () => names.every((name) => isEmpty(name)))
    assert.equal((await request(loopback.url, 'GET', '/health')).status, 0)
    await Promise.all([...loopback.lab.power.values()].map((supply) => supply.on()))
    await loopback.settled()
    assert.equal(await caseCount(), known)
  })

  async function caseCount(): Promise<number> {
    return ((await loopback.api('GET', '/v1/cases')).body.cases as readonly unknown[]).length
  }

  async function configuration(): Promise<unknown> {
    const { status, body } = await loopback.api('GET', '/v1/config')
    assert.equal(status, 200)
    const { settings, nodes, groups } = body
    return { settings, nodes, groups }
  }

  async function leader(): Promise<unknown> {
    return (await loopback.api('GET', '/v1/status')).body.leader
  }

  async function transferLead(to: string): Promise<void> {
    await waitFor(`${to} to lead`, patience, async () => {
      if ((await leader()) === to) return true
      await loopback.api('POST', '/v1/leader/transfer', { to })
      await pause(200)
      return (await leader()) === to
    })
  }

  function daemonOf(node: string): number | undefined {
    return loopback.lab.power.get(node)?.pidsIn('daemon')[0]
  }

  /** Nothing of the cluster's own is left. */
  function isEmpty(node: string): boolean {
    const supply = loopback.lab.power.get(node)
    return (['guardian', 'daemon', 'monitor'] as const).every((role) => supply?.pidsIn(role).length === 0)
  }
})
