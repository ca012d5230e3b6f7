/** One whole node as real processes: a service that runs, what is told of it, and what is done to it through the API and the command line. */
import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { runCli } from '../../src/cli/index.js'
import type { BenchCluster } from './bench-api.js'
import { type OneNode, raiseOneNode } from './one-node.js'

let bench: BenchCluster
let one: OneNode

/** Leaves a checkpoint whenever it is told to, and runs on. */
const service = {
  nodes: ['n1'],
  resources: {
    address: { type: 'logical-hostname', parameters: { address: '127.0.0.99' } },
    app: {
      type: 'command',
      parameters: { run: ['/bin/sh', '-c', 'cat "$QUORATE_CHECKPOINT_DIR/visits" > "$OUT" 2>/dev/null; exec sleep 1000'] },
      dependsOn: ['address'],
      stop: { timeout: '5s' },
    },
  },
}

before(async () => {
  one = await raiseOneNode()
  bench = one.bench
})
after(async () => {
  await one.close()
})

test('a group comes up, and its holder, token and age are told', async () => {
  const out = join(bench.folder, 'restored')
  const body = {
    ...service,
    resources: {
      ...service.resources,
      app: { ...service.resources.app, parameters: { ...service.resources.app.parameters, environment: { OUT: out } } },
    },
  }
  assert.equal((await bench.ask('PUT', '/v1/groups/web', { body })).status, 201)
  const { body: group } = await bench.ask('GET', '/v1/groups/web?until=ONLINE&wait=60s')
  assert.equal(group.state, 'ONLINE', JSON.stringify(group))
  const [holder] = group.holders
  assert.equal(holder.node, 'n1')
  assert.ok(Date.now() - Date.parse(holder.since) < 60_000)
  assert.deepEqual(Object.fromEntries(Object.entries(group.resources).map(([name, one]) => [name, (one as { state: string }).state])), {
    address: 'ONLINE',
    app: 'ONLINE',
  })
  const here = await bench.ask('GET', '/v1/groups/web/active-here')
  assert.deepEqual([here.status, here.body.active, here.body.token], [200, true, holder.token])
  assert.ok(here.body.leaseRemainingMs > 0)
  const status = await bench.ask('GET', '/v1/status')
  assert.deepEqual(status.body.groups[0].holders, group.holders)
  assert.deepEqual([status.body.nodes[0].leaseOk, status.body.nodes[0].groups], [true, ['web']])
  assert.equal((await bench.ask('GET', '/v1/groups/web/resources/app')).body.state, 'ONLINE')
  const local = await bench.ask('GET', '/v1/groups?consistency=local')
  assert.ok(local.body.ageMs < 5_000 && local.body.leaseRemainingMs > 0, local.text)
})

test('why it is there, and the decision again on its own input', async () => {
  const why = await bench.ask('GET', '/v1/groups/web/why')
  assert.match(why.body.text, /^web is ONLINE on n1: web goes to n1/)
  assert.equal(why.body.lastDecision.candidates[0].seen, 'chosen')
  const replay = await bench.ask('GET', `/v1/decisions/${why.body.lastDecision.id}/replay`)
  assert.equal(replay.body.same, true, replay.text)
})

test('a checkpoint is left under the present token only, and is there for the next start', async () => {
  const { token } = (await bench.ask('GET', '/v1/groups/web/active-here')).body
  const put = (value: string, held: number): ReturnType<typeof bench.ask> =>
    bench.ask('PUT', '/v1/groups/web/checkpoints/visits', {
      body: value,
      headers: { 'quorate-grant-token': String(held), 'content-type': 'text/plain' },
    })
  assert.equal((await put('41', token - 1)).body.code, 'STALE_TOKEN')
  assert.equal((await put('42', token)).status, 200)
  assert.equal((await bench.ask('GET', '/v1/groups/web/checkpoints/visits?raw=true')).text, '42')
  const { checkpoints } = (await bench.ask('GET', '/v1/groups/web/checkpoints')).body
  assert.deepEqual([checkpoints.length, checkpoints[0].value, checkpoints[0].token], [1, '42', token])
  const restarted = await bench.ask('POST', '/v1/groups/web/restart?wait=60s')
  assert.deepEqual([restarted.status, restarted.body.status], [200, 'done'], restarted.text)
  const again = (await bench.ask('GET', '/v1/groups/web/active-here')).body
  assert.ok(again.active && again.token > token)
  assert.equal((await put('43', token)).body.code, 'STALE_TOKEN', 'the former copy has nothing more to say')
})

