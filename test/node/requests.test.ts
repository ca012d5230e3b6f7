/** Requests that wait: each is answered once, and never called failed when it may have been carried out. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ClusterError, type LogIndex, type RequestId, type Term } from '../../src/base/index.js'
import type { Command, CommandResult } from '../../src/core/cluster/index.js'
import { type Outcome, Requests } from '../../src/node/requests.js'

const id = 'r1' as RequestId
const command: Command = { kind: 'store', operations: [] }
const done = { ok: true, index: 1 as LogIndex, value: {} } as CommandResult

/** Notes what each caller is told. */
class Caller {
  readonly told: string[] = []
  readonly callback = (outcome: Outcome<unknown>) => {
    this.told.push(outcome.ok ? 'ok' : outcome.error.code)
  }
}

function proposed(deadline = 1_000) {
  const requests = new Requests()
  const caller = new Caller()
  requests.addProposal({ id, command, fingerprint: undefined }, deadline, caller.callback)
  return { requests, caller }
}

describe('a proposal', () => {
  test('that was never sent has surely not been carried out', () => {
    const { requests, caller } = proposed()
    requests.expire(1_000)
    assert.deepEqual(caller.told, ['NO_QUORUM'])
  })

  test('that was sent and not answered may have been', () => {
    const { requests, caller } = proposed()
    requests.proposalSent(id)
    requests.expire(999)
    assert.deepEqual(caller.told, [])
    requests.expire(1_000)
    assert.deepEqual(caller.told, ['UNKNOWN_OUTCOME'])
  })

  test('that came back before it reached the log may be sent again', () => {
    const { requests, caller } = proposed()
    requests.proposalSent(id)
    assert.deepEqual(requests.waitingForLeader(), [])
    requests.proposalReturned(id)
    assert.deepEqual(
      requests.waitingForLeader().map((proposal) => proposal.id),
      [id],
    )
    requests.expire(1_000)
    assert.deepEqual(caller.told, ['NO_QUORUM'])
  })

  test('that was passed on in a term is lost once a later term is applied, and may be sent again', () => {
    const { requests, caller } = proposed()
    requests.proposalSent(id, { term: 3 as Term, isKept: true })
    requests.termApplied(3 as Term)
    assert.deepEqual(requests.waitingForLeader(), [])
    requests.termApplied(4 as Term)
    assert.equal(requests.waitingForLeader().length, 1)
    requests.expire(1_000)
    assert.deepEqual(caller.told, ['NO_QUORUM'])
  })

  test('that was passed on to whoever takes it in any term, or may be in a snapshot, is not sent again', () => {
    const { requests } = proposed()
    requests.proposalSent(id, { term: 3 as Term, isKept: false })
    requests.termApplied(4 as Term)
    assert.deepEqual(requests.waitingForLeader(), [])
    requests.proposalSent(id, { term: 3 as Term, isKept: true })
    requests.snapshotTaken()
    requests.termApplied(4 as Term)
    assert.deepEqual(requests.waitingForLeader(), [])
  })

  test('that has been passed on again is not returned by the refusal of the first', () => {
    const { requests } = proposed()
    requests.proposalSent(id, { term: 3 as Term, isKept: true })
    requests.termApplied(4 as Term)
    requests.proposalSent(id, { term: 4 as Term, isKept: true })
    requests.forwardRefused(id, 3 as Term)
    assert.deepEqual(requests.waitingForLeader(), [])
    requests.forwardRefused(id, 4 as Term)
    assert.equal(requests.waitingForLeader().length, 1)
    // Meanwhile this node leads, and has it in its own log.
    requests.proposalSent(id)
    requests.forwardRefused(id, 4 as Term)
    assert.deepEqual(requests.waitingForLeader(), [])
  })

  test('is answered once', () => {
    const { requests, caller } = proposed()
    requests.endProposal(id, { ok: true, value: done })
    requests.endProposal(id, { ok: true, value: done })
    requests.expire(9_999)
    assert.deepEqual(caller.told, ['ok'])
  })

  test('that the leader has answered is told when it is applied here, or its time is up, and sent nowhere any more', () => {
    const { requests, caller } = proposed()
    requests.proposalSent(id, { term: 3 as Term, isKept: true })
    requests.proposalAnswered(id, done, 600)
    requests.forwardRefused(id, 3 as Term)
    requests.termApplied(4 as Term)
    assert.deepEqual([requests.waitingForLeader(), caller.told], [[], []])
    requests.applied(1 as LogIndex)
    assert.deepEqual(caller.told, ['ok'])
    for (const [deadline, at] of [
      [1_000, 600],
      [500, 500],
    ] as const) {
      const late = proposed(deadline)
      late.requests.proposalSent(id, { term: 3 as Term, isKept: true })
      late.requests.proposalAnswered(id, done, 600)
      late.requests.expire(at - 1)
      assert.deepEqual(late.caller.told, [])
      late.requests.expire(at)
      assert.deepEqual(late.caller.told, ['ok'], 'what is known is never called unknown')
    }
  })

  test('that waits to be sent again is answered by the first answer, and not sent again', () => {
    const { requests, caller } = proposed()
    requests.proposalAnswered(id, done, 600)
    assert.deepEqual(requests.waitingForLeader(), [])
    requests.applied(1 as LogIndex)
    assert.deepEqual(caller.told, ['ok'])
  })

  test('of the same id joins the one that waits', () => {
    const { requests, caller } = proposed()
    const second = new Caller()
    assert.equal(requests.addProposal({ id, command, fingerprint: undefined }, 1_000, second.callback), false)
    requests.endProposal(id, { ok: true, value: done })
    assert.deepEqual([caller.told, second.told], [['ok'], ['ok']])
  })

  test('beyond the bound is refused at once', () => {
    const requests = new Requests()
    const caller = new Caller()
    for (let count = 0; count <= 10_000; count++) {
      requests.addProposal({ id: `r${count}` as RequestId, command, fingerprint: undefined }, 1_000, caller.callback)
    }
    assert.deepEqual(caller.told, ['OVERLOADED'])
  })
})

