/** The monitor's decisions: what to run, probe, kill and report, from orders and from what happened to processes. */
export * from './protocol.js'
