/** Definitions that change while their resources run. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bootInstant } from '../../../src/base/index.js'
import type { MonitorEffect } from '../../../src/core/monitor/index.js'
import { agent, definitions, g, kept, Script, shows } from './script.js'

const ocf = (speed: number, more: object = {}) => ({ ...agent(), parameters: { speed }, ...more })

/** `app` is ONLINE with speed 1; action 1 is used up. */
function online(more: Parameters<Script['run']>[0] = {}): Script {
  const script = new Script()
  script.run({ app: ocf(1), ...more })
  script.done(1)
  if (Object.keys(more).length > 0) script.done(2)
  return script
}

const speedOf = (effect: MonitorEffect | undefined) => (effect?.kind === 'begin' ? effect.request.definition.parameters.speed : undefined)

/** The effects themselves, of a step that the script does not show. */
function begun(script: Script, event: Parameters<Script['step']>[0]): Extract<MonitorEffect, { kind: 'begin' }> | undefined {
  const effects = script.core.step(event, script.now)
  for (const effect of effects)
    if (effect.kind === 'write-record') script.records.set(effect.record.group, JSON.parse(JSON.stringify(effect.record)))
  return effects.find((effect): effect is Extract<MonitorEffect, { kind: 'begin' }> => effect.kind === 'begin')
}

test('changed parameters are reloaded, and are then what it runs', () => {
  const script = online()
  shows(script.run({ app: ocf(2) }, { sequence: 2 }), 'record \n 2 reload app \n says STARTING app=ONLINE')
  shows(script.done(2), 'record \n watch app, learn \n says ONLINE app=ONLINE')
  const stop = begun(script, { kind: 'ordered', order: { kind: 'stop', group: g, token: 1 as never, sequence: 9 } })
  assert.equal(speedOf(stop), 2)
})

test('a reload tells what it was and what it is to be', () => {
  const script = online()
  const order = {
    kind: 'run',
    group: g,
    token: 1,
    sequence: 2,
    resources: definitions({ app: ocf(2) }),
    node: 'n1',
    boot: 'boot-1',
    deadline: script.deadline,
    checkpoints: {},
  }
  const reload = begun(script, { kind: 'ordered', order: order as never })
  assert.deepEqual([speedOf(reload), reload?.request.former?.parameters.speed], [2, 1])
})

test('where a reload fails it is stopped as it was and started as it is, with what depends on it', () => {
  const script = online({ web: agent('app') })
  shows(script.run({ app: ocf(2), web: agent('app') }, { sequence: 2 }), 'record \n 3 reload app \n says STARTING app=ONLINE web=ONLINE')
  shows(script.done(3, 'failed'), 'record \n unwatch web \n 4 stop web \n says STARTING app=ONLINE web=STOPPING')
  script.done(4)
  script.killed(5)
  const stop = begun(script, { kind: 'method-done', action: 6, result: { outcome: 'stopped' } })
  assert.deepEqual([stop?.request.method, speedOf(stop)], ['stop', 1])
  script.done(7)
  script.killed(8)
  const start = begun(script, { kind: 'method-done', action: 9, result: { outcome: 'stopped' } })
  assert.deepEqual([start?.request.method, speedOf(start)], ['start', 2])
  script.done(10)
  shows(script.done(11), 'record \n watch web, learn \n says ONLINE app=ONLINE web=ONLINE')
})

test('what has no reload is restarted, and nothing else', () => {
  const script = new Script()
  const other = { ...kept(), parameters: { run: 'y' } }
  script.run({ a: kept(), b: kept() })
  script.spawned(1, 10)
  script.spawned(2, 20)
  script.done(1)
  script.done(2)
  shows(script.run({ a: other, b: kept() }, { sequence: 2 }), 'record \n unwatch a \n 3 stop a \n says STARTING a=STOPPING b=ONLINE')
  script.done(3)
  script.killed(4)
  shows(script.done(5, 'stopped'), 'record \n 6 start a \n says STARTING a=STARTING b=ONLINE')
})

test('how it is watched changes at once', () => {
  const script = online()
  shows(script.run({ app: ocf(1, { probe: { interval: 60_000, timeout: 9 } }) }, { sequence: 2 }), 'record \n says ONLINE app=ONLINE')
  const before = script.now
  script.wake(70_000)
  assert.ok(script.now - before > 50_000, 'the next probe comes as is now said')
})

