/** Bodies: bytes and a content type → a value. curl's own default (`-d` without a type) counts as JSON; an empty body is `{}`. */
import { isAscii } from 'node:buffer'
import { ClusterError } from '../../base/index.js'
import { parseJson } from './json-text.js'
import { parseYaml } from './yaml.js'

const yamlTypes: ReadonlySet<string> = new Set(['application/yaml', 'application/x-yaml', 'text/yaml', 'text/x-yaml'])
const jsonTypes: ReadonlySet<string> = new Set(['', 'application/json', 'application/x-www-form-urlencoded', 'text/plain'])
const decoder = new TextDecoder('utf-8', { fatal: true })

/** Errors: BAD_JSON, BAD_YAML, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE. */
export async function parsePayload(bytes: Uint8Array, contentType: string | undefined): Promise<unknown> {
  const type = typeOf(contentType)
  return yamlTypes.has(type) ? yamlOf(bytes) : jsonOf(bytes, contentType)
}

/** A body that is no YAML. Errors: BAD_JSON, UNSUPPORTED_MEDIA_TYPE. */
export function jsonOf(bytes: Uint8Array, contentType: string | undefined): unknown {
  const type = typeOf(contentType)
  if (!jsonTypes.has(type) && !/^application\/[\w.-]+\+json$/.test(type)) {
    throw new ClusterError('UNSUPPORTED_MEDIA_TYPE', `the body is ${type.slice(0, 80)}`, {
      fix: 'send JSON (the default), or YAML with content-type: application/yaml',
    })
  }
  const text = textOf(bytes)
  return text.trim() === '' ? {} : parseJson(text)
}

async function yamlOf(bytes: Uint8Array): Promise<unknown> {
  const text = textOf(bytes)
  return text.trim() === '' ? {} : parseYaml(text)
}

function typeOf(contentType: string | undefined): string {
  return contentType === 'application/json' ? contentType : ((contentType ?? '').split(';')[0]?.trim().toLowerCase() ?? '')
}

function textOf(bytes: Uint8Array): string {
  // Most of what is sent, and read in half the time.
  if (isAscii(bytes)) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
  try {
    return decoder.decode(bytes)
  } catch {
    throw new ClusterError('BAD_JSON', 'the body is not UTF-8', { fix: 'send it as UTF-8' })
  }
}
