/** The monitors of this node: the one that groups share, and those that groups have of their own. The guardian keeps them running. */
import type { BootId, GroupName } from '../base/index.js'
import type { MonitorOrder, MonitorReport } from '../core/monitor/index.js'
import { type MonitorLink, openMonitorLink } from '../io/monitor-link/index.js'
import type { RunFolder } from '../io/run-folder/index.js'

export interface MonitorsListener {
  /** `from`: the group whose own monitor says so. */
  onReport(report: MonitorReport, from: GroupName | undefined): void
  onDisconnected(of: GroupName | undefined): void
}

export class Monitors {
  /** Groups of which a monitor of their own had something open when this was opened. */
  readonly open: readonly GroupName[]
  private readonly runFolder: RunFolder
  private readonly boot: BootId
  private readonly listener: MonitorsListener
  private readonly shared: MonitorLink
  private readonly own = new Map<GroupName, MonitorLink>()

  constructor(runFolder: RunFolder, boot: BootId, listener: MonitorsListener) {
    this.runFolder = runFolder
    this.boot = boot
    this.listener = listener
    this.open = runFolder
      .readRecords()
      .readable.filter((record) => record.boot === boot && record.dedicated === true)
      .map(({ group }) => group)
    this.shared = this.connect(undefined)
    this.want(this.open)
  }

  /** The one that this group has of its own, or the shared one. */
  isConnected(to?: GroupName): boolean {
    return (to === undefined ? this.shared : this.own.get(to))?.connected === true
  }

  /** What is of all of them goes to all. */
  send(order: MonitorOrder, to?: GroupName): void {
    if (order.kind === 'deadline') for (const link of this.own.values()) link.send(order)
    if (to === undefined) this.shared.send(order)
    else this.own.get(to)?.send(order)
  }

  want(groups: readonly GroupName[]): void {
    for (const [group, link] of [...this.own]) {
      if (groups.includes(group)) continue
      this.own.delete(group)
      link.close()
    }
    this.runFolder.writeMonitors(this.boot, groups)
    for (const group of groups) if (!this.own.has(group)) this.own.set(group, this.connect(group))
  }

  close(): void {
    this.shared.close()
    for (const link of this.own.values()) link.close()
  }

  private connect(group: GroupName | undefined): MonitorLink {
    const isOpen = () => group === undefined || this.own.get(group) === link
    const link: MonitorLink = openMonitorLink(this.runFolder.socket(group === undefined ? 'monitor' : `monitor@${group}`), {
      onReport: (report) => isOpen() && this.listener.onReport(report, group),
      onConnected: () => undefined,
      onDisconnected: () => isOpen() && this.listener.onDisconnected(group),
    })
    return link
  }
}
