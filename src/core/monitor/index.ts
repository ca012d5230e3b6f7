/** The monitor's decisions: what to run, probe, kill and report, from orders and from what happened to processes. */
export * from './events.js'
export { type GroupHost, GroupRun } from './group-run.js'
export * from './monitor.js'
export * from './protocol.js'
export * from './record.js'
export * from './resource-type.js'
export * from './verdict.js'
