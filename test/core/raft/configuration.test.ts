/** What a configuration's majorities have reached, against the middle of the sorted list. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { MemberId } from '../../../src/base/index.js'
import { quorumValue } from '../../../src/core/raft/configuration.js'

const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'] as MemberId[]
const some = fc.subarray(names, { minLength: 1 })
const values = fc.tuple(...names.map(() => fc.integer({ min: 0, max: 6 })))

function middle(voters: readonly MemberId[], reachedBy: (voter: MemberId) => number): number {
  return voters.map(reachedBy).sort((a, b) => b - a)[Math.floor(voters.length / 2)] as number
}

describe('a majority', { timeout: 60_000 }, () => {
  test('has reached what the middle one of all has, and in a joint configuration the less of two', () => {
    fc.assert(
      fc.property(some, fc.oneof(fc.constant([]), some), values, (voters, outgoing, reached) => {
        const reachedBy = (voter: MemberId): number => reached[names.indexOf(voter)] as number
        const expected =
          outgoing.length === 0 ? middle(voters, reachedBy) : Math.min(middle(voters, reachedBy), middle(outgoing, reachedBy))
        assert.equal(quorumValue({ voters, outgoing, learners: [], places: {} }, reachedBy), expected)
      }),
      { numRuns: 5_000 },
    )
  })
})
