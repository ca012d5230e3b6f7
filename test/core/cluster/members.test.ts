/** Who belongs: what is wanted of the members, and the steps that lead there. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { CaseId, MemberId, NodeId } from '../../../src/base/index.js'
import { conductMembers, rowsOfMembers } from '../../../src/core/cluster/index.js'
import { Database, definition, n1, n2, n3, web } from './database.js'

const m1 = 'm-n1' as MemberId
const m2 = 'm-n2' as MemberId
const m3 = 'm-n3' as MemberId
const n4 = 'n4' as NodeId
const place = (node: NodeId) => ({ host: node, port: 7400 })

function admit(database: Database, node: NodeId, member: string): MemberId {
  database.ok({ kind: 'admit', node, folder: `folder-${member}`, member: member as MemberId, address: place(node), checksum: 'word' })
  return member as MemberId
}

function invited(database: Database, node: NodeId, member: string): MemberId {
  database.ok({ kind: 'invite', node, role: 'voter', checksum: 'word', forMs: 60_000, by: 'me' })
  return admit(database, node, member)
}

/** What the leader wants next, where these are silent and all others have the log. */
function next(database: Database, learners: readonly MemberId[], silent: readonly MemberId[]) {
  const configuration = { voters: [m1, m2, m3], learners, outgoing: [], places: {} }
  return conductMembers(rowsOfMembers(database.state), configuration, {
    hasCaughtUp: (member) => !silent.includes(member),
    silence: (member) => (silent.includes(member) ? 60_000 : 0),
  })
}

describe('members', () => {
  test('one that is lost is taken out before one that answers, which needs it gone', () => {
    const database = new Database().formed()
    for (const member of [m2, m3]) database.ok({ kind: 'want-member', member, wanted: 'gone' })
    const wanted = next(database, [], [m3])
    assert.deepEqual(wanted?.kind === 'change' ? wanted.change.remove : wanted, [m3])
  })

  test('a new member is not kept waiting by a removal that cannot be made yet', () => {
    const database = new Database().formed()
    database.ok({ kind: 'want-member', member: m2, wanted: 'gone' })
    const life = admit(database, n3, 'z-life')
    const wanted = next(database, [], [m3])
    assert.deepEqual(wanted?.kind === 'change' ? wanted.change.add.map(({ member }) => member) : wanted, [life])
  })

  test('a life that was lost stays while the other one is to leave', () => {
    const database = new Database().formed()
    const life = admit(database, n2, 'a-life')
    database.ok({ kind: 'settle-members', members: [m1, m2, m3, life], voters: [m1, m2, m3] })
    database.ok({ kind: 'want-member', member: m2, wanted: 'gone' })
    const wanted = next(database, [life], [life])
    assert.deepEqual(wanted?.kind === 'change' ? wanted.change.remove : wanted, [m2])
  })

  test('one that is to vote and never came is not missed when another node is cut off', () => {
    const database = new Database().formed()
    const late = invited(database, n4, 'm-n4')
    database.ok({ kind: 'settle-members', members: [m1, m2, m3, late], voters: [m1, m2, m3] })
    const caseId = 'c-1' as CaseId
    const opened = { node: n3, boot: 'n3-1' as never, arbiter: n1, nonce: 'x', trigger: 'silent', dossier: {} }
    database.ok({ kind: 'open-case', caseId, ...opened })
    database.ok({ kind: 'condemn', caseId, attempt: null, reason: 'silent', answering: [n1, n2] })
  })

  test('one that votes is counted from then on, and the rows are settled for it', () => {
    const database = new Database().formed()
    const late = invited(database, n4, 'm-n4')
    database.ok({ kind: 'settle-members', members: [m1, m2, m3, late], voters: [m1, m2, m3] })
    const configuration = { voters: [m1, m2, m3, late], learners: [], outgoing: [], places: {} }
    const sight = { hasCaughtUp: () => true, silence: () => 0 }
    const wanted = conductMembers(rowsOfMembers(database.state), configuration, sight)
    assert.deepEqual(wanted, { kind: 'settle', members: configuration.voters, voters: configuration.voters })
    database.ok({ kind: 'settle-members', members: configuration.voters, voters: configuration.voters })
    assert.equal(conductMembers(rowsOfMembers(database.state), configuration, sight), undefined)
    const caseId = 'c-1' as CaseId
    const opened = { node: n3, boot: 'n3-1' as never, arbiter: n1, nonce: 'x', trigger: 'silent', dossier: {} }
    database.ok({ kind: 'open-case', caseId, ...opened })
    database.refused({ kind: 'condemn', caseId, attempt: null, reason: 'silent', answering: [n1, n2] }, 'CONFLICT', /no quorum/)
  })

  test('a group is given no node that is leaving', () => {
    const database = new Database().formed()
    database.ok({ kind: 'want-member', member: m2, wanted: 'gone' })
    database.refused(
      { kind: 'put-group', group: web, definition: definition({ nodes: [n1, n2] }), intent: 'ONLINE', precondition: {} } as never,
      'UNKNOWN_NODE',
    )
    database.ok({ kind: 'settle-members', members: [m1, m3], voters: [m1, m3] })
    assert.equal(database.state.get('nodes', n2), undefined)
  })
})
