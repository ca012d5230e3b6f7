/** What this node measures, in the text format of Prometheus. Local: it is scraped from every node. */
import { brakesOf, groupsOf, metaOf, nodesOf } from '../../core/cluster/index.js'
import type { Access } from '../cluster/access.js'
import { estimatedLogTime } from '../cluster/reading.js'
import { groupState, holderSeen } from './group-state.js'

type Labels = Readonly<Record<string, string>>

export function metricsText(access: Access): string {
  const lines: string[] = []
  const metric = (name: string, kind: 'gauge' | 'counter', help: string, samples: readonly (readonly [Labels, number])[]): void => {
    lines.push(`# HELP quorate_${name} ${help}`, `# TYPE quorate_${name} ${kind}`)
    for (const [labels, value] of samples) lines.push(`quorate_${name}${labelText(labels)} ${value}`)
  }
  const one = (value: number): readonly (readonly [Labels, number])[] => [[{}, value]]
  const node = access.formedNode
  metric('formed', 'gauge', 'Whether the cluster has formed.', one(node === undefined ? 0 : 1))
  if (node === undefined) return `${lines.join('\n')}\n`

  const { status, state } = node
  const at = estimatedLogTime(node)
  metric('info', 'gauge', 'The node and its cluster.', [
    [{ node: status.node, cluster: metaOf(state).clusterName, boot: access.daemon.boot }, 1],
  ])
  metric('leader', 'gauge', 'Whether this node leads.', one(status.role === 'leader' ? 1 : 0))
  metric('leader_known', 'gauge', 'Whether this node knows a leader.', one(status.leader === undefined ? 0 : 1))
  metric('raft_term', 'counter', 'Election term.', one(status.term))
  metric('raft_commit_index', 'counter', 'Highest committed log index known here.', one(status.commitIndex))
  metric('raft_applied_index', 'counter', 'Highest applied log index.', one(status.appliedIndex))
  metric('lease_remaining_seconds', 'gauge', 'What is left of the lease of this node.', one(status.leaseRemainingMs / 1_000))
  metric('loop_lag_seconds', 'gauge', 'How late the event loop was lately.', one(status.loopLagMs / 1_000))
  metric('guardian_connected', 'gauge', 'Whether the guardian answers the daemon.', one(status.guardian ? 1 : 0))
  metric('monitor_connected', 'gauge', 'Whether the monitor answers the daemon.', one(status.monitor ? 1 : 0))
  const peers = node.detectorReport()
  metric(
    'peer_silence_seconds',
    'gauge',
    'Time since the last sign of life of a node.',
    peers.map((peer) => [{ peer: peer.node }, peer.silenceMs / 1_000]),
  )
  metric(
    'peer_missed_total',
    'counter',
    'Silent intervals of a node.',
    peers.map((peer) => [{ peer: peer.node }, peer.missed]),
  )
  metric(
    'peer_link_lost_total',
    'counter',
    'How often a link, over which a node is heard, has fallen silent.',
    peers.flatMap((peer) => peer.links.map(({ link, lost }) => [{ peer: peer.node, link: String(link) }, lost] as const)),
  )
  metric(
    'node_in_quarantine',
    'gauge',
    'Whether a node votes and hosts nothing for having been lost too often.',
    nodesOf(state).map((row) => [{ name: row.name }, row.quarantine === undefined ? 0 : 1]),
  )
  metric('brakes_held', 'gauge', 'Whether nothing further begins on its own.', one(brakesOf(state, at).holds.length > 0 ? 1 : 0))
  metric(
    'node_fencing_levels',
    'gauge',
    'Fencing levels of a node.',
    nodesOf(state).map((row) => [{ name: row.name }, row.fencing.levels.length]),
  )
  metric(
    'group_state',
    'gauge',
    'The state of a group, as this node knows it.',
    groupsOf(state).map((group) => [{ group: group.name, state: groupState(group, holderSeen(state, group, undefined), at) }, 1]),
  )
  return `${lines.join('\n')}\n`
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}=${JSON.stringify(value)}`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}
