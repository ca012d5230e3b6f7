/** How often is looked, to which depth, and when a bad probe is the failure of the resource. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ResourceDefinition } from '../../../src/core/cluster/index.js'
import { type MonitorEffect, ProbeCount } from '../../../src/core/monitor/index.js'
import { agent, boot, definitions, g, named, node, Script, shows, token } from './script.js'

/** `ip` is ONLINE, and its first probe is action 2. */
function online(more: Partial<ResourceDefinition>): Script {
  const script = new Script()
  script.run({ ip: { ...agent(), ...more } })
  script.done(1)
  script.learnt('ip', 10)
  return script
}

/** The detail of `ip` as the monitor tells it now. */
function detailOf(script: Script): string | undefined {
  for (const effect of script.core.step({ kind: 'connected' }, script.now)) {
    if (effect.kind === 'report' && effect.report.kind === 'hello') return effect.report.groups[0]?.resources[named('ip')]?.detail
  }
  throw new Error('it says no hello')
}

const twoOfThree = { interval: 5_000, timeout: 500, failAfter: { failures: 2, of: 3 } }

test('one failure of three is told and does not count, and the next probe comes within a second', () => {
  const script = online({ probe: twoOfThree })
  shows(script.wake(), '2 probe ip')
  shows(script.done(2, 'failed'), 'record \n says ONLINE ip=ONLINE')
  assert.equal(detailOf(script), '1 of the last 3 probes failed, 2 are its failure: because')
  const failedAt = script.now
  shows(script.wake(), '3 probe ip')
  assert.ok(script.now - failedAt <= 1_000, 'it is looked again soon')
  shows(script.done(3, 'running'), 'watch ip, learn')
  assert.match(detailOf(script) ?? '', /1 of the last 3/)
  script.learnt('ip', 10)
  const goodAt = script.now
  shows(script.wake(), '4 probe ip')
  assert.ok(script.now - goodAt > 4_000, 'a good one brings its interval back')
  shows(script.done(4, 'failed'), 'record \n unwatch ip \n says FAILED ip=FAILED — ip probe-failed (0): because')
})

test('a failure that has passed out of the last three is forgotten', () => {
  const script = online({ probe: twoOfThree })
  script.wake()
  script.done(2, 'failed')
  for (const action of [3, 4, 5]) {
    script.wake()
    script.done(action, 'running')
  }
  assert.equal(detailOf(script), undefined)
  script.wake()
  shows(script.done(6, 'failed'), 'record \n says ONLINE ip=ONLINE')
})

test('time-outs are counted in a row, apart from failures', () => {
  const script = online({ probe: { interval: 1_000, timeout: 500, timeouts: 2 } })
  script.wake()
  shows(script.done(2, 'timed-out'), 'record \n says ONLINE ip=ONLINE')
  assert.equal(detailOf(script), '1 in a row timed out, 2 are its failure: because')
  script.wake()
  script.done(3, 'running')
  script.wake()
  shows(script.done(4, 'timed-out'), 'record \n says ONLINE ip=ONLINE')
  script.wake()
  shows(script.done(5, 'timed-out'), 'record \n unwatch ip \n says FAILED ip=FAILED — ip probe-timeout (0): because')
})

test('with time-outs that are let pass, the first failure still counts', () => {
  const script = online({ probe: { interval: 1_000, timeout: 500, timeouts: 5 } })
  script.wake()
  script.done(2, 'timed-out')
  script.wake()
  shows(script.done(3, 'failed'), 'record \n unwatch ip \n says FAILED ip=FAILED — ip probe-failed (0): because')
})

test('a probe that says stopped, and one after the end of a main process, count at once', () => {
  for (const [how, answer] of [
    ['says', 'stopped'],
    ['dies', 'failed'],
    ['dies', 'timed-out'],
  ] as const) {
    const script = online({ probe: { ...twoOfThree, timeouts: 3 } })
    if (how === 'dies') script.ended('ip', 10)
    else script.wake()
    const [, , said = ''] = script.done(2, answer)
    assert.match(said, /^says FAILED/, `${how}, ${answer}`)
  }
})

test('a restart begins the count anew', () => {
  const probe = { ...twoOfThree, interval: 1_000 }
  const script = online({ probe })
  script.wake()
  script.done(2, 'failed')
  script.ended('ip', 10)
  script.done(3, 'stopped')
  script.run({ ip: { ...agent(), probe } }, { sequence: 2, restart: { resource: named('ip'), number: 1 } })
  script.done(4)
  script.killed(5)
  script.done(6, 'stopped')
  script.done(7)
  assert.equal(detailOf(script), undefined)
  script.wake()
  shows(script.done(8, 'failed'), 'record \n says ONLINE ip=ONLINE')
})

const deep = { probe: { interval: 1_000, timeout: 500 }, probeDeep: { interval: 3_000, timeout: 9_000 } }

