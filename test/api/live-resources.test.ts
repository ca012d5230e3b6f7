/** One whole node as real processes: what is asked of single resources, and what maintenance and freeze keep from being done. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { runCli } from '../../src/cli/index.js'
import type { BenchCluster } from './bench-api.js'
import { type OneNode, raiseOneNode } from './one-node.js'

let bench: BenchCluster
let one: OneNode
let file: string

const often = { interval: '200ms', timeout: '5s' }

/** Notes down what was done with it. */
const noting = (name: string, more: object = {}, parameters: object = {}) => ({
  type: 'command',
  parameters: {
    start: `echo start ${name} >> ${file}; touch ${file}.${name}`,
    stop: `echo stop ${name} >> ${file}; rm -f ${file}.${name}`,
    probe: `[ -e ${file}.${name} ] || exit 7`,
    ...parameters,
  },
  probe: often,
  ...more,
})
const done = () => readFileSync(file, 'utf8').trim().split('\n')
const group = async () => (await bench.ask('GET', '/v1/groups/web')).body
const path = (verb: string, resource = 'b') => `/v1/groups/web/resources/${resource}/${verb}`

before(async () => {
  one = await raiseOneNode()
  bench = one.bench
  file = join(bench.folder, 'done')
  writeFileSync(file, '')
  const on = (kind: string) => ({ dependsOn: [{ resource: 'b', kind }] })
  const actions = {
    greet: `echo "hello from $QUORATE_RESOURCE of $QUORATE_GROUP under $QUORATE_GRANT_TOKEN"; echo aside >&2; exit 3`,
    slow: 'sleep 1000',
    flood: 'head -c 200000 /dev/zero | tr "\\0" x',
  }
  const body = {
    nodes: ['n1'],
    resources: {
      a: noting('a'),
      b: noting('b', { dependsOn: ['a'], probeDeep: { interval: '1h' } }, { actions, probeDeep: `[ ! -e ${file}.sick ]` }),
      before: noting('before', on('offlineRestart')),
      after: noting('after', on('restart')),
      stays: noting('stays', on('strong')),
    },
  }
  const put = await bench.ask('PUT', '/v1/groups/web', { body })
  assert.equal(put.status, 201, put.text)
  assert.equal((await bench.ask('GET', '/v1/groups/web?until=ONLINE&wait=60s')).body.state, 'ONLINE')
})
after(async () => {
  await one.close()
})

test('one resource is restarted, with what depends on it as its kind says; that is no failure', async () => {
  const began = done().length
  const token = (await group()).holders[0].token
  const restarted = await bench.ask('POST', `${path('restart')}?wait=60s`)
  assert.deepEqual([restarted.status, restarted.body.status, restarted.body.kind], [200, 'done', 'restart-resource'], restarted.text)
  const lines = done().slice(began)
  assert.deepEqual(lines.slice(0, 3), ['stop before', 'stop b', 'start b'])
  assert.deepEqual([...lines.slice(3)].sort(), ['start after', 'start before', 'stop after'])
  const now = await group()
  assert.deepEqual([now.state, now.holders[0].token, now.failures], ['ONLINE', token, {}])
  const rules = (await bench.ask('GET', '/v1/decisions?group=web')).body.decisions.map((one: { rule: string }) => one.rule)
  assert.equal(rules[0], 'resource-restart-asked')
})

test('or with everything that depends on it', async () => {
  const began = done().length
  const restarted = await bench.ask('POST', `${path('restart')}?wait=60s`, { body: { dependents: true } })
  assert.equal(restarted.body.status, 'done', restarted.text)
  const lines = done().slice(began)
  assert.deepEqual([...lines.slice(0, 3)].sort(), ['stop after', 'stop before', 'stop stays'])
  assert.deepEqual(lines.slice(3, 5), ['stop b', 'start b'])
  assert.equal((await bench.ask('POST', path('restart', 'nothing'))).body.code, 'RESOURCE_NOT_FOUND')
})

