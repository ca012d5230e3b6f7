/** Makes the folders and files of a cluster whose nodes share this kernel, and the power supply of each node. */
import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { chmodSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import type { Cable } from './cable.js'
import { Power } from './power.js'
import { type PowerServer, servePower } from './power-server.js'

/** The root of the project, from the compiled place of this file (`dist/scripts/lib`). */
export const projectRoot = resolve(dirname(fileURLToPath(import.meta.url)), '../../..')
export const mainScript = newestMain()

/** The program in few files, as it is installed; where it was compiled since without being put together, as compiled. */
function newestMain(): string {
  const [whole, compiled] = ['dist/bin/quorate.js', 'dist/.tsbuildinfo'].map((path) => join(projectRoot, path)) as [string, string]
  const ageOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
  return ageOf(whole) >= ageOf(compiled) && existsSync(whole) ? whole : join(projectRoot, 'dist/src/main.js')
}
export const fenceAgentSource = join(projectRoot, 'scripts/lib/fence_outlet.mjs')

export interface LabNode {
  readonly name: string
  readonly address: string
  readonly port: number
  readonly guardianPort: number
  readonly apiPort: number
  /** Of its second link, with the same port; where it has one. */
  readonly second?: string
  /** Put before the node's command, such as `ip netns exec`. */
  readonly prefix?: readonly string[]
  /** What its loss of power takes away besides processes. */
  readonly reset?: () => Promise<void>
  /** The address by which other nodes reach it, with the same ports, where a relay lies between. */
  readonly front?: string
}

export interface LabOptions {
  readonly name: string
  /** Data folders, logs, secret. */
  readonly home: string
  /** Run folders: short, for the sockets in it. */
  readonly run: string
  readonly nodes: readonly LabNode[]
  readonly emergencyStop?: string
  /** The watchdog of each node, which others may count on. */
  readonly watchdog?: (node: string) => string
  readonly onPower?: (node: string, action: string) => void
  readonly environment?: Readonly<Record<string, string>>
  /** Cuts nodes from each other. */
  readonly cable?: Cable
  /** The program, where it is not that of this checkout; of each node, where they differ. */
  readonly main?: string | ((node: string) => string)
}

export interface Lab {
  readonly nodes: readonly LabNode[]
  readonly power: ReadonlyMap<string, Power>
  readonly agent: string
  readonly powerSocket: string
  readonly home: string
  readonly run: string
  url(node: string): string
  /** The same through the node's unix socket, which no network hides. For `request`. */
  local(node: string): string
  /** The `fencing` of a node, as the API takes it. */
  fencing(node: string): Record<string, unknown>
  close(): Promise<void>
}

export async function makeLab(options: LabOptions): Promise<Lab> {
  mkdirSync(options.home, { recursive: true })
  mkdirSync(options.run, { recursive: true, mode: 0o711 })
  const secret = join(options.home, 'secret')
  if (!existsSync(secret)) writeFileSync(secret, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
  const agent = join(options.home, 'fence_outlet')
  // The agents' environment is clean and need not know where this node binary is.
  writeFileSync(agent, `#!/bin/sh\nexec ${process.execPath} ${fenceAgentSource}\n`)
  chmodSync(agent, 0o755)
  const power = new Map<string, Power>()
  for (const node of options.nodes) {
    const home = join(options.home, node.name)
    const runDir = join(options.run, node.name)
    mkdirSync(home, { recursive: true })
    writeFileSync(join(home, 'node.yaml'), nodeFile(options, node, home, runDir, secret))
    const main = typeof options.main === 'function' ? options.main(node.name) : (options.main ?? mainScript)
    const argv = [process.execPath, main, 'guardian', '--config', join(home, 'node.yaml')]
    power.set(
      node.name,
      new Power({
        node: node.name,
        home,
        runDir,
        argv,
        ...(node.prefix === undefined ? {} : { prefix: node.prefix }),
        ...(node.reset === undefined ? {} : { reset: node.reset }),
        ...(options.environment === undefined ? {} : { environment: options.environment }),
      }),
    )
  }
  const powerSocket = join(options.run, 'power.sock')
  const server: PowerServer = await servePower(powerSocket, power, options.onPower, options.cable)
  return {
    nodes: options.nodes,
    power,
    agent,
    powerSocket,
    home: options.home,
    run: options.run,
    url: (name) => {
      const node = options.nodes.find((candidate) => candidate.name === name)
      return `http://${node?.address}:${node?.apiPort}`
    },
    local: (name) => `unix:${join(options.run, name, 'api.sock')}`,
    fencing: (name) => ({ levels: [[{ agent, parameters: { node: name, socket: powerSocket }, timeout: '10s' }]], then: 'on' }),
    close: async () => {
      await Promise.all([...power.values()].map((supply) => supply.clean()))
      await server.close()
      await options.cable?.close()
    },
  }
}

/** Switches off what is left of a laboratory whose own process was killed: its nodes live on without it. */
export async function endNodes(place: { readonly home: string; readonly run: string }, names: readonly string[]): Promise<void> {
  const left = names.filter((name) => existsSync(join(place.home, name)))
  const supplies = left.map((node) => new Power({ node, home: join(place.home, node), runDir: join(place.run, node), argv: [] }))
  await Promise.all(supplies.map((supply) => supply.clean()))
}

function nodeFile(options: LabOptions, node: LabNode, home: string, runDir: string, secret: string): string {
  return stringify({
    node: node.name,
    dataDir: join(home, 'data'),
    runDir,
    logDir: join(home, 'log'),
    links: [node.address, ...(node.second === undefined ? [] : [node.second])].map((address) => ({ address, port: node.port })),
    guardian: { port: node.guardianPort },
    api: { listen: `${node.address}:${node.apiPort}`, insecure: true },
    ...(node.front === undefined
      ? {}
      : { advertise: { links: [`${node.front}:${node.port}`], guardian: `${node.front}:${node.guardianPort}` } }),
    boot: { idFile: join(home, 'boot-id') },
    ...(options.emergencyStop === undefined ? {} : { emergencyStop: options.emergencyStop }),
    ...(options.watchdog === undefined ? {} : { watchdog: { device: options.watchdog(node.name), trust: true } }),
    cluster: {
      name: options.name,
      secretFile: secret,
      members: Object.fromEntries(options.nodes.map((other) => [other.name, `${other.front ?? other.address}:${other.port}`])),
    },
  })
}

/** `wanted` when nobody uses it on any of the addresses, else the next port above that is free on all. */
export async function freePort(addresses: readonly string[], wanted: number): Promise<number> {
  for (let port = wanted; port < wanted + 500; port++) {
    const free = await Promise.all(addresses.map((address) => isFree(address, port)))
    if (free.every(Boolean)) return port
  }
  throw new Error(`no free port from ${wanted} to ${wanted + 499} on ${addresses.join(', ')}`)
}

/** For TCP and UDP alike. */
async function isFree(address: string, port: number): Promise<boolean> {
  const tcp = await new Promise<boolean>((settle) => {
    const server = createServer()
    server.once('error', () => settle(false))
    server.listen({ host: address, port, exclusive: true }, () => server.close(() => settle(true)))
  })
  if (!tcp) return false
  return new Promise((settle) => {
    const socket = createSocket('udp4')
    socket.once('error', () => settle(false))
    socket.bind({ address, port, exclusive: true }, () => socket.close(() => settle(true)))
  })
}