test('what is not critical fails for good: the group stays, degraded, and a person is told what clearing would do', async () => {
  // It ends by itself when told: its pid is that of its own namespace, where it has one.
  const end = join(bench.folder, 'lame.end')
  const starts = join(bench.folder, 'lame.starts')
  const body = {
    nodes: ['n1'],
    resources: {
      app: {
        type: 'command',
        parameters: { run: ['/bin/sh', '-c', `echo >> ${starts}; while ! rm ${end} 2>/dev/null; do sleep 0.05; done`] },
        stop: { timeout: '5s' },
      },
      extra: { type: 'command', parameters: { run: 'exit 3' }, critical: false, restart: { max: 2, delay: '200ms' } },
    },
  }
  assert.equal((await bench.ask('PUT', '/v1/groups/lame', { body })).status, 201)
  const { body: lame } = await bench.ask('GET', '/v1/groups/lame?until=DEGRADED&wait=60s')
  assert.equal(lame.state, 'DEGRADED', JSON.stringify(lame))
  await bench.until('its restarts to be used up', async () =>
    /not critical: lame stays on n1 without it/.test((await bench.ask('GET', '/v1/groups/lame')).body.waitingFor ?? ''),
  )
  const { body: group } = await bench.ask('GET', '/v1/groups/lame')
  assert.deepEqual([group.state, group.resources.app.state, group.resources.extra.state], ['DEGRADED', 'ONLINE', 'FAILED'])
  assert.equal(group.failures.n1.length, 3)
  assert.ok(
    group.failures.n1.every((one: Record<string, unknown>) => one.resource === 'extra' && one.counts === true && one.forgottenIn !== null),
    JSON.stringify(group.failures),
  )
  const { decisions } = (await bench.ask('GET', '/v1/decisions?group=lame')).body
  const rules: string[] = decisions.map((one: { rule: string }) => one.rule).reverse()
  assert.deepEqual(rules.slice(rules.indexOf('rank')), [
    'rank',
    'restart-delay',
    'restart-in-place',
    'restart-delay',
    'restart-in-place',
    'not-critical',
  ])
  assert.equal((await bench.ask('GET', '/v1/groups/lame/active-here')).status, 200)
  const item = (await bench.ask('GET', '/v1/attention')).body.attention.find((one: { subject: string }) => one.subject === 'lame')
  assert.deepEqual([item.code, item.fix], ['GROUP_DEGRADED', 'POST /v1/groups/lame/clear once the cause is gone'])
  assert.match(item.text, /it is not critical/)

  const dry = await bench.ask('POST', '/v1/groups/lame/clear?dryRun=true')
  assert.equal(dry.body.forgets.failures.n1.length, 3, dry.text)
  assert.match(dry.body.forgets.waitingFor, /not critical/)
  assert.deepEqual(
    dry.body.plan.map((step: { group: string; action: string; rule: string }) => [step.group, step.action, step.rule]),
    [['lame', 'restart', 'cleared']],
    dry.text,
  )
  assert.equal((await bench.ask('GET', '/v1/groups/lame')).body.failures.n1.length, 3, 'nothing was forgotten')
  assert.equal((await bench.ask('POST', '/v1/groups/lame/clear')).status, 200)
  await bench.until('it to be tried again', async () =>
    (await bench.ask('GET', '/v1/decisions?group=lame')).body.decisions.some((one: { rule: string }) => one.rule === 'cleared'),
  )
  // The failure that is left hides nothing of what happens beside it.
  await bench.until('it to be left again', async () =>
    /not critical/.test((await bench.ask('GET', '/v1/groups/lame')).body.waitingFor ?? ''),
  )
  const before = readFileSync(starts, 'utf8').length
  const failuresBefore = (await bench.ask('GET', '/v1/groups/lame')).body.failures.n1.length
  writeFileSync(end, '')
  await bench.until('the other to run again beside it', async () => {
    const { body: now } = await bench.ask('GET', '/v1/groups/lame')
    return now.state === 'DEGRADED' && now.resources.app.state === 'ONLINE' && readFileSync(starts, 'utf8').length > before
  })
  const after = (await bench.ask('GET', '/v1/decisions?group=lame')).body.decisions as { rule: string; text: string }[]
  assert.ok(!after.some(({ rule }) => rule === 'make-way'), JSON.stringify(after))
  assert.ok(
    after.some(({ rule, text }) => rule === 'restart-in-place' && text.startsWith('app on n1: died')),
    JSON.stringify(after),
  )
  const { body: told } = await bench.ask('GET', '/v1/groups/lame')
  assert.equal(told.failures.n1.length, failuresBefore + 1, 'what is left is told again and counted once')
  await bench.ask('DELETE', '/v1/groups/lame?wait=60s')
})

