/** What an OCF agent says of itself (`meta-data`, OCF 1.1), as a schema for the parameters of its type. */
import { nearestName, parseDuration } from '../../base/index.js'
import type { ParameterValue } from '../cluster/index.js'
import type { ParameterProblem } from './parameters.js'
import { parseXml, type XmlElement } from './xml.js'

export interface OcfParameter {
  readonly name: string
  readonly required: boolean
  /** `string`, `integer`, `boolean`, `second` and whatever else agents write. */
  readonly type: string
  readonly fallback?: string
  readonly doc: string
  readonly deprecated: boolean
}

export interface OcfAction {
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
  readonly actions: readonly OcfAction[]
}

/** Undefined when the text is no OCF metadata. */
export function parseOcfMetadata(xml: string): OcfMetadata | undefined {
  const root = parseXml(xml.trim())
  if (root?.name !== 'resource-agent') return undefined
  return {
    agent: root.attributes.name ?? '',
    version: childText(root, 'version') || (root.attributes.version ?? ''),
    shortdesc: childText(root, 'shortdesc'),
    longdesc: childText(root, 'longdesc'),
    parameters: childrenOf(child(root, 'parameters'), 'parameter').map(parameterOf),
    actions: childrenOf(child(root, 'actions'), 'action').map(actionOf),
  }
}

function parameterOf(element: XmlElement): OcfParameter {
  const content = child(element, 'content')?.attributes
  const fallback = content?.default
  return {
    name: element.attributes.name ?? '',
    required: isTrue(element.attributes.required),
    type: content?.type ?? 'string',
    ...(fallback === undefined ? {} : { fallback }),
    doc: childText(element, 'longdesc') || childText(element, 'shortdesc'),
    deprecated: child(element, 'deprecated') !== undefined || element.attributes.deprecated === '1',
  }
}

function actionOf(element: XmlElement): OcfAction {
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

/** Everything wrong with parameters for this agent. */
export function checkOcfParameters(metadata: OcfMetadata, parameters: { readonly [name: string]: ParameterValue }): ParameterProblem[] {
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
    const wrong = parameter === undefined ? undefined : wrongValue(parameter.type, value)
    if (wrong !== undefined) problems.push({ parameter: name, detail: `${name} ${wrong}` })
  }
  for (const parameter of metadata.parameters) {
    if (!parameter.required || (parameter.fallback ?? '') !== '' || parameters[parameter.name] !== undefined) continue
    problems.push({
      parameter: parameter.name,
      detail: `the agent ${metadata.agent} needs the parameter "${parameter.name}"`,
      fix: parameter.doc,
    })
  }
  return problems
}

function wrongValue(type: string, value: ParameterValue): string | undefined {
  if (typeof value === 'object') return 'must be a text, a number, or true or false'
  if (type === 'integer' && !/^[+-]?\d+$/.test(String(value))) return 'must be a whole number'
  if (type === 'boolean' && !/^(true|false|yes|no|on|off|1|0|y|n|t|f|ja)$/i.test(String(value))) return 'must be true or false'
  return undefined
}

const child = (element: XmlElement, name: string) => element.children.find((inner) => inner.name === name)
const childText = (element: XmlElement, name: string) => child(element, name)?.text.replace(/[ \t]+/g, ' ') ?? ''
const childrenOf = (element: XmlElement | undefined, name: string) => element?.children.filter((inner) => inner.name === name) ?? []
const isTrue = (text: string | undefined) => text === '1' || text === 'true' || text === 'yes'
