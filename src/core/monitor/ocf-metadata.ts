/** What an OCF agent says of itself (`meta-data`, OCF 1.0 and 1.1), as a schema for the parameters of its type. */
import { nearestName, parseDuration } from '../../base/index.js'
import type { ParameterValue, ResourceDefinition } from '../cluster/index.js'
import type { ParameterProblem } from './parameters.js'
import { parseXml, type XmlElement } from './xml.js'

export interface OcfParameter {
  readonly name: string
  readonly required: boolean
  /** `string`, `integer`, `boolean`, `second`, `select` and whatever else agents write. */
  readonly type: string
  readonly fallback?: string
  /** Of a `select`: what it may be. */
  readonly options?: readonly string[]
  readonly doc: string
  readonly deprecated: boolean
  /** What is to be used instead of a deprecated one. */
  readonly replacedBy?: readonly string[]
  /** No two resources of the agent may have the same values of all parameters of one such group. */
  readonly uniqueGroup?: string
  /** A change of it takes effect without a restart. */
  readonly reloadable: boolean
}

export interface OcfActionMetadata {
  readonly name: string
  /** Milliseconds; undefined where the agent gives none. */
  readonly timeout?: number
  readonly interval?: number
  readonly depth: number
}

export interface OcfMetadata {
  readonly agent: string
  readonly version: string
  readonly shortdesc: string
  readonly longdesc: string
  readonly parameters: readonly OcfParameter[]
  readonly actions: readonly OcfActionMetadata[]
  /** The action that has changed parameters take effect; undefined where the agent has none. */
  readonly reloadAction?: 'reload-agent' | 'reload'
}

/** Undefined when the text is no OCF metadata. */
export function parseOcfMetadata(xml: string): OcfMetadata | undefined {
  const root = parseXml(xml.trim())
  if (root?.name !== 'resource-agent') return undefined
  const version = childText(root, 'version') || (root.attributes.version ?? '')
  const actions = childrenOf(child(root, 'actions'), 'action').map(actionOf)
  const has = (name: string) => actions.some((action) => action.name === name)
  // Before OCF 1.1 there was one word for both reloads, and what was not unique counted as reloadable; Pacemaker still has it so.
  const old = !isSince11(version)
  const reloadAction = has('reload-agent') ? 'reload-agent' : old && has('reload') ? 'reload' : undefined
  return {
    agent: root.attributes.name ?? '',
    version,
    shortdesc: childText(root, 'shortdesc'),
    longdesc: childText(root, 'longdesc'),
    parameters: withObsoletes(childrenOf(child(root, 'parameters'), 'parameter'), reloadAction),
    actions,
    ...(reloadAction === undefined ? {} : { reloadAction }),
  }
}

/** Fence agents say it the other way round: the new parameter names the one that it replaces. */
function withObsoletes(elements: readonly XmlElement[], reloadAction: OcfMetadata['reloadAction']): readonly OcfParameter[] {
  return elements.map((element) => {
    const parameter = parameterOf(element, reloadAction)
    const replacing = elements.flatMap(({ attributes }) => (attributes.obsoletes === parameter.name ? (attributes.name ?? []) : []))
    return replacing.length === 0 || parameter.replacedBy !== undefined ? parameter : { ...parameter, replacedBy: replacing }
  })
}

function isSince11(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 1 || (major === 1 && minor >= 1)
}

function parameterOf(element: XmlElement, reloadAction: OcfMetadata['reloadAction']): OcfParameter {
  const { name = '', required, unique, reloadable, deprecated } = element.attributes
  const content = child(element, 'content')
  const fallback = content?.attributes.default
  const options = childrenOf(content, 'option').flatMap((option) => option.attributes.value ?? [])
  const uniqueGroup = element.attributes['unique-group'] ?? (isTrue(unique) ? name : undefined)
  const outdated = child(element, 'deprecated')
  const replacedBy = childrenOf(outdated, 'replaced-with').flatMap((other) => other.attributes.name ?? [])
  return {
    name,
    required: isTrue(required),
    type: content?.attributes.type ?? 'string',
    ...(fallback === undefined ? {} : { fallback }),
    ...(options.length === 0 ? {} : { options }),
    doc: childText(element, 'longdesc') || childText(element, 'shortdesc'),
    deprecated: outdated !== undefined || isTrue(deprecated),
    ...(replacedBy.length === 0 ? {} : { replacedBy }),
    ...(uniqueGroup === undefined ? {} : { uniqueGroup }),
    reloadable: reloadAction === 'reload' ? uniqueGroup === undefined : reloadAction !== undefined && isTrue(reloadable),
  }
}

function actionOf(element: XmlElement): OcfActionMetadata {
  const { name = '', timeout, interval, depth } = element.attributes
  return {
    name,
    ...withSpan('timeout', timeout),
    ...withSpan('interval', interval),
    depth: Number(depth ?? 0) || 0,
  }
}

/** Agents write seconds as bare numbers; what is no span is left out. */
function withSpan(key: 'timeout' | 'interval', text: string | undefined): { readonly timeout?: number; readonly interval?: number } {
  if (text === undefined) return {}
  try {
    return { [key]: parseDuration(/^\d+$/.test(text.trim()) ? `${text.trim()}s` : text) }
  } catch {
    return {}
  }
}