/** Notes down what was done with it, by which definition. */
const noting = (file: string, name: string, version: number, more: object = {}) => {
  const note = (what: string) => `echo ${what} ${name}.${version} >> ${file}`
  const state = `${file}.${name}`
  return {
    type: 'command',
    parameters: {
      start: `${note('start')}; touch ${state}`,
      stop: `${note('stop')}; rm -f ${state}`,
      probe: `[ -e ${state} ] || exit 7`,
    },
    ...more,
  }
}

test('a change while it runs restarts what has changed and what depends on it, under the same token', async () => {
  const file = join(bench.folder, 'changes')
  const done = () => readFileSync(file, 'utf8').trim().split('\n')
  const put = async (resources: object, more: object = {}) => {
    const answer = await bench.ask('PUT', '/v1/groups/changing', { body: { nodes: ['n1'], resources, ...more } })
    assert.ok(answer.status < 300, answer.text)
  }
  const settled = async (what: string, count: number) => {
    await bench.until(what, async () => {
      const { state } = (await bench.ask('GET', '/v1/groups/changing')).body
      return state === 'ONLINE' && done().length >= count
    })
    return done().slice(-count)
  }
  const tokenOf = async () => (await bench.ask('GET', '/v1/groups/changing')).body.holders[0]?.token
  const db = (version: number) => noting(file, 'db', version)
  const app = (version: number, more: object = {}) => noting(file, 'app', version, { dependsOn: ['db'], ...more })
  const log = (version: number) => noting(file, 'log', version)
  writeFileSync(file, '')
  await put({ db: db(1), app: app(1), log: log(1) })
  await settled('it to run', 3)
  const token = await tokenOf()
  await put({ db: db(1), app: app(1, { probe: { interval: '1s' } }), log: log(1) })
  await put({ db: db(1), app: app(2, { probe: { interval: '1s' } }), log: log(1) })
  assert.deepEqual((await settled('one to be restarted', 5)).slice(-2), ['stop app.1', 'start app.2'])
  await put({ db: db(2), app: app(2), log: log(1) })
  assert.deepEqual((await settled('two to be restarted', 9)).slice(-4), ['stop app.2', 'stop db.1', 'start db.2', 'start app.2'])
  assert.equal(await tokenOf(), token)
  const rules = (await bench.ask('GET', '/v1/decisions?group=changing')).body.decisions.map((one: { rule: string }) => one.rule)
  assert.ok(rules.includes('definition-updated') && !rules.includes('definition-changed'), rules.join())

  // One is taken out, with another definition of the rest: all are stopped as they were, and it is forgotten.
  await put({ db: db(3), app: app(3) })
  const after = await settled('it to run without one', 14)
  assert.deepEqual(after.slice(-5).slice(0, 3).sort(), ['stop app.2', 'stop db.2', 'stop log.1'])
  assert.deepEqual(after.slice(-2), ['start db.3', 'start app.3'])
  assert.equal(await tokenOf(), token)
  assert.equal((await bench.ask('GET', '/v1/groups/changing')).body.resources.log, undefined)
  // What it is cannot change in place.
  await put({ db: db(3), app: { type: 'command', parameters: { run: `echo start app.4 >> ${file}; exec sleep 1000` }, dependsOn: ['db'] } })
  await bench.until('it to run as another', async () => done().at(-1) === 'start app.4')
  await put({ db: { type: 'file', parameters: { path: file } }, app: app(5) })
  await bench.until('it to be granted anew', async () => (await tokenOf()) !== token)
  assert.equal((await bench.ask('DELETE', '/v1/groups/changing?wait=60s')).body.status, 'done')
})

