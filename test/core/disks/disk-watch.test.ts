/** What a node asks of its shared disks: when it registers, when it must not, what it does there for a case. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { BootInstant, DiskName, GroupName, Instant, NodeId } from '../../../src/base/index.js'
import type { DeviceCall } from '../../../src/core/arbiter/index.js'
import { type DiskDefinition, sharedDiskLevel } from '../../../src/core/cluster/index.js'
import {
  type DiskAnswer,
  type DiskEffect,
  type DiskOrder,
  type DiskView,
  DiskWatch,
  diskKey,
  exclusiveAccess,
} from '../../../src/core/disks/index.js'
import { Database, n1, n2, n3, nodes } from '../cluster/database.js'

const d1 = 'd1' as DiskName
const db = 'db' as GroupName
const key = (node: NodeId, boot = `${node}-1`) => diskKey('demo', node, boot as never)

/** n1 with one disk, and the disk's side of it played by the test. */
class Table {
  readonly database = new Database().formedAt(sharedDiskLevel)
  readonly watch = new DiskWatch('life')
  now = 1_000
  mayAct = true
  isClear = true
  private asked: DiskOrder | undefined
  readonly other: DiskEffect[] = []

  constructor(use: DiskDefinition['use'], more: Partial<DiskDefinition> = {}) {
    const definition = { use, iscsi: { url: 'iscsi://10.0.0.9/iqn.x:y/1' }, timeout: 1_000, ...more }
    this.database.ok({ kind: 'put-disk', disk: d1, definition, precondition: {} })
  }

  get view(): DiskView {
    return {
      self: n1,
      boot: this.database.currentBoot(n1),
      state: this.database.state,
      mayAct: this.mayAct,
      now: this.now as Instant,
      reading: this.now as BootInstant,
      isClear: () => this.isClear,
      challengeTime: 225,
    }
  }

  /** The request that is under way after a step, in words. */
  next(after = 0): string | undefined {
    this.now += after
    this.take(this.watch.step(this.view))
    return this.words
  }

  get words(): string | undefined {
    if (this.asked === undefined) return undefined
    const { request } = this.asked
    return 'victim' in request ? `${request.do} ${request.victim}` : request.do
  }

  /** Answers what is under way; the request that follows. */
  answer(status: DiskAnswer['status'], more: Partial<DiskAnswer> = {}): string | undefined {
    const order = this.asked
    assert.ok(order !== undefined, 'something is under way')
    this.asked = undefined
    this.take(this.watch.answered(this.view, { disk: d1, id: order.id, status, detail: status, session: 's1', ...more }))
    return this.words
  }

  keys(mine: boolean, ...found: string[]): string | undefined {
    return this.answer('good', { keys: mine ? [key(n1), ...found] : found, generation: 1, mine })
  }

  reserved(type: number | null): string | undefined {
    return this.answer('good', { reservation: type === null ? null : { key: '0', type } })
  }

  take(effects: readonly DiskEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'order') this.asked = effect.order
      else this.other.push(effect)
    }
  }

  /** Registered, under the reservation, and told so. */
  ready(...others: string[]): void {
    assert.equal(this.next(), 'keys')
    assert.equal(this.keys(true, ...others), 'reservation')
    this.reserved(exclusiveAccess)
    this.database.ok(this.proposed('disk-state'))
  }

  /** Time passes until its keys are asked for. */
  reads(): void {
    for (let turn = 0; this.next(250) !== 'keys'; turn++) {
      assert.ok(turn < 10, this.words)
      if (this.words === 'reservation') this.reserved(exclusiveAccess)
    }
  }

  proposed(kind: string) {
    const found = this.other.findLast((effect) => effect.kind === 'propose' && effect.command.kind === kind)
    assert.ok(found?.kind === 'propose', `${kind} was proposed`)
    return found.command
  }

  outcomes() {
    return this.other.flatMap((effect) => (effect.kind === 'called' ? [effect.outcome] : []))
  }

  holds(): void {
    this.database.group(db, { storage: d1 })
    this.database.granted(n1, db)
  }

  call(action: DeviceCall['action'], more: Partial<DeviceCall> = {}): void {
    const target = { target: { node: n2, boot: 'n2-1' as never } }
    const call = {
      callId: `c/${action}`,
      agent: 'scsi3',
      parameters: { disk: 'd1' },
      action,
      hold: false,
      timeout: 5_000,
      ...target,
      ...more,
    }
    this.take(this.watch.call(this.view, call))
  }
}

