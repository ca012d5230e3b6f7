/** Leases, both ends: what an answer is worth to the holder, and when the giver may call it over. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type BootId, type BootInstant, bootInstant, type LogIndex, type NodeId, type SessionId } from '../../../src/base/index.js'
import { LeaseGiver, LeaseHolder } from '../../../src/core/detector/index.js'

const session = 'b1/1' as SessionId
const at = (value: number): BootInstant => bootInstant(value)
const renewal = (sendTime: number, more: { session?: SessionId; leaseMs?: number; commitIndex?: number } = {}) => ({
  session: more.session ?? session,
  sendTime: at(sendTime),
  leaseMs: more.leaseMs ?? 3_000,
  commitIndex: (more.commitIndex ?? 0) as LogIndex,
})
const n1 = 'n1' as NodeId
const b1 = 'b1' as BootId

describe('the holder', () => {
  test('has no lease before the first answer', () => {
    const holder = new LeaseHolder(session)
    assert.equal(holder.deadline, undefined)
    assert.equal(holder.mayAct(at(0), 0 as LogIndex), false)
  })

  test('counts from when it asked, not from when it was answered', () => {
    const holder = new LeaseHolder(session)
    holder.renewed(renewal(1_000))
    assert.equal(holder.deadline, 4_000)
    assert.equal(holder.remaining(at(3_000)), 990)
  })

  test('adds the grain of the clock to its reading', () => {
    const holder = new LeaseHolder(session)
    holder.renewed(renewal(1_000))
    assert.equal(holder.mayAct(at(3_980), 0 as LogIndex), true)
    assert.equal(holder.mayAct(at(3_990), 0 as LogIndex), false)
  })

  test('takes only answers to its own session', () => {
    const holder = new LeaseHolder(session)
    assert.equal(holder.renewed(renewal(1_000, { session: 'b1/2' as SessionId })), false)
    assert.equal(holder.deadline, undefined)
  })

  test('is not taken back by an answer that comes late or twice', () => {
    const holder = new LeaseHolder(session)
    holder.renewed(renewal(2_000))
    assert.equal(holder.renewed(renewal(1_000)), false)
    assert.equal(holder.renewed(renewal(2_000)), false)
    assert.equal(holder.deadline, 5_000)
  })

  test('starts nothing before it has applied what was committed when its lease was renewed', () => {
    const holder = new LeaseHolder(session)
    holder.renewed(renewal(1_000, { commitIndex: 7 }))
    assert.equal(holder.mayAct(at(1_100), 6 as LogIndex), false)
    assert.equal(holder.mayAct(at(1_100), 7 as LogIndex), true)
  })
})

describe('the giver', () => {
  const bound = (3_000 + 5_000 + 1_000) * 1.1

  test('waits for lease, emergency stop, a second and the drift of clocks, from its own election on', () => {
    const giver = new LeaseGiver(at(10_000))
    assert.equal(giver.untilExpired(n1, b1, 3_000, 5_000, at(10_000)), bound + 10)
    assert.equal(giver.untilExpired(n1, b1, 3_000, 5_000, at(10_000 + bound)) > 0, true)
    assert.equal(giver.untilExpired(n1, b1, 3_000, 5_000, at(10_000 + bound + 10)), 0)
  })

  test('counts from the receipt of the last heartbeat that it answered', () => {
    const giver = new LeaseGiver(at(10_000))
    giver.answered(n1, b1, at(15_000))
    giver.answered(n1, b1, at(14_000))
    assert.equal(giver.untilExpired(n1, b1, 3_000, 5_000, at(15_000 + bound)) > 0, true)
    assert.equal(giver.untilExpired(n1, b1, 3_000, 5_000, at(15_000 + bound + 10)), 0)
  })

  test('the holder’s clock may be slow and the giver’s fast by the drift together, and the holder has still ended first', () => {
    for (const lease of [3_000, 30_000, 120_000]) {
      for (const [slow, fast] of [
        [1, 1],
        [0.955, 1.045],
        [0.91, 1],
      ] as const) {
        // True times: asked at 0, received at 0 (no earlier is possible), answered whenever.
        const giver = new LeaseGiver(at(0))
        giver.answered(n1, b1, at(0))
        const holderEnds = (lease + 5_000) / slow
        assert.ok(giver.untilExpired(n1, b1, lease, 5_000, at(holderEnds * fast)) > 0, `${lease} ms with clocks at ${slow} and ${fast}`)
      }
    }
  })

  test('answers a boot no more from the condemnation on, until the log refuses it', () => {
    const giver = new LeaseGiver(at(0))
    assert.equal(giver.isWithheld(n1, b1), false)
    giver.withhold(n1, b1)
    assert.equal(giver.isWithheld(n1, b1), true)
    assert.equal(giver.isWithheld(n1, 'b2' as BootId), false)
    giver.resume(n1, b1)
    assert.equal(giver.isWithheld(n1, b1), false)
  })
})