test('while it is changed, it is stopped as what it runs, by whichever monitor', () => {
  const script = online()
  script.run({ app: ocf(2) }, { sequence: 2 })
  const next = new Script('cgroup2', script)
  shows(next.lines, 'record \n watch app, learn \n 1 probe app \n says STARTING app=ONLINE')
  const stopping = begun(next, { kind: 'ordered', order: { kind: 'stop', group: g, token: 1 as never, sequence: 9 } })
  assert.equal(stopping, undefined, 'the probe is ended first')
  const stop = begun(next, { kind: 'method-done', action: 1, result: { outcome: 'cancelled' } })
  assert.deepEqual([stop?.request.method, speedOf(stop)], ['stop', 1])
})

test('the next monitor reloads what the last one had not', () => {
  const script = online()
  script.run({ app: ocf(2) }, { sequence: 2 })
  const next = new Script('cgroup2', script)
  shows(next.done(1, 'running'), 'watch app, learn \n 2 reload app')
  shows(next.done(2), 'record \n watch app, learn \n says ONLINE app=ONLINE')
})

test('past the lease nothing is reloaded or restarted', () => {
  const script = new Script('cgroup2', undefined, 2_000)
  script.run({ app: ocf(1) })
  script.done(1)
  script.passes(1_500)
  shows(script.run({ app: ocf(2) }, { sequence: 2, deadline: bootInstant(2_000) }), 'record \n says STARTING app=ONLINE')
  const lines = script.order({ kind: 'deadline', deadline: bootInstant(90_000) })
  assert.ok(
    lines.some((line) => / reload app$/.test(line)),
    lines.join('\n'),
  )
})

test('what has failed takes on its new definition with its next start', () => {
  const script = online()
  script.learnt('app', 10)
  script.ended('app', 10)
  script.done(2, 'stopped')
  script.run({ app: ocf(2) }, { sequence: 2 })
  const stop = begun(script, {
    kind: 'ordered',
    order: {
      kind: 'run',
      group: g,
      token: 1,
      sequence: 3,
      resources: definitions({ app: ocf(2) }),
      node: 'n1',
      boot: 'boot-1',
      deadline: script.deadline,
      checkpoints: {},
      restart: { resource: 'app', number: 1 },
    } as never,
  })
  assert.deepEqual([stop?.request.method, speedOf(stop)], ['stop', 1])
})

test('a failure that nothing on this node mends is no matter of counting', () => {
  const script = new Script()
  script.run({ app: { ...agent(), probe: { interval: 1_000, timeout: 500, failAfter: { failures: 3, of: 3 } } } })
  script.done(1)
  script.wake()
  shows(
    script.done(2, { outcome: 'failed', detail: 'not installed', severity: 'hard' }),
    'record \n unwatch app \n says FAILED app=FAILED — app probe-failed (0): not installed',
  )
})

test('a start of which no program was begun leaves nothing to stop', () => {
  const script = new Script()
  script.run({ app: agent() })
  shows(
    script.done(1, { outcome: 'failed', detail: 'not there', severity: 'hard', nothingBegun: true }),
    'record \n says FAILED app=FAILED — app start-failed (0): not there',
  )
  shows(script.stop(), 'seal 1 \n delete record \n says STOPPED app=STOPPED \n says sealed 1')
})

test('what is degraded is ONLINE and says why, until it is well', () => {
  const script = online()
  script.wake()
  script.done(2, { outcome: 'running', degraded: true, note: 'one disk of two' })
  const record = script.records.get(g)
  assert.equal(record?.progress['app' as never]?.degraded, 'one disk of two')
  script.wake()
  script.done(3, 'running')
  assert.equal(script.records.get(g)?.progress['app' as never]?.degraded, undefined)
})

test('what is wanted while a reload is under way is judged when it has ended, against what the reload brought', () => {
  const script = online()
  script.run({ app: ocf(2) }, { sequence: 2 })
  // A third definition comes before the reload of the second has ended.
  script.run({ app: ocf(3) }, { sequence: 3 })
  const again = begun(script, { kind: 'method-done', action: 2, result: { outcome: 'done' } })
  assert.deepEqual([again?.request.method, speedOf(again), again?.request.former?.parameters.speed], ['reload', 3, 2])
})

