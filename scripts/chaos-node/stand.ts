/**
 * The stand: three real nodes on loopback, each with a watchdog that is stood in for and a fence device, and on the first of them
 * groups of every kind. It carries out blows, and looks at the node from outside: /proc, cgroups, the run folder, the journals.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  statSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BootId, NodeId } from '../../src/base/index.js'
import { openClock } from '../../src/io/clock/index.js'
import { identify, isAlive, openContainment, readStat, signalProcess } from '../../src/io/processes/index.js'
import { openRunFolder } from '../../src/io/run-folder/index.js'
import { type Answer, pause, request, waitFor } from '../lib/http.js'
import { freePort, type Lab, makeLab, projectRoot } from '../lib/lab.js'
import type { Power } from '../lib/power.js'
import { WatchdogStandIn } from '../lib/watchdog.js'
import type { Hit, Look, Note } from './judge.js'
import { type Action, type Blow, type Groups, roles } from './schedule.js'

export const names = ['n1', 'n2', 'n3'] as const
/** The one that is attacked. */
const target = 'n1'
/**
 * The profile `slow` with a lease that stops and hangs may outlast: a machine that does much else takes its time to start a daemon
 * again, and what is looked for here is not how fast a node is condemned.
 */
const lease = 12_000
const emergencyStop = 5_000
const watchdogTimeout = 1_500
/** How long the stand waits for something to be well that should be within seconds. */
const patience = 240_000
/** One that hangs is left to whoever should notice for so long, and then goes on. */
const hangMax = 20_000
/** How long a method is waited for that a blow is to meet. */
const agentPatience = 4_000
const lookEvery = 25

const script = join(projectRoot, 'scripts/chaos-node/service.sh')

/** The attacked groups: `chain` needs the agent Dummy of the package resource-agents; `stubborn` ends only when it is killed. */
export const groups: Groups = {
  all: ['kept', 'stubborn', 'pair', 'slow', 'chain'],
  withAgents: ['pair', 'slow', 'chain'],
  watched: ['pair', 'slow'],
}

type Definition = Readonly<Record<string, unknown>>

/** One agent that is hit is no failure: two of three probes are, or two that time out. */
const watch = (interval: string): Definition => ({
  probe: { interval, timeout: '4s', failAfter: { failures: 2, of: 3 }, timeouts: 2 },
  start: { timeout: '20s' },
  stop: { timeout: '3s' },
  restart: { max: 1000, window: '1s' },
})

function definitionOf(group: string, folder: string): Definition {
  const common = { nodes: [target], failoverMode: 'RESTART_ONLY' }
  const command = (parameters: Definition, more: Definition): Definition => ({ type: 'command', parameters, ...more })
  const kept = { run: [script, 'run', folder] }
  switch (group) {
    case 'kept':
      return { ...common, resources: { app: command(kept, watch('5s')) } }
    case 'stubborn':
      return { ...common, resources: { app: command({ run: [script, 'run-on', folder] }, watch('5s')) } }
    case 'pair':
    case 'slow': {
      const prefix = group === 'slow' ? 'slow-' : ''
      const methods = Object.fromEntries(['start', 'stop', 'probe'].map((method) => [method, [script, `${prefix}${method}`, folder]]))
      return { ...common, resources: { app: command(methods, watch('1s')) } }
    }
    default: {
      const state = { type: 'ocf:heartbeat:Dummy', parameters: { state: join(folder, 'state') }, ...watch('1s') }
      return { ...common, resources: { state, app: command(kept, { ...watch('5s'), dependsOn: ['state'] }) } }
    }
  }
}

export class Stand {
  readonly #lab: Lab
  readonly #home: string
  readonly #clock = openClock()
  readonly #watchdogs: readonly WatchdogStandIn[]
  readonly #power: Power
  readonly #run: ReturnType<typeof openRunFolder>
  readonly #cells: ReturnType<typeof openContainment>
  readonly #looking: NodeJS.Timeout
  readonly looks: Look[] = []
  readonly hits: Hit[] = []
  /** Of hangs: how many somebody ended, and whom nobody did. */
  readonly hangs: Record<string, { ended: number; left: number }> = {}
  readonly #files = new Map<string, Note[]>([['chain-state', []]])
  readonly emergencyStop = emergencyStop

