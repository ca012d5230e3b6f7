/** Consensus: Raft as a pure step-function. */
export { majority, quorumIndex } from './quorum.js'
export { Raft, type RaftOptions, type RaftTiming } from './raft.js'
export * from './types.js'
