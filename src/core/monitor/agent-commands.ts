/**
 * The commands with which agents ask their cluster manager, as Pacemaker has them: what a call asks for, and how it is answered.
 *
 * Only what agents of Debian call is known; anything else is refused with what there is.
 */

import { wholeOf } from '../../base/index.js'
import { noteValueMax } from '../cluster/index.js'

export type AttributeScope =
  /** Of a node, for as long as it belongs to the cluster with its present boot. */
  | 'reboot'
  /** Of a node, for good. */
  | 'forever'
  /** Of the cluster, for good. */
  | 'cluster'

export interface AttributeRequest {
  readonly kind: 'attribute'
  readonly act:
    | { readonly kind: 'get'; readonly fallback?: string }
    | { readonly kind: 'set'; readonly value: string }
    | { readonly kind: 'delete' }
  readonly scope: AttributeScope
  /** This one unless given. Of no meaning for the cluster's. */
  readonly node?: string
  /** Of attributes of the cluster: the set that they belong to. */
  readonly set: string
  readonly name: string
  readonly print: 'value' | 'crm_attribute' | 'attrd_updater'
}

export type AgentRequest =
  | AttributeRequest
  | { readonly kind: 'node-name' | 'node-id' | 'nodes' | 'partition' | 'quorum' | 'status' | 'status-xml' | 'version' }
  | { readonly kind: 'refused'; readonly answer: AgentAnswer }

export interface AgentAnswer {
  readonly status: number
  readonly out: string
  readonly error: string
}

/** What only the daemon knows. */
export interface ClusterSight {
  readonly nodes: readonly { readonly name: string; readonly online: boolean }[]
  readonly quorate: boolean
  /** What runs of the group for which the agent acts, wherever that is. */
  readonly copies: readonly CopySight[]
}

export interface CopySight {
  readonly resource: string
  readonly type: string
  readonly node: string
  readonly role: 'Started' | 'Promoted' | 'Unpromoted'
  readonly failed: boolean
}

/** Exit statuses as Pacemaker has them. */
export const agentExit = { ok: 0, error: 1, unimplemented: 3, usage: 64, unavailable: 69, noSuch: 105, timeout: 124 } as const

const nameMax = 255
const valueMax = 65_536

/** `argv` begins with the name of the command; `instance` is the resource for which the agent acts. */
export function parseAgentCommand(argv: readonly string[], instance: string): AgentRequest {
  const [command = '', ...args] = argv
  switch (command) {
    case 'crm_attribute':
    case 'crm_master':
      return crmAttribute(command, args, instance)
    case 'attrd_updater':
      return attrdUpdater(args)
    case 'crm_node':
      return crmNode(args)
    case 'pacemakerd':
      // Agents ask it whether there is a manager that knows the node by another name than the machine's own.
      return { kind: 'version' }
    case 'crm_mon':
      return { kind: /xml|^-\w*X/.test(args.join(' ')) ? 'status-xml' : 'status' }
    default:
      return refused(
        agentExit.unimplemented,
        `${command} is not there under Quorate: GET /v1/groups and the quorate command say what it would`,
      )
  }
}

type Options = ReadonlyMap<string, string>

/** Short and long options, each by its long name; those of `withValue` take the next word, or what follows in the same one. */
function readOptions(args: readonly string[], short: Readonly<Record<string, string>>, withValue: ReadonlySet<string>): Options | string {
  const options = new Map<string, string>()
  for (let at = 0; at < args.length; at++) {
    const word = args[at] ?? ''
    const long = /^--([\w-]+)(?:=([\s\S]*))?$/.exec(word)
    if (long !== null) {
      const name = long[1] as string
      if (!withValue.has(name)) options.set(name, long[2] ?? '')
      else if (long[2] !== undefined) options.set(name, long[2])
      else options.set(name, args[++at] ?? '')
      continue
    }
    if (!/^-./.test(word)) continue // Old agents leave words that meant something once.
    for (let letter = 1; letter < word.length; letter++) {
      const name = short[word[letter] as string]
      if (name === undefined) return `-${word[letter]}`
      if (!withValue.has(name)) {
        options.set(name, '')
        continue
      }
      options.set(name, letter + 1 < word.length ? word.slice(letter + 1) : (args[++at] ?? ''))
      break
    }
  }
  return options
}

const crmAttributeShort: Readonly<Record<string, string>> = {
  N: 'node',
  U: 'node',
  l: 'lifetime',
  n: 'name',
  v: 'update',
  d: 'default',
  t: 'type',
  s: 'set-name',
  i: 'id',
  G: 'query',
  D: 'delete',
  q: 'quiet',
  Q: 'quiet',
  p: 'promotion',
  z: 'utilization',
  V: 'verbose',
  P: 'pattern',
}
const crmAttributeValues = new Set(['node', 'lifetime', 'name', 'update', 'default', 'type', 'set-name', 'id'])