  /** Those that stand: whoever is interrupted still ends them. */
  static readonly standing = new Set<Stand>()

  static async raise(third: number): Promise<Stand> {
    const home = mkdtempSync(join(tmpdir(), 'quorate-chaos-node-'))
    const addresses = names.map((_, at) => `127.85.${third}.${at + 1}`)
    const port = await freePort(addresses, 7_400)
    const guardianPort = await freePort(addresses, port + 1)
    const apiPort = await freePort(addresses, guardianPort + 1)
    const nodes = names.map((name, at) => ({ name, address: addresses[at] as string, port, guardianPort, apiPort }))
    const watchdog = (node: string): string => join(home, `watchdog-${node}`)
    let stand: Stand | undefined
    // A fence device that switches it off is as much a loss of power as its watchdog.
    const onPower = (node: string, action: string): void => {
      if (node === target && action === 'off') stand?.lostPower()
    }
    // What the agent Dummy leaves lies where a machine forgets it with its power.
    const reset = async (): Promise<void> => rmSync(join(home, 'services/chain/state'), { force: true })
    const attacked = nodes.map((node) => (node.name === target ? { ...node, reset } : node))
    const options = { name: 'chaos', home, run: join(home, 'run'), emergencyStop: `${emergencyStop}ms` }
    const lab = await makeLab({ ...options, nodes: attacked, watchdog, onPower })
    stand = new Stand(lab, home)
    try {
      await Promise.all([...lab.power.values()].map((supply) => supply.on()))
      await stand.#configure()
      return stand
    } catch (error) {
      await stand.close()
      throw error
    }
  }

