/** The monitor process. */
export { type AgentCommands, serveAgentCommands } from './agent-commands.js'
export { type Attributes, openAttributes } from './attributes.js'
export type { MonitorConfig } from './config.js'
export { type RunningMonitor, runMonitor } from './monitor.js'