test('a probe at once answers with what it found, to either depth', async () => {
  const { status, body } = await bench.ask('POST', path('probe'))
  assert.deepEqual([status, body.result, body.state, body.node, body.deep], [200, 'running', 'ONLINE', 'n1', false])
  assert.equal((await bench.ask('POST', path('probe'), { body: { deep: true } })).body.result, 'running')
  const none = await bench.ask('POST', path('probe', 'a'), { body: { deep: true } })
  assert.deepEqual([none.status, none.body.code], [409, 'CONFLICT'])
})

test('what a node has otherwise counts there, and a change of it restarts that resource alone', async () => {
  const perNode = { n1: { parameters: { environment: { WHERE: 'here' } } } }
  const app = noting('varied', { perNode }, { environment: { WHERE: 'anywhere' } })
  const start = `echo $WHERE >> ${file}.where; touch ${file}.varied`
  const body = { nodes: ['n1'], resources: { app: { ...app, parameters: { ...app.parameters, start } }, beside: noting('beside') } }
  const where = () => readFileSync(`${file}.where`, 'utf8').trim().split('\n')
  const put = await bench.ask('PUT', '/v1/groups/varied', { body })
  assert.deepEqual(put.body.definition?.resources.app.perNode, perNode, put.text)
  assert.equal((await bench.ask('GET', '/v1/groups/varied?until=ONLINE&wait=60s')).body.state, 'ONLINE')
  assert.deepEqual(where(), ['here'])
  const began = done().length
  const change = { resources: { app: { perNode: { n1: { parameters: { environment: { WHERE: 'there' } } } } } } }
  const patched = await bench.ask('PATCH', '/v1/groups/varied', { body: change })
  assert.equal(patched.status, 200, patched.text)
  await bench.until(
    'it to run as it is now',
    async () => (await bench.ask('GET', '/v1/groups/varied')).body.state === 'ONLINE' && where().length === 2,
  )
  assert.deepEqual([where(), done().slice(began)], [['here', 'there'], ['stop varied']])
  const wrong = await bench.ask('PATCH', '/v1/groups/varied', {
    body: { resources: { app: { perNode: { n7: { parameters: { a: 'b' } } } } } },
  })
  assert.deepEqual([wrong.status, wrong.body.code], [422, 'INVALID_DEFINITION'], wrong.text)
  const unknown = await bench.ask('PATCH', '/v1/groups/varied', {
    body: { resources: { app: { perNode: { n1: { parameters: { strat: 'b' } } } } } },
  })
  assert.equal(unknown.body.fix, 'did you mean "start"?', unknown.text)
  const deleted = await bench.ask('DELETE', '/v1/groups/varied?wait=60s')
  assert.equal(deleted.body.status, 'done', deleted.text)
})

test('a resource that comes or goes leaves the others as they are, also where it is needed from then on', async () => {
  const began = done().length
  const kept = { type: 'command', parameters: { run: `echo $$ >> ${file}.pids; exec sleep 1000` }, probe: often }
  const put = await bench.ask('PUT', '/v1/groups/guests', { body: { nodes: ['n1'], resources: { kept, guest: noting('guest') } } })
  assert.equal(put.status, 201, put.text)
  const isUp = async (lines: readonly string[]) => {
    await bench.until(`it to be up after ${lines.join()}`, async () => {
      const { state } = (await bench.ask('GET', '/v1/groups/guests')).body
      return state === 'ONLINE' && done().slice(began).sort().join() === [...lines].sort().join()
    })
  }
  await isUp(['start guest'])
  const { token } = (await bench.ask('GET', '/v1/groups/guests')).body.holders[0]
  const change = (resources: object) => bench.ask('PATCH', '/v1/groups/guests', { body: { resources } })
  assert.equal((await change({ guest: null, other: noting('other', { dependsOn: ['kept'] }) })).status, 200)
  await isUp(['start guest', 'stop guest', 'start other'])
  const address = { type: 'logical-hostname', parameters: { address: '127.0.0.91' } }
  assert.equal((await change({ address, kept: { dependsOn: ['address'] } })).status, 200)
  await isUp(['start guest', 'stop guest', 'start other'])
  const now = (await bench.ask('GET', '/v1/groups/guests')).body
  assert.deepEqual([now.holders[0].token, Object.keys(now.resources).sort()], [token, ['address', 'kept', 'other']])
  assert.equal(readFileSync(`${file}.pids`, 'utf8').trim().split('\n').length, 1, 'started once')
  const rules = (await bench.ask('GET', '/v1/decisions?group=guests')).body.decisions.map((one: { rule: string }) => one.rule)
  assert.deepEqual(rules.slice(0, 3), ['definition-updated', 'definition-updated', 'rank'])
  assert.equal((await bench.ask('DELETE', '/v1/groups/guests?wait=60s')).body.status, 'done')
})

