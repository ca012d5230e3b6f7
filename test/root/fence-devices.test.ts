/**
 * Fencing by real agents, with devices that are well and devices that are not: fence_ipmilan against OpenIPMI's simulator and
 * fence_redfish, one of each for every node, whose power-off really ends the node.
 *
 * needs: fence-agents openipmi ipmitool
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { type Controller, startIpmi, startRedfish } from '../../scripts/lib/controllers.js'
import { waitFor } from '../../scripts/lib/http.js'
import { freePort } from '../../scripts/lib/lab.js'
import type { Power } from '../../scripts/lib/power.js'
import { type LoopbackLab, names, raiseLoopback } from '../scripts/loopback-lab.js'

const patience = 90_000

interface Attempt {
  readonly number: number
  readonly level: number
  readonly action: string
  readonly state: string
  readonly detail: string
}

interface Case {
  readonly id: string
  readonly node: string
  readonly stage: string
  readonly proof: { readonly kind: string } | null
  readonly attempts: readonly Attempt[]
}

describe('fence devices', () => {
  let loopback: LoopbackLab
  let folder: string
  const ipmi = new Map<string, Controller>()
  const redfish = new Map<string, Controller>()
  const at = (controllers: ReadonlyMap<string, Controller>, node: string): Controller => controllers.get(node) as Controller
  const powerOf = (node: string): Power => loopback.lab.power.get(node) as Power

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'quorate-bmc-'))
    loopback = await raiseLoopback(20)
    for (const [index, node] of names.entries()) {
      ipmi.set(node, await startIpmi(node, join(folder, `${node}-ipmi`), await freePort(['127.0.0.1'], 9_630 + 10 * index), powerOf(node)))
      redfish.set(
        node,
        await startRedfish(join(folder, `${node}-redfish`), await freePort(['127.0.0.1'], 9_635 + 10 * index), powerOf(node)),
      )
      await set('PATCH', `/v1/nodes/${node}`, { fencing: { levels: [[at(ipmi, node).device], [at(redfish, node).device]], then: 'on' } })
    }
  })
  after(async () => {
    await loopback?.close()
    for (const controller of [...ipmi.values(), ...redfish.values()]) await controller.close()
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
  })
  beforeEach(() => loopback.settled())
  afterEach(() => assert.deepEqual(loopback.doubles(), [], 'no instant with two copies in the journal of the service'))

  async function set(method: string, path: string, body: unknown): Promise<void> {
    const { status, body: said } = await loopback.api(method, path, body)
    assert.ok(status >= 200 && status < 300, `${method} ${path}: ${JSON.stringify(said)}`)
  }

  const casesOf = async (node: string): Promise<readonly Case[]> =>
    ((await loopback.api('GET', '/v1/cases')).body.cases as readonly Case[]).filter((one) => one.node === node)

  const attention = async (): Promise<readonly string[]> =>
    ((await loopback.api('GET', '/v1/status')).body.attention as readonly { code: string; subject: string }[]).map(
      ({ code, subject }) => `${code} ${subject}`,
    )

  /** Takes the node away, and waits until the service has come back elsewhere. */
  async function lose(how: (power: Power) => void = (power) => void power.crash()): Promise<{ readonly lost: string; readonly of: Case }> {
    const { node: lost } = await loopback.settled()
    const known = (await casesOf(lost)).length
    how(powerOf(lost))
    await waitFor('the service at another node', patience, async () => {
      const holder = await loopback.holder()
      return holder !== undefined && holder.node !== lost
    })
    const of = (await casesOf(lost))[known]
    assert.ok(of !== undefined, `${lost} has a case`)
    return { lost, of }
  }

  const said = (attempts: readonly Attempt[]): string[] =>
    attempts.filter(({ action }) => action === 'off').map(({ level, state }) => `${level} ${state}`)

  test('every path is read, and is well', async () => {
    for (const node of names) {
      const { status, body } = await loopback.api('POST', `/v1/nodes/${node}/fencing/test?timeout=30s`)
      assert.equal(status, 200, JSON.stringify(body))
      const paths = body.paths as readonly { from: string; agent: string; state: string; detail: string }[]
      assert.deepEqual(
        paths.map(({ from, agent, state }) => `${from} ${agent} ${state}`).sort(),
        names
          .filter((other) => other !== node)
          .flatMap((from) => [`${from} fence_ipmilan healthy`, `${from} fence_redfish healthy`])
          .sort(),
        JSON.stringify(paths),
      )
      assert.equal(body.healthy, true)
    }
  })

  test('what an agent says of its parameters is held against what is written, and passwords are in no data folder', async () => {
    const { agent, parameters } = at(ipmi, 'n1').device as { agent: string; parameters: Record<string, string> }
    const wrong = async (changes: Record<string, string | undefined>) =>
      (
        await loopback.api('PATCH', '/v1/nodes/n1?dryRun=true', {
          fencing: { levels: [[{ agent, parameters: JSON.parse(JSON.stringify({ ...parameters, ...changes })) }]] },
        })
      ).body as { code?: string; detail?: string; fix?: string }
    const misspelt = await wrong({ ipport: undefined, iport: '623' })
    assert.deepEqual([misspelt.code, misspelt.fix], ['INVALID_DEFINITION', 'did you mean "ipport"?'], JSON.stringify(misspelt))
    assert.match((await wrong({ auth: 'sha5' })).detail ?? '', /auth must be one of md5, password, none/)
    assert.match((await wrong({ ipport: 'http' })).detail ?? '', /ipport must be a whole number/)
    assert.equal((await wrong({})).code, undefined)
    assert.equal((await wrong({ ip: undefined, ipaddr: '127.0.0.1' })).code, undefined, 'a name of earlier versions')
    const { password = '' } = parameters
    assert.ok(password.length >= 4)
    const found = spawnSync('grep', ['-rla', '--', `password.${password}`, loopback.lab.home], { encoding: 'utf8' })
    assert.deepEqual([found.status, found.stdout], [1, ''])
    assert.equal(spawnSync('grep', ['-rqa', '--', 'sealed:1:', loopback.lab.home]).status, 0)
  })

  test('a node that stands still is switched off by its controller, which is slow and proves it, and on again', async () => {
    const { node } = await loopback.settled()
    at(ipmi, node).mood = 'slow'
    const { lost, of } = await lose((power) => power.pause())
    assert.equal(of.proof?.kind, 'fenced')
    const off = of.attempts.find(({ action }) => action === 'off')
    assert.match(off?.detail ?? '', /fence_ipmilan off: .*fence_ipmilan status: off/)
    assert.ok(at(ipmi, lost).asked.includes('off'))
    assert.deepEqual(at(redfish, lost).asked, [], 'the second level was not needed')
    at(ipmi, node).mood = 'honest'
    await waitFor('the node to be switched on', patience, async () => at(ipmi, lost).asked.includes('on'))
  })

  test('one that is out of reach is known beforehand, and the next level cuts the node off', async () => {
    const { node } = await loopback.settled()
    await at(ipmi, node).unplug()
    const { body } = await loopback.api('POST', `/v1/nodes/${node}/fencing/test?timeout=30s`)
    const states = (body.paths as readonly { agent: string; state: string }[]).map(({ agent, state }) => `${agent} ${state}`)
    assert.deepEqual([...new Set(states)].sort(), ['fence_ipmilan failed', 'fence_redfish healthy'], JSON.stringify(body.paths))
    assert.ok(!(await attention()).includes(`UNPROTECTED ${node}`), 'one whole level is enough')
    try {
      const { of } = await lose()
      assert.deepEqual(said(of.attempts), ['0 failed', '1 confirmed'], JSON.stringify(of.attempts))
      assert.equal(of.proof?.kind, 'fenced')
    } finally {
      await at(ipmi, node).plug()
    }
  })

  test('one that says done and has done nothing is not believed: what it reads is', async () => {
    const { node } = await loopback.settled()
    at(ipmi, node).mood = 'powerless'
    const { of } = await lose((power) => power.pause())
    at(ipmi, node).mood = 'honest'
    assert.deepEqual(said(of.attempts), ['0 failed', '1 confirmed'], JSON.stringify(of.attempts))
  })

  test('one that switches off and falls silent proves nothing, and another does', async () => {
    const { node } = await loopback.settled()
    at(ipmi, node).mood = 'falls-silent'
    const { of } = await lose((power) => power.pause())
    at(ipmi, node).mood = 'honest'
    assert.deepEqual(said(of.attempts), ['0 failed', '1 confirmed'], JSON.stringify(of.attempts))
  })

  test('where no level can be reached the node is unprotected; what it held waits, until a device can', async () => {
    const { node } = await loopback.settled()
    for (const controllers of [ipmi, redfish]) await at(controllers, node).unplug()
    await loopback.api('POST', `/v1/nodes/${node}/fencing/test?timeout=60s`)
    await waitFor('the attention', patience, async () => (await attention()).includes(`UNPROTECTED ${node}`))
    const shown = (await loopback.api('GET', '/v1/protection')).body.nodes as readonly { node: string; protection: string }[]
    assert.equal(shown.find((one) => one.node === node)?.protection, 'unprotected')
    const known = (await casesOf(node)).length
    powerOf(node).crash()
    await waitFor('both levels to have failed', patience, async () => {
      const of = (await casesOf(node))[known]
      return of !== undefined && new Set(of.attempts.filter(({ state }) => state === 'failed').map(({ level }) => level)).size === 2
    })
    assert.equal(await loopback.holder(), undefined, 'nobody takes the service without proof')
    assert.ok((await attention()).some((one) => one === `PROOF_MISSING ${node}`))
    for (const controllers of [ipmi, redfish]) await at(controllers, node).plug()
    await waitFor('the service at another node', patience, async () => (await loopback.holder()) !== undefined)
    const of = (await casesOf(node))[known]
    assert.equal(of?.proof?.kind, 'fenced')
  })

  test('one that says off of a node that is heard is not believed; then a person’s word counts, and only once the node is silent', async () => {
    const { node } = await loopback.settled()
    at(ipmi, node).mood = 'lying'
    at(redfish, node).mood = 'lying'
    await set('PATCH', '/v1/settings', { verifyInterval: '1s' })
    await waitFor('the doubt', patience, async () => (await attention()).includes(`DEVICE_DISTRUSTED ${node}`))
    const known = (await casesOf(node)).length
    powerOf(node).crash()
    let open: Case | undefined
    await waitFor('the case', patience, async () => {
      open = (await casesOf(node))[known]
      return open?.stage === 'CONDEMNED'
    })
    const word = { node, reason: 'its plug lies on the table' }
    const acknowledge = () => loopback.api('POST', `/v1/cases/${open?.id}/acknowledge`, word)
    const early = await acknowledge()
    assert.equal(early.status, 409, JSON.stringify(early.body))
    await waitFor('the attention', patience, async () => (await attention()).includes(`PROOF_MISSING ${node}`))
    assert.equal(await loopback.holder(), undefined)
    await waitFor('the acknowledgement', patience, async () => (await acknowledge()).status === 200)
    await waitFor('the service at another node', patience, async () => (await loopback.holder()) !== undefined)
    assert.equal((await casesOf(node))[known]?.proof?.kind, 'operator')
    for (const controllers of [ipmi, redfish]) at(controllers, node).mood = 'honest'
    await set('PATCH', '/v1/settings', { verifyInterval: null })
    await powerOf(node).on()
    await set('POST', `/v1/nodes/${node}/clear`, undefined)
  })

  test('all devices of a level have to confirm', async () => {
    const { node } = await loopback.settled()
    await set('PATCH', `/v1/nodes/${node}`, { fencing: { levels: [[at(ipmi, node).device, at(redfish, node).device]], then: 'on' } })
    await at(redfish, node).unplug()
    const known = (await casesOf(node)).length
    powerOf(node).pause()
    await waitFor(
      'an attempt to have failed',
      patience,
      async () =>
        (await casesOf(node))[known]?.attempts.some(
          ({ state, detail }) => state === 'failed' && detail.includes('fence_ipmilan off: confirmed'),
        ) === true,
    )
    assert.equal(await loopback.holder(), undefined, 'half of a level is no proof')
    await at(redfish, node).plug()
    await waitFor('the service at another node', patience, async () => {
      const holder = await loopback.holder()
      return holder !== undefined && holder.node !== node
    })
    assert.equal((await casesOf(node))[known]?.proof?.kind, 'fenced')
  })
})
