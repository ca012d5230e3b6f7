/**
 * A cluster of somebody else's, whose hosts are reached by commands (ssh, or any template). Nothing of it is raised, set up or removed.
 *
 * Faults are the scripts of scripts/chaos: each takes itself back on the host after a time, also when the way there is lost. What is in
 * force is remembered until it has been taken back.
 */
import { spawn } from 'node:child_process'
import { request } from 'node:http'
import { join } from 'node:path'
import { projectRoot } from '../../scripts/lib/lab.js'
import { type Api, type ApiAnswer, HttpApi } from './api.js'
import { askAt, type ServiceAnswer } from './asker.js'
import { type AddressAnswer, askAny, type Cluster, illOf, leaderOf, pause, type Role, type Status, standing, type Undo } from './cluster.js'
import type { HostNode, HostsFile } from './hosts-file.js'
import { TunnelApi } from './tunnel.js'
import { type Carrier, type Shapes, Wires } from './wires.js'

/** After so many seconds a fault takes itself back; longer than any is planned to last. */
const holdMax = 45
/** A command on a host may take so long, in milliseconds. */
const commandMax = 25_000
/** The first one, which may have to open the way. */
const greetMax = 75_000
/** How long a cluster is waited for that is not well at first, in milliseconds. */
const wellMax = 60_000
/** Other programs of the host see its clock too. In seconds. */
const clockMax = 3_600

interface InForce {
  readonly node: string
  readonly script: string
  readonly args: readonly string[]
  /** By when it has taken itself back. */
  readonly until: number
}

export class HostsCluster implements Cluster {
  readonly names: readonly string[]
  readonly group: string | undefined
  readonly prefix: string
  readonly wires: Wires
  readonly own = undefined
  readonly hasJournalService: boolean
  readonly hasAddress: boolean
  readonly noFullDisks = undefined
  readonly noWrongClocks = undefined
  readonly journal: string | undefined
  readonly #file: HostsFile
  readonly #apis: ReadonlyMap<string, Api>
  readonly #inForce = new Map<string, InForce>()
  #firstRevision = 0

  /** `prefix`: new for each run. */
  private constructor(file: HostsFile, prefix: string) {
    const { service } = file
    this.#file = file
    this.names = file.nodes.map(({ name }) => name)
    this.group = file.group
    this.prefix = prefix
    this.hasAddress = service !== undefined
    this.hasJournalService = service !== undefined && service.journal !== false
    this.journal = typeof service?.journal === 'string' ? service.journal : undefined
    this.wires = new Wires(this.#carrier())
    this.#apis = new Map(
      file.nodes.map((node) => [
        node.name,
        node.api === undefined ? new TunnelApi(node.way, node.socket, file.node) : new HttpApi(apiPlace(node.api)),
      ]),
    )
    standing.add(this)
  }

  /**
   * Throws unless it is the cluster that is meant, all of it is named, and it is well. `confirm` is told the cluster's name, and says
   * what is wrong with it.
   */
  static async open(file: HostsFile, prefix: string, confirm: (name: string) => Promise<string | undefined>): Promise<HostsCluster> {
    const cluster = new HostsCluster(file, prefix)
    try {
      await cluster.#check(confirm)
      return cluster
    } catch (error) {
      await cluster.close()
      throw error
    }
  }

  async #check(confirm: (name: string) => Promise<string | undefined>): Promise<void> {
    const answers = await Promise.all(this.#file.nodes.map((node) => this.#greet(node)))
    const answer = answers[0] as ApiAnswer
    const { name = '', nodes = [], groups = [] } = answer.body as Status
    const wrong = await confirm(name)
    if (wrong !== undefined) throw new Error(wrong)
    const known = new Set(nodes.map((node) => node.name))
    const strange = this.names.filter((node) => !known.has(node))
    const missing = [...known].filter((node) => !this.names.includes(node))
    if (strange.length + missing.length > 0)
      throw new Error(
        `the file must name all nodes of the cluster: ${[...strange.map((node) => `there is no ${node}`), ...missing.map((node) => `${node} is missing`)].join(', ')}`,
      )
    if (this.group !== undefined && !groups.some((group) => group.name === this.group))
      throw new Error(`there is no group ${this.group}, only ${groups.map((group) => group.name).join(', ') || 'none at all'}`)
    // One bad moment is none yet.
    let ill = await this.isWell()
    for (const end = performance.now() + wellMax; ill !== undefined && performance.now() < end; ill = await this.isWell())
      await pause(1_000)
    if (ill !== undefined) throw new Error(`the cluster is not well, so nothing is broken in it: ${ill}`)
    this.#firstRevision = Number(answer.headers['quorate-index'] ?? 0)
  }

