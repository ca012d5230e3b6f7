/** A cluster for tests of the faces: real daemons with their API in this process, in a folder of their own, on free ports. */
import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import { type RunningApi, startApi } from '../../src/api/index.js'
import { readNodeConfig } from '../../src/io/node-file/index.js'
import { type Daemon, startDaemon } from '../../src/node/index.js'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape.
  readonly body: any
}

export interface Asked {
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as it is when it is a text or bytes, else as JSON. */
  readonly body?: unknown
  readonly node?: string
  readonly overTcp?: boolean
}

interface Member {
  readonly config: string
  readonly socket: string
  daemon: Daemon | undefined
  api: RunningApi | undefined
}

export class BenchCluster {
  readonly folder = mkdtempSync(join(tmpdir(), 'q-api-'))
  readonly logged: string[] = []
  private readonly members = new Map<string, Member>()
  /** Where it is set, a daemon that ends by itself is told to it instead of being a failure of the test. */
  onFatal: ((name: string, error: unknown) => void) | undefined
  /** When logs are compacted, in bytes; as usual where undefined. */
  compaction: { readonly above: number; readonly keep: number } | undefined

  static async of(names: readonly string[], settings: Record<string, unknown> = {}): Promise<BenchCluster> {
    const bench = new BenchCluster()
    const secretFile = join(bench.folder, 'secret')
    writeFileSync(secretFile, randomBytes(16).toString('hex'))
    const ports = await freePorts(names.length * 3)
    const address = (at: number, kind: number): string => `127.0.0.1:${ports[at * 3 + kind]}`
    for (const [at, name] of names.entries()) {
      const home = join(bench.folder, name)
      mkdirSync(home)
      writeFileSync(join(home, 'boot-id'), `boot-${name}-${randomBytes(4).toString('hex')}\n`)
      const config = join(home, 'node.yaml')
      writeFileSync(
        config,
        stringify({
          node: name,
          dataDir: 'data',
          runDir: 'run',
          logDir: 'log',
          links: [address(at, 0)],
          guardian: { port: ports[at * 3 + 1] },
          api: { listen: address(at, 2), insecure: true },
          boot: { idFile: 'boot-id' },
          cluster: { name: 'bench', secretFile, members: Object.fromEntries(names.map((other, place) => [other, address(place, 0)])) },
          ...settings,
        }),
      )
      bench.members.set(name, { config, socket: join(home, 'run', 'api.sock'), daemon: undefined, api: undefined })
    }
    return bench
  }

  /** The file of one more node, which names all those before it. */
  async add(name: string, cluster: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const [first] = [...this.members.values()]
    const like = parse(readFileSync(first?.config ?? '', 'utf8'))
    const ports = await freePorts(3)
    const home = join(this.folder, name)
    mkdirSync(home)
    writeFileSync(join(home, 'boot-id'), `boot-${name}-${randomBytes(4).toString('hex')}\n`)
    const config = join(home, 'node.yaml')
    const link = `127.0.0.1:${ports[0]}`
    const own = { node: name, links: [link], guardian: { port: ports[1] }, api: { listen: `127.0.0.1:${ports[2]}`, insecure: true } }
    const members = { ...like.cluster.members, [name]: link }
    writeFileSync(config, stringify({ ...like, ...own, cluster: { ...like.cluster, members, ...cluster } }))
    this.members.set(name, { config, socket: join(home, 'run', 'api.sock'), daemon: undefined, api: undefined })
  }

  /** All that a stopped node's disk holds is lost. */
  wipe(name: string): void {
    rmSync(join(this.folder, name, 'data'), { recursive: true })
  }

  /** One node that has formed. */
  static async single(settings: Record<string, unknown> = {}): Promise<BenchCluster> {
    const bench = await BenchCluster.of(['n1'], settings)
    await bench.start('n1')
    await bench.until('the cluster to form', async () => (await bench.ask('GET', '/v1/status')).body.quorate === true)
    return bench
  }

  async start(name: string): Promise<void> {
    const member = this.member(name)
    const log = (level: string, text: string): void => void this.logged.push(`${name} ${level} ${text}`)
    member.daemon = await startDaemon({
      config: readNodeConfig(member.config),
      guardianArgv: [process.execPath, '-e', ''],
      ...(this.compaction === undefined ? {} : { compaction: this.compaction }),
      log,
      fatal: (error) => {
        if (this.onFatal === undefined) throw error
        this.onFatal(name, error)
      },
    })
    member.api = await startApi(member.daemon, log)
  }

  async stop(name: string): Promise<void> {
    const member = this.member(name)
    await member.api?.close()
    await member.daemon?.close()
    member.api = undefined
    member.daemon = undefined
  }

  async close(): Promise<void> {
    await Promise.all([...this.members.keys()].map((name) => this.stop(name)))
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }

  daemon(name = 'n1'): Daemon {
    const { daemon } = this.member(name)
    if (daemon === undefined) throw new Error(`${name} does not run`)
    return daemon
  }

  api(name = 'n1'): RunningApi {
    const { api } = this.member(name)
    if (api === undefined) throw new Error(`${name} does not run`)
    return api
  }

  configOf(name: string): string {
    return this.member(name).config
  }

  socketOf(name: string): string {
    return this.member(name).socket
  }

  private member(name: string): Member {
    const member = this.members.get(name)
    if (member === undefined) throw new Error(`there is no ${name}`)
    return member
  }

  ask(method: string, path: string, asked: Asked = {}): Promise<Answer> {
    const name = asked.node ?? [...this.members.keys()][0] ?? ''
    const target = asked.overTcp === true ? tcpOf(this.api(name).url) : { socketPath: this.socketOf(name) }
    const { body } = asked
    const payload = body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
    const length = payload === undefined ? {} : { 'content-length': String(Buffer.byteLength(payload as string)) }
    return new Promise((resolve, reject) => {
      const outgoing = request({ ...target, method, path, agent: false, headers: { ...length, ...asked.headers } }, (incoming) => {
        const parts: Buffer[] = []
        incoming.on('data', (part: Buffer) => parts.push(part))
        incoming.on('error', reject)
        incoming.on('end', () => {
          const text = Buffer.concat(parts).toString()
          resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text, body: parsed(text) })
        })
      })
      outgoing.on('error', reject)
      outgoing.end(payload)
    })
  }

  /** Generous: what never comes fails by name. */
  async until(what: string, holds: () => Promise<boolean> | boolean, timeoutMs = 30_000): Promise<void> {
    const end = Date.now() + timeoutMs
    while (!(await holds())) {
      if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms for ${what}\n${this.logged.slice(-20).join('\n')}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

function tcpOf(url: string | undefined): { readonly host: string; readonly port: string } {
  const { hostname, port } = new URL(url ?? '')
  return { host: hostname, port }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** A group of one process that would run for long. */
export const sleeper = (extra: Record<string, unknown> = {}): Record<string, unknown> => ({
  nodes: ['n1'],
  resources: { main: { type: 'command', parameters: { run: ['/bin/sleep', '1000'] } } },
  ...extra,
})

async function freePorts(count: number): Promise<readonly number[]> {
  const ports: number[] = []
  while (ports.length < count) {
    const port = await freeTcpPort()
    if (!ports.includes(port) && (await isFreeForUdp(port))) ports.push(port)
  }
  return ports
}

function freeTcpPort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const bound = server.address()
      server.close(() => resolve(typeof bound === 'object' && bound !== null ? bound.port : 0))
    })
  })
}

function isFreeForUdp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    socket.once('error', () => resolve(false))
    socket.bind(port, '127.0.0.1', () => socket.close(() => resolve(true)))
  })
}
