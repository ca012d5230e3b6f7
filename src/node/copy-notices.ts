/** Tells this node's copies of scalable groups what others of them are about to do, or have done, and says so in the log. */
import type { BootId, GroupName, LogIndex, NodeId } from '../base/index.js'
import {
  type Command,
  type GroupRow,
  instanceName,
  mayStillRun,
  type Notice,
  type Reader,
  type ScalableRow,
} from '../core/cluster/index.js'

export interface CopyNoticesDoors {
  readonly self: NodeId
  readonly boot: BootId
  /** Has the copy told; `done` whatever came of it. */
  readonly tell: (copy: GroupRow, row: ScalableRow, notice: Notice, done: () => void) => void
  /** `ok` is false where it has to be said again. */
  readonly propose: (command: Extract<Command, { kind: 'noticed' }>, done: (ok: boolean) => void) => void
}

export class CopyNotices {
  private readonly doors: CopyNoticesDoors
  /** The number of the last step of which the copy was told, or is being told. */
  private readonly told = new Map<GroupName, LogIndex>()

  constructor(doors: CopyNoticesDoors) {
    this.doors = doors
  }

  /** To be called whenever the state has changed. */
  look(state: Reader): void {
    const { self, boot } = this.doors
    for (const [, row] of state.rows('scalables')) {
      const { name, notice } = row
      if (notice === undefined || notice.when === 'during' || notice.told.includes(self)) continue
      if ((this.told.get(name) ?? 0) >= notice.number) continue
      const copy = state.get('groups', instanceName(name, self))
      if (copy === undefined || !mayStillRun(copy) || copy.holder.boot !== boot || copy.holder.report.state !== 'ONLINE') continue
      this.told.set(name, notice.number)
      this.doors.tell(copy, row, notice, () => {
        this.doors.propose({ kind: 'noticed', group: name, number: notice.number, node: self }, (ok) => {
          if (!ok && this.told.get(name) === notice.number) this.told.delete(name)
        })
      })
    }
  }
}
