/** Each judge is shown a run that is well, one that must fail, and one in which there is nothing to be seen. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Json } from '../checkers/index.js'
import type { Band, RunEvent } from '../core/index.js'
import { judgeRun, type Note, type RunRecord, type SeenEvent, type Verdict } from './index.js'

const empty: RunRecord = {
  events: [],
  bands: [],
  mayStop: new Set(['crash-node']),
  notes: [],
  streams: {},
  finals: {},
  faultsEnded: 0,
  wellAfter: 100,
  notWell: undefined,
  ended: 100_000,
  leaks: [],
  stalls: [],
}

const register = {
  name: 'register',
  linearizable: { header: { model: 'cas-register' as const, initial: null }, operations: new Set(['read', 'write']) },
}
const owner = {
  name: 'owner',
  judges: ['one-owner', 'no-late-owner', 'checkpoints', 'takeovers', 'gaps', 'no-needless-action', 'proof-before-grant'],
}
const address = { name: 'address', judges: ['address-gaps', 'one-answerer'] }
const workloads = [register, owner, address, { name: 'events', judges: ['events'] }, { name: 'idempotent', judges: ['once'] }]

function verdict(judge: string, record: Partial<RunRecord>): Verdict {
  const all = judgeRun({ ...empty, ...record }, { workloads, group: 'owner', takeoverBound: 10_000, wellBound: 30_000, limit: 5 })
  return all.find((one) => one.judge === judge) as Verdict
}

const note = (at: number, node: string, token: number, what: string): Note => ({ at, node, token, pid: token, what })
/** A copy that beats every 100 ms. */
const copy = (node: string, token: number, from: number, to: number): readonly Note[] => [
  note(from, node, token, 'begin'),
  ...Array.from({ length: Math.floor((to - from) / 100) }, (_, at) => note(from + at * 100, node, token, 'beat')),
  note(to, node, token, 'stop'),
]
const op = (
  process: string,
  workload: string,
  f: string,
  from: number,
  to: number,
  asked: Json | undefined,
  type: 'ok' | 'fail' | 'info',
  value?: Json,
): readonly RunEvent[] => [
  { process, workload, f, type: 'invoke', time: from, ...(asked === undefined ? {} : { value: asked }) },
  { process, workload, f, type, time: to, ...(value === undefined ? {} : { value }) },
]
const answer = (at: number, token: number, count: number, left: number): readonly RunEvent[] =>
  op('owner-0', 'owner', 'ask', at, at + 5, undefined, 'ok', { node: `n${token}`, token, pid: token, count, left })
const answered = (at: number, node: string | null): readonly RunEvent[] =>
  op('address-0', 'address', 'ask', at, at + 5, undefined, 'ok', { node })
const granted = (...revisions: readonly number[]) => ({
  n1: revisions.map((revision) => seen(revision, 'decision.grant', { subject: 'owner' })),
})
const crash: Band = { fault: 'crash-node', lane: 0, detail: {}, from: 5_000, to: 9_000 }
const seen = (revision: number, kind: string, more: Partial<SeenEvent> = {}): SeenEvent => ({
  revision,
  number: 0,
  kind,
  time: revision * 10,
  ...more,
})

interface Case {
  readonly well: Partial<RunRecord>
  readonly ill: Readonly<Record<string, Partial<RunRecord>>>
  /** Undefined where an empty run can be judged. */
  readonly nothing?: Partial<RunRecord>
}

