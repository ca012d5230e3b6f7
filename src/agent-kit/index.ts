/** For those who write resource agents: templates, and checks of what the monitor relies on. */
export { type CheckResult, checkAgent } from './checks.js'
export { runAgentKit, type Terminal } from './command-line.js'
