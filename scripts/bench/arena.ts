/** A three-node cluster with the small web service on it, ready to be broken: on loopback, or (root) in network namespaces. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pause, request, waitFor } from '../lib/http.js'
import { readCopies } from '../lib/journal.js'
import { freePort, type Lab, type LabNode, makeLab, projectRoot } from '../lib/lab.js'
import { makeNetwork, type Network } from '../lib/netns.js'
import { Watch } from './watch.js'

export const names = ['n1', 'n2', 'n3'] as const

export interface Arena {
  readonly kind: 'loopback' | 'namespaces'
  readonly lab: Lab
  readonly watch: Watch
  readonly journal: string
  /** Undefined where nothing can be cut. */
  readonly cut: ((node: string) => Promise<void>) | undefined
  readonly heal: ((node: string) => Promise<void>) | undefined
  api(
    method: string,
    path: string,
    body?: unknown,
    avoid?: string,
  ): Promise<{ readonly status: number; readonly body: Readonly<Record<string, unknown>> }>
  close(): Promise<void>
}

interface Place {
  readonly address: (at: number) => string
  readonly service: string
  readonly parameters: Readonly<Record<string, unknown>>
  readonly network: Network | undefined
}

export async function openArena(kind: 'loopback' | 'namespaces'): Promise<Arena> {
  const folder = mkdtempSync(join(tmpdir(), 'qb-'))
  const place = kind === 'loopback' ? onLoopback() : await inNamespaces()
  const port = kind === 'loopback' ? await freePort([place.service], 18_080) : 80
  const journal = join(folder, 'journal.jsonl')
  const addresses = names.map((_, at) => place.address(at))
  const base = kind === 'loopback' ? await freePort(addresses, 17_400) : 7_400
  const nodes: LabNode[] = names.map((name, at) => ({
    name,
    address: addresses[at] as string,
    port: base,
    guardianPort: base + 1,
    apiPort: base + 80 + at,
    ...wiring(place.network, name),
  }))
  const lab = await makeLab({ name: 'bench', home: folder, run: join(folder, 'run'), nodes })
  const url = (name: string): string => (kind === 'loopback' ? lab.url(name) : `unix:${join(folder, 'run', name, 'api.sock')}`)
  const api: Arena['api'] = async (method, path, body, avoid) => {
    let answer = { status: 0, body: {} as Readonly<Record<string, unknown>> }
    for (const name of names) {
      if (name === avoid) continue
      answer = await request(url(name), method, path, body, { timeoutMs: 3_000 })
      if (answer.status !== 0 && answer.status !== 503) return answer
    }
    return answer
  }
  await Promise.all([...lab.power.values()].map((supply) => supply.on()))
  await waitFor('the cluster', 60_000, async () => ((await api('GET', '/v1/status')).body.quorate as boolean | undefined) === true)
  for (const name of names) await must(api('PATCH', `/v1/nodes/${name}`, { fencing: lab.fencing(name) }))
  // Refused until every node has told its version.
  const lenient = { fencingMax: 1000, causesMax: 1000, poisonWindow: '0s', quarantineThreshold: 0 }
  await waitFor('the settings', 30_000, async () => (await api('PATCH', '/v1/settings', lenient)).status === 200)
  const apis = nodes.map((node) => `${node.name}=http://${node.address}:${node.apiPort}`).join()
  const definition = {
    nodes: [...names],
    resources: {
      address: { type: 'logical-hostname', parameters: place.parameters },
      app: {
        type: 'command',
        parameters: {
          run: [process.execPath, join(projectRoot, 'scripts/demo/app.mjs'), place.service, String(port), apis, journal],
          readyHost: place.service,
          readyPort: port,
        },
        dependsOn: ['address'],
        probe: { interval: '2s', timeout: '5s' },
        stop: { timeout: '5s' },
        restart: { max: 1000, window: '15m' },
      },
    },
  }
  await must(api('PUT', '/v1/groups/web', definition))
  const watch = new Watch(`http://${place.service}:${port}/`, place.network?.prefix('client') ?? [])
  await watch.until(0, () => true, 60_000)
  return {
    kind,
    lab,
    watch,
    journal,
    cut: place.network === undefined ? undefined : (node) => (place.network as Network).cut(node),
    heal: place.network === undefined ? undefined : (node) => (place.network as Network).heal(node),
    api,
    close: async () => {
      watch.close()
      await lab.close()
      await place.network?.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** In a namespace of its own, a node loses its addresses with its power. */
function wiring(network: Network | undefined, name: string) {
  return network === undefined ? {} : { prefix: network.prefix(name), reset: () => network.reset(name) }
}

function onLoopback(): Place {
  return { address: (at) => `127.0.0.${at + 1}`, service: '127.0.0.101', parameters: { address: '127.0.0.101' }, network: undefined }
}

async function inNamespaces(): Promise<Place> {
  const hosts = [...names.map((name, at) => ({ name, address: `10.84.0.${at + 1}` })), { name: 'client', address: '10.84.0.9' }]
  const network = await makeNetwork('bench', hosts)
  return {
    address: (at) => `10.84.0.${at + 1}`,
    service: '10.84.0.100',
    parameters: { address: '10.84.0.100/24', device: 'eth0' },
    network,
  }
}

async function must(answer: Promise<{ readonly status: number; readonly body: unknown }>): Promise<void> {
  const { status, body } = await answer
  if (status < 200 || status > 299) throw new Error(`the API answered ${status}: ${JSON.stringify(body)}`)
}

/** Every node here, the group online, nothing under way. */
export async function settled(arena: Arena): Promise<{ readonly holder: string; readonly leader: string }> {
  let found: { holder: string; leader: string } | undefined
  await waitFor('everything to be back', 90_000, async () => {
    const { status, body } = await arena.api('GET', '/v1/status')
    if (status !== 200 || body.quorate !== true) return false
    const nodes = body.nodes as readonly { readonly name: string; readonly state: string }[]
    const group = (
      body.groups as readonly { readonly name: string; readonly state: string; readonly holders: readonly { readonly node: string }[] }[]
    ).find((one) => one.name === 'web')
    const cases = (await arena.api('GET', '/v1/cases')).body.cases as readonly { readonly stage: string }[] | undefined
    const open = cases?.some((one) => one.stage !== 'RECOVERED' && one.stage !== 'CLOSED') ?? true
    const here = nodes.length === names.length && nodes.every((node) => node.state === 'ONLINE' || node.state === 'HEALTHY')
    const holder = group?.holders[0]?.node
    if (!here || open || group?.state !== 'ONLINE' || holder === undefined || typeof body.leader !== 'string') return false
    found = { holder, leader: body.leader }
    return true
  })
  await pause(300)
  return found as unknown as { holder: string; leader: string }
}

/** Puts the lead where it is wanted: at the holder, or elsewhere. */
export async function placeLead(arena: Arena, atHolder: boolean): Promise<{ readonly holder: string; readonly leader: string }> {
  for (let attempt = 0; attempt < 10; attempt++) {
    const now = await settled(arena)
    if ((now.leader === now.holder) === atHolder) return now
    const to = atHolder ? now.holder : (names.find((name) => name !== now.holder) as string)
    await arena.api('POST', '/v1/leader/transfer', { to })
    await pause(500)
  }
  throw new Error('the lead could not be placed')
}

/** The service's process is killed: the gap that the client sees, and of it the program's own start. */
export async function serviceDeath(arena: Arena): Promise<{ readonly gap: number; readonly own: number | undefined }> {
  await settled(arena)
  const copy = readCopies(arena.journal).at(-1)
  if (copy === undefined) throw new Error('the service has no journal')
  const since = Date.now()
  // Its pid as this process sees it, whatever namespace it lives in.
  for (const pid of arena.lab.power.get(copy.node)?.pidsOf('app.mjs') ?? []) process.kill(pid, 'SIGKILL')
  await pause(30)
  const back = await arena.watch.until(Date.now(), () => true, 60_000)
  return { gap: arena.watch.longestGap(since, back.at), own: readCopies(arena.journal).at(-1)?.startTook }
}