test('a change that is taken back while its reload is under way is reloaded back', () => {
  const script = online()
  script.run({ app: ocf(2) }, { sequence: 2 })
  script.run({ app: ocf(1) }, { sequence: 3 })
  const again = begun(script, { kind: 'method-done', action: 2, result: { outcome: 'done' } })
  assert.deepEqual([again?.request.method, speedOf(again), again?.request.former?.parameters.speed], ['reload', 1, 2])
})

test('a resource that is added is started in its order, and the others go on', () => {
  const script = online()
  shows(script.run({ app: ocf(1), web: agent('app') }, { sequence: 2 }), 'record \n 2 start web \n says STARTING app=ONLINE web=STARTING')
  shows(script.done(2), 'record \n watch web, learn \n says ONLINE app=ONLINE web=ONLINE')
})

test('one that others are to need is started first, and they go on meanwhile', () => {
  const script = online()
  const more = { base: agent(), app: ocf(1, { dependsOn: ['base'] }) }
  shows(script.run(more, { sequence: 2 }), 'record \n 2 start base \n says STARTING base=STARTING app=ONLINE')
  shows(script.done(2, 'failed'), 'record \n says FAILED base=FAILED app=ONLINE — base start-failed (0): because')
})

test('a resource that is taken out is stopped by its last definition, verified, and forgotten; the others go on', () => {
  const script = online({ web: ocf(7, { dependsOn: ['app'] }) })
  const stop = begun(script, {
    kind: 'ordered',
    order: {
      kind: 'run',
      group: g,
      token: 1,
      sequence: 2,
      resources: definitions({ app: ocf(1) }),
      node: 'n1',
      boot: 'boot-1',
      deadline: script.deadline,
      checkpoints: {},
    } as never,
  })
  assert.deepEqual([stop?.request.method, stop?.request.resource, speedOf(stop)], ['stop', 'web', 7])
  const record = script.records.get(g)
  assert.deepEqual([record?.gone, Object.keys(record?.resources ?? {})], [['web'], ['app', 'web']])
  script.done(3)
  script.killed(4)
  shows(script.done(5, 'stopped'), 'record \n says ONLINE app=ONLINE')
  assert.deepEqual([script.records.get(g)?.gone, Object.keys(script.records.get(g)?.resources ?? {})], [undefined, ['app']])
  assert.deepEqual(script.wake(), ['6 probe app'])
})

test('the next monitor, and an order to stop, go on with what is on its way out', () => {
  for (const isStopped of [false, true]) {
    const script = online({ web: agent('app') })
    script.run({ app: ocf(1) }, { sequence: 2 })
    const next = new Script('cgroup2', script)
    // Its stop was broken off: it is begun again.
    const again = next.run({ app: ocf(1) }, { sequence: 2 })
    assert.ok(!again.some((line) => /start/.test(line)), again.join())
    if (isStopped) next.stop()
    const said = [...Array(6).keys()].flatMap((at) => next.done(at + 1, at < 2 ? 'running' : undefined))
    assert.ok(next.records.get(g)?.progress['web' as never]?.state !== 'ONLINE', said.join('; '))
  }
})

test('one that is wanted again before it has ended is started anew once it has', () => {
  const script = online({ web: agent('app') })
  shows(script.run({ app: ocf(1) }, { sequence: 2 }), 'record \n unwatch web \n 3 stop web \n says STARTING app=ONLINE web=STOPPING')
  shows(
    script.run({ app: ocf(1), web: ocf(9, { dependsOn: ['app'] }) }, { sequence: 3 }),
    'record \n says STARTING app=ONLINE web=STOPPING',
  )
  script.done(3)
  script.killed(4)
  const start = begun(script, { kind: 'method-done', action: 5, result: { outcome: 'stopped' } })
  assert.deepEqual([start?.request.method, start?.request.resource, speedOf(start)], ['start', 'web', 9])
})

