/** The replicated database: what the log says about nodes, groups, grants, proofs and everything else. */
export { type Applied, apply, configRevision, tryApply } from './apply.js'
export { type Brakes, brakesOf, isAskedFor, whyCaseHeld, whyHeld } from './brakes.js'
export { isSwitchedOff } from './cases.js'
export {
  agesOf,
  carriedFileMax,
  carriedOfGroupMax,
  checkpointMax,
  checkpointsOf,
  fileKey,
  filePathProblem,
  partBytes,
  partsOf,
} from './checkpoints.js'
export * from './commands.js'
export { Context, journalKey, padded } from './context.js'
export * from './definition.js'
export * from './dependencies.js'
export {
  checkStorage,
  checkStorageDevices,
  disksOf,
  diskTimeoutMax,
  diskTimeoutMin,
  isReadyOn,
  storageAgent,
  storageOf,
} from './disks.js'
export * from './failure-policy.js'
export { forgottenAt, isOnlyDegraded } from './failures.js'
export {
  BeyondThisVersion,
  brakesLevel,
  carriedLevel,
  compactLevel,
  dependencyKindsLevel,
  detachedLevel,
  evictionLevel,
  forwardTermLevel,
  levelInForce,
  levelOf,
  levelOfAll,
  maintenanceLevel,
  notesLevel,
  scalableLevel,
  sealsLevel,
  sharedDiskLevel,
  silentGuardianLevel,
  silentMonitorLevel,
  supportedLevel,
} from './features.js'
export * from './formation.js'
export { freezesOf, probedSince } from './freezes.js'
export { canonical } from './groups.js'
export { conductMembers, type MemberSight } from './members.js'
export { loneWrite, mergeWrites, partOfStore, writesMax } from './merging.js'
export { isBeingSent, whyUnfit } from './migration.js'
export { notableBoot, noteOf, notesMax, notesOf, noteValueMax } from './notes.js'
export { type CopyLists, copyEnvironment, copyLists, noticeEnvironment, openNotice } from './notices.js'
export { holdsToken, mayStillRun } from './orders.js'
export { addedClaimHeld, type GrantView, livesAsGranted, notProbedYet, strayOf, whyNotGrantable } from './ownership.js'
export { poisonOf } from './poison.js'
export { quarantineMax } from './quarantine.js'
export * from './rows.js'
export { whyNotFenceable } from './rule-fencing.js'
export {
  checkAnyDefinition,
  instanceName,
  isMigratable,
  isReadied,
  isUpAsWanted,
  type PartDefinition,
  partDefinitions,
  partRows,
  primaryName,
  primaryOf,
  resourcesOf,
  scoreOf,
  wholeOf,
  whyNoInstance,
} from './scalable.js'
export { isSealed, sealedMark } from './seals.js'
export * from './state.js'
export { storeKeyMax } from './values.js'
