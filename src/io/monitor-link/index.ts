/** How the daemon speaks with the monitor. */
export { type MonitorLink, type MonitorLinkListener, openMonitorLink } from './monitor-link.js'
