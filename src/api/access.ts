/** What every route needs of the node: the state at the asked consistency, commands committed, answers with their headers. */
import { createHash, randomBytes } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { ClusterError, type LogIndex, logIndex, type RequestId } from '../base/index.js'
import { type ClusterState, type Command, type OperationRow, type PlannedDecision, tryApply } from '../core/cluster/index.js'
import { decide } from '../core/planner/index.js'
import type { Daemon, QuorateNode } from '../node/index.js'
import { check, checkQuery, parseBody, type Query, queryDuration, queryFlag, queryNumber, type Schema } from './body.js'
import { valueOf } from './problem.js'

const readTimeout = 2_000
const writeTimeout = 5_000
export const waitMax = 300_000
/** Query parameters that every route takes. */
const everywhere = ['consistency', 'timeout']

export class Access {
  readonly daemon: Daemon
  /** Ends waiting requests at shutdown. */
  readonly ending = new AbortController()

  constructor(daemon: Daemon) {
    this.daemon = daemon
  }

  /** Errors: NOT_FORMED. */
  get node(): QuorateNode {
    const { node } = this.daemon
    if (node === undefined)
      throw new ClusterError('NOT_FORMED', this.daemon.waitingFor, {
        fix: 'start the missing nodes; GET /v1/status shows what is waited for',
      })
    return node
  }

  query(request: FastifyRequest, ...known: string[]): Query {
    return checkQuery(request.query, [...known, ...everywhere])
  }

  /** The state, linearizable unless the client asks for `consistency=local`. Errors: NO_QUORUM, INVALID_QUERY. */
  async state(query: Query): Promise<ClusterState> {
    const { node } = this
    const { consistency } = query
    if (consistency !== undefined && consistency !== 'local' && consistency !== 'linearizable') {
      throw new ClusterError('INVALID_QUERY', `consistency=${consistency.slice(0, 40)}`, { fix: 'use local or linearizable' })
    }
    if (consistency !== 'local') await node.barrier(queryDuration(query, 'timeout', 60_000) || readTimeout)
    return node.state
  }

  /** For answers that must come without a quorum too: the state, and whether it is surely current. */
  async stateAnyway(query: Query): Promise<{ readonly state: ClusterState; readonly quorate: boolean }> {
    try {
      const state = await this.state(query)
      return { state, quorate: query.consistency !== 'local' || this.node.status.quorate }
    } catch (error) {
      if (error instanceof ClusterError && error.code === 'NO_QUORUM') return { state: this.node.state, quorate: false }
      throw error
    }
  }

  /** What `consistency=local` and answers without a quorum say of their age. */
  age(): Record<string, unknown> {
    const { state, status } = this.node
    const wall = state.get('meta', 'cluster')?.wall ?? 0
    return { asOf: new Date(wall).toISOString(), appliedIndex: state.appliedIndex, leaseRemainingMs: Math.round(status.leaseRemainingMs) }
  }

  /** The checked body. Errors: BAD_JSON, UNKNOWN_KEY, INVALID, … */
  body<Shape>(request: FastifyRequest, schema: Schema): Shape {
    const value = parseBody(typeof request.body === 'string' ? request.body : '', request.headers['content-type'])
    check(schema, value)
    return value as Shape
  }

  /** Preconditions of a change. Errors: INVALID. */
  precondition(request: FastifyRequest): { readonly ifRevision?: LogIndex; readonly ifAbsent?: boolean } {
    const match = request.headers['if-match']
    const none = request.headers['if-none-match']
    if (none !== undefined && none.trim() !== '*')
      throw new ClusterError('INVALID', `If-None-Match is ${none.slice(0, 40)}`, { fix: 'only If-None-Match: * has a meaning here' })
    const revision = match === undefined ? undefined : /^(?:W\/)?"?(\d+)"?$/.exec(match.trim())?.[1]
    if (match !== undefined && revision === undefined)
      throw new ClusterError('INVALID', `If-Match is ${match.slice(0, 40)}`, { fix: 'send the ETag of a read, such as If-Match: "17"' })
    return {
      ...(revision === undefined ? {} : { ifRevision: logIndex(Number(revision)) }),
      ...(none === undefined ? {} : { ifAbsent: true }),
    }
  }

