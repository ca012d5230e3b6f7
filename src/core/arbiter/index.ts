/** Cases: the leader conducts them, the arbiter carries out their attempts. */
export { type AttemptEffect, AttemptRunner, type AttemptView, type CallOutcome, type DeviceCall } from './attempt-runner.js'
export { type Conduct, type ConductView, conduct, type HeardGuardian, isHeld } from './conduct.js'
export { type PathReport, type PathState, PathWatch, type WatchedNode } from './path-watch.js'
export { jeopardyOf, type Sight } from './reach.js'
