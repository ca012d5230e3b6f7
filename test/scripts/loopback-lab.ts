/** The demo's cluster and service for tests: three nodes on loopback addresses of their own, kept apart from a demo that runs. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { type Answer, request, waitFor } from '../../scripts/lib/http.js'
import { type Copy, overlaps, readCopies } from '../../scripts/lib/journal.js'
import { freePort, type Lab, makeLab, projectRoot } from '../../scripts/lib/lab.js'
import { frontOf, wireLoopback } from '../../scripts/lib/loopback.js'
import { WatchdogStandIn } from '../../scripts/lib/watchdog.js'

export const names = ['n1', 'n2', 'n3'] as const
const patience = 60_000

export interface LoopbackLab {
  readonly lab: Lab
  /** Of the service. */
  readonly url: string
  readonly journal: string
  /** At the named node, or at the first that answers. */
  api(method: string, path: string, body?: unknown, node?: string): Promise<Answer>
  /** The node that runs the service, once its group is ONLINE. */
  holder(): Promise<Holder | undefined>
  /** Waits until all nodes and the service are well; the node that runs it. */
  settled(): Promise<Holder>
  /** Copies that the service's own journal knows. */
  copies(): readonly Copy[]
  /** Nothing comes from this node to the others, and nothing to it. */
  cut(node: string): Promise<void>
  heal(node: string): Promise<void>
  /** Pairs of copies at one instant. */
  doubles(): ReturnType<typeof overlaps>
  close(): Promise<void>
}

export interface Holder {
  readonly node: string
  readonly boot: string
  readonly token: number
}

interface Status {
  readonly quorate?: boolean
  readonly nodes?: readonly { readonly name: string; readonly state: string }[]
  readonly groups?: readonly { readonly name: string; readonly state: string; readonly holders: readonly Holder[] }[]
}

/** `third`: the third number of the nodes' addresses, a free one for each test file that may run at the same time. */
export async function raiseLoopback(third: number, protection: 'devices' | 'watchdogs' = 'devices'): Promise<LoopbackLab> {
  const home = mkdtempSync(join(tmpdir(), 'quorate-loopback-'))
  const run = join(home, 'run')
  const addresses = names.map((_, at) => `127.84.${third}.${at + 1}`)
  const service = `127.84.${third}.100`
  const everywhere = [...addresses, ...addresses.map(frontOf)]
  const port = await freePort(everywhere, 7_400)
  const guardianPort = await freePort(everywhere, port + 1)
  const apiPort = await freePort(addresses, guardianPort + 1)
  const servicePort = await freePort([service], 8_080)
  const { nodes, cable } = await wireLoopback(
    names.map((name, at) => ({ name, address: addresses[at] as string, port, guardianPort, apiPort })),
    `test_${basename(home).replaceAll(/\W/g, '_')}`,
  )
  const watchdogs = new Map<string, WatchdogStandIn>()
  const watched = protection === 'watchdogs' ? { watchdog: (node: string) => join(home, `watchdog-${node}`) } : {}
  const lab: Lab = await makeLab({ name: 'test', home, run, nodes, cable, emergencyStop: '2s', ...watched })
  if (protection === 'watchdogs')
    for (const [node, supply] of lab.power) {
      // It resets the machine, off in one blow and on again; one without power has no watchdog that could.
      const reset = () => supply.isOn() && void supply.off().then(() => supply.on())
      watchdogs.set(node, new WatchdogStandIn(join(home, `watchdog-${node}`), 800, reset))
    }
  const journal = join(home, 'journal.jsonl')
  const api: LoopbackLab['api'] = async (method, path, body, node) => {
    // Longer than the API itself waits for a quorum.
    const ask = (name: string): Promise<Answer> => request(lab.url(name), method, path, body, { timeoutMs: 15_000 })
    if (node !== undefined) return ask(node)
    let answer = await ask('n1')
    for (const other of names.slice(1)) if (answer.status === 0 || answer.status === 503) answer = await ask(other)
    return answer
  }
  const statusOf = async (node?: string): Promise<Status> => (await api('GET', '/v1/status', undefined, node)).body as Status
  const holder: LoopbackLab['holder'] = async () => {
    const group = (await statusOf()).groups?.find(({ name }) => name === 'web')
    return group?.state === 'ONLINE' ? group.holders[0] : undefined
  }
  const loopback: LoopbackLab = {
    lab,
    url: `http://${service}:${servicePort}`,
    journal,
    api,
    holder,
    settled: async () => {
      let last: readonly Status[] = []
      await waitFor('all nodes and the service to be well', patience, async () => {
        const seen = await Promise.all(names.map((name) => statusOf(name)))
        last = seen
        const well = seen.every(
          ({ quorate, nodes: known = [] }) =>
            quorate === true && known.length === names.length && known.every(({ state }) => state === 'ONLINE'),
        )
        return well && (await holder()) !== undefined && (await request(loopback.url, 'GET', '/health')).status === 200
      }).catch((error: Error) => {
        throw new Error(`${error.message}: ${JSON.stringify(last)}`)
      })
      return (await holder()) as Holder
    },
    cut: (node) => cable.cut(node, 'both'),
    heal: (node) => cable.heal(node),
    copies: () => readCopies(journal),
    doubles: () => overlaps(readCopies(journal)),
    close: async () => {
      for (const watchdog of watchdogs.values()) watchdog.end()
      await lab.close()
      rmSync(home, { recursive: true, force: true })
    },
  }
  try {
    await Promise.all([...lab.power.values()].map((supply) => supply.on()))
    await waitFor('the cluster to form', patience, async () => (await statusOf('n1')).nodes?.length === names.length)
    await configure(loopback, service, servicePort, protection === 'devices')
    return loopback
  } catch (error) {
    await loopback.close()
    throw error
  }
}

async function configure({ lab, api, journal }: LoopbackLab, service: string, servicePort: number, withDevices: boolean): Promise<void> {
  const set = (method: string, path: string, body: unknown): Promise<void> =>
    waitFor(`${method} ${path}`, patience, async () => {
      const answer = await api(method, path, body)
      if (answer.body.code === 'MIXED_VERSIONS') return false // A node has not told its version yet.
      if (answer.status >= 400 && answer.status < 500) throw new Error(`${method} ${path}: ${JSON.stringify(answer.body)}`)
      return answer.status >= 200 && answer.status < 300
    })
  if (withDevices) for (const name of names) await set('PATCH', `/v1/nodes/${name}`, { fencing: lab.fencing(name) })
  await set('PATCH', '/v1/settings', { profile: 'normal', fencingMax: 100, poisonWindow: '0s', quarantineThreshold: 0 })
  const apis = names.map((name) => `${name}=${lab.url(name)}`).join(',')
  const run = [process.execPath, join(projectRoot, 'scripts/demo/app.mjs'), service, String(servicePort), apis, journal]
  await set('PUT', '/v1/groups/web', {
    nodes: [...names],
    resources: {
      address: { type: 'logical-hostname', parameters: { address: service } },
      app: {
        type: 'command',
        parameters: { run, readyHost: service, readyPort: servicePort },
        dependsOn: ['address'],
        probe: { interval: '2s', timeout: '5s' },
        stop: { timeout: '2s' },
      },
    },
  })
}
