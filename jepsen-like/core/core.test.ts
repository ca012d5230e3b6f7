/** What follows from a seed: the same schedule always, and another one from another seed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  bandsOf,
  every,
  type FaultKind,
  type Generator,
  limit,
  mix,
  type Operation,
  planFaults,
  random,
  readHistory,
  sequence,
  stagger,
  timetable,
  until,
  writeHistory,
} from './index.js'

/** Follows a generator on a clock that stands still but for its waits; each operation takes a millisecond. */
function play(generator: Generator, most = 1_000): readonly (Operation & { readonly time: number })[] {
  const done: (Operation & { readonly time: number })[] = []
  let now = 0
  for (let rest = generator; done.length < most; ) {
    const next = rest(now)
    if (next.kind === 'over') break
    rest = next.rest
    if (next.kind === 'wait') now = Math.max(now, next.until)
    else done.push({ ...next.operation, time: now++ })
  }
  return done
}

const numbers = every((at) => ({ f: 'write', value: at }))
const letters = limit(
  2,
  every((at) => ({ f: 'read', value: 'ab'[at] as string })),
)

test('a generator is a value: what was taken from it can be taken again', () => {
  const drawn = random(7, 'x', (chance, at) => ({ f: 'write', value: [at, chance.next()] }))
  assert.deepEqual(play(drawn, 50), play(drawn, 50))
  assert.notDeepEqual(
    play(drawn, 50),
    play(
      random(8, 'x', (chance, at) => ({ f: 'write', value: [at, chance.next()] })),
      50,
    ),
  )
})

test('limits, sequences and ends hold', () => {
  assert.deepEqual(
    play(sequence([limit(2, numbers), letters])).map(({ value }) => value),
    [0, 1, 'a', 'b'],
  )
  assert.equal(play(until(10, numbers)).length, 10)
  assert.equal(play(until(10, timetable([{ at: 20, operation: { f: 'read' } }]))).length, 0)
  assert.deepEqual(
    play(
      timetable([
        { at: 5, operation: { f: 'a' } },
        { at: 9, operation: { f: 'b' } },
      ]),
    ),
    [
      { f: 'a', time: 5 },
      { f: 'b', time: 9 },
    ],
  )
})

test('pauses are as long as asked for, on average', () => {
  const times = play(stagger(20, 3, 'x', numbers), 500).map(({ time }) => time)
  const mean = ((times.at(-1) as number) - (times[0] as number)) / 499
  assert.ok(mean > 17 && mean < 25, `${mean}`)
})

test('a mixture loses nothing of its parts', () => {
  const mixed = play(mix(5, 'x', [limit(30, numbers), letters]))
  assert.equal(mixed.length, 32)
  assert.deepEqual(
    mixed.filter(({ f }) => f === 'write').map(({ value }) => value),
    Array.from({ length: 30 }, (_, at) => at),
  )
})

const kind = (name: string, takesAway: boolean): FaultKind => ({
  name,
  lasts: [1_000, 2_000],
  takesAway,
  draw: (chance, nodes) => ({ node: chance.pick(nodes) }),
})
const kinds = [kind('kill', true), kind('cut', true), kind('slow', false), kind('skew', false)]
const options = { seed: 11, nodes: ['n1', 'n2', 'n3'], kinds, from: 1_000, to: 120_000, rest: [500, 1_500] as const, lanes: 2 }

test('a plan follows from its seed', () => {
  assert.deepEqual(planFaults(options), planFaults(options))
  assert.notDeepEqual(planFaults(options), planFaults({ ...options, seed: 12 }))
})

test('a plan keeps its bounds, its rests, and one taking fault at a time; all kinds come', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const plan = planFaults({ ...options, seed })
    assert.deepEqual([...new Set(plan.map(({ fault }) => fault))].sort(), ['cut', 'kill', 'skew', 'slow'], `seed ${seed}`)
    for (const { from, to } of plan) assert.ok(from >= 1_000 && to <= 120_000 && to - from >= 1_000 && to - from <= 2_000, `seed ${seed}`)
    for (const lane of [0, 1]) {
      const own = plan.filter((fault) => fault.lane === lane)
      for (const [at, { from }] of own.entries()) if (at > 0) assert.ok(from - (own[at - 1]?.to ?? 0) >= 500, `seed ${seed}`)
    }
    assert.ok(
      plan.every(({ fault, lane }) => lane === 0 || fault === 'slow' || fault === 'skew'),
      `seed ${seed}`,
    )
  }
})

test('a history is the same after it was written and read, and shows the faults as bands', () => {
  const events = [
    { process: 'nemesis', type: 'info', f: 'inject', value: { id: 1, fault: 'kill', lane: 0, node: 'leader' }, time: 10 },
    { process: 'nemesis', type: 'info', f: 'injected', value: { id: 1, fault: 'kill', met: 'n2' }, time: 12 },
    { process: 'w1', type: 'invoke', f: 'read', key: 'x', time: 13, workload: 'kv' },
    { process: 'nemesis', type: 'info', f: 'healed', value: { id: 1, fault: 'kill' }, time: 30 },
    { process: 'nemesis', type: 'info', f: 'inject', value: { id: 2, fault: 'cut', lane: 1 }, time: 40 },
  ] as const
  const read = readHistory(writeHistory(events))
  assert.deepEqual(read, events)
  assert.deepEqual(bandsOf(read), [
    { fault: 'kill', lane: 0, detail: { node: 'leader', met: 'n2' }, from: 10, to: 30 },
    { fault: 'cut', lane: 1, detail: {}, from: 40, to: Number.POSITIVE_INFINITY },
  ])
})
