import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bootInstant } from '../../../src/base/index.js'
import { agent, boot, g, kept, named, node, Script, shows, token } from './script.js'

const pair = { web: kept('ip'), ip: agent() }

/** `ip` and `web` are ONLINE; actions 1 and 2 are used up. */
function online(containment: 'cgroup2' | 'sweep' = 'cgroup2'): Script {
  const script = new Script(containment)
  script.run(pair)
  script.done(1)
  script.learnt('ip', 10)
  script.spawned(2, 20)
  script.done(2)
  return script
}

test('a group starts in the order of its dependencies, its record written before', () => {
  const script = new Script()
  shows(script.run(pair), 'record \n 1 start ip \n says STARTING ip=STARTING web=STOPPED')
  shows(script.done(1), 'record \n watch ip, learn \n 2 start web \n says STARTING ip=ONLINE web=STARTING')
  shows(script.spawned(2, 20), 'record')
  shows(script.done(2), 'record \n watch web 20 \n says ONLINE ip=ONLINE web=ONLINE')
})

test('it stops in reverse, kills and verifies each, seals, and only then says so', () => {
  const script = online()
  shows(script.stop(), 'record \n unwatch web \n 3 stop web \n says STOPPING ip=ONLINE web=STOPPING')
  shows(script.done(3), '4 kill web')
  shows(script.killed(4), '5 probe web')
  shows(script.done(5, 'stopped'), 'record \n unwatch ip \n 6 stop ip \n says STOPPING ip=STOPPING web=STOPPED')
  shows(script.done(6), '7 kill ip')
  shows(script.killed(7), '8 probe ip')
  shows(script.done(8, 'stopped'), 'seal 1 \n delete record \n says STOPPED ip=STOPPED web=STOPPED \n says sealed 1')
  shows(script.stop(), 'says STOPPED \n says sealed 1')
  shows(script.run(pair), 'says STOPPED \n says sealed 1')
})

test('a group that was never started is sealed at once, and can then not be started', () => {
  const script = new Script()
  shows(script.stop(1, 5), 'seal 5 \n says STOPPED \n says sealed 5')
  shows(script.run(pair, { token: token(4) }), 'says STOPPED \n says sealed 4')
  shows(script.run(pair, { token: token(6) }), 'record \n 1 start ip \n says STARTING ip=STARTING web=STOPPED')
})

test('a newer token waits until the older one is sealed', () => {
  const script = online()
  shows(script.run(pair, { token: token(2) }), 'says ONLINE ip=ONLINE web=ONLINE')
  shows(script.stop(9, 2), 'record \n unwatch web \n 3 stop web \n says STOPPING ip=ONLINE web=STOPPING')
  for (const [action, kill] of [
    [3, 4],
    [6, 7],
  ] as const) {
    script.done(action)
    script.killed(kill)
    script.done(kill + 1, 'stopped')
  }
  shows(script.stop(9, 2), 'says STOPPED \n says sealed 2')
})

test('an older sequence is ignored, a repeated one answered', () => {
  const script = online()
  shows(script.run(pair, { sequence: 0 }), '')
  shows(script.run(pair, { sequence: 1 }), 'says ONLINE ip=ONLINE web=ONLINE')
  shows(script.stop(0), '')
})

test('a grant to another boot is refused', () => {
  const script = new Script()
  shows(
    script.run(pair, { boot: 'boot-0' as typeof boot }),
    `log refused to run g: granted to ${node} boot boot-0, this is ${node} boot ${boot}`,
  )
})

test('nothing is started at or past the deadline, grain included, and all goes on when the lease is renewed', () => {
  const script = new Script('cgroup2', undefined, 1_010)
  shows(script.run(pair), 'record \n says STARTING ip=STOPPED web=STOPPED')
  const renewed = (deadline: number) => script.order({ kind: 'deadline', deadline: bootInstant(deadline) })
  shows(renewed(1_005), '')
  shows(renewed(1_011), 'record \n 1 start ip \n says STARTING ip=STARTING web=STOPPED')
  script.now = bootInstant(1_001)
  shows(script.done(1), 'record \n watch ip, learn \n says STARTING ip=ONLINE web=STOPPED')
  shows(renewed(2_000), 'record \n 2 start web \n says STARTING ip=ONLINE web=STARTING')
})

test('past the deadline nothing is probed, but a stop goes on', () => {
  const script = new Script('cgroup2', undefined, 2_000)
  script.run({ ip: agent() })
  script.done(1)
  shows(script.passes(5_000), '')
  shows(script.stop(), 'record \n unwatch ip \n 2 stop ip \n says STOPPING ip=STOPPING')
})

