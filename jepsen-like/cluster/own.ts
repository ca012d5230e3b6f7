/**
 * A cluster of the harness's own: real daemons of 3, 5 or 7 nodes, on loopback (no root needed) or in network namespaces on a bridge of
 * their own, with power supplies, fence devices that can misbehave, faulty disks and clocks, and one group whose service keeps a
 * journal outside the cluster's control.
 *
 * The only part of the harness that knows how nodes are made; it uses `scripts/lib` for it. All else knows the HTTP API.
 */

import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort, type Lab, type LabNode, mainScript, makeLab, projectRoot } from '../../scripts/lib/lab.js'
import { frontOf } from '../../scripts/lib/loopback.js'
import { device, makeNetwork, type Network } from '../../scripts/lib/netns.js'
import type { Power } from '../../scripts/lib/power.js'
import { openRelay, type Relay } from '../../scripts/lib/relay.js'
import { type Api, type ApiAnswer, HttpApi } from './api.js'
import { askAt, type ServiceAnswer } from './asker.js'
import {
  type AddressAnswer,
  askAny,
  type Cluster,
  illOf,
  leaderOf,
  type Role,
  type Status,
  standing,
  type Undo,
  waitUntil,
} from './cluster.js'
import { buildShim, Shim } from './shim.js'
import { loopbackCarrier, namespaceCarrier, relayCarrier, Wires } from './wires.js'

export type Arena = 'loopback' | 'namespaces'
export type DeviceMode = 'honest' | 'broken' | 'refuse' | 'slow' | 'deaf'

export interface ClusterOptions {
  readonly arena: Arena
  readonly nodes: number
  readonly profile: 'fast' | 'normal' | 'slow'
  /** Settings over the profile's. */
  readonly settings?: Readonly<Record<string, unknown>>
  /** The program to run, where it is not that of this checkout. */
  readonly main?: string
  /** Nodes begin with the program of this checkout of an earlier version, and come to this one's by `upgrade`. */
  readonly from?: string
  readonly emergencyStop?: string
  /** Over which nodes hear each other: 1 unless given. Two only with the filter. */
  readonly links?: number
  /** Percent of the packets that the second link loses all the time. */
  readonly lossyLink?: number
  /** On loopback as root; without root it is the relay always. */
  readonly wires?: 'filter' | 'relay'
  readonly say: (text: string) => void
}

export interface Member {
  readonly member: string
  readonly node: string
  readonly role: string
  readonly settled: boolean
}

export const groupName = 'owner'
/** Under which the wires are told what is so all the time. */
const steady = -1

export class OwnCluster implements Cluster {
  readonly arena: Arena
  readonly names: readonly string[]
  readonly group = groupName
  readonly prefix = 'chaos'
  readonly firstRevision = 0
  readonly own = this
  readonly hasJournalService = true
  readonly hasAddress = true
  readonly wires: Wires
  readonly home: string
  /** Written by the service: see `service.mjs`. */
  readonly journal: string
  readonly serviceAddress: string
  readonly servicePort: number
  readonly began = Date.now()
  readonly #lab: Lab
  readonly #apis: ReadonlyMap<string, Api>
  readonly #shims: ReadonlyMap<string, Shim>
  readonly #network: Network | undefined
  readonly #relay: Relay | undefined
  readonly #isUpgradable: boolean
  readonly #mainOf: (node: string) => string
  /** Undefined where this process may ask itself. */
  readonly #asker: Asker | undefined