const cases: Readonly<Record<string, Case>> = {
  'one-owner': {
    well: { notes: [...copy('n1', 1, 0, 5_000), ...copy('n2', 2, 5_400, 9_000)] },
    ill: {
      'two copies overlap': { notes: [...copy('n1', 1, 0, 5_000), ...copy('n2', 2, 4_950, 9_000)] },
      'two copies overlap on one node': { notes: [...copy('n1', 1, 0, 5_000), ...copy('n1', 2, 4_950, 9_000)] },
      'a short copy within a long one, and a later one': {
        notes: [...copy('n1', 1, 0, 9_000), ...copy('n2', 2, 1_000, 2_000), ...copy('n3', 3, 9_500, 9_900)],
      },
      'the lock refused a second copy': {
        notes: [...copy('n1', 1, 0, 5_000), note(3_000, 'n2', 2, 'locked'), ...copy('n2', 2, 5_400, 9_000)],
      },
    },
    nothing: { notes: copy('n1', 1, 0, 5_000) },
  },
  'no-late-owner': {
    well: { events: [...answer(0, 1, 1, 0), ...answer(100, 2, 2, 0)] },
    ill: {
      'the first owner answers after the second': { events: [...answer(0, 1, 1, 0), ...answer(100, 2, 2, 0), ...answer(200, 1, 3, 0)] },
    },
    nothing: { events: answer(0, 1, 1, 0) },
  },
  checkpoints: {
    well: { events: [...answer(0, 1, 10, 8), ...answer(100, 2, 9, 8)] },
    ill: { 'what was left is not there': { events: [...answer(0, 1, 10, 8), ...answer(100, 2, 7, 0)] } },
    nothing: {},
  },
  takeovers: {
    well: { notes: [...copy('n1', 1, 0, 5_000), ...copy('n2', 2, 5_400, 30_000)], events: answer(5_500, 2, 1, 0), bands: [crash] },
    ill: {
      'a crashed node’s service is up too late': {
        notes: [...copy('n1', 1, 0, 5_000), ...copy('n2', 2, 15_900, 30_000)],
        events: answer(16_000, 2, 1, 0),
        bands: [crash],
      },
    },
    nothing: {},
  },
  gaps: {
    well: { events: [...answer(0, 1, 1, 0), ...answer(5_000, 1, 2, 0), ...answer(30_000, 1, 3, 0)], bands: [crash] },
    ill: { 'no answer long after the last fault': { events: [...answer(4_000, 1, 1, 0), ...answer(45_000, 1, 2, 0)], bands: [crash] } },
    nothing: {},
  },
  'no-needless-action': {
    well: { notes: [...copy('n1', 1, 0, 5_100), ...copy('n2', 2, 5_400, 30_000)], bands: [crash] },
    ill: {
      'a copy ends for no reason': { notes: [...copy('n1', 1, 0, 50_000), ...copy('n2', 2, 50_400, 60_000)], bands: [crash] },
      'a copy ends for a fault that may not end it': {
        notes: [...copy('n1', 1, 0, 5_100), ...copy('n2', 2, 5_400, 30_000)],
        bands: [{ ...crash, fault: 'kill-daemon' }],
      },
      'a node is challenged for no reason': { notes: copy('n1', 1, 0, 5_000), streams: { n1: [seen(4_000, 'case.opened')] } },
    },
    nothing: {},
  },
  'address-gaps': {
    well: {
      events: [...answered(0, null), ...answered(40_000, null), ...answered(40_100, null)],
      bands: [{ ...crash, from: 5_000, to: 30_000 }],
    },
    ill: { 'silence while nothing is broken': { events: [...answered(0, null), ...answered(40_000, null)] } },
    nothing: { events: answered(0, null) },
  },
  'one-answerer': {
    well: { events: [...answered(0, 'n1'), ...answered(100, null), ...answered(200, 'n2'), ...answered(300, 'n1')], finals: granted(3, 5) },
    ill: {
      'two answer in turn after one grant': {
        events: [...answered(0, 'n1'), ...answered(100, 'n2'), ...answered(200, 'n1')],
        finals: granted(3),
      },
      'somebody else answers, and the grant was of another group': {
        events: [...answered(0, 'n1'), ...answered(100, 'n2')],
        finals: { n1: [seen(1, 'decision.grant', { subject: 'web' })] },
      },
    },
    nothing: { events: [...answered(0, null), ...answered(100, null)], finals: granted(3) },
  },
  'proof-before-grant': {
    well: {
      finals: {
        n1: [
          seen(1, 'decision.grant', { subject: 'owner' }),
          seen(2, 'group.proved', { subject: 'owner', data: { token: 2 ** 40 + 1 } }),
          seen(3, 'decision.grant', { subject: 'owner' }),
        ],
      },
    },
    ill: {
      'two grants and nothing between them': {
        finals: { n1: [seen(1, 'decision.grant', { subject: 'owner' }), seen(3, 'decision.grant', { subject: 'owner' })] },
      },
      'the proof is about another token': {
        finals: {
          n1: [
            seen(2, 'decision.grant', { subject: 'owner' }),
            seen(3, 'group.proved', { subject: 'owner', data: { token: 2 ** 40 + 1 } }),
            seen(4, 'decision.grant', { subject: 'owner' }),
          ],
        },
      },
    },
    nothing: {},
  },
  events: {
    well: { streams: { n1: [seen(1, 'a'), seen(2, 'b')] }, finals: { n1: [seen(1, 'a'), seen(2, 'b')], n2: [seen(1, 'a'), seen(2, 'b')] } },
    ill: {
      'one is missing in a stream': {
        streams: { n1: [seen(1, 'a'), seen(3, 'c')] },
        finals: { n1: [seen(1, 'a'), seen(2, 'b'), seen(3, 'c')] },
      },
      'one came twice': { streams: { n1: [seen(1, 'a'), seen(2, 'b'), seen(2, 'b')] }, finals: { n1: [seen(1, 'a'), seen(2, 'b')] } },
      'out of order': { streams: { n1: [seen(2, 'b'), seen(1, 'a')] }, finals: { n1: [seen(1, 'a'), seen(2, 'b')] } },
      'journals differ': {
        streams: { n1: [seen(1, 'a'), seen(2, 'b')] },
        finals: { n1: [seen(1, 'a'), seen(2, 'b'), seen(3, 'c')], n2: [seen(1, 'a'), seen(3, 'c')] },
      },
      'acknowledged without an event': {
        streams: { n1: [seen(1, 'a'), seen(3, 'c')] },
        finals: { n1: [seen(1, 'a'), seen(3, 'c')] },
        events: op('events-0', 'events', 'mark', 0, 1, 'x', 'ok', { revision: 2 }),
      },
    },
    nothing: {},
  },
  once: {
    well: { events: op('i', 'idempotent', 'write', 0, 1, 'x', 'ok', { id: 'a', revisions: [5, 5] }) },
    ill: {
      'two revisions at once': { events: op('i', 'idempotent', 'write', 0, 1, 'x', 'ok', { id: 'a', revisions: [5, 6] }) },
      'another revision later': {
        events: [
          ...op('i', 'idempotent', 'write', 0, 1, 'x', 'ok', { id: 'a', revisions: [5] }),
          ...op('i', 'idempotent', 'again', 2, 3, 0.5, 'ok', { id: 'a', revisions: [9] }),
        ],
      },
    },
    nothing: { events: op('i', 'idempotent', 'write', 0, 1, 'x', 'ok', { id: 'a', revisions: [5] }) },
  },
  linearizable: {
    well: { events: Array.from({ length: 20 }, (_, at) => op('r', 'register', 'write', at, at + 0.5, at, 'ok')).flat() },
    ill: {
      'a stale read': {
        events: [
          ...Array.from({ length: 20 }, (_, at) => op('r', 'register', 'write', at, at + 0.5, at, 'ok')).flat(),
          ...op('s', 'register', 'read', 30, 31, undefined, 'ok', 3),
        ],
      },
      'a read of what surely failed': {
        events: [
          ...Array.from({ length: 20 }, (_, at) => op('r', 'register', 'write', at, at + 0.5, at, 'ok')).flat(),
          ...op('s', 'register', 'write', 30, 31, 99, 'fail'),
          ...op('s', 'register', 'read', 32, 33, undefined, 'ok', 99),
        ],
      },
    },
    nothing: {},
  },
  convergence: { well: { wellAfter: 5_000 }, ill: { never: { wellAfter: undefined, notWell: 'n1 is DOWN' }, late: { wellAfter: 31_000 } } },
  leaks: { well: {}, ill: { 'processes are left': { leaks: ['processes of n1'] } } },
  faultless: { well: { finals: { n1: [seen(1, 'a')] } }, ill: { 'an alarm': { finals: { n1: [seen(1, 'alarm.fault')] } } }, nothing: {} },
  calm: {
    well: { events: Array.from({ length: 100 }, (_, at) => op('r', 'kv', 'read', at, at + 0.5, undefined, 'ok')).flat() },
    ill: {
      'reads fail while nothing is broken': {
        events: Array.from({ length: 100 }, (_, at) =>
          op('r', 'kv', 'read', at, at + 0.5, undefined, at % 10 === 0 ? 'fail' : 'ok'),
        ).flat(),
      },
    },
    nothing: {},
  },
}

