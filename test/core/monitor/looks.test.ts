/** Probes that somebody waits for: a person, or the cluster after a freeze; and copies that nobody granted. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bootInstant } from '../../../src/base/index.js'
import { agent, definitions, g, kept, named, Script, shows } from './script.js'

const app = (more: object = {}) => ({ app: { ...agent(), ...more } })

/** `app` is ONLINE; action 1 is used up. */
function online(more: object = {}): Script {
  const script = new Script()
  script.run(app(more))
  script.done(1)
  return script
}

const look = (lookId = 'l', deep = false, resource = 'app') =>
  ({ kind: 'look', lookId, group: g, resource: named(resource), deep }) as const

test('a look is a probe at once, answered with what it found', () => {
  const script = online()
  shows(script.order(look()), '2 probe app')
  shows(script.done(2, 'running'), 'watch app, learn \n looked l running, ONLINE')
})

test('what it finds is judged as ever', () => {
  const script = online()
  script.order(look())
  shows(
    script.done(2, 'stopped'),
    'record \n unwatch app \n looked l stopped, FAILED \n says FAILED app=FAILED — app died (0): its probe says that it is stopped',
  )
})

test('the second depth is asked where there is one', () => {
  const script = online({ probeDeep: { interval: 60_000, timeout: 900 } })
  shows(script.order(look('l', true)), '2 deep probe app')
  shows(script.done(2, 'running'), 'looked l running, ONLINE')
  shows(online().order(look('l', true)), 'looked l not-asked, ONLINE')
})

test('a look waits for what is being done, and all who asked meanwhile get one answer', () => {
  const script = new Script()
  script.run(app())
  shows(script.order(look('a')), '')
  shows(script.order(look('b')), '')
  shows(script.done(1), 'record \n watch app, learn \n 2 probe app \n says ONLINE app=ONLINE')
  shows(script.done(2, 'running'), 'watch app, learn \n looked a running, ONLINE \n looked b running, ONLINE')
})

test('of what does not run, or is being stopped, nothing is looked at', () => {
  const script = online()
  shows(new Script().order(look()), 'looked l not-asked, STOPPED')
  shows(script.order(look('x', false, 'other')), 'looked x not-asked, STOPPED')
  script.order(look())
  shows(script.stop(), 'record \n cancel 2 \n looked l not-asked, ONLINE \n says STOPPING app=ONLINE')
})

test('ordered by the cluster, all that is up or has failed is probed anew, and said to be over then', () => {
  const script = new Script()
  const two = { a: agent(), b: agent() }
  script.run(two)
  script.done(1)
  script.done(2)
  shows(script.run(two, { sequence: 2, look: 1 }), 'record \n 3 probe a \n 4 probe b \n says ONLINE a=ONLINE b=ONLINE')
  script.done(3, 'running')
  shows(script.done(4, 'running'), 'record \n watch b, learn \n says ONLINE a=ONLINE b=ONLINE, looked 1')
  shows(script.run(two, { sequence: 3, look: 1 }), 'record \n says ONLINE a=ONLINE b=ONLINE, looked 1')
})

test('what failed and was mended by hand is up again, without a restart', () => {
  const script = online()
  script.learnt('app', 10)
  script.ended('app', 10)
  shows(script.done(2, 'stopped'), 'record \n unwatch app \n says FAILED app=FAILED — app died (0): its probe says that it is stopped')
  shows(
    script.run(app(), { sequence: 2, look: 1 }),
    'record \n 3 probe app \n says FAILED app=FAILED — app died (0): its probe says that it is stopped',
  )
  shows(script.done(3, 'running'), 'record \n watch app, learn \n says ONLINE app=ONLINE, looked 1')
})

test('what failed and is still down stays failed, with the same failure', () => {
  const script = online()
  script.learnt('app', 10)
  script.ended('app', 10)
  script.done(2, 'stopped')
  script.run(app(), { sequence: 2, look: 1 })
  shows(script.done(3, 'stopped'), 'record \n says FAILED app=FAILED — app died (0): its probe says that it is stopped, looked 1')
})

test('the next monitor finishes a look that the last one had begun', () => {
  const script = online()
  script.run(app(), { sequence: 2, look: 1 })
  const next = new Script('cgroup2', script)
  shows(next.lines, 'record \n watch app, learn \n 1 probe app \n says ONLINE app=ONLINE')
  const lines = next.done(1, 'running')
  assert.ok(
    lines.some((line) => line.endsWith('looked 1')),
    lines.join('\n'),
  )
})

test('past the lease nothing is looked at until it is renewed', () => {
  const script = new Script('cgroup2', undefined, 2_000)
  script.run(app())
  script.done(1)
  script.passes(1_500)
  shows(script.order(look()), '')
  shows(script.order({ kind: 'deadline', deadline: bootInstant(90_000) }), '2 probe app')
})

test('while nothing is to be probed nothing is, but death is noticed; afterwards it is probed again', () => {
  const script = new Script()
  script.run({ app: kept() })
  script.spawned(1, 10)
  script.done(1)
  script.run({ app: kept() }, { sequence: 2, quiet: true })
  assert.equal(script.core.nextWake(), undefined)
  shows(script.passes(60_000), '')
  const next = new Script('cgroup2', script)
  assert.ok(!next.lines.some((line) => line.includes('probe')), next.lines.join('\n'))
  shows(script.run({ app: kept() }, { sequence: 3 }), 'record \n 2 probe app \n says ONLINE app=ONLINE')
  script.done(2, 'running')
  script.run({ app: kept() }, { sequence: 4, quiet: true })
  shows(script.ended('app', 10), 'record \n unwatch app \n says FAILED app=FAILED — app died (0): it was killed by SIGKILL')
})

test('a copy that nobody granted is ended by its own stops, the last started first; a probe waits for that', () => {
  const script = new Script()
  const resources = definitions({ db: agent(), app: agent('db'), own: kept('app'), check: { type: 'tcp', parameters: { port: 1 } } })
  shows(script.order({ kind: 'end-stray', group: g, resources }), 'log stops a copy of g that nobody granted here \n 1 kill own')
  shows(script.order({ kind: 'end-stray', group: g, resources }), '')
  shows(script.order({ kind: 'probe', group: g, probeId: 'p', resources: definitions({ db: agent() }) }), '')
  shows(script.killed(1), '2 stop app')
  shows(script.done(2, 'failed'), '3 stop db')
  shows(script.done(3), '4 probe db')
  shows(script.done(4, 'stopped'), 'probed p clean')
})

test('what runs here by a grant is no such copy, and a grant breaks the end of one off', () => {
  const script = online()
  shows(script.order({ kind: 'end-stray', group: g, resources: definitions(app()) }), '')
  const other = new Script()
  other.order({ kind: 'end-stray', group: g, resources: definitions(app()) })
  shows(other.run(app()), 'record \n cancel 1 \n 2 start app \n says STARTING app=STARTING')
  shows(other.done(1, 'cancelled'), '')
})