  /** Its host, and its API. */
  async #greet(node: HostNode): Promise<ApiAnswer> {
    const said = await run([...node.way, 'echo reached'], greetMax).catch((error: Error) => error.message)
    if (!said.includes('reached')) throw new Error(`${node.name}: its host is not reached by \`${node.way.join(' ')}\`: ${said}`)
    const answer = await this.api(node.name).call('GET', '/v1/status', undefined, { timeoutMs: greetMax })
    if (answer.status === 200) return answer
    throw new Error(
      answer.status !== 0
        ? `${node.name}: its API says ${answer.status} ${answer.body.detail ?? ''}`
        : node.api === undefined
          ? `${node.name}: its API does not answer at ${node.socket} on its host, asked there by \`${this.#file.node}\`: see \`socket\`, \`node\` and \`api\``
          : `${node.name}: its API does not answer at ${node.api.origin}: see \`api\``,
    )
  }

  get firstRevision(): number {
    return this.#firstRevision
  }

  api(node: string): Api {
    return this.#apis.get(node) as Api
  }

  apiAddress(node: string): { readonly host: string; readonly port: number } | undefined {
    const { api } = this.#node(node)
    return api === undefined ? undefined : apiPlace(api)
  }

  ask(method: string, path: string, body?: unknown, first?: string): Promise<ApiAnswer> {
    const order = first === undefined ? this.names : [first, ...this.names.filter((name) => name !== first)]
    return askAny((node) => this.api(node), order, method, path, body)
  }

  leader(): Promise<string | undefined> {
    return leaderOf(this.names.map((name) => this.api(name)))
  }

  async holder(): Promise<string | undefined> {
    const { groups = [] } = (await this.ask('GET', '/v1/status')).body as Status
    return groups.find(({ name }) => name === this.group)?.holders[0]?.node
  }

  async askService(timeoutMs = 2_000): Promise<ServiceAnswer | undefined> {
    const { service } = this.#file
    if (service === undefined) return undefined
    const answer = await askAt(service.url.hostname, Number(service.url.port || 80), timeoutMs)
    return typeof answer?.token === 'number' && typeof answer.count === 'number' ? answer : undefined
  }

  /** Whoever stands before a service and says that it is gone (5xx) is not the service. */
  askAddress(timeoutMs: number): Promise<AddressAnswer | undefined> {
    const { service } = this.#file
    if (service === undefined) return Promise.resolve(undefined)
    const { url, who } = service
    return new Promise((resolve) => {
      const done = (answer: AddressAnswer | undefined): void => {
        clearTimeout(timer)
        resolve(answer)
      }
      const asked = request(url, { agent: false }, (incoming) => {
        let text = ''
        incoming.setEncoding('utf8')
        incoming.on('data', (chunk: string) => {
          text = (text + chunk).slice(0, 100_000)
        })
        incoming.on('error', () => done(undefined))
        incoming.on('end', () => {
          const said = who === undefined ? undefined : 'header' in who ? incoming.headers[who.header] : fieldOf(text, who.json)
          done((incoming.statusCode ?? 500) >= 500 ? undefined : { node: typeof said === 'string' ? said : null })
        })
      })
      const timer = setTimeout(() => asked.destroy(), timeoutMs)
      asked.on('error', () => done(undefined))
      asked.end()
    })
  }

  async isWell(): Promise<string | undefined> {
    const ask = (path: string) => (name: string) => this.api(name).call('GET', path, undefined, { timeoutMs: 8_000 })
    const answers = await Promise.all(this.names.map(ask('/v1/status')))
    const silent = answers.findIndex(({ status }) => status === 0)
    if (silent >= 0) return `${this.names[silent]} does not answer`
    const seen = answers.map(({ body }) => body as Status)
    const ill = illOf(this.names, seen, (await this.ask('GET', '/v1/cases')).body)
    if (ill !== undefined) return ill
    const group = seen[0]?.groups?.find(({ state, intent }) => state !== (intent ?? 'ONLINE'))
    if (group !== undefined) return `the group ${group.name} is ${group.state}`
    return this.hasAddress && (await this.askAddress(2_000)) === undefined ? 'the service does not answer at its address' : undefined
  }

  async kill(node: string, role: Role): Promise<number> {
    return this.#signal(node, role, 'KILL')
  }

  async restart(node: string, role: Role): Promise<number> {
    return this.#signal(node, role, role === 'monitor' ? 'TERM' : 'HUP')
  }

  async #signal(node: string, role: Role, signal: string): Promise<number> {
    try {
      const said = await this.#script('kill-process', node, ['--role', role, '--signal', signal])
      return /pid ([\d\s]+)$/.exec(said)?.[1]?.trim().split(/\s+/).length ?? 0
    } catch (error) {
      // Where the host is reached, it was just not there.
      await this.#onHost(this.#node(node), 'true')
      if (!/was found/.test((error as Error).message)) throw error
      return 0
    }
  }

  pause(node: string, role: Role): Promise<Undo> {
    return this.#begin(node, 'pause-process', ['--role', role], [])
  }

  async fillDisk(node: string): Promise<undefined> {
    await this.#begin(node, 'fill-disk', ['--data', this.#node(node).data], [])
  }

  emptyDisk(node: string): Promise<void> {
    return this.#end(keyOf(node, 'fill-disk', ['--data', this.#node(node).data]))
  }

  /** At most by an hour, in whole seconds. */
  async jumpClock(node: string, by: number): Promise<{ readonly by: number; readonly undo: Undo }> {
    const seconds = Math.sign(by) * Math.max(1, Math.min(clockMax, Math.round(Math.abs(by) / 1_000)))
    return { by: seconds * 1_000, undo: await this.#begin(node, 'jump-clock', [], ['--by', String(seconds)]) }
  }

  burn(node: string, programs: number): Promise<Undo> {
    return this.#begin(node, 'burn-cpu', [], ['--programs', String(programs)])
  }

  /** At once what can be; in the end, what cannot is waited for until it has taken itself back. */
  async calm(isLast = false): Promise<readonly string[]> {
    const left: string[] = []
    await this.wires.clear().catch(() => undefined)
    await Promise.all(
      [...this.#inForce.entries()].map(async ([key, { node, script, until }]) => {
        for (;;) {
          try {
            return await this.#end(key)
          } catch (error) {
            if (!isLast || performance.now() > until + 15_000)
              return void left.push(
                `${node}: ${script} could not be taken back (${(error as Error).message}); it ends by itself ${holdMax} s after it began, unless the host has lost it`,
              )
          }
          await pause(2_000)
        }
      }),
    )
    return left
  }

  async tidy(): Promise<readonly string[]> {
    const left: string[] = []
    for (let clean = 0, tries = 0; clean < 2; tries++) {
      const listed = await this.ask('GET', `/v1/store?prefix=${encodeURIComponent(`${this.prefix}/`)}&limit=500`)
      const items = (listed.body.items ?? []) as readonly { readonly key: string }[]
      if (listed.status === 200 && items.length === 0) clean++
      else if (tries > 2_000 || (listed.status !== 200 && tries > 20)) {
        left.push(`keys below ${this.prefix}/ in the store (${listed.status}): quorate store, or DELETE /v1/store/…`)
        break
      } else if (items.length > 0) {
        clean = 0
        tries +=
          (await this.ask('POST', '/v1/store', { operations: items.map(({ key }) => ({ kind: 'delete', key })) })).status === 200 ? 0 : 100
      }
      if (items.length === 0) await pause(300)
    }
    for (const node of this.names) {
      const { body } = await this.ask('GET', `/v1/nodes/${node}`)
      if ((body.attributes as Readonly<Record<string, string>> | undefined)?.[this.prefix] === undefined) continue
      const { status } = await this.ask('PATCH', `/v1/nodes/${node}`, { attributes: { [this.prefix]: null } })
      if (status !== 200) left.push(`the attribute ${this.prefix} of ${node} (${status})`)
    }
    return left
  }

  grown(): readonly string[] {
    return []
  }

  keep(): void {
    // Their logs stay where they are.
  }

  async close(): Promise<readonly string[]> {
    const left = await this.calm(true)
    for (const api of this.#apis.values()) api.close()
    standing.delete(this)
    return left
  }

  remove(): void {
    // It is not ours.
  }

  #node(name: string): HostNode {
    return this.#file.nodes.find((node) => node.name === name) as HostNode
  }

  /** `args` name it, also when it is taken back; `more` are only for its beginning. */
  async #begin(node: string, script: string, args: readonly string[], more: readonly string[]): Promise<Undo> {
    const key = keyOf(node, script, args)
    // Before it is begun: of what broke off, nobody knows whether it is in force.
    this.#inForce.set(key, { node, script, args, until: performance.now() + commandMax + holdMax * 1_000 })
    await this.#script(script, node, [...args, ...more, '--for', String(holdMax)])
    return () => this.#end(key)
  }

  async #end(key: string): Promise<void> {
    const known = this.#inForce.get(key)
    if (known === undefined) return
    const { node, script, args, until } = known
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#script(script, node, [...args, '--undo'])
        break
      } catch (error) {
        // When the host is there, and its time is over or nothing of it was found, it has been taken back.
        const isOver = performance.now() > until || nothingFound.test((error as Error).message)
        if (isOver && (await this.#onHost(this.#node(node), 'true').catch(() => undefined)) !== undefined) break
        if (attempt === 3) throw error
        await pause(700)
      }
    }
    if (this.#inForce.get(key) === known) this.#inForce.delete(key)
  }

  /** Each host drops what comes in from some of the others. */
  #carrier(): Carrier {
    const before = new Map<string, string>()
    const apply = async (shapes: Shapes, to: string): Promise<void> => {
      const at = (from: string): number => shapes.get(`${from}>${to}`)?.loss ?? 0
      const lossy = this.names.filter((from) => from !== to && at(from) > 0 && at(from) < 100)
      const wanted: readonly (readonly [script: string, from: readonly string[], more: readonly string[]])[] = [
        ['cut-link', this.names.filter((from) => from !== to && at(from) >= 100), []],
        ['lose-packets', lossy, ['--percent', String(Math.round(Math.max(0, ...lossy.map(at))))]],
      ]
      for (const [script, from, more] of wanted) {
        const name = `${script} ${to}`
        const words = from.length === 0 ? '' : [...from, ...more].join(' ')
        if ((before.get(name) ?? '') === words) continue
        // Until it has succeeded, nobody knows what is in force.
        before.set(name, 'unknown')
        if (from.length === 0) await this.#end(keyOf(to, script, []))
        else {
          const { ports } = this.#node(to)
          const peers = from.flatMap((other) => this.#node(other).links).join(',')
          const direction = script === 'cut-link' ? ['--direction', 'in'] : []
          await this.#begin(to, script, [], [...direction, '--peer', peers, '--ports', ports, ...more])
        }
        before.set(name, words)
      }
    }
    const lacksLinks = this.#file.nodes.some(({ links }) => links.length === 0)
    return {
      canDelay: false,
      isQuick: false,
      ...(lacksLinks ? { lacks: 'the file does not say by which addresses the nodes hear each other (`link`)' } : {}),
      apply: async (shapes) => {
        const done = await Promise.allSettled(this.names.map((to) => apply(shapes, to)))
        for (const one of done) if (one.status === 'rejected') throw one.reason
      },
    }
  }

  #script(script: string, node: string, args: readonly string[]): Promise<string> {
    const { way, config } = this.#node(node)
    return run([join(projectRoot, 'scripts/chaos', script), node, '--on', way.join(' '), '--config', config, ...args])
  }

  #onHost({ way }: HostNode, shell: string): Promise<string> {
    return run([...way, shell])
  }
}

