/** What goes on from one lead of a member to its next: counts that never repeat, and how busy it is. */
import { CommitNews } from './commit-news.js'
import type { MemberState } from './member-state.js'
import type { Outbox } from './outbox.js'
import { Rounds } from './rounds.js'
import { SnapshotTransfers } from './snapshot-transfers.js'

export class LeadHistory {
  readonly rounds = new Rounds()
  readonly news = new CommitNews()
  readonly snapshots: SnapshotTransfers

  constructor(state: MemberState, outbox: Outbox) {
    this.snapshots = new SnapshotTransfers(state, outbox)
  }
}
