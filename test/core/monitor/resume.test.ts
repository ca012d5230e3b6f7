/** A monitor is killed and another one finds its run folder. */
import { test } from 'node:test'
import { agent, g, kept, Script, shows, token } from './script.js'

const pair = { web: kept('ip'), ip: agent() }

function online(containment: 'cgroup2' | 'sweep' = 'cgroup2'): Script {
  const script = new Script(containment)
  script.run(pair)
  script.spawned(1, 9)
  script.done(1)
  script.learnt('ip', 10)
  script.spawned(2, 20)
  script.done(2)
  return script
}

test('what is ONLINE is adopted, probed at once, and its death noticed', () => {
  const script = new Script('cgroup2', online())
  shows(script.lines, 'record \n watch ip 10 \n watch web 20 \n 1 probe ip \n 2 probe web \n says ONLINE ip=ONLINE web=ONLINE')
  shows(script.done(1, 'running'), 'watch ip, learn')
  shows(script.done(2, 'running'), '')
  shows(script.ended('web', 20), 'record \n unwatch web \n says FAILED ip=ONLINE web=FAILED — web died (0): it was killed by SIGKILL')
})

test('what died meanwhile is told with the restart number that was reached', () => {
  const before = online()
  before.ended('web', 20)
  before.run(pair, { sequence: 2, restart: { resource: 'web', number: 1 } as never })
  for (const step of [
    () => before.done(3),
    () => before.killed(4),
    () => before.done(5, 'stopped'),
    () => before.spawned(6, 21),
    () => before.done(6),
  ])
    step()
  const script = new Script('cgroup2', before)
  shows(
    script.done(2, 'stopped'),
    'record \n unwatch web \n says FAILED ip=ONLINE web=FAILED — web died (1): its probe says that it is stopped',
  )
})

test('a stop that had begun is finished', () => {
  const before = online()
  before.stop()
  const script = new Script('cgroup2', before)
  shows(script.lines, 'record \n watch ip 10 \n 1 stop web \n says STOPPING ip=ONLINE web=STOPPING')
})

test('a start in flight is waited for, and taken over when its probe says so', () => {
  const before = new Script()
  before.run({ ip: agent() })
  before.spawned(1, 9)
  const script = new Script('cgroup2', before)
  shows(script.lines, 'record \n 1 settle ip \n says STARTING ip=STARTING')
  shows(script.done(1), '2 probe ip')
  shows(script.done(2, 'running'), 'record \n watch ip, learn \n says ONLINE ip=ONLINE')
})

test('a start in flight that came to nothing is repeated only after stop and verification', () => {
  const before = new Script()
  before.run({ ip: agent() })
  before.spawned(1, 9)
  const script = new Script('cgroup2', before)
  script.done(1)
  shows(script.done(2, 'failed'), 'record \n 3 stop ip \n says STARTING ip=STOPPING')
  script.done(3)
  script.killed(4)
  shows(script.done(5, 'stopped'), 'record \n 6 start ip \n says STARTING ip=STARTING')
})

test('a start of which nobody knows the process is UNKNOWN where nothing holds it', () => {
  const before = new Script('sweep')
  before.run({ ip: agent() })
  shows(new Script('sweep', before).lines, 'record \n says UNKNOWN ip=UNKNOWN')
  const held = new Script()
  held.run({ ip: agent() })
  shows(new Script('cgroup2', held).lines, 'record \n 1 settle ip \n says STARTING ip=STARTING')
})

test('a killed start is not forgotten', () => {
  const before = new Script('sweep')
  before.run({ ip: agent() })
  before.done(1, 'timed-out')
  const script = new Script('sweep', before)
  script.stop()
  script.done(1)
  script.killed(2)
  shows(script.done(3, 'stopped'), 'record \n says UNKNOWN ip=UNKNOWN — ip start-timeout (0): because')
})

test('a record under a sealed token is ended, never started', () => {
  const before = new Script()
  before.run(pair)
  before.seals.set(g, token(1))
  const script = new Script('cgroup2', before)
  shows(script.lines, 'record \n 1 settle ip \n cancel 1 \n says STOPPING ip=STARTING web=STOPPED')
  shows(script.done(1, 'cancelled'), 'record \n 2 stop ip \n says STOPPING ip=STOPPING web=STOPPED')
})

test('a record that cannot be read makes its group UNKNOWN, whatever is ordered', () => {
  const script = new Script()
  const lost = { group: g, token: token(1), reason: 'torn' }
  shows(script.step({ kind: 'resumed', records: [], unreadable: [lost], seals: new Map(), deadline: script.deadline }), '')
  shows(script.step({ kind: 'connected' }), 'hello {"g":"UNKNOWN"} sealed {}')
  shows(script.run(pair), 'says UNKNOWN')
  shows(script.stop(), 'says UNKNOWN')
  shows(script.order({ kind: 'probe', group: g, probeId: 'p', resources: {} }), 'probed p unknown')
})

test('a kept process whose start nobody wrote down is looked for: found, it is taken over; not found, it is UNKNOWN where it may hide', () => {
  const before = new Script('sweep')
  before.run({ app: kept() })
  const found = new Script('sweep', before)
  shows(found.lines, 'record \n 1 settle app \n says STARTING app=STARTING')
  shows(found.spawned(1, 20), 'record')
  found.done(1)
  shows(found.done(2, 'running'), 'record \n watch app 20 \n says ONLINE app=ONLINE')
  const lost = new Script('sweep', before)
  shows(lost.done(1, 'failed').slice(-1), 'says STARTING app=STOPPING')
  lost.done(2)
  lost.killed(3)
  shows(lost.done(4, 'stopped'), 'record \n says UNKNOWN app=UNKNOWN')
})
