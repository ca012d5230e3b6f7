/** The cluster under test. */
export { Api, type ApiAnswer } from './api.js'
export { askAt, type ServiceAnswer } from './asker.js'
export {
  type Arena,
  Cluster,
  type ClusterOptions,
  type DeviceMode,
  groupName,
  pause,
  type Role,
  type Status,
  waitUntil,
} from './cluster.js'
export { type Faults, flipBit } from './shim.js'
export type { Impairment } from './wires.js'
