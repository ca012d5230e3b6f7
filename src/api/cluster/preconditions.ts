/** `If-Match` and `If-None-Match` as preconditions of a change (RFC 9110 §13); an ETag is a revision. */
import { ClusterError, type LogIndex, logIndex } from '../../base/index.js'
import type { Precondition } from '../../core/cluster/index.js'
import type { Call } from '../http/route.js'

/** Errors: INVALID. */
export function preconditionOf(call: Call): Precondition {
  const match = call.headers['if-match']
  const none = call.headers['if-none-match']
  const ifRevision = match === undefined ? undefined : revisionOf(match)
  if (none !== undefined && none.trim() !== '*')
    throw new ClusterError('INVALID', `If-None-Match is ${none.slice(0, 80)}`, {
      fix: 'changes take If-None-Match: * only (create, never replace)',
    })
  return {
    ...(ifRevision === undefined ? {} : { ifRevision }),
    ...(none === undefined ? {} : { ifAbsent: true }),
  }
}

export function revisionOf(tag: string): LogIndex {
  const value = Number(/^(?:W\/)?"?(\d{1,16})"?$/.exec(tag.trim())?.[1])
  if (!Number.isSafeInteger(value))
    throw new ClusterError('INVALID', `If-Match is ${tag.slice(0, 80)}`, {
      fix: 'send the ETag of the object as you read it, such as If-Match: "42"',
    })
  return logIndex(value)
}

export const etag = (revision: number): string => `"${revision}"`

/** Whether a GET asks for something newer than it has. */
export function isUnchanged(call: Call, revision: number): boolean {
  const none = call.headers['if-none-match']
  return none?.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag(revision)) === true
}