test('what others start and stop is found, fails when it ends, and stays when its group stops', async () => {
  const up = `${file}.others`
  const resources = {
    others: { type: 'command', operations: 'none', parameters: { probe: `[ -e ${up} ] || exit 7` }, probe: often, restart: { max: 0 } },
    mine: noting('mine', { dependsOn: ['others'] }),
  }
  const put = await bench.ask('PUT', '/v1/groups/watched', { body: { nodes: ['n1'], failoverMode: 'RESTART_ONLY', resources } })
  assert.equal(put.status, 201, put.text)
  assert.equal(put.body.definition.resources.others.operations, 'none')
  await bench.until('it to wait', async () => (await bench.ask('GET', '/v1/groups/watched')).body.state === 'STARTING')
  assert.equal(existsSync(`${file}.mine`), false)
  writeFileSync(up, '')
  assert.equal((await bench.ask('GET', '/v1/groups/watched?until=ONLINE&wait=60s')).body.state, 'ONLINE')
  rmSync(up)
  await bench.until('its end to be seen', async () => (await bench.ask('GET', '/v1/groups/watched')).body.state === 'FAILED')
  const { failures } = (await bench.ask('GET', '/v1/groups/watched')).body
  assert.deepEqual([failures.n1[0].resource, failures.n1[0].event], ['others', 'died'])
  writeFileSync(up, '')
  assert.equal((await bench.ask('POST', '/v1/groups/watched/clear')).status, 200)
  assert.equal((await bench.ask('GET', '/v1/groups/watched?until=ONLINE&wait=60s')).body.state, 'ONLINE')
  assert.equal((await bench.ask('DELETE', '/v1/groups/watched?wait=60s')).body.status, 'done')
  assert.equal(existsSync(up), true)
})

test('an action is run with the grant, within its time, and what it said comes back, bounded', async () => {
  const { token } = (await group()).holders[0]
  const { status, body } = await bench.ask('POST', path('actions/greet'))
  assert.deepEqual(
    [status, body.outcome, body.code, body.stdout, body.stderr],
    [200, 'exited', 3, `hello from b of web under ${token}\n`, 'aside\n'],
  )
  const slow = await bench.ask('POST', path('actions/slow'), { body: { timeout: '300ms' } })
  assert.deepEqual([slow.body.outcome, slow.body.code], ['timed-out', null])
  const flood = await bench.ask('POST', path('actions/flood'))
  assert.equal(flood.body.stdout.length, 32_768)
  const dry = await bench.ask('POST', `${path('actions/greet')}?dryRun=true`)
  assert.equal(dry.body.dryRun, true)
  const unknown = await bench.ask('POST', path('actions/gret'))
  assert.deepEqual([unknown.status, unknown.body.code, unknown.body.fix], [404, 'ACTION_NOT_FOUND', 'did you mean "greet"?'])
  assert.equal((await bench.ask('POST', path('actions/start'))).body.code, 'ACTION_NOT_FOUND')
  const events = (await bench.ask('GET', '/v1/events?last=20&follow=false')).text
  assert.match(events, /had \\"greet\\" of b run on n1: exit 3/)
})