function crmAttribute(command: 'crm_attribute' | 'crm_master', given: readonly string[], instance: string): AgentRequest {
  const { args, promoted } = takePromotion(given)
  const options = readOptions(args, crmAttributeShort, crmAttributeValues)
  if (typeof options === 'string') return unknownOption(command, options)
  const isScore = command === 'crm_master' || options.has('promotion')
  // The score of a copy of a clone is that of the whole resource.
  const name = isScore ? `master-${promoted ?? instance.split(':')[0]}` : (options.get('name') ?? '')
  const lifetime = options.get('lifetime') ?? (isScore || options.get('type') === 'status' ? 'reboot' : 'forever')
  const type = options.get('type')
  const isOfNode = options.has('node') || isScore || options.has('lifetime') || type === 'nodes' || type === 'status'
  const scope: AttributeScope = lifetime === 'reboot' ? 'reboot' : isOfNode ? 'forever' : 'cluster'
  return attribute(command, options, { scope, name, print: options.has('quiet') ? 'value' : 'crm_attribute' })
}

/** The resource whose score an attribute holds; undefined for any other attribute. */
export function scoredResource(name: string): string | undefined {
  return name.startsWith('master-') ? name.slice('master-'.length) : undefined
}

/** As Pacemaker counts: a million is as good as infinite. Undefined for what is no number. */
export function readScore(value: string): number | undefined {
  const text = value.trim()
  if (/^[-+]?INFINITY$/i.test(text)) return text.startsWith('-') ? -1_000_000 : 1_000_000
  return /^[-+]?\d{1,9}$/.test(text) ? Math.max(-1_000_000, Math.min(1_000_000, Number(text))) : undefined
}

/** `-p` may be followed by the name of a resource, and need not. */
function takePromotion(args: readonly string[]): { readonly args: readonly string[]; readonly promoted?: string } {
  const at = args.findIndex((word) => word === '-p' || word === '--promotion')
  const joined = args.find((word) => word.startsWith('--promotion='))
  if (joined !== undefined) return { args, promoted: joined.slice('--promotion='.length) }
  const next = at < 0 ? undefined : args[at + 1]
  return next === undefined || next.startsWith('-') ? { args } : { args: args.filter((_, other) => other !== at + 1), promoted: next }
}

const attrdShort: Readonly<Record<string, string>> = {
  n: 'name',
  v: 'update',
  U: 'update',
  B: 'update',
  N: 'node',
  d: 'delay',
  s: 'set',
  S: 'section',
  x: 'pattern',
  Q: 'query',
  D: 'delete',
  p: 'private',
  q: 'quiet',
  V: 'verbose',
  A: 'all',
  R: 'refresh',
}
const attrdValues = new Set(['name', 'update', 'node', 'delay', 'set', 'section', 'lifetime'])

function attrdUpdater(args: readonly string[]): AgentRequest {
  const options = readOptions(args, attrdShort, attrdValues)
  if (typeof options === 'string') return unknownOption('attrd_updater', options)
  return attribute('attrd_updater', options, { scope: 'reboot', name: options.get('name') ?? '', print: 'attrd_updater' })
}

function attribute(command: string, options: Options, what: Pick<AttributeRequest, 'scope' | 'name' | 'print'>): AgentRequest {
  const value = options.get('update')
  if (!/^[^\s/]+$/.test(what.name) || what.name.length > nameMax)
    return refused(agentExit.usage, `${command}: "${what.name}" cannot name an attribute`)
  const most = what.scope === 'reboot' ? noteValueMax : valueMax
  if (value !== undefined && value.length > most)
    return refused(agentExit.usage, `${command}: the value has ${value.length} characters, ${most} are allowed`)
  const fallback = options.get('default')
  const node = options.get('node')
  return {
    kind: 'attribute',
    act: options.has('delete')
      ? { kind: 'delete' }
      : value !== undefined
        ? { kind: 'set', value }
        : { kind: 'get', ...(fallback === undefined ? {} : { fallback }) },
    ...(node === undefined || node === '' ? {} : { node }),
    set: options.get('set-name') ?? 'default',
    ...what,
  }
}

const crmNodeShort: Readonly<Record<string, string>> = {
  n: 'name',
  l: 'list',
  p: 'partition',
  q: 'quorum',
  i: 'cluster-id',
  V: 'verbose',
  Q: 'quiet',
}

