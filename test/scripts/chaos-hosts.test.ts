/** The chaos harness against a cluster that it did not raise, whose hosts are reached by a plain template: `sh -c`, without root. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { hostsOf } from '../../jepsen-like/cluster/hosts-file.js'
import { OwnCluster } from '../../jepsen-like/cluster/index.js'
import { parse } from '../../jepsen-like/run.js'
import { assertJudged, assertTidy, type HostsRuns, hostsRuns, waitUntilWell } from './hosts-run.js'

const seed = String(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 1_000_000))
let cluster: OwnCluster
let runs: HostsRuns

before(async () => {
  cluster = await OwnCluster.raise({ arena: 'loopback', nodes: 3, profile: 'normal', wires: 'relay', say: () => undefined })
  await waitUntilWell(cluster)
  runs = hostsRuns({
    on: 'sh -c',
    node: process.execPath,
    nodes: Object.fromEntries(
      cluster.names.map((name, at) => {
        const { host, port } = cluster.apiAddress(name) as { readonly host: string; readonly port: number }
        // One of them is asked by its socket only.
        const way = at === 2 ? { socket: cluster.placeOf(name).socket } : { api: `http://${host}:${port}` }
        return [name, { ...way, config: cluster.configOf(name) }]
      }),
    ),
    group: 'owner',
    service: {
      url: `http://${cluster.serviceAddress}:${cluster.servicePort}/`,
      who: { json: 'node' },
      journal: cluster.journal,
    },
  })
})
after(async () => {
  runs?.close()
  await cluster?.close()
  cluster?.remove()
})

test('refused: without the name, with another one, with what is not there, and when it is not well', async () => {
  const refused = async (args: readonly string[], reason: RegExp): Promise<void> => {
    const { status, out } = await runs.run(['--seconds', '5', ...args])
    assert.equal(status, 64, out)
    assert.match(out, reason)
  }
  await refused([], /this breaks the cluster chaos on purpose: --confirm chaos/)
  await refused(['--confirm', 'prod'], /the cluster is chaos, not prod/)
  await cluster.power('n3').off()
  await refused(['--confirm', 'chaos'], /refused: n3: its API does not answer at .*api\.sock on its host/)
  await cluster.power('n3').on()
  await waitUntilWell(cluster)
})

test('a short run by `sh -c`: nothing contradicts, and nothing is left of it', async (context) => {
  context.diagnostic(`CHAOS_SEED=${seed}`)
  const nemesis = 'kill-daemon,kill-guardian,restart-monitor,pause-monitor,transfer,flood'
  const args = ['--confirm', 'chaos', '--seed', seed, '--seconds', '25', '--rest', '1-2', '--nemesis', nemesis]
  const done = await runs.run([...args, '--workload', 'register,set,idempotent,owner,address,events'])
  assertJudged(done, ['linearizable', 'once', 'events', 'gaps', 'address-gaps', 'convergence', 'faultless', 'leaks'])
  assert.ok(done.figures.faults > 0, done.out)
  await assertTidy(cluster)
})

test('not well for too long: nothing more is broken, and the run ends', async () => {
  const args = ['--confirm', 'chaos', '--seed', seed, '--seconds', '300', '--nemesis', 'none', '--workload', 'register', '--unwell', '0.1']
  let isLost = false
  const done = await runs.run(args, (out) => {
    if (!isLost && /^seed \d+: register under none/m.test(out)) {
      isLost = true
      cluster.setDevice('n3', 'broken') // Or it would soon be switched on again.
      void cluster.power('n3').off()
    }
    if (out.includes('nothing more is broken') && !cluster.power('n3').isOn()) {
      cluster.setDevice('n3', 'honest')
      void cluster.power('n3').on()
    }
  })
  assert.match(done.out, /nothing more is broken: not well for 6 s: n3 /)
  // That requests fail while the harness itself has broken nothing is told, rightly ("calm"), so the status is not looked at.
  for (const judge of ['convergence', 'leaks']) assert.equal(done.verdicts.find((one) => one.judge === judge)?.valid, true, done.out)
})

test('what is wrong with a file is told', () => {
  const api = 'http://10.0.0.1:7480'
  for (const [value, reason] of [
    [{ nodes: { n1: { api } } }, /every node of the cluster/],
    [{ nodes: { n1: { api }, n2: { url: api } } }, /nodes\.n2: there is no "url"/],
    [{ nodes: { n1: { api }, n2: { api: 'https://10.0.0.2' } } }, /nodes\.n2\.api: an address such as/],
    [{ nodes: { n1: { api }, n2: { link: 'n2.example' } } }, /nodes\.n2\.link: an address/],
    [{ nodes: { n1: { api }, n2: { config: '/etc/$(reboot)' } } }, /nodes\.n2\.config: letters, digits/],
    [{ nodes: { n1: { api }, 'n 2': {} } }, /cannot be the name/],
    [{ nodes: { n1: {}, n2: {} }, service: {} }, /service\.url/],
  ] as const)
    assert.throws(() => hostsOf(value), reason)
  assert.match(String(parse(['--hosts', '/nowhere/hosts.yaml'])), /--hosts \/nowhere\/hosts\.yaml: ENOENT/)
  assert.match(String(parse(['--hosts', '/nowhere/hosts.yaml', '--nodes', '3'])), /--nodes is for clusters that are raised/)
  assert.match(String(parse(['--confirm', 'prod'])), /--confirm goes with --hosts/)
})
