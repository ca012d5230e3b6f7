/**
 * Plays one run: clients, faults, watchers and followers against one cluster, for a time, then a calm end. What comes out is a
 * record, a value that judges look at.
 *
 * Whoever runs first is the machine's affair; what each client asks for, and which faults come when, follows from the seed.
 */
import { existsSync, readFileSync } from 'node:fs'
import type { Json } from './checkers/index.js'
import { type Cluster, pause, waitUntil } from './cluster/index.js'
import { bandsOf, type Operation, type PlannedFault, planFaults, type RunEvent } from './core/index.js'
import type { Fault } from './faults/index.js'
import { type Note, type Pressure, type RunRecord, type SeenEvent, type Stall, starvedShare } from './judges/index.js'
import { allEvents, type Client, Follower, undoOperators, type Workload } from './workloads/index.js'

export interface RunOptions {
  readonly seed: number
  /** Of clients and faults, in milliseconds. */
  readonly duration: number
  /** Names of the nodes, in the order in which they are drawn. */
  readonly nodes: readonly string[]
  /** Raises the cluster under test, or takes hold of it. */
  readonly hold: (say: (text: string) => void) => Promise<Cluster>
  readonly workloads: readonly Workload[]
  readonly faults: readonly Fault[]
  /** Faults side by side. */
  readonly lanes: number
  /** Between two faults of a lane, in milliseconds. */
  readonly rest: readonly [number, number]
  /** How long the cluster may take to be well in the end. */
  readonly wellBound: number
  /** After so many milliseconds without being well, nothing more is broken; undefined: the run goes on. */
  readonly unwellMax?: number
  /** Where logs and journals are kept; undefined: they go with the run. */
  readonly keep?: string
  readonly say: (text: string) => void
  /** Ends the run early, in order. */
  readonly signal?: AbortSignal
}

/** Quiet at the beginning and at the end of the clients' time. */
const lead = 3_000
const tail = 4_000

export function planOf({
  seed,
  duration,
  nodes,
  faults,
  lanes,
  rest,
}: Pick<RunOptions, 'seed' | 'duration' | 'nodes' | 'faults' | 'lanes' | 'rest'>): readonly PlannedFault[] {
  return planFaults({ seed, nodes, kinds: faults, from: lead, to: Math.max(lead, duration - tail), rest, lanes })
}

export async function play(options: RunOptions): Promise<RunRecord> {
  const cluster = await options.hold(options.say)
  try {
    return await playOn(cluster, options)
  } catch (error) {
    if (options.keep !== undefined) cluster.keep(options.keep)
    throw error
  } finally {
    const left = await cluster.close().catch((error: Error) => [error.message])
    for (const one of left) options.say(`left behind: ${one}`)
    cluster.remove()
  }
}

