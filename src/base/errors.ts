/**
 * Operating errors: a peer is down, a request is wrong, a device is slow. Expected, coded, and told to the client.
 *
 * The table is the only place where a code gets its HTTP status and its general text; callers and tests look at the code.
 */

export const errorTable = {
  BAD_JSON: { httpStatus: 400, retry: false, text: 'the body is not valid JSON' },
  BAD_YAML: { httpStatus: 400, retry: false, text: 'the document is not valid YAML' },
  INVALID: { httpStatus: 400, retry: false, text: 'the request does not fit its schema' },
  UNKNOWN_KEY: { httpStatus: 400, retry: false, text: 'the request has a key that does not exist' },
  INVALID_NAME: { httpStatus: 400, retry: false, text: 'that cannot be a name' },
  INVALID_QUERY: { httpStatus: 400, retry: false, text: 'a query parameter is wrong' },
  INVALID_DEFINITION: { httpStatus: 422, retry: false, text: 'the definition contradicts itself or the cluster' },
  IMPOSSIBLE_SETTINGS: { httpStatus: 422, retry: false, text: 'these times cannot hold together' },
  DEPENDENCY_RING: { httpStatus: 422, retry: false, text: 'the dependencies form a ring' },
  UNKNOWN_NODE: { httpStatus: 422, retry: false, text: 'the definition names a node that the cluster does not have' },
  UNKNOWN_TYPE: { httpStatus: 422, retry: false, text: 'no resource type has this name' },
  VALIDATION_FAILED: { httpStatus: 422, retry: false, text: 'an agent says on a node that it could not run so' },
  UNAUTHORIZED_HOST: { httpStatus: 403, retry: false, text: 'the Host or Origin of the request is not this listener' },
  NOT_FOUND: { httpStatus: 404, retry: false, text: 'there is nothing at this path' },
  NODE_NOT_FOUND: { httpStatus: 404, retry: false, text: 'no node has this name' },
  MEMBER_NOT_FOUND: { httpStatus: 404, retry: false, text: 'no member has this id' },
  GROUP_NOT_FOUND: { httpStatus: 404, retry: false, text: 'no resource group has this name' },
  RESOURCE_NOT_FOUND: { httpStatus: 404, retry: false, text: 'the group has no resource of this name' },
  ACTION_NOT_FOUND: { httpStatus: 404, retry: false, text: 'the resource has no such action' },
  LOG_NOT_FOUND: { httpStatus: 404, retry: false, text: 'no node that was asked has a log of this resource' },
  DISK_NOT_FOUND: { httpStatus: 404, retry: false, text: 'no shared disk has this name' },
  CASE_NOT_FOUND: { httpStatus: 404, retry: false, text: 'no case has this id' },
  DECISION_NOT_FOUND: { httpStatus: 404, retry: false, text: 'no decision has this id' },
  OPERATION_NOT_FOUND: { httpStatus: 404, retry: false, text: 'no operation has this id' },
  KEY_NOT_FOUND: { httpStatus: 404, retry: false, text: 'the store has no such key' },
  CHECKPOINT_NOT_FOUND: { httpStatus: 404, retry: false, text: 'the group has no such checkpoint' },
  TYPE_NOT_FOUND: { httpStatus: 404, retry: false, text: 'no resource type has this name on this node' },
  METHOD_NOT_ALLOWED: { httpStatus: 405, retry: false, text: 'this path does not know that method' },
  MEMBER_CHANGE_REFUSED: { httpStatus: 409, retry: false, text: 'the configuration of the consensus cannot change so now' },
  MIXED_VERSIONS: { httpStatus: 409, retry: false, text: 'not every member runs a version that knows this' },
  CONFLICT: { httpStatus: 409, retry: false, text: 'the present state does not allow it' },
  NAME_HELD: { httpStatus: 409, retry: false, text: 'the name is still held by what may be running' },
  GRANT_REFUSED: { httpStatus: 409, retry: false, text: 'the state machine refused the grant' },
  PROOF_REFUSED: { httpStatus: 409, retry: false, text: 'the state machine refused the proof' },
  STALE_TOKEN: { httpStatus: 409, retry: false, text: 'the grant token is not the current one' },
  FROZEN: { httpStatus: 409, retry: false, text: 'the group is frozen' },
  IDEMPOTENCY_MISMATCH: { httpStatus: 409, retry: false, text: 'this Idempotency-Key was used for another request' },
  JOURNAL_TRIMMED: { httpStatus: 410, retry: false, text: 'events from that revision on are no longer kept' },
  REVISION_MISMATCH: { httpStatus: 412, retry: false, text: 'the object has another revision than the request expects' },
  TOO_LARGE: { httpStatus: 413, retry: false, text: 'the body is too large' },
  UNSUPPORTED_MEDIA_TYPE: { httpStatus: 415, retry: false, text: 'the body is neither JSON nor YAML' },
  INTERNAL: { httpStatus: 500, retry: false, text: 'the server failed on this request' },
  STORE_CORRUPT: { httpStatus: 500, retry: false, text: 'the log on disk fails its checksum' },
  STORE_FAILED: { httpStatus: 500, retry: false, text: 'the disk refused a write or a sync' },
  STATE_DIVERGED: { httpStatus: 500, retry: false, text: 'the state of this member differs from that of the others' },
  MEMBER_REGRESSED: { httpStatus: 500, retry: false, text: 'the disk of this member has lost what it acknowledged' },
  STORE_LOCKED: { httpStatus: 500, retry: false, text: 'another process uses this data folder' },
  STORE_FORMAT: { httpStatus: 500, retry: false, text: 'the data folder has a format that this version does not know' },
  SNAPSHOT_DAMAGED: { httpStatus: 500, retry: true, text: 'a received snapshot fails its checksum' },
  SNAPSHOT_GONE: { httpStatus: 503, retry: true, text: 'the snapshot is no longer read or received here' },
  NOT_YET: { httpStatus: 501, retry: false, text: 'this version does not do that yet' },
  NOT_LEADER: { httpStatus: 503, retry: true, text: 'this node is not the leader' },
  NO_LEADER: { httpStatus: 503, retry: true, text: 'the cluster has no leader at the moment' },
  NO_QUORUM: { httpStatus: 503, retry: true, text: 'no quorum of voters answered in time' },
  NOT_FORMED: { httpStatus: 503, retry: true, text: 'the cluster has not formed yet' },
  UNKNOWN_OUTCOME: { httpStatus: 503, retry: true, text: 'the request may or may not have been carried out' },
  OVERLOADED: { httpStatus: 503, retry: true, text: 'too many requests are waiting' },
  TOO_MANY_HOPS: { httpStatus: 503, retry: true, text: 'the request was passed on too often' },
  SHUTTING_DOWN: { httpStatus: 503, retry: true, text: 'this node is stopping' },
} as const

