/** Query parameters: declared by each route, checked as text, never coerced silently, unknown ones refused by name. */
import { ClusterError, formatDuration, nearestName, parseDuration } from '../../base/index.js'

export type QueryParameter =
  | { readonly kind: 'integer'; readonly min: number; readonly max: number; readonly doc: string }
  | { readonly kind: 'duration'; readonly min: number; readonly max: number; readonly doc: string }
  | { readonly kind: 'flag'; readonly doc: string }
  | { readonly kind: 'text'; readonly doc: string; readonly required?: boolean }
  | { readonly kind: 'choice'; readonly values: readonly string[]; readonly doc: string }
export type QuerySpecification = Readonly<Record<string, QueryParameter>>

type Value = string | number | boolean

/** What was given, already checked against the route's specification. */
export class Query {
  private readonly values: ReadonlyMap<string, Value>

  constructor(values: ReadonlyMap<string, Value>) {
    this.values = values
  }

  /** Whole numbers, and durations in milliseconds. */
  number(name: string): number | undefined {
    const value = this.values.get(name)
    return typeof value === 'number' ? value : undefined
  }

  text(name: string): string | undefined {
    const value = this.values.get(name)
    return typeof value === 'string' ? value : undefined
  }

  flag(name: string): boolean | undefined {
    const value = this.values.get(name)
    return typeof value === 'boolean' ? value : undefined
  }
}

/** What was found in the same text before: clients repeat their queries. By specification. */
const found = new WeakMap<QuerySpecification, Map<string, Query>>()
const foundMax = 100

/** Errors: INVALID_QUERY. */
export function parseQuery(text: string, specification: QuerySpecification): Query {
  const before = found.get(specification) ?? new Map<string, Query>()
  const known = before.get(text)
  if (known !== undefined) return known
  const query = readQuery(text, specification)
  if (before.size < foundMax && text.length <= 100) found.set(specification, before.set(text, query))
  return query
}

function readQuery(text: string, specification: QuerySpecification): Query {
  const values = new Map<string, Value>()
  for (const [name, value] of new URLSearchParams(text)) {
    const parameter = Object.hasOwn(specification, name) ? specification[name] : undefined
    if (parameter === undefined) throw unknown(name, Object.keys(specification))
    if (values.has(name)) throw wrong(name, `${name} is given twice`, 'give it once')
    values.set(name, parseParameter(name, value, parameter))
  }
  for (const [name, parameter] of Object.entries(specification)) {
    if (parameter.kind === 'text' && parameter.required === true && !values.has(name))
      throw wrong(name, `the query parameter "${name}" is missing`, `add ?${name}=…: ${parameter.doc}`)
  }
  return new Query(values)
}

function parseParameter(name: string, text: string, parameter: QueryParameter): Value {
  const shown = text.slice(0, 80)
  switch (parameter.kind) {
    case 'integer': {
      const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
      if (!Number.isSafeInteger(value) || value < parameter.min || value > parameter.max)
        throw wrong(name, `${name} is "${shown}"`, `use a whole number from ${parameter.min} to ${parameter.max}`)
      return value
    }
    case 'duration': {
      const fix = `use a duration from ${formatDuration(parameter.min)} to ${formatDuration(parameter.max)}, such as 30s`
      // A bare number would be milliseconds here and seconds to whoever typed it.
      if (!/^\d+(\.\d+)?(ms|s|m|h|d)$/.test(text)) throw wrong(name, `${name} is "${shown}"`, fix)
      const value = parseDuration(text)
      if (value < parameter.min || value > parameter.max) throw wrong(name, `${name} is "${shown}"`, fix)
      return value
    }
    case 'flag':
      if (text !== 'true' && text !== 'false') throw wrong(name, `${name} is "${shown}"`, 'use true or false')
      return text === 'true'
    case 'choice':
      if (!parameter.values.includes(text)) throw wrong(name, `${name} is "${shown}"`, `choose one of ${parameter.values.join(', ')}`)
      return text
    case 'text':
      if (text.length > 512) throw wrong(name, `${name} has ${text.length} characters`, 'keep to 512 at most')
      return text
  }
}

function unknown(name: string, known: readonly string[]): ClusterError {
  const nearest = nearestName(name, known)
  const all = known.length === 0 ? 'this path takes none' : `this path takes ${known.join(', ')}`
  return wrong(name, `there is no query parameter "${name.slice(0, 80)}" here`, nearest === undefined ? all : `did you mean "${nearest}"?`)
}

function wrong(name: string, detail: string, fix: string): ClusterError {
  return new ClusterError('INVALID_QUERY', detail, { fix, facts: { parameter: name.slice(0, 80) } })
}