  private constructor(made: Made) {
    standing.add(this)
    this.arena = made.arena
    this.names = made.nodes.map(({ name }) => name)
    this.wires = made.wires
    this.home = made.home
    this.journal = join(made.home, 'service.jsonl')
    this.serviceAddress = made.serviceAddress
    this.servicePort = made.servicePort
    this.#lab = made.lab
    this.#shims = made.shims
    this.#network = made.network
    this.#relay = made.relay
    this.#isUpgradable = made.from !== undefined
    this.#mainOf = made.mainOf
    if (made.network !== undefined) this.#asker = new Asker(made.network.prefix('client'), made.serviceAddress, made.servicePort)
    this.#apis = new Map(
      made.nodes.map((node) => [
        node.name,
        new HttpApi(
          made.network === undefined ? { host: node.address, port: node.apiPort } : { socketPath: join(made.run, node.name, 'api.sock') },
        ),
      ]),
    )
  }

  static async raise(options: ClusterOptions): Promise<OwnCluster> {
    const made = await make(options)
    const cluster = new OwnCluster(made)
    try {
      await Promise.all(cluster.names.map((name) => cluster.power(name).on()))
      await waitUntil('the cluster to form', 90_000, async () => {
        const { quorate, nodes = [] } = await cluster.status()
        return quorate === true && nodes.length === cluster.names.length && nodes.every(({ state }) => state === 'ONLINE')
      })
      await cluster.#configure(options, made.nodes)
      await waitUntil('the service to answer', 60_000, async () => (await cluster.askService()) !== undefined)
      const { lossyLink } = options
      const pairs = lossyLink === undefined ? [] : cluster.names.flatMap((from) => cluster.names.map((to) => ({ from, to })))
      const lossy = pairs.filter(({ from, to }) => from !== to).map((pair) => ({ ...pair, link: 1, loss: lossyLink ?? 0 }))
      await cluster.wires.set(steady, lossy)
      return cluster
    } catch (error) {
      await cluster.close()
      throw error
    }
  }

  /** Put before a command to run it on a machine of the network: a node's, or the client's. */
  machine(name: string): readonly string[] {
    return this.#network?.prefix(name) ?? []
  }

  /** What the others hear of it, and the API on its own machine. */
  placeOf(node: string): { readonly address: string; readonly port: number; readonly guardianPort: number; readonly socket: string } {
    const { address, port, guardianPort } = this.#nodeOf(node)
    return { address, port, guardianPort, socket: join(this.home, 'run', node, 'api.sock') }
  }

  #nodeOf(node: string): LabNode {
    return this.#lab.nodes.find(({ name }) => name === node) as LabNode
  }

  /** The node's file. */
  configOf(node: string): string {
    return join(this.home, node, 'node.yaml')
  }

  /** Over which nodes hear each other. */
  get links(): number {
    return this.#lab.nodes.every(({ second }) => second !== undefined) ? 2 : 1
  }

  get hasShim(): boolean {
    return this.#shims.size > 0
  }

  api(node: string): Api {
    return this.#apis.get(node) as Api
  }

  /** Only on loopback does this process reach it. */
  apiAddress(node: string): { readonly host: string; readonly port: number } | undefined {
    const { address, apiPort } = this.#nodeOf(node)
    return this.#network === undefined ? { host: address, port: apiPort } : undefined
  }

  power(node: string): Power {
    return this.#lab.power.get(node) as Power
  }

  shim(node: string): Shim | undefined {
    return this.#shims.get(node)
  }

  ask(method: string, path: string, body?: unknown, first?: string): Promise<ApiAnswer> {
    const order = first === undefined ? this.names : [first, ...this.names.filter((name) => name !== first)]
    return askAny((node) => this.api(node), order, method, path, body)
  }

  async status(node?: string): Promise<Status> {
    if (node !== undefined) return (await this.api(node).call('GET', '/v1/status', undefined, { timeoutMs: 3_000 })).body as Status
    return (await this.ask('GET', '/v1/status')).body as Status
  }

  leader(): Promise<string | undefined> {
    return leaderOf(this.names.map((name) => this.api(name)))
  }

  /** The node that runs the service, by the service itself. */
  async holder(): Promise<string | undefined> {
    return (await this.askService(1_000))?.node
  }

  /** One request at the service's address, from the client's machine where there is one; undefined where nothing came. */
  askService(timeoutMs = 2_000): Promise<ServiceAnswer | undefined> {
    return this.#asker === undefined ? askAt(this.serviceAddress, this.servicePort, timeoutMs) : this.#asker.ask(timeoutMs)
  }

  async askAddress(timeoutMs: number): Promise<AddressAnswer | undefined> {
    const answer = await this.askService(timeoutMs)
    return answer === undefined ? undefined : { node: answer.node }
  }

  /** Processes of the node in this role, as this machine numbers them. */
  pids(node: string, role: Role): readonly number[] {
    return this.power(node).pidsIn(role)
  }

  async kill(node: string, role: Role): Promise<number> {
    return signal(this.pids(node, role), 'SIGKILL')
  }

  async restart(node: string, role: Role): Promise<number> {
    return signal(this.pids(node, role), role === 'monitor' ? 'SIGTERM' : 'SIGHUP')
  }

  async pause(node: string, role: Role): Promise<Undo> {
    const pids = this.pids(node, role)
    signal(pids, 'SIGSTOP')
    return async () => void signal(pids, 'SIGCONT')
  }

  /** All nodes are on this machine. */
  async burn(_node: string, programs: number): Promise<Undo> {
    const count = availableParallelism() * programs
    const busy = Array.from({ length: count }, () => spawn(process.execPath, ['-e', 'for(;;){}'], { stdio: 'ignore' }))
    return async () => void busy.map((child) => child.kill('SIGKILL'))
  }

  get noWrongClocks(): string | undefined {
    return this.hasShim ? undefined : 'wrong clocks need a C compiler'
  }

  async jumpClock(node: string, by: number): Promise<{ readonly by: number; readonly undo: Undo }> {
    this.shim(node)?.set({ clockOffsetMs: by })
    return { by, undo: async () => this.shim(node)?.set({ clockOffsetMs: undefined }) }
  }

  /** Descriptors pile up in a daemon. */
  grown(): readonly string[] {
    return this.names.flatMap((node) =>
      this.pids(node, 'daemon').flatMap((pid) => {
        try {
          const open = readdirSync(`/proc/${pid}/fd`).length
          return open > 200 ? [`the daemon of ${node} has ${open} open files when all is quiet`] : []
        } catch {
          return []
        }
      }),
    )
  }

  /** How the node's fence device behaves. */
  setDevice(node: string, mode: DeviceMode): void {
    const path = join(this.home, `device-${node}`)
    if (mode === 'honest') rmSync(path, { force: true })
    else writeFileSync(path, `${mode}\n`)
  }

  /** Whether the nodes’ clocks since their boot can be other ones than this machine’s. */
  get hasUptimes(): boolean {
    return this.arena === 'namespaces' && canShiftUptime()
  }

  /** What the node, once it is switched on anew, believes for how many seconds longer than this machine to be up. */
  setUptime(node: string, seconds: number): void {
    writeFileSync(uptimeFile(this.home, node), String(seconds))
    const shim = this.shim(node)
    if (shim !== undefined) shim.uptimeOffsetMs = seconds * 1_000
  }

  /** The nodes’ data lies on small file systems of their own. */
  get noFullDisks(): string | undefined {
    return process.getuid?.() === 0 ? undefined : 'file systems are mounted by root'
  }

  async fillDisk(node: string): Promise<number> {
    const path = this.#ballast(node)
    const left = statfsSync(dirname(path))
    const bytes = left.bavail * left.bsize
    try {
      writeFileSync(path, Buffer.alloc(bytes))
      appendFileSync(path, Buffer.alloc(left.bsize))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    }
    return bytes
  }

  async emptyDisk(node: string): Promise<void> {
    rmSync(this.#ballast(node), { force: true })
  }

  #ballast(node: string): string {
    return join(this.home, node, 'data', 'ballast')
  }

  /** A disk with nothing on it. The node is off. */
  newDisk(node: string): void {
    const data = join(this.home, node, 'data')
    for (const name of existsSync(data) ? readdirSync(data) : []) rmSync(join(data, name), { recursive: true, force: true })
    mkdirSync(data, { recursive: true })
  }

  /** With it a node that belongs no more is taken in again; without one it is not. The node is off. */
  async invite(node: string, through: string | undefined): Promise<void> {
    const { body } = await this.ask('POST', '/v1/members', { node }, through)
    const { invitation } = body as { readonly invitation?: string }
    if (invitation === undefined) return // Another of its members is there: it is expected as it is.
    const { word } = JSON.parse(Buffer.from(invitation, 'base64url').toString()) as { readonly word: string }
    const file = readFileSync(this.configOf(node), 'utf8').replace(/^ {2}invitation: .*\n/m, '')
    writeFileSync(this.configOf(node), `${file.trimEnd()}\n  invitation: ${word}\n`)
  }

  /** The program of this checkout takes the place of what the node runs, by `quorate upgrade`. Answers what that said. */
  async upgrade(node: string, timeoutMs: number): Promise<{ readonly done: boolean; readonly text: string }> {
    if (this.#isUpgradable) {
      const program = dirname(this.#mainOf(node))
      cpSync(join(projectRoot, 'dist/src'), `${program}.new`, { recursive: true, filter: (path) => !path.endsWith('.map') })
      renameSync(program, `${program}.old`)
      renameSync(`${program}.new`, program)
      rmSync(`${program}.old`, { recursive: true, force: true })
    }
    const { prefix = [] } = this.#nodeOf(node)
    const words = [...prefix, process.execPath, this.#mainOf(node), 'upgrade', '--config', this.configOf(node)]
    const told = await new Promise<{ done: boolean; text: string }>((resolve) => {
      execFile(words[0] as string, words.slice(1), { timeout: timeoutMs }, (error, stdout, stderr) =>
        resolve({ done: error === null, text: `${stdout}${stderr}`.trim() }),
      )
    })
    // Once every node knows them, they would hold.
    if (told.done && this.#isUpgradable) await this.#easeBrakes()
    return told
  }

  async members(): Promise<readonly Member[]> {
    const { members = [] } = (await this.ask('GET', '/v1/members')).body as { readonly members?: readonly Member[] }
    return members
  }

  /** Whether each of them has a vote, and nothing else: then one that is not among them may lose what it has. */
  async areVoters(nodes: readonly string[]): Promise<boolean> {
    const members = await this.members()
    return nodes.every((node) => {
      const own = members.filter((member) => member.node === node)
      return own.length === 1 && own[0]?.role === 'voter' && own[0].settled
    })
  }

  /** After it came as a new one: its devices as they were. */
  async fence(node: string): Promise<boolean> {
    return (await this.ask('PATCH', `/v1/nodes/${node}`, { fencing: this.#fencing(node) })).status === 200
  }

  /** Log segments of the node, the newest last. */
  logFiles(node: string): readonly string[] {
    const folder = join(this.home, node, 'data', 'log')
    if (!existsSync(folder)) return []
    return readdirSync(folder)
      .sort()
      .map((name) => join(folder, name))
  }

  async isWell(): Promise<string | undefined> {
    const seen = await Promise.all(this.names.map((name) => this.status(name)))
    const ill = illOf(this.names, seen, (await this.ask('GET', '/v1/cases')).body)
    if (ill !== undefined) return ill
    const group = seen[0]?.groups?.find(({ name }) => name === groupName)
    if (group?.state !== 'ONLINE') return `the group is ${group?.state}`
    return (await this.askService()) === undefined ? 'the service does not answer' : undefined
  }

  async calm(): Promise<readonly string[]> {
    const left: string[] = []
    await this.wires.clear().catch((error: Error) => left.push(`the wires: ${error.message}`))
    for (const node of this.names) {
      this.shim(node)?.clear()
      this.setDevice(node, 'honest')
      this.power(node).resume()
      if (!this.power(node).isOn()) await this.power(node).on()
    }
    return left
  }

  /** All of it goes in the end. */
  async tidy(): Promise<readonly string[]> {
    return []
  }

  async #configure({ profile, settings = {} }: ClusterOptions, nodes: readonly LabNode[]): Promise<void> {
    for (const name of this.names) await this.#must('PATCH', `/v1/nodes/${name}`, { fencing: this.#fencing(name) })
    // Nodes are lost without end here, and by no fault of the group.
    await this.#must('PATCH', '/v1/settings', { profile, fencingMax: 1_000, journalEvents: 100_000, ...settings })
    if (!(await this.#easeBrakes()) && !this.#isUpgradable) throw new Error('the brakes could not be eased')
    const apis = nodes.map((node) => `${node.name}=http://${node.address}:${node.apiPort}`).join()
    const service = join(projectRoot, 'jepsen-like/cluster')
    await this.#must('PUT', `/v1/groups/${groupName}`, {
      nodes: [...this.names],
      pingpongInterval: '1s',
      failover: { max: 0 },
      resources: {
        address: {
          type: 'logical-hostname',
          parameters: this.#network === undefined ? { address: this.serviceAddress } : { address: `${this.serviceAddress}/24`, device },
        },
        app: {
          type: 'command',
          parameters: {
            run: [
              '/bin/sh',
              join(service, 'service.sh'),
              join(this.home, 'service.lock'),
              this.journal,
              process.execPath,
              join(service, 'service.mjs'),
              this.serviceAddress,
              String(this.servicePort),
              apis,
              this.journal,
            ],
            readyHost: this.serviceAddress,
            readyPort: this.servicePort,
          },
          dependsOn: ['address'],
          probe: { interval: '2s', timeout: '5s' },
          stop: { timeout: '3s' },
          restart: { max: 1_000, window: '15m' },
        },
      },
    })
  }

  #fencing(node: string): Record<string, unknown> {
    const parameters = { node, socket: this.#lab.powerSocket }
    return { levels: [[{ agent: join(this.home, 'fence_chaos'), parameters, timeout: '8s' }]], then: 'on' }
  }

  /** Says the same when it is repeated, so an election meanwhile does no harm. */
  /** False where the program is of a version before there were brakes on causes, POISON and quarantine. */
  async #easeBrakes(): Promise<boolean> {
    const lenient = { causesMax: 1_000, poisonWindow: '0s', quarantineThreshold: 0 }
    return (await this.ask('PATCH', '/v1/settings', lenient)).status === 200
  }

  async #must(method: string, path: string, body: unknown): Promise<void> {
    await waitUntil(`${method} ${path}`, 30_000, async () => {
      const answer = await this.ask(method, path, body)
      if (answer.status >= 400 && answer.status < 500) throw new Error(`${method} ${path} was refused: ${JSON.stringify(answer.body)}`)
      return answer.status >= 200 && answer.status < 300
    })
  }

  /** Ends everything, once; what is left running in spite of it is answered, by node. */
  close(): Promise<readonly string[]> {
    this.#closing ??= this.#close()
    return this.#closing
  }
  #closing: Promise<readonly string[]> | undefined

  async #close(): Promise<readonly string[]> {
    for (const api of this.#apis.values()) api.close()
    this.#asker?.close()
    await this.#lab.close()
    const left = this.names.filter((name) => this.power(name).isOn()).map((name) => `processes of ${name}`)
    await this.wires.clear().catch(() => undefined)
    await this.#relay?.close()
    await this.#network?.close()
    unmountDisks(this.home, this.names)
    standing.delete(this)
    return left
  }

  /** What the nodes and the service wrote down, for whoever wants to know why. */
  keep(folder: string): void {
    mkdirSync(folder, { recursive: true })
    if (existsSync(this.journal)) copyFileSync(this.journal, join(folder, 'service.jsonl'))
    for (const name of this.names) {
      const log = join(this.home, name, 'log')
      if (existsSync(log)) cpSync(log, join(folder, name), { recursive: true })
      if (existsSync(join(this.home, name, 'guardian.log')))
        copyFileSync(join(this.home, name, 'guardian.log'), join(folder, name, 'power.log'))
    }
  }

  /** After `close`. */
  remove(): void {
    rmSync(this.home, { recursive: true, force: true })
  }
}

/** Asks from the client's network namespace. */
class Asker {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, (answer: ServiceAnswer | undefined) => void>()
  #next = 1

  constructor(prefix: readonly string[], host: string, port: number) {
    const [program, ...args] = [...prefix, process.execPath, join(here, 'asker.js'), host, String(port)]
    this.#child = spawn(program as string, args, { stdio: ['pipe', 'pipe', 'ignore'] })
    this.#child.stdin?.on('error', () => undefined)
    let text = ''
    this.#child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      const lines = text.split('\n')
      text = lines.pop() ?? ''
      for (const line of lines) {
        const { id, answer } = JSON.parse(line) as { readonly id: number; readonly answer: ServiceAnswer | null }
        this.#waiting.get(id)?.(answer ?? undefined)
      }
    })
  }

  ask(timeoutMs: number): Promise<ServiceAnswer | undefined> {
    const id = this.#next++
    return new Promise((resolve) => {
      // Its process may have ended; nobody waits for ever.
      const timer = setTimeout(() => this.#waiting.get(id)?.(undefined), timeoutMs + 1_000)
      this.#waiting.set(id, (answer) => {
        clearTimeout(timer)
        this.#waiting.delete(id)
        resolve(answer)
      })
      this.#child.stdin?.write(`${JSON.stringify({ id, timeoutMs })}\n`)
    })
  }

  close(): void {
    for (const resolve of this.#waiting.values()) resolve(undefined)
    this.#child.kill('SIGKILL')
  }
}