export type ErrorCode = keyof typeof errorTable

export interface ErrorExtra {
  /** What to do next: a command or one sentence. */
  readonly fix?: string
  /** Values that the text speaks of, for machines. */
  readonly facts?: Readonly<Record<string, unknown>>
}

export class ClusterError extends Error {
  override readonly name = 'ClusterError'
  readonly code: ErrorCode
  readonly fix: string | undefined
  readonly facts: Readonly<Record<string, unknown>>

  /** `detail` says what was wrong this time, with the values seen. */
  constructor(code: ErrorCode, detail: string, extra: ErrorExtra = {}) {
    super(detail)
    this.code = code
    this.fix = extra.fix
    this.facts = extra.facts ?? {}
  }

  /** The form in which an error travels between nodes and into command results. */
  toPlain(): PlainError {
    return {
      code: this.code,
      detail: this.message,
      ...(this.fix === undefined ? {} : { fix: this.fix }),
      ...(Object.keys(this.facts).length === 0 ? {} : { facts: this.facts }),
    }
  }
}

export interface PlainError {
  readonly code: ErrorCode
  readonly detail: string
  readonly fix?: string
  readonly facts?: Readonly<Record<string, unknown>>
}

export function fromPlain(plain: PlainError): ClusterError {
  return new ClusterError(plain.code, plain.detail, {
    ...(plain.fix === undefined ? {} : { fix: plain.fix }),
    ...(plain.facts === undefined ? {} : { facts: plain.facts }),
  })
}

/** Shortest edit distance first: the name that was probably meant, or undefined when none is near. */
export function nearestName(wrong: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(wrong.length / 2))
  for (const candidate of known) {
    // Of equally near ones, the one that was begun so is meant.
    const begun = candidate.toLowerCase().startsWith(wrong.toLowerCase())
    const distance = editDistance(wrong.toLowerCase(), candidate.toLowerCase()) - (begun ? 0.5 : 0)
    if (distance <= bestDistance && (best === undefined || distance < bestDistance)) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const substitution = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1)
      current.push(Math.min(substitution, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1))
    }
    previous = current
  }
  return previous[b.length] ?? 0
}

/** Exit status of a process that cannot run until somebody has mended what it says (EX_SOFTWARE of sysexits). */
export const cannotRun = 70
