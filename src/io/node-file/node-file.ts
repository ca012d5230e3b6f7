/**
 * A node's own file: identity and addresses only. Everything else is in the replicated database.
 *
 * Read once at start; a wrong key is an error with the nearest right one.
 */
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import { ClusterError, isName, type Milliseconds, type NodeId, nearestName, nodeId, parseDuration } from '../../base/index.js'
import type { Address } from '../../core/cluster/index.js'

export interface ApiConfig {
  /** TCP listener; none without it. */
  readonly listen: Address | undefined
  /** Path of the unix socket (mode 0600). */
  readonly socket: string
  /** Allows a TCP listener although this version has no API keys yet. */
  readonly insecure: boolean
}

export interface NodeConfig {
  /** Where this was read from: what starts the other processes names it again. */
  readonly file: string
  readonly node: NodeId
  readonly dataDir: string
  readonly runDir: string
  readonly logDir: string
  readonly links: readonly Address[]
  readonly guardianPort: number
  /** Where the other nodes reach this one: as many links as it has, and its guardian. Its own addresses unless something lies between. */
  readonly advertise: { readonly links: readonly Address[]; readonly guardian: Address }
  readonly api: ApiConfig
  readonly clusterName: string
  readonly secret: string
  readonly members: ReadonlyMap<NodeId, Address>
  /** The word of an invitation: an empty data folder asks to be taken into the cluster, instead of forming one. */
  readonly invitation: string | undefined
  /** Where several nodes share a kernel: the file with the boot id that only the node's power device renews. */
  readonly bootIdFile: string | undefined
  readonly emergencyStop: Milliseconds
  /** The watchdog device that its guardian holds; none unless given. */
  readonly watchdog: { readonly device: string; readonly trust: boolean | undefined } | undefined
  readonly containment: 'auto' | 'cgroup2' | 'freezer' | 'sweep'
}

const secretBytesMin = 16

/** Errors: INVALID, UNKNOWN_KEY, BAD_YAML, INVALID_NAME. */
export function readNodeConfig(file: string): NodeConfig {
  const path = resolve(file)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new ClusterError('INVALID', `the node's file ${path} cannot be read: ${(error as Error).message}`, {
      fix: 'name it with --config',
    })
  }
  let document: unknown
  try {
    document = parse(text)
  } catch (error) {
    throw new ClusterError('BAD_YAML', `${path}: ${(error as Error).message.split('\n')[0]}`)
  }
  const root = section(document, path, [
    'node',
    'dataDir',
    'runDir',
    'logDir',
    'links',
    'guardian',
    'advertise',
    'api',
    'cluster',
    'boot',
    'emergencyStop',
    'watchdog',
    'containment',
  ])
  const here = (value: string): string => resolve(dirname(path), value)
  const cluster = section(root.cluster, 'cluster', ['name', 'secretFile', 'members', 'invitation'])
  const api = section(root.api ?? {}, 'api', ['listen', 'socket', 'insecure'])
  const guardian = section(root.guardian ?? {}, 'guardian', ['port'])
  const advertise = section(root.advertise ?? {}, 'advertise', ['links', 'guardian'])
  const boot = section(root.boot ?? {}, 'boot', ['idFile'])
  const node = nodeId(text_(root.node, 'node'))
  const members = new Map(
    Object.entries(section(cluster.members, 'cluster.members')).map(([name, value]) => [
      nodeId(name),
      address(value, `cluster.members.${name}`),
    ]),
  )
  if (!members.has(node))
    throw new ClusterError('INVALID', `cluster.members does not list this node, ${node}`, {
      fix: `add ${node}: "address:port" to cluster.members`,
    })
  const links =
    root.links === undefined ? [members.get(node) as Address] : list(root.links, 'links').map((value, at) => link(value, `links[${at}]`))
  const guardianPort = port(guardian.port ?? 7401, 'guardian.port')
  const advertisedLinks =
    advertise.links === undefined
      ? links
      : list(advertise.links, 'advertise.links').map((value, at) => link(value, `advertise.links[${at}]`))
  if (advertisedLinks.length !== links.length)
    throw new ClusterError('INVALID', `advertise.links has ${advertisedLinks.length} entries, links has ${links.length}`, {
      fix: 'give one address for each link, in the same order',
    })
  const runDir = here(text_(root.runDir ?? '/run/quorate', 'runDir'))
  const listen = api.listen === undefined ? undefined : address(api.listen, 'api.listen')
  const insecure = api.insecure === true
  if (listen !== undefined && !insecure) {
    throw new ClusterError('INVALID', 'api.listen opens a TCP port, and this version has no API keys yet', {
      fix: 'take api.listen out and use the unix socket, or set api.insecure: true',
    })
  }
  const name = text_(cluster.name, 'cluster.name')
  if (!isName(name)) throw new ClusterError('INVALID_NAME', `"${name}" cannot name a cluster`)
  return {
    file: path,
    node,
    dataDir: here(text_(root.dataDir ?? '/var/lib/quorate', 'dataDir')),
    runDir,
    logDir: here(text_(root.logDir ?? '/var/log/quorate', 'logDir')),
    links,
    guardianPort,
    advertise: {
      links: advertisedLinks,
      guardian:
        advertise.guardian === undefined
          ? { host: (advertisedLinks[0] as Address).host, port: guardianPort }
          : link(advertise.guardian, 'advertise.guardian'),
    },
    api: { listen, socket: api.socket === undefined ? `${runDir}/api.sock` : here(text_(api.socket, 'api.socket')), insecure },
    clusterName: name,
    secret: readSecret(here(text_(cluster.secretFile, 'cluster.secretFile'))),
    members,
    invitation: cluster.invitation === undefined ? undefined : text_(cluster.invitation, 'cluster.invitation'),
    bootIdFile: boot.idFile === undefined ? undefined : here(text_(boot.idFile, 'boot.idFile')),
    emergencyStop: parseDuration((root.emergencyStop as string | number | undefined) ?? 5_000),
    watchdog: root.watchdog === undefined ? undefined : watchdogOf(root.watchdog, here),
    containment: oneOf(root.containment ?? 'auto', 'containment', ['auto', 'cgroup2', 'freezer', 'sweep']),
  }
}

