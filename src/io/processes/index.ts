/** Processes of this machine: kept together, watched, killed whole, and never mistaken for others. */
export { type Action, type ActionOutcome, type ActionRequest, spawnAction } from './action.js'
export { pause, waitUntil } from './cgroup-files.js'
export { type Cell, type CellLimits, type CellMarkers, type Containment, callPrefix, type Part } from './containment.js'
export { DeathWatch } from './death-watch.js'
export { closeInherited } from './inherited.js'
export {
  allContainments,
  type ContainmentPreference,
  type ContainmentRequest,
  openContainment,
  reopenContainment,
} from './open-containment.js'
export { boundServiceLog, LogFollower, LogTail, outputMax, tailOf } from './output.js'
export { daemonPriority, monitorPriority, raisePriority, raiseToRealTime } from './priority.js'
export { allPids, hasEnded, identify, isAlive, type ProcessStat, readStat, signalProcess } from './proc.js'
export { exitNotJoined, exitSealed, type Member, type MemberRequest, spawnMember, spawnProblem } from './spawn-member.js'
export { findExactly, killSwept, methodMarker, runMarker } from './sweep.js'
export { type UnitCgroup, unitCgroup } from './unit-cgroup.js'
