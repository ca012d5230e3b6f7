/**
 * When followers are told what is committed. They act on it (grants, cases): while little is proposed they are told at once; while
 * much is, the next append is near and tells it, or else the next heartbeat. Who owes an answer is told at once in any case.
 */
import type { LogIndex, MemberId } from '../../base/index.js'

/** Proposals within one tick, this one or the last, from which on the next append is surely near. */
const busyProposals = 3

export class CommitNews {
  /** The commit index moved, and followers do not know. */
  private isFresh = false
  /** Members that owe an answer about what is committed up to an index. */
  private readonly awaited = new Map<MemberId, LogIndex>()
  private proposedInTick = 0
  private proposedInLastTick = 0

  tick(): void {
    this.proposedInLastTick = this.proposedInTick
    this.proposedInTick = 0
  }

  proposed(): void {
    this.proposedInTick++
  }

  committed(): void {
    this.isFresh = true
  }

  /** Somebody may have to be told. */
  get isWaiting(): boolean {
    return this.isFresh || this.awaited.size > 0
  }

  get isIdle(): boolean {
    return Math.max(this.proposedInTick, this.proposedInLastTick) < busyProposals
  }

  awaitedBy(member: MemberId, index: LogIndex): void {
    this.awaited.set(member, index)
  }

  isAwaitedBy(member: MemberId): boolean {
    return this.awaited.has(member)
  }

  /** The member was told that it may commit up to `index`. */
  told(member: MemberId, index: LogIndex): void {
    if (index >= (this.awaited.get(member) ?? Number.MAX_SAFE_INTEGER)) this.awaited.delete(member)
  }

  /** All who are to be told at once were. */
  spread(): void {
    this.isFresh = false
  }

  forget(member: MemberId): void {
    this.awaited.delete(member)
  }

  /** The lead is over. */
  forgetAll(): void {
    this.awaited.clear()
  }
}