  /** Has the command committed, or with `?dryRun=true` tells what would come of it. */
  async change(request: FastifyRequest, query: Query, command: Command): Promise<Record<string, unknown>> {
    if (queryFlag(query, 'dryRun')) return this.dryRun(query, command)
    const key = request.headers['idempotency-key']
    const retry =
      typeof key === 'string'
        ? {
            requestId: `idem-${key.slice(0, 200)}` as RequestId,
            fingerprint: createHash('sha256')
              .update(`${request.method} ${request.url}\n${String(request.body ?? '')}`)
              .digest('hex'),
          }
        : {}
    const result = await this.node.propose(command, { ...retry, timeoutMs: queryDuration(query, 'timeout', 60_000) || writeTimeout })
    return { ...valueOf(result) }
  }

  private async dryRun(query: Query, command: Command): Promise<Record<string, unknown>> {
    const state = (await this.state(query)).snapshot()
    const index = logIndex(state.appliedIndex + 1)
    const applied = tryApply(state, { index, term: 0 as never }, command)
    const value = valueOf(applied.result)
    state.commit(index, applied.changes)
    const decisions = decide({ state, at: state.get('meta', 'cluster')?.logTime ?? (0 as never), liveness: await this.liveness() })
    return { dryRun: true, would: value, events: applied.events.map((event) => event.text), plan: decisions.map(planLine) }
  }

  /** Who lives, as the leader sees it. */
  async liveness() {
    const { leader } = this.node.status
    const view = leader === undefined ? { lives: [] } : ((await this.node.ask(leader, { kind: 'leader-view' })) as { lives: string[] })
    return { isAlive: (name: string) => view.lives.includes(name), isJoining: () => false }
  }

  /** Answers 202 with the operation, or with `?wait=30s` the operation as it ended. */
  async operation(request: FastifyRequest, reply: FastifyReply, query: Query, make: (id: string) => Command): Promise<unknown> {
    const key = request.headers['idempotency-key']
    // A retry must build the same command: its operation is named after its key.
    const id =
      typeof key === 'string' ? `op-${createHash('sha256').update(key).digest('hex').slice(0, 16)}` : `op-${randomBytes(8).toString('hex')}`
    const value = await this.change(request, query, make(id))
    if (value.dryRun === true) return value
    const wait = queryDuration(query, 'wait', waitMax)
    const ended = (row: OperationRow | undefined): boolean => row !== undefined && row.status !== 'running'
    const find = (): OperationRow | undefined => this.node.state.get('operations', id)
    if (wait > 0) await this.until(() => ended(find()), wait)
    else await this.until(() => find() !== undefined, 1_000)
    const row = find()
    reply.header('location', `/v1/operations/${id}`)
    reply.code(ended(row) ? 200 : 202)
    return row ?? { id, status: 'running' }
  }

  /** Resolves when `holds`, or when the time is over. */
  until(holds: () => boolean, waitMs: number): Promise<void> {
    if (holds() || waitMs <= 0) return Promise.resolve()
    return new Promise((resolve) => {
      const finish = (): void => {
        clearTimeout(timer)
        stop()
        this.ending.signal.removeEventListener('abort', finish)
        resolve()
      }
      const stop = this.node.onApplied(() => holds() && finish())
      const timer = setTimeout(finish, waitMs)
      this.ending.signal.addEventListener('abort', finish)
    })
  }

  /** A blocking query: with `?index=N&wait=30s` answers once something newer than N was applied. */
  async blocking(query: Query): Promise<void> {
    const index = queryNumber(query, 'index')
    if (index === undefined) return
    const wait = queryDuration(query, 'wait', waitMax) || 60_000
    await this.until(() => this.node.state.appliedIndex > index, wait)
  }
}

export function planLine(decision: PlannedDecision): Record<string, unknown> {
  return { group: decision.group, action: decision.action, rule: decision.rule, text: decision.text, candidates: decision.candidates }
}
