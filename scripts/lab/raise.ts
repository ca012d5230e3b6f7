/**
 * Raises the laboratory: three nodes as machines of their own on one kernel, and a client, on a bridge that exists for them alone.
 *
 * Each node has a network, process and mount namespace; what Debian's agents need is under the same path on each, with its
 * own content. The folder `shared` stands for storage that all nodes reach: what is written there survives its writer.
 */
import { execFile } from 'node:child_process'
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { acquireLock } from '../../src/io/local-socket/index.js'
import { request, waitFor } from '../lib/http.js'
import { type Lab, makeLab } from '../lib/lab.js'
import { makeNetwork, type Network } from '../lib/netns.js'
import { type LabServices, webAndRedis } from './services.js'

export { redisAddress, webAddress } from './services.js'

export const labNodes = ['n1', 'n2', 'n3'] as const
const addresses: Readonly<Record<string, string>> = { n1: '10.83.0.1', n2: '10.83.0.2', n3: '10.83.0.3', client: '10.83.0.9' }

export interface RaiseOptions {
  /** Part of all names: two laboratories of different tags may stand side by side. At most eight letters and digits. */
  readonly tag: string
  /** Data and logs of the nodes. */
  readonly home: string
  readonly profile?: 'fast' | 'normal' | 'slow'
  /** nginx and redis unless given. */
  readonly services?: LabServices
  readonly onPower?: (node: string, action: string) => void
}

export interface RaisedLab {
  readonly lab: Lab
  readonly network: Network
  /** Sockets and files of the nodes; gone when the laboratory is closed. */
  readonly run: string
  /** The API of any node that answers. */
  api(method: string, path: string, body?: unknown): ReturnType<typeof request>
  /** The status as the named node sees it. */
  status(node: string): Promise<Status>
  /** The node that runs the group, once it is ONLINE. */
  holder(group: string): Promise<string | undefined>
  /** Runs a program on the client's machine; resolves with what it printed, rejects where it failed. */
  onClient(...argv: readonly string[]): Promise<string>
  close(): Promise<void>
}

export interface Status {
  readonly quorate?: boolean
  readonly leader?: string | null
  readonly nodes?: readonly { readonly name: string; readonly state: string }[]
  readonly groups?: readonly GroupStatus[]
}

export interface GroupStatus {
  readonly name: string
  readonly state: string
  readonly holders: readonly { readonly node: string; readonly boot: string; readonly token: number }[]
}

export function runFolderOf(tag: string): string {
  return `/run/quorate-${tag}`
}

/** What an earlier run of the same tag left is removed first; one that still stands is left alone. */
export async function raiseLab(options: RaiseOptions): Promise<RaisedLab> {
  if (process.getuid?.() !== 0) throw new Error('the laboratory makes network namespaces: run it as root')
  const lock = await acquireLock(`quorate-lab-${options.tag}`)
  if (lock === undefined) throw new Error(`the laboratory "${options.tag}" stands already`)
  try {
    const raised = await raise(options)
    return {
      ...raised,
      close: async () => {
        await raised.close()
        await lock.release()
      },
    }
  } catch (error) {
    await lock.release()
    throw error
  }
}

async function raise(options: RaiseOptions): Promise<RaisedLab> {
  const run = runFolderOf(options.tag)
  const hosts = Object.entries(addresses).map(([name, address]) => ({ name, address }))
  const network = await makeNetwork(options.tag, hosts)
  let lab: Lab | undefined
  try {
    // With its processes gone, nothing of an earlier run can still look into its folder.
    rmSync(run, { recursive: true, force: true })
    mkdirSync(run, { recursive: true, mode: 0o711 })
    chmodSync(run, 0o711)
    const services = options.services ?? webAndRedis
    placeFiles(run, services)
    lab = await makeLab({
      name: 'lab',
      home: options.home,
      run,
      emergencyStop: '5s',
      ...(options.onPower === undefined ? {} : { onPower: options.onPower }),
      cable: { cut: (node, direction) => network.cut(node, direction), heal: (node) => network.heal(node), close: async () => undefined },
      nodes: labNodes.map((name) => ({
        name,
        address: addresses[name] as string,
        port: 7400,
        guardianPort: 7401,
        apiPort: 7480,
        prefix: network.machine(name, join(run, 'files', name), here(run)),
        reset: () => network.reset(name),
      })),
    })
    await Promise.all([...lab.power.values()].map((supply) => supply.on()))
    const raised = toRaised(lab, network, run)
    await waitFor('the cluster to form', 60_000, async () => {
      const { quorate, nodes } = await raised.status('n1')
      return quorate === true && nodes?.length === labNodes.length
    })
    await configure(raised, options.profile ?? 'fast', services.groups(here(run)))
    return raised
  } catch (error) {
    await lab?.close()
    await network.close()
    throw error
  }
}

