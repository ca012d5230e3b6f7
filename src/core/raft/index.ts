/** Consensus: Raft as a pure step-function. */
export * from './types.js'