  private constructor(lab: Lab, home: string) {
    Stand.standing.add(this)
    this.#lab = lab
    this.#home = home
    this.#power = lab.power.get(target) as Power
    this.#run = openRunFolder(join(lab.run, target))
    this.#cells = openContainment({ preference: 'auto', key: this.#run.key, node: target as NodeId })
    // It resets its node as a device does: off in one blow and on again.
    this.#watchdogs = [...lab.power].map(([node, supply]) => {
      const reset = (): void => {
        if (node === target) this.lostPower()
        if (supply.isOn()) void supply.off().then(() => supply.on())
      }
      return new WatchdogStandIn(join(home, `watchdog-${node}`), watchdogTimeout, reset)
    })
    for (const group of groups.all) mkdirSync(join(home, 'services', group), { recursive: true })
    this.#looking = setInterval(() => this.#look(), lookEvery)
  }

  lostPower(): void {
    this.#hit(0, { kind: 'power', group: undefined, method: undefined })
  }

  get containment(): string {
    return this.#cells.place.kind
  }

  async #configure(): Promise<void> {
    await waitFor('the cluster to form', patience, async () => {
      const { body } = await this.api('GET', '/v1/status')
      return body.quorate === true && (body.nodes as readonly unknown[]).length === names.length
    })
    for (const name of names) await this.#set('PATCH', `/v1/nodes/${name}`, { fencing: this.#lab.fencing(name) })
    await this.#set('PATCH', '/v1/settings', { profile: 'slow', lease, fencingMax: 1000, quarantineThreshold: 0 })
    for (const group of groups.all) await this.#set('PUT', `/v1/groups/${group}`, definitionOf(group, this.#folder(group)))
  }

  #folder(group: string): string {
    return join(this.#home, 'services', group)
  }

  #set(method: string, path: string, body: unknown): Promise<void> {
    return waitFor(`${method} ${path}`, patience, async () => {
      const answer = await this.api(method, path, body)
      if (answer.status >= 400 && answer.status < 500) throw new Error(`${method} ${path}: ${JSON.stringify(answer.body)}`)
      return answer.status >= 200 && answer.status < 300
    })
  }

  /** At a node that is left alone. */
  async api(method: string, path: string, body?: unknown): Promise<Answer> {
    const answer = await request(this.#lab.url('n2'), method, path, body, { timeoutMs: 10_000 })
    return answer.status !== 0 && answer.status !== 503 ? answer : request(this.#lab.url('n3'), method, path, body, { timeoutMs: 10_000 })
  }

  // Looking.

  #look(): void {
    const boot = this.#boot()
    const at = this.#clock.boot()
    const running = groups.all.filter((group) => this.#runs(group))
    this.looks.push({ at, running, deadline: this.#run.readDeadline(boot) })
    const state = statSync(join(this.#folder('chain'), 'state'), { throwIfNoEntry: false })
    if (state === undefined) return
    // Not when it was written last: a start makes it first, and fills it a moment later.
    const run = `${state.ino} ${state.birthtimeMs}`
    const notes = this.#files.get('chain-state') as Note[]
    if (notes.at(-1)?.run !== run) notes.push({ at, what: 'start', run, token: 0 })
    // One note for all looks that saw the same: the last of them.
    else if (notes.at(-1)?.what === 'beat') notes[notes.length - 1] = { at, what: 'beat', run, token: 0 }
    else notes.push({ at, what: 'beat', run, token: 0 })
  }

  #boot(): BootId {
    return (existsSync(this.#power.bootIdFile) ? readFileSync(this.#power.bootIdFile, 'utf8').trim() : 'none') as BootId
  }

  #runs(group: string): boolean {
    if (group === 'chain' && existsSync(join(this.#folder(group), 'state'))) return true
    return this.#cell(group).pids('service').some(isRunning)
  }

  #cell(group: string) {
    return this.#cells.cell(`${group}@app`, { QUORATE_GROUP: group, QUORATE_RESOURCE: 'app' })
  }

  journals(): ReadonlyMap<string, readonly Note[]> {
    const own = groups.all.map((group) => [group, readNotes(join(this.#folder(group), 'journal'))] as const)
    // Of the group `chain` both are judged: the state of its agent and the process that depends on it.
    return new Map([...own, ...this.#files])
  }

  // Waiting.

  /** Everything of the node is there, and every service has noted something in the last second. */
  async well(): Promise<void> {
    await waitFor('the node to be well', patience, async () => {
      if (!roles.every((role) => this.#power.pidsIn(role).filter(isRunning).length === 1) || !this.#holdsLease()) return false
      // It answers itself: a new daemon that only comes up is not there yet.
      if ((await request(this.#lab.url(target), 'GET', '/v1/status')).body.quorate !== true) return false
      const { body } = await this.api('GET', '/v1/status')
      const known = body.groups as readonly { readonly name: string; readonly state: string }[] | undefined
      const nodes = body.nodes as readonly { readonly state: string }[] | undefined
      if (nodes?.every(({ state }) => state === 'ONLINE') !== true || known === undefined) return false
      return known.every(({ state }) => state === 'ONLINE') && groups.all.every((group) => this.#isFresh(group))
    })
  }

  #holdsLease(): boolean {
    return this.#run.readDeadline(this.#boot()) - this.#clock.boot() > 1_500
  }

  #isFresh(group: string): boolean {
    const last = lastNote(join(this.#folder(group), 'journal'))
    const stands = group !== 'chain' || existsSync(join(this.#folder(group), 'state'))
    return stands && last !== undefined && last.what !== 'stop' && this.#clock.boot() - last.at < 1_500
  }

  /** What the cluster says of everything, for whoever has to find out why it was not well. */
  async told(): Promise<unknown> {
    const [status, cases, decisions] = await Promise.all(['/v1/status', '/v1/cases', '/v1/decisions'].map((path) => this.api('GET', path)))
    const processes = roles.map((role) => `${role}: ${this.#power.pidsIn(role).map((pid) => `${pid} ${readStat(pid)?.state}`)}`)
    return { processes, status: status?.body, cases: cases?.body, decisions: JSON.stringify(decisions?.body).slice(0, 4_000) }
  }

  // Blows.

  /** What each blow met, in words. */
  async carryOut(action: Action): Promise<readonly string[]> {
    return Promise.all(
      action.blows.map(async (blow) => {
        await pause(blow.after)
        return this.#strike(action.number, blow)
      }),
    )
  }

  async #strike(action: number, blow: Blow): Promise<string> {
    const { target: whom, group } = blow
    if (whom === 'service' && group === 'chain' && blow.how !== 'stop') {
      this.#hit(action, { kind: 'service', group: 'chain-state', method: undefined })
      this.#hit(action, { kind: 'service', group: 'chain', method: undefined })
      rmSync(join(this.#folder('chain'), 'state'), { force: true })
      return 'its state is gone'
    }
    const met = whom === 'agent' ? await this.#inFlight(group as string) : this.#pidOf(whom, group)
    const identity = met === undefined ? undefined : identify(met.pid)
    if (met === undefined || identity === undefined) return 'nobody was there'
    if (whom === 'agent') this.#hit(action, { kind: 'agent', group, method: met.method })
    if (whom === 'service') this.#hit(action, { kind: 'service', group, method: undefined })
    const what = `${met.method ?? whom} ${met.pid}`
    if (!signalProcess(identity, blow.how === 'kill' ? 'SIGKILL' : 'SIGSTOP')) return `${what} had just ended`
    if (blow.how === 'stop') {
      await pause(blow.ms)
      signalProcess(identity, 'SIGCONT')
    }
    if (blow.how !== 'hang') return what
    const end = Date.now() + hangMax
    while (isAlive(identity) && Date.now() < end) await pause(50)
    const ended = !isAlive(identity)
    const before = this.hangs[whom] ?? { ended: 0, left: 0 }
    this.hangs[whom] = { ended: before.ended + (ended ? 1 : 0), left: before.left + (ended ? 0 : 1) }
    signalProcess(identity, 'SIGCONT')
    return `${what}, which ${ended ? 'somebody ended' : 'nobody ended'}`
  }

  #hit(action: number, hit: Omit<Hit, 'at' | 'action'>): void {
    this.hits.push({ at: this.#clock.boot(), action, ...hit })
    // What the state of the agent was hit for, the process that depends on it is restarted for.
    if (hit.group === 'chain' && hit.kind === 'agent') this.hits.push({ at: this.#clock.boot(), action, ...hit, group: 'chain-state' })
  }

  #pidOf(whom: Blow['target'], group: string | undefined): { readonly pid: number; readonly method: undefined } | undefined {
    const pids = whom === 'service' ? this.#cell(group as string).pids('service') : this.#power.pidsIn(whom as (typeof roles)[number])
    const pid = whom === 'service' ? pids.find((one) => commandOf(one).match(/service\.sh run/) !== null) : pids[0]
    return pid === undefined ? undefined : { pid, method: undefined }
  }

  /** A probe, start or stop of the group that runs at this moment, waited for. */
  async #inFlight(group: string): Promise<{ readonly pid: number; readonly method: string } | undefined> {
    const resource = group === 'chain' ? 'state' : 'app'
    const cell = this.#cells.cell(`${group}@${resource}`, { QUORATE_GROUP: group, QUORATE_RESOURCE: resource })
    const end = Date.now() + agentPatience
    while (Date.now() < end) {
      for (const pid of cell.pids()) {
        const method = methodOf(pid)
        const isService = /service\.sh run|^sleep 0\.1 /.test(commandOf(pid))
        if (method !== undefined && !isService && readStat(pid)?.processGroup === pid) return { pid, method }
      }
      await pause(5)
    }
    return undefined
  }

  // Counting.

  /** What a node uses that could pile up. */
  counts(): Readonly<Record<string, number>> {
    const found: Record<string, number> = {}
    for (const name of names) {
      const supply = this.#lab.power.get(name) as Power
      for (const role of roles) {
        const pid = supply.pidsIn(role)[0]
        const links = pid === undefined ? [] : linksOf(pid)
        found[`${name} ${role} files`] = links.length
        found[`${name} ${role} sockets`] = links.filter((link) => link.startsWith('socket:')).length
      }
      found[`${name} processes`] = supply.pids().filter(isRunning).length
      found[`${name} run folder`] = filesBelow(join(this.#lab.run, name)).length
      found[`${name} logs`] = filesBelow(join(this.#lab.home, name, 'log')).length
    }
    found['n1 half-written files'] = filesBelow(join(this.#lab.run, target)).filter((path) => path.endsWith('.new')).length
    found['n1 cgroups'] = this.#cells.place.kind === 'sweep' ? 0 : foldersBelow(this.#cells.place.root)
    return found
  }

  /** Lines of the node's own logs, the last of each. */
  logs(): Readonly<Record<string, string>> {
    const folder = join(this.#lab.home, target)
    const files = [join(folder, 'guardian.log'), ...['daemon', 'monitor'].map((role) => join(folder, 'log', `${role}.log`))]
    return Object.fromEntries(files.map((path) => [path, existsSync(path) ? readFileSync(path, 'utf8').slice(-6_000) : '']))
  }

  async close(): Promise<void> {
    Stand.standing.delete(this)
    clearInterval(this.#looking)
    for (const watchdog of this.#watchdogs) watchdog.end()
    await this.#lab.close()
    this.#cells.remove()
    this.#clock.close()
    rmSync(this.#home, { recursive: true, force: true })
  }

  /** Processes of the node that are left once all its power is off. */
  left(): readonly number[] {
    return names.flatMap((name) => (this.#lab.power.get(name) as Power).pids())
  }

  off(): Promise<unknown> {
    return Promise.all([...this.#lab.power.values()].map((supply) => supply.off()))
  }
}

function isRunning(pid: number): boolean {
  const state = readStat(pid)?.state
  return state !== undefined && state !== 'Z' && state !== 'X'
}

function commandOf(pid: number): string {
  try {
    return `${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')} `
  } catch {
    return ''
  }
}

function methodOf(pid: number): string | undefined {
  try {
    return /(?:^|\0)QUORATE_METHOD=([a-z]+)/.exec(readFileSync(`/proc/${pid}/environ`, 'latin1'))?.[1]
  } catch {
    return undefined
  }
}

function linksOf(pid: number): readonly string[] {
  try {
    const folder = `/proc/${pid}/fd`
    return readdirSync(folder).flatMap((fd) => linkOf(join(folder, fd)))
  } catch {
    return []
  }
}

function linkOf(path: string): readonly string[] {
  try {
    return [readlinkSync(path)]
  } catch {
    return [] // It was closed meanwhile.
  }
}

function filesBelow(folder: string): readonly string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
}

function foldersBelow(folder: string): number {
  if (!existsSync(folder)) return 0
  return readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isDirectory()).length
}

function readNotes(path: string): readonly Note[] {
  if (!existsSync(path)) return []
  return readFileSync(path, 'utf8').split('\n').flatMap(readNote)
}

function lastNote(path: string): Note | undefined {
  if (!existsSync(path)) return undefined
  const size = statSync(path).size
  const file = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(Math.min(size, 200))
    readSync(file, bytes, 0, bytes.length, size - bytes.length)
    return bytes.toString('latin1').split('\n').slice(1).flatMap(readNote).at(-1)
  } finally {
    closeSync(file)
  }
}

/** None of half a line: its writer was killed. */
function readNote(line: string): readonly Note[] {
  const match = /^(\d+\.\d\d) (start|beat|stop) (\d+) (\d+)$/.exec(line)
  if (match === null) return []
  const [, at, what, run, token] = match as unknown as [string, string, Note['what'], string, string]
  return [{ at: Math.round(Number(at) * 1_000), what, run, token: Number(token) }]
}
