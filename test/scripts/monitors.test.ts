/**
 * Monitors that end, hang and are late, and copies that somebody started by hand: what is told of them, and that services never notice.
 * Three nodes with real processes.
 */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type Answer, pause, waitFor } from '../../scripts/lib/http.js'
import type { Power, Role } from '../../scripts/lib/power.js'
import { type LoopbackLab, names, raiseLoopback } from './loopback-lab.js'

const patience = 60_000

interface Told {
  readonly kind: string
  readonly subject: string
  readonly text: string
}

let loopback: LoopbackLab
let folder: string

before(async () => {
  loopback = await raiseLoopback(65)
  await loopback.settled()
  folder = join(loopback.lab.home, 'services')
  mkdirSync(folder)
  chmodSync(folder, 0o777)
})
after(() => loopback?.close())

describe('a monitor', () => {
  /** Of each node: its group, with a kept process and what its commands start. */
  const groupOf = (node: string) => `of-${node}`
  let runsBefore: readonly unknown[]

  before(async () => {
    for (const node of names) {
      const nodes = [node, ...names.filter((other) => other !== node)]
      const kept = { type: 'command', parameters: { run: `echo kept $$ >> ${journal(node)}; exec sleep 100000` } }
      const resources = { kept, started: { ...started(groupOf(node)), dependsOn: ['kept'] } }
      await done('PUT', `/v1/groups/${groupOf(node)}`, { nodes, resources })
    }
    await waitFor('all to run at home', patience, async () =>
      (await places()).every(({ state, node, home }) => state === 'ONLINE' && node === home),
    )
    runsBefore = await allThatRuns()
  })

  const journal = (node: string) => join(folder, `journal.${node}`)
  const places = async () =>
    Promise.all(
      names.map(async (home) => {
        const { state, holders = [] } = (await done('GET', `/v1/groups/${groupOf(home)}`)).body as {
          state?: string
          holders?: readonly { node: string; token: number }[]
        }
        return { home, state, node: holders[0]?.node, token: holders[0]?.token }
      }),
    )
  /** Where everything runs under which grant, and every process that ever ran of it. */
  const allThatRuns = async () => [
    await places(),
    names.map((node) => readFileSync(journal(node), 'utf8')),
    names.map((node) => readFileSync(runsFile(groupOf(node), node), 'utf8')),
  ]

  describe('of each of three nodes', { concurrency: true }, () => {
    test('is killed: it is told as lost, stands in attention until another one is there, and that one is told as back', async () => {
      const killed = only('n1', 'monitor')
      // Else the next one is there before anybody could look.
      await withStopped(only('n1', 'guardian'), async () => {
        process.kill(killed, 'SIGKILL')
        assert.match(await attentionOf('n1'), /^the monitor of n1: it has ended: its guardian starts it anew, and what it keeps runs on$/)
      })
      assert.match(await toldOf('n1', 'monitor.back'), /^the monitor of n1: it is here again after \d+\.\d s$/)
      assert.notEqual(only('n1', 'monitor'), killed)
      await noAttentionOf('n1')
    })

    test('hangs: it is told as hung, stands in attention until it was ended and another one is there', async () => {
      const hung = only('n2', 'monitor')
      process.kill(hung, 'SIGSTOP')
      await pause(8_000)
      assert.equal((await told('n2', 'monitor.hung')).length, 0, 'not every pause is a hang')
      assert.match(await attentionOf('n2'), /^the monitor of n2: nothing has come from it for 1\d\.\d s: it is ended and started anew/)
      assert.equal((await told('n2', 'monitor.hung')).length, 1)
      assert.match(await toldOf('n2', 'monitor.back'), /^the monitor of n2: it (is here again|goes on) after \d+\.\d s$/)
      assert.notEqual(only('n2', 'monitor'), hung)
      await noAttentionOf('n2')
    })

    test('is late again and again: it is told as slow, stands in attention until it comes in time, and is left alone', async () => {
      const slow = only('n3', 'monitor')
      let isTold = false
      const attention = attentionOf('n3').finally(() => {
        isTold = true
      })
      while (!isTold) await withStopped(slow, () => pause(1_900)).then(() => pause(150))
      assert.match(await attention, /^the monitor of n3: it comes \d\.\d s late to its work/)
      assert.match(await toldOf('n3', 'monitor.well'), /^the monitor of n3: it comes to its work in time again$/)
      await noAttentionOf('n3')
      assert.equal(only('n3', 'monitor'), slow)
    })
  })

  test('never matters to what runs: the same processes under the same grants, nothing else was told, and no node has a case', async () => {
    assert.deepEqual(await allThatRuns(), runsBefore)
    const monitors = (await events()).filter(({ kind }) => kind.startsWith('monitor.')).map(({ kind, subject }) => `${kind} ${subject}`)
    assert.deepEqual(monitors.sort(), [
      'monitor.back n1',
      'monitor.back n2',
      'monitor.hung n2',
      'monitor.lost n1',
      'monitor.slow n3',
      'monitor.well n3',
    ])
    assert.deepEqual((await done('GET', '/v1/cases')).body.cases, [])
    assert.equal(loopback.copies().length, 1, 'one copy of the service ran all the time')
  })
})

