/** A watchdog: once opened, the machine is reset unless it is fed in time. */
export { openWatchdog, readTimeout, type Watchdog } from './watchdog.js'
