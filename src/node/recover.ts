/**
 * Carries a cluster on from one member whose others are lost for good (`quorate recover`): offline, on that member's disk.
 *
 * The member becomes another one of another cluster, so that nobody of the old one is ever heard again; what its log
 * holds is kept, also what may never have been committed; the first new entries raise the epoch and call every grant back
 * (core/cluster/recovery). They may have the place and term of entries that the others have: so the old identity ends first, then
 * they are appended, and the new identity comes last. Broken off in between, the folder starts nothing until it is carried on again.
 */
import { randomBytes } from 'node:crypto'
import { ClusterError, type ClusterId, logIndex, type MemberId, type NodeId, type RequestId, term, wallTime } from '../base/index.js'
import { apply, ClusterState, type Command, type Envelope, groupsOf, mayStillRun, metaOf } from '../core/cluster/index.js'
import { type Configuration, decodeConfiguration, encodeConfiguration, type LogEntry, membersOf } from '../core/raft/index.js'
import type { NodeConfig } from '../io/node-file/index.js'
import { type OpenedStore, openStore } from '../io/store/index.js'
import { decodeEntry, encodeEntry } from './entries.js'

export interface RecoveryView {
  readonly node: NodeId
  readonly member: MemberId
  readonly clusterId: ClusterId
  readonly appliedIndex: number
  readonly lastIndex: number
  readonly term: number
  /** Wall time of the last entry that was applied; 0 before the first. */
  readonly appliedWall: number
  readonly lost: readonly string[]
  readonly groups: readonly { readonly name: string; readonly heldBy: string | null }[]
}

/** What this member has, and what nobody here can know. Changes nothing. Errors: as `openStore`; CONFLICT for an empty folder. */
export async function inspectForRecovery(config: NodeConfig): Promise<RecoveryView> {
  const opened = await open(config)
  await opened.store.close()
  return viewOf(opened)
}

/** Errors: as `inspectForRecovery`; INVALID where `typed` is not this node's name. */
export async function recoverFrom(config: NodeConfig, typed: string, reason: string): Promise<RecoveryView> {
  if (typed !== config.node)
    throw new ClusterError('INVALID', `this is node ${config.node}, the command names "${typed.slice(0, 80)}"`, {
      fix: `type --carry-on ${config.node} if this is the member that is to carry on`,
    })
  let settle: (() => void) | undefined
  let failed: ((error: unknown) => void) | undefined
  const persisted = new Promise<void>((resolve, reject) => {
    settle = resolve
    failed = reject
  })
  const opened = await open(config, { onPersisted: () => settle?.(), onFailure: (error) => failed?.(error) })
  const { store, restored } = opened
  const view = viewOf(opened)
  const member = `member-${config.node}-${randomBytes(8).toString('hex')}` as MemberId
  const address = config.advertise.links[0]
  if (address === undefined) throw new ClusterError('INVALID', 'the node has no link')
  const configuration: Configuration = {
    voters: [member],
    learners: [],
    outgoing: [],
    places: { [member]: { node: config.node, addresses: [address] } },
  }
  try {
    checkLog(config, opened)
  } catch (error) {
    await store.close()
    throw error
  }
  const inTerm = term(Math.max(restored.hardState.term, restored.applied.term) + 1)
  const command: Command = { kind: 'recover', node: config.node, member, address, reason }
  const { logTime } = metaOf(ClusterState.restored(restored.applied.index, restored.rows))
  const envelope: Envelope = { requestId: `recover-${member}` as RequestId, at: logTime, wall: wallTime(Date.now()), command }
  const entries: readonly LogEntry[] = [
    { index: logIndex(view.lastIndex + 1), term: inTerm, kind: 'configuration', data: encodeConfiguration(configuration) },
    { index: logIndex(view.lastIndex + 2), term: inTerm, kind: 'command', data: encodeEntry(envelope, false) },
  ]
  try {
    if (restored.identity !== undefined) await store.writeIdentity({ ...restored.identity, phase: 'recovering' })
    store.append({ sequence: 1, hardState: { term: inTerm, votedFor: null }, entries })
    await persisted
    await store.writeIdentity({
      clusterId: `cluster-${randomBytes(8).toString('hex')}` as ClusterId,
      memberId: member,
      node: config.node,
      phase: 'formed',
      voters: [{ node: config.node, member }],
    })
  } finally {
    await store.close()
  }
  return view
}

