/** What is to be done after a step, in the order in which the parts of a member have asked for it. */
import type { MemberId, RequestId } from '../../base/index.js'
import type { LogEntry, RaftEffect, RaftMessage, Refusal } from './types.js'

export class Outbox {
  private effects: RaftEffect[] = []

  push(effect: RaftEffect): void {
    this.effects.push(effect)
  }

  /** Leaves with this step. What rests on a write waits in `persistence.ts` instead. */
  send(to: MemberId, message: RaftMessage): void {
    this.effects.push({ kind: 'send', to, message })
  }

  accept(requestId: RequestId, { index, term }: LogEntry): void {
    this.effects.push({ kind: 'accepted', requestId, index, term })
  }

  refuse(requestId: RequestId, reason: Refusal, leader: MemberId | undefined): void {
    this.effects.push({ kind: 'refused', requestId, reason, leader })
  }

  /** Everything since the last call. */
  take(): readonly RaftEffect[] {
    const taken = this.effects
    this.effects = []
    return taken
  }
}
