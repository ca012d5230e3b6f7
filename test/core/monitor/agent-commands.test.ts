/** The commands that agents call, as they call them, and how they are answered. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type AttributeRequest,
  answerAttribute,
  answerCluster,
  managerVersion,
  needsCluster,
  noteName,
  parseAgentCommand,
  scoreOfNote,
} from '../../../src/core/monitor/index.js'

/** Calls found in agents of Debian, and what they mean: act, scope, node or set, name. */
const calls: readonly (readonly [string, string])[] = [
  [
    'crm_attribute --type crm_config --name r1_REPL_INFO -s redis_replication -v n1 -q',
    'set n1 cluster redis_replication r1_REPL_INFO value',
  ],
  [
    'crm_attribute --type crm_config --name r1_REPL_INFO -s redis_replication --query -q',
    'get cluster redis_replication r1_REPL_INFO value',
  ],
  ['crm_attribute --node n2 -l forever --name r-tunnel-port --query -q', 'get forever n2 r-tunnel-port value'],
  ['crm_master -N n1 -l reboot -v 10', 'set 10 reboot n1 master-redis crm_attribute'],
  ['crm_master -Q -l reboot -v 100', 'set 100 reboot - master-redis value'],
  ['crm_master -N n1 -l reboot -G', 'get reboot n1 master-redis crm_attribute'],
  ['crm_attribute -p -v 10', 'set 10 reboot - master-redis crm_attribute'],
  ['crm_attribute -p -D', 'delete reboot - master-redis crm_attribute'],
  ['crm_attribute -p other -v 10', 'set 10 reboot - master-other crm_attribute'],
  ['crm_attribute -N n1 -l reboot --name g-bootstrap --quiet', 'get reboot n1 g-bootstrap value'],
  ['crm_attribute -N n1 -l reboot --name g-last-committed -v -1', 'set -1 reboot n1 g-last-committed crm_attribute'],
  ['crm_attribute -l reboot -N n1 -n pgsql-status -G -q', 'get reboot n1 pgsql-status value'],
  ['crm_attribute --lifetime=reboot --name=pending --node=n1 --update=1', 'set 1 reboot n1 pending crm_attribute'],
  ['crm_attribute -l forever -n db2hadr -G --quiet', 'get forever - db2hadr value'],
  ['crm_attribute --quiet -t nodes --node n1 -z -n cpu', 'get forever n1 cpu value'],
  ['crm_attribute -n runs_ers_X -v 1 -l reboot', 'set 1 reboot - runs_ers_X crm_attribute'],
  ['attrd_updater -n pgsql-data-status -v normal', 'set normal reboot - pgsql-data-status attrd_updater'],
  ['attrd_updater -n x -D', 'delete reboot - x attrd_updater'],
  ['attrd_updater 30s -S status -n ip -v 10.0.0.1', 'set 10.0.0.1 reboot - ip attrd_updater'],
  ['attrd_updater --query -n openstack_id -N n1', 'get reboot n1 openstack_id attrd_updater'],
  ['attrd_updater -p --name a --node n1 --update 3', 'set 3 reboot n1 a attrd_updater'],
]

function shown({ act, scope, node, set, name, print }: AttributeRequest): string {
  const what = act.kind === 'set' ? `set ${act.value}` : act.kind
  return `${what} ${scope} ${scope === 'cluster' ? set : (node ?? '-')} ${name} ${print}`
}

for (const [line, meaning] of calls) {
  test(line, () => {
    const request = parseAgentCommand(line.split(' '), 'redis:0')
    assert.ok(request.kind === 'attribute', JSON.stringify(request))
    assert.equal(shown(request), meaning)
    assert.equal(needsCluster(request, 'n1'), request.scope !== 'reboot' || (request.node ?? 'n1') !== 'n1')
  })
}

test('what is not there is told apart from what is empty, and may have a fallback', () => {
  const query = (line: string, value: string | undefined) => {
    const request = parseAgentCommand(line.split(' '), 'r')
    assert.ok(request.kind === 'attribute')
    return answerAttribute(request, 'n1', value)
  }
  assert.equal(query('crm_attribute -n a -G -q', undefined).status, 105)
  assert.deepEqual(query('crm_attribute -n a -G -q -d 7', undefined), { status: 0, out: '7\n', error: '' })
  assert.deepEqual(query('crm_attribute -n a -G -q', '').out, '\n')
  assert.equal(query('crm_attribute -N n1 -l reboot --name a --query', '5').out.split(/\s+/)[2], 'value=5', 'as agents cut it up')
  assert.equal(query('attrd_updater -Q -n a', 'x').out, 'name="a" host="n1" value="x"\n')
})

