/** The guardian process. */
export { clusterKeyPurpose, guardianSender } from './answers.js'
export type { GuardianConfig } from './config.js'
export { type RunningGuardian, runGuardian } from './guardian.js'
export { replaceSoftware } from './replace.js'
export { isStartedByDaemon, type StartedGuardian, startGuardian } from './start-guardian.js'
