/**
 * Feature levels: what every member must understand before a command of that level may enter the log (R27).
 *
 * A member tells its level with its boot. The leader raises the cluster's level once every member's latest boot has it, and
 * not before; from then on a member of a lower level stops rather than skip what it does not know.
 */
import type { Command, PlannedAction } from './commands.js'
import type { GroupDefinition, ResourceDefinition } from './definition.js'
import { storageAgent } from './disks.js'
import { isSealed } from './seals.js'
import { currentBoot, metaOf, type Reader, rowsOfMembers } from './state.js'

/** The highest level that this version understands. */
export const supportedLevel = 5
// Level 5 has not been released: until it is, its meanings may change, and builds of it from before are not to be mixed with later ones.

/** Brought rules for failures: what groups and decisions may say of them, and what rows keep for them. */
export const failureRulesLevel = 2

/** Brought readings of fence devices in good times. */
export const pathWatchLevel = 3

/** Brought nodes that leave in an orderly way. */
export const leaveLevel = 3

/** Brought the term in which a request is passed on to the leader. */
export const forwardTermLevel = 3

/** Brought kinds of dependencies, changes in place, and what probes and failures say of what is missing. */
export const dependencyKindsLevel = 3

/** Brought maintenance of nodes, looks after a freeze, and what people ask of single resources. */
export const maintenanceLevel = 4

/** Brought scalable groups, and the primary role of one of their copies. */
export const scalableLevel = 5

/** Of a monitor that says nothing of its own: it may be of a version before changes in place. */
export const silentMonitorLevel = 2

/** Of a guardian that says nothing of its own: it keeps one monitor, and no order is new to it before then. */
export const silentGuardianLevel = 3

/** Brought brakes on causes, groups in POISON, quarantine, jeopardy, and what follows the loss of the quorum. */
export const brakesLevel = 4

/** Brought shared disks: challenges there, storage that a node is cut off from, groups that live on one. */
export const sharedDiskLevel = 5

/** Brought units of systemd as resources. */
export const unitsLevel = 5

/** Brought what agents note down of other nodes until those are gone. */
export const notesLevel = 5

/** Brought passwords that are sealed. */
export const sealsLevel = 5

/** Brought maintenance that suspends the guardian too. */
export const detachedLevel = 5

/**
 * Brought nodes that failure rules evict, failovers that end in running on without, copies of which all are stopped, resources that
 * are only looked at, several depths of probes, and parameters of single nodes.
 */
export const evictionLevel = 5

/** Brought files that are carried along, and checkpoints in parts. */
export const carriedLevel = 5

/** Brought Raft messages and shared writes as runs of bytes. */
export const compactLevel = 5

const settingsOfBrakes = [
  'causesMax',
  'causesWindow',
  'poisonWindow',
  'quarantineThreshold',
  'quarantineWindow',
  'quarantineDuration',
] as const

/** A command in the log that this version does not know, or a cluster that has moved beyond it: the member has to stop. */
export class BeyondThisVersion extends Error {
  override readonly name = 'BeyondThisVersion'
}

