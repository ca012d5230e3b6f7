/** Restart with many keys, catch-up after absence, and what lies on the disk. */
import { execFileSync } from 'node:child_process'
import { request } from '../../lib/http.js'
import { fill } from './cells.js'
import { median } from './median.js'
import { memoryOf } from './processes.js'
import { type Name, names, type System, settle } from './system.js'
import { keyOf } from './work.js'

export interface RestartFigures {
  readonly system: string
  readonly keys: number
  /** Killed and started: from the start to its first local read, in milliseconds. */
  readonly restartMs: number
  /** All killed and started: to the first acknowledged put. */
  readonly allMs: number
  /** From the start of one that missed `missed` puts until it has them all. */
  readonly catchUpMs: number
  readonly missed: number
  readonly folderMiB: number
  readonly memory: { readonly rss: number; readonly pss: number }
}

const keys = 100_000
const missed = 50_000

export async function measureRestarts(systems: ReadonlyMap<System['kind'], System>, runs: number): Promise<readonly RestartFigures[]> {
  for (const system of systems.values()) await fill(system, keys)
  const taken = new Map<System, { restart: number[]; all: number[]; catchUp: number[] }>()
  for (let run = 0; run < runs; run++) {
    for (const system of systems.values()) {
      const times = taken.get(system) ?? { restart: [], all: [], catchUp: [] }
      taken.set(system, times)
      times.restart.push(await restartOne(system))
      times.all.push(await restartAll(system))
      times.catchUp.push(await catchUp(system))
    }
  }
  return [...taken].map(([system, times]) => ({
    system: system.kind,
    keys,
    restartMs: median(times.restart),
    allMs: median(times.all),
    catchUpMs: median(times.catchUp),
    missed,
    folderMiB: Number(execFileSync('du', ['-sm', system.folder('n1')], { encoding: 'utf8' }).split('\t')[0]),
    memory: memoryOf(names.flatMap((name) => system.pids(name))),
  }))
}

async function restartOne(system: System): Promise<number> {
  const { followers } = await settle(system)
  const one = followers[0] as Name
  system.kill(one)
  await gone(system, one)
  const at = Date.now()
  await system.start(one)
  await until(() => read(system, one))
  return Date.now() - at
}

async function restartAll(system: System): Promise<number> {
  await settle(system)
  for (const name of names) system.kill(name)
  for (const name of names) await gone(system, name)
  const at = Date.now()
  for (const name of names) await system.start(name)
  await until(() => put(system, 'n1'))
  return Date.now() - at
}

async function catchUp(system: System): Promise<number> {
  const { leader, followers } = await settle(system)
  const one = followers[0] as Name
  system.kill(one)
  await gone(system, one)
  await fillMissed(system)
  const target = await system.applied(leader)
  const at = Date.now()
  await system.start(one)
  await until(async () => (await system.applied(one)) >= target)
  return Date.now() - at
}

async function fillMissed(system: System): Promise<void> {
  const { runClient } = await import('./run-client.js')
  const leader = (await system.leader()) as Name
  for (let done = 0; done < missed; ) {
    const { requests } = await runClient(system, {
      protocol: system.kind === 'quorate' ? 'quorate' : 'etcd-grpc',
      operation: 'put',
      targets: [system.target(leader)],
      clients: 128,
      warmUpMs: 0,
      measureMs: 1_000,
      valueBytes: 256,
      keys,
      operations: 1,
    })
    done += requests
  }
}

async function read(system: System, name: Name): Promise<boolean> {
  const base = `http://${system.target(name)}`
  const key = keyOf(1)
  const { status } =
    system.kind === 'quorate'
      ? await request(base, 'GET', `/v1/store/${key}?consistency=local`, undefined, { timeoutMs: 1_000 })
      : await request(base, 'POST', '/v3/kv/range', { key: Buffer.from(key).toString('base64'), serializable: true }, { timeoutMs: 1_000 })
  return status === 200
}

async function put(system: System, name: Name): Promise<boolean> {
  const base = `http://${system.target(name)}`
  const { status } =
    system.kind === 'quorate'
      ? await request(base, 'PUT', '/v1/store/probe', { value: 1 }, { timeoutMs: 2_000 })
      : await request(base, 'POST', '/v3/kv/put', { key: 'cHJvYmU=', value: 'MQ==' }, { timeoutMs: 2_000 })
  return status === 200
}

async function gone(system: System, name: Name): Promise<void> {
  await until(async () => (await system.applied(name)) < 0)
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 60_000
  while (!(await holds())) {
    if (Date.now() > end) throw new Error('it did not come within a minute')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
