/** Many methods at once: a few programs in a turn of the event loop, the urgent ones first, each judged by the lease as it is then. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import {
  type BootId,
  type BootInstant,
  bootInstant,
  type GroupName,
  type NodeId,
  type ResourceName,
  type Token,
} from '../../../src/base/index.js'
import type { MethodRequest } from '../../../src/core/monitor/index.js'
import { type Agents, openAgents } from '../../../src/io/agents/index.js'
import { openClock } from '../../../src/io/clock/index.js'
import { openRunFolder } from '../../../src/io/run-folder/index.js'

let folder: string
let agents: Agents
const clock = openClock()

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-pace-'))
  mkdirSync(join(folder, 'log'))
  const nobody = { onLearnt: () => {}, onEnded: () => {}, onEmptied: () => {}, onChanged: () => {} }
  agents = openAgents({ runFolder: openRunFolder(join(folder, 'run')), logDir: join(folder, 'log'), clock, isPatient: true }, nobody)
})
after(() => {
  agents.close()
  clock.close()
  rmSync(folder, { recursive: true, force: true })
})

const later = () => bootInstant(clock.boot() + 60_000)

function begin(...given: Parameters<typeof methodOf>) {
  return methodOf(...given).result
}

function methodOf(group: string, method: 'start' | 'stop' | 'probe', deadline: () => BootInstant = later, timeout = 20_000) {
  const note = `echo ${method} >> ${join(folder, 'noted')}`
  const request: MethodRequest = {
    group: group as GroupName,
    resource: 'r' as ResourceName,
    place: { kind: 'sweep', root: 'pace-test' },
    definition: {
      type: 'command',
      parameters: { start: note, stop: note, probe: note },
      dependsOn: [],
      probe: { interval: 60_000, timeout },
      start: { timeout },
      stop: { timeout },
      restart: { max: 3, window: 900_000 },
    },
    method,
    timeout,
    processes: [],
    token: 1 as Token,
    node: 'n1' as NodeId,
    boot: 'b1' as BootId,
  }
  return agents.begin(request, deadline)
}

test('of many methods stops and starts come before probes that were there first', async () => {
  const order: string[] = []
  const all = Array.from({ length: 30 }, (_, at) => begin(`p${at}`, 'probe').then(() => order.push('probe')))
  all.push(begin('start', 'start').then(() => order.push('start')))
  all.push(begin('stop', 'stop').then(() => order.push('stop')))
  await Promise.all(all)
  const begun = readFileSync(join(folder, 'noted'), 'utf8').trim().split('\n')
  assert.equal(begun.length, 32)
  assert.ok(order.indexOf('stop') < 28 && order.indexOf('start') < 28, order.join())
})

test('what counts is the lease when the turn comes, not when the start was decided', async () => {
  for (const [before, then, outcome] of [
    [bootInstant(0), later(), 'done'],
    [later(), bootInstant(0), 'refused'],
  ] as const) {
    let deadline = before
    const others = Array.from({ length: 5 }, (_, at) => begin(`${outcome}${at}`, 'start'))
    const waiting = begin(outcome, 'start', () => deadline)
    deadline = then
    assert.equal((await waiting).outcome, outcome)
    await Promise.all(others)
  }
})

test('what is cancelled while it waits for its turn is over at once, and nothing of it is ever started', async () => {
  const many = Array.from({ length: 40 }, (_, at) => begin(`c${at}`, 'probe'))
  let isOver = false
  void Promise.all(many).then(() => {
    isOver = true
  })
  const method = methodOf('cancelled', 'probe')
  method.cancel()
  assert.equal((await method.result).outcome, 'cancelled')
  assert.equal(isOver, false)
  await Promise.all(many)
})

test('the time that a method waits for its turn is not its own', async () => {
  const many = Array.from({ length: 60 }, (_, at) => begin(`w${at}`, 'probe'))
  const last = begin('slow', 'probe', later, 5_000)
  await new Promise((resolve) => setImmediate(resolve)) // All wait now, but for the first few.
  // Nothing gets its turn for longer than this one may take.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5_500)
  assert.equal((await last).outcome, 'running')
  await Promise.all(many)
})