type Parameters = ResourceDefinition['parameters']

const actionsFor = { promotable: ['promote', 'demote'], migrate: ['migrate_to', 'migrate_from'] } as const

/** What an agent lacks of the actions that a resource with two roles, or one that is to migrate, needs. */
export function checkOcfActions(type: string, { actions }: OcfMetadata, wanted: keyof typeof actionsFor): ParameterProblem[] {
  const lacking = actionsFor[wanted].filter((name) => !actions.some((action) => action.name === name))
  if (lacking.length === 0) return []
  return [{ parameter: wanted, detail: `the agent ${type} has no ${lacking.join(' and no ')}`, fix: `leave "${wanted}" out` }]
}

/** Everything wrong with parameters for this agent. */
export function checkOcfParameters(metadata: OcfMetadata, parameters: Parameters): ParameterProblem[] {
  const problems: ParameterProblem[] = []
  const known = new Map(metadata.parameters.map((parameter) => [parameter.name, parameter]))
  for (const [name, value] of Object.entries(parameters)) {
    const parameter = known.get(name)
    if (parameter === undefined && name !== 'OCF_CHECK_LEVEL') {
      const nearest = nearestName(name, known.keys())
      const fix = nearest === undefined ? `it takes ${[...known.keys()].join(', ')}` : `did you mean "${nearest}"?`
      problems.push({ parameter: name, detail: `the agent ${metadata.agent} has no parameter "${name}"`, fix })
      continue
    }
    const wrong = parameter === undefined ? undefined : wrongValue(parameter, value)
    if (wrong !== undefined) problems.push({ parameter: name, detail: `${name} ${wrong}` })
  }
  for (const parameter of metadata.parameters) {
    if (!parameter.required || (parameter.fallback ?? '') !== '' || parameters[parameter.name] !== undefined) continue
    // An outdated parameter stands for what replaces it, and the other way round.
    const outdated = metadata.parameters.filter(({ replacedBy = [] }) => replacedBy.includes(parameter.name)).map(({ name }) => name)
    if ([...outdated, ...(parameter.replacedBy ?? [])].some((name) => parameters[name] !== undefined)) continue
    problems.push({
      parameter: parameter.name,
      detail: `the agent ${metadata.agent} needs the parameter "${parameter.name}"`,
      fix: parameter.doc,
    })
  }
  return problems
}

/** What should be changed although it is accepted, in sentences. */
export function ocfParameterWarnings(metadata: OcfMetadata, parameters: Parameters): readonly string[] {
  return metadata.parameters.flatMap(({ name, deprecated, replacedBy }) => {
    if (!deprecated || parameters[name] === undefined) return []
    const instead = replacedBy === undefined ? '' : `: use ${replacedBy.join(' and ')}`
    return [`the agent ${metadata.agent} calls its parameter "${name}" deprecated${instead}`]
  })
}

/** The parameters whose values two resources of the agent both give, although no two may have the same; empty when there are none. */
export function clashingParameters(metadata: OcfMetadata, one: Parameters, other: Parameters): readonly string[] {
  const groups = new Map<string, string[]>()
  for (const { name, uniqueGroup } of metadata.parameters)
    if (uniqueGroup !== undefined) groups.set(uniqueGroup, [...(groups.get(uniqueGroup) ?? []), name])
  const same = (name: string) => one[name] !== undefined && other[name] !== undefined && String(one[name]) === String(other[name])
  return [...groups.values()].find((names) => names.every(same)) ?? []
}

/** The parameters that differ; those of which all are reloadable need no restart. */
export function changedParameters(before: Parameters, after: Parameters): readonly string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]))
    .sort()
}

/** The action that has a change of these parameters take effect without a restart; undefined when there is none. */
export function reloadFor(metadata: OcfMetadata, changed: readonly string[]): OcfMetadata['reloadAction'] {
  const reloadable = (name: string) => metadata.parameters.some((parameter) => parameter.name === name && parameter.reloadable)
  return changed.length > 0 && changed.every(reloadable) ? metadata.reloadAction : undefined
}

function wrongValue({ type, options }: OcfParameter, value: ParameterValue): string | undefined {
  if (typeof value === 'object') return 'must be a text, a number, or true or false'
  if (options !== undefined && !options.includes(String(value))) return `must be one of ${options.join(', ')}`
  if (type === 'integer' && !/^[+-]?\d+$/.test(String(value))) return 'must be a whole number'
  if (type === 'boolean' && !/^(true|false|yes|no|on|off|1|0|y|n|t|f|ja)$/i.test(String(value))) return 'must be true or false'
  return undefined
}

const child = (element: XmlElement, name: string) => element.children.find((inner) => inner.name === name)
const childText = (element: XmlElement, name: string) => child(element, name)?.text.replace(/[ \t]+/g, ' ') ?? ''
const childrenOf = (element: XmlElement | undefined, name: string) => element?.children.filter((inner) => inner.name === name) ?? []
const isTrue = (text: string | undefined) => text === '1' || text === 'true' || text === 'yes'
