/** The running node. */

export { bytesOfCheckpoint, leaveInParts } from './carried.js'
export { CopyNotices, type CopyNoticesDoors } from './copy-notices.js'
export { type Called, type Daemon, type DaemonDoors, startDaemon } from './daemon.js'
export type { NodeIdentity, NodeIo } from './io.js'
export type { Frame, Question } from './messages.js'
export { type NodeStatus, type ProposeOptions, QuorateNode, tickInterval } from './node.js'
export { OcfAgents, type Program, toBeValidated, type Validation, type ValidationProblem, validationMax } from './ocf-agents.js'
export { inspectForRecovery, type RecoveryView, recoverFrom, recoveryText } from './recover.js'
export type { Outcome } from './requests.js'
export { type ActionAnswer, actionGrace, actionTimeoutMax, lookGrace } from './resource-verbs.js'
export { afterPredecessor, type Successor, startSuccessor } from './successor.js'
export { Units } from './units.js'
