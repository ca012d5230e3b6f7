/** What this node does about what the log says. */

export { MonitorHealth, type MonitorNote, MonitorNotes, type MonitorWord } from './monitor-health.js'
export { NodeAgent, type NodeAgentEffect, type NodeAgentView } from './node-agent.js'
