/**
 * What follows a failure, on three nodes with real processes: every rule that a group can be given, and what the API says of it.
 *
 * Each service notes in one journal when it starts and when it ends, outside of what the cluster knows of it.
 */
import assert from 'node:assert/strict'
import { appendFileSync, closeSync, constants, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { type Answer, waitFor } from '../../scripts/lib/http.js'
import type { Power } from '../../scripts/lib/power.js'
import { type LoopbackLab, names, raiseLoopback } from './loopback-lab.js'

const patience = 60_000

/** What `GET /v1/groups/{group}` says, as far as it is asked here. */
interface Shown {
  readonly state: string
  readonly holders: readonly { readonly node: string; readonly token: number }[]
  readonly primary?: { readonly node: string; readonly token: number } | null
  readonly waitingFor: string | null
  readonly resources: Readonly<Record<string, { readonly state: string; readonly detail?: string }>>
  readonly failures: Readonly<Record<string, readonly Failure[]>>
  readonly effectiveRules: readonly { readonly name: string; readonly event: string; readonly action: string; readonly resource?: string }[]
  readonly halted: { readonly reason: string } | null
  readonly failovers: { readonly recent: number; readonly max: number; readonly window: string } | null
  readonly bans: Readonly<Record<string, { readonly reason: string; readonly remaining: string }>>
}

interface Failure {
  readonly resource: string
  readonly event: string
  readonly counts: boolean
  readonly forgottenIn: string | null
}

interface Decision {
  readonly id: string
  readonly action: string
  readonly rule: string
  readonly text: string
}

/** A line of the journal. */
interface Note {
  readonly what: string
  readonly group: string
  readonly resource: string
  readonly node: string
  readonly pid: number
}

let loopback: LoopbackLab
let folder: string
let journal: string
let service: string

describe('after a failure', () => {
  before(async () => {
    loopback = await raiseLoopback(63)
    await loopback.settled()
    folder = join(loopback.lab.home, 'services')
    mkdirSync(folder)
    journal = join(folder, 'journal')
    appendFileSync(journal, '')
    service = join(folder, 'service.sh')
    writeFileSync(service, serviceText())
    // Here one group after the other fails.
    await done('PATCH', '/v1/settings', { causesMax: 100 })
  })
  // Of a test that failed nothing is left to the next one.
  afterEach(async () => {
    const { groups } = (await done('GET', '/v1/groups')).body as unknown as { groups: readonly { name: string }[] }
    for (const { name } of groups) if (name !== 'web') await loopback.api('DELETE', `/v1/groups/${name}?wait=10s`)
    for (const node of names) if ((await dutyOf(node)) !== 'active') await done('POST', `/v1/nodes/${node}/activate`)
  })
  after(() => loopback?.close())

  test('restarts in place come first; when they are used up the group moves, and its node is passed over', async () => {
    await put('used', { nodes: ['n1', 'n2'], resources: { app: app({ restart: { max: 1, window: '10m' } }) } })
    const first = await up('used', 'n1', 1)
    assert.deepEqual(
      first.effectiveRules.map(({ name, event, action }) => `${name}: ${event} → ${action}`),
      [
        'stop-failed: stop-failed → block',
        'stop-failed: stop-timeout → block',
        'start-failed: start-failed → failover',
        'start-failed: start-timeout → failover',
        'restart-in-place: any → restart',
        'restarts-exhausted: any → failover',
      ],
    )
    await fail('used')
    const again = await up('used', 'n1', 2)
    assert.deepEqual(again.holders, first.holders, 'restarted under the same grant')
    assert.deepEqual(again.bans, {})
    await fail('used')
    const moved = await up('used', 'n2', 3)
    assert.deepEqual(Object.keys(moved.bans), ['n1'])
    assert.match(moved.bans.n1?.reason ?? '', /^app on n1: died .*2 failures, 1 restart allowed in the window$/)
    assert.deepEqual(
      moved.failures.n1?.map(({ resource, event, counts }) => [resource, event, counts]),
      [
        ['app', 'died', true],
        ['app', 'died', true],
      ],
    )
    const made = await acts('used')
    assert.deepEqual(
      made.map(({ rule }) => rule),
      ['rank', 'restart-in-place', 'restarts-exhausted', 'rank'],
    )
    assert.match(made[1]?.text ?? '', /^app on n1: died \(it ended with status 3.*\); restart 1 of 1 in its window$/)
    const why = (await loopback.api('GET', '/v1/groups/used/why-not?node=n1')).body as { rule?: string; text?: string }
    assert.equal(why.rule, 'banned', JSON.stringify(why))
    assert.deepEqual(noted('used'), ['start app n1', 'end app n1', 'start app n1', 'end app n1', 'start app n2'])
    await remove('used')
  })

  test('a start that fails is not repeated on the same node: the group moves at once', async () => {
    broken('refused', 'app', 'n2')
    await put('refused', { nodes: ['n2', 'n3', 'n1'], resources: { app: app() } })
    const moved = await up('refused', 'n3', 1)
    assert.deepEqual(noted('refused'), ['refuse app n2', 'start app n3'])
    assert.match(moved.bans.n2?.reason ?? '', /^app on n2: start-failed \(it ended with status 1: broken here\)/)
    const [, failed] = await acts('refused')
    assert.deepEqual([failed?.rule, failed?.action], ['start-failed', 'stop'])
    assert.match(failed?.text ?? '', /a start that fails is not repeated on the same node$/)
    await remove('refused')
  })

  test('a start that fails everywhere: the group says so of every node, and runs once it is cleared', async () => {
    for (const node of names) broken('nowhere', 'app', node)
    await put('nowhere', { nodes: [...names], resources: { app: app() } })
    const failed = await until(
      'nowhere',
      'to have failed on every node',
      ({ state, waitingFor }) => state === 'FAILED' && waitingFor !== null,
    )
    assert.match(
      failed.waitingFor ?? '',
      /^nowhere failed on every node \(n1: .*n2: .*n3: .*\); POST \/v1\/groups\/nowhere\/clear to try again$/,
    )
    assert.deepEqual(Object.keys(failed.bans).sort(), [...names])
    assert.deepEqual(failed.holders, [])
    assert.deepEqual(noted('nowhere'), ['refuse app n1', 'refuse app n2', 'refuse app n3'])
    mended('nowhere', 'app', 'n2')
    await done('POST', '/v1/groups/nowhere/clear')
    const running = await up('nowhere', 'n2', 1)
    assert.equal(running.waitingFor, null)
    await remove('nowhere')
  })

  test('modes answer in their own ways to a start that fails', async () => {
    const modes = { none: 'NONE', only: 'RESTART_ONLY', logged: 'LOG_ONLY' }
    for (const [name, failoverMode] of Object.entries(modes)) {
      broken(name, 'app', 'n1')
      await put(name, { nodes: ['n1', 'n2'], failoverMode, resources: { app: app({ restart: { max: 2 } }) } })
    }
    const said = {
      none: /^app on n1: start-failed .*; it is left as it is, by start-failed: POST \/v1\/groups\/none\/clear to try it again$/,
      only: /^app on n1: start-failed .*; it is left as it is, by restarts-exhausted: POST/,
      logged: /^app on n1: start-failed .*; it is only recorded, by log-only: POST/,
    }
    for (const [name, text] of Object.entries(said)) {
      const { state, holders } = await until(name, 'to be left', ({ waitingFor }) => text.test(waitingFor ?? ''))
      assert.deepEqual([name, state, ...holders.map(({ node }) => node)], [name, 'FAILED', 'n1'])
    }
    assert.deepEqual(noted('none'), ['refuse app n1'])
    assert.deepEqual(noted('only'), ['refuse app n1', 'refuse app n1', 'refuse app n1'], 'twice restarted in place')
    assert.deepEqual(noted('logged'), ['refuse app n1'])
    for (const name of Object.keys(modes)) {
      mended(name, 'app', 'n1')
      await done('POST', `/v1/groups/${name}/clear`)
      await up(name, 'n1', 1)
      await remove(name)
    }
  })

  test('ignore, log and block leave what failed, and say of it as much as they should; clear starts it again', async () => {
    const said = {
      ignore: null,
      log: /^app on n2: died .*; it is only recorded, by rules\[0\] \(any → log\): POST \/v1\/groups\/log\/clear to try it again$/,
      block: /^app on n2: died .*; it is left as it is, by rules\[0\] \(any → block\): POST \/v1\/groups\/block\/clear to try it again$/,
    }
    for (const action of Object.keys(said)) {
      await put(action, { nodes: ['n2', 'n3'], rules: [{ event: 'any', action }], resources: { app: app() } })
      const { effectiveRules } = await up(action, 'n2', 1)
      assert.deepEqual(effectiveRules[0], { name: 'rules[0]', event: 'any', action })
      await fail(action)
    }
    const seen = new Map<string, Shown>()
    for (const [action, text] of Object.entries(said)) {
      const isLeft = ({ state, waitingFor }: Shown) => state === 'FAILED' && (waitingFor !== null) === (text !== null)
      seen.set(action, await until(action, 'to be left', isLeft))
    }
    for (const [action, text] of Object.entries(said)) {
      const left = seen.get(action) as Shown
      if (text !== null) assert.match(left.waitingFor ?? '', text)
      assert.deepEqual(
        left.holders.map(({ node }) => node),
        ['n2'],
      )
      assert.equal(left.resources.app?.state, 'FAILED')
      assert.deepEqual([left.bans, left.halted], [{}, null])

      const tried = await done('POST', `/v1/groups/${action}/clear?dryRun=true`)
      const { forgets, plan } = tried.body as unknown as { forgets: Shown; plan: readonly { action: string; rule: string; text: string }[] }
      assert.deepEqual(
        forgets.failures.n2?.map(({ resource, event, counts }) => [resource, event, counts]),
        [['app', 'died', true]],
      )
      assert.equal(forgets.waitingFor, left.waitingFor)
      assert.deepEqual(
        plan.map((step) => [step.action, step.rule]),
        [['restart', 'cleared']],
      )
      assert.match(plan[0]?.text ?? '', /its failures were cleared, so it is tried again$/)
      const { state, failures, waitingFor } = await shown(action)
      assert.deepEqual([state, failures.n2?.length, waitingFor], ['FAILED', 1, left.waitingFor], 'a dry run changes nothing')
      assert.deepEqual(noted(action), ['start app n2', 'end app n2'])

      await done('POST', `/v1/groups/${action}/clear`)
      const cleared = await up(action, 'n2', 2)
      assert.deepEqual([cleared.failures, cleared.waitingFor], [{}, null])
      assert.ok((await decisions(action)).some(({ rule }) => rule === 'cleared'))
      await remove(action)
    }
  })

  test('a person restarts or moves what is left FAILED, whatever the rules say', async () => {
    await put('left', { nodes: ['n1', 'n3'], rules: [{ event: 'any', action: 'block' }], resources: { app: app() } })
    const { holders } = await up('left', 'n1', 1)
    await fail('left')
    await until('left', 'to be left', ({ state, waitingFor }) => state === 'FAILED' && waitingFor !== null)
    await done('POST', '/v1/groups/left/restart')
    const restarted = await up('left', 'n1', 2)
    assert.ok((restarted.holders[0]?.token ?? 0) > (holders[0]?.token ?? 0), 'stopped as a whole, and granted anew')
    assert.equal(restarted.failures.n1?.length, 1, 'nothing was cleared')
    await fail('left')
    await until('left', 'to be left again', ({ state, waitingFor }) => state === 'FAILED' && waitingFor !== null)
    await done('POST', '/v1/groups/left/move', { to: 'n3' })
    const moved = await up('left', 'n3', 3)
    assert.deepEqual([moved.bans, moved.waitingFor], [{}, null])
    await remove('left')
  })

  test('what is left as it is holds up nothing else: it is started once more beside what fails next', async () => {
    const rules = [{ event: 'any', resource: 'minor', action: 'log' }]
    await put('way', { nodes: ['n1', 'n2'], rules, resources: { minor: app(), major: app() } })
    await up('way', 'n1', 2)
    await fail('way', 'minor')
    const left = await until('way', 'to be left', ({ state, waitingFor }) => state === 'FAILED' && waitingFor !== null)
    assert.deepEqual([left.resources.minor?.state, left.resources.major?.state], ['FAILED', 'ONLINE'])
    await fail('way', 'major')
    await up('way', 'n1', 4)
    const made = (await acts('way')).find(({ rule }) => rule === 'make-way')
    assert.match(made?.text ?? '', /^minor on n1: died .*; it holds up major, so it is started once more beside them$/)
    await remove('way')
  })

  test('stop: the group is halted, and neither online nor move nor restart starts it before it is cleared', async () => {
    await put('halted', { nodes: ['n1', 'n2'], rules: [{ event: 'died', action: 'stop' }], resources: { app: app() } })
    await up('halted', 'n1', 1)
    await fail('halted')
    const halted = await until('halted', 'to be halted', ({ state, holders, waitingFor }) => {
      return state === 'FAILED' && holders.length === 0 && waitingFor !== null
    })
    assert.match(halted.halted?.reason ?? '', /^app on n1: died .*; it is stopped until it is cleared, by rules\[0\] \(died → stop\)$/)
    assert.match(halted.waitingFor ?? '', /^halted was stopped for its failures \(.*\); POST \/v1\/groups\/halted\/clear to run it again$/)
    assert.deepEqual(halted.bans, {})
    for (const [verb, body] of [['online'], ['move', { to: 'n2' }], ['restart']] as const) {
      const answer = await loopback.api('POST', `/v1/groups/halted/${verb}`, body)
      assert.deepEqual([verb, answer.status, answer.body.code], [verb, 409, 'CONFLICT'])
    }
    const tried = (await done('POST', '/v1/groups/halted/clear?dryRun=true')).body as unknown as {
      forgets: Shown
      plan: readonly { action: string; node: string }[]
    }
    assert.equal(tried.forgets.halted?.reason, halted.halted?.reason)
    assert.deepEqual(
      tried.plan.map(({ action, node }) => [action, node]),
      [['grant', 'n1']],
    )
    assert.deepEqual(noted('halted'), ['start app n1', 'end app n1'])
    assert.notEqual((await shown('halted')).halted, null)
    await done('POST', '/v1/groups/halted/clear')
    assert.equal((await up('halted', 'n1', 2)).halted, null)
    await remove('halted')
  })

  test('the failovers are used up: the group stops until it is cleared', async () => {
    await put('tired', {
      nodes: [...names],
      failover: { max: 1, window: '1h', onExhausted: 'stop' },
      resources: { app: app({ restart: { max: 0 } }) },
    })
    assert.deepEqual((await up('tired', 'n1', 1)).failovers, { recent: 0, max: 1, window: '1h' })
    await fail('tired')
    assert.deepEqual((await up('tired', 'n2', 2)).failovers, { recent: 1, max: 1, window: '1h' })
    await fail('tired')
    const { halted, holders } = await until('tired', 'to be halted', ({ state, waitingFor }) => state === 'FAILED' && waitingFor !== null)
    assert.match(halted?.reason ?? '', /; 1 failover within 1h, 1 allowed: tired is stopped until it is cleared$/)
    assert.deepEqual(holders, [])
    assert.deepEqual(
      (await acts('tired')).map(({ rule }) => rule),
      ['rank', 'restarts-exhausted', 'rank', 'failovers-exhausted'],
    )
    await done('POST', '/v1/groups/tired/clear')
    const cleared = await until('tired', 'to run again', ({ state }) => state === 'ONLINE')
    assert.deepEqual([cleared.failovers?.recent, cleared.bans], [0, {}])
    await remove('tired')
  })

  test('keepTrying goes on when the failovers are used up, and those that the window has left do not count', async () => {
    const resources = { app: app({ restart: { max: 0 } }) }
    await put('tireless', { nodes: [...names], failover: { max: 1, window: '1h', onExhausted: 'keepTrying' }, resources })
    await put('rested', { nodes: [...names], failover: { max: 1, window: '1s', onExhausted: 'stop' }, resources })
    for (const name of ['tireless', 'rested']) {
      await up(name, 'n1', 1)
      await fail(name)
      await up(name, 'n2', 2)
    }
    await until('rested', 'to be rested', ({ failovers }) => failovers?.recent === 0)
    for (const name of ['tireless', 'rested']) {
      await fail(name)
      const { halted, bans } = await up(name, 'n3', 3)
      assert.deepEqual([name, halted, Object.keys(bans).sort()], [name, null, ['n1', 'n2']])
    }
    const last = async (name: string) => (await decisions(name)).findLast(({ rule }) => rule === 'restarts-exhausted')?.text ?? ''
    assert.match(await last('tireless'), /; 1 failover within 1h, 1 allowed, and it goes on all the same$/)
    assert.match(await last('rested'), /restarts allowed in the window$/)
    for (const name of ['tireless', 'rested']) await remove(name)
  })

  test('a node is taken again once the pingpong interval is over, and not before', async () => {
    const group = { nodes: ['n1', 'n2'], resources: { app: app({ restart: { max: 0 } }) } }
    await put('pong', { ...group, pingpongInterval: '2s' })
    await put('ping', group)
    for (const name of ['pong', 'ping']) {
      await up(name, 'n1', 1)
      await fail(name)
      await up(name, 'n2', 2)
    }
    await until('pong', 'to have n1 back', ({ bans }) => Object.keys(bans).length === 0)
    await fail('pong')
    await up('pong', 'n1', 3)
    assert.deepEqual(
      (await acts('pong')).map(({ rule }) => rule),
      ['rank', 'restarts-exhausted', 'rank', 'restarts-exhausted', 'rank'],
    )
    await fail('ping')
    const failed = await until('ping', 'to have failed everywhere', ({ state, waitingFor }) => state === 'FAILED' && waitingFor !== null)
    assert.match(failed.waitingFor ?? '', /^ping failed on every node \(n1: ping failed there: .*; n2: ping failed there: /)
    assert.deepEqual(noted('ping').length, 4)

    // Where both are passed over, the first that may be taken again is taken without anybody's word.
    await fail('pong')
    await until('pong', 'to run again by itself', () => noted('pong').length === 7)
    await until('pong', 'to be well', ({ state }) => state === 'ONLINE')
    for (const name of ['pong', 'ping']) await remove(name)
  })

  test('rules may be for one resource only, and count its failures alone', async () => {
    await put('counted', {
      nodes: ['n1', 'n2'],
      rules: [
        { event: 'probe-failed', action: 'stop' },
        { event: 'died', resource: 'weak', countAtLeast: 2, action: 'failover' },
      ],
      resources: { weak: app(), other: app() },
    })
    await up('counted', 'n1', 2)
    for (const [at, resource] of ['other', 'other', 'weak'].entries()) {
      await fail('counted', resource)
      await up('counted', 'n1', 3 + at)
    }
    await fail('counted', 'weak')
    const { bans } = await up('counted', 'n2', 7)
    assert.match(bans.n1?.reason ?? '', /^weak on n1: died .*; it goes elsewhere, by rules\[1\] \(died → failover\)$/)
    assert.deepEqual(
      (await acts('counted')).map(({ rule }) => rule),
      ['rank', 'restart-in-place', 'restart-in-place', 'restart-in-place', 'rules[1]', 'rank'],
    )
    await remove('counted')
  })

  test('what is not critical is restarted, then left: the group is DEGRADED and never moves', async () => {
    await put('lean', {
      nodes: ['n1', 'n2'],
      resources: { main: app(), extra: app({ critical: false, restart: { max: 1, window: '10m' } }) },
    })
    const { effectiveRules } = await up('lean', 'n1', 2)
    assert.deepEqual(
      effectiveRules.filter(({ resource }) => resource === 'extra').map(({ name, action }) => [name, action]),
      [
        ['restart-in-place', 'restart'],
        ['not-critical', 'log'],
      ],
    )
    await fail('lean', 'extra')
    await up('lean', 'n1', 3)
    await fail('lean', 'extra')
    const lean = await until('lean', 'to go on without it', ({ state, waitingFor }) => state === 'DEGRADED' && waitingFor !== null)
    assert.match(
      lean.waitingFor ?? '',
      /^extra on n1: died .*; it is not critical: lean stays on n1 without it; POST \/v1\/groups\/lean\/clear/,
    )
    assert.deepEqual([lean.resources.main?.state, lean.resources.extra?.state, lean.bans], ['ONLINE', 'FAILED', {}])
    const attention = (await loopback.api('GET', '/v1/attention')).body as { attention: readonly { subject: string; text: string }[] }
    assert.ok(
      attention.attention.some(({ subject, text }) => subject === 'lean' && text.includes('extra')),
      JSON.stringify(attention),
    )
    // It hides no failure of others.
    await fail('lean', 'main')
    await until('lean', 'to have its main part back', ({ resources }) => resources.main?.state === 'ONLINE' && noted('lean').length === 7)
    assert.deepEqual(
      (await shown('lean')).holders.map(({ node }) => node),
      ['n1'],
    )
    await done('POST', '/v1/groups/lean/clear')
    await up('lean', 'n1', 5)
    assert.ok(noted('lean').every((line) => line.endsWith(' n1')))
    await remove('lean')
  })

  test('restartDependents takes everything with it that depends on the resource, in order; restart only what its kind says', async () => {
    const rule = { event: 'died', resource: 'base', action: 'restartDependents' }
    const resources = {
      base: app(),
      mid: app({ dependsOn: [{ resource: 'base', kind: 'weak' }] }),
      top: app({ dependsOn: [{ resource: 'mid', kind: 'strong' }] }),
      aside: app(),
    }
    await put('chain', { nodes: ['n3', 'n1'], rules: [rule], resources })
    await up('chain', 'n3', 4)
    const begun = noted('chain').length
    await fail('chain', 'base')
    const { holders } = await up('chain', 'n3', 7)
    assert.deepEqual(
      noted('chain').slice(begun),
      ['end base', 'end top', 'end mid', 'start base', 'start mid', 'start top'].map((line) => `${line} n3`),
    )
    const made = (await acts('chain')).at(-1)
    assert.equal(made?.rule, 'rules[0]')
    assert.match(made?.text ?? '', /^base on n3: died .*; restart 1 of 3 in its window, by rules\[0\] \(died → restartDependents\)$/)

    await done('PATCH', '/v1/groups/chain', { rules: [{ ...rule, action: 'restart' }] })
    const between = noted('chain').length
    await fail('chain', 'base')
    assert.deepEqual((await up('chain', 'n3', 8)).holders, holders)
    assert.deepEqual(noted('chain').slice(between), ['end base n3', 'start base n3'])
    await remove('chain')
  })

  test('failures are forgotten by time, each as its own limits say, and those that are left decide', async () => {
    const once = (window: string) => ({ app: app({ restart: { max: 1, window } }) })
    await put('mindful', { nodes: ['n2', 'n1'], resources: once('1h') })
    await put('brief', { nodes: ['n2', 'n1'], resources: once('1s') })
    await put('stable', { nodes: ['n2', 'n1'], stableAfter: '1s', resources: once('1h') })
    const all = ['mindful', 'brief', 'stable']
    for (const name of all) {
      await up(name, 'n2', 1)
      await fail(name)
      await up(name, 'n2', 2)
    }
    for (const name of ['brief', 'stable']) {
      const { failures } = await until(name, 'to forget', ({ failures }) => failures.n2?.every(({ counts }) => !counts) === true)
      assert.deepEqual([name, failures.n2?.map(({ forgottenIn }) => forgottenIn)], [name, [null]])
    }
    const [kept] = (await shown('mindful')).failures.n2 ?? []
    assert.equal(kept?.counts, true)
    // The ten minutes of `stableAfter` end sooner than its window of an hour.
    assert.match(kept?.forgottenIn ?? '', /^(5\d\ds|9m|10m)$/)
    for (const name of all) await fail(name)
    for (const name of ['brief', 'stable']) await up(name, 'n2', 3)
    const moved = await up('mindful', 'n1', 3)
    assert.match(moved.bans.n2?.reason ?? '', /2 failures, 1 restart allowed in the window$/)
    for (const name of ['brief', 'stable'])
      assert.deepEqual(
        (await acts(name)).map(({ rule }) => rule),
        ['rank', 'restart-in-place', 'restart-in-place'],
      )
    for (const name of all) await remove(name)
  })

  test('standbyNode: the node goes to standby and all its groups leave it, until a person activates it', async () => {
    const rules = [{ event: 'died', resource: 'app', action: 'standbyNode' }]
    await put('ill', { nodes: ['n3', 'n1'], rules, resources: { app: app() } })
    await put('beside', { nodes: ['n3', 'n2'], resources: { app: app() } })
    await put('lonely', { nodes: ['n3'], rules, resources: { app: app() } })
    for (const name of ['ill', 'beside', 'lonely']) await up(name, 'n3', 1)
    await fail('lonely')
    const lonely = await until('lonely', 'to say why not', ({ waitingFor }) => waitingFor !== null)
    assert.match(
      lonely.waitingFor ?? '',
      /; n3 would go to standby, and no other node can take lonely now, by rules\[0\] \(died → standbyNode\)$/,
    )
    assert.equal(lonely.state, 'FAILED')
    assert.equal(await dutyOf('n3'), 'active')
    await remove('lonely')

    await fail('ill')
    const ill = await up('ill', 'n1', 2)
    await up('beside', 'n2', 2)
    assert.equal(await dutyOf('n3'), 'standby')
    assert.deepEqual(ill.bans, {}, 'the node is passed over for its duty, not for the failure')
    const made = await acts('ill')
    assert.deepEqual(
      made.map(({ rule }) => rule),
      ['rank', 'rules[0]', 'standby', 'rank'],
    )
    assert.match(made[1]?.text ?? '', /; n3 goes to standby and its groups leave it, by rules\[0\] \(died → standbyNode\)$/)
    const refused = (await loopback.api('GET', '/v1/groups/beside/why-not?node=n3')).body as { rule?: string }
    assert.equal(refused.rule, 'duty', JSON.stringify(refused))
    await done('POST', '/v1/nodes/n3/activate')
    assert.equal(await dutyOf('n3'), 'active')
    await done('POST', '/v1/groups/beside/move', { to: 'n3' })
    await up('beside', 'n3', 3)
    for (const name of ['ill', 'beside']) await remove(name)
  })

  test('demote: the primary role is given up and goes to the best copy, elsewhere once its node has used up its tries', async () => {
    await put('roles', {
      mode: 'scalable',
      nodes: [...names],
      rules: [{ event: 'any', action: 'demote' }],
      resources: { copy: copy(1) },
      primary: { resources: {} },
    })
    const begun = await primaryOn('roles', 'n1')
    assert.deepEqual(
      begun.holders.map(({ node }) => node),
      [...names],
    )
    const role = await shown('roles:primary')
    assert.deepEqual(role.effectiveRules[0], { name: 'rules[0]', event: 'any', action: 'demote' })
    rmSync(join(folder, 'roles.n1.primary'))
    await waitFor('another grant of the role', patience, async () => promoted().length === 2)
    const again = await primaryOn('roles', 'n1')
    assert.ok((again.primary?.token ?? 0) > (begun.primary?.token ?? 0), 'the best copy is still the same, under another grant')
    rmSync(join(folder, 'roles.n1.primary'))
    const { bans } = await primaryOn('roles', 'n2').then(() => shown('roles:primary'))
    assert.deepEqual(promoted(), ['promote copy n1', 'promote copy n1', 'promote copy n2'])
    assert.match(bans.n1?.reason ?? '', /; it is demoted, and the best copy is promoted, by rules\[0\] \(any → demote\)$/)
    const made = (await decisions('roles:primary')).filter(({ rule }) => rule === 'rules[0]')
    assert.deepEqual(
      made.map(({ action }) => action),
      ['stop', 'stop'],
    )
    assert.equal(noted('roles').filter((line) => line.startsWith('start')).length, names.length, 'no copy was restarted')
    await remove('roles')
  })

  test('a stop that cannot be verified: what is missing is said, and a node that may be fenced is fenced', async () => {
    await done('PATCH', '/v1/nodes/n3', { fencing: null })
    const told = { onStopFailure: 'fence', rules: [{ event: 'stop-failed', action: 'log' }] }
    const kinds = { hard: { failoverMode: 'HARD' }, polite: { onStopFailure: 'block' }, told }
    for (const [name, more] of Object.entries(kinds)) {
      await put(name, { nodes: ['n3', 'n1', 'n2'], ...more, resources: { app: sticky() } })
      await up(name, 'n3', 1)
      await done('POST', `/v1/groups/${name}/move`, { to: 'n2' })
    }
    const all = Object.keys(kinds)
    const byHand = 'fence n3 to go on: POST /v1/nodes/n3/fence'
    const said = {
      hard: `; n3 is not fenced for it: it has no fence device; ${byHand}`,
      polite: `; ${byHand}`,
      told: `, by rules[0] (stop-failed → log); ${byHand}`,
    }
    for (const [name, text] of Object.entries(said)) {
      const isStuck = ({ state, waitingFor }: Shown) => state === 'UNKNOWN' && waitingFor !== null
      const { waitingFor, holders, resources } = await until(name, 'to say what is missing', isStuck)
      assert.equal(waitingFor, `n3 could not verify that ${name} has stopped${text}`)
      assert.deepEqual([holders.map(({ node }) => node), resources.app?.state], [['n3'], 'UNKNOWN'])
    }
    const hard = await shown('hard')
    assert.deepEqual(
      hard.effectiveRules.slice(0, 2).map(({ name, action }) => [name, action]),
      [
        ['stop-failed', 'fence'],
        ['stop-failed', 'fence'],
      ],
    )
    for (const name of all)
      assert.deepEqual(
        noted(name).filter((line) => line.startsWith('start')),
        ['start app n3'],
      )
    assert.deepEqual(await casesOf('n3'), [])

    const boot = await bootOf('n3')
    noteOff('n3', all)
    await done('PATCH', '/v1/nodes/n3', { fencing: loopback.lab.fencing('n3') })
    for (const name of all) await up(name, 'n2', 2)
    await waitFor('n3 to be switched on again', patience, async () => ![boot, null].includes(await bootOf('n3')))
    const cases = await casesOf('n3')
    assert.equal(cases.length, 1)
    assert.match(
      cases[0]?.trigger ?? '',
      /^asked by the failure rules of hard: n3 could not verify that hard has stopped; n3 is fenced, so that hard can go/,
    )
    assert.equal((cases[0]?.proof as { kind?: string } | null)?.kind, 'fenced')
    assert.ok((await decisions('hard')).some(({ rule, action }) => rule === 'stop-failed' && action === 'fence'))
    assert.ok([...(await decisions('polite')), ...(await decisions('told'))].every(({ action }) => action !== 'fence'))
    for (const name of all) await remove(name)
    await loopback.settled()
  })
})

/** Notes its start and its end, and ends when it is told to: as a failure by a word in its pipe, for its node may be in a pid namespace of its own. */
function serviceText(): string {
  return `
here=${folder}/$QUORATE_GROUP.$QUORATE_RESOURCE.$QUORATE_NODE
note() { echo "$1 $QUORATE_GROUP $QUORATE_RESOURCE $QUORATE_NODE $$" >> ${journal}; }
if [ -e "$here.broken" ]; then note refuse; echo broken here; exit 1; fi
finish() { note end; kill $reader $sleeper 2>/dev/null; exit "$1"; }
rm -f "$here.fail"
mkfifo "$here.fail"
trap 'finish 0' TERM
trap 'finish 3' USR1
note start
: > "$QUORATE_READY_FILE"
{ read -r word < "$here.fail"; kill -USR1 $$; } &
reader=$!
sleep 100000 &
sleeper=$!
wait $sleeper
`
}

function app(more: object = {}): object {
  return { type: 'command', parameters: { run: ['/bin/sh', service], readyFile: true }, ...more }
}

/** Once it has been started, its probe finds it for as long as the node is on, whatever its stop does. */
function sticky(): object {
  const mark = `${folder}/$QUORATE_GROUP.$QUORATE_NODE.$QUORATE_BOOT`
  const note = (what: string) => `echo "${what} $QUORATE_GROUP $QUORATE_RESOURCE $QUORATE_NODE $$" >> ${journal}`
  const stop = `if [ $QUORATE_NODE = n3 ]; then ${note('stop')}; else rm -f ${mark} && ${note('end')}; fi`
  return {
    type: 'command',
    parameters: { start: `touch ${mark} && ${note('start')}`, stop, probe: `[ -e ${mark} ] || exit 7` },
    probe: { interval: '1s' },
  }
}

/** What is there by its files only ends with the power of its node: noted once that is off, and before its device says so. */
function noteOff(node: string, groups: readonly string[]): void {
  const supply = loopback.lab.power.get(node) as Power
  const off = supply.off.bind(supply)
  supply.off = async () => {
    await off()
    supply.off = off
    for (const group of groups) appendFileSync(journal, `end ${group} app ${node} 0\n`)
  }
}

/** A copy with a role that is told apart by files. `max`: how often the role may be lost before its node is passed over. */
function copy(max: number): object {
  const mark = `${folder}/roles.$QUORATE_NODE`
  const note = (what: string) => `echo "${what} roles $QUORATE_RESOURCE $QUORATE_NODE $$" >> ${journal}`
  return {
    type: 'command',
    promotable: true,
    parameters: {
      start: `touch ${mark}.runs && rm -f ${mark}.primary && ${note('start')}`,
      stop: `rm -f ${mark}.runs ${mark}.primary && ${note('end')}`,
      probe: `[ -e ${mark}.runs ] || exit 7`,
      promote: `touch ${mark}.primary && ${note('promote')}`,
      demote: `rm -f ${mark}.primary && ${note('demote')}`,
      probeRole: `[ -e ${mark}.runs ] || exit 7; [ ! -e ${mark}.primary ] || exit 8`,
    },
    probe: { interval: '300ms', timeout: '10s' },
    restart: { max, window: '10m' },
  }
}

async function done(method: string, path: string, body?: unknown): Promise<Answer> {
  const answer = await loopback.api(method, path, body)
  assert.ok(answer.status >= 200 && answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
  return answer
}

const put = (group: string, definition: object) => done('PUT', `/v1/groups/${group}`, definition)

/** And sees that everything that was decided of it follows from what it was decided on, and that there never were two of it. */
async function remove(group: string): Promise<void> {
  for (const { id } of await decisions(group)) {
    const { same } = (await done('GET', `/v1/decisions/${id}/replay`)).body
    assert.equal(same, true, `decision ${id} of ${group}`)
  }
  const gone = await done('DELETE', `/v1/groups/${group}?wait=60s`)
  assert.equal(gone.body.status, 'done', JSON.stringify(gone.body))
  alone(group)
}

async function shown(group: string): Promise<Shown> {
  return (await done('GET', `/v1/groups/${group}`)).body as unknown as Shown
}

async function until(group: string, what: string, holds: (shown: Shown) => boolean): Promise<Shown> {
  let last: Shown | undefined
  await waitFor(`${group} ${what}`, patience, async () => {
    const { status, body } = await loopback.api('GET', `/v1/groups/${group}`)
    if (status !== 200) return false
    last = body as unknown as Shown
    return holds(last)
  }).catch((error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(last)}; ${noted(group).join(', ')}`)
  })
  return last as Shown
}

/** On this node, after so many starts of its resources altogether. */
function up(group: string, node: string, starts: number): Promise<Shown> {
  return until(group, `to run on ${node} after ${starts} starts`, ({ state, holders }) => {
    const seen = noted(group).filter((line) => line.startsWith('start')).length
    return state === 'ONLINE' && holders[0]?.node === node && seen === starts
  })
}

function primaryOn(group: string, node: string): Promise<Shown> {
  return until(group, `to have its primary on ${node}`, ({ state, primary }) => state === 'ONLINE' && primary?.node === node)
}

function notes(): readonly Note[] {
  const lines = readFileSync(journal, 'utf8').split('\n').slice(0, -1)
  return lines.map((line) => {
    const [what = '', group = '', resource = '', node = '', pid] = line.split(' ')
    return { what, group, resource, node, pid: Number(pid) }
  })
}

const noted = (group: string): readonly string[] =>
  notes().flatMap(({ what, group: of, resource, node }) => (of === group ? [`${what} ${resource} ${node}`] : []))

const promoted = () => noted('roles').filter((line) => line.startsWith('promote'))

/** Has the service that runs end by itself. */
async function fail(group: string, resource = 'app'): Promise<void> {
  const last = notes().findLast((note) => note.group === group && note.resource === resource)
  assert.equal(last?.what, 'start', `${resource} of ${group} runs`)
  // Not before somebody reads it.
  await waitFor(`${resource} of ${group} to listen`, patience, async () => {
    try {
      const pipe = openSync(join(folder, `${group}.${resource}.${last?.node}.fail`), constants.O_WRONLY | constants.O_NONBLOCK)
      writeSync(pipe, 'fail\n')
      closeSync(pipe)
      return true
    } catch (error) {
      if (['ENXIO', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) return false
      throw error
    }
  })
}

const broken = (group: string, resource: string, node: string) => writeFileSync(join(folder, `${group}.${resource}.${node}.broken`), '')
const mended = (group: string, resource: string, node: string) => rmSync(join(folder, `${group}.${resource}.${node}.broken`))

/** Oldest first. */
async function decisions(group: string): Promise<readonly Decision[]> {
  const { decisions } = (await done('GET', `/v1/decisions?group=${group}`)).body as unknown as { decisions: readonly Decision[] }
  return [...decisions].reverse()
}

/** Those that were more than a word about why nothing is done yet. */
const acts = async (group: string) => (await decisions(group)).filter(({ action }) => action !== 'wait')

async function dutyOf(node: string): Promise<unknown> {
  return (await done('GET', `/v1/nodes/${node}`)).body.duty
}

async function bootOf(node: string): Promise<string | null> {
  return (await done('GET', `/v1/nodes/${node}`)).body.boot as string | null
}

async function casesOf(node: string) {
  const { cases } = (await done('GET', '/v1/cases')).body as unknown as {
    cases: readonly { node: string; trigger: string; proof: unknown }[]
  }
  return cases.filter((one) => one.node === node)
}

/** No two at one instant: each start comes after the end of the one before, in the order in which they noted it. */
function alone(group: string): void {
  const running = new Map<string, string>()
  for (const { what, group: of, resource, node } of notes()) {
    if (of !== group) continue
    const place = group === 'roles' ? `${resource} ${node}` : resource
    if (what === 'start') {
      assert.equal(running.get(place), undefined, `${resource} of ${group} starts on ${node}: ${noted(group).join(', ')}`)
      running.set(place, node)
    } else if (what === 'end') running.delete(place)
  }
}
