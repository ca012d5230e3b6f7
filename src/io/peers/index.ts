/** Ordered, authenticated streams between the nodes of one cluster. */
export * from './contract.js'
export { deriveKey } from './key.js'
export { type OpenedPeers, openPeers, type PeersOptions } from './peers.js'
