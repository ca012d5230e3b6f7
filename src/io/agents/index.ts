/** Resource agents of every type: how their methods are run on this machine. */
export { type ActionProgram, actionProgram, notifyProgram } from './action-program.js'
export { type Agents, type AgentsConfig, type AgentsListener, openAgents, type Whereabouts } from './agents.js'
export { beginCall, type CallRequest } from './call.js'
export { agentCommands, agentTemplates } from './commands-folder.js'
export { cellName, markersOf, safePath } from './environment.js'
export type { Method } from './method.js'
export { installedOcfTypes, isOcfInstalled, ocfScratch } from './ocf.js'
export { logLinesMax, type ResourceLog, readResourceLog } from './resource-log.js'
