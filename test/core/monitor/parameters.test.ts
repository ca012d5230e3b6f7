import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ResourceDefinition } from '../../../src/core/cluster/index.js'
import {
  checkDepthAndLimits,
  checkOcfParameters,
  checkResourceParameters,
  commandWarnings,
  parseOcfMetadata,
  parseOcfType,
} from '../../../src/core/monitor/index.js'

const good: readonly (readonly [string, object])[] = [
  ['command', { run: 'sleep 1' }],
  [
    'command',
    { run: ['/bin/sleep', '1'], readyPort: 80, stopSignal: 'SIGINT', environment: { A: 'b' }, workingDirectory: '/', user: 'nobody' },
  ],
  ['command', { start: 'a', stop: 'b', probe: 'c' }],
  ['logical-hostname', { address: '10.0.0.100/24', device: 'eth0' }],
  ['logical-hostname', { address: '127.0.0.100' }],
  ['tcp', { host: 'localhost', port: 80, timeout: '1s' }],
  ['http', { url: 'http://localhost/', status: 200, contains: 'x' }],
  ['command', { run: 'a', readyLog: '^listening on \\d+$', readyFile: true, readyPort: 1 }],
  ['command', { run: 'a', probeDeep: ['/bin/true'] }],
  ['process', { pidFile: '/run/x.pid' }],
  ['process', { name: 'nginx', user: 'www-data' }],
  ['process', { name: 'nginx', user: 33 }],
  ['file', { path: '/a', maxAge: '1h', contains: 'x' }],
  ['disk-space', { path: '/', minFree: '5%' }],
  ['disk-space', { path: '/', minFree: '10GiB' }],
  ['link', { device: 'eth0' }],
  ['reachability', { targets: ['10.0.0.1:22', '[fd00::1]:22', 'gateway:179'], atLeast: 2, timeout: '1s' }],
  ['ocf:heartbeat:nginx', { anything: 'is the agent’s to say' }],
]

const bad: readonly (readonly [string, object, string])[] = [
  ['comand', {}, 'did you mean "command"?'],
  ['ocf:heartbeat:../../x', {}, 'does not name an OCF agent'],
  ['command', {}, 'nothing to run'],
  ['command', { run: '' }, 'must be a shell command'],
  ['command', { run: 'a', start: 'b' }, 'does not go with run'],
  ['command', { start: 'a', stop: 'b' }, 'without a probe nobody can prove'],
  ['command', { start: 'a', stop: 'b', probe: 'c', readyPort: 1 }, 'goes with run only'],
  ['command', { run: 'a', stopSignal: 'SIGNONE' }, 'must be one of SIGTERM'],
  ['command', { run: 'a', environment: { '1x': 'b' } }, 'must map names'],
  ['command', { run: 'a', workingDirectory: 'x' }, 'absolute path'],
  ['command', { runn: 'a' }, 'did you mean "run"?'],
  ['command', { run: 'a', constructor: 'b' }, 'no parameter "constructor"'],
  ['logical-hostname', {}, 'needs the parameter "address"'],
  ['logical-hostname', { address: '10.0.0.300/24' }, 'must be an IPv4 address'],
  ['logical-hostname', { address: '10.0.0.100' }, 'needs its prefix length'],
  ['logical-hostname', { address: '10.0.0.100/33' }, 'from 1 to 32'],
  ['logical-hostname', { address: '10.0.0.1/24', device: 'a b' }, 'name of a network device'],
  ['tcp', { host: 'x', port: 0 }, '1 to 65535'],
  ['tcp', { host: 'x', port: 1, timeout: 'soon' }, 'duration'],
  ['http', { url: 'ftp://x' }, 'must begin with http://'],
  ['command', { run: 'a', readyLog: '(' }, 'must be a regular expression: Invalid regular expression'],
  ['command', { run: 'a', readyLog: '' }, 'must be a regular expression of 1 to 500'],
  ['command', { run: 'a', readyFile: 'yes' }, 'must be true or false'],
  ['command', { start: 'a', stop: 'b', probe: 'c', readyLog: 'x' }, 'readyLog goes with run only'],
  ['process', {}, 'needs pidFile or name'],
  ['process', { name: 'x', pidFile: '/y' }, 'name does not go with pidFile'],
  ['process', { pidFile: '/y', user: 'x' }, 'user goes with name only'],
  ['process', { name: 'a-name-of-seventeen' }, '1 to 15 characters'],
  ['process', { name: 'x', user: 'a b' }, 'name or the number of a user'],
  ['file', { path: 'x' }, 'absolute path'],
  ['file', { path: '/x', maxAge: 'old' }, 'duration'],
  ['disk-space', { path: '/' }, 'needs the parameter "minFree"'],
  ['disk-space', { path: '/', minFree: '120%' }, 'a share such as 5%'],
  ['disk-space', { path: '/', minFree: '10 GB of room' }, 'a size such as 10GiB'],
  ['link', { device: '../x' }, 'name of a network device'],
  ['reachability', { targets: [] }, '1 to 64 targets'],
  ['reachability', { targets: ['a:1', 'b'] }, '"b" is none'],
  ['reachability', { targets: ['a:70000'] }, '"a:70000" is none'],
  ['reachability', { targets: ['a:1'], atLeast: 2 }, 'no more than there are'],
  ['reachability', { targets: ['a:1'], atLeast: 0 }, 'from 1 up'],
]

