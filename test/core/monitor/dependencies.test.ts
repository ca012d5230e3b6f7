/** What each kind of dependency does to starts, stops and restarts in place, and what a failure does not hold up. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DependencyKind, ResourceDefinition } from '../../../src/core/cluster/index.js'
import { agent, named, Script, shows } from './script.js'

const on = (resource: string, kind: DependencyKind) => ({ ...agent(), dependsOn: [{ resource: named(resource), kind }] })
const failing = (more: Partial<ResourceDefinition> = {}) => ({ ...agent(), ...more })

/** `db` and `app`, which depends on it, are ONLINE; actions 1 and 2 are used up. */
function online(kind: DependencyKind): Script {
  const script = new Script()
  script.run({ db: agent(), app: on('db', kind) })
  script.done(1)
  script.done(2)
  return script
}

/** Answers `stop`, `kill` and the probe that follows. */
function stopped(script: Script, action: number): string[] {
  script.done(action)
  script.killed(action + 1)
  return script.done(action + 2, 'stopped')
}

const restart = (script: Script, resource: string, more: object = {}) =>
  script.order({ ...lastRun(script), sequence: 2, restart: { resource: named(resource), number: 1, ...more } } as never)

const lastRun = (script: Script) => {
  const record = [...script.records.values()][0]
  assert.ok(record)
  const { group, token, node, boot, resources } = record
  return { kind: 'run', group, token, node, boot, resources, deadline: script.deadline, checkpoints: {} }
}

test('whatever the kind, all start in order and stop in reverse', () => {
  for (const kind of ['strong', 'weak', 'restart', 'offlineRestart'] as const) {
    const script = new Script()
    shows(script.run({ db: agent(), app: on('db', kind) }), 'record \n 1 start db \n says STARTING db=STARTING app=STOPPED')
    shows(script.done(1), 'record \n watch db, learn \n 2 start app \n says STARTING db=ONLINE app=STARTING')
    script.done(2)
    shows(script.stop(), 'record \n unwatch app \n 3 stop app \n says STOPPING db=ONLINE app=STOPPING')
  }
})

test('offlineRestart: the dependent goes down first and comes up last', () => {
  const script = online('offlineRestart')
  shows(restart(script, 'db'), 'record \n unwatch app \n 3 stop app \n says STARTING db=ONLINE app=STOPPING')
  shows(stopped(script, 3), 'record \n unwatch db \n 6 stop db \n says STARTING db=STOPPING app=STOPPED')
  shows(stopped(script, 6), 'record \n 9 start db \n says STARTING db=STARTING app=STOPPED')
  shows(script.done(9), 'record \n watch db, learn \n 10 start app \n says STARTING db=ONLINE app=STARTING')
})

test('strong: the dependent stays up', () => {
  const script = online('strong')
  shows(restart(script, 'db'), 'record \n unwatch db \n 3 stop db \n says STARTING db=STOPPING app=ONLINE')
  shows(stopped(script, 3), 'record \n 6 start db \n says STARTING db=STARTING app=ONLINE')
  shows(script.done(6), 'record \n watch db, learn \n says ONLINE db=ONLINE app=ONLINE')
})

test('restart: the dependent is restarted once the other is up again, also by the next monitor', () => {
  const script = online('restart')
  shows(restart(script, 'db'), 'record \n unwatch db \n 3 stop db \n says STARTING db=STOPPING app=ONLINE')
  shows(stopped(script, 3), 'record \n 6 start db \n says STARTING db=STARTING app=ONLINE')
  const next = new Script('cgroup2', script)
  shows(next.lines, 'record \n 1 settle db \n watch app, learn \n 2 probe app \n says STARTING db=STARTING app=ONLINE')
  next.done(2, 'running')
  next.done(1)
  shows(next.done(3, 'running'), 'record \n watch db, learn \n unwatch app \n 4 stop app \n says STARTING db=ONLINE app=STOPPING')
  shows(stopped(next, 4), 'record \n 7 start app \n says STARTING db=ONLINE app=STARTING')
  shows(next.done(7), 'record \n watch app, learn \n says ONLINE db=ONLINE app=ONLINE')
})

test('asked to, whatever depends on it is restarted with it', () => {
  for (const kind of ['strong', 'weak', 'restart'] as const) {
    const script = online(kind)
    shows(restart(script, 'db', { dependents: true }), 'record \n unwatch app \n 3 stop app \n says STARTING db=ONLINE app=STOPPING')
    shows(stopped(script, 3), 'record \n unwatch db \n 6 stop db \n says STARTING db=STOPPING app=STOPPED')
    stopped(script, 6)
    script.done(9)
    shows(script.done(10), 'record \n watch app, learn \n says ONLINE db=ONLINE app=ONLINE')
  }
})

