/** Each proof: accepted where it fits, refused where it does not. A token ends once. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { GroupName } from '../../../src/base/index.js'
import { type Command, mayStillRun } from '../../../src/core/cluster/index.js'
import { Database, definition, guarded, n1, n2, n3, nodes, resources, token, web, withWatchdog } from './database.js'

const db = 'db' as GroupName
const c1 = 'c1' as never

/** `web` runs on n1. */
function held(guard = guarded): Database {
  const database = new Database().formed(guard)
  database.group()
  database.granted(n1)
  database.ok(database.report(n1, 'ONLINE'))
  return database
}

describe('released', () => {
  test('ends the token of the holder that says so', () => {
    const database = held()
    database.ok(database.released(n1))
    assert.equal(database.row().holder, null)
    assert.equal(database.grant(n2), undefined)
  })

  test('is refused of another node, boot or token', () => {
    const database = held()
    const good = database.released(n1) as Extract<Command, { kind: 'released' }>
    database.refused({ ...good, node: n2 }, 'STALE_TOKEN')
    database.refused({ ...good, boot: 'n1-0' as never }, 'STALE_TOKEN')
    database.refused({ ...good, token: token(good.token - 1) }, 'STALE_TOKEN')
    database.refused({ ...good, token: token(good.token + 1) }, 'STALE_TOKEN')
    database.refused({ ...good, group: 'none' as never }, 'GROUP_NOT_FOUND')
    assert.ok(mayStillRun(database.row()))
  })

  test('ends a token once: a repeated one says nothing about the next token', () => {
    const database = held()
    const good = database.released(n1)
    database.ok(good)
    database.refused(good, 'STALE_TOKEN')
    database.granted(n1)
    database.refused(good, 'STALE_TOKEN')
    assert.ok(mayStillRun(database.row()))
  })

  test('is refused once another proof has ended the token', () => {
    const database = held()
    const late = database.released(n1)
    database.fenced(n1)
    database.refused(late, 'STALE_TOKEN')
  })
})

describe('fenced', () => {
  test('ends every token of the boot, and the case is proved', () => {
    const database = held()
    database.group(db)
    database.granted(n1, db)
    database.fenced(n1)
    assert.equal(database.case().stage, 'PROVED')
    assert.deepEqual([database.row(web).proof?.kind, database.row(db).proof?.kind], ['fenced', 'fenced'])
    assert.equal(database.grant(n2, web), undefined)
    assert.equal(database.grant(n3, db), undefined)
  })

  test('a failed attempt proves nothing', () => {
    const database = held()
    database.condemned(n1)
    database.ok(database.attemptResult(false))
    assert.equal(database.case().stage, 'CONDEMNED')
    assert.match(database.grant(n2) ?? '', /not proved stopped/)
  })

  test('is refused of a node that is not the arbiter of the open attempt, and when the attempt is over', () => {
    const database = held()
    database.condemned(n1)
    const good = database.attemptResult(true) as Extract<Command, { kind: 'attempt-result' }>
    database.refused({ ...good, arbiter: n3 }, 'CONFLICT')
    database.refused({ ...good, number: 2 }, 'CONFLICT')
    database.ok({ ...good, confirmed: false })
    database.refused(good, 'CONFLICT')
    assert.ok(mayStillRun(database.row()))
  })

  test('a result that comes after the attempt was given up proves nothing', () => {
    const database = held()
    database.condemned(n1)
    database.ok({ kind: 'abandon-attempt', caseId: c1, number: 1, judgedTerm: 1 as never, reason: 'its arbiter is gone' })
    database.refused(database.attemptResult(true), 'CONFLICT')
    assert.ok(mayStillRun(database.row()))
  })

  test('a switch-on that succeeds proves nothing', () => {
    const database = held()
    database.fenced(n1)
    database.ok({ kind: 'attempt', caseId: c1, attempt: database.attempt(2, n2, 'on'), answering: nodes })
    const before = database.row().proof
    database.ok(database.attemptResult(true, 2))
    assert.deepEqual(database.row().proof, before)
  })

  test('of a later boot ends the tokens of earlier boots of the node too: all of it is without power', () => {
    const database = held()
    database.boot(n1, 'n1-2')
    database.fenced(n1)
    assert.equal(database.row().proof?.kind, 'fenced')
    assert.equal(database.row().proof?.boot, 'n1-1')
    assert.equal(database.grant(n2), undefined)
  })

  test('a device that said off of a boot that showed itself afterwards is not believed until cleared', () => {
    const database = held()
    database.fenced(n1)
    database.ok({ kind: 'void-proof', node: n1, boot: 'n1-1' as never, sign: 'a heartbeat' })
    database.ok({ kind: 'attempt', caseId: c1, attempt: database.attempt(2, n2), answering: nodes })
    database.ok(database.attemptResult(true, 2))
    assert.equal(database.case().stage, 'CONDEMNED')
    assert.ok(mayStillRun(database.row()))
    database.ok({ kind: 'clear-node', node: n1 })
    database.ok({ kind: 'attempt', caseId: c1, attempt: database.attempt(3, n2), answering: nodes })
    database.ok(database.attemptResult(true, 3))
    assert.equal(database.row().proof?.kind, 'fenced')
  })
})

