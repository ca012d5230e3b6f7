/** Checks a value against its schema; what is wrong is said by path, with the nearest right name. Nothing is coerced. */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import { ClusterError, nearestName } from '../../base/index.js'
import type { Schema } from '../schemas/index.js'

const ajv = new Ajv({
  allErrors: false,
  verbose: true,
  strict: true,
  allowUnionTypes: true,
  strictTypes: false,
  keywords: ['x-not-yet'],
})
const compiled = new WeakMap<Schema, ValidateFunction>()

/** Errors: INVALID, UNKNOWN_KEY, NOT_YET. */
export function checkValue(schema: Schema, value: unknown, what = 'the body'): void {
  let check = compiled.get(schema)
  if (check === undefined) {
    check = ajv.compile(schema)
    compiled.set(schema, check)
  }
  if (check(value)) return
  const found = check.errors?.[0]
  throw found === undefined ? new ClusterError('INVALID', `${what} is wrong`) : explain(found, what)
}

function explain(error: ErrorObject, what: string): ClusterError {
  const path = error.instancePath === '' ? what : error.instancePath.slice(1).split('/').map(decode).join('.')
  const schema = (error.parentSchema ?? {}) as Schema
  const facts = { path }
  switch (error.keyword) {
    case 'additionalProperties':
      return unknownKey(String(error.params.additionalProperty), schema, path)
    case 'not':
      return new ClusterError('NOT_YET', `"${path}" comes with a later version`, { fix: 'leave it out', facts })
    case 'required': {
      // A key that is missing and one that is not known are mostly the same one, misspelt.
      const misspelt =
        schema.additionalProperties === false ? Object.keys(error.data as object).find((key) => !hasKey(schema, key)) : undefined
      if (misspelt !== undefined) return unknownKey(misspelt, schema, path)
      const missing = String(error.params.missingProperty)
      return new ClusterError('INVALID', `${path} lacks "${missing}"`, {
        fix: `add "${missing}": ${schema.properties?.[missing]?.description ?? 'it is needed'}`,
        facts,
      })
    }
    case 'enum':
      return new ClusterError('INVALID', `${path} is ${show(error.data)}`, { fix: chooseFix(error, schema), facts })
    case 'type':
      return new ClusterError('INVALID', `${path} is ${show(error.data)}`, { fix: `it has to be ${typeText(schema.type)}`, facts })
    default:
      return new ClusterError('INVALID', `${path} ${error.message ?? 'is wrong'}`, {
        fix: schema.description ?? 'GET /v1/openapi.json describes it',
        facts,
      })
  }
}

function hasKey(schema: Schema, key: string): boolean {
  return schema.properties !== undefined && Object.hasOwn(schema.properties, key)
}

function unknownKey(key: string, schema: Schema, path: string): ClusterError {
  const known = Object.keys(schema.properties ?? {})
  const nearest = nearestName(key, known)
  const all = known.length === 0 ? 'it takes no keys' : `it takes ${known.join(', ')}`
  return new ClusterError('UNKNOWN_KEY', `${path} has no key "${key.slice(0, 80)}"`, {
    fix: nearest === undefined ? all : `did you mean "${nearest}"?`,
    facts: { path },
  })
}

function chooseFix(error: ErrorObject, schema: Schema): string {
  const values = schema.enum ?? []
  const nearest = nearestName(String(error.data).slice(0, 80), values.map(String))
  return nearest === undefined ? `choose one of ${values.join(', ')}` : `did you mean "${nearest}"? choose one of ${values.join(', ')}`
}

function typeText(type: Schema['type']): string {
  const words: Readonly<Record<string, string>> = {
    object: 'an object',
    array: 'a list',
    string: 'a text',
    integer: 'a whole number',
    number: 'a number',
    boolean: 'true or false',
    null: 'null',
  }
  return (typeof type === 'string' ? [type] : (type ?? [])).map((name) => words[name] ?? name).join(', or ')
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

function decode(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~').slice(0, 80)
}