test('keys are the same for everybody, and others for each boot, node and cluster', () => {
  assert.equal(key(n1), diskKey('demo', n1, 'n1-1' as never))
  assert.match(key(n1), /^[0-9a-f]{16}$/)
  assert.equal(new Set([key(n1), key(n1, 'n1-2'), key(n2), diskKey('other', n1, 'n1-1' as never)]).size, 4)
})

describe('on storage', () => {
  test('it registers, reserves where nobody has, reads back, and only then says that it is ready', () => {
    const table = new Table('storage')
    assert.equal(table.next(), 'keys')
    assert.deepEqual(table.other[0], { kind: 'open', disks: [{ name: d1, place: { kind: 'iscsi', url: 'iscsi://10.0.0.9/iqn.x:y/1' } }] })
    assert.equal(table.watch.standing(d1), 'unknown')
    assert.equal(table.keys(false), 'register')
    assert.equal(table.answer('good'), 'keys')
    assert.equal(table.keys(true), 'reservation')
    assert.equal(table.reserved(null), 'reserve')
    assert.equal(table.watch.standing(d1), 'unknown')
    assert.equal(table.answer('good'), 'keys')
    assert.equal(table.keys(true), 'reservation')
    assert.equal(table.reserved(exclusiveAccess), undefined)
    assert.equal(table.watch.standing(d1), 'ready')
    assert.deepEqual(table.proposed('disk-state').kind, 'disk-state')
  })

  test('without a lease, or with a case, it does not register', () => {
    const table = new Table('storage')
    table.mayAct = false
    assert.equal(table.next(), 'keys')
    assert.equal(table.keys(false), undefined)
    table.mayAct = true
    table.database.ok(table.database.openCase(n1))
    assert.equal(table.next(), undefined)
    table.database.ok({ kind: 'close-case', caseId: 'c1' as never, conclusion: 'it lives' })
    assert.equal(table.next(), 'register')
  })

  test('a key that is gone is not registered again while a group is held there; it is lost at once, and said so', () => {
    const table = new Table('storage')
    table.ready()
    table.holds()
    table.reads()
    assert.equal(table.keys(false), undefined)
    assert.equal(table.watch.standing(d1), 'lost')
    assert.equal((table.proposed('disk-state') as { ready: boolean }).ready, false)
    table.reads()
    const then = table.keys(false)
    assert.notEqual(then, 'register', 'nothing but looking')
    table.database.ok(table.database.released(n1, db))
    assert.notEqual(then === undefined ? table.next() : table.reserved(exclusiveAccess), 'register', 'the log takes it for standing')
    table.keys(false)
    table.database.ok(table.proposed('disk-state'))
    assert.ok(
      [table.next(), table.keys(false), table.reserved(exclusiveAccess)].includes('register'),
      'every grant before that is known here',
    )
  })

  test('a key that is gone is not registered again while something runs here under a token that is not held', () => {
    const table = new Table('storage')
    table.ready()
    table.isClear = false
    table.reads()
    table.keys(false)
    table.now += 3_000
    table.next()
    table.database.ok(table.proposed('disk-state'))
    const asked = () => [table.next(500), table.keys(false), table.reserved(exclusiveAccess)]
    assert.ok(!asked().includes('register'))
    table.isClear = true
    assert.ok(asked().includes('register'))
  })

  test('a lost session is a lost registration; a block device that gives no answer says nothing of the key', () => {
    const iscsi = new Table('storage')
    iscsi.ready()
    iscsi.reads()
    iscsi.answer('failed', { session: '' })
    assert.equal(iscsi.watch.standing(d1), 'lost')

    const other = new Table('storage')
    other.ready()
    other.reads()
    other.answer('good', { keys: [key(n1)], generation: 1, mine: false, session: 's2' })
    assert.equal(other.watch.standing(d1), 'lost', 'another session than the one that registered')

    const { iscsi: _none, ...device } = { iscsi: undefined, device: '/dev/sdx' }
    const block = new Table('storage', { ...device, iscsi: undefined as never })
    block.ready()
    block.reads()
    block.answer('failed', { session: '' })
    assert.equal(block.watch.standing(d1), 'ready')
    block.reads()
    block.keys(false)
    assert.equal(block.watch.standing(d1), 'lost')
  })

  test('keys of its own earlier boots are taken away', () => {
    const table = new Table('storage')
    table.database.boot(n1, 'n1-2')
    assert.equal(table.next(), 'keys')
    assert.equal(table.answer('good', { keys: [key(n1), key(n1, 'n1-2')], generation: 1, mine: true }), `preempt ${key(n1)}`)
  })
})

