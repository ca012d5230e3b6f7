/** Shared disks in the log: definitions, who stands there, what a storage proof ends and what it does not, answers to challenges. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { DiskName, GroupName } from '../../../src/base/index.js'
import {
  type Command,
  type DiskDefinition,
  type GroupDefinition,
  levelOf,
  mayStillRun,
  sharedDiskLevel,
} from '../../../src/core/cluster/index.js'
import { address, Database, definition, n1, n2, n3, nodes, resources, web } from './database.js'

const db = 'db' as GroupName
const c1 = 'c1' as never
const d1 = 'd1' as DiskName
const lun: DiskDefinition = { use: 'storage', iscsi: { url: 'iscsi://10.0.0.9/iqn.2026-01.x:y/1' }, timeout: 1_000 }
const put = (change: Partial<DiskDefinition> = {}, disk = d1): Command => ({
  kind: 'put-disk',
  disk,
  definition: { ...lun, ...change },
  precondition: {},
})
const scsi3 = { agent: 'scsi3', parameters: { disk: 'd1' }, timeout: 10_000 }
const power = { agent: 'fence_sim', parameters: {}, timeout: 5_000 }
const fenceBy = (levels: readonly (readonly { agent: string; parameters: Record<string, string>; timeout: number }[])[]): Command => ({
  kind: 'patch-node',
  node: n1,
  fencing: { levels, then: 'on' },
  precondition: {},
})

function formed(): Database {
  return new Database().formedAt(sharedDiskLevel)
}

function ready(database: Database, node = n1, is = true): Command {
  const place = database.state.get('disks', d1)?.place ?? (0 as never)
  return { kind: 'disk-state', node, boot: database.currentBoot(node), disk: d1, place, ready: is, detail: is ? '' : 'gone' }
}

/** `db` lives on d1 and runs on n1, which is cut off by its storage first. */
function stored(levels = [[scsi3]] as Parameters<typeof fenceBy>[0]): Database {
  const database = formed()
  database.ok(put())
  database.ok(fenceBy(levels))
  for (const node of nodes) database.ok(ready(database, node))
  database.group(db, { storage: d1 })
  database.granted(n1, db)
  database.ok(database.report(n1, 'ONLINE', db))
  return database
}

describe('definitions', () => {
  test('are kept, changed and deleted, and say what is wrong with them', () => {
    const database = formed()
    assert.equal(database.ok(put()).created, true)
    assert.equal(database.ok(put()).unchanged, true)
    database.refused(put({ use: 'other' as never }), 'INVALID_DEFINITION', /its use is "other"/)
    database.refused(put({ device: '/dev/sdb' }), 'INVALID_DEFINITION', /no place, or two/)
    database.refused(put({ iscsi: { url: 'iscsi://user%secret@10.0.0.9/iqn.x/1' } }), 'INVALID_DEFINITION', /names no LUN/)
    database.refused(put({ timeout: 5 }), 'INVALID_DEFINITION', /its timeout is 5 ms/)
    database.refused(put({}, 'no such/name' as DiskName), 'INVALID_NAME')
    const { iscsi: _iscsi, ...bare } = lun
    database.ok({ kind: 'put-disk', disk: 'd2' as DiskName, definition: { ...bare, device: '/dev/disk/by-id/wwn-1' }, precondition: {} })
    database.ok({ kind: 'delete-disk', disk: d1, precondition: {} })
    database.refused({ kind: 'delete-disk', disk: d1, precondition: {} }, 'DISK_NOT_FOUND')
  })

  test('one disk is for challenges', () => {
    const database = formed()
    database.ok(put({ use: 'challenge' }))
    database.refused(put({ use: 'challenge' }, 'd2' as DiskName), 'CONFLICT', /d1 is for challenges already/)
    database.ok(put({ use: 'challenge', timeout: 2_000 }))
  })

  test('what relies on a disk keeps it where it is; its time-out may change', () => {
    const database = stored()
    database.refused(put({ iscsi: { url: 'iscsi://10.0.0.8/iqn.2026-01.x:y/1' } }), 'CONFLICT', /group db lives on/)
    database.refused({ kind: 'delete-disk', disk: d1, precondition: {} }, 'CONFLICT')
    database.ok(put({ timeout: 500 }))
    assert.equal(database.grant(n2, web), 'the group is gone')
    database.ok({ kind: 'set-intent', group: db, intent: 'OFFLINE', operation: 'o' })
    database.ok(database.released(n1, db))
    database.ok({ kind: 'put-group', group: db, definition: definition(), intent: null, precondition: {} })
    database.refused({ kind: 'delete-disk', disk: d1, precondition: {} }, 'CONFLICT', /n1 is fenced by/)
    database.ok(fenceBy([[power]]))
    database.ok({ kind: 'delete-disk', disk: d1, precondition: {} })
    assert.equal(database.state.get('boots', 'n1/n1-1')?.disks?.[d1], undefined)
  })

  test('commands need a cluster in which all understand them', () => {
    assert.equal(levelOf(put()), sharedDiskLevel)
    assert.equal(levelOf(fenceBy([[scsi3]])), sharedDiskLevel)
    assert.equal(levelOf(fenceBy([[power]])), 1)
    const group = (change: object): Command => ({
      kind: 'put-group',
      group: db,
      definition: definition(change),
      intent: null,
      precondition: {},
    })
    assert.equal(levelOf(group({ storage: d1 })), sharedDiskLevel)
  })

  test('a fence device names a disk of use storage, and has time for it', () => {
    const database = formed()
    database.refused(fenceBy([[scsi3]]), 'INVALID_DEFINITION', /there is no shared disk "d1"/)
    database.ok(put({ use: 'challenge' }))
    database.refused(fenceBy([[scsi3]]), 'INVALID_DEFINITION')
    database.ok({ kind: 'delete-disk', disk: d1, precondition: {} })
    database.ok(put())
    database.refused(fenceBy([[{ ...scsi3, timeout: 1_500 }]]), 'INVALID_DEFINITION', /no time for the requests/)
    database.refused(fenceBy([[{ ...scsi3, parameters: { disk: 'd1', port: '1' } }]]), 'INVALID_DEFINITION', /no parameter "port"/)
    database.ok(fenceBy([[scsi3]]))
  })
})

