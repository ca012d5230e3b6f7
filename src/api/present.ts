/** Rows as the API shows them. Pure: what is shown follows from the state and what this node sees. */

import {
  currentBoot,
  type GroupRow,
  groupsOf,
  mayStillRun,
  type NodeRow,
  nodesOf,
  openCaseOf,
  openCases,
  type Reader,
} from '../core/cluster/index.js'
import type { DetectorReport } from '../core/detector/index.js'
import { present } from './definition.js'
import type { GroupState } from './schemas.js'

type Shown = Record<string, unknown>

export function groupState(group: GroupRow): GroupState {
  const { holder } = group
  if (holder === null || group.proof !== null) {
    if (holder !== null && group.intent === 'ONLINE') return 'STARTING'
    const banned = group.definition.nodes.length > 0 && group.definition.nodes.every((node) => group.bans[node] !== undefined)
    return group.intent === 'ONLINE' && banned ? 'FAILED' : 'OFFLINE'
  }
  if (holder.report.state === 'UNKNOWN') return 'UNKNOWN'
  if (group.waitingFor?.startsWith('waiting for proof') === true) return 'BLOCKED'
  if (holder.order.wanted === 'stop') return 'STOPPING'
  switch (holder.report.state) {
    case 'GRANTED':
    case 'STARTING':
      return 'STARTING'
    case 'ONLINE':
      return 'ONLINE'
    case 'FAILED':
      return 'FAILED'
    default:
      return 'STOPPING'
  }
}

/** The short form, in status and lists. */
export function groupSummary(group: GroupRow): Shown {
  const { holder } = group
  return {
    name: group.name,
    state: groupState(group),
    intent: group.intent,
    holders:
      holder === null || !mayStillRun(group)
        ? []
        : [{ node: holder.node, boot: holder.boot, token: holder.token, since: holder.grantedAt }],
    waitingFor: group.waitingFor,
  }
}

export function groupFull(group: GroupRow): Shown {
  const { holder } = group
  return {
    ...groupSummary(group),
    revision: group.revision,
    definition: present(group.definition),
    resources: holder?.report.resources ?? {},
    order: holder === null ? null : holder.order,
    proof: group.proof,
    frozen: group.frozen,
    move: group.move,
    deleting: group.deleting,
    failures: group.failures,
    bans: group.bans,
  }
}

export function nodeState(state: Reader, node: NodeRow, seen: readonly DetectorReport[], self: string): string {
  const boot = currentBoot(state, node.name)
  const open = openCaseOf(state, node.name)
  if (boot === undefined) return 'JOINING'
  if (boot.state === 'ended') return 'OFFLINE'
  if (open !== undefined && open.boot === boot.boot) return open.stage
  if (node.name === self) return 'ONLINE'
  const report = seen.find((one) => one.node === node.name)
  if (report === undefined || report.stage === 'JOINING') return 'JOINING'
  return report.stage === 'HEALTHY' || report.stage === 'MISSED' ? 'ONLINE' : report.stage
}

export function nodeSummary(state: Reader, node: NodeRow, seen: readonly DetectorReport[], self: string): Shown {
  const boot = currentBoot(state, node.name)
  return {
    name: node.name,
    state: nodeState(state, node, seen, self),
    duty: node.duty,
    boot: boot?.boot ?? null,
    guarded: boot?.guard.guarded ?? false,
    groups: groupsOf(state)
      .filter((group) => mayStillRun(group) && group.holder.node === node.name)
      .map((group) => group.name),
    api: node.api,
  }
}

export function nodeFull(state: Reader, node: NodeRow, seen: readonly DetectorReport[], self: string): Shown {
  const boot = currentBoot(state, node.name)
  return {
    ...nodeSummary(state, node, seen, self),
    revision: node.revision,
    member: node.member,
    links: node.links,
    guardian: node.guardian,
    guard: boot?.guard ?? null,
    bootState: boot?.state ?? null,
    proof: boot?.proof ?? null,
    probes: boot?.probes ?? {},
    fencing: fencingShown(node),
    deviceDistrusted: node.deviceDistrusted,
    attributes: node.attributes,
  }
}

const secretName = /pass|secret|token|key|community/i

/** Secrets are write-only. */
export function fencingShown(node: NodeRow): Shown {
  const levels = node.fencing.levels.map((level) =>
    level.map((device) => ({
      agent: device.agent,
      parameters: Object.fromEntries(
        Object.entries(device.parameters).map(([name, value]) => [name, secretName.test(name) ? '(set)' : value]),
      ),
      timeout: `${device.timeout}ms`,
    })),
  )
  return { levels, then: node.fencing.then }
}

/** What needs a person: each with the next step. */
export function attention(
  state: Reader,
  view: {
    readonly quorate: boolean
    readonly insecure: boolean
    readonly guardian: boolean
    readonly self: string
    readonly missing: readonly string[]
  },
): Shown[] {
  const found: Shown[] = []
  const add = (subject: string, code: string, text: string, fix: string): void => void found.push({ subject, code, text, fix })
  if (!view.quorate)
    add(
      'cluster',
      'NO_QUORUM',
      `no leader with a quorum${view.missing.length === 0 ? '' : `; not heard: ${view.missing.join(', ')}`}`,
      'start the missing nodes, or repair the network between them',
    )
  if (view.insecure)
    add(
      view.self,
      'INSECURE_LISTENER',
      'the API listens on TCP without keys',
      'take api.listen out of the node file where others can reach it',
    )
  if (!view.guardian)
    add(
      view.self,
      'NO_GUARDIAN',
      `the guardian of ${view.self} does not answer`,
      'the daemon starts it again; look at its log if it stays so',
    )
  for (const node of nodesOf(state)) {
    if (node.fencing.levels.length === 0)
      add(
        node.name,
        'NO_FENCING',
        `${node.name} has no fence device: when it is lost, its groups wait for a person`,
        `PATCH /v1/nodes/${node.name} with "fencing"`,
      )
    if (node.deviceDistrusted !== null)
      add(
        node.name,
        'DEVICE_DISTRUSTED',
        `the fence device of ${node.name} is not believed: ${node.deviceDistrusted}`,
        `test it, then POST /v1/nodes/${node.name}/clear`,
      )
    const boot = currentBoot(state, node.name)
    if (boot?.state === 'live' && !boot.guard.guarded && node.name !== view.self)
      add(node.name, 'NO_GUARDIAN', `${node.name} has no guardian and takes no new groups`, `look at the guardian's log on ${node.name}`)
  }
  for (const row of openCases(state)) {
    if (row.stage !== 'CONDEMNED') continue
    const failed = row.attempts.filter((attempt) => attempt.state === 'failed').length
    add(
      row.node,
      'PROOF_MISSING',
      `${row.node} is condemned and not proved stopped (${failed} attempts failed); its groups wait: ${row.groups.join(', ') || 'none'}`,
      `make sure it is off, then POST /v1/cases/${row.id}/acknowledge {"node":"${row.node}","reason":"…"}`,
    )
  }
  for (const group of groupsOf(state)) {
    const shown = groupState(group)
    if (shown === 'ONLINE' || shown === 'STARTING' || shown === 'STOPPING' || (shown === 'OFFLINE' && group.waitingFor === null)) continue
    add(group.name, `GROUP_${shown}`, group.waitingFor ?? `group ${group.name} is ${shown}`, `GET /v1/groups/${group.name}/why`)
  }
  return found
}
