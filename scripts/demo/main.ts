/**
 * `npm start`: three nodes on 127.0.0.1–3 keep a small web service alive at 127.0.0.100.
 *
 * Each node is three real processes, started through a power supply of its own that this process plays. No root is
 * needed. Ctrl-C removes processes, cgroups and sockets; the data stays for the next start; `--fresh` wipes it.
 */
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { basename, join } from 'node:path'
import { follow, request, waitFor } from '../lib/http.js'
import { endNodes, freePort, type Lab, type LabNode, makeLab, projectRoot } from '../lib/lab.js'
import { frontOf, wireLoopback } from '../lib/loopback.js'
import { demoPlace } from '../lib/places.js'

const names = ['n1', 'n2', 'n3'] as const
const serviceAddress = '127.0.0.100'
const fresh = process.argv.includes('--fresh')
const { home, run } = demoPlace()

const say = (text = ''): void => void process.stdout.write(`${text}\n`)

let lab: Lab | undefined
let leaving = false
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void leave(0))

await onlyOne()
try {
  await demo()
} catch (error) {
  process.stderr.write(`demo: ${(error as Error).message}\n`)
  await leave(1)
}

/** One demo a checkout at a time: the name is the kernel's, and goes with this process. */
function onlyOne(): Promise<void> {
  return new Promise((resolve) => {
    const lock = createServer()
    lock.once('error', () => {
      process.stderr.write('demo: another demo of this checkout runs already; end it with Ctrl-C first\n')
      process.exit(1)
    })
    lock.listen(`\0quorate-demo-${run}`, () => {
      lock.unref()
      resolve()
    })
  })
}

async function demo(): Promise<void> {
  // A demo that was itself killed has left its nodes running, at the ports that this one wants.
  await endNodes({ home, run }, names)
  if (fresh) for (const folder of [home, run]) rmSync(folder, { recursive: true, force: true })
  mkdirSync(home, { recursive: true })
  mkdirSync(run, { recursive: true, mode: 0o711 })
  const again = existsSync(join(home, 'n1', 'data'))
  const { nodes, cable } = await wireLoopback(await placeNodes(), basename(run).replace('quorate-', '').replaceAll('-', '_'))
  lab = await makeLab({
    name: 'demo',
    home,
    run,
    nodes,
    cable,
    emergencyStop: '5s',
    onPower: (node, action) => say(`  ⚡ power supply of ${node}: ${action}`),
  })
  say(again ? 'Starting three nodes on the data of the last demo (npm start -- --fresh begins anew) …' : 'Starting three nodes …')
  // Before anything of the demo runs: its own service from the last time must not count as somebody else's.
  const servicePort = await freePort([serviceAddress], 8080)
  await Promise.all([...lab.power.values()].map((supply) => supply.on()))
  const cluster = lab
  await waitFor('the cluster to form', 60_000, async () => {
    const status = await request(cluster.url('n1'), 'GET', '/v1/status')
    return status.body.quorate === true && (status.body.nodes as { state?: string }[] | undefined)?.length === 3
  })
  await configure(lab, servicePort)
  void follow(() => names.map((name) => cluster.url(name)), tell)
  await waitFor(
    'the service to answer',
    60_000,
    async () => (await request(`http://${serviceAddress}:${servicePort}`, 'GET', '/health')).status === 200,
  )
  explain(lab, servicePort)
}

async function placeNodes(): Promise<LabNode[]> {
  const addresses = names.map((_, at) => `127.0.0.${at + 1}`)
  const fronts = addresses.map(frontOf)
  const port = await freePort([...addresses, ...fronts], 7400)
  const guardianPort = await freePort([...addresses, ...fronts], Math.max(7401, port + 1))
  const apiBase = await freePort(addresses, 7481)
  const nodes: LabNode[] = []
  for (const [at, name] of names.entries()) {
    const apiPort = await freePort([addresses[at] as string], apiBase + at)
    nodes.push({ name, address: addresses[at] as string, port, guardianPort, apiPort })
  }
  return nodes
}

/** The first time: fence devices, and the group. Later starts find them in the database. */
async function configure(cluster: Lab, port: number): Promise<void> {
  const url = cluster.url('n1')
  for (const name of names) await change(url, 'PATCH', `/v1/nodes/${name}`, { fencing: cluster.fencing(name) })
  // Nodes are lost for the fun of it here, again and again: that is neither the group's doing nor theirs.
  await change(url, 'PATCH', '/v1/settings', { profile: 'fast', poisonWindow: '0s', quarantineThreshold: 0 })
  const definition = {
    nodes: [...names],
    priority: 10,
    resources: {
      address: { type: 'logical-hostname', parameters: { address: serviceAddress } },
      app: {
        type: 'command',
        parameters: {
          run: [
            process.execPath,
            join(projectRoot, 'scripts/demo/app.mjs'),
            serviceAddress,
            String(port),
            names.map((name) => `${name}=${cluster.url(name)}`).join(),
            join(home, 'journal.jsonl'),
          ],
          readyHost: serviceAddress,
          readyPort: port,
        },
        dependsOn: ['address'],
        probe: { interval: '2s', timeout: '5s' },
        stop: { timeout: '5s' },
      },
    },
  }
  await change(url, 'PUT', '/v1/groups/web', definition)
}

/** Says the same when it is repeated, so an election meanwhile does no harm. */
async function change(url: string, method: string, path: string, body: unknown): Promise<void> {
  await waitFor(`${method} ${path}`, 30_000, async () => {
    const answer = await request(url, method, path, body)
    if (answer.body.code === 'MIXED_VERSIONS') return false // A node has not told its version yet.
    if (answer.status >= 400 && answer.status < 500) throw new Error(`${path} was refused: ${JSON.stringify(answer.body)}`)
    return answer.status >= 200 && answer.status < 300
  })
}

function tell(event: Readonly<Record<string, unknown>>): void {
  const kind = String(event.kind)
  if (kind.startsWith('settings') || kind.startsWith('decision.wait')) return
  const time = new Date(Number(event.wall)).toISOString().slice(11, 23)
  say(`  ${time}  ${kind.padEnd(24)} ${event.text}`)
}

function explain(cluster: Lab, port: number): void {
  const url = cluster.url('n1')
  say()
  const hint = (command: string, text: string): void => say(`  ${command.padEnd(72)} # ${text}`)
  say(`The service answers at http://${serviceAddress}:${port}/ . Try, in another terminal:`)
  say()
  hint(`curl http://${serviceAddress}:${port}/`, 'the service: who serves it, how many visits')
  hint(`curl ${url}/v1/status`, `any node answers: ${names.map((name) => cluster.url(name)).join(' ')}`)
  hint('scripts/chaos/kill-node n1', 'kill -9 of everything on n1; the cluster turns it on again')
  hint(`curl ${url}/v1/groups/web/why`, 'why is it where it is?')
  hint(`curl -X POST ${url}/v1/groups/web/move -d '{"to":"n3"}'`, 'move it')
  hint(`curl ${url}/v1/cases`, "every suspected node's story, with its proof")
  hint('scripts/chaos/pause-node n2', 'and scripts/chaos/cut-node n3; --undo takes them back')
  hint(`node dist/bin/quorate.js --url ${url} status`, 'the command line')
  say()
  say('Ctrl-C ends the demo; its data stays. What happens now, live:')
  say()
}

async function leave(code: number): Promise<void> {
  if (leaving) return
  leaving = true
  say('\nEnding the demo …')
  await lab?.close().catch((error: Error) => process.stderr.write(`${error.message}\n`))
  rmSync(run, { recursive: true, force: true })
  process.exit(code)
}
