/**
 * Copies and their primary role by Debian's own agent for it, with scores that it gives itself; and the examples of the documentation.
 *
 * needs: resource-agents
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { exampleFiles, readExample } from '../../scripts/lib/examples.js'
import { waitFor } from '../../scripts/lib/http.js'
import { freePort, projectRoot } from '../../scripts/lib/lab.js'
import { type LoopbackLab, names, raiseLoopback } from '../scripts/loopback-lab.js'

const patience = 90_000

interface Shown {
  readonly state: string
  readonly primary: { readonly node: string } | null
  readonly parts: readonly { readonly name: string; readonly state: string; readonly scores?: Readonly<Record<string, number>> }[]
}

describe('ocf:heartbeat:Stateful on three nodes', () => {
  let loopback: LoopbackLab
  let warmPort: number

  before(async () => {
    loopback = await raiseLoopback(62)
    warmPort = await freePort(['0.0.0.0'], 8_095)
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

  test('a group of one instance goes to another node while it runs, by Debian’s Dummy and by commands, and is never started meanwhile', async () => {
    const folder = join(loopback.lab.home, 'vm')
    mkdirSync(folder)
    chmodSync(folder, 0o777)
    const here = `${folder}/$QUORATE_NODE`
    const command = {
      start: `echo start $QUORATE_NODE >> ${folder}/log; touch ${here}`,
      stop: `echo stop $QUORATE_NODE >> ${folder}/log; rm -f ${here}`,
      probe: `[ -e ${here} ] || exit 7`,
      migrateTo: `echo to $QUORATE_MIGRATE_SOURCE $QUORATE_MIGRATE_TARGET >> ${folder}/log; mv ${here} ${folder}/$QUORATE_MIGRATE_TARGET`,
      migrateFrom: `echo from $QUORATE_MIGRATE_SOURCE $QUORATE_MIGRATE_TARGET >> ${folder}/log; [ -e ${here} ]`,
    }
    const resources = {
      dummy: { type: 'ocf:heartbeat:Dummy' },
      vm: { type: 'command', parameters: command, dependsOn: ['dummy'], probe: { interval: '500ms', timeout: '5s' } },
    }
    const put = await loopback.api('PUT', '/v1/groups/vm', { mode: 'scalable', migrate: true, nodes: [...names], resources })
    assert.equal(put.status, 201, JSON.stringify(put.body))
    const group = async () =>
      (await loopback.api('GET', '/v1/groups/vm')).body as unknown as {
        readonly state: string
        readonly holders: readonly { node: string }[]
      }
    await waitFor('vm to be up', patience, async () => (await group()).state === 'ONLINE')
    const log = () => readFileSync(join(folder, 'log'), 'utf8').trim().split('\n')
    assert.deepEqual([(await group()).holders.map(({ node }) => node), log()], [['n1'], ['start n1']])
    const dummyAt = () => names.filter((node) => existsSync(join(loopback.lab.home, 'run', node, 'rsctmp', 'Dummy-dummy.state')))
    for (const [from, to] of [
      ['n1', 'n3'],
      ['n3', 'n2'],
    ]) {
      const before = log().length
      const moved = await loopback.api('POST', '/v1/groups/vm/move?wait=60s', { to })
      assert.deepEqual([moved.status, moved.body.status], [200, 'done'], JSON.stringify(moved.body))
      await waitFor('it to be shown there', patience, async () => (await group()).holders.map(({ node }) => node).join() === to)
      // The stop of the node that it has left is that of something which is not there any more.
      assert.deepEqual(log().slice(before), [`to ${from} ${to}`, `stop ${from}`, `from ${from} ${to}`])
      assert.deepEqual([existsSync(join(folder, to as string)), existsSync(join(folder, from as string)), dummyAt()], [true, false, [to]])
    }
    const before = log().length
    assert.equal((await loopback.api('POST', '/v1/nodes/n2/standby?wait=60s')).body.status, 'done')
    await waitFor(
      'it to run elsewhere',
      patience,
      async () => (await group()).state === 'ONLINE' && (await group()).holders[0]?.node === 'n1',
    )
    assert.deepEqual(log().slice(before), ['to n2 n1', 'stop n2', 'from n2 n1'], 'a node that stands by is left without a stop')
    assert.equal((await loopback.api('POST', '/v1/nodes/n2/activate')).status, 200)
    assert.equal((await loopback.api('DELETE', '/v1/groups/vm?wait=60s')).body.status, 'done')
    assert.deepEqual([names.filter((node) => existsSync(join(folder, node))), dummyAt()], [[], []])
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

  /** An example with this laboratory's addresses and folders, and a port that is free. */
  const example = async (file: string) =>
    readExample(file, {
      '/usr/bin/node': process.execPath,
      '/usr/local/lib/quorate': projectRoot,
      '/run/warm': join(loopback.lab.home, 'warm'),
      '"8095"': `"${warmPort}"`,
      '10.0.0.113/24': loopback.lab.nodes[0]?.address as string,
      ...Object.fromEntries(
        ['111', '112'].flatMap((last) => [
          [`10.0.0.${last}/24`, `127.84.62.${last}`],
          [`10.0.0.${last}`, `127.84.62.${last}`],
        ]),
      ),
    })
  const says = (url: string) =>
    fetch(url).then(
      (answer) => answer.text(),
      () => '',
    )

  for (const file of exampleFiles())
    test(`docs/examples/${file} is accepted as it is`, async () => {
      const definition = readExample(file) as { groups?: unknown }
      const isDocument = definition.groups !== undefined
      const [method, path] = isDocument ? ['POST', '/v1/apply'] : ['PUT', '/v1/groups/example']
      const answer = await loopback.api(method as string, `${path}?dryRun=true&validate=false`, definition)
      assert.equal(answer.status, 200, JSON.stringify(answer.body))
      assert.equal(answer.body.dryRun, true)
    })

  test('docs/examples/standby.yaml: the spare copy takes over as it is', async () => {
    const put = await loopback.api('PUT', '/v1/groups/warm', await example('standby.yaml'))
    assert.equal(put.status, 201, JSON.stringify(put.body))
    const url = `http://127.0.0.1:${warmPort}`
    await waitFor('a copy to serve', patience, async () => /^Served by n1/.test(await says(url)))
    await waitFor(
      'both copies',
      patience,
      async () => ((await loopback.api('GET', '/v1/groups/warm')).body as { state?: string }).state === 'ONLINE',
    )
    const since = async (node: string) => (await loopback.api('GET', `/v1/groups/warm:${node}`)).body.holders
    const before = await since('n2')
    const copy = execFileSync('pgrep', ['-f', `warm.mjs serve .* ${warmPort}$`], { encoding: 'utf8' })
      .trim()
      .split('\n')
    assert.equal(copy.length, 2)
    const of = (pid: string) => /QUORATE_NODE=(\w+)/.exec(readFileSync(`/proc/${pid}/environ`, 'latin1'))?.[1]
    process.kill(Number(copy.find((pid) => of(pid) === 'n1')), 'SIGKILL')
    await waitFor('the other one to serve', patience, async () => /^Served by n2/.test(await says(url)))
    assert.deepEqual(await since('n2'), before, 'it is the same copy as before')
    await loopback.api('DELETE', '/v1/groups/warm?wait=60s')
  })

  test('docs/examples/active-active.yaml: each at home, both on one node, and back again', async () => {
    const applied = await loopback.api('POST', '/v1/apply', await example('active-active.yaml'))
    assert.ok(applied.status < 300, JSON.stringify(applied.body))
    const [north, south] = ['127.84.62.111', '127.84.62.112'].map((address) => `http://${address}:8080`) as [string, string]
    const served = (on: string, and: string) =>
      waitFor(
        `north on ${on} and south on ${and}`,
        patience,
        async () => (await says(north)) === `Served by ${on}.\n` && (await says(south)) === `Served by ${and}.\n`,
      )
    await served('n1', 'n2')
    await loopback.api('POST', '/v1/nodes/n2/drain?wait=60s')
    await served('n1', 'n1')
    await loopback.api('POST', '/v1/nodes/n2/activate')
    // It has to look first whether anything runs there.
    await waitFor(
      'south to be moved',
      patience,
      async () => (await loopback.api('POST', '/v1/groups/south/move?wait=60s', { to: 'n2' })).status < 300,
    )
    await served('n1', 'n2')
  })

  test('a type without roles, or that cannot migrate, is refused', async () => {
    const resources = { copy: { type: 'ocf:heartbeat:Dummy', promotable: true } }
    const { body } = await loopback.api('PUT', '/v1/groups/other', { mode: 'scalable', nodes: [...names], resources })
    assert.match(String(body.detail), /has no promote and no demote/)
    const link = { link: { type: 'ocf:heartbeat:symlink', parameters: { link: '/tmp/one', target: '/tmp/other' } } }
    const asked = await loopback.api('PUT', '/v1/groups/other', { mode: 'scalable', migrate: true, nodes: [...names], resources: link })
    assert.match(String(asked.body.detail), /has no migrate_to and no migrate_from/)
  })
})
