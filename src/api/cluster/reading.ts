/**
 * Reads: linearizable unless the client asks otherwise, and told apart where they are not.
 *
 * What is read after `read` has resolved is read at once, without waiting in between: the state goes on changing.
 */
import { ClusterError, type LogTime, type NodeId } from '../../base/index.js'
import { type ClusterState, metaOf } from '../../core/cluster/index.js'
import type { Liveness } from '../../core/planner/index.js'
import type { QuorateNode } from '../../node/index.js'
import type { QuerySpecification } from '../http/query.js'
import type { Call } from '../http/route.js'
import type { Access } from './access.js'
import { type Relevant, waitMax } from './waits.js'

/** Who lives, as the leader sees it. */
export interface LeaderView {
  readonly lives: ReadonlySet<string>
  readonly joining: ReadonlySet<string>
  /** Without whom there would be no quorum among those that answer now. */
  readonly needed: ReadonlySet<string>
  /** Silent, and held by the word of their guardians. Empty from a leader of an earlier version. */
  readonly held: ReadonlySet<string>
}

export interface View {
  readonly node: QuorateNode
  readonly state: ClusterState
  /** False where this is what the node last knew. */
  readonly quorate: boolean
  /** Undefined where the leader was not asked or did not answer. */
  readonly leaderView: LeaderView | undefined
  /** Log time now, as well as this node can tell. */
  readonly at: LogTime
  /** To be shown with the answer: how old it may be. Empty for a linearizable read. */
  readonly age: Readonly<Record<string, unknown>>
}

export interface ReadOptions {
  /** Answers from the local copy where there is no quorum. */
  readonly anyway?: boolean
  readonly withLeaderView?: boolean
  /** With `index` in the query: what has to change before the answer. */
  readonly relevant?: Relevant
}

const readTimeout = 2_000
const leaderViewTimeout = 1_000

export const readQuery: QuerySpecification = {
  consistency: {
    kind: 'choice',
    values: ['linearizable', 'local'],
    doc: '`local`: at once, what this node last knew, with its age. Otherwise everything committed before the request.',
  },
  timeout: { kind: 'duration', min: 50, max: 60_000, doc: 'How long a quorum may take to answer; 2s for reads, 5s for changes.' },
}
export const blockingQuery: QuerySpecification = {
  ...readQuery,
  index: {
    kind: 'integer',
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    doc: 'Answers once something here has changed after this quorate-index.',
  },
  wait: { kind: 'duration', min: 1, max: waitMax, doc: 'How long to wait; 60s with index unless given.' },
}

/** Errors: NOT_FORMED, NO_QUORUM. */
export async function read(access: Access, call: Call, options: ReadOptions = {}): Promise<View> {
  const { node } = access
  const local = call.query.text('consistency') === 'local'
  const index = call.query.number('index')
  if (index !== undefined && options.relevant !== undefined) {
    const { relevant } = options
    await access.waits.until(() => access.waits.lastChange(relevant) > index, call.query.number('wait') ?? 60_000, call.signal)
  }
  const quorate = local ? node.isQuorate : await reachQuorum(node, call.query.number('timeout') ?? readTimeout, options.anyway === true)
  const leaderView = options.withLeaderView === true && quorate ? await askLeader(node) : undefined
  call.index = node.state.appliedIndex
  return {
    node,
    state: node.state,
    quorate,
    leaderView,
    at: estimatedLogTime(node),
    age: local || !quorate ? { quorate, ...ageOf(node) } : {},
  }
}

/** What this node has now, for answers to changes that it has just applied. */
export function localView(node: QuorateNode): View {
  return { node, state: node.state, quorate: true, leaderView: undefined, at: estimatedLogTime(node), age: {} }
}

/** True when everything committed before now is applied here. */
async function reachQuorum(node: QuorateNode, timeoutMs: number, anyway: boolean): Promise<boolean> {
  // Known already to lead nowhere: people who ask what is wrong shall not wait for the answer.
  if (anyway && node.status.leader === undefined) return false
  try {
    await node.barrier(timeoutMs)
    return true
  } catch (error) {
    if (anyway && error instanceof ClusterError && error.code === 'NO_QUORUM') return false
    throw error
  }
}

/** How old the local copy may be: the newest renewal proves that everything committed before it was asked for is here. */
export function ageOf(node: QuorateNode): Record<string, unknown> {
  const { renewedAgoMs, leaseRemainingMs } = node.status
  const now = Date.now()
  const lastEntry = metaOf(node.state).wall
  const asOf = renewedAgoMs === undefined ? lastEntry : now - renewedAgoMs
  return {
    asOf: new Date(asOf).toISOString(),
    ageMs: Math.max(0, Math.round(now - asOf)),
    leaseRemainingMs: Math.round(leaseRemainingMs),
  }
}

/** The leader's word on who lives; a leader that has not heard anybody yet says nothing. */
export async function askLeader(node: QuorateNode): Promise<LeaderView | undefined> {
  const { leader } = node.status
  if (leader === undefined) return undefined
  try {
    const view = (await node.ask(leader, { kind: 'leader-view' }, leaderViewTimeout)) as Readonly<
      Record<Exclude<keyof LeaderView, 'held'>, NodeId[]>
    > & { readonly held?: NodeId[] }
    if (view.lives.length === 0) return undefined
    return { lives: new Set(view.lives), joining: new Set(view.joining), needed: new Set(view.needed), held: new Set(view.held ?? []) }
  } catch {
    return undefined
  }
}

export function livenessOf(view: LeaderView | undefined): Liveness {
  return {
    isAlive: (node) => view?.lives.has(node) === true,
    isJoining: (node) => view?.joining.has(node) === true,
  }
}

/** The last entry's log time and what the wall clock says has passed since: for showing what remains, not for deciding. */
export function estimatedLogTime(node: QuorateNode): LogTime {
  const meta = metaOf(node.state)
  const since = node.position.leader === undefined ? 0 : Math.max(0, Date.now() - meta.wall)
  return (meta.logTime + since) as LogTime
}
