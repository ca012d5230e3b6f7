/** What the monitor does with a group that comes from another node while it runs, and with one that goes there. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NodeId } from '../../../src/base/index.js'
import { agent, Script, shows } from './script.js'

const [n1, n2] = ['n1', 'n2'] as NodeId[] as [NodeId, NodeId]
const incoming = { incoming: { from: n2 } }
const migrate = { migrate: { to: n2, number: 7 } }

function online(): Script {
  const script = new Script()
  script.run({ app: agent() })
  shows(script.done(1), 'record \n watch app, learn \n says ONLINE app=ONLINE')
  return script
}

/** What it reports of the migration, from its record. */
const migratedOf = (script: Script) => script.records.get('g' as never)?.migrated

test('what is on its way is not started, and stopped and verified like anything that runs', () => {
  const script = new Script()
  shows(script.run({ app: agent() }, incoming), 'record \n says STARTING app=STARTING')
  shows(script.passes(60_000), '')
  shows(script.stop(), 'record \n 1 stop app \n says STOPPING app=STOPPING')
  shows(script.done(1), '2 kill app')
  shows(script.killed(2), '3 probe app')
  shows(script.done(3, 'stopped'), 'seal 1 \n delete record \n says STOPPED app=STOPPED \n says sealed 1')
})

test('the next monitor knows that it is on its way, and starts nothing either', () => {
  const script = new Script()
  script.run({ app: agent() }, incoming)
  const next = new Script('sweep', script)
  assert.ok(!next.lines.some((line) => /start|settle|probe/.test(line)), next.lines.join('\n'))
  const lines = next.run({ app: agent() }, { sequence: 2, arrived: { from: n2, isSure: true } })
  assert.ok(
    lines.some((line) => / start app$/.test(line)),
    lines.join('\n'),
  )
})

test('what has come is taken over; what perhaps has is looked for first', () => {
  for (const isSure of [true, false]) {
    const script = new Script()
    script.run({ app: agent() }, incoming)
    const effects = script.core.step(
      {
        kind: 'ordered',
        order: {
          kind: 'run',
          group: 'g' as never,
          token: 1 as never,
          sequence: 2,
          resources: script.records.get('g' as never)?.resources ?? {},
          node: n1,
          boot: 'boot-1' as never,
          deadline: script.deadline,
          checkpoints: {},
          arrived: { from: n2, isSure },
        },
      },
      script.now,
    )
    const begun = effects.find((effect) => effect.kind === 'begin')
    assert.deepEqual([begun?.request.method, begun?.request.peer], isSure ? ['start', n2] : ['probe', undefined])
  }
})

test('what is sent is neither probed nor restarted, and waits to be stopped', () => {
  const script = online()
  shows(script.run({ app: agent() }, { sequence: 2, ...migrate }), 'record \n 2 migrate app \n says ONLINE app=ONLINE')
  shows(script.passes(60_000), '')
  shows(script.step({ kind: 'emptied', group: 'g' as never, resource: 'app' as never }), '')
  const done = script.done(2)
  assert.ok(done.includes('says ONLINE app=ONLINE'), done.join('\n'))
  assert.deepEqual(migratedOf(script), { number: 7, outcome: 'sent' })
  shows(script.passes(60_000), '')
  const stopping = script.stop()
  assert.ok(
    stopping.some((line) => / stop app$/.test(line)),
    stopping.join('\n'),
  )
})

test('what could not be sent is looked at before anything else is said of it', () => {
  const script = online()
  script.run({ app: agent() }, { sequence: 2, ...migrate })
  const failed = script.done(2, 'failed')
  assert.deepEqual(migratedOf(script), { number: 7, outcome: 'stays', detail: 'because' })
  assert.ok(
    failed.some((line) => /^3 probe app$/.test(line)),
    failed.join('\n'),
  )
  const gone = script.done(3, 'stopped')
  assert.ok(
    gone.some((line) => line.startsWith('says FAILED app=FAILED')),
    gone.join('\n'),
  )
})

test('told twice it is sent once; told with another number once more', () => {
  const script = online()
  script.run({ app: agent() }, { sequence: 2, ...migrate })
  script.done(2, 'failed')
  script.done(3, 'running')
  assert.ok(!script.run({ app: agent() }, { sequence: 3, ...migrate }).some((line) => line.includes('migrate')))
  const again = script.run({ app: agent() }, { sequence: 4, migrate: { to: n2, number: 9 } })
  assert.ok(
    again.some((line) => / migrate app$/.test(line)),
    again.join('\n'),
  )
})

test('a stop waits for the end of what sends it', () => {
  const script = online()
  script.run({ app: agent() }, { sequence: 2, ...migrate })
  const stopping = script.stop()
  assert.ok(!stopping.some((line) => /cancel|stop app/.test(line)), stopping.join('\n'))
  const done = script.done(2)
  assert.ok(
    done.some((line) => / stop app$/.test(line)),
    done.join('\n'),
  )
})

test('where nobody can say how it ended, it is not looked at, and waits to be stopped', () => {
  const script = online()
  script.run({ app: agent() }, { sequence: 2, ...migrate })
  const late = script.done(2, 'timed-out')
  assert.ok(!late.some((line) => line.includes('probe')), late.join('\n'))
  assert.equal(migratedOf(script)?.outcome, 'unsure')
  shows(script.passes(60_000), '')
  const other = online()
  other.run({ app: agent() }, { sequence: 2, ...migrate })
  const next = new Script('cgroup2', other)
  assert.ok(!next.lines.some((line) => line.includes('probe')), next.lines.join('\n'))
  assert.equal(migratedOf(next)?.outcome, 'unsure')
  const stopping = next.stop()
  assert.ok(
    stopping.some((line) => / stop app$/.test(line)),
    stopping.join('\n'),
  )
})

test('past the lease nothing is sent', () => {
  const script = new Script('cgroup2', undefined, 2_000)
  script.run({ app: agent() })
  script.done(1)
  script.passes(1_500)
  assert.ok(!script.run({ app: agent() }, { sequence: 2, deadline: 2_000 as never, ...migrate }).some((line) => line.includes('migrate')))
})

test('what has come and may not be taken over yet is stopped and verified all the same', () => {
  const script = new Script()
  script.run({ app: agent() }, incoming)
  script.run({ app: agent() }, { sequence: 2, arrived: { from: n2, isSure: true } })
  script.done(1, { outcome: 'refused', because: 'deadline', detail: 'the lease has run out' })
  script.stop() // It has tried once more meanwhile: that is ended first.
  const stopping = script.done(2, 'cancelled')
  assert.ok(
    stopping.some((line) => / stop app$/.test(line)),
    stopping.join('\n'),
  )
})

test('the next monitor looks for what had come before it starts anything', () => {
  const script = new Script()
  script.run({ app: agent(), web: agent('app') }, incoming)
  script.run({ app: agent(), web: agent('app') }, { sequence: 2, arrived: { from: n2, isSure: true } })
  const next = new Script('cgroup2', script)
  assert.ok(
    next.lines.some((line) => / probe web$/.test(line)),
    next.lines.join('\n'),
  )
  assert.ok(!next.lines.some((line) => / start web$/.test(line)), next.lines.join('\n'))
})
