/** Consensus: Raft as a pure step-function. */
export {
  type ChangeProblem,
  type Configuration,
  type ConfigurationChange,
  changed,
  decodeConfiguration,
  encodeConfiguration,
  type MemberPlace,
  majority,
  membersOf,
  quorumValue,
  votersOf,
} from './configuration.js'
export type { RaftOptions, RaftTiming } from './options.js'
export { Raft } from './raft.js'
export * from './types.js'
