/** Cases: the order in the log decides, attempts are intentions and one at a time. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Command } from '../../../src/core/cluster/index.js'
import { Database, n1, n2, n3, nodes } from './database.js'

const c1 = 'c1' as never
const answer = (more: object = {}): Command =>
  ({ kind: 'register-nonce', caseId: c1, nonce: 'nonce-c1', boot: 'n1-1', ...more }) as unknown as Command
const condemn = (attempt: Extract<Command, { kind: 'condemn' }>['attempt'] = null, answering = nodes): Command => ({
  kind: 'condemn',
  caseId: c1,
  attempt,
  reason: 'silent',
  answering,
})

function challenged(more: Record<string, unknown> = {}): Database {
  const database = new Database().formed()
  database.group()
  database.granted(n1)
  database.ok(database.openCase(n1, 'c1', more))
  return database
}

describe('challenge and condemnation', () => {
  test('an answer that comes first closes the case, and the condemnation is refused', () => {
    const database = challenged()
    database.ok(answer())
    assert.equal(database.case().stage, 'CLOSED')
    database.refused(condemn(), 'CONFLICT')
    assert.equal(database.state.get('boots', 'n1/n1-1')?.state, 'live')
  })

  test('a condemnation that comes first stands, and the answer is refused', () => {
    const database = challenged()
    database.ok(condemn())
    database.refused(answer(), 'CONFLICT')
    database.refused({ kind: 'close-case', caseId: c1, conclusion: 'too late' }, 'CONFLICT')
    assert.equal(database.state.get('boots', 'n1/n1-1')?.state, 'condemned')
  })

  test('an answer with another nonce or of another boot is none', () => {
    const database = challenged()
    database.refused(answer({ nonce: 'nonce-c0' }), 'CONFLICT')
    database.refused(answer({ boot: 'n1-0' }), 'CONFLICT')
    assert.equal(database.case().stage, 'CHALLENGE')
  })

  test('a person’s request to fence is not ended by an answer', () => {
    const database = challenged({ trigger: 'asked by ann: it burns' })
    database.refused(answer(), 'CONFLICT')
    database.ok(condemn())
  })

  test('a case is opened of the present live boot only, once, and never with the suspect as arbiter', () => {
    const database = challenged()
    database.refused(database.openCase(n1, 'c2'), 'CONFLICT', /open case already/)
    database.refused(database.openCase(n2, 'c2', { boot: 'n2-0' }), 'CONFLICT')
    database.refused(database.openCase(n2, 'c2', { arbiter: n2 }), 'CONFLICT', /own arbiter/)
    database.boot(n2, 'n2-2')
    database.refused(database.openCase(n2, 'c2', { boot: 'n2-1' }), 'CONFLICT')
  })
})

describe('who may be lost', () => {
  test('a voter that does not answer is no part of the quorum that would be left, though its boot is live', () => {
    const database = challenged()
    database.refused(condemn(database.attempt(1, n2), [n1, n2]), 'CONFLICT', /no quorum/)
    database.ok(condemn(database.attempt(1, n2), [n2, n3]))
  })

  test('a voter that is condemned and not being cut off is part of it while it answers', () => {
    const database = challenged()
    database.ok(database.openCase(n3, 'c3', { arbiter: n2 }))
    database.ok({ kind: 'condemn', caseId: 'c3' as never, attempt: null, reason: 'silent', answering: nodes })
    database.ok(condemn(database.attempt(1, n2), [n2, n3]))
  })

  test('a voter that is being cut off, or was and is not back, is none, however lately it answered', () => {
    const database = challenged()
    database.condemned(n3, 'c3')
    database.refused(condemn(database.attempt(1, n2)), 'CONFLICT', /no quorum/)
    database.ok(database.attemptResult(true, 1, 'c3'))
    database.refused(condemn(database.attempt(1, n2)), 'CONFLICT', /no quorum/)
    database.boot(n3, 'n3-2')
    database.ok(condemn(database.attempt(1, n2)))
  })

  test('nor is one whose device has failed and may still do it', () => {
    const database = new Database().formedAt(5)
    database.ok(database.openCase(n1, 'c1'))
    database.condemned(n3, 'c3')
    database.ok(database.attemptResult(false, 1, 'c3'))
    database.refused(condemn(database.attempt(1, n2)), 'CONFLICT', /no quorum/)
    database.at += 60_000
    database.ok(condemn(database.attempt(1, n2)))
  })

  test('a condemned node that answers again is not cut off when it has come to be needed', () => {
    const database = challenged()
    database.ok(condemn(database.attempt(1, n2)))
    database.ok(database.attemptResult(false))
    const again = (answering: typeof nodes): Command => ({ kind: 'attempt', caseId: c1, attempt: database.attempt(2, n2), answering })
    database.refused(again([n1, n2]), 'CONFLICT', /no quorum/)
    database.ok(again([n2, n3]))
  })
})

describe('the devices of an attempt', () => {
  const device = (agent: string, timeout = 5_000) => ({ agent, parameters: { port: '7' }, timeout })
  const fencing = (...levels: ReturnType<typeof device>[][]): Command =>
    ({ kind: 'patch-node', node: n1, fencing: { levels, then: 'on' }, precondition: {} }) as Command
  const begun = (): Database => {
    const database = challenged()
    database.ok(fencing([device('first', 20_000)]))
    database.ok(condemn(database.attempt(1, n2)))
    return database
  }

  test('are pinned when it begins, with the time that they may take', () => {
    const database = begun()
    database.ok(fencing([device('other')]))
    const [attempt] = database.case().attempts
    assert.deepEqual(
      attempt?.devices.map((one) => one.agent),
      ['first'],
    )
    assert.equal(attempt?.timeout, 20_000)
  })

  test('that were not believed then are not when the node has got others meanwhile', () => {
    const database = begun()
    database.ok(database.attemptResult(true))
    database.ok({ kind: 'void-proof', node: n1, boot: 'n1-1' as never, sign: 'heartbeats' })
    database.ok({ kind: 'attempt', caseId: c1, attempt: database.attempt(2, n2), answering: nodes })
    database.ok(fencing([device('other')]))
    assert.equal(database.state.get('nodes', n1)?.deviceDistrusted, null, 'new devices are trusted')
    database.ok(database.attemptResult(true, 2))
    assert.equal(database.case().stage, 'CONDEMNED')
    database.ok({ kind: 'attempt', caseId: c1, attempt: database.attempt(3, n2), answering: nodes })
    database.ok(database.attemptResult(true, 3))
    assert.equal(database.case().stage, 'PROVED')
  })

  test('that switched it off are those that switch it on', () => {
    const database = begun()
    database.ok(fencing([device('other')]))
    database.ok(database.attemptResult(true))
    database.ok({ kind: 'attempt', caseId: c1, attempt: database.attempt(2, n2, 'on'), answering: nodes })
    assert.equal(database.case().attempts[1]?.devices[0]?.agent, 'first')
  })
})

describe('attempts', () => {
  const attempt = (database: Database, number: number, arbiter = n2, action: 'off' | 'on' = 'off', answering = nodes): Command => ({
    kind: 'attempt',
    caseId: c1,
    attempt: database.attempt(number, arbiter, action),
    answering,
  })

  test('begin with the condemnation, one at a time, numbered without gaps', () => {
    const database = challenged()
    database.refused(attempt(database, 1), 'CONFLICT', /CHALLENGE/)
    database.ok(condemn(database.attempt(1, n2)))
    database.refused(attempt(database, 2), 'CONFLICT', /open attempt/)
    database.ok(database.attemptResult(false))
    database.refused(attempt(database, 1), 'CONFLICT')
    database.refused(attempt(database, 3), 'CONFLICT')
    database.refused(attempt(database, 2, n1), 'CONFLICT', /own arbiter/)
    database.ok(attempt(database, 2, n3))
    assert.equal(database.case().arbiter, n3)
  })

  test('a node that came back by itself is not shot again', () => {
    const database = challenged()
    database.ok(condemn())
    database.boot(n1, 'n1-2')
    database.refused(attempt(database, 1), 'CONFLICT', /another boot/)
  })

  test('only switching on follows the proof', () => {
    const database = challenged()
    database.ok(condemn(database.attempt(1, n2)))
    database.ok(database.attemptResult(true))
    database.refused(attempt(database, 2), 'CONFLICT', /PROVED/)
    database.ok(attempt(database, 2, n2, 'on'))
    database.refused({ kind: 'recover-case', caseId: c1, conclusion: 'done' }, 'CONFLICT', /open attempt/)
    database.ok(database.attemptResult(true, 2))
    database.ok({ kind: 'recover-case', caseId: c1, conclusion: 'done' })
    assert.equal(database.case().stage, 'RECOVERED')
  })

  test('is given up only by the leader that judged it', () => {
    const database = challenged()
    database.ok(condemn(database.attempt(1, n2)))
    const abandon = (judgedTerm: number): Command => ({
      kind: 'abandon-attempt',
      caseId: c1,
      number: 1,
      judgedTerm: judgedTerm as never,
      reason: 'gone',
    })
    database.newTerm()
    database.refused(abandon(1), 'CONFLICT', /another leader/)
    database.ok(abandon(2))
    database.ok(attempt(database, 2, n3))
  })
})

describe('a condemned boot that came back before it was cut off', () => {
  const readmit: Command = { kind: 'readmit', node: n1, boot: 'n1-1' as never, reason: 'it has stopped everything' }

  test('is admitted again once its tokens have ended and no attempt is open', () => {
    const database = challenged()
    database.ok(condemn(database.attempt(1, n2)))
    database.refused(readmit, 'CONFLICT', /tokens/)
    database.ok(database.released(n1))
    database.refused(readmit, 'CONFLICT', /fence device/)
    database.ok(database.attemptResult(false))
    database.ok(readmit)
    assert.equal(database.state.get('boots', 'n1/n1-1')?.state, 'live')
    assert.equal(database.case().stage, 'CLOSED')
    assert.match(database.grant(n1) ?? '', /not looked yet/)
  })

  test('a boot that is not condemned cannot be', () => {
    const database = challenged()
    database.refused(readmit, 'CONFLICT')
  })
})

test('the case keeps which groups were held, its timeline, and its attempts', () => {
  const database = challenged()
  database.ok(condemn(database.attempt(1, n2)))
  database.ok(database.attemptResult(true))
  const row = database.case()
  assert.deepEqual(row.groups, ['web'])
  assert.deepEqual(
    row.timeline.map((line) => line.stage),
    ['CHALLENGE', 'CONDEMNED', 'FENCED'],
  )
  assert.deepEqual(
    row.attempts.map((one) => `${one.number} ${one.arbiter} ${one.action} ${one.state}`),
    ['1 n2 off confirmed'],
  )
})
