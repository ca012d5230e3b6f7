/** Bodies: bytes and a content type → a value. curl's own default (`-d` without a type) counts as JSON; an empty body is `{}`. */
import { parseDocument } from 'yaml'
import { ClusterError } from '../../base/index.js'
import { parseJson } from './json-text.js'

/** Parsing YAML is slow: a larger document has to come as JSON. Bytes. */
const yamlMax = 262_144
const yamlTypes: ReadonlySet<string> = new Set(['application/yaml', 'application/x-yaml', 'text/yaml', 'text/x-yaml'])
const jsonTypes: ReadonlySet<string> = new Set(['', 'application/json', 'application/x-www-form-urlencoded', 'text/plain'])
const decoder = new TextDecoder('utf-8', { fatal: true })

/** Errors: BAD_JSON, BAD_YAML, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE. */
export function parsePayload(bytes: Uint8Array, contentType: string | undefined): unknown {
  const type = (contentType ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
  const isYaml = yamlTypes.has(type)
  if (!isYaml && !jsonTypes.has(type) && !/^application\/[\w.-]+\+json$/.test(type)) {
    throw new ClusterError('UNSUPPORTED_MEDIA_TYPE', `the body is ${type.slice(0, 80)}`, {
      fix: 'send JSON (the default), or YAML with content-type: application/yaml',
    })
  }
  const text = textOf(bytes)
  if (text.trim() === '') return {}
  return isYaml ? parseYaml(text) : parseJson(text)
}

function textOf(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch {
    throw new ClusterError('BAD_JSON', 'the body is not UTF-8', { fix: 'send it as UTF-8' })
  }
}

function parseYaml(text: string): unknown {
  if (text.length > yamlMax) throw new ClusterError('TOO_LARGE', `the YAML document has ${text.length} bytes`, { fix: 'send it as JSON' })
  const document = parseDocument(text, { prettyErrors: true, strict: true, uniqueKeys: true, stringKeys: true })
  const problem = document.errors[0] ?? document.warnings[0]
  if (problem !== undefined) {
    const { line, col } = problem.linePos?.[0] ?? { line: 1, col: 1 }
    throw new ClusterError('BAD_YAML', `${problem.message.split('\n')[0]}`, {
      fix: 'correct the document at that place',
      facts: { line, column: col },
    })
  }
  try {
    // Only what JSON can say too: aliases are resolved (bounded), `.nan` and the like are refused.
    return plain(document.toJS({ maxAliasCount: 50 }), 0)
  } catch (error) {
    if (error instanceof ClusterError) throw error
    throw new ClusterError('BAD_YAML', (error as Error).message, { fix: 'write it without aliases' })
  }
}

function plain(value: unknown, depth: number): unknown {
  if (depth > 100) throw new ClusterError('BAD_YAML', 'nested deeper than 100')
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value
  if (typeof value === 'number' && Number.isFinite(value)) return value
  if (Array.isArray(value)) return value.map((item) => plain(item, depth + 1))
  if (typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
    if (Object.hasOwn(value, '__proto__')) throw new ClusterError('BAD_YAML', 'the key "__proto__" is not allowed')
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item, depth + 1)]))
  }
  throw new ClusterError('BAD_YAML', `${String(value)} cannot be written in JSON`, { fix: 'use texts, numbers, true, false and null' })
}