describe('a group that lives on a shared disk', () => {
  test('names one of use storage, and has nothing that acts elsewhere', () => {
    const database = formed()
    const group = (change: object): Command => ({
      kind: 'put-group',
      group: db,
      definition: definition({ storage: d1, ...change }),
      intent: null,
      precondition: {},
    })
    database.refused(group({}), 'INVALID_DEFINITION', /there is no shared disk "d1"/)
    database.ok(put({ use: 'challenge' }))
    database.refused(group({}), 'INVALID_DEFINITION', /is for challenges/)
    database.ok({ kind: 'delete-disk', disk: d1, precondition: {} })
    database.ok(put())
    database.refused(
      group({ resources: resources({ app: {}, ip: address('10.0.0.1/24') }) }),
      'INVALID_DEFINITION',
      /"ip" .* does not live on d1/,
    )
    const agent = { type: 'ocf:heartbeat:VirtualDomain', parameters: {} }
    database.refused(group({ resources: resources({ vm: agent }) }), 'INVALID_DEFINITION', /"vm"/)
    database.ok(group({}))
  })

  test('is granted only to a node whose key stands there', () => {
    const database = formed()
    database.ok(put())
    database.group(db, { storage: d1 })
    assert.match(database.grant(n1, db) ?? '', /key does not stand on the shared disk d1/)
    database.ok(ready(database))
    assert.equal(database.ok(ready(database)).ignored, 'known')
    assert.equal(database.grant(n1, db), undefined)
    database.ok(database.released(n1, db))
    database.ok(ready(database, n1, false))
    assert.match(database.grant(n1, db) ?? '', /d1: gone/)
    assert.deepEqual(
      database.events().filter((kind) => kind.startsWith('disk.')),
      ['disk.changed', 'disk.ready', 'disk.lost'],
    )
  })

  test('what a node says of a disk that has been put elsewhere since counts for nothing, nor what another boot says', () => {
    const database = formed()
    database.ok(put())
    const before = ready(database)
    database.ok(put({ iscsi: { url: 'iscsi://10.0.0.8/iqn.2026-01.x:y/1' } }))
    assert.match(String(database.ok(before).ignored), /changed since/)
    database.refused({ ...ready(database), boot: 'n1-0' } as Command, 'CONFLICT')
    database.condemned(n1)
    database.refused(ready(database), 'CONFLICT', /is condemned/)
  })

  test('what proves it is settled with its grant: a change of the definition counts from the next one on', () => {
    const database = formed()
    database.ok(put())
    database.ok(fenceBy([[scsi3]]))
    for (const node of nodes) database.ok(ready(database, node))
    database.group(db)
    database.granted(n1, db)
    database.ok({ kind: 'put-group', group: db, definition: definition({ storage: d1 }), intent: null, precondition: {} })
    database.condemned(n1)
    database.ok(database.attemptResult(true))
    assert.ok(mayStillRun(database.row(db)), 'it was granted to a boot without a key')
    assert.equal(database.case().stage, 'CONDEMNED')
  })
})

