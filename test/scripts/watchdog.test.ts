/** Three nodes on loopback without any fence device: a watchdog in each, stood in for by a program that really resets its node. */
import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { request, waitFor } from '../../scripts/lib/http.js'
import { type LoopbackLab, raiseLoopback } from './loopback-lab.js'

const patience = 60_000

describe('watchdogs alone', () => {
  let loopback: LoopbackLab

  before(async () => {
    loopback = await raiseLoopback(30, 'watchdogs')
  })
  after(() => loopback?.close())
  afterEach(() => assert.deepEqual(loopback.doubles(), [], 'no instant with two copies in the journal of the service'))

  const proofOf = async (node: string): Promise<unknown> => {
    const cases = (await loopback.api('GET', '/v1/cases')).body.cases as readonly { node: string; proof: { kind: string } | null }[]
    return cases.filter((one) => one.node === node).at(-1)?.proof?.kind
  }

  test('are what the cluster counts on, and it says so', async () => {
    await loopback.settled()
    await waitFor('every guard in the log', patience, async () => {
      const nodes = (await loopback.api('GET', '/v1/protection')).body.nodes as readonly { protection: string; watchdog: string }[]
      return nodes.length === 3 && nodes.every(({ protection, watchdog }) => protection === 'strong' && watchdog === 'armed')
    })
  })

  test('a node that stands still is reset by its own, and its service goes on elsewhere by the end of its lease', async (context) => {
    const lost = await loopback.settled()
    const began = Date.now()
    loopback.lab.power.get(lost.node)?.pause()
    await waitFor('the service under a new grant', patience, async () => {
      const holder = await loopback.holder()
      return holder !== undefined && holder.token > lost.token && (await request(loopback.url, 'GET', '/health')).status === 200
    })
    context.diagnostic(`taken over after ${Date.now() - began} ms`)
    assert.ok(['lease', 'rebooted'].includes(String(await proofOf(lost.node))), `proved by ${await proofOf(lost.node)}`)
    const after_ = await loopback.settled()
    assert.notEqual(after_.boot, lost.boot)
  })

  test('a node that loses its power is not waited for by anybody, and comes back', async () => {
    const lost = await loopback.settled()
    await loopback.lab.power.get(lost.node)?.off()
    await waitFor('the service at another node', patience, async () => {
      const holder = await loopback.holder()
      return holder !== undefined && holder.node !== lost.node
    })
    assert.equal(await proofOf(lost.node), 'lease')
    await loopback.lab.power.get(lost.node)?.on()
    await loopback.settled()
  })
})
