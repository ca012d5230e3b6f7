/** Checkers that know nothing but a history. */
export type { Witness, WitnessOperation } from './explain.js'
export {
  type Header,
  type HistoryEvent,
  MalformedHistory,
  type ModelName,
  modelNames,
  type ParsedHistory,
  parseHistory,
  timeContradiction,
} from './history.js'
export { checkLinearizable, type Doubt, defaultLimits, type Limits, type Verdict } from './linearizable.js'
export type { Json } from './values.js'
