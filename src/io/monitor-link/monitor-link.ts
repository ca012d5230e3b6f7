/** The daemon's side of the monitor's socket. Connects again by itself; the monitor then begins with `hello`. */
import type { MonitorOrder, MonitorReport } from '../../core/monitor/index.js'
import { connectLocal } from '../local-socket/index.js'

export interface MonitorLinkListener {
  onReport(report: MonitorReport): void
  onConnected(): void
  onDisconnected(): void
}

export interface MonitorLink {
  readonly connected: boolean
  /** Dropped while not connected: after `hello` the daemon sends its orders again. */
  send(order: MonitorOrder): void
  close(): void
}

/** `path` is `<runDir>/monitor.sock`. */
export function openMonitorLink(path: string, listener: MonitorLinkListener): MonitorLink {
  return connectLocal(path, {
    onMessage: (message) => listener.onReport(message as MonitorReport),
    onConnected: () => listener.onConnected(),
    onDisconnected: () => listener.onDisconnected(),
  })
}