test('the death of a kept process is the failure, once, and the rest is left as it is', () => {
  const script = online()
  shows(script.ended('web', 20), 'record \n unwatch web \n says FAILED ip=ONLINE web=FAILED — web died (0): it was killed by SIGKILL')
  shows(script.ended('web', 20), '')
  shows(script.run(pair, { sequence: 2 }), 'record \n says FAILED ip=ONLINE web=FAILED — web died (0): it was killed by SIGKILL')
})

test('the death of a main process is judged by a probe at once', () => {
  const script = online()
  shows(script.ended('ip', 10), 'record \n 3 probe ip')
  shows(
    script.done(3, 'stopped'),
    'record \n unwatch ip \n says FAILED ip=FAILED web=ONLINE — ip died (0): its probe says that it is stopped',
  )
})

test('a main process that ends while the resource runs on is no failure', () => {
  const script = new Script()
  script.run({ ip: { ...agent(), probe: { interval: 60_000, timeout: 500 } } })
  script.done(1)
  script.learnt('ip', 10)
  shows(script.ended('ip', 10), 'record \n 2 probe ip')
  shows(script.done(2, 'running'), 'watch ip, learn')
  shows(script.learnt('ip', 11), 'record')
  // The dead one may not have been reaped when the agent looked: it is asked a few more times.
  const began = script.now
  const asked = [3, 4, 5, 6].map((action) => {
    shows(script.wake(), `${action} probe ip`)
    script.done(action, 'running')
    return script.now - began
  })
  assert.deepEqual(asked, [100, 500, 2_000, 5_000])
  script.wake(70_000)
  assert.ok(script.now - began > 50_000)
})

test('a restart number is carried out once: dependents down first, then up again', () => {
  const script = online()
  script.ended('web', 20)
  const restart = { resource: 'ip', number: 1 } as never
  shows(script.run(pair, { sequence: 2, restart }), 'record \n 3 stop web \n says STARTING ip=ONLINE web=STOPPING')
  shows(script.done(3), '4 kill web')
  shows(script.killed(4), '5 probe web')
  shows(script.done(5, 'stopped'), 'record \n unwatch ip \n 6 stop ip \n says STARTING ip=STOPPING web=STOPPED')
  script.done(6)
  script.killed(7)
  shows(script.done(8, 'stopped'), 'record \n 9 start ip \n says STARTING ip=STARTING web=STOPPED')
  shows(script.run(pair, { sequence: 3, restart }), 'record \n says STARTING ip=STARTING web=STOPPED')
  script.done(9)
  script.spawned(10, 21)
  script.done(10)
  shows(script.ended('web', 21), 'record \n unwatch web \n says FAILED ip=ONLINE web=FAILED — web died (1): it was killed by SIGKILL')
})

test('a second failure is told after the restart of the first', () => {
  const script = online()
  script.ended('web', 20)
  script.ended('ip', 10)
  script.done(3, 'stopped')
  const restart = { resource: 'web', number: 1 } as never
  shows(
    script.run(pair, { sequence: 2, restart }),
    'record \n 4 stop web \n says FAILED ip=FAILED web=STOPPING — ip died (1): its probe says that it is stopped',
  )
})

test('a failed start is told, and a start killed at its time is another event', () => {
  const failed = new Script()
  failed.run(pair)
  shows(failed.done(1, 'failed'), 'record \n says FAILED ip=FAILED web=STOPPED — ip start-failed (0): because')
  const late = new Script()
  late.run(pair)
  shows(late.done(1, 'timed-out'), 'record \n says FAILED ip=FAILED web=STOPPED — ip start-timeout (0): because')
})

test('where nothing holds its processes, a start that was killed leaves the group UNKNOWN for good', () => {
  const script = new Script('sweep')
  script.run(pair)
  shows(script.done(1, 'timed-out'), 'record \n says UNKNOWN ip=UNKNOWN web=STOPPED — ip start-timeout (0): because')
  shows(
    script.stop(),
    'record \n 2 stop ip \n says STOPPING ip=STOPPING web=STOPPED — ip start-timeout (0): because'.replace(
      ' — ip start-timeout (0): because',
      ' — ip start-timeout (0): because',
    ),
  )
  script.done(2)
  script.killed(3)
  shows(script.done(4, 'stopped'), 'record \n says UNKNOWN ip=UNKNOWN web=STOPPED — ip start-timeout (0): because')
})

