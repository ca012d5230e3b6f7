/** What a person at curl types wrong: each gets its code, the reason and the next step, and changes nothing. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type ErrorCode, errorTable } from '../../src/base/index.js'
import { canonical, type TableName } from '../../src/core/cluster/index.js'
import { type Asked, BenchCluster, sleeper } from './bench-api.js'

let bench: BenchCluster
before(async () => {
  bench = await BenchCluster.single()
  assert.equal((await bench.ask('PUT', '/v1/groups/web', { body: sleeper() })).status, 201)
  assert.equal((await bench.ask('PUT', '/v1/store/colour', { body: { value: 'green' } })).status, 200)
})
after(() => bench.close())

const resource = (extra: Record<string, unknown>): Record<string, unknown> => ({
  nodes: ['n1'],
  resources: { main: { type: 'command', parameters: { run: '/bin/true' }, ...extra } },
})
const typed = (type: string, parameters: Record<string, unknown> = {}): Record<string, unknown> => ({
  nodes: ['n1'],
  resources: { main: { type, parameters } },
})
const ring = {
  nodes: ['n1'],
  resources: {
    a: { type: 'command', parameters: { run: 'x' }, dependsOn: ['b'] },
    b: { type: 'command', parameters: { run: 'x' }, dependsOn: ['a'] },
  },
}
const header = (name: string, value: string): Asked => ({ headers: { [name]: value } })
const json = (body: unknown): Asked => ({ body })

type Case = readonly [what: string, method: string, path: string, asked: Asked, code: ErrorCode, fix?: RegExp]

const cases: readonly Case[] = [
  // Bodies.
  ['half a body', 'PUT', '/v1/groups/new', { body: '{"nodes":["n1"' }, 'BAD_JSON', /correct the body/],
  ['single quotes', 'PUT', '/v1/groups/new', { body: "{'nodes':['n1']}" }, 'BAD_JSON'],
  ['a comma too many', 'PUT', '/v1/groups/new', { body: '{"nodes":["n1"],}' }, 'BAD_JSON'],
  ['a key twice', 'PUT', '/v1/store/x', { body: '{"value":1,"value":2}' }, 'BAD_JSON'],
  ['bytes that are no text', 'PUT', '/v1/store/x', { body: Buffer.from([0xff, 0xfe, 0x00]) }, 'BAD_JSON', /UTF-8/],
  ['a list for an object', 'PUT', '/v1/groups/new', json([]), 'INVALID', /an object/],
  ['a text for an object', 'PATCH', '/v1/settings', json('"fast"'), 'INVALID'],
  ['null for an object', 'PUT', '/v1/store/x', { body: 'null' }, 'INVALID'],
  ['YAML that is none', 'POST', '/v1/apply', { body: 'groups: [', headers: { 'content-type': 'application/yaml' } }, 'BAD_YAML'],
  [
    'YAML with a key twice',
    'POST',
    '/v1/apply',
    { body: 'prune: true\nprune: true\n', headers: { 'content-type': 'application/yaml' } },
    'BAD_YAML',
  ],
  ['XML', 'PUT', '/v1/groups/new', { body: '<group/>', headers: { 'content-type': 'application/xml' } }, 'UNSUPPORTED_MEDIA_TYPE', /JSON/],
  ['a form', 'PUT', '/v1/store/x', { body: 'value=1', headers: { 'content-type': 'application/x-www-form-urlencoded' } }, 'BAD_JSON'],
  ['too large a body', 'PUT', '/v1/store/x', { body: JSON.stringify({ value: 'x'.repeat(1_100_000) }) }, 'TOO_LARGE'],
  ['too large a value', 'PUT', '/v1/store/x', json({ value: 'x'.repeat(70_000) }), 'TOO_LARGE', /storeValueMax/],
  ['a body where none is taken', 'POST', '/v1/groups/web/offline', json({ now: true }), 'UNKNOWN_KEY', /no keys/],
  ['too deep', 'PUT', '/v1/store/x', { body: `{"value":${'['.repeat(200)}${']'.repeat(200)}}` }, 'BAD_JSON', /correct/],
  // Keys and types.
  ['an unknown key', 'PUT', '/v1/groups/new', json({ ...sleeper(), priorty: 5 }), 'UNKNOWN_KEY', /"priority"/],
  ['an unknown key deeper', 'PUT', '/v1/groups/new', json(resource({ probe: { intervall: '5s' } })), 'UNKNOWN_KEY', /"interval"/],
  ['no nodes', 'PUT', '/v1/groups/new', json({ resources: {} }), 'INVALID'],
  ['an empty list of nodes', 'PUT', '/v1/groups/new', json({ ...sleeper(), nodes: [] }), 'INVALID_DEFINITION', /at least one/],
  ['a text for a list', 'PUT', '/v1/groups/new', json({ ...sleeper(), nodes: 'n1' }), 'INVALID', /a list/],
  ['a text for a number', 'PUT', '/v1/groups/new', json({ ...sleeper(), priority: '5' }), 'INVALID', /whole number/],
  ['half a number', 'PUT', '/v1/groups/new', json({ ...sleeper(), priority: 1.5 }), 'INVALID'],
  ['an unknown intent', 'PUT', '/v1/groups/new', json({ ...sleeper(), intent: 'online' }), 'INVALID', /ONLINE/],
  ['no resources', 'PUT', '/v1/groups/new', json({ nodes: ['n1'], resources: {} }), 'INVALID_DEFINITION'],
  // Names.
  ['a name with a space', 'PUT', '/v1/groups/a%20b', json(sleeper()), 'INVALID_NAME', /letters/],
  ['a name with a slash', 'PUT', '/v1/groups/a%2Fb', json(sleeper()), 'INVALID_NAME'],
  ['a name too long', 'PUT', `/v1/groups/${'x'.repeat(64)}`, json(sleeper()), 'INVALID_NAME'],
  ['a word that every object knows', 'PUT', '/v1/groups/constructor', json(sleeper()), 'INVALID_NAME'],
  [
    'a resource with a bad name',
    'PUT',
    '/v1/groups/new',
    json({ nodes: ['n1'], resources: { 'a b': { type: 'command', parameters: { run: 'x' } } } }),
    'INVALID_NAME',
  ],
  // Definitions.
  ['an unknown node', 'PUT', '/v1/groups/new', json({ ...sleeper(), nodes: ['n1', 'n2'] }), 'UNKNOWN_NODE', /n1/],
  ['a node twice', 'PUT', '/v1/groups/new', json({ ...sleeper(), nodes: ['n1', 'n1'] }), 'INVALID_DEFINITION', /once/],
  ['a ring', 'PUT', '/v1/groups/new', json(ring), 'DEPENDENCY_RING', /dependsOn/],
  ['a dependency that is not there', 'PUT', '/v1/groups/new', json(resource({ dependsOn: ['mian'] })), 'INVALID_DEFINITION', /"main"/],
  ['an unknown type', 'PUT', '/v1/groups/new', json(typed('comand')), 'UNKNOWN_TYPE', /"command"/],
  ['an OCF type that is none', 'PUT', '/v1/groups/new', json(typed('ocf:heartbeat')), 'UNKNOWN_TYPE', /ocf:/],
  ['an agent that is not installed', 'PUT', '/v1/groups/new', json(typed('ocf:heartbeat:no-such-agent-here')), 'UNKNOWN_TYPE'],
  ['an agent elsewhere on the disk', 'PUT', '/v1/groups/new', json(typed('ocf:..:..:bin:sh')), 'UNKNOWN_TYPE'],
  ['a parameter that is not known', 'PUT', '/v1/groups/new', json(typed('tcp', { host: 'x', prt: 80 })), 'INVALID_DEFINITION', /"port"/],
  ['a parameter that is missing', 'PUT', '/v1/groups/new', json(typed('tcp', { host: 'x' })), 'INVALID_DEFINITION'],
  ['a parameter of the wrong kind', 'PUT', '/v1/groups/new', json(typed('tcp', { host: 'x', port: 'http' })), 'INVALID_DEFINITION'],
  ['a list of numbers as parameter', 'PUT', '/v1/groups/new', json(typed('command', { run: ['sleep', 1000] })), 'INVALID', /a text/],
  ['an address that is none', 'PUT', '/v1/groups/new', json(typed('logical-hostname', { address: '10.0.0.300/24' })), 'INVALID_DEFINITION'],
  ['start without stop', 'PUT', '/v1/groups/new', json(typed('command', { start: 'x' })), 'INVALID_DEFINITION'],
  ['a time that is none', 'PUT', '/v1/groups/new', json(resource({ probe: { interval: 'often' } })), 'INVALID', /ms, s, m, h or d/],
  [
    'failures of fewer',
    'PUT',
    '/v1/groups/new',
    json(resource({ probe: { failAfter: { failures: 3, of: 2 } } })),
    'INVALID_DEFINITION',
    /from 1 to 2/,
  ],
  ['no time-out at all', 'PUT', '/v1/groups/new', json(resource({ probe: { timeouts: 0 } })), 'INVALID'],
  [
    'a deep probe of no program',
    'PUT',
    '/v1/groups/new',
    json(resource({ probeDeep: { interval: '1m' } })),
    'INVALID_DEFINITION',
    /give both/,
  ],
  ['memory that is none', 'PUT', '/v1/groups/new', json(resource({ limits: { memory: '512M' } })), 'INVALID', /512MiB/],
  ['memory for nothing', 'PUT', '/v1/groups/new', json(resource({ limits: { memory: 100 } })), 'INVALID_DEFINITION', /from 1048576/],
  ['a limit that is none', 'PUT', '/v1/groups/new', json(resource({ limits: { memmory: 1 } })), 'UNKNOWN_KEY', /"memory"/],
  [
    'limits of a check',
    'PUT',
    '/v1/groups/new',
    json(resource({ type: 'link', parameters: { device: 'lo' }, limits: { tasks: 5 } })),
    'INVALID_DEFINITION',
    /leave limits out/,
  ],
  ['an expression that is none', 'PUT', '/v1/groups/new', json(typed('command', { run: 'x', readyLog: '(' })), 'INVALID_DEFINITION'],
  ['a negative time', 'PUT', '/v1/groups/new', json(resource({ probe: { interval: -5 } })), 'INVALID'],
  ['an impossible time', 'PUT', '/v1/groups/new', json(resource({ stop: { timeout: '1ms' } })), 'INVALID_DEFINITION', /between/],
  [
    'more instances than nodes',
    'PUT',
    '/v1/groups/new',
    json({ ...sleeper(), mode: 'scalable', desired: 9 }),
    'INVALID_DEFINITION',
    /between/,
  ],
  ['no instances', 'PUT', '/v1/groups/new', json({ ...sleeper(), mode: 'scalable', desired: 0 }), 'INVALID'],
  ['instances of one that runs on one node', 'PUT', '/v1/groups/new', json({ ...sleeper(), desired: 1 }), 'INVALID_DEFINITION', /scalable/],
  [
    'a primary of nothing',
    'PUT',
    '/v1/groups/new',
    json({ ...sleeper(), mode: 'scalable', primary: {} }),
    'INVALID_DEFINITION',
    /promotable/,
  ],
  [
    'roles without programs',
    'PUT',
    '/v1/groups/new',
    json({ ...resource({ promotable: true }), mode: 'scalable' }),
    'INVALID_DEFINITION',
    /promote/,
  ],
  ['a role on one node', 'PUT', '/v1/groups/new', json(resource({ promotable: true })), 'INVALID_DEFINITION', /scalable/],
  ['a name of a part', 'PUT', '/v1/groups/new:n1', json(sleeper()), 'INVALID_NAME'],
  ['a failback', 'PUT', '/v1/groups/new', json({ ...sleeper(), failback: { mode: 'immediate' } }), 'NOT_YET', /never/],
  ['a demotion of nothing', 'PUT', '/v1/groups/new', json({ ...sleeper(), onQuorumLoss: 'demote' }), 'INVALID_DEFINITION', /Pacemaker/],
  [
    'a demotion of copies without a role',
    'PUT',
    '/v1/groups/new',
    json({ ...sleeper(), mode: 'scalable', onQuorumLoss: 'demote' }),
    'INVALID_DEFINITION',
    /promotable/,
  ],
  ['going on without a quorum', 'PUT', '/v1/groups/new', json({ ...sleeper(), onQuorumLoss: 'ignore' }), 'INVALID'],
  ['brakes let go for no reason', 'POST', '/v1/brakes/release', json({}), 'INVALID'],
  ['a reason that is none', 'POST', '/v1/nodes/n1/clear', json({ reason: 7 }), 'INVALID'],
  ['a load', 'PUT', '/v1/groups/new', json({ ...sleeper(), load: { cpu: 2 } }), 'NOT_YET', /leave it out/],
  ['a unit that is no service', 'PUT', '/v1/groups/new', json(typed('systemd:nginx.socket')), 'UNKNOWN_TYPE'],
  ['a patch that breaks it', 'PATCH', '/v1/groups/web', json({ nodes: ['n9'] }), 'UNKNOWN_NODE'],
  ['a patch that removes what is needed', 'PATCH', '/v1/groups/web', json({ resources: null }), 'INVALID'],
  ['another name in the body', 'PUT', '/v1/groups/web', json({ name: 'app', definition: sleeper() }), 'INVALID', /same/],
  // Settings.
  ['an unknown setting', 'PATCH', '/v1/settings', json({ lese: '3s' }), 'UNKNOWN_KEY', /"lease"/],
  ['a setting of the wrong type', 'PATCH', '/v1/settings', json({ lease: true }), 'INVALID'],
  ['a setting out of bounds', 'PATCH', '/v1/settings', json({ lease: '1h' }), 'INVALID', /between/],
  ['settings that cannot hold together', 'PATCH', '/v1/settings', json({ lease: '1500ms' }), 'IMPOSSIBLE_SETTINGS', /lease/],
  ['an unknown profile', 'PATCH', '/v1/settings', json({ profile: 'fats' }), 'INVALID', /"fast"/],
  // Preconditions and keys.
  ['a stale ETag', 'PUT', '/v1/groups/web', { ...json(sleeper({ priority: 3 })), ...header('if-match', '"1"') }, 'REVISION_MISMATCH'],
  [
    'what is there already',
    'PUT',
    '/v1/groups/web',
    { ...json(sleeper({ priority: 3 })), ...header('if-none-match', '*') },
    'REVISION_MISMATCH',
  ],
  ['an ETag that is none', 'PUT', '/v1/groups/web', { ...json(sleeper()), ...header('if-match', 'yesterday') }, 'INVALID', /ETag/],
  [
    'a stale revision in the body',
    'PUT',
    '/v1/groups/web',
    json({ revision: 1, definition: sleeper({ priority: 3 }) }),
    'REVISION_MISMATCH',
  ],
  ['a stale ETag of a key', 'PUT', '/v1/store/colour', { ...json({ value: 'red' }), ...header('if-match', '"1"') }, 'REVISION_MISMATCH'],
  ['an Idempotency-Key with spaces', 'PUT', '/v1/store/x', { ...json({ value: 1 }), ...header('idempotency-key', 'a b') }, 'INVALID'],
  // Verbs.
  ['a move to a node that is not there', 'POST', '/v1/groups/web/move', json({ to: 'n9' }), 'UNKNOWN_NODE'],
  ['a move to nowhere', 'POST', '/v1/groups/web/move', {}, 'INVALID'],
  ['a freeze without an end', 'POST', '/v1/groups/web/freeze', json({ owner: 'me', reason: 'x' }), 'INVALID'],
  ['maintenance without a reason', 'POST', '/v1/nodes/n1/maintenance', json({ for: '1h' }), 'INVALID', /reason/],
  ['maintenance without an end', 'POST', '/v1/nodes/n1/maintenance', json({ reason: 'x' }), 'INVALID', /always has an end/],
  ['maintenance for ever', 'POST', '/v1/nodes/n1/maintenance', json({ for: '400d', reason: 'x' }), 'INVALID', /30d/],
  [
    'maintenance that ends and begins',
    'POST',
    '/v1/nodes/n1/maintenance',
    json({ end: true, for: '1h', reason: 'x' }),
    'INVALID',
    /"end": true/,
  ],
  ['a freeze with another word for probes', 'POST', '/v1/groups/web/freeze', json({ for: '1h', reason: 'x', probes: 'never' }), 'INVALID'],
  ['another word for a copy that is found', 'PUT', '/v1/groups/new', json({ ...sleeper(), offlineProbe: { onFound: 'stop' } }), 'INVALID'],
  ['a probe of nothing', 'POST', '/v1/groups/web/resources/nothing/probe', json({}), 'RESOURCE_NOT_FOUND'],
  ['a freeze for ever', 'POST', '/v1/groups/web/freeze', json({ for: '400d', owner: 'me', reason: 'x' }), 'INVALID', /30d/],
  ['a restart of what does not run', 'POST', '/v1/groups/web/restart', {}, 'CONFLICT'],
  ['a verb on a group that is not there', 'POST', '/v1/groups/wbe/offline', {}, 'GROUP_NOT_FOUND'],
  ['a fence without the name typed', 'POST', '/v1/nodes/n1/fence', json({ node: 'n2', reason: 'x' }), 'INVALID', /type the name/],
  ['a fence without a device', 'POST', '/v1/nodes/n1/fence', json({ node: 'n1', reason: 'x' }), 'CONFLICT', /PATCH/],
  ['a fence without a reason', 'POST', '/v1/nodes/n1/fence', json({ node: 'n1' }), 'INVALID'],
  ['standby of a node that is not there', 'POST', '/v1/nodes/n9/standby', {}, 'NODE_NOT_FOUND'],
  [
    'a fence agent that is not installed',
    'PATCH',
    '/v1/nodes/n1',
    json({ fencing: { levels: [[{ agent: 'fence_nothing_at_all' }]] } }),
    'INVALID_DEFINITION',
  ],
  ['a fence agent that is a relative path', 'PATCH', '/v1/nodes/n1', json({ fencing: { levels: [[{ agent: 'bin/sh' }]] } }), 'INVALID'],
  [
    'a line break to a fence agent',
    'PATCH',
    '/v1/nodes/n1',
    json({ fencing: { levels: [[{ agent: '/bin/sh', parameters: { a: 'x\naction=on' } }]] } }),
    'INVALID',
  ],
  [
    'a hidden password that is not known',
    'PATCH',
    '/v1/nodes/n1',
    json({ fencing: { levels: [[{ agent: '/bin/sh', parameters: { password: '********' } }]] } }),
    'INVALID',
  ],
  ['an acknowledgement of no case', 'POST', '/v1/cases/c-none/acknowledge', json({ node: 'n1', reason: 'x' }), 'CASE_NOT_FOUND'],
  ['the lead for a node that is not there', 'POST', '/v1/leader/transfer', json({ to: 'n7' }), 'UNKNOWN_NODE'],
  ['an operation that is not there', 'DELETE', '/v1/operations/op-none', {}, 'OPERATION_NOT_FOUND'],
  ['a checkpoint without a token', 'PUT', '/v1/groups/web/checkpoints/visits', { body: '5' }, 'INVALID', /QUORATE_GRANT_TOKEN/],
  [
    'a checkpoint with a token of nobody',
    'PUT',
    '/v1/groups/web/checkpoints/visits',
    { body: '5', ...header('quorate-grant-token', '1') },
    'STALE_TOKEN',
  ],
  [
    'a checkpoint with a bad name',
    'PUT',
    '/v1/groups/web/checkpoints/a%2Fb',
    { body: '5', ...header('quorate-grant-token', '1') },
    'INVALID_NAME',
  ],
  // The store.
  ['a value without its key', 'PUT', '/v1/store/x', json({ val: 1 }), 'UNKNOWN_KEY', /"value"/],
  ['no value', 'PUT', '/v1/store/x', {}, 'INVALID'],
  ['a key with a control character', 'PUT', '/v1/store/a%00b', json({ value: 1 }), 'INVALID_NAME'],
  ['a key too long', 'PUT', `/v1/store/${'k'.repeat(600)}`, json({ value: 1 }), 'INVALID_NAME'],
  ['a key that is not there', 'DELETE', '/v1/store/none', {}, 'KEY_NOT_FOUND'],
  ['a transaction of nothing', 'POST', '/v1/store', json({ operations: [] }), 'INVALID'],
  ['an operation that is none', 'POST', '/v1/store', json({ operations: [{ kind: 'set', key: 'a' }] }), 'INVALID', /put/],
  ['a key that does not go with it', 'POST', '/v1/store', json({ operations: [{ kind: 'get', key: 'a', value: 1 }] }), 'UNKNOWN_KEY'],
  ['a put without a value', 'POST', '/v1/store', json({ operations: [{ kind: 'put', key: 'a' }] }), 'INVALID'],
  [
    'a transaction whose check fails',
    'POST',
    '/v1/store',
    json({
      operations: [
        { kind: 'put', key: 'colour', value: 'red' },
        { kind: 'check', key: 'colour', revision: 1 },
      ],
    }),
    'REVISION_MISMATCH',
  ],
  // Whole documents.
  ['a document with an unknown key', 'POST', '/v1/apply', json({ group: {} }), 'UNKNOWN_KEY', /"groups"/],
  ['a document with one bad group', 'POST', '/v1/apply', json({ groups: { good: sleeper(), bad: typed('comand') } }), 'UNKNOWN_TYPE'],
  ['a document with an unknown node', 'POST', '/v1/apply', json({ nodes: { n3: {} } }), 'UNKNOWN_NODE'],
  [
    'a document with impossible settings',
    'POST',
    '/v1/apply',
    json({ settings: { lease: '1500ms' }, groups: { good: sleeper() } }),
    'IMPOSSIBLE_SETTINGS',
  ],
  ['a document for another revision', 'POST', '/v1/apply', json({ groups: { good: sleeper() }, ifRevision: 1 }), 'REVISION_MISMATCH'],
  ['a document for another plan', 'POST', '/v1/apply', json({ groups: { good: sleeper() }, planHash: 'other' }), 'REVISION_MISMATCH'],
  // Queries.
  ['an unknown parameter', 'GET', '/v1/status?consistancy=local', {}, 'INVALID_QUERY', /"consistency"/],
  ['an unknown consistency', 'GET', '/v1/groups?consistency=strong', {}, 'INVALID_QUERY', /local/],
  ['a parameter twice', 'GET', '/v1/groups?consistency=local&consistency=local', {}, 'INVALID_QUERY', /once/],
  ['a wait without a unit', 'GET', '/v1/groups?index=1&wait=30', {}, 'INVALID_QUERY', /30s/],
  ['a wait too long', 'GET', '/v1/groups?index=1&wait=2h', {}, 'INVALID_QUERY', /5m/],
  ['an index that is none', 'GET', '/v1/groups?index=latest', {}, 'INVALID_QUERY'],
  ['dryRun that is neither', 'PUT', '/v1/groups/new?dryRun=1', json(sleeper()), 'INVALID_QUERY', /true or false/],
  ['a state that is none', 'GET', '/v1/groups/web?until=UP', {}, 'INVALID_QUERY', /ONLINE/],
  ['why-not without a node', 'GET', '/v1/groups/web/why-not', {}, 'INVALID_QUERY', /node/],
  ['why-not for a node that is not there', 'GET', '/v1/groups/web/why-not?node=n9', {}, 'NODE_NOT_FOUND'],
  ['an earlier configuration', 'GET', '/v1/config?at=3', {}, 'NOT_YET'],
  ['a format that is none', 'GET', '/v1/config?format=toml', {}, 'INVALID_QUERY'],
  // Paths and methods.
  ['a path that is nearly right', 'GET', '/v1/group/web', {}, 'NOT_FOUND', /\/v1\/groups\/web/],
  ['a path without its version', 'GET', '/status', {}, 'NOT_FOUND', /\/v1\/status/],
  ['a path that is nothing', 'GET', '/wp-admin.php', {}, 'NOT_FOUND', /docs/],
  ['a path that cannot be decoded', 'GET', '/v1/groups/%zz', {}, 'INVALID', /%25/],
  ['a method that the path does not know', 'POST', '/v1/groups/web', json({}), 'METHOD_NOT_ALLOWED', /PUT/],
  ['a method that nobody knows here', 'PROPFIND', '/v1/status', {}, 'METHOD_NOT_ALLOWED', /GET/],
  ['a group that is not there', 'GET', '/v1/groups/wbe', {}, 'GROUP_NOT_FOUND', /"web"/],
  ['a node that is not there', 'GET', '/v1/nodes/n2', {}, 'NODE_NOT_FOUND', /n1/],
  ['a resource that is not there', 'GET', '/v1/groups/web/resources/mian', {}, 'RESOURCE_NOT_FOUND', /"main"/],
  ['a type that is not there', 'GET', '/v1/types/comand', {}, 'TYPE_NOT_FOUND', /"command"/],
  ['a key that is not there, read', 'GET', '/v1/store/none', {}, 'KEY_NOT_FOUND'],
  ['a case that is not there', 'GET', '/v1/cases/c-none', {}, 'CASE_NOT_FOUND'],
  ['a decision that is not there', 'GET', '/v1/decisions/d1', {}, 'DECISION_NOT_FOUND'],
  ['a checkpoint that is not there', 'GET', '/v1/groups/web/checkpoints/visits', {}, 'CHECKPOINT_NOT_FOUND'],
  // What comes later.
  ['the end of detached maintenance', 'POST', '/v1/nodes/n1/maintenance', json({ end: true, detached: true }), 'INVALID', /end/],
  ['a backup', 'GET', '/v1/backup', {}, 'NOT_YET', /config/],
  ['a simulation', 'POST', '/v1/simulate', json({ events: [] }), 'NOT_YET'],
  [
    'a stop of a cluster by another name',
    'POST',
    '/v1/cluster/stop',
    json({ cluster: 'another' }),
    'INVALID',
    /type the name of the cluster/,
  ],
  ['a stop of no cluster', 'POST', '/v1/cluster/stop', json({}), 'INVALID', /"cluster"/],
  ['a node that leaves and is not there', 'POST', '/v1/nodes/n9/leave', json({}), 'NODE_NOT_FOUND'],
  ['a test of devices of a node that is not there', 'POST', '/v1/nodes/n9/fencing/test', {}, 'NODE_NOT_FOUND'],
  ['a test of devices where there are none', 'POST', '/v1/nodes/n1/fencing/test', {}, 'CONFLICT', /PATCH/],
]

test('every wrong input has its code, its reason and its next step, and changes nothing', async (context) => {
  const found = await contents()
  for (const [what, method, path, asked, code, fix] of cases) {
    await context.test(what, async () => {
      const answer = await bench.ask(method, path, asked)
      assert.equal(answer.body?.code, code, answer.text)
      assert.equal(answer.status, errorTable[code].httpStatus)
      assert.match(String(answer.headers['content-type']), /^application\/problem\+json/)
      assert.equal(answer.body.title, errorTable[code].text)
      assert.equal(answer.body.status, answer.status)
      assert.equal(typeof answer.body.detail, 'string')
      assert.match(String(answer.body.fix), fix ?? /./, 'says what to do next')
      for (const name of ['quorate-index', 'quorate-term', 'quorate-leader']) assert.notEqual(answer.headers[name], undefined, name)
      if (code === 'METHOD_NOT_ALLOWED') assert.match(String(answer.headers.allow), /GET/)
      assert.equal(await contents(), found, 'nothing has changed')
    })
  }
})

test('a refusal before the log leaves no entry in it', async () => {
  // The leader's own entry, one in some seconds, may come in between: an entry that a refusal leaves would come each time.
  const grown: number[] = []
  for (let time = 0; time < 3; time++) {
    const index = Number(bench.daemon().node?.state.appliedIndex)
    await bench.ask('PUT', '/v1/groups/new', json({ ...sleeper(), priorty: 5 }))
    await bench.ask('PUT', '/v1/groups/new', json(ring))
    grown.push(Number(bench.daemon().node?.state.appliedIndex) - index)
  }
  assert.ok(grown.includes(0), String(grown))
})

/** Everything that a person or a service may have changed. */
async function contents(): Promise<string> {
  const { node } = bench.daemon()
  assert.ok(node !== undefined)
  await node.barrier()
  const tables: readonly TableName[] = ['settings', 'nodes', 'groups', 'cases', 'operations', 'store', 'checkpoints']
  // What the planner says of the group meanwhile is not the client's doing.
  return canonical(tables.map((table) => [...node.state.rows(table)].map(([key, row]) => [key, { ...row, waitingFor: null }])))
}