/** The level that every member must have before this command may be proposed. */
export function levelOf(command: Command): number {
  switch (command.kind) {
    case 'transaction':
      return Math.max(1, ...command.commands.map(levelOf))
    case 'put-disk':
    case 'delete-disk':
    case 'disk-state':
    case 'disk-answer':
      return sharedDiskLevel
    case 'condemn':
      return command.leaseOver === undefined ? 1 : sharedDiskLevel
    case 'patch-node': {
      const devices = command.fencing?.levels.flat() ?? []
      if (devices.some(({ agent }) => agent === storageAgent)) return sharedDiskLevel
      return devices.some(({ parameters }) => Object.values(parameters).some(isSealed)) ? sealsLevel : 1
    }
    case 'put-group':
      if (command.definition.mode === 'scalable') return scalableLevel
      if (command.definition.storage !== undefined) return sharedDiskLevel
      if (hasUnits(command.definition)) return unitsLevel
      if (Object.values(command.definition.resources).some(({ files }) => files !== undefined)) return carriedLevel
      if (isOfEviction(command.definition)) return evictionLevel
      if (command.definition.offlineProbe !== undefined || command.definition.isolation !== undefined) return maintenanceLevel
      if (command.definition.onQuorumLoss !== undefined) return brakesLevel
      return hasDependencyKinds(command.definition) ? dependencyKindsLevel : hasFailureRules(command.definition) ? failureRulesLevel : 1
    case 'decide':
      return Math.max(1, ...command.decisions.map(({ action }) => levelOfAction(action)))
    case 'probed':
      return command.since !== undefined ? maintenanceLevel : command.result === 'unable' ? dependencyKindsLevel : 1
    case 'freeze-group':
      return command.by !== undefined || command.probes !== undefined ? maintenanceLevel : 1
    case 'maintain-node':
      return command.detached === undefined ? maintenanceLevel : detachedLevel
    case 'guardian-suspended':
    case 'attach-guardian':
      return detachedLevel
    case 'end-maintenance':
    case 'note-monitor':
    case 'restart-resource':
    case 'note-action':
      return maintenanceLevel
    case 'note-attributes':
      return notesLevel
    case 'noticed':
      return scalableLevel
    case 'report':
      if (command.report.scores !== undefined) return scalableLevel
      return command.report.looked === undefined ? 1 : maintenanceLevel
    case 'doubt-device':
      return pathWatchLevel
    case 'leave':
    case 'come-back':
      return leaveLevel
    case 'patch-settings':
      if (settingsOfBrakes.some((key) => key in command.patch)) return brakesLevel
      return 'verifyInterval' in command.patch ? pathWatchLevel : 1
    case 'put-checkpoint':
      return command.parts === undefined && command.file === undefined && command.keep === undefined ? 1 : carriedLevel
    case 'put-checkpoint-part':
      return carriedLevel
    case 'release-brakes':
    case 'end-quarantine':
    case 'see-links':
      return brakesLevel
    default:
      return 1
  }
}

/** What an older version would keep and not obey. */
function hasFailureRules({
  failoverMode,
  onStopFailure,
  rules,
  stableAfter,
  pingpongInterval,
  failover,
  resources,
}: GroupDefinition): boolean {
  const policy = [failoverMode, onStopFailure, rules, stableAfter, pingpongInterval, failover]
  return (
    policy.some((part) => part !== undefined) ||
    Object.values(resources).some(({ critical, restart }) => critical !== undefined || restart.delay !== undefined)
  )
}

function isOfEviction({ rules, failover, offlineProbe, resources }: GroupDefinition): boolean {
  return (
    rules?.some(({ action }) => action === 'evictNode') === true ||
    failover?.onExhausted === 'runDegraded' ||
    offlineProbe?.onFound === 'stopAllRestart' ||
    Object.values(resources).some(isNewKind)
  )
}

/** An older monitor would not ask the probe of a kept process. */
function isNewKind({ type, parameters, operations, perNode, probeDeep }: ResourceDefinition): boolean {
  const isKeptAndProbed = type === 'command' && parameters.run !== undefined && parameters.probe !== undefined
  return operations !== undefined || perNode !== undefined || Array.isArray(probeDeep) || isKeptAndProbed
}

function hasDependencyKinds({ resources }: GroupDefinition): boolean {
  return Object.values(resources).some(({ dependsOn }) => dependsOn.some((needed) => typeof needed !== 'string'))
}

function hasUnits({ resources }: GroupDefinition): boolean {
  return Object.values(resources).some(({ type }) => type.startsWith('systemd:'))
}

function levelOfAction(action: PlannedAction): number {
  if (action.kind === 'announce') return scalableLevel
  if (action.kind === 'restart' && action.operation !== undefined) return maintenanceLevel
  if (action.kind === 'update' || (action.kind === 'restart' && action.dependents !== undefined)) return dependencyKindsLevel
  if (action.kind === 'standby' && action.evict !== undefined) return evictionLevel
  const isOfFailureRules = action.kind === 'fence' || action.kind === 'standby' || (action.kind === 'stop' && action.halt !== undefined)
  return isOfFailureRules ? failureRulesLevel : 1
}

/** The level in force. */
export function levelInForce(reader: Reader): number {
  return metaOf(reader).level
}

/** The level that all members have by now. A member that has not told any keeps the cluster where it is. */
export function levelOfAll(reader: Reader): number {
  const levels = rowsOfMembers(reader)
    .filter((row) => row.wanted !== 'gone')
    .map((row) => currentBoot(reader, row.node)?.level ?? 0)
  return levels.length === 0 ? 0 : Math.min(...levels)
}