test('a disk that is deleted is left without a key of ours', () => {
  const table = new Table('challenge')
  table.next()
  table.keys(true)
  table.database.ok({ kind: 'delete-disk', disk: d1, precondition: {} })
  assert.equal(table.next(), 'unregister')
  table.answer('good')
  assert.deepEqual(table.other.at(-1), { kind: 'open', disks: [] })
})

describe('cutting off', () => {
  test('looks for the reservation, takes the key with its commands, and reads back until it is gone', () => {
    const table = new Table('storage')
    table.ready(key(n2))
    table.call('off')
    assert.equal(table.words, 'reservation')
    assert.equal(table.reserved(exclusiveAccess), `preempt-abort ${key(n2)}`)
    assert.equal(table.answer('refused'), `preempt ${key(n2)}`)
    assert.equal(table.answer('good'), 'keys')
    table.keys(true)
    assert.deepEqual(
      table.outcomes().map(({ callId, code }) => [callId, code]),
      [['c/off', 0]],
    )
  })

  test('what somebody did meanwhile is looked at before anything is repeated', () => {
    const table = new Table('storage')
    table.ready(key(n2))
    table.call('off')
    table.reserved(exclusiveAccess)
    assert.equal(table.answer('attention'), 'keys')
    assert.equal(table.keys(true, key(n2)), `preempt-abort ${key(n2)}`)
    assert.equal(table.answer('conflict'), 'keys')
    table.keys(false, key(n3))
    assert.equal(table.outcomes()[0]?.code, 0, 'it is gone, whoever took it')
  })

  test('without a reservation one is made first; where another stands nothing is proved', () => {
    const table = new Table('storage')
    table.ready(key(n2))
    table.call('off')
    assert.equal(table.reserved(null), 'reserve')
    assert.equal(table.answer('conflict'), 'reservation')
    table.reserved(5)
    assert.equal(table.outcomes()[0]?.code, 1)
  })

  test('a node whose own key is not there takes nobody’s', () => {
    const table = new Table('storage')
    assert.equal(table.next(), 'keys')
    table.mayAct = false
    table.keys(false, key(n2))
    table.call('off')
    table.reserved(exclusiveAccess)
    table.answer('conflict')
    table.keys(false, key(n2))
    assert.equal(table.outcomes()[0]?.code, 1)
  })

  test('a reading says on or off of the target, nothing without a reservation, and nothing where there is no answer', () => {
    for (const [found, type, code] of [
      [[key(n2)], exclusiveAccess, 0],
      [[], exclusiveAccess, 2],
      [[], null, 1],
    ] as const) {
      const table = new Table('storage')
      table.ready(...found)
      table.call('status')
      table.reserved(type)
      if (type !== null) table.keys(true, ...found)
      assert.equal(table.outcomes()[0]?.code, code)
    }
    const table = new Table('storage')
    table.ready()
    table.call('status')
    table.answer('failed', { session: '' })
    assert.equal(table.outcomes()[0]?.code, undefined)
  })

  test('of the way alone: whether this node could do it', () => {
    const table = new Table('storage')
    table.ready()
    const { target: _target, ...bare } = { target: undefined }
    table.call('status', bare)
    const call = { callId: 'path', agent: 'scsi3', parameters: { disk: 'd1' }, action: 'status' as const, hold: false, timeout: 5_000 }
    table.take(table.watch.call(table.view, call))
    table.reserved(exclusiveAccess)
    table.keys(true)
    table.reserved(exclusiveAccess)
    table.keys(true)
    assert.equal(table.outcomes().find(({ callId }) => callId === 'path')?.code, 0)
  })

  test('nothing is begun that could go on beyond the time of the call', () => {
    const table = new Table('storage')
    table.ready(key(n2))
    table.call('off')
    table.now += 4_500
    table.reserved(exclusiveAccess)
    assert.equal(table.outcomes()[0]?.code, undefined)
    assert.notEqual(table.words?.startsWith('preempt'), true)
  })

  test('what is held waits for its release, and what is cancelled is not done', () => {
    const table = new Table('storage')
    table.ready(key(n2))
    table.call('off', { hold: true })
    assert.equal(table.words, undefined)
    table.take(table.watch.release(table.view, 'c/off') ?? [])
    assert.equal(table.words, 'reservation')
    assert.equal(table.watch.release(table.view, 'other'), undefined)
    assert.equal(table.watch.cancel('c/off'), true)
    assert.notEqual(table.reserved(exclusiveAccess)?.startsWith('preempt'), true)
    assert.equal(table.watch.cancel('c/off'), false)
  })
})