async function playOn(cluster: Cluster, options: RunOptions): Promise<RunRecord> {
  const { say, seed, duration } = options
  const wanted = possible(options.faults, cluster, say)
  const workloads = possible(options.workloads, cluster, say)
  const plan = planOf({ ...options, faults: wanted })
  const recorder = new Recorder()
  const lag = new Lag(recorder)
  const watching = watch(cluster, recorder, duration)
  const followers = workloads.some(({ name }) => name === 'events')
    ? cluster.names.map((node) => new Follower(cluster, node, (event) => recorder.see(node, event)))
    : []
  const guard = guarded(cluster, options, recorder)
  const { signal } = guard

  const clients = workloads.flatMap((workload) =>
    Array.from({ length: workload.clients(cluster.names.length) }, (_, at) => {
      const process = `${workload.name}-${at}`
      const node = cluster.names[at % cluster.names.length] as string
      return { workload, at, process, node, client: workload.open({ cluster, node, process }) }
    }),
  )
  const working = clients.map((one) => work(one, seed, duration, recorder, signal))
  const lanes = Array.from({ length: options.lanes }, (_, lane) =>
    breakThings(
      cluster,
      wanted,
      plan.filter((fault) => fault.lane === lane),
      recorder,
      say,
      signal,
    ),
  )
  await Promise.all(lanes)
  await Promise.all(working)
  guard.end()
  const unhealed = await calmDown(cluster, recorder, true)
  for (const one of unhealed) say(`not healed: ${one}`)
  if (workloads.some(({ name }) => name === 'operators')) await undoOperators(cluster)

  const faultsEnded = recorder.now()
  let notWell: string | undefined
  // Time in which the machine had no processor left does not count, but for ten minutes.
  let counted = 0
  let before = recorder.now()
  await waitUntil('the cluster to be well', options.wellBound * 1.5 + starvedMax, async () => {
    const why = await cluster.isWell()
    if (why !== undefined) notWell = why
    const now = recorder.now()
    if ((lag.pressure.at(-1)?.share ?? 0) <= starvedShare) counted += now - before
    before = now
    return why === undefined || counted > options.wellBound * 1.5
  }).catch(() => undefined)
  const wellAfter = (await cluster.isWell()) === undefined ? recorder.now() - faultsEnded : undefined
  say(wellAfter === undefined ? `not well: ${notWell}` : `well ${Math.round(wellAfter)} ms after the last fault`)
  await finish(clients, recorder)
  // What was just done is to reach every journal and every follower.
  await pause(1_500)
  const finals: Record<string, readonly SeenEvent[]> = {}
  for (const node of cluster.names) {
    const found = await allEvents(cluster, node)
    if (found !== undefined) finals[node] = found.map(toSeen)
  }
  await Promise.all(followers.map((follower) => follower.end()))
  watching.end()
  lag.end()
  for (const { client } of clients) client.close?.()
  const ended = recorder.now()
  const notes = cluster.journal === undefined ? [] : readNotes(cluster.journal, recorder.began)
  const left = [...(await cluster.tidy()), ...cluster.grown()]
  if (options.keep !== undefined) cluster.keep(options.keep)
  const running = await cluster.close()
  return {
    events: recorder.events,
    bands: bandsOf(recorder.events),
    mayStop: new Set(options.faults.filter(({ mayStop }) => mayStop).map(({ name }) => name)),
    // What was there before the run is another one's.
    notes: cluster.own === undefined ? notes.filter(({ at }) => at >= 0) : notes,
    streams: recorder.streams,
    finals,
    faultsEnded,
    wellAfter,
    notWell,
    ended,
    leaks: [...new Set([...unhealed, ...left, ...running])],
    stalls: lag.stalls,
    pressure: lag.pressure,
  }
}

/** Notes everything with its time; operations that end later than the clients' time still count. */
class Recorder {
  readonly events: RunEvent[] = []
  readonly streams: Record<string, SeenEvent[]> = {}
  readonly began = Date.now()
  readonly #begun = performance.now()

