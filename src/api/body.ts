/**
 * Bodies and query parameters: parsed, checked against a JSON Schema, refused with the nearest right name.
 *
 * Nothing is coerced and nothing unknown is dropped. The same schemas make the OpenAPI description.
 */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import { parse as parseYaml } from 'yaml'
import { ClusterError, nearestName, parseDuration } from '../base/index.js'

export type Schema = { readonly [key: string]: unknown }

const ajv = new Ajv({
  allErrors: false,
  coerceTypes: false,
  useDefaults: false,
  removeAdditional: false,
  allowUnionTypes: true,
  strict: false,
})
const compiled = new WeakMap<Schema, ValidateFunction>()

/** Errors: BAD_JSON, BAD_YAML, UNSUPPORTED_MEDIA_TYPE. An empty body is `{}`; curl's own content type counts as JSON. */
export function parseBody(text: string, contentType: string | undefined): unknown {
  if (text.trim() === '') return {}
  const type = (contentType ?? 'application/json').split(';')[0]?.trim().toLowerCase() ?? ''
  if (type === 'application/yaml' || type === 'text/yaml' || type === 'application/x-yaml') {
    try {
      return parseYaml(text)
    } catch (error) {
      throw new ClusterError('BAD_YAML', (error as Error).message.split('\n')[0] ?? 'not YAML')
    }
  }
  if (!['application/json', 'application/x-www-form-urlencoded', 'text/plain', 'application/merge-patch+json'].includes(type)) {
    throw new ClusterError('UNSUPPORTED_MEDIA_TYPE', `the body is ${type}`, {
      fix: 'send JSON, with or without "content-type: application/json"',
    })
  }
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new ClusterError('BAD_JSON', (error as Error).message, {
      fix: 'check quotes, commas and brackets; in a shell put the JSON in single quotes',
    })
  }
}

/** Errors: UNKNOWN_KEY, INVALID. */
export function check(schema: Schema, value: unknown, what = 'the body'): void {
  const validate = compiled.get(schema) ?? ajv.compile(schema)
  compiled.set(schema, validate)
  if (validate(value)) return
  const error = validate.errors?.[0]
  if (error !== undefined) throw explain(error, schema, what)
}

function explain(error: ErrorObject, schema: Schema, what: string): ClusterError {
  const place = error.instancePath === '' ? what : error.instancePath.slice(1).replaceAll('/', '.')
  if (error.keyword === 'additionalProperties') {
    const key = String((error.params as { additionalProperty: string }).additionalProperty)
    const known = Object.keys((at(schema, error.schemaPath)?.properties as object | undefined) ?? {})
    const nearest = nearestName(key, known)
    const fix =
      nearest === undefined ? (known.length === 0 ? 'leave it out' : `the keys are ${known.join(', ')}`) : `did you mean "${nearest}"?`
    return new ClusterError('UNKNOWN_KEY', `${place} has no key "${key.slice(0, 80)}"`, { fix })
  }
  if (error.keyword === 'required') {
    const key = (error.params as { missingProperty: string }).missingProperty
    return new ClusterError('INVALID', `${place} lacks "${key}"`, { fix: `add "${key}"` })
  }
  const allowed = (error.params as { allowedValues?: unknown[] }).allowedValues
  const fix = allowed === undefined ? `${place} ${error.message ?? 'is wrong'}` : `choose one of ${allowed.map(String).join(', ')}`
  return new ClusterError('INVALID', `${place} ${error.message ?? 'is wrong'}`, { fix })
}

/** The schema object that a failed `additionalProperties` belongs to: `#/properties/probe/additionalProperties`. */
function at(schema: Schema, path: string): Schema | undefined {
  let found: unknown = schema
  for (const part of path.split('/').slice(1, -1))
    found = (found as Record<string, unknown> | undefined)?.[decodeURIComponent(part).replaceAll('~1', '/')]
  return found as Schema | undefined
}

export type Query = Readonly<Record<string, string | undefined>>

/** Errors: INVALID_QUERY for a parameter that is not known here, or given twice. */
export function checkQuery(query: unknown, known: readonly string[]): Query {
  const found = (query ?? {}) as Record<string, unknown>
  for (const [key, value] of Object.entries(found)) {
    if (!known.includes(key)) {
      const nearest = nearestName(key, known)
      throw new ClusterError('INVALID_QUERY', `there is no query parameter "${key.slice(0, 80)}" here`, {
        fix:
          nearest === undefined
            ? known.length === 0
              ? 'leave it out'
              : `the parameters are ${known.join(', ')}`
            : `did you mean "${nearest}"?`,
      })
    }
    if (typeof value !== 'string') throw new ClusterError('INVALID_QUERY', `the query parameter "${key}" is given twice`)
  }
  return found as Query
}

/** Milliseconds, 0 without one. Errors: INVALID_QUERY. */
export function queryDuration(query: Query, name: string, max: number): number {
  const value = query[name]
  if (value === undefined) return 0
  let span: number
  try {
    span = parseDuration(/^\d+$/.test(value) ? `${value}s` : value)
  } catch {
    throw new ClusterError('INVALID_QUERY', `${name}=${value} is not a duration`, { fix: `for example ?${name}=30s` })
  }
  if (span > max) throw new ClusterError('INVALID_QUERY', `${name}=${value} is too long`, { fix: `at most ${max / 1000}s` })
  return span
}

/** Errors: INVALID_QUERY. */
export function queryNumber(query: Query, name: string): number | undefined {
  const value = query[name]
  if (value === undefined) return undefined
  if (!/^\d{1,15}$/.test(value)) throw new ClusterError('INVALID_QUERY', `${name}=${value.slice(0, 40)} is not a whole number`)
  return Number(value)
}

/** Errors: INVALID_QUERY. */
export function queryFlag(query: Query, name: string): boolean {
  const value = query[name]
  if (value === undefined || value === 'false') return false
  if (value === 'true' || value === '') return true
  throw new ClusterError('INVALID_QUERY', `${name}=${value.slice(0, 40)} is neither true nor false`)
}