test('one that cannot be stopped makes the group UNKNOWN, and nothing of it is forgotten', () => {
  const script = online({ web: agent('app') })
  script.run({ app: ocf(1) }, { sequence: 2 })
  script.done(3, 'failed')
  script.killed(4, false)
  const record = script.records.get(g)
  assert.deepEqual([record?.gone, record?.progress['web' as never]?.state], [['web'], 'UNKNOWN'])
  const lines = script.stop()
  assert.ok(
    lines.some((line) => line.endsWith('stop web')),
    lines.join(),
  )
  assert.ok(!lines.some((line) => line.startsWith('seal')), lines.join())
})

test('a failed one that is taken out is no failure of the group any more', () => {
  const script = new Script()
  script.run({ app: ocf(1), web: agent('app') })
  script.done(1)
  shows(script.done(2, 'failed'), 'record \n says FAILED app=ONLINE web=FAILED — web start-failed (0): because')
  shows(script.run({ app: ocf(1) }, { sequence: 2 }), 'record \n 3 stop web \n says STARTING app=ONLINE web=STOPPING')
  script.done(3)
  script.killed(4)
  shows(script.done(5, 'stopped'), 'record \n says ONLINE app=ONLINE')
})

/** Ends whatever is under way, well, until nothing is. */
function settle(script: Script, lines: readonly string[]): string[] {
  const said: string[] = []
  const left = [...lines]
  for (let line = left.shift(); line !== undefined; line = left.shift()) {
    said.push(line)
    const [, action, what, name] = /^(\d+) (?:deep )?(\w+) (\w+)/.exec(line) ?? []
    if (action === undefined) continue
    if (what === 'kill') left.push(...script.killed(Number(action)))
    else if (what === 'probe')
      left.push(...script.done(Number(action), script.records.get(g)?.progress[name as never]?.state === 'ONLINE' ? 'running' : 'stopped'))
    else left.push(...script.done(Number(action)))
  }
  return said
}

test('one that is wanted again comes up under the next monitor too, which is told nothing of it', () => {
  const script = online({ web: agent('app') })
  script.run({ app: ocf(1) }, { sequence: 2 })
  script.run({ app: ocf(1), web: ocf(9, { dependsOn: ['app'] }) }, { sequence: 3 })
  const next = new Script('cgroup2', script)
  settle(next, next.lines)
  const web = next.records.get(g)?.progress['web' as never]
  assert.deepEqual([web?.state, next.records.get(g)?.resources['web' as never]?.parameters.speed], ['ONLINE', 9])
})

test('one that is given another name does not run twice: what comes waits for what goes', () => {
  const script = new Script()
  script.run({ db: ocf(1) })
  script.done(1)
  shows(
    script.run({ database: ocf(1) }, { sequence: 2 }),
    'record \n unwatch db \n 2 stop db \n says STARTING database=STOPPED db=STOPPING',
  )
  script.done(2)
  script.killed(3)
  shows(script.done(4, 'stopped'), 'record \n 5 start database \n says STARTING database=STARTING')
})

test('what goes stays until those that run on it have let go of it', () => {
  const script = new Script()
  const app = (place: string, needed: string) => ({ ...kept(needed), parameters: { run: `x ${place}` } })
  script.run({ fs: ocf(1), app: app('/old', 'fs') })
  script.done(1)
  script.spawned(2, 10)
  script.done(2)
  const lines = script.run({ fs2: ocf(2), app: app('/new', 'fs2') }, { sequence: 2 })
  const order = settle(script, lines).flatMap((line) => /^\d+ ((?:stop|start) \w+)/.exec(line)?.[1] ?? [])
  assert.deepEqual(order, ['stop app', 'stop fs', 'start fs2', 'start app'])
})

test('old and new dependencies that form a ring hold up nothing', () => {
  for (const ending of ['stop', 'restart'] as const) {
    const script = new Script()
    settle(script, script.run({ a: agent(), c: agent('a'), h: agent('c') }))
    const first = script.run({ a: agent() }, { sequence: 2 })
    const restart = ending === 'restart' ? { restart: { resource: 'a' as never, number: 1 } } : {}
    const second = script.run({ a: agent('c'), c: agent() }, { sequence: 3, ...restart })
    settle(script, [...first, ...second, ...(ending === 'stop' ? script.stop() : [])])
    const states = Object.values(script.records.get(g)?.progress ?? {}).map(({ state }) => state)
    assert.deepEqual(states, ending === 'stop' ? [] : ['ONLINE', 'ONLINE'], ending)
  }
})
