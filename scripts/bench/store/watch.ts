/**
 * A thousand clients that watch, one event after another: how long until each has it, from the moment it was asked for.
 *
 * Quorate: `GET /v1/events` as NDJSON, events of changed settings, for puts into the store are not in the journal. etcd: watches of one
 * key through its JSON gateway. In both a stream is one HTTP connection to the leader, and an event one committed entry.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { percentile } from './median.js'
import { type System, settle } from './system.js'

export interface WatchFigures {
  readonly system: string
  readonly streams: number
  readonly events: number
  readonly p50: number
  readonly p99: number
}

const streams = 1_000
const rounds = 3

export async function measureWatch(systems: ReadonlyMap<System['kind'], System>): Promise<readonly WatchFigures[]> {
  const taken = new Map<System, number[]>()
  let events = 0
  for (let round = 0; round < rounds; round++) {
    for (const system of systems.values()) {
      const { leader } = await settle(system)
      const child = spawn(
        process.execPath,
        [join(import.meta.dirname, 'watcher.js'), system.kind, system.target(leader), String(streams)],
        {
          stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
        },
      )
      const report = await once(child)
      events = report.events
      taken.set(system, [...(taken.get(system) ?? []), ...report.latencies])
    }
  }
  return [...taken].map(([system, all]) => ({
    system: system.kind,
    streams,
    events: events * rounds,
    p50: percentile(all, 0.5),
    p99: percentile(all, 0.99),
  }))
}

function once(child: ChildProcess): Promise<{ readonly events: number; readonly latencies: readonly number[] }> {
  return new Promise((resolve, reject) => {
    child.on('message', (message) => resolve(message as { events: number; latencies: number[] }))
    child.once('exit', (code) => reject(new Error(`the watcher ended with ${code}`)))
  })
}
