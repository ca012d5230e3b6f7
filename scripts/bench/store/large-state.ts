/**
 * A state of hundreds of MiB: how long a restart, a snapshot to an empty node and a compaction take, and what a client and the
 * event loops notice meanwhile.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { request } from '../../lib/http.js'
import { HttpConnection } from './http-connection.js'
import { type Name, names, type System, settle } from './system.js'

/** Milliseconds. */
interface Phase {
  readonly tookMs: number
  /** Of puts of 256 bytes at the leader, one after another. */
  readonly puts: number
  readonly putP50: number
  readonly putP99: number
  readonly putMax: number
  /** The longest that any event loop was late, as the nodes themselves say. */
  readonly loopLagMax: number
}

export interface LargeStateFigures {
  readonly mebibytes: number
  readonly rows: number
  readonly quiet: Phase
  /** A follower is killed and started, until it serves with everything. */
  readonly restart: Phase
  /** A follower's data folder is taken away: until it has come again as a new member, with everything. */
  readonly emptyNode: Phase
  /** The log grows past its bound: until its first segment is gone. */
  readonly compaction: Phase
}

const valueBytes = 4_000
const rowsAtOnce = 40

export async function measureLargeState(system: System, mebibytes: number): Promise<LargeStateFigures> {
  const rows = Math.ceil((mebibytes * 1_048_576) / valueBytes)
  const { leader, followers } = await settle(system)
  await write(system, leader, 0, rows)
  await settle(system)
  const one = followers[0] as Name
  const phase = (body: () => Promise<void>) => during(system, leader, body)
  const quiet = await phase(() => wait(5_000))
  const restart = await phase(async () => {
    system.kill(one)
    await until(async () => (await system.applied(one)) < 0)
    const target = await system.applied(leader)
    await system.start(one)
    await until(async () => (await system.applied(one)) >= target && (await readsLocally(system, one)))
  })
  const emptyNode = await phase(async () => {
    system.kill(one)
    await until(async () => (await system.applied(one)) < 0)
    rmSync(system.folder(one), { recursive: true, force: true })
    const target = await system.applied(leader)
    await system.start(one)
    await until(async () => (await system.applied(one)) >= target && (await readsLocally(system, one)))
  })
  await settle(system)
  const first = firstSegment(system, leader)
  const compaction = await phase(async () => {
    for (let round = 0; firstSegment(system, leader) === first; round++) {
      if (round > 60) throw new Error('the log was not compacted')
      await write(system, leader, 0, 400)
    }
  })
  return { mebibytes, rows, quiet, restart, emptyNode, compaction }
}

async function write(system: System, leader: Name, from: number, to: number): Promise<void> {
  const value = 'x'.repeat(valueBytes - 20)
  for (let at = from; at < to; at += rowsAtOnce) {
    const operations = []
    for (let row = at; row < Math.min(at + rowsAtOnce, to); row++)
      operations.push({ kind: 'put', key: `large/${String(row * 7_919).padStart(12, '0')}`, value: `${row} ${value}` })
    const { status, body } = await request(`http://${system.target(leader)}`, 'POST', '/v1/store', { operations }, { timeoutMs: 10_000 })
    if (status !== 200) throw new Error(`a write was answered with ${status}: ${JSON.stringify(body)}`)
  }
}

async function during(system: System, leader: Name, body: () => Promise<void>): Promise<Phase> {
  const times: number[] = []
  let running = true
  let loopLagMax = 0
  const putting = putOn(system.target(leader), times, () => running)
  const looking = (async () => {
    while (running) {
      for (const name of names) loopLagMax = Math.max(loopLagMax, await lagOf(system, name))
      await wait(100)
    }
  })()
  const began = performance.now()
  try {
    await body()
  } finally {
    running = false
  }
  const tookMs = Math.round(performance.now() - began)
  await Promise.all([putting, looking])
  times.sort((a, b) => a - b)
  const at = (share: number) => Math.round((times[Math.floor((times.length - 1) * share)] ?? 0) * 10) / 10
  return { tookMs, puts: times.length, putP50: at(0.5), putP99: at(0.99), putMax: at(1), loopLagMax }
}

async function putOn(target: string, times: number[], running: () => boolean): Promise<void> {
  const value = 'y'.repeat(256)
  const connection = await new Promise<HttpConnection>((resolve) => {
    const made = new HttpConnection(target, () => resolve(made))
  })
  for (let at = 0; running(); at++) {
    const began = performance.now()
    const status = await new Promise<number>((resolve) =>
      connection.ask('PUT', `/v1/store/small/${at % 1_000}`, JSON.stringify({ value }), resolve),
    )
    if (status !== 200) throw new Error(`a put was answered with ${status}`)
    times.push(performance.now() - began)
    await wait(2)
  }
  connection.end()
}

/** Milliseconds; 0 where the node does not answer. */
async function lagOf(system: System, name: Name): Promise<number> {
  const text = await fetch(`http://${system.target(name)}/metrics`, { signal: AbortSignal.timeout(1_000) })
    .then((answer) => answer.text())
    .catch(() => '')
  return Math.round(Number(/loop_lag_seconds(?:\{[^}]*\})? ([\d.e-]+)/.exec(text)?.[1] ?? 0) * 1_000)
}

async function readsLocally(system: System, name: Name): Promise<boolean> {
  const path = `/v1/store/large/${'0'.repeat(12)}?consistency=local`
  return (await request(`http://${system.target(name)}`, 'GET', path, undefined, { timeoutMs: 1_000 })).status === 200
}

function firstSegment(system: System, name: Name): string | undefined {
  const folder = join(system.folder(name), 'log')
  return existsSync(folder) ? readdirSync(folder).sort()[0] : undefined
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 120_000
  while (!(await holds())) {
    if (Date.now() > end) throw new Error('it did not come within two minutes')
    await wait(20)
  }
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