function toRaised(lab: Lab, network: Network, run: string): RaisedLab {
  const api: RaisedLab['api'] = async (method, path, body) => {
    let answer = await request(lab.local(labNodes[0]), method, path, body)
    for (const node of labNodes.slice(1))
      if (answer.status === 0 || answer.status === 503) answer = await request(lab.local(node), method, path, body)
    return answer
  }
  const status: RaisedLab['status'] = async (node) => (await request(lab.local(node), 'GET', '/v1/status')).body as Status
  return {
    lab,
    network,
    run,
    api,
    status,
    holder: async (group) => {
      const found = ((await api('GET', '/v1/status')).body as Status).groups?.find(({ name }) => name === group)
      return found?.state === 'ONLINE' ? found.holders[0]?.node : undefined
    },
    onClient: (...argv) => {
      const [program, ...rest] = [...network.prefix('client'), ...argv]
      return new Promise((resolve, reject) => {
        execFile(program as string, rest, (error, stdout, stderr) =>
          error === null ? resolve(stdout) : reject(new Error(stderr || error.message)),
        )
      })
    },
    close: async () => {
      await lab.close()
      await network.close()
      rmSync(run, { recursive: true, force: true })
    },
  }
}

async function configure(raised: RaisedLab, profile: string, groups: ReturnType<LabServices['groups']>): Promise<void> {
  const done = async (what: string, method: string, path: string, body: unknown): Promise<void> =>
    waitFor(what, 30_000, async () => {
      const { status, body: answer } = await raised.api(method, path, body)
      if (status >= 400 && status < 500) throw new Error(`${what} was refused: ${JSON.stringify(answer)}`)
      return status >= 200 && status < 300
    })
  for (const node of labNodes)
    await done(`the fence device of ${node}`, 'PATCH', `/v1/nodes/${node}`, { fencing: raised.lab.fencing(node) })
  // Its nodes are there to be lost, again and again, and by no fault of a group.
  const lenient = { causesMax: 1_000, poisonWindow: '0s', quarantineThreshold: 0 }
  await done('the profile', 'PATCH', '/v1/settings', { profile, ...lenient })
  for (const [name, group] of Object.entries(groups)) {
    // One after the other: agents that look and start on all nodes at once are a burden on the one machine that carries them.
    await waitFor('every node to be there', 60_000, async () => {
      const { quorate, nodes = [] } = (await raised.api('GET', '/v1/status')).body as Status
      return quorate === true && nodes.length === labNodes.length && nodes.every(({ state }) => state === 'ONLINE')
    })
    await done(`the group ${name}`, 'PUT', `/v1/groups/${name}`, group)
    if ((group as { readonly mode?: string }).mode !== 'scalable')
      await waitFor(`${name} to run`, 60_000, async () => (await raised.holder(name)) !== undefined)
  }
}

/** Where each node finds files of its own. */
export function here(run: string): string {
  return join(run, 'here')
}

function placeFiles(run: string, services: LabServices): void {
  mkdirSync(here(run), { recursive: true })
  const shared = join(run, 'shared')
  mkdirSync(shared)
  for (const node of labNodes) {
    const folder = join(run, 'files', node)
    mkdirSync(folder, { recursive: true })
    // So that the machines know each other by name.
    writeFileSync(
      join(folder, 'hosts'),
      ['127.0.0.1 localhost', ...Object.entries(addresses).map(([name, address]) => `${address} ${name}`), ''].join('\n'),
    )
    services.place({ node, folder, here: here(run), shared })
  }
}