test('a stop that fails is made up for by a kill and a verification', () => {
  const script = online()
  script.stop()
  shows(script.done(3, 'timed-out'), '4 kill web')
  shows(script.killed(4), '5 probe web')
  shows(script.done(5, 'stopped'), 'record \n unwatch ip \n 6 stop ip \n says STOPPING ip=STOPPING web=STOPPED')
})

for (const answer of ['running', 'failed', 'timed-out'] as const) {
  test(`a stop whose verification answers "${answer}" leaves the group UNKNOWN, until a newer order tries again`, () => {
    const script = online()
    script.stop()
    script.done(3, 'failed')
    script.killed(4)
    shows(script.done(5, answer), 'record \n says UNKNOWN ip=ONLINE web=UNKNOWN — web stop-failed (0): because')
    shows(script.stop(9), 'says UNKNOWN ip=ONLINE web=UNKNOWN — web stop-failed (0): because')
    shows(script.stop(10), 'record \n 6 stop web \n says STOPPING ip=ONLINE web=STOPPING — web stop-failed (0): because')
  })
}

test('processes that cannot be killed leave the group UNKNOWN', () => {
  const script = online()
  script.stop()
  script.done(3)
  shows(script.killed(4, false), 'record \n says UNKNOWN ip=ONLINE web=UNKNOWN')
})

test('probes come by their interval, never two at a time, and their time-out is another event than their failure', () => {
  for (const [answer, event] of [
    ['failed', 'probe-failed'],
    ['timed-out', 'probe-timeout'],
  ] as const) {
    const script = new Script()
    script.run({ ip: agent() })
    script.done(1)
    shows(script.wake(500), '2 probe ip')
    shows(script.passes(5_000), '')
    shows(script.done(2, 'running'), 'watch ip, learn')
    shows(script.wake(), '3 probe ip')
    shows(script.done(3, answer), `record \n unwatch ip \n says FAILED ip=FAILED — ip ${event} (0): because`)
  }
})

test('processes that have outlived the start are watched so closely that an empty cell is its death, without a probe', () => {
  const script = new Script()
  script.run({ ip: agent() })
  script.done(1)
  script.learnt('ip', 10)
  shows(script.step({ kind: 'emptied', group: g, resource: named('ip') }), '2 probe ip')
  script.done(2, 'running')
  script.learnt('ip', 11)
  script.passes(4_000)
  shows(script.done(3, 'running'), '')
  shows(
    script.step({ kind: 'emptied', group: g, resource: named('ip') }),
    'record \n unwatch ip \n says FAILED ip=FAILED — ip died (0): no process of it is left',
  )
})

test('a stop does not wait for a probe', () => {
  const script = new Script()
  script.run({ ip: agent() })
  script.done(1)
  script.wake()
  shows(script.stop(), 'record \n cancel 2 \n says STOPPING ip=ONLINE')
  shows(script.done(2, 'cancelled'), 'record \n unwatch ip \n 3 stop ip \n says STOPPING ip=STOPPING')
})

test('a stop ends a start where cells hold it, and waits for it where nothing does', () => {
  const held = new Script('cgroup2')
  held.run({ ip: agent() })
  shows(held.stop(), 'record \n cancel 1 \n says STOPPING ip=STARTING')
  shows(held.done(1, 'cancelled'), 'record \n 2 stop ip \n says STOPPING ip=STOPPING')
  const swept = new Script('sweep')
  swept.run({ ip: agent() })
  shows(swept.stop(), 'record \n says STOPPING ip=STARTING')
  shows(swept.done(1), 'record \n watch ip, learn \n unwatch ip \n 2 stop ip \n says STOPPING ip=STOPPING')
})

test('checks and loopback addresses hold nothing: they are stopped at once', () => {
  const script = new Script()
  script.run({ ip: { type: 'logical-hostname', parameters: { address: '127.0.0.100' } } })
  script.done(1)
  shows(script.stop(), 'seal 1 \n delete record \n says STOPPED ip=STOPPED \n says sealed 1')
})

test('a start that finds its token sealed by the guardian starts nothing and ends the group', () => {
  const script = new Script()
  script.run(pair)
  shows(
    script.done(1, { outcome: 'refused', because: 'sealed', detail: '' }),
    'seal 1 \n delete record \n says STOPPED ip=STOPPED web=STOPPED \n says sealed 1',
  )
})

test('hello tells what is open, and what is sealed and proved', () => {
  const script = online()
  script.seals.set(g, token(1))
  shows(script.step({ kind: 'connected' }), 'hello {"g":"ONLINE"} sealed {}')
})
