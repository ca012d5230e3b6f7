/** How an arbiter carries out an attempt: when it may call, what it believes, and what it does when it does not know. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { bootInstant, type NodeId } from '../../../src/base/index.js'
import { type AttemptEffect, AttemptRunner } from '../../../src/core/arbiter/index.js'
import type { Attempt, CaseRow, FenceDevice, NodeRow } from '../../../src/core/cluster/index.js'

const [n1, n2, n3] = ['n1', 'n2', 'n3'] as [NodeId, NodeId, NodeId]

/** n2 conducts the case of n1, which has as many devices as `devices` says. */
class Arbiter {
  readonly runner = new AttemptRunner()
  now = 1_000
  askedAt: number | undefined
  mayAct = true
  mayLose = true
  row: CaseRow
  devices: readonly FenceDevice[]
  /** Of the node's row. */
  revision = 7

  constructor(devices = 1, caughtUp = true) {
    this.devices = Array.from({ length: devices }, (_, at) => ({ agent: `fence${at}`, parameters: { plug: '1' }, timeout: 5_000 }))
    this.row = { id: 'c1', node: n1, boot: 'b1', arbiter: n2, stage: 'CHALLENGE', attempts: [] } as unknown as CaseRow
    if (caughtUp) {
      this.row = { ...this.row, stage: 'CLOSED' }
      this.step()
      this.row = { ...this.row, stage: 'CHALLENGE' }
    }
  }

  /** As the log begins it: with the devices that the node has then. */
  attempt(action: Attempt['action'] = 'off', arbiter = n2): string[] {
    const number = this.row.attempts.length + 1
    const pinned = { devices: this.devices, devicesRevision: this.revision }
    const open = { number, level: 0, arbiter, boot: 'b1', action, timeout: 5_000, state: 'open', ...pinned } as unknown as Attempt
    this.row = { ...this.row, stage: action === 'on' ? 'PROVED' : 'CONDEMNED', attempts: [...this.row.attempts, open] }
    return this.step()
  }

  /** The attempt is over in the log. */
  ended(): string[] {
    this.row = { ...this.row, attempts: this.row.attempts.map((one) => ({ ...one, state: 'abandoned' })) }
    return this.step()
  }

  /** The lease was renewed by an answer to a heartbeat sent now. */
  renewed(): string[] {
    this.now += 10
    this.askedAt = this.now
    return this.step()
  }

  step(): string[] {
    const effects = this.runner.step({
      self: n2,
      boot: bootInstant(this.now),
      askedAt: this.askedAt === undefined ? undefined : bootInstant(this.askedAt),
      mayAct: this.mayAct,
      mayLose: () => this.mayLose,
      cases: [this.row],
      node: () => ({ revision: this.revision, fencing: { levels: [this.devices], then: 'on' } }) as unknown as NodeRow,
    })
    return effects.map(show)
  }

  called(callId: string, code: number | undefined): string[] {
    return this.runner.called({ callId, code, detail: code === undefined ? 'timed-out' : '', at: bootInstant(this.now) }).map(show)
  }

  /** What it tells the log of the attempt; undefined when nothing. */
  said(): string | undefined {
    return this.step().find((line) => line.startsWith('result'))
  }
}

function show(effect: AttemptEffect): string {
  switch (effect.kind) {
    case 'call':
      return `call ${effect.call.callId}${effect.call.hold ? ' held' : ''}`
    case 'release':
    case 'cancel':
      return `${effect.kind} ${effect.callId}`
    case 'heartbeat-now':
      return 'heartbeat'
    case 'propose':
      return effect.command.kind === 'attempt-result'
        ? `result ${effect.command.confirmed ? 'off' : 'failed'}: ${effect.command.detail}`
        : effect.command.kind
  }
}

