/** What the API shows when the cluster stops acting on its own, and how a person has it go on. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Command } from '../../src/core/cluster/index.js'
import { BenchCluster, sleeper } from './bench-api.js'

const names = ['n1', 'n2', 'n3'] as const
let bench: BenchCluster
before(async () => {
  bench = await BenchCluster.of(names)
  await Promise.all(names.map((name) => bench.start(name)))
  for (const node of names)
    await bench.until(`${node} to be part of it`, async () => (await bench.ask('GET', '/v1/status', { node })).body.quorate === true)
})
after(() => bench.close())

/** By the leader: what only it may say is taken from nobody else. */
async function propose(command: Command): Promise<Readonly<Record<string, unknown>>> {
  const leader = bench.daemon().node?.status.leader
  const result = await bench.daemon(leader).node?.propose(command)
  if (result?.ok !== true) assert.fail(`${command.kind}: ${JSON.stringify(result)}`)
  return result.value
}

/** What a monitor and a guardian would have each of them say. */
async function registered(level: number): Promise<void> {
  const guard = { guarded: true, watchdog: 'none', watchdogTimeout: 0, emergencyStop: 500 } as const
  for (const name of names) {
    const { boot, config } = bench.daemon(name)
    await propose({ kind: 'register-boot', node: config.node, boot, guard, level, links: config.links, guardian: null, api: null })
  }
}

let cases = 0
/** Lost, and proved by its guardian to have stopped what it held; all in one entry. */
async function lost(name: string): Promise<void> {
  const { boot, config } = bench.daemon(name)
  // As the leader knows it: others may be behind.
  const { node } = bench.daemon(bench.daemon().node?.status.leader)
  const caseId = `c-${name}-${++cases}` as never
  const nonce = `nonce-${cases}`
  const held = [...(node?.state.rows('groups') ?? [])].flatMap(([, row]) =>
    row.holder?.boot === boot && row.proof === null ? [[row.name, row.holder.token] as const] : [],
  )
  const arbiter = names.find((other) => other !== name) as never
  await propose({
    kind: 'transaction',
    ifRevision: null,
    commands: [
      { kind: 'open-case', caseId, node: config.node, boot, arbiter, nonce, trigger: 'silent in a test', dossier: {} },
      { kind: 'condemn', caseId, attempt: null, reason: 'silent in a test', answering: [...names] as never },
      { kind: 'guardian-proof', caseId, node: config.node, boot, nonce, tokens: Object.fromEntries(held) as never, verified: true },
    ],
  })
}

const attention = async (code: string) =>
  ((await bench.ask('GET', '/v1/attention')).body.attention as { code: string; subject: string; text: string; fix: string }[]).find(
    (item) => item.code === code,
  )

test('their settings are refused while a member does not understand them', async () => {
  const early = await bench.ask('PATCH', '/v1/settings', { body: { causesMax: 1 } })
  assert.deepEqual([early.status, early.body.code], [409, 'MIXED_VERSIONS'])
  await registered(4)
  await bench.until('the level to rise', async () => (await bench.ask('PATCH', '/v1/settings', { body: { causesMax: 2 } })).status === 200)
  const set = await bench.ask('PATCH', '/v1/settings', { body: { poisonWindow: '1m', quarantineThreshold: 2, quarantineDuration: '1h' } })
  assert.equal(set.status, 200, set.text)
})

test('a group in POISON says so with both cases, is not started by anybody, and runs again once it is cleared', async () => {
  await bench.ask('PUT', '/v1/groups/web', { body: sleeper({ nodes: ['n2', 'n3'] }) })
  const row = () => bench.daemon().node?.state.get('groups', 'web' as never)
  const probed = async (name: string) => {
    const { boot, config } = bench.daemon(name)
    const definition = row()?.resourcesRevision as never
    await propose({ kind: 'probed', node: config.node, boot, group: 'web' as never, definition, result: 'clean', detail: '' })
  }
  for (const name of ['n2', 'n3'])
    await bench
      .until(`web to go to ${name}`, async () => {
        const { holder, proof } = row() ?? {}
        if (holder?.node === name && proof === null) return true
        await probed(name)
        return false
      })
      .then(() => lost(name))
  await bench.until('web to rest', async () => (await bench.ask('GET', '/v1/groups/web')).body.state === 'POISON')
  const { poison } = (await bench.ask('GET', '/v1/groups/web')).body
  assert.deepEqual(
    [poison.rests, poison.losses.map((one: { node: string; case: string }) => [one.node, one.case])],
    [
      true,
      [
        ['n2', 'c-n2-1'],
        ['n3', 'c-n3-2'],
      ],
    ],
  )
  const item = await attention('GROUP_POISON')
  assert.match(item?.text ?? '', /n2 .*case c-n2-1.*n3 .*case c-n3-2/)
  assert.match(item?.fix ?? '', /POST \/v1\/groups\/web\/clear/)
  const online = await bench.ask('POST', '/v1/groups/web/online')
  assert.deepEqual([online.status, online.body.code], [409, 'CONFLICT'])
  const dry = await bench.ask('POST', '/v1/groups/web/clear?dryRun=true')
  assert.equal(dry.body.forgets.poison.rests, true)
  assert.equal((await bench.ask('POST', '/v1/groups/web/clear')).body.poison, null)
})