/** What scripts say where there is nothing to be taken back. */
const nothingFound = /was not set wrong by this script|was found$/

const keyOf = (node: string, script: string, args: readonly string[]): string => [script, node, ...args].join(' ')

function apiPlace(url: URL): { readonly host: string; readonly port: number } {
  return { host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(url.port || 80) }
}

function fieldOf(text: string, name: string): unknown {
  try {
    return (JSON.parse(text) as Readonly<Record<string, unknown>> | null)?.[name]
  } catch {
    return undefined
  }
}

/** What it said; rejects with what it complained of. In a group of its own: a Ctrl-C for the harness must not end an undo. */
function run([program, ...args]: readonly string[], most = commandMax): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program as string, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    let [said, complained] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complained += text
    })
    const timer = setTimeout(() => {
      complained += ` no end after ${most / 1_000} s`
      try {
        process.kill(-(child.pid as number), 'SIGKILL')
      } catch {
        // It has just ended.
      }
    }, most)
    child.once('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    const over = (): void => {
      clearTimeout(timer)
      if (child.exitCode === 0) resolve(said.trim())
      else reject(new Error((complained.trim() || `it ended with ${child.exitCode}`).replaceAll(/\s+/g, ' ').slice(0, 300)))
    }
    child.once('close', over)
    // What it left running in the background, such as a shared ssh connection, may hold its output open.
    child.once('exit', () => setTimeout(over, 1_000))
  })
}
