/** What OCF agents say, of themselves and by their exit status, and what they are told. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  changedParameters,
  checkOcfParameters,
  clashingParameters,
  exitReasonOf,
  judgeOcfStatus,
  type OcfMetadata,
  ocfEnvironment,
  ocfParameterWarnings,
  parseOcfMetadata,
  reloadFor,
} from '../../../src/core/monitor/index.js'

const statuses = `
          start        stop         probe        reload
  0       done         done         running      done
  1       failed       failed       failed       failed
  2       failed/hard  failed/hard  failed/hard  failed/hard
  3       failed/hard  failed/hard  failed/hard  failed/hard
  4       failed/hard  failed/hard  failed/hard  failed/hard
  5       failed/hard  failed/hard  failed/hard  failed/hard
  6       failed/fatal failed/fatal failed/fatal failed/fatal
  7       failed       done         stopped      failed
  8       failed       failed       running      failed
  9       failed       failed       failed       failed
  190     failed       failed       running/degraded failed
  191     failed       failed       running/degraded failed
  42      failed       failed       failed       failed
`
const [methods = [], ...rows] = statuses
  .trim()
  .split('\n')
  .map((line) => line.trim().split(/ +/))

for (const [status, ...meanings] of rows) {
  test(`an agent's exit status ${status} means ${meanings.join(', ')}`, () => {
    const seen = methods.map((method) => {
      const result = judgeOcfStatus(method as 'start', Number(status))
      const more = 'severity' in result ? result.severity : 'degraded' in result && result.degraded === true ? 'degraded' : undefined
      return more === undefined ? result.outcome : `${result.outcome}/${more}`
    })
    assert.deepEqual(seen, meanings)
  })
}

test('of all that an agent writes, its last reason counts', () => {
  assert.equal(
    exitReasonOf('kill: no such process\nocf-exit-reason:first\nmore\nocf-exit-reason: the port is taken\nend\n'),
    'the port is taken',
  )
  assert.equal(exitReasonOf('ocf-exit-reason:\n'), undefined)
  assert.equal(exitReasonOf('nothing of the kind'), undefined)
})

const modern = `<?xml version="1.0"?>
<resource-agent name="Modern" version="2.0">
  <version>1.1</version>
  <longdesc lang="en">Long.</longdesc><shortdesc lang="en">Short.</shortdesc>
  <parameters>
    <parameter name="config" required="1" unique-group="place"><longdesc/><content type="string"/></parameter>
    <parameter name="port" unique-group="place"><content type="integer" default="80"/></parameter>
    <parameter name="pid" unique="1"><content type="string"/></parameter>
    <parameter name="speed" reloadable="1"><content type="integer"/></parameter>
    <parameter name="mode"><content type="select" default="a"><option value="a"/><option value="b"/></content></parameter>
    <parameter name="conf"><deprecated><replaced-with name="config"/><desc lang="en">Old.</desc></deprecated><content type="string"/></parameter>
  </parameters>
  <actions><action name="start" timeout="20s"/><action name="reload" timeout="5"/><action name="reload-agent" timeout="7"/></actions>
</resource-agent>`

function described(xml: string): OcfMetadata {
  const metadata = parseOcfMetadata(xml)
  assert.ok(metadata)
  return metadata
}

test('metadata of OCF 1.1: unique groups, what can be reloaded, choices, what is deprecated', () => {
  const metadata = described(modern)
  assert.deepEqual(
    metadata.parameters.map(({ name, uniqueGroup, reloadable, options, deprecated, replacedBy }) => [
      name,
      uniqueGroup,
      reloadable,
      options,
      deprecated,
      replacedBy,
    ]),
    [
      ['config', 'place', false, undefined, false, undefined],
      ['port', 'place', false, undefined, false, undefined],
      ['pid', 'pid', false, undefined, false, undefined],
      ['speed', undefined, true, undefined, false, undefined],
      ['mode', undefined, false, ['a', 'b'], false, undefined],
      ['conf', undefined, false, undefined, true, ['config']],
    ],
  )
  assert.equal(metadata.reloadAction, 'reload-agent')
})

test('before OCF 1.1, what is not unique could be reloaded', () => {
  const old = modern.replace('<version>1.1</version>', '<version>1.0</version>').replace(/<action name="reload-agent"[^>]*>/, '')
  const metadata = described(old)
  assert.equal(metadata.reloadAction, 'reload')
  assert.deepEqual(
    metadata.parameters.filter(({ reloadable }) => reloadable).map(({ name }) => name),
    ['speed', 'mode', 'conf'],
  )
  // Since 1.1 the word means something else: that the service reads its own files again.
  assert.equal(described(modern.replace(/<action name="reload-agent"[^>]*>/, '')).reloadAction, undefined)
})

test('parameters are checked by their schema', () => {
  const metadata = described(modern)
  const problems = (parameters: object) =>
    checkOcfParameters(metadata, parameters as never).map(({ parameter, detail }) => `${parameter}: ${detail}`)
  assert.deepEqual(problems({ config: '/a', mode: 'b', speed: 3 }), [])
  assert.deepEqual(problems({ conf: '/a' }), [], 'the outdated name stands for it')
  assert.deepEqual(problems({ mode: 'c', config: '/a' }), ['mode: mode must be one of a, b'])
  assert.deepEqual(problems({ speed: 'fast', config: '/a' }), ['speed: speed must be a whole number'])
  assert.deepEqual(problems({}), ['config: the agent Modern needs the parameter "config"'])
  assert.deepEqual(ocfParameterWarnings(metadata, { conf: '/a' }), ['the agent Modern calls its parameter "conf" deprecated: use config'])
  assert.deepEqual(ocfParameterWarnings(metadata, { config: '/a' }), [])
})

test('two resources of an agent clash when all of a unique group is given, and the same', () => {
  const metadata = described(modern)
  assert.deepEqual(clashingParameters(metadata, { config: '/a', port: 80 }, { config: '/a', port: '80' }), ['config', 'port'])
  assert.deepEqual(clashingParameters(metadata, { config: '/a', port: 80 }, { config: '/a', port: 81 }), [])
  assert.deepEqual(clashingParameters(metadata, { config: '/a' }, { config: '/a' }), [], 'the port may differ for all that is given')
  assert.deepEqual(clashingParameters(metadata, { pid: 'x', speed: 1 }, { pid: 'x', speed: 1 }), ['pid'])
})

test('only a change of what can be reloaded goes without a restart', () => {
  const metadata = described(modern)
  assert.deepEqual(changedParameters({ a: 1, b: 2, c: 'x' }, { a: 1, b: 3, d: true }), ['b', 'c', 'd'])
  assert.equal(reloadFor(metadata, ['speed']), 'reload-agent')
  assert.equal(reloadFor(metadata, ['speed', 'mode']), undefined)
  assert.equal(reloadFor(metadata, ['unheard']), undefined)
  assert.equal(reloadFor(metadata, []), undefined)
})

test('the whole environment of an action', () => {
  const definition = {
    type: 'ocf:heartbeat:Dummy',
    parameters: { fake: ['a', 'b'], on: true },
    start: { timeout: 1 },
    stop: { timeout: 2 },
  }
  const action = { name: 'monitor', timeout: 20_000, interval: 5_000, level: 10 }
  assert.deepEqual(ocfEnvironment(definition, action, { resource: 'd', node: 'n1', token: 7, scratch: '/s', commands: '/c' }), {
    OCF_ROOT: '/usr/lib/ocf',
    OCF_RA_VERSION_MAJOR: '1',
    OCF_RA_VERSION_MINOR: '1',
    OCF_RESOURCE_PROVIDER: 'heartbeat',
    OCF_RESOURCE_TYPE: 'Dummy',
    OCF_RESOURCE_INSTANCE: 'd',
    OCF_EXIT_REASON_PREFIX: 'ocf-exit-reason:',
    OCF_RESKEY_OCF_CHECK_LEVEL: '10',
    OCF_RESKEY_fake: 'a b',
    OCF_RESKEY_on: 'true',
    OCF_RESKEY_crm_feature_set: '3.16.2',
    OCF_RESKEY_CRM_meta_name: 'monitor',
    OCF_RESKEY_CRM_meta_timeout: '20000',
    OCF_RESKEY_CRM_meta_interval: '5000',
    OCF_RESKEY_CRM_meta_start_timeout: '1',
    OCF_RESKEY_CRM_meta_stop_timeout: '2',
    OCF_RESKEY_CRM_meta_on_node: 'n1',
    OCF_RESKEY_CRM_meta_on_node_uuid: 'n1',
    OCF_RESKEY_CRM_meta_quorate_grant_token: '7',
    HA_LOGFACILITY: 'none',
    HA_debug: '0',
    HA_RSCTMP: '/s',
    SHELL: '/bin/bash',
    HA_SBIN_DIR: '/c',
    PATH: '/c:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  })
})
