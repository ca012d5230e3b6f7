/** A watchdog: once opened, the machine is reset unless it is fed in time. */
export { readTimeout, type Watchdog, watchdogAt, whyNoProof } from './watchdog.js'