describe('guardian', () => {
  const statement = (tokens: Record<string, number>, more: object = {}): Command =>
    ({
      kind: 'guardian-proof',
      caseId: c1,
      node: n1,
      boot: 'n1-1',
      nonce: 'nonce-c1',
      tokens,
      verified: true,
      ...more,
    }) as unknown as Command
  const challenged = () => {
    const database = held()
    database.group(db)
    database.granted(n1, db)
    database.ok(database.openCase(n1))
    return database
  }
  const tokenOf = (database: Database, group: GroupName) => database.row(group).holder?.token as number

  test('ends the tokens that it names; all of them end the boot', () => {
    const database = challenged()
    database.ok(statement({ web: tokenOf(database, web) }))
    assert.equal(database.row(web).proof?.kind, 'guardian')
    assert.ok(mayStillRun(database.row(db)))
    assert.equal(database.case().stage, 'CHALLENGE')
    database.ok(statement({ web: tokenOf(database, web), db: tokenOf(database, db) }))
    assert.equal(database.row(db).proof?.kind, 'guardian')
    assert.equal(database.case().stage, 'PROVED')
  })

  test('is refused of another nonce, boot, node or case, unverified, or naming older tokens only', () => {
    const database = challenged()
    const good = { web: tokenOf(database, web), db: tokenOf(database, db) }
    database.refused(statement(good, { nonce: 'nonce-c0' }), 'PROOF_REFUSED')
    database.refused(statement(good, { boot: 'n1-0' }), 'PROOF_REFUSED')
    database.refused(statement(good, { node: n2 }), 'PROOF_REFUSED')
    database.refused(statement(good, { caseId: 'c9' }), 'CASE_NOT_FOUND')
    database.refused(statement(good, { verified: false }), 'PROOF_REFUSED')
    database.refused(statement({ web: good.web - 1 }), 'PROOF_REFUSED')
    database.refused(statement({}), 'PROOF_REFUSED')
    assert.ok(mayStillRun(database.row(web)))
  })

  test('is refused after the case is over', () => {
    const database = challenged()
    database.ok({ kind: 'close-case', caseId: c1, conclusion: 'a sign of life came' })
    database.refused(statement({ web: tokenOf(database, web), db: tokenOf(database, db) }), 'PROOF_REFUSED')
  })

  test('a boot ended by its guardian is admitted again when it registers, and holds nothing', () => {
    const database = challenged()
    database.ok(statement({ web: tokenOf(database, web), db: tokenOf(database, db) }))
    database.boot(n1, 'n1-1')
    assert.equal(database.state.get('boots', 'n1/n1-1')?.state, 'live')
    assert.match(database.grant(n1) ?? '', /not looked yet/)
  })
})

describe('rebooted', () => {
  test('another boot of the node that found nothing of what was pinned ends the token', () => {
    const database = held()
    const revision = database.row().resourcesRevision
    database.boot(n1, 'n1-2')
    assert.ok(mayStillRun(database.row()), 'to have come back is not yet to have looked')
    database.probed(n1, web, 'clean', revision)
    assert.equal(database.row().proof?.kind, 'rebooted')
    assert.equal(database.grant(n2), undefined)
  })

  test('something found, or nothing known, proves nothing', () => {
    for (const result of ['running', 'unknown'] as const) {
      const database = held()
      database.boot(n1, 'n1-2')
      database.probed(n1, web, result)
      assert.ok(mayStillRun(database.row()), result)
    }
  })

  test('looking for other resources than the pinned ones proves nothing', () => {
    const database = held()
    database.ok({
      kind: 'put-group',
      group: web,
      definition: definition({ resources: resources({ other: {} }) }),
      intent: null,
      precondition: {},
    })
    database.boot(n1, 'n1-2')
    database.probed(n1)
    assert.ok(mayStillRun(database.row()))
  })

  test('the same boot, another node, or an earlier boot cannot give it', () => {
    const database = held()
    database.probed(n1)
    assert.ok(mayStillRun(database.row()), 'the same boot')
    database.boot(n2, 'n2-2')
    database.probed(n2)
    assert.ok(mayStillRun(database.row()), 'another node')
    database.boot(n1, 'n1-2')
    const late = {
      kind: 'probed',
      node: n1,
      boot: 'n1-1',
      group: web,
      definition: database.row().resourcesRevision,
      result: 'clean',
      detail: '',
    }
    database.refused(late as Command, 'CONFLICT')
  })

  test('a challenged node that comes back with another boot ends its case; its groups wait for its probes', () => {
    const database = held()
    database.ok(database.openCase(n1))
    database.boot(n1, 'n1-2')
    assert.equal(database.case().stage, 'CLOSED')
    assert.ok(mayStillRun(database.row()))
    database.probed(n1)
    assert.equal(database.row().proof?.kind, 'rebooted')
  })
})