for (const [type, parameters] of good) {
  test(`${type} takes ${JSON.stringify(parameters)}`, () => assert.deepEqual(checkResourceParameters(type, parameters as never), []))
}

for (const [type, parameters, expected] of bad) {
  test(`${type} with ${JSON.stringify(parameters)} is refused: ${expected}`, () => {
    const problems = checkResourceParameters(type, parameters as never)
    assert.ok(problems.length > 0)
    assert.match(JSON.stringify(problems).replaceAll('\\"', '"'), new RegExp(expected.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')))
  })
}

const whole = (more: object) => ({ dependsOn: [], probe: { interval: 1, timeout: 1 }, ...more }) as unknown as ResourceDefinition
const deepProbe = { interval: 1_000, timeout: 1_000 }

test('a deep probe and limits are for types that have them', () => {
  for (const fine of [
    { type: 'command', parameters: { run: 'a', probeDeep: 'b' }, probeDeep: deepProbe, limits: { tasks: 5 } },
    { type: 'command', parameters: { run: 'a' } },
    { type: 'ocf:heartbeat:Dummy', parameters: {}, probeDeep: { ...deepProbe, level: 20 }, limits: { memory: 2 ** 30 } },
  ])
    assert.deepEqual(checkDepthAndLimits(whole(fine)), [])
  for (const [wrong, detail] of [
    [{ type: 'tcp', parameters: {}, probeDeep: deepProbe }, /type tcp has no deep probe/],
    [{ type: 'command', parameters: { run: 'a' }, probeDeep: deepProbe }, /no program for it/],
    [{ type: 'command', parameters: { run: 'a', probeDeep: 'b' } }, /nothing says how often/],
    [{ type: 'command', parameters: { run: 'a', probeDeep: 'b' }, probeDeep: { ...deepProbe, level: 10 } }, /of OCF agents only/],
    [{ type: 'file', parameters: {}, limits: { tasks: 5 } }, /no processes that limits could hold/],
    [{ type: 'ocf:a:B', parameters: {}, probeDeep: [deepProbe, { ...deepProbe, level: 10 }] }, /two of its depths have level 10/],
    [{ type: 'command', parameters: { run: 'a', probeDeep: 'b' }, probeDeep: [deepProbe, { ...deepProbe, level: 20 }] }, /one deep probe/],
    [{ type: 'tcp', parameters: {}, operations: 'none' }, /only looks anyway/],
    [{ type: 'ocf:a:B', parameters: {}, operations: 'none', limits: { tasks: 5 } }, /limits are of what is started here/],
    [{ type: 'ocf:a:B', parameters: {}, operations: 'none', promotable: true }, /promotable/],
    [{ type: 'ocf:a:B', parameters: {}, operations: 'none', files: ['/a'] }, /files are of what is started here/],
  ] as const)
    assert.match(checkDepthAndLimits(whole(wrong))[0]?.detail ?? '', detail)
})

test('of what is only looked at a command has its probes and nothing that would start or stop it', () => {
  const problems = (parameters: Record<string, string>) =>
    checkResourceParameters('command', parameters, 'none').map(({ detail }) => detail)
  assert.deepEqual(problems({ probe: 'a', probeDeep: 'b', user: 'www-data', workingDirectory: '/srv' }), [])
  assert.deepEqual(problems({ run: 'a' }), ['run does not go with "operations": "none"', 'it is only looked at, and nothing says how'])
  assert.deepEqual(problems({ probe: 'a', stop: 'b' }), ['stop does not go with "operations": "none"'])
})

test('a client that has others start the service is warned of, unless a probe can tell or the container stays in its cell', () => {
  const warned = (parameters: Record<string, unknown>) => commandWarnings({ type: 'command', parameters } as never).length > 0
  for (const run of [
    'exec docker run --rm web',
    ['/usr/bin/docker', 'run', 'web'],
    'podman run --rm web',
    'podman start -a web',
    'podman --remote run --cgroups disabled web',
    'exec systemd-run --scope sleep 9',
    'virsh create vm.xml',
  ]) {
    assert.equal(warned({ run }), true, String(run))
    assert.equal(warned({ run, probe: 'is-it-there' }), false, String(run))
  }
  for (const run of [
    'podman run --cgroups disabled web',
    'podman run --cgroups=split web',
    'podman rm web; exec sleep 9',
    '/srv/dockerise/run',
  ])
    assert.equal(warned({ run }), false, run)
  assert.equal(warned({ start: 'docker start web', stop: 'docker stop web', probe: 'p' }), false)
})

test('an OCF type names a provider and an agent, and no path', () => {
  assert.deepEqual(parseOcfType('ocf:heartbeat:IPaddr2'), { provider: 'heartbeat', agent: 'IPaddr2' })
  for (const wrong of ['ocf:heartbeat', 'ocf::x', 'ocf:.:x', 'ocf:a/b:c', 'ocf:a:.x']) assert.equal(parseOcfType(wrong), undefined)
})

const metadata = `<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="Test" version="1.0">
<!-- a comment -->
<version>1.1</version>
<shortdesc lang="en">A &quot;test&quot; &amp; more</shortdesc>
<longdesc><![CDATA[any <text>]]></longdesc>
<parameters>
<parameter name="ip" unique="1" required="1"><longdesc>Address</longdesc><content type="string" default="" /></parameter>
<parameter name="port" required="1"><content type="integer"/></parameter>
<parameter name="old"><deprecated/><content type="boolean" default="false"/></parameter>
</parameters>
<actions><action name="start" timeout="20s" /><action name="monitor" depth="10" timeout="20" interval="10s"/></actions>
</resource-agent>
`

test('metadata become a schema', () => {
  const parsed = parseOcfMetadata(metadata)
  assert.equal(parsed?.shortdesc, 'A "test" & more')
  assert.equal(parsed?.longdesc, 'any <text>')
  assert.deepEqual(parsed?.actions[1], { name: 'monitor', timeout: 20_000, interval: 10_000, depth: 10 })
  assert.deepEqual(
    parsed?.parameters.map(({ name, type, required, deprecated }) => [name, type, required, deprecated]),
    [
      ['ip', 'string', true, false],
      ['port', 'integer', true, false],
      ['old', 'boolean', false, true],
    ],
  )
})

test('parameters are held against them', () => {
  const parsed = parseOcfMetadata(metadata)
  assert.ok(parsed)
  assert.deepEqual(checkOcfParameters(parsed, { ip: 'x', port: 1, old: 'yes' }), [])
  const details = checkOcfParameters(parsed, { ip: 'x', prt: 1, old: 'perhaps', port: 'x' }).map((problem) => problem.detail)
  assert.deepEqual(details, ['the agent Test has no parameter "prt"', 'old must be true or false', 'port must be a whole number'])
  // A fallback that is empty is none.
  assert.match(checkOcfParameters(parsed, { port: 1 })[0]?.detail ?? '', /needs the parameter "ip"/)
})

test('what is no metadata is none, and nothing hangs on it', () => {
  for (const wrong of [
    '',
    'usage: x',
    '<a>',
    '<a><b></a></b>',
    '<resource-agent',
    `${'<a>'.repeat(100_000)}`,
    metadata.slice(0, 300),
    `${metadata}x`,
  ]) {
    assert.equal(parseOcfMetadata(wrong), undefined)
  }
})
