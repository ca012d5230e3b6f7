/** The file that says how the hosts of a cluster are reached: YAML or JSON. Nothing is guessed that could touch something else. */
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'

export interface HostNode {
  readonly name: string
  /** Words before a piece of shell, by which it is run on the host. */
  readonly way: readonly string[]
  /** `http://host:port`, as this machine reaches it; undefined: by the socket. */
  readonly api: URL | undefined
  /** The node's API on its host. */
  readonly socket: string
  /** Under which the other nodes hear this one. */
  readonly links: readonly string[]
  /** Of cluster and guardian, as nft takes them. */
  readonly ports: string
  readonly config: string
  readonly data: string
}

export interface HostsFile {
  readonly nodes: readonly HostNode[]
  /** The program on the hosts that carries requests to a socket. */
  readonly node: string
  readonly group: string | undefined
  readonly service:
    | {
        readonly url: URL
        /** Where an answer says who gave it. */
        readonly who: { readonly header: string } | { readonly json: string } | undefined
        /** It is the journal service of the harness; a text is where its journal is read here. */
        readonly journal: string | boolean
      }
    | undefined
}

/** Throws with what is wrong, where, and what to do. */
export function readHosts(path: string): HostsFile {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new Error(`--hosts ${path}: ${(error as Error).message}`)
  }
  let value: unknown
  try {
    value = parse(text)
  } catch (error) {
    throw new Error(`--hosts ${path}: it is neither YAML nor JSON: ${(error as Error).message}`)
  }
  try {
    return hostsOf(value)
  } catch (error) {
    throw new Error(`--hosts ${path}: ${(error as Error).message}; docs/chaos.md has an example`)
  }
}

export function hostsOf(value: unknown): HostsFile {
  const top = mapOf(value, 'the file', ['on', 'nodes', 'node', 'group', 'service'])
  const on = textOf(top.on ?? 'ssh -o BatchMode=yes -o ConnectTimeout=5 root@%s', 'on')
  const names = Object.entries(mapOf(top.nodes, 'nodes'))
  if (names.length < 2) throw new Error('nodes: every node of the cluster is to be named, and a cluster has at least two')
  return {
    nodes: names.map(([name, given]) => nodeOf(name, given, on)),
    node: plain(textOf(top.node ?? 'node', 'node'), 'node'),
    group: top.group === undefined ? undefined : textOf(top.group, 'group'),
    service: top.service === undefined ? undefined : serviceOf(top.service),
  }
}

function nodeOf(name: string, given: unknown, on: string): HostNode {
  const where = `nodes.${name}`
  if (!/^[A-Za-z0-9._-]+$/.test(name)) throw new Error(`${where}: that cannot be the name of a node`)
  const node = mapOf(given ?? {}, where, ['host', 'on', 'api', 'socket', 'link', 'ports', 'config', 'data'])
  const api = node.api === undefined ? undefined : urlOf(node.api, `${where}.api`)
  const host = textOf(node.host ?? api?.hostname ?? name, `${where}.host`)
  const links = (Array.isArray(node.link) ? node.link : node.link === undefined ? [] : [node.link]).map((one) =>
    textOf(one, `${where}.link`),
  )
  for (const link of links) if (!/^[0-9a-fA-F.:]+$/.test(link)) throw new Error(`${where}.link: an address, not ${link}`)
  const ports = String(node.ports ?? '7400-7401')
  if (!/^[0-9,-]+$/.test(ports)) throw new Error(`${where}.ports: numbers such as 7400-7401, not ${ports}`)
  return {
    name,
    way: textOf(node.on ?? on, `${where}.on`)
      .split(/\s+/)
      .filter((word) => word !== '')
      .map((word) => word.replaceAll('%s', host)),
    api,
    socket: plain(textOf(node.socket ?? '/run/quorate/api.sock', `${where}.socket`), `${where}.socket`),
    links,
    ports,
    config: plain(textOf(node.config ?? '/etc/quorate/node.yaml', `${where}.config`), `${where}.config`),
    data: plain(textOf(node.data ?? '/var/lib/quorate', `${where}.data`), `${where}.data`),
  }
}

function serviceOf(given: unknown): NonNullable<HostsFile['service']> {
  const { url, who, journal = false } = mapOf(given, 'service', ['url', 'who', 'journal'])
  if (typeof journal !== 'boolean' && typeof journal !== 'string')
    throw new Error('service.journal: true, or where the journal is read on this machine')
  const { header, json } = mapOf(who ?? {}, 'service.who', ['header', 'json'])
  return {
    url: urlOf(url, 'service.url'),
    who:
      header !== undefined
        ? { header: textOf(header, 'service.who.header').toLowerCase() }
        : json === undefined
          ? undefined
          : { json: textOf(json, 'service.who.json') },
    journal,
  }
}

function mapOf(value: unknown, where: string, keys?: readonly string[]): Readonly<Record<string, unknown>> {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw new Error(`${where}: names with values are wanted`)
  const unknown = keys === undefined ? undefined : Object.keys(value).find((key) => !keys.includes(key))
  if (unknown !== undefined) throw new Error(`${where}: there is no "${unknown}", only ${keys?.join(', ')}`)
  return value as Record<string, unknown>
}

function textOf(value: unknown, where: string): string {
  if (typeof value !== 'string' || value === '') throw new Error(`${where}: a text is wanted`)
  return value
}

/** It becomes part of a piece of shell, in quotes or as a word. */
function plain(text: string, where: string): string {
  if (!/^[A-Za-z0-9_./-]+$/.test(text)) throw new Error(`${where}: letters, digits, and any of ./_- are wanted, not ${text}`)
  return text
}

function urlOf(value: unknown, where: string): URL {
  const text = textOf(value, where)
  if (!URL.canParse(text) || !text.startsWith('http://'))
    throw new Error(`${where}: an address such as http://10.0.0.1:7480 is wanted, not ${text}`)
  return new URL(text)
}