describe('storage', () => {
  test('ends the tokens of the groups that live there whole, and with the last of them the case', () => {
    const database = stored()
    database.condemned(n1)
    database.ok(database.attemptResult(true))
    assert.equal(database.row(db).proof?.kind, 'storage')
    assert.deepEqual([database.case().stage, database.case().proof?.kind], ['PROVED', 'storage'])
    assert.equal(database.grant(n2, db), undefined)
  })

  test('is no proof for a group that does not say that it lives there: the case goes on, and the other is granted', () => {
    const database = stored([[scsi3], [power]])
    database.group(web)
    database.granted(n1, web)
    database.condemned(n1)
    database.ok(database.attemptResult(true))
    assert.equal(database.case().stage, 'CONDEMNED')
    assert.equal(database.case().proof, null)
    assert.deepEqual([database.row(db).proof?.kind, database.row(web).proof ?? null], ['storage', null])
    assert.equal(database.grant(n2, db), undefined)
    assert.match(database.grant(n2, web) ?? '', /not proved stopped/)
    const next = { number: 2, level: 1, arbiter: n2, action: 'off' as const }
    database.ok({ kind: 'attempt', caseId: c1, attempt: next, answering: nodes })
    database.ok(database.attemptResult(true, 2))
    assert.deepEqual([database.case().stage, database.row(web).proof?.kind], ['PROVED', 'fenced'])
  })

  test('of a level with a power device in it is more than that', () => {
    const database = stored([[scsi3, power]])
    database.group(web)
    database.granted(n1, web)
    database.condemned(n1)
    database.ok(database.attemptResult(true))
    assert.deepEqual([database.row(web).proof?.kind, database.row(db).proof?.kind], ['fenced', 'fenced'])
  })

  test('that was not confirmed, or of another disk, proves nothing', () => {
    const database = stored()
    database.condemned(n1)
    database.ok(database.attemptResult(false))
    assert.ok(mayStillRun(database.row(db)))
    const other = stored()
    other.ok(put({}, 'd2' as DiskName))
    other.ok(fenceBy([[{ ...scsi3, parameters: { disk: 'd2' } }]]))
    other.condemned(n1)
    other.ok(other.attemptResult(true))
    assert.ok(mayStillRun(other.row(db)))
    assert.equal(other.case().stage, 'CONDEMNED')
  })

  test('the boot that was cut off comes back under no circumstances; the next one does', () => {
    const database = stored()
    database.condemned(n1)
    database.ok(database.attemptResult(true))
    database.refused(database.bootCommand(n1, 'n1-1'), 'CONFLICT', /proved ended \(storage\)/)
    database.refused({ kind: 'readmit', node: n1, boot: 'n1-1' as never, reason: 'it is back' }, 'CONFLICT')
    database.boot(n1, 'n1-2')
    assert.equal(database.state.get('boots', 'n1/n1-2')?.state, 'live')
    assert.match(database.grant(n1, db) ?? '', /has not looked yet|key does not stand/)
  })

  test('does not call for power afterwards, and an operation that asked for a fencing ends with it', () => {
    const database = stored()
    database.ok({ kind: 'start-operation', operation: 'o1', operationKind: 'fence', subject: n1, detail: 'a person: because' })
    database.condemned(n1)
    database.ok(database.attemptResult(true))
    assert.equal(database.state.get('operations', 'o1')?.status, 'done')
  })
})

describe('an answer on a shared disk', () => {
  const answer = (more: Record<string, unknown> = {}): Command =>
    ({ kind: 'disk-answer', caseId: c1, arbiter: n2, nonce: 'nonce-c1', disk: d1, ...more }) as Command
  const condemn = (more: Record<string, unknown> = {}): Command =>
    ({ kind: 'condemn', caseId: c1, attempt: null, reason: 'silent', answering: nodes, ...more }) as Command

  test('puts the condemnation off until the leader says that the lease has run out, and ends nothing', () => {
    const database = formed()
    database.ok(database.openCase(n1, 'c1', { arbiter: n2 }))
    database.refused(answer({ arbiter: n3 }), 'CONFLICT')
    database.refused(answer({ nonce: 'another' }), 'CONFLICT')
    database.ok(answer())
    assert.equal(database.ok(answer()).ignored, 'known')
    assert.equal(database.case().stage, 'CHALLENGE')
    database.refused(condemn(), 'CONFLICT', /has answered on the shared disk d1/)
    database.ok(condemn({ leaseOver: true }))
    assert.equal(database.case().stage, 'CONDEMNED')
  })

  test('that comes after the condemnation is refused; the log decides', () => {
    const database = formed()
    database.ok(database.openCase(n1, 'c1', { arbiter: n2 }))
    database.ok(condemn())
    database.refused(answer(), 'CONFLICT', /past its challenge/)
  })

  test('puts nothing off that a person asked for', () => {
    const database = formed()
    database.ok(database.openCase(n1, 'c1', { arbiter: n2, trigger: 'asked by a person' }))
    database.ok(answer())
    database.ok(condemn())
  })
})

test('what is granted to live on a disk takes on nothing in place that lives elsewhere', () => {
  const database = stored()
  const token = database.row(db).holder?.token as never
  const change = (more: Partial<GroupDefinition>) =>
    database.ok({
      kind: 'put-group',
      group: db,
      definition: definition({ resources: resources({ app: {}, sender: {} }), ...more }),
      intent: null,
      precondition: {},
    })
  change({})
  assert.match(database.decide(db, { kind: 'update', token }) ?? '', /does not live on that disk any more/)
  change({ storage: d1 })
  assert.equal(database.decide(db, { kind: 'update', token }), undefined)
})
