/** Authenticated datagrams between the nodes of one cluster. */
export { deriveKey } from '../peers/index.js'
export * from './contract.js'
export { type DatagramCounters, type DatagramsOptions, type OpenedDatagrams, openDatagrams } from './datagrams.js'
export { payloadMax } from './packet.js'
