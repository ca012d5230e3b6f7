/** The cluster under test. */
export type { Api, ApiAnswer } from './api.js'
export { askAt, type ServiceAnswer } from './asker.js'
export { type AddressAnswer, type Cluster, pause, type Role, type Status, standing, type Undo, waitUntil } from './cluster.js'
export { HostsCluster } from './hosts.js'
export { type HostsFile, readHosts } from './hosts-file.js'
export { type Arena, type ClusterOptions, type DeviceMode, groupName, OwnCluster } from './own.js'
export { type Faults, flipBit } from './shim.js'
export type { Impairment } from './wires.js'