test('a failed one in the middle: what depends on it is restarted as its kind says, the rest stays', async () => {
  const file = join(bench.folder, 'middle')
  const done = () => readFileSync(file, 'utf8').trim().split('\n')
  const on = (kind: string) => ({ dependsOn: [{ resource: 'b', kind }] })
  const body = {
    nodes: ['n1'],
    resources: {
      a: noting(file, 'a', 1),
      b: noting(file, 'b', 1, { dependsOn: ['a'], probe: { interval: '200ms', timeout: '5s' } }),
      before: noting(file, 'before', 1, on('offlineRestart')),
      after: noting(file, 'after', 1, on('restart')),
      stays: noting(file, 'stays', 1, on('strong')),
    },
  }
  writeFileSync(file, '')
  assert.equal((await bench.ask('PUT', '/v1/groups/middle', { body })).status, 201)
  assert.equal((await bench.ask('GET', '/v1/groups/middle?until=ONLINE&wait=60s')).body.state, 'ONLINE')
  assert.equal((await bench.ask('GET', '/v1/groups/middle')).body.definition.resources.after.dependsOn[0].kind, 'restart')
  assert.deepEqual((await bench.ask('GET', '/v1/groups/middle')).body.definition.resources.before.dependsOn, ['b'])
  // What the first probe does not find would be a start that failed.
  assert.equal((await bench.ask('POST', '/v1/groups/middle/resources/b/probe')).body.result, 'running')
  const started = done().length
  rmSync(`${file}.b`)
  await bench.until('the restart', async () => {
    const { state } = (await bench.ask('GET', '/v1/groups/middle')).body
    return state === 'ONLINE' && done().length >= started + 6
  })
  assert.deepEqual(done().slice(started, started + 2), ['stop before.1', 'stop b.1'])
  assert.equal(done()[started + 2], 'start b.1')
  const later = done().slice(started + 3)
  assert.deepEqual([...later].sort(), ['start after.1', 'start before.1', 'stop after.1'])
  assert.ok(later.indexOf('stop after.1') < later.indexOf('start after.1'))
  assert.equal((await bench.ask('DELETE', '/v1/groups/middle?wait=60s')).body.status, 'done')
})

test('failures beyond a rule’s count stop the group until it is cleared', async () => {
  const body = {
    nodes: ['n1'],
    rules: [{ event: 'any', countAtLeast: 2, action: 'stop' }],
    failoverMode: 'RESTART_ONLY',
    resources: { app: { type: 'command', parameters: { run: 'exit 3' } } },
  }
  assert.equal((await bench.ask('PUT', '/v1/groups/doomed', { body })).status, 201)
  await bench.until('it to be stopped', async () => {
    const { body: group } = await bench.ask('GET', '/v1/groups/doomed')
    return group.halted !== null && group.holders.length === 0 && group.waitingFor !== null
  })
  const { body: group } = await bench.ask('GET', '/v1/groups/doomed')
  assert.equal(group.state, 'FAILED')
  assert.match(group.waitingFor, /by rules\[0\] \(any → stop\).*POST \/v1\/groups\/doomed\/clear/)
  const online = await bench.ask('POST', '/v1/groups/doomed/online')
  assert.deepEqual([online.status, online.body.fix], [409, 'POST /v1/groups/doomed/clear once the cause is gone'])
  const dry = await bench.ask('POST', '/v1/groups/doomed/clear?dryRun=true')
  assert.match(dry.body.forgets.halted.reason, /rules\[0\]/)
  assert.deepEqual(
    dry.body.plan.map((step: { action: string; node?: string }) => [step.action, step.node]),
    [['grant', 'n1']],
    dry.text,
  )
  await bench.ask('DELETE', '/v1/groups/doomed?wait=60s')
})