describe('a copy that somebody starts by hand', { concurrency: true }, () => {
  for (const [onFound, what] of [
    ['stopExtra', 'is found and stopped'],
    ['block', 'is found and left to a person'],
  ] as const)
    test(`where another node holds the group ${what}; the copy with the token runs on`, async () => {
      const name = onFound.toLowerCase()
      const nodes = ['n1', 'n2']
      await done('PUT', `/v1/groups/${name}`, { nodes, offlineProbe: { interval: '1s', onFound }, resources: { app: started(name) } })
      const group = async () =>
        (await done('GET', `/v1/groups/${name}`)).body as { state?: string; holders?: readonly { node: string; token: number }[] }
      await waitFor(`${name} to run`, patience, async () => (await group()).state === 'ONLINE')
      const [copy, { holders }] = [readFileSync(runsFile(name, 'n1'), 'utf8'), await group()]
      const isThere = () => existsSync(runsFile(name, 'n2'))
      writeFileSync(join(folder, `${name}.n2.held`), '')
      writeFileSync(runsFile(name, 'n2'), 'by hand\n')
      const found = `${name} runs on n2 without a grant`
      const text = await attention('TWO_COPIES', `something of ${found}`)
      const alarms = (await events()).filter(({ kind, subject }) => kind === 'alarm.p1' && subject === name)
      assert.equal(alarms.length, 1)
      const told = `${found} while n1 holds it (token ${holders?.[0]?.token}): `
      if (onFound === 'stopExtra') {
        assert.equal(text, `something of ${found}, while n1 holds it: it is being stopped`)
        assert.equal(alarms[0]?.text, `${told}the copy on n2 is stopped`)
        assert.equal(isThere(), true)
        rmSync(join(folder, `${name}.n2.held`))
        await waitFor('the copy to be stopped', patience, async () => !isThere())
      } else {
        assert.equal(text, `something of ${found}, while n1 holds it`)
        assert.equal(alarms[0]?.text, `${told}it is left there: stop it by hand`)
        const looks = () => looksOf(name, 'n2')
        const before = looks()
        await waitFor('it to be found twice more', patience, async () => looks() >= before + 2)
        assert.equal(isThere(), true)
        rmSync(runsFile(name, 'n2'))
      }
      const isOver = async () => !(await attentions('TWO_COPIES')).some((one) => one.includes(found))
      await waitFor('attention to be over', patience, isOver)
      const now = await group()
      assert.deepEqual([now.state, now.holders, readFileSync(runsFile(name, 'n1'), 'utf8')], ['ONLINE', holders, copy])
      assert.equal(stopsOf(name), onFound === 'stopExtra' ? 'n2\n' : '', 'stops that were begun')
      await done('DELETE', `/v1/groups/${name}?wait=30s`)
    })
})

const runsFile = (group: string, node: string) => join(folder, `${group}.${node}.runs`)
const looksOf = (group: string, node: string) => lengthOf(join(folder, `${group}.${node}.looks`))
const lengthOf = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8').length : 0)
const stopsOf = (group: string) => (existsSync(join(folder, `${group}.stops`)) ? readFileSync(join(folder, `${group}.stops`), 'utf8') : '')

/** Something that runs where a file of the node says so, whoever made it. Its stop waits for as long as it is held. */
function started(group: string): object {
  const here = `${folder}/${group}.$QUORATE_NODE`
  const parameters = {
    start: `echo "$QUORATE_GRANT_TOKEN by $$" > ${here}.runs`,
    stop: `
      echo $QUORATE_NODE >> ${folder}/${group}.stops
      while [ -e ${here}.held ]; do sleep 0.1; done
      rm -f ${here}.runs`,
    probe: `printf . >> ${here}.looks; [ -e ${here}.runs ] || exit 7`,
  }
  return { type: 'command', parameters, probe: { interval: '1s' } }
}

async function done(method: string, path: string, body?: unknown): Promise<Answer> {
  const answer = await loopback.api(method, path, body)
  assert.ok(answer.status >= 200 && answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
  return answer
}

function only(node: string, role: Role): number {
  const [pid, ...more] = (loopback.lab.power.get(node) as Power).pidsIn(role)
  assert.ok(pid !== undefined && more.length === 0, `one ${role} of ${node}`)
  return pid
}

async function withStopped(pid: number, meanwhile: () => Promise<unknown>): Promise<void> {
  process.kill(pid, 'SIGSTOP')
  try {
    await meanwhile()
  } finally {
    try {
      process.kill(pid, 'SIGCONT')
    } catch {
      // It was ended meanwhile.
    }
  }
}

async function events(): Promise<readonly Told[]> {
  const response = await fetch(`${loopback.lab.url('n1')}/v1/events?from=1&follow=false`)
  const lines = (await response.text()).split('\n').filter(Boolean)
  return lines.map((line) => JSON.parse(line) as Told)
}

const told = async (node: string, kind: string) => (await events()).filter((event) => event.kind === kind && event.subject === node)

async function toldOf(node: string, kind: string): Promise<string> {
  await waitFor(`${kind} of ${node}`, patience, async () => (await told(node, kind)).length > 0)
  return (await told(node, kind))[0]?.text as string
}

async function attentions(code: string): Promise<readonly string[]> {
  const { attention: items } = (await done('GET', '/v1/attention')).body as { attention: readonly { code: string; text: string }[] }
  return items.filter((item) => item.code === code).map(({ text }) => text)
}

/** Asks without a pause: it may be over soon. */
async function attention(code: string, begin: string): Promise<string> {
  for (const end = Date.now() + patience; Date.now() < end; ) {
    const found = (await attentions(code)).find((text) => text.startsWith(begin))
    if (found !== undefined) return found
  }
  throw new Error(`waited ${patience / 1_000} s for ${code} of ${begin}`)
}

const attentionOf = (node: string) => attention('MONITOR', `the monitor of ${node}:`)
const noAttentionOf = (node: string) =>
  waitFor('attention to be over', patience, async () => !(await attentions('MONITOR')).some((text) => text.includes(` ${node}:`)))