function crmNode(args: readonly string[]): AgentRequest {
  const options = readOptions(args, crmNodeShort, new Set())
  if (typeof options === 'string') return unknownOption('crm_node', options)
  // The last one that asks for something counts, as with Pacemaker's own.
  const kinds = { name: 'node-name', list: 'nodes', partition: 'partition', quorum: 'quorum', 'cluster-id': 'node-id' } as const
  const asked = [...options.keys()].filter((name): name is keyof typeof kinds => Object.hasOwn(kinds, name)).at(-1)
  return asked === undefined ? refused(agentExit.usage, 'crm_node: use -n, -l, -p, -q or -i') : { kind: kinds[asked] }
}

/** Whether only the daemon can answer, asked on that node: what is noted down of it until its next boot is known there. */
export function needsCluster(request: AgentRequest, node: string): boolean {
  if (request.kind === 'attribute') return request.scope !== 'reboot' || (request.node ?? node) !== node
  return request.kind !== 'node-name' && request.kind !== 'version' && request.kind !== 'refused'
}

/** The name under which an attribute is kept until the next boot: scores are of the group whose agent gives them. */
export function noteName(name: string, group: string): string {
  return scoredResource(name) === undefined ? name : `${wholeOf(group)}/${name}`
}

/** Whose score a note is: the group as a whole, and the resource. */
export function scoreOfNote(note: string): { readonly of: string; readonly resource: string } | undefined {
  const [of = '', name = ''] = note.split('/')
  const resource = scoredResource(name)
  return resource === undefined ? undefined : { of, resource }
}

/** `value` undefined: there is no such attribute. */
export function answerAttribute({ act, name, print, scope }: AttributeRequest, node: string, value: string | undefined): AgentAnswer {
  if (act.kind !== 'get') return said('')
  const found = value ?? act.fallback
  if (found === undefined) return { status: agentExit.noSuch, out: '', error: `there is no attribute "${name}"\n` }
  switch (print) {
    case 'value':
      return said(`${found}\n`)
    case 'crm_attribute':
      return said(`scope=${scope === 'reboot' ? 'status' : scope === 'forever' ? 'nodes' : 'crm_config'}  name=${name} value=${found}\n`)
    case 'attrd_updater':
      return said(`name="${name}" host="${node}" value="${found}"\n`)
  }
}

export function answerCluster(request: AgentRequest, node: string, { nodes, quorate, copies }: ClusterSight): AgentAnswer {
  const online = nodes.filter((one) => one.online).map((one) => one.name)
  const offline = nodes.filter((one) => !one.online).map((one) => one.name)
  const listed = (names: readonly string[]) => (names.length === 0 ? 'none' : names.join(' '))
  switch (request.kind) {
    case 'nodes':
      return said(nodes.map(({ name, online: here }, at) => `${at + 1} ${name} ${here ? 'member' : 'lost'}\n`).join(''))
    case 'partition':
      return said(`${online.join(' ')}\n`)
    case 'quorum':
      return said(quorate ? '1\n' : '0\n')
    case 'node-id':
      return said(`${nodes.findIndex(({ name }) => name === node) + 1}\n`)
    case 'status':
      return said(`Quorum: ${quorate ? 'yes' : 'no'}\nOnline: ${listed(online)}\nOffline: ${listed(offline)}\n`)
    case 'status-xml': {
      // One thing a line, for agents look through it line by line.
      const lines = [
        '<pacemaker-result api-version="2.30" request="crm_mon">',
        `<summary><current_dc present="true" with_quorum="${quorate}"/></summary>`,
        '<nodes>',
        ...nodes.map(({ name, online: here }, at) => `<node name="${name}" id="${at + 1}" online="${here}"/>`),
        '</nodes>',
        '<resources>',
        ...copies.map((copy) => copyLine(copy, nodes.findIndex(({ name }) => name === copy.node) + 1)),
        '</resources>',
        '<status code="0" message="OK"/>',
        '</pacemaker-result>',
      ]
      return said(`${lines.join('\n')}\n`)
    }
    default:
      return { status: agentExit.unimplemented, out: '', error: 'this cannot be answered\n' }
  }
}

function copyLine({ resource, type, node, role, failed }: CopySight, nodeId: number): string {
  const state = `role="${role}" active="true" orphaned="false" blocked="false" managed="true" failed="${failed}" nodes_running_on="1"`
  return `<resource id="${resource}" resource_agent="${type}" ${state}><node name="${node}" id="${nodeId}" cached="true"/></resource>`
}

/** As the manager says it whose feature set agents are told (`crmFeatureSet`). */
export const managerVersion = 'Pacemaker 2.1.5 (answered by Quorate)\n'

export function said(out: string): AgentAnswer {
  return { status: agentExit.ok, out, error: '' }
}

function refused(status: number, text: string): AgentRequest {
  return { kind: 'refused', answer: { status, out: '', error: `${text}\n` } }
}

function unknownOption(command: string, option: string): AgentRequest {
  return refused(agentExit.usage, `${command}: the option ${option} is not known`)
}
