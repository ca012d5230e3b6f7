/** Bodies: bytes and a content type → a value. curl's own default (`-d` without a type) counts as JSON; an empty body is `{}`. */
import { ClusterError } from '../../base/index.js'
import { parseJson } from './json-text.js'
import { parseYaml } from './yaml.js'

const yamlTypes: ReadonlySet<string> = new Set(['application/yaml', 'application/x-yaml', 'text/yaml', 'text/x-yaml'])
const jsonTypes: ReadonlySet<string> = new Set(['', 'application/json', 'application/x-www-form-urlencoded', 'text/plain'])
const decoder = new TextDecoder('utf-8', { fatal: true })

/** Errors: BAD_JSON, BAD_YAML, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE. */
export async function parsePayload(bytes: Uint8Array, contentType: string | undefined): Promise<unknown> {
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