test('deep probes come by their own interval, with their own time, and never beside another one', () => {
  const script = online(deep)
  const began: string[] = []
  let lines = script.wake()
  for (let action = 2; action < 40; action++) {
    assert.equal(lines.length, 1)
    began.push((lines[0] ?? '').replace(/^\d+ /, ''))
    shows(script.passes(action % 2 === 0 ? 20_000 : 10), '') // Whatever falls due meanwhile waits.
    lines = script.done(action, 'running').filter((line) => line.endsWith(' probe ip'))
    if (lines.length === 0) lines = script.wake()
  }
  assert.ok(began.filter((line) => line === 'deep probe ip').length >= 5, began.join(', '))
  assert.ok(began.filter((line) => line === 'probe ip').length >= 5, began.join(', '))
  for (const line of began) assert.match(line, /^(deep )?probe ip$/)
})

test('a deep probe has its own time-out, and its failure says deep', () => {
  for (const [answer, event] of [
    ['failed', 'probe-failed'],
    ['timed-out', 'probe-timeout'],
  ] as const) {
    const script = online({ ...deep, probe: { ...deep.probe, failAfter: { failures: 3, of: 3 }, timeouts: 3 } })
    const action = untilDeep(script)
    shows(script.done(action, answer), `record \n unwatch ip \n says FAILED ip=FAILED — ip ${event} (0): deep probe: because`)
  }
})

test('several depths come each by its own interval, and the one that fails says which it was', () => {
  const probeDeep = [
    { interval: 3_000, timeout: 900 },
    { interval: 7_000, timeout: 900, level: 20 },
  ]
  const script = online({ ...deep, probeDeep })
  const counts = new Map<string, number>()
  let lines = script.wake()
  for (let action = 2; action < 80; action++) {
    const what = (lines[0] ?? '').replace(/^\d+ /, '')
    counts.set(what, (counts.get(what) ?? 0) + 1)
    if (action > 70 && what === 'deep 20 probe ip') {
      shows(
        script.done(action, 'failed'),
        'record \n unwatch ip \n says FAILED ip=FAILED — ip probe-failed (0): deep probe (level 20): because',
      )
      break
    }
    assert.ok(action < 79, 'the deeper one comes')
    script.done(action, 'running')
    lines = script.wake()
  }
  const [plain = 0, first = 0, second = 0] = ['probe ip', 'deep probe ip', 'deep 20 probe ip'].map((name) => counts.get(name) ?? 0)
  assert.ok(plain > first && first > second && second >= 3, JSON.stringify([...counts]))
})

test('what others start and stop is waited for, looked at, and left', () => {
  const script = new Script()
  shows(script.run({ ip: { ...agent(), operations: 'none' } }), 'record \n 1 start ip \n says STARTING ip=STARTING')
  shows(script.done(1), 'record \n says ONLINE ip=ONLINE')
  assert.deepEqual(script.wake(), ['2 probe ip'])
  shows(script.done(2, 'stopped'), 'record \n says FAILED ip=FAILED — ip died (0): its probe says that it is stopped')
  shows(script.stop(), 'seal 1 \n delete record \n says STOPPED ip=STOPPED \n says sealed 1')
})

test('a start that was done, and whose first probe finds it stopped, has failed; later that is its death', () => {
  const script = new Script()
  script.run({ ip: agent() })
  script.done(1)
  script.wake()
  shows(
    script.done(2, 'stopped'),
    'record \n unwatch ip \n says FAILED ip=FAILED — ip start-failed (0): its start was done, and its first probe after that: its probe says that it is stopped',
  )
  // What had a process has run: that one has ended.
  const brief = new Script()
  brief.run({ ip: agent() })
  brief.done(1)
  brief.learnt('ip', 10)
  brief.wake()
  assert.match(brief.done(2, 'stopped').join(), /ip died/)
  const later = online(deep)
  const action = untilDeep(later)
  later.done(action, 'running')
  later.wake()
  assert.match(later.done(action + 1, 'stopped').join(), /ip died/)
})

test('the end of a main process does not wait for a deep probe', () => {
  const script = online(deep)
  const action = untilDeep(script)
  shows(script.ended('ip', 10), `record \n cancel ${action}`)
  shows(script.done(action, 'cancelled'), `${action + 1} probe ip`)
  shows(
    script.done(action + 1, 'stopped'),
    'record \n unwatch ip \n says FAILED ip=FAILED — ip died (0): its probe says that it is stopped',
  )
})

test('what a start left to be said stays with the resource, also under another monitor', () => {
  const script = new Script()
  script.run({ ip: agent() })
  script.done(1, { outcome: 'done', note: 'not enforced here: limits.memory' })
  script.learnt('ip', 10)
  assert.equal(detailOf(script), 'not enforced here: limits.memory')
  const next = new Script('cgroup2', script)
  next.done(1, 'running')
  assert.equal(detailOf(next), 'not enforced here: limits.memory')
})

