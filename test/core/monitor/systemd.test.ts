/** Units of systemd as the monitor sees them: names, states, what stands against one, and what turns its own restarts off. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { claimsOf } from '../../../src/core/cluster/index.js'
import {
  checkResourceParameters,
  isSystemd,
  judgeStart,
  judgeUnit,
  judgeWatchedUnit,
  overrideProblem,
  type UnitFacts,
  type UnitState,
  unitCgroupPath,
  unitDropIn,
  unitEnd,
  unitObstacle,
  unitOf,
} from '../../../src/core/monitor/index.js'
import { Script, shows } from './script.js'

const dropIn = '/run/systemd/system/web.service.d/zzz-quorate-1.conf'
const grantFile = '/run/quorate/unit-grants/g@web'
const facts = (more: Partial<UnitFacts> = {}): UnitFacts => ({
  name: 'web.service',
  id: 'web.service',
  description: 'a web server',
  load: 'loaded',
  active: 'inactive',
  sub: 'dead',
  job: undefined,
  fileState: 'disabled',
  file: '/etc/systemd/system/web.service',
  dropIns: [dropIn],
  needsReload: false,
  starters: [],
  cgroup: '/system.slice/web.service',
  type: 'simple',
  staysWithoutProcesses: false,
  restart: 'no',
  forcesRestart: false,
  environmentFiles: [grantFile],
  user: '',
  result: 'success',
  exit: { code: 0, status: 0 },
  ...more,
})

test('a type names one service', () => {
  assert.equal(unitOf('systemd:web'), 'web.service')
  assert.equal(unitOf('systemd:web.service'), 'web.service')
  assert.equal(unitOf('systemd:worker@one'), 'worker@one.service')
  assert.equal(unitOf('systemd:a.b'), 'a.b.service')
  for (const wrong of ['', 'a b', '../x', 'x/y', '.service', 'worker@', 'worker@.service', 'web.socket', 'srv.mount', 'x'.repeat(300)])
    assert.equal(unitOf(`systemd:${wrong}`), undefined, wrong)
  assert.equal(isSystemd('ocf:heartbeat:x'), false)
})

test('what names none is refused, with what to write instead', () => {
  const problem = (type: string, parameters = {}) => checkResourceParameters(type, parameters).map(({ detail, fix }) => `${detail}; ${fix}`)
  assert.deepEqual(problem('systemd:web'), [])
  assert.match(problem('systemd:web.socket').join(), /web.socket is a socket: only services are resources/)
  assert.match(problem('systemd:worker@').join(), /worker@ is a template; name an instance/)
  assert.match(problem('systemd:a b').join(), /does not name a unit/)
  assert.match(problem('systemd:web', { port: 80 }).join(), /has no parameter "port"; it takes none/)
})

test('two groups cannot hold one unit, by whatever name', () => {
  const of = (type: string) => claimsOf({ web: { type, parameters: {} } } as never)
  assert.deepEqual(of('systemd:web'), ['unit:web.service'])
  assert.deepEqual(of('systemd:web.service'), ['unit:web.service'])
})

test('what a state says', () => {
  const judged = (state: Partial<UnitState>, left = false) => {
    const found = judgeUnit({ load: 'loaded', active: 'inactive', sub: 'dead', job: undefined, ...state }, left)
    return found === 'changing' ? found : found.outcome
  }
  for (const active of ['active', 'reloading', 'activating']) assert.equal(judged({ active }), 'running')
  assert.equal(judged({ active: 'deactivating' }), 'changing')
  assert.equal(judged({ active: 'inactive' }), 'stopped')
  assert.equal(judged({ active: 'failed' }), 'stopped')
  // What systemd calls stopped has not stopped while processes of it are left.
  assert.equal(judged({ active: 'inactive' }, true), 'failed')
  // A start that waits its turn comes to life later.
  assert.equal(judged({ active: 'inactive', job: 'start' }), 'running')
  assert.equal(judged({ active: 'inactive', job: 'restart' }), 'running')
  assert.equal(judged({ active: 'inactive', job: 'stop' }), 'stopped')
  assert.equal(judged({ active: 'something-new' }), 'failed')
})

test('what systemd would start by itself is no resource', () => {
  const obstacle = (more: Partial<UnitFacts>) => {
    const found = unitObstacle(facts(more))
    return found === undefined ? '' : `${found.detail} — ${found.fix}`
  }
  const starter = (name: string, how: 'wants' | 'triggers', isActive: boolean, fileState: string) => ({
    starters: [{ name, how, isActive, fileState }],
  })
  assert.equal(obstacle({}), '')
  assert.equal(obstacle({ fileState: 'static' }), '')
  assert.match(obstacle({ load: 'not-found' }), /not installed/)
  assert.match(obstacle({ load: 'masked', fileState: 'masked' }), /masked — systemctl unmask/)
  assert.match(obstacle({ load: 'bad-setting' }), /bad-setting.*systemctl status/)
  assert.match(obstacle({ fileState: 'enabled' }), /at boot, without a grant — systemctl disable web.service/)
  assert.match(obstacle({ id: 'http.service' }), /another name of http.service — use the type systemd:http.service/)
  assert.match(obstacle(starter('multi-user.target', 'wants', true, 'static')), /wanted by multi-user.target/)
  assert.match(obstacle(starter('shop.service', 'wants', false, 'enabled')), /wanted by shop.service/)
  assert.equal(obstacle(starter('shop.service', 'wants', true, 'disabled')), '')
  assert.match(obstacle(starter('web.socket', 'triggers', true, 'disabled')), /web.socket can start.*disable --now web.socket/)
  assert.match(obstacle(starter('web.timer', 'triggers', false, 'enabled')), /web.timer can start/)
  assert.equal(obstacle(starter('web.timer', 'triggers', false, 'disabled')), '')
})

test('a drop-in turns off what systemd would do by itself, and it is seen whether it does', () => {
  const text = unitDropIn({ grantFile: '/run/100%/g@web', before: 'quorate.service' })
  for (const line of [
    'Restart=no',
    'RestartForceExitStatus=',
    'StartLimitIntervalSec=0',
    'Before=quorate.service',
    'EnvironmentFile=/run/100%%/g@web',
  ])
    assert.ok(text.split('\n').includes(line), line)
  assert.doesNotMatch(unitDropIn({ grantFile, before: undefined }), /Before=/)
  const problem = (more: Partial<UnitFacts>) => overrideProblem(facts(more), dropIn, grantFile)
  assert.equal(problem({}), undefined)
  assert.match(problem({ dropIns: [] }) ?? '', /does not read/)
  assert.match(problem({ restart: 'always', dropIns: [dropIn, '/etc/zzzz.conf'] }) ?? '', /Restart=always.*set by \/etc\/zzzz.conf/)
  assert.match(problem({ dropIns: [dropIn, '/run/systemd/system/web.service.d/zzz-quorate-2.conf'] }) ?? '', /another node of Quorate/)
  assert.match(problem({ forcesRestart: true }) ?? '', /RestartForceExitStatus/)
  assert.match(problem({ environmentFiles: [] }) ?? '', /the grant/)
})

test('how a start and a service ended is told', () => {
  const started = (result: string, more: Partial<UnitFacts>) => {
    const found = judgeStart(result, facts(more))
    return `${found.outcome}${'detail' in found ? `: ${found.detail}` : ''}`
  }
  assert.equal(started('done', { active: 'active' }), 'done')
  assert.match(started('failed', { active: 'failed', result: 'exit-code', exit: { code: 1, status: 3 } }), /failed: .*ended with status 3/)
  assert.match(started('dependency', {}), /systemd answered "dependency"/)
  assert.match(started('done', { type: 'oneshot' }), /needs RemainAfterExit=yes/)
  assert.match(started('done', { active: 'failed', result: 'signal', exit: { code: 2, status: 9 } }), /killed by signal 9/)
  assert.equal(unitEnd(facts()), undefined)
  assert.match(unitEnd(facts({ active: 'failed', result: 'oom-kill' })) ?? '', /oom-kill/)
})

test('where the processes of a unit are', () => {
  assert.equal(unitCgroupPath('/', 'system.slice', 'web.service'), '/system.slice/web.service')
  assert.equal(unitCgroupPath('', 'system-web.slice', 'web@1.service'), '/system.slice/system-web.slice/web@1.service')
  assert.equal(unitCgroupPath('/a/b', '-.slice', 'web.service'), '/a/b/web.service')
})

test('a change of its state has it probed at once, and its answer is the word on it', () => {
  const script = new Script('sweep')
  const unit = { web: { type: 'systemd:web', parameters: {}, dependsOn: [] } }
  script.run(unit)
  script.done(1)
  const changed = () => script.step({ kind: 'changed', group: 'g' as never, resource: 'web' as never })
  shows(changed(), '2 probe web')
  // While one is under way no other begins; the one that was asked for follows.
  shows(changed(), '')
  shows(
    script.done(2, { outcome: 'running' }).filter((line) => line.includes('probe')),
    '3 probe web',
  )
  const lines = script.done(3, { outcome: 'stopped', note: 'its main process was killed by signal 9' })
  assert.match(lines.join('\n'), /web died \(0\): its main process was killed by signal 9/)
})

test('what systemd holds together is no escaped start, wherever our own processes are', () => {
  const script = new Script('sweep')
  script.run({ web: { type: 'systemd:web', parameters: {}, dependsOn: [] } })
  const lines = script.done(1, { outcome: 'timed-out', detail: 'it took too long' })
  assert.match(lines.join('\n'), /says FAILED web=FAILED/)
})

test('a unit that is only looked at is up when systemd calls it so; one that systemd waits to restart does not run', () => {
  const judged = (active: string, sub: string) => [false, true].map((strict) => judgeWatchedUnit({ active, sub }, strict).outcome)
  assert.deepEqual(judged('active', 'running'), ['running', 'running'])
  assert.deepEqual(judged('active', 'exited'), ['running', 'running'])
  assert.deepEqual(judged('reloading', 'reload'), ['running', 'running'])
  assert.deepEqual(judged('activating', 'start'), ['running', 'stopped'])
  assert.deepEqual(judged('activating', 'auto-restart'), ['stopped', 'stopped'])
  assert.deepEqual(judged('activating', 'auto-restart-queued'), ['stopped', 'stopped'])
  for (const [active, sub] of [
    ['inactive', 'dead'],
    ['failed', 'failed'],
    ['deactivating', 'stop-sigterm'],
  ] as const)
    assert.deepEqual(judged(active, sub), ['stopped', 'stopped'])
})