/** A path, or a map with `device` and `trust`. */
function watchdogOf(value: unknown, here: (path: string) => string): NodeConfig['watchdog'] {
  if (typeof value === 'string') return { device: here(text_(value, 'watchdog')), trust: undefined }
  const { device, trust } = section(value, 'watchdog', ['device', 'trust'])
  if (trust !== undefined && typeof trust !== 'boolean')
    throw new ClusterError('INVALID', 'watchdog.trust has to be true or false', { fix: 'leave it out to have the device looked at' })
  return { device: here(text_(device, 'watchdog.device')), trust }
}

function section(value: unknown, what: string, keys?: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new ClusterError('INVALID', `${what} has to be a map`)
  for (const key of keys === undefined ? [] : Object.keys(value)) {
    if (keys?.includes(key) === true) continue
    const nearest = nearestName(key, keys ?? [])
    throw new ClusterError('UNKNOWN_KEY', `${what} has no key "${key}"`, {
      fix: nearest === undefined ? `its keys are ${keys?.join(', ')}` : `did you mean "${nearest}"?`,
    })
  }
  return value as Record<string, unknown>
}

function text_(value: unknown, what: string): string {
  if (typeof value !== 'string' || value === '')
    throw new ClusterError('INVALID', `${what} has to be a text`, { fix: `set ${what} in the node's file` })
  return value
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > 8)
    throw new ClusterError('INVALID', `${what} has to be a list of one to eight entries`)
  return value
}

function oneOf<Value extends string>(value: unknown, what: string, values: readonly Value[]): Value {
  if (!values.includes(value as Value))
    throw new ClusterError('INVALID', `${what} is ${JSON.stringify(value)}`, { fix: `choose one of ${values.join(', ')}` })
  return value as Value
}

function port(value: unknown, what: string): number {
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > 65_535)
    throw new ClusterError('INVALID', `${what} is ${JSON.stringify(value)}`, { fix: 'use a port number' })
  return value as number
}

function link(value: unknown, what: string): Address {
  if (typeof value === 'string') return address(value, what)
  const { address: host, port: number } = section(value, what, ['address', 'port'])
  return { host: text_(host, `${what}.address`), port: port(number, `${what}.port`) }
}

function address(value: unknown, what: string): Address {
  const match = /^\[?([0-9a-zA-Z.:_-]+?)\]?:(\d+)$/.exec(String(value))
  if (match?.[1] === undefined)
    throw new ClusterError('INVALID', `${what} is ${JSON.stringify(value)}`, { fix: 'write it as "address:port"' })
  return { host: match[1], port: port(Number(match[2]), what) }
}

function readSecret(path: string): string {
  let secret: string
  try {
    secret = readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw new ClusterError('INVALID', `the cluster secret ${path} cannot be read: ${(error as Error).message}`, {
      fix: 'make one, the same on every node: openssl rand -hex 32',
    })
  }
  if (secret.length < secretBytesMin)
    throw new ClusterError('INVALID', `the cluster secret has ${secret.length} characters`, {
      fix: 'use at least 16; openssl rand -hex 32 makes a good one',
    })
  return secret
}