  now(): number {
    return Math.round((performance.now() - this.#begun) * 10) / 10
  }

  note(event: Omit<RunEvent, 'time'>): void {
    this.events.push({ ...event, time: this.now() })
  }

  see(node: string, event: { readonly revision: number; readonly number: number; readonly kind: string }): void {
    this.streams[node] ??= []
    this.streams[node].push({ ...event, time: this.now() })
  }
}

interface Working {
  readonly workload: Workload
  readonly at: number
  readonly process: string
  readonly node: string
  readonly client: Client
}

async function work(
  { workload, at, process, node, client }: Working,
  seed: number,
  duration: number,
  recorder: Recorder,
  signal: AbortSignal,
): Promise<void> {
  let rest = workload.generator(seed, at)
  while (recorder.now() < duration && !signal.aborted) {
    const next = rest(recorder.now())
    if (next.kind === 'over') return
    rest = next.rest
    if (next.kind === 'wait') {
      await pause(Math.max(0, Math.min(next.until, duration) - recorder.now()))
      continue
    }
    await perform(next.operation, { workload, process, node, client }, recorder)
  }
}

async function perform(planned: Operation, { workload, process, node, client }: Omit<Working, 'at'>, recorder: Recorder): Promise<void> {
  const operation = (await client.prepare?.(planned)) ?? planned
  const about = { process, f: operation.f, workload: workload.name, node, ...(operation.key === undefined ? {} : { key: operation.key }) }
  recorder.note({ ...about, type: 'invoke', ...(operation.value === undefined ? {} : { value: operation.value }) })
  const { type, value, error } = await client.perform(operation)
  recorder.note({ ...about, type, ...(value === undefined ? {} : { value }), ...(error === undefined ? {} : { error }) })
  // Whoever is refused does not ask again at once.
  if (type !== 'ok') await pause(50)
}

async function breakThings(
  cluster: Cluster,
  faults: readonly Fault[],
  plan: readonly PlannedFault[],
  recorder: Recorder,
  say: (text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const note = (f: string, value: Readonly<Record<string, unknown>>): void =>
    recorder.note({ process: 'nemesis', type: 'info', f, value: value as unknown as Json })
  for (const { id, fault: name, lane, detail, from, to } of plan) {
    const fault = faults.find((one) => one.name === name) as Fault
    while (recorder.now() < from && !signal.aborted) await pause(Math.min(200, from - recorder.now()))
    if (signal.aborted) return
    note('inject', { id, fault: name, lane, ...(detail as object) })
    try {
      const { met, heal } = await fault.inject(cluster, detail, id)
      note('injected', { id, fault: name, met })
      say(`${(recorder.now() / 1_000).toFixed(1).padStart(7)} s  ${name} ${JSON.stringify(met)}`)
      // However late it came, it lasts a while.
      const end = Math.max(to, recorder.now() + 300)
      while (recorder.now() < end && !signal.aborted) await pause(Math.min(100, end - recorder.now()))
      await heal()
    } catch (error) {
      say(`${name}: ${(error as Error).message}`)
      note('failed', { id, fault: name, error: (error as Error).message })
      await calmDown(cluster, recorder)
    }
    note('healed', { id, fault: name })
  }
}

/** Takes back whatever a fault may have left. Answers what could not be. */
async function calmDown(cluster: Cluster, recorder: Recorder, isLast = false): Promise<readonly string[]> {
  const left = await cluster.calm(isLast)
  if (left.length > 0) recorder.note({ process: 'nemesis', type: 'info', f: 'not-cleared', value: { left } as unknown as Json })
  return left
}

/** Those that this cluster can have; of the others it is said why not. */
function possible<Kind extends { readonly name: string; readonly lacks?: (cluster: Cluster) => string | undefined }>(
  kinds: readonly Kind[],
  cluster: Cluster,
  say: (text: string) => void,
): readonly Kind[] {
  const without = new Map<string, string[]>()
  const wanted = kinds.filter((kind) => {
    const why = kind.lacks?.(cluster)
    if (why !== undefined) without.set(why, [...(without.get(why) ?? []), kind.name])
    return why === undefined
  })
  for (const [why, names] of without) say(`without ${names.join(', ')}: ${why}`)
  return wanted
}

/** Ends clients and faults where the run is told to end, or where the cluster has not been well for too long. */
function guarded(
  cluster: Cluster,
  { signal, unwellMax, say }: RunOptions,
  recorder: Recorder,
): { readonly signal: AbortSignal; readonly end: () => void } {
  const stopping = new AbortController()
  const stop = (why: string): void => {
    if (stopping.signal.aborted) return
    say(`nothing more is broken: ${why}`)
    recorder.note({ process: 'nemesis', type: 'info', f: 'stopped', value: { why } })
    stopping.abort()
  }
  const told = (): void => stop('told to end')
  if (signal?.aborted === true) told()
  signal?.addEventListener('abort', told)
  let isOver = false
  void (async () => {
    let wellAt = recorder.now()
    while (unwellMax !== undefined && !isOver) {
      const why = await cluster.isWell()
      if (why === undefined) wellAt = recorder.now()
      else if (!isOver && recorder.now() - wellAt > unwellMax) stop(`not well for ${Math.round(unwellMax / 1_000)} s: ${why}`)
      await pause(1_000)
    }
  })()
  return {
    signal: stopping.signal,
    end: () => {
      isOver = true
      signal?.removeEventListener('abort', told)
    },
  }
}

/** Each workload's last reading, by one of its clients. */
async function finish(clients: readonly Working[], recorder: Recorder): Promise<void> {
  for (const one of clients.filter(({ at }) => at === 0)) {
    const { workload, process } = one
    const done = recorder.events.filter((event) => event.workload === workload.name && event.type === 'invoke')
    for (const operation of workload.finally?.(done) ?? []) await perform(operation, { ...one, process: `${process}-last` }, recorder)
  }
}

/** Notes who leads and how nodes fare, where it has changed. */
function watch(cluster: Cluster, recorder: Recorder, duration: number): { readonly end: () => void } {
  let isOver = false
  let before = ''
  void (async () => {
    while (!isOver && recorder.now() < duration + 600_000) {
      const seen = await Promise.all(
        cluster.names.map(
          async (name) => (await cluster.api(name).call('GET', '/v1/status?consistency=local', undefined, { timeoutMs: 800 })).body,
        ),
      )
      const best = (
        seen as readonly {
          readonly leader?: string | null
          readonly term?: number
          readonly quorate?: boolean
          readonly nodes?: readonly { readonly name: string; readonly state: string }[]
        }[]
      )
        .filter(({ leader }) => typeof leader === 'string')
        .toSorted((a, b) => (b.term ?? 0) - (a.term ?? 0))[0]
      const states = Object.fromEntries(cluster.names.map((name) => [name, best?.nodes?.find((node) => node.name === name)?.state ?? '?']))
      const now = { leader: best?.leader ?? null, states }
      if (JSON.stringify(now) !== before) {
        before = JSON.stringify(now)
        recorder.note({ process: 'watch', type: 'info', f: 'state', value: now })
      }
      await pause(250)
    }
  })()
  return {
    end: () => {
      isOver = true
    },
  }
}

/** How long a cluster is waited for at most on a machine without a processor left, beside the usual time. Milliseconds. */
const starvedMax = 600_000

/** Times at which this process itself did not get to run. */
class Lag {
  readonly stalls: Stall[] = []
  readonly pressure: Pressure[] = []
  readonly #timer: NodeJS.Timeout
  readonly #sampling: NodeJS.Timeout

  constructor(recorder: Recorder) {
    let last = recorder.now()
    this.#timer = setInterval(() => {
      const now = recorder.now()
      if (now - last > 200) this.stalls.push({ at: now, ms: Math.round(now - last - 50) })
      last = now
    }, 50)
    let before = { at: recorder.now(), waited: waitedForProcessors() }
    this.#sampling = setInterval(() => {
      const now = { at: recorder.now(), waited: waitedForProcessors() }
      if (now.waited !== undefined && before.waited !== undefined)
        this.pressure.push({ at: now.at, share: Math.round((now.waited - before.waited) / (now.at - before.at) / 10) / 100 })
      before = now
    }, 500)
  }

  end(): void {
    clearInterval(this.#timer)
    clearInterval(this.#sampling)
  }
}

/** Microseconds since the start of the machine in which somebody waited for one. */
function waitedForProcessors(): number | undefined {
  try {
    return Number(/^some .*total=(\d+)/m.exec(readFileSync('/proc/pressure/cpu', 'utf8'))?.[1])
  } catch {
    return undefined // This kernel does not tell.
  }
}

function toSeen(event: Readonly<Record<string, unknown>>): SeenEvent {
  const { revision, number, kind, subject, text, data } = event
  return {
    revision: Number(revision),
    number: Number(number),
    kind: String(kind),
    subject: String(subject),
    text: String(text),
    data: (data ?? null) as Json,
  }
}

export function readNotes(path: string, began: number): readonly Note[] {
  if (!existsSync(path)) return []
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        const note = JSON.parse(line) as Note
        return [{ ...note, at: note.at - began }]
      } catch {
        return [] // Half a line: its writer was killed.
      }
    })
}
