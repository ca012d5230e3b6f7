import assert from 'node:assert/strict'
import { test } from 'node:test'
import { groupState, type HolderSeen } from '../../src/api/present/group-state.js'
import type { GroupRow, Holder } from '../../src/core/cluster/index.js'

const well: HolderSeen = { condemned: false, alive: true }
const nowhere: HolderSeen = { condemned: false, alive: undefined }

function row(change: Record<string, unknown> = {}): GroupRow {
  const base = {
    name: 'web',
    definition: { nodes: ['n1', 'n2'] },
    intent: 'ONLINE',
    deleting: false,
    holder: null,
    proof: null,
    frozen: null,
    bans: {},
    waitingFor: null,
  }
  return { ...base, ...change } as unknown as GroupRow
}

function held(state: string, change: { readonly wanted?: 'run' | 'stop'; readonly resources?: Record<string, string> } = {}): GroupRow {
  const resources = Object.fromEntries(Object.entries(change.resources ?? { main: 'ONLINE' }).map(([name, one]) => [name, { state: one }]))
  const holder = {
    node: 'n1',
    boot: 'b1',
    token: 5,
    pinned: { resources },
    order: { wanted: change.wanted ?? 'run' },
    report: { state, resources },
  }
  return row({ holder: holder as unknown as Holder })
}

/** With an extra resource that is not critical. */
function uncritical(resources: Record<string, string>): GroupRow {
  const group = held('FAILED', { resources })
  const { holder } = group
  const pinned = { resources: Object.fromEntries(Object.keys(resources).map((name) => [name, { critical: name !== 'extra' }])) }
  return { ...group, holder: { ...holder, pinned } as unknown as Holder }
}

test('the state of a group follows from its row and its holder', () => {
  const table: readonly (readonly [string, GroupRow, HolderSeen, string])[] = [
    ['not placed yet', row(), nowhere, 'STARTING'],
    ['to be offline', row({ intent: 'OFFLINE' }), nowhere, 'OFFLINE'],
    ['being deleted', row({ deleting: true, intent: 'OFFLINE' }), nowhere, 'OFFLINE'],
    ['nothing can be done', row({ waitingFor: 'no node can take web' }), nowhere, 'BLOCKED'],
    ['frozen before it was placed', row({ frozen: { until: 99, owner: 'me', reason: 'x' } }), nowhere, 'BLOCKED'],
    ['rests for what its starts did', row({ poisoned: { at: 5, reason: 'x' }, waitingFor: 'it rests' }), nowhere, 'POISON'],
    ['rests, and is to be offline', row({ poisoned: { at: 5, reason: 'x' }, intent: 'OFFLINE' }), nowhere, 'OFFLINE'],
    ['tried everywhere', row({ bans: { n1: { until: 99 }, n2: { until: 99 } }, waitingFor: 'failed' }), nowhere, 'FAILED'],
    ['tried everywhere, long ago', row({ bans: { n1: { until: 5 }, n2: { until: 99 } } }), nowhere, 'STARTING'],
    ['granted', held('GRANTED'), well, 'STARTING'],
    ['starting', held('STARTING'), well, 'STARTING'],
    ['online', held('ONLINE'), well, 'ONLINE'],
    ['online, as far as is known', held('ONLINE'), nowhere, 'ONLINE'],
    ['one resource is not', held('ONLINE', { resources: { a: 'ONLINE', b: 'STARTING' } }), well, 'DEGRADED'],
    ['failed, and being judged', held('FAILED'), well, 'FAILED'],
    ['without what is not critical', uncritical({ main: 'ONLINE', extra: 'FAILED' }), well, 'DEGRADED'],
    ['without what is critical', uncritical({ main: 'FAILED', extra: 'ONLINE' }), well, 'FAILED'],
    ['without both', uncritical({ main: 'FAILED', extra: 'FAILED' }), well, 'FAILED'],
    ['stopped for its failures', row({ halted: { at: 1, reason: 'x' }, waitingFor: 'stopped' }), nowhere, 'FAILED'],
    ['stopped for its failures, and to be offline', row({ halted: { at: 1, reason: 'x' }, intent: 'OFFLINE' }), nowhere, 'OFFLINE'],
    ['told to stop', held('ONLINE', { wanted: 'stop' }), well, 'STOPPING'],
    ['stopping by itself', held('STOPPING'), well, 'STOPPING'],
    ['could not verify its stop', held('UNKNOWN', { wanted: 'stop' }), well, 'UNKNOWN'],
    ['its holder is condemned', held('ONLINE'), { condemned: true, alive: undefined }, 'UNKNOWN'],
    ['its holder is silent', held('ONLINE'), { condemned: false, alive: false }, 'UNKNOWN'],
    [
      'its holder is proved off',
      { ...held('ONLINE'), proof: { kind: 'fenced' } } as unknown as GroupRow,
      { condemned: true, alive: false },
      'STARTING',
    ],
  ]
  for (const [what, group, seen, expected] of table) assert.equal(groupState(group, seen, 10 as never), expected, what)
})
