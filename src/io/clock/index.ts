/** Clocks of this node. */
export * from './contract.js'
export { openClock, type RealClock } from './real-clock.js'
