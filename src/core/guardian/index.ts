/** The guardian's decisions: when to restart the others, when the lease has run out, and the steps of an emergency stop. */
export * from './events.js'
export * from './guardian.js'
export * from './protocol.js'
