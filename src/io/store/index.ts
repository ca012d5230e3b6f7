/** The member's disk: identity, Raft log with hard state, applied state. */
export * from './contract.js'
export { type Disk, type DiskFile, realDisk } from './disk.js'
export { type OpenedStore, openStore, type StoreOptions } from './store.js'