describe('the call', () => {
  test('is prepared during the challenge and withheld; the attempt asks for a renewal first', () => {
    const arbiter = new Arbiter()
    assert.deepEqual(arbiter.step(), ['call c1#1@7/off/0 held', 'call c1#1@7/status/0/1 held'])
    assert.deepEqual(arbiter.attempt(), ['heartbeat'])
    assert.deepEqual(arbiter.step(), [])
    assert.deepEqual(arbiter.renewed(), ['release c1#1@7/off/0'])
  })

  test('is not prepared where the agent would be told nothing but what to do: the end of its input could be its order', () => {
    const arbiter = new Arbiter()
    arbiter.devices = [{ agent: 'bare', parameters: {}, timeout: 5_000 }]
    assert.deepEqual(arbiter.step(), [])
    assert.deepEqual(arbiter.attempt(), ['heartbeat'])
    assert.deepEqual(arbiter.step(), [])
    assert.deepEqual(arbiter.renewed(), ['call c1#1@7/off/0 held', 'release c1#1@7/off/0'])
    arbiter.called('c1#1@7/off/0', 0)
    arbiter.called('c1#1@7/status/0/1', 2)
    assert.match(arbiter.said() ?? '', /^result off/)
  })

  test('is asked for again once the clock shows that the attempt was seen before', () => {
    const arbiter = new Arbiter()
    arbiter.attempt()
    arbiter.askedAt = arbiter.now
    assert.deepEqual(arbiter.step(), [], 'that heartbeat may have been sent within the same tick, before')
    arbiter.now += 10
    assert.deepEqual(arbiter.step(), ['heartbeat'])
    assert.deepEqual(arbiter.step(), [])
    arbiter.askedAt = arbiter.now
    assert.deepEqual(arbiter.step(), ['release c1#1@7/off/0'])
  })

  test('is not made on a lease that was asked for before the attempt was seen', () => {
    const arbiter = new Arbiter()
    arbiter.askedAt = arbiter.now - 1
    assert.deepEqual(arbiter.attempt(), ['heartbeat', 'call c1#1@7/off/0 held', 'call c1#1@7/status/0/1 held'])
    assert.deepEqual(arbiter.step(), [])
  })

  test('is not made without the lease, however lately it was asked for', () => {
    const arbiter = new Arbiter()
    arbiter.attempt()
    arbiter.mayAct = false
    assert.deepEqual(arbiter.renewed(), [])
    arbiter.mayAct = true
    assert.deepEqual(arbiter.step(), ['release c1#1@7/off/0'])
  })

  test('is not made while the voters left would be no quorum, whatever was judged when the attempt was committed', () => {
    const arbiter = new Arbiter()
    arbiter.attempt()
    arbiter.mayLose = false
    assert.deepEqual(arbiter.renewed(), [])
    arbiter.mayLose = true
    assert.deepEqual(arbiter.renewed(), ['release c1#1@7/off/0'])
  })

  test('is not made once the attempt is over in the log', () => {
    const arbiter = new Arbiter()
    arbiter.attempt()
    assert.deepEqual(arbiter.ended(), ['cancel c1#1@7/off/0', 'cancel c1#1@7/status/0/1'])
    assert.deepEqual(arbiter.renewed(), [])
  })

  test('of another arbiter is none of its business', () => {
    const arbiter = new Arbiter()
    arbiter.row = { ...arbiter.row, arbiter: n3 }
    assert.deepEqual(arbiter.attempt('off', n3), [])
    assert.deepEqual(arbiter.renewed(), [])
  })

  test('prepared for a challenge that was answered is withdrawn', () => {
    const arbiter = new Arbiter()
    arbiter.step()
    arbiter.row = { ...arbiter.row, stage: 'CLOSED' }
    assert.deepEqual(arbiter.step(), ['cancel c1#1@7/off/0', 'cancel c1#1@7/status/0/1'])
  })
})

describe('a change of the node’s devices', () => {
  test('during the challenge has the call prepared anew; what was prepared is never made', () => {
    const arbiter = new Arbiter()
    arbiter.step()
    arbiter.devices = [{ agent: 'other', parameters: { plug: '1' }, timeout: 5_000 }]
    arbiter.revision = 8
    assert.deepEqual(arbiter.attempt(), [
      'heartbeat',
      'call c1#1@8/off/0 held',
      'call c1#1@8/status/0/1 held',
      'cancel c1#1@7/off/0',
      'cancel c1#1@7/status/0/1',
    ])
    assert.deepEqual(arbiter.renewed(), ['release c1#1@8/off/0'])
  })

  test('during the attempt does not change what it calls and reads', () => {
    const arbiter = new Arbiter()
    arbiter.attempt()
    arbiter.devices = []
    arbiter.revision = 8
    assert.deepEqual(arbiter.renewed(), ['release c1#1@7/off/0'])
    assert.deepEqual(arbiter.called('c1#1@7/off/0', 0), ['release c1#1@7/status/0/1'])
    arbiter.called('c1#1@7/status/0/1', 2)
    assert.match(arbiter.said() ?? '', /^result off: lease renewed \(\+10 ms\); fence0 off: confirmed/)
  })
})

