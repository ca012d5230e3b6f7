/** The monitor process. */
export type { MonitorConfig } from './config.js'
export { type RunningMonitor, runMonitor } from './monitor.js'
