/**
 * Copies and their primary role by Debian's own agent for it, with scores that it gives itself.
 *
 * needs: resource-agents
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { waitFor } from '../../scripts/lib/http.js'
import { type LoopbackLab, names, raiseLoopback } from '../scripts/loopback-lab.js'

const patience = 90_000

interface Shown {
  readonly state: string
  readonly primary: { readonly node: string } | null
  readonly parts: readonly { readonly name: string; readonly state: string; readonly scores?: Readonly<Record<string, number>> }[]
}

describe('ocf:heartbeat:Stateful on three nodes', () => {
  let loopback: LoopbackLab

  before(async () => {
    loopback = await raiseLoopback(62)
    await loopback.settled()
  })
  after(() => loopback?.close())

  const shown = async () => (await loopback.api('GET', '/v1/groups/ha')).body as unknown as Shown
  const well = async (isOn: (node: string) => boolean = () => true) => {
    await waitFor('ha to be well', patience, async () => {
      const { state, primary } = await shown()
      return state === 'ONLINE' && primary !== null && isOn(primary.node)
    })
    return shown()
  }
  const file = (node: string) => join(loopback.lab.home, 'run', node, 'rsctmp', 'Stateful-copy.state')
  const roleOf = (node: string) => (existsSync(file(node)) ? readFileSync(file(node), 'utf8').trim() : 'stopped')
  const scoresOf = ({ parts }: Shown) =>
    Object.fromEntries(parts.flatMap(({ name, scores }) => (scores === undefined ? [] : [[name, scores.copy]])))

  test('starts, and one is promoted; the scores are those that the agent gave', async () => {
    const resources = { copy: { type: 'ocf:heartbeat:Stateful', promotable: true, probe: { interval: '500ms', timeout: '20s' } } }
    const put = await loopback.api('PUT', '/v1/groups/ha', { mode: 'scalable', nodes: [...names], pingpongInterval: '1s', resources })
    assert.equal(put.status, 201, JSON.stringify(put.body))
    await well()
    await waitFor('the score of the primary', patience, async () => scoresOf(await shown())['ha:n1'] === 10)
    assert.deepEqual(scoresOf(await shown()), { 'ha:n1': 10, 'ha:n2': 5, 'ha:n3': 5 })
    assert.deepEqual(names.map(roleOf), ['master', 'slave', 'slave'])
  })

  test('is moved by a person, and stays where it was put', async () => {
    await loopback.api('POST', '/v1/groups/ha/move?wait=60s', { to: 'n2' })
    await well((node) => node === 'n2')
    assert.deepEqual(names.map(roleOf), ['slave', 'master', 'slave'])
  })

  test('its state is lost: another one is promoted, and the lost one starts again as a replica', async () => {
    rmSync(file('n2'))
    await well((node) => node !== 'n2')
    await waitFor('the copy to be back', patience, async () => roleOf('n2') === 'slave')
    assert.equal(names.map(roleOf).filter((role) => role === 'master').length, 1)
  })

  test('its node goes: the agent, which refuses to stop a master, is demoted first', async () => {
    const { primary } = await well()
    const node = primary?.node as string
    await loopback.api('POST', `/v1/nodes/${node}/drain?wait=60s`)
    assert.equal(roleOf(node), 'stopped')
    await waitFor('another primary', patience, async () => ((await shown()).primary?.node ?? node) !== node)
    await loopback.api('POST', `/v1/nodes/${node}/activate`)
    await well()
  })

  test('its daemon hangs past the lease: the guardian demotes and stops it, and all is verified', async () => {
    const { primary } = await well()
    const node = primary?.node as string
    const [daemon] = loopback.lab.power.get(node)?.pidsIn('daemon') ?? []
    assert.ok(daemon !== undefined)
    process.kill(daemon, 'SIGSTOP')
    await waitFor('the copy to be stopped', patience, async () => roleOf(node) === 'stopped')
    await waitFor('another primary', patience, async () => ((await shown()).primary?.node ?? node) !== node)
    try {
      process.kill(daemon, 'SIGCONT')
    } catch {
      // It was ended meanwhile.
    }
    await well()
    assert.equal(names.map(roleOf).filter((role) => role === 'master').length, 1)
  })

  test('a type without roles is refused', async () => {
    const resources = { copy: { type: 'ocf:heartbeat:Dummy', promotable: true } }
    const { body } = await loopback.api('PUT', '/v1/groups/other', { mode: 'scalable', nodes: [...names], resources })
    assert.match(String(body.detail), /has no promote and no demote/)
  })
})
