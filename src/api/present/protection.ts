/** Are we protected right now: what would happen to each node and group if a node were lost this moment. */
import {
  type BootRow,
  currentBoot,
  type GroupRow,
  groupsOf,
  mayStillRun,
  type NodeRow,
  nodesOf,
  storageOf,
} from '../../core/cluster/index.js'
import { type GroupInput, groupInputs, table } from '../../core/planner/index.js'
import { livenessOf, type View } from '../cluster/reading.js'

type Shown = Record<string, unknown>

export function protectionOf(view: View): Shown {
  const inputs = groupInputs({ state: view.state, at: view.at, liveness: livenessOf(view.leaderView) })
  return {
    nodes: nodesOf(view.state).map((row) => ofNode(view, row)),
    groups: groupsOf(view.state).map((group) => ofGroup(view, group, inputs.get(group.name))),
  }
}

function ofNode(view: View, row: NodeRow): Shown {
  const boot = currentBoot(view.state, row.name)
  const level = levelOf(view, row, boot)
  return {
    node: row.name,
    protection: level,
    text: texts[level],
    guarded: boot?.guard.guarded === true && boot.detached === undefined,
    watchdog: boot?.guard.watchdog ?? 'none',
    emergencyStopMs: boot?.guard.emergencyStop ?? null,
    fencingLevels: row.fencing.levels.map((devices) => devices.map((device) => device.agent)),
    deviceDistrusted: row.deviceDistrusted,
    paths: row.fencing.levels.length === 0 ? {} : view.node.pathsTo(row.name),
  }
}

const texts = {
  strong: 'a fence device or an armed watchdog proves it stopped',
  weak: 'only an expired lease is believed (acceptGuardianLease)',
  manual: 'if it is lost, its groups wait for a person: no fence device that is believed, no armed watchdog',
  maintained: 'it is in maintenance: if it is lost, nothing is done about its groups until that has ended',
  unprotected: 'if it is lost, its groups wait: no other node can reach its fence devices now, and no watchdog is armed',
} as const

function levelOf(view: View, row: NodeRow, boot: BootRow | undefined): keyof typeof texts {
  if (row.maintenance !== undefined) return 'maintained'
  // What only cuts off storage proves something of the groups that live there, and of no others.
  const believed = row.fencing.levels.some((devices) => storageOf(devices) === undefined) && row.deviceDistrusted === null
  const device = believed && !isCutOff(view, row)
  const guards = boot?.guard.guarded === true && boot.detached === undefined
  if (device || (guards && boot.guard.watchdog === 'armed')) return 'strong'
  return guards && view.node.settings.acceptGuardianLease ? 'weak' : believed ? 'unprotected' : 'manual'
}

/** Every other node has read its devices and could not. */
export function isCutOff(view: View, row: NodeRow): boolean {
  const said = Object.values(view.node.pathsTo(row.name))
  return row.fencing.levels.length > 0 && said.length > 0 && said.every((state) => state === 'failed' || state === 'lies')
}

function levelOfGroup(view: View, row: NodeRow, group: GroupRow): keyof typeof texts {
  const level = levelOf(view, row, currentBoot(view.state, row.name))
  const storage = group.holder?.pinned.storage
  const isCovered = storage !== undefined && row.fencing.levels.some((devices) => storageOf(devices)?.includes(storage) === true)
  const reached = isCovered && row.deviceDistrusted === null && !isCutOff(view, row)
  return reached && (level === 'manual' || level === 'unprotected' || level === 'weak') ? 'strong' : level
}

function ofGroup(view: View, group: GroupRow, input: GroupInput | undefined): Shown {
  const holder = mayStillRun(group) ? group.holder.node : null
  const candidates = input === undefined ? [] : table(input)
  const others = candidates.filter((candidate) => candidate.node !== holder && candidate.eligible).map((candidate) => candidate.node)
  const row = holder === null ? undefined : view.state.get('nodes', holder)
  const level = row === undefined ? null : levelOfGroup(view, row, group)
  const text =
    row === undefined
      ? 'it runs nowhere'
      : others.length === 0
        ? 'no other node could take it now'
        : level === 'maintained'
          ? `${others[0]} could take it, once the maintenance of ${holder} has ended`
          : level === 'manual'
            ? `${others[0]} could take it, once a person states that ${holder} is off`
            : level === 'unprotected'
              ? `${others[0]} could take it, once the fence devices of ${holder} can be reached again or a person states that it is off`
              : `${others[0]} takes it once ${holder} is proved stopped`
  return {
    group: group.name,
    holder,
    protected: others.length > 0 && row !== undefined && (level === 'strong' || level === 'weak'),
    couldTakeIt: others,
    text,
  }
}
