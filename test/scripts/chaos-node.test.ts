/** The chaos on one node: its schedule, and whether its judge would see what it is there for. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Hit, judge, type Look, type Note, type Seen } from '../../scripts/chaos-node/judge.js'
import { planActions } from '../../scripts/chaos-node/schedule.js'
import { piledUp } from '../../scripts/chaos-node/storm.js'

const groups = { all: ['a', 'b'], withAgents: ['b'], watched: ['b'] }

test('a seed gives one schedule, with every kind of blow in it', () => {
  const plan = planActions(7, 500, groups)
  assert.deepEqual(plan, planActions(7, 500, groups))
  assert.notDeepEqual(plan, planActions(8, 500, groups))
  assert.deepEqual(plan.slice(0, 25), planActions(7, 25, groups), 'a short run is the beginning of a long one')
  const kinds = new Set(plan.flatMap(({ blows }) => blows.map(({ how, target }) => `${how} ${target}`)))
  assert.equal(kinds.size, 15, [...kinds].join())
  assert.ok(plan.some(({ blows }) => blows.length === 2))
})

describe('the judge', () => {
  const emergencyStop = 5_000
  /** Looks every 25 ms; the lease is renewed for 3 s at every one until `lastRenewal`. */
  const looks = (lastRenewal: number, runsUntil: number): readonly Look[] =>
    Array.from({ length: 1_600 }, (_, index) => {
      const at = index * 25
      return { at, deadline: Math.min(at, lastRenewal) + 3_000, running: at <= runsUntil ? ['a'] : [] }
    })
  const run = (name: string, from: number, to: number): readonly Note[] => [
    { at: from, what: 'start', run: name, token: 1 },
    ...Array.from(
      { length: Math.floor((to - from) / 100) },
      (_, index): Note => ({ at: from + (index + 1) * 100, what: 'beat', run: name, token: 1 }),
    ),
  ]
  const hit = (kind: Hit['kind'], at: number, group: string | undefined, method?: string): Hit => ({ kind, at, group, method, action: 1 })
  const seen = (journal: readonly Note[], more: Partial<Seen> = {}): Seen => ({
    emergencyStop,
    looks: looks(40_000, 40_000),
    journals: new Map([['a', journal]]),
    hits: [],
    ...more,
  })

  test('a service that runs on past lease and emergency stop is out of control, by the looks and by its own journal', () => {
    const inTime = judge(seen(run('1', 0, 17_900), { looks: looks(10_000, 17_900) }))
    assert.deepEqual([inTime.outOfControl, inTime.leasesLost], [[], 1])
    assert.equal(inTime.leastMargin, 100)
    const late = judge(seen(run('1', 0, 18_500), { looks: looks(10_000, 18_400) })).outOfControl
    assert.equal(late.length, 2)
    assert.match(late.join('\n'), /a ran.*: 400 ms after.*\na noted something.*: 500 ms after/)
  })

  test('where the stand itself stood still for so long, nobody can tell', () => {
    const stalled = looks(10_000, 18_400).filter(({ at }) => at < 17_000 || at > 18_300)
    const verdict = judge(seen(run('1', 0, 18_300), { looks: stalled }))
    assert.deepEqual(verdict.outOfControl, [])
    assert.ok(verdict.undecided.length > 0)
  })

  test('a start without any cause is needless', () => {
    const twice = [...run('1', 0, 5_000), ...run('2', 5_300, 9_000)]
    assert.equal(judge(seen(twice)).needless.length, 1)
    assert.equal(judge(seen(twice, { hits: [hit('service', 4_900, 'b')] })).needless.length, 1, 'another group was hit')
    assert.equal(judge(seen(twice, { hits: [hit('agent', 4_900, 'a', 'probe')] })).needless.length, 1, 'one probe is no failure')
    assert.equal(judge(seen(twice, { hits: [hit('service', 6_000, 'a')] })).needless.length, 1, 'it was hit later')
  })

  test('a start with a cause is counted by it', () => {
    const twice = [...run('1', 0, 5_000), ...run('2', 5_300, 9_000)]
    const startsWith = (more: Partial<Seen>) => {
      const { needless, starts } = judge(seen(twice, more))
      assert.deepEqual(needless, [])
      return Object.entries(starts)
        .filter(([why, count]) => count > 0 && why !== 'first')
        .map(([why]) => why)
    }
    assert.deepEqual(startsWith({ hits: [hit('service', 4_900, 'a')] }), ['hit'])
    assert.deepEqual(startsWith({ hits: [hit('agent', 3_000, 'a', 'probe'), hit('agent', 4_900, 'a', 'probe')] }), ['agents'])
    assert.deepEqual(startsWith({ hits: [hit('power', 5_000, undefined)] }), ['power'])
    assert.deepEqual(startsWith({ looks: looks(1_000, 5_000) }), ['lease'])
    const blind = looks(40_000, 40_000).filter(({ at }) => at < 1_000 || at > 4_500)
    assert.deepEqual(startsWith({ looks: blind }), ['lease'], 'nobody looked for longer than a lease')
  })
})

test('what piles up is told apart from what comes and goes', () => {
  assert.deepEqual(piledUp({ 'n1 daemon files': 40 }, { 'n1 daemon files': 50 }), [])
  assert.equal(piledUp({ 'n1 daemon files': 40 }, { 'n1 daemon files': 60 }).length, 1)
  assert.equal(piledUp({ 'n1 half-written files': 0 }, { 'n1 half-written files': 1 }).length, 1)
})