describe('proposals that travel as one', () => {
  const one = 'm1' as RequestId
  const names = ['r1', 'r2', 'r3'] as RequestId[]

  function merged(deadlines: readonly number[] = [1_000, 1_000, 1_000]) {
    const requests = new Requests()
    const callers = names.map((name, at) => {
      const caller = new Caller()
      const operations = [{ kind: 'put', key: name, value: at }] as const
      requests.addProposal(
        { id: name, command: { kind: 'store', operations }, fingerprint: undefined },
        deadlines[at] as number,
        caller.callback,
      )
      return caller
    })
    requests.merge(one, names)
    requests.proposalSent(one)
    const told = () => callers.map((caller) => caller.told.join())
    const waiting = () => requests.waitingForLeader().map(({ id: name }) => name)
    return { requests, callers, told, waiting }
  }

  test('are answered each with its own part of the answer', () => {
    const requests = new Requests()
    const answers: unknown[] = []
    for (const name of names)
      requests.addProposal({ id: name, command, fingerprint: undefined }, 1_000, (outcome) => answers.push(outcome.ok && outcome.value))
    requests.merge(one, names)
    const results = names.map((key) => ({ key, revision: 7 }))
    requests.endProposal(one, { ok: true, value: { ok: true, index: 7 as LogIndex, value: { results, revision: 7 } } })
    const expected = results.map((result) => ({ ok: true, index: 7, value: { results: [result], revision: 7 } }))
    assert.deepEqual(answers, expected)
  })

  test('are returned together, and may travel again, in other company', () => {
    const { requests, told, waiting } = merged()
    assert.deepEqual(waiting(), [])
    requests.proposalReturned(one)
    assert.deepEqual(waiting(), names)
    const second = 'm2' as RequestId
    requests.merge(second, names.slice(0, 2))
    requests.proposalSent(second)
    assert.deepEqual(waiting(), ['r3'])
    requests.endProposal(one, { ok: false, error: new ClusterError('INTERNAL', 'late news of the first journey') })
    assert.deepEqual(told(), ['', '', ''])
    requests.expire(1_000)
    assert.deepEqual(told(), ['UNKNOWN_OUTCOME', 'UNKNOWN_OUTCOME', 'NO_QUORUM'])
  })

  test('go each its own way where all were refused for the sake of one', () => {
    const { requests, told, waiting } = merged()
    const error = { code: 'TOO_LARGE', message: 'one of them' } as never
    requests.endProposal(one, { ok: true, value: { ok: false, index: 7 as LogIndex, error } })
    assert.deepEqual([told(), waiting()], [['', '', ''], names])
    assert.deepEqual(
      names.map((name) => requests.mayMerge(name)),
      [false, false, false],
    )
  })

  test('are each answered in its own time', () => {
    const { requests, told } = merged([500, 1_000, 1_000])
    requests.expire(500)
    assert.deepEqual(told(), ['UNKNOWN_OUTCOME', '', ''])
    const results = names.map((key) => ({ key, revision: 7 }))
    requests.endProposal(one, { ok: true, value: { ok: true, index: 7 as LogIndex, value: { results, revision: 7 } } })
    assert.deepEqual(told(), ['UNKNOWN_OUTCOME', 'ok', 'ok'])
  })

  test('that the leader has answered are told together, each by its own deadline', () => {
    const { requests, told, waiting } = merged([500, 1_000, 1_000])
    requests.proposalSent(one, { term: 3 as Term, isKept: true })
    const results = names.map((key) => ({ key, revision: 7 }))
    requests.proposalAnswered(one, { ok: true, index: 7 as LogIndex, value: { results, revision: 7 } }, 2_000)
    requests.termApplied(4 as Term)
    assert.deepEqual([told(), waiting()], [['', '', ''], []])
    requests.expire(500)
    assert.deepEqual(told(), ['ok', '', ''])
    requests.applied(7 as LogIndex)
    assert.deepEqual(told(), ['ok', 'ok', 'ok'])
  })

  test('share what is known of a journey to another node', () => {
    const { requests, waiting } = merged()
    requests.proposalSent(one, { term: 3 as Term, isKept: true })
    requests.forwardRefused(one, 2 as Term)
    assert.deepEqual(waiting(), [])
    requests.forwardRefused(one, 3 as Term)
    assert.deepEqual(waiting(), names)
    requests.merge('m2' as RequestId, names)
    requests.proposalSent('m2' as RequestId, { term: 4 as Term, isKept: true })
    requests.termApplied(5 as Term)
    assert.deepEqual(waiting(), names)
    requests.merge('m3' as RequestId, names)
    requests.proposalSent('m3' as RequestId)
    requests.forgetProposal('m3' as RequestId)
    assert.deepEqual(waiting(), [])
  })
})