test('a hundred resources that are probed every second are spread over it, and none is probed twice at once', () => {
  const names = Array.from({ length: 100 }, (_, at) => `r${at}`)
  const script = new Script('cgroup2', undefined, 10_000_000)
  const effects = (event: Parameters<Script['core']['step']>[0]) => script.core.step(event, script.now)
  const begun = new Map<number, string>()
  const busy = new Set<string>()
  const startedAt: number[] = []
  const take = (wanted: readonly MonitorEffect[]) => {
    for (const effect of wanted) {
      if (effect.kind !== 'begin') continue
      const { method, resource } = effect.request
      assert.ok(!busy.has(resource), `${resource} has one at a time`)
      busy.add(resource)
      begun.set(effect.action, resource)
      if (method === 'probe') startedAt.push(script.now)
    }
  }
  const finish = (outcome: 'done' | 'running') => {
    for (const [action, resource] of [...begun]) {
      begun.delete(action)
      busy.delete(resource)
      take(effects({ kind: 'method-done', action, result: { outcome } }))
    }
  }
  const resources = definitions(
    Object.fromEntries(names.map((name) => [name, { ...agent(), probeDeep: { interval: 2_000, timeout: 500 } }])),
  )
  const order = {
    kind: 'run',
    group: g,
    token: token(1),
    sequence: 1,
    resources,
    node,
    boot,
    deadline: script.deadline,
    checkpoints: {},
  } as const
  take(effects({ kind: 'ordered', order }))
  assert.equal(begun.size, 100)
  finish('done')
  const end = script.now + 20_000
  while (script.now < end) {
    const next = script.core.nextWake()
    assert.ok(next !== undefined)
    script.now = next
    take(effects({ kind: 'woke' }))
    // The answers come while others fall due.
    if (begun.size >= 10) finish('running')
  }
  // Some 100 shallow and 50 deep ones a second, never all at once.
  assert.ok(startedAt.length > 2_500 && startedAt.length < 3_500, `${startedAt.length} probes`)
  const inTenth = new Map<number, number>()
  for (const at of startedAt) if (at > end - 10_000) inTenth.set(Math.floor(at / 100), (inTenth.get(Math.floor(at / 100)) ?? 0) + 1)
  const fullest = Math.max(...inTenth.values())
  assert.ok(fullest < 40, `${fullest} probes within a tenth of a second`)
})

test('a probe of a copy that is under way makes way for a promotion and a demotion, and comes again', () => {
  const script = new Script()
  const copy = { ...agent(), promotable: true as const, probeDeep: { interval: 600_000, timeout: 60_000 } }
  const part = (name: string) => name as typeof g
  const asPrimary = { ...copy, role: { of: part('db') } }
  script.run({ ip: copy }, { group: part('db:n1') })
  script.done(1)
  shows(script.wake(), '2 probe ip')
  shows(script.run({ ip: asPrimary }, { group: part('db:primary') }), 'record \n cancel 2 \n 3 start ip \n says STARTING ip=STARTING')
  script.done(2, 'cancelled')
  script.done(3)
  const begun = script.wake()
  assert.match(begun.join(), /^\d+ probe ip$/)
  const last = Number(begun[0]?.split(' ')[0])
  const both = [...begun, ...script.passes(1_200)].flatMap((line) => /^(\d+) probe ip$/.exec(line)?.[1] ?? []).map(Number)
  assert.equal(both.length, 2, 'of the copy, and of the role')
  const cancelled = (lines: readonly string[]) => lines.filter((line) => line.startsWith('cancel'))
  const [own] = cancelled(script.order({ kind: 'stop', group: part('db:primary'), token: token(1), sequence: 9 }))
  const [ofRole, ofCopy] =
    own === `cancel ${last}` ? [last, ...both.filter((one) => one !== last)] : [...both.filter((one) => one !== last), last]
  assert.equal(own, `cancel ${ofRole}`)
  const demoting = script.done(ofRole ?? 0, 'cancelled')
  assert.deepEqual(cancelled(demoting), [`cancel ${ofCopy}`])
  script.done(ofCopy ?? 0, 'cancelled')
  const demotion = Math.max(...both) + 1
  const again = Number(/^(\d+) probe ip$/.exec(script.passes(2_000).find((line) => line.includes('probe')) ?? '')?.[1])
  assert.ok(again > demotion)
  assert.deepEqual(cancelled(script.done(demotion)), [`cancel ${again}`], 'before the look whether it is a replica now')
})

test('counts: a window fills, slides and is told', () => {
  const count = new ProbeCount({ interval: 1, timeout: 1, failAfter: { failures: 3, of: 4 } })
  assert.deepEqual([count.failed('a'), count.failed('b')], [false, false])
  count.good()
  assert.equal(count.failed('c'), true)
  const plain = new ProbeCount({ interval: 1, timeout: 1 })
  assert.equal(plain.trouble, undefined)
  assert.deepEqual([plain.failed('a'), plain.timedOut('b')], [true, true])
})

/** The action of the next deep probe, which is then under way. */
function untilDeep(script: Script): number {
  for (let action = 2; action < 20; action++) {
    const [line = ''] = script.wake()
    if (line === `${action} deep probe ip`) return action
    script.done(action, 'running')
    script.learnt('ip', 10)
  }
  throw new Error('no deep probe came')
}