describe('lease', () => {
  const expired = (judgedTerm = 1): Command => ({
    kind: 'lease-proof',
    node: n1,
    boot: 'n1-1' as never,
    judgedTerm: judgedTerm as never,
    waitedMs: 9_900,
  })

  test('ends the tokens of a condemned boot with an armed watchdog', () => {
    const database = held(withWatchdog)
    database.condemned(n1)
    database.ok(expired())
    assert.equal(database.row().proof?.kind, 'lease')
    assert.equal(database.case().stage, 'PROVED')
  })

  test('is refused before the condemnation, and of a boot without an armed watchdog', () => {
    const database = held(withWatchdog)
    database.refused(expired(), 'PROOF_REFUSED', /no condemned boot/)
    const unarmed = held()
    unarmed.condemned(n1)
    unarmed.refused(expired(), 'PROOF_REFUSED', /no armed watchdog/)
  })

  test('and statements of its guardian are refused of a boot whose guardian is suspended, also after its maintenance', () => {
    const database = held(withWatchdog)
    database.ok({ kind: 'maintain-node', node: n1, forMs: 60_000, owner: 'ada', reason: 'x', detached: true })
    database.ok({ kind: 'end-maintenance', node: n1 })
    database.condemned(n1)
    database.refused(expired(), 'PROOF_REFUSED', /is suspended/)
    const tokens = { web: database.row().holder?.token as never }
    database.refused(
      { kind: 'guardian-proof', caseId: c1, node: n1, boot: 'n1-1' as never, nonce: 'nonce-c1', tokens, verified: true },
      'PROOF_REFUSED',
      /is suspended/,
    )
    database.ok(database.attemptResult(true))
    assert.equal(database.row().proof?.kind, 'fenced')
  })

  test('is refused of a leader of another term, and of one that judged before the condemnation', () => {
    const database = held(withWatchdog)
    database.condemned(n1)
    database.newTerm()
    database.refused(expired(1), 'PROOF_REFUSED', /another leader/)
    database.refused(expired(3), 'PROOF_REFUSED', /another leader/)
    database.ok(expired(2))
  })

  test('of a boot without a watchdog counts only where the administrator said so', () => {
    const database = held()
    database.ok({ kind: 'patch-settings', patch: { acceptGuardianLease: true } })
    database.condemned(n1)
    database.ok(expired())
    assert.equal(database.row().proof?.kind, 'lease')
  })

  test('of a boot that lost its guardian is refused, whatever the settings', () => {
    const database = held()
    database.ok({ kind: 'patch-settings', patch: { acceptGuardianLease: true } })
    database.boot(n1, 'n1-1', { ...guarded, guarded: false })
    database.condemned(n1)
    database.refused(expired(), 'PROOF_REFUSED')
  })
})

describe('operator', () => {
  const said = (more: object = {}): Command =>
    ({ kind: 'operator-proof', caseId: c1, node: n1, reason: 'the rack is dark', by: 'ann', unheard: true, ...more }) as Command

  test('ends the tokens of a condemned boot that is unheard', () => {
    const database = held()
    database.condemned(n1)
    database.ok(said())
    assert.equal(database.row().proof?.kind, 'operator')
    assert.match(database.row().proof?.detail ?? '', /ann states .* the rack is dark/)
  })

  test('is refused while the boot is heard, before it is condemned, and for another name', () => {
    const database = held()
    database.ok(database.openCase(n1))
    database.refused(said(), 'CONFLICT', /not condemned/)
    database.ok({ kind: 'condemn', caseId: c1, attempt: null, reason: 'silent', answering: nodes })
    database.refused(said({ unheard: false }), 'CONFLICT', /heard/)
    database.refused(said({ node: n2 }), 'INVALID')
    assert.ok(mayStillRun(database.row()))
  })
})

describe('a sign of life after the proof', () => {
  const sign: Command = { kind: 'void-proof', node: n1, boot: 'n1-1' as never, sign: 'a heartbeat' }

  test('voids the proof for groups that are not granted yet, and only for those', () => {
    const database = held()
    database.group(db)
    database.granted(n1, db)
    database.fenced(n1)
    database.granted(n2, db)
    const value = database.ok(sign)
    assert.deepEqual(value.withdrawn, [web])
    assert.ok(mayStillRun(database.row(web)))
    assert.equal(database.row(db).holder?.node, n2)
    assert.match(database.grant(n3) ?? '', /not proved stopped/)
    assert.ok(database.events().includes('alarm.p1'))
    assert.equal(database.case().stage, 'CONDEMNED')
  })

  test('says nothing of a boot without such a proof', () => {
    const database = held()
    assert.deepEqual(database.ok(sign), { ignored: 'there is no such proof' })
    database.boot(n1, 'n1-2')
    database.probed(n1)
    assert.deepEqual(database.ok(sign), { ignored: 'there is no such proof' })
    assert.equal(database.row().proof?.kind, 'rebooted')
  })
})

test('a fenced boot cannot register again; only another boot can', () => {
  const database = held()
  database.fenced(n1)
  database.refused(database.bootCommand(n1, 'n1-1'), 'CONFLICT', /proved ended/)
  database.boot(n1, 'n1-2')
  database.probed(n1)
  assert.equal(database.state.get('boots', 'n1/n1-2')?.state, 'live')
})