test('a failed one in the middle: what depends on it stops in reverse and starts in order, the rest stays', () => {
  const script = new Script()
  const chain = { a: agent(), b: agent('a'), c: agent('b'), d: agent('c') }
  script.run(chain)
  for (const action of [1, 2, 3, 4]) script.done(action)
  script.learnt('b', 20)
  script.ended('b', 20)
  script.done(5, 'stopped')
  shows(restart(script, 'b'), 'record \n unwatch d \n 6 stop d \n says STARTING a=ONLINE b=FAILED c=ONLINE d=STOPPING')
  shows(stopped(script, 6), 'record \n unwatch c \n 9 stop c \n says STARTING a=ONLINE b=FAILED c=STOPPING d=STOPPED')
  shows(stopped(script, 9), 'record \n 12 stop b \n says STARTING a=ONLINE b=STOPPING c=STOPPED d=STOPPED')
  shows(stopped(script, 12), 'record \n 15 start b \n says STARTING a=ONLINE b=STARTING c=STOPPED d=STOPPED')
  shows(script.done(15), 'record \n watch b, learn \n 16 start c \n says STARTING a=ONLINE b=ONLINE c=STARTING d=STOPPED')
  shows(script.done(16), 'record \n watch c, learn \n 17 start d \n says STARTING a=ONLINE b=ONLINE c=ONLINE d=STARTING')
  shows(script.done(17), 'record \n watch d, learn \n says ONLINE a=ONLINE b=ONLINE c=ONLINE d=ONLINE')
})

test('weak: it waits for the other to have been tried, and starts although that one could not', () => {
  const script = new Script()
  shows(
    script.run({ cache: failing({ critical: false }), app: on('cache', 'weak') }),
    'record \n 1 start cache \n says STARTING cache=STARTING app=STOPPED',
  )
  shows(script.done(1, 'failed'), 'record \n 2 start app \n says FAILED cache=FAILED app=STARTING — cache start-failed (0): because')
  shows(script.done(2), 'record \n watch app, learn \n says FAILED cache=FAILED app=ONLINE — cache start-failed (0): because')
})

test('weak: nor does it wait for what cannot start for another reason', () => {
  const script = new Script()
  script.run({ disk: failing({ critical: false }), cache: agent('disk'), app: on('cache', 'weak') })
  shows(
    script.done(1, 'failed'),
    'record \n 2 start app \n says FAILED disk=FAILED cache=STOPPED app=STARTING — disk start-failed (0): because',
  )
})

test('strong: it does not start without the other', () => {
  const script = new Script()
  script.run({ cache: failing({ critical: false }), app: on('cache', 'strong') })
  shows(script.done(1, 'failed'), 'record \n says FAILED cache=FAILED app=STOPPED — cache start-failed (0): because')
})

test('what is not critical holds up nothing that does not need it, what is critical does', () => {
  const lenient = new Script()
  shows(
    lenient.run({ a: failing({ critical: false }), b: agent(), c: agent('b') }),
    'record \n 1 start a \n 2 start b \n says STARTING a=STARTING b=STARTING c=STOPPED',
  )
  lenient.done(1, 'failed')
  shows(lenient.done(2), 'record \n watch b, learn \n 3 start c \n says FAILED a=FAILED b=ONLINE c=STARTING — a start-failed (0): because')
  const strict = new Script()
  strict.run({ a: failing(), b: agent(), c: agent('b') })
  strict.done(1, 'failed')
  shows(strict.done(2), 'record \n watch b, learn \n says FAILED a=FAILED b=ONLINE c=STOPPED — a start-failed (0): because')
})

test('of several failures all are told, those of what is critical first, each by its own number', () => {
  const script = new Script()
  const group = { a: failing({ critical: false }), b: failing({ critical: false }), c: agent() }
  script.run(group)
  script.done(1, 'failed')
  script.done(2, 'failed')
  script.done(3)
  script.learnt('c', 30)
  script.ended('c', 30)
  script.done(4, 'stopped')
  const told = () => {
    const report = script.core.step({ kind: 'connected' }, script.now).find((effect) => effect.kind === 'report')
    assert.ok(report?.kind === 'report' && report.report.kind === 'hello')
    const [first] = report.report.groups
    return [first?.failure, ...(first?.others ?? [])].map(
      (failure) => `${failure?.resource} ${failure?.number} (${failure?.restartNumber})`,
    )
  }
  assert.deepEqual(told(), ['c 3 (0)', 'a 1 (0)', 'b 2 (0)'])
  restart(script, 'c')
  assert.deepEqual(told(), ['a 1 (1)', 'b 2 (1)'])
  const next = new Script('cgroup2', script)
  const again = next.core.step({ kind: 'connected' }, next.now).find((effect) => effect.kind === 'report')
  assert.ok(again?.kind === 'report' && again.report.kind === 'hello')
  assert.deepEqual(
    [again.report.groups[0]?.failure?.number, again.report.groups[0]?.others?.[0]?.number],
    [1, 2],
    'known to the next monitor',
  )
})