test('a dry run of what would move it tells the whole way', async () => {
  const standby = await bench.ask('POST', '/v1/nodes/n1/standby?dryRun=true')
  assert.deepEqual(
    standby.body.plan.map((step: { action: string }) => step.action),
    ['stop', 'wait'],
    standby.text,
  )
  const other = await bench.ask('PUT', '/v1/groups/more?dryRun=true', {
    body: { nodes: ['n1'], resources: { app: { type: 'command', parameters: { run: 'sleep 9' } } } },
  })
  assert.deepEqual(
    other.body.plan.map((step: { action: string; node?: string }) => [step.action, step.node]),
    [['grant', 'n1']],
    other.text,
  )
  assert.equal((await bench.ask('GET', '/v1/groups/web/active-here')).status, 200)
})

test('an OCF agent is described by itself and its parameters are checked', async (context) => {
  const { types } = (await bench.ask('GET', '/v1/types')).body
  if (!types.includes('ocf:heartbeat:Dummy')) return context.skip('the agents of Debian are not installed')
  const type = await bench.ask('GET', '/v1/types/ocf:heartbeat:Dummy')
  assert.equal(type.status, 200, type.text)
  assert.ok(type.body.parameters.some((one: { name: string }) => one.name === 'fake'))
  const refused = await bench.ask('PUT', '/v1/groups/dummy?dryRun=true', {
    body: { nodes: ['n1'], resources: { d: { type: 'ocf:heartbeat:Dummy', parameters: { fkae: 'x' } } } },
  })
  assert.deepEqual([refused.body.code, refused.body.fix], ['INVALID_DEFINITION', 'did you mean "fake"?'])
})

test('what a service says is read through the API while it runs', async () => {
  const body = {
    nodes: ['n1'],
    resources: { app: { type: 'command', parameters: { run: 'echo hello; exec sleep 1000', readyLog: 'hello' } } },
  }
  assert.equal((await bench.ask('PUT', '/v1/groups/talker', { body })).status, 201)
  assert.equal((await bench.ask('GET', '/v1/groups/talker?until=ONLINE&wait=60s')).body.state, 'ONLINE')
  const log = await bench.ask('GET', '/v1/groups/talker/resources/app/log')
  assert.deepEqual(log.body, { group: 'talker', resource: 'app', node: 'n1', lines: ['hello'], actions: [] })
  const none = await bench.ask('GET', '/v1/groups/web/resources/address/log')
  assert.equal(none.body.code, 'LOG_NOT_FOUND')
  const deleted = await bench.ask('DELETE', '/v1/groups/talker?wait=60s')
  assert.equal(deleted.body.status, 'done', deleted.text)
})

test('the command line shows it, stops it and waits', async () => {
  const run = async (...args: string[]): Promise<{ code: number; out: string }> => {
    const printed: string[] = []
    const terminal = { out: (text: string) => void printed.push(text), error: (text: string) => void printed.push(text) }
    const code = await runCli(['node', 'quorate', ...args], terminal, { QUORATE_SOCKET: bench.socketOf('n1') })
    return { code, out: printed.join('') }
  }
  const status = await run('status')
  assert.equal(status.code, 0)
  assert.match(status.out, /^web +ONLINE +ONLINE +n1 /m)
  const stopped = await run('group', 'offline', 'web', '--wait')
  assert.deepEqual([stopped.code, /^done: web is to be OFFLINE/.test(stopped.out)], [0, true], stopped.out)
  assert.equal((await run('group', 'wait', 'web', '--until', 'OFFLINE')).code, 0)
  const started = await run('group', 'online', 'web')
  assert.equal(started.code, 3, 'still going')
  assert.equal((await run('group', 'wait', 'web', '--wait', '60s')).code, 0)
})

test('when it is to be deleted it stops first, and its name is held until then', async () => {
  const deleted = await bench.ask('DELETE', '/v1/groups/web')
  assert.equal(deleted.status, 202)
  const held = await bench.ask('PUT', '/v1/groups/web', { body: service })
  if (held.status !== 201) assert.equal(held.body.code, 'NAME_HELD')
  assert.equal((await bench.ask('GET', `${deleted.headers.location}?wait=60s`)).body.status, 'done')
})
