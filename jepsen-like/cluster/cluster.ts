/**
 * The cluster under test, as workloads, faults and the runner know it: one of the harness's own (`own.ts`), or one whose hosts are
 * reached by commands (`hosts.ts`).
 *
 * What a cluster can have done to it differs; a fault asks before (`lacks`).
 */
import type { Api, ApiAnswer } from './api.js'
import type { ServiceAnswer } from './asker.js'
import type { OwnCluster } from './own.js'
import type { Wires } from './wires.js'

export type Role = 'daemon' | 'guardian' | 'monitor'

/** What a fault takes back. */
export type Undo = () => Promise<void>

export interface Status {
  readonly name?: string
  readonly quorate?: boolean
  readonly leader?: string | null
  readonly nodes?: readonly { readonly name: string; readonly state: string }[]
  readonly groups?: readonly {
    readonly name: string
    readonly state: string
    readonly intent?: string
    readonly holders: readonly { readonly node: string; readonly token: number }[]
  }[]
}

/** Who answered at the address of the service, where it says so itself. */
export interface AddressAnswer {
  readonly node: string | null
}

export interface Cluster {
  readonly names: readonly string[]
  /** Of the service; undefined where none may be touched. */
  readonly group: string | undefined
  /** Below it lies all that workloads write into the store. */
  readonly prefix: string
  /** The first revision of the run. */
  readonly firstRevision: number
  readonly wires: Wires
  /** What only a cluster of the harness's own has: power supplies, fence devices, disks. */
  readonly own: OwnCluster | undefined
  /** Whether the service is the journal service of the harness, and tells of itself. */
  readonly hasJournalService: boolean
  readonly hasAddress: boolean
  /** Why the node's disks cannot be filled, the wall clocks be set wrong; undefined where they can. */
  readonly noFullDisks: string | undefined
  readonly noWrongClocks: string | undefined

  api(node: string): Api
  /** Where the API listens, as this process reaches it; undefined where it does not. */
  apiAddress(node: string): { readonly host: string; readonly port: number } | undefined
  /** At any node that answers; beginning with `first`. */
  ask(method: string, path: string, body?: unknown, first?: string): Promise<ApiAnswer>
  /** By the node that says so itself, where two do: the one with the higher term. Undefined where nobody knows. */
  leader(): Promise<string | undefined>
  /** The node that runs the service. */
  holder(): Promise<string | undefined>
  /** One request to the journal service at its address; undefined where nothing came. */
  askService(timeoutMs?: number): Promise<ServiceAnswer | undefined>
  /** The same to a service of any kind. */
  askAddress(timeoutMs: number): Promise<AddressAnswer | undefined>
  /** Why not all is well, or something is under way; undefined where all is. */
  isWell(): Promise<string | undefined>

  /** Kills the node's process in this role. Answers how many there were. */
  kill(node: string, role: Role): Promise<number>
  /** As an upgrade does: guardian and daemon make room for the next one (SIGHUP), the monitor goes in order (SIGTERM). */
  restart(node: string, role: Role): Promise<number>
  pause(node: string, role: Role): Promise<Undo>
  /** To the last byte. Answers how many were left; undefined where nobody tells. */
  fillDisk(node: string): Promise<number | undefined>
  emptyDisk(node: string): Promise<void>
  /** Sets the wall clock wrong. Answers by how much, in milliseconds: not every clock can be set by years. */
  jumpClock(node: string, by: number): Promise<{ readonly by: number; readonly undo: Undo }>
  /** So many programs for each processor only compute: on the node's host, where it has one of its own. */
  burn(node: string, programs: number): Promise<Undo>

  /** Takes back whatever a fault may have left. Answers what could not be; in the end, what takes itself back is waited for. */
  calm(isLast?: boolean): Promise<readonly string[]>
  /** Removes what workloads have left. Answers what could not be. */
  tidy(): Promise<readonly string[]>
  /** The journal of the service, as a file; undefined where this process cannot read it. */
  readonly journal: string | undefined
  /** What piles up in nodes while all is quiet. */
  grown(): readonly string[]
  /** Keeps logs and journals. */
  keep(folder: string): void
  /** Lets go of it. Answers what is left behind. */
  close(): Promise<readonly string[]>
  /** After `close`. */
  remove(): void
}

/** Those that are held: whoever ends unexpectedly still lets go of them. */
export const standing = new Set<Pick<Cluster, 'close'>>()

/** At any of the nodes that answers, in this order. */
export async function askAny(
  apiOf: (node: string) => Api,
  names: readonly string[],
  method: string,
  path: string,
  body?: unknown,
): Promise<ApiAnswer> {
  let answer: ApiAnswer = { status: 0, body: {}, headers: {}, unsent: true }
  for (const name of names) {
    answer = await apiOf(name).call(method, path, body, { timeoutMs: 4_000 })
    if (answer.status !== 0 && answer.status !== 503) return answer
  }
  return answer
}

/** By the node that says so itself, where two do: the one with the higher term. */
export async function leaderOf(apis: readonly Api[]): Promise<string | undefined> {
  const seen = await Promise.all(apis.map((api) => api.call('GET', '/v1/status?consistency=local', undefined, { timeoutMs: 1_000 })))
  const leaders = seen
    .map(({ body }) => body as { readonly leader?: string; readonly term?: number })
    .filter((one) => typeof one.leader === 'string')
    .sort((a, b) => (b.term ?? 0) - (a.term ?? 0))
  return leaders[0]?.leader
}

/** Why nodes and cases are not well, as each node sees them. */
export function illOf(names: readonly string[], seen: readonly Status[], cases: unknown): string | undefined {
  for (const [at, { quorate, nodes = [] }] of seen.entries()) {
    if (quorate !== true) return `${names[at]} has no quorum`
    const ill = nodes.find(({ state }) => state !== 'ONLINE')
    if (ill !== undefined) return `${ill.name} is ${ill.state} for ${names[at]}`
    if (nodes.length < names.length) return `${names[at]} knows ${nodes.length} nodes`
  }
  const { cases: all = [] } = cases as { readonly cases?: readonly { readonly id: string; readonly stage: string }[] }
  const open = all.find(({ stage }) => stage !== 'RECOVERED' && stage !== 'CLOSED')
  return open === undefined ? undefined : `case ${open.id} is ${open.stage}`
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Throws with `what` when it does not come true in time. */
export async function waitUntil(what: string, timeoutMs: number, holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`waited ${timeoutMs / 1_000} s for ${what}`)
    await pause(100)
  }
}