test('who is here, in the forms that agents cut up', () => {
  const sight = {
    nodes: [
      { name: 'n1', online: true },
      { name: 'n2', online: false },
      { name: 'n3', online: true },
    ],
    quorate: true,
    copies: [
      { resource: 'r', type: 'ocf:heartbeat:pgsql', node: 'n3', role: 'Promoted', failed: false },
      { resource: 'r', type: 'ocf:heartbeat:pgsql', node: 'n1', role: 'Unpromoted', failed: true },
    ],
  } as const
  const ask = (line: string) => answerCluster(parseAgentCommand(line.split(' '), 'r'), 'n3', sight).out
  assert.equal(ask('crm_node -l'), '1 n1 member\n2 n2 lost\n3 n3 member\n')
  assert.equal(ask('crm_node --list'), ask('crm_node -l'))
  assert.equal(ask('crm_node -p'), 'n1 n3\n')
  assert.equal(ask('crm_node -q'), '1\n')
  assert.equal(ask('crm_node -i'), '3\n')
  assert.match(ask('crm_mon -1'), /^Quorum: yes\nOnline: n1 n3\nOffline: n2\n$/)
  assert.match(ask('crm_mon -1 --output-as=xml'), /<node name="n2" id="2" online="false"\/>/)
  assert.equal(parseAgentCommand(['crm_node', '-n'], 'r').kind, 'node-name')
  assert.equal(parseAgentCommand(['pacemakerd', '-$'], 'r').kind, 'version')
  assert.match(managerVersion, /^Pacemaker 2\.\d+\.\d+ /, 'the second word is a version that agents compare')
})

test('the status in XML is cut up line by line', () => {
  const sight = {
    nodes: ['n1', 'n2', 'n3'].map((name) => ({ name, online: name !== 'n2' })),
    quorate: true,
    copies: [
      { resource: 'r', type: 'ocf:heartbeat:pgsql', node: 'n3', role: 'Promoted', failed: false },
      { resource: 's', type: 'ocf:heartbeat:pgsql', node: 'n1', role: 'Unpromoted', failed: false },
    ],
  } as const
  const lines = answerCluster(parseAgentCommand(['crm_mon', '-1', '--output-as=xml'], 'r'), 'n3', sight).out.split('\n')
  const has = (pattern: RegExp) => lines.some((line) => pattern.test(line))
  // The patterns of pgsql and redis.
  assert.ok(has(/<node name="n1" .* online="true"/))
  assert.ok(!has(/<node name="n2" .* online="true"/))
  assert.ok(has(/<resource id="r" .* role="(Promoted|Master)"/))
  assert.ok(!has(/<resource id="s" .* role="(Promoted|Master)"/))
  assert.ok(has(/resource.*id="r".* role="(Promoted|Master)".* active="true".* orphaned="false".* failed="false"/i))
})

test('what cannot be done is said by name', () => {
  const refusal = (...argv: string[]) => {
    const request = parseAgentCommand(argv, 'r')
    assert.ok(request.kind === 'refused')
    return `${request.answer.status} ${request.answer.error.trim()}`
  }
  assert.match(refusal('cibadmin', '-Q'), /^3 cibadmin is not there under Quorate/)
  assert.match(refusal('crm_attribute', '-v', '1'), /^64 crm_attribute: "" cannot name an attribute/)
  assert.match(refusal('crm_attribute', '-n', 'a/b', '-v', '1'), /cannot name/)
  assert.match(refusal('crm_attribute', '-Z'), /the option -Z is not known/)
  assert.match(refusal('crm_node'), /use -n/)
  assert.match(refusal('attrd_updater', '-n', 'a', '-v', 'x'.repeat(5_000)), /5000 characters, 4096 are allowed/)
  assert.match(refusal('crm_attribute', '-n', 'a', '-v', 'x'.repeat(70_000)), /70000 characters, 65536 are allowed/)
})

test('scores are kept by the group whose agent gives them, all else by its name', () => {
  assert.equal(noteName('db-status', 'db:n1'), 'db-status')
  assert.equal(noteName('master-server', 'db:n1'), 'db/master-server')
  assert.equal(noteName('master-server', 'web'), 'web/master-server')
  assert.deepEqual(scoreOfNote('db/master-server'), { of: 'db', resource: 'server' })
  assert.equal(scoreOfNote('db-status'), undefined)
})
