/** Who reaches whom, and what follows: each case is a little map of links in words, and what is made of it. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { NodeId } from '../../../src/base/index.js'
import { isHeardBy, jeopardyOf, orderOfRemoval, type Sight, whoReachesMore } from '../../../src/core/arbiter/reach.js'

const names = ['n1', 'n2', 'n3', 'n4', 'n5'] as NodeId[]
const within = 150

/** `links` such as 'n1-n2 n2>n3': both ways, or one way. What a node does not hear has been silent for a second. */
function sights(links: string, { ages = {}, oneLink = {} }: { ages?: Record<string, number>; oneLink?: Record<string, string[]> } = {}) {
  const hears = new Map<string, Set<string>>(names.map((name) => [name, new Set()]))
  for (const link of links.split(' ')) {
    const [a = '', b = ''] = link.split(/[->]/)
    hears.get(b)?.add(a)
    if (link.includes('-')) hears.get(a)?.add(b)
  }
  return (node: NodeId): Sight => ({
    age: ages[node] ?? 10,
    heard: Object.fromEntries(names.filter((other) => other !== node).map((other) => [other, hears.get(node)?.has(other) ? 20 : 1_000])),
    mutual: names.filter((other) => hears.get(node)?.has(other) && hears.get(other)?.has(node)),
    oneLink: (oneLink[node] ?? []) as NodeId[],
  })
}

describe('a better leader', () => {
  const cases: readonly [string, string, string, string, string | undefined][] = [
    ['reaches the silent one and all that the leader reaches', 'n1-n3 n2-n3', 'n2', 'n1', 'n3'],
    ['reaches it both ways, not one way only', 'n1>n3 n2-n3', 'n2', 'n1', undefined],
    ['reaches strictly more', 'n2-n3 n2-n4 n3-n1 n2-n5', 'n2', 'n1', undefined],
    ['of several is the one that reaches most', 'n2-n3 n3-n1 n2-n4 n4-n1 n4-n3 n4-n5', 'n2', 'n1', 'n4'],
    ['does not exist where nobody hears the silent one', 'n2-n3 n2-n4 n3-n4 n3-n5', 'n2', 'n1', undefined],
  ]
  for (const [what, links, self, silent, expected] of cases)
    test(what, () => assert.equal(whoReachesMore(self as NodeId, silent as NodeId, names, sights(links), within), expected))

  test('is nobody who heard it no later than the leader did', () => {
    const stale = sights('n1-n3 n2-n3', { ages: { n3: 140 } })
    assert.equal(whoReachesMore('n2' as NodeId, 'n1' as NodeId, names, stale, within), undefined)
    assert.equal(isHeardBy(stale('n3' as NodeId), 'n1' as NodeId, within), false)
  })
})

describe('of several silent nodes', () => {
  const order = (links: string, silent: string[], priorities: Record<string, number> = {}) =>
    orderOfRemoval(names, silent as NodeId[], sights(links), within, (node) => priorities[node] ?? 0).map(
      ({ node, leaves }) => `${node} leaves ${leaves.join(' ')}`,
    )

  test('the one without which most reach each other goes first', () => {
    // n5 leads and hears neither n1 nor n2; n2 reaches the others, n1 reaches n2 alone.
    assert.deepEqual(order('n5-n3 n5-n4 n3-n4 n2-n3 n2-n4 n1-n2', ['n1', 'n2']), ['n2 leaves n3 n4 n5', 'n1 leaves n2 n3 n4'])
    assert.deepEqual(order('n3-n4 n3-n5 n4-n5 n2-n3 n2-n4 n2-n5 n1-n3', ['n1', 'n2']), ['n1 leaves n2 n3 n4 n5', 'n2 leaves n3 n4 n5'])
  })

  test('of equals the one whose groups matter less, then the last by name', () => {
    const links = 'n3-n4 n3-n5 n4-n5 n1-n3 n2-n3'
    assert.deepEqual(
      order(links, ['n1', 'n2'], { n2: 5 }).map((line) => line.slice(0, 2)),
      ['n1', 'n2'],
    )
    assert.deepEqual(
      order(links, ['n1', 'n2']).map((line) => line.slice(0, 2)),
      ['n2', 'n1'],
    )
  })
})

describe('jeopardy', () => {
  const living = ['n1', 'n2', 'n3'] as NodeId[]
  const seen = (links: string, more?: Parameters<typeof sights>[1]) =>
    Object.fromEntries([...jeopardyOf(living, sights(links, more), within)].filter(([, reasons]) => reasons.length > 0))

  test('is nothing where all reach each other', () => assert.deepEqual(seen('n1-n2 n1-n3 n2-n3'), {}))

  for (const link of ['n1>n2', 'n2>n1', 'n4-n5'])
    test(`is a cut between two that both live (${link} is all there is)`, () => {
      const reason = ['n1 and n2 do not reach each other both ways']
      assert.deepEqual(seen(`${link} n1-n3 n2-n3`), { n1: reason, n2: reason })
    })

  test('is one link left of several', () => {
    const reason = ['one link is left between n1 and n3']
    assert.deepEqual(seen('n1-n2 n1-n3 n2-n3', { oneLink: { n3: ['n1'] } }), { n1: reason, n3: reason })
  })

  test('is not said of a node that has said nothing lately', () => {
    assert.deepEqual(seen('n1>n2 n1-n3 n2-n3', { ages: { n1: 200 } }), {})
  })
})