interface Made {
  readonly arena: Arena
  readonly nodes: readonly LabNode[]
  readonly lab: Lab
  readonly wires: Wires
  readonly shims: ReadonlyMap<string, Shim>
  readonly network: Network | undefined
  readonly relay: Relay | undefined
  readonly from: string | undefined
  readonly mainOf: (node: string) => string
  readonly home: string
  readonly run: string
  readonly serviceAddress: string
  readonly servicePort: number
}

async function make(options: ClusterOptions): Promise<Made> {
  const names = Array.from({ length: options.nodes }, (_, at) => `n${at + 1}`)
  const home = join(tmpdir(), `qc-${process.pid.toString(36)}-${Math.round(performance.now()).toString(36)}`)
  const run = join(home, 'run')
  mkdirSync(home, { recursive: true, mode: 0o711 })
  const library = buildShim(join(projectRoot, 'jepsen-like/cluster/shim.c'), home)
  if (library === undefined) options.say('no C compiler: no faulty disks and clocks, and what was not synced survives a loss of power')
  for (const name of names) mkdirSync(join(home, name, 'data'), { recursive: true })
  if (process.getuid?.() === 0) for (const name of names) mountDisk(join(home, name, 'data'))
  const shims = new Map<string, Shim>()
  for (const name of names) {
    if (library === undefined) continue
    shims.set(name, new Shim(library, join(home, name), join(home, name, 'data')))
  }
  const agent = join(home, 'fence_chaos')
  copyFileSync(join(projectRoot, 'jepsen-like/cluster/fence_chaos.sh'), agent)
  chmodSync(agent, 0o755)
  const links = options.links ?? 1
  const placed = options.arena === 'loopback' ? await onLoopback(names, options.wires ?? 'filter', links) : await inNamespaces(names, links)
  const shifts = options.arena === 'namespaces' && canShiftUptime()
  for (const [at, name] of names.entries()) {
    // From none to weeks.
    const seconds = shifts ? at * 777_777 : 0
    writeFileSync(uptimeFile(home, name), String(seconds))
    const shim = shims.get(name)
    if (shim !== undefined) shim.uptimeOffsetMs = seconds * 1_000
  }
  const mainOf = options.from === undefined ? () => options.main ?? mainScript : await copiesOf(options.from, home, names)
  const nodes = placed.nodes.map((node) => ({
    ...node,
    // The node's own processes only: agents and services get an environment of their own.
    prefix: [
      ...(node.prefix ?? []),
      ...(shifts ? ['/bin/sh', '-c', shiftUptime, uptimeFile(home, node.name)] : []),
      'env',
      ...Object.entries(shims.get(node.name)?.environment ?? {}).map(([name, value]) => `${name}=${value}`),
    ],
    reset: async () => {
      shims.get(node.name)?.losePower()
      await placed.network?.reset(node.name)
    },
  }))
  try {
    const lab = await makeLab({
      name: 'chaos',
      home,
      run,
      nodes,
      emergencyStop: options.emergencyStop ?? '2s',
      main: mainOf,
    })
    return { ...placed, arena: options.arena, nodes, lab, shims, home, run, from: options.from, mainOf }
  } catch (error) {
    unmountDisks(home, names)
    await placed.relay?.close()
    await placed.network?.close()
    throw error
  }
}

