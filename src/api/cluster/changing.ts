/**
 * Changes: committed once, however often they are sent under one Idempotency-Key, or with `dryRun=true` only looked at.
 *
 * Long work is an operation: 202 and its place at once, or with `wait` the operation as it ended.
 */
import { createHash, randomBytes } from 'node:crypto'
import { ClusterError, type RequestId } from '../../base/index.js'
import type { Command, CommandResult, OperationRow } from '../../core/cluster/index.js'
import type { QuorateNode } from '../../node/index.js'
import { refusal } from '../http/problem.js'
import type { QuerySpecification } from '../http/query.js'
import type { Answer, Call } from '../http/route.js'
import { presentOperation } from '../present/operation.js'
import type { Access } from './access.js'
import { dryRun } from './dry-run.js'
import { waitMax } from './waits.js'

const writeTimeout = 5_000

export const changeQuery: QuerySpecification = {
  dryRun: { kind: 'flag', doc: '`true`: changes nothing and answers with what would be done, and why.' },
  timeout: { kind: 'duration', min: 50, max: 60_000, doc: 'How long a quorum may take to answer; 5s unless given.' },
}
export const operationQuery: QuerySpecification = {
  ...changeQuery,
  wait: { kind: 'duration', min: 1, max: waitMax, doc: 'Waits for the operation to end and answers with it.' },
}

export type Value = Readonly<Record<string, unknown>>

type Answering = (value: Value) => Answer | Promise<Answer>

/** Has the command carried out, or looked at, and answers with what `answer` makes of its value. */
export function carryOut(access: Access, call: Call, command: Command, answer: Answering): Promise<Answer> {
  const node = access.formedNode
  const isPlain = node !== undefined && call.headers['idempotency-key'] === undefined && call.query.flag('dryRun') !== true
  // One promise instead of three: this is the way of nearly all writes.
  return isPlain
    ? node.propose(command, { timeoutMs: timeoutOf(call) }).then((result) => answer(valueFrom(node, call, result)))
    : carryOutOnce(access, call, command, answer)
}

async function carryOutOnce(access: Access, call: Call, command: Command, answer: Answering): Promise<Answer> {
  if (call.query.flag('dryRun') === true) return dryRun(access, call, command)
  return answer(await change(access, call, command))
}

/** As `carryOut`, for commands that start an operation under the id they are given. */
export function operate(access: Access, call: Call, make: (operation: string) => Command): Promise<Answer> {
  const fresh = newOperationId()
  // A repeated request gets the kept answer, and with it the operation that the first one started.
  return carryOut(access, call, make(fresh), (value) => operationAnswer(access, call, String(value.operation ?? fresh)))
}

export function newOperationId(): string {
  return `op-${randomBytes(8).toString('hex')}`
}

async function operationAnswer(access: Access, call: Call, id: string): Promise<Answer> {
  const find = (): OperationRow | undefined => access.node.state.get('operations', id)
  const isOver = (): boolean => find()?.status !== 'running'
  await access.waits.until(isOver, call.query.number('wait') ?? 0, call.signal)
  call.index = access.node.state.appliedIndex
  const row = find()
  const headers = { location: `/v1/operations/${id}` }
  if (row === undefined) return { status: 202, headers, body: { id, status: 'running' } }
  return { status: row.status === 'running' ? 202 : 200, headers, body: presentOperation(row, access.node) }
}

/** Errors: NO_QUORUM, UNKNOWN_OUTCOME, OVERLOADED, IDEMPOTENCY_MISMATCH, and what the state machine says of the command. */
export async function change(access: Access, call: Call, command: Command): Promise<Value> {
  const { node } = access
  const key = idempotencyKey(call)
  const fingerprint = key === undefined ? undefined : fingerprintOf(call)
  if (key !== undefined && fingerprint !== undefined) claim(access, key, fingerprint)
  try {
    const result = await node.propose(command, {
      timeoutMs: timeoutOf(call),
      ...(key === undefined || fingerprint === undefined ? {} : { requestId: `idem-${key}` as RequestId, fingerprint }),
    })
    return valueFrom(node, call, result)
  } finally {
    if (key !== undefined) access.underWay.delete(key)
  }
}

function timeoutOf(call: Call): number {
  return call.query.number('timeout') ?? writeTimeout
}

function valueFrom(node: QuorateNode, call: Call, result: CommandResult): Value {
  call.index = Math.max(node.state.appliedIndex, result.index)
  if (!result.ok) throw refusal(result.error)
  return result.value
}

/** Two different requests under one key at the same time: the second is refused here, where the log has not seen the first yet. */
function claim(access: Access, key: string, fingerprint: string): void {
  const before = access.underWay.get(key)
  if (before !== undefined && before !== fingerprint)
    throw new ClusterError('IDEMPOTENCY_MISMATCH', `the key ${key} is in use by another request`, {
      fix: 'take a new key for a new request',
    })
  access.underWay.set(key, fingerprint)
}

/** Errors: INVALID. */
function idempotencyKey(call: Call): string | undefined {
  const key = call.headers['idempotency-key']
  if (key === undefined) return undefined
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,128}$/.test(key))
    throw new ClusterError('INVALID', 'the Idempotency-Key cannot be used', { fix: 'send 1 to 128 printable characters without spaces' })
  return key
}

/** What makes two requests the same: all but how long their senders would wait. */
function fingerprintOf(call: Call): string {
  const url = new URL(call.url, 'http://local')
  for (const name of ['wait', 'timeout']) url.searchParams.delete(name)
  url.searchParams.sort()
  return createHash('sha256').update(`${call.method} ${url.pathname}?${url.searchParams}\n`).update(call.bytes).digest('base64url')
}