for (const [judge, { well, ill, nothing }] of Object.entries(cases)) {
  test(`${judge}: well, ill and nothing to be seen`, () => {
    assert.equal(verdict(judge, well).valid, true, verdict(judge, well).text)
    for (const [what, record] of Object.entries(ill)) {
      const found = verdict(judge, record)
      assert.equal(found.valid, false, `${what}: ${found.text}`)
    }
    if (nothing !== undefined) assert.equal(verdict(judge, nothing).valid, 'unknown', verdict(judge, nothing).text)
  })
}

test('what happens while the machine has no processor left is not held against the cluster', () => {
  const notes = [...copy('n1', 1, 0, 50_000), ...copy('n2', 2, 50_400, 60_000)]
  const pressure = Array.from({ length: 12 }, (_, at) => ({ at: 46_000 + at * 500, share: 0.99 }))
  assert.equal(verdict('no-needless-action', { notes }).valid, false)
  assert.equal(verdict('no-needless-action', { notes, pressure }).valid, true)
  assert.equal(verdict('one-owner', { notes: [...notes, ...copy('n3', 3, 55_000, 56_000)], pressure }).valid, false)
})

test('a cluster that recovers late, or not at all, on a machine without a processor left is not judged; one that had its processors is', () => {
  const pressure = Array.from({ length: 120 }, (_, at) => ({ at: at * 500, share: 0.99 }))
  assert.equal(verdict('convergence', { wellAfter: 31_000 }).valid, false)
  assert.equal(verdict('convergence', { wellAfter: 31_000, pressure }).valid, 'unknown')
  assert.equal(verdict('convergence', { wellAfter: undefined, pressure }).valid, 'unknown')
  assert.equal(verdict('convergence', { wellAfter: undefined, pressure: pressure.map(({ at }) => ({ at, share: 0.5 })) }).valid, false)
  const events = Array.from({ length: 100 }, (_, at) =>
    op('r', 'kv', 'read', at, at + 0.5, undefined, at % 10 === 0 ? 'fail' : 'ok'),
  ).flat()
  assert.equal(verdict('calm', { events, pressure }).valid, 'unknown')
})

test('every judge has a case here', () => {
  const all = judgeRun(empty, { workloads, group: 'owner', takeoverBound: 1, wellBound: 1, limit: 1 }).map(({ judge }) => judge)
  assert.deepEqual([...new Set(all)].sort(), Object.keys(cases).sort())
})