describe('a challenge', () => {
  function challenged(): Table {
    const table = new Table('challenge')
    assert.equal(table.next(), 'keys')
    table.keys(true, key(n2))
    table.database.ok(table.database.openCase(n2, 'c1', { arbiter: n1 }))
    return table
  }

  test('takes the key of the suspect away, and tells the log where it comes back', () => {
    const table = challenged()
    assert.equal(table.next(), `preempt ${key(n2)}`)
    assert.equal(table.answer('good'), 'keys')
    assert.equal(table.keys(true), undefined)
    assert.equal(table.next(45), 'keys')
    table.keys(true, key(n2))
    assert.deepEqual(table.proposed('disk-answer'), {
      kind: 'disk-answer',
      caseId: 'c1',
      arbiter: n1,
      nonce: 'nonce-c1',
      disk: d1,
    })
  })

  test('that could not take it away takes its presence for no answer', () => {
    const table = challenged()
    table.next()
    assert.equal(table.answer('attention'), 'keys')
    assert.equal(table.keys(true, key(n2)), `preempt ${key(n2)}`)
    assert.equal(table.answer('conflict'), 'keys')
    table.keys(true, key(n2))
    assert.ok(!table.other.some((effect) => effect.kind === 'propose' && effect.command.kind === 'disk-answer'))
  })

  test('is answered by registering again, under a lease and as long as the log has this boot alive', () => {
    const table = new Table('challenge')
    table.next()
    table.keys(true, key(n2))
    table.database.ok(table.database.openCase(n1))
    table.next(45)
    assert.equal(table.keys(false, key(n2)), 'register')
    table.answer('good')
    table.keys(true)
    table.mayAct = false
    table.next(45)
    assert.notEqual(table.keys(false), 'register')
    table.mayAct = true
    table.database.ok({ kind: 'condemn', caseId: 'c1' as never, attempt: null, reason: 'silent', answering: nodes })
    table.next(45)
    assert.notEqual(table.keys(false), 'register')
  })

  test('of a person’s fencing asks nothing of the disk', () => {
    const table = new Table('challenge')
    table.next()
    table.keys(true, key(n2))
    table.database.ok(table.database.openCase(n2, 'c1', { arbiter: n1, trigger: 'asked by a person' }))
    assert.equal(table.next(), undefined)
  })
})