describe('off is believed', () => {
  const calling = (devices = 1) => {
    const arbiter = new Arbiter(devices)
    arbiter.attempt()
    arbiter.renewed()
    return arbiter
  }

  test('when the agent confirms it and a reading says the same', () => {
    const arbiter = calling()
    assert.deepEqual(arbiter.called('c1#1@7/off/0', 0), ['release c1#1@7/status/0/1'])
    assert.equal(arbiter.said(), undefined, 'one reading is not enough')
    arbiter.called('c1#1@7/status/0/1', 2)
    assert.match(arbiter.said() ?? '', /^result off/)
  })

  test('when the call failed, only after two readings', () => {
    const arbiter = calling()
    assert.deepEqual(arbiter.called('c1#1@7/off/0', undefined), ['release c1#1@7/status/0/1'])
    assert.deepEqual(arbiter.called('c1#1@7/status/0/1', 2), ['call c1#1@7/status/0/2'])
    arbiter.called('c1#1@7/status/0/2', 2)
    assert.match(arbiter.said() ?? '', /^result off/)
  })

  test('not when a reading says that it is on, or cannot tell', () => {
    for (const code of [0, 1, undefined]) {
      const arbiter = calling()
      arbiter.called('c1#1@7/off/0', 0)
      arbiter.called('c1#1@7/status/0/1', code)
      assert.match(arbiter.said() ?? '', /^result failed/, String(code))
    }
  })

  test('by a reading of its own where the program that was held for it has ended', () => {
    const arbiter = calling()
    arbiter.called('c1#1@7/status/0/1', 2)
    assert.deepEqual(arbiter.called('c1#1@7/off/0', 0), ['call c1#1@7/status/0/2'])
    arbiter.called('c1#1@7/status/0/2', 0)
    assert.match(arbiter.said() ?? '', /^result failed/)
  })

  test('only of every device of the level', () => {
    const arbiter = calling(2)
    arbiter.called('c1#1@7/off/0', 0)
    assert.deepEqual(arbiter.called('c1#1@7/off/1', 0), ['release c1#1@7/status/0/1', 'release c1#1@7/status/1/1'])
    arbiter.called('c1#1@7/status/0/1', 2)
    assert.equal(arbiter.said(), undefined)
    arbiter.called('c1#1@7/status/1/1', 0)
    assert.match(arbiter.said() ?? '', /^result failed/)
  })
})

describe('what is not known is read back, never repeated', () => {
  test('an attempt found open before this daemon has caught up', () => {
    const arbiter = new Arbiter(1, false)
    arbiter.mayAct = false
    assert.deepEqual(arbiter.attempt(), ['heartbeat', 'cancel c1#1@7/off/0', 'cancel c1#1@7/status/0/1'])
    arbiter.mayAct = true
    assert.deepEqual(arbiter.renewed(), ['call c1#1@7/status/0/2'])
    arbiter.called('c1#1@7/status/0/2', 0)
    assert.match(arbiter.said() ?? '', /^result failed/)
  })

  test('a call whose monitor was lost', () => {
    const arbiter = new Arbiter()
    arbiter.attempt()
    arbiter.renewed()
    // The monitor may be the one that holds the first reading: under that name it would wait to be released for ever.
    assert.deepEqual(arbiter.runner.monitorCame().map(show), ['cancel c1#1@7/off/0', 'cancel c1#1@7/status/0/1', 'call c1#1@7/status/0/2'])
    assert.deepEqual(arbiter.called('c1#1@7/off/0', 0), [], 'its answer, if it still comes, is late')
    arbiter.called('c1#1@7/status/0/2', 2)
    arbiter.called('c1#1@7/status/0/3', 2)
    assert.match(arbiter.said() ?? '', /^result off/)
  })

  test('a call that was still withheld is prepared anew with the next monitor', () => {
    const arbiter = new Arbiter()
    arbiter.attempt()
    assert.deepEqual(arbiter.runner.monitorCame().map(show), ['call c1#1@7/off/0 held', 'call c1#1@7/status/0/1 held'])
    assert.deepEqual(arbiter.renewed(), ['release c1#1@7/off/0'])
  })

  test('switching on is judged by what the device says afterwards', () => {
    for (const [code, said] of [
      [0, /^result off/],
      [2, /^result failed/],
    ] as const) {
      const arbiter = new Arbiter()
      arbiter.attempt('on')
      arbiter.renewed()
      arbiter.runner.monitorCame()
      arbiter.called('c1#1@7/status/0/1', code)
      assert.match(arbiter.said() ?? '', said)
    }
  })
})