test('the brakes list their causes, and a person lets them go', async () => {
  const held = (await bench.ask('GET', '/v1/brakes')).body
  assert.match(held.holds[0], /^2 causes of automatic moves within 10m are enough/)
  assert.deepEqual(
    held.causes.recent.map((one: { kind: string; subject: string; case: string }) => [one.kind, one.subject, one.case]),
    [
      ['node-lost', 'n2', 'c-n2-1'],
      ['node-lost', 'n3', 'c-n3-2'],
    ],
  )
  assert.match((await attention('BRAKES'))?.fix ?? '', /POST \/v1\/brakes\/release/)
  const bare = await bench.ask('POST', '/v1/brakes/release', { body: {} })
  assert.deepEqual([bare.status, bare.body.code], [400, 'INVALID'])
  const released = await bench.ask('POST', '/v1/brakes/release', { body: { reason: 'the switch was replaced' } })
  assert.deepEqual([released.status, released.body.held, released.body.holds], [200, true, []], released.text)
  assert.equal(released.body.released.reason, 'the switch was replaced')
  assert.equal(await attention('BRAKES'), undefined)
})

test('a node in quarantine hosts nothing, and is released with a reason', async () => {
  await registered(4)
  await lost('n3')
  const shown = (await bench.ask('GET', '/v1/nodes/n3')).body
  assert.deepEqual([shown.duty, shown.quarantine.cases], ['quarantined', ['c-n3-2', 'c-n3-3']])
  assert.match((await attention('QUARANTINE'))?.text ?? '', /n3 votes and hosts nothing for another .*lost 2 times/)
  const status = (await bench.ask('GET', '/v1/status')).body.nodes.find((one: { name: string }) => one.name === 'n3')
  assert.equal(status.duty, 'quarantined')
  const bare = await bench.ask('POST', '/v1/nodes/n3/clear')
  assert.deepEqual([bare.status, bare.body.code], [400, 'INVALID'])
  assert.match(bare.body.fix, /\{"reason"/)
  const cleared = await bench.ask('POST', '/v1/nodes/n3/clear', { body: { reason: 'its memory was replaced' } })
  assert.deepEqual([cleared.status, cleared.body.duty, cleared.body.quarantine], [200, 'active', null], cleared.text)
  assert.equal(await attention('QUARANTINE'), undefined)
})

test('jeopardy is told with its reasons, and over when the leader sees that it is none', async () => {
  await propose({ kind: 'see-links', node: 'n2' as never, reasons: ['one link is left between n1 and n2'] })
  const told = () =>
    [...(bench.daemon().node?.state.rows('journal') ?? [])].flatMap(([, { kind, subject, text }]) =>
      kind.startsWith('node.jeopardy') && subject === 'n2' ? [`${kind}: ${text}`] : [],
    )
  await bench.until('the leader to see that it is none', () => Promise.resolve(told().length === 2))
  assert.deepEqual(told(), [
    'node.jeopardy: n2 is in jeopardy: one link is left between n1 and n2',
    'node.jeopardy-over: the links of n2 are whole again',
  ])
  assert.deepEqual((await bench.ask('GET', '/v1/nodes/n2')).body.jeopardy, [])
  const { links } = (await bench.ask('GET', '/v1/links')).body
  assert.ok(links.every((one: { oneLink: boolean; links: { isDown: boolean }[] }) => !one.oneLink && one.links.length === 1))
})

test('what follows the loss of the quorum goes in and comes out again, and is refused where it could not be done', async () => {
  const put = (onQuorumLoss: string) => bench.ask('PUT', '/v1/groups/still', { body: { ...sleeper({ nodes: ['n1'] }), onQuorumLoss } })
  assert.equal((await put('freeze')).body.definition.onQuorumLoss, 'freeze')
  assert.equal((await put('stop')).body.definition.onQuorumLoss, 'stop')
  const demote = await put('demote')
  assert.deepEqual([demote.status, demote.body.code], [422, 'INVALID_DEFINITION'])
  assert.match(demote.body.fix, /use "stop"/)
  const reset = await put('selfFence')
  assert.deepEqual([reset.status, reset.body.code], [422, 'INVALID_DEFINITION'], reset.text)
  assert.match(reset.body.detail, /no watchdog is armed on n1/)
})
