/** Errors as RFC 9457 problem details: what is wrong, and what to do next. */
import { ClusterError, type ErrorCode, errorTable, type PlainError } from '../../base/index.js'

export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: ErrorCode
  readonly detail: string
  readonly fix?: string
  readonly facts?: Readonly<Record<string, unknown>>
  readonly instance: string
}

export const problemType = 'application/problem+json'

export function problemOf(error: ClusterError, instance: string): Problem {
  const { httpStatus, text } = errorTable[error.code]
  return {
    type: `urn:quorate:error:${error.code}`,
    title: text,
    status: httpStatus,
    code: error.code,
    detail: error.message,
    ...(error.fix === undefined ? {} : { fix: error.fix }),
    ...(Object.keys(error.facts).length === 0 ? {} : { facts: error.facts }),
    instance,
  }
}

/** The error of a command that the state machine refused, as it came through the log. */
export function refusal(error: { readonly code: string; readonly detail: string; readonly fix?: string }): ClusterError {
  const plain = error as PlainError
  const code = Object.hasOwn(errorTable, plain.code) ? plain.code : 'INTERNAL'
  return new ClusterError(code, plain.detail, {
    ...(plain.fix === undefined ? {} : { fix: plain.fix }),
    ...(plain.facts === undefined ? {} : { facts: plain.facts }),
  })
}

/** Anything thrown while a request was handled, as an operating error. `undefined` for what is our own bug. */
export function operatingError(error: unknown): ClusterError | undefined {
  if (error instanceof ClusterError) return error
  const { code, message } = error as { code?: string; message?: string }
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new ClusterError('TOO_LARGE', 'the body has more than 1 MiB', { fix: 'send less at once' })
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new ClusterError('UNSUPPORTED_MEDIA_TYPE', message ?? 'the content type cannot be read', {
        fix: 'send JSON, or YAML with content-type: application/yaml',
      })
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new ClusterError('INVALID', 'the body is shorter or longer than its content-length', { fix: 'send what was announced' })
    case 'FST_ERR_BAD_URL':
      return new ClusterError('INVALID', 'the path cannot be decoded', { fix: 'write a literal % as %25' })
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new ClusterError('NOT_FOUND', 'the path is too long', { fix: 'names have at most 63 characters, keys 512' })
    case 'ECONNRESET':
    case 'ECONNABORTED':
      return new ClusterError('INVALID', 'the request ended too early')
    default:
      return undefined
  }
}