const uptimeFile = (home: string, node: string): string => join(home, node, 'uptime')

/** Runs what follows in a time namespace of its own; `$0` is the file that says how far its clocks since boot are ahead, in seconds. */
const shiftUptime = 'exec unshare --time --boottime "$(cat "$0")" --monotonic "$(cat "$0")" -- "$@"'

let shiftable: boolean | undefined
function canShiftUptime(): boolean {
  shiftable ??= spawnSync('unshare', ['--time', '--boottime', '1', '--monotonic', '1', '--', 'true'], { stdio: 'ignore' }).status === 0
  return shiftable
}

/** In memory, and much smaller than a disk: what fills it up is soon written. */
const smallDisk = '256m'

function mountDisk(path: string): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${smallDisk},mode=700`, 'quorate-chaos', path])
}

function unmountDisks(home: string, names: readonly string[]): void {
  for (const name of names) {
    const path = join(home, name, 'data')
    if (process.getuid?.() === 0 && existsSync(path)) spawnSync('umount', ['--lazy', path], { stdio: 'ignore' })
  }
}

/** A program for each node, copied from a checkout. */
async function copiesOf(from: string, home: string, names: readonly string[]): Promise<(node: string) => string> {
  for (const name of names) {
    const folder = join(home, `program-${name}`)
    mkdirSync(join(folder, 'dist'), { recursive: true })
    cpSync(join(from, 'dist/src'), join(folder, 'dist/src'), { recursive: true, filter: (path) => !path.endsWith('.map') })
    for (const file of ['package.json', 'agents'])
      if (existsSync(join(from, file))) cpSync(join(from, file), join(folder, file), { recursive: true })
    symlinkSync(join(projectRoot, 'node_modules'), join(folder, 'node_modules'))
  }
  return (node) => join(home, `program-${node}`, 'dist/src/main.js')
}

interface Placed {
  readonly nodes: readonly LabNode[]
  readonly wires: Wires
  readonly network: Network | undefined
  readonly relay: Relay | undefined
  readonly serviceAddress: string
  readonly servicePort: number
}

/** Addresses of its own for each run, so that several may run at once. */
async function onLoopback(names: readonly string[], wanted: 'filter' | 'relay', links: number): Promise<Placed> {
  const third = 2 * (process.pid % 120)
  const addresses = names.map((_, at) => `127.90.${third}.${at + 1}`)
  const seconds = links === 1 ? [] : names.map((_, at) => `127.91.${third}.${at + 1}`)
  const serviceAddress = `127.90.${third}.100`
  const port = await freePort([...addresses, ...seconds, ...addresses.map(frontOf)], 7_400)
  const guardianPort = await freePort([...addresses, ...seconds, ...addresses.map(frontOf)], port + 1)
  const apiPort = await freePort(addresses, guardianPort + 1)
  const servicePort = await freePort([serviceAddress], 8_080)
  const plain = names.map((name, at) => {
    const second = seconds[at]
    return { name, address: addresses[at] as string, ...(second === undefined ? {} : { second }), port, guardianPort, apiPort }
  })
  const common = { serviceAddress, servicePort, network: undefined }
  const table = `quorate_chaos_${process.pid}`
  if (process.getuid?.() === 0 && wanted === 'filter') {
    const wires = new Wires(loopbackCarrier(plain, table))
    try {
      await wires.clear()
      return { ...common, nodes: plain, wires, relay: undefined }
    } catch {
      // No packet filter here: the relay has to do.
    }
  }
  if (links > 1) throw new Error('a second link needs the packet filter: root, and --wires filter')
  const nodes = plain.map((node) => ({ ...node, front: frontOf(node.address) }))
  const relay = await openRelay(nodes)
  return { ...common, nodes, wires: new Wires(relayCarrier(relay, names)), relay }
}

async function inNamespaces(names: readonly string[], links: number): Promise<Placed> {
  const secondOf = (at: number): { readonly second?: string } => (links === 1 ? {} : { second: `10.86.0.${at + 1}` })
  const hosts = [
    ...names.map((name, at) => ({ name, address: `10.85.0.${at + 1}`, ...secondOf(at) })),
    { name: 'client', address: '10.85.0.90' },
  ]
  const network = await makeNetwork(`c${process.pid % 1_000_000}`, hosts)
  const macOf = (host: string): string =>
    `02:00:00:00:00:${(hosts.findIndex(({ name }) => name === host) + 1).toString(16).padStart(2, '0')}`
  const nodes = names.map((name, at) => ({
    name,
    address: `10.85.0.${at + 1}`,
    ...secondOf(at),
    port: 7_400,
    guardianPort: 7_401,
    apiPort: 7_480,
    prefix: network.prefix(name),
  }))
  return {
    nodes,
    wires: new Wires(namespaceCarrier(network, nodes, macOf, device)),
    network,
    relay: undefined,
    serviceAddress: '10.85.0.100',
    servicePort: 80,
  }
}

function signal(pids: readonly number[], name: NodeJS.Signals): number {
  let told = 0
  for (const pid of pids) {
    try {
      process.kill(pid, name)
      told++
    } catch {
      // It has ended by itself.
    }
  }
  return told
}

/** Where the compiled harness lies. */
export const here = dirname(fileURLToPath(import.meta.url))