describe('a reading', () => {
  test('waits for its index, and for no more', () => {
    const requests = new Requests()
    const caller = new Caller()
    requests.addRead(5 as LogIndex, 1_000, caller.callback)
    requests.applied(4 as LogIndex)
    assert.deepEqual(caller.told, [])
    requests.applied(6 as LogIndex)
    requests.applied(7 as LogIndex)
    assert.deepEqual(caller.told, ['ok'])
  })

  test('that this node does not reach in time is refused', () => {
    const requests = new Requests()
    const caller = new Caller()
    requests.addRead(5 as LogIndex, 1_000, caller.callback)
    requests.expire(1_000)
    requests.applied(9 as LogIndex)
    assert.deepEqual(caller.told, ['NO_QUORUM'])
  })
})

describe('a question', () => {
  test('is answered once, or not in time', () => {
    const requests = new Requests()
    const [heard, unheard] = [new Caller(), new Caller()]
    requests.addQuestion('a', 1_000, heard.callback)
    requests.addQuestion('b', 1_000, unheard.callback)
    requests.answer('a', { ok: false, error: new ClusterError('NOT_YET', 'no') })
    requests.answer('a', { ok: true, value: 1 })
    requests.expire(1_000)
    requests.answer('b', { ok: true, value: 1 })
    assert.deepEqual([heard.told, unheard.told], [['NOT_YET'], ['NO_QUORUM']])
  })
})