test('the same from the command line', async () => {
  const run = async (...args: string[]) => {
    const printed: string[] = []
    const terminal = { out: (text: string) => void printed.push(text), error: (text: string) => void printed.push(text) }
    const code = await runCli(['node', 'quorate', ...args], terminal, { QUORATE_SOCKET: bench.socketOf('n1') })
    return { code, out: printed.join('') }
  }
  const probed = await run('resource', 'probe', 'web/b')
  assert.deepEqual([probed.code, /^web\/b on n1: running/.test(probed.out)], [0, true], probed.out)
  const acted = await run('resource', 'action', 'web/b', 'greet')
  assert.deepEqual([acted.code, /exit 3 [\s\S]*hello from b/.test(acted.out)], [2, true], acted.out)
  const restarted = await run('resource', 'restart', 'web/a', '--wait')
  assert.deepEqual([restarted.code, /^done: /.test(restarted.out)], [0, true], restarted.out)
  assert.match((await run('resource', 'web/b')).out, /^state +ONLINE$/m)
  assert.equal((await run('resource', 'probe', 'web')).code, 64)
  const maintained = await run('node', 'maintenance', 'n1', '--for', '30m', '--reason', 'a test')
  assert.deepEqual([maintained.code, /^maintenance +by the local socket of n1/m.test(maintained.out)], [0, true], maintained.out)
  assert.match((await run('status')).out, /^\* n1 is in maintenance by/m)
  assert.equal((await run('node', 'maintenance', 'n1', '--end')).code, 0)
  const detached = await run('node', 'maintenance', 'n1', '--for', '30m', '--reason', 'a test', '--detached')
  assert.match(detached.out, /without its guardian/)
  assert.equal((await run('node', 'maintenance', 'n1', '--end')).code, 0)
  assert.equal((await run('node', 'maintenance', 'n1')).code, 64)
})

test('in maintenance what fails stays down; afterwards it is looked at, and only then restarted', async () => {
  assert.equal((await bench.ask('POST', '/v1/nodes/n1/maintenance', { body: { for: '10m', reason: 'a test' } })).status, 200)
  const began = done().length
  rmSync(`${file}.a`)
  await bench.until('the failure', async () => (await group()).state === 'FAILED')
  assert.match((await group()).waitingFor, /n1 is in maintenance by the local socket of n1/)
  assert.equal((await bench.ask('POST', '/v1/groups/web/restart')).body.code, 'FROZEN')
  // Time in which a restart would have come: each probe of the others is asked of the same monitor.
  for (let count = 0; count < 5; count++) assert.equal((await bench.ask('POST', path('probe', 'b'))).body.result, 'running')
  assert.deepEqual([done().length, existsSync(`${file}.a`)], [began, false])
  assert.equal((await bench.ask('POST', '/v1/nodes/n1/maintenance', { body: { end: true } })).status, 200)
  await bench.until('the restart', async () => (await group()).state === 'ONLINE' && done().length > began)
  assert.ok(done().slice(began).includes('start a'))
})

test('without its guardian: answered when that has said so, and told until it guards again', async () => {
  const attention = async () => JSON.stringify((await bench.ask('GET', '/v1/attention')).body)
  const begun = await bench.ask('POST', '/v1/nodes/n1/maintenance', { body: { for: '10m', reason: 'a test', detached: true } })
  assert.deepEqual(
    [begun.status, begun.body.detached, begun.body.guarded, begun.body.maintenance.detached],
    [200, 'suspended', false, true],
    begun.text,
  )
  assert.match(await attention(), /DETACHED.*is suspended by maintenance/)
  assert.equal((await bench.ask('POST', '/v1/nodes/n1/maintenance', { body: { end: true } })).status, 200)
  await bench.until('its guardian to guard', async () => !(await attention()).includes('DETACHED'))
  assert.equal((await bench.ask('GET', '/v1/nodes/n1')).body.guarded, true)
})

