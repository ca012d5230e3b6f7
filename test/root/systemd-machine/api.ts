/** What the API says of units, on a machine that has some: types, what one is, and what is refused before it is committed. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { readNodeConfig } from '../../../src/io/node-file/index.js'
import { readBootId } from '../../../src/io/run-folder/index.js'
import { type RunningMonitor, runMonitor } from '../../../src/monitor/index.js'
import { BenchCluster } from '../../api/bench-api.js'
import { install, systemctl, uninstall } from './units.js'

let bench: BenchCluster
let monitor: RunningMonitor
const unit = 'qapi.service'

before(async () => {
  install(unit, { ExecStart: '/bin/sleep 1000' }, '[Unit]\nDescription=waits\n[Install]\nWantedBy=multi-user.target\n')
  bench = await BenchCluster.of(['n1'])
  await bench.start('n1')
  const { node, runDir, logDir, bootIdFile } = readNodeConfig(bench.configOf('n1'))
  monitor = await runMonitor({ node, boot: readBootId({ bootIdFile }), runDir, logDir }, () => undefined)
  await bench.until('the cluster to form', async () => (await bench.ask('GET', '/v1/status')).body.quorate === true)
})
after(async () => {
  await monitor.close()
  await bench.close()
  uninstall(unit)
})

const group = (type: string) => ({ nodes: ['n1'], intent: 'OFFLINE', resources: { web: { type } } })

test('what is installed is among the types, with what systemd knows of it', async () => {
  const { types } = (await bench.ask('GET', '/v1/types')).body as { types: string[] }
  assert.ok(types.includes(`systemd:${unit}`))
  const { body } = await bench.ask('GET', '/v1/types/systemd:qapi')
  assert.equal(body.name, `systemd:${unit}`)
  assert.equal(body.doc, 'waits')
  assert.equal(body.obstacle, null)
  assert.deepEqual(body.parameters, [])
  const missing = await bench.ask('GET', '/v1/types/systemd:qapu')
  assert.equal(missing.body.code, 'TYPE_NOT_FOUND')
  assert.match(String(missing.body.fix), /systemd:qapi/)
})

test('the log of a unit is what the journal has of it', async () => {
  install('qtalks.service', { ExecStart: '/bin/sh -c "for i in 1 2 3; do echo says $$i; done; sleep 1000"' })
  const log = (lines: number) => bench.ask('GET', `/v1/groups/talks/resources/web/log?lines=${lines}`)
  await bench.until(
    'a group with a unit',
    async () => (await bench.ask('PUT', '/v1/groups/talks', { body: group('systemd:qtalks') })).status < 300,
  )
  assert.equal((await log(10)).body.code, 'LOG_NOT_FOUND', 'it has never run')
  systemctl('start', 'qtalks.service')
  // What systemd itself says of the start may come before, after or between.
  const words = (lines: unknown) =>
    (lines as string[] | undefined)?.map((line) => line.replace(/.*: /, '')).filter((line) => /^says/.test(line))
  await bench.until('its words', async () => words((await log(10)).body.lines)?.at(-1) === 'says 3')
  const { body } = await log(10)
  assert.deepEqual(words(body.lines), ['says 1', 'says 2', 'says 3'])
  assert.equal(((await log(1)).body.lines as string[]).length, 1)
  assert.deepEqual([body.node, body.actions], ['n1', []])
  systemctl('stop', 'qtalks.service')
  uninstall('qtalks.service')
  assert.equal((await bench.ask('DELETE', '/v1/groups/talks')).status < 300, true)
})

test('a unit that systemd would start, and one that is not there, are refused with what mends it', async () => {
  // Once the node has told that it knows of units.
  await bench.until(
    'a group with a unit',
    async () => (await bench.ask('PUT', '/v1/groups/good', { body: group('systemd:qapi') })).status < 300,
  )
  systemctl('enable', unit)
  const enabled = await bench.ask('PUT', '/v1/groups/bad', { body: group('systemd:qapi.service') })
  assert.equal(enabled.body.code, 'VALIDATION_FAILED')
  assert.match(String(enabled.body.detail), /n1.*without a grant; systemctl disable qapi.service/)
  assert.equal((await bench.ask('PUT', '/v1/groups/bad?validate=false', { body: group('systemd:qapi.service') })).status, 201)
  const { body } = await bench.ask('GET', '/v1/types/systemd:qapi')
  assert.match(String((body.obstacle as { fix: string }).fix), /systemctl disable/)
  systemctl('disable', unit)
  const none = await bench.ask('PUT', '/v1/groups/none', { body: group('systemd:nobody-has-this') })
  assert.equal(none.body.code, 'VALIDATION_FAILED')
  assert.match(String(none.body.detail), /not installed/)
})
