/** Monitors that groups have of their own, and the one that the others share: each keeps to what is its own. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bootInstant, type GroupName, type Token } from '../../../src/base/index.js'
import { MonitorCore, type MonitorEffect } from '../../../src/core/monitor/index.js'
import { boot, definitions, g, kept, node, token } from './script.js'

const now = bootInstant(1_000)
const deadline = bootInstant(1_000_000)

function monitor(only: GroupName | undefined, more: { others?: Map<GroupName, Token>; seals?: Map<GroupName, Token> } = {}): MonitorCore {
  const core = new MonitorCore({
    node,
    boot,
    containment: { kind: 'cgroup2', root: '/cells' },
    jitterSeed: 1,
    ...(only === undefined ? {} : { only }),
  })
  const { others = new Map(), seals = new Map() } = more
  core.step({ kind: 'resumed', records: [], unreadable: [], seals, others, deadline }, now)
  return core
}

const run = (core: MonitorCore, dedicated: boolean, group = g): readonly MonitorEffect[] => {
  const order = {
    kind: 'run',
    group,
    token: token(1),
    sequence: 1,
    resources: definitions({ a: kept() }),
    node,
    boot,
    deadline,
    checkpoints: {},
  } as const
  return core.step({ kind: 'ordered', order: dedicated ? { ...order, dedicated: true } : order }, now)
}
const starts = (effects: readonly MonitorEffect[]) => effects.filter(({ kind }) => kind === 'begin').length
const sealedIn = (core: MonitorCore) => {
  const [hello] = core.step({ kind: 'connected' }, now)
  return hello?.kind === 'report' && hello.report.kind === 'hello' ? hello.report.sealed : undefined
}

test('the shared one runs nothing that is to have its own, and an own one nothing else', () => {
  assert.equal(starts(run(monitor(undefined), true)), 0)
  assert.equal(starts(run(monitor(undefined), false)), 1)
  assert.equal(starts(run(monitor(g), true)), 1)
  assert.equal(starts(run(monitor(g), false)), 0)
  assert.equal(starts(run(monitor(g), true, 'other' as GroupName)), 0)
})

test('the record says whose it is', () => {
  const record = run(monitor(g), true).find((effect) => effect.kind === 'write-record')
  assert.equal(record?.kind === 'write-record' ? record.record.dedicated : undefined, true)
})

test('what is sealed of a group that another one keeps is not said: it may not be verified', () => {
  const seals = new Map([[g, token(5)]])
  assert.deepEqual(sealedIn(monitor(undefined, { seals, others: new Map([[g, token(5)]]) })), {})
  assert.deepEqual(sealedIn(monitor(undefined, { seals, others: new Map([[g, token(6)]]) })), { g: 5 }, 'an earlier token has ended')
  assert.deepEqual(sealedIn(monitor(undefined, { seals })), { g: 5 })
  assert.deepEqual(sealedIn(monitor('other' as GroupName, { seals })), {})
  assert.deepEqual(sealedIn(monitor(g, { seals })), { g: 5 })
})

test('a stop of what another one keeps is not answered: nothing is sealed or said to have stopped', () => {
  const stop = { kind: 'stop', group: g, token: token(1), sequence: 2 } as const
  const kinds = (core: MonitorCore, order: typeof stop | (typeof stop & { dedicated: true })) =>
    core.step({ kind: 'ordered', order }, now).map(({ kind }) => kind)
  assert.deepEqual(kinds(monitor(undefined), { ...stop, dedicated: true }), ['log'])
  assert.deepEqual(kinds(monitor(g), stop), ['log'])
  assert.deepEqual(kinds(monitor(g), { ...stop, dedicated: true }), ['seal', 'report', 'report'])
})
