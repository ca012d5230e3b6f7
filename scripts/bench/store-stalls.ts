/**
 * How long the store holds up the event loop while a large state is loaded, sent and received, and what an append costs meanwhile.
 *
 * Told are the turns of the event loop by the clock, and by the processor time of its thread, which other load on the machine does not
 * make longer.
 *
 * Usage: `node dist/scripts/bench/store-stalls.js [MiB of state, 200] [folder]`. Needs three times that on the disk of the folder.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ClusterId, logIndex, type MemberId, type NodeId, term } from '../../src/base/index.js'
import { openStore, type SnapshotReader, type Store, type StoreListener } from '../../src/io/store/index.js'

const mebibytes = Number(process.argv[2] ?? 200)
const place = mkdtempSync(join(process.argv[3] ?? tmpdir(), 'quorate-stalls-'))
const rowBytes = 1_000
const meta = { index: logIndex(1), term: term(1), configuration: null }

try {
  await main()
} finally {
  rmSync(place, { recursive: true, force: true })
}

async function main(): Promise<void> {
  await measure('nothing, for comparison', () => new Promise((resolve) => setTimeout(resolve, 2_000)))
  const sender = await openOne('sender')
  await measure(`apply ${mebibytes} MiB`, () => fill(sender.store))
  await sender.store.close()

  const opened = await measure('open', () => openOne('sender', false))
  const { restored } = opened
  console.log(`${restored.rows.length} rows, ${Math.round(process.memoryUsage().rss / 1_048_576)} MiB resident`)
  const receiver = await openOne('receiver')
  await measure('snapshot out, while appending', () => appending(opened, async () => drain(await opened.store.openSnapshot())))
  const reader = await opened.store.openSnapshot()
  const writer = await receiver.store.receiveSnapshot({ ...meta, index: logIndex(2) })
  await measure('snapshot in', async () => {
    for (let last = false; !last; ) {
      const chunk = await reader.next()
      await writer.write(chunk.data)
      last = chunk.last
    }
  })
  await reader.close()
  await measure('install', () => writer.install(false))
  await measure('removal of the old state, and close', () => receiver.store.close())
  await opened.store.close()
}

interface One {
  readonly store: Store
  readonly restored: Awaited<ReturnType<typeof openStore>>['restored']
  readonly listener: { persisted: (sequence: number) => void }
}

async function openOne(name: string, isNew = true): Promise<One> {
  const listener = { persisted: (_sequence: number) => {} }
  const told: StoreListener = {
    onPersisted: (sequence) => listener.persisted(sequence),
    onFailure: (error) => {
      throw error
    },
  }
  const { store, restored } = await openStore(join(place, name), told)
  const one = { store, restored, listener }
  if (!isNew) return one
  const node = name as NodeId
  await store.writeIdentity({ clusterId: 'c' as ClusterId, memberId: 'm' as MemberId, node, phase: 'formed', voters: [] })
  await append(one, 1, 1)
  return one
}

function append({ store, listener }: One, sequence: number, index: number): Promise<void> {
  return new Promise((resolve) => {
    listener.persisted = () => resolve()
    const entry = { index: logIndex(index), term: term(1), kind: 'command', data: new Uint8Array(300) } as const
    store.append({ sequence, hardState: { term: term(1), votedFor: null }, entries: [entry] })
  })
}

async function fill(store: Store): Promise<void> {
  const rows = Math.round((mebibytes * 1_048_576) / rowBytes)
  const value = { text: 'x'.repeat(rowBytes - 60), at: 0 }
  for (let at = 0; at < rows; ) {
    const changes = []
    for (const end = Math.min(at + 200, rows); at < end; at++) {
      changes.push({ table: 'store', key: `key/${String(at * 7_919).padStart(12, '0')}`, value: { ...value, at } })
    }
    store.apply(meta, changes)
    if (at % 2_000 === 0) await store.syncApplied()
    else await new Promise((resolve) => setImmediate(resolve))
  }
  await store.syncApplied()
}

/** Appends one after another as long as `body` runs, and tells how long they took. */
async function appending(one: One, body: () => Promise<void>): Promise<void> {
  let running = true
  const times: number[] = []
  const loop = async () => {
    for (let at = 2; running; at++) {
      const began = performance.now()
      await append(one, at, at)
      times.push(performance.now() - began)
    }
  }
  const looping = loop()
  await body()
  running = false
  await looping
  console.log(`${times.length} appends meanwhile: ${spread(times)}`)
}

async function drain(reader: SnapshotReader): Promise<void> {
  while (!(await reader.next()).last);
  await reader.close()
}

async function measure<Value>(what: string, body: () => Promise<Value>): Promise<Value> {
  const byClock: number[] = []
  const byProcessor: number[] = []
  let [clock, processor] = [performance.now(), processorTime()]
  let timer = setTimeout(function turn() {
    const [clockNow, processorNow] = [performance.now(), processorTime()]
    byClock.push(clockNow - clock)
    byProcessor.push(processorNow - processor)
    ;[clock, processor] = [clockNow, processorNow]
    timer = setTimeout(turn, 1)
  }, 1)
  const began = performance.now()
  const value = await body()
  const took = performance.now() - began
  clearTimeout(timer)
  console.log(`${what}: ${(took / 1_000).toFixed(2)} s; turns by the clock ${spread(byClock)}, of processor time ${spread(byProcessor)}`)
  return value
}

/** Milliseconds that this thread, the process's first, has run. */
function processorTime(): number {
  return Number(readFileSync('/proc/self/schedstat', 'utf8').split(' ')[0]) / 1e6
}

function spread(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number) => (sorted[Math.floor((sorted.length - 1) * share)] ?? 0).toFixed(1)
  return `median ${at(0.5)} ms, 99 % ${at(0.99)} ms, longest ${at(1)} ms`
}