async function open(
  config: NodeConfig,
  listener: Parameters<typeof openStore>[1] = { onPersisted: () => undefined, onFailure: () => undefined },
): Promise<OpenedStore> {
  const opened = await openStore(config.dataDir, listener)
  if (opened.restored.identity !== undefined) return opened
  await opened.store.close()
  throw new ClusterError('CONFLICT', `the data folder ${config.dataDir} is empty: there is nothing to carry on from`, {
    fix: 'run this on the member whose log goes furthest',
  })
}

/** The log as it will be applied has to know this node; and a folder that was found wrong, or never formed, is nothing to carry on from. */
function checkLog(config: NodeConfig, { restored }: OpenedStore): void {
  const { identity, applied, entries, rows } = restored
  if (identity?.phase === 'quarantined' || identity?.phase === 'forming')
    throw new ClusterError('CONFLICT', `the data folder ${config.dataDir} is ${identity.phase}: its log is not one to carry on from`, {
      fix: 'take another member of the cluster',
    })
  const state = ClusterState.restored(applied.index, rows)
  for (const entry of entries) {
    if (entry.index <= applied.index) continue
    const place = { index: entry.index, term: entry.term }
    state.commit(entry.index, entry.kind === 'command' ? apply(state, place, decodeEntry(entry.data)).changes : [])
  }
  if (state.get('nodes', config.node) !== undefined) return
  throw new ClusterError('CONFLICT', `the log of ${config.node} does not know ${config.node}: it ends too early`, {
    fix: 'take the member whose log goes furthest',
  })
}

function viewOf({ restored }: OpenedStore): RecoveryView {
  const { identity, applied, base, entries, hardState, rows } = restored
  if (identity === undefined) throw new ClusterError('CONFLICT', 'the data folder is empty')
  const state = ClusterState.restored(applied.index, rows)
  const last = entries.findLast((entry) => entry.kind === 'configuration')
  const configuration = last === undefined ? applied.configuration : decodeConfiguration(last.data)
  const others =
    configuration === null
      ? identity.voters.filter((voter) => voter.member !== identity.memberId).map((voter) => voter.node)
      : membersOf(configuration)
          .filter((member) => member !== identity.memberId)
          .map((member) => configuration.places[member]?.node ?? member)
  return {
    node: identity.node,
    member: identity.memberId,
    clusterId: identity.clusterId,
    appliedIndex: applied.index,
    lastIndex: base.index + entries.length,
    term: hardState.term,
    appliedWall: metaOf(state).wall,
    lost: others,
    groups: groupsOf(state).map((group) => ({ name: group.name, heldBy: mayStillRun(group) ? group.holder.node : null })),
  }
}

/** For the person who has to decide. */
export function recoveryText(view: RecoveryView): string {
  const unknown = view.lastIndex - view.appliedIndex
  const groups = view.groups.map(({ name, heldBy }) => `    ${name}: ${heldBy === null ? 'held by nobody' : `last known on ${heldBy}`}`)
  return [
    `${view.node} (${view.member}) of cluster ${view.clusterId}`,
    `  its log ends at index ${view.lastIndex} in term ${view.term}; ${view.appliedIndex} entries were surely committed, the last at ${new Date(view.appliedWall).toISOString()}`,
    unknown === 0 ? '' : `  ${unknown} more may or may not have been committed: they are kept`,
    `  what ${view.lost.join(', ') || 'nobody else'} committed after that is lost`,
    groups.length === 0 ? '' : `  groups, as far as this log knows:\n${groups.join('\n')}`,
    '  carried on, this becomes a cluster of one with another id: the others can join it only with empty data folders. No group',
    '  starts before every node on which it may run is switched off by its fence device, or you say that it is off, or it joins and looks.',
  ]
    .filter((line) => line !== '')
    .join('\n')
}