test('what was mended by hand during a freeze is not restarted', async () => {
  assert.equal((await bench.ask('POST', '/v1/groups/web/freeze', { body: { for: '10m', reason: 'a test' } })).status, 200)
  const began = done().length
  rmSync(`${file}.stays`)
  await bench.until('the failure', async () => (await group()).state === 'FAILED')
  writeFileSync(`${file}.stays`, '')
  assert.equal((await bench.ask('POST', '/v1/groups/web/unfreeze')).status, 200)
  await bench.until('it to be seen', async () => (await group()).state === 'ONLINE')
  assert.deepEqual(done().slice(began), [], 'nothing was stopped or started')
})

test('with probes paused nothing is probed, and what has gone meanwhile is found afterwards', async () => {
  await bench.ask('POST', '/v1/groups/web/freeze', { body: { for: '10m', reason: 'a test', probes: 'pause' } })
  // Once it has been looked at on request, no other probe of it is under way, and none is due any more.
  assert.equal((await bench.ask('POST', path('probe', 'a'))).body.result, 'running')
  rmSync(`${file}.a`)
  // With probes every 200 ms its absence would be seen by the time that a person has asked so often.
  for (const end = Date.now() + 1_000; Date.now() < end; )
    assert.equal((await bench.ask('POST', path('probe', 'b'))).body.result, 'running')
  assert.equal((await group()).resources.a.state, 'ONLINE')
  const began = done().length
  await bench.ask('POST', '/v1/groups/web/unfreeze')
  await bench.until(
    'it to be found and restarted',
    async () => (await group()).state === 'ONLINE' && done().slice(began).includes('start a'),
  )
})

test('a group with a monitor of its own comes up, is looked at, and stops', async () => {
  const own = join(bench.folder, 'own')
  const body = {
    nodes: ['n1'],
    isolation: 'dedicated',
    resources: {
      app: { type: 'command', parameters: { start: `touch ${own}`, stop: `rm -f ${own}`, probe: `[ -e ${own} ] || exit 7` }, probe: often },
      kept: {
        type: 'command',
        parameters: { run: 'exec sleep 1000', actions: { hello: 'echo hello', slow: `touch ${own}.slow; sleep 60` } },
        dependsOn: ['app'],
      },
    },
  }
  const put = await bench.ask('PUT', '/v1/groups/own', { body })
  assert.deepEqual([put.status, put.body.definition.isolation], [201, 'dedicated'], put.text)
  assert.equal((await bench.ask('GET', '/v1/groups/own?until=ONLINE&wait=60s')).body.state, 'ONLINE')
  assert.ok(existsSync(join(bench.folder, 'n1', 'run', 'monitor@own.pid')))
  assert.equal((await bench.ask('POST', '/v1/groups/own/resources/app/probe')).body.result, 'running')
  const action = await bench.ask('POST', '/v1/groups/own/resources/kept/actions/hello')
  assert.deepEqual([action.status, action.body.outcome, action.body.stdout], [200, 'exited', 'hello\n'], action.text)
  rmSync(own)
  await bench.until('the restart', async () => existsSync(own) && (await bench.ask('GET', '/v1/groups/own')).body.state === 'ONLINE')
  const slow = bench.ask('POST', '/v1/groups/own/resources/kept/actions/slow')
  await bench.until('the action to run', () => Promise.resolve(existsSync(`${own}.slow`)))
  assert.equal((await bench.ask('POST', '/v1/groups/own/offline?wait=60s')).body.status, 'done')
  assert.equal((await slow).body.outcome, 'cancelled', 'what acts under the grant ends with it')
  await bench.until('its monitor to go', () => Promise.resolve(!existsSync(join(bench.folder, 'n1', 'run', 'monitor@own.pid'))))
  assert.equal((await bench.ask('DELETE', '/v1/groups/own?wait=60s')).body.status, 'done')
})
